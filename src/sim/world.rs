//! Hosts, LANs, one clock, one source of chance, and the loop that jumps to what comes next.

use crate::core::action::Change;
use crate::model::addr::Cidr;
use crate::model::ids::{Family, LinkId};
use crate::model::notice::Phase;
use crate::model::time::Instant;
use crate::model::view::{RouterView, Snapshot};
use crate::sim::host::{Effect, Host, Turn};
use crate::sim::kernel::Request;
use crate::sim::lan::Lan;
use crate::sim::packet;
use crate::sim::programs::End;
use crate::sim::rng::Rng;
use crate::sim::scenario::Event;
use crate::sim::timeline::{Entry, Timeline};
use crate::sim::watch::{Contest, Violation, Watch};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

/// Steps at one instant after which time is taken to stand still.
const STEPS_AT_ONCE: u32 = 100_000;

#[derive(Debug)]
enum Occurrence {
    Arrive {
        host: usize,
        link: LinkId,
        bytes: Arc<[u8]>,
    },
    Kernel {
        host: usize,
        life: u32,
        request: Request,
    },
    Ends {
        host: usize,
        life: u32,
        end: End,
    },
    Wakes {
        host: usize,
        life: u32,
    },
    Scene(Box<Event>),
}

struct Queued {
    at: Instant,
    order: u64,
    what: Occurrence,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A whole simulated world; made by [`crate::sim::scenario::Scenario::world`].
pub struct World {
    seed: u64,
    now: Instant,
    rng: Rng,
    hosts: Vec<Host>,
    lans: Vec<Lan>,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    steps: u32,
    watch: Watch,
    timeline: Timeline,
    effects: Vec<Effect>,
    woken: Vec<bool>,
}

impl World {
    pub(super) fn new(seed: u64, lans: Vec<Lan>, hosts: Vec<Host>) -> Self {
        let names = hosts.iter().map(|h| h.name().clone()).collect();
        Self {
            seed,
            now: Instant::ZERO,
            rng: Rng::new(seed),
            lans,
            queue: BinaryHeap::new(),
            order: 0,
            steps: 0,
            watch: Watch::new(hosts.len()),
            timeline: Timeline::new(names),
            effects: Vec::new(),
            woken: vec![false; hosts.len()],
            hosts,
        }
    }

    /// The seed all chance comes from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The clock.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// One host, to be prepared.
    pub fn host_mut(&mut self, host: usize) -> Option<&mut Host> {
        self.hosts.get_mut(host)
    }

    /// The LANs.
    pub fn lans(&self) -> &[Lan] {
        &self.lans
    }

    /// What happened so far.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Keeps no timeline from now on.
    pub const fn mute(&mut self) {
        self.timeline.mute();
    }

    /// The first rule that was broken.
    pub const fn violation(&self) -> Option<&Violation> {
        self.watch.violation()
    }

    /// Transitions and adverts so far.
    pub const fn tally(&self) -> (u64, u64) {
        (self.watch.transitions(), self.watch.adverts())
    }

    /// Fails with seed, broken rule and timeline if a rule was broken.
    ///
    /// # Errors
    /// The report as text.
    pub fn verdict(&self) -> Result<(), String> {
        match self.violation() {
            None => Ok(()),
            Some(violation) => Err(self.report(&violation.to_string())),
        }
    }

    /// Seed, a sentence and the timeline: what a failing test prints.
    pub fn report(&self, text: &str) -> String {
        format!("seed {}: {text}\n{}", self.seed, self.timeline)
    }

    /// The state of a router by what it told.
    pub fn phase(&self, host: usize, router: &str) -> Option<Phase> {
        self.watch.phase(host, router)
    }

    /// Hosts that serve a virtual router now.
    pub fn serving(&self, lan: usize, family: Family, vrid: u8) -> &[usize] {
        let contest: Contest = (lan, family, vrid);
        self.watch.serving(contest)
    }

    /// The longest time for which two hosts served the same virtual router.
    pub fn longest_dual(&self) -> Duration {
        self.watch.longest_dual(self.now)
    }

    /// A host's own picture of itself.
    pub fn snapshot(&self, host: usize) -> Option<Snapshot> {
        Some(self.hosts.get(host)?.snapshot(self.now))
    }

    /// The engine's own picture of a router.
    pub fn view(&self, host: usize, router: &str) -> Option<RouterView> {
        self.snapshot(host)?
            .instances
            .into_iter()
            .find(|view| &*view.name == router)
    }

    /// Puts something on the script.
    pub fn at(&mut self, at: Instant, event: Event) {
        self.queue(at, Occurrence::Scene(Box::new(event)));
    }

    /// Puts something on the script, so long from now.
    pub fn after(&mut self, length: Duration, event: Event) {
        self.at(self.now + length, event);
    }

    /// Lets something happen now, before time goes on.
    pub fn now_do(&mut self, event: Event) {
        if self.violation().is_some() {
            return;
        }
        self.scene(event);
        self.flush();
    }

    fn queue(&mut self, at: Instant, what: Occurrence) {
        self.order += 1;
        self.queue.push(Reverse(Queued {
            at,
            order: self.order,
            what,
        }));
    }

    fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.peek().map(|Reverse(q)| q.at);
        let own = self.hosts.iter().filter_map(Host::next_deadline);
        own.chain(queued).min()
    }

    /// Runs for so long, or until a rule is broken.
    pub fn run_for(&mut self, length: Duration) {
        self.run_until(self.now + length);
    }

    /// Runs until then, or until a rule is broken.
    pub fn run_until(&mut self, until: Instant) {
        while self.watch.violation().is_none() {
            match self.next_at() {
                Some(at) if at <= until => self.step(at),
                Some(_) | None => break,
            }
        }
        if self.violation().is_none() {
            self.now = self.now.max(until);
        }
    }

    /// Runs until something is so; false if it never was within `length`.
    pub fn run_until_so(&mut self, length: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + length;
        while self.watch.violation().is_none() {
            if so(self) {
                return true;
            }
            match self.next_at() {
                Some(at) if at <= until => self.step(at),
                Some(_) | None => break,
            }
        }
        self.now = self.now.max(until);
        so(self)
    }

    /// One instant: everything that arrives, then every host that has something to do.
    fn step(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.steps = 0;
        }
        self.steps += 1;
        if self.steps > STEPS_AT_ONCE {
            let rule = "time goes on";
            self.watch
                .broken(self.now, 0, rule, format!("{STEPS_AT_ONCE} steps"));
            return;
        }
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(queued)| queued.at <= self.now)
        {
            if let Some(Reverse(queued)) = self.queue.pop() {
                self.occur(queued.what);
            }
        }
        self.flush();
    }

    /// Wakes every host that was given something or whose time has come.
    fn flush(&mut self) {
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            let due = host.next_deadline().is_some_and(|at| at <= self.now);
            if !std::mem::take(&mut self.woken[index]) && !due {
                continue;
            }
            let mut turn = Turn {
                effects: &mut self.effects,
                watch: &mut self.watch,
                timeline: &mut self.timeline,
            };
            host.wake(self.now, &mut turn);
            self.carry_effects(index);
        }
    }

    fn occur(&mut self, what: Occurrence) {
        let now = self.now;
        match what {
            Occurrence::Arrive { host, link, bytes } => {
                self.woken[host] |= self.hosts[host].arrive(link, bytes);
            }
            Occurrence::Kernel {
                host,
                life,
                request,
            } => {
                if self.hosts[host].life() == life && self.hosts[host].is_alive() {
                    self.hosts[host].kernel_does(now, request, &mut self.timeline);
                    self.woken[host] = true;
                }
            }
            Occurrence::Ends { host, life, end } => {
                if self.hosts[host].life() == life {
                    self.hosts[host].run_ends(now, end.run, end.verdict, &mut self.timeline);
                    self.woken[host] = true;
                }
            }
            Occurrence::Wakes { host, life } => {
                if self.hosts[host].life() == life {
                    self.hosts[host].rise();
                    self.woken[host] = true;
                }
            }
            Occurrence::Scene(event) => self.scene(*event),
        }
    }

    fn carry_effects(&mut self, from: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        let life = self.hosts[from].life();
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { link, bytes, ip } => self.transmit(from, link, &bytes, ip),
                Effect::Kernel { at, request } => {
                    let host = from;
                    self.queue(
                        at,
                        Occurrence::Kernel {
                            host,
                            life,
                            request,
                        },
                    );
                }
                Effect::Ends(end) => {
                    let at = self.now + end.after;
                    self.queue(
                        at,
                        Occurrence::Ends {
                            host: from,
                            life,
                            end,
                        },
                    );
                }
            }
        }
        self.effects = effects;
    }

    /// Carries a frame to everybody it is for.
    fn transmit(&mut self, from: usize, link: LinkId, bytes: &Arc<[u8]>, ip: bool) {
        let Some(lan) = self.hosts[from].kernel.link(link).filter(|l| l.up) else {
            return;
        };
        let lan = lan.lan;
        if !ip {
            if let Some(address) = packet::announced(bytes) {
                self.lans[lan].learn(address, from);
            }
            return;
        }
        let Some(dst) = packet::ip(bytes).map(|p| p.dst) else {
            return;
        };
        for to in 0..self.hosts.len() {
            if to == from {
                continue;
            }
            let takes =
                |l: &&crate::sim::kernel::Link| l.lan == lan && (dst.is_multicast() || l.has(dst));
            let Some(into) = self.hosts[to].kernel.links().iter().find(takes) else {
                continue;
            };
            let into = into.id;
            let arrivals = self.lans[lan].carry(self.now, from, to, &mut self.rng);
            if arrivals[0].is_none() {
                self.timeline.note(self.now, Some(from), Entry::Lost { to });
            }
            for at in arrivals.into_iter().flatten() {
                let what = Occurrence::Arrive {
                    host: to,
                    link: into,
                    bytes: bytes.clone(),
                };
                self.queue(at, what);
            }
        }
    }

    fn scene(&mut self, event: Event) {
        let now = self.now;
        self.timeline
            .note(now, event.host(), Entry::Scene(event.to_string().into()));
        match event {
            Event::Start { host } => {
                let mut turn = Turn {
                    effects: &mut self.effects,
                    watch: &mut self.watch,
                    timeline: &mut self.timeline,
                };
                if let Some(h) = self.hosts.get_mut(host) {
                    h.start(now, &mut turn);
                    self.carry_effects(host);
                }
            }
            Event::Kill { host } => {
                if let Some(h) = self.hosts.get_mut(host) {
                    h.kill(now, &mut self.watch);
                }
            }
            Event::Stop { host } => self.with(host, Host::ask_stop),
            Event::Reload { host, settings } => self.with(host, |h| h.ask_reload(settings)),
            Event::NextStart { host, settings } => self.with(host, |h| h.set_settings(settings)),
            Event::Stall { host, length } => {
                let Some(h) = self.hosts.get_mut(host) else {
                    return;
                };
                h.sleep();
                let life = h.life();
                self.queue(now + length, Occurrence::Wakes { host, life });
            }
            Event::Cut { lan, from, to } => self.lan(lan, |l| l.cut(from, to)),
            Event::Heal { lan, from, to } => self.lan(lan, |l| l.heal(from, to)),
            Event::Doom {
                lan,
                from,
                to,
                nth,
                fate,
            } => self.lan(lan, |l| l.doom(from, to, nth, fate)),
            Event::HealAll { lan } => self.lan(lan, Lan::heal_all),
            Event::Quality { lan, quality } => self.lan(lan, |l| l.set_quality(quality)),
            Event::Plug { host, link, up } => self.with(host, |h| {
                let facts = h.kernel.set_up(link, up);
                h.report(facts);
            }),
            Event::Exists { host, link, exists } => self.with(host, |h| {
                let facts = h.kernel.set_exists(link, exists);
                h.report(facts);
            }),
            Event::Meddle {
                host,
                link,
                cidr,
                change,
            } => self.with(host, |h| {
                let fact = h.kernel.meddle(link, cidr, change == Change::Add);
                h.report(fact);
            }),
            Event::Refuse {
                host,
                address,
                errno,
            } => self.with(host, |h| h.kernel.refuse(address, errno)),
            Event::Script {
                host,
                script,
                behaviour,
            } => self.with(host, |h| h.programs.set(&script, behaviour)),
            Event::ScriptNext {
                host,
                script,
                behaviours,
            } => self.with(host, |h| h.programs.next(&script, behaviours)),
            Event::Order { host, order } => self.with(host, |h| h.ask(order)),
            Event::Tracked { host, seen } => self.with(host, |h| h.find(seen)),
            Event::Feed { host, feed } => self.with(host, |h| h.hear(feed)),
            Event::Stranger { lan, bytes } => self.stranger(lan, &bytes.into()),
        }
    }

    fn with(&mut self, host: usize, change: impl FnOnce(&mut Host)) {
        if let Some(h) = self.hosts.get_mut(host) {
            change(h);
            self.woken[host] = true;
        }
    }

    fn lan(&mut self, lan: usize, change: impl FnOnce(&mut Lan)) {
        if let Some(lan) = self.lans.get_mut(lan) {
            change(lan);
        }
    }

    /// A frame from nobody we know, at once at everybody it is for.
    fn stranger(&mut self, lan: usize, bytes: &Arc<[u8]>) {
        let dst = packet::ip(bytes).map(|p| p.dst);
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            let takes = |l: &&crate::sim::kernel::Link| {
                l.lan == lan && dst.is_some_and(|d| d.is_multicast() || l.has(d))
            };
            if let Some(link) = host.kernel.links().iter().find(takes).map(|l| l.id) {
                self.woken[index] |= host.arrive(link, bytes.clone());
            }
        }
    }

    /// Everybody who could serve a virtual router: alive, awake, plugged in and not in Fault.
    pub fn able(&self, lan: usize, family: Family, vrid: u8) -> Vec<usize> {
        let able = |&index: &usize| {
            let host = &self.hosts[index];
            host.is_alive()
                && !host.is_asleep()
                && host.settings().routers.iter().any(|r| {
                    let here = host
                        .kernel()
                        .named(&r.interface)
                        .is_some_and(|l| l.lan == lan && l.up);
                    here && r.family == family
                        && r.vrid.get() == vrid
                        && matches!(
                            self.watch.phase(index, &r.name),
                            Some(Phase::Backup | Phase::Active)
                        )
                })
        };
        (0..self.hosts.len()).filter(able).collect()
    }

    /// The highest effective priority among the able hosts, and which of them have it.
    pub fn best(&self, lan: usize, family: Family, vrid: u8) -> Vec<usize> {
        let mut best = (0, Vec::new());
        for host in self.able(lan, family, vrid) {
            let snapshot = self.hosts[host].snapshot(self.now);
            let view = snapshot
                .instances
                .iter()
                .find(|v| v.vrid == vrid && v.family == family);
            let priority = view.map_or(0, |v| v.priority);
            if priority > best.0 {
                best = (priority, Vec::new());
            }
            if priority == best.0 {
                best.1.push(host);
            }
        }
        best.1
    }

    /// Exactly one host serves, and if `preempting` it is one of the best: an equal one does not
    /// preempt.
    ///
    /// # Errors
    /// Who serves instead, with seed and timeline.
    pub fn agreed(
        &self,
        lan: usize,
        family: Family,
        vrid: u8,
        preempting: bool,
    ) -> Result<usize, String> {
        let serving = self.serving(lan, family, vrid);
        let best = self.best(lan, family, vrid);
        match serving {
            [one] if !preempting || best.contains(one) => Ok(*one),
            _ => Err(self.report(&format!(
                "at {} VRID {vrid} is served by hosts {serving:?}, the best are {best:?}",
                self.now
            ))),
        }
    }

    /// Whether an address is on a host now.
    pub fn holds(&self, host: usize, cidr: Cidr) -> bool {
        self.hosts.get(host).is_some_and(|h| {
            h.kernel()
                .links()
                .iter()
                .any(|l| l.present().contains(&cidr))
        })
    }
}
