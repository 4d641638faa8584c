//! From what is tracked to an effective priority: one pure fold, recomputed from nothing each time.

use crate::model::priority::{Priority, Weight};

/// What one tracked thing does to one router now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// Nothing.
    Nothing,
    /// Adds to the sum.
    Points(i32),
    /// Holds it in fault.
    Fault,
}

/// The pull of a tracker that is up, down, or not yet known (keepalived.conf(5) weight, reverse).
///
/// Weight 0 faults while down; positive weights count while up, negative ones while down. `reverse`
/// exchanges up and down for weight 0 and changes the sign of the others.
pub const fn pull(weight: Weight, reverse: bool, up: Option<bool>) -> Pull {
    pull_of(weight.get(), reverse, up)
}

/// As [`pull`], for the wider weights of files and processes.
pub const fn pull_of(w: i16, reverse: bool, up: Option<bool>) -> Pull {
    match up {
        None if w == 0 => Pull::Fault,
        None => Pull::Nothing,
        Some(up) => {
            if w == 0 {
                if up == reverse {
                    Pull::Fault
                } else {
                    Pull::Nothing
                }
            } else if (w > 0) == up {
                Pull::Points(if reverse { -(w as i32) } else { w as i32 })
            } else {
                Pull::Nothing
            }
        }
    }
}

/// The pull of a tracked file's number (keepalived.conf(5) track_file).
///
/// With weight 0 any number but 0 faults, reversed 0 does. Otherwise number times weight counts: at
/// -254 and below it faults, above 253 it counts as 253.
pub fn pull_of_value(weight: i16, reverse: bool, value: i32) -> Pull {
    if weight == 0 {
        return if (value != 0) == reverse {
            Pull::Nothing
        } else {
            Pull::Fault
        };
    }
    let sign = if reverse { -1 } else { 1 };
    match i64::from(value) * i64::from(weight) * sign {
        ..=-254 => Pull::Fault,
        0 => Pull::Nothing,
        points => Pull::Points(i32::try_from(points.min(253)).unwrap_or(253)),
    }
}

/// What a router's priority amounts to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Effective priority: the sum clamped to 1..=254, or the owner's 255.
    pub priority: Priority,
    /// The sum before clamping.
    pub sum: i32,
    /// Whether a tracker holds the router in fault.
    pub fault: bool,
}

/// The fold: base and pulls to the effective priority, recomputed from nothing each time.
pub fn effective(base: Priority, pulls: impl Iterator<Item = Pull>) -> Standing {
    let mut sum = i32::from(base.get());
    let mut fault = false;
    for pull in pulls {
        match pull {
            Pull::Nothing => {}
            Pull::Points(points) => sum = sum.saturating_add(points),
            Pull::Fault => fault = true,
        }
    }
    if base.is_owner() {
        return Standing {
            priority: base,
            sum: 255,
            fault,
        };
    }
    Standing {
        priority: Priority::contender(sum),
        sum,
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_pull_as_keepalived_documents() {
        let w = |n| Weight::new(n).expect("in range");
        assert_eq!(pull(w(0), false, Some(false)), Pull::Fault);
        assert_eq!(pull(w(0), false, Some(true)), Pull::Nothing);
        assert_eq!(pull(w(0), true, Some(true)), Pull::Fault);
        assert_eq!(pull(w(5), false, Some(true)), Pull::Points(5));
        assert_eq!(pull(w(5), false, Some(false)), Pull::Nothing);
        assert_eq!(pull(w(5), true, Some(true)), Pull::Points(-5));
        assert_eq!(pull(w(-5), false, Some(false)), Pull::Points(-5));
        assert_eq!(pull(w(-5), true, Some(false)), Pull::Points(5));
        assert_eq!(pull(w(-5), false, Some(true)), Pull::Nothing);
        assert_eq!(pull(w(-5), false, None), Pull::Nothing);
        assert_eq!(pull(w(0), false, None), Pull::Fault);
    }

    #[test]
    fn the_owner_is_never_moved_but_may_fault() {
        let s = effective(
            Priority::OWNER,
            [Pull::Points(-200), Pull::Fault].into_iter(),
        );
        assert_eq!((s.priority, s.fault), (Priority::OWNER, true));
        let c = effective(Priority::DEFAULT, [Pull::Points(200)].into_iter());
        assert_eq!((c.priority.get(), c.sum), (254, 300));
    }

    #[test]
    fn a_files_number_is_multiplied_and_clipped() {
        assert_eq!(pull_of_value(1, false, -20), Pull::Points(-20));
        assert_eq!(pull_of_value(2, true, 20), Pull::Points(-40));
        assert_eq!(pull_of_value(1, false, 9999), Pull::Points(253));
        assert_eq!(pull_of_value(1, false, -254), Pull::Fault);
        assert_eq!(pull_of_value(254, false, i32::MIN), Pull::Fault);
        assert_eq!(pull_of_value(0, false, 1), Pull::Fault);
        assert_eq!(pull_of_value(0, false, 0), Pull::Nothing);
        assert_eq!(pull_of_value(0, true, 0), Pull::Fault);
        assert_eq!(pull_of_value(0, true, 7), Pull::Nothing);
    }
}
