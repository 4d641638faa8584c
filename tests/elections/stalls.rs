//! A process that sleeps and wakes.

use super::*;

fn stalled(who: usize, length: Duration) -> World {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(at(10 * S + 500 * MS), Event::Stall { host: who, length });
    world.run_for(10 * S + 500 * MS + length + 10 * S);
    world
}

#[test]
fn a_backup_that_slept_five_seconds_reads_first_and_stays() {
    let world = stalled(B, 5 * S);
    serves(&world, &[A], "A's adverts waited in B's own queue");
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn an_active_router_that_slept_five_seconds_keeps_its_place_when_it_wakes() {
    let world = stalled(A, 5 * S);
    serves(&world, &[A], "A is higher");
    assert_eq!(
        count(&world, A, Phase::Active),
        1,
        "waking is no transition"
    );
    assert_eq!(count(&world, B, Phase::Active), 1, "B served meanwhile");
    let back = entered(&world, B, Phase::Backup, 1) - (15 * S + 500 * MS);
    assert!(back <= WAY, "B hears A as soon as A is awake: {back:?}");
    let vip = IpAddr::from([10, 0, 0, 200]);
    assert_eq!(
        world.lans()[0].holder(vip),
        Some(A),
        "A announced the address again"
    );
}

#[test]
fn an_active_router_that_slept_hears_a_better_one_first() {
    let mut world = pair(vi(100), vi(150)).world();
    world.run_for(10 * S);
    serves(&world, &[B], "B is higher");
    // B is gone for a while, A serves and falls asleep, B is back before A wakes.
    world.at(at(10 * S), Event::Kill { host: B });
    world.at(
        at(20 * S),
        Event::Stall {
            host: A,
            length: 20 * S,
        },
    );
    world.at(at(22 * S), Event::Start { host: B });
    world.run_for(29 * S + 500 * MS);
    let before = world.timeline().adverts().filter(|a| a.1 == A).count();
    world.run_for(10 * S);
    serves(&world, &[B], "A read B's adverts");
    let after = world.timeline().adverts().filter(|a| a.1 == A).count();
    assert_eq!(
        before, after,
        "a better advert waits unread: A yields before it says anything"
    );
}

#[test]
fn expiring_timers_before_reading_would_take_over_from_a_living_router() {
    let mut world = pair(vi(150), vi(100)).world();
    world.host_mut(B).expect("B").expire_timers_first(true);
    world.at(
        at(10 * S),
        Event::Stall {
            host: B,
            length: 3 * S + 700 * MS,
        },
    );
    world.run_for(20 * S);
    kept_rules(&world);
    assert_eq!(
        count(&world, B, Phase::Active),
        1,
        "this is why the sockets are read first"
    );
}

#[test]
fn a_long_sleep_with_an_empty_queue_makes_a_backup_listen_once_more() {
    let mut world = pair(vi(150), vi(100)).world();
    // Nothing reaches B while it sleeps, so its queue proves nothing.
    world.at(
        at(10 * S),
        Event::Stall {
            host: B,
            length: 10 * S,
        },
    );
    world.at(
        at(10 * S),
        Event::Cut {
            lan: 0,
            from: A,
            to: B,
        },
    );
    world.at(at(19 * S + 900 * MS), Event::HealAll { lan: 0 });
    world.run_for(30 * S);
    serves(
        &world,
        &[A],
        "one interval of listening was enough to hear A",
    );
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn a_backup_of_255_virtual_routers_that_slept_five_seconds_moves_none() {
    let make = |priority: u8| {
        let mut h = host(if priority > 100 { "a" } else { "b" });
        for vrid in 1..=255u8 {
            let name = format!("vi{vrid}");
            let router = router(&name)
                .vrid(vrid)
                .priority(priority)
                .vips([vip([10, 0, 1, vrid])])
                .with(|s| s.garp.repeat = 1);
            h = h.router(router);
        }
        h
    };
    for (who, transitions) in [(B, 0), (A, 255)] {
        let mut world = Scenario::new(1).host(make(150)).host(make(100)).world();
        world.mute();
        world.run_for(6 * S);
        kept_rules(&world);
        let before = world.tally().0;
        world.now_do(Event::Stall {
            host: who,
            length: 5 * S,
        });
        world.run_for(10 * S);
        kept_rules(&world);
        // While A sleeps B takes over and, when A wakes, yields again: 255 each way, none of A's.
        assert_eq!(
            world.tally().0 - before,
            2 * transitions,
            "host {who} slept"
        );
        for vrid in 1..=255 {
            assert_eq!(world.serving(0, Family::V4, vrid), [A]);
        }
    }
}

#[test]
fn an_active_router_that_slept_announces_again_though_nobody_contradicts() {
    let quiet = |priority| {
        vi(priority).with(|s| {
            s.garp.lower_repeat = 0;
            s.garp.delay = Duration::ZERO;
        })
    };
    let mut world = pair(quiet(150), quiet(100)).world();
    let length = 5 * S;
    world.at(at(10 * S + 500 * MS), Event::Stall { host: A, length });
    world.at(at(15 * S + 200 * MS), Event::Kill { host: B });
    world.run_for(15 * S);
    let vip = IpAddr::from([10, 0, 0, 200]);
    assert_eq!(world.lans()[0].holder(vip), Some(B), "B served meanwhile");
    world.run_for(10 * S);
    serves(&world, &[A], "A woke");
    assert_eq!(
        world.lans()[0].holder(vip),
        Some(A),
        "hosts must learn it again"
    );
}
