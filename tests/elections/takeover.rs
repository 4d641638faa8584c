//! Who takes over, and when.

use super::*;

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
