//! Every kind of failure, and what `mainstay why` says of it.

use crate::operate::command;
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Daemon;
use crate::support::daemon::Kind::Mainstay;
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_for, watch};
use crate::{need_root, tests};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The kinds of failure that are played here: what happens, the state it leads to, and the cause
/// that `why` must name.
const FAILURES: [(&str, &str, &str); 24] = [
    ("the peer dies", "MASTER", "advert_timeout"),
    ("the peer resigns", "MASTER", "prio_zero_received"),
    ("a better router appears", "BACKUP", "higher_prio_advert"),
    (
        "an equal router has the higher address",
        "BACKUP",
        "higher_address",
    ),
    ("an operator drains it", "BACKUP", "drained"),
    ("an operator has it take over", "MASTER", "operator"),
    ("it is stopped", "STOP", "stop"),
    ("a reload removes it", "DELETED", "reload"),
    ("it stalls", "BACKUP", "stall"),
    ("a script exits with a status", "FAULT", "check_failed"),
    ("a script dies of a signal", "FAULT", "check_failed"),
    ("a script hangs", "FAULT", "check_failed"),
    ("a script is gone", "FAULT", "check_failed"),
    ("a script never succeeded", "FAULT", "check_failed"),
    ("its interface does not exist", "FAULT", "interface_absent"),
    ("its interface is taken down", "FAULT", "interface_down"),
    ("its interface has no carrier", "FAULT", "interface_down"),
    ("a tracked interface goes down", "FAULT", "interface_down"),
    (
        "an interface that must be down comes up",
        "FAULT",
        "interface_up",
    ),
    ("its interface has no address", "FAULT", "no_address"),
    (
        "its address is taken away again and again",
        "FAULT",
        "vip_lost",
    ),
    ("a tracked file holds a fault", "FAULT", "file_fault"),
    ("a tracked process is not there", "FAULT", "process_fault"),
    ("a member of its group fails", "FAULT", "group_member"),
];

pub(crate) fn tests() -> Vec<Test> {
    tests![
        every_listed_failure_is_played,
        why_names_what_routers_say_to_each_other,
        why_names_scripts_by_how_they_fail,
        why_names_what_happens_to_interfaces_and_addresses,
        why_names_files_processes_and_groups,
        why_names_ties_owners_and_stalls,
    ]
}

/// Transitions of an instance as `why --json` tells them, oldest first.
fn transitions(r: &Daemon, name: &str) -> Vec<Value> {
    let out = command(r, &["why", name, "--json", "--since", "1h"])
        .output()
        .expect("it starts");
    let told: Value = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
    let all = told["transitions"].as_array().cloned().unwrap_or_default();
    for one in &all {
        let cause = one["cause"].as_str().unwrap_or_default();
        assert!(!cause.is_empty() && cause != "unknown", "{one}");
        let sentence = one["sentence"].as_str().unwrap_or_default();
        assert!(!sentence.is_empty() && !sentence.contains('?'), "{one}");
    }
    all
}

/// The last transition of VI_1, once it is into `to` and by `cause`.
#[track_caller]
pub(crate) fn expect(r: &Daemon, to: &str, cause: &str) -> Value {
    expect_of(r, "VI_1", to, cause)
}

#[track_caller]
fn expect_of(r: &Daemon, name: &str, to: &str, cause: &str) -> Value {
    let what = format!("{name} of {} in {to} by {cause}", r.main.what);
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(&what, secs(8.0), || {
            last = transitions(r, name);
            let one = last.last()?;
            (one["to"] == to && one["cause"] == cause).then(|| one.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("{what}: {last:#?}\n{}", r.main.output()))
}

fn row(failure: &str) -> (&'static str, &'static str) {
    let found = FAILURES.iter().find(|(name, ..)| *name == failure);
    let (_, to, cause) = found.unwrap_or_else(|| panic!("{failure:?} is not listed"));
    (to, cause)
}

/// The transition of VI_1 that a listed failure leads to.
#[track_caller]
fn failed(r: &Daemon, failure: &str) -> Value {
    failed_of(r, "VI_1", failure)
}

#[track_caller]
fn failed_of(r: &Daemon, name: &str, failure: &str) -> Value {
    let (to, cause) = row(failure);
    expect_of(r, name, to, cause)
}

/// The transition that a listed failure has led to, wherever it is among the others.
#[track_caller]
fn among(r: &Daemon, failure: &str) -> Value {
    let (to, cause) = row(failure);
    wait_for(failure, secs(8.0), || {
        let all = transitions(r, "VI_1");
        all.into_iter()
            .find(|t| t["to"] == to && t["cause"] == cause)
    })
}

fn every_listed_failure_is_played() {
    let here = include_str!("why.rs");
    for (number, (name, ..)) in FAILURES.iter().enumerate() {
        let quoted = format!("{name:?}");
        assert!(
            here.matches(&quoted).count() >= 2,
            "{quoted} is listed alone"
        );
        let again = FAILURES.iter().skip(number + 1).any(|(n, ..)| n == name);
        assert!(!again, "{quoted} is listed twice");
    }
}

pub(crate) fn program(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the lab's folder takes files");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    path.display().to_string()
}

fn why_names_what_routers_say_to_each_other() {
    need_root();
    let lab = Lab::new(2);
    let low = Conf::one(Instance::v3(100));
    let high = Conf::one(Instance::v3(200));
    let mut r2 = lab.start(2, Mainstay, &low);
    let alone = expect(&r2, "MASTER", "advert_timeout");
    assert_eq!(alone["evidence"]["peer"], Value::Null, "{alone}");
    let first = &transitions(&r2, "VI_1")[0];
    assert_eq!(
        (&first["cause"], &first["from"]),
        (&"startup".into(), &"INIT".into())
    );
    assert_eq!(first["related"][0]["kind"], "start", "{first}");

    let mut r1 = lab.start(1, Mainstay, &high);
    let claimed = expect(&r1, "MASTER", "preempt");
    let evidence = &claimed["evidence"];
    assert_eq!(
        (&evidence["peer"], &evidence["peer_priority"]),
        (&"10.9.0.2".into(), &100.into())
    );
    let yielded = failed(&r2, "a better router appears");
    assert_eq!(yielded["evidence"]["peer_priority"], 200, "{yielded}");
    assert_eq!(yielded["evidence"]["our_priority"], 100, "{yielded}");

    r1.kill9();
    let silent = failed(&r2, "the peer dies");
    let evidence = &silent["evidence"];
    assert_eq!(
        (&evidence["peer"], &evidence["peer_priority"]),
        (&"10.9.0.1".into(), &200.into())
    );
    assert!(
        evidence["missed"].as_u64().is_some_and(|n| n >= 3),
        "{silent}"
    );
    assert!(
        evidence["heard_ago_s"]
            .as_f64()
            .is_some_and(|s| s > 0.6 && s < 2.0),
        "{silent}"
    );

    let mut r1 = lab.start(1, Mainstay, &high);
    // Not r1: its journal still ends with the last run, in MASTER too.
    expect(&r2, "BACKUP", "higher_prio_advert");
    r1.term();
    let released = failed(&r2, "the peer resigns");
    assert_eq!(released["evidence"]["peer"], "10.9.0.1", "{released}");
    let r1 = lab.start(1, Mainstay, &high);
    let before = among(&r1, "it is stopped");
    assert_eq!(before["from"], "MASTER", "{before}");
    expect(&r2, "BACKUP", "higher_prio_advert");
    expect(&r1, "MASTER", "preempt");

    let asked = |r: &Daemon, words: &[&str]| {
        let done = command(r, words).output().expect("it starts");
        assert!(done.status.success(), "{words:?}: {done:?}");
    };
    asked(&r1, &["drain", "VI_1", "--reason", "racks"]);
    let drained = failed(&r1, "an operator drains it");
    let order = &drained["related"][0];
    assert_eq!(
        order["evidence"]["reason"], "racks",
        "the reason is beside it: {drained}"
    );
    asked(&r1, &["undrain", "VI_1"]);
    expect(&r1, "MASTER", "preempt");
    asked(&r2, &["takeover", "VI_1"]);
    failed(&r2, "an operator has it take over");
    expect(&r1, "BACKUP", "higher_prio_advert");
    asked(&r2, &["undrain", "VI_1"]);
    expect(&r1, "MASTER", "preempt");

    let text = high.text(1, 2);
    std::fs::write(&r1.file, text.replace("router_id 51", "router_id 61")).expect("written");
    asked(&r1, &["reload"]);
    // The old instance is gone; the new one starts.
    let told = among(&r1, "a reload removes it");
    assert_eq!(told["from"], "MASTER", "{told}");
    r2.term();
}

fn why_names_scripts_by_how_they_fail() {
    need_root();
    let lab = Lab::new(1);
    let dir = lab.host(1).dir.clone();
    let mode = dir.join("mode");
    std::fs::write(&mode, "good").expect("written");
    let chk = program(
        &dir,
        "chk",
        &format!(
            "case $(cat {}) in\n good) exit 0;;\n bad) echo no route to db >&2; exit 7;;\n \
             kill) kill -SEGV $$;;\n hang) sleep 30;;\nesac",
            mode.display()
        ),
    );
    let script = format!(
        "vrrp_script chk {{\n    script \"{chk}\"\n    interval 1\n    timeout 1\n}}\n\
         vrrp_script slow {{\n    script \"/bin/true\"\n    interval 1\n    rise 2\n    init_fail\n}}"
    );
    let tracked = Instance::v3(100).with("track_script {\n    chk\n    slow\n}");
    let r1 = lab.start(1, Mainstay, &Conf::one(tracked).blocks(&script));
    let first = among(&r1, "a script never succeeded");
    let (tracker, exit) = (&first["evidence"]["tracker"], &first["evidence"]["exit"]);
    assert_eq!((tracker, exit), (&"slow".into(), &Value::Null), "{first}");
    expect(&r1, "MASTER", "advert_timeout");
    let set = |word: &str| std::fs::write(&mode, word).expect("written");
    for (word, outcome, failure) in [
        ("bad", "exited", "a script exits with a status"),
        ("kill", "signalled", "a script dies of a signal"),
        ("hang", "timed_out", "a script hangs"),
    ] {
        set(word);
        let fault = failed(&r1, failure);
        let evidence = &fault["evidence"];
        assert_eq!(evidence["tracker"], "chk", "{fault}");
        assert_eq!(evidence["outcome"], outcome, "{fault}");
        match word {
            "bad" => {
                assert_eq!(evidence["exit"], 7, "{fault}");
                let edge = &fault["related"][0];
                assert_eq!(edge["evidence"]["stderr"], "no route to db", "{fault}");
            }
            "kill" => assert_eq!(evidence["signal"], 11, "{fault}"),
            _ => {}
        }
        set("good");
        // Into BACKUP because it is cleared, and on.
        expect(&r1, "MASTER", "advert_timeout");
        let all = transitions(&r1, "VI_1");
        assert_eq!(all[all.len() - 2]["cause"], "fault_cleared", "{all:?}");
    }
    std::fs::remove_file(&chk).expect("removed");
    let fault = failed(&r1, "a script is gone");
    assert_eq!(fault["evidence"]["outcome"], "not_started", "{fault}");
    assert_eq!(fault["evidence"]["errno"], 2, "{fault}");
}

fn why_names_what_happens_to_interfaces_and_addresses() {
    need_root();
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ns.ip(
        "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n\
             link add must0 type veth peer name must1\nlink set must0 up\n",
    );
    let tracked = "track_interface {\n    spare0\n    must0 weight 0 reverse\n}";
    let own = Instance::v3(100).with(tracked);
    let mut other = Instance::v3(100).vrid(52).vips(&["10.9.0.52/24"]);
    other.interface = "late0";
    let conf = Conf {
        instances: vec![own, other],
        ..Conf::default().globals("    vip_restore_limit 3 60")
    };
    let r1 = lab.start(1, Mainstay, &conf);
    expect(&r1, "MASTER", "advert_timeout");

    let absent = failed_of(&r1, "VI_52", "its interface does not exist");
    assert_eq!(absent["evidence"]["interface"], "late0", "{absent}");

    host.ns.ip("link set spare0 down\n");
    let fault = failed(&r1, "a tracked interface goes down");
    assert_eq!(fault["evidence"]["interface"], "spare0", "{fault}");
    host.ns.ip("link set spare0 up\n");
    expect(&r1, "MASTER", "advert_timeout");

    lab.carrier(1, false);
    let fault = failed(&r1, "its interface has no carrier");
    assert_eq!(fault["evidence"]["interface"], "eth0", "{fault}");
    lab.carrier(1, true);
    expect(&r1, "MASTER", "advert_timeout");

    host.ns.ip("link set eth0 down\n");
    let fault = failed(&r1, "its interface is taken down");
    assert_eq!(fault["evidence"]["interface"], "eth0", "{fault}");
    host.ns.ip("link set eth0 up\n");
    expect(&r1, "MASTER", "advert_timeout");

    host.ns.ip("link set must1 up\n");
    let fault = failed(&r1, "an interface that must be down comes up");
    assert_eq!(fault["evidence"]["interface"], "must0", "{fault}");
    host.ns.ip("link set must1 down\n");
    expect(&r1, "MASTER", "advert_timeout");

    host.ns.ip("addr del 10.9.0.1/24 dev eth0\n");
    let fault = failed(&r1, "its interface has no address");
    assert_eq!(fault["evidence"]["interface"], "eth0", "{fault}");
    host.ns.ip("addr add 10.9.0.1/24 brd + dev eth0\n");
    expect(&r1, "MASTER", "advert_timeout");

    for _ in 0..40 {
        let _ = host
            .ns
            .feed("ip", &["addr", "del", "10.9.0.51/24", "dev", "eth0"], "");
        watch(secs(0.1));
        if transitions(&r1, "VI_1")
            .last()
            .is_some_and(|t| t["to"] == "FAULT")
        {
            break;
        }
    }
    let fault = failed(&r1, "its address is taken away again and again");
    assert_eq!(fault["evidence"]["address"], "10.9.0.51/24", "{fault}");
    assert!(
        fault["evidence"]["count"].as_u64().is_some_and(|n| n >= 3),
        "{fault}"
    );
}

fn why_names_files_processes_and_groups() {
    need_root();
    let lab = Lab::new(1);
    let dir = lab.host(1).dir.clone();
    let file = dir.join("level");
    std::fs::write(&file, "0\n").expect("written");
    let sleeper = program(&dir, "sleeper", "exec sleep 300");
    let blocks = format!(
        "vrrp_track_file level {{\n    file {}\n}}\n\
         vrrp_sync_group G {{\n    group {{\n        VI_1\n        VI_52\n    }}\n}}",
        file.display()
    );
    let one = Instance::v3(100).with("track_file {\n    level weight 0\n}");
    let two = Instance::v3(100).vrid(52).vips(&["10.9.0.52/24"]);
    let conf = Conf {
        instances: vec![one, two],
        ..Conf::default().blocks(&blocks)
    };
    let r1 = lab.start(1, Mainstay, &conf);
    expect(&r1, "MASTER", "advert_timeout");
    std::fs::write(&file, "4\n").expect("written");
    let fault = failed(&r1, "a tracked file holds a fault");
    assert_eq!(
        (&fault["evidence"]["tracker"], &fault["evidence"]["value"]),
        (&"level".into(), &4.into()),
        "{fault}"
    );
    let with = failed_of(&r1, "VI_52", "a member of its group fails");
    assert_eq!(
        (&with["evidence"]["group"], &with["evidence"]["member"]),
        (&"G".into(), &"VI_1".into()),
        "{with}"
    );
    let group = expect_of(&r1, "G", "FAULT", "file_fault");
    assert_eq!(group["evidence"]["group"], "G", "{group}");
    std::fs::write(&file, "0\n").expect("written");
    expect(&r1, "MASTER", "advert_timeout");
    drop(r1);

    let name = Path::new(&sleeper)
        .file_name()
        .and_then(|n| n.to_str())
        .expect("plain");
    let blocks = format!("vrrp_track_process proc {{\n    process {name}\n}}");
    let tracked = Instance::v3(100).with("track_process {\n    proc weight 0\n}");
    let r1 = lab.start_as(1, Mainstay, &Conf::one(tracked).blocks(&blocks), "process");
    let fault = failed(&r1, "a tracked process is not there");
    assert_eq!(fault["evidence"]["tracker"], "proc", "{fault}");
}

fn why_names_ties_owners_and_stalls() {
    need_root();
    let lab = Lab::new(2);
    let equal = Conf::one(Instance::v3(150));
    let r1 = lab.start(1, Mainstay, &equal);
    expect(&r1, "MASTER", "advert_timeout");
    let r2 = lab.start(2, Mainstay, &equal);
    r2.wait_state("VI_1", "BACKUP", 5.0);
    lab.plugged(2, false);
    expect(&r2, "MASTER", "advert_timeout");
    lab.plugged(2, true);
    let lost = failed(&r1, "an equal router has the higher address");
    assert_eq!(lost["evidence"]["peer"], "10.9.0.2", "{lost}");
    drop(r1);
    drop(r2);

    let mut owner = Instance::v3(255);
    owner.state = "MASTER";
    let r1 = lab.start_as(1, Mainstay, &Conf::one(owner), "owner");
    expect(&r1, "MASTER", "owner");
    drop(r1);

    // Only its own advert that is too late can make it step down here.
    let late = Instance::v3(150).with("nopreempt\ntimer_expired_backup");
    let r1 = lab.start_as(1, Mainstay, &Conf::one(late), "late");
    expect(&r1, "MASTER", "advert_timeout");
    r1.main.signal(Signal::SIGSTOP);
    watch(secs(2.0));
    r1.main.signal(Signal::SIGCONT);
    let told = among(&r1, "it stalls");
    assert!(
        told["evidence"]["length_s"]
            .as_f64()
            .is_some_and(|s| s > 1.0),
        "{told}"
    );
}
