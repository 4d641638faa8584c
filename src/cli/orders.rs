//! `mainstay drain`, `undrain` and `takeover`: move the addresses by hand, and say who has them.

use crate::cli::ask::{self, Failure};
use crate::cli::{Place, exit};
use crate::ctl::render::length;
use crate::ctl::reply::{Ordered, OrdersReply};
use crate::ctl::{client, interface};
use crate::model::view::FORM;
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than 100 lost adverts of 40.95 s, the most that a file can ask for.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    whom: WhomArgs,
    #[command(flatten)]
    term: TermArgs,
    /// Leave even if nobody takes over: the addresses are then served by nobody.
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
pub(super) struct UndrainArgs {
    #[command(flatten)]
    whom: WhomArgs,
}

#[derive(Args)]
pub(super) struct TakeoverArgs {
    #[command(flatten)]
    whom: WhomArgs,
    #[command(flatten)]
    term: TermArgs,
}

#[derive(Args)]
struct WhomArgs {
    /// The instance, or a sync group; may be left out if there is one instance only.
    #[arg(conflicts_with = "all")]
    name: Option<String>,
    /// Every instance.
    #[arg(long)]
    all: bool,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct TermArgs {
    /// End it by itself after so long, such as 2h [default: until undrain].
    #[arg(long = "for", value_name = "TIME", value_parser = ask::length)]
    length: Option<Duration>,
    /// Why, for status and events.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn drain(args: &DrainArgs) -> ExitCode {
    let mut asked = asked(&args.whom, Some(&args.term));
    if args.force {
        asked["force"] = json!(true);
    }
    order(&args.whom, interface::DRAIN, asked, "drained")
}

pub(super) fn undrain(args: &UndrainArgs) -> ExitCode {
    order(
        &args.whom,
        interface::UNDRAIN,
        asked(&args.whom, None),
        "free",
    )
}

pub(super) fn takeover(args: &TakeoverArgs) -> ExitCode {
    let asked = asked(&args.whom, Some(&args.term));
    order(&args.whom, interface::TAKEOVER, asked, "taken over")
}

fn asked(whom: &WhomArgs, term: Option<&TermArgs>) -> Value {
    let mut asked = json!({});
    if let Some(name) = &whom.name {
        asked["instance"] = json!(name);
    }
    if whom.all {
        asked["all"] = json!(true);
    }
    if let Some(TermArgs {
        length: Some(length),
        ..
    }) = term
    {
        asked["for_s"] = json!(length.as_secs_f64());
    }
    if let Some(TermArgs {
        reason: Some(reason),
        ..
    }) = term
    {
        asked["reason"] = json!(reason);
    }
    asked
}

fn order(whom: &WhomArgs, method: &str, asked: Value, done: &str) -> ExitCode {
    let reply = client::call_for(&whom.place.runtime_dir, method, asked, PATIENCE);
    ask::finish(
        reply
            .map_err(Failure::from)
            .and_then(|reply| told(reply, done, whom.json)),
    )
}

fn told(reply: Value, done: &str, json: bool) -> Result<(String, ExitCode), Failure> {
    let OrdersReply { ordered } = ask::read(reply.clone())?;
    let code = if ordered.iter().all(Ordered::is_done) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FAILURE)
    };
    if json {
        return Ok((ask::json(reply, FORM), code));
    }
    let mut text = String::new();
    for one in &ordered {
        let _ = match (one.is_done(), one.successor) {
            (true, Some(successor)) => writeln!(
                text,
                "{}: {done}; {successor} is MASTER after {}",
                one.instance,
                length(one.took_s)
            ),
            (true, None) => {
                let more = one.text.strip_prefix("done").unwrap_or_default();
                writeln!(text, "{}: {done}{more}", one.instance)
            }
            (false, _) => writeln!(text, "{}: {}", one.instance, one.text),
        };
    }
    if ordered.is_empty() {
        text += "nothing was drained or taken over\n";
    }
    Ok((text, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(outcome: &str, text: &str, successor: Option<&str>) -> Value {
        json!({"ordered": [{
            "instance": "VI_1", "outcome": outcome, "successor": successor, "took_s": 0.61,
            "text": text,
        }]})
    }

    #[test]
    fn the_successor_is_named_and_failure_has_an_exit_code() {
        let (text, code) =
            told(reply("done", "", Some("10.0.0.2")), "drained", false).expect("told");
        assert_eq!(text, "VI_1: drained; 10.0.0.2 is MASTER after 0.610 s\n");
        assert_eq!(code, ExitCode::SUCCESS);
        let refused = reply("refused", "refused: it is in FAULT", None);
        let (text, code) = told(refused, "taken over", false).expect("told");
        assert_eq!(text, "VI_1: refused: it is in FAULT\n");
        assert_eq!(code, ExitCode::from(exit::FAILURE));
    }

    #[test]
    fn json_has_a_version() {
        let (text, _) = told(reply("done", "", None), "drained", true).expect("told");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["form"], FORM);
        assert_eq!(value["ordered"][0]["instance"], "VI_1");
    }
}
