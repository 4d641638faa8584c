//! What the results of a track script amount to: rise and fall, windows, thresholds by role.

use crate::model::settings::{CheckSettings, Window};

/// What the results so far amount to.
///
/// keepalived counts in one number, `0..rise + fall`; up is `rise` and above. Here the same is said
/// by how far the other side is: `Up { failures }` is `rise + fall - 1 - failures`,
/// `Down { successes }` is `successes`, and `Pending` is keepalived's initial `rise - 1`, from where
/// the first result decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// No result yet.
    Pending,
    /// Up, with so many failures in a row, or in the window; fewer than make it fall.
    Up {
        /// Failures in a row, or in the window.
        failures: u32,
    },
    /// Down, with so many successes in a row; fewer than `rise`.
    Down {
        /// Successes in a row.
        successes: u32,
    },
}

impl Health {
    /// The next health after a result.
    pub const fn after(self, success: bool, rise: u32, fall: u32) -> Self {
        match (self, success) {
            (Self::Pending | Self::Up { .. }, true) => Self::Up { failures: 0 },
            (Self::Pending, false) => Self::Down { successes: 0 },
            (Self::Up { failures }, false) => {
                if failures + 1 < fall {
                    Self::Up {
                        failures: failures + 1,
                    }
                } else {
                    Self::Down { successes: 0 }
                }
            }
            (Self::Down { successes }, true) => {
                if successes + 1 < rise {
                    Self::Down {
                        successes: successes + 1,
                    }
                } else {
                    Self::Up { failures: 0 }
                }
            }
            (Self::Down { .. }, false) => Self::Down { successes: 0 },
        }
    }

    /// Up, down, or not known.
    pub const fn up(self) -> Option<bool> {
        match self {
            Self::Pending => None,
            Self::Up { .. } => Some(true),
            Self::Down { .. } => Some(false),
        }
    }

    /// The same side with full credit.
    const fn renewed(self) -> Self {
        match self {
            Self::Pending => Self::Pending,
            Self::Up { .. } => Self::Up { failures: 0 },
            Self::Down { .. } => Self::Down { successes: 0 },
        }
    }
}

/// The results so far and what they amount to.
///
/// Where thresholds change, by a reload or by the role of the routers that track it, the side it is on
/// stays and its credit is whole again: no change of a threshold moves anything by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Results {
    health: Health,
    /// While up under a window: the last results, the newest in the lowest bit, failures are ones.
    recent: u64,
    /// A router that tracks it is Active.
    active: bool,
    /// It is down because several results of a window failed.
    by_window: bool,
}

impl Results {
    /// No result yet.
    pub const fn new(settings: &CheckSettings) -> Self {
        Self {
            health: if settings.init_fail {
                Health::Down { successes: 0 }
            } else {
                Health::Pending
            },
            recent: 0,
            active: false,
            by_window: false,
        }
    }

    /// Up or down, and how surely.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Whether it fell by at least two failures that a window counted.
    pub const fn fell_by_several(&self) -> bool {
        self.by_window
    }

    /// The next result decides.
    pub const fn forget(&mut self) {
        self.health = Health::Pending;
        self.recent = 0;
        self.by_window = false;
    }

    /// Takes up what was known before a restart.
    pub const fn take_up(&mut self, up: bool) {
        self.forget();
        self.health = if up {
            Health::Up { failures: 0 }
        } else {
            Health::Down { successes: 0 }
        };
    }

    /// While up: spends the credit, so that the next failure takes it down.
    pub fn exhaust(&mut self, settings: &CheckSettings) {
        let Health::Up { .. } = self.health else {
            return;
        };
        let failures = match settings.thresholds.window {
            Some(window) => u32::from(window.failures),
            None => self.thresholds(settings).1,
        };
        self.recent = u64::MAX;
        self.health = Health::Up {
            failures: failures.saturating_sub(1),
        };
    }

    /// Takes a result.
    pub fn take(&mut self, success: bool, settings: &CheckSettings) {
        let (rise, fall) = self.thresholds(settings);
        let next = match (settings.thresholds.window, self.health) {
            (Some(window), Health::Up { .. }) => self.look_back(success, window),
            (Some(_) | None, health) => health.after(success, rise, fall),
        };
        if next.up() != self.health.up() {
            self.recent = 0;
            let several = settings.thresholds.window.is_some_and(|w| w.failures > 1);
            let counted = self.health.up() == Some(true);
            self.by_window = several && counted && next.up() == Some(false);
        }
        self.health = next;
    }

    fn look_back(&mut self, success: bool, window: Window) -> Health {
        let seen = u64::MAX >> (64 - u32::from(window.of.clamp(1, Window::MOST)));
        self.recent = (self.recent << 1 | u64::from(!success)) & seen;
        let failures = self.recent.count_ones();
        if failures >= u32::from(window.failures) {
            Health::Down { successes: 0 }
        } else {
            Health::Up { failures }
        }
    }

    /// New settings: other thresholds renew the credit.
    pub fn alter(&mut self, old: &CheckSettings, new: &CheckSettings) {
        let of = |s: &CheckSettings| (s.rise, s.fall, s.thresholds);
        if of(old) != of(new) {
            self.health = self.health.renewed();
            self.recent = 0;
        }
    }

    /// The same in a role; a threshold that is another there renews the credit it counts.
    #[must_use]
    pub fn in_role(mut self, settings: &CheckSettings, active: bool) -> Self {
        let before = self.thresholds(settings);
        self.active = active;
        let after = self.thresholds(settings);
        let other = match self.health {
            Health::Pending => false,
            Health::Up { .. } => before.1 != after.1,
            Health::Down { .. } => before.0 != after.0,
        };
        if other {
            self.health = self.health.renewed();
        }
        self
    }

    /// Rise and fall in force.
    fn thresholds(&self, settings: &CheckSettings) -> (u32, u32) {
        let more = &settings.thresholds;
        (
            more.rise(settings.rise, self.active),
            more.fall(settings.fall, self.active),
        )
    }

    /// For people: `up 3/5` is two failures away from full credit, `down 1/2` one success of two.
    /// Under a window `up, 1 of the last 5 failed (falls at 3)`; a threshold by role names it.
    pub fn counter(&self, settings: &CheckSettings) -> String {
        let (rise, fall) = self.thresholds(settings);
        let more = &settings.thresholds;
        let role = |given: Option<u32>, role: &str| match given {
            Some(_) => format!(" as {role}"),
            None => String::new(),
        };
        match (self.health, more.window) {
            (Health::Pending, _) => "pending".to_owned(),
            (Health::Up { failures }, Some(window)) => format!(
                "up, {failures} of the last {} failed (falls at {})",
                window.of, window.failures
            ),
            (Health::Up { failures }, None) => {
                let left = fall.saturating_sub(failures);
                let role = role(more.fall_when_master.filter(|_| self.active), "MASTER");
                format!("up {left}/{fall}{role}")
            }
            (Health::Down { successes }, _) => {
                let role = role(more.rise_when_backup.filter(|_| !self.active), "BACKUP");
                format!("down {successes}/{rise}{role}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::priority::Weight;
    use crate::model::settings::{Command, Thresholds};
    use std::time::Duration;

    fn settings(rise: u32, fall: u32, thresholds: Thresholds) -> CheckSettings {
        CheckSettings {
            name: "chk".into(),
            command: Command {
                argv: vec!["/bin/true".into()],
                user: None,
            },
            probe: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: Weight::FAULT,
            reverse: false,
            rise,
            fall,
            init_fail: false,
            thresholds,
            external: None,
            unusable: None,
        }
    }

    fn window(failures: u8, of: u8) -> Thresholds {
        Thresholds {
            window: Some(Window { failures, of }),
            ..Thresholds::default()
        }
    }

    /// Up or down after each result; `.` passed, `x` failed.
    fn ups(results: &mut Results, settings: &CheckSettings, runs: &str) -> String {
        let one = |run| {
            results.take(run == '.', settings);
            match results.health().up() {
                Some(true) => 'u',
                Some(false) => 'd',
                None => '?',
            }
        };
        runs.chars().map(one).collect()
    }

    #[test]
    fn the_first_result_decides_whatever_rise_and_fall() {
        assert_eq!(Health::Pending.after(true, 3, 3).up(), Some(true));
        assert_eq!(Health::Pending.after(false, 3, 3).up(), Some(false));
    }

    #[test]
    fn one_success_while_up_refills_and_one_failure_while_down_clears() {
        let h = Health::Up { failures: 0 }
            .after(false, 2, 3)
            .after(false, 2, 3);
        assert_eq!(h, Health::Up { failures: 2 });
        assert_eq!(h.after(true, 2, 3), Health::Up { failures: 0 });
        assert_eq!(h.after(false, 2, 3), Health::Down { successes: 0 });
        let d = Health::Down { successes: 0 }
            .after(true, 3, 1)
            .after(true, 3, 1);
        assert_eq!(d, Health::Down { successes: 2 });
        assert_eq!(d.after(false, 3, 1), Health::Down { successes: 0 });
        assert_eq!(d.after(true, 3, 1), Health::Up { failures: 0 });
    }
    #[test]
    fn a_window_falls_by_its_share_of_failures_wherever_they_are() {
        let s = settings(2, 1, window(3, 5));
        let mut results = Results::new(&s);
        // Never two in a row, which `fall 2` would ride out for ever.
        assert_eq!(ups(&mut results, &s, ".x.x.x"), "uuuuud");
        let mut results = Results::new(&s);
        assert_eq!(ups(&mut results, &s, "..x...x....x..x"), "u".repeat(15));
    }

    #[test]
    fn a_window_rises_by_passes_in_a_row_and_forgets() {
        let s = settings(3, 1, window(2, 5));
        let mut results = Results::new(&s);
        assert_eq!(ups(&mut results, &s, ".xx"), "uud");
        assert!(results.fell_by_several());
        assert_eq!(ups(&mut results, &s, "..x..."), "dddddu");
        assert!(!results.fell_by_several());
        let counter = results.counter(&s);
        assert_eq!(
            counter, "up, 0 of the last 5 failed (falls at 2)",
            "cleared"
        );
        assert_eq!(ups(&mut results, &s, "x"), "u");
        let counter = results.counter(&s);
        assert_eq!(counter, "up, 1 of the last 5 failed (falls at 2)");
    }

    #[test]
    fn the_first_result_decides_under_a_window_too_and_is_no_more_than_one_failure() {
        let s = settings(2, 1, window(3, 5));
        let mut results = Results::new(&s);
        assert_eq!(ups(&mut results, &s, "x"), "d");
        assert!(!results.fell_by_several());
        let widest = settings(1, 1, window(64, 64));
        let mut results = Results::new(&widest);
        let runs = format!(".{}", "x".repeat(64));
        assert_eq!(
            ups(&mut results, &widest, &runs),
            format!("{}d", "u".repeat(64))
        );
    }

    #[test]
    fn what_has_no_credit_left_falls_with_the_next_failure() {
        for thresholds in [Thresholds::default(), window(3, 5)] {
            let s = settings(1, 4, thresholds);
            let mut results = Results::new(&s);
            results.exhaust(&s);
            assert_eq!(results.health(), Health::Pending, "there is none to spend");
            results.take_up(true);
            results.exhaust(&s);
            assert_eq!(ups(&mut results, &s, "x"), "d");
        }
    }

    #[test]
    fn thresholds_of_a_role_hold_while_it_does() {
        let more = Thresholds {
            window: None,
            rise_when_backup: Some(4),
            fall_when_master: Some(3),
        };
        let s = settings(1, 1, more);
        let mut results = Results::new(&s).in_role(&s, true);
        assert_eq!(ups(&mut results, &s, ".xx"), "uuu");
        assert_eq!(results.counter(&s), "up 1/3 as MASTER");
        assert_eq!(ups(&mut results, &s, "x"), "d");
        assert_eq!(results.counter(&s), "down 0/1");
        let mut results = results.in_role(&s, false);
        assert_eq!(ups(&mut results, &s, "..."), "ddd");
        assert_eq!(results.counter(&s), "down 3/4 as BACKUP");
        assert_eq!(ups(&mut results, &s, "."), "u");
        assert_eq!(ups(&mut results, &s, "x"), "d", "fall 1 while not MASTER");
    }

    #[test]
    fn a_change_of_role_renews_the_credit_and_never_moves_anything() {
        let more = Thresholds {
            window: None,
            rise_when_backup: Some(4),
            fall_when_master: Some(3),
        };
        let s = settings(2, 1, more);
        let mut results = Results::new(&s).in_role(&s, true);
        ups(&mut results, &s, ".xx");
        let back = results.in_role(&s, false);
        assert_eq!(
            back.health(),
            Health::Up { failures: 0 },
            "not down at fall 1"
        );
        let again = back.in_role(&s, true);
        assert_eq!(again.counter(&s), "up 3/3 as MASTER");
        ups(&mut results, &s, "x.");
        assert_eq!(results.counter(&s), "down 1/2");
        let back = results.in_role(&s, false);
        assert_eq!(back.counter(&s), "down 0/4 as BACKUP");
        let plain = settings(2, 3, Thresholds::default());
        let mut results = Results::new(&plain);
        ups(&mut results, &plain, ".x");
        let same = results.in_role(&plain, true);
        assert_eq!(same.counter(&plain), "up 2/3", "no role, no change");
    }
}
