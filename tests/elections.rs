//! Elections between simulated hosts: named scenarios one by one, and thousands of random ones.

use mainstay::core::action::Change;
use mainstay::model::ids::Family;
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

// ---- who takes over, and when --------------------------------------------------------------------

#[test]
fn the_higher_priority_serves_after_its_down_interval_whatever_state_says() {
    let mut world = pair(vi(150), vi(100).start_active()).world();
    world.run_for(10 * S);
    serves(&world, &[A], "priority decides, not the state word");
    assert_eq!(entered(&world, A, Phase::Active, 0), down_interval(150));
    assert_eq!(count(&world, B, Phase::Active), 0, "B hears A in time");
    assert_eq!(world.longest_dual(), Duration::ZERO);
}

#[test]
fn failover_comes_one_down_interval_after_the_last_advert() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.run_for(9999 * MS);
    let last = world
        .timeline()
        .adverts()
        .filter(|a| a.1 == A)
        .last()
        .expect("A adverts")
        .0;
    world.run_for(10 * S);
    serves(&world, &[B], "B takes over from the dead");
    let silent = entered(&world, B, Phase::Active, 0) - last.since(Instant::ZERO);
    within(
        "Active_Down_Interval",
        silent,
        down_interval(100),
        down_interval(100) + WAY,
    );
}

#[test]
fn a_polite_stop_hands_over_after_the_skew_time() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(at(10 * S), Event::Stop { host: A });
    world.run_for(20 * S);
    serves(&world, &[B], "B takes over from the one that left");
    let after = entered(&world, B, Phase::Active, 0) - 10 * S;
    within("Skew_Time", after, skew(100), skew(100) + WAY);
    let zeros = world
        .timeline()
        .adverts()
        .filter(|a| a.1 == A && a.3 == 0)
        .count();
    assert_eq!(zeros, 1, "priority 0 is said exactly once");
    assert!(
        !world.holds(A, vip([10, 0, 0, 200]).cidr),
        "a polite stop removes its addresses"
    );
    assert!(
        !world.hosts()[A].is_alive(),
        "it is gone when the kernel has answered"
    );
}

#[test]
fn priority_zero_draws_an_advert_from_an_active_router() {
    let mut world = pair(vi(150), vi(100)).world();
    world.run_for(10 * S + 300 * MS);
    let before = world.timeline().adverts().count();
    let bytes = Forge::v3(51, 0).packet();
    world.now_do(Event::Stranger { lan: 0, bytes });
    assert_eq!(world.timeline().adverts().count(), before + 1);
    world.run_for(20 * S);
    serves(
        &world,
        &[A],
        "a stranger's release moves nobody while A adverts",
    );
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn a_higher_priority_that_returns_preempts() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.at(at(20 * S), Event::Start { host: A });
    world.run_for(40 * S);
    serves(&world, &[A], "A preempts");
    // A listens for its own down interval: B's adverts lose and do not restart its timer.
    let back = entered(&world, A, Phase::Active, 1) - 20 * S;
    assert_eq!(back, down_interval(150));
    assert!(
        world.longest_dual() <= WAY,
        "B yields with A's first advert"
    );
    assert!(!world.holds(B, vip([10, 0, 0, 200]).cidr));
}

#[test]
fn nopreempt_leaves_the_lower_one_serving_but_not_its_silence() {
    let mut world = pair(vi(150).nopreempt(), vi(100)).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.at(at(20 * S), Event::Start { host: A });
    world.run_for(60 * S);
    serves(&world, &[B], "A may not preempt");
    world.now_do(Event::Kill { host: B });
    world.run_for(5 * S);
    serves(
        &world,
        &[A],
        "Preempt_Mode does not keep A from taking over when B is silent",
    );
}

#[test]
fn preempt_delay_counts_from_the_first_lower_advert_and_ends_with_the_running_timer() {
    let mut world = pair(vi(150).preempt_delay(20 * S), vi(100)).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.at(at(30 * S), Event::Start { host: A });
    world.run_for(70 * S);
    serves(&world, &[A], "A preempts at last");
    let back = entered(&world, A, Phase::Active, 1) - 30 * S;
    let least = 20 * S + down_interval(150) - S;
    within(
        "preempt_delay and a down interval",
        back,
        least,
        least + 2 * S,
    );
}

#[test]
fn preempt_delay_does_not_delay_a_takeover_from_silence() {
    let mut world = pair(vi(150).preempt_delay(1000 * S), vi(100)).world();
    world.run_for(5 * S);
    serves(&world, &[A], "nobody was heard");
    assert_eq!(entered(&world, A, Phase::Active, 0), down_interval(150));
}

#[test]
fn the_higher_address_wins_a_tie_between_two_active_routers() {
    let mut world = pair(vi(100), vi(100)).world();
    world.run_for(20 * S);
    serves(&world, &[B], "10.0.0.2 is higher than 10.0.0.1");
    assert!(
        world.longest_dual() <= WAY,
        "the tie is over with the first advert"
    );
}

#[test]
fn an_equal_priority_does_not_preempt() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(100)))
        .host(host("b").router(vi(100)).starts(10 * S))
        .world();
    world.run_for(40 * S);
    serves(&world, &[A], "a Backup does not compare addresses");
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn the_higher_of_two_owners_stays() {
    let mut world = pair(vi(255).start_active(), vi(255).start_active()).world();
    world.run_for(20 * S);
    serves(&world, &[B], "owners compare addresses as anybody does");
    assert_eq!(
        entered(&world, B, Phase::Active, 0),
        Duration::ZERO,
        "an owner claims at once"
    );
    assert!(world.longest_dual() <= WAY);
}

#[test]
fn an_owner_takes_over_at_once_and_always() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(254)))
        .host(
            host("b")
                .router(vi(255).start_active().nopreempt())
                .starts(10 * S),
        )
        .world();
    world.run_for(30 * S);
    serves(&world, &[B], "nopreempt does not bind an owner");
    assert_eq!(entered(&world, B, Phase::Active, 0), 10 * S);
    assert!(world.longest_dual() <= WAY);
}

#[test]
fn a_backup_learns_the_interval_of_the_active_router() {
    let mut world = pair(vi(150).adver(200 * MS), vi(100)).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.run_for(10 * S);
    let learned = world.view(B, "vi").expect("B runs").learned_interval_s;
    assert!((learned - 0.2).abs() < 1e-9, "{learned}");
    world.run_for(2 * S);
    serves(&world, &[B], "B waited by A's interval");
    let silent = entered(&world, B, Phase::Active, 0) - 10 * S;
    within("3 × 0.2 s + skew", silent, 520 * MS, 723 * MS);
    let mut adverts = world.timeline().adverts().filter(|a| a.1 == B).map(|a| a.0);
    let first = adverts.next().expect("B adverts");
    assert_eq!(
        adverts.next().expect("again").since(first),
        S,
        "its own interval when it serves"
    );
}

#[test]
fn a_flapping_host_moves_the_address_once_each_way() {
    let mut scenario = pair(vi(150), vi(100));
    for round in 1..=5u32 {
        scenario = scenario
            .at(20 * S * round, Event::Kill { host: A })
            .at(20 * S * round + 10 * S, Event::Start { host: A });
    }
    let mut world = scenario.world();
    world.run_for(140 * S);
    serves(&world, &[A], "A is back");
    assert_eq!(count(&world, B, Phase::Active), 5);
    assert_eq!(count(&world, A, Phase::Active), 6);
    assert!(world.longest_dual() <= WAY);
}

#[test]
fn both_serve_while_parted_and_the_better_one_stays_when_healed() {
    let mut world = pair(vi(150), vi(100)).world();
    let (from, to) = (A, B);
    world.at(at(10 * S), Event::Cut { lan: 0, from, to });
    world.at(
        at(10 * S),
        Event::Cut {
            lan: 0,
            from: to,
            to: from,
        },
    );
    world.at(at(30 * S), Event::HealAll { lan: 0 });
    world.run_for(20 * S);
    assert_eq!(
        world.serving(0, Family::V4, 51).len(),
        2,
        "each hears nobody"
    );
    world.run_for(20 * S);
    serves(&world, &[A], "the better one stays");
    let yielded = entered(&world, B, Phase::Backup, 1) - 30 * S;
    assert!(
        yielded <= S + WAY,
        "B yields with the first advert it hears: {yielded:?}"
    );
    let vip = IpAddr::from([10, 0, 0, 200]);
    assert_eq!(
        world.lans()[0].holder(vip),
        Some(A),
        "the survivor announced the address again"
    );
}

#[test]
fn when_only_the_lower_one_is_deaf_both_serve_and_its_adverts_are_answered() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(
        at(10 * S),
        Event::Cut {
            lan: 0,
            from: A,
            to: B,
        },
    );
    world.at(at(30 * S), Event::HealAll { lan: 0 });
    world.run_for(29 * S);
    assert_eq!(world.serving(0, Family::V4, 51).len(), 2, "B hears nothing");
    assert_eq!(
        count(&world, A, Phase::Backup),
        1,
        "A hears only lower ones and stays"
    );
    world.run_for(10 * S);
    serves(&world, &[A], "healed");
}

#[test]
fn when_only_the_higher_one_is_deaf_nothing_moves() {
    let mut world = pair(vi(150), vi(100)).world();
    world.at(
        at(10 * S),
        Event::Cut {
            lan: 0,
            from: B,
            to: A,
        },
    );
    world.run_for(60 * S);
    serves(&world, &[A], "B hears A, that is enough");
    assert_eq!(count(&world, B, Phase::Active), 0);
}

#[test]
fn unicast_routers_elect_like_others() {
    let peers = [own_v4(A, 0), own_v4(B, 0)];
    let a = vi(150).unicast(peers[0], &peers[1..]);
    let b = vi(100).unicast(peers[1], &peers[..1]);
    let mut world = pair(a, b).world();
    world.at(at(10 * S), Event::Kill { host: A });
    world.run_for(9 * S);
    serves(&world, &[A], "A is higher");
    world.run_for(9 * S);
    serves(&world, &[B], "A is dead");
}

#[test]
fn version_two_and_ipv6_elect_by_the_same_rules() {
    for make in [RouterMaker::v2, RouterMaker::v6] {
        let mut world = pair(make(vi(150)), make(vi(100))).world();
        let family = if make(vi(1)).settings().family == Family::V6 {
            Family::V6
        } else {
            Family::V4
        };
        world.at(at(10 * S), Event::Kill { host: A });
        world.run_for(9 * S);
        assert_eq!(world.serving(0, family, 51), [A]);
        assert_eq!(entered(&world, A, Phase::Active, 0), down_interval(150));
        world.run_for(9 * S);
        assert_eq!(world.serving(0, family, 51), [B]);
        kept_rules(&world);
    }
    let a = vi(100).v6().unicast(own_v6(A, 0), &[own_v6(B, 0)]);
    let b = vi(100).v6().unicast(own_v6(B, 0), &[own_v6(A, 0)]);
    let mut world = pair(a, b).world();
    world.run_for(10 * S);
    assert_eq!(
        world.serving(0, Family::V6, 51),
        [B],
        "the higher IPv6 address wins a tie"
    );
}

// ---- stalls --------------------------------------------------------------------------------------

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

// ---- scripts -------------------------------------------------------------------------------------

#[test]
fn a_failing_script_of_weight_zero_moves_the_address_and_its_recovery_brings_it_back() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk").rise(2).fall(2), Behaviour::PASSES),
        )
        .host(host("b").router(vi(100)))
        .world();
    let script: Arc<str> = "chk".into();
    let fails = Event::Script {
        host: A,
        script: script.clone(),
        behaviour: Behaviour::FAILS,
    };
    let recovers = Event::Script {
        host: A,
        script,
        behaviour: Behaviour::PASSES,
    };
    world.at(at(10 * S + 500 * MS), fails);
    world.at(at(30 * S + 500 * MS), recovers);
    world.run_for(30 * S);
    serves(&world, &[B], "A is in FAULT");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    // Runs start at 0.000 and every second; the second failure ends 1 ms after 12 s.
    assert_eq!(entered(&world, A, Phase::Fault, 0), 12 * S + MS);
    let zeros = world
        .timeline()
        .adverts()
        .filter(|a| a.1 == A && a.3 == 0)
        .count();
    assert_eq!(zeros, 1, "leaving Active for FAULT says priority 0 once");
    let taken = entered(&world, B, Phase::Active, 0) - (12 * S + MS);
    within("Skew_Time of B", taken, skew(100), skew(100) + WAY);
    world.run_for(20 * S);
    serves(&world, &[A], "A recovered and preempts");
    assert_eq!(
        entered(&world, A, Phase::Backup, 1),
        32 * S + MS,
        "two successes, then Backup"
    );
    assert_eq!(
        entered(&world, A, Phase::Active, 1),
        32 * S + MS + down_interval(150)
    );
}

#[test]
fn a_lost_weight_hands_over_one_down_interval_after_the_last_old_advert() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", -60))
                .check(check("chk"), Behaviour::PASSES),
        )
        .host(host("b").router(vi(100)))
        .world();
    let script: Arc<str> = "chk".into();
    world.at(
        at(10 * S + 500 * MS),
        Event::Script {
            host: A,
            script: script.clone(),
            behaviour: Behaviour::FAILS,
        },
    );
    world.at(
        at(40 * S),
        Event::Script {
            host: A,
            script,
            behaviour: Behaviour::PASSES,
        },
    );
    world.run_for(30 * S);
    serves(&world, &[B], "90 is less than 100");
    assert_eq!(world.view(A, "vi").expect("A runs").priority, 90);
    // Nothing is sent at once: the next periodic advert carries 90 and B's timer runs on.
    let fell = 11 * S + MS;
    let last_old = world
        .timeline()
        .adverts()
        .filter(|&(_, h, _, p)| h == A && p == 150)
        .last()
        .expect("adverts of 150")
        .0
        .since(Instant::ZERO);
    assert!(last_old < fell && fell - last_old < S);
    let taken = entered(&world, B, Phase::Active, 0) - last_old;
    within(
        "the running timer of B",
        taken,
        down_interval(100),
        down_interval(100) + WAY,
    );
    assert!(
        world.longest_dual() <= WAY,
        "A yields with B's first advert"
    );
    world.run_for(20 * S);
    serves(&world, &[A], "A has its weight back");
}

#[test]
fn a_rising_weight_shortens_the_running_timer_and_preempts() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150)))
        .host(
            host("b")
                .router(vi(100).track("chk", 60))
                .check(check("chk"), Behaviour::FAILS),
        )
        .world();
    let behaviour = Behaviour::PASSES;
    world.at(
        at(10 * S),
        Event::Script {
            host: B,
            script: "chk".into(),
            behaviour,
        },
    );
    world.run_for(30 * S);
    serves(&world, &[B], "160 is more than 150");
    let last = world
        .timeline()
        .adverts()
        .filter(|&(t, h, ..)| h == A && t < at(10 * S + MS))
        .last()
        .expect("A adverts")
        .0
        .since(Instant::ZERO);
    let taken = entered(&world, B, Phase::Active, 0) - last;
    within(
        "down interval at 160",
        taken,
        down_interval(160),
        down_interval(160) + WAY,
    );
}

#[test]
fn a_hanging_script_fails_at_its_timeout_and_is_killed() {
    let hangs = Behaviour::IGNORES_TERM;
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150).track("chk", 0)).check(
            check("chk").interval(2 * S).timeout(500 * MS),
            Behaviour::PASSES,
        ))
        .host(host("b").router(vi(100)))
        .world();
    world.at(
        at(9 * S),
        Event::Script {
            host: A,
            script: "chk".into(),
            behaviour: hangs,
        },
    );
    world.run_for(60 * S);
    serves(&world, &[B], "a timeout is a failure");
    assert_eq!(
        entered(&world, A, Phase::Fault, 0),
        10 * S + 500 * MS,
        "at its deadline"
    );
    let programs = world.hosts()[A].programs();
    assert_eq!(programs.most_of_one(), 1, "never two runs of one script");
    world.now_do(Event::Stop { host: A });
    world.run_for(10 * S);
    kept_rules(&world);
    assert_eq!(
        world.hosts()[A].programs().running(),
        0,
        "no child is left behind"
    );
    assert!(!world.hosts()[A].is_alive());
}

#[test]
fn one_timeout_is_one_failure() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk").fall(2).rise(1), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S + 500 * MS);
    let behaviours = vec![Behaviour::HANGS, Behaviour::PASSES, Behaviour::HANGS];
    world.now_do(Event::ScriptNext {
        host: A,
        script: "chk".into(),
        behaviours,
    });
    world.run_for(20 * S);
    serves(
        &world,
        &[A],
        "fall 2 rides out a single timed-out run, timeout equal to interval",
    );
    assert_eq!(count(&world, A, Phase::Fault), 0);
}

#[test]
fn a_program_that_exits_with_zero_on_term_has_failed_all_the_same() {
    use mainstay::sim::programs::Ending;
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk").timeout(500 * MS), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S);
    let behaviour = Behaviour {
        takes: Duration::ZERO,
        ends: Ending::HangsThenPasses,
    };
    world.now_do(Event::Script {
        host: A,
        script: "chk".into(),
        behaviour,
    });
    world.run_for(20 * S);
    kept_rules(&world);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    assert_eq!(
        count(&world, A, Phase::Fault),
        1,
        "no flapping between TERM and the next run"
    );
}

#[test]
fn a_program_that_cannot_be_started_fails_and_trouble_of_ours_moves_nothing() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk"), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S);
    let script: Arc<str> = "chk".into();
    let behaviour = Behaviour::ends(Verdict::Lost);
    world.now_do(Event::Script {
        host: A,
        script: script.clone(),
        behaviour,
    });
    world.run_for(20 * S);
    serves(&world, &[A], "a lost runner is no result");
    let behaviour = Behaviour::ends(Verdict::NotStarted(2));
    world.now_do(Event::Script {
        host: A,
        script,
        behaviour,
    });
    world.run_for(3 * S);
    assert_eq!(
        world.phase(A, "vi"),
        Some(Phase::Fault),
        "ENOENT is a failure"
    );
}

#[test]
fn init_fail_holds_in_fault_until_so_many_successes() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk").rise(3).init_fail(), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S);
    serves(&world, &[A], "after three successes and a down interval");
    assert_eq!(entered(&world, A, Phase::Fault, 0), Duration::ZERO);
    assert_eq!(
        entered(&world, A, Phase::Backup, 0),
        2 * S + MS,
        "the third success"
    );
    assert_eq!(
        entered(&world, A, Phase::Active, 0),
        2 * S + MS + down_interval(150)
    );
}

#[test]
fn a_script_without_result_holds_its_router_without_a_word() {
    let mut world = Scenario::new(1)
        .host(host("a").router(vi(150).track("chk", 0)).check(
            check("chk").rise(5).timeout(900 * MS),
            Behaviour::PASSES.taking(700 * MS),
        ))
        .world();
    world.run_for(10 * S);
    serves(
        &world,
        &[A],
        "the first success decides, whatever rise says",
    );
    assert_eq!(entered(&world, A, Phase::Backup, 0), 700 * MS);
    assert_eq!(count(&world, A, Phase::Fault), 0, "waiting is not told");
}

#[test]
fn a_weight_counts_nothing_before_the_first_result() {
    let world = |behaviour| {
        let mut world = Scenario::new(1)
            .host(
                host("a")
                    .router(vi(150).track("up", 20).track("down", -20))
                    .check(check("up"), behaviour)
                    .check(check("down"), behaviour),
            )
            .world();
        world.run_for(500 * MS);
        world.view(A, "vi").expect("A runs").priority
    };
    assert_eq!(world(Behaviour::PASSES.taking(900 * MS)), 150);
    assert_eq!(world(Behaviour::PASSES), 170, "weight > 0 adds while up");
    assert_eq!(
        world(Behaviour::FAILS),
        130,
        "weight < 0 subtracts while down"
    );
}

// ---- start, links, addresses, reload -------------------------------------------------------------

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
