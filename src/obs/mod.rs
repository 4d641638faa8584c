//! Tell: notices become log events.
//!
//! One way for every line, ours and that of any `tracing` macro elsewhere: event, a plain `Line`,
//! bytes in the chosen form, a bounded queue, a thread of its own that may be blocked by whoever
//! reads the log. Nobody else ever is. Called by `daemon` from the service thread.
//!
//! What is worth keeping also becomes an event in the [`journal`]: numbered, bounded, and written to
//! a file by a thread of its own.

mod form;
pub mod journal;
mod journal_file;
mod line;
pub mod log;
mod sink;
