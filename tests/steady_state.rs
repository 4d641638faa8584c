//! In the steady state the engine allocates nothing: neither for adverts that come nor for those
//! that go.
#![allow(unsafe_code)] // a counting allocator cannot be written without
#![allow(clippy::wildcard_enum_match_arm)]

use mainstay::core::Engine;
use mainstay::core::action::{Action, Actions};
use mainstay::core::input::Input;
use mainstay::model::addr::{Cidr, Mac};
use mainstay::model::ids::{Family, LinkId, Version, Vrid};
use mainstay::model::priority::{Claim, Priority};
use mainstay::model::seen::{AddressSeen, LinkFlags, LinkSeen};
use mainstay::model::settings::AuthSettings;
use mainstay::model::time::Instant;
use mainstay::sim::scenario::{router, settings};
use mainstay::wire::advert::Datagram;
use mainstay::wire::template::{Spec, Template};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINK: LinkId = LinkId(2);
const ADVER: Duration = Duration::from_millis(10);

/// Eight routers: VRIDs 1 to 4 serve, 5 to 8 follow somebody else.
fn engine(out: &mut Actions) -> (Engine, Instant) {
    let routers = (1..=8).map(|id| {
        router(&format!("vi{id}"))
            .vrid(id)
            .with(|r| r.adver = ADVER)
    });
    let mut engine = Engine::new(Arc::new(settings(routers, [])));
    let mut now = Instant::ZERO;
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
    engine.handle(now, Input::Link(link), out);
    let address = AddressSeen {
        link: LINK,
        cidr: Cidr::new(IpAddr::from([10, 0, 0, 1]), 24).expect("a prefix"),
        present: true,
        dad_failed: false,
        secondary: false,
    };
    engine.handle(now, Input::Address(address), out);
    let begin = Input::Begin {
        uptime: Duration::ZERO,
        claimed: &[],
        left: &[],
    };
    engine.handle(now, begin, out);
    let mut frames: Vec<Template> = (5..=8).map(theirs).collect();
    for _ in 0..100 {
        now = now + ADVER / 2;
        hear(&mut engine, now, &mut frames, out);
        answer(&mut engine, now, out);
    }
    // Past the second set of announcements, nothing happens but adverts.
    for _ in 0..1200 {
        now = now + ADVER / 2;
        hear(&mut engine, now, &mut frames, out);
        answer(&mut engine, now, out);
    }
    (engine, now)
}

/// What another router with priority 200 sends for this VRID.
fn theirs(id: u8) -> Template {
    let mut template = Template::new(&Spec {
        version: Version::V3,
        vrid: Vrid::new(id).expect("not zero"),
        adver: ADVER,
        source: IpAddr::from([10, 0, 0, 2]),
        destinations: &[IpAddr::from([224, 0, 0, 18])],
        addresses: &[IpAddr::from([10, 0, 0, 200])],
        auth: AuthSettings::None,
        checksum_as_v2: false,
        mtu: 1500,
    });
    template.set(Claim::Hold(Priority::new(200).expect("not zero")));
    template
}

fn hear(engine: &mut Engine, now: Instant, frames: &mut [Template], out: &mut Actions) {
    for template in frames {
        for (dst, packet) in template.frames() {
            let datagram = Datagram {
                link: LINK,
                family: Family::V4,
                src: IpAddr::from([10, 0, 0, 2]),
                dst,
                hop_limit: 255,
                payload: &packet[20..],
            };
            engine.handle(now, Input::Datagram(datagram), out);
        }
    }
    engine.handle(now, Input::Tick, out);
}

/// The kernel does everything at once.
fn answer(engine: &mut Engine, now: Instant, out: &mut Actions) {
    let asked: Vec<_> = out
        .iter()
        .filter_map(|a| match a {
            Action::Address { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    out.clear();
    for action in asked {
        engine.handle(now, Input::Applied { action }, out);
    }
}

#[test]
fn the_steady_state_allocates_nothing() {
    let mut out = Actions::with_capacity(256, 64 * 1024);
    let (mut engine, mut now) = engine(&mut out);
    let mut frames: Vec<Template> = (5..=8).map(theirs).collect();
    let before = COUNT.with(Cell::get);
    let mut sent = 0;
    for _ in 0..2_000 {
        now = now + ADVER / 2;
        hear(&mut engine, now, &mut frames, &mut out);
        sent += out
            .iter()
            .filter(|a| matches!(a, Action::Send { .. }))
            .count();
        assert_eq!(
            out.iter().count(),
            out.iter()
                .filter(|a| matches!(a, Action::Send { .. }))
                .count()
        );
        out.clear();
    }
    let allocations = COUNT.with(Cell::get) - before;
    assert_eq!(sent, 4_000, "four routers sent an advert every second step");
    assert_eq!(allocations, 0, "8,000 adverts heard and 4,000 sent");
}
