//! `mainstay log`: from which level on the running daemon's log tells.

use crate::cli::ask::{self, Failure};
use crate::cli::{LogLevel, Place};
use crate::ctl::render::length;
use crate::ctl::reply::LogReply;
use crate::ctl::{client, interface};
use crate::obs::log::Threshold;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(super) struct LogArgs {
    /// From this level on.
    level: LogLevel,
    /// Return to the level of the start after so long, such as 10m.
    #[arg(long = "for", value_name = "TIME", value_parser = ask::length)]
    length: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &LogArgs) -> ExitCode {
    ask::finish(text(args).map(|text| (text, ExitCode::SUCCESS)))
}

fn text(args: &LogArgs) -> Result<String, Failure> {
    let mut asked = json!({"level": Threshold::from(args.level).word()});
    if let Some(length) = args.length {
        asked["for_s"] = json!(length.as_secs_f64());
    }
    let reply = client::call(&args.place.runtime_dir, interface::LOG, asked)?;
    let LogReply { level, until_s } = ask::read(reply)?;
    Ok(match until_s {
        Some(left) => format!("log level is {level} for {}\n", length(left)),
        None => format!("log level is {level} until the daemon ends\n"),
    })
}
