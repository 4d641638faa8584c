//! How fast a configuration is read, judged and compared with the running one: part of `make bench`.
//!
//! One row a measurement, the median of several runs and the goal; exits non-zero if a goal is missed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use mainstay::conf::{self, Options};
use mainstay::core::plan::diff;
use mainstay::model::settings::Settings;
use mainstay::proof::{self, Node};
use nix::sys::resource::{UsageWho, getrusage};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Instances of the large file, so many on each interface.
const INSTANCES: usize = 10_000;
const ON_EACH: usize = 250;
/// How often each measurement is repeated.
const ROUNDS: usize = 5;

const LARGE: Duration = Duration::from_millis(500);
const LARGE_MIB: u64 = 200;
const ORDINARY: Duration = Duration::from_millis(10);

/// A file of many instances; the one numbered `changed` has another priority.
fn large(changed: Option<usize>) -> String {
    let mut text = String::from("global_defs {\n    router_id bench\n    script_user root\n}\n");
    for script in 0..20 {
        let _ = write!(
            text,
            "vrrp_script chk_{script} {{\n    script \"/bin/true {script}\"\n    interval 2\n    \
             weight -20\n    rise 2\n    fall 2\n}}\n"
        );
    }
    for number in 0..INSTANCES {
        let (link, vrid) = (number / ON_EACH, 1 + number % ON_EACH);
        let priority = if changed == Some(number) { 120 } else { 100 };
        let _ = write!(
            text,
            "vrrp_instance VI_{number} {{\n    state BACKUP\n    interface eth{link}\n    \
             virtual_router_id {vrid}\n    priority {priority}\n    advert_int 1\n    \
             virtual_ipaddress {{\n        10.{link}.0.{vrid}/24\n    }}\n"
        );
        if number % 4 == 0 {
            let script = number % 20;
            let _ = write!(text, "    track_script {{\n        chk_{script}\n    }}\n");
        }
        text.push_str("}\n");
    }
    for link in 0..INSTANCES / ON_EACH {
        let _ = write!(text, "vrrp_sync_group G_{link} {{\n    group {{\n");
        for number in 0..ON_EACH / 5 {
            let _ = writeln!(text, "        VI_{}", link * ON_EACH + number * 5 + 1);
        }
        text.push_str("    }\n}\n");
    }
    text
}

/// What most people have: two instances, two scripts, a group.
const USUAL: &str = "\
global_defs {
    router_id lb1
    script_user root
    enable_script_security
}
vrrp_script chk_haproxy {
    script \"/usr/bin/killall -0 haproxy\"
    interval 2
    weight -60
    rise 2
    fall 3
}
vrrp_script chk_ping {
    script \"/usr/local/bin/ping-gateway\"
    interval 5
    weight -60
}
vrrp_instance VI_4 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass s3cret
    }
    virtual_ipaddress {
        10.9.0.51/24
        10.9.0.52/24
    }
    track_script {
        chk_haproxy
        chk_ping
    }
    notify \"/usr/local/bin/notify\"
}
vrrp_instance VI_6 {
    state BACKUP
    interface eth0
    virtual_router_id 52
    priority 150
    advert_int 1
    virtual_ipaddress {
        fe80::51/64
        fd00:9::51/64
    }
    track_script {
        chk_haproxy
    }
}
vrrp_sync_group VG {
    group {
        VI_4
        VI_6
    }
}
";

/// Runs `mainstay check`; its whole life, and whether it found errors.
fn check(file: &Path) -> Duration {
    let start = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .arg("check")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = start.elapsed();
    let code = status.code().unwrap_or(-1);
    assert!((0..=1).contains(&code), "{}: {status}", file.display());
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn load(file: &Path) -> conf::Loaded {
    conf::load(file, &Options::default())
}

/// Read, judged with its proof, and compared with what runs.
fn transaction(file: &Path, running: &Settings) -> [Duration; 3] {
    let start = Instant::now();
    let loaded = load(file);
    let read = start.elapsed();
    let node = Node::of_file("a", &loaded).unwrap();
    let proof = proof::prove(&[node]);
    assert!(!proof.nodes.is_empty());
    let proved = start.elapsed();
    let plan = diff(running, Arc::new(loaded.settings.unwrap()));
    assert_eq!(plan.tally(), (0, 1, 0, INSTANCES - 1));
    let planned = start.elapsed();
    [read, proved - read, planned - proved]
}

fn row(what: &str, value: String, goal: String, met: bool) -> bool {
    let word = if met { "ok" } else { "MISSED" };
    println!("{what:<58} {value:>12} {goal:>12}  {word}");
    met
}

fn timed(what: &str, took: Duration, goal: Option<Duration>) -> bool {
    let ms = |d: Duration| format!("{:.1} ms", d.as_secs_f64() * 1e3);
    let bound = goal.map_or_else(String::new, |g| format!("< {}", ms(g)));
    row(what, ms(took), bound, goal.is_none_or(|g| took < g))
}

fn main() -> ExitCode {
    // `cargo test --benches` runs this too, only to see that it works.
    let rounds = if std::env::args().any(|a| a == "--bench") {
        ROUNDS
    } else {
        1
    };
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (old, new) = (
        file("old.conf", &large(None)),
        file("new.conf", &large(Some(77))),
    );
    let usual = file("usual.conf", USUAL);
    let lines = large(None).lines().count();
    println!("{INSTANCES} instances in {lines} lines; medians of {rounds}\n");

    // First, while this process is small: a child's peak counts from what its parent had.
    let whole = median((0..rounds).map(|_| check(&old)).collect());
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    let peak = u64::try_from(peak).unwrap() >> 10;
    let small = median((0..rounds * 4).map(|_| check(&usual)).collect());

    let running = load(&old).settings.unwrap();
    let mut parts: [Vec<Duration>; 4] = Default::default();
    for _ in 0..rounds {
        let took = transaction(&new, &running);
        for (part, took) in parts.iter_mut().zip(took) {
            part.push(took);
        }
        parts[3].push(took.iter().sum());
    }
    let [read, proved, planned, all] = parts.map(median);

    let met = [
        timed("read", read, None),
        timed("proved", proved, None),
        timed("planned", planned, None),
        timed("read, proved and planned in one process", all, Some(LARGE)),
        timed("`mainstay check`, whole process", whole, Some(LARGE)),
        row(
            "`mainstay check`, peak of memory",
            format!("{peak} MiB"),
            format!("< {LARGE_MIB} MiB"),
            peak < LARGE_MIB,
        ),
        timed(
            "`mainstay check` of an ordinary file, whole process",
            small,
            Some(ORDINARY),
        ),
    ];
    if met.iter().all(|m| *m) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
