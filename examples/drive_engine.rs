//! The whole drive loop by hand: one engine, a clock that is a number, a kernel that always says yes.
//!
//! `cargo run --example drive_engine`

use mainstay::core::action::{Action, Actions, Via};
use mainstay::core::engine::Engine;
use mainstay::core::input::Input;
use mainstay::model::addr::{Cidr, Mac};
use mainstay::model::ids::{ActionId, Family, LinkId};
use mainstay::model::seen::{AddressSeen, LinkFlags, LinkSeen};
use mainstay::model::time::Instant;
use mainstay::sim::forge::Forge;
use mainstay::sim::scenario::{router, settings};
use mainstay::wire::advert::Datagram;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const LINK: LinkId = LinkId(2);

fn main() {
    let settings = settings([router("VI_1").vrid(51).priority(100)], []);
    let mut engine = Engine::new(Arc::new(settings));
    let mut now = Instant::ZERO;
    let mut out = Actions::default();

    // Facts first: a link, and an address on it. Then the first picture is complete.
    let flags = LinkFlags {
        up: true,
        running: true,
        loopback: false,
        multicast: true,
        noarp: false,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        forwarding6: false,
    };
    let link = LinkSeen {
        link: LINK,
        name: "eth0".into(),
        is: Some(flags),
    };
    let address = AddressSeen {
        link: LINK,
        cidr: Cidr {
            addr: IpAddr::from([10, 0, 0, 1]),
            len: 24,
        },
        present: true,
        dad_failed: false,
        secondary: false,
    };
    engine.handle(now, Input::Link(link), &mut out);
    engine.handle(now, Input::Address(address), &mut out);
    let begin = Input::Begin {
        uptime: Duration::from_secs(60),
        claimed: &[],
        left: &[],
    };
    engine.handle(now, begin, &mut out);

    // Then for ever: do what is asked, hand in the answers, sleep until the deadline, look at the
    // sockets, and only then say that time has passed.
    for turn in 0..8 {
        for action in perform(now, &mut out) {
            engine.handle(now, Input::Applied { action }, &mut out);
        }
        let Some(deadline) = engine.next_deadline() else {
            break;
        };
        now = now.max(deadline);
        if turn == 5 {
            println!("{now}  a packet: 10.0.0.99 advertises priority 200");
            let forged = Forge::v3(51, 200);
            let datagram = Datagram {
                link: LINK,
                family: Family::V4,
                src: forged.source(),
                dst: forged.destination(),
                hop_limit: 255,
                payload: &forged.payload(),
            };
            engine.handle(now, Input::Datagram(datagram), &mut out);
        }
        engine.handle(now, Input::Tick, &mut out);
    }
}

/// Does what the engine asks for; here that is to print it. Returns what the kernel would answer.
fn perform(now: Instant, out: &mut Actions) -> Vec<ActionId> {
    let mut answers = Vec::new();
    let (actions, arena) = out.parts();
    for action in actions {
        match action {
            Action::Send { link, via, frame } => {
                let bytes = arena.frame(frame).len();
                let what = match via {
                    Via::Ip(to) => format!("advert to {to}"),
                    Via::Ethernet => "announcement".to_owned(),
                };
                println!("{now}  send on link {}: {what}, {bytes} octets", link.0);
            }
            Action::Address {
                id, change, what, ..
            } => {
                println!("{now}  kernel: {change:?} {}", what.cidr);
                answers.push(id);
            }
            Action::Open { link, family } => println!("{now}  listen on link {}, {family}", link.0),
            Action::Close { link, family } => println!("{now}  close link {}, {family}", link.0),
            Action::StartRun { settings, .. } => println!("{now}  start script {}", settings.name),
            Action::StopRun { run, how } => println!("{now}  {how:?} to run {}", run.0),
            Action::Ordered { outcome, .. } => println!("{now}  order: {outcome}"),
            Action::Fed { outcome, .. } => println!("{now}  report: {outcome:?}"),
            Action::Notify(told) => println!("{now}  notify: {:?}", told.to),
            Action::Tell(notice) => println!("{now}  log: {notice}"),
            Action::Dispose(plan) => drop(plan),
        }
    }
    out.clear();
    answers
}
