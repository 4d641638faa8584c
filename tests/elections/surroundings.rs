//! Start, links, addresses and reload.

use super::*;
use mainstay::model::notice::What;
use mainstay::model::priority::Weight;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{LinkTrackSettings, NamedTrackSettings};

#[test]
fn the_startup_delay_keeps_silent_and_deaf() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150))
                .global(|g| g.startup_delay = 10 * S),
        )
        .host(host("b").router(vi(100)))
        .world();
    world.run_for(9 * S);
    serves(&world, &[B], "A waits");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Init));
    world.run_for(21 * S);
    serves(
        &world,
        &[A],
        "A preempts after the delay and a down interval",
    );
    assert_eq!(
        entered(&world, A, Phase::Active, 0),
        10 * S + down_interval(150)
    );
}

#[test]
fn the_delay_after_boot_counts_from_the_boot() {
    let delayed = |uptime| {
        let mut world = Scenario::new(1)
            .host(
                host("a")
                    .router(vi(150))
                    .uptime(uptime)
                    .global(|g| g.delay_after_boot = 30 * S),
            )
            .world();
        world.run_for(60 * S);
        kept_rules(&world);
        entered(&world, A, Phase::Backup, 0)
    };
    assert_eq!(delayed(25 * S), 5 * S);
    assert_eq!(delayed(100 * S), Duration::ZERO);
}

#[test]
fn a_link_going_down_is_fault_and_hands_over() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(
        at(10 * S),
        Event::Plug {
            host: A,
            link: ETH0,
            up: false,
        },
    );
    world.at(
        at(30 * S),
        Event::Plug {
            host: A,
            link: ETH0,
            up: true,
        },
    );
    world.run_for(25 * S);
    serves(&world, &[B], "A has no link");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    assert!(!world.holds(A, vip([10, 0, 0, 200]).cidr));
    world.run_for(25 * S);
    serves(&world, &[A], "A is back");
}

#[test]
fn an_absent_interface_is_fault_until_it_appears() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(
        at(10 * S),
        Event::Exists {
            host: A,
            link: ETH0,
            exists: false,
        },
    );
    world.at(
        at(30 * S),
        Event::Exists {
            host: A,
            link: ETH0,
            exists: true,
        },
    );
    world.run_for(25 * S);
    serves(&world, &[B], "A has no interface");
    world.run_for(25 * S);
    serves(&world, &[A], "A listens on it again");
}

#[test]
fn an_address_that_someone_removes_is_put_back_until_it_happens_too_often() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150)).global(|g| {
            g.restore_limit.count = 3;
            g.restore_limit.within = 60 * S;
        }))
        .host(host("b").router(vi(100)))
        .world();
    let cidr = vip([10, 0, 0, 200]).cidr;
    let removed = || Event::Meddle {
        host: A,
        link: ETH0,
        cidr,
        change: Change::Remove,
    };
    for second in [10, 11, 12] {
        world.at(at(second * S), removed());
    }
    world.run_for(20 * S);
    serves(&world, &[A], "three times are put back");
    assert!(world.holds(A, cidr));
    assert_eq!(world.view(A, "vi").expect("A runs").counters.restored, 3);
    world.now_do(removed());
    world.run_for(10 * S);
    serves(&world, &[B], "the fourth is too often");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    world.run_for(30 * S);
    serves(&world, &[A], "left alone for 30 s it comes back");
}

#[test]
fn a_refused_address_is_tried_again() {
    let mut world = pair(vi(150), vi(100)).world();
    let address = IpAddr::from([10, 0, 0, 200]);
    world.now_do(Event::Refuse {
        host: A,
        address,
        errno: Some(13),
    });
    world.run_for(10 * S);
    assert_eq!(world.serving(0, Family::V4, 51), [A]);
    assert!(!world.holds(A, vip(address).cidr));
    let refusals = world
        .timeline()
        .to_string()
        .matches("refused (errno 13)")
        .count();
    assert!(
        (3..12).contains(&refusals),
        "ever more slowly: {refusals} times in 6.6 s"
    );
    world.now_do(Event::Refuse {
        host: A,
        address,
        errno: None,
    });
    world.run_for(31 * S);
    assert!(
        world.holds(A, vip(address).cidr),
        "{}",
        world.report("put in at last")
    );
    assert_eq!(world.lans()[0].holder(address), Some(A), "and announced");
}

#[test]
fn what_an_earlier_life_left_is_removed_before_anything_else() {
    let cidr = vip([10, 0, 0, 200]).cidr;
    let mut world = pair(vi(150), vi(100)).world();
    world.run_for(10 * S);
    world.now_do(Event::Kill { host: A });
    world.run_for(S);
    assert!(world.holds(A, cidr), "kill -9 leaves its address");
    world.now_do(Event::Start { host: A });
    world.run_for(10 * MS);
    assert!(!world.holds(A, cidr), "the next start removes it");
    kept_rules(&world);
}

#[test]
fn a_reload_that_changes_nothing_of_a_router_costs_it_no_advert() {
    let both = |priority: u8, other: u8| {
        settings(
            [
                vi(priority),
                router("other")
                    .vrid(52)
                    .priority(other)
                    .vips([vip([10, 0, 0, 201])]),
            ],
            [],
        )
    };
    let mut world = Scenario::new(1)
        .host(host("a").settings(both(150, 150)))
        .host(host("b").settings(both(100, 100)))
        .world();
    world.run_for(10 * S);
    let transitions = world.tally().0;
    world.now_do(Event::Reload {
        host: A,
        settings: Arc::new(both(150, 90)),
    });
    world.run_for(20 * S);
    kept_rules(&world);
    assert_eq!(world.serving(0, Family::V4, 51), [A]);
    assert_eq!(
        world.serving(0, Family::V4, 52),
        [B],
        "the altered one lost"
    );
    assert_eq!(world.tally().0, transitions + 2, "nobody else moved");
    let times: Vec<Instant> = world
        .timeline()
        .adverts()
        .filter(|&(_, h, vrid, _)| h == A && vrid == 51)
        .map(|a| a.0)
        .collect();
    assert!(
        times.windows(2).all(|w| w[1].since(w[0]) == S),
        "an advert was missed or early"
    );
    assert!(
        world
            .timeline()
            .announcements()
            .all(|(t, h, vip)| { h != A || vip != IpAddr::from([10, 0, 0, 200]) || t < at(9 * S) }),
        "no announcement for an untouched router"
    );
}

#[test]
fn an_address_that_moves_between_instances_is_never_removed() {
    let of = |first: &[u8], second: &[u8]| {
        let vips = |list: &[u8]| list.iter().map(|&n| vip([10, 0, 0, n])).collect::<Vec<_>>();
        settings(
            [
                vi(150).vips(vips(first)),
                router("other").vrid(52).priority(150).vips(vips(second)),
            ],
            [],
        )
    };
    let mut world = Scenario::new(1)
        .host(host("a").settings(of(&[200, 201], &[202])))
        .world();
    world.run_for(10 * S);
    world.now_do(Event::Reload {
        host: A,
        settings: Arc::new(of(&[200], &[201, 202])),
    });
    world.run_for(5 * S);
    kept_rules(&world);
    let removed = world.timeline().to_string().matches("removed").count();
    assert_eq!(
        removed,
        0,
        "{}",
        world.report("10.0.0.201 stays all the time")
    );
    assert!(world.holds(A, vip([10, 0, 0, 201]).cidr));
}

#[test]
fn the_first_advert_of_an_ipv6_router_waits_for_no_address() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150).v6()).kernel_takes(2 * S))
        .world();
    world.run_for(10 * S);
    kept_rules(&world);
    let first = world.timeline().adverts().next().expect("an advert").0;
    assert_eq!(
        first,
        at(down_interval(150)),
        "duplicate address detection or not"
    );
    let announced = world
        .timeline()
        .announcements()
        .next()
        .expect("an announcement")
        .0;
    assert!(
        announced >= first + 2 * S,
        "but no announcement before the kernel has the address"
    );
}

#[test]
fn an_untracked_address_goes_in_when_its_interface_appears() {
    let eth1 = LinkId(3);
    let mut elsewhere = vip([10, 0, 1, 200]);
    elsewhere.dev = Some("eth1".into());
    elsewhere.no_track = true;
    let cidr = elsewhere.cidr;
    let mut world = Scenario::new(1)
        .lan(Quality::GOOD)
        .host(host("a").router(vi(150).with(|s| s.excluded = vec![elsewhere])))
        .world();
    let exists = |exists| Event::Exists {
        host: A,
        link: eth1,
        exists,
    };
    world.at(at(S), exists(false));
    world.at(at(10 * S), exists(true));
    world.run_for(9 * S);
    serves(
        &world,
        &[A],
        "an untracked interface is no reason for FAULT",
    );
    assert!(!world.holds(A, cidr));
    world.run_for(40 * S);
    kept_rules(&world);
    assert!(world.holds(A, cidr), "{}", world.report("put in at last"));
}

#[test]
fn a_fault_turned_around_stands_in_for_that_of_an_interface_with_addresses() {
    let eth1 = LinkId(3);
    let mut elsewhere = vip([10, 0, 1, 200]);
    elsewhere.dev = Some("eth1".into());
    let turned = LinkTrackSettings {
        interface: "eth1".into(),
        weight: Weight::FAULT,
        reverse: true,
    };
    let router = vi(150).with(|s| {
        s.excluded = vec![elsewhere];
        s.track_links = vec![turned];
    });
    let mut world = Scenario::new(1)
        .lan(Quality::GOOD)
        .host(host("a").router(router))
        .world();
    world.run_for(10 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault), "eth1 is up");
    world.now_do(Event::Plug {
        host: A,
        link: eth1,
        up: false,
    });
    world.run_for(10 * S);
    serves(&world, &[A], "eth1 is down, as it must be");
}

#[test]
fn two_thousand_addresses_make_no_advert_late() {
    let many = (0..2000u16).map(|n| vip([10, 1, (n >> 8) as u8, n as u8]));
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150).adver(50 * MS).vips(many)))
        .world();
    world.run_for(S);
    world.now_do(Event::Stop { host: A });
    world.run_for(S);
    kept_rules(&world);
    let sent: Vec<(Instant, u8)> = world.timeline().adverts().map(|a| (a.0, a.3)).collect();
    let (claims, zero) = sent.split_at(sent.len() - 1);
    assert_eq!(zero[0].1, 0);
    assert!(claims.windows(2).all(|w| w[1].0.since(w[0].0) == 50 * MS));
    assert_eq!(claims.len(), 17, "from 0.17 s to 1 s");
    assert_eq!(
        world.hosts()[A]
            .kernel()
            .named("eth0")
            .expect("eth0")
            .present()
            .len(),
        2
    );
}

#[test]
fn an_address_removed_before_the_kernel_has_answered_is_put_back_too() {
    let cidr = vip([10, 0, 0, 200]).cidr;
    let removed = || Event::Meddle {
        host: A,
        link: ETH0,
        cidr,
        change: Change::Remove,
    };
    let mut world = Scenario::new(1).host(host("a").router(vi(150))).world();
    // It is put back while the daemon sleeps and removed again: "added" and "removed" are read first,
    // then the answer to the request.
    world.at(at(10 * S), removed());
    let length = S / 2;
    world.at(
        at(10 * S) + Duration::from_micros(50),
        Event::Stall { host: A, length },
    );
    world.at(at(10 * S) + 100 * MS, removed());
    world.run_for(11 * S);
    kept_rules(&world);
    assert!(world.holds(A, cidr), "{}", world.report("put back twice"));
}

#[test]
fn a_priority_that_moves_names_what_moved_it() {
    let watching = vi(100).with(|s| {
        s.track_files.push(NamedTrackSettings {
            name: "load".into(),
            weight: -1,
            reverse: false,
        });
        s.track_links.push(LinkTrackSettings {
            interface: "eth1".into(),
            weight: Weight::new(-20).expect("in range"),
            reverse: false,
        });
    });
    let mut world = Scenario::new(1)
        .lan(Quality::GOOD)
        .host(host("a").router(watching))
        .world();
    world.run_for(5 * S);
    world.now_do(Event::Tracked {
        host: A,
        seen: TrackedSeen::File {
            name: "load".into(),
            value: 7,
        },
    });
    world.run_for(S);
    world.now_do(Event::Plug {
        host: A,
        link: LinkId(ETH0.0 + 1),
        up: false,
    });
    world.run_for(S);
    let told: Vec<String> = world
        .timeline()
        .notices()
        .filter(|(_, _, notice)| matches!(notice.what, What::Priority { .. }))
        .map(|(_, _, notice)| notice.to_string())
        .collect();
    assert_eq!(
        told,
        [
            "(vi) Changing effective priority from 100 to 93: file load",
            "(vi) Changing effective priority from 93 to 73: interface eth1",
        ]
    );
}
