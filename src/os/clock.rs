//! The only place that knows what time it is.

use crate::model::time::Instant;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::time::{Duration, SystemTime};

/// CLOCK_MONOTONIC: stands still while the machine sleeps, never goes back. One vDSO call.
pub fn now() -> Instant {
    Instant::from_nanos(crate::model::time::nanos(read(ClockId::CLOCK_MONOTONIC)))
}

/// The wall clock, for people and log files.
#[allow(
    clippy::disallowed_methods,
    reason = "this is where everybody else gets it from"
)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Time since the machine booted, sleep included.
pub fn uptime() -> Duration {
    read(ClockId::CLOCK_BOOTTIME)
}

fn read(clock: ClockId) -> Duration {
    // Linux fails this call for an unknown clock only; both are older than any kernel we run on.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// Sleeps for so long. *Blocks*, by name: for the command line, never for the daemon.
#[expect(clippy::disallowed_methods, reason = "the one place for it")]
pub fn sleep(length: Duration) {
    std::thread::sleep(length);
}

/// Sleeps until this time; a signal ends it early. *Blocks*, by name.
pub fn sleep_until(at: Instant) {
    let at = TimeSpec::from_duration(Duration::from_nanos(at.as_nanos()));
    // Whatever ends it early, the caller looks at the clock again.
    let _ = clock_nanosleep(
        ClockId::CLOCK_MONOTONIC,
        ClockNanosleepFlags::TIMER_ABSTIME,
        &at,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_uptime_is_not_behind_it() {
        let first = now();
        let later = now();
        assert!(later >= first && first > Instant::ZERO);
        assert!(uptime() + Duration::from_secs(1) > later.since(Instant::ZERO));
        assert!(wall() > SystemTime::UNIX_EPOCH);
    }
}
