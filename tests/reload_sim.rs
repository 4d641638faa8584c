//! What a reload asks of the kernel and puts on the wire, input by input.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

mod support;

use mainstay::core::action::Signal;
use mainstay::core::input::Input;
use mainstay::core::plan::{Step, diff};
use mainstay::model::addr::{Cidr, VirtualAddress};
use mainstay::model::ids::RunId;
use mainstay::model::seen::Verdict;
use mainstay::model::settings::Settings;
use mainstay::model::view::{RouterView, Snapshot};
use mainstay::sim::scenario::{RouterMaker, check, router, settings, vip};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use support::{Bench, Did, OWN4};

const MOVING: [u8; 4] = [10, 0, 0, 230];

/// Routers that all serve, and nothing else going on.
fn serving(routers: impl IntoIterator<Item = RouterMaker>) -> (Bench, Settings) {
    let all = settings(routers, []);
    let mut bench = Bench::begun(all.clone());
    // Past the second set of announcements.
    bench.wait(Duration::from_millis(10_250));
    let states: Vec<String> = views(&bench).into_iter().map(|v| v.state).collect();
    assert!(states.iter().all(|s| s == "MASTER"), "{states:?}");
    bench.did.clear();
    (bench, all)
}

fn views(bench: &Bench) -> Vec<RouterView> {
    let mut snapshot = Snapshot::default();
    bench.engine.fill(bench.now, &mut snapshot);
    snapshot.instances
}

fn reload(bench: &mut Bench, old: &Settings, new: Settings) -> Vec<Did> {
    bench.handle(Input::Plan(Box::new(diff(old, Arc::new(new)))));
    bench.take()
}

/// What was asked of the kernel, in order.
fn asked(did: &[Did]) -> Vec<(char, Cidr)> {
    did.iter()
        .filter_map(|did| match did {
            Did::Add(cidr) => Some(('+', *cidr)),
            Did::Remove(cidr) => Some(('-', *cidr)),
            _ => None,
        })
        .collect()
}

fn with_label(label: &str) -> VirtualAddress {
    VirtualAddress {
        label: Some(label.into()),
        ..vip(MOVING)
    }
}

fn one() -> RouterMaker {
    router("one")
}

fn two() -> RouterMaker {
    router("two").vrid(52)
}

fn at(last: u8) -> VirtualAddress {
    vip([10, 0, 0, last])
}

#[test]
fn an_address_with_another_label_is_removed_and_added_in_one_turn() {
    let (mut bench, old) = serving([one().vips([with_label("eth0:a"), at(200)])]);
    let new = settings([one().vips([with_label("eth0:b"), at(200)])], []);
    let did = reload(&mut bench, &old, new.clone());
    let cidr = vip(MOVING).cidr;
    assert_eq!(asked(&did), [('-', cidr), ('+', cidr)]);
    let view = &views(&bench)[0];
    assert_eq!(view.counters.restored, 0, "nobody else removed it");
    assert!(view.addresses.iter().all(|a| a.installed), "{view:?}");
    // The kernel's word on both comes before its answers, and nothing follows from it.
    bench.address(MOVING, 24, true);
    assert_eq!(asked(&bench.take()), []);
    let again = reload(&mut bench, &new, new.clone());
    assert_eq!(again, [], "an equal file changes nothing");
}

#[test]
fn what_only_we_look_at_does_not_touch_the_address() {
    let (mut bench, old) = serving([one().vips([at(200)])]);
    let new = settings(
        [one().vips([VirtualAddress {
            no_track: true,
            dev: Some("eth0".into()),
            ..at(200)
        }])],
        [],
    );
    let did = reload(&mut bench, &old, new);
    assert!(
        asked(&did).iter().all(|(sign, _)| *sign == '+'),
        "{did:?}: the kernel has it as it is to be"
    );
}

#[test]
fn over_ipv6_another_prefix_length_is_another_form_of_the_same_address() {
    let address = |len| VirtualAddress {
        cidr: Cidr {
            addr: IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x51]),
            len,
        },
        ..vip([0xfe80, 0, 0, 0, 0, 0, 0, 0x200])
    };
    let first = vip([0xfe80, 0, 0, 0, 0, 0, 0, 0x200]);
    let (mut bench, old) = serving([one().v6().vips([first.clone(), address(64)])]);
    let new = settings([one().v6().vips([first, address(128)])], []);
    let did = reload(&mut bench, &old, new);
    assert_eq!(
        asked(&did),
        [('-', address(64).cidr), ('+', address(128).cidr)],
        "removed first, or the kernel would take the addition for done, and not after it"
    );
}

#[test]
fn over_ipv4_another_prefix_length_is_added_before_the_old_one_goes() {
    let short = VirtualAddress {
        cidr: Cidr {
            len: 32,
            ..vip(MOVING).cidr
        },
        ..vip(MOVING)
    };
    let (mut bench, old) = serving([one().vips([at(200), vip(MOVING)])]);
    let new = settings([one().vips([at(200), short.clone()])], []);
    let did = reload(&mut bench, &old, new);
    assert_eq!(asked(&did), [('+', short.cidr), ('-', vip(MOVING).cidr)]);
}

#[test]
fn an_address_that_moves_to_another_serving_router_is_never_removed() {
    for backwards in [false, true] {
        let order = |mut all: Vec<RouterMaker>| {
            if backwards {
                all.reverse();
            }
            settings(all, [])
        };
        let (mut bench, old) = serving([
            one().vips([at(200), vip(MOVING)]),
            two().vips([at(201)]),
            router("three").vrid(53).vips([at(202)]),
        ]);
        let new = order(vec![
            one().vips([at(200)]),
            two().vips([at(201), vip(MOVING)]),
            router("three").vrid(53).vips([at(202)]),
        ]);
        let did = reload(&mut bench, &old, new.clone());
        assert_eq!(asked(&did), [('+', vip(MOVING).cidr)]);
        // Its owner may go altogether.
        let newer = order(vec![
            one().vips([at(200), vip(MOVING), at(201)]),
            router("three").vrid(53).vips([at(202)]),
        ]);
        let did = reload(&mut bench, &new, newer);
        let asked = asked(&did);
        assert!(asked.iter().all(|(sign, _)| *sign == '+'), "{asked:?}");
    }
}

#[test]
fn an_address_that_moves_and_changes_its_form_is_removed_once_and_first() {
    for backwards in [false, true] {
        let (mut bench, old) = serving([one().vips([at(200), vip(MOVING)]), two().vips([at(201)])]);
        let mut all = vec![
            one().vips([at(200)]),
            two().vips([at(201), with_label("eth0:b")]),
        ];
        if backwards {
            all.reverse();
        }
        let did = reload(&mut bench, &old, settings(all, []));
        let cidr = vip(MOVING).cidr;
        assert_eq!(asked(&did), [('-', cidr), ('+', cidr)]);
    }
}

#[test]
fn an_untouched_router_keeps_its_source_while_the_kernel_removes_an_address() {
    let all = settings([one().vips([vip(MOVING)]), two().vips([at(201)])], []);
    let mut bench = Bench::bare(all.clone());
    bench.link(true);
    // The kernel lists the virtual address first, as primary.
    bench.address(MOVING, 32, true);
    bench.address(OWN4, 24, true);
    bench.begin();
    bench.wait(Duration::from_millis(10_250));
    bench.take();
    bench.answers = false;
    let before = views(&bench)[1].clone();
    assert_eq!(before.source, Some(IpAddr::from(OWN4)));
    let did = reload(&mut bench, &all, settings([two().vips([at(201)])], []));
    let after = views(&bench)[0].clone();
    assert_eq!(before, after, "state, timers, source and counters stay");
    let adverts: Vec<_> = did
        .iter()
        .filter_map(|d| match d {
            Did::Advert { claim, .. } => Some((claim.vrid, claim.priority)),
            _ => None,
        })
        .collect();
    assert_eq!(adverts, [(51, 0)], "only the removed one says goodbye");
    assert!(
        !did.iter().any(|d| matches!(d, Did::Announced(_))),
        "{did:?}"
    );
}

#[test]
fn unicast_routers_that_share_an_identity_are_told_apart_by_what_they_are() {
    let to = |name: &str, last: u8, vip: u8| {
        router(name)
            .unicast(OWN4, &[IpAddr::from([10, 0, 0, last])])
            .vips([at(vip)])
    };
    let old = settings([to("one", 21, 200), to("two", 22, 201)], []);
    let keeps = |steps: &[Step]| steps.iter().all(|s| matches!(s, Step::Keep { .. }));
    assert!(keeps(&diff(&old, Arc::new(old.clone())).routers));
    let turned = settings([to("two", 22, 201), to("one", 21, 200)], []);
    assert!(keeps(&diff(&old, Arc::new(turned)).routers));
    let changed = settings([to("two", 22, 202), to("one", 21, 203)], []);
    assert_eq!(
        diff(&old, Arc::new(changed)).routers,
        [
            Step::Alter { old: 1, new: 0 },
            Step::Alter { old: 0, new: 1 }
        ],
        "by name where both changed"
    );
    let less = settings([to("two", 22, 201)], []);
    assert_eq!(
        diff(&old, Arc::new(less)).routers,
        [Step::Keep { old: 1, new: 0 }, Step::Retire { old: 0 }]
    );
}

#[test]
fn a_changed_group_is_no_empty_plan() {
    let old = settings([one(), two()], []);
    let mut new = old.clone();
    new.groups
        .push(Arc::new(mainstay::model::settings::GroupSettings {
            name: "G".into(),
            members: vec!["one".into(), "two".into()],
            notify: Default::default(),
        }));
    assert!(!diff(&old, Arc::new(new)).is_empty());
}

#[test]
fn a_new_address_of_a_backup_that_stands_on_the_link_is_taken_down() {
    // Somebody had added it by hand, or an earlier run left it and the file did not have it.
    let old = settings([one().vips([at(200)])], []);
    let mut bench = Bench::bare(old.clone());
    bench.link(true);
    bench.address(OWN4, 24, true);
    bench.address(MOVING, 24, true);
    bench.begin();
    bench.take();
    let new = settings([one().vips([at(200), vip(MOVING)])], []);
    let did = reload(&mut bench, &old, new);
    assert_eq!(asked(&did), [('-', vip(MOVING).cidr)]);
}

#[test]
fn what_the_old_program_says_after_a_reload_does_not_decide_for_the_new_one() {
    let conf = |argv: &str| {
        let mut all = settings([one().track("chk", 0)], [check("chk")]);
        let chk = Arc::make_mut(&mut all.checks[0]);
        chk.command.argv = vec![argv.into()];
        all
    };
    let old = conf("/bin/old");
    let mut bench = Bench::begun(old.clone());
    bench.wait(Duration::from_millis(10));
    let first = bench.run().expect("the first run");
    bench.done(first, Verdict::Pass);
    bench.wait(Duration::from_millis(1_100));
    let second = bench.run().expect("the second run");
    assert_ne!(first, second);
    bench.take();
    let did = reload(&mut bench, &old, conf("/bin/new"));
    assert!(
        did.contains(&Did::StopRun(second, Signal::Term)),
        "the old program is ended: {did:?}"
    );
    bench.wait(Duration::from_millis(20));
    bench.done(second, Verdict::Fail(1));
    bench.wait(Duration::from_millis(1));
    assert_ne!(views(&bench)[0].state, "FAULT", "that was the old program");
    let third: RunId = bench.run().expect("the new program is run at once");
    assert_ne!(second, third);
    bench.done(third, Verdict::Fail(1));
    assert_eq!(views(&bench)[0].state, "FAULT", "its first result decides");
}

#[test]
fn scripts_that_come_and_go_do_not_pile_up() {
    let conf = |n: u32| {
        let name = format!("chk{n}");
        settings([one().track(&name, 0)], [check(&name)])
    };
    let done = |bench: &mut Bench, (check, run), verdict| {
        let stderr = "".into();
        bench.handle(Input::CheckDone {
            check,
            run,
            verdict,
            stderr,
        });
    };
    let mut old = conf(0);
    let mut bench = Bench::begun(old.clone());
    let mut running = None;
    for n in 1..40 {
        let new = conf(n);
        let mut did = reload(&mut bench, &old, new.clone());
        bench.wait(Duration::from_millis(10));
        did.append(&mut bench.take());
        let started = did.iter().find_map(|did| match did {
            Did::StartRun(check, run) => Some((*check, *run)),
            _ => None,
        });
        let started = started.expect("the new script is run");
        assert!(started.0.0 < 4, "{started:?} after {n} reloads");
        if let Some(stopped) = running.take() {
            done(&mut bench, stopped, Verdict::Fail(1));
        }
        // Now and then one is still running at the next reload.
        if n % 3 > 0 {
            done(&mut bench, started, Verdict::Pass);
        } else {
            running = Some(started);
        }
        assert_ne!(views(&bench)[0].state, "FAULT", "the old script failed");
        bench.take();
        old = new;
    }
}
