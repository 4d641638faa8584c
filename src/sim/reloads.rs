//! Random reloads: bytes become changes of a file, and between them things go wrong.
//!
//! What a reload must leave alone is judged by the watch; here files are drafted.

use crate::core::plan::diff;
use crate::model::addr::VirtualAddress;
use crate::model::ids::Family;
use crate::model::settings::{GroupSettings, NotifySettings, Settings};
use crate::sim::programs::Behaviour;
use crate::sim::scenario::{ETH0, Event, Scenario, check, host, router, settings, vip};
use crate::sim::world::World;
use std::sync::Arc;
use std::time::Duration;

const HOSTS: usize = 3;
const PRIORITIES: [u8; HOSTS] = [150, 100, 50];
/// Virtual routers a file may have; every other one speaks IPv6.
const ROUTERS: usize = 6;
/// Virtual addresses of each family.
const ADDRESSES: usize = 6;
const FIRST_VRID: u8 = 60;
/// At most so many operations of one input are done.
const OPERATIONS: usize = 48;
/// Everything must have come to rest within this, once nobody meddles any more.
const REST: Duration = Duration::from_secs(12);

/// Any reloads at all on three hosts: no rule is ever broken, and when all have the same file at
/// last, the best host serves every virtual router.
///
/// # Errors
/// Seed, rule or who serves, and timeline.
pub fn reloads(seed: u64, bytes: &[u8]) -> Result<(), String> {
    let mut drafts: Vec<Draft> = (0..HOSTS).map(Draft::new).collect();
    let mut scenario = Scenario::new(seed);
    for (index, draft) in drafts.iter().enumerate() {
        let name = ["a", "b", "c"].get(index).copied().unwrap_or("x");
        scenario = scenario.host(host(name).settings(draft.settings()));
    }
    let mut world = scenario.world();
    world.run_for(Duration::from_secs(5));
    for operation in bytes.chunks_exact(3).take(OPERATIONS) {
        let &[code, who, how] = operation else { break };
        let host = usize::from(who) % HOSTS;
        let draft = &mut drafts[host];
        if let Some(trouble) = trouble(code, host, how) {
            world.now_do(trouble);
        } else {
            let before = draft.settings();
            let same = diff(&before, Arc::new(before.clone()));
            if !same.is_empty() {
                return Err(world.report(&format!("equal settings give a plan: {same}")));
            }
            draft.change(code, who / 3, how);
            let settings = Arc::new(draft.settings());
            world.now_do(Event::Reload { host, settings });
        }
        let pause = match code >> 6 {
            0 => 0,
            1 => u64::from(who ^ how),
            2 => u64::from(how) * 2,
            _ => u64::from(how) * 12,
        };
        world.run_for(Duration::from_millis(pause));
        world.verdict()?;
    }
    let last = drafts[0].clone();
    peace(&mut world, &last);
    world.run_for(REST);
    world.verdict()?;
    for slot in 0..ROUTERS {
        if last.routers[slot].is_some() {
            world.agreed(0, family(slot), vrid(slot), true)?;
        }
    }
    Ok(())
}

/// One virtual router of a draft.
#[derive(Clone)]
struct Line {
    name: u8,
    priority: u8,
    adver: Duration,
    v2: bool,
    garp_repeat: u32,
    track: Option<i16>,
    grouped: bool,
}

/// A file in the making.
#[derive(Clone)]
struct Draft {
    host: usize,
    routers: [Option<Line>; ROUTERS],
    /// Which router has each address, and in what form.
    addresses: [[(usize, bool); ADDRESSES]; 2],
    excluded: u8,
    backwards: bool,
    rise: u32,
    script: u8,
    spaced: bool,
}

const fn family(slot: usize) -> Family {
    if slot.is_multiple_of(2) {
        Family::V4
    } else {
        Family::V6
    }
}

fn vrid(slot: usize) -> u8 {
    FIRST_VRID + u8::try_from(slot).unwrap_or(0)
}

impl Draft {
    fn new(host: usize) -> Self {
        let line = |slot: usize| Line {
            name: u8::try_from(slot).unwrap_or(0),
            priority: PRIORITIES[host],
            adver: Duration::from_millis(100),
            v2: false,
            garp_repeat: 2,
            track: None,
            grouped: false,
        };
        Self {
            host,
            routers: std::array::from_fn(|slot| (slot < 4).then(|| line(slot))),
            addresses: std::array::from_fn(|six| {
                std::array::from_fn(|at| ((at % 2) * 2 + six, false))
            }),
            excluded: 0,
            backwards: false,
            rise: 1,
            script: 0,
            spaced: false,
        }
    }

    /// The address number `at` of a family, as it stands in the file.
    fn address(&self, six: usize, at: usize) -> VirtualAddress {
        let last = u8::try_from(at).unwrap_or(0);
        let mut address = if six == 1 {
            vip([0xfe80, 0, 0, 0, 0, 0, 1, u16::from(last)])
        } else {
            vip([10, 0, 0, 220 + last])
        };
        if self.addresses[six][at].1 {
            address.scope = 253;
            address.no_prefix_route = true;
        }
        address
    }

    fn settings(&self) -> Settings {
        let mut routers = Vec::new();
        let mut members = Vec::new();
        for (slot, line) in self.routers.iter().enumerate() {
            let Some(line) = line else { continue };
            let six = slot % 2;
            let own = (0..ADDRESSES).filter(|&at| self.addresses[six][at].0 == slot);
            let (out, advertised): (Vec<usize>, Vec<usize>) =
                own.partition(|&at| self.excluded >> at & 1 == 1);
            let name = format!("vi{}", line.name);
            let mut made = router(&name);
            if six == 1 {
                made = made.v6();
            } else if line.v2 {
                made = made.v2();
            }
            let adver = if line.v2 && six == 0 {
                Duration::from_secs(1)
            } else {
                line.adver
            };
            made = made
                .vrid(vrid(slot))
                .priority(line.priority)
                .adver(adver)
                .vips(advertised.iter().map(|&at| self.address(six, at)))
                .with(|s| {
                    s.garp.repeat = line.garp_repeat;
                    s.excluded = out.iter().map(|&at| self.address(six, at)).collect();
                });
            if let Some(weight) = line.track {
                made = made.track("chk", weight);
            }
            if line.grouped {
                members.push(Arc::from(name));
            }
            routers.push(made);
        }
        if self.backwards {
            routers.reverse();
        }
        let quick = check("chk")
            .interval(Duration::from_millis(200))
            .timeout(Duration::from_millis(100))
            .rise(self.rise);
        let mut all = settings(routers, [quick]);
        if let Some(chk) = all.checks.first_mut().map(Arc::make_mut) {
            chk.command
                .argv
                .push(Arc::from(self.script.to_string().as_str()));
        }
        if members.len() > 1 {
            all.groups.push(Arc::new(GroupSettings {
                name: "G".into(),
                members,
                notify: NotifySettings::default(),
            }));
        }
        if self.spaced {
            all.global.garp_interval = Duration::from_millis(1);
        }
        all
    }

    /// A name that no router has, this one if possible.
    fn free_name(&self, wish: u8) -> u8 {
        let taken = |name: u8| self.routers.iter().flatten().any(|l| l.name == name);
        (wish..=u8::MAX).find(|&name| !taken(name)).unwrap_or(wish)
    }

    /// One change of the file.
    fn change(&mut self, code: u8, more: u8, how: u8) {
        let slot = usize::from(how) % ROUTERS;
        let (six, at) = (slot % 2, usize::from(more) % ADDRESSES);
        let host = self.host;
        match code % 16 {
            0 => {
                let name = self.free_name(10 + u8::try_from(slot).unwrap_or(0));
                self.routers[slot] = match self.routers[slot].take() {
                    Some(_) => None,
                    None => Self::new(host).routers[slot % 4]
                        .clone()
                        .map(|line| Line { name, ..line }),
                };
            }
            1 | 2 => {
                // Moves an address, perhaps to a router that is not there, and so out of the file.
                self.addresses[six][at].0 = slot;
            }
            3 => self.addresses[six][at].1 ^= true,
            4 => self.excluded ^= 1 << at,
            5 => self.backwards ^= true,
            6 => self.rise = 1 + u32::from(how % 3),
            7 => self.script = how % 2,
            8 => self.spaced ^= true,
            // The same file again.
            9 => {}
            _ => self.change_line(code, more, slot),
        }
    }

    fn change_line(&mut self, code: u8, more: u8, slot: usize) {
        let name = self.free_name(20 + more % 8);
        let Some(line) = &mut self.routers[slot] else {
            return;
        };
        match code % 16 {
            10 => line.priority = more.max(1),
            11 => line.adver = Duration::from_millis(100 + 50 * u64::from(more % 3)),
            12 => line.v2 ^= true,
            13 => {
                line.track = match more % 4 {
                    0 => Some(0),
                    1 => Some(70),
                    2 => Some(-120),
                    _ => None,
                }
            }
            14 if more.is_multiple_of(2) => line.grouped ^= true,
            14 => line.garp_repeat = 1 + u32::from(more % 3),
            // Renamed, or two exchange their names.
            _ if more.is_multiple_of(2) => line.name = name,
            _ => {
                let other = (slot + 1 + usize::from(more) % (ROUTERS - 1)) % ROUTERS;
                let name = line.name;
                if let Some(theirs) = self.routers[other].as_ref().map(|l| l.name)
                    && let Some(line) = &mut self.routers[slot]
                {
                    line.name = theirs;
                    if let Some(line) = &mut self.routers[other] {
                        line.name = name;
                    }
                }
            }
        }
    }
}

/// What goes wrong beside the reloads.
fn trouble(code: u8, host: usize, how: u8) -> Option<Event> {
    if code & 0x30 != 0x30 {
        return None;
    }
    Some(match how % 8 {
        0 => Event::Kill { host },
        1 | 2 => Event::Start { host },
        3 => Event::Stall {
            host,
            length: Duration::from_millis(u64::from(how) * 4),
        },
        4 => Event::Plug {
            host,
            link: ETH0,
            up: how & 0x80 == 0,
        },
        _ => Event::Script {
            host,
            script: "chk".into(),
            behaviour: if how & 0x80 == 0 {
                Behaviour::PASSES
            } else {
                Behaviour::FAILS
            },
        },
    })
}

/// Everything is mended, and every host reads the same file but for its priority.
fn peace(world: &mut World, last: &Draft) {
    for (host, priority) in PRIORITIES.into_iter().enumerate() {
        let mut draft = last.clone();
        draft.host = host;
        for line in draft.routers.iter_mut().flatten() {
            line.priority = priority;
            line.track = None;
        }
        let settings = Arc::new(draft.settings());
        world.now_do(Event::Plug {
            host,
            link: ETH0,
            up: true,
        });
        world.run_for(Duration::from_secs(2));
        world.now_do(Event::Start { host });
        world.now_do(Event::Reload { host, settings });
    }
}
