//! When a new state of an interface counts (keepalived.conf(5) interface_up_down_delays).

use crate::model::links::LinkDelay;
use crate::model::time::Instant;
use std::time::Duration;

/// So long a new state must last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Delays {
    pub(super) down: Duration,
    pub(super) up: Duration,
}

impl From<&LinkDelay> for Delays {
    fn from(delay: &LinkDelay) -> Self {
        Self {
            down: delay.down,
            up: delay.up,
        }
    }
}

/// The state of one interface as it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debounce {
    up: bool,
    /// Since when it is otherwise.
    since: Option<Instant>,
    /// It was up once: only from then on coming up is delayed.
    was_up: bool,
}

impl Debounce {
    /// The state an interface is first seen in counts at once.
    pub(super) const fn new(up: bool) -> Self {
        Self {
            up,
            since: None,
            was_up: up,
        }
    }

    /// The state that counts.
    pub(super) const fn is_up(&self) -> bool {
        self.up
    }

    /// Takes the state it is in now; true if another one counts from now on.
    pub(super) fn see(&mut self, now: Instant, up: bool, delays: Delays) -> bool {
        if up == self.up {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now < since + self.wait(delays) {
            return false;
        }
        *self = Self {
            up,
            since: None,
            was_up: self.was_up || up,
        };
        true
    }

    /// When the other state counts, if it lasts.
    pub(super) fn due(&self, delays: Delays) -> Option<Instant> {
        Some(self.since? + self.wait(delays))
    }

    /// How long it has been otherwise, and how long it has to be.
    pub(super) fn turning(&self, now: Instant, delays: Delays) -> Option<(Duration, Duration)> {
        Some((now.since(self.since?), self.wait(delays)))
    }

    /// The first time up is waited for by everybody already.
    fn wait(&self, delays: Delays) -> Duration {
        match (self.up, self.was_up) {
            (true, _) => delays.down,
            (false, true) => delays.up,
            (false, false) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Delays = Delays {
        down: Duration::from_secs(2),
        up: Duration::from_secs(3),
    };

    fn at(tenths: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(tenths * 100)
    }

    #[test]
    fn down_counts_when_it_has_lasted() {
        let mut d = Debounce::new(true);
        assert!(!d.see(at(10), false, DELAYS) && d.is_up());
        assert_eq!(d.due(DELAYS), Some(at(30)));
        assert!(!d.see(at(29), false, DELAYS));
        assert!(d.see(at(30), false, DELAYS) && !d.is_up());
        assert_eq!(d.due(DELAYS), None);
    }

    #[test]
    fn a_dip_that_ends_in_time_never_counted_and_the_next_begins_anew() {
        let mut d = Debounce::new(true);
        d.see(at(10), false, DELAYS);
        assert!(!d.see(at(25), true, DELAYS));
        assert_eq!(d.due(DELAYS), None);
        d.see(at(26), false, DELAYS);
        assert!(!d.see(at(45), false, DELAYS));
        assert!(d.see(at(46), false, DELAYS));
    }

    #[test]
    fn the_first_time_up_counts_at_once_and_the_second_must_last() {
        let mut d = Debounce::new(false);
        assert!(d.see(at(10), true, DELAYS));
        d.see(at(20), false, DELAYS);
        assert!(d.see(at(40), false, DELAYS));
        assert!(!d.see(at(50), true, DELAYS));
        assert!(!d.see(at(79), true, DELAYS));
        assert!(d.see(at(80), true, DELAYS));
    }

    #[test]
    fn without_delays_everything_counts_at_once() {
        let mut d = Debounce::new(true);
        assert!(d.see(at(10), false, Delays::default()));
        assert!(d.see(at(10), true, Delays::default()));
    }

    #[test]
    fn another_delay_counts_from_the_same_moment() {
        let mut d = Debounce::new(true);
        d.see(at(10), false, DELAYS);
        let short = Delays {
            down: Duration::from_secs(1),
            ..DELAYS
        };
        assert_eq!(d.due(short), Some(at(20)));
        assert!(d.see(at(20), false, short));
    }
}
