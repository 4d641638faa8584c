//! Every order is answered exactly once, whatever comes in between.

use super::*;
use mainstay::model::order::{Intent, Order, Outcome};

fn ask(world: &mut World, id: u64, what: Intent) {
    let instance = "vi".into();
    let order = Order { id, instance, what };
    world.now_do(Event::Order { host: A, order });
}

const DRAIN: Intent = Intent::Drain {
    force: false,
    resumed: false,
};
const TAKEOVER: Intent = Intent::Takeover { resumed: false };

/// A lone router under a drain that nobody can answer, and then something else.
fn draining(then: impl FnOnce(&mut World)) -> World {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("chk", 0))
                .check(check("chk"), Behaviour::PASSES),
        )
        .world();
    world.run_for(10 * S + 500 * MS);
    ask(&mut world, 1, DRAIN);
    world.run_for(200 * MS);
    assert_eq!(
        world.hosts()[A].ordered().len(),
        0,
        "it waits for a successor"
    );
    then(&mut world);
    world.run_for(20 * S);
    kept_rules(&world);
    world
}

#[track_caller]
fn answers(world: &World, id: u64) -> Vec<&Outcome> {
    let ordered = world.hosts()[A].ordered().iter();
    ordered
        .filter(|(_, of, _)| *of == id)
        .map(|(.., outcome)| outcome)
        .collect()
}

#[test]
fn a_second_drain_is_refused_while_the_first_goes_on() {
    let world = draining(|world| ask(world, 2, DRAIN));
    assert_eq!(answers(&world, 1), [&Outcome::NobodyTookOver]);
    assert!(matches!(answers(&world, 2)[..], [Outcome::Refused { .. }]));
}

#[test]
fn a_router_that_is_leaving_says_nothing_whatever_is_reloaded() {
    let mut world = draining(|world| {
        let other = settings([vi(151).track("chk", 0).adver(2 * S)], [check("chk")]);
        world.now_do(Event::Reload {
            host: A,
            settings: Arc::new(other),
        });
    });
    assert_eq!(answers(&world, 1), [&Outcome::NobodyTookOver]);
    let asked = at(10 * S + 500 * MS);
    let told: Vec<(Duration, u8)> = world
        .timeline()
        .adverts()
        .filter(|(when, ..)| *when >= asked)
        .map(|(when, _, _, priority)| (when.since(asked), priority))
        .collect();
    assert_eq!(told[0], (Duration::ZERO, 0), "it resigns");
    // Active_Down_Interval of priority 1.
    let (next, priority) = told[1];
    assert_eq!(priority, 151, "{told:?}");
    within("nobody came", next, 3 * S + skew(1), 3 * S + skew(1) + MS);
    world.run_for(S);
    serves(&world, &[A], "nobody else is there");
}

#[test]
fn a_drain_that_is_cleared_is_answered_and_the_router_speaks_at_once() {
    let world = draining(|world| {
        ask(world, 2, Intent::Clear);
        world.run_for(MS);
        let last = world.timeline().adverts().last().expect("adverts");
        assert_eq!((last.0, last.3), (at(10 * S + 700 * MS), 150));
    });
    assert!(matches!(answers(&world, 1)[..], [Outcome::Refused { .. }]));
    assert_eq!(answers(&world, 2), [&Outcome::Done { successor: None }]);
    serves(&world, &[A], "nothing came of it");
}

#[test]
fn a_takeover_ends_a_drain() {
    let world = draining(|world| ask(world, 2, TAKEOVER));
    assert!(matches!(answers(&world, 1)[..], [Outcome::Refused { .. }]));
    assert_eq!(answers(&world, 2), [&Outcome::Done { successor: None }]);
    serves(&world, &[A], "it was asked to");
    assert_eq!(world.view(A, "vi").expect("A runs").priority, 254);
}

#[test]
fn a_drain_is_answered_when_a_failure_takes_the_router_away() {
    let world = draining(|world| {
        world.now_do(Event::Script {
            host: A,
            script: "chk".into(),
            behaviour: Behaviour::FAILS,
        });
    });
    assert_eq!(answers(&world, 1), [&Outcome::Done { successor: None }]);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
}

#[test]
fn a_drain_is_answered_when_the_daemon_stops() {
    let world = draining(|world| world.now_do(Event::Stop { host: A }));
    assert_eq!(answers(&world, 1), [&Outcome::Done { successor: None }]);
}

#[test]
fn a_drain_is_answered_when_a_reload_removes_the_router() {
    let world = draining(|world| {
        let settings = Arc::new(settings([], []));
        world.now_do(Event::Reload { host: A, settings });
    });
    assert_eq!(answers(&world, 1), [&Outcome::Done { successor: None }]);
}

#[test]
fn a_drained_owner_that_a_reload_brings_back_never_serves() {
    let owner = || vi(255).start_active();
    let mut world = Scenario::new(1)
        .host(host("a").router(owner()))
        .host(host("b").router(vi(100)))
        .world();
    world.run_for(10 * S);
    serves(&world, &[A], "it owns the addresses");
    ask(&mut world, 1, DRAIN);
    world.run_for(5 * S);
    serves(&world, &[B], "A is drained");
    let change = |world: &mut World, routers: Vec<RouterMaker>| {
        let settings = Arc::new(settings(routers, []));
        world.now_do(Event::Reload { host: A, settings });
    };
    change(&mut world, vec![]);
    world.run_for(5 * S);
    // What is written down comes before the plan that creates the instance.
    let resumed = Intent::Drain {
        force: false,
        resumed: true,
    };
    ask(&mut world, 2, resumed);
    change(&mut world, vec![owner()]);
    world.run_for(5 * S);
    serves(&world, &[B], "A is drained still");
    assert_eq!(count(&world, A, Phase::Active), 1);
    assert_eq!(answers(&world, 2), [&Outcome::Done { successor: None }]);
}
