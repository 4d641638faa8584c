//! Reload, the control socket, and running twice.

use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::Mainstay;
use crate::support::daemon::mainstay;
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_until, wall_ns, watch};
use crate::{need_root, tests};
use std::process::Command;

const VIP: &str = "10.9.0.51";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_broken_file_at_reload_changes_nothing,
        a_good_file_at_reload_leaves_the_others_alone,
        varlink_answers_over_the_bare_socket,
        a_second_daemon_with_the_same_folder_is_refused,
        nothing_is_left_in_the_system_after_a_stop,
    ]
}

/// Longest silence of host 1 for `vrid` since then, in seconds.
fn longest_gap(lab: &Lab, vrid: u8, since: u64) -> f64 {
    let sent = lab.adverts(since, |f, a| f.from == 1 && a.vrid == vrid);
    sent.windows(2)
        .map(|w| (w[1].0 - w[0].0) as f64 / 1e9)
        .fold(0.0, f64::max)
}

fn a_broken_file_at_reload_changes_nothing() {
    need_root();
    let lab = Lab::new(1);
    let conf = Conf::one(Instance::v3(100));
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    wait_until("the address", secs(3.0), || lab.host(1).has(VIP));
    let since = wall_ns();
    let good = conf.text(1, 1);
    for broken in [
        good.replace("virtual_router_id 51", "virtual_router_id 300"),
        good.replace("priority 100", "priority"),
        good.replace("virtual_ipaddress {", "virtual_ipaddress"),
        "vrrp_instance VI_1 {\n".to_owned(),
    ] {
        r1.reload(&broken);
        watch(secs(0.5));
        assert!(
            r1.main.ended().is_none(),
            "a broken file ended the daemon:\n{broken}"
        );
        assert!(
            lab.host(1).has(VIP),
            "a broken file took the address:\n{broken}"
        );
    }
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    assert_eq!(seen["vrid"], 51, "{seen}");
    let gap = longest_gap(&lab, 51, since);
    assert!(gap < 0.35, "a broken file delayed an advert: {gap:.3} s");
    assert!(
        lab.adverts(since, |_, a| a.priority != 100).is_empty(),
        "an advert changed"
    );
}

fn a_good_file_at_reload_leaves_the_others_alone() {
    need_root();
    let lab = Lab::new(1);
    let one = Instance::v3(100);
    let two = |priority| Instance::v3(priority).vrid(52).vips(&["10.9.0.52/24"]);
    let conf = |priority| Conf {
        instances: vec![one.clone(), two(priority)],
        ..Conf::default()
    };
    let r1 = lab.start(1, Mainstay, &conf(100));
    lab.settle(1, 51, 0.6, 10.0);
    lab.settle(1, 52, 0.6, 10.0);
    let since = wall_ns();
    r1.reload(&conf(120).text(1, 1));
    wait_until("the new priority on the wire", secs(3.0), || {
        !lab.adverts(since, |_, a| a.vrid == 52 && a.priority == 120)
            .is_empty()
    });
    watch(secs(1.0));
    let gap = longest_gap(&lab, 51, since);
    assert!(
        gap < 0.35,
        "an unchanged instance missed an advert: {gap:.3} s"
    );
    for name in ["VI_1", "VI_52"] {
        let seen = r1.wait_state(name, "MASTER", 2.0);
        assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    }
    let zeros = lab.adverts(since, |_, a| a.priority == 0);
    assert!(zeros.is_empty(), "{zeros:?}");
}

fn varlink_answers_over_the_bare_socket() {
    need_root();
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    r1.wait_state("VI_1", "MASTER", 8.0);
    let info = r1
        .varlink(r#"{"method":"org.varlink.service.GetInfo"}"#)
        .unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let interfaces = info["parameters"]["interfaces"]
        .as_array()
        .expect("a list of interfaces");
    let own = interfaces
        .iter()
        .filter_map(serde_json::Value::as_str)
        .find(|name| *name != "org.varlink.service")
        .expect("an interface of its own");
    let reply = r1
        .varlink(&format!(r#"{{"method":"{own}.Status"}}"#))
        .unwrap();
    let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
    let text = reply.to_string();
    assert!(text.contains("VI_1") && text.contains("MASTER"), "{text}");
    let wrong = r1
        .varlink(&format!(r#"{{"method":"{own}.NoSuchThing"}}"#))
        .unwrap();
    assert!(
        wrong.contains("org.varlink.service.MethodNotFound"),
        "{wrong}"
    );
    // Rubbish ends that connection and nothing else.
    let _ = r1.varlink("this is not JSON");
    r1.wait_state("VI_1", "MASTER", 2.0);
}

fn a_second_daemon_with_the_same_folder_is_refused() {
    need_root();
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    r1.wait_state("VI_1", "MASTER", 8.0);
    // The kernel has it a moment later.
    wait_until("the address", secs(3.0), || lab.host(1).has(VIP));
    let out = lab.host(1).ns.run(|| {
        Command::new(mainstay())
            .arg("run")
            .arg("-f")
            .arg(&r1.file)
            .arg("--runtime-dir")
            .arg(r1.dir.join("run"))
            .output()
            .unwrap()
    });
    assert_eq!(
        out.status.code(),
        Some(69),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(lab.host(1).has(VIP), "the refused one took the address");
}

fn nothing_is_left_in_the_system_after_a_stop() {
    need_root();
    let lab = Lab::new(1);
    let picture = || {
        lab.host(1)
            .ns
            .sh("ip -o addr show; ip rule show; ip route show table all | sort")
    };
    // The kernel adds the routes of its own addresses when the link has come up.
    wait_until("the host's own routes", secs(3.0), || {
        picture().contains("local fe80::9:1 ")
    });
    let before = picture();
    let mut r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    r1.wait_state("VI_1", "MASTER", 8.0);
    let processes = r1.main.tree();
    let status = r1.term();
    assert!(status.success(), "{status}");
    let after = picture();
    assert_eq!(after, before, "addresses, rules and routes as before");
    wait_until("the end of its processes", secs(3.0), || {
        let alive = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}/root/proc")).exists();
        !processes.iter().any(alive)
    });
    let left: Vec<_> = std::fs::read_dir(r1.dir.join("run"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name())
        .filter(|n| n == "control.sock")
        .collect();
    assert!(left.is_empty(), "its socket stays behind");
}
