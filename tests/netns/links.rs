//! Interfaces and namespaces on a real kernel: polled links, delays, static addresses, net_namespace.

use crate::failures::script;
use crate::operate::does;
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::{Daemon, Kind::Mainstay, mainstay};
use crate::support::lab::Lab;
use crate::support::proc::Proc;
use crate::support::runner::Test;
use crate::support::{secs, wait_for, wait_until, watch};
use crate::{need_root, tests};
use std::path::Path;
use std::process::Command;

const VIP: &str = "10.9.0.51";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_polled_link_that_is_lost_is_fault_within_the_period,
        of_a_polled_link_the_kernels_flag_is_not_believed,
        a_short_loss_of_carrier_is_ridden_out_by_its_delay,
        an_interface_that_comes_later_goes_and_is_renamed_is_tracked_by_its_name,
        static_addresses_come_stay_and_go_with_the_daemon,
        a_lost_interface_of_a_static_address_is_the_fault_of_its_track_group,
        a_daemon_moves_into_the_namespace_of_its_file,
        in_a_namespace_the_kernel_tells_of_processes_as_it_does_outside,
        the_command_line_names_the_namespace_and_a_missing_one_is_an_error,
        programs_keep_the_limit_on_open_files_that_the_daemon_raised,
    ]
}

/// r1 alone with this instance and these blocks.
fn alone(instance: Instance, blocks: &str) -> (Lab, Daemon) {
    need_root();
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(instance).blocks(blocks));
    r1.wait_state("VI_1", "MASTER", 10.0);
    (lab, r1)
}

fn a_polled_link_that_is_lost_is_fault_within_the_period() {
    let (lab, r1) = alone(Instance::v3(200), "linkbeat_interfaces {\n eth0 MII\n}");
    // A veth has no transceiver.
    r1.wait_log("its link cannot be polled by MII", 3.0);
    r1.wait_log("ETHTOOL is used instead", 1.0);
    assert_eq!(r1.main.output().matches("its link").count(), 1, "told once");
    lab.carrier(1, false);
    let seen = r1.wait_state("VI_1", "FAULT", 2.5);
    assert_eq!(seen["cause"], "interface_down", "{seen}");
    lab.carrier(1, true);
    r1.wait_state("VI_1", "MASTER", 5.0);
    let status = r1.status().expect("it answers");
    assert_eq!(status["interfaces"][0]["polled"], true, "{status}");
}

/// Takes IFF_RUNNING from r1's eth0 though it has a carrier, or gives it back.
fn dormant(lab: &Lab, on: bool) {
    let (mode, state) = if on {
        ("dormant", "dormant")
    } else {
        ("default", "up")
    };
    let ns = &lab.host(1).ns;
    ns.ip(&format!(
        "link set eth0 mode {mode}\nlink set eth0 state {state}\n"
    ));
}

fn of_a_polled_link_the_kernels_flag_is_not_believed() {
    let (lab, r1) = alone(Instance::v3(200), "linkbeat_use_polling");
    r1.wait_log("eth0: its link is polled every second by ETHTOOL", 3.0);
    dormant(&lab, true);
    watch(secs(2.5));
    let seen = r1.instance("VI_1").expect("it runs");
    assert_eq!(
        seen["state"], "MASTER",
        "the driver says it has a link: {seen}"
    );
    // Without polling the same is a fault.
    r1.reload(&Conf::one(Instance::v3(200)).text(1, 1));
    r1.wait_state("VI_1", "FAULT", 3.0);
    dormant(&lab, false);
    r1.wait_state("VI_1", "MASTER", 5.0);
}

fn a_short_loss_of_carrier_is_ridden_out_by_its_delay() {
    let slow = Instance::v3(200).every(1.0);
    let (lab, r1) = alone(slow, "interface_up_down_delays {\n eth0 1.9 1\n}");
    lab.carrier(1, false);
    let seen = wait_for("the turning interface in status", secs(1.0), || {
        let status = r1.status()?;
        let turning = status["interfaces"][0]["turning"].clone();
        (!turning.is_null()).then_some(turning)
    });
    assert_eq!(seen["up"], false, "{seen}");
    assert_eq!(seen["counts_after_s"], 1.9, "{seen}");
    let text = does(&r1, &["explain", "VI_1"], 0);
    assert!(text.out.contains("counts after 1.9 s"), "{text}");
    lab.carrier(1, true);
    watch(secs(2.5));
    let seen = r1.instance("VI_1").expect("it runs");
    assert_eq!(seen["counters"]["release_master"], 0, "{seen}");
    lab.carrier(1, false);
    r1.wait_state("VI_1", "FAULT", 4.0);
    lab.carrier(1, true);
    r1.wait_state("VI_1", "MASTER", 8.0);
}

fn an_interface_that_comes_later_goes_and_is_renamed_is_tracked_by_its_name() {
    let tracking = Instance::v3(100).with("track_interface {\n wan0 weight 50\n }");
    let (lab, r1) = alone(tracking, "");
    let ns = &lab.host(1).ns;
    let priority = |wanted: u64, why: &str| {
        wait_until(why, secs(3.0), || {
            r1.instance("VI_1").is_some_and(|i| i["priority"] == wanted)
        });
    };
    priority(100, "it does not exist");
    ns.ip("link add wan0 type veth peer name far0\n");
    watch(secs(0.3));
    priority(100, "it is not up");
    ns.ip("link set far0 up\nlink set wan0 up\n");
    priority(150, "up with carrier");
    ns.ip("link set far0 down\n");
    priority(100, "no carrier");
    ns.ip("link set far0 up\n");
    priority(150, "carrier again");
    ns.ip("link set wan0 down\nlink set wan0 name wan1\nlink set wan1 up\n");
    watch(secs(0.3));
    priority(100, "it has another name");
    ns.ip("link set wan1 down\nlink set wan1 name wan0\nlink set wan0 up\n");
    priority(150, "and its own again");
    ns.ip("link del wan0\n");
    priority(100, "it is gone");
    r1.wait_state("VI_1", "MASTER", 1.0);
}

fn static_addresses_come_stay_and_go_with_the_daemon() {
    need_root();
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ns
        .ip("link add lan0 type veth peer name far0\nlink set far0 up\nlink set lan0 up\n");
    let statics = "static_ipaddress {\n 10.33.0.1/24 dev lan0 label lan0:s\n fd33::1/64 dev lan0\n \
                   10.34.0.2/24 dev lan0 no_track\n}";
    let conf = Conf::one(Instance::v3(100)).blocks(statics);
    let mut r1 = lab.start(1, Mainstay, &conf);
    let all = ["10.33.0.1", "fd33::1", "10.34.0.2"];
    for address in all {
        wait_until(address, secs(3.0), || host.has(address));
    }
    assert!(
        host.address(all[0])
            .is_some_and(|line| line.contains("lan0:s"))
    );
    host.ns
        .ip("addr del 10.33.0.1/24 dev lan0\naddr del 10.34.0.2/24 dev lan0\n");
    wait_until("put back", secs(2.0), || host.has(all[0]));
    watch(secs(0.3));
    assert!(!host.has(all[2]), "no_track stays away");
    // The kernel takes IPv6 addresses from an interface that goes down.
    host.ns.ip("link set lan0 down\nlink set lan0 up\n");
    wait_until("IPv6 is back", secs(5.0), || host.has(all[1]));
    host.ns.ip("link del lan0\n");
    host.ns
        .ip("link add lan0 type veth peer name far0\nlink set far0 up\nlink set lan0 up\n");
    for address in &all[..2] {
        wait_until("back on the new interface", secs(5.0), || host.has(address));
    }
    r1.kill9();
    assert!(host.has(all[0]));
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 10.0);
    for address in all {
        wait_until("there after the crash", secs(3.0), || host.has(address));
    }
    let other = statics.replace(
        "10.33.0.1/24 dev lan0 label lan0:s",
        "10.33.0.9/24 dev lan0",
    );
    r1.reload(&Conf::one(Instance::v3(100)).blocks(&other).text(1, 1));
    wait_until("the new one", secs(3.0), || host.has("10.33.0.9"));
    wait_until("without the old one", secs(3.0), || !host.has(all[0]));
    r1.term();
    for address in ["10.33.0.9", all[1], all[2]] {
        assert!(!host.has(address), "{address} goes with the daemon");
    }
}

fn a_lost_interface_of_a_static_address_is_the_fault_of_its_track_group() {
    need_root();
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ns
        .ip("link add lan0 type veth peer name far0\nlink set far0 up\nlink set lan0 up\n");
    let blocks = "track_group LAN {\n group {\n VI_1\n }\n}\n\
                  static_ipaddress {\n 10.33.0.1/24 dev lan0 track_group LAN\n}";
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(200)).blocks(blocks));
    r1.wait_state("VI_1", "MASTER", 10.0);
    host.ns.ip("link set far0 down\n");
    let seen = r1.wait_state("VI_1", "FAULT", 3.0);
    assert!(
        seen["detail"].as_str().is_some_and(|d| d.contains("lan0")),
        "{seen}"
    );
    assert!(host.has("10.33.0.1"), "it is there in any state");
    host.ns.ip("link set far0 up\n");
    r1.wait_state("VI_1", "MASTER", 5.0);
}

/// A namespace that `ip netns` knows, with eth0 up.
struct Named(String);

impl Named {
    fn new(tag: &str) -> Self {
        let this = Self(format!("mainstay-{tag}-{}", std::process::id()));
        this.ip(&["netns", "add", &this.0]);
        for words in [
            "link add eth0 type veth peer name far0",
            "link set far0 up",
            "link set eth0 up",
            "addr add 10.9.0.1/24 dev eth0",
        ] {
            let words = words.split(' ');
            this.ip(&["-n", &this.0].into_iter().chain(words).collect::<Vec<_>>());
        }
        this
    }

    #[track_caller]
    fn ip(&self, words: &[&str]) -> String {
        let out = Command::new("ip").args(words).output().expect("ip starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "ip {words:?}: {said}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn has(&self, address: &str) -> bool {
        let listing = self.ip(&["-n", &self.0, "-o", "address", "show"]);
        listing.contains(&format!(" {address}/"))
    }

    /// What /proc/self/ns/net says inside.
    fn inode(&self) -> String {
        let words = ["netns", "exec", &self.0, "readlink", "/proc/self/ns/net"];
        self.ip(&words).trim().to_owned()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn a_daemon_moves_into_the_namespace_of_its_file() {
    need_root();
    let lab = Lab::new(1);
    let dir = lab.dir.path().to_owned();
    let named = Named::new("file");
    let told = dir.join("told");
    let program = script(
        &dir.join("program"),
        &format!("readlink /proc/self/ns/net > {}", told.display()),
    );
    // The kernel cuts names of programs at 15 bytes.
    let comm = format!("mnst-p{}", std::process::id());
    let blocks = format!(
        "net_namespace {}\nvrrp_track_process p {{\n process {comm}\n weight 30\n}}",
        named.0
    );
    let lines = format!(
        "notify_master {} root\n track_process {{\n p\n }}",
        program.display()
    );
    let conf = Conf::one(Instance::v3(100).with(&lines)).blocks(&blocks);
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 10.0);
    wait_until("the address inside", secs(3.0), || named.has(VIP));
    assert!(!lab.host(1).has(VIP), "and not where it was started");
    let inode = wait_for("the notify program", secs(3.0), || {
        std::fs::read_to_string(&told)
            .ok()
            .filter(|t| t.ends_with('\n'))
    });
    assert_eq!(inode.trim(), named.inode(), "programs run inside");

    let sleeper = dir.join(&comm);
    std::fs::copy("/bin/sleep", &sleeper).expect("a copy of sleep");
    let words = [sleeper.to_str().expect("UTF-8"), "30"];
    let process = Proc::start("the tracked process", &words, &[], &dir.join("sleep.log"));
    let priority = |wanted: u64| {
        wait_until("the priority with the process", secs(4.0), || {
            r1.instance("VI_1").is_some_and(|i| i["priority"] == wanted)
        });
    };
    priority(130);
    drop(process);
    priority(100);

    let elsewhere = conf.text(1, 1).replace(&named.0, "elsewhere");
    std::fs::write(&r1.file, elsewhere).expect("written");
    let said = does(&r1, &["reload"], 2);
    assert!(said.err.contains("net_namespace cannot change"), "{said}");
    std::fs::write(&r1.file, conf.text(1, 1)).expect("written");
    does(&r1, &["reload"], 0);
    // `check --live` looks where the daemon would run.
    let check = |file: &Path| {
        let words = [
            "check",
            "--live",
            "--lenient",
            file.to_str().expect("UTF-8"),
        ];
        let out = lab
            .host(1)
            .ns
            .run(|| Command::new(mainstay()).args(words).output());
        String::from_utf8_lossy(&out.expect("it starts").stdout).into_owned()
    };
    assert!(!check(&r1.file).contains("there is no interface"));
    r1.term();
    assert!(!named.has(VIP));
    named.ip(&["-n", &named.0, "link", "del", "eth0"]);
    let said = check(&r1.file);
    assert!(said.contains("there is no interface eth0"), "{said}");
}

/// Runs it where this test runs, without an interface it could speak on, and returns its log.
fn at_home(dir: &Path, tag: &str, args: &[&str]) -> String {
    let conf = "vrrp_track_process p {\n process nobody-runs-this\n}\n\
                vrrp_instance VI_1 {\n interface mnst-none\n virtual_router_id 51\n \
                virtual_ipaddress {\n 10.9.0.51\n }\n track_process {\n p weight 5\n }\n}\n";
    let file = dir.join("home.conf");
    std::fs::write(&file, conf).expect("written");
    let (binary, run) = (mainstay(), dir.join(tag));
    let mut words = vec![
        binary.to_str().expect("UTF-8"),
        "run",
        "-f",
        file.to_str().expect("UTF-8"),
        "--runtime-dir",
        run.to_str().expect("UTF-8"),
    ];
    words.extend(args);
    let daemon = Proc::start(tag, &words, &[], &dir.join(format!("{tag}.log")));
    wait_until("its first state", secs(5.0), || {
        daemon.output().contains("Entering FAULT")
    });
    daemon.output()
}

fn in_a_namespace_the_kernel_tells_of_processes_as_it_does_outside() {
    need_root();
    let dir = tempfile::tempdir().expect("a folder");
    let named = Named::new("home");
    let silent = |log: String| log.contains("the kernel tells nothing of processes");
    let outside = silent(at_home(dir.path(), "outside", &[]));
    let inside = silent(at_home(dir.path(), "inside", &["--namespace", &named.0]));
    assert_eq!(inside, outside, "it listens before it moves in");
}

/// What a start that fails says, and how it ends.
fn fails(args: &[&str], file: &Path, run: &Path) -> (i32, String) {
    let out = Command::new(mainstay())
        .args(["run", "-f", &file.display().to_string()])
        .args(["--runtime-dir", &run.display().to_string()])
        .args(args)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code().unwrap_or(-1), said)
}

fn the_command_line_names_the_namespace_and_a_missing_one_is_an_error() {
    need_root();
    let lab = Lab::new(1);
    let named = Named::new("line");
    let name: &'static str = Box::leak(named.0.clone().into_boxed_str());
    let conf = Conf {
        args: vec!["--namespace", name],
        ..Conf::one(Instance::v3(100)).blocks("net_namespace mainstay-none")
    };
    let file = lab.dir.path().join("missing.conf");
    std::fs::write(&file, conf.text(1, 1)).expect("written");
    let (code, said) = lab
        .host(1)
        .ns
        .run(|| fails(&[], &file, &lab.dir.path().join("run")));
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("network namespace mainstay-none"), "{said}");
    assert!(said.contains("ip netns add"), "{said}");

    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 10.0);
    wait_until("the address inside", secs(3.0), || named.has(VIP));
    // What the file says does not count, also at a reload.
    does(&r1, &["reload"], 0);
    r1.term();
}

fn programs_keep_the_limit_on_open_files_that_the_daemon_raised() {
    need_root();
    let lab = Lab::new(1);
    let host = lab.host(1);
    let told = host.dir.join("told");
    let program = script(
        &host.dir.join("program"),
        &format!("ulimit -Sn >> {}", told.display()),
    );
    let blocks = format!(
        "vrrp_script s {{\n script {}\n user root\n interval 1\n}}",
        program.display()
    );
    let conf = Conf::one(Instance::v3(100).with("track_script {\n s\n }")).blocks(&blocks);
    let file = host.dir.join("limits.conf");
    std::fs::write(&file, conf.text(1, 1)).expect("written");
    let (binary, run) = (mainstay(), host.dir.join("limits"));
    let words = [
        "sh",
        "-c",
        "ulimit -Sn 300 && exec \"$@\"",
        "sh",
        binary.to_str().expect("UTF-8"),
        "run",
        "-f",
        file.to_str().expect("UTF-8"),
        "--runtime-dir",
        run.to_str().expect("UTF-8"),
    ];
    let daemon = {
        let _in = host.ns.enter();
        Proc::start(
            "mainstay with few files",
            &words,
            &[],
            &host.dir.join("log"),
        )
    };
    let said = wait_for("the script", secs(5.0), || {
        std::fs::read_to_string(&told)
            .ok()
            .filter(|t| t.ends_with('\n'))
    });
    assert_eq!(said.lines().next(), Some("300"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("alive");
    let line = limits.lines().find(|l| l.starts_with("Max open files"));
    let words: Vec<&str> = line.expect("a limit").split_whitespace().collect();
    assert_eq!(words[3], words[4], "the daemon's own is raised: {words:?}");
    // A runner that is started again hands the same limit on.
    daemon.kill_children();
    std::fs::write(&told, "").expect("emptied");
    let said = wait_for("the script of the next runner", secs(6.0), || {
        std::fs::read_to_string(&told)
            .ok()
            .filter(|t| t.ends_with('\n'))
    });
    assert_eq!(said.lines().next(), Some("300"));
}
