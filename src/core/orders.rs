//! What an operator may ask of an instance: drain, take over, and back.

use crate::core::action::{Action, Actions};
use crate::core::engine::Engine;
use crate::core::router::{Cx, Leaving, Router, State, Term};
use crate::model::ids::RouterId;
use crate::model::notice::Why;
use crate::model::order::{Intent, Order, Outcome};
use crate::model::priority::{Claim, Priority};
use crate::model::time::Instant;
use std::net::IpAddr;

impl Engine {
    /// Takes an order; members of a sync group move together.
    pub(super) fn order(&mut self, now: Instant, order: &Order, out: &mut Actions) {
        let id = order.id;
        let named = |r: &&Router| r.settings.name == order.instance;
        let Some(first) = self.routers.iter().flatten().find(named).map(|r| r.id) else {
            if order.what.is_resumed() && !self.waiting.contains(order) {
                self.waiting.push(order.clone());
                return;
            }
            let why = format!("there is no instance {}", order.instance);
            out.push(Action::Ordered {
                id,
                outcome: Outcome::Refused { why },
            });
            return;
        };
        let mut all = vec![first];
        all.extend(self.siblings(first));
        match order.what {
            Intent::Clear => {
                for member in all {
                    self.with_router(member, out, |router, cx| router.clear_term(now, cx));
                    self.mark(member);
                }
                out.push(Action::Ordered {
                    id,
                    outcome: Outcome::Done { successor: None },
                });
            }
            Intent::Drain { force, resumed } => {
                self.drain(now, id, first, &all, force || resumed, out);
                if force && resumed {
                    for &member in &all {
                        self.with_router(member, out, |router, _| router.forced_out = true);
                        self.mark(member);
                    }
                }
            }
            Intent::Takeover { resumed } => self.take_over(now, id, &all, resumed, out),
        }
    }

    fn drain(
        &mut self,
        now: Instant,
        id: u64,
        first: RouterId,
        all: &[RouterId],
        force: bool,
        out: &mut Actions,
    ) {
        if self.router(first).is_some_and(Router::is_leaving) {
            let why = "a drain is under way".to_owned();
            out.push(Action::Ordered {
                id,
                outcome: Outcome::Refused { why },
            });
            return;
        }
        let mut waits = false;
        for &member in all {
            // One member answers for all.
            let answers = member == first;
            self.with_router(member, out, |router, cx| {
                waits |= router.drain(now, answers.then_some(id), force, cx);
            });
            self.mark(member);
        }
        if !waits {
            out.push(Action::Ordered {
                id,
                outcome: Outcome::Done { successor: None },
            });
        }
    }

    fn take_over(
        &mut self,
        now: Instant,
        id: u64,
        all: &[RouterId],
        resumed: bool,
        out: &mut Actions,
    ) {
        let obstacle = all
            .iter()
            .filter_map(|m| self.router(*m))
            .find_map(|r| r.takeover_obstacle(now).filter(|_| !resumed));
        if let Some(why) = obstacle {
            out.push(Action::Ordered {
                id,
                outcome: Outcome::Refused { why },
            });
            return;
        }
        for &member in all {
            self.with_router(member, out, |router, cx| router.take_over(now, resumed, cx));
            self.mark(member);
        }
        out.push(Action::Ordered {
            id,
            outcome: Outcome::Done { successor: None },
        });
    }
}

impl Router {
    /// Begins to leave; true if somebody else must be heard first.
    fn drain(&mut self, now: Instant, id: Option<u64>, force: bool, cx: &mut Cx<'_>) -> bool {
        let patience = self.patience();
        match &mut self.state {
            State::Active(a) if a.leaving.is_none_or(|leaving| !leaving.drained) => {
                // Who gives way already because of a tracker has sent its release.
                let silent = a.leaving.is_some();
                a.leaving = Some(Leaving {
                    id,
                    until: now + patience,
                    force,
                    drained: true,
                });
                a.pending = None;
                if !silent {
                    self.send_advert(Claim::Release, cx);
                }
                true
            }
            State::Active(_) => true,
            State::Init | State::Fault | State::Backup(_) => {
                self.term = Some(Term::Drained);
                false
            }
        }
    }

    /// While leaving: any valid advert is the successor's, however low its priority.
    pub(super) fn hear_while_leaving(
        &mut self,
        now: Instant,
        claim: Claim,
        from: IpAddr,
        cx: &mut Cx<'_>,
    ) -> bool {
        let State::Active(a) = &self.state else {
            return false;
        };
        let Some(leaving) = a.leaving else {
            return false;
        };
        if let Claim::Hold(_) = claim {
            let why = if leaving.drained {
                self.term = Some(Term::Drained);
                Why::Drained
            } else {
                self.why_gave_way(from)
            };
            self.follow(now, why, cx);
            if let Some(id) = leaving.id {
                let outcome = Outcome::Done {
                    successor: Some(from),
                };
                cx.out.push(Action::Ordered { id, outcome });
            }
        }
        true
    }

    /// Nobody came: go on as before, or leave all the same. True while it is still silent.
    pub(super) fn leaving_due(&mut self, now: Instant, cx: &mut Cx<'_>) -> bool {
        let State::Active(a) = &mut self.state else {
            return false;
        };
        let Some(leaving) = a.leaving else {
            return false;
        };
        if now < leaving.until {
            return true;
        }
        a.leaving = None;
        a.advert_at = now;
        if !leaving.force {
            self.serve_on(cx);
        }
        if !leaving.drained {
            return false;
        }
        let outcome = if leaving.force {
            self.term = Some(Term::Drained);
            self.forced_out = true;
            Outcome::LeftAlone
        } else {
            Outcome::NobodyTookOver
        };
        if let Some(id) = leaving.id {
            cx.out.push(Action::Ordered { id, outcome });
        }
        false
    }

    fn takeover_obstacle(&self, now: Instant) -> Option<String> {
        // A takeover ends a hold. What keeps another member away is found with that member.
        let real = |fault: &&Why| !matches!(fault, Why::FlapDamping | Why::GroupMember { .. });
        if let Some(fault) = self.faults.iter().find(real) {
            return Some(format!("{} is in FAULT: {fault}", self.settings.name));
        }
        if let Some(why) = &self.degraded {
            return Some(format!("{} is degraded: {why}", self.settings.name));
        }
        if matches!(self.state, State::Init) {
            return Some(format!("{} has not started yet", self.settings.name));
        }
        let living = self.settings.adver * 4;
        self.peers
            .highest(now, living)
            .filter(|(_, p)| p.get() >= 254)
            .map(|(addr, p)| format!("{addr} advertises priority {p}, which cannot be outranked"))
    }

    /// Silent on purpose, until a successor is heard.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(&self.state, State::Active(a) if a.leaving.is_some())
    }

    fn is_leaving(&self) -> bool {
        matches!(&self.state, State::Active(a) if a.leaving.is_some_and(|l| l.drained))
    }

    /// Another transition ends the wait for a successor; a drain is in force all the same.
    pub(super) fn end_leaving(&mut self, cx: &mut Cx<'_>) {
        if self.break_off(Outcome::Done { successor: None }, cx) {
            self.term = Some(Term::Drained);
        }
    }

    /// Ends a drain that is on its way and answers its order; true if there was one.
    fn break_off(&mut self, outcome: Outcome, cx: &mut Cx<'_>) -> bool {
        let State::Active(a) = &mut self.state else {
            return false;
        };
        let Some(leaving) = a.leaving.take_if(|leaving| leaving.drained) else {
            return false;
        };
        if let Some(id) = leaving.id {
            cx.out.push(Action::Ordered { id, outcome });
        }
        true
    }

    /// Another order ends a drain that is on its way: it speaks again at once.
    fn overrule(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let why = "another order came before anybody took over".to_owned();
        if self.break_off(Outcome::Refused { why }, cx)
            && let State::Active(a) = &mut self.state
        {
            a.advert_at = now;
        }
    }

    fn take_over(&mut self, now: Instant, resumed: bool, cx: &mut Cx<'_>) {
        self.overrule(now, cx);
        self.term = Some(Term::Takeover);
        self.damping_overruled();
        if !self.settings.priority.is_owner() {
            self.standing.priority = Priority::contender(254);
        }
        if !resumed && matches!(self.state, State::Backup(_)) {
            self.become_active(now, Why::Operator, cx);
        }
    }

    fn clear_term(&mut self, now: Instant, cx: &mut Cx<'_>) {
        self.term = None;
        self.forced_out = false;
        self.overrule(now, cx);
    }
}
