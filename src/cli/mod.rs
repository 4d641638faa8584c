//! The command line: one file per subcommand.

use crate::scripts::runner;
use std::process::ExitCode;

/// The whole program; the exit code is the caller's.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == runner::ARGUMENT)
    {
        return runner::main();
    }
    ExitCode::SUCCESS
}
