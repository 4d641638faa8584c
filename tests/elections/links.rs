//! Interfaces: when their state counts, who says it, and addresses that are on them in any state.

use super::*;
use mainstay::model::addr::VirtualAddress;
use mainstay::model::links::{LinkDelay, LinkPoll, Linkbeat, StaticAddress};
use mainstay::model::priority::Weight;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{LinkTrackSettings, Settings};

const ETH1: LinkId = LinkId(3);

fn plug(link: LinkId, up: bool) -> Event {
    Event::Plug { host: A, link, up }
}

fn exists(link: LinkId, exists: bool) -> Event {
    Event::Exists {
        host: A,
        link,
        exists,
    }
}

fn delay(interface: &str, down: Duration, up: Duration) -> impl FnOnce(&mut Settings) {
    let interface = interface.into();
    move |s| {
        s.links.delays.push(LinkDelay {
            interface,
            down,
            up,
        });
    }
}

fn track(router: RouterMaker, interface: &str, weight: i16, reverse: bool) -> RouterMaker {
    let track = LinkTrackSettings {
        interface: interface.into(),
        weight: Weight::new(weight).expect("a weight"),
        reverse,
    };
    router.with(|s| s.track_links.push(track))
}

/// A with priority 150 and these settings besides, B with 100; both on two LANs.
fn two_lans(router: RouterMaker, change: impl FnOnce(&mut Settings)) -> Scenario {
    let mut ours = settings([router], []);
    change(&mut ours);
    Scenario::new(1)
        .lan(Quality::GOOD)
        .host(host("a").settings(ours))
        .host(host("b").router(vi(100)))
}

fn priority(world: &World) -> u8 {
    world.view(A, "vi").expect("A runs").priority
}

#[test]
fn a_dip_of_its_own_interface_that_is_shorter_than_the_delay_is_no_fault() {
    let delayed = delay("eth0", Duration::from_millis(1_500), Duration::ZERO);
    let mut world = two_lans(vi(150), delayed).world();
    world.run_for(10 * S);
    serves(&world, &[A], "A is better");
    world.now_do(plug(ETH0, false));
    world.run_for(1_400 * MS);
    world.now_do(plug(ETH0, true));
    world.run_for(20 * S);
    serves(&world, &[A], "B never had reason to");
    assert_eq!(count(&world, A, Phase::Fault), 0);
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn a_longer_one_is_fault_when_the_delay_is_over() {
    let delayed = delay("eth0", Duration::from_millis(1_500), 4 * S);
    let mut world = two_lans(vi(150), delayed).world();
    world.at(at(10 * S), plug(ETH0, false));
    world.at(at(20 * S), plug(ETH0, true));
    world.run_for(11 * S);
    let view = world.view(A, "vi").expect("A runs");
    assert_eq!(view.state, "MASTER");
    world.run_for(12 * S);
    assert_eq!(entered(&world, A, Phase::Fault, 0), 11_500 * MS);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault), "up for 3 s only");
    world.run_for(20 * S);
    assert_eq!(
        entered(&world, A, Phase::Backup, 1),
        24 * S,
        "up counts after 4 s"
    );
    serves(&world, &[A], "A is back");
}

#[test]
fn an_interface_that_was_never_up_is_not_delayed_when_it_comes_up() {
    let delayed = delay("eth0", Duration::ZERO, 30 * S);
    let mut world = two_lans(vi(150), delayed).world();
    world.at(at(Duration::ZERO), plug(ETH0, false));
    world.run_for(2 * S);
    // Gone and new: never seen up.
    world.now_do(exists(ETH0, false));
    world.run_for(S);
    world.now_do(exists(ETH0, true));
    world.run_for(10 * S);
    serves(&world, &[A], "it does not wait for 30 s");
}

#[test]
fn a_weight_of_an_interface_counts_after_the_delays() {
    let router = track(vi(150), "eth1", -60, false);
    let mut world = two_lans(router, delay("eth1", 2 * S, 3 * S)).world();
    world.run_for(10 * S);
    assert_eq!(priority(&world), 150);
    world.now_do(plug(ETH1, false));
    world.run_for(1_900 * MS);
    assert_eq!(priority(&world), 150);
    let view = world.view(A, "vi").expect("A runs");
    let track = &view.tracks[0];
    assert_eq!(
        (&*track.state, &*track.counter),
        ("up", "down for 1.9 s, counts after 2 s")
    );
    world.run_for(200 * MS);
    assert_eq!(priority(&world), 90);
    world.run_for(10 * S);
    serves(&world, &[B], "B has 100");
    world.now_do(plug(ETH1, true));
    world.run_for(2_900 * MS);
    assert_eq!(priority(&world), 90);
    world.run_for(10 * S);
    serves(&world, &[A], "and it is over");
}

#[test]
fn an_interface_without_weight_is_a_fault_after_its_delay_and_absence_at_once() {
    let router = track(vi(150), "eth1", 0, false);
    let mut world = two_lans(router, delay("eth1", 2 * S, Duration::ZERO)).world();
    world.at(at(10 * S), plug(ETH1, false));
    world.at(at(20 * S), plug(ETH1, true));
    world.at(at(40 * S), exists(ETH1, false));
    world.at(at(50 * S), exists(ETH1, true));
    world.run_for(80 * S);
    serves(&world, &[A], "both are over");
    assert_eq!(entered(&world, A, Phase::Fault, 0), 12 * S);
    assert_eq!(entered(&world, A, Phase::Fault, 1), 40 * S);
}

#[test]
fn a_reload_that_takes_the_delay_away_lets_the_state_count_at_once() {
    let with = delay("eth0", Duration::from_millis(1_900), Duration::ZERO);
    let mut world = two_lans(vi(150), with).world();
    world.run_for(10 * S);
    world.now_do(plug(ETH0, false));
    world.run_for(100 * MS);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Active));
    let settings = Arc::new(settings([vi(150)], []));
    world.now_do(Event::Reload { host: A, settings });
    world.run_for(10 * MS);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
}

#[test]
fn an_interface_that_appears_later_disappears_and_returns_moves_the_priority() {
    let mut ours = settings([track(vi(90), "eth1", 20, false)], []);
    ours.global.startup_delay = Duration::ZERO;
    let mut world = Scenario::new(1)
        .lan(Quality::GOOD)
        .host(host("a").settings(ours))
        .host(host("b").router(vi(100)))
        .at(Duration::ZERO, exists(ETH1, false))
        .at(10 * S, exists(ETH1, true))
        .at(30 * S, exists(ETH1, false))
        .world();
    world.run_for(9 * S);
    assert_eq!(priority(&world), 90);
    world.run_for(11 * S);
    serves(&world, &[A], "110 with it");
    assert_eq!(priority(&world), 110);
    world.run_for(20 * S);
    serves(&world, &[B], "90 without");
}

#[test]
fn the_interface_under_an_address_is_tracked_unless_no_track_stands_there() {
    let fault = |no_track| {
        let mut elsewhere = vip([10, 0, 1, 200]);
        (elsewhere.dev, elsewhere.no_track) = (Some("eth1".into()), no_track);
        let router = vi(150).with(|s| s.excluded = vec![elsewhere]);
        let mut world = two_lans(router, |_| ()).world();
        world.run_for(10 * S);
        world.now_do(plug(ETH1, false));
        world.run_for(S);
        world.phase(A, "vi")
    };
    assert_eq!(fault(false), Some(Phase::Fault));
    assert_eq!(fault(true), Some(Phase::Active));
}

#[test]
fn dont_track_primary_stays_without_carrier_but_not_without_the_interface() {
    let router = vi(150).with(|s| s.dont_track_primary = true);
    let mut world = two_lans(router, |_| ()).world();
    world.run_for(10 * S);
    world.now_do(plug(ETH0, false));
    world.run_for(S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Active));
    world.now_do(exists(ETH0, false));
    world.run_for(S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
}

#[test]
fn a_polled_interface_is_what_the_poll_says() {
    let polled = |s: &mut Settings| {
        s.links.polls.push(LinkPoll {
            interface: "eth0".into(),
            how: Linkbeat::Auto,
        });
    };
    let said = |up| Event::Tracked {
        host: A,
        seen: TrackedSeen::Link {
            interface: "eth0".into(),
            up,
        },
    };
    let mut world = two_lans(vi(150), polled).world();
    world.run_for(10 * S);
    serves(&world, &[A], "nobody asked yet: the kernel's word counts");
    world.now_do(said(false));
    world.run_for(S);
    let view = world.view(A, "vi").expect("A runs");
    assert_eq!((&*view.state, &*view.cause), ("FAULT", "interface_down"));
    world.run_for(10 * S);
    serves(&world, &[B], "A has no link, whatever the kernel says");
    world.now_do(said(true));
    world.run_for(10 * S);
    serves(&world, &[A], "it has one again");
}

#[test]
fn of_an_interface_that_is_not_polled_nobody_else_says_anything() {
    let mut world = two_lans(vi(150), |_| ()).world();
    world.run_for(10 * S);
    world.now_do(Event::Tracked {
        host: A,
        seen: TrackedSeen::Link {
            interface: "eth0".into(),
            up: false,
        },
    });
    world.run_for(10 * S);
    serves(&world, &[A], "a late word after a reload");
}

#[test]
fn a_bfd_session_that_is_tracked_contributes_nothing_and_is_shown_as_not_watched() {
    let router = vi(150).with(|s| s.track_sessions.push("b".into()));
    let mut world = two_lans(router, |_| ()).world();
    world.run_for(10 * S);
    serves(&world, &[A], "no session holds it back");
    let view = world.view(A, "vi").expect("A runs");
    let track = &view.tracks[0];
    assert_eq!((&*track.kind, &*track.state), ("bfd", "not watched"));
    assert_eq!((track.adds, track.fault, view.priority), (0, false, 150));
    assert!(view.what_if.iter().all(|w| &*w.tracker != "b"));
}

// ---- static addresses -----------------------------------------------------------------------------

fn fixed(last: u8, no_track: bool) -> VirtualAddress {
    let mut address = vip([10, 0, 1, last]);
    (address.dev, address.no_track) = (Some("eth1".into()), no_track);
    address
}

fn statics(list: &[VirtualAddress]) -> impl FnOnce(&mut Settings) {
    let all = list.iter().map(|address| {
        Arc::new(StaticAddress {
            address: address.clone(),
            track_group: None,
        })
    });
    let all = all.collect();
    move |s| s.statics = all
}

#[test]
fn static_addresses_are_there_from_start_to_stop_whoever_is_master() {
    let address = fixed(77, false);
    let mut world = two_lans(vi(50), statics(std::slice::from_ref(&address))).world();
    world.run_for(100 * MS);
    assert!(world.holds(A, address.cidr), "before anybody is master");
    world.run_for(10 * S);
    serves(&world, &[B], "B has 100");
    assert!(world.holds(A, address.cidr));
    world.now_do(Event::Stop { host: A });
    world.run_for(S);
    assert!(!world.holds(A, address.cidr));
    kept_rules(&world);
}

#[test]
fn a_static_address_that_someone_removes_is_put_back_unless_no_track_stands_there() {
    let (tracked, loose) = (fixed(77, false), fixed(78, true));
    let both = [tracked.clone(), loose.clone()];
    let mut world = two_lans(vi(150), statics(&both)).world();
    world.run_for(5 * S);
    for address in &both {
        world.now_do(Event::Meddle {
            host: A,
            link: ETH1,
            cidr: address.cidr,
            change: Change::Remove,
        });
    }
    world.run_for(S);
    assert!(world.holds(A, tracked.cidr));
    assert!(!world.holds(A, loose.cidr));
    world.now_do(exists(ETH1, false));
    world.run_for(S);
    world.now_do(exists(ETH1, true));
    world.run_for(S);
    assert!(
        world.holds(A, tracked.cidr),
        "{}",
        world.report("it is back")
    );
    assert!(!world.holds(A, loose.cidr));
    kept_rules(&world);
}

#[test]
fn a_static_address_whose_interface_comes_later_waits_for_it() {
    let both = [fixed(77, false), fixed(78, true)];
    let mut world = two_lans(vi(150), statics(&both))
        .at(Duration::ZERO, exists(ETH1, false))
        .at(5 * S, exists(ETH1, true))
        .world();
    world.run_for(10 * S);
    for address in &both {
        assert!(world.holds(A, address.cidr), "{}", world.report("there"));
    }
    serves(&world, &[A], "nobody tracks its interface");
}

#[test]
fn a_fight_over_a_static_address_ends() {
    let address = fixed(77, false);
    let fight = statics(std::slice::from_ref(&address));
    let mut world = two_lans(vi(150), |s| {
        fight(s);
        s.global.restore_limit.count = 3;
        s.global.restore_limit.within = 60 * S;
    })
    .world();
    let remove = || Event::Meddle {
        host: A,
        link: ETH1,
        cidr: address.cidr,
        change: Change::Remove,
    };
    for second in [5, 6, 7, 8] {
        world.at(at(second * S), remove());
    }
    world.run_for(7 * S + S / 2);
    assert!(world.holds(A, address.cidr), "three times are put back");
    world.run_for(10 * S);
    assert!(!world.holds(A, address.cidr), "the fourth is too often");
    world.run_for(40 * S);
    assert!(world.holds(A, address.cidr), "it is tried again after 30 s");
    serves(&world, &[A], "the router goes on");
}

#[test]
fn a_reload_adds_and_removes_what_differs_and_leaves_the_rest() {
    let (stays, goes, comes) = (fixed(77, false), fixed(78, false), fixed(79, false));
    let mut world = two_lans(vi(150), statics(&[stays.clone(), goes.clone()])).world();
    world.run_for(10 * S);
    let mut next = settings([vi(150)], []);
    statics(&[stays.clone(), comes.clone()])(&mut next);
    let before = world.timeline().to_string();
    let settings = Arc::new(next);
    world.now_do(Event::Reload { host: A, settings });
    world.run_for(S);
    assert!(world.holds(A, stays.cidr) && world.holds(A, comes.cidr));
    assert!(!world.holds(A, goes.cidr));
    let after = world.timeline().to_string();
    let news = after.get(before.len()..).unwrap_or_default();
    assert!(!news.contains("10.0.1.77"), "it is not touched: {news}");
    serves(&world, &[A], "a static address moves nobody");
}

#[test]
fn an_address_that_becomes_static_or_virtual_in_a_reload_stays_there() {
    let address = fixed(77, false);
    let served = || vi(150).with(|s| s.excluded = vec![address.clone()]);
    let mut fixed = settings([vi(150)], []);
    statics(std::slice::from_ref(&address))(&mut fixed);
    let mut world = two_lans(served(), |_| ()).world();
    world.run_for(10 * S);
    let into = |world: &mut World, settings: Settings| {
        let settings = Arc::new(settings);
        world.now_do(Event::Reload { host: A, settings });
        world.run_for(S);
    };
    assert!(world.holds(A, address.cidr));
    into(&mut world, fixed);
    assert!(world.holds(A, address.cidr), "virtual to static");
    into(&mut world, settings([served()], []));
    assert!(world.holds(A, address.cidr), "static to virtual");
    into(&mut world, settings([vi(150)], []));
    assert!(!world.holds(A, address.cidr));
    kept_rules(&world);
}

#[test]
fn what_a_killed_run_left_of_them_is_ours_again() {
    let address = fixed(77, false);
    let mut world = two_lans(vi(150), statics(std::slice::from_ref(&address))).world();
    world.run_for(5 * S);
    world.now_do(Event::Kill { host: A });
    world.run_for(S);
    assert!(world.holds(A, address.cidr), "nobody took it away");
    world.now_do(Event::Start { host: A });
    world.run_for(5 * S);
    assert!(world.holds(A, address.cidr));
    world.now_do(Event::Stop { host: A });
    world.run_for(S);
    assert!(!world.holds(A, address.cidr), "and it goes with the daemon");
}
