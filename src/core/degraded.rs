//! `all_failed hold`, the last one standing: an instance whose trackers of weight 0 fail is not in
//! FAULT. It behaves as if drained: with priority 1 it serves only if nobody else does.
//!
//! A MASTER first sends priority 0, keeps its addresses and is silent until a successor is heard. If
//! none comes within an Active_Down_Interval of priority 1 it serves on with that priority.

use crate::core::election::active_down_interval;
use crate::core::facts::Facts;
use crate::core::router::{Active, Cx, Leaving, Router, State};
use crate::model::notice::{Degraded, What, Why};
use crate::model::priority::{Claim, Priority};
use crate::model::settings::{AllFailed, RouterSettings};
use crate::model::time::Instant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a router advertises that serves although it failed.
pub(super) fn lowest() -> Priority {
    Priority::contender(1)
}

/// The tracker behind a fault that says that a service is ill, and not that this router cannot take
/// part.
pub(super) const fn tracker_of(why: &Why) -> Option<&Arc<str>> {
    match why {
        Why::CheckFailed { check: name, .. }
        | Why::CheckUnusable { check: name, .. }
        | Why::FileFault { file: name, .. }
        | Why::ProcessFault { process: name } => Some(name),
        Why::Startup
        | Why::Owner
        | Why::Silence { .. }
        | Why::Released { .. }
        | Why::Preempt { .. }
        | Why::Outranked { .. }
        | Why::TieLost { .. }
        | Why::CheckPending { .. }
        | Why::LinkDown { .. }
        | Why::LinkAbsent { .. }
        | Why::NoAddress { .. }
        | Why::NoSocket { .. }
        | Why::AddressRefused { .. }
        | Why::AddressLost { .. }
        | Why::LinkUp { .. }
        | Why::GroupMember { .. }
        | Why::GaveWay { .. }
        | Why::FlapDamping
        | Why::Drained
        | Why::Operator
        | Why::Cleared
        | Why::Late { .. }
        | Why::Reload
        | Why::Stop => None,
    }
}

/// Whether its trackers' failures are borne; an owner's priority is never changed.
pub(super) fn holds(s: &RouterSettings) -> bool {
    s.all_failed == AllFailed::Hold && !s.priority.is_owner()
}

impl Facts {
    /// Trackers alone stand in the way, and that is to be borne.
    pub(super) fn bear(&mut self, router: &Router) {
        let s = &router.settings;
        if holds(s) && self.faults.iter().all(|why| tracker_of(why).is_some()) {
            let first = self.faults.drain(..).next();
            if let Some(why) = first {
                self.degrade(why);
            }
        }
    }

    /// Whatever an operator asked for: who cannot do the work does not outrank who can.
    pub(super) fn degrade(&mut self, why: Why) {
        self.standing.priority = lowest();
        self.confirmed = lowest();
        self.degraded = Some(why);
    }
}

impl Router {
    /// How long a MASTER that gives way is silent: until nobody can be meant to come any more.
    pub(super) fn patience(&self) -> Duration {
        let s = &self.settings;
        active_down_interval(s.version, lowest(), s.adver, s.down_adverts)
    }

    /// Whether an advert is that of a router which serves only because it heard of nobody better.
    /// Then `nopreempt` does not hold us back, or the addresses would stay where the service is ill.
    pub(super) fn relieves(&self, theirs: Priority) -> bool {
        self.settings.all_failed == AllFailed::Hold
            && theirs == lowest()
            && self.standing.priority > lowest()
    }

    /// Trackers failed, or are well again, and nothing else stands in the way.
    pub(super) fn bear(&mut self, now: Instant, was: Option<Why>, cx: &mut Cx<'_>) {
        match (was, self.degraded.clone()) {
            (None, Some(why)) => {
                let how = self.give_way(now, cx);
                self.tell(What::Degraded { why, how }, cx);
            }
            (Some(why), None) => {
                let how = Degraded::Over;
                self.tell(What::Degraded { why, how }, cx);
                self.stay(now, cx);
            }
            // Another tracker failed meanwhile: all is as it was.
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn give_way(&mut self, now: Instant, cx: &mut Cx<'_>) -> Degraded {
        let until = now + self.patience();
        let State::Active(a) = &mut self.state else {
            return Degraded::StandsBack;
        };
        a.pending = None;
        if a.leaving.is_none() {
            a.leaving = Some(Leaving {
                id: None,
                until,
                force: false,
                drained: false,
            });
            self.send_advert(Claim::Release, cx);
        }
        Degraded::GivesWay
    }

    /// Well again: a MASTER says so at once, also one that was waiting for a successor.
    fn stay(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let State::Active(a) = &mut self.state else {
            return;
        };
        match a.leaving {
            Some(leaving) if leaving.drained => {}
            Some(_) => {
                a.leaving = None;
                // It was silent on purpose: nobody slept.
                a.advert_at = now;
                self.advert_now(now, cx);
            }
            None => self.advert_now(now, cx),
        }
    }

    /// Why it gives the addresses to the router that was heard.
    pub(super) fn why_gave_way(&self, to: IpAddr) -> Why {
        let Some(why) = &self.degraded else {
            return Why::Drained;
        };
        let tracker = tracker_of(why).cloned();
        Why::GaveWay {
            tracker,
            because: Arc::from(why.to_string()),
            to,
        }
    }

    /// Nobody came who is well: if it is ill itself, that is told.
    pub(super) fn serve_on(&self, cx: &mut Cx<'_>) {
        if let Some(why) = self.degraded.clone() {
            let how = Degraded::Serves;
            self.tell(What::Degraded { why, how }, cx);
        }
    }

    /// What its trackers' failure comes to now, in a sentence.
    pub(super) fn degraded_view(&self) -> Option<String> {
        let why = self.degraded.clone()?;
        let how = match &self.state {
            State::Active(Active {
                leaving: Some(_), ..
            }) => Degraded::GivesWay,
            State::Active(_) => Degraded::Serves,
            State::Init | State::Fault | State::Backup(_) => Degraded::StandsBack,
        };
        Some(What::Degraded { why, how }.to_string())
    }
}
