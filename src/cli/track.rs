//! `mainstay track`: feed trackers that are `external`, and list them.

use crate::cli::ask::{self, Failure};
use crate::cli::{Place, out};
use crate::ctl::reply::{FedReply, TrackersReply};
use crate::ctl::{client, external, interface};
use crate::model::view::FORM;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct TrackArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Subcommand)]
enum What {
    /// Report one result: up or down of a vrrp_script, a whole number of a track_file.
    Set(SetArgs),
    /// List the trackers that can be set, with who set them last (so does `track` alone).
    List(ListArgs),
}

#[derive(Args)]
struct SetArgs {
    /// The vrrp_script or track_file.
    name: String,
    /// up, down, or a whole number.
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// It counts for so long, such as 5s; not renewed by then a script is down and a number 0
    /// [default: `lease` of its block, else until it is set again].
    #[arg(long = "for", value_name = "TIME", value_parser = ask::length)]
    length: Option<Duration>,
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct ListArgs {
    /// Print what the daemon answered as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(args: &TrackArgs) -> ExitCode {
    let told = match &args.what {
        Some(What::Set(args)) => set(args),
        Some(What::List(args)) => list(args),
        None => list(&args.list),
    };
    ask::finish(told.map(|text| (text, ExitCode::SUCCESS)))
}

fn set(args: &SetArgs) -> Result<String, Failure> {
    let mut asked = json!({"name": args.name, "value": args.value});
    if let Some(length) = args.length {
        asked["for_s"] = json!(length.as_secs_f64());
    }
    let reply = client::call(&args.place.runtime_dir, interface::SET_TRACKER, asked)?;
    let fed: FedReply = ask::read(reply.clone())?;
    if let Some(remark) = &fed.remark {
        out::complain(remark);
    }
    if args.json {
        return Ok(ask::json(reply, FORM));
    }
    Ok(external::set(&fed))
}

fn list(args: &ListArgs) -> Result<String, Failure> {
    let reply = client::call(&args.place.runtime_dir, interface::TRACKERS, json!({}))?;
    if args.json {
        return Ok(ask::json(reply, FORM));
    }
    let TrackersReply { trackers } = ask::read(reply)?;
    Ok(external::list(&trackers, out::look()))
}
