//! A host: a real engine on a fake kernel, woken and fed as the daemon's loop would.

use crate::core::action::{Action, Actions};
use crate::core::engine::Engine;
use crate::core::input::Input;
use crate::core::plan::{self, Plan};
use crate::model::feed::{Fed, Feed};
use crate::model::ids::{ActionId, CheckId, LinkId, RunId};
use crate::model::notice::{Notice, Notification, Phase, What};
use crate::model::order::StopKind;
use crate::model::order::{Order, Outcome};
use crate::model::seen::{TrackedSeen, Verdict};
use crate::model::settings::Settings;
use crate::model::time::Instant;
use crate::model::view::Snapshot;
use crate::sim::kernel::{Fact, Kernel, Request};
use crate::sim::packet;
use crate::sim::programs::{End, Programs};
use crate::sim::timeline::{Entry, Timeline};
use crate::sim::watch::{Cause, Watch};
use crate::wire::advert::Datagram;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Packets a socket holds while nobody reads.
const SOCKET_HOLDS: usize = 5_000;
/// Packets read in one wake before anything else is looked at.
const READ_AT_MOST: usize = 4_096;

/// A refused address is tried again after at most this and the kernel's own time.
const LONGEST_RETRY: Duration = Duration::from_secs(31);

/// What the world has to do for a host.
#[derive(Debug)]
pub enum Effect {
    /// Carry a frame.
    Send {
        /// Out of this link.
        link: LinkId,
        /// Whole packet or Ethernet frame.
        bytes: Arc<[u8]>,
        /// An IP packet, to be delivered; otherwise an Ethernet frame, to be looked at.
        ip: bool,
    },
    /// The kernel does this then.
    Kernel {
        /// When.
        at: Instant,
        /// What.
        request: Request,
    },
    /// A run ends.
    Ends(End),
}

/// What comes to the engine by way of the other threads.
#[derive(Debug)]
enum Message {
    Applied(ActionId),
    Refused(ActionId, i32),
    CheckStarted(CheckId, RunId),
    CheckDone(CheckId, RunId, Verdict),
    Plan(Box<Plan>),
    Order(Order),
    Tracked(TrackedSeen),
    Feed(Feed),
    Stop,
}

/// What a host writes to while it is awake.
pub(super) struct Turn<'a> {
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) watch: &'a mut Watch,
    pub(super) timeline: &'a mut Timeline,
}

/// A host.
pub struct Host {
    index: usize,
    name: Arc<str>,
    settings: Arc<Settings>,
    uptime: Duration,
    engine: Option<Box<Engine>>,
    /// The network side.
    pub(super) kernel: Kernel,
    /// The scripts.
    pub(super) programs: Programs,
    asleep: bool,
    life: u32,
    stopping: bool,
    timers_first: bool,
    packets: VecDeque<(LinkId, Arc<[u8]>)>,
    facts: VecDeque<Fact>,
    messages: VecDeque<Message>,
    outbox: Actions,
    notified: Vec<(Instant, Box<Notification>)>,
    ordered: Vec<(Instant, u64, Outcome)>,
    fed: Vec<(Instant, u64, Fed)>,
    overflowed: u64,
    wakes: u64,
    retries_until: Instant,
}

impl Host {
    pub(super) fn new(
        index: usize,
        name: Arc<str>,
        settings: Arc<Settings>,
        kernel: Kernel,
        uptime: Duration,
    ) -> Self {
        Self {
            index,
            name,
            settings,
            uptime,
            engine: None,
            kernel,
            programs: Programs::default(),
            asleep: false,
            life: 0,
            stopping: false,
            timers_first: false,
            packets: VecDeque::new(),
            facts: VecDeque::new(),
            messages: VecDeque::new(),
            outbox: Actions::with_capacity(64, 4096),
            notified: Vec::new(),
            ordered: Vec::new(),
            fed: Vec::new(),
            overflowed: 0,
            wakes: 0,
            retries_until: Instant::ZERO,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The settings it runs on, or will start with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The network side.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The scripts.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Whether the daemon runs.
    pub fn is_alive(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether the daemon is stopped by SIGSTOP or starved.
    pub const fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// What came of reports: when, their number, the outcome.
    pub fn fed(&self) -> &[(Instant, u64, Fed)] {
        &self.fed
    }

    /// What came of orders: when, their number, the outcome.
    pub fn ordered(&self) -> &[(Instant, u64, Outcome)] {
        &self.ordered
    }

    /// What notify programs were told, in order.
    pub fn notified(&self) -> &[(Instant, Box<Notification>)] {
        &self.notified
    }

    /// Packets lost because nobody read for too long.
    pub const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Expires timers before reading the sockets: what the daemon must never do. To show why.
    pub const fn expire_timers_first(&mut self, wrong: bool) {
        self.timers_first = wrong;
    }

    /// Which life of the daemon this is; what was begun in an earlier one is void.
    pub(super) const fn life(&self) -> u32 {
        self.life
    }

    pub(super) fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// The daemon starts: the first picture of the kernel, then Begin, is what it reads first.
    pub(super) fn start(&mut self, now: Instant, turn: &mut Turn<'_>) {
        if self.engine.is_some() {
            return;
        }
        self.life += 1;
        self.stopping = false;
        self.asleep = false;
        self.facts.clear();
        self.messages.clear();
        self.packets.clear();
        turn.watch.born(self.index, &self.settings, &self.kernel);
        self.engine = Some(Box::new(Engine::new(self.settings.clone())));
        for fact in self.kernel.picture() {
            self.hand_fact(now, fact, turn);
        }
        let uptime = self.uptime + now.since(Instant::ZERO);
        let begin = Input::Begin {
            uptime,
            claimed: &[],
            left: &[],
        };
        self.hand(now, begin, Cause::Other, turn);
        self.wake(now, turn);
    }

    /// kill -9: addresses stay, everything else is gone.
    pub(super) fn kill(&mut self, now: Instant, watch: &mut Watch) {
        if self.engine.take().is_some() {
            watch.died(self.index, now);
        }
        self.asleep = false;
        self.kernel.orphan();
        self.programs.forget();
    }

    pub(super) fn ask_stop(&mut self) {
        self.messages.push_back(Message::Stop);
    }

    pub(super) fn ask_reload(&mut self, settings: Arc<Settings>) {
        let plan = plan::diff(&self.settings, settings.clone());
        self.settings = settings;
        self.messages.push_back(Message::Plan(Box::new(plan)));
    }

    pub(super) fn ask(&mut self, order: Order) {
        self.messages.push_back(Message::Order(order));
    }

    pub(super) fn find(&mut self, seen: TrackedSeen) {
        self.messages.push_back(Message::Tracked(seen));
    }

    pub(super) fn hear(&mut self, feed: Feed) {
        self.messages.push_back(Message::Feed(feed));
    }

    pub(super) const fn sleep(&mut self) {
        self.asleep = true;
    }

    pub(super) const fn rise(&mut self) {
        self.asleep = false;
    }

    /// A packet arrives. The kernel drops what no socket asks for, what comes from its own IPv4
    /// address, and what does not fit in the socket.
    pub(super) fn arrive(&mut self, link: LinkId, bytes: Arc<[u8]>) -> bool {
        let Some(packet) = packet::ip(&bytes) else {
            return false;
        };
        let heard = self.kernel.link(link).is_some_and(|l| {
            l.up && l.listens(packet.family) && !(packet.src.is_ipv4() && l.has(packet.src))
        });
        if !heard || self.engine.is_none() {
            return false;
        }
        if self.packets.len() >= SOCKET_HOLDS {
            self.overflowed += 1;
            return false;
        }
        self.packets.push_back((link, bytes));
        true
    }

    pub(super) fn report(&mut self, facts: impl IntoIterator<Item = Fact>) {
        if self.engine.is_some() {
            self.facts.extend(facts);
        }
    }

    /// The kernel comes to a request.
    pub(super) fn kernel_does(&mut self, now: Instant, request: Request, timeline: &mut Timeline) {
        match self.kernel.carry_out(request) {
            Ok(fact) => {
                if fact.is_some() {
                    let entry = Entry::Address(request.change, request.cidr);
                    timeline.note(now, Some(self.index), entry);
                }
                self.report(fact);
                self.messages.push_back(Message::Applied(request.id));
            }
            Err(errno) => {
                self.retries_until = now + LONGEST_RETRY;
                let entry = Entry::Refused(request.cidr, errno);
                timeline.note(now, Some(self.index), entry);
                self.messages.push_back(Message::Refused(request.id, errno));
            }
        }
    }

    /// A run ends.
    pub(super) fn run_ends(
        &mut self,
        now: Instant,
        run: RunId,
        verdict: Verdict,
        timeline: &mut Timeline,
    ) {
        if let Some((check, name)) = self.programs.reap(run) {
            timeline.note(now, Some(self.index), Entry::Ran(name, verdict));
            self.messages
                .push_back(Message::CheckDone(check, run, verdict));
        }
    }

    /// When the daemon would wake by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.asleep {
            return None;
        }
        self.engine.as_ref()?.next_deadline()
    }

    /// Whether nothing waits to be read and the kernel owes no answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.packets.is_empty()
            && self.facts.is_empty()
            && self.messages.is_empty()
            && self.kernel.waiting() == 0
    }

    /// Turns of the daemon's loop until nothing is left to read.
    pub(super) fn wake(&mut self, now: Instant, turn: &mut Turn<'_>) {
        if self.asleep || self.engine.is_none() {
            return;
        }
        self.wakes += 1;
        loop {
            self.turn(now, turn);
            if self.packets.is_empty() {
                break;
            }
        }
        self.check(now, turn);
        let idle = self.engine.as_ref().is_some_and(|e| e.is_idle());
        if self.stopping && idle && self.kernel.waiting() == 0 {
            self.engine = None;
            self.kernel.orphan();
            turn.watch.left(self.index, now, &self.kernel);
        }
    }

    /// One turn of the daemon's loop: look first, then conclude.
    fn turn(&mut self, now: Instant, turn: &mut Turn<'_>) {
        if self.timers_first {
            self.hand(now, Input::Tick, Cause::Tick, turn);
        }
        for _ in 0..READ_AT_MOST {
            let Some((link, bytes)) = self.packets.pop_front() else {
                break;
            };
            self.hand_packet(now, link, &bytes, turn);
        }
        let mut full: Vec<LinkId> = self.packets.iter().map(|&(link, _)| link).collect();
        full.sort();
        full.dedup();
        for link in &full {
            self.hand(now, Input::Backlog(*link), Cause::Other, turn);
        }
        while let Some(fact) = self.facts.pop_front() {
            self.hand_fact(now, fact, turn);
        }
        while let Some(message) = self.messages.pop_front() {
            self.hand_message(now, message, turn);
        }
        let cause = if full.is_empty() {
            Cause::Tick
        } else {
            Cause::Other
        };
        self.hand(now, Input::Tick, cause, turn);
    }

    fn hand_packet(&mut self, now: Instant, link: LinkId, bytes: &[u8], turn: &mut Turn<'_>) {
        let Some(packet) = packet::ip(bytes) else {
            return;
        };
        let cause = Cause::Packet(packet::glance(packet.payload).map_or(0, |g| g.priority));
        let datagram = Datagram {
            link,
            family: packet.family,
            src: packet.src,
            dst: packet.dst,
            hop_limit: packet.hop_limit,
            payload: packet.payload,
        };
        self.hand(now, Input::Datagram(datagram), cause, turn);
    }

    fn hand_fact(&mut self, now: Instant, fact: Fact, turn: &mut Turn<'_>) {
        let input = match fact {
            Fact::Link(seen) => Input::Link(seen),
            Fact::Address(seen) => Input::Address(seen),
        };
        self.hand(now, input, Cause::Other, turn);
    }

    fn hand_message(&mut self, now: Instant, message: Message, turn: &mut Turn<'_>) {
        let input = match message {
            Message::Applied(action) => Input::Applied { action },
            Message::Refused(action, errno) => Input::Refused { action, errno },
            Message::CheckStarted(check, run) => Input::CheckStarted { check, run },
            Message::CheckDone(check, run, verdict) => Input::CheckDone {
                check,
                run,
                verdict,
                stderr: Arc::from(""),
            },
            Message::Plan(plan) => {
                let before = self.snapshot(now);
                turn.watch
                    .reloading(self.index, &plan.settings, &self.kernel);
                self.hand(now, Input::Plan(plan), Cause::Other, turn);
                let after = self.snapshot(now);
                turn.watch.compare_reload(self.index, now, &before, &after);
                turn.watch.reloaded(self.index, now);
                return;
            }
            Message::Order(order) => Input::Order(order),
            Message::Tracked(seen) => Input::Tracked(seen),
            Message::Feed(feed) => Input::Feed(feed),
            Message::Stop => {
                self.stopping = true;
                Input::Stop(StopKind::Polite)
            }
        };
        self.hand(now, input, Cause::Other, turn);
    }

    /// Hands one input in and performs what comes out.
    fn hand(&mut self, now: Instant, input: Input<'_>, cause: Cause, turn: &mut Turn<'_>) {
        let Some(engine) = self.engine.as_mut() else {
            return;
        };
        engine.handle(now, input, &mut self.outbox);
        turn.watch
            .inspect(self.index, now, cause, &self.outbox, engine.next_deadline());
        let mut outbox = std::mem::take(&mut self.outbox);
        self.perform(now, &mut outbox, turn);
        outbox.clear();
        self.outbox = outbox;
    }

    /// Does what the engine asks for. No wildcard: a new action must be thought of here too.
    fn perform(&mut self, now: Instant, outbox: &mut Actions, turn: &mut Turn<'_>) {
        let (actions, arena) = outbox.parts();
        for action in actions {
            match action {
                Action::Send { link, via, frame } => {
                    let bytes: Arc<[u8]> = arena.frame(frame).into();
                    let ip = match via {
                        crate::core::action::Via::Ip(_) => true,
                        crate::core::action::Via::Ethernet => false,
                    };
                    self.note_frame(now, &bytes, ip, turn.timeline);
                    turn.effects.push(Effect::Send { link, bytes, ip });
                }
                Action::Address {
                    id,
                    link,
                    name: _,
                    change,
                    what,
                } => {
                    let request = Request {
                        id,
                        link,
                        change,
                        cidr: what.cidr,
                    };
                    let at = self.kernel.accept(now);
                    turn.effects.push(Effect::Kernel { at, request });
                }
                Action::Open { link, family } => self.kernel.open(link, family),
                Action::Close { link, family } => self.kernel.close(link, family),
                Action::StartRun {
                    check,
                    run,
                    settings,
                } => {
                    let end = self.programs.start(check, run, &settings.name);
                    self.messages.push_back(Message::CheckStarted(check, run));
                    turn.effects.extend(end.map(Effect::Ends));
                }
                Action::StopRun { run, how } => {
                    let end = self.programs.signal(run, how);
                    turn.effects.extend(end.map(Effect::Ends));
                }
                Action::Notify(notification) => self.notified.push((now, notification)),
                Action::Tell(notice) => self.note_notice(now, *notice, turn.timeline),
                Action::Ordered { id, outcome } => self.ordered.push((now, id, outcome)),
                Action::Fed { id, outcome } => self.fed.push((now, id, outcome)),
                // Nothing here needs freeing elsewhere.
                Action::Dispose(plan) => drop(plan),
            }
        }
    }

    fn note_frame(&self, now: Instant, bytes: &[u8], ip: bool, timeline: &mut Timeline) {
        let entry = if ip {
            packet::ip(bytes).and_then(|p| {
                let glance = packet::glance(p.payload)?;
                Some(Entry::Advert {
                    vrid: glance.vrid,
                    priority: glance.priority,
                    dst: p.dst,
                })
            })
        } else {
            packet::announced(bytes).map(Entry::Announced)
        };
        if let Some(entry) = entry {
            timeline.note(now, Some(self.index), entry);
        }
    }

    fn note_notice(&self, now: Instant, notice: Notice, timeline: &mut Timeline) {
        let Notice { router, what } = notice;
        let entry = match (router, what) {
            (
                Some(router),
                What::Entering {
                    from,
                    to,
                    priority,
                    why,
                    seq: _,
                },
            ) => Entry::Entered {
                router,
                from,
                to,
                priority,
                why,
            },
            (router, what) => Entry::Told(Box::new(Notice { router, what })),
        };
        timeline.note(now, Some(self.index), entry);
    }

    /// Compares what the watch knows with the kernel, and now and then with the engine's own picture.
    fn check(&mut self, now: Instant, turn: &mut Turn<'_>) {
        if self.is_quiet() && now >= self.retries_until {
            turn.watch.compare_kernel(self.index, now, &self.kernel);
        }
        if self.wakes.is_multiple_of(64) {
            let snapshot = self.snapshot(now);
            turn.watch.compare_picture(self.index, now, &snapshot);
        }
    }

    /// The engine's own picture; empty if the daemon does not run.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot::default();
        if let Some(engine) = &self.engine {
            engine.fill(now, &mut snapshot);
        }
        snapshot
    }

    /// The last state told to the notify programs of an instance.
    pub fn last_told(&self, router: &str) -> Option<Phase> {
        use crate::model::notice::Told;
        self.notified
            .iter()
            .rev()
            .filter(|(_, n)| &*n.settings.name == router)
            .find_map(|(_, n)| match n.to {
                Told::State(phase) => Some(phase),
                Told::LowerAdvert => None,
            })
    }
}
