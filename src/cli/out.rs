//! Writing for the reader of a terminal or pipe, who may be gone already.

use crate::cli::exit;
use crate::ctl::render::Look;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Prints to stdout. A reader that left early (`| head`) is no failure; a full disk is.
pub(super) fn print(text: &str, otherwise: ExitCode) -> ExitCode {
    print_bytes(text.as_bytes(), otherwise)
}

/// The same for what need not be UTF-8.
pub(super) fn print_bytes(bytes: &[u8], otherwise: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            ExitCode::from(exit::FAILURE)
        }
        Ok(()) | Err(_) => otherwise,
    }
}

/// Writes to stdout at once.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints `mainstay: TEXT` to stderr.
pub(super) fn complain(text: &str) {
    // There is nobody left to be told that this failed.
    let _ = writeln!(io::stderr(), "mainstay: {text}");
}

/// What stdout can show.
pub(super) fn look() -> Look {
    let terminal = io::stdout().is_terminal();
    Look {
        width: terminal_size::terminal_size_of(io::stdout())
            .filter(|_| terminal)
            .map(|(width, _)| width.0),
        colour: terminal && coloured(),
    }
}

/// Whether escape sequences are wanted at all (no-color.org).
pub(super) fn coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !refused && !dumb
}
