//! `mainstay neighbours`: every router heard, ours and foreign.

use crate::cli::ask::{self, Failure};
use crate::cli::{Place, out};
use crate::ctl::reply::NeighboursReply;
use crate::ctl::{client, interface, neighbours};
use crate::model::view::FORM;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct NeighboursArgs {
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &NeighboursArgs) -> ExitCode {
    ask::finish(text(args).map(|text| (text, ExitCode::SUCCESS)))
}

fn text(args: &NeighboursArgs) -> Result<String, Failure> {
    let reply = client::call(&args.place.runtime_dir, interface::NEIGHBOURS, json!({}))?;
    if args.json {
        return Ok(ask::json(reply, FORM));
    }
    let reply: NeighboursReply = ask::read(reply)?;
    Ok(neighbours::list(&reply.neighbours, out::look()))
}
