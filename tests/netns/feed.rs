//! External trackers: fed by `mainstay track set`, with real daemons.

use crate::operate::{does, events};
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::{Keepalived, Mainstay};
use crate::support::daemon::{Daemon, mainstay};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{copied, secs, wait_for, wait_until, watch};
use crate::{need_program, need_root, tests};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        what_is_set_moves_the_address_and_so_does_a_lease_that_ends,
        what_is_set_outlives_kill_and_a_reload,
        a_lease_that_ended_while_nobody_ran_is_as_if_nobody_had_set_it,
        root_may_set_everything_and_a_user_what_names_it,
        the_last_one_standing_serves_and_says_so,
        a_healthy_keepalived_takes_over_from_one_that_holds,
    ]
}

const DB: &str = "vrrp_script db {\n    external\n}";

fn tracking_db() -> Instance {
    Instance::v3(200).with("track_script {\n    db\n}")
}

fn trackers(r: &Daemon) -> Vec<Value> {
    let told = does(r, &["track", "list", "--json"], 0);
    let reply: Value = serde_json::from_str(&told.out).expect("JSON");
    reply["trackers"].as_array().expect("a list").clone()
}

fn what_is_set_moves_the_address_and_so_does_a_lease_that_ends() {
    need_root();
    let lab = Lab::new(2);
    let _r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    let r1 = lab.start(1, Mainstay, &Conf::one(tracking_db()).blocks(DB));
    lab.settle(2, 51, 0.6, 10.0);
    let seen = r1.wait_state("VI_1", "INIT", 2.0);
    assert_eq!(seen["tracks"][0]["counter"], "nobody has set it yet");
    let text = does(&r1, &["status"], 0);
    let hint = "nobody has set db yet: mainstay track set db up|down";
    assert!(text.out.contains(hint), "{text}");
    let text = does(&r1, &["explain"], 0);
    assert!(text.out.contains("nobody has set it yet"), "{text}");

    let set = does(&r1, &["track", "set", "db", "up"], 0);
    assert_eq!(set.out, "db is set to up and counts as up (up 1/1)\n");
    lab.settle(1, 51, 0.6, 5.0);
    does(&r1, &["track", "set", "db", "down"], 0);
    lab.settle(2, 51, 0.6, 5.0);
    let seen = r1.wait_state("VI_1", "FAULT", 2.0);
    assert_eq!(seen["cause"], "check_failed", "{seen}");
    let why = does(&r1, &["why", "VI_1"], 0);
    assert!(why.out.contains("was reported down"), "{why}");

    // Renewals of the same value are no events.
    for _ in 0..4 {
        does(&r1, &["track", "set", "db", "up", "--for", "2s"], 0);
        watch(secs(0.3));
    }
    let listed = does(&r1, &["track"], 0);
    assert!(listed.out.contains("user 0"), "{listed}");
    assert!(listed.out.contains(" s left"), "{listed}");
    lab.settle(1, 51, 0.6, 5.0);
    lab.settle(2, 51, 0.6, 5.0);
    let seen = r1.wait_state("VI_1", "FAULT", 2.0);
    assert!(
        seen["detail"].as_str().is_some_and(|d| d.contains("lease")),
        "{seen}"
    );
    let ended = events(&r1, "lease_over").pop().expect("an event");
    assert_eq!(ended["evidence"]["tracker"], "db", "{ended}");
    assert_eq!(ended["evidence"]["uid"], 0, "{ended}");
    let orders = events(&r1, "order");
    let texts: Vec<&str> = orders.iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!(
        texts,
        [
            "track set db up by user 0",
            "track set db down by user 0",
            "track set db up by user 0 for 2.000 s",
        ]
    );
    assert_eq!(orders[1]["evidence"]["outcome"], "reported_down");
}

fn what_is_set_outlives_kill_and_a_reload() {
    need_root();
    let lab = Lab::new(1);
    let blocks = format!("{DB}\ntrack_file load {{\n    external\n    weight 2\n}}");
    let conf = Conf::one(tracking_db().with("track_file {\n    load\n}")).blocks(&blocks);
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "INIT", 8.0);
    does(&r1, &["track", "set", "db", "up", "--for", "1h"], 0);
    let set = does(&r1, &["track", "set", "load", "-30"], 0);
    assert_eq!(set.out, "load is set to -30\n");
    let seen = r1.wait_state("VI_1", "MASTER", 5.0);
    assert_eq!(seen["priority"], 140, "{seen}");

    r1.kill9();
    let r1 = lab.start(1, Mainstay, &conf);
    let seen = r1.wait_state("VI_1", "MASTER", 8.0);
    assert_eq!(seen["priority"], 140, "{seen}");
    let lease = |r: &Daemon| trackers(r)[0]["left_s"].as_f64().unwrap_or(0.0);
    let left = lease(&r1);
    assert!((3500.0..3600.0).contains(&left), "{left}");

    // Another weight is no other tracker; one that is gone is forgotten.
    let text = conf.text(1, 1);
    std::fs::write(&r1.file, text.replace("weight 2", "weight 1")).expect("written");
    does(&r1, &["reload"], 0);
    let seen = wait_for("the other weight", secs(3.0), || {
        r1.instance("VI_1").filter(|i| i["priority"] == 170)
    });
    assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    assert!((3500.0..=left).contains(&lease(&r1)));
    let without = text.replace(DB, "vrrp_script db {\n    script \"/bin/true\"\n}");
    std::fs::write(&r1.file, without).expect("written");
    does(&r1, &["reload"], 0);
    let refused = does(&r1, &["track", "set", "db", "up"], 1);
    assert!(refused.err.contains("is run, not set"), "{refused}");
    std::fs::write(&r1.file, &text).expect("written");
    does(&r1, &["reload"], 0);
    let seen = trackers(&r1);
    assert_eq!(seen[0]["value"], Value::Null, "{seen:?}");
    assert_eq!(seen[1]["value"], "-30", "{seen:?}");
}

fn a_lease_that_ended_while_nobody_ran_is_as_if_nobody_had_set_it() {
    need_root();
    let lab = Lab::new(1);
    let conf = Conf::one(tracking_db()).blocks(DB);
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "INIT", 8.0);
    does(&r1, &["track", "set", "db", "up", "--for", "1s"], 0);
    r1.wait_state("VI_1", "MASTER", 5.0);
    r1.kill9();
    watch(secs(1.2));
    let mut r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "INIT", 8.0);
    r1.wait_log("ended while the daemon was not running", 3.0);
    // One that ended before our eyes is down, also after a restart.
    does(&r1, &["track", "set", "db", "up", "--for", "1s"], 0);
    r1.wait_state("VI_1", "FAULT", 5.0);
    wait_until("it is written", secs(3.0), || {
        let state = r1.dir.join("run/state/trackers.json");
        std::fs::read_to_string(state).is_ok_and(|text| text.contains("\"over\": true"))
    });
    r1.kill9();
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "FAULT", 8.0);
    assert_eq!(trackers(&r1)[0]["lease_over"], true);
}

/// As user and group 65534, where that user can reach the binary and the socket.
fn as_nobody(client: &Path, r: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let out = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(client)
        .args(words)
        .arg("--runtime-dir")
        .arg(r.dir.join("run"))
        .output()
        .expect("util-linux is there");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    (
        out.status.code(),
        said + &String::from_utf8_lossy(&out.stderr),
    )
}

fn root_may_set_everything_and_a_user_what_names_it() {
    need_root();
    let group = nix::unistd::Group::from_gid(65_534.into());
    let Ok(Some(group)) = group else {
        crate::support::runner::skip("there is no group 65534");
    };
    let lab = Lab::new(1);
    let blocks = "vrrp_script db {\n    external\n    user 65534\n    lease 30\n}\n\
                  vrrp_script disk {\n    external\n}\n\
                  vrrp_script run {\n    script \"/bin/true\"\n}\n\
                  track_file load {\n    external\n}";
    let instance = Instance::v3(100)
        .with("track_script {\n    db\n    disk\n    run\n}\ntrack_file {\n    load\n}");
    let conf = Conf::one(instance)
        .blocks(blocks)
        .globals(&format!("control_group {}", group.name));
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "INIT", 8.0);
    for dir in [lab.dir.path(), &lab.host(1).dir, &r1.dir] {
        std::fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("ours");
    }
    let client = lab.dir.path().join("client");
    copied(mainstay().as_ref(), &client);
    let nobody = |words: &[&str]| as_nobody(&client, &r1, words);

    let (code, said) = nobody(&["track", "set", "db", "up"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("for 30.0 s"), "the block's lease: {said}");
    let (code, said) = nobody(&["track", "set", "disk", "up"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("only root may; `user NAME` in vrrp_script disk permits another"),
        "{said}"
    );
    let (code, said) = nobody(&["drain"]);
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = nobody(&["track"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("user 65534"), "{said}");
    let order = events(&r1, "order").pop().expect("an event");
    assert_eq!(order["evidence"]["uid"], 65_534, "{order}");

    for (words, said) in [
        (["disk", "5"], "set it up or down, not to a number"),
        (["load", "up"], "set it to a whole number, not up"),
        (
            ["load", "3000000000"],
            "neither up nor down nor a whole number",
        ),
        (["run", "up"], "is run, not set"),
        (
            ["nope", "up"],
            "no external tracker nope (there are: db, disk, load)",
        ),
    ] {
        let refused = does(&r1, &[&["track", "set"], &words[..]].concat(), 1);
        assert!(refused.err.contains(said), "{words:?}: {refused}");
    }
    does(&r1, &["track", "set", "disk", "up"], 0);
    does(&r1, &["track", "set", "db", "down"], 0);
    assert_eq!(trackers(&r1)[0]["uid"], 0);
    does(&r1, &["track", "set", "db", "up"], 0);
    r1.wait_state("VI_1", "MASTER", 5.0);
}

/// `db` down here.
fn ill(r: &Daemon) {
    does(r, &["track", "set", "db", "down"], 0);
}

fn well(r: &Daemon) {
    does(r, &["track", "set", "db", "up"], 0);
}

fn holding(priority: u8) -> Conf {
    let instance = Instance::v3(priority).with("all_failed hold\ntrack_script {\n    db\n}");
    Conf::one(instance).blocks(DB)
}

fn the_last_one_standing_serves_and_says_so() {
    need_root();
    let lab = Lab::new(2);
    let r1 = lab.start(1, Mainstay, &holding(200));
    let r2 = lab.start(2, Mainstay, &holding(100));
    r1.wait_state("VI_1", "INIT", 8.0);
    r2.wait_state("VI_1", "INIT", 8.0);
    well(&r1);
    well(&r2);
    lab.settle(1, 51, 0.6, 5.0);
    ill(&r1);
    lab.settle(2, 51, 0.6, 5.0);
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(seen["cause"], "gave_way", "{seen}");
    let why = does(&r1, &["why", "VI_1"], 0);
    assert!(why.out.contains("serves only if nobody else does"), "{why}");

    // Now nobody is well: somebody serves all the same, and the addresses come to rest.
    ill(&r2);
    let holder = wait_for("a degraded holder", secs(8.0), || {
        [(1, &r1), (2, &r2)].into_iter().find(|(_, r)| {
            r.instance("VI_1").is_some_and(|i| {
                let says = i["degraded"].as_str().unwrap_or_default();
                i["state"] == "MASTER" && says.starts_with("degraded: serves although")
            })
        })
    });
    let (host, holder) = holder;
    lab.only(host, 51, 2.0);
    assert!(lab.host(host).has("10.9.0.51"));
    let text = does(holder, &["status"], 0);
    assert!(text.out.contains("because nobody else took over"), "{text}");
    let text = does(holder, &["explain"], 0);
    assert!(text.out.contains("priority 1"), "{text}");
    let told = events(holder, "degraded");
    let words: Vec<&Value> = told.iter().map(|e| &e["evidence"]["outcome"]).collect();
    assert!(words.last().is_some_and(|w| **w == "serves"), "{told:?}");
    for r in [&r1, &r2] {
        assert!(
            events(r, "transition").iter().all(|e| e["to"] != "FAULT"),
            "nobody was in FAULT"
        );
    }
    well(&r1);
    lab.settle(1, 51, 0.6, 5.0);
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["priority"], 200, "{seen}");
    assert_eq!(seen["degraded"], Value::Null, "{seen}");
}

fn a_healthy_keepalived_takes_over_from_one_that_holds() {
    need_program("/usr/sbin/keepalived");
    let lab = Lab::new(2);
    let r1 = lab.start(1, Mainstay, &holding(200));
    r1.wait_state("VI_1", "INIT", 8.0);
    well(&r1);
    lab.settle(1, 51, 0.6, 5.0);
    ill(&r1);
    // Alone it serves on with priority 1.
    watch(secs(1.5));
    lab.only(1, 51, 1.0);
    let _r2 = lab.start(2, Keepalived, &Conf::one(Instance::v3(100)));
    lab.settle(2, 51, 0.6, 10.0);
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(seen["cause"], "higher_prio_advert", "{seen}");
    well(&r1);
    lab.settle(1, 51, 0.6, 5.0);
    ill(&r1);
    lab.settle(2, 51, 0.6, 5.0);
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(seen["cause"], "gave_way", "{seen}");
}
