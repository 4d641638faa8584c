//! Defects of other routers that are not to be copied, each with what we do instead.

mod support;

use mainstay::core::input::Input;
use mainstay::core::plan::diff;
use mainstay::model::notice::Phase;
use mainstay::sim::forge::Forge;
use mainstay::sim::scenario::{RouterMaker, router, settings};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use support::{Bench, OWN6};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn ours() -> RouterMaker {
    router("vi")
}

fn garbage() -> Vec<(&'static str, Forge)> {
    let high = || Forge::v3(51, 200);
    vec![
        ("checksum", high().bad_checksum()),
        ("hop limit", high().hop_limit(1)),
        ("version", high().says_version(2)),
        ("type", high().says_type(3)),
        ("count", high().says_count(9)),
        ("cut", high().cut(2)),
        ("long", high().trailing(64)),
        ("interval 0", high().every(Duration::ZERO)),
        ("no addresses", high().holds(&[])),
    ]
}

#[test]
fn garbage_every_400_ms_does_not_silence_an_active_router() {
    for (what, packet) in garbage() {
        let mut bench = Bench::active(ours());
        bench.wait(700 * MS);
        bench.take();
        for _ in 0..25 {
            bench.wait(400 * MS);
            bench.hear(&packet);
        }
        assert_eq!(bench.sent().len(), 10, "{what}: ten adverts in ten seconds");
        assert_eq!(
            bench.entered(),
            Vec::<Phase>::new(),
            "{what}: and no transition"
        );
    }
}

#[test]
fn garbage_does_not_keep_a_backup_from_taking_over() {
    for (what, packet) in garbage() {
        let mut bench = Bench::of(ours());
        let due = bench.engine.next_deadline().expect("it listens");
        while bench.now + 400 * MS < due {
            bench.wait(400 * MS);
            bench.hear(&packet);
        }
        assert_eq!(bench.engine.next_deadline(), Some(due), "{what}");
        bench.next_timer();
        assert_eq!(bench.phase(), Phase::Active, "{what}");
    }
}

#[test]
fn interval_zero_moves_nobody_however_often_it_comes() {
    for (router, src) in [
        (ours(), IpAddr::from([10, 0, 0, 99])),
        (ours().v6(), IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99])),
    ] {
        let mut bench = Bench::active(router);
        for _ in 0..45 {
            bench.hear(&Forge::v3(51, 200).from(src).every(Duration::ZERO));
            bench.wait(100 * MS);
        }
        assert_eq!(
            bench.entered(),
            Vec::<Phase>::new(),
            "45 packets, no transition"
        );
    }
}

#[test]
fn two_owners_are_told_apart_by_address_and_nobody_lowers_itself() {
    let owner = || ours().priority(255).start_active();
    let mut bench = Bench::active(owner());
    bench.hear(&Forge::v3(51, 255).from([10, 0, 0, 9]));
    assert_eq!(
        (bench.phase(), bench.sent()),
        (Phase::Active, vec![255]),
        "the higher one stays"
    );
    let mut bench = Bench::active(owner());
    bench.hear(&Forge::v3(51, 255).from([10, 0, 0, 11]));
    assert_eq!(bench.phase(), Phase::Backup, "the lower one yields");
    assert_eq!(bench.view().priority, 255, "and stays an owner");
}

#[test]
fn ipv6_unicast_leaves_with_hop_limit_255() {
    let peer = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99]);
    let mut bench = Bench::backup(ours().v6().unicast(OWN6, &[peer]));
    bench.next_timer();
    let frames = bench.frames_to(peer);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][7], 255, "hop limit");
}

#[test]
fn the_skew_of_version_two_is_not_rounded() {
    for (priority, nanos) in [(254u8, 7_812_500u64), (150, 414_062_500), (1, 996_093_750)] {
        let mut bench = Bench::backup(ours().v2().priority(priority));
        bench.hear(&Forge::v2(51, 0));
        assert_eq!(
            bench.timer(),
            Some(Duration::from_nanos(nanos)),
            "priority {priority}"
        );
    }
}

#[test]
fn a_flood_of_losing_adverts_draws_one_answer_and_one_set_of_announcements_an_interval() {
    let mut bench = Bench::active(ours().with(|s| {
        s.garp.lower_repeat = 3;
        s.garp.lower_delay = Duration::ZERO;
    }));
    bench.wait(20 * S);
    bench.take();
    // A thousand losing adverts a second from a hundred addresses, for ten seconds.
    for n in 0..10_000u32 {
        bench.hear(&Forge::v3(51, 50).from([10, 0, 0, 100 + (n % 100) as u8]));
        bench.wait(MS);
    }
    let counters = bench.view().counters;
    assert_eq!(counters.lower_rcvd, 10_000, "every one is counted");
    let answered = counters.lower_rcvd - counters.lower_unanswered;
    assert!(
        (9..=11).contains(&answered),
        "{answered} answers in ten intervals"
    );
    let sent = bench.sent().len();
    assert!(
        sent <= 21,
        "{sent} adverts: the periodic ones and the answers"
    );
    let announced = bench.announced().len();
    assert!(
        announced <= 11 * 3,
        "{announced} announcements in ten intervals of three"
    );
}

#[test]
fn a_flood_of_resignations_draws_one_answer_an_interval() {
    let mut bench = Bench::active(ours());
    bench.take();
    for _ in 0..5_000 {
        bench.hear(&Forge::v3(51, 0));
        bench.wait(MS);
    }
    let sent = bench.sent().len();
    assert!(
        sent <= 11,
        "{sent} adverts: the periodic ones and the answers"
    );
    assert_eq!(bench.phase(), Phase::Active);
}

#[test]
fn the_first_advert_of_an_ipv6_router_does_not_wait_for_its_address() {
    let mut bench = Bench::backup(ours().v6());
    bench.answers = false;
    bench.next_timer();
    assert_eq!(
        bench.sent(),
        [100],
        "the advert leaves although the kernel has not answered"
    );
    assert_eq!(
        bench.announced(),
        Vec::<IpAddr>::new(),
        "an address nobody has is not announced"
    );
    bench.wait(2 * S);
    assert_eq!(bench.sent().len(), 3, "and the next ones are on time");
}

#[test]
fn a_reload_keeps_state_and_timers_of_what_it_does_not_change() {
    let old = settings([ours()], []);
    let mut bench = Bench::begun(old.clone());
    bench.wait(S);
    let before = bench.engine.next_deadline();
    bench.handle(Input::Plan(Box::new(diff(&old, Arc::new(old.clone())))));
    assert_eq!(
        bench.engine.next_deadline(),
        before,
        "the running timer runs on"
    );
    assert_eq!(bench.phase(), Phase::Backup);
}

#[test]
fn two_adverts_in_a_row_are_both_heeded() {
    let mut bench = Bench::active(ours());
    bench.hear(&Forge::v3(51, 200));
    bench.hear(&Forge::v3(51, 0));
    let skew = S * 156 / 256;
    assert_eq!(
        bench.timer(),
        Some(skew),
        "the second one resigns and is heard in the same wake"
    );
}
