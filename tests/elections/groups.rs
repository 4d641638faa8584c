//! Sync groups: members move together or not at all.

use super::*;
use mainstay::model::notice::Told;
use mainstay::model::settings::{GroupSettings, NotifySettings};

/// A host with two instances on two LANs, `in` and `out`, joined in a group.
fn gate(name: &str, priority: u8) -> mainstay::sim::scenario::HostMaker {
    let inner = router("in").vrid(51).priority(priority).on("eth0");
    let outer = router("out").vrid(52).priority(priority).on("eth1");
    let mut both = settings([inner, outer], [check("chk").fall(1)]);
    both.groups.push(Arc::new(GroupSettings {
        name: "gate".into(),
        members: vec!["in".into(), "out".into()],
        notify: NotifySettings::default(),
    }));
    host(name).settings(both)
}

fn gates() -> Scenario {
    Scenario::new(3)
        .lan(Quality::GOOD)
        .host(gate("a", 150))
        .host(gate("b", 100))
}

#[track_caller]
fn both_serve(world: &World, who: usize, why: &str) {
    kept_rules(world);
    for (lan, vrid) in [(0, 51), (1, 52)] {
        let serving = world.serving(lan, Family::V4, vrid);
        assert_eq!(serving, [who], "{}", world.report(why));
    }
}

#[test]
fn the_group_serves_whole_and_fails_over_whole() {
    let mut world = gates().world();
    world.run_for(10 * S);
    both_serve(&world, A, "150 is more than 100");
    world.now_do(Event::Plug {
        host: A,
        link: ETH0,
        up: false,
    });
    world.run_for(10 * S);
    both_serve(&world, B, "a member in FAULT takes its group along");
    assert_eq!(world.phase(A, "out"), Some(Phase::Fault));
    let seen = |world: &World, who: usize| {
        let group = world.snapshot(who).expect("runs").groups.remove(0);
        (group.state, group.members.len())
    };
    assert_eq!(seen(&world, A), ("FAULT".to_owned(), 2));
    assert_eq!(seen(&world, B), ("MASTER".to_owned(), 2));
    world.now_do(Event::Plug {
        host: A,
        link: ETH0,
        up: true,
    });
    world.run_for(10 * S);
    both_serve(&world, A, "A is whole again and preempts");
}

#[test]
fn one_members_stronger_rival_takes_the_whole_group_along() {
    let mut world = gates()
        .host(host("c").router(router("in").vrid(51).priority(200).on("eth0")))
        .world();
    world.run_for(20 * S);
    kept_rules(&world);
    assert_eq!(world.serving(0, Family::V4, 51), [2]);
    let out = world.serving(1, Family::V4, 52);
    assert!(
        out.is_empty(),
        "a group whose other half is served elsewhere does not serve: {out:?}"
    );
}

#[test]
fn the_group_waits_until_every_member_hears_silence() {
    let mut world = gates().world();
    world.run_for(10 * S);
    // Only one LAN is cut: B hears A on the other, so it must not split the pair.
    world.now_do(Event::Cut {
        lan: 0,
        from: A,
        to: B,
    });
    world.run_for(10 * S);
    both_serve(&world, A, "half a silence is none");
}

#[test]
fn a_killed_gate_is_replaced_whole_within_the_protocols_time() {
    let mut world = gates().world();
    world.run_for(10 * S);
    world.now_do(Event::Kill { host: A });
    world.run_for(down_interval(100) + 500 * MS);
    both_serve(&world, B, "both timers ran out within a moment");
}

/// What was told first, and of whom.
fn first_words(world: &World, host: usize) -> Vec<(&str, Told)> {
    let told = world.hosts()[host].notified().iter().take(3);
    told.map(|(_, told)| {
        let name = told.group.as_ref().map_or(&told.settings.name, |g| &g.name);
        (&**name, told.to)
    })
    .collect()
}

#[test]
fn a_member_in_fault_at_the_start_lets_the_others_begin_in_fault() {
    let mut world = Scenario::new(3)
        .lan(Quality::GOOD)
        .host(gate("a", 150).starts(2 * S))
        .host(gate("b", 100))
        .world();
    world.now_do(Event::Plug {
        host: A,
        link: LinkId(ETH0.0 + 1),
        up: false,
    });
    world.run_for(10 * S);
    both_serve(&world, B, "A lacks a link");
    assert_eq!(
        count(&world, A, Phase::Backup),
        0,
        "{}",
        world.report("no other start")
    );
    let words = ["in", "out", "gate"].map(|name| (name, Told::State(Phase::Fault)));
    assert_eq!(first_words(&world, A), words);
}

#[test]
fn at_the_start_the_group_is_told_of_before_its_members() {
    let mut world = gates().world();
    world.run_for(2 * S);
    let words = ["gate", "in", "out"].map(|name| (name, Told::State(Phase::Backup)));
    assert_eq!(first_words(&world, A), words);
}
