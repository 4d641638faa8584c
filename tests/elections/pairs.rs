//! The pair of a handover, priority 0 and the new priority, on explicit timelines: chosen packets are
//! lost or late, priorities move again, masters sleep.

use super::*;
use mainstay::model::notice::What;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{GroupSettings, Handover, NamedTrackSettings, NotifySettings};
use mainstay::sim::lan::Fate;
use mainstay::sim::scenario::HostMaker;

/// When the priority falls, in the middle between two adverts.
const FALL: Duration = Duration::from_millis(20_500);

/// A router that adds the number in a file to its priority.
fn filed(router: RouterMaker) -> RouterMaker {
    router.with(|r| {
        r.track_files.push(NamedTrackSettings {
            name: "f".into(),
            weight: 1,
            reverse: false,
        });
    })
}

/// The number in that file; it counts at once, and is confirmed.
fn file(host: usize, value: i32) -> Event {
    let name = "f".into();
    let seen = TrackedSeen::File { name, value };
    Event::Tracked { host, seen }
}

/// A serves; the others start when it does. At [`FALL`] nothing has happened yet.
fn master(priority: u8, others: &[RouterMaker]) -> World {
    let mut scenario = Scenario::new(7).host(host("a").router(filed(vi(priority))));
    for (n, other) in others.iter().enumerate() {
        let late = host(["b", "c", "d"][n]).starts(5 * S);
        scenario = scenario.host(late.router(filed(other.clone())));
    }
    let mut world = scenario.world();
    // Half way between the adverts of a master since 3 s + Skew_Time.
    let phase = skew(priority) + 500 * MS;
    world.run_until(at(FALL.saturating_sub(500 * MS) + phase));
    serves(&world, &[A], "nothing has happened yet");
    world
}

fn doom(world: &mut World, to: usize, nth: u32, fate: Fate) {
    world.now_do(Event::Doom {
        lan: 0,
        from: A,
        to,
        nth,
        fate,
    });
}

/// A's adverts from a moment on: how long after it, and with which priority.
fn said(world: &World, by: usize, since: Instant) -> Vec<(Duration, u8)> {
    let adverts = world.timeline().adverts();
    let later = adverts.filter(|&(when, h, ..)| h == by && when >= since);
    later
        .map(|(when, _, _, p)| (when.since(since), p))
        .collect()
}

fn priorities(said: &[(Duration, u8)]) -> Vec<u8> {
    said.iter().map(|(_, p)| *p).collect()
}

/// When a host became Active for the n-th time, from a moment on.
#[track_caller]
fn taken(world: &World, host: usize, since: Instant) -> Duration {
    entered(world, host, Phase::Active, 0) - since.since(Instant::ZERO)
}

#[test]
fn the_pair_and_its_repeats_leave_when_they_should() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    world.now_do(file(A, -40));
    world.run_for(600 * MS);
    let own = skew(80);
    let first = skew(254);
    let wanted = [
        (Duration::ZERO, 0),
        (Duration::ZERO, 80),
        (first / 4, 80),
        (first / 2, 80),
        (own / 4, 80),
        (own / 2, 80),
    ];
    assert_eq!(said(&world, A, fell), wanted, "{}", world.report(""));
    assert_eq!(count(&world, B, Phase::Active), 0);
    world.run_for(100 * MS);
    within(
        "Skew_Time",
        taken(&world, B, fell),
        skew(100),
        skew(100) + WAY,
    );
    kept_rules(&world);
    assert!(world.longest_dual() <= WAY);
}

#[test]
fn a_lost_second_advert_makes_nobody_take_over_that_should_stay() {
    // Of these the last has only 4 ms until its Skew_Time of 7.8 ms would be over.
    let staying = [
        vi(70),
        vi(80),
        vi(100).nopreempt(),
        vi(100).preempt_delay(60 * S),
        vi(254).nopreempt(),
    ];
    for b in staying {
        for lost in 1..=3 {
            let mut world = master(120, std::slice::from_ref(&b));
            doom(&mut world, B, 1, Fate::Lost);
            // And some of the repeats.
            for nth in 2..=lost.min(2) {
                doom(&mut world, B, nth, Fate::Lost);
            }
            world.now_do(file(A, -40));
            world.run_for(20 * S);
            serves(&world, &[A], "a repeat says that A stays");
            assert_eq!(count(&world, B, Phase::Active), 0);
        }
    }
}

#[test]
fn a_better_backup_takes_over_in_time_though_the_second_advert_is_lost() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    doom(&mut world, B, 1, Fate::Lost);
    world.now_do(file(A, -40));
    world.run_for(5 * S);
    within(
        "Skew_Time",
        taken(&world, B, fell),
        skew(100),
        skew(100) + WAY,
    );
}

#[test]
fn a_lost_priority_0_leaves_the_plain_protocol() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    doom(&mut world, B, 0, Fate::Lost);
    world.now_do(file(A, -40));
    world.run_for(5 * S);
    // The last advert of priority 120 came half an interval before.
    let plain = down_interval(100) - 500 * MS;
    within("the plain time", taken(&world, B, fell), plain, plain + WAY);
    assert!(world.longest_dual() <= WAY);
}

#[test]
fn a_pair_that_arrives_the_other_way_round_makes_nobody_take_over_that_should_stay() {
    let staying = [vi(80), vi(250).nopreempt(), vi(250).preempt_delay(60 * S)];
    for b in staying {
        for late in [MS / 2, 2 * MS, 3 * MS] {
            let mut world = master(120, std::slice::from_ref(&b));
            doom(&mut world, B, 0, Fate::Late(late));
            world.now_do(file(A, -40));
            world.run_for(20 * S);
            serves(&world, &[A], "a repeat follows the late priority 0");
            assert_eq!(count(&world, B, Phase::Active), 0, "{late:?} late");
        }
    }
}

#[test]
fn a_better_backup_takes_over_though_the_pair_arrives_the_other_way_round() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    doom(&mut world, B, 0, Fate::Late(MS));
    world.now_do(file(A, -40));
    world.run_for(5 * S);
    let late = skew(100) + MS;
    within("Skew_Time", taken(&world, B, fell), late, late + WAY);
}

#[test]
fn while_a_release_is_pending_a_further_fall_sends_no_other_0_and_a_rise_is_said_at_once() {
    // B does not preempt, so the release stays pending.
    let mut world = master(200, &[vi(100).nopreempt()]);
    let fell = world.now();
    for (after, value) in [(0, -40), (400, -80), (800, -140), (1200, -50), (1600, 0)] {
        world.after(after * MS, file(A, value));
    }
    world.run_for(2 * S);
    let said = said(&world, A, fell);
    assert_eq!(priorities(&said).iter().filter(|p| **p == 0).count(), 1);
    for (after, priority) in [(400, 120), (800, 60), (1200, 150), (1600, 200)] {
        assert!(
            said.contains(&(after * MS, priority)),
            "{priority} is said at {after} ms: {said:?}"
        );
    }
    serves(&world, &[A], "B does not preempt");
}

#[test]
fn a_rise_before_the_backup_takes_over_keeps_it_from_it() {
    let mut world = master(120, &[vi(100)]);
    world.now_do(file(A, -40));
    world.after(skew(100) - MS, file(A, 0));
    world.run_for(10 * S);
    serves(&world, &[A], "120 was said a moment before");
    assert_eq!(count(&world, B, Phase::Active), 0);
}

/// No protocol can do better: what A says now reaches B a way later.
#[test]
fn a_rise_that_crosses_the_takeover_costs_a_second_way_at_most() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    world.now_do(file(A, -40));
    assert!(world.run_until_so(S, |w| w.serving(0, Family::V4, 51).len() > 1));
    world.now_do(file(A, 0));
    world.run_for(10 * S);
    serves(&world, &[A], "120 is more than 100");
    assert_eq!(count(&world, B, Phase::Active), 1);
    within(
        "Skew_Time",
        taken(&world, B, fell),
        skew(100),
        skew(100) + WAY,
    );
    assert!(
        world.longest_dual() <= 2 * WAY,
        "{:?}",
        world.longest_dual()
    );
}

#[test]
fn a_fall_every_0_3_intervals_sends_one_0_in_four_intervals_and_moves_only_to_a_better_one() {
    for (b, moves) in [(vi(100), true), (vi(100).nopreempt(), false)] {
        let mut world = master(240, &[b]);
        let fell = world.now();
        for n in 0..40u32 {
            world.after(n * 300 * MS, file(A, -5 * (n as i32 + 1)));
        }
        world.run_for(18 * S);
        kept_rules(&world);
        let zeros: Vec<Duration> = said(&world, A, fell)
            .iter()
            .filter(|(_, p)| *p == 0)
            .map(|(after, _)| *after)
            .collect();
        assert!(zeros.windows(2).all(|w| w[1] - w[0] >= 4 * S), "{zeros:?}");
        assert_eq!(zeros.first(), Some(&Duration::ZERO));
        if moves {
            serves(&world, &[B], "A is at 40 by now");
            assert_eq!(count(&world, B, Phase::Active), 1);
            // A falls below 100 with the 29th step, at 8.4 s; the next release is at 8.1 or 12 s.
            let taken = taken(&world, B, fell);
            within(
                "the takeover",
                taken,
                8400 * MS + skew(100),
                8400 * MS + down_interval(100),
            );
            assert!(world.longest_dual() <= WAY);
        } else {
            serves(&world, &[A], "B does not preempt");
            assert_eq!(count(&world, B, Phase::Active), 0);
        }
    }
}

#[test]
fn of_two_equal_backups_the_one_with_the_higher_address_serves_in_the_end() {
    let mut world = master(150, &[vi(100), vi(100)]);
    let fell = world.now();
    world.now_do(file(A, -100));
    world.run_for(10 * S);
    serves(&world, &[2], "10.0.0.3 is more than 10.0.0.2");
    let first = [1, 2].map(|h| {
        let mut all = world.timeline().transitions();
        let mine = all.find(|&(_, host, _, p)| host == h && p == Phase::Active);
        mine.map(|(when, ..)| when.since(fell))
    });
    for time in first.into_iter().flatten() {
        within("Skew_Time", time, skew(100), skew(100) + WAY);
    }
    // Each pair of them for a way; the second may begin when the first is nearly over.
    assert!(
        world.longest_dual() <= 2 * WAY,
        "{:?}",
        world.longest_dual()
    );
}

#[test]
fn of_two_equal_backups_one_that_falls_as_both_take_over_leaves_nobody_without_a_master() {
    for handover in [Handover::Always, Handover::Off] {
        let equal = vi(100).with(|r| r.handover = handover);
        let mut world = master(150, &[equal.clone(), equal]);
        world.now_do(file(A, -100));
        let both = |w: &World| {
            w.phase(1, "vi") == w.phase(2, "vi") && w.phase(1, "vi") == Some(Phase::Active)
        };
        assert!(world.run_until_so(5 * S, both), "{}", world.report(""));
        // 10.0.0.3 has said 100, and hears 10.0.0.2's 100 when it is at 99 itself.
        world.now_do(file(2, -1));
        for _ in 0..10_000 {
            world.run_for(MS);
            assert!(
                !world.serving(0, Family::V4, 51).is_empty(),
                "{}",
                world.report("")
            );
        }
        serves(&world, &[1], "100 is more than 99");
        assert!(
            world.longest_dual() <= 3 * WAY,
            "{:?}",
            world.longest_dual()
        );
    }
}

#[test]
fn a_master_that_sleeps_after_the_pair_finds_its_successor_and_says_nothing() {
    for length in [2 * S, 30 * S] {
        let mut world = master(120, &[vi(100)]);
        let fell = world.now();
        world.now_do(file(A, -40));
        world.now_do(Event::Stall { host: A, length });
        world.run_for(length + 10 * S);
        serves(&world, &[B], "100 is more than 80");
        within(
            "Skew_Time",
            taken(&world, B, fell),
            skew(100),
            skew(100) + WAY,
        );
        let said = said(&world, A, fell);
        assert_eq!(priorities(&said), [0, 80], "repeats are void by then");
    }
}

#[test]
fn a_master_that_falls_in_its_sleep_hands_over_when_it_wakes() {
    // Shorter than B's patience: the pair leaves late, and everything follows from there.
    let mut world = master(120, &[vi(100)]);
    world.now_do(Event::Stall {
        host: A,
        length: 1500 * MS,
    });
    world.after(MS, file(A, -40));
    let woken = world.now() + 1500 * MS;
    world.run_for(10 * S);
    serves(&world, &[B], "100 is more than 80");
    within(
        "Skew_Time",
        taken(&world, B, woken),
        skew(100),
        skew(100) + WAY,
    );
    assert!(world.longest_dual() <= WAY);

    // Longer: B serves already, and A learns that before it learns of its own fall.
    let mut world = master(120, &[vi(100)]);
    world.now_do(Event::Stall {
        host: A,
        length: 5 * S,
    });
    world.after(MS, file(A, -40));
    let woken = world.now() + 5 * S;
    world.run_for(15 * S);
    serves(&world, &[B], "100 is more than 80");
    let last = world.timeline().transitions().last().expect("some").0;
    assert!(last <= woken + skew(100) + 2 * WAY, "{}", world.report(""));
}

#[test]
fn a_backup_that_falls_to_its_masters_priority_while_its_timer_runs_stays() {
    for value in [-20, -30] {
        let mut world = master(120, &[vi(100)]);
        world.now_do(file(A, -40));
        // After A's last repeat.
        world.after(400 * MS, file(B, value));
        world.run_for(20 * S);
        serves(&world, &[A], "A's 80 is no longer less");
        assert_eq!(count(&world, B, Phase::Active), 0);
    }
    // One that falls and is still better moves its timer alone.
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    world.now_do(file(A, -40));
    world.after(400 * MS, file(B, -10));
    world.run_for(20 * S);
    serves(&world, &[B], "90 is more than 80");
    within(
        "Skew_Time",
        taken(&world, B, fell),
        skew(90),
        skew(90) + WAY,
    );
}

#[test]
fn a_master_that_resigned_is_not_waited_for_by_a_backup_that_falls_meanwhile() {
    let mut world = master(120, &[vi(100)]);
    world.now_do(file(A, -40));
    // After A's last repeat, and before B's Skew_Time is over.
    world.after(400 * MS, Event::Stop { host: A });
    let resigned = world.now() + 400 * MS;
    world.after(500 * MS, file(B, -30));
    world.run_for(20 * S);
    serves(&world, &[B], "A is gone");
    within(
        "Skew_Time",
        taken(&world, B, resigned),
        skew(100),
        skew(70) + 2 * WAY,
    );
}

#[test]
fn a_backup_that_fell_to_its_masters_priority_still_notices_its_death() {
    let mut world = master(120, &[vi(100)]);
    let fell = world.now();
    world.now_do(file(A, -40));
    world.after(400 * MS, file(B, -30));
    // The last that B hears is the last repeat.
    world.after(450 * MS, Event::Kill { host: A });
    world.run_for(20 * S);
    serves(&world, &[B], "A is dead");
    let last = fell + skew(80) / 2;
    let silent = entered(&world, B, Phase::Active, 0) - last.since(Instant::ZERO);
    within(
        "Active_Down_Interval",
        silent,
        down_interval(70),
        down_interval(70) + WAY,
    );
}

#[test]
fn one_failed_run_under_fall_1_moves_nothing() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(120).track("chk", -40))
                .check(check("chk").fall(1).interval(2 * S), Behaviour::PASSES),
        )
        .host(host("b").router(vi(100)))
        .world();
    world.run_for(20 * S);
    let before = world.now();
    world.now_do(Event::ScriptNext {
        host: A,
        script: "chk".into(),
        behaviours: vec![Behaviour::FAILS],
    });
    world.run_for(20 * S);
    serves(&world, &[A], "the next run passed");
    assert_eq!(count(&world, B, Phase::Active), 0);
    let said = priorities(&said(&world, A, before));
    assert!(
        said.contains(&80),
        "the fall is advertised as ever: {said:?}"
    );
    assert!(!said.contains(&0), "{said:?}");
}

#[test]
fn a_peer_that_takes_over_too_early_ends_the_handovers() {
    let mut world = master(120, &[vi(100).nopreempt()]);
    let fell = world.now();
    world.now_do(file(A, -40));
    // 20 ms after the release, although its Skew_Time would be 0.8 s.
    world.after(
        20 * MS,
        Event::Stranger {
            lan: 0,
            bytes: Forge::v3(51, 50).packet(),
        },
    );
    world.run_for(S);
    kept_rules(&world);
    let off = |n: &mainstay::model::notice::Notice| matches!(n.what, What::HandoverOff { from } if from == IpAddr::from([10, 0, 0, 99]));
    assert!(world.timeline().notices().any(|(_, h, n)| h == A && off(n)));
    // It stays off: neither this fall nor one long after sends another 0.
    world.now_do(file(A, -50));
    world.run_for(10 * S);
    world.now_do(file(A, -60));
    world.run_for(10 * S);
    let zeros = said(&world, A, fell)
        .iter()
        .filter(|(_, p)| *p == 0)
        .count();
    assert_eq!(zeros, 1, "{}", world.report(""));
    serves(&world, &[A], "nobody better is there");
}

// ---- sync groups -----------------------------------------------------------------------------------

/// Two instances on two LANs in a group, both with the file.
fn gate(name: &str, priority: u8) -> HostMaker {
    let inner = filed(router("in").vrid(51).priority(priority).on("eth0"));
    let outer = filed(router("out").vrid(52).priority(priority).on("eth1"));
    let mut both = settings([inner, outer], []);
    both.groups.push(Arc::new(GroupSettings {
        name: "gate".into(),
        members: vec!["in".into(), "out".into()],
        notify: NotifySettings::default(),
    }));
    host(name).settings(both)
}

#[test]
fn the_members_of_a_group_send_their_pairs_in_one_turn_and_move_together() {
    let mut world = Scenario::new(3)
        .lan(Quality::GOOD)
        .host(gate("a", 120))
        .host(gate("b", 100))
        .world();
    world.run_for(20 * S + 250 * MS);
    kept_rules(&world);
    let fell = world.now();
    world.now_do(file(A, -40));
    let mut pairs: Vec<(u8, u8)> = world
        .timeline()
        .adverts()
        .filter(|&(when, h, ..)| h == A && when == fell)
        .map(|(_, _, vrid, priority)| (vrid, priority))
        .collect();
    pairs.sort_by_key(|(vrid, _)| *vrid);
    assert_eq!(pairs, [(51, 0), (51, 80), (52, 0), (52, 80)]);
    world.run_for(10 * S);
    kept_rules(&world);
    let entered: Vec<Duration> = world
        .timeline()
        .transitions()
        .filter(|&(when, host, _, phase)| host == B && phase == Phase::Active && when > fell)
        .map(|(when, ..)| when.since(fell))
        .collect();
    assert_eq!(entered.len(), 2, "{}", world.report(""));
    assert_eq!(entered[0], entered[1], "both members in one turn");
    within("Skew_Time", entered[0], skew(100), skew(100) + WAY);
    for (lan, vrid) in [(0, 51), (1, 52)] {
        assert_eq!(world.serving(lan, Family::V4, vrid), [B]);
    }
    assert!(world.longest_dual() <= WAY, "{:?}", world.longest_dual());
}
