//! The command line: one file per subcommand.

mod ask;
mod check;
mod convert;
mod events;
mod explain;
mod keywords;
mod live;
mod log;
mod neighbours;
mod orders;
mod out;
mod reload;
mod run;
mod status;
mod track;
mod why;

use crate::obs::log::Threshold;
use crate::scripts::runner;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit codes of the program (product manual, `mainstay(8)`).
pub mod exit {
    /// Something failed while running.
    pub const FAILURE: u8 = 1;
    /// The configuration has errors.
    pub const CONFIG: u8 = 2;
    /// A permission or capability is missing.
    pub const PERMISSION: u8 = 4;
    /// The command line makes no sense (EX_USAGE).
    pub const USAGE: u8 = 64;
    /// A daemon with this runtime directory runs already (EX_UNAVAILABLE).
    pub const RUNNING: u8 = 69;
    /// What was waited for did not come in time (EX_TEMPFAIL).
    pub const NOT_YET: u8 = 75;
}

/// VRRP for Linux routers: reads keepalived.conf, tracks scripts, says why it failed over.
#[derive(Parser)]
#[command(name = "mainstay", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    Run(run::RunArgs),
    /// Judge configuration files; needs no root, no network and no interfaces.
    ///
    /// Exits with 0 if there are at most notes, 1 with warnings, 2 with errors.
    Check(check::CheckArgs),
    /// Write a configuration in the other language.
    ///
    /// Exits as `check` does; a file with errors is not converted.
    Convert(convert::ConvertArgs),
    /// Show the running daemon's state.
    ///
    /// With --wait exits with 75 if the state is not reached in time.
    Status(status::StatusArgs),
    /// Show how an instance's priority comes about, and who would serve if something failed.
    Explain(explain::ExplainArgs),
    /// Tell the last transitions, their causes and what led to them.
    Why(why::WhyArgs),
    /// Show the journal of events, or follow it.
    Events(events::EventsArgs),
    /// List every VRRP router heard, for our VRIDs and for others.
    Neighbours(neighbours::NeighboursArgs),
    /// Read the configuration again.
    ///
    /// A file with errors changes nothing and exits with 2.
    Reload(reload::ReloadArgs),
    /// Give the addresses away and stay away until undrain.
    ///
    /// Exits with 1 if nobody takes over; everything is then as before.
    Drain(orders::DrainArgs),
    /// End a drain or a takeover.
    Undrain(orders::UndrainArgs),
    /// Serve now, whatever the weighted trackers say, until undrain.
    Takeover(orders::TakeoverArgs),
    /// Set trackers that other programs feed (`external`), and list them.
    Track(track::TrackArgs),
    /// Change from which level on the running daemon's log tells.
    Log(log::LogArgs),
}

/// From which level on the log tells.
#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<LogLevel> for Threshold {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

/// Where the running daemon is found.
#[derive(Args)]
struct Place {
    /// Folder of the daemon's control socket.
    #[arg(long, value_name = "DIR", default_value = "/run/mainstay")]
    runtime_dir: PathBuf,
}

/// The whole program; the exit code is the caller's.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == runner::ARGUMENT)
    {
        return runner::main();
    }
    let cli = match Cli::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command {
        Command::Run(args) => run::main(args),
        Command::Check(args) => check::main(&args),
        Command::Convert(args) => convert::main(&args),
        Command::Status(args) => status::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::Why(args) => why::main(&args),
        Command::Events(args) => events::main(&args),
        Command::Neighbours(args) => neighbours::main(&args),
        Command::Reload(args) => reload::main(&args),
        Command::Drain(args) => orders::drain(&args),
        Command::Undrain(args) => orders::undrain(&args),
        Command::Takeover(args) => orders::takeover(&args),
        Command::Track(args) => track::main(&args),
        Command::Log(args) => log::main(&args),
    }
}

/// Help and version are what was asked for; everything else is misuse.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let printed = error.print();
    if asked {
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                ExitCode::from(exit::FAILURE)
            }
            Ok(()) | Err(_) => ExitCode::SUCCESS,
        }
    } else {
        ExitCode::from(exit::USAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
