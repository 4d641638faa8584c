//! Who serves: the protocol's outcome without its packets, from the engine's own timers.
//!
//! A router that serves goes on serving until a preempting router has a higher priority, or until it
//! faults or is gone; then the first down timer decides. What chance decides is said to be open: an
//! outcome is every router that may serve in the end.

use crate::core::election::{active_down_interval, skew_time};
use crate::model::ids::Version;
use crate::model::priority::Priority;
use crate::proof::member::Member;
use std::time::Duration;

/// Two timers that run out closer together than this are decided by scheduling.
pub(super) const NOISE: Duration = Duration::from_millis(1);

/// At a start first results of scripts come in between.
const START_NOISE: Duration = Duration::from_millis(3);

/// A member as it stands in one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrant {
    /// Effective priority.
    pub(super) priority: Priority,
    /// Neither in fault nor gone.
    pub(super) able: bool,
    /// Can still say that it resigns.
    pub(super) speaks: bool,
    preempts: bool,
    /// Claims at once at the start.
    claims: bool,
    /// Its priority may rise after the start.
    slow: bool,
    version: Version,
    adver: Duration,
    adverts: u8,
}

impl Entrant {
    /// A member with these trackers not well.
    pub(super) fn new(member: &Member<'_>, bad: impl Fn(usize) -> bool) -> Self {
        let s = member.settings;
        let standing = member.standing(&bad);
        let mut trackers = member.trackers.iter().enumerate();
        Self {
            priority: standing.priority,
            able: !standing.fault,
            speaks: !trackers.any(|(index, t)| t.own_link && t.of.is_none() && bad(index)),
            preempts: member.preempts(),
            claims: s.start_active && s.priority.is_owner(),
            slow: member.trackers.iter().any(|t| t.slow),
            version: s.version,
            adver: s.adver,
            adverts: s.down_adverts,
        }
    }

    /// The node itself is gone.
    pub(super) fn gone(mut self) -> Self {
        self.able = false;
        self.speaks = false;
        self
    }

    /// Until it claims when nothing is heard, by the interval that counts.
    fn down(&self, adver: Duration) -> Duration {
        active_down_interval(self.version, self.priority, adver, self.adverts)
    }

    /// The interval that counts while `holder` serves: version 3 learns it.
    fn learned(&self, holder: &Self) -> Duration {
        match self.version {
            Version::V2 => self.adver,
            Version::V3 => holder.adver,
        }
    }
}

/// Who may serve after all were started together.
pub(super) fn start(entrants: &[Entrant]) -> Vec<usize> {
    let able = able(entrants);
    let first = if able.iter().any(|&i| entrants[i].slow) {
        // Anybody may have claimed before the last one was ready.
        able
    } else {
        race(able, START_NOISE, |i| {
            let e = &entrants[i];
            if e.claims {
                Duration::ZERO
            } else {
                e.down(e.adver)
            }
        })
    };
    from(first, entrants)
}

/// Who may serve in the end when `holder` did until now.
pub(super) fn after(holder: usize, entrants: &[Entrant]) -> Vec<usize> {
    let Some(held) = entrants.get(holder) else {
        return Vec::new();
    };
    if held.able {
        return from(vec![holder], entrants);
    }
    let first = race(able(entrants), NOISE, |i| {
        let e = &entrants[i];
        let adver = e.learned(held);
        if held.speaks {
            skew_time(e.version, e.priority, adver)
        } else {
            e.down(adver)
        }
    });
    from(first, entrants)
}

fn able(entrants: &[Entrant]) -> Vec<usize> {
    (0..entrants.len()).filter(|&i| entrants[i].able).collect()
}

/// Those of whom each may be the first.
fn race(mut list: Vec<usize>, noise: Duration, after: impl Fn(usize) -> Duration) -> Vec<usize> {
    if let Some(earliest) = list.iter().map(|&i| after(i)).min() {
        list.retain(|&i| after(i) <= earliest + noise);
    }
    list
}

/// Where it ends when one of these serves: the highest of those that preempt it. Equals do not
/// preempt each other, so which of them comes first stays.
fn from(first: Vec<usize>, entrants: &[Entrant]) -> Vec<usize> {
    let mut last = Vec::with_capacity(1);
    for holder in first {
        let held = entrants[holder].priority;
        let challenges = |e: &&Entrant| e.able && e.preempts && e.priority > held;
        match entrants.iter().filter(challenges).map(|e| e.priority).max() {
            None => last.push(holder),
            Some(top) => last.extend(
                (0..entrants.len())
                    .filter(|&i| challenges(&&entrants[i]) && entrants[i].priority == top),
            ),
        }
    }
    last.sort_unstable();
    last.dedup();
    last
}

/// How far apart two routers' claims are when one interval rules both.
pub(super) fn skew_apart(a: &Entrant, b: &Entrant) -> Duration {
    let skew = |e: &Entrant| skew_time(e.version, e.priority, a.adver);
    skew(a).abs_diff(skew(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{RouterMaker, router};

    fn entrants(list: impl IntoIterator<Item = RouterMaker>) -> Vec<Entrant> {
        let made: Vec<_> = list.into_iter().map(RouterMaker::settings).collect();
        made.iter()
            .enumerate()
            .map(|(node, settings)| {
                let member = Member {
                    node,
                    settings,
                    trackers: Vec::new(),
                };
                Entrant::new(&member, |_| false)
            })
            .collect()
    }

    fn prio(n: u8) -> Priority {
        Priority::new(n).expect("not 0")
    }

    #[test]
    fn the_highest_serves_and_equals_are_open() {
        let e = entrants([router("V").priority(100), router("V").priority(150)]);
        assert_eq!(start(&e), [1]);
        let e = entrants([router("V"), router("V"), router("V").priority(90)]);
        assert_eq!(start(&e), [0, 1]);
        assert_eq!(start(&[]), [] as [usize; 0]);
    }

    #[test]
    fn a_lower_priority_moves_nothing_past_equals_and_nopreempt() {
        let mut e = entrants([
            router("V").priority(150),
            router("V").priority(100),
            router("V").priority(120).nopreempt(),
        ]);
        assert_eq!(start(&e), [0]);
        e[0].priority = prio(100);
        assert_eq!(after(0, &e), [0], "an equal priority does not preempt");
        e[0].priority = prio(90);
        assert_eq!(after(0, &e), [1], "the higher one has nopreempt");
        e[0].able = false;
        assert_eq!(after(0, &e), [2], "silence is claimed by the highest");
    }

    #[test]
    fn at_a_start_the_first_claim_of_a_nopreempt_pair_stays() {
        let slow = Duration::from_secs(10);
        let pair = || {
            [
                router("V").priority(200).nopreempt().adver(slow),
                router("V").priority(100),
            ]
        };
        assert_eq!(start(&entrants(pair())), [1]);
        let e = entrants(pair().map(|r| r.with(|s| s.preempt = true)));
        assert_eq!(start(&e), [0]);
    }

    #[test]
    fn an_owner_takes_its_addresses_back() {
        let mut e = entrants([router("V").priority(255).nopreempt(), router("V")]);
        assert_eq!(start(&e), [0]);
        e[0].able = false;
        assert_eq!(after(0, &e), [1]);
        e[0].able = true;
        assert_eq!(after(1, &e), [0]);
        e[0].able = false;
        e[1].able = false;
        assert_eq!(after(1, &e), [] as [usize; 0]);
    }

    #[test]
    fn ten_milliseconds_leave_little_between_two_claims() {
        let ms = Duration::from_millis(10);
        let e = entrants([router("V").priority(101).adver(ms), router("V").adver(ms)]);
        assert!(skew_apart(&e[0], &e[1]) < NOISE);
        let e = entrants([router("V").priority(101), router("V")]);
        assert!(skew_apart(&e[0], &e[1]) > NOISE);
    }
}
