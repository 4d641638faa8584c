//! A laboratory of real routers: network namespaces on one bridge, the daemons in them, a capture
//! of every frame they send, and a test runner that knows what may be skipped.
//!
//! Nothing here has a name outside the process: namespaces live in open files, daemons die with
//! the thread that started them, folders go with their owner.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

pub mod capture;
pub mod conf;
pub mod daemon;
pub mod frames;
pub mod inject;
pub mod lab;
pub mod ns;
pub mod proc;
pub mod runner;

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Set from a signal: every wait then fails, so that everything is put away by unwinding.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What the panic of an interrupted wait carries.
pub struct Interrupted;

fn heed_interruption() {
    if INTERRUPTED.load(Ordering::Relaxed) && !std::thread::panicking() {
        std::panic::panic_any(Interrupted);
    }
}

thread_local! {
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Nanoseconds of wall time, the clock the kernel stamps frames with.
pub fn wall_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(since.as_nanos()).expect("the year 2554 is far")
}

/// Keeps a line that is printed only if the test fails.
pub fn note(line: impl Into<String>) {
    let line = format!("{:.3} {}", wall_ns() as f64 / 1e9 % 1000.0, line.into());
    TRACE.with_borrow_mut(|trace| trace.push(line));
}

/// What was noted in this thread so far.
pub fn take_notes() -> Vec<String> {
    TRACE.with_borrow_mut(std::mem::take)
}

/// Copies a program by another process: what we hold open for writing, and with us a child that another
/// thread is about to start, cannot be executed.
#[track_caller]
pub fn copied(from: &Path, to: &Path) {
    let done = Command::new("cp").arg(from).arg(to).status();
    let from = from.display();
    assert!(done.is_ok_and(|s| s.success()), "cp {from} {to:?}");
}

/// Seconds as a duration.
pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Waits until `ready` answers something; fails the test after `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        heed_interruption();
        if let Some(value) = ready() {
            note(format!(
                "saw {what} after {:.3} s",
                start.elapsed().as_secs_f64()
            ));
            return value;
        }
        assert!(
            start.elapsed() < limit,
            "{what}: not seen within {:.1} s",
            limit.as_secs_f64()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `ready` is true; fails the test after `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    wait_for(what, limit, || ready().then_some(()));
}

/// Lets time pass on purpose: to see that something does not happen.
pub fn watch(length: Duration) {
    let end = Instant::now() + length;
    loop {
        heed_interruption();
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
