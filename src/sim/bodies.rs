//! What property tests, fuzzers and the replay of old crashes all call: bytes become operations on a
//! world, and every rule must hold. A body returns what went wrong as text.

use crate::core::action::Change;
use crate::model::addr::Cidr;
use crate::model::ids::Family;
use crate::model::order::{Intent, Order};
use crate::model::seen::Verdict;
use crate::model::settings::{DampingSettings, Settings, Window};
use crate::sim::forge::Forge;
use crate::sim::lan::Quality;
use crate::sim::programs::{Behaviour, Ending};
use crate::sim::scenario::{
    CheckMaker, ETH0, Event, RouterMaker, Scenario, check, host, own_v4, router, vip,
};
use crate::sim::world::World;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Hosts of the small world.
const HOSTS: usize = 3;
/// Their base priorities.
const PRIORITIES: [u8; HOSTS] = [150, 100, 50];
/// The IPv4 router of the small world.
const VRID4: u8 = 51;
/// The IPv6 router of the small world.
const VRID6: u8 = 52;
/// At most so many operations of one input are done.
const OPERATIONS: usize = 64;

/// Every state and every address must come to rest within this, once nobody meddles any more: the
/// longest wait is that of a router whose address was removed too often.
const REST: Duration = Duration::from_secs(45);

/// Any operations at all on three hosts: no rule is ever broken.
///
/// # Errors
/// Seed, rule and timeline.
pub fn operations(seed: u64, bytes: &[u8]) -> Result<(), String> {
    let mut world = small_world(seed, false);
    operate(&mut world, bytes);
    world.verdict()
}

/// What the operations lead to, as text: the same for the same seed and bytes.
pub fn story(seed: u64, bytes: &[u8]) -> String {
    let mut world = small_world(seed, false);
    operate(&mut world, bytes);
    world.timeline().to_string()
}

/// Any operations at all on three preempting hosts, then peace: exactly one of them serves each
/// virtual router, and it is the best one.
///
/// # Errors
/// Seed, who serves, and timeline.
pub fn convergence(seed: u64, bytes: &[u8]) -> Result<(), String> {
    let mut world = small_world(seed, true);
    operate(&mut world, bytes);
    peace(&mut world);
    world.run_for(REST);
    world.verdict()?;
    for (family, vrid) in [(Family::V4, VRID4), (Family::V6, VRID6)] {
        world.agreed(0, family, vrid, true)?;
    }
    Ok(())
}

fn small_world(seed: u64, preempting: bool) -> World {
    let mut scenario = Scenario::new(seed);
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        scenario = scenario.host(
            host(name)
                .settings((*variant(index, 0, preempting)).clone())
                .starts(Duration::from_millis(40 * index as u64)),
        );
    }
    scenario.world()
}

/// The settings of a host: the first variant, or one that a reload may bring.
fn variant(index: usize, number: u8, preempting: bool) -> Arc<Settings> {
    let priority = PRIORITIES.get(index).copied().unwrap_or(1);
    let four = router("four")
        .vrid(VRID4)
        .priority(priority)
        .adver(Duration::from_millis(100))
        .track("weighty", if index == 1 { 70 } else { -120 });
    let six = router("six")
        .v6()
        .vrid(VRID6)
        .priority(priority)
        .adver(Duration::from_millis(200))
        .track("vital", 0);
    let four = if index == 1 && !preempting {
        four.nopreempt()
    } else {
        four
    };
    let quick = |name| {
        check(name)
            .interval(Duration::from_millis(100))
            .timeout(Duration::from_millis(50))
    };
    let damped = |router: RouterMaker| {
        router.with(|s| {
            s.damping = Some(DampingSettings {
                half_life: Duration::from_millis(500),
                suppress: 1,
                reuse: 1,
            });
        })
    };
    let windowed = |check: CheckMaker| {
        check.with(|c| {
            c.thresholds.window = Some(Window { failures: 2, of: 4 });
            c.thresholds.rise_when_backup = Some(2);
        })
    };
    let vips =
        |router: RouterMaker, last: u8| router.vips((200..=last).map(|n| vip([10, 0, 0, n])));
    let (four, weighty) = match number % 6 {
        0 => (four, quick("weighty").rise(2).fall(3)),
        1 => (four.priority(priority + 1), quick("weighty")),
        2 => (vips(four, 202), quick("weighty").rise(2).fall(2)),
        3 => (
            damped(four.adver(Duration::from_millis(150))),
            windowed(quick("weighty")),
        ),
        4 => (
            vips(four, 201).with(|s| s.garp.repeat = 1),
            quick("weighty"),
        ),
        _ => (
            four.preempt_delay(Duration::from_millis(300)),
            quick("weighty"),
        ),
    };
    let six = if number % 6 > 2 { damped(six) } else { six };
    let settings = crate::sim::scenario::settings([four, six], [weighty, quick("vital")]);
    Arc::new(settings)
}

fn operate(world: &mut World, bytes: &[u8]) {
    for operation in bytes.chunks_exact(3).take(OPERATIONS) {
        let &[code, who, how] = operation else { break };
        if world.violation().is_some() {
            return;
        }
        if let Some(event) = event(code, usize::from(who) % HOSTS, how) {
            world.now_do(event);
        }
        // The upper half of a code decides how much time passes afterwards.
        let pause = match code >> 6 {
            0 => 0,
            1 => u64::from(who ^ how) * 10,
            2 => u64::from(how) * 1_000,
            _ => u64::from(how) * 4_000,
        };
        world.run_for(Duration::from_micros(pause * 2));
    }
}

fn event(code: u8, host: usize, how: u8) -> Option<Event> {
    let next = (host + 1 + usize::from(how) % (HOSTS - 1)) % HOSTS;
    Some(match code % 19 {
        0 => Event::Kill { host },
        1 | 2 => Event::Start { host },
        3 => Event::Stop { host },
        4 => Event::Stall {
            host,
            length: Duration::from_millis(u64::from(how) * 8),
        },
        5 => Event::Cut {
            lan: 0,
            from: host,
            to: next,
        },
        6 => Event::HealAll { lan: 0 },
        7 => Event::Plug {
            host,
            link: ETH0,
            up: how.is_multiple_of(2),
        },
        8 => Event::Exists {
            host,
            link: ETH0,
            exists: !how.is_multiple_of(3),
        },
        9 => Event::Meddle {
            host,
            link: ETH0,
            cidr: service_address(how),
            change: Change::Remove,
        },
        10 => Event::Refuse {
            host,
            address: service_address(how).addr,
            errno: how.is_multiple_of(2).then_some(13),
        },
        11 => Event::Script {
            host,
            script: if how & 0x80 == 0 { "weighty" } else { "vital" }.into(),
            behaviour: behaviour(how),
        },
        12 => Event::Reload {
            host,
            settings: variant(host, how, host != 1),
        },
        13 => Event::Quality {
            lan: 0,
            quality: Quality {
                loss: u32::from(how) * 2,
                twice: u32::from(how),
                held: u32::from(how) * 2,
                hold: Duration::from_millis(u64::from(how)),
                ..Quality::GOOD
            },
        },
        14 => Event::Meddle {
            host,
            link: ETH0,
            cidr: Cidr {
                addr: own_v4(host, 0),
                len: 24,
            },
            change: if how.is_multiple_of(2) {
                Change::Remove
            } else {
                Change::Add
            },
        },
        18 => Event::Order {
            host,
            order: Order {
                id: u64::from(how),
                instance: if how & 0x80 == 0 { "four" } else { "six" }.into(),
                what: match how % 6 {
                    0 | 1 => Intent::Drain {
                        force: false,
                        resumed: false,
                    },
                    2 => Intent::Drain {
                        force: true,
                        resumed: false,
                    },
                    3 | 4 => Intent::Takeover { resumed: false },
                    _ => Intent::Clear,
                },
            },
        },
        15 | 16 => Event::Stranger {
            lan: 0,
            bytes: stranger(host, how),
        },
        _ => return None,
    })
}

fn service_address(how: u8) -> Cidr {
    if how & 0x40 == 0 {
        vip([10, 0, 0, 200 + how % 3]).cidr
    } else {
        vip([0xfe80, 0, 0, 0, 0, 0, 0, 0x200]).cidr
    }
}

fn behaviour(how: u8) -> Behaviour {
    match how % 8 {
        0 | 1 => Behaviour::PASSES,
        2 | 3 => Behaviour::FAILS,
        4 => Behaviour::HANGS,
        5 => Behaviour::IGNORES_TERM,
        6 => Behaviour {
            takes: Duration::from_millis(u64::from(how)),
            ends: Ending::With(Verdict::Signalled(11)),
        },
        _ => Behaviour::ends(Verdict::Lost),
    }
}

/// An advert of nobody's: good, refused for some reason, or not an advert at all.
fn stranger(kind: usize, how: u8) -> Vec<u8> {
    let forged = Forge::v3(VRID4, how.max(1)).every(Duration::from_millis(100));
    let forged = match how % 10 {
        0 => forged.bad_checksum(),
        1 => forged.hop_limit(254),
        2 => forged.every(Duration::ZERO),
        3 => forged.cut(1 + kind),
        4 => forged.says_version(2),
        5 => Forge::v3(VRID6, how).from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99]),
        6 => Forge::v3(VRID4, 0),
        7 => forged.from(IpAddr::from([255, 255, 255, 255])),
        8 => forged.trailing(60),
        _ => forged,
    };
    forged.packet()
}

/// Nobody meddles any more; everything that was broken is mended.
fn peace(world: &mut World) {
    world.now_do(Event::HealAll { lan: 0 });
    let quality = Quality::GOOD;
    world.now_do(Event::Quality { lan: 0, quality });
    for host in 0..HOSTS {
        for address in 200..=202 {
            let address = IpAddr::from([10, 0, 0, address]);
            let errno = None;
            world.now_do(Event::Refuse {
                host,
                address,
                errno,
            });
        }
        let address = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x200]);
        world.now_do(Event::Refuse {
            host,
            address,
            errno: None,
        });
        for script in ["weighty", "vital"] {
            world.now_do(Event::Script {
                host,
                script: script.into(),
                behaviour: Behaviour::PASSES,
            });
        }
        let link = ETH0;
        world.now_do(Event::Exists {
            host,
            link,
            exists: true,
        });
        world.now_do(Event::Plug {
            host,
            link,
            up: true,
        });
        world.now_do(Event::Meddle {
            host,
            link,
            cidr: Cidr {
                addr: own_v4(host, 0),
                len: 24,
            },
            change: Change::Add,
        });
        // A stopping daemon may still be on its way out.
        world.run_for(Duration::from_secs(15));
        world.now_do(Event::Start { host });
        world.now_do(Event::Reload {
            host,
            settings: variant(host, 0, true),
        });
        for instance in ["four", "six"] {
            let order = Order {
                id: 0,
                instance: instance.into(),
                what: Intent::Clear,
            };
            world.now_do(Event::Order { host, order });
        }
    }
}
