//! Assembly: three threads and a runner process.

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
}

/// Runs the daemon until it is told to stop.
pub fn run(options: RunOptions) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(
        std::io::stderr(),
        "{}: the daemon is not assembled in this build",
        options.file.display()
    );
    ExitCode::from(1)
}
