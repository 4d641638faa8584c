//! The event journal of a real daemon: every kind of thing that belongs in it, and its bounds.

use crate::operate::{does, events};
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Daemon;
use crate::support::daemon::Kind::Mainstay;
use crate::support::inject::{Craft, Injector};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_for, wait_until, wall_ns, watch};
use crate::{need_root, tests};
use serde_json::Value;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        every_kind_of_thing_becomes_an_event,
        the_journal_keeps_as_many_events_as_it_is_told,
    ]
}

/// The only event of a kind, with what every event must have.
#[track_caller]
fn one(r: &Daemon, kind: &str) -> Value {
    let mut all = wait_for(&format!("an event {kind}"), secs(5.0), || {
        Some(events(r, kind)).filter(|all| !all.is_empty())
    });
    let found = all.remove(0);
    let wall = found["wall_us"].as_u64().expect("a wall time");
    let age = (wall_ns() / 1_000).saturating_sub(wall);
    assert!(age < 60_000_000, "{age} us ago: {found}");
    assert!(found["mono_us"].as_u64().is_some_and(|t| t > 0), "{found}");
    assert!(!found["text"].as_str().unwrap_or_default().is_empty());
    found
}

fn every_kind_of_thing_becomes_an_event() {
    need_root();
    let lab = Lab::new(1);
    let other = Injector::v4(lab.host(0));
    let flag = lab.host(1).dir.join("flag");
    std::fs::write(&flag, "").expect("the lab's folder takes files");
    let script = format!(
        "vrrp_script chk {{\n    script \"/bin/sh -c 'test -e {0} || {{ echo {0} is gone >&2; exit 3; }}'\"\n    \
         interval 1\n    weight -5\n}}",
        flag.display()
    );
    let told = Instance::v3(100).with("track_script {\n    chk\n}\nnotify_master /bin/true");
    let r1 = lab.start(1, Mainstay, &Conf::one(told).blocks(&script));
    r1.wait_state("VI_1", "MASTER", 8.0);

    // Transitions and edges of trackers, with cause and numbers.
    let first = one(&r1, "transition");
    assert_eq!(
        (&first["cause"], &first["to"]),
        (&"startup".into(), &"BACKUP".into()),
        "{first}"
    );
    one(&r1, "script_up");
    std::fs::remove_file(&flag).expect("ours");
    let fell = one(&r1, "script_down");
    assert_eq!(fell["evidence"]["tracker"], "chk", "{fell}");
    assert_eq!(fell["evidence"]["exit"], 3, "{fell}");
    let said = fell["evidence"]["stderr"].as_str().unwrap_or_default();
    assert!(said.ends_with("/flag is gone"), "{fell}");
    let moved = one(&r1, "priority");
    let evidence = &moved["evidence"];
    assert_eq!(
        (&moved["priority"], &evidence["priority_was"]),
        (&95.into(), &100.into()),
        "{moved}"
    );

    // A better router in another's hands: every 0.2 s, then two are missing, and it is late.
    let mut craft = Craft::v3(200, 20);
    for _ in 0..5 {
        other.send(&craft);
        watch(secs(0.2));
    }
    watch(secs(0.4));
    other.send(&craft);
    let late = one(&r1, "advert_late");
    let evidence = &late["evidence"];
    assert_eq!(
        (&late["instance"], &evidence["peer"]),
        (&"VI_1".into(), &"10.9.0.100".into()),
        "{late}"
    );
    assert!(
        evidence["missed"].as_u64().is_some_and(|n| n >= 1),
        "{late}"
    );
    assert!(
        evidence["length_s"].as_f64().is_some_and(|s| s > 0.5),
        "{late}"
    );
    // And then none comes at all.
    let silent = wait_for("the transition for want of adverts", secs(5.0), || {
        let all = events(&r1, "transition");
        all.into_iter()
            .rev()
            .find(|e| e["cause"] == "advert_timeout" && e["evidence"]["peer"] == "10.9.0.100")
    });
    assert!(
        silent["evidence"]["missed"]
            .as_u64()
            .is_some_and(|n| n >= 3),
        "{silent}"
    );

    // What is odd about adverts.
    craft.priority = 1;
    craft.interval_cs = 30;
    other.send(&craft);
    let interval = one(&r1, "interval");
    assert_eq!(interval["evidence"]["peer"], "10.9.0.100", "{interval}");
    craft.interval_cs = 20;
    craft.addresses = vec![[10, 9, 0, 77].into()];
    other.send(&craft);
    let mismatch = one(&r1, "address_mismatch");
    assert_eq!(mismatch["evidence"]["peer"], "10.9.0.100", "{mismatch}");
    assert!(
        mismatch["text"]
            .as_str()
            .is_some_and(|t| t.contains("10.9.0.77")),
        "{mismatch}"
    );
    craft.checksum_off = 1;
    other.send(&craft);
    let refused = one(&r1, "advert_refused");
    assert_eq!(refused["evidence"]["peer"], "10.9.0.100", "{refused}");
    craft.checksum_off = 0;
    craft.vrid = 99;
    other.send(&craft);
    let foreign = one(&r1, "unknown_vrid");
    assert_eq!(foreign["evidence"]["vrid"], 99, "{foreign}");

    // Programs, reloads, operators.
    let notified = one(&r1, "notify");
    assert_eq!(
        (
            &notified["evidence"]["outcome"],
            &notified["evidence"]["exit"]
        ),
        (&"exited".into(), &0.into()),
        "{notified}"
    );
    does(&r1, &["reload"], 0);
    assert_eq!(one(&r1, "reload")["evidence"]["outcome"], "unchanged");
    does(&r1, &["drain", "--force", "--reason", "racks"], 0);
    let order = one(&r1, "order");
    assert_eq!(order["evidence"]["reason"], "racks", "{order}");
    assert_eq!(order["evidence"]["uid"], 0, "{order}");

    // In the order in which it happened, by number and by the clock that never jumps.
    let all = does(&r1, &["events", "--json", "--since", "0"], 0);
    let all: Vec<Value> = all
        .out
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let numbers: Vec<u64> = all.iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
}

/// First and last number of what is kept.
fn kept(r: &Daemon) -> (u64, u64, usize) {
    let told = does(r, &["events", "--json", "--since", "0"], 0);
    let numbers: Vec<u64> = told
        .out
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .filter_map(|e| e["seq"].as_u64())
        .collect();
    let first = numbers.first().copied().unwrap_or(0);
    (first, numbers.last().copied().unwrap_or(0), numbers.len())
}

fn the_journal_keeps_as_many_events_as_it_is_told() {
    need_root();
    let lab = Lab::new(1);
    let keeps = |n: u32| Conf::one(Instance::v3(100)).globals(&format!("    journal_keep {n}"));
    let mut r1 = lab.start(1, Mainstay, &keeps(20));
    r1.wait_state("VI_1", "MASTER", 8.0);
    let lines = |r: &Daemon| {
        let file = r.dir.join("run/state/events.jsonl");
        std::fs::read_to_string(file)
            .unwrap_or_default()
            .lines()
            .count()
    };
    for _ in 0..60 {
        does(&r1, &["reload"], 0);
    }
    let (first, last, count) = kept(&r1);
    assert_eq!((count, last - first), (20, 19), "from {first} to {last}");
    assert!(last > 60, "{last}");
    // The file is cut when it holds twice as many.
    wait_until("a file of at most 40 events", secs(3.0), || {
        lines(&r1) <= 40
    });

    // Less from a reload on.
    let write = |r: &Daemon, n| std::fs::write(&r.file, keeps(n).text(1, 1)).expect("written");
    write(&r1, 16);
    does(&r1, &["reload"], 0);
    let (_, after, count) = kept(&r1);
    assert_eq!(count, 16);
    assert!(after > last, "{after} after {last}");
    wait_until("a file of at most 32 events", secs(3.0), || {
        lines(&r1) <= 32
    });

    // And the same after a restart, from the file.
    r1.kill9();
    let r1 = lab.start(1, Mainstay, &keeps(16));
    r1.wait_state("VI_1", "MASTER", 8.0);
    let (first, last, count) = kept(&r1);
    assert_eq!((count, last - first), (16, 15));
    assert!(last > after, "{last} after {after}");

    write(&r1, 64);
    for _ in 0..60 {
        does(&r1, &["reload"], 0);
    }
    assert_eq!(kept(&r1).2, 64);
}
