//! Trackers that other programs feed: reports, leases, restarts, reloads.

use super::*;
use mainstay::model::feed::{Fed, Feed, Reading, Resumed};
use mainstay::model::settings::{ExternalSettings, FileSettings, NamedTrackSettings, Settings};
use mainstay::model::view::{ExternalView, Snapshot};
use mainstay::sim::scenario::CheckMaker;

fn feed(name: &str, reading: Reading, lease: Option<Duration>) -> Event {
    let feed = Feed {
        id: 1,
        name: name.into(),
        reading,
        lease,
        by: 1000,
        resumed: None,
    };
    Event::Feed { host: A, feed }
}

fn up(lease: Option<Duration>) -> Event {
    feed("db", Reading::Up, lease)
}

fn down() -> Event {
    feed("db", Reading::Down, None)
}

/// Both have started: before that nobody listens.
fn started(scenario: Scenario) -> World {
    let mut world = scenario.world();
    world.run_for(MS);
    world
}

/// A of priority 150 tracks an external script, B has 100.
fn fed(weight: i16, check: CheckMaker) -> World {
    let scenario = Scenario::new(1)
        .host(
            host("a")
                .router(vi(150).track("db", weight))
                .check(check.external(None), Behaviour::FAILS),
        )
        .host(host("b").router(vi(100)));
    started(scenario)
}

/// The settings of A with a number that is reported.
fn number(weight: i16, reverse: bool) -> Settings {
    let track = NamedTrackSettings {
        name: "load".into(),
        weight,
        reverse,
    };
    Settings {
        files: vec![Arc::new(FileSettings {
            name: "load".into(),
            path: "".into(),
            weight,
            reverse,
            init: None,
            overwrite: false,
            external: Some(ExternalSettings::default()),
        })],
        ..settings([vi(150).with(|r| r.track_files = vec![track])], [])
    }
}

fn with_number(weight: i16, reverse: bool) -> World {
    let scenario = Scenario::new(1)
        .host(host("a").settings(number(weight, reverse)))
        .host(host("b").router(vi(100)));
    started(scenario)
}

fn snapshot(world: &World) -> Snapshot {
    world.hosts()[A].snapshot(world.now())
}

fn tracker(world: &World) -> ExternalView {
    let mut all = snapshot(world).externals;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn priority(world: &World) -> u8 {
    world.view(A, "vi").expect("A runs").priority
}

#[test]
fn nothing_is_decided_before_the_first_report_and_that_is_said() {
    let mut world = fed(0, check("db"));
    world.run_for(20 * S);
    serves(&world, &[B], "A waits in INIT");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Init));
    let seen = tracker(&world);
    assert_eq!((seen.value, &*seen.state), (None, "pending"));
    assert_eq!(seen.counter, "nobody has set it yet");
    let track = &world.view(A, "vi").expect("A runs").tracks[0];
    assert_eq!(track.counter, "nobody has set it yet");
    world.now_do(up(None));
    world.run_for(10 * S);
    serves(&world, &[A], "the first report decides");
    let seen = tracker(&world);
    assert_eq!((seen.value.as_deref(), seen.uid), (Some("up"), Some(1000)));
    assert_eq!((seen.left_s, seen.ago_s), (None, Some(10.0)));
}

#[test]
fn init_fail_is_down_before_the_first_report() {
    let mut world = fed(0, check("db").init_fail().rise(2));
    world.run_for(10 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    world.now_do(up(None));
    world.run_for(5 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault), "one of two");
    world.now_do(up(None));
    world.run_for(10 * S);
    serves(&world, &[A], "two reports");
}

#[test]
fn reports_are_counted_by_rise_and_fall_and_nothing_is_ever_run() {
    let mut world = fed(-60, check("db").rise(2).fall(3));
    world.now_do(up(None));
    world.run_for(20 * S);
    serves(&world, &[A], "up");
    for (report, counter, is) in [
        (down(), "up 2/3", 150),
        (down(), "up 1/3", 150),
        (up(None), "up 3/3", 150),
        (down(), "up 2/3", 150),
        (down(), "up 1/3", 150),
        (down(), "down 0/2", 90),
        (up(None), "down 1/2", 90),
        (up(None), "up 3/3", 150),
    ] {
        world.now_do(report);
        world.run_for(MS);
        let heard = world.hosts()[A].fed().last().cloned().expect("answered");
        let Fed::Taken { counter: said, .. } = heard.2 else {
            panic!("{heard:?}");
        };
        assert_eq!((&*said, priority(&world)), (counter, is));
    }
    let seen = snapshot(&world);
    assert_eq!(seen.scripts[0].runs, 0, "the engine starts nothing");
    kept_rules(&world);
}

/// What is reported is no sample of ours, so a fall hands over at once: Skew_Time, not
/// Active_Down_Interval, with `fall 1` and at a lease's end too.
#[test]
fn a_reported_fall_is_confirmed_and_hands_over_within_the_skew_time() {
    for leased in [false, true] {
        let mut world = fed(-60, check("db"));
        world.now_do(up(leased.then_some(20 * S)));
        world.run_for(15 * S);
        serves(&world, &[A], "up");
        if !leased {
            world.run_for(5 * S);
            world.now_do(down());
        }
        world.run_for(10 * S);
        serves(&world, &[B], "A fell to 90");
        let taken = entered(&world, B, Phase::Active, 0) - (20 * S + MS);
        within("Skew_Time of B", taken, skew(100), skew(100) + 2 * WAY);
        assert_eq!(snapshot(&world).instances[0].counters.handovers, 1);
    }
}

#[test]
fn a_lease_that_is_not_renewed_is_down_at_once_whatever_fall_says() {
    let mut world = fed(0, check("db").fall(5));
    for second in 1..10 {
        world.at(at(second * S), up(Some(3 * S)));
    }
    world.run_until(at(11 * S + 999 * MS));
    serves(&world, &[A], "renewed every second");
    assert_eq!(tracker(&world).left_s, Some(0.001));
    world.run_for(10 * S);
    serves(&world, &[B], "not renewed since 9 s");
    assert_eq!(entered(&world, A, Phase::Fault, 0), 12 * S, "9 s and 3 s");
    let seen = tracker(&world);
    assert!(seen.lease_over && seen.left_s.is_none(), "{seen:?}");
    let timeline = world.timeline().to_string();
    let told = "Tracker db: the lease of 3.000 s that user 1000 set was not renewed";
    assert!(timeline.contains(told), "{timeline}");
    world.now_do(up(Some(3 * S)));
    world.run_for(MS);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Backup), "rise 1");
    assert!(!tracker(&world).lease_over);
}

#[test]
fn a_lease_that_ended_while_we_slept_waits_for_its_renewal() {
    let mut world = fed(0, check("db"));
    world.now_do(up(Some(5 * S)));
    world.run_for(4 * S);
    world.now_do(Event::Stall {
        host: A,
        length: 3 * S,
    });
    // It arrives while A sleeps, and is read after the clock was looked at.
    world.at(at(7 * S + 300 * MS), up(Some(60 * S)));
    world.run_for(20 * S);
    assert_eq!(count(&world, A, Phase::Fault), 0, "the renewal came");
    let mut world = fed(0, check("db"));
    world.now_do(up(Some(5 * S)));
    world.run_for(4 * S);
    world.now_do(Event::Stall {
        host: A,
        length: 3 * S,
    });
    world.run_for(20 * S);
    assert_eq!(
        entered(&world, A, Phase::Fault, 0),
        8 * S + MS,
        "a second later"
    );
}

#[test]
fn a_number_is_multiplied_and_its_lease_ends_at_zero() {
    let mut world = with_number(2, false);
    world.run_for(10 * S);
    assert_eq!(priority(&world), 150, "nobody has set it yet");
    world.now_do(feed("load", Reading::Number(-30), None));
    world.run_for(MS);
    assert_eq!(priority(&world), 90);
    world.now_do(feed("load", Reading::Number(10), Some(5 * S)));
    world.run_for(4 * S);
    assert_eq!(priority(&world), 170);
    world.run_for(2 * S);
    assert_eq!(priority(&world), 150, "as if the file were gone");
    assert!(tracker(&world).lease_over);
    kept_rules(&world);
}

#[test]
fn a_number_of_weight_zero_holds_its_instance_until_it_is_set() {
    let mut world = with_number(0, true);
    world.run_for(10 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Init));
    world.now_do(feed("load", Reading::Number(1), Some(8 * S)));
    world.run_for(7 * S);
    serves(&world, &[A], "reversed: anything but 0 is well");
    world.run_for(7 * S);
    serves(
        &world,
        &[B],
        "its lease ended at 0, which is FAULT in reverse",
    );
}

#[test]
fn what_is_not_external_is_refused() {
    let scenario = Scenario::new(1).host(
        host("a")
            .router(vi(150).track("run", 0))
            .check(check("run"), Behaviour::PASSES),
    );
    let mut world = started(scenario);
    for (name, reading) in [
        ("run", Reading::Down),
        ("nobody", Reading::Up),
        ("run", Reading::Number(3)),
    ] {
        world.now_do(feed(name, reading, None));
        world.run_for(MS);
        let (_, _, fed) = world.hosts()[A].fed().last().expect("answered");
        assert!(matches!(fed, Fed::Refused { .. }), "{fed:?}");
    }
    world.run_for(10 * S);
    serves(&world, &[A], "nothing was changed");
}

#[test]
fn a_report_that_says_nothing_new_says_so() {
    let mut world = fed(0, check("db"));
    let mut changed = |event: Event| {
        world.now_do(event);
        world.run_for(MS);
        match world.hosts()[A].fed().last() {
            Some((_, _, Fed::Taken { changed, .. })) => *changed,
            other => panic!("{other:?}"),
        }
    };
    assert!(changed(up(Some(5 * S))), "the first");
    assert!(!changed(up(Some(5 * S))), "a renewal");
    assert!(changed(up(None)), "now without a lease");
    assert!(changed(down()), "another value");
    assert!(!changed(down()), "the same again");
}

#[test]
fn what_was_reported_before_a_restart_counts_at_once_and_is_no_new_result() {
    for (reading, was, over, then) in [
        (Reading::Up, Some(true), false, Phase::Active),
        // One report short of `fall`: it was still up.
        (Reading::Down, Some(true), false, Phase::Active),
        (Reading::Down, Some(false), false, Phase::Fault),
        (Reading::Up, Some(true), true, Phase::Fault),
    ] {
        let mut world = fed(0, check("db").fall(2));
        let lease = over.then_some(5 * S);
        let resumed = Some(Resumed {
            ago: 7 * S,
            up: was,
            left: None,
            over,
        });
        let mut event = feed("db", reading, lease);
        let Event::Feed { feed, .. } = &mut event else {
            unreachable!()
        };
        feed.resumed = resumed;
        world.now_do(event);
        world.run_for(20 * S);
        let phase = world.phase(A, "vi");
        assert_eq!(phase, Some(then), "{reading} {was:?} {over}");
        let seen = tracker(&world);
        assert_eq!(seen.ago_s, Some(27.0), "{seen:?}");
        assert_eq!(seen.lease_over, over);
        kept_rules(&world);
    }
}

#[test]
fn a_reload_keeps_value_and_lease_while_the_definition_stays_external() {
    let mut world = fed(0, check("db"));
    world.now_do(up(Some(20 * S)));
    world.run_for(10 * S);
    let reload = |check: CheckMaker| Event::Reload {
        host: A,
        settings: Arc::new(settings([vi(150).track("db", 0)], [check])),
    };
    world.now_do(reload(check("db").external(Some(S)).rise(3)));
    world.run_for(S);
    serves(&world, &[A], "still up");
    assert_eq!(tracker(&world).left_s, Some(9.0), "the old lease goes on");
    world.run_for(15 * S);
    serves(&world, &[B], "and ends when it was to end");
    assert_eq!(entered(&world, A, Phase::Fault, 0), 20 * S + MS);

    world.now_do(reload(check("db")));
    world.run_for(MS);
    assert!(snapshot(&world).externals.is_empty(), "it is run now");
    world.now_do(reload(check("db").external(None)));
    world.run_for(MS);
    assert_eq!(tracker(&world).value, None, "nobody has set the new one");
}
