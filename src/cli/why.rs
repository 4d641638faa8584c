//! `mainstay why`: the last transitions, their causes, and what led to them.

use crate::cli::ask::{self, Failure, Since};
use crate::cli::{Place, events, out};
use crate::ctl::history::{self, Reason};
use crate::model::event::EVENT_FORM;
use crate::os::clock;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

/// Transitions told without --since.
const USUAL: usize = 5;

#[derive(Args)]
pub(super) struct WhyArgs {
    /// Only transitions of this instance or sync group.
    name: Option<String>,
    /// All transitions since then: a length of time such as 24h, or the number of an event.
    #[arg(long, value_name = "TIME|SEQ", value_parser = ask::since)]
    since: Option<Since>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &WhyArgs) -> ExitCode {
    ask::finish(text(args).map(|text| (text, ExitCode::SUCCESS)))
}

fn text(args: &WhyArgs) -> Result<String, Failure> {
    let all = events::all(&args.place)?;
    let (from_seq, from_us, most) = match args.since {
        None => (0, 0, USUAL),
        Some(Since::Seq(seq)) => (seq, 0, usize::MAX),
        Some(Since::Age(age)) => {
            let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            let from = now.saturating_sub(age).as_micros();
            (0, u64::try_from(from).unwrap_or(u64::MAX), usize::MAX)
        }
    };
    let found = history::reasons(&all, args.name.as_deref(), from_seq, from_us, most);
    if args.json {
        let told = json!({"form": EVENT_FORM, "transitions": found});
        return Ok(format!("{told:#}\n"));
    }
    if found.is_empty() {
        return Ok(none(args));
    }
    Ok(history::why(&found, out::look()) + &left_out(&all, args, &found))
}

fn none(args: &WhyArgs) -> String {
    let whose = match &args.name {
        Some(name) => format!(" of {name}"),
        None => String::new(),
    };
    match args.since {
        Some(_) => format!("no transition{whose} in that time is in the journal\n"),
        None => format!("no transition{whose} is in the journal\n"),
    }
}

/// How many older ones there are.
fn left_out(
    all: &[std::sync::Arc<crate::model::event::Event>],
    args: &WhyArgs,
    shown: &[Reason],
) -> String {
    let every = history::reasons(all, args.name.as_deref(), 0, 0, usize::MAX).len();
    match every.saturating_sub(shown.len()) {
        0 => String::new(),
        1 => "\n(1 older transition: use --since)\n".to_owned(),
        more => format!("\n({more} older transitions: use --since)\n"),
    }
}
