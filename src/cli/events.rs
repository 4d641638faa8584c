//! `mainstay events`: the journal, one event a line.

use crate::cli::ask::{self, Failure, Since};
use crate::cli::{Place, exit, out};
use crate::ctl::client::{self, Error, Follower};
use crate::ctl::history;
use crate::ctl::interface;
use crate::ctl::reply::EventsReply;
use crate::model::event::Event;
use crate::os::clock;
use clap::Args;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Shown without --since.
const USUAL: usize = 20;
/// A lost daemon is looked for again after so long.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens, also over a restart of the daemon.
    #[arg(short, long)]
    follow: bool,
    /// Only what came after: the number of an event, or a length of time such as 24h.
    #[arg(long, value_name = "SEQ|TIME", value_parser = ask::since)]
    since: Option<Since>,
    /// Only events of this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only events of these kinds, such as transition,script_down.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// At most so many [default: 20, or with --since all that are kept].
    #[arg(short = 'n', long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &EventsArgs) -> ExitCode {
    if args.follow {
        follow(args)
    } else {
        ask::finish(list(args).map(|text| (text, ExitCode::SUCCESS)))
    }
}

/// Parameters of the call.
fn parameters(args: &EventsArgs, since: Option<u64>) -> Value {
    let mut parameters = json!({});
    if let Some(name) = &args.instance {
        parameters["instance"] = json!(name);
    }
    if !args.kind.is_empty() {
        parameters["kinds"] = json!(args.kind);
    }
    match (since, args.since) {
        (Some(seq), _) | (None, Some(Since::Seq(seq))) => parameters["since"] = json!(seq),
        (None, Some(Since::Age(age))) => parameters["age_s"] = json!(age.as_secs_f64()),
        (None, None) => {}
    }
    let most = match args.since {
        Some(_) => 1024,
        None => USUAL,
    };
    parameters["limit"] = json!(args.limit.unwrap_or(most));
    parameters
}

fn list(args: &EventsArgs) -> Result<String, Failure> {
    let reply = client::call(
        &args.place.runtime_dir,
        interface::EVENTS,
        parameters(args, None),
    )?;
    let text = text(reply, args.json)?;
    if text.is_empty() && !args.json {
        return Ok("no event like that is in the journal\n".to_owned());
    }
    Ok(text)
}

/// A reply as lines.
fn text(reply: Value, json: bool) -> Result<String, Failure> {
    if json {
        // The daemon's own words, also those a newer daemon knows and we do not.
        let events = reply["events"].as_array();
        let lines = events
            .into_iter()
            .flatten()
            .map(|event| format!("{event}\n"));
        return Ok(lines.collect());
    }
    let reply: EventsReply = ask::read(reply)?;
    let look = out::look();
    let mut text = String::new();
    if reply.lost > 0 {
        text += &format!("({} events before these are no longer kept)\n", reply.lost);
    }
    for event in &reply.events {
        text += &history::line(event, look);
    }
    Ok(text)
}

/// Prints what comes until nobody reads it any more.
fn follow(args: &EventsArgs) -> ExitCode {
    let mut since = None;
    let mut lost = false;
    loop {
        match follow_one(args, &mut since) {
            Ok(code) => return code,
            // A daemon that was never there is an error, one that went away may come back.
            Err(error) if since.is_none() || !comes_back(&error) => {
                let failure = Failure::from(error);
                out::complain(&failure.text);
                return ExitCode::from(failure.code);
            }
            Err(error) => {
                if !std::mem::replace(&mut lost, true) {
                    out::complain(&format!("{error}; waiting for the daemon"));
                }
                clock::sleep(AGAIN);
            }
        }
    }
}

fn comes_back(error: &Error) -> bool {
    match error {
        Error::NotRunning(_) | Error::TimedOut(_) | Error::Io(..) | Error::BadReply(_) => true,
        Error::Refused(name, _) => name.ends_with(".TooManyConnections"),
        Error::Permission(..) => false,
    }
}

/// One connection; `since` moves on with what was printed.
fn follow_one(args: &EventsArgs, since: &mut Option<u64>) -> Result<ExitCode, Error> {
    let dir = &args.place.runtime_dir;
    let asked = parameters(args, *since);
    let mut follower = Follower::ask(dir, interface::EVENTS, asked, true)?;
    loop {
        let reply = follower.hear()?;
        follower.patience(None)?;
        let last = reply["last"].as_u64().unwrap_or(0);
        if since.is_some_and(|seen| seen > last) {
            out::complain("the journal was begun anew");
        }
        let shown = text(reply, args.json).map_err(|failure| Error::BadReply(failure.text))?;
        *since = Some(last);
        match out::write(&shown) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => {
                out::complain(&format!("cannot write to standard output: {error}"));
                return Ok(ExitCode::from(exit::FAILURE));
            }
        }
    }
}

/// The events of a reply, for other commands.
pub(super) fn all(place: &Place) -> Result<Vec<std::sync::Arc<Event>>, Failure> {
    let asked = json!({"limit": 1024});
    let reply = client::call(&place.runtime_dir, interface::EVENTS, asked)?;
    let reply: EventsReply = ask::read(reply)?;
    Ok(reply.events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: EventsArgs,
    }

    fn asks(words: &[&str]) -> Value {
        let only = Only::try_parse_from([&["events"], words].concat()).expect("valid words");
        parameters(&only.args, None)
    }

    #[test]
    fn words_become_parameters() {
        assert_eq!(asks(&[]), json!({"limit": 20}));
        assert_eq!(asks(&["--since", "7"]), json!({"since": 7, "limit": 1024}));
        assert_eq!(
            asks(&["--since", "2m", "-n", "3"]),
            json!({"age_s": 120.0, "limit": 3})
        );
        assert_eq!(
            asks(&["--instance", "VI_1", "--kind", "stall,reload"]),
            json!({"instance": "VI_1", "kinds": ["stall", "reload"], "limit": 20})
        );
    }

    #[test]
    fn json_keeps_what_we_do_not_know() {
        let reply = json!({"events": [{"seq": 1, "new": true}, {"seq": 2}]});
        assert_eq!(
            text(reply, true),
            Ok("{\"new\":true,\"seq\":1}\n{\"seq\":2}\n".to_owned())
        );
    }
}
