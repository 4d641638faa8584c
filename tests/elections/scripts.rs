//! Track scripts move priorities and faults.

use super::*;
use mainstay::model::settings::Handover;

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
fn a_lost_weight_without_handover_moves_one_down_interval_after_the_last_old_advert() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(
                    vi(150)
                        .track("chk", -60)
                        .with(|r| r.handover = Handover::Off),
                )
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
