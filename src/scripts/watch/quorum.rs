//! Whether enough processes run, and since when it counts.

use crate::model::settings::ProcessTrackSettings;
use crate::model::time::Instant;
use std::time::Duration;

/// One tracked process's decision. It knows no clock: the time is an argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    min: u32,
    max: Option<u32>,
    gain_after: Duration,
    lose_after: Duration,
    /// What counts; `None` before the first count.
    up: Option<bool>,
    /// When the other way will count.
    turns_at: Option<Instant>,
}

impl Quorum {
    /// Nothing is counted yet.
    pub fn new(settings: &ProcessTrackSettings) -> Self {
        Self {
            min: settings.quorum,
            max: settings.quorum_max,
            gain_after: settings.fork_delay,
            lose_after: settings.terminate_delay,
            up: None,
            turns_at: None,
        }
    }

    /// So many run now. `Some` if that changes what counts; the first count does at once.
    pub fn count(&mut self, now: Instant, running: u32) -> Option<bool> {
        let up = self.is_met(running);
        let Some(before) = self.up else {
            self.up = Some(up);
            return self.up;
        };
        if up == before {
            self.turns_at = None;
            return None;
        }
        let delay = if up { self.gain_after } else { self.lose_after };
        self.turns_at.get_or_insert(now + delay);
        self.tick(now)
    }

    /// Time passed. `Some` if that changes what counts.
    pub fn tick(&mut self, now: Instant) -> Option<bool> {
        let up = !self.up?;
        if self.turns_at.is_none_or(|at| now < at) {
            return None;
        }
        self.turns_at = None;
        self.up = Some(up);
        self.up
    }

    /// Whether so many are enough and not too many.
    pub fn is_met(&self, running: u32) -> bool {
        running >= self.min && self.max.is_none_or(|max| running <= max)
    }

    /// When to [`Quorum::tick`] next.
    pub fn due(&self) -> Option<Instant> {
        self.turns_at
    }

    /// What counts now.
    pub fn is_up(&self) -> Option<bool> {
        self.up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::ParamMatch;

    fn quorum(min: u32, max: Option<u32>, fork: u64, terminate: u64) -> Quorum {
        Quorum::new(&ProcessTrackSettings {
            name: "web".into(),
            process: "nginx".into(),
            params: Vec::new(),
            matching: ParamMatch::None,
            full_command: false,
            weight: 0,
            reverse: false,
            quorum: min,
            quorum_max: max,
            fork_delay: Duration::from_millis(fork),
            terminate_delay: Duration::from_millis(terminate),
        })
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_count_is_told_at_once_whatever_the_delays() {
        assert_eq!(quorum(2, None, 500, 500).count(at(0), 2), Some(true));
        assert_eq!(quorum(2, None, 500, 500).count(at(0), 1), Some(false));
    }

    #[test]
    fn without_delays_every_change_is_told_once() {
        let mut quorum = quorum(2, Some(3), 0, 0);
        let mut told = Vec::new();
        for (millis, running) in [0, 1, 2, 3, 4, 3, 2, 1, 1, 0].into_iter().enumerate() {
            told.push(quorum.count(at(millis as u64), running));
        }
        let (up, down) = (Some(true), Some(false));
        assert_eq!(
            told,
            [down, None, up, None, down, up, None, down, None, None]
        );
    }

    #[test]
    fn quorum_max_0_is_up_while_none_runs() {
        let mut quorum = quorum(0, Some(0), 0, 0);
        assert_eq!(quorum.count(at(0), 0), Some(true));
        assert_eq!(quorum.count(at(1), 1), Some(false));
    }

    #[test]
    fn a_gain_counts_after_fork_delay_and_a_loss_after_terminate_delay() {
        let mut quorum = quorum(1, None, 300, 500);
        quorum.count(at(0), 0);
        assert_eq!(quorum.count(at(1000), 1), None);
        assert_eq!(quorum.due(), Some(at(1300)));
        assert_eq!(quorum.tick(at(1299)), None);
        assert_eq!(quorum.tick(at(1300)), Some(true));
        assert_eq!((quorum.due(), quorum.tick(at(9000))), (None, None));
        assert_eq!(quorum.count(at(9000), 0), None);
        assert_eq!(quorum.due(), Some(at(9500)));
        assert_eq!(quorum.tick(at(9600)), Some(false));
    }

    #[test]
    fn a_restart_within_the_delay_is_not_told() {
        let mut quorum = quorum(1, None, 0, 500);
        assert_eq!(quorum.count(at(0), 1), Some(true));
        assert_eq!(quorum.count(at(100), 0), None);
        assert_eq!(quorum.count(at(400), 1), None);
        assert_eq!(quorum.due(), None);
        assert_eq!(quorum.tick(at(700)), None);
    }

    #[test]
    fn more_of_the_same_does_not_begin_the_delay_anew() {
        let mut quorum = quorum(3, None, 0, 500);
        quorum.count(at(0), 3);
        quorum.count(at(100), 2);
        assert_eq!(quorum.count(at(500), 1), None);
        assert_eq!(quorum.due(), Some(at(600)));
        assert_eq!(quorum.count(at(650), 0), Some(false), "it was due before");
    }
}
