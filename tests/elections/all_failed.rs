//! `all_failed hold`: the last one standing serves, and whoever is well takes over.

use super::*;
use mainstay::model::notice::What;
use mainstay::model::order::{Intent, Order, Outcome};
use mainstay::model::settings::{AllFailed, GroupSettings, NotifySettings, Settings};
use mainstay::sim::scenario::CheckMaker;

const C: usize = 2;

fn holding(router: RouterMaker) -> RouterMaker {
    router.with(|r| r.all_failed = AllFailed::Hold)
}

/// Tracks a script of weight 0 under `all_failed hold`.
fn vi_hold(priority: u8) -> RouterMaker {
    holding(vi(priority).track("chk", 0))
}

fn chk() -> CheckMaker {
    check("chk")
}

fn node(name: &str, router: RouterMaker) -> mainstay::sim::scenario::HostMaker {
    host(name).router(router).check(chk(), Behaviour::PASSES)
}

/// A of priority 150 and B of 100, both well and settled.
fn two(a: RouterMaker, b: RouterMaker) -> World {
    let mut world = Scenario::new(1)
        .host(node("a", a))
        .host(node("b", b))
        .world();
    world.run_for(10 * S + 500 * MS);
    serves(&world, &[A], "the higher one");
    world
}

fn script(host: usize, behaviour: Behaviour) -> Event {
    Event::Script {
        host,
        script: "chk".into(),
        behaviour,
    }
}

fn fails(world: &mut World, host: usize) {
    world.now_do(script(host, Behaviour::FAILS));
}

fn recovers(world: &mut World, host: usize) {
    world.now_do(script(host, Behaviour::PASSES));
}

fn priority(world: &World, host: usize) -> u8 {
    world.view(host, "vi").expect("it runs").priority
}

fn degraded(world: &World, host: usize) -> String {
    let view = world.view(host, "vi").expect("it runs");
    view.degraded.unwrap_or_default()
}

/// What was told of degradation by one host, in order.
fn told(world: &World, host: usize) -> Vec<&'static str> {
    let notices = world.timeline().notices().filter(|(_, of, _)| *of == host);
    notices
        .filter_map(|(_, _, notice)| match &notice.what {
            What::Degraded { how, .. } => Some(how.word()),
            _ => None,
        })
        .collect()
}

fn never_in_fault(world: &World) {
    for host in 0..world.hosts().len() {
        assert_eq!(count(world, host, Phase::Fault), 0, "host {host}");
    }
}

/// When a host last said priority 0, and whether it was once only.
#[track_caller]
fn released_once(world: &World, host: usize) -> Duration {
    let adverts = world.timeline().adverts();
    let zeros: Vec<_> = adverts.filter(|a| a.1 == host && a.3 == 0).collect();
    assert_eq!(zeros.len(), 1, "{zeros:?}");
    zeros[0].0.since(Instant::ZERO)
}

#[test]
fn one_that_fails_gives_way_to_one_that_is_well() {
    let mut world = two(vi_hold(150), vi_hold(100));
    fails(&mut world, A);
    world.run_for(10 * S);
    serves(&world, &[B], "B is well");
    assert_eq!(world.phase(A, "vi"), Some(Phase::Backup));
    assert_eq!(priority(&world, A), 1);
    let released = released_once(&world, A);
    let taken = entered(&world, B, Phase::Active, 0) - released;
    within("Skew_Time of B", taken, skew(100), skew(100) + WAY);
    let view = world.view(A, "vi").expect("A runs");
    assert_eq!(view.cause, "gave_way", "{}", view.detail);
    assert!(view.detail.contains("script chk failed"), "{}", view.detail);
    assert!(view.tracks[0].degrades && !view.tracks[0].fault);
    assert!(degraded(&world, A).contains("serves only if nobody else does"));
    assert_eq!(told(&world, A), ["gives_way"]);
    never_in_fault(&world);
    // It keeps its addresses until it has heard the successor: nobody is without.
    let gave = entered(&world, A, Phase::Backup, 1) - (released + taken);
    within("one way", gave, Duration::ZERO, WAY);
}

#[test]
fn what_if_asks_the_same_rule() {
    let mut world = two(vi_hold(150), vi_hold(100));
    let then = |world: &World| {
        let view = world.view(A, "vi").expect("A runs");
        let mut all = view.what_if.into_iter();
        all.find(|w| &*w.tracker == "chk").expect("tracked")
    };
    let what = then(&world);
    assert_eq!((what.fault, what.priority, what.failing), (false, 1, false));
    let link = world.view(A, "vi").expect("A runs").what_if;
    let link = link
        .iter()
        .find(|w| w.kind == "interface")
        .expect("its own");
    assert!(
        link.fault,
        "an interface that is down is no matter of all_failed"
    );
    fails(&mut world, A);
    world.run_for(10 * S);
    let what = then(&world);
    assert_eq!((what.fault, what.priority, what.failing), (false, 1, true));
    assert!(!what.ours, "B serves");
}

#[test]
fn the_only_one_there_is_serves_on_and_says_so() {
    let mut world = Scenario::new(1).host(node("a", vi_hold(150))).world();
    world.run_for(10 * S + 500 * MS);
    fails(&mut world, A);
    world.run_for(S);
    assert!(
        degraded(&world, A).contains("gives way"),
        "silent, listening"
    );
    serves(&world, &[A], "it keeps its addresses");
    world.run_for(10 * S);
    serves(&world, &[A], "nobody else took over");
    let text = degraded(&world, A);
    assert!(
        text.starts_with("degraded: serves although script chk failed"),
        "{text}"
    );
    assert!(text.ends_with("because nobody else took over"), "{text}");
    let released = released_once(&world, A);
    let adverts: Vec<_> = world.timeline().adverts().filter(|a| a.3 == 1).collect();
    let first = adverts.first().expect("it speaks again").0;
    assert_eq!(first.since(Instant::ZERO), released + down_interval(1));
    assert_eq!(told(&world, A), ["gives_way", "serves"]);
    assert_eq!(count(&world, A, Phase::Active), 1, "MASTER all the time");

    recovers(&mut world, A);
    world.run_for(2 * S);
    serves(&world, &[A], "well again");
    assert_eq!(
        (priority(&world, A), degraded(&world, A)),
        (150, String::new())
    );
    assert_eq!(told(&world, A), ["gives_way", "serves", "over"]);
}

#[test]
fn a_recovery_is_advertised_at_once() {
    for silent in [false, true] {
        let mut world = Scenario::new(1).host(node("a", vi_hold(150))).world();
        world.run_for(10 * S + 500 * MS);
        fails(&mut world, A);
        world.run_for(if silent { 1500 * MS } else { 10 * S });
        recovers(&mut world, A);
        world.run_for(2 * S);
        // Runs end 1 ms after each full second.
        let over = world.timeline().notices().find_map(|(when, _, notice)| {
            let over = matches!(&notice.what, What::Degraded { how, .. } if how.word() == "over");
            over.then_some(when)
        });
        let mut adverts = world.timeline().adverts();
        let high = adverts.find(|a| Some(a.0) == over).expect("an advert");
        assert_eq!(high.3, 150, "silent: {silent}");
        serves(&world, &[A], "all the time");
    }
}

#[test]
fn if_both_fail_exactly_one_serves_and_the_addresses_stay() {
    for (first, second) in [(A, B), (B, A)] {
        let mut world = two(vi_hold(150), vi_hold(100));
        fails(&mut world, first);
        world.run_for(10 * S);
        fails(&mut world, second);
        world.run_for(10 * S);
        let settled: Vec<usize> = world.serving(0, Family::V4, 51).to_vec();
        assert_eq!(settled.len(), 1, "{}", world.report("exactly one"));
        let moves = count(&world, A, Phase::Active) + count(&world, B, Phase::Active);
        world.run_for(60 * S);
        serves(&world, &settled, "it stays");
        assert_eq!(
            count(&world, A, Phase::Active) + count(&world, B, Phase::Active),
            moves,
            "no bouncing"
        );
        assert_eq!((priority(&world, A), priority(&world, B)), (1, 1));
        assert_eq!(told(&world, settled[0]).last(), Some(&"serves"));
        never_in_fault(&world);
        // Whoever is well first has them.
        recovers(&mut world, B);
        world.run_for(10 * S);
        serves(&world, &[B], "B is well");
        recovers(&mut world, A);
        world.run_for(10 * S);
        serves(&world, &[A], "A is well and higher");
    }
}

#[test]
fn both_fail_in_the_same_moment_and_one_serves() {
    for seed in 0..20 {
        let mut world = Scenario::new(seed)
            .host(node("a", vi_hold(150)))
            .host(node("b", vi_hold(100)))
            .world();
        world.run_for(10 * S + 500 * MS);
        fails(&mut world, A);
        fails(&mut world, B);
        world.run_for(20 * S);
        kept_rules(&world);
        assert_eq!(
            world.serving(0, Family::V4, 51).len(),
            1,
            "{}",
            world.report("exactly one")
        );
    }
}

#[test]
fn release_is_keepaliveds_way_nobody_serves() {
    let plain = |priority| vi(priority).track("chk", 0);
    let mut world = two(plain(150), plain(100));
    fails(&mut world, A);
    fails(&mut world, B);
    world.run_for(10 * S);
    serves(&world, &[], "both are in FAULT");
}

#[test]
fn one_that_is_well_takes_over_from_a_degraded_holder_even_under_nopreempt() {
    for holds in [true, false] {
        let b = vi(100).nopreempt().track("chk", 0);
        let b = if holds { holding(b) } else { b };
        let mut world = Scenario::new(1)
            .host(node("a", vi_hold(150).nopreempt()))
            .host(node("b", b).starts(30 * S))
            .world();
        world.run_for(10 * S);
        fails(&mut world, A);
        world.run_for(40 * S);
        // B comes later, hears priority 1 and nothing else.
        let who = if holds { B } else { A };
        serves(&world, &[who], "nopreempt, and a degraded holder");
        if holds {
            let since = entered(&world, B, Phase::Active, 0) - 30 * S;
            within(
                "a down interval",
                since,
                down_interval(100),
                down_interval(100) + S,
            );
            assert_eq!(world.view(B, "vi").expect("B runs").cause, "preempt");
        }
        kept_rules(&world);
    }
}

#[test]
fn nopreempt_holds_among_those_that_are_well() {
    let mut world = two(vi_hold(150).nopreempt(), vi_hold(100).nopreempt());
    fails(&mut world, A);
    world.run_for(10 * S);
    serves(&world, &[B], "B is well");
    recovers(&mut world, A);
    world.run_for(20 * S);
    serves(&world, &[B], "A is well again, and B advertises 100");
}

#[test]
fn a_link_that_is_down_stays_fault() {
    let mut world = two(vi_hold(150), vi_hold(100));
    fails(&mut world, A);
    fails(&mut world, B);
    world.run_for(10 * S);
    let serving = world.serving(0, Family::V4, 51)[0];
    world.now_do(Event::Plug {
        host: serving,
        link: ETH0,
        up: false,
    });
    world.run_for(10 * S);
    assert_eq!(world.phase(serving, "vi"), Some(Phase::Fault));
    assert_eq!(degraded(&world, serving), "");
    serves(&world, &[1 - serving], "the other one, ill as it is");
    world.now_do(Event::Plug {
        host: serving,
        link: ETH0,
        up: true,
    });
    world.run_for(10 * S);
    assert_eq!(
        world.phase(serving, "vi"),
        Some(Phase::Backup),
        "priority 1"
    );
    serves(&world, &[1 - serving], "the addresses stay");
}

#[test]
fn of_three_the_one_that_is_well_serves_and_the_last_one_never_stops() {
    let mut world = Scenario::new(1)
        .host(node("a", vi_hold(150)))
        .host(node("b", vi_hold(100)))
        .host(node("c", vi_hold(50)))
        .world();
    world.run_for(10 * S + 500 * MS);
    serves(&world, &[A], "the highest");
    fails(&mut world, B);
    world.run_for(5 * S);
    serves(&world, &[A], "a BACKUP failed");
    fails(&mut world, A);
    world.run_for(10 * S);
    serves(&world, &[C], "the only one that is well");
    fails(&mut world, C);
    world.run_for(20 * S);
    kept_rules(&world);
    let serving = world.serving(0, Family::V4, 51).to_vec();
    assert_eq!(serving.len(), 1, "{}", world.report("one of three"));
    recovers(&mut world, B);
    world.run_for(10 * S);
    serves(&world, &[B], "B is well");
    never_in_fault(&world);
}

#[test]
fn an_owner_always_releases() {
    let owner = holding(vi(255).start_active().track("chk", 0));
    let mut world = two(owner, vi_hold(100));
    fails(&mut world, A);
    world.run_for(10 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Fault));
    serves(&world, &[B], "255 is never changed");
}

#[test]
fn init_fail_starts_as_a_backup_of_priority_1() {
    let mut world = Scenario::new(1)
        .host(
            host("a")
                .router(vi_hold(150))
                .check(chk().init_fail(), Behaviour::FAILS),
        )
        .world();
    world.run_for(3 * S);
    assert_eq!(world.phase(A, "vi"), Some(Phase::Backup));
    world.run_for(10 * S);
    serves(&world, &[A], "nobody else is there");
    assert_eq!(priority(&world, A), 1);
}

fn ask(world: &mut World, id: u64, what: Intent) {
    let instance = "vi".into();
    let order = Order { id, instance, what };
    world.now_do(Event::Order { host: A, order });
}

#[test]
fn a_drain_while_it_gives_way_is_answered_and_a_takeover_is_refused() {
    let mut world = Scenario::new(1).host(node("a", vi_hold(150))).world();
    world.run_for(10 * S + 500 * MS);
    fails(&mut world, A);
    world.run_for(S);
    let force = false;
    let resumed = false;
    ask(&mut world, 1, Intent::Drain { force, resumed });
    ask(&mut world, 2, Intent::Takeover { resumed });
    world.run_for(20 * S);
    released_once(&world, A);
    let ordered = world.hosts()[A].ordered();
    let of = |id: u64| -> Vec<&Outcome> {
        let mine = ordered.iter().filter(|o| o.1 == id);
        mine.map(|(.., outcome)| outcome).collect()
    };
    assert_eq!(of(1), [&Outcome::NobodyTookOver]);
    assert!(
        matches!(of(2)[..], [Outcome::Refused { why }] if why.contains("degraded")),
        "{ordered:?}"
    );
    serves(&world, &[A], "all was put back");
    assert_eq!(priority(&world, A), 1);
}

#[test]
fn an_undrain_does_not_end_what_a_tracker_began() {
    let mut world = two(vi_hold(150), vi_hold(100));
    fails(&mut world, A);
    world.run_until_so(2 * S, |w| !degraded(w, A).is_empty());
    ask(&mut world, 1, Intent::Clear);
    world.run_for(10 * S);
    serves(&world, &[B], "A gave way");
    released_once(&world, A);
}

/// Two routers in a group, of which the second tracks the script.
fn grouped(priority: u8, preempt: bool) -> Settings {
    let one = |name: &str, vrid: u8, last: u8| {
        let address = IpAddr::from([10, 0, 0, last]);
        let router = router(name).vrid(vrid).priority(priority);
        let router = holding(router.vips([vip(address)]));
        if preempt { router } else { router.nopreempt() }
    };
    let routers = [one("vi", 51, 200), one("wi", 52, 201).track("chk", 0)];
    let group = GroupSettings {
        name: "G".into(),
        members: vec!["vi".into(), "wi".into()],
        notify: NotifySettings::default(),
    };
    Settings {
        groups: vec![Arc::new(group)],
        ..settings(routers, [chk()])
    }
}

#[test]
fn a_sync_group_gives_way_serves_and_recovers_as_one() {
    for preempt in [true, false] {
        let mut world = Scenario::new(1)
            .host(host("a").settings(grouped(150, preempt)))
            .host(host("b").settings(grouped(100, preempt)).starts(2 * S))
            .world();
        for host in [A, B] {
            recovers(&mut world, host);
        }
        world.run_for(15 * S + 500 * MS);
        let both = |world: &World, who: &[usize], why: &str| {
            kept_rules(world);
            for vrid in [51, 52] {
                let serving = world.serving(0, Family::V4, vrid);
                assert_eq!(serving, who, "{vrid}: {}", world.report(why));
            }
        };
        both(&world, &[A], "A is well");
        fails(&mut world, A);
        world.run_for(10 * S);
        both(&world, &[B], "B is well");
        let zeros: Vec<_> = world
            .timeline()
            .adverts()
            .filter(|a| a.1 == A && a.3 == 0)
            .collect();
        assert_eq!(zeros.len(), 2, "one of each member: {zeros:?}");
        assert_eq!(zeros[0].0, zeros[1].0, "in one turn");
        let seen = world.view(A, "vi").expect("A runs");
        assert_eq!(seen.priority, 1);
        assert!(
            seen.degraded.is_some_and(|d| d.contains("sync group G")),
            "the sibling says why"
        );
        fails(&mut world, B);
        world.run_for(20 * S);
        let serving = world.serving(0, Family::V4, 51).to_vec();
        assert_eq!(serving.len(), 1, "{}", world.report("one serves"));
        both(&world, &serving, "both members on one");
        recovers(&mut world, A);
        world.run_for(15 * S);
        both(&world, &[A], "A is well");
        never_in_fault(&world);
    }
}
