//! Elections between simulated hosts: named scenarios one by one, and thousands of random ones.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

mod all_failed;
mod external;
mod flapping;
mod groups;
mod handover;
mod links;
mod orders;
mod pairs;
mod random;
mod scripts;
mod stalls;
mod surroundings;
mod takeover;
mod versus_plain;
mod what_if;

use mainstay::core::action::Change;
use mainstay::model::ids::{Family, LinkId};
use mainstay::model::notice::Phase;
use mainstay::model::seen::Verdict;
use mainstay::model::time::Instant;
use mainstay::sim::forge::Forge;
use mainstay::sim::lan::Quality;
use mainstay::sim::programs::Behaviour;
use mainstay::sim::scenario::{
    ETH0, Event, RouterMaker, Scenario, check, host, own_v4, own_v6, router, settings, vip,
};
use mainstay::sim::world::World;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const A: usize = 0;
const B: usize = 1;

/// One way on a good LAN, at most.
const WAY: Duration = Quality::GOOD.most;

fn at(length: Duration) -> Instant {
    Instant::ZERO + length
}

/// 3 × 1 s + (256 − p)/256 s.
fn down_interval(priority: u8) -> Duration {
    3 * S + skew(priority)
}

fn skew(priority: u8) -> Duration {
    S * (256 - u32::from(priority)) / 256
}

fn vi(priority: u8) -> RouterMaker {
    router("vi").priority(priority)
}

/// Two hosts that start at once.
fn pair(a: RouterMaker, b: RouterMaker) -> Scenario {
    Scenario::new(1)
        .host(host("a").router(a))
        .host(host("b").router(b))
}

#[track_caller]
fn kept_rules(world: &World) {
    if let Err(report) = world.verdict() {
        panic!("{report}");
    }
}

#[track_caller]
fn serves(world: &World, who: &[usize], why: &str) {
    kept_rules(world);
    let serving = world.serving(0, Family::V4, 51);
    assert_eq!(serving, who, "{}", world.report(why));
}

/// When a host entered a state for the n-th time, counted from 0.
#[track_caller]
fn entered(world: &World, host: usize, phase: Phase, n: usize) -> Duration {
    let mut times = world
        .timeline()
        .transitions()
        .filter(|&(_, h, _, p)| h == host && p == phase);
    match times.nth(n) {
        Some((when, ..)) => when.since(Instant::ZERO),
        None => panic!(
            "{}",
            world.report(&format!("host {host} did not enter {phase} {n} times"))
        ),
    }
}

fn count(world: &World, host: usize, phase: Phase) -> usize {
    world
        .timeline()
        .transitions()
        .filter(|&(_, h, _, p)| h == host && p == phase)
        .count()
}

#[track_caller]
fn within(what: &str, is: Duration, from: Duration, to: Duration) {
    assert!(
        from <= is && is <= to,
        "{what}: {is:?} is not in {from:?}..={to:?}"
    );
}
