//! What `explain` foretells is what happens; what is late or lost is told, and not too often.

use super::*;
use mainstay::model::notice::What;
use mainstay::model::view::WhatIf;
use proptest::prelude::*;

/// A serving or listening router with one script, beside one without.
fn beside(a: u8, b: u8, weight: i16, reverse: bool, preempt: bool) -> World {
    let one = vi(a)
        .track_as("chk", weight, reverse)
        .with(|s| s.preempt = preempt);
    let good = if reverse {
        Behaviour::FAILS
    } else {
        Behaviour::PASSES
    };
    let mut world = Scenario::new(7)
        .host(host("a").router(one).check(check("chk"), good))
        .host(host("b").router(vi(b)))
        .world();
    late(&mut world);
    world
}

/// B serves first, so that A hears it before it takes over, if it does.
fn late(world: &mut World) {
    world.run_for(S);
    world.now_do(Event::Kill { host: A });
    world.run_for(8 * S);
    world.now_do(Event::Start { host: A });
    world.run_for(8 * S);
}

fn foretold(world: &World, tracker: &str) -> WhatIf {
    let view = world.view(A, "vi").expect("A runs");
    let of = |w: &&WhatIf| &*w.tracker == tracker;
    view.what_if.iter().find(of).expect("it is tracked").clone()
}

fn break_it(world: &mut World, reverse: bool) {
    let behaviour = if reverse {
        Behaviour::PASSES
    } else {
        Behaviour::FAILS
    };
    world.now_do(Event::Script {
        host: A,
        script: "chk".into(),
        behaviour,
    });
    world.run_for(12 * S);
}

fn stuck_told(world: &World) -> Vec<(u8, u8, u8)> {
    let notices = world.timeline().notices().filter(|(_, host, _)| *host == A);
    notices
        .filter_map(|(_, _, notice)| {
            if let What::NoFailover {
                from, to, theirs, ..
            } = notice.what
            {
                Some((from, to, theirs))
            } else {
                None
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_is_foretold_serves_when_it_fails(
        a in 2u8..=254, b in 1u8..=254, weight in -253i16..=253,
        reverse: bool, preempt: bool,
    ) {
        let mut world = beside(a, b, weight, reverse, preempt);
        let before = world.view(A, "vi").expect("A runs");
        let said = foretold(&world, "chk");
        // Whom it never heard it cannot foretell.
        prop_assume!(!before.peers.is_empty());
        break_it(&mut world, reverse);
        let serving = world.serving(0, Family::V4, 51);
        let winner = match serving {
            [one] => own_v4(*one, 0),
            _ => return Err(TestCaseError::fail(world.report("one serves"))),
        };
        let after = world.view(A, "vi").expect("A runs");
        prop_assert_eq!(after.state == "FAULT", said.fault);
        if !said.fault {
            prop_assert_eq!(after.priority, said.priority);
        }
        prop_assert_eq!(said.winner, Some(winner), "{:?}\n{}", said, world.report("another"));
        prop_assert_eq!(said.ours, serving == [A]);
        if said.stuck {
            prop_assert!(!stuck_told(&world).is_empty());
        }
    }
}

#[test]
fn a_weight_that_moves_nothing_is_told_once_and_again_when_a_number_changes() {
    let mut world = Scenario::new(3)
        .host(
            host("a")
                .router(vi(103).track("chk", -2))
                .check(check("chk"), Behaviour::PASSES),
        )
        .host(host("b").router(vi(100)))
        .world();
    late(&mut world);
    world.run_for(60 * S);
    serves(&world, &[A], "it has the higher priority");
    assert_eq!(stuck_told(&world), [(103, 101, 100)], "once");
    let said = foretold(&world, "chk");
    assert!(said.stuck && said.ours, "{said:?}");
    assert_eq!(said.priority, 101);
    let interface = foretold(&world, "eth0");
    assert!(interface.fault && !interface.stuck, "{interface:?}");
    assert_eq!(interface.winner, Some(own_v4(B, 0)));

    let louder = Arc::new(settings([vi(99)], []));
    world.now_do(Event::Kill { host: A });
    world.run_for(6 * S);
    world.now_do(Event::Reload {
        host: B,
        settings: louder,
    });
    world.run_for(3 * S);
    world.now_do(Event::Start { host: A });
    world.run_for(20 * S);
    assert_eq!(stuck_told(&world), [(103, 101, 100), (103, 101, 99)]);
    kept_rules(&world);
}

#[test]
fn nobody_heard_is_nobody_foretold() {
    let mut world = Scenario::new(3)
        .host(
            host("a")
                .router(vi(103).track("chk", 0))
                .check(check("chk"), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S);
    let said = foretold(&world, "chk");
    assert!(said.fault && !said.ours && !said.stuck, "{said:?}");
    assert_eq!(said.winner, None);
}

#[test]
fn gaps_in_the_adverts_are_told_once_a_minute_with_the_count_of_the_others() {
    let lossy = Quality {
        loss: 200,
        ..Quality::GOOD
    };
    let mut world = pair(vi(100), vi(200)).quality(lossy).world();
    world.run_for(300 * S);
    let gaps: Vec<(Instant, u32, u64)> = world
        .timeline()
        .notices()
        .filter(|(_, host, _)| *host == A)
        .filter_map(|(at, _, notice)| {
            if let What::LateAdvert { missed, silent, .. } = notice.what {
                Some((at, missed, silent))
            } else {
                None
            }
        })
        .collect();
    assert!((3..=6).contains(&gaps.len()), "{gaps:?}");
    assert!(
        gaps.windows(2).all(|w| w[1].0.since(w[0].0) >= 60 * S),
        "{gaps:?}"
    );
    assert!(gaps.iter().all(|(_, missed, _)| *missed >= 1), "{gaps:?}");
    assert!(gaps[1..].iter().all(|(.., silent)| *silent > 0), "{gaps:?}");

    let mut world = pair(vi(100), vi(200)).world();
    world.run_for(300 * S);
    let late = |n: &What| matches!(n, What::LateAdvert { .. });
    assert!(
        world.timeline().notices().all(|(.., n)| !late(&n.what)),
        "nothing was late"
    );
}
