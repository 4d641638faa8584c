//! Flap damping: a router that its trackers moved too often stays out of the way for a while.
//!
//! Each move out of Active that a tracker's fall caused, and each move into it that a tracker's rise
//! allowed, adds 1 to a penalty that halves every `half_life`. Once it is above `suppress`, rises that
//! come from trackers are held back until it is below `reuse`. Falls and faults always count at once,
//! and nothing is held back where nobody else is heard.

use crate::core::degraded;
use crate::core::degraded::lowest;
use crate::core::election::skew_time;
use crate::core::fold::Standing;
use crate::core::router::{Backup, Cx, Router, State, Term};
use crate::model::notice::{Phase, What, Why};
use crate::model::priority::{Claim, Priority};
use crate::model::settings::DampingSettings;
use crate::model::time::{Instant, nanos};
use crate::model::view::DampingView;
use crate::wire::advert::Advert;
use std::time::Duration;

/// A penalty of 1; penalties are counted in thousandths.
const ONE: u32 = 1000;
/// No penalty grows beyond so many times `suppress`, so that its end is in sight.
const MOST: u32 = 4;
/// 2 to the power of minus n/16, in 65,536ths; what lies between is interpolated.
const HALVING: [u64; 17] = [
    65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393, 46341, 44376, 42495, 40693, 38968,
    37316, 35734, 34219, 32768,
];

/// What is left of a penalty after a while.
fn decayed(penalty: u32, elapsed: Duration, half_life: Duration) -> u32 {
    let (elapsed, half_life) = (nanos(elapsed), nanos(half_life).max(1));
    let halvings = elapsed / half_life;
    if halvings >= u64::from(u32::BITS) {
        return 0;
    }
    // Sixteenths of a half-life, in 65,536ths.
    let rest = u128::from(elapsed % half_life) * (16 << 16) / u128::from(half_life);
    let rest = u64::try_from(rest).unwrap_or(0);
    let at = usize::try_from(rest >> 16).unwrap_or(0).min(15);
    let (from, to) = (HALVING[at], HALVING[at + 1]);
    let factor = from - (((from - to) * (rest & 0xffff)) >> 16);
    let left = ((u64::from(penalty) * factor) >> 16) >> halvings;
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// After how long a penalty is below `least`.
fn wait(penalty: u32, least: u32, half_life: Duration) -> Duration {
    let below = |length: u64| decayed(penalty, Duration::from_nanos(length), half_life) < least;
    let (mut low, mut high) = (0, nanos(half_life).saturating_mul(u64::from(u32::BITS)));
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Duration::from_nanos(low)
}

/// Penalty and hold of one router.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damping {
    /// The penalty in thousandths as it was at `at`.
    penalty: u32,
    at: Instant,
    held: Option<Held>,
    /// The lowest effective priority since it left Active; 0 for a tracker's fault.
    ebb: u8,
    /// The highest effective priority since it became Active.
    crest: u8,
    /// It has listened for as long as a Backup would, so the next Backup need not.
    listened: bool,
}

/// Rises are held back.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// The penalty will have decayed.
    free_at: Instant,
    /// The fewest points that trackers came to since it began.
    points: i32,
    /// The same without falls that are not confirmed.
    sure: i32,
    /// A tracker's fault is held on to.
    fault: Option<Fault>,
    /// It gave way under `all_failed hold`, and stays at the lowest priority.
    lowest: bool,
}

/// A fault that is held on to after its cause is gone.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Its cause is gone: unless another router is heard, it is left then.
    leave_at: Option<Instant>,
}

/// Whether a tracker's fault led to this; an interface is one as well.
fn by_tracker(why: &Why) -> bool {
    let link = matches!(
        why,
        Why::LinkDown { .. } | Why::LinkAbsent { .. } | Why::LinkUp { .. }
    );
    link || degraded::tracker_of(why).is_some()
}

impl Damping {
    /// Whether rises are held back.
    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether a fault is held on to whose cause is gone: then adverts are listened to.
    pub(super) fn listens(&self) -> bool {
        self.fault().is_some_and(|fault| fault.leave_at.is_some())
    }

    fn fault(&self) -> Option<Fault> {
        self.held.and_then(|held| held.fault)
    }

    /// When [`Router::damping_due`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = self.held?;
        let leave_at = held.fault.and_then(|fault| fault.leave_at);
        Some(leave_at.map_or(held.free_at, |at| at.min(held.free_at)))
    }

    fn left(&self, now: Instant, settings: &DampingSettings) -> u32 {
        decayed(self.penalty, now.since(self.at), settings.half_life)
    }

    /// Adds to the penalty; true if it is too much.
    fn add(&mut self, now: Instant, settings: &DampingSettings) -> bool {
        let limit = settings.suppress.saturating_mul(ONE);
        let left = self.left(now, settings);
        self.penalty = left.saturating_add(ONE).min(limit.saturating_mul(MOST));
        self.at = now;
        self.penalty > limit
    }

    fn free_at(&self, settings: &DampingSettings) -> Instant {
        let least = settings.reuse.saturating_mul(ONE);
        self.at + wait(self.penalty, least, settings.half_life)
    }

    /// What the trackers come to while rises are held back.
    pub(super) fn limit(&self, base: Priority, standing: &mut Standing, confirmed: &mut Priority) {
        let Some(held) = self.held.filter(|_| !base.is_owner()) else {
            return;
        };
        let at_most = |points: i32| Priority::contender(i32::from(base.get()) + points);
        let (points, sure) = if held.lowest {
            (lowest(), lowest())
        } else {
            (at_most(held.points), at_most(held.sure))
        };
        standing.priority = standing.priority.min(points);
        *confirmed = (*confirmed).min(sure);
    }

    /// The fault that is held on to, once nothing else stands in the way.
    pub(super) fn obstacle(&self) -> Option<Why> {
        self.fault().map(|_| Why::FlapDamping)
    }
}

impl Router {
    /// Counts a transition that a tracker caused.
    pub(super) fn damp(&mut self, now: Instant, to: Phase, why: &Why, cx: &mut Cx<'_>) {
        let from = self.phase();
        let ours = self.standing.priority.get();
        let faulted = to == Phase::Fault && by_tracker(why);
        let damping = &mut self.damping;
        let counts = match (from, to, why) {
            (Phase::Active, Phase::Fault, _) => faulted,
            (Phase::Active, _, Why::GaveWay { .. }) => self.group.is_none() || self.own_degraded,
            (Phase::Active, _, Why::Outranked { theirs, .. }) => {
                ours < damping.crest && *theirs <= damping.crest
            }
            (Phase::Active, _, Why::TieLost { priority, .. }) => *priority < damping.crest,
            (_, Phase::Active, Why::Preempt { lower, .. }) => {
                ours > damping.ebb && lower.priority >= damping.ebb
            }
            (_, _, _) => false,
        };
        if to == Phase::Active {
            damping.crest = ours;
        } else if faulted {
            damping.ebb = 0;
        } else if from == Phase::Active {
            damping.ebb = ours;
        }
        let Some(settings) = self.settings.damping else {
            return;
        };
        let begins = counts && self.damping.add(now, &settings);
        let free_at = self.damping.free_at(&settings);
        let points = self.standing.sum - i32::from(self.settings.priority.get());
        let fault = faulted.then_some(Fault { leave_at: None });
        match &mut self.damping.held {
            Some(held) => {
                held.free_at = free_at;
                held.fault = fault.or(held.fault);
            }
            None if begins => {
                self.damping.held = Some(Held {
                    free_at,
                    points,
                    sure: points.max(self.sure_points()),
                    fault,
                    lowest: self.degraded.is_some(),
                });
                let what = What::Damped {
                    penalty: self.damping.penalty,
                    limit: settings.suppress,
                    priority: fault.map_or(Some(ours), |_| None),
                    length: free_at.since(now),
                };
                self.tell(what, cx);
            }
            None => {}
        }
    }

    /// Points of the effective priority without falls that are not confirmed.
    fn sure_points(&self) -> i32 {
        i32::from(self.confirmed.get()) - i32::from(self.settings.priority.get())
    }

    /// The effective priority is another. `ours`: a reload or an operator changed it, no tracker.
    pub(super) fn damping_moved(&mut self, now: Instant, ours: bool, faults: bool) {
        let priority = self.standing.priority.get();
        let points = self.standing.sum - i32::from(self.settings.priority.get());
        let sure = self.sure_points();
        let listen_until = now + self.down_interval(self.settings.adver);
        let fresh = matches!(self.state, State::Init);
        let only_held = faults && matches!(self.faults.as_slice(), [Why::FlapDamping]);
        let damping = &mut self.damping;
        if ours || fresh {
            (damping.ebb, damping.crest) = (priority, priority);
        } else if !matches!(self.state, State::Fault) {
            damping.ebb = damping.ebb.min(priority);
            damping.crest = damping.crest.max(priority);
        }
        let Some(held) = &mut damping.held else {
            return;
        };
        held.points = held.points.min(points);
        held.lowest |= self.degraded.is_some();
        if self.term.is_none() {
            held.sure = held.sure.min(sure);
        }
        if let Some(fault) = &mut held.fault {
            fault.leave_at = match (only_held, fault.leave_at) {
                (false, _) => None,
                (true, Some(at)) => Some(at),
                (true, None) => Some(listen_until),
            };
        }
    }

    /// Other settings: another half-life or bound moves the end, none at all ends it.
    pub(super) fn damping_altered(&mut self, old: Option<DampingSettings>, now: Instant) {
        match self.settings.damping {
            None => {
                self.damping.penalty = 0;
                self.damping.held = None;
            }
            Some(new) if old != Some(new) => {
                if let Some(old) = old {
                    self.damping.penalty = self.damping.left(now, &old);
                    self.damping.at = now;
                }
                let free_at = self.damping.free_at(&new);
                if let Some(held) = &mut self.damping.held {
                    held.free_at = free_at;
                }
            }
            Some(_) => {}
        }
    }

    /// The penalty has decayed, or nobody was heard while a fault was held on to.
    pub(super) fn damping_due(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let Some(held) = &mut self.damping.held else {
            return;
        };
        if now >= held.free_at {
            self.damping.held = None;
            self.tell(What::DampingOver, cx);
        } else if held
            .fault
            .and_then(|fault| fault.leave_at)
            .is_some_and(|at| now >= at)
        {
            held.fault = None;
            self.damping.listened = true;
        }
    }

    /// While a fault is held on to: another router serves, or resigns.
    pub(super) fn hear_in_fault(&mut self, now: Instant, advert: &Advert<'_>) {
        let wait = match advert.claim {
            Claim::Hold(_) => self.down_interval(advert.adver),
            Claim::Release => {
                skew_time(self.settings.version, self.standing.priority, advert.adver)
            }
        };
        if let Some(held) = &mut self.damping.held
            && let Some(fault) = &mut held.fault
            && let Some(at) = &mut fault.leave_at
        {
            *at = now + wait;
        }
    }

    /// An operator wants it to serve.
    pub(super) fn damping_overruled(&mut self) {
        self.damping.penalty = 0;
        self.damping.listened |= self.damping.fault().is_some();
        self.damping.held = None;
    }

    /// The Backup that follows a fault: it listens for no more than its Skew_Time if it has listened
    /// in the fault already.
    pub(super) fn backup_after_fault(&mut self, now: Instant) -> Backup {
        let mut next = self.backup(now);
        if std::mem::take(&mut self.damping.listened) {
            let s = &self.settings;
            next.down_at = now + skew_time(s.version, self.standing.priority, s.adver);
        }
        next
    }

    /// The standing that counts: a hold, then an operator's term, which replaces the sum.
    pub(super) fn in_force(&self, mut standing: Standing) -> Standing {
        let mut sure = standing.priority;
        self.damping
            .limit(self.settings.priority, &mut standing, &mut sure);
        if !self.settings.priority.is_owner() {
            match self.term {
                None => {}
                Some(Term::Drained) => standing.priority = Priority::contender(1),
                Some(Term::Takeover) => standing.priority = Priority::contender(254),
            }
        }
        standing
    }

    /// For a picture; `None` where it is not asked for.
    pub(super) fn damping_view(&self, now: Instant) -> Option<DampingView> {
        let settings = self.settings.damping?;
        let held = self.damping.held;
        Some(DampingView {
            penalty: f64::from(self.damping.left(now, &settings)) / f64::from(ONE),
            limit: settings.suppress,
            held: held.is_some(),
            fault: self.damping.listens(),
            free_s: held.map(|held| held.free_at.since(now).as_secs_f64()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_penalty_halves_in_each_half_life_and_falls_in_between() {
        assert_eq!(decayed(4000, Duration::ZERO, 60 * S), 4000);
        assert_eq!(decayed(4000, 60 * S, 60 * S), 2000);
        assert_eq!(decayed(4000, 180 * S, 60 * S), 500);
        // 4000 times the square root of a half is 2828.4.
        assert!(decayed(4000, 30 * S, 60 * S).abs_diff(2828) <= 1);
        assert_eq!(decayed(u32::MAX, 32 * S, S), 0);
        assert_eq!(decayed(u32::MAX, Duration::MAX, S), 0);
        let mut last = u32::MAX;
        for ms in 0..20_000 {
            let now = decayed(1_000_000, Duration::from_millis(ms), S);
            assert!(now <= last, "{ms} ms");
            last = now;
        }
    }

    #[test]
    fn the_wait_ends_exactly_when_the_penalty_is_below() {
        for (penalty, least, half_life) in [
            (3400, 1000, 60 * S),
            (1001, 1000, S),
            (4_000_000, 1000, Duration::from_millis(1_333)),
        ] {
            let length = wait(penalty, least, half_life);
            let before = length - Duration::from_nanos(1);
            assert!(decayed(penalty, length, half_life) < least);
            assert!(decayed(penalty, before, half_life) >= least);
        }
        assert_eq!(wait(999, 1000, S), Duration::ZERO);
    }

    #[test]
    fn a_penalty_has_a_ceiling_so_that_the_hold_ends() {
        let settings = DampingSettings::default();
        let mut damping = Damping::default();
        let mut too_much = Vec::new();
        for _ in 0..100 {
            too_much.push(damping.add(Instant::ZERO, &settings));
        }
        assert_eq!(too_much[..4], [false, false, false, true]);
        assert_eq!(damping.penalty, 12_000);
        // 12 to 1 is a little more than three and a half half-lives.
        let free = damping.free_at(&settings).since(Instant::ZERO);
        assert!((215 * S..=216 * S).contains(&free), "{free:?}");
    }

    #[test]
    fn a_hold_limits_rises_and_never_a_fall() {
        let damping = Damping {
            held: Some(Held {
                free_at: Instant::MAX,
                points: -20,
                sure: -5,
                fault: None,
                lowest: false,
            }),
            ..Damping::default()
        };
        let limited = |base: Priority, sum: i32| {
            let mut standing = Standing {
                priority: if base.is_owner() {
                    base
                } else {
                    Priority::contender(sum)
                },
                sum,
                fault: false,
            };
            let mut confirmed = standing.priority;
            damping.limit(base, &mut standing, &mut confirmed);
            (standing.priority.get(), confirmed.get(), standing.sum)
        };
        assert_eq!(limited(Priority::DEFAULT, 100), (80, 95, 100));
        assert_eq!(limited(Priority::DEFAULT, 60), (60, 60, 60));
        assert_eq!(limited(Priority::OWNER, 255), (255, 255, 255));
    }
}
