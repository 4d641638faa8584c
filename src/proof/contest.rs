//! Who serves: the protocol's outcome without its packets, from the engine's own timers.
//!
//! A router that serves goes on serving until a preempting router has a higher priority, or until it
//! faults or is gone; then the first down timer decides. What chance decides is said to be open: an
//! outcome is every router that may serve in the end.

use crate::core::election::{active_down_interval, skew_time};
use crate::model::ids::Version;
use crate::model::priority::Priority;
use crate::proof::member::{Member, Tracker};
use std::time::Duration;

/// Two timers that run out closer together than this are decided by scheduling.
pub(super) const NOISE: Duration = Duration::from_millis(1);

/// At a start first results of scripts come in between.
const START_NOISE: Duration = Duration::from_millis(3);

/// One instance as it stands in one case.
#[derive(Clone, Copy, Debug)]
struct Side {
    priority: Priority,
    preempts: bool,
    version: Version,
    adver: Duration,
    adverts: u8,
    /// Its link carries the word that it resigns.
    speaks: bool,
}

impl Side {
    fn new(member: &Member<'_>, bad: &dyn Fn(&Tracker) -> bool) -> Self {
        let s = member.settings;
        let own_link = |t: &Tracker| t.own_link && t.of.is_none() && bad(t);
        Self {
            priority: member.standing(bad).priority,
            preempts: member.preempts(),
            version: s.version,
            adver: s.adver,
            adverts: s.down_adverts,
            speaks: !member.trackers.iter().any(own_link),
        }
    }

    /// Until it claims when nothing is heard, by the interval that counts.
    fn down(&self, adver: Duration) -> Duration {
        active_down_interval(self.version, self.priority, adver, self.adverts)
    }

    /// Its timer runs out although `holder` is heard.
    fn betters(&self, holder: &Self) -> bool {
        self.preempts && self.priority > holder.priority
    }

    /// The interval that counts while `holder` serves: version 3 learns it.
    fn learned(&self, holder: Option<&Self>) -> Duration {
        match (self.version, holder) {
            (Version::V3, Some(holder)) => holder.adver,
            (Version::V2 | Version::V3, _) => self.adver,
        }
    }
}

/// A member of another virtual router on the same node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside<'m, 'a> {
    /// That member.
    pub(super) member: &'m Member<'a>,
    /// It moves with ours in one sync group.
    pub(super) bound: bool,
}

/// A member as it stands in one case.
#[derive(Clone, Debug)]
pub(super) struct Entrant {
    own: Side,
    /// The same node in the other virtual routers that sync groups bind to this one.
    beside: Vec<Option<(Side, bool)>>,
    /// Neither in fault nor gone.
    pub(super) able: bool,
    /// Claims at once at the start.
    claims: bool,
    /// Something may still change it long after the start.
    slow: bool,
}

impl Entrant {
    /// A member while these trackers are not well.
    pub(super) fn new(
        member: &Member<'_>,
        beside: &[Option<Beside<'_, '_>>],
        bad: &dyn Fn(&Tracker) -> bool,
    ) -> Self {
        let claims = |m: &Member<'_>| m.settings.start_active && m.settings.priority.is_owner();
        let mut bound = beside.iter().flatten().filter(|b| b.bound);
        Self {
            own: Side::new(member, bad),
            able: !member.standing(bad).fault,
            claims: claims(member) && bound.all(|b| claims(b.member)),
            slow: member.trackers.iter().any(|t| t.slow),
            beside: beside
                .iter()
                .map(|b| b.map(|b| (Side::new(b.member, bad), b.bound)))
                .collect(),
        }
    }

    /// The node itself is gone.
    pub(super) fn gone(mut self) -> Self {
        self.able = false;
        self.own.speaks = false;
        for (side, _) in self.beside.iter_mut().flatten() {
            side.speaks = false;
        }
        self
    }

    /// Its effective priority.
    pub(super) const fn priority(&self) -> Priority {
        self.own.priority
    }

    /// Takes over from `holder` while that serves: it and whatever moves with it must be better.
    fn challenges(&self, holder: &Self) -> bool {
        self.able
            && self.own.betters(&holder.own)
            && self
                .beside
                .iter()
                .zip(&holder.beside)
                .all(|pair| match pair {
                    (Some((ours, true)), Some((theirs, _))) => ours.betters(theirs),
                    (None | Some(_), _) => true,
                })
    }

    /// Better in one member of the sync group and not in another: a tie there goes by address.
    fn quarrels(&self, other: &Self) -> bool {
        let order = self.own.priority.cmp(&other.own.priority);
        let mut bound = self.beside.iter().zip(&other.beside);
        bound.any(|pair| match pair {
            (Some((ours, true)), Some((theirs, true))) => {
                ours.priority.cmp(&theirs.priority) != order
            }
            (None | Some(_), _) => false,
        })
    }

    /// Until its own timer and those of all that move with it have run out: after a start, or after
    /// `holder` resigned or fell silent. A member that was better than it `before` is ready already.
    fn waits(&self, holder: Option<(&Self, &Self)>) -> Duration {
        let timer = |side: &Side, held: Option<(&Side, &Side)>| {
            let adver = side.learned(held.map(|(before, _)| before));
            match held {
                Some((before, _)) if side.betters(before) => Duration::ZERO,
                Some((_, now)) if now.speaks => skew_time(side.version, side.priority, adver),
                Some(_) | None => side.down(adver),
            }
        };
        let own = timer(
            &self.own,
            holder.map(|(before, now)| (&before.own, &now.own)),
        );
        let bound = self.beside.iter().enumerate().filter_map(|(at, side)| {
            let (side, _) = side.as_ref().filter(|(_, bound)| *bound)?;
            let held = holder.and_then(|(before, now)| {
                let at = |e: &'_ Self| e.beside.get(at)?.map(|(side, _)| side);
                Some((at(before)?, at(now)?))
            });
            Some(timer(
                side,
                held.as_ref().map(|(before, now)| (before, now)),
            ))
        });
        bound.fold(own, Duration::max)
    }
}

/// How a case ends.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Outcome {
    /// Everybody who may serve in the end.
    pub(super) masters: Vec<usize>,
    /// Sync groups may drive each other off for ever: then perhaps nobody does.
    pub(super) unsettled: bool,
}

/// Who may serve after all were started together.
pub(super) fn start(entrants: &[Entrant]) -> Outcome {
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
                e.waits(None)
            }
        })
    };
    from(first, entrants)
}

/// Who may serve in the end when one of `holders` did until now; `before` is how they stood.
pub(super) fn after(holders: &[usize], before: &[Entrant], entrants: &[Entrant]) -> Outcome {
    let mut all = Outcome::default();
    for &holder in holders {
        let one = after_one(holder, before, entrants);
        all.masters.extend(one.masters);
        all.unsettled |= one.unsettled;
    }
    all.masters.sort_unstable();
    all.masters.dedup();
    all
}

fn after_one(holder: usize, before: &[Entrant], entrants: &[Entrant]) -> Outcome {
    let Some((was, held)) = before.get(holder).zip(entrants.get(holder)) else {
        return Outcome::default();
    };
    if held.able {
        return from(vec![holder], entrants);
    }
    let first = race(able(entrants), NOISE, |i| {
        entrants[i].waits(Some((was, held)))
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

/// Where it ends when one of these serves: with those that take over from it and that nobody takes
/// over from. Equals do not, so which of them comes first stays.
fn from(first: Vec<usize>, entrants: &[Entrant]) -> Outcome {
    let above = |held: usize| {
        let held = &entrants[held];
        (0..entrants.len()).filter(move |&i| entrants[i].challenges(held))
    };
    let mut end = Outcome {
        masters: Vec::with_capacity(1),
        unsettled: quarrel(&first, entrants),
    };
    for holder in first {
        let best: Vec<usize> = above(holder)
            .filter(|&i| above(i).next().is_none())
            .collect();
        end.unsettled |= quarrel(&best, entrants);
        if best.is_empty() {
            end.masters.push(holder);
        }
        end.masters.extend(best);
    }
    end.masters.sort_unstable();
    end.masters.dedup();
    end
}

/// Whether two of these, serving at once, would each drive the other off.
fn quarrel(list: &[usize], entrants: &[Entrant]) -> bool {
    list.iter().enumerate().any(|(at, &a)| {
        let rest = list.iter().skip(at + 1);
        rest.into_iter()
            .any(|&b| entrants[a].quarrels(&entrants[b]))
    })
}

/// How far apart two routers' claims are when one interval rules both.
pub(super) fn skew_apart(a: &Entrant, b: &Entrant) -> Duration {
    let skew = |e: &Entrant| skew_time(e.own.version, e.own.priority, a.own.adver);
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
                Entrant::new(&member, &[], &|_| false)
            })
            .collect()
    }

    fn prio(n: u8) -> Priority {
        Priority::new(n).expect("not 0")
    }

    #[test]
    fn the_highest_serves_and_equals_are_open() {
        let e = entrants([router("V").priority(100), router("V").priority(150)]);
        assert_eq!(start(&e).masters, [1]);
        let e = entrants([router("V"), router("V"), router("V").priority(90)]);
        assert_eq!(start(&e).masters, [0, 1]);
        assert_eq!(start(&[]), Outcome::default());
    }

    #[test]
    fn a_lower_priority_moves_nothing_past_equals_and_nopreempt() {
        let mut e = entrants([
            router("V").priority(150),
            router("V").priority(100),
            router("V").priority(120).nopreempt(),
        ]);
        let well = e.clone();
        assert_eq!(start(&e).masters, [0]);
        e[0].own.priority = prio(100);
        assert_eq!(
            after(&[0], &well, &e).masters,
            [0],
            "an equal priority does not preempt"
        );
        e[0].own.priority = prio(90);
        assert_eq!(
            after(&[0], &well, &e).masters,
            [1],
            "the higher one has nopreempt"
        );
        e[0].able = false;
        assert_eq!(
            after(&[0], &well, &e).masters,
            [2],
            "silence is claimed by the highest"
        );
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
        assert_eq!(start(&entrants(pair())).masters, [1]);
        let e = entrants(pair().map(|r| r.with(|s| s.preempt = true)));
        assert_eq!(start(&e).masters, [0]);
    }

    #[test]
    fn an_owner_takes_its_addresses_back() {
        let mut e = entrants([router("V").priority(255).nopreempt(), router("V")]);
        assert_eq!(start(&e).masters, [0]);
        e[0].able = false;
        assert_eq!(after(&[0], &e, &e).masters, [1]);
        e[0].able = true;
        assert_eq!(after(&[1], &e, &e).masters, [0]);
        e[0].able = false;
        e[1].able = false;
        assert_eq!(after(&[1], &e, &e).masters, [] as [usize; 0]);
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
