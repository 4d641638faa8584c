//! What a router makes of an advert that passed every check (RFC 9568 §6.4.2, §6.4.3).

use crate::core::election::{Rank, active_down_interval, rank, skew_time};
use crate::core::router::{Cx, Router, State};
use crate::model::ids::Version;
use crate::model::notice::{Phase, Told, What, Why};
use crate::model::priority::{Claim, Priority};
use crate::model::time::Instant;
use crate::wire::advert::Advert;
use std::net::IpAddr;

impl Router {
    /// Takes an advert that passed every check (RFC 9568 §6.4.2, §6.4.3).
    pub(super) fn on_advert(
        &mut self,
        now: Instant,
        advert: &Advert<'_>,
        from: IpAddr,
        cx: &mut Cx<'_>,
    ) {
        match &self.state {
            State::Init => {}
            State::Fault => self.hear_in_fault(now, advert),
            State::Backup(_) => self.hear_in_backup(now, advert, from),
            State::Active(_) => self.hear_in_active(now, advert, from, cx),
        }
    }

    fn hear_in_backup(&mut self, now: Instant, advert: &Advert<'_>, from: IpAddr) {
        let ours = self.standing.priority;
        let version = self.settings.version;
        let preempts = match advert.claim {
            Claim::Release => false,
            Claim::Hold(theirs) => {
                self.settings.preempt || ours.is_owner() || self.relieves(theirs)
            }
        };
        let State::Backup(b) = &mut self.state else {
            return;
        };
        let theirs = match advert.claim {
            Claim::Release => {
                b.down_at = now + skew_time(version, ours, b.adver);
                b.released = Some(from);
                // It will not speak again, so it is not to be waited for (`heed_lower`).
                b.lower = b.lower.filter(|(lower, ..)| *lower != from);
                b.listened = false;
                return;
            }
            Claim::Hold(theirs) => theirs,
        };
        if theirs < ours && preempts {
            let delay = self.settings.preempt_delay;
            let until = *b.hold_until.get_or_insert(now + delay);
            if delay.is_zero() || now >= until {
                b.lower = Some((from, theirs, now));
                return;
            }
        } else {
            b.hold_until = None;
        }
        if version == Version::V3 {
            b.adver = advert.adver;
        }
        b.down_at = now + active_down_interval(version, ours, b.adver, self.settings.down_adverts);
        b.active = Some((from, theirs, now));
        b.released = None;
        b.lower = None;
        b.listened = false;
        self.wants = None;
    }

    /// Our priority fell: the advert that we discarded as lower counts if it is lower no longer.
    pub(super) fn heed_lower(&mut self) {
        let (ours, version) = (self.standing.priority, self.settings.version);
        let State::Backup(b) = &mut self.state else {
            return;
        };
        let Some((from, theirs, at)) = b.lower.filter(|(_, theirs, _)| *theirs >= ours) else {
            return;
        };
        let full = active_down_interval(version, ours, b.adver, self.settings.down_adverts);
        // Who slept listens on all the same.
        b.down_at = b.down_at.max(at + full);
        b.active = Some((from, theirs, at));
        b.hold_until = None;
        b.released = None;
        b.lower = None;
        self.wants = None;
    }

    fn hear_in_active(&mut self, now: Instant, advert: &Advert<'_>, from: IpAddr, cx: &mut Cx<'_>) {
        if self.hear_while_leaving(now, advert.claim, from, cx) {
            return;
        }
        let ours = self.standing.priority;
        let adver = self.settings.adver;
        let State::Active(a) = &mut self.state else {
            return;
        };
        let theirs = match advert.claim {
            Claim::Release => {
                if now >= a.release_at {
                    a.release_at = now + adver;
                    self.advert_now(now, cx);
                }
                return;
            }
            Claim::Hold(theirs) => theirs,
        };
        let Some(source) = self.source else { return };
        let rank = rank((theirs, from), (ours, source));
        let crosses = rank == Rank::Outranks && self.crosses(now, (theirs, from), source);
        let State::Active(a) = &mut self.state else {
            return;
        };
        match rank {
            // If it serves even so, our new priority makes it say so again.
            Rank::Outranks if crosses => {
                if now >= a.answer_at {
                    a.answer_at = now + adver;
                    self.advert_now(now, cx);
                }
            }
            Rank::Outranks => {
                if self.settings.higher_prio_send_advert {
                    self.send_advert(Claim::Hold(ours), cx);
                }
                let why = if theirs > ours {
                    Why::Outranked {
                        by: from,
                        theirs: theirs.get(),
                        ours: ours.get(),
                    }
                } else {
                    Why::TieLost {
                        to: from,
                        priority: ours.get(),
                    }
                };
                let mut next = self.backup(now);
                if self.settings.version == Version::V3 {
                    next.adver = advert.adver;
                    next.down_at = now + self.down_interval(next.adver);
                }
                next.active = Some((from, theirs, now));
                self.enter(now, next, why, cx);
            }
            Rank::Below => self.hear_lower(now, theirs, from, cx),
            Rank::Ourselves => {
                if now >= a.answer_at {
                    a.answer_at = now + adver;
                    self.tell(What::SameAddress { from }, cx);
                }
            }
        }
    }

    /// Somebody else serves too, and loses: say so at once, but once an interval.
    fn hear_lower(&mut self, now: Instant, theirs: Priority, from: IpAddr, cx: &mut Cx<'_>) {
        let ours = self.standing.priority;
        let adver = self.settings.adver;
        let garp = self.settings.garp;
        self.stats.counters.lower_rcvd += 1;
        self.judge_early_taker(now, from, cx);
        let State::Active(a) = &mut self.state else {
            return;
        };
        if now < a.answer_at {
            self.stats.counters.lower_unanswered += 1;
            return;
        }
        a.answer_at = now + adver;
        self.stats.counters.reasserted += 1;
        a.garp.repeat_set(now, garp.lower_repeat, garp.lower_delay);
        if !self.settings.lower_prio_no_advert {
            self.advert_now(now, cx);
        }
        let (theirs, ours) = (theirs.get(), ours.get());
        self.tell(What::LowerAdvert { from, theirs, ours }, cx);
        if self.settings.notify.lower_advert.is_some() {
            let why = Why::Outranked {
                by: from,
                theirs,
                ours,
            };
            self.notify(Phase::Active, Told::LowerAdvert, why, cx);
        }
    }
}
