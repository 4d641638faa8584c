//! Sync groups: who must move with whom (keepalived.conf(5) vrrp_sync_group).

use crate::core::action::{Action, Actions};
use crate::core::engine::Engine;
use crate::core::facts::Facts;
use crate::core::router::{Router, State};
use crate::model::ids::RouterId;
use crate::model::notice::{Notice, Notification, Phase, Told, What, Why};
use crate::model::settings::GroupSettings;
use crate::model::time::Instant;
use std::collections::HashSet;
use std::sync::Arc;

/// One sync group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) settings: Arc<GroupSettings>,
    pub(super) members: Vec<RouterId>,
    /// What was last told of it.
    pub(super) phase: Phase,
}

impl Engine {
    /// The other members of a router's group.
    pub(super) fn siblings(&self, id: RouterId) -> Vec<RouterId> {
        let group = self.router(id).and_then(|r| r.group);
        let Some(group) = group.and_then(|g| self.groups.get(g)) else {
            return Vec::new();
        };
        group.members.iter().copied().filter(|m| *m != id).collect()
    }

    pub(super) fn router(&self, id: RouterId) -> Option<&Router> {
        self.routers.get(id.0 as usize)?.as_ref()
    }

    /// Adds what the group does to a member: another's fault is its own, another's waiting too.
    pub(super) fn fold_group(&self, id: RouterId, facts: &mut Facts) {
        let Some(group) = self.router(id).and_then(|r| r.group) else {
            return;
        };
        let Some(group) = self.groups.get(group) else {
            return;
        };
        let others = group.members.iter().filter(|m| **m != id);
        let mut told = false;
        let mut ill = None;
        for other in others.filter_map(|m| self.router(*m)) {
            // Two that are held wait for nobody: neither could leave its fault before the other.
            let both_held = other.own_damped && facts.faults == [Why::FlapDamping];
            // One is reason enough; the others tell of themselves.
            if other.own_fault && !both_held && !std::mem::replace(&mut told, true) {
                facts.faults.push(Why::GroupMember {
                    group: group.settings.name.clone(),
                    member: other.settings.name.clone(),
                });
            }
            if other.own_degraded {
                ill.get_or_insert(Why::GroupMember {
                    group: group.settings.name.clone(),
                    member: other.settings.name.clone(),
                });
            }
            facts.held |= other.own_held;
            let s = &other.settings;
            facts.may_claim &= s.start_active && s.priority.is_owner();
        }
        if !facts.faults.is_empty() {
            facts.held = self.is_closed();
            facts.degraded = None;
        } else if let (Some(why), None) = (ill, &facts.degraded) {
            facts.degrade(why);
        }
    }

    /// Finds out of every marked member whether it is well by itself before any of them is looked at,
    /// so that none starts and falls in one turn. Its group follows where that changed.
    pub(super) fn members_first(&mut self, marked: Vec<RouterId>) -> Vec<RouterId> {
        let mut seen = HashSet::new();
        let mut order = Vec::with_capacity(marked.len());
        for id in marked.into_iter().rev() {
            let Some(router) = self.router(id) else {
                continue;
            };
            if router.group.is_none() {
                order.push(id);
                continue;
            }
            let facts = self.facts(router);
            let own = (
                !facts.faults.is_empty(),
                facts.faults == [Why::FlapDamping],
                facts.held,
                facts.degraded.is_some(),
            );
            let before = |r: &Router| (r.own_fault, r.own_damped, r.own_held, r.own_degraded);
            let moved = before(router) != own;
            if let Some(Some(r)) = self.routers.get_mut(id.0 as usize) {
                (r.own_fault, r.own_damped, r.own_held, r.own_degraded) = own;
            }
            if seen.insert(id) {
                order.push(id);
            }
            if moved {
                let siblings = self.siblings(id).into_iter();
                order.extend(siblings.filter(|sibling| seen.insert(*sibling)));
            }
        }
        order.reverse();
        order
    }

    /// A member's down timer ran out: the group moves when every member wants to serve.
    pub(super) fn member_wants(&mut self, now: Instant, id: RouterId, out: &mut Actions) {
        let Some(group) = self.router(id).and_then(|r| r.group) else {
            return;
        };
        let Some(group) = self.groups.get(group) else {
            return;
        };
        let members = group.members.clone();
        let name = group.settings.name.clone();
        let ready = members
            .iter()
            .filter_map(|m| self.router(*m))
            .all(|r| r.wants.is_some() || matches!(r.state, State::Active(_)));
        if !ready {
            return;
        }
        tell(
            out,
            What::GroupSync {
                group: name,
                to: Phase::Active,
            },
        );
        for member in members {
            let why = self.router(member).and_then(|r| r.wants.clone());
            self.with_router(member, out, |router, cx| {
                if matches!(router.state, State::Backup(_)) {
                    router.become_active(now, why.unwrap_or(Why::Startup), cx);
                }
            });
        }
    }

    /// A member yielded to a better router: the others follow, without priority 0.
    pub(super) fn member_yielded(&mut self, now: Instant, id: RouterId, out: &mut Actions) {
        let Some(first) = self.router(id) else { return };
        let Some(group) = first.group.and_then(|g| self.groups.get(g)) else {
            return;
        };
        let why = Why::GroupMember {
            group: group.settings.name.clone(),
            member: first.settings.name.clone(),
        };
        let group = group.settings.name.clone();
        tell(
            out,
            What::GroupSync {
                group,
                to: Phase::Backup,
            },
        );
        for member in self.siblings(id) {
            self.with_router(member, out, |router, cx| {
                if matches!(router.state, State::Active(_)) {
                    router.follow(now, why.clone(), cx);
                }
            });
        }
    }

    /// A member answered a losing advert: the addresses of all are announced again.
    pub(super) fn member_reasserted(&mut self, now: Instant, id: RouterId) {
        for member in self.siblings(id) {
            if let Some(Some(router)) = self.routers.get_mut(member.0 as usize) {
                let garp = router.settings.garp;
                if let State::Active(a) = &mut router.state {
                    a.garp.repeat_set(now, garp.lower_repeat, garp.lower_delay);
                }
                let deadline = router.deadline();
                self.set_timer(crate::core::timers::Slot::Router(member.0), deadline);
            }
        }
    }

    /// Tells of groups whose state is another now; after their members were told of.
    pub(super) fn tell_groups(&mut self, out: &mut Actions) {
        for index in 0..self.groups.len() {
            let Some(group) = self.groups.get(index) else {
                continue;
            };
            let members = || group.members.iter().filter_map(|m| self.router(*m));
            let all = |phase: Phase| members().all(|r| r.phase() == phase);
            let to = if members().any(|r| r.phase() == Phase::Fault) {
                Phase::Fault
            } else if all(Phase::Active) {
                Phase::Active
            } else if members().any(|r| r.phase() == Phase::Init) {
                Phase::Init
            } else {
                Phase::Backup
            };
            let from = group.phase;
            if to == from || to == Phase::Init {
                continue;
            }
            // Of those who moved last, the one who moved by itself.
            let first = |r: &&Router| (r.since, !matches!(r.why, Why::GroupMember { .. }));
            let Some(member) = members().max_by_key(first) else {
                continue;
            };
            let settings = member.settings.clone();
            let (router, why) = (member.id, member.why.clone());
            self.tell_group(index, from, to, settings, router, why, out);
        }
    }

    /// The group stops with its members.
    pub(super) fn stop_groups(&mut self, out: &mut Actions) {
        for index in 0..self.groups.len() {
            let Some(group) = self.groups.get(index) else {
                continue;
            };
            let from = group.phase;
            let first = group.members.first().and_then(|m| self.router(*m));
            let Some((router, settings)) = first.map(|r| (r.id, r.settings.clone())) else {
                continue;
            };
            self.tell_group(
                index,
                from,
                Phase::Stopped,
                settings,
                router,
                Why::Stop,
                out,
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one notification's fields")]
    fn tell_group(
        &mut self,
        index: usize,
        from: Phase,
        to: Phase,
        settings: Arc<crate::model::settings::RouterSettings>,
        router: RouterId,
        why: Why,
        out: &mut Actions,
    ) {
        let Some(group) = self.groups.get_mut(index) else {
            return;
        };
        group.phase = to;
        let first = from == Phase::Init;
        self.seq += 1;
        let what = What::GroupEntering {
            group: group.settings.name.clone(),
            from,
            to,
            why: why.clone(),
            seq: self.seq,
        };
        tell(out, what);
        out.push(Action::Notify(Box::new(Notification {
            router,
            settings,
            group: Some(group.settings.clone()),
            from,
            to: Told::State(to),
            priority: 0,
            why,
            seq: self.seq,
            first,
        })));
    }

    /// Rebuilds the groups from the settings; what was told of a group by that name stays.
    pub(super) fn relate_groups(&mut self) {
        let old = std::mem::take(&mut self.groups);
        let phase_of = |name: &str| {
            old.iter()
                .find(|g| *g.settings.name == *name)
                .map_or(Phase::Init, |g| g.phase)
        };
        for router in self.routers.iter_mut().flatten() {
            router.group = None;
        }
        let settings = self.settings.clone();
        let by_name: std::collections::HashMap<&str, RouterId> = self
            .order
            .iter()
            .zip(&settings.routers)
            .map(|(id, r)| (&*r.name, *id))
            .collect();
        for group in &settings.groups {
            let index = self.groups.len();
            let members: Vec<RouterId> = group
                .members
                .iter()
                .filter_map(|m| by_name.get(&**m).copied())
                .collect();
            for member in &members {
                if let Some(Some(router)) = self.routers.get_mut(member.0 as usize) {
                    router.group = Some(index);
                }
            }
            let phase = phase_of(&group.name);
            self.groups.push(Group {
                settings: group.clone(),
                members,
                phase,
            });
        }
    }
}

fn tell(out: &mut Actions, what: What) {
    out.push(Action::Tell(Box::new(Notice { router: None, what })));
}
