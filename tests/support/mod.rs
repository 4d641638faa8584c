//! One engine on a bench: packets in, what it does out, time by hand.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a filter names what it keeps"
)]

use mainstay::core::action::{Action, Actions, Change, Signal, Via};
use mainstay::core::engine::Engine;
use mainstay::core::input::Input;
use mainstay::model::addr::{Cidr, Mac};
use mainstay::model::ids::{ActionId, CheckId, Family, LinkId, RunId};
use mainstay::model::notice::{Phase, Told, What, Why};
use mainstay::model::order::{Outcome, StopKind};
use mainstay::model::seen::{AddressSeen, LinkFlags, LinkSeen, Verdict};
use mainstay::model::settings::Settings;
use mainstay::model::time::Instant;
use mainstay::model::view::{RouterView, Snapshot};
use mainstay::sim::forge::Forge;
use mainstay::sim::packet::{self, Glance};
use mainstay::sim::scenario::{RouterMaker, settings};
use mainstay::wire::advert::Datagram;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub const ETH0: LinkId = LinkId(2);
pub const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
/// Our own addresses.
pub const OWN4: [u8; 4] = [10, 0, 0, 10];
pub const OWN6: [u16; 8] = [0xfe80, 0, 0, 0, 0, 0, 0, 0x10];

/// One thing the engine did.
#[derive(Clone, PartialEq, Debug)]
pub enum Did {
    Advert {
        to: IpAddr,
        claim: Glance,
        frame: Vec<u8>,
    },
    Announced(IpAddr),
    Add(Cidr),
    Remove(Cidr),
    Open(Family),
    Close(Family),
    StartRun(CheckId, RunId),
    StopRun(RunId, Signal),
    Entered(Phase, Why),
    Notified(Told),
    Ordered(u64, Outcome),
    Told(String),
}

/// One engine, its clock, and what it did since last asked.
pub struct Bench {
    pub engine: Engine,
    pub now: Instant,
    pub did: Vec<Did>,
    /// Kernel requests not answered yet.
    pub pending: Vec<(ActionId, Change, Cidr)>,
    /// Whether the kernel answers at once.
    pub answers: bool,
    out: Actions,
}

impl Bench {
    /// An engine with these routers that has not seen anything yet.
    pub fn bare(settings: Settings) -> Self {
        Self {
            engine: Engine::new(Arc::new(settings)),
            now: Instant::ZERO + Duration::from_secs(100),
            did: Vec::new(),
            pending: Vec::new(),
            answers: true,
            out: Actions::default(),
        }
    }

    /// The same, begun on a link that is up.
    pub fn begun(settings: Settings) -> Self {
        let mut bench = Self::bare(settings);
        bench.link(true);
        bench.address(OWN4, 24, true);
        bench.address(OWN6, 64, true);
        bench.begin();
        bench
    }

    /// One router, begun.
    pub fn of(router: RouterMaker) -> Self {
        Self::begun(settings([router], []))
    }

    /// One router that listens since half a second.
    pub fn backup(router: RouterMaker) -> Self {
        let mut bench = Self::of(router);
        bench.wait(Duration::from_millis(500));
        assert_eq!(
            bench.phase(),
            Phase::Backup,
            "a router that starts listens first"
        );
        bench.did.clear();
        bench
    }

    /// One router that serves since 300 ms.
    pub fn active(router: RouterMaker) -> Self {
        let mut bench = Self::of(router);
        while bench.phase() != Phase::Active {
            let at = bench
                .engine
                .next_deadline()
                .expect("a listening router has a deadline");
            assert!(
                at < bench.now + Duration::from_secs(3600),
                "nobody else speaks"
            );
            bench.wait(at.since(bench.now));
        }
        bench.wait(Duration::from_millis(300));
        bench.did.clear();
        bench
    }

    pub fn begin(&mut self) {
        let uptime = Duration::from_secs(3600);
        self.handle(Input::Begin {
            uptime,
            claimed: &[],
            left: &[],
        });
    }

    pub fn link(&mut self, up: bool) {
        self.handle(Input::Link(LinkSeen {
            link: ETH0,
            name: "eth0".into(),
            is: Some(LinkFlags {
                up,
                running: up,
                loopback: false,
                multicast: true,
                noarp: false,
                mac: Some(MAC),
                mtu: 1500,
                forwarding6: false,
            }),
        }));
    }

    pub fn address(&mut self, addr: impl Into<IpAddr>, len: u8, present: bool) {
        self.handle(Input::Address(AddressSeen {
            link: ETH0,
            cidr: Cidr {
                addr: addr.into(),
                len,
            },
            present,
            dad_failed: false,
            secondary: false,
        }));
    }

    /// A packet arrives; the clock stands still and nobody looks at timers.
    pub fn hear(&mut self, forged: &Forge) {
        let payload = forged.payload();
        let src = forged.source();
        self.handle(Input::Datagram(Datagram {
            link: ETH0,
            family: Family::of(src),
            src,
            dst: forged.destination(),
            hop_limit: forged.hops(),
            payload: &payload,
        }));
    }

    pub fn started(&mut self, run: RunId) {
        self.handle(Input::CheckStarted {
            check: CheckId(0),
            run,
        });
    }

    pub fn done(&mut self, run: RunId, verdict: Verdict) {
        self.handle(Input::CheckDone {
            check: CheckId(0),
            run,
            verdict,
            stderr: "".into(),
        });
    }

    pub fn stop(&mut self) {
        self.handle(Input::Stop(StopKind::Polite));
    }

    pub fn tick(&mut self) {
        self.engine.handle(self.now, Input::Tick, &mut self.out);
        if let Some(at) = self.engine.next_deadline() {
            assert!(at > self.now, "no deadline lies in the past after a Tick");
        }
        self.collect();
        self.answer();
    }

    /// Time passes, with a Tick at every deadline.
    pub fn wait(&mut self, length: Duration) {
        let until = self.now + length;
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = until;
    }

    /// Time passes and nobody looks.
    pub fn sleep(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    /// To the next deadline, and its Tick.
    pub fn next_timer(&mut self) -> Duration {
        let at = self.engine.next_deadline().expect("a timer runs");
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        self.tick();
        waited
    }

    /// How long until the next deadline.
    pub fn timer(&self) -> Option<Duration> {
        self.engine.next_deadline().map(|at| at.since(self.now))
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input, &mut self.out);
        self.collect();
        self.answer();
    }

    fn answer(&mut self) {
        while self.answers && !self.pending.is_empty() {
            let (action, _, _) = self.pending.remove(0);
            self.engine
                .handle(self.now, Input::Applied { action }, &mut self.out);
            self.collect();
        }
    }

    fn collect(&mut self) {
        let (actions, arena) = self.out.parts();
        for action in actions {
            let did = match action {
                Action::Send {
                    via: Via::Ip(to),
                    frame,
                    ..
                } => {
                    let bytes = arena.frame(frame);
                    let packet = packet::ip(bytes).expect("an IP packet of protocol 112");
                    assert_eq!(packet.dst, to, "a packet goes where its header says");
                    assert_eq!(packet.hop_limit, 255, "RFC 9568 §5.1.1.3, §5.1.2.3");
                    let claim = packet::glance(packet.payload).expect("an advert");
                    Did::Advert {
                        to,
                        claim,
                        frame: bytes.to_vec(),
                    }
                }
                Action::Send {
                    via: Via::Ethernet,
                    frame,
                    ..
                } => Did::Announced(packet::announced(arena.frame(frame)).expect("ARP or NA")),
                Action::Address {
                    id, change, what, ..
                } => {
                    self.pending.push((id, change, what.cidr));
                    match change {
                        Change::Add => Did::Add(what.cidr),
                        Change::Remove => Did::Remove(what.cidr),
                    }
                }
                Action::Open { family, .. } => Did::Open(family),
                Action::Close { family, .. } => Did::Close(family),
                Action::StartRun { check, run, .. } => Did::StartRun(check, run),
                Action::StopRun { run, how } => Did::StopRun(run, how),
                Action::Notify(told) => Did::Notified(told.to),
                Action::Tell(notice) => match notice.what {
                    What::Entering { to, why, .. } => Did::Entered(to, why),
                    other => Did::Told(other.to_string()),
                },
                Action::Ordered { id, outcome } => Did::Ordered(id, outcome),
                Action::Fed { .. } | Action::Dispose(_) => continue,
            };
            self.did.push(did);
        }
        self.out.clear();
    }

    /// Takes what was done since last asked.
    pub fn take(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.did)
    }

    /// Priorities of the adverts sent since last asked, in order.
    pub fn sent(&self) -> Vec<u8> {
        self.claims().map(|claim| claim.priority).collect()
    }

    pub fn claims(&self) -> impl Iterator<Item = Glance> {
        self.did.iter().filter_map(|did| match did {
            Did::Advert { claim, .. } => Some(*claim),
            _ => None,
        })
    }

    /// The whole packets sent to somebody since last asked.
    pub fn frames_to(&self, whom: IpAddr) -> Vec<&[u8]> {
        self.did
            .iter()
            .filter_map(|did| match did {
                Did::Advert { to, frame, .. } if *to == whom => Some(&frame[..]),
                _ => None,
            })
            .collect()
    }

    /// Addresses announced since last asked, in order.
    pub fn announced(&self) -> Vec<IpAddr> {
        self.did
            .iter()
            .filter_map(|did| match did {
                Did::Announced(address) => Some(*address),
                _ => None,
            })
            .collect()
    }

    /// States entered since last asked, in order.
    pub fn entered(&self) -> Vec<Phase> {
        self.did
            .iter()
            .filter_map(|did| match did {
                Did::Entered(phase, _) => Some(*phase),
                _ => None,
            })
            .collect()
    }

    /// The last run that was started and not taken note of.
    pub fn run(&self) -> Option<RunId> {
        self.did.iter().rev().find_map(|did| match did {
            Did::StartRun(_, run) => Some(*run),
            _ => None,
        })
    }

    pub fn view(&self) -> RouterView {
        let mut snapshot = Snapshot::default();
        self.engine.fill(self.now, &mut snapshot);
        snapshot.instances.into_iter().next().expect("one router")
    }

    pub fn phase(&self) -> Phase {
        match self.view().state.as_str() {
            "INIT" => Phase::Init,
            "BACKUP" => Phase::Backup,
            "MASTER" => Phase::Active,
            "FAULT" => Phase::Fault,
            other => panic!("unknown state {other}"),
        }
    }

    /// How many packets were refused for this reason.
    pub fn refused(&self, reason: &str) -> u64 {
        let counters = self.view().counters;
        counters
            .rejected
            .iter()
            .find(|(name, _)| name == reason)
            .map_or(0, |(_, n)| *n)
    }
}
