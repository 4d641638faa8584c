//! Operating it: drain, takeover, reload by the socket, and the journal, with real daemons.

use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::{Keepalived, Mainstay};
use crate::support::daemon::{Daemon, mainstay};
use crate::support::inject::{Craft, Injector};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_for, wait_until, wall_ns, watch};
use crate::{need_program, need_root, tests};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const VIP: &str = "10.9.0.51";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_drain_names_the_successor_and_outlives_kill_and_reboot,
        a_drained_owner_does_not_serve_for_a_moment_after_a_kill,
        a_drain_beside_keepalived_hands_over_and_back,
        a_drain_that_nobody_answers_is_undone_unless_forced,
        a_drain_ends_by_itself_when_its_time_is_over,
        a_takeover_beats_weights_and_ends,
        a_reload_by_the_socket_shows_its_plan_and_refuses_errors,
        a_weight_that_moves_nothing_is_told_once_in_log_status_and_events,
        foreign_routers_are_neighbours,
        events_go_on_counting_over_a_kill_and_followers_stay,
        the_log_level_changes_while_it_runs,
        notify_results_are_events_and_status_waits,
    ]
}

/// What a subcommand prints and how it ends.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}{}", self.code, self.out, self.err)
    }
}

pub(crate) fn command(r: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(mainstay());
    command
        .args(words)
        .arg("--runtime-dir")
        .arg(r.dir.join("run"))
        .stdin(Stdio::null());
    command
}

fn ask(r: &Daemon, words: &[&str]) -> Told {
    let out = command(r, words).output().expect("it starts");
    Told {
        code: out.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

#[track_caller]
pub(crate) fn does(r: &Daemon, words: &[&str], code: i32) -> Told {
    let told = ask(r, words);
    assert_eq!(told.code, code, "{words:?}: {told}");
    told
}

/// Events of a kind, oldest first.
pub(crate) fn events(r: &Daemon, kind: &str) -> Vec<Value> {
    let told = ask(r, &["events", "--json", "--since", "0", "--kind", kind]);
    told.out
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event a line"))
        .collect()
}

/// A master of priority 200 and a backup of 100, both ours.
fn pair() -> (Lab, Daemon, Daemon) {
    need_root();
    let lab = Lab::new(2);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    let r1 = lab.start(1, Mainstay, &with_state_dir(&lab, Instance::v3(200)));
    lab.settle(1, 51, 0.6, 10.0);
    (lab, r1, r2)
}

/// A state folder apart from the runtime folder, as a reboot needs it.
fn with_state_dir(lab: &Lab, instance: Instance) -> Conf {
    let dir = lab.host(1).dir.join("state");
    let dir: &'static str = Box::leak(dir.display().to_string().into_boxed_str());
    Conf {
        args: vec!["--state-dir", dir],
        ..Conf::one(instance)
    }
}

fn a_drain_names_the_successor_and_outlives_kill_and_reboot() {
    let (lab, mut r1, r2) = pair();
    let since = wall_ns();
    let told = does(
        &r1,
        &["drain", "VI_1", "--reason", "kernel upgrade", "--for", "1h"],
        0,
    );
    assert!(
        told.out.contains("VI_1: drained; 10.9.0.2 is MASTER after"),
        "{told}"
    );
    lab.settle(2, 51, 0.6, 5.0);
    // The release leaves once, and the addresses only after the successor was heard.
    let zeros = lab.adverts(since, |f, a| f.from == 1 && a.priority == 0);
    assert_eq!(zeros.len(), 1, "{zeros:?}");
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(seen["intent"]["what"], "drain", "{seen}");
    assert_eq!(seen["intent"]["reason"], "kernel upgrade", "{seen}");
    assert_eq!(seen["priority"], 1, "{seen}");
    assert_eq!(seen["cause"], "drained", "{seen}");
    let text = does(&r1, &["status"], 0);
    assert!(text.out.contains("kernel upgrade"), "{text}");
    r2.wait_state("VI_1", "MASTER", 2.0);

    r1.kill9();
    let conf = with_state_dir(&lab, Instance::v3(200));
    let mut r1 = lab.start(1, Mainstay, &conf);
    let seen = r1.wait_state("VI_1", "BACKUP", 8.0);
    assert_eq!(seen["intent"]["what"], "drain", "{seen}");
    lab.only(2, 51, 1.5);
    assert_eq!(r1.instance("VI_1").expect("it runs")["priority"], 1);

    // A reboot empties the runtime folder.
    r1.kill9();
    std::fs::remove_dir_all(r1.dir.join("run")).expect("removed");
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "BACKUP", 8.0);
    lab.only(2, 51, 1.5);
    let told = does(&r1, &["undrain", "VI_1"], 0);
    assert_eq!(told.out, "VI_1: free\n");
    lab.settle(1, 51, 0.6, 8.0);
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["intent"], Value::Null, "{seen}");
    let again = does(&r1, &["undrain", "VI_1"], 1);
    assert!(
        again.out.contains("neither drained nor taken over"),
        "{again}"
    );

    let outcomes: Vec<String> = events(&r1, "order")
        .iter()
        .map(|e| {
            e["evidence"]["outcome"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(outcomes[..2], ["asked", "done"], "{outcomes:?}");
    let first = &events(&r1, "order")[0];
    assert_eq!(first["evidence"]["reason"], "kernel upgrade", "{first}");
    assert_eq!(first["evidence"]["uid"], 0, "{first}");
}

fn a_drained_owner_does_not_serve_for_a_moment_after_a_kill() {
    need_root();
    let lab = Lab::new(2);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    let owner = Instance {
        state: "MASTER",
        ..Instance::v3(255)
    };
    let conf = with_state_dir(&lab, owner);
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    does(&r1, &["drain", "VI_1"], 0);
    lab.settle(2, 51, 0.6, 5.0);
    r1.kill9();
    let since = wall_ns();
    let r1 = lab.start(1, Mainstay, &conf);
    let seen = r1.wait_state("VI_1", "FAULT", 8.0);
    assert_eq!(seen["cause"], "drained", "{seen}");
    lab.only(2, 51, 1.0);
    let said = lab.adverts(since, |f, _| f.from == 1);
    assert!(said.is_empty(), "{said:?}");
    r2.wait_state("VI_1", "MASTER", 2.0);
}

fn a_drain_beside_keepalived_hands_over_and_back() {
    need_program("/usr/sbin/keepalived");
    let lab = Lab::new(2);
    let _r2 = lab.start(2, Keepalived, &Conf::one(Instance::v3(100)));
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(200)));
    lab.settle(1, 51, 0.6, 12.0);
    let told = does(&r1, &["drain"], 0);
    assert!(told.out.contains("10.9.0.2 is MASTER"), "{told}");
    wait_until("the address on r2", secs(3.0), || lab.host(2).has(VIP));
    wait_until("no address on r1", secs(3.0), || !lab.host(1).has(VIP));
    does(&r1, &["undrain"], 0);
    lab.settle(1, 51, 0.6, 8.0);
}

fn a_drain_that_nobody_answers_is_undone_unless_forced() {
    need_root();
    let lab = Lab::new(1);
    let conf = Conf::one(Instance::v3(100));
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    let told = does(&r1, &["drain", "VI_1"], 1);
    assert!(told.out.contains("nobody took over"), "{told}");
    lab.settle(1, 51, 0.6, 3.0);
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(
        (&seen["intent"], &seen["priority"]),
        (&Value::Null, &100.into()),
        "{seen}"
    );
    assert!(lab.host(1).has(VIP), "the address never left");
    let last = events(&r1, "order").pop().expect("an event");
    assert_eq!(last["evidence"]["outcome"], "nobody_took_over", "{last}");

    let told = does(&r1, &["drain", "VI_1", "--force"], 0);
    assert!(told.out.contains("nobody serves"), "{told}");
    let seen = r1.wait_state("VI_1", "FAULT", 3.0);
    assert_eq!(seen["cause"], "drained", "{seen}");
    wait_until("no address on r1", secs(3.0), || !lab.host(1).has(VIP));
    r1.kill9();
    let since = wall_ns();
    let r1 = lab.start(1, Mainstay, &conf);
    let seen = r1.wait_state("VI_1", "FAULT", 8.0);
    assert_eq!(seen["cause"], "drained", "{seen}");
    std::thread::sleep(secs(1.5));
    let said = lab.adverts(since, |f, _| f.from == 1);
    assert!(said.is_empty(), "it was to leave nobody serving: {said:?}");
    does(&r1, &["undrain", "--all"], 0);
    r1.wait_state("VI_1", "MASTER", 5.0);
}

fn a_drain_ends_by_itself_when_its_time_is_over() {
    let (lab, r1, _r2) = pair();
    does(&r1, &["drain", "VI_1", "--for", "2s"], 0);
    lab.settle(2, 51, 0.4, 5.0);
    lab.settle(1, 51, 0.6, 8.0);
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["intent"], Value::Null, "{seen}");
    let expired = events(&r1, "order");
    let expired = expired
        .iter()
        .any(|e| e["evidence"]["outcome"] == "expired");
    assert!(expired, "{:?}", events(&r1, "order"));
}

fn a_takeover_beats_weights_and_ends() {
    let (lab, r1, r2) = pair();
    does(&r2, &["takeover", "VI_1", "--reason", "test"], 0);
    lab.settle(2, 51, 0.6, 5.0);
    let seen = r2.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["priority"], 254, "{seen}");
    assert_eq!(seen["cause"], "operator", "{seen}");
    assert_eq!(seen["intent"]["what"], "takeover", "{seen}");
    let refused = does(&r1, &["takeover", "VI_1"], 1);
    assert!(
        refused.out.contains("10.9.0.2 advertises priority 254"),
        "{refused}"
    );
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(
        seen["intent"],
        Value::Null,
        "what was refused is not written: {seen}"
    );
    does(&r2, &["undrain", "VI_1"], 0);
    lab.settle(1, 51, 0.6, 8.0);
    let unknown = does(&r1, &["takeover", "VI_9"], 1);
    assert!(unknown.err.contains("there are: VI_1"), "{unknown}");
}

fn a_reload_by_the_socket_shows_its_plan_and_refuses_errors() {
    need_root();
    let lab = Lab::new(1);
    let conf = Conf::one(Instance::v3(100));
    let r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    let good = conf.text(1, 1);
    let write = |text: &str| std::fs::write(&r1.file, text).expect("the lab's folder takes files");

    write(&good.replace("priority 100", "priority"));
    let refused = does(&r1, &["reload"], 2);
    assert!(refused.err.contains("nothing was changed"), "{refused}");
    assert!(
        refused.err.contains("router.conf:"),
        "the finding is shown: {refused}"
    );
    let log = r1.main.output();
    assert!(
        log.contains("WARN error[missing-word]: priority needs a word after it\n"),
        "{log}"
    );
    does(&r1, &["reload", "--dry-run"], 2);
    let recorded = events(&r1, "reload").pop().expect("an event");
    assert_eq!(recorded["evidence"]["outcome"], "refused", "{recorded}");

    let changed = good
        .replace("priority 100", "priority 120")
        .replace("10.9.0.51/24", "10.9.0.51/24\n        10.9.0.61/24");
    write(&changed);
    let plan = does(&r1, &["reload", "--dry-run"], 0);
    assert!(plan.out.contains("priority 100 -> 120"), "{plan}");
    assert!(
        plan.out.contains("virtual_ipaddress with 10.9.0.61/24"),
        "{plan}"
    );
    assert!(plan.out.contains("keepalived before 2.3.3"), "{plan}");
    assert!(
        plan.out.contains("mainstay drain VI_1"),
        "this node is MASTER: {plan}"
    );
    watch(secs(0.5));
    assert!(!lab.host(1).has("10.9.0.61"), "a dry run changes nothing");

    let done = does(&r1, &["reload", "--json"], 0).json();
    assert_eq!(done["applied"], true, "{done}");
    assert_eq!(done["plan"]["changed"][0]["name"], "VI_1", "{done}");
    wait_until("the new address", secs(3.0), || {
        lab.host(1).has("10.9.0.61")
    });
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    let again = does(&r1, &["reload"], 0);
    assert!(again.out.contains("nothing differs"), "{again}");

    // An instance that left by force, and nobody took over, is out again when it is created again.
    let drained = does(&r1, &["drain", "VI_1", "--force"], 0);
    assert!(drained.out.contains("drained"), "{drained}");
    let other = good
        .replace("VI_1", "VI_2")
        .replace("router_id 51", "router_id 52");
    write(&other);
    does(&r1, &["reload"], 0);
    r1.wait_state("VI_2", "MASTER", 5.0);
    write(&good);
    does(&r1, &["reload"], 0);
    let seen = wait_for("VI_1 drained", secs(5.0), || {
        r1.instance("VI_1").filter(|i| i["state"] == "FAULT")
    });
    assert_eq!(seen["cause"], "drained", "{seen}");
    assert_eq!(seen["intent"]["what"], "drain", "{seen}");
}

fn a_weight_that_moves_nothing_is_told_once_in_log_status_and_events() {
    need_root();
    let lab = Lab::new(2);
    // r2 serves first, so that r1 hears its priority before it preempts.
    let _r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    lab.settle(2, 51, 0.6, 10.0);
    let script =
        "vrrp_script chk_haproxy {\n    script \"/bin/true\"\n    interval 1\n    weight -2\n}";
    let tracked = Instance::v3(103).with("track_script {\n    chk_haproxy\n}");
    let r1 = lab.start(1, Mainstay, &Conf::one(tracked).blocks(script));
    lab.settle(1, 51, 0.6, 10.0);
    r1.wait_log(
        "if chk_haproxy fails we go 103 -> 101, 10.9.0.2 has 100",
        5.0,
    );
    let status = does(&r1, &["status"], 0);
    let warning = "VI_1: if chk_haproxy fails we go 103 -> 101, 10.9.0.2 has 100";
    assert!(status.out.contains(warning), "{status}");
    assert!(status.out.contains("no failover"), "{status}");
    let explained = does(&r1, &["explain", "VI_1"], 0);
    assert!(explained.out.contains("this router, as now"), "{explained}");
    assert!(explained.out.contains("no failover"), "{explained}");
    // The interface's own failure would move it.
    let json = does(&r1, &["explain", "VI_1", "--json"], 0).json();
    let what = json["instance"]["what_if"]
        .as_array()
        .expect("a list")
        .clone();
    let of = |name: &str| {
        what.iter()
            .find(|w| w["tracker"] == name)
            .expect("named")
            .clone()
    };
    assert_eq!(of("eth0")["winner"], "10.9.0.2", "{json}");
    assert_eq!(of("eth0")["fault"], true, "{json}");
    assert_eq!(of("chk_haproxy")["stuck"], true, "{json}");
    watch(secs(2.0));
    let told = events(&r1, "no_failover");
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert_eq!(told[0]["evidence"]["peer_priority"], 100, "{told:?}");
    let lines = r1.main.output().matches("if chk_haproxy fails").count();
    assert_eq!(lines, 1, "the log has it once");

    // A weight that is enough silences it.
    let file = std::fs::read_to_string(&r1.file).expect("it is there");
    std::fs::write(&r1.file, file.replace("weight -2", "weight -20")).expect("written");
    does(&r1, &["reload"], 0);
    let status = does(&r1, &["status"], 0);
    assert!(!status.out.contains("no failover"), "{status}");
}

fn foreign_routers_are_neighbours() {
    let (lab, r1, _r2) = pair();
    let foreign = Injector::v4(lab.host(0));
    let mut craft = Craft::v3(77, 50);
    craft.vrid = 99;
    craft.addresses = vec![[10, 9, 0, 199].into()];
    foreign.send(&craft);
    let all = wait_for("the foreign router", secs(3.0), || {
        let json = does(&r1, &["neighbours", "--json"], 0).json();
        let all = json["neighbours"].as_array().expect("a list").clone();
        all.iter().any(|n| n["vrid"] == 99).then_some(all)
    });
    let seen = all.iter().find(|n| n["vrid"] == 99).expect("there");
    assert_eq!(seen["priority"], 77, "{seen}");
    assert_eq!(seen["addresses"][0], "10.9.0.199", "{seen}");
    assert_eq!(seen["interval_s"], 0.5, "{seen}");
    assert_eq!(seen["instance"], Value::Null, "{seen}");
    assert_eq!(events(&r1, "unknown_vrid").len(), 1);
    let table = does(&r1, &["neighbours"], 0);
    assert!(table.out.contains("10.9.0.199"), "{table}");
}

fn events_go_on_counting_over_a_kill_and_followers_stay() {
    need_root();
    let lab = Lab::new(1);
    let conf = Conf::one(Instance::v3(100));
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 8.0);
    let mut follower = command(&r1, &["events", "--follow", "--json", "--since", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("UTF-8");
        serde_json::from_str(&line).expect("an event a line")
    };
    let mut seen = vec![next()];
    assert_eq!(seen[0]["kind"], "start");
    let before = events(&r1, "transition").pop().expect("transitions");
    r1.kill9();
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 8.0);
    // The follower goes on where it was, without a gap and without a repetition.
    while seen
        .last()
        .is_none_or(|e| e["kind"] != "start" || e["seq"] == seen[0]["seq"])
    {
        seen.push(next());
    }
    let numbers: Vec<u64> = seen
        .iter()
        .map(|e| e["seq"].as_u64().expect("a number"))
        .collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    let start = seen.last().expect("not empty");
    assert!(start["seq"].as_u64() > before["seq"].as_u64());
    let text = start["text"].as_str().expect("a text");
    assert!(text.contains("ended without a word"), "{text}");
    let why = does(&r1, &["why", "VI_1"], 0);
    assert!(
        why.out.matches("INIT -> BACKUP").count() >= 2,
        "both runs: {why}"
    );

    r1.term();
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 8.0);
    let start = events(&r1, "start").pop().expect("an event");
    let text = start["text"].as_str().expect("a text");
    assert!(!text.contains("ended without a word"), "{text}");
    follower.kill().expect("it follows until it is ended");
    let _ = follower.wait();
}

fn the_log_level_changes_while_it_runs() {
    need_root();
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    r1.wait_state("VI_1", "MASTER", 8.0);
    does(&r1, &["log", "error"], 0);
    std::fs::write(&r1.file, "vrrp_instance {").expect("written");
    does(&r1, &["reload"], 2);
    watch(secs(0.3));
    assert!(
        !r1.main.output().contains("reload refused"),
        "warnings are silent"
    );
    does(&r1, &["log", "debug", "--for", "1s"], 0);
    does(&r1, &["reload"], 2);
    r1.wait_log("reload refused", 2.0);
    r1.wait_log("log level is info again", 4.0);
}

fn notify_results_are_events_and_status_waits() {
    need_root();
    let lab = Lab::new(1);
    let told = Instance::v3(100).with(
        "notify_master \"/bin/sh -c 'echo cannot reach the switch >&2; exit 5'\"\n\
         notify_backup /bin/true",
    );
    let r1 = lab.start(1, Mainstay, &Conf::one(told));
    // From before the socket is there.
    does(
        &r1,
        &["status", "VI_1", "--wait", "MASTER", "--timeout", "10s"],
        0,
    );
    let late = does(&r1, &["status", "--wait", "BACKUP", "--timeout", "1s"], 75);
    assert!(late.err.contains("not BACKUP within 1 s"), "{late}");
    let failed = wait_for("the result of notify_master", secs(5.0), || {
        let all = events(&r1, "notify");
        all.into_iter().find(|e| e["evidence"]["exit"] == 5)
    });
    let evidence = &failed["evidence"];
    assert_eq!(failed["instance"], "VI_1", "{failed}");
    assert_eq!(evidence["stderr"], "cannot reach the switch", "{failed}");
    assert_eq!(evidence["reason"], "notify_master MASTER", "{failed}");
    let good = events(&r1, "notify");
    assert!(good.iter().any(|e| e["evidence"]["exit"] == 0), "{good:?}");
}
