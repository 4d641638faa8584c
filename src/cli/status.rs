//! `mainstay status`: what the running daemon says of itself.

use crate::cli::{Place, exit, out};
use crate::ctl::client::{self, Error};
use crate::ctl::interface;
use crate::ctl::render;
use crate::ctl::reply::StatusReply;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct StatusArgs {
    /// Tell everything about this instance.
    name: Option<String>,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &StatusArgs) -> ExitCode {
    let parameters = Value::Object(serde_json::Map::new());
    let told = client::call(&args.place.runtime_dir, interface::STATUS, parameters)
        .map_err(|error| {
            let code = match error {
                Error::Permission(..) => exit::PERMISSION,
                Error::NotRunning(_)
                | Error::TimedOut(_)
                | Error::Io(..)
                | Error::Refused(..)
                | Error::BadReply(_) => exit::FAILURE,
            };
            (code, error.to_string())
        })
        .and_then(|reply| {
            text(reply, args.name.as_deref(), args.json).map_err(|text| (exit::FAILURE, text))
        });
    match told {
        Ok(text) => out::print(&text, ExitCode::SUCCESS),
        Err((code, text)) => {
            out::complain(&text);
            ExitCode::from(code)
        }
    }
}

/// The reply as it is shown, or why it cannot be.
fn text(mut reply: Value, name: Option<&str>, json: bool) -> Result<String, String> {
    if json {
        // The daemon's own words, also those a newer daemon knows and we do not.
        let snapshot = &mut reply["snapshot"];
        if let Some(name) = name
            && let Some(instances) = snapshot["instances"].as_array_mut()
        {
            let all = names(instances.iter().filter_map(|one| one["name"].as_str()));
            instances.retain(|one| one["name"] == name);
            if instances.is_empty() {
                return Err(unknown(name, &all));
            }
        }
        return Ok(format!("{snapshot:#}\n"));
    }
    let StatusReply { snapshot } = serde_json::from_value(reply)
        .map_err(|error| format!("the daemon's answer has another form ({error}); use --json"))?;
    let look = out::look();
    let Some(name) = name else {
        return Ok(render::overview(&snapshot, look));
    };
    let mut text = String::new();
    for instance in snapshot.instances.iter().filter(|one| *one.name == *name) {
        text += &render::instance(instance, &snapshot, look);
    }
    if text.is_empty() {
        let all = names(snapshot.instances.iter().map(|one| &*one.name));
        return Err(unknown(name, &all));
    }
    Ok(text)
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

fn unknown(name: &str, all: &str) -> String {
    format!("no instance {name} (there are: {all})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::Snapshot;
    use serde_json::json;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let reply = json!({"snapshot": {"instances": [{"name": "VI_1"}, {"name": "VI_2"}]}});
        let error = text(reply, Some("VI_3"), true).expect_err("unknown");
        assert_eq!(error, "no instance VI_3 (there are: VI_1, VI_2)");
        let reply = json!({"snapshot": Snapshot::default()});
        let error = text(reply, Some("VI_3"), false).expect_err("unknown");
        assert_eq!(error, "no instance VI_3 (there are: none)");
    }

    #[test]
    fn json_keeps_what_we_do_not_know() {
        let reply =
            json!({"snapshot": {"form": 9, "instances": [{"name": "a", "new": 1}, {"name": "b"}]}});
        let text = text(reply, Some("a"), true).expect("known");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value,
            json!({"form": 9, "instances": [{"name": "a", "new": 1}]})
        );
    }

    #[test]
    fn a_strange_answer_points_to_json() {
        let error = text(json!({"snapshot": 3}), None, false).expect_err("strange");
        assert!(error.contains("use --json"), "{error}");
    }
}
