//! The loop: wait, look, leap, act, arm.

use crate::core::action::Actions;
use crate::core::engine::Engine;
use crate::core::input::Input;
use crate::daemon::bridge::{EngineEnd, ToEngine, ToService};
use crate::daemon::perform::Performer;
use crate::model::addr::Cidr;
use crate::model::ids::LinkId;
use crate::model::notice::{Level, Notice, What};
use crate::model::order::StopKind;
use crate::model::settings::{ProcessSettings, Settings};
use crate::model::time::Instant;
use crate::os::clock;
use crate::os::hands::{Answer, Hands};
use crate::os::ledger::Entry;
use crate::os::netlink::{Drained, Events, Fact};
use crate::os::poller::{Bell, Poller};
use crate::os::rt;
use crate::os::vrrp_socket::{BATCH, Batch};
use nix::sys::signal::SigSet;
use std::sync::Arc;
use std::time::Duration;

const BRIDGE: u64 = 1;
const ANSWERS: u64 = 2;
const NETLINK: u64 = 3;

/// Packets read from one socket in one wake at the most.
const WAKE_LIMIT: usize = 4096;
/// Netlink messages read in one wake at the most.
const FACT_LIMIT: usize = 1024;
/// Packets that come faster than this are let collect for so long: waking costs more than reading.
const FAST: Duration = Duration::from_micros(100);
const COLLECT: Duration = Duration::from_micros(100);
/// So many times in one wake, so that what an answer says is not older than what an event says.
const FACT_ROUNDS: usize = 64;
/// A failed dump is asked for again after so long.
const RESYNC_AGAIN: Duration = Duration::from_secs(1);
/// A stop waits so long for the kernel's answers.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What the engine thread is born with.
pub(super) struct Birth {
    pub(super) settings: Arc<Settings>,
    pub(super) process: ProcessSettings,
    pub(super) bridge: EngineEnd,
    pub(super) hands: Hands,
    /// Rung by the hands when answers wait.
    pub(super) answers: Bell,
    /// Addresses that other living daemons claim.
    pub(super) claimed: Vec<(LinkId, Cidr)>,
    /// What the last run left in the kernel.
    pub(super) left: Vec<Entry>,
}

/// Runs until stopped; whatever goes wrong is said over the bridge.
pub(super) fn run(birth: Birth) {
    // Signals are the service thread's.
    let _ = SigSet::all().thread_block();
    let Birth {
        settings,
        process,
        mut bridge,
        hands,
        answers,
        claimed,
        left,
    } = birth;
    let mut thread = match Thread::new(settings, hands, &answers, &mut bridge) {
        Ok(thread) => thread,
        Err(error) => {
            bridge.push(ToService::Broken(error));
            flush_for_good(&mut bridge);
            return;
        }
    };
    if let Err(error) = thread.begin(&claimed, &left, &mut bridge) {
        bridge.push(ToService::Broken(error));
        flush_for_good(&mut bridge);
        return;
    }
    let raised = rt::raise(&process);
    (thread.realtime, thread.locked) = (raised.realtime, raised.locked);
    for warning in raised.warnings {
        tell(&mut bridge, Level::Warn, warning);
    }
    bridge.push(ToService::Ready);
    let end = thread.run(&answers, &mut bridge);
    bridge.push(match end {
        Ok(()) => ToService::Stopped,
        Err(error) => ToService::Broken(error),
    });
    flush_for_good(&mut bridge);
}

struct Thread {
    engine: Engine,
    actions: Actions,
    poller: Poller,
    performer: Performer,
    hands: Hands,
    events: Events,
    batch: Batch,
    facts: Vec<Fact>,
    answered: Vec<Answer>,
    messages: Vec<ToEngine>,
    wakes: u64,
    /// When packets were last read.
    read_at: Instant,
    stop_by: Option<Instant>,
    resync_at: Option<Instant>,
    realtime: bool,
    locked: bool,
}

impl Thread {
    fn new(
        settings: Arc<Settings>,
        hands: Hands,
        answers: &Bell,
        bridge: &mut EngineEnd,
    ) -> Result<Self, String> {
        let poller = Poller::new().map_err(|e| format!("cannot create an epoll set: {e}"))?;
        let events = Events::open().map_err(|e| e.to_string())?;
        let add = |fd: std::os::fd::BorrowedFd<'_>, token| {
            poller
                .add(fd, token)
                .map_err(|e| format!("cannot watch a descriptor: {e}"))
        };
        use std::os::fd::AsFd;
        add(bridge.bell().as_fd(), BRIDGE)?;
        add(answers.as_fd(), ANSWERS)?;
        add(events.as_fd(), NETLINK)?;
        Ok(Self {
            engine: Engine::new(settings),
            actions: Actions::with_capacity(1024, 64 * 1024),
            poller,
            performer: Performer::new(),
            hands,
            events,
            batch: Batch::new(),
            facts: Vec::with_capacity(64),
            answered: Vec::with_capacity(128),
            messages: Vec::with_capacity(64),
            wakes: 0,
            read_at: Instant::ZERO,
            stop_by: None,
            resync_at: None,
            realtime: false,
            locked: false,
        })
    }

    /// The first picture of the kernel, then the routers may leave Init.
    fn begin(
        &mut self,
        claimed: &[(LinkId, Cidr)],
        left: &[Entry],
        bridge: &mut EngineEnd,
    ) -> Result<(), String> {
        self.resync(bridge)?;
        self.take_tracked(bridge);
        let left: Vec<_> = left
            .iter()
            .map(|e| (e.link, e.name.clone(), e.cidr))
            .collect();
        let input = Input::Begin {
            uptime: clock::uptime(),
            claimed,
            left: &left,
        };
        self.engine.handle(clock::now(), input, &mut self.actions);
        self.act(bridge);
        Ok(())
    }

    /// What is tracked, and what operators asked for in earlier runs, was looked at before this thread
    /// was started; the rest waits its turn.
    fn take_tracked(&mut self, bridge: &EngineEnd) {
        let mut messages = std::mem::take(&mut self.messages);
        bridge.take(&mut messages);
        for message in messages {
            let input = match message {
                ToEngine::Tracked(seen) => Input::Tracked(seen),
                ToEngine::Order(order) => Input::Order(order),
                ToEngine::Feed(feed) => Input::Feed(feed),
                ToEngine::CheckStarted { .. }
                | ToEngine::CheckDone { .. }
                | ToEngine::Plan(_)
                | ToEngine::Snapshot(..)
                | ToEngine::Stop => {
                    self.messages.push(message);
                    continue;
                }
            };
            self.engine.handle(clock::now(), input, &mut self.actions);
        }
    }

    fn run(&mut self, answers: &Bell, bridge: &mut EngineEnd) -> Result<(), String> {
        let mut ready: Vec<u64> = Vec::with_capacity(64);
        loop {
            let others = [self.stop_by, self.resync_at, self.performer.retry_at()];
            let deadline = self.engine.next_deadline();
            let deadline = others.into_iter().flatten().chain(deadline).min();
            self.poller
                .arm(deadline)
                .map_err(|e| format!("cannot arm the timer: {e}"))?;
            self.poller
                .wait(&mut ready)
                .map_err(|e| format!("cannot wait: {e}"))?;
            self.wakes += 1;
            // Look before you leap: packets that wait are read before anybody may conclude silence.
            let mut talked = false;
            let mut packets = 0;
            for &token in &ready {
                match token {
                    BRIDGE | ANSWERS | NETLINK => talked = true,
                    port => packets += self.read(port, bridge),
                }
            }
            if talked {
                self.listen(answers, bridge)?;
            }
            self.performer.retry(clock::now(), &self.poller, bridge);
            self.engine
                .handle(clock::now(), Input::Tick, &mut self.actions);
            self.act(bridge);
            if self.resync_at.is_some_and(|at| clock::now() >= at) {
                self.resync_or_later(bridge);
            }
            if packets > 0 {
                self.let_collect();
            }
            if let Some(by) = self.stop_by
                && (self.engine.is_idle() || clock::now() >= by)
            {
                return Ok(());
            }
        }
    }

    /// In a burst, sleeps a moment instead of waking for every packet of it; never past a deadline.
    fn let_collect(&mut self) {
        let now = clock::now();
        let fast = now.since(self.read_at) < FAST;
        let until = now + COLLECT;
        self.read_at = now;
        if fast && self.engine.next_deadline().is_none_or(|at| at > until) {
            clock::sleep_until(until);
            self.read_at = clock::now();
        }
    }

    /// Reads one socket until it is empty, within a bound; says how many packets there were.
    fn read(&mut self, token: u64, bridge: &mut EngineEnd) -> usize {
        let mut total = 0;
        loop {
            let Some(port) = self.performer.port(token) else {
                return total;
            };
            let link = port.link;
            let count = match port.socket.recv_batch(&mut self.batch) {
                Ok(count) => count,
                // A broken link reports its errors here; netlink says what became of it.
                Err(_) => return total,
            };
            let now = clock::now();
            for datagram in self.batch.iter() {
                self.engine
                    .handle(now, Input::Datagram(datagram), &mut self.actions);
            }
            self.act(bridge);
            total += count;
            if count < BATCH {
                return total;
            }
            if total >= WAKE_LIMIT {
                self.engine
                    .handle(now, Input::Backlog(link), &mut self.actions);
                return total;
            }
        }
    }

    /// Takes answers and messages, then the kernel's events, and handles the events first: what an
    /// answer says is then never older than what an event says.
    fn listen(&mut self, answers: &Bell, bridge: &mut EngineEnd) -> Result<(), String> {
        bridge.bell().clear();
        answers.clear();
        let mut messages = std::mem::take(&mut self.messages);
        let mut answered = std::mem::take(&mut self.answered);
        bridge.take(&mut messages);
        self.hands.drain(&mut answered);
        for _ in 0..FACT_ROUNDS {
            match self.events.drain(&mut self.facts, FACT_LIMIT) {
                Ok(Drained::Empty) => {
                    self.handle_facts(bridge);
                    break;
                }
                Ok(Drained::More) => self.handle_facts(bridge),
                Ok(Drained::Overrun) => {
                    let text = "netlink events were lost; asking for everything anew";
                    tell(bridge, Level::Warn, text.to_owned());
                    self.resync_or_later(bridge);
                    break;
                }
                Err(error) => {
                    tell(bridge, Level::Warn, format!("netlink events: {error}"));
                    break;
                }
            }
        }
        let now = clock::now();
        for answer in answered.drain(..) {
            let input = match answer.errno {
                None => Input::Applied { action: answer.id },
                Some(errno) => Input::Refused {
                    action: answer.id,
                    errno,
                },
            };
            self.engine.handle(now, input, &mut self.actions);
        }
        self.act(bridge);
        for message in messages.drain(..) {
            self.take(message, bridge);
        }
        (self.messages, self.answered) = (messages, answered);
        self.act(bridge);
        Ok(())
    }

    fn take(&mut self, message: ToEngine, bridge: &mut EngineEnd) {
        let now = clock::now();
        match message {
            ToEngine::CheckStarted { check, run } => {
                let input = Input::CheckStarted { check, run };
                self.engine.handle(now, input, &mut self.actions);
            }
            ToEngine::CheckDone {
                check,
                run,
                verdict,
                stderr,
            } => {
                let input = Input::CheckDone {
                    check,
                    run,
                    verdict,
                    stderr,
                };
                self.engine.handle(now, input, &mut self.actions);
            }
            ToEngine::Tracked(seen) => {
                self.engine
                    .handle(now, Input::Tracked(seen), &mut self.actions);
            }
            ToEngine::Order(order) => {
                self.engine
                    .handle(now, Input::Order(order), &mut self.actions);
            }
            ToEngine::Feed(feed) => {
                self.engine
                    .handle(now, Input::Feed(feed), &mut self.actions);
            }
            ToEngine::Plan(plan) => {
                self.engine
                    .handle(now, Input::Plan(plan), &mut self.actions);
            }
            ToEngine::Snapshot(mut bucket, reply) => {
                self.engine.fill(now, &mut bucket);
                bucket.engine.wakes = self.wakes;
                bucket.engine.send_errors = self.performer.send_errors;
                bucket.engine.dropped_notices = bridge.dropped;
                (bucket.engine.realtime, bucket.engine.locked) = (self.realtime, self.locked);
                bridge.push(ToService::Snapshot(bucket, reply));
            }
            ToEngine::Stop => {
                self.stop_by = Some(now + STOP_LIMIT);
                self.engine
                    .handle(now, Input::Stop(StopKind::Polite), &mut self.actions);
            }
        }
    }

    /// Without the kernel's answer everything stays as it is believed to be, and is asked again.
    fn resync_or_later(&mut self, bridge: &mut EngineEnd) {
        self.resync_at = None;
        if let Err(error) = self.resync(bridge) {
            tell(bridge, Level::Warn, format!("{error}; asking again"));
            self.resync_at = Some(clock::now() + RESYNC_AGAIN);
        }
    }

    fn resync(&mut self, bridge: &mut EngineEnd) -> Result<(), String> {
        self.events
            .resync(&mut self.facts)
            .map_err(|e| format!("cannot read links and addresses by netlink: {e}"))?;
        self.handle_facts(bridge);
        Ok(())
    }

    fn handle_facts(&mut self, bridge: &mut EngineEnd) {
        let mut facts = std::mem::take(&mut self.facts);
        let now = clock::now();
        for fact in facts.drain(..) {
            match fact {
                Fact::Link(seen) => {
                    let is = seen.is.map(|flags| (&seen.name, flags.mtu));
                    self.performer
                        .link_seen(seen.link, is, &self.poller, bridge);
                    self.engine
                        .handle(now, Input::Link(seen), &mut self.actions);
                }
                Fact::Address(seen) => {
                    self.engine
                        .handle(now, Input::Address(seen), &mut self.actions);
                }
            }
            self.act(bridge);
        }
        self.facts = facts;
    }

    fn act(&mut self, bridge: &mut EngineEnd) {
        self.performer.run(
            clock::now(),
            &mut self.actions,
            &self.poller,
            &mut self.hands,
            bridge,
        );
        if !self.performer.sockets.is_empty() {
            for (link, family, open) in std::mem::take(&mut self.performer.sockets) {
                let input = Input::Socket { link, family, open };
                self.engine.handle(clock::now(), input, &mut self.actions);
            }
            self.act(bridge);
        }
        bridge.flush();
    }
}

fn tell(bridge: &mut EngineEnd, level: Level, text: String) {
    let what = What::Text {
        level,
        text: Arc::from(text),
    };
    let notice = Box::new(Notice { router: None, what });
    bridge.push(ToService::Tell(clock::now(), notice));
}

/// At the end there is no adverts to be late for: wait until the last words are handed over.
fn flush_for_good(bridge: &mut EngineEnd) {
    while bridge.flush_or_wait() {
        std::thread::yield_now();
    }
}
