//! `mainstay reload`: read the file again, show what changes, apply it.

use crate::cli::Place;
use crate::cli::ask::{self, Failure};
use crate::ctl::reply::{Change, PlanView, ReloadReply};
use crate::ctl::{client, interface};
use crate::model::view::FORM;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than the daemon waits.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Args)]
pub(super) struct ReloadArgs {
    /// Only say what would change; the running state stays as it is.
    #[arg(long)]
    dry_run: bool,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &ReloadArgs) -> ExitCode {
    ask::finish(text(args).map(|text| (text, ExitCode::SUCCESS)))
}

fn text(args: &ReloadArgs) -> Result<String, Failure> {
    let asked = json!({"dry_run": args.dry_run});
    let reply = client::call_for(&args.place.runtime_dir, interface::RELOAD, asked, PATIENCE)?;
    if args.json {
        return Ok(ask::json(reply, FORM));
    }
    let reply: ReloadReply = ask::read(reply)?;
    Ok(told(&reply))
}

fn told(reply: &ReloadReply) -> String {
    let mut text = String::new();
    let PlanView {
        created,
        changed,
        removed,
        global,
        advice,
        ..
    } = &reply.plan;
    for (word, list) in [
        ("create", created),
        ("change", changed),
        ("remove", removed),
    ] {
        for Change {
            kind,
            name,
            differs,
        } in list
        {
            let _ = writeln!(text, "{word:<8}{kind} {name}");
            for what in differs {
                let _ = writeln!(text, "          {what}");
            }
        }
    }
    for what in global {
        let _ = writeln!(text, "change  global_defs: {what}");
    }
    for warning in &reply.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for warning in advice {
        let _ = writeln!(text, "advice: {warning}");
    }
    let _ = match (reply.applied, reply.plan.is_empty()) {
        (false, true) => writeln!(text, "a reload would change nothing"),
        (false, false) => writeln!(text, "a reload would do this: {}", reply.plan),
        (true, true) => writeln!(text, "reloaded: nothing differs"),
        (true, false) => writeln!(text, "reloaded: {}", reply.plan),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_told_with_what_differs() {
        let change = |kind: &str, name: &str, differs: &[&str]| Change {
            kind: kind.into(),
            name: name.into(),
            differs: differs.iter().map(ToString::to_string).collect(),
        };
        let mut reply = ReloadReply {
            applied: false,
            plan: PlanView {
                created: vec![change("instance", "VI_3", &[])],
                changed: vec![change("script", "chk", &["interval 2 s -> 3 s"])],
                removed: vec![],
                untouched: 4,
                global: vec!["router_id a -> b".into()],
                advice: vec!["VI_1: beware".into()],
            },
            warnings: vec!["f:1:1: odd".into()],
        };
        assert_eq!(
            told(&reply),
            "\
create  instance VI_3
change  script chk
          interval 2 s -> 3 s
change  global_defs: router_id a -> b
warning: f:1:1: odd
advice: VI_1: beware
a reload would do this: 1 created, 1 changed, 0 removed, 4 untouched, global_defs changed
"
        );
        reply = ReloadReply {
            applied: true,
            plan: PlanView::default(),
            warnings: vec![],
        };
        assert_eq!(told(&reply), "reloaded: nothing differs\n");
    }
}
