//! `mainstay status`: what the running daemon says of itself.

use crate::cli::ask::{self, Failure};
use crate::cli::{Place, exit, out};
use crate::ctl::client::{self, Error, Follower};
use crate::ctl::interface;
use crate::ctl::reply::StatusReply;
use crate::ctl::{overview, render};
use crate::os::clock;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Without any event the state is asked for again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Without a way to hear of events.
const LOOK_SOON: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(super) struct StatusArgs {
    /// Tell everything about this instance.
    name: Option<String>,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    /// Wait until the instance, or every one, is in this state: BACKUP, MASTER, FAULT ...
    #[arg(long, value_name = "STATE", value_parser = state)]
    wait: Option<String>,
    /// Wait at most so long; 75 is the exit code if it was not enough.
    #[arg(long, value_name = "TIME", value_parser = ask::length, default_value = "10s")]
    timeout: Duration,
    #[command(flatten)]
    place: Place,
}

/// A word for a state, as status shows it.
fn state(word: &str) -> Result<String, String> {
    let word = word.to_ascii_uppercase();
    let known = ["INIT", "BACKUP", "MASTER", "FAULT", "STOP"];
    if known.contains(&word.as_str()) {
        Ok(word)
    } else {
        Err(format!("no such state (there are: {})", known.join(", ")))
    }
}

pub(super) fn main(args: &StatusArgs) -> ExitCode {
    let waited = match &args.wait {
        Some(state) => wait(args, state),
        None => Ok(true),
    };
    let reached = match waited {
        Ok(reached) => reached,
        Err(failure) => return ask::finish(Err(failure)),
    };
    let reply = client::call(&args.place.runtime_dir, interface::STATUS, json!({}));
    let told = reply
        .map_err(Failure::from)
        .and_then(|reply| text(reply, args.name.as_deref(), args.json).map_err(Failure::new));
    if reached {
        return ask::finish(told.map(|text| (text, ExitCode::SUCCESS)));
    }
    let code = ExitCode::from(exit::NOT_YET);
    let printed = ask::finish(told.map(|text| (text, code)));
    if let Some(state) = &args.wait {
        out::complain(&format!(
            "{} not {state} within {} s",
            args.name.as_deref().unwrap_or("every instance"),
            args.timeout.as_secs_f64()
        ));
    }
    printed
}

/// Waits until the instance, or every one, is in this state; false if the time passed first.
fn wait(args: &StatusArgs, state: &str) -> Result<bool, Failure> {
    let dir = &args.place.runtime_dir;
    let until = clock::now() + args.timeout;
    // Each transition is an event; in between there is nothing to ask.
    let mut follower: Option<Follower> = None;
    loop {
        if follower.is_none() {
            let asked = json!({"kinds": ["transition"], "limit": 1});
            follower = Follower::ask(dir, interface::EVENTS, asked, true)
                .and_then(|mut follower| follower.hear().map(|_| follower))
                .ok();
        }
        let failure = match client::call(dir, interface::STATUS, json!({})) {
            Ok(reply) => match is_in(&reply, args.name.as_deref(), state)? {
                true => return Ok(true),
                false => None,
            },
            Err(error @ (Error::NotRunning(_) | Error::TimedOut(_) | Error::BadReply(_))) => {
                Some(Failure::from(error))
            }
            Err(error @ (Error::Permission(..) | Error::Io(..) | Error::Refused(..))) => {
                return Err(error.into());
            }
        };
        let left = until.since(clock::now());
        if left.is_zero() {
            return failure.map_or(Ok(false), Err);
        }
        let pause = left.min(LOOK_AGAIN);
        match &mut follower {
            Some(one) => {
                let heard = one.patience(Some(pause)).and_then(|()| one.hear());
                if let Err(error) = heard
                    && !matches!(error, Error::TimedOut(_))
                {
                    follower = None;
                    clock::sleep(pause.min(LOOK_SOON));
                }
            }
            None => clock::sleep(pause.min(LOOK_SOON)),
        }
    }
}

fn is_in(reply: &Value, name: Option<&str>, state: &str) -> Result<bool, Failure> {
    let instances = reply["snapshot"]["instances"].as_array();
    let all: Vec<&Value> = instances.into_iter().flatten().collect();
    let mut meant = all
        .iter()
        .filter(|one| name.is_none_or(|name| one["name"] == name));
    if name.is_some() && meant.clone().next().is_none() {
        let names = names(all.iter().filter_map(|one| one["name"].as_str()));
        return Err(Failure::new(unknown(name.unwrap_or_default(), &names)));
    }
    Ok(!all.is_empty() && meant.all(|one| one["state"] == state))
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
        return Ok(overview::overview(&snapshot, look));
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

pub(super) fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

pub(super) fn unknown(name: &str, all: &str) -> String {
    format!("no instance {name} (there are: {all})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::Snapshot;

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
