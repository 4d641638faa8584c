//! The only place that knows what time it is.

use crate::model::time::Instant;
use nix::time::{ClockId, clock_gettime};
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
