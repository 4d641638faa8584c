//! Flapping services: windows, thresholds by role, and flap damping.

use super::*;
use mainstay::model::notice::What;
use mainstay::model::settings::{
    AllFailed, DampingSettings, GroupSettings, NotifySettings, Window,
};

/// Adverts every 100 ms, so that three seconds are enough to move.
const ADVER: Duration = Duration::from_millis(100);
/// 3 × 100 ms + (256 − 150)/256 × 100 ms, and more for the way.
const LISTENS: Duration = Duration::from_millis(350);

fn quick(priority: u8) -> RouterMaker {
    vi(priority).adver(ADVER)
}

fn damped(router: RouterMaker, half_life: Duration) -> RouterMaker {
    router.with(|r| {
        r.damping = Some(DampingSettings {
            half_life,
            ..DampingSettings::default()
        });
    })
}

fn does(world: &mut World, after: Duration, behaviour: Behaviour) {
    let script = "chk".into();
    let host = A;
    world.after(
        after,
        Event::Script {
            host,
            script,
            behaviour,
        },
    );
}

/// The script of A fails for three seconds and passes for three, again and again for `length`.
fn flaps(world: &mut World, length: Duration) {
    let mut after = Duration::ZERO;
    let mut well = true;
    while after < length {
        let behaviour = if well {
            Behaviour::FAILS
        } else {
            Behaviour::PASSES
        };
        does(world, after, behaviour);
        well = !well;
        after += 3 * S;
    }
    does(world, length, Behaviour::PASSES);
}

/// A whose script has this weight, and B below it.
fn two(weight: i16, damping: Option<Duration>) -> World {
    let mut a = quick(150).track("chk", weight);
    if let Some(half_life) = damping {
        a = damped(a, half_life);
    }
    let mut world = Scenario::new(1)
        .host(host("a").router(a).check(check("chk"), Behaviour::PASSES))
        .host(host("b").router(quick(100)))
        .world();
    world.run_for(10 * S);
    serves(&world, &[A], "150 is more than 100");
    world
}

fn moves(world: &World) -> usize {
    let taken = |&(.., to): &(Instant, usize, &str, Phase)| to == Phase::Active;
    world.timeline().transitions().filter(taken).count() - 1
}

fn told(world: &World, kind: fn(&What) -> bool) -> usize {
    let notices = world.timeline().notices();
    notices.filter(|(.., n)| kind(&n.what)).count()
}

fn began(world: &World) -> usize {
    told(world, |what| matches!(what, What::Damped { .. }))
}

fn ended(world: &World) -> usize {
    told(world, |what| matches!(what, What::DampingOver))
}

#[track_caller]
fn stays_away(weight: i16, undamped_least: usize, damped_most: usize) -> World {
    let mut plain = two(weight, None);
    flaps(&mut plain, 120 * S);
    plain.run_for(120 * S);
    kept_rules(&plain);
    let often = moves(&plain);
    assert!(often >= undamped_least, "undamped it moved {often} times");
    let mut world = two(weight, Some(60 * S));
    flaps(&mut world, 120 * S);
    world.run_for(119 * S);
    kept_rules(&world);
    let seldom = moves(&world);
    assert!(
        seldom <= damped_most,
        "{}",
        world.report(&format!("moved {seldom} times"))
    );
    assert_eq!(
        world.serving(0, Family::V4, 51),
        [B],
        "the steady one serves"
    );
    assert_eq!(
        (began(&world), ended(&world)),
        (1, 0),
        "told once, not at each flap"
    );
    world
}

#[test]
fn a_flapping_weight_moves_the_address_at_most_five_times_in_two_minutes_instead_of_forty() {
    let mut world = stays_away(-60, 38, 5);
    let view = world.view(A, "vi").expect("A runs");
    let damping = view.damping.expect("asked for");
    assert!(damping.held && !damping.fault && damping.free_s.is_some());
    assert_eq!(view.priority, 90, "the lowest since");
    does(&mut world, Duration::ZERO, Behaviour::PASSES);
    world.run_for(300 * S);
    serves(&world, &[A], "quiet again: the penalty has decayed");
    assert_eq!((began(&world), ended(&world)), (1, 1));
    assert_eq!(world.view(A, "vi").expect("A runs").priority, 150);
}

#[test]
fn a_flapping_script_of_weight_zero_leaves_fault_only_when_the_penalty_has_decayed() {
    let mut world = stays_away(0, 38, 5);
    does(&mut world, Duration::ZERO, Behaviour::PASSES);
    world.run_for(3 * S);
    let view = world.view(A, "vi").expect("A runs");
    assert_eq!(view.state, "FAULT");
    assert!(view.damping.as_ref().is_some_and(|d| d.held && d.fault));
    assert!(view.faults[0].contains("flap damping"), "{:?}", view.faults);
    world.run_for(300 * S);
    serves(&world, &[A], "quiet again");
    assert_eq!((began(&world), ended(&world)), (1, 1));
}

#[test]
fn a_flap_now_and_then_is_not_damped() {
    for weight in [0, -60] {
        let mut world = two(weight, Some(2 * S));
        flaps(&mut world, 120 * S);
        world.run_for(130 * S);
        serves(&world, &[A], "each penalty is gone before the next");
        assert_eq!(began(&world), 0);
        assert!(moves(&world) >= 38);
    }
}

/// How long A served, of the time since it began.
fn served(world: &World) -> Duration {
    let mut since = None;
    let mut sum = Duration::ZERO;
    for (when, host, _, to) in world.timeline().transitions() {
        if host != A {
            continue;
        }
        if let Some(from) = since.take() {
            sum += when.since(from);
        }
        since = (to == Phase::Active).then_some(when);
    }
    sum + since.map_or(Duration::ZERO, |from| world.now().since(from))
}

#[test]
fn the_only_node_is_never_kept_from_serving() {
    for weight in [0, -60] {
        let alone = |damping: bool| {
            let mut a = quick(150).track("chk", weight);
            if damping {
                a = damped(a, 60 * S);
            }
            let mut world = Scenario::new(1)
                .host(host("a").router(a).check(check("chk"), Behaviour::PASSES))
                .world();
            world.run_for(10 * S);
            flaps(&mut world, 120 * S);
            world.run_for(125 * S);
            serves(&world, &[A], "nobody else is there");
            (served(&world), moves(&world))
        };
        let (plain, damped) = (alone(false), alone(true));
        assert_eq!(plain.1, damped.1, "as often");
        let flaps = 20;
        // In fault it listens for one down interval, and then for its Skew_Time as a Backup.
        assert!(
            damped.0 + flaps * 100 * MS >= plain.0,
            "weight {weight}: {damped:?} against {plain:?}"
        );
    }
}

#[test]
fn the_death_of_the_other_ends_a_held_fault_after_one_down_interval() {
    let mut world = two(0, Some(600 * S));
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    serves(&world, &[B], "A is held in FAULT");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    let died = world.now().since(Instant::ZERO);
    let before = count(&world, A, Phase::Active);
    world.now_do(Event::Kill { host: B });
    world.run_for(10 * S);
    serves(&world, &[A], "nobody else is heard");
    let taken = entered(&world, A, Phase::Active, before) - died;
    within(
        "one down interval and a skew",
        taken,
        200 * MS,
        LISTENS + 100 * MS,
    );
    assert!(
        world
            .view(A, "vi")
            .expect("A runs")
            .damping
            .expect("asked for")
            .held
    );
    // The other comes back: whoever serves goes on, and A is still held below its real priority
    // only as far as its trackers went down.
    world.now_do(Event::Start { host: B });
    world.run_for(10 * S);
    kept_rules(&world);
}

#[test]
fn a_resignation_ends_a_held_fault_sooner() {
    let mut world = two(0, Some(600 * S));
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    let stopped = world.now().since(Instant::ZERO);
    let before = count(&world, A, Phase::Active);
    world.now_do(Event::Stop { host: B });
    world.run_for(10 * S);
    let taken = entered(&world, A, Phase::Active, before) - stopped;
    within("two skews", taken, Duration::ZERO, 200 * MS);
}

#[test]
fn a_held_backup_still_takes_over_from_a_silent_master() {
    let mut world = two(-60, Some(600 * S));
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    serves(&world, &[B], "A is held at 90");
    assert_eq!(world.view(A, "vi").expect("A runs").priority, 90);
    let died = world.now().since(Instant::ZERO);
    let before = count(&world, A, Phase::Active);
    world.now_do(Event::Kill { host: B });
    world.run_for(5 * S);
    let taken = entered(&world, A, Phase::Active, before) - died;
    within("its down interval", taken, 200 * MS, 500 * MS);
    world.now_do(Event::Start { host: B });
    world.run_for(5 * S);
    serves(&world, &[B], "100 is more than 90");
}

#[test]
fn falls_and_faults_count_at_once_while_rises_are_held_back() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(damped(
                    quick(150).track("chk", -60).track("other", -10),
                    600 * S,
                ))
                .check(check("chk"), Behaviour::PASSES)
                .check(check("other"), Behaviour::PASSES),
        )
        .host(host("b").router(quick(100)))
        .world();
    world.run_for(10 * S);
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    let priority = |world: &World| world.view(A, "vi").expect("A runs").priority;
    assert_eq!(priority(&world), 90);
    let script: Arc<str> = "other".into();
    let other = |world: &mut World, behaviour| {
        let script = script.clone();
        world.now_do(Event::Script {
            host: A,
            script,
            behaviour,
        });
        world.run_for(2 * S);
    };
    // Only `other` is down now: 140, which is more than the 90 that it is held at.
    other(&mut world, Behaviour::FAILS);
    assert_eq!(priority(&world), 90);
    does(&mut world, Duration::ZERO, Behaviour::FAILS);
    world.run_for(2 * S);
    assert_eq!(priority(&world), 80, "150 - 60 - 10, at once");
    other(&mut world, Behaviour::PASSES);
    assert_eq!(priority(&world), 80, "the lowest since");
    kept_rules(&world);
}

#[test]
fn who_gave_way_too_often_stays_at_the_lowest_priority_and_serves_if_nobody_else_does() {
    let hold = |router: RouterMaker| router.with(|r| r.all_failed = AllFailed::Hold);
    let run = |damping: bool| {
        let mut a = hold(quick(150).track("chk", 0));
        if damping {
            a = damped(a, 60 * S);
        }
        let mut world = Scenario::new(1)
            .host(host("a").router(a).check(check("chk"), Behaviour::PASSES))
            .host(host("b").router(hold(quick(100))))
            .world();
        world.run_for(10 * S);
        flaps(&mut world, 120 * S);
        world.run_for(119 * S);
        kept_rules(&world);
        world
    };
    let often = moves(&run(false));
    assert!(often >= 38, "undamped it moved {often} times");
    let mut world = run(true);
    assert!(moves(&world) <= 5, "{}", world.report("it moved too often"));
    does(&mut world, Duration::ZERO, Behaviour::PASSES);
    world.run_for(3 * S);
    serves(&world, &[B], "A is held");
    let view = world.view(A, "vi").expect("A runs");
    assert_eq!((&*view.state, view.priority), ("BACKUP", 1));
    assert!(view.damping.is_some_and(|d| d.held && !d.fault));
    world.now_do(Event::Kill { host: B });
    world.run_for(5 * S);
    serves(&world, &[A], "nobody else does");
    world.now_do(Event::Start { host: B });
    world.run_for(5 * S);
    serves(&world, &[B], "100 is more than 1");
    world.run_for(300 * S);
    serves(&world, &[A], "quiet again");
    assert_eq!((began(&world), ended(&world)), (1, 1));
}

#[test]
fn an_operators_takeover_ends_the_hold() {
    use mainstay::model::order::{Intent, Order};
    for weight in [0, -60] {
        let mut world = two(weight, Some(600 * S));
        flaps(&mut world, 60 * S);
        world.run_for(70 * S);
        serves(&world, &[B], "A is held");
        let order = Order {
            id: 1,
            instance: "vi".into(),
            what: Intent::Takeover { resumed: false },
        };
        world.now_do(Event::Order { host: A, order });
        world.run_for(S);
        serves(&world, &[A], "an operator knows better");
        let order = Order {
            id: 2,
            instance: "vi".into(),
            what: Intent::Clear,
        };
        world.now_do(Event::Order { host: A, order });
        world.run_for(S);
        serves(
            &world,
            &[A],
            "150 is more than 100, and nothing is held back",
        );
    }
}

#[test]
fn a_reload_without_damping_ends_the_hold() {
    let mut world = two(0, Some(600 * S));
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    let settings = settings([quick(150).track("chk", 0)], [check("chk")]);
    world.now_do(Event::Reload {
        host: A,
        settings: Arc::new(settings),
    });
    world.run_for(2 * S);
    serves(&world, &[A], "nothing asks for it any longer");
}

#[test]
fn a_held_member_keeps_its_group_out_of_the_way() {
    let gate = |name: &str, priority: u8| {
        let inner = quick(priority).with(|r| r.name = "in".into());
        let inner = damped(inner.track("chk", 0), 600 * S);
        let outer = quick(priority).vrid(52).on("eth1");
        let outer = outer.with(|r| r.name = "out".into());
        let mut both = settings([inner, outer], [check("chk")]);
        both.groups.push(Arc::new(GroupSettings {
            name: "gate".into(),
            members: vec!["in".into(), "out".into()],
            notify: NotifySettings::default(),
        }));
        host(name).settings(both)
    };
    let mut world = Scenario::new(3)
        .lan(Quality::GOOD)
        .host(gate("a", 150))
        .host(gate("b", 100))
        .world();
    world.run_for(10 * S);
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    kept_rules(&world);
    for (lan, vrid) in [(0, 51), (1, 52)] {
        assert_eq!(world.serving(lan, Family::V4, vrid), [B]);
    }
    assert_eq!(world.phase(A, "out"), Some(Phase::Fault));
    world.now_do(Event::Kill { host: B });
    world.run_for(5 * S);
    for (lan, vrid) in [(0, 51), (1, 52)] {
        assert_eq!(
            world.serving(lan, Family::V4, vrid),
            [A],
            "nobody else is there"
        );
    }
}

/// Two members of a group that both track the script, both damped.
fn gate_of_two(name: &str, priority: u8) -> mainstay::sim::scenario::HostMaker {
    let member = |name: &str, vrid: u8, link: &str| {
        let router = quick(priority).vrid(vrid).on(link).track("chk", 0);
        damped(router.with(|r| r.name = name.into()), 600 * S)
    };
    let members = [member("in", 51, "eth0"), member("out", 52, "eth1")];
    let mut both = settings(members, [check("chk")]);
    both.groups.push(Arc::new(GroupSettings {
        name: "gate".into(),
        members: vec!["in".into(), "out".into()],
        notify: NotifySettings::default(),
    }));
    host(name).settings(both)
}

/// A's members were moved too often, and B's serve.
fn held_gate() -> World {
    let mut world = Scenario::new(3)
        .lan(Quality::GOOD)
        .host(gate_of_two("a", 150))
        .host(gate_of_two("b", 100))
        .world();
    world.run_for(10 * S);
    flaps(&mut world, 60 * S);
    world.run_for(70 * S);
    kept_rules(&world);
    for name in ["in", "out"] {
        assert_eq!(world.phase(A, name), Some(Phase::Fault));
        assert_eq!(world.phase(B, name), Some(Phase::Active));
    }
    world
}

#[test]
fn members_that_are_both_held_serve_where_nobody_else_does() {
    let mut world = held_gate();
    world.now_do(Event::Kill { host: B });
    world.run_for(5 * S);
    kept_rules(&world);
    for name in ["in", "out"] {
        let report = || world.report("nobody else is there");
        assert_eq!(world.phase(A, name), Some(Phase::Active), "{}", report());
    }
}

#[test]
fn an_operators_takeover_ends_the_hold_of_a_whole_group() {
    use mainstay::model::order::{Intent, Order};
    let mut world = held_gate();
    let order = Order {
        id: 1,
        instance: "out".into(),
        what: Intent::Takeover { resumed: false },
    };
    world.now_do(Event::Order { host: A, order });
    world.run_for(S);
    kept_rules(&world);
    for name in ["in", "out"] {
        let report = || world.report("an operator knows better");
        assert_eq!(world.phase(A, name), Some(Phase::Active), "{}", report());
    }
}

#[test]
fn a_window_moves_the_address_where_failures_never_come_in_a_row() {
    let world = |windowed: bool| {
        let chk = check("chk").rise(2).fall(2).with(|c| {
            let window = Window { failures: 3, of: 5 };
            c.thresholds.window = windowed.then_some(window);
        });
        let mut world = Scenario::new(1)
            .host(
                host("a")
                    .router(vi(150).track("chk", -60))
                    .check(chk, Behaviour::PASSES),
            )
            .host(host("b").router(vi(100)))
            .world();
        world.run_for(10 * S + 500 * MS);
        let behaviours = [Behaviour::FAILS, Behaviour::PASSES].repeat(10);
        let script = "chk".into();
        world.now_do(Event::ScriptNext {
            host: A,
            script,
            behaviours,
        });
        world.run_for(15 * S);
        world
    };
    serves(&world(false), &[A], "fall 2 rides out every other run");
    let windowed = world(true);
    // Failures at 11, 13 and 15 s; the third is confirmed by the two before it.
    serves(&windowed, &[B], "three of five failed");
    let taken = entered(&windowed, B, Phase::Active, 0) - (15 * S + MS);
    within("handed over at once", taken, skew(100), skew(100) + WAY);
}

#[test]
fn a_script_of_several_instances_counts_by_whether_any_of_them_is_master() {
    let chk = || {
        check("chk").rise(1).fall(1).with(|c| {
            c.thresholds.fall_when_master = Some(4);
            c.thresholds.rise_when_backup = Some(3);
        })
    };
    let other = |priority: u8| {
        let router = router("other").vrid(52).priority(priority);
        router.track("chk", 0)
    };
    let node = |name: &str, one: u8, two: u8| {
        host(name)
            .router(vi(one).track("chk", 0))
            .router(other(two).vips([vip(IpAddr::from([10, 0, 0, 201]))]))
            .check(chk(), Behaviour::PASSES)
    };
    // A serves one of its two, B neither.
    let mut world = Scenario::new(1)
        .host(node("a", 150, 50))
        .host(
            host("b").router(vi(100)).router(
                router("other")
                    .vrid(52)
                    .vips([vip(IpAddr::from([10, 0, 0, 201]))]),
            ),
        )
        .world();
    world.run_for(10 * S + 500 * MS);
    serves(&world, &[A], "150 is more than 100");
    assert_eq!(world.phase(A, "other"), Some(Phase::Backup));
    does(&mut world, Duration::ZERO, Behaviour::FAILS);
    world.run_for(3 * S);
    serves(&world, &[A], "three of four failures");
    let counter = |world: &World| {
        world.view(A, "vi").expect("A runs").tracks[0]
            .counter
            .clone()
    };
    assert_eq!(counter(&world), "up 1/4 as MASTER");
    world.run_for(2 * S);
    serves(&world, &[B], "four failures");
    assert_eq!(counter(&world), "down 0/3 as BACKUP");
    does(&mut world, Duration::ZERO, Behaviour::PASSES);
    world.run_for(2 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    assert_eq!(counter(&world), "down 2/3 as BACKUP");
    world.run_for(S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Backup));
    world.run_for(10 * S);
    serves(&world, &[A], "it preempts");
    assert_eq!(counter(&world), "up 4/4 as MASTER");
}

#[test]
fn an_unusable_script_counts_as_failing_on_request_alone() {
    let world = |faults: bool, weight: i16| {
        let chk = check("chk").with(|c| c.unusable = Some("/x: not found".into()));
        let mut world = Scenario::new(1)
            .host(
                host("a")
                    .router(vi(150).track("chk", weight))
                    .check(chk, Behaviour::PASSES)
                    .global(|g| g.unusable_faults = faults),
            )
            .host(host("b").router(vi(100)))
            .world();
        world.run_for(10 * S);
        world
    };
    serves(&world(false, 0), &[A], "it is not tracked");
    let fault = world(true, 0);
    serves(&fault, &[B], "it counts as failing");
    let view = fault.view(A, "vi").expect("A runs");
    assert_eq!(view.cause, "check_unusable");
    assert!(
        view.faults[0].contains("/x: not found"),
        "{:?}",
        view.faults
    );
    assert!(view.tracks[0].fault);
    let weighted = world(true, -60);
    serves(&weighted, &[B], "it counts as failing");
    assert_eq!(weighted.view(A, "vi").expect("A runs").priority, 90);
}
