//! `mainstay explain`: how a priority comes about, and what would move the addresses.

use crate::cli::ask::{self, Failure};
use crate::cli::{Place, out, status};
use crate::ctl::explain;
use crate::ctl::interface;
use crate::ctl::reply::StatusReply;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The instance; may be left out if there is one only.
    name: Option<String>,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &ExplainArgs) -> ExitCode {
    ask::finish(text(args).map(|text| (text, ExitCode::SUCCESS)))
}

fn text(args: &ExplainArgs) -> Result<String, Failure> {
    let reply = crate::ctl::client::call(&args.place.runtime_dir, interface::STATUS, json!({}))?;
    told(reply, args.name.as_deref(), args.json)
}

fn told(mut reply: Value, name: Option<&str>, json: bool) -> Result<String, Failure> {
    let instances = reply["snapshot"]["instances"].as_array();
    let instances: Vec<&Value> = instances.into_iter().flatten().collect();
    let all = status::names(instances.iter().filter_map(|one| one["name"].as_str()));
    let found = match name {
        Some(name) => instances.iter().position(|one| one["name"] == name),
        None if instances.len() == 1 => Some(0),
        None => {
            return Err(Failure::new(format!("which instance? name one of: {all}")));
        }
    };
    let Some(at) = found else {
        return Err(Failure::new(status::unknown(
            name.unwrap_or_default(),
            &all,
        )));
    };
    if json {
        let instance = reply["snapshot"]["instances"][at].take();
        let told = json!({"form": reply["snapshot"]["form"], "instance": instance});
        return Ok(format!("{told:#}\n"));
    }
    let StatusReply { snapshot } = ask::read(reply)?;
    match snapshot.instances.get(at) {
        Some(instance) => Ok(explain::explain(instance, &snapshot, out::look())),
        None => Err(Failure::new(status::unknown(
            name.unwrap_or_default(),
            &all,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_instance_need_not_be_named() {
        let reply = |names: &[&str]| {
            let all: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({"snapshot": {"form": 3, "instances": all}})
        };
        let one = told(reply(&["a"]), None, true).expect("told");
        let one: Value = serde_json::from_str(&one).expect("JSON");
        assert_eq!(one, json!({"form": 3, "instance": {"name": "a"}}));
        let error = told(reply(&["a", "b"]), None, true).expect_err("which?");
        assert_eq!(error.text, "which instance? name one of: a, b");
        let error = told(reply(&["a", "b"]), Some("c"), true).expect_err("unknown");
        assert_eq!(error.text, "no instance c (there are: a, b)");
    }
}
