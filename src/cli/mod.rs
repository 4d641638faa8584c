//! The command line: one file per subcommand.

use std::process::ExitCode;

/// The whole program; the exit code is the caller's.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
