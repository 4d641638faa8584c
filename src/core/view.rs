//! The picture of the running state that `status` shows.

use crate::core::engine::Engine;
use crate::core::group::Group;
use crate::core::router::Router;
use crate::core::tracker::Tracker;
use crate::model::ids::CheckId;
use crate::model::notice::keepalived_word;
use crate::model::time::Instant;
use crate::model::view::{AddressView, CheckView, FORM, GroupView, LinkView, RouterView, Snapshot};
use std::sync::Arc;

impl Engine {
    /// Fills a picture that the asker brought; what the shell knows better is left as it is.
    ///
    /// *Allocates*: texts and lists of the picture.
    pub fn fill(&self, now: Instant, into: &mut Snapshot) {
        into.form = FORM;
        into.instances.clear();
        let routers = self
            .order
            .iter()
            .filter_map(|id| self.routers.get(id.0 as usize)?.as_ref());
        into.instances
            .extend(routers.map(|r| self.router_view(now, r)));
        into.groups.clear();
        into.groups
            .extend(self.groups.iter().map(|g| self.group_view(now, g)));
        into.scripts.clear();
        into.scripts.extend(
            self.check_order
                .iter()
                .filter_map(|id| self.check_view(now, *id)),
        );
        into.externals = self.external_views(now);
        into.interfaces.clear();
        let mut names: Vec<_> = self.by_interface.keys().collect();
        names.sort();
        into.interfaces
            .extend(names.iter().map(|name| match self.links.named(name) {
                Some(link) => link.view(now),
                None => LinkView {
                    name: (*name).clone(),
                    index: None,
                    up: false,
                    turning: None,
                    polled: false,
                    rejected: Vec::new(),
                },
            }));
        into.statics.clear();
        into.statics.extend(self.statics.views());
        let strangers = |name: &&Arc<str>| {
            let link = self.links.named(name)?;
            Some(link.strangers.views(now, &link.name))
        };
        into.strangers.clear();
        into.strangers
            .extend(names.iter().filter_map(strangers).flatten());
        into.engine.worst_late_s = self.worst_late.as_secs_f64();
    }

    fn router_view(&self, now: Instant, r: &Router) -> RouterView {
        let s = &r.settings;
        let (timer, learned) = r.timers();
        RouterView {
            name: s.name.clone(),
            interface: s.interface.clone(),
            vrid: s.vrid.get(),
            family: s.family,
            version: s.version.wire(),
            state: keepalived_word(r.phase()).to_owned(),
            base_priority: s.priority.get(),
            priority: r.standing.priority.get(),
            priority_sum: r.standing.sum,
            since_s: now.since(r.since).as_secs_f64(),
            cause: r.why.code().to_owned(),
            detail: r.why.to_string(),
            faults: r.faults.iter().map(ToString::to_string).collect(),
            timer_s: timer.map(|at| at.since(now).as_secs_f64()),
            source: r.source,
            advert_interval_s: s.adver.as_secs_f64(),
            learned_interval_s: learned.as_secs_f64(),
            addresses: r
                .places
                .iter()
                .map(|p| AddressView {
                    address: p.what.cidr.to_string(),
                    interface: p.what.dev.as_ref().unwrap_or(&s.interface).clone(),
                    installed: p.is_present(),
                    advertised: p.advertised,
                })
                .collect(),
            tracks: self.track_views(now, r),
            peers: r.peers.views(now),
            what_if: self.what_if(now, r),
            intent: None,
            damping: r.damping_view(now),
            degraded: r.degraded_view(),
            counters: r.stats.view(),
        }
    }

    fn group_view(&self, now: Instant, group: &Group) -> GroupView {
        let members = group.members.iter().filter_map(|m| self.router(*m));
        let since = members.map(|r| r.since).max().unwrap_or(now);
        GroupView {
            name: group.settings.name.clone(),
            state: keepalived_word(group.phase).to_owned(),
            since_s: now.since(since).as_secs_f64(),
            members: group.settings.members.clone(),
        }
    }

    fn check_view(&self, now: Instant, id: CheckId) -> Option<CheckView> {
        let tracker: &Tracker = self.trackers.get(id.0 as usize)?.as_ref()?;
        let settings = tracker.settings();
        let state = match (&settings.unusable, tracker.is_used(), tracker.health().up()) {
            (Some(_), _, _) => "unusable",
            (None, false, _) => "unused",
            (None, true, None) => "pending",
            (None, true, Some(true)) => "up",
            (None, true, Some(false)) => "down",
        };
        let (runs, failures) = tracker.tally();
        Some(CheckView {
            name: settings.name.clone(),
            state: state.to_owned(),
            counter: tracker.counter_in(self.is_served_with(id)),
            last: tracker.last().map(|(verdict, _)| verdict.to_string()),
            last_ago_s: tracker.last().map(|(_, at)| now.since(at).as_secs_f64()),
            runs,
            failures,
            stderr: tracker.stderr().to_string(),
            unusable: settings.unusable.clone(),
        })
    }
}
