//! Assembly: three threads and a runner process.
//!
//! The engine thread (`engine_thread`) owns the sockets and the engine and never waits for
//! anybody. The kernel-hands thread ([`crate::os::hands`]) writes addresses. The service thread
//! (`service_thread`), which is the first, does everything slow, and starts programs through the
//! runner process ([`crate::scripts::runner`]). `bridge` is what they say to each other.

mod bridge;
mod chronicle;
mod config;
mod desk;
mod engine_thread;
mod feeds;
mod intents;
mod kept;
mod linkbeat;
mod neighbours;
mod orders;
mod perform;
mod plan_view;
mod reload;
mod service_thread;
mod start;

use crate::obs::log::LogOptions;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `mainstay run` was told, nothing left to be looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// The configuration.
    pub file: PathBuf,
    /// Control socket, lock, and what this run put into the kernel.
    pub runtime_dir: PathBuf,
    /// What outlives a reboot.
    pub state_dir: PathBuf,
    /// The log.
    pub log: LogOptions,
    /// Refuse every error that `check` finds, not only what keepalived refuses.
    pub strict: bool,
    /// keepalived's configuration id, what `@NAME` lines are compared with.
    pub config_id: Option<String>,
    /// The network namespace to run in, whatever the file says.
    pub namespace: Option<String>,
    /// The two folders are the usual ones: a daemon in a namespace has its own below them.
    pub usual_dirs: bool,
}

/// Runs the daemon until it is told to stop; the exit code is the process's.
pub fn run(options: RunOptions) -> ExitCode {
    start::run(options)
}
