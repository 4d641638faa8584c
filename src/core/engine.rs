//! The engine: one door in, one list out, one question.

use crate::core::action::{Action, Actions, Change};
use crate::core::feed::Reports;
use crate::core::group::Group;
use crate::core::input::Input;
use crate::core::link::Links;
use crate::core::places::Bystanders;
use crate::core::places::Requests;
use crate::core::plan::{Plan, diff};
use crate::core::router::{Cx, Router, State};
use crate::core::statics::{self, Statics};
use crate::core::timers::{Slot, Timers};
use crate::core::tracker::{Edge, Tracker};
use crate::model::addr::Cidr;
use crate::model::ids::{ActionId, CheckId, Family, LinkId, RouterId, RunId, Vrid};
use crate::model::notice::{Mover, Notice, Phase, What, Why};
use crate::model::order::{Order, Outcome, StopKind};
use crate::model::seen::{AddressSeen, LinkSeen, TrackedSeen, Verdict};
use crate::model::settings::Settings;
use crate::model::time::Instant;
use crate::wire::advert::{Datagram, vrid_of};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// All virtual routers and trackers of one daemon.
///
/// # Contract
///
/// * [`Engine::handle`] is the only way in. `now` must not go backwards. Everything to be done is
///   appended to `out`, in the order in which it is to be done; nothing else happens.
/// * [`Engine::next_deadline`] says when to call it with [`Input::Tick`] at the latest. It may
///   change with every call: ask again each time. A tick too early is harmless.
/// * Facts ([`Input::Link`], [`Input::Address`]) may be repeated. After the first complete picture
///   comes [`Input::Begin`]; before it no router leaves Init.
/// * Read all waiting packets before a Tick. What could not be read is said by [`Input::Backlog`].
/// * Each [`Action::Address`] is answered by `Applied` or `Refused`, each [`Action::StartRun`] by
///   `CheckDone`.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Arc<Settings>,
    /// Slots; `None` after a router is retired.
    pub(super) routers: Vec<Option<Router>>,
    /// Slot of each router in the order of the settings.
    pub(super) order: Vec<RouterId>,
    pub(super) trackers: Vec<Option<Tracker>>,
    pub(super) check_order: Vec<CheckId>,
    pub(super) by_name: HashMap<Arc<str>, CheckId>,
    /// Scripts that were there at the start hold their users until their first result.
    pub(super) holding: HashSet<CheckId>,
    pub(super) users: HashMap<CheckId, Vec<RouterId>>,
    pub(super) by_interface: HashMap<Arc<str>, Vec<RouterId>>,
    /// Which routers have a virtual address.
    pub(super) virtuals: HashMap<IpAddr, Vec<RouterId>>,
    index: HashMap<(LinkId, Family, Vrid), Vec<RouterId>>,
    open: HashSet<(LinkId, Family)>,
    /// Of those, the ones that could not be opened: deaf and dumb, so nobody may serve there.
    pub(super) deaf: HashSet<(LinkId, Family)>,
    links_moved: bool,
    pub(super) links: Links,
    timers: Timers,
    pub(super) requests: Requests,
    pub(super) seq: u64,
    runs: u64,
    dirty: Vec<RouterId>,
    due: Vec<Slot>,
    /// The tracked thing whose move is being settled.
    edge_of: Option<Mover>,
    pub(super) begun: bool,
    /// `vrrp_startup_delay` holds everybody until then.
    opens_at: Option<Instant>,
    claimed: HashSet<(LinkId, Cidr)>,
    stopping: bool,
    deadline: Option<Instant>,
    pub(super) worst_late: Duration,
    pub(super) groups: Vec<Group>,
    /// Numbers in tracked files, by name.
    pub(super) file_values: HashMap<Arc<str>, i32>,
    /// Whether tracked processes have their quorum, by name.
    pub(super) process_quorums: HashMap<Arc<str>, bool>,
    /// Orders for instances that the next plan creates.
    pub(super) waiting: Vec<Order>,
    /// What other programs reported of external trackers.
    pub(super) reports: Reports,
    pub(super) statics: Statics,
}

impl Engine {
    /// An engine whose routers wait in Init for [`Input::Begin`].
    pub fn new(settings: Arc<Settings>) -> Self {
        let mut engine = Self {
            settings: Arc::new(Settings::default()),
            routers: Vec::new(),
            order: Vec::new(),
            trackers: Vec::new(),
            check_order: Vec::new(),
            by_name: HashMap::new(),
            holding: HashSet::new(),
            users: HashMap::new(),
            by_interface: HashMap::new(),
            virtuals: HashMap::new(),
            index: HashMap::new(),
            open: HashSet::new(),
            deaf: HashSet::new(),
            links_moved: false,
            links: Links::default(),
            timers: Timers::default(),
            requests: Requests::default(),
            seq: 0,
            runs: 0,
            dirty: Vec::new(),
            due: Vec::new(),
            edge_of: None,
            begun: false,
            opens_at: None,
            claimed: HashSet::new(),
            stopping: false,
            deadline: None,
            worst_late: Duration::ZERO,
            groups: Vec::new(),
            file_values: HashMap::new(),
            process_quorums: HashMap::new(),
            waiting: Vec::new(),
            reports: Reports::default(),
            statics: Statics::default(),
        };
        let plan = diff(&engine.settings, settings);
        let mut nothing = Actions::default();
        engine.apply(Instant::ZERO, plan, &mut nothing);
        engine
    }

    /// The one door in. `now` must not go backwards; everything to be done is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Datagram(datagram) => {
                self.receive(now, &datagram, out);
                self.deadline = self.earliest();
                return;
            }
            Input::Backlog(link) => self.links.backlog(link),
            Input::Socket { link, family, open } => self.see_socket(link, family, open),
            Input::Tick => self.tick(now, out),
            Input::Link(seen) => self.see_link(now, &seen, out),
            Input::Address(seen) => self.see_address(now, &seen, out),
            Input::CheckStarted { check, run } => {
                if let Some(Some(tracker)) = self.trackers.get_mut(check.0 as usize) {
                    tracker.on_started(run);
                }
                return;
            }
            Input::CheckDone {
                check,
                run,
                verdict,
                stderr,
            } => {
                self.check_done(now, check, run, verdict, &stderr, out);
            }
            Input::Applied { action } => self.answered(now, action, None, out),
            Input::Refused { action, errno } => self.answered(now, action, Some(errno), out),
            Input::Begin {
                uptime,
                claimed,
                left,
            } => {
                self.claimed.extend(claimed);
                self.begin(now, uptime, left, out);
            }
            Input::Plan(plan) => {
                if !self.stopping {
                    self.reload(now, *plan, out);
                }
            }
            Input::Tracked(seen) => self.see_tracked(now, seen),
            Input::Feed(feed) => self.feed(now, &feed, out),
            Input::Order(order) => {
                if self.begun || (order.what.is_resumed() && !self.stopping) {
                    self.order(now, &order, out);
                } else {
                    let why = "the daemon is starting or stopping".to_owned();
                    let outcome = Outcome::Refused { why };
                    out.push(Action::Ordered {
                        id: order.id,
                        outcome,
                    });
                }
            }
            Input::Stop(StopKind::Polite) => self.stop(now, out),
        }
        self.settle(now, out);
        self.deadline = self.earliest();
    }

    /// The end of the start's delay, of a lease, and every timer, whichever comes first.
    fn earliest(&mut self) -> Option<Instant> {
        let timer = self.timers.earliest();
        let others = [self.opens_at, self.reports.lease_at];
        others.into_iter().flatten().chain(timer).min()
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`] at the latest. Ask after every call.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// After a stop: whether the kernel has answered for everything and no script runs.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && !self.trackers.iter().flatten().any(Tracker::is_busy)
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    // ---- packets ---------------------------------------------------------------------------------

    fn receive(&mut self, now: Instant, d: &Datagram<'_>, out: &mut Actions) {
        let Some(vrid) = vrid_of(d.payload) else {
            if let Some(link) = self.links.get_mut(d.link) {
                link.unreadable += 1;
            }
            return;
        };
        let id = match self.index.get(&(d.link, d.family, vrid)).map(Vec::as_slice) {
            Some([one]) => *one,
            Some(several) if !several.is_empty() => {
                let of = |id: &RouterId| self.routers.get(id.0 as usize)?.as_ref();
                let meant = |id: &&RouterId| {
                    of(id).is_some_and(|r| {
                        r.is_unicast() != d.dst.is_multicast()
                            && (!r.is_unicast() || r.has_peer(d.src))
                    })
                };
                several.iter().find(meant).copied().unwrap_or(several[0])
            }
            Some(_) | None => return self.unknown_vrid(now, d, vrid, out),
        };
        let heard = self.with_router(id, out, |router, cx| {
            let was_active = matches!(router.state, State::Active(_));
            let reasserted = router.stats.counters.reasserted;
            router.receive(now, d, cx);
            let yielded = was_active && !matches!(router.state, State::Active(_));
            let reasserted = reasserted != router.stats.counters.reasserted;
            (
                router.group.is_some(),
                router.term.is_some(),
                yielded,
                reasserted,
            )
        });
        let Some((grouped, termed, yielded, reasserted)) = heard else {
            return;
        };
        if termed && yielded {
            self.dirty.push(id);
        }
        if grouped && yielded {
            self.member_yielded(now, id, out);
            self.tell_groups(out);
        } else if grouped && reasserted {
            self.member_reasserted(now, id);
        }
        if !self.dirty.is_empty() {
            self.settle(now, out);
        }
        self.live_check(now, id, out);
    }

    fn unknown_vrid(&mut self, now: Instant, d: &Datagram<'_>, vrid: Vrid, out: &mut Actions) {
        let tells = self.settings.global.log_unknown_vrids;
        let Some(link) = self.links.get_mut(d.link) else {
            return;
        };
        link.unknown_vrid += 1;
        link.strangers.hear(now, d);
        if link.first_told(vrid.get()) {
            let what = What::UnknownVrid {
                vrid: vrid.get(),
                from: d.src,
                aloud: tells,
            };
            out.push(Action::Tell(Box::new(Notice { router: None, what })));
        }
    }

    // ---- time ------------------------------------------------------------------------------------

    fn tick(&mut self, now: Instant, out: &mut Actions) {
        if self.opens_at.is_some_and(|at| now >= at) {
            self.opens_at = None;
            self.mark_all();
        }
        if let Some(at) = self.timers.earliest() {
            self.worst_late = self.worst_late.max(now.since(at));
        }
        let mut due = std::mem::take(&mut self.due);
        while let Some(slot) = self.timers.pop_due(now) {
            due.push(slot);
        }
        for slot in due.drain(..) {
            match slot {
                Slot::Router(id) => self.tick_router(now, RouterId(id), out),
                Slot::Tracker(id) => {
                    let active = self.is_served_with(CheckId(id));
                    let Some(Some(tracker)) = self.trackers.get_mut(id as usize) else {
                        continue;
                    };
                    tracker.set_role(active);
                    let edge = tracker.on_tick(now, &mut self.runs, out);
                    self.timers.set(slot, tracker.deadline());
                    self.mark_edge(CheckId(id), edge);
                }
                Slot::Links => self.turn_links(now),
                Slot::Statics => self.tick_statics(now, out),
            }
        }
        self.due = due;
        self.end_leases(now, out);
        self.links.end_pass();
    }

    fn tick_router(&mut self, now: Instant, id: RouterId, out: &mut Actions) {
        let Some(Some(router)) = self.routers.get_mut(id.0 as usize) else {
            return;
        };
        // Unread adverts may be its Active router's: for a few passes nobody there is silent.
        let unread = matches!(router.state, State::Backup(_))
            && router
                .link
                .and_then(|id| self.links.get(id))
                .is_some_and(|l| l.backlog && l.backlog_passes <= 3);
        if unread {
            self.timers.set(Slot::Router(id.0), router.deadline());
            return;
        }
        let ticked = self.with_router(id, out, |router, cx| {
            let before = (router.term, router.forced_out, router.damping.is_held());
            let wants = router.on_tick(now, cx);
            let after = (router.term, router.forced_out, router.damping.is_held());
            (
                wants,
                matches!(router.state, State::Fault) || after != before,
            )
        });
        let Some((wants, moved)) = ticked else {
            return;
        };
        if moved {
            self.dirty.push(id);
        }
        if wants {
            self.member_wants(now, id, out);
        }
        self.live_check(now, id, out);
    }

    // ---- facts -----------------------------------------------------------------------------------

    fn see_link(&mut self, now: Instant, seen: &LinkSeen, out: &mut Actions) {
        let old_mac = self.links.get(seen.link).and_then(|l| l.flags.mac);
        let names = self.links.see(now, seen.link, &seen.name, seen.is);
        self.timers.set(Slot::Links, self.links.due());
        self.statics_see_link(seen.link, out);
        let new_mac = seen.is.and_then(|f| f.mac);
        for name in names.into_iter().flatten() {
            self.links_moved = true;
            self.mark_interface(&name);
            self.edge_of = Some(Mover {
                kind: "interface",
                name,
            });
        }
        if old_mac.is_some() && new_mac.is_some() && old_mac != new_mac {
            for router in self.routers.iter_mut().flatten() {
                if router.link == Some(seen.link) {
                    router.announce_again(now);
                }
            }
        }
    }

    /// New states of interfaces have lasted long enough.
    pub(super) fn turn_links(&mut self, now: Instant) {
        for name in self.links.turn(now) {
            self.mark_interface(&name);
        }
        self.timers.set(Slot::Links, self.links.due());
    }

    fn see_socket(&mut self, link: LinkId, family: Family, open: bool) {
        let key = (link, family);
        let news = if open {
            self.deaf.remove(&key)
        } else {
            self.open.contains(&key) && self.deaf.insert(key)
        };
        let name = self.links.get(link).map(|l| l.name.clone());
        if let Some(name) = name.filter(|_| news) {
            self.mark_interface(&name);
        }
    }

    fn see_address(&mut self, now: Instant, seen: &AddressSeen, out: &mut Actions) {
        let Some(link) = self.links.get_mut(seen.link) else {
            return;
        };
        let name = link.name.clone();
        if link.see(seen) {
            self.mark_interface(&name);
        }
        self.static_seen(now, seen.link, seen.cidr, seen.present, out);
        let Some(owners) = self.virtuals.get(&seen.cidr.addr) else {
            return;
        };
        for id in owners {
            let Some(Some(router)) = self.routers.get_mut(id.0 as usize) else {
                continue;
            };
            router.places.see(seen.link, seen.cidr, seen.present);
            if seen.present {
                continue;
            }
            let mut cx = Cx {
                links: &mut self.links,
                global: &self.settings.global,
                requests: &mut self.requests,
                seq: &mut self.seq,
                others: None,
                out,
            };
            router.on_removed(now, seen.link, seen.cidr, &mut cx);
            if router.lost.is_some() {
                self.dirty.push(*id);
            }
            self.timers.set(Slot::Router(id.0), router.deadline());
        }
    }

    fn check_done(
        &mut self,
        now: Instant,
        check: CheckId,
        run: RunId,
        verdict: Verdict,
        stderr: &Arc<str>,
        out: &mut Actions,
    ) {
        let active = self.is_served_with(check);
        let Some(Some(tracker)) = self.trackers.get_mut(check.0 as usize) else {
            return;
        };
        tracker.set_role(active);
        let edge = tracker.on_done(now, run, verdict, stderr, out);
        self.timers.set(Slot::Tracker(check.0), tracker.deadline());
        self.mark_edge(check, edge);
    }

    fn answered(&mut self, now: Instant, id: ActionId, errno: Option<i32>, out: &mut Actions) {
        let Some((owner, hint)) = self.requests.settle(id) else {
            return;
        };
        if owner == statics::OWNER {
            return self.static_answered(now, hint, id, errno, out);
        }
        let lost = self.with_router(owner, out, |router, cx| {
            router.on_answer(now, hint, id, errno, cx);
            router.lost.is_some()
        });
        if lost == Some(true) {
            self.dirty.push(owner);
        }
    }

    // ---- life ------------------------------------------------------------------------------------

    fn begin(
        &mut self,
        now: Instant,
        uptime: Duration,
        left: &[(LinkId, Arc<str>, Cidr)],
        out: &mut Actions,
    ) {
        if self.begun || self.stopping {
            return;
        }
        self.begun = true;
        let global = &self.settings.global;
        let delay = global
            .startup_delay
            .max(global.delay_after_boot.saturating_sub(uptime));
        if !delay.is_zero() {
            self.opens_at = Some(now + delay);
        }
        self.scrub_left(left, out);
        for id in self.order.clone() {
            self.scrub(id, &HashSet::new(), out);
        }
        self.begin_statics(left, out);
        for (id, tracker) in self.trackers.iter_mut().enumerate() {
            if let Some(tracker) = tracker {
                tracker.start(now);
                self.timers.set(
                    Slot::Tracker(u32::try_from(id).unwrap_or(u32::MAX)),
                    tracker.deadline(),
                );
            }
        }
        self.links_moved = true;
        self.mark_all();
    }

    fn stop(&mut self, now: Instant, out: &mut Actions) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.opens_at = None;
        for id in self.order.clone() {
            self.with_router(id, out, |router, cx| {
                router.on_stop(now, Phase::Stopped, Why::Stop, cx);
            });
            self.timers.set(Slot::Router(id.0), None);
        }
        self.stop_groups(out);
        self.stop_statics(out);
        for (id, tracker) in self.trackers.iter_mut().enumerate() {
            if let Some(tracker) = tracker {
                tracker.stop(now, out);
                self.timers.set(
                    Slot::Tracker(u32::try_from(id).unwrap_or(u32::MAX)),
                    tracker.deadline(),
                );
            }
        }
        self.begun = false;
    }

    // ---- settling --------------------------------------------------------------------------------

    /// Lets a router act, and stores its next deadline.
    pub(super) fn with_router<R>(
        &mut self,
        id: RouterId,
        out: &mut Actions,
        on: impl FnOnce(&mut Router, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        self.with_router_among(id, None, out, on)
    }

    /// As [`Engine::with_router`], where a reload spares what others want to keep.
    pub(super) fn with_router_among<R>(
        &mut self,
        id: RouterId,
        others: Option<&Bystanders>,
        out: &mut Actions,
        on: impl FnOnce(&mut Router, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let router = self.routers.get_mut(id.0 as usize)?.as_mut()?;
        let mut cx = Cx {
            links: &mut self.links,
            global: &self.settings.global,
            requests: &mut self.requests,
            seq: &mut self.seq,
            others,
            out,
        };
        let said = on(router, &mut cx);
        self.timers.set(Slot::Router(id.0), router.deadline());
        Some(said)
    }

    /// Whether `vrrp_startup_delay` still holds everybody.
    pub(super) const fn is_closed(&self) -> bool {
        self.opens_at.is_some()
    }

    /// The tracked thing whose move is being settled.
    pub(super) fn moved_by(&self) -> Option<Mover> {
        self.edge_of.clone()
    }

    pub(super) fn see_tracked(&mut self, now: Instant, seen: TrackedSeen) {
        let (kind, name) = match seen {
            TrackedSeen::Link { interface, up } => {
                if self.links.beat(now, &interface, up) {
                    self.mark_interface(&interface);
                }
                return self.timers.set(Slot::Links, self.links.due());
            }
            TrackedSeen::File { name, value } => {
                if self.file_values.insert(name.clone(), value) == Some(value) {
                    return;
                }
                ("file", name)
            }
            TrackedSeen::Process { name, up } => {
                if self.process_quorums.insert(name.clone(), up) == Some(up) {
                    return;
                }
                ("process", name)
            }
        };
        let tracks = |r: &&Router| {
            let mut named = r
                .settings
                .track_files
                .iter()
                .chain(&r.settings.track_processes);
            named.any(|t| t.name == name)
        };
        let users = self.routers.iter().flatten().filter(tracks).map(|r| r.id);
        self.dirty.extend(users);
        self.edge_of = Some(Mover { kind, name });
    }

    pub(super) fn mark(&mut self, id: RouterId) {
        self.dirty.push(id);
    }

    pub(super) fn mark_all(&mut self) {
        self.dirty.extend(self.order.iter().rev());
    }

    pub(super) fn set_timer(&mut self, slot: Slot, at: Option<Instant>) {
        self.timers.set(slot, at);
    }

    pub(super) fn mark_interface(&mut self, name: &str) {
        if let Some(ids) = self.by_interface.get(name) {
            self.dirty.extend(ids.iter().rev());
        }
    }

    pub(super) fn mark_edge(&mut self, check: CheckId, edge: Option<Edge>) {
        if edge.is_none() {
            return;
        }
        if let Some(Some(tracker)) = self.trackers.get(check.0 as usize) {
            self.edge_of = Some(Mover {
                kind: "script",
                name: tracker.settings().name.clone(),
            });
        }
        if let Some(ids) = self.users.get(&check) {
            self.dirty.extend(ids.iter().rev());
        }
    }

    /// Looks at every marked router again, until nobody is marked.
    fn settle(&mut self, now: Instant, out: &mut Actions) {
        if !self.begun {
            self.dirty.clear();
            self.edge_of = None;
            return;
        }
        if self.links_moved {
            self.links_moved = false;
            self.open_sockets(out);
        }
        if !self.groups.is_empty() {
            let marked = std::mem::take(&mut self.dirty);
            self.dirty = self.members_first(marked);
        }
        let before = out.iter().len();
        while let Some(id) = self.dirty.pop() {
            let Some(router) = self.router(id) else {
                continue;
            };
            let mut facts = self.facts(router);
            self.fold_group(id, &mut facts);
            self.with_router(id, out, |router, cx| router.on_facts(now, facts, cx));
        }
        self.edge_of = None;
        if !self.groups.is_empty() {
            let starting = self.groups.iter().any(|g| g.phase == Phase::Init);
            self.tell_groups(out);
            if starting {
                out.order_start(before);
            }
        }
    }

    /// Opens a socket for every link and family in use, and finds routers by them.
    fn open_sockets(&mut self, out: &mut Actions) {
        let mut wanted: HashSet<(LinkId, Family)> = HashSet::new();
        self.index.clear();
        for id in &self.order {
            let Some(Some(router)) = self.routers.get(id.0 as usize) else {
                continue;
            };
            let s = &router.settings;
            let Some(link) = self.links.named(&s.interface) else {
                continue;
            };
            wanted.insert((link.id, s.family));
            self.index
                .entry((link.id, s.family, s.vrid))
                .or_default()
                .push(*id);
        }
        // Sorted, so that the same inputs give the same actions in every run.
        let mut close: Vec<_> = self.open.difference(&wanted).copied().collect();
        close.sort();
        let mut open: Vec<_> = wanted.difference(&self.open).copied().collect();
        open.sort();
        for (link, family) in close {
            out.push(Action::Close { link, family });
        }
        for (link, family) in open {
            out.push(Action::Open { link, family });
        }
        self.deaf.retain(|key| wanted.contains(key));
        self.open = wanted;
    }

    /// Asks for an address to be removed that no router of ours installed.
    pub(super) fn remove_leftover(
        &mut self,
        link: LinkId,
        name: &Arc<str>,
        what: Arc<crate::model::addr::VirtualAddress>,
        out: &mut Actions,
    ) {
        let id = self.requests.issue_loose(what.cidr.addr);
        let cidr = what.cidr;
        out.push(Action::Address {
            id,
            link,
            name: name.clone(),
            change: Change::Remove,
            what,
        });
        let what = What::Scrubbed {
            cidr,
            link: name.clone(),
        };
        out.push(Action::Tell(Box::new(Notice { router: None, what })));
    }

    pub(super) fn is_claimed(&self, link: LinkId, cidr: Cidr) -> bool {
        self.claimed.contains(&(link, cidr))
    }

    /// Performs a plan while running.
    fn reload(&mut self, now: Instant, plan: Plan, out: &mut Actions) {
        self.apply(now, plan, out);
        for order in std::mem::take(&mut self.waiting) {
            self.order(now, &order, out);
        }
        self.links_moved = true;
    }
}
