//! What a reload must leave alone.

use super::{Watch, Watched};
use crate::core::action::{Action, Actions, Change, Via};
use crate::model::addr::VirtualAddress;
use crate::model::ids::LinkId;
use crate::model::notice::Phase;
use crate::model::settings::{GroupSettings, RouterSettings, Settings};
use crate::model::time::Instant;
use crate::model::view::Snapshot;
use crate::sim::packet;
use std::sync::Arc;

/// A rule and what was seen instead.
type Broken = (&'static str, String);

/// Whether a reload does not concern a router: it, all it tracks, and its whole group stay the same.
pub(super) fn leaves_alone(
    before: &Settings,
    after: &Settings,
    old: &RouterSettings,
    new: &RouterSettings,
) -> bool {
    let group = |s: &Settings| -> Option<Arc<GroupSettings>> {
        let mut groups = s.groups.iter();
        groups.find(|g| g.members.contains(&old.name)).cloned()
    };
    let (was, is) = (group(before), group(after));
    let members = was.iter().flat_map(|g| &g.members);
    let same_members = members.into_iter().all(|name| {
        let named = |s: &Settings| s.routers.iter().find(|r| r.name == *name).cloned();
        match (named(before), named(after)) {
            (Some(a), Some(b)) => a == b && same_tracked(before, after, &a),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    });
    before.global == after.global
        && old == new
        && was == is
        && same_members
        && same_tracked(before, after, old)
}

fn same_tracked(before: &Settings, after: &Settings, router: &RouterSettings) -> bool {
    let same_check = |name: &Arc<str>| {
        let named = |s: &Settings| s.checks.iter().find(|c| c.name == *name).cloned();
        named(before) == named(after)
    };
    before.files == after.files
        && before.processes == after.processes
        && router.tracks.iter().all(|t| same_check(&t.check))
}

/// What a reload did to routers that it does not concern, or to addresses that are still served.
pub(super) fn meddles(list: &[Watched], out: &Actions) -> Option<Broken> {
    out.iter().find_map(|action| match action {
        Action::Send { link, via, frame } => sends(list, *link, *via, out.frame(*frame)),
        Action::Address {
            link,
            change: Change::Remove,
            what,
            ..
        } => removes(list, *link, what),
        Action::Address { .. }
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
}

fn sends(list: &[Watched], link: LinkId, via: Via, bytes: &[u8]) -> Option<Broken> {
    match via {
        Via::Ip(_) => {
            let packet = packet::ip(bytes)?;
            let glance = packet::glance(packet.payload)?;
            let is_of = |w: &&Watched| {
                w.untouched
                    && w.link == link
                    && w.contest.1 == packet.family
                    && w.contest.2 == glance.vrid
            };
            let watched = list.iter().find(is_of)?;
            let rule = "a reload sends no advert of a router it does not concern";
            Some((rule, watched.settings.name.to_string()))
        }
        Via::Ethernet => {
            let address = packet::announced(bytes)?;
            let has = |w: &&Watched| w.settings.installed().any(|a| a.cidr.addr == address);
            let mut owners = list.iter().filter(has).peekable();
            owners.peek()?;
            let rule = "a reload announces no address of a router it does not concern";
            owners
                .all(|w| w.untouched)
                .then(|| (rule, address.to_string()))
        }
    }
}

/// An address that an Active router serves afterwards in the same form stays where it is.
fn removes(list: &[Watched], link: LinkId, what: &VirtualAddress) -> Option<Broken> {
    let same = |a: &VirtualAddress| {
        let a = VirtualAddress {
            dev: what.dev.clone(),
            ..a.clone()
        };
        a == *what
    };
    let served = |w: &&Watched| {
        w.phase == Phase::Active && w.link == link && w.settings.installed().any(same)
    };
    let watched = list.iter().find(served)?;
    let rule = "a reload removes no address that a router serves before and after";
    Some((rule, format!("{} of {}", what.cidr, watched.settings.name)))
}

impl Watch {
    /// State, timers, peers, counters: the picture of a router that a reload does not concern is the
    /// same before and after.
    pub(in crate::sim) fn compare_reload(
        &mut self,
        host: usize,
        now: Instant,
        before: &Snapshot,
        after: &Snapshot,
    ) {
        let Some(list) = self.hosts.get(host) else {
            return;
        };
        let found = list.iter().filter(|w| w.untouched).find_map(|w| {
            let named = |s: &Snapshot| {
                s.instances
                    .iter()
                    .find(|v| v.name == w.settings.name)
                    .cloned()
            };
            let (was, is) = (named(before), named(after));
            (was != is).then(|| format!("{was:?}\nis now\n{is:?}"))
        });
        if let Some(seen) = found {
            let rule = "a reload leaves state, timers, peers and counters of other routers alone";
            self.broken(now, host, rule, seen);
        }
    }
}
