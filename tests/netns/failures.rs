//! What goes wrong on a router, and what its peer makes of it.

use crate::interop::{SLACK, seconds};
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::{Daemon, Kind};
use crate::support::lab::Lab;
use crate::support::proc::with_mark;
use crate::support::runner::Test;
use crate::support::{secs, wait_until, wall_ns, watch};
use crate::{need_program, need_root, tests};
use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use Kind::{Keepalived, Mainstay};

const VIP: &str = "10.9.0.51";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_stopped_backup_with_255_routers_moves_nothing,
        a_stopped_backup_moves_nothing,
        a_stopped_master_finds_its_place_again_beside_keepalived,
        a_stopped_master_finds_its_place_again_beside_mainstay,
        an_interface_taken_down_is_fault,
        a_lost_carrier_is_fault,
        a_failing_script_moves_the_address_to_keepalived_and_back,
        a_failing_script_moves_the_address_to_mainstay_and_back,
        a_failing_script_of_keepalived_moves_the_address_to_us,
        a_failing_script_without_weight_is_fault,
        a_hanging_script_fails_at_its_timeout,
        a_script_that_forks_and_ignores_term_leaves_nothing_behind,
        a_lost_runner_is_replaced_however_often_scripts_run,
        a_daemon_that_slept_past_a_scripts_timeout_asks_how_it_ended,
        a_healed_partition_leaves_the_higher_address_beside_keepalived,
        a_healed_partition_leaves_the_higher_address_beside_mainstay,
        a_deaf_backup_yields_when_it_hears_again,
    ]
}

/// r1 with priority 200 serving, r2 with 100 listening.
struct Pair {
    r1: Daemon,
    r2: Daemon,
    low: Instance,
    lab: Lab,
}

fn pair_of(one: Kind, two: Kind, high: Conf, low: Instance) -> Pair {
    need_root();
    if one == Keepalived || two == Keepalived {
        need_program("/usr/sbin/keepalived");
    }
    let lab = Lab::new(2);
    let r2 = lab.start(2, two, &Conf::one(low.clone()));
    let r1 = lab.start(1, one, &high);
    lab.settle(1, 51, 0.6, 10.0);
    Pair { r1, r2, low, lab }
}

fn pair(two: Kind) -> Pair {
    pair_of(
        Mainstay,
        two,
        Conf::one(Instance::v3(200)),
        Instance::v3(100),
    )
}

impl Pair {
    /// r2 takes over within its Active_Down_Interval, counted from `since_ns`.
    #[track_caller]
    fn taken_over(&self, since_ns: u64) {
        let limit = self.low.down(self.low.priority) + SLACK;
        let (at, _) = self.lab.wait_advert(2, 51, since_ns, limit + 2.0);
        let took = seconds(since_ns, at);
        assert!(took < limit, "r2 took {took:.3} s, allowed {limit:.3}");
        wait_until("the address on r2", secs(3.0), || self.lab.host(2).has(VIP));
    }

    /// r1 serves again, alone.
    #[track_caller]
    fn returned(&self) {
        self.lab.settle(1, 51, 0.6, 8.0);
        wait_until("the address on r1", secs(3.0), || self.lab.host(1).has(VIP));
        wait_until("no address on r2", secs(3.0), || !self.lab.host(2).has(VIP));
    }
}

fn an_interface_taken_down_is_fault() {
    let p = pair(Keepalived);
    p.lab.host(1).ns.ip("link set eth0 down\n");
    p.taken_over(wall_ns());
    let seen = p.r1.wait_state("VI_1", "FAULT", 3.0);
    assert_eq!(seen["cause"], "interface_down", "{seen}");
    assert!(!p.lab.host(1).has(VIP), "in FAULT no address is held");
    p.lab.host(1).ns.ip("link set eth0 up\n");
    p.returned();
}

fn a_lost_carrier_is_fault() {
    let p = pair(Mainstay);
    p.lab.carrier(1, false);
    p.taken_over(wall_ns());
    p.r1.wait_state("VI_1", "FAULT", 3.0);
    assert!(!p.lab.host(1).has(VIP), "in FAULT no address is held");
    p.lab.carrier(1, true);
    p.returned();
}

/// A script file that anybody may run.
pub(crate) fn script(path: &Path, body: &str) -> PathBuf {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// A file in a folder of its own, whose presence a script can watch.
fn flag() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    (dir, flag)
}

/// A configuration for r1 that tracks `script`.
fn tracking(script: &str, options: &str) -> Conf {
    Conf::one(Instance::v3(200).with("track_script {\n        chk\n    }")).blocks(&format!(
        "vrrp_script chk {{\n    script \"{script}\"\n    user root\n{options}\n}}"
    ))
}

fn failing_script(one: Kind, two: Kind) {
    need_root();
    let (_dir, flag) = flag();
    std::fs::write(&flag, "").unwrap();
    let command = format!("/usr/bin/test -e {}", flag.display());
    let conf = tracking(
        &command,
        "    interval 1\n    weight -150\n    rise 1\n    fall 1",
    );
    let p = pair_of(one, two, conf, Instance::v3(100));
    std::fs::remove_file(&flag).unwrap();
    let lowered = wall_ns();
    // One interval until the script runs, then the protocol's own time.
    let (at, _) = p
        .lab
        .wait_advert(2, 51, lowered, 1.0 + p.low.down(100) + SLACK + 2.0);
    let said = p.lab.adverts(lowered, |f, a| {
        f.from == 1 && a.priority == 50 && f.at_ns < at
    });
    assert!(
        !said.is_empty(),
        "r1 has to say its lowered priority 200-150 before it yields"
    );
    let took = seconds(said[0].0, at);
    assert!(
        took < p.low.down(100) + SLACK,
        "r2 took {took:.3} s after the lowered priority"
    );
    p.lab.settle(2, 51, 0.6, 5.0);
    wait_until("the address on r2", secs(3.0), || p.lab.host(2).has(VIP));
    if one == Mainstay {
        let seen = p.r1.wait_state("VI_1", "BACKUP", 3.0);
        assert_eq!(seen["priority"], 50, "{seen}");
        assert_eq!(seen["tracks"][0]["adds"], -150, "{seen}");
    }
    std::fs::write(&flag, "").unwrap();
    p.returned();
    let back = p.lab.adverts(wall_ns() - 400_000_000, |f, _| f.from == 1);
    assert!(back.iter().all(|(_, _, a)| a.priority == 200), "{back:?}");
}

fn a_failing_script_moves_the_address_to_keepalived_and_back() {
    failing_script(Mainstay, Keepalived);
}

fn a_failing_script_moves_the_address_to_mainstay_and_back() {
    failing_script(Mainstay, Mainstay);
}

fn a_failing_script_of_keepalived_moves_the_address_to_us() {
    failing_script(Keepalived, Mainstay);
}

fn a_failing_script_without_weight_is_fault() {
    need_root();
    let (_dir, flag) = flag();
    std::fs::write(&flag, "").unwrap();
    let command = format!("/usr/bin/test -e {}", flag.display());
    let conf = tracking(&command, "    interval 0.2\n    rise 2\n    fall 2");
    let p = pair_of(Mainstay, Keepalived, conf, Instance::v3(100));
    let bad = wall_ns();
    std::fs::remove_file(&flag).unwrap();
    let released = p.lab.wait_release(1, 51, bad, 4.0);
    let (at, _) = p.lab.wait_advert(2, 51, released, 3.0);
    let took = seconds(released, at);
    assert!(
        took < p.low.skew(100) + SLACK,
        "after priority 0 r2 waits Skew_Time, took {took:.3} s"
    );
    let seen = p.r1.wait_state("VI_1", "FAULT", 3.0);
    assert_eq!(seen["cause"], "check_failed", "{seen}");
    assert!(!p.lab.host(1).has(VIP), "in FAULT no address is held");
    std::fs::write(&flag, "").unwrap();
    p.returned();
}

fn a_hanging_script_fails_at_its_timeout() {
    need_root();
    let (dir, flag) = flag();
    let file = script(
        &dir.path().join("hang"),
        &format!(
            "[ -e {} ] && exec {}\nexit 0",
            flag.display(),
            mark("98701")
        ),
    );
    let conf = tracking(file.to_str().unwrap(), "    interval 1\n    timeout 1");
    let mut p = pair_of(Mainstay, Mainstay, conf, Instance::v3(100));
    std::fs::write(&flag, "").unwrap();
    let seen = p.r1.wait_state("VI_1", "FAULT", 5.0);
    assert_eq!(seen["cause"], "check_failed", "{seen}");
    p.lab.settle(2, 51, 0.6, 5.0);
    std::fs::remove_file(&flag).unwrap();
    p.returned();
    p.r1.term();
    assert!(
        with_mark(&mark("98701")).is_empty(),
        "a script outlived the daemon"
    );
}

/// A command that no other run of these tests has.
fn mark(number: &str) -> String {
    format!("sleep {number}.{}", std::process::id())
}

fn a_script_that_forks_and_ignores_term_leaves_nothing_behind() {
    need_root();
    let (dir, flag) = flag();
    let file = script(
        &dir.path().join("stubborn"),
        &format!(
            "[ -e {} ] || exit 0\ntrap '' TERM\n{sleep} &\n{sleep} &\nwait\n{sleep}",
            flag.display(),
            sleep = mark("98702"),
        ),
    );
    let conf = tracking(file.to_str().unwrap(), "    interval 1\n    timeout 1");
    let mut p = pair_of(Mainstay, Mainstay, conf, Instance::v3(100));
    std::fs::write(&flag, "").unwrap();
    p.r1.wait_state("VI_1", "FAULT", 5.0);
    // Several runs: each must be gone, children and all, before the next one starts.
    for _ in 0..40 {
        watch(secs(0.1));
        let alive = with_mark(&mark("98702")).len();
        assert!(alive <= 2, "{alive} children of scripts at once");
    }
    std::fs::remove_file(&flag).unwrap();
    p.returned();
    wait_until("no child left", secs(3.0), || {
        with_mark(&mark("98702")).is_empty()
    });
    p.r1.term();
}

fn a_lost_runner_is_replaced_however_often_scripts_run() {
    need_root();
    let (_dir, flag) = flag();
    let command = format!("/usr/bin/test ! -e {}", flag.display());
    let conf = tracking(&command, "    interval 0.2\n    fall 2");
    let mut p = pair_of(Mainstay, Mainstay, conf, Instance::v3(100));
    let runner = with_child_mark(&p.r1, "__runner");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(runner), Signal::SIGKILL).unwrap();
    wait_until("another runner", secs(4.0), || {
        p.r1.main
            .tree()
            .into_iter()
            .any(|pid| pid != runner && is_marked(pid, "__runner"))
    });
    let seen = p.r1.instance("VI_1").expect("r1 answers");
    assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    // It is asked again, and believed.
    std::fs::write(&flag, "").unwrap();
    p.r1.wait_state("VI_1", "FAULT", 3.0);
    p.r1.term();
}

fn is_marked(pid: i32, mark: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(mark)
}

fn with_child_mark(daemon: &Daemon, mark: &str) -> i32 {
    let tree = daemon.main.tree();
    let child = tree.into_iter().find(|pid| is_marked(*pid, mark));
    child.expect("the daemon has such a child")
}

/// The daemon alone is stopped; meanwhile the script ends well, and nobody is there to hear it.
fn a_daemon_that_slept_past_a_scripts_timeout_asks_how_it_ended() {
    need_root();
    let conf = tracking("/usr/bin/sleep 0.98703", "    interval 2\n    timeout 1.5");
    let mut p = pair_of(Mainstay, Mainstay, conf, Instance::v3(100));
    let runs = || {
        let tree = p.r1.main.tree();
        tree.into_iter().any(|pid| is_marked(pid, "0.98703"))
    };
    wait_until("no run", secs(4.0), || !runs());
    wait_until("a run", secs(4.0), runs);
    p.r1.main.signal(Signal::SIGSTOP);
    watch(secs(3.0));
    p.r1.main.signal(Signal::SIGCONT);
    p.returned();
    watch(secs(1.0));
    let log = p.r1.main.output();
    assert!(!log.contains("FAULT STATE"), "{log}");
    p.r1.term();
}

/// The master sleeps five seconds; afterwards there is one master again, the better one.
fn stopped_master(two: Kind) {
    let p = pair(two);
    p.r1.main.signal_tree(Signal::SIGSTOP);
    let stopped = wall_ns();
    p.taken_over(stopped);
    watch(secs(5.0).saturating_sub(secs(seconds(stopped, wall_ns()))));
    let on = wall_ns();
    p.r1.main.signal_tree(Signal::SIGCONT);
    p.returned();
    let announced = p
        .lab
        .cap
        .frames()
        .iter()
        .filter(|f| f.at_ns > on && f.from == 1)
        .filter(|f| matches!(f.kind, crate::support::frames::Kind::Garp(_)))
        .count();
    assert!(
        announced > 0,
        "the survivor of two masters announces the address again"
    );
    p.lab.only(1, 51, 1.0);
}

fn a_stopped_master_finds_its_place_again_beside_keepalived() {
    stopped_master(Keepalived);
}

fn a_stopped_master_finds_its_place_again_beside_mainstay() {
    stopped_master(Mainstay);
}

fn a_stopped_backup_moves_nothing() {
    let p = pair_of(
        Keepalived,
        Mainstay,
        Conf::one(Instance::v3(200)),
        Instance::v3(100),
    );
    stop_and_go(&p.r2, 5.0);
    p.lab.only(1, 51, 2.0);
    let seen = p.r2.instance("VI_1").expect("r2 answers");
    assert_eq!(seen["state"], "BACKUP", "{seen}");
    assert_eq!(seen["counters"]["become_master"], 0, "{seen}");
}

fn stop_and_go(daemon: &Daemon, seconds: f64) {
    daemon.main.signal_tree(Signal::SIGSTOP);
    watch(secs(seconds));
    daemon.main.signal_tree(Signal::SIGCONT);
}

fn a_stopped_backup_with_255_routers_moves_nothing() {
    need_root();
    let lab = Lab::new(2);
    let many = |priority: u8| Conf {
        instances: (1..=255u8)
            .map(|vrid| {
                Instance::v3(priority)
                    .vrid(vrid)
                    .every(0.3)
                    .vips(&[&format!("10.9.1.{vrid}/32")])
            })
            .collect(),
        ..Conf::default()
    };
    let _r1 = lab.start(1, Mainstay, &many(200));
    lab.wait_advert(1, 255, 0, 15.0);
    let r2 = lab.start(2, Mainstay, &many(100));
    r2.wait_state("VI_255", "BACKUP", 15.0);
    watch(secs(2.0));
    let since = wall_ns();
    stop_and_go(&r2, 5.0);
    watch(secs(3.0));
    let wrong = lab.adverts(since, |f, _| f.from == 2);
    assert!(
        wrong.is_empty(),
        "{} adverts of a backup that was stopped, first: {:?}",
        wrong.len(),
        wrong.first()
    );
    let status = r2.status().expect("r2 answers");
    let moved = status["instances"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["state"] != "BACKUP" || i["counters"]["become_master"] != 0)
        .count();
    assert_eq!(moved, 0, "instances that moved");
}

fn a_healed_partition_leaves_the_higher_address_beside_keepalived() {
    healed_partition(Mainstay, Keepalived);
}

fn a_healed_partition_leaves_the_higher_address_beside_mainstay() {
    healed_partition(Mainstay, Mainstay);
}

/// Equal priorities: apart both serve, together the higher address does.
fn healed_partition(one: Kind, two: Kind) {
    need_root();
    if two == Keepalived {
        need_program("/usr/sbin/keepalived");
    }
    let lab = Lab::new(2);
    let conf = Conf::one(Instance::v3(100));
    let r1 = lab.start(1, one, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    let r2 = lab.start(2, two, &conf);
    // An equal priority does not preempt, whatever its address.
    lab.only(1, 51, 2.0);
    lab.plugged(1, false);
    let low = Instance::v3(100);
    let p = Pair { r1, r2, low, lab };
    p.taken_over(wall_ns());
    assert!(p.lab.host(1).has(VIP), "r1 serves on its side of the cut");
    p.lab.plugged(1, true);
    p.lab.settle(2, 51, 0.6, 5.0);
    wait_until("no address on r1", secs(3.0), || !p.lab.host(1).has(VIP));
    p.lab.only(2, 51, 1.0);
}

fn a_deaf_backup_yields_when_it_hears_again() {
    let p = pair(Mainstay);
    p.lab.lose(2, 100);
    p.taken_over(wall_ns());
    watch(secs(1.0));
    p.lab.host(2).ns.sh("nft delete table inet lab");
    p.returned();
    p.lab.only(1, 51, 1.0);
}
