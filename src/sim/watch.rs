//! The rules every run must keep, checked after every single step.
//!
//! The watch stands outside the engines: it knows settings, sees inputs, actions and kernels, and keeps
//! its own record of who is in which state. Whatever breaks a rule is kept as a [`Violation`].

mod reload;

use crate::core::action::{Action, Actions, Via};
use crate::model::addr::Cidr;
use crate::model::ids::{Family, LinkId};
use crate::model::notice::{Phase, Told, What, keepalived_word};
use crate::model::settings::{Handover, RouterIdentity, RouterSettings, Settings};
use crate::model::time::Instant;
use crate::model::view::Snapshot;
use crate::sim::kernel::Kernel;
use crate::sim::packet::{self, Glance, Packet};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// By which host.
    pub host: usize,
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            host,
            rule,
            seen,
        } = self;
        write!(f, "at {at} host {host} broke \"{rule}\": {seen}")
    }
}

/// What the engine was just handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Time, with nothing left unread.
    Tick,
    /// A packet that claims this priority.
    Packet(u8),
    /// Anything else.
    Other,
}

/// One virtual router for the whole LAN: who serves it.
pub type Contest = (usize, Family, u8);

#[derive(Debug)]
struct Watched {
    identity: RouterIdentity,
    settings: Arc<RouterSettings>,
    contest: Contest,
    link: LinkId,
    phase: Phase,
    leaving: bool,
    /// The last step in which it was Active, at its beginning or for a moment.
    served_in: u64,
    /// Who was sent a claim or a release at this instant.
    sent_now: Vec<(IpAddr, bool)>,
    sent_at: Option<Instant>,
    /// A handover is pending until then.
    handover_until: Instant,
    /// When, and in which step: an answer to several peers is one.
    answered: Option<(Instant, u64)>,
    /// The reload that is being handed in does not concern it.
    untouched: bool,
}

#[derive(Debug, Default)]
struct Serving {
    hosts: Vec<usize>,
    since: Option<Instant>,
    longest: Duration,
}

/// The rules and what is known to judge by.
#[derive(Debug, Default)]
pub struct Watch {
    hosts: Vec<Vec<Watched>>,
    /// The settings each host runs on.
    files: Vec<Arc<Settings>>,
    /// A reload is being handed in.
    reload: bool,
    serving: BTreeMap<Contest, Serving>,
    violation: Option<Violation>,
    transitions: u64,
    adverts: u64,
    steps: u64,
}

impl Watch {
    /// A watch over so many hosts.
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts: (0..hosts).map(|_| Vec::new()).collect(),
            files: vec![Arc::default(); hosts],
            ..Self::default()
        }
    }

    /// The first broken rule.
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Transitions told so far.
    pub const fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Adverts sent so far.
    pub const fn adverts(&self) -> u64 {
        self.adverts
    }

    /// The state of a router by the notices so far.
    pub fn phase(&self, host: usize, router: &str) -> Option<Phase> {
        let watched = self.hosts.get(host)?;
        watched
            .iter()
            .find(|w| &*w.settings.name == router)
            .map(|w| w.phase)
    }

    /// Who serves a virtual router.
    pub fn serving(&self, contest: Contest) -> &[usize] {
        self.serving.get(&contest).map_or(&[], |s| &s.hosts)
    }

    /// The longest time for which more than one host served any virtual router.
    pub fn longest_dual(&self, now: Instant) -> Duration {
        self.serving
            .values()
            .map(|s| s.since.map_or(s.longest, |at| s.longest.max(now.since(at))))
            .max()
            .unwrap_or_default()
    }

    /// A rule is broken; the first is kept.
    pub fn broken(&mut self, at: Instant, host: usize, rule: &'static str, seen: String) {
        self.violation.get_or_insert(Violation {
            at,
            host,
            rule,
            seen,
        });
    }

    pub(super) fn born(&mut self, host: usize, settings: &Arc<Settings>, kernel: &Kernel) {
        if let Some(file) = self.files.get_mut(host) {
            *file = settings.clone();
        }
        let watched = settings
            .routers
            .iter()
            .map(|router| Watched::new(router, kernel))
            .collect();
        if let Some(slot) = self.hosts.get_mut(host) {
            *slot = watched;
        }
    }

    pub(super) fn died(&mut self, host: usize, now: Instant) {
        let gone = self.hosts.get_mut(host).map(std::mem::take);
        for watched in gone.unwrap_or_default() {
            self.serves(watched.contest, host, false, now);
        }
    }

    /// The daemon ended politely.
    pub(super) fn left(&mut self, host: usize, now: Instant, kernel: &Kernel) {
        let gone = self.hosts.get_mut(host).map(std::mem::take);
        for watched in gone.unwrap_or_default() {
            self.serves(watched.contest, host, false, now);
            if let Some(cidr) = watched.installed(kernel).next() {
                let rule = "a polite stop leaves no virtual address behind";
                self.broken(now, host, rule, format!("{cidr} is still there"));
            }
        }
    }

    /// New settings are about to be handed in: routers of both are known until they were.
    pub(super) fn reloading(&mut self, host: usize, settings: &Arc<Settings>, kernel: &Kernel) {
        let (Some(list), Some(file)) = (self.hosts.get_mut(host), self.files.get_mut(host)) else {
            return;
        };
        let before = std::mem::replace(file, settings.clone());
        self.reload = true;
        for watched in list.iter_mut() {
            watched.leaving = true;
        }
        for router in &settings.routers {
            let identity = router.identity();
            if let Some(old) = list.iter_mut().find(|w| w.identity == identity) {
                if old.settings.adver != router.adver {
                    // The answer before was limited by the old interval.
                    old.answered = None;
                }
                old.untouched = reload::leaves_alone(&before, settings, &old.settings, router);
                old.settings = router.clone();
                old.leaving = false;
            } else {
                list.push(Watched::new(router, kernel));
            }
        }
    }

    pub(super) fn reloaded(&mut self, host: usize, now: Instant) {
        self.reload = false;
        let Some(list) = self.hosts.get_mut(host) else {
            return;
        };
        for watched in list.iter_mut() {
            watched.untouched = false;
        }
        let leaving: Vec<Watched> = list.extract_if(.., |w| w.leaving).collect();
        for watched in leaving {
            self.serves(watched.contest, host, false, now);
            if watched.phase == Phase::Active {
                let rule = "a router removed by a reload leaves Active";
                let name = watched.settings.name.to_string();
                self.broken(now, host, rule, name);
            }
        }
    }

    fn serves(&mut self, contest: Contest, host: usize, yes: bool, now: Instant) {
        let serving = self.serving.entry(contest).or_default();
        serving.hosts.retain(|&h| h != host);
        if yes {
            serving.hosts.push(host);
        }
        if serving.hosts.len() > 1 {
            serving.since.get_or_insert(now);
        } else if let Some(since) = serving.since.take() {
            serving.longest = serving.longest.max(now.since(since));
        }
    }

    /// Looks at what one `handle` brought, before it is performed.
    pub(super) fn inspect(
        &mut self,
        host: usize,
        now: Instant,
        cause: Cause,
        out: &Actions,
        deadline: Option<Instant>,
    ) {
        self.steps += 1;
        let Some(list) = self.hosts.get_mut(host) else {
            return;
        };
        if cause == Cause::Tick && deadline.is_some_and(|at| at <= now) {
            let rule = "no deadline lies in the past after a Tick";
            let seen = format!("{deadline:?}");
            self.broken(now, host, rule, seen);
            return;
        }
        if out.is_empty() {
            return;
        }
        let before: Vec<Phase> = list.iter().map(|w| w.phase).collect();
        for watched in list.iter_mut() {
            if watched.phase == Phase::Active {
                watched.served_in = self.steps;
            }
            if watched.sent_at != Some(now) || cause != Cause::Tick {
                watched.sent_now.clear();
            }
        }
        // The advert leaves before the transition is told, so that is looked at first.
        for action in out.iter() {
            self.transition(host, now, action);
        }
        for action in out.iter() {
            self.frame(host, now, cause, action, out, &before);
        }
        if self.reload
            && let Some((rule, seen)) = self
                .hosts
                .get(host)
                .and_then(|list| reload::meddles(list, out))
        {
            self.broken(now, host, rule, seen);
        }
        let running = self
            .hosts
            .get(host)
            .is_some_and(|l| l.iter().any(|w| w.has_timer()));
        if running && deadline.is_none() {
            let rule = "a router in Backup or Active has a timer";
            self.broken(now, host, rule, "no deadline at all".to_owned());
        }
    }

    fn transition(&mut self, host: usize, now: Instant, action: &Action) {
        match action {
            Action::Tell(notice) => {
                if let (Some(router), What::Entering { from, to, .. }) =
                    (&notice.router, &notice.what)
                {
                    self.entering(host, now, router, *from, *to);
                }
            }
            Action::Notify(told) => {
                if let (Told::State(phase), None) = (told.to, &told.group) {
                    self.told(host, now, &told.settings.name, phase);
                }
            }
            Action::Send { .. }
            | Action::Address { .. }
            | Action::Open { .. }
            | Action::Close { .. }
            | Action::StartRun { .. }
            | Action::StopRun { .. }
            | Action::Ordered { .. }
            | Action::Fed { .. }
            | Action::Dispose(_) => {}
        }
    }

    fn frame(
        &mut self,
        host: usize,
        now: Instant,
        cause: Cause,
        action: &Action,
        out: &Actions,
        before: &[Phase],
    ) {
        let &Action::Send { link, via, frame } = action else {
            return;
        };
        let bytes = out.frame(frame);
        let rule = match via {
            Via::Ip(dst) => {
                let advert = packet::ip(bytes).and_then(|p| Some((p, packet::glance(p.payload)?)));
                match advert.filter(|(packet, _)| packet.dst == dst) {
                    Some((packet, glance)) => {
                        return self.advert(host, now, cause, link, packet, glance, before);
                    }
                    None => "what leaves by the raw socket is an advert to its destination",
                }
            }
            Via::Ethernet if packet::announced(bytes).is_some() => return,
            Via::Ethernet => "what leaves by the packet socket is an announcement",
        };
        self.broken(now, host, rule, format!("{bytes:02x?}"));
    }

    fn entering(&mut self, host: usize, now: Instant, router: &str, from: Phase, to: Phase) {
        self.transitions += 1;
        // During a reload one router may leave and another come under its name.
        let is_it = |w: &&mut Watched| {
            &*w.settings.name == router && w.leaving == (self.reload && to == Phase::Deleted)
        };
        let list = self.hosts.get_mut(host);
        let Some(watched) = list.and_then(|l| l.iter_mut().find(is_it)) else {
            let rule = "only routers of the settings change state";
            self.broken(now, host, rule, router.to_owned());
            return;
        };
        let (was, contest) = (watched.phase, watched.contest);
        watched.phase = to;
        if to == Phase::Active {
            watched.served_in = self.steps;
        }
        watched.sent_at = None;
        watched.answered = None;
        if std::mem::take(&mut watched.untouched) {
            let rule = "a reload leaves routers it does not concern in their state";
            self.broken(now, host, rule, format!("{router}: {from} to {to}"));
        }
        if was != from {
            let rule = "every transition begins in the state the last one ended in";
            self.broken(now, host, rule, format!("{router}: {from} after {was}"));
        }
        self.serves(contest, host, to == Phase::Active, now);
    }

    fn told(&mut self, host: usize, now: Instant, router: &str, phase: Phase) {
        let named = |w: &&Watched| &*w.settings.name == router;
        let list = self.hosts.get(host).map_or(&[][..], |l| l);
        let known: Vec<Phase> = list.iter().filter(named).map(|w| w.phase).collect();
        if !known.is_empty() && !known.contains(&phase) {
            let rule = "notify programs are told the state that was entered";
            let seen = format!("{router}: told {phase}, in {known:?}");
            self.broken(now, host, rule, seen);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one advert and all it is judged by"
    )]
    fn advert(
        &mut self,
        host: usize,
        now: Instant,
        cause: Cause,
        link: LinkId,
        packet: Packet<'_>,
        glance: Glance,
        before: &[Phase],
    ) {
        self.adverts += 1;
        let Some(list) = self.hosts.get_mut(host) else {
            return;
        };
        let ours = |w: &Watched| {
            w.link == link && w.contest.1 == packet.family && w.contest.2 == glance.vrid
        };
        let Some(at) = list.iter().position(ours) else {
            let rule = "adverts are of virtual routers of the settings";
            self.broken(now, host, rule, format!("{glance:?} on {link:?}"));
            return;
        };
        let watched = &mut list[at];
        let was = before.get(at).copied().unwrap_or(Phase::Init);
        let is = watched.phase;
        let sending = (packet.dst, glance.priority == 0);
        let before_this = watched.sent_now.iter().filter(|s| **s == sending).count();
        watched.sent_now.push(sending);
        if glance.priority == 0 && is == Phase::Active {
            watched.handover_until = now + watched.settings.adver * 4;
        }
        // The new priority follows the release of a handover at once, and its repeats may fall
        // together with a periodic advert.
        let again = before_this > usize::from(now < watched.handover_until);
        let served = watched.served_in == self.steps;
        watched.sent_at = Some(now);
        let may_stay = watched.settings.handover != Handover::Off;
        let owner = watched.settings.priority.is_owner();
        let adver = watched.settings.adver;
        let answering = matches!(cause, Cause::Packet(p) if p > 0) && was == is;
        let answered = watched.answered.filter(|&(_, step)| step != self.steps);
        if answering {
            watched.answered = Some((now, self.steps));
        }
        let seen = format!("VRID {} priority {}", glance.vrid, glance.priority);
        if again {
            let rule = "at most one advert leaves for one due instant";
            self.broken(now, host, rule, seen.clone());
        }
        if packet.hop_limit != 255 {
            let rule = "adverts leave with hop limit 255";
            self.broken(now, host, rule, format!("{}", packet.hop_limit));
        }
        if glance.priority == 0 {
            if !served || (is == Phase::Active && !may_stay) {
                let rule = "priority 0 is sent on leaving Active and never else";
                self.broken(now, host, rule, format!("{seen} from {was} to {is}"));
            }
        } else if !served {
            let rule = "only an Active router claims";
            self.broken(now, host, rule, format!("{seen} in {is}"));
        }
        if glance.priority == 255 && !owner {
            let rule = "the effective priority is in 1..=254 unless owner";
            self.broken(now, host, rule, seen.clone());
        }
        if answering && answered.is_some_and(|(at, _)| now.since(at) < adver) {
            let rule = "losing adverts draw at most one answer in an interval";
            self.broken(now, host, rule, seen);
        }
    }

    /// Compares the addresses with the states, once nothing is on its way.
    pub(super) fn compare_kernel(&mut self, host: usize, now: Instant, kernel: &Kernel) {
        let Some(list) = self.hosts.get(host) else {
            return;
        };
        let active = |w: &&Watched| w.phase == Phase::Active;
        let mut found = None;
        for watched in list {
            let rule = match watched.phase {
                Phase::Active
                    if !kernel
                        .named(&watched.settings.interface)
                        .is_some_and(|l| l.up) =>
                {
                    continue;
                }
                Phase::Active => {
                    let there: Vec<Cidr> = watched.installed(kernel).collect();
                    let mut wanted = watched.settings.installed().filter(|a| !a.no_track);
                    if wanted.all(|a| there.contains(&a.cidr)) {
                        continue;
                    }
                    "an Active router has every virtual address"
                }
                Phase::Backup | Phase::Fault | Phase::Stopped | Phase::Deleted => {
                    let wanted: Vec<Cidr> = list
                        .iter()
                        .filter(active)
                        .flat_map(|w| w.settings.installed().map(|a| a.cidr))
                        .collect();
                    if watched.installed(kernel).all(|c| wanted.contains(&c)) {
                        continue;
                    }
                    "a router that is not Active has no virtual address"
                }
                Phase::Init => continue,
            };
            found = Some((
                rule,
                format!("{} in {}", watched.settings.name, watched.phase),
            ));
            break;
        }
        if let Some((rule, seen)) = found {
            self.broken(now, host, rule, seen);
        }
    }

    /// Compares the engine's own picture with what it told.
    pub(super) fn compare_picture(&mut self, host: usize, now: Instant, picture: &Snapshot) {
        let mut found = None;
        for view in &picture.instances {
            // A daemon on its way out shows INIT.
            let told = self.phase(host, &view.name);
            let Some(phase) = told.filter(|p| *p != Phase::Stopped) else {
                continue;
            };
            let in_range = if view.base_priority == 255 {
                view.priority == 255
            } else {
                (1..=254).contains(&view.priority)
            };
            let timed = matches!(phase, Phase::Backup | Phase::Active);
            let rule = if view.state != keepalived_word(phase) {
                "the picture shows the state that was told"
            } else if !in_range {
                "the effective priority is in 1..=254 unless owner"
            } else if timed != view.timer_s.is_some() && timed {
                "a router in Backup or Active has a timer"
            } else {
                continue;
            };
            let seen = format!(
                "{}: told {phase}, shows {} priority {} timer {:?}",
                view.name, view.state, view.priority, view.timer_s
            );
            found = Some((rule, seen));
            break;
        }
        if let Some((rule, seen)) = found {
            self.broken(now, host, rule, seen);
        }
    }
}

impl Watched {
    fn new(router: &Arc<RouterSettings>, kernel: &Kernel) -> Self {
        let link = kernel.named(&router.interface);
        let lan = link.map_or(usize::MAX, |l| l.lan);
        Self {
            identity: router.identity(),
            settings: router.clone(),
            contest: (lan, router.family, router.vrid.get()),
            link: link.map_or(LinkId(0), |l| l.id),
            phase: Phase::Init,
            leaving: false,
            served_in: 0,
            sent_now: Vec::new(),
            sent_at: None,
            handover_until: Instant::ZERO,
            answered: None,
            untouched: false,
        }
    }

    const fn has_timer(&self) -> bool {
        matches!(self.phase, Phase::Backup | Phase::Active)
    }

    /// Its addresses that the kernel has, each on its interface.
    fn installed(&self, kernel: &Kernel) -> impl Iterator<Item = Cidr> {
        self.settings
            .installed()
            .filter(|a| {
                let dev = a.dev.as_ref().unwrap_or(&self.settings.interface);
                kernel
                    .named(dev)
                    .is_some_and(|l| l.present().contains(&a.cidr))
            })
            .map(|a| a.cidr)
    }
}
