//! Settings become routers and trackers: at the start from nothing, at a reload by difference.

use crate::core::action::{Action, Actions, Change};
use crate::core::engine::Engine;
use crate::core::places::{Bystanders, Spot, spot};
use crate::core::plan::{Plan, Step};
use crate::core::router::{Cx, Router};
use crate::core::serve::find_link;
use crate::core::timers::Slot;
use crate::core::tracker::Tracker;
use crate::model::addr::{Cidr, VirtualAddress};
use crate::model::ids::{CheckId, LinkId, RouterId};
use crate::model::notice::{Phase, What, Why};
use crate::model::settings::{RouterSettings, Settings};
use crate::model::time::Instant;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

impl Engine {
    /// Adds before it removes, touches nothing that stays the same, and hands the old settings back.
    pub(super) fn apply(&mut self, now: Instant, mut plan: Plan, out: &mut Actions) {
        let new = plan.settings.clone();
        let old_order = std::mem::take(&mut self.order);
        let old_checks = std::mem::take(&mut self.check_order);
        let old_settings = std::mem::replace(&mut self.settings, new.clone());
        self.apply_checks(now, &plan.checks, &old_checks, &new, out);
        self.relate_reports(&old_settings, &new);

        for name in self.links.take(now, &new) {
            self.mark_interface(&name);
        }
        self.set_timer(Slot::Links, self.links.due());
        let others = self.bystanders(&plan.routers, &old_order, &new);
        let (mut created, mut altered) = (Vec::new(), Vec::new());
        for step in &plan.routers {
            match *step {
                Step::Create { new: at } => {
                    let Some(settings) = new.routers.get(at) else {
                        continue;
                    };
                    let id = self.free_slot();
                    let router = Router::new(id, settings.clone(), now);
                    if let Some(slot) = self.routers.get_mut(id.0 as usize) {
                        *slot = Some(router);
                    }
                    self.order.push(id);
                    created.push(id);
                }
                Step::Alter { old, new: at } => {
                    let (Some(&id), Some(settings)) = (old_order.get(old), new.routers.get(at))
                    else {
                        continue;
                    };
                    self.order.push(id);
                    altered.push(id);
                    self.alter(now, id, settings.clone(), &others, out);
                }
                Step::Keep { old, .. } => self.order.extend(old_order.get(old)),
                Step::Retire { old } => {
                    if let Some(&id) = old_order.get(old) {
                        self.retire(now, id, &others, out);
                    }
                }
            }
        }
        self.relate(&new);
        self.alter_statics(&new, &others, out);
        if self.begun {
            // What another router gives up in this turn is no leftover.
            let leaving: HashSet<(LinkId, Cidr)> = out
                .iter()
                .filter_map(|action| match action {
                    Action::Address {
                        link,
                        change: Change::Remove,
                        what,
                        ..
                    } => Some((*link, what.cidr)),
                    Action::Address { .. }
                    | Action::Send { .. }
                    | Action::Open { .. }
                    | Action::Close { .. }
                    | Action::StartRun { .. }
                    | Action::StopRun { .. }
                    | Action::Ordered { .. }
                    | Action::Fed { .. }
                    | Action::Notify(_)
                    | Action::Tell(_)
                    | Action::Dispose(_) => None,
                })
                .collect();
            for id in altered {
                self.scrub(id, &leaving, out);
            }
            for id in created {
                self.scrub(id, &leaving, out);
                self.say(id, "created", out);
            }
        }
        self.mark_all();
        plan.settings = old_settings;
        out.push(Action::Dispose(Box::new(plan)));
    }

    fn apply_checks(
        &mut self,
        now: Instant,
        steps: &[Step],
        old_order: &[CheckId],
        new: &Settings,
        out: &mut Actions,
    ) {
        let mut free = self.free_trackers(old_order);
        for step in steps {
            match *step {
                Step::Create { new: at } => {
                    let Some(settings) = new.checks.get(at) else {
                        continue;
                    };
                    let id = free.pop().unwrap_or_else(|| {
                        self.trackers.push(None);
                        let last = self.trackers.len() - 1;
                        CheckId(u32::try_from(last).unwrap_or(u32::MAX))
                    });
                    if let Some(slot) = self.trackers.get_mut(id.0 as usize) {
                        *slot = Some(Tracker::new(id, settings.clone(), now));
                    }
                    if self.begun {
                        self.holding.remove(&id);
                    } else {
                        self.holding.insert(id);
                    }
                    self.check_order.push(id);
                }
                Step::Alter { old, new: at } => {
                    let (Some(&id), Some(settings)) = (old_order.get(old), new.checks.get(at))
                    else {
                        continue;
                    };
                    if let Some(Some(tracker)) = self.trackers.get_mut(id.0 as usize) {
                        tracker.alter(settings.clone(), now, out);
                    }
                    self.check_order.push(id);
                }
                Step::Keep { old, .. } => self.check_order.extend(old_order.get(old)),
                Step::Retire { old } => {
                    let Some(&id) = old_order.get(old) else {
                        continue;
                    };
                    if let Some(Some(tracker)) = self.trackers.get_mut(id.0 as usize) {
                        tracker.stop(now, out);
                        let deadline = tracker.deadline();
                        self.set_timer(Slot::Tracker(id.0), deadline);
                    }
                }
            }
        }
    }

    /// Who uses which script, interface and address, and which scripts run at all.
    fn relate(&mut self, settings: &Settings) {
        self.by_name = self
            .check_order
            .iter()
            .zip(&settings.checks)
            .map(|(id, check)| (check.name.clone(), *id))
            .collect();
        self.users = HashMap::new();
        self.by_interface = HashMap::new();
        self.virtuals = HashMap::new();
        for (id, router) in self.order.iter().zip(&settings.routers) {
            for track in &router.tracks {
                if let Some(check) = self.by_name.get(&track.check) {
                    self.users.entry(*check).or_default().push(*id);
                }
            }
            for address in router.installed() {
                let owners = self.virtuals.entry(address.cidr.addr).or_default();
                if owners.last() != Some(id) {
                    owners.push(*id);
                }
            }
            let mut interfaces: Vec<&Arc<str>> = router.used_interfaces().collect();
            interfaces.sort();
            interfaces.dedup();
            for name in interfaces {
                self.by_interface.entry(name.clone()).or_default().push(*id);
            }
        }
        self.relate_groups();
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            let id = CheckId(u32::try_from(index).unwrap_or(u32::MAX));
            if let Some(tracker) = tracker {
                tracker.set_used(self.users.contains_key(&id));
            }
        }
        for index in 0..self.trackers.len() {
            let slot = Slot::Tracker(u32::try_from(index).unwrap_or(u32::MAX));
            let deadline = self.trackers[index].as_ref().and_then(Tracker::deadline);
            if self.begun {
                self.set_timer(slot, deadline);
            }
        }
    }

    /// What routers that stay Active serve afterwards, and what all have in the kernel now.
    fn bystanders(&self, steps: &[Step], old_order: &[RouterId], new: &Settings) -> Bystanders {
        let mut others = Bystanders::default();
        for router in self.routers.iter().flatten() {
            for (link, what) in router.places.there() {
                others.there.insert(spot(link, what.cidr), what.clone());
            }
        }
        for (link, what) in self.static_places() {
            others.there.insert(spot(link, what.cidr), what.clone());
        }
        others.kept.extend(self.static_spots(new));
        for step in steps {
            let (Step::Alter { old, new: at } | Step::Keep { old, new: at }) = *step else {
                continue;
            };
            let router = old_order
                .get(old)
                .and_then(|id| self.routers.get(id.0 as usize))
                .and_then(Option::as_ref);
            let (Some(router), Some(settings)) = (router, new.routers.get(at)) else {
                continue;
            };
            if router.phase() == Phase::Active {
                others.kept.extend(self.installed_at(settings));
            }
        }
        others
    }

    fn installed_at(&self, settings: &RouterSettings) -> Vec<Spot> {
        settings
            .installed()
            .filter_map(|a| {
                find_link(&self.links, &settings.interface, a).map(|(link, _)| spot(link, a.cidr))
            })
            .collect()
    }

    /// Slots that retired scripts have left, once their last run has ended; the first one last.
    fn free_trackers(&self, old_order: &[CheckId]) -> Vec<CheckId> {
        let taken: HashSet<CheckId> = old_order.iter().copied().collect();
        let all = self.trackers.iter().zip(0..);
        let free = all.filter(|(tracker, at)| {
            !tracker.as_ref().is_some_and(Tracker::is_busy) && !taken.contains(&CheckId(*at))
        });
        let mut free: Vec<CheckId> = free.map(|(_, at)| CheckId(at)).collect();
        free.reverse();
        free
    }

    fn free_slot(&mut self) -> RouterId {
        let free = self.routers.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.routers.push(None);
            self.routers.len() - 1
        });
        RouterId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn alter(
        &mut self,
        now: Instant,
        id: RouterId,
        settings: Arc<RouterSettings>,
        others: &Bystanders,
        out: &mut Actions,
    ) {
        let altered = self.with_router_among(id, Some(others), out, |router, cx| {
            router.on_settings(now, settings, cx);
        });
        if altered.is_some() {
            self.say(id, "changed", out);
        }
    }

    fn retire(&mut self, now: Instant, id: RouterId, others: &Bystanders, out: &mut Actions) {
        let Some(slot) = self.routers.get_mut(id.0 as usize) else {
            return;
        };
        let Some(mut router) = slot.take() else {
            return;
        };
        let mut cx = Cx {
            links: &mut self.links,
            global: &self.settings.global,
            requests: &mut self.requests,
            seq: &mut self.seq,
            others: Some(others),
            out,
        };
        router.tell(What::Reloaded { how: "removed" }, &mut cx);
        router.on_stop(now, Phase::Deleted, Why::Reload, &mut cx);
        self.set_timer(Slot::Router(id.0), None);
    }

    fn say(&mut self, id: RouterId, how: &'static str, out: &mut Actions) {
        let Some(Some(router)) = self.routers.get(id.0 as usize) else {
            return;
        };
        let router = Some(router.settings.name.clone());
        let what = What::Reloaded { how };
        out.push(Action::Tell(Box::new(crate::model::notice::Notice {
            router,
            what,
        })));
    }

    /// Removes addresses of a router that is not Active, left by an earlier run or put there by
    /// somebody before they were virtual ones, unless somebody alive wants them.
    ///
    /// Only the exact address on the exact interface, never on a loopback interface.
    pub(super) fn scrub(
        &mut self,
        id: RouterId,
        leaving: &HashSet<(LinkId, Cidr)>,
        out: &mut Actions,
    ) {
        let Some(Some(router)) = self.routers.get(id.0 as usize) else {
            return;
        };
        let owns = router.settings.start_active && router.settings.priority.is_owner();
        if owns || router.phase() == Phase::Active {
            return;
        }
        let mut left = Vec::new();
        for place in router.places.iter() {
            let Some((link, name)) =
                find_link(&self.links, &router.settings.interface, &place.what)
            else {
                continue;
            };
            let there = self
                .links
                .get(link)
                .is_some_and(|l| !l.flags.loopback && l.has(place.what.cidr));
            if there
                && !self.requests.is_leaving(place.what.cidr.addr)
                && !self.is_claimed(link, place.what.cidr)
                && !self.is_served(link, place.what.cidr)
                && !leaving.contains(&(link, place.what.cidr))
            {
                left.push((link, name, place.what.clone()));
            }
        }
        for (link, name, what) in left {
            self.remove_leftover(link, &name, what, out);
        }
    }

    /// Removes what the last run's list names, where no router would remove it by itself.
    ///
    /// The link must have kept index and name, the file must use it, and nobody alive must claim it.
    pub(super) fn scrub_left(&mut self, left: &[(LinkId, Arc<str>, Cidr)], out: &mut Actions) {
        for (id, name, cidr) in left {
            let there = self
                .links
                .get(*id)
                .is_some_and(|l| l.name == *name && !l.flags.loopback && l.has(*cidr));
            let used = self.by_interface.contains_key(name) || self.statics.uses(name);
            let configured = self.virtuals.contains_key(&cidr.addr);
            let wanted = self.statics.wants(name, *cidr);
            if there && used && !configured && !wanted && !self.is_claimed(*id, *cidr) {
                let what = Arc::new(VirtualAddress::plain(*cidr));
                self.remove_leftover(*id, name, what, out);
            }
        }
    }

    /// Whether one of our routers has this address installed, or it is a static one.
    fn is_served(&self, link: LinkId, cidr: Cidr) -> bool {
        if self.statics.has(link, cidr) {
            return true;
        }
        let Some(owners) = self.virtuals.get(&cidr.addr) else {
            return false;
        };
        owners.iter().any(|id| {
            self.routers
                .get(id.0 as usize)
                .and_then(Option::as_ref)
                .is_some_and(|r| {
                    r.places.iter().any(|p| {
                        p.what.cidr == cidr
                            && p.is_present()
                            && p.on.as_ref().is_some_and(|(on, _)| *on == link)
                    })
                })
        })
    }
}
