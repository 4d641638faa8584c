//! Fast tracked handover: a MASTER whose priority fell lets a better BACKUP take over after its
//! Skew_Time instead of a whole Active_Down_Interval.
//!
//! It sends priority 0 and at once its new priority. A backup that outranks it runs its Skew_Time,
//! hears lower adverts only, and takes over; one that does not outrank it starts its full timer
//! again with the second advert. The second advert is repeated, so that a lost or overtaken packet
//! does not make a backup take over that should stay.

use crate::core::election::{Rank, rank, skew_time};
use crate::core::router::{Cx, Router, State};
use crate::model::notice::What;
use crate::model::priority::{Claim, Priority};
use crate::model::settings::Handover;
use crate::model::time::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// Below this Skew_Time timers are too coarse to tell backups apart: plain protocol.
const SKEW_LEAST: Duration = Duration::from_millis(10);
/// Intervals for which a release is pending.
const PENDING: u32 = 4;

/// A release that was sent and not yet answered by a better router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    at: Instant,
    until: Instant,
    /// When the new priority is repeated, in order; `None` at the end.
    repeats: [Option<Instant>; 4],
}

impl Pending {
    /// The next repeat.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.repeats[0]
    }

    fn take_due(&mut self, now: Instant) -> bool {
        let mut due = false;
        while self.repeats[0].is_some_and(|at| now >= at) {
            due = true;
            self.repeats.rotate_left(1);
            self.repeats[3] = None;
        }
        due
    }
}

/// Our priority fell while we served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fall {
    at: Instant,
    from: Priority,
    /// Whose advert crossed it.
    crossed: Option<IpAddr>,
}

impl Router {
    /// The priority moved while Active: hand over, or say at once what a pending release waits for.
    pub(super) fn moved_in_active(
        &mut self,
        now: Instant,
        old: Priority,
        fell_for_sure: bool,
        cx: &mut Cx<'_>,
    ) {
        let new = self.standing.priority;
        let fell = match self.settings.handover {
            Handover::Off => false,
            Handover::Confirmed => fell_for_sure,
            Handover::Always => fell_for_sure || new < old,
        };
        let pending = self.pending_release(now);
        let crossing = self.crossing();
        let State::Active(a) = &mut self.state else {
            return;
        };
        if new < old {
            let recent = a.fell.filter(|fall| now.since(fall.at) < crossing);
            a.fell = Some(Fall {
                at: now,
                from: recent.map_or(old, |fall| fall.from.max(old)),
                crossed: None,
            });
        }
        if a.leaving.is_some() {
            return;
        }
        if pending {
            if new != old {
                self.advert_now(now, cx);
            }
        } else if fell && self.may_hand_over(new) {
            self.hand_over(now, cx);
        }
    }

    /// Nobody takes over sooner than this after a fall, and on account of it.
    fn crossing(&self) -> Duration {
        let s = &self.settings;
        skew_time(s.version, Priority::contender(254), s.adver)
    }

    /// Whether an advert that beats our priority crossed its fall: its sender is about to yield to
    /// what we said before, and if we yielded too, nobody would serve. One that speaks again serves.
    pub(super) fn crosses(
        &mut self,
        now: Instant,
        theirs: (Priority, IpAddr),
        source: IpAddr,
    ) -> bool {
        let window = self.crossing();
        let State::Active(a) = &mut self.state else {
            return false;
        };
        let Some(fall) = &mut a.fell else {
            return false;
        };
        let again = fall.crossed.replace(theirs.1) == Some(theirs.1);
        !again && now.since(fall.at) < window && rank(theirs, (fall.from, source)) == Rank::Below
    }

    fn may_hand_over(&self, new: Priority) -> bool {
        let s = &self.settings;
        let skew = skew_time(s.version, new, s.adver);
        !s.strict && !s.priority.is_owner() && !self.handover_broken && skew >= SKEW_LEAST
    }

    fn pending_release(&self, now: Instant) -> bool {
        match &self.state {
            State::Active(a) => a.pending.is_some_and(|p| now < p.until),
            State::Init | State::Fault | State::Backup(_) => false,
        }
    }

    fn hand_over(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let s = &self.settings;
        let (version, adver, new) = (s.version, s.adver, self.standing.priority);
        let shortest = self.crossing();
        let own = skew_time(version, new, adver);
        let mut repeats = [
            now + shortest / 4,
            now + shortest / 2,
            now + own / 4,
            now + own / 2,
        ];
        repeats.sort();
        self.send_advert(Claim::Release, cx);
        self.send_advert(Claim::Hold(new), cx);
        if let State::Active(a) = &mut self.state {
            a.advert_at = now + adver;
            a.pending = Some(Pending {
                at: now,
                until: now + adver * PENDING,
                repeats: repeats.map(Some),
            });
        }
        self.stats.counters.handovers += 1;
    }

    /// Repeats what was said, unless it is `said` in this very turn, and forgets a release that nobody answered.
    pub(super) fn repeat_due(&mut self, now: Instant, said: bool, cx: &mut Cx<'_>) {
        let State::Active(a) = &mut self.state else {
            return;
        };
        let Some(pending) = &mut a.pending else {
            return;
        };
        let due = pending.take_due(now);
        if now >= pending.until {
            a.pending = None;
        }
        if due && !said {
            self.send_advert(Claim::Hold(self.standing.priority), cx);
        }
    }

    /// A lower router took over after our release sooner than any Skew_Time allows: it does not
    /// keep to the protocol, so releases are no good against it.
    pub(super) fn judge_early_taker(&mut self, now: Instant, from: IpAddr, cx: &mut Cx<'_>) {
        let s = &self.settings;
        let half = skew_time(s.version, self.standing.priority, s.adver) / 2;
        let State::Active(a) = &mut self.state else {
            return;
        };
        let early = a.pending.is_some_and(|p| now.since(p.at) < half);
        if early && !self.handover_broken {
            a.pending = None;
            self.handover_broken = true;
            self.tell(What::HandoverOff { from }, cx);
        }
    }
}
