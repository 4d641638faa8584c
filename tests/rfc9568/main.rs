//! RFC 9568 §6.4 and §7.1 sentence by sentence, and what RFC 3768 says otherwise for version 2.
//!
//! Each row is one sentence: the state it speaks of, what happens, and what has to follow. The clauses
//! are told in our words.

mod machine;
mod reception;
mod sequences;
#[path = "../support/mod.rs"]
mod support;

use mainstay::model::ids::Family;
use mainstay::model::notice::Phase;
use mainstay::sim::forge::Forge;
use mainstay::sim::scenario::{RouterMaker, router, settings, vip};
use std::net::IpAddr;
use std::time::Duration;
use support::{Bench, Did, OWN4, OWN6};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// Priority 100, every second, one announcement and no repeats, so that one timer runs.
fn ours() -> RouterMaker {
    router("vi").with(|s| {
        s.garp.repeat = 1;
        s.garp.delay = Duration::ZERO;
        s.garp.lower_repeat = 0;
    })
}

fn skew(priority: u8, adver: Duration) -> Duration {
    adver * (256 - u32::from(priority)) / 256
}

fn down(priority: u8, adver: Duration) -> Duration {
    3 * adver + skew(priority, adver)
}

/// An advert of 10.0.0.99, which is higher than our own 10.0.0.10.
fn advert(priority: u8) -> Forge {
    Forge::v3(51, priority)
}

/// An advert of 10.0.0.9, which is lower than our own address.
fn from_below(priority: u8) -> Forge {
    advert(priority).from([10, 0, 0, 9])
}
