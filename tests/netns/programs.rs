//! Programs that cannot be used, that become unsafe while the daemon runs, and that flap.

use crate::operate::command;
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::Mainstay;
use crate::support::daemon::{Daemon, mainstay};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_for, wait_until};
use crate::why::{expect, program};
use crate::{need_root, tests};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_script_that_cannot_be_used_counts_as_failing_on_request,
        a_program_that_becomes_unsafe_is_not_run_any_more,
        a_flapping_script_is_held_back_and_everybody_can_see_it,
    ]
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn said(r: &Daemon, args: &[&str]) -> String {
    let out = command(r, args).output().expect("it starts");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What `check --scripts` says of a file, and its exit status.
fn check(text: &str, at: &Path) -> (String, Option<i32>) {
    let file = at.join("checked.conf");
    std::fs::write(&file, text).expect("written");
    let out = Command::new(mainstay())
        .arg("check")
        .arg("--scripts")
        .arg(&file)
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    (text, out.status.code())
}

fn a_script_that_cannot_be_used_counts_as_failing_on_request() {
    need_root();
    let lab = Lab::new(1);
    let dir = lab.host(1).dir.clone();
    let blocks =
        "vrrp_script chk {\n    script \"/no/such/program\"\n    interval 1\n    weight 0\n}";
    let tracked = Instance::v3(100).with("track_script {\n    chk\n}");
    let ignored = Conf::one(tracked).blocks(blocks);
    let r1 = lab.start(1, Mainstay, &ignored);
    expect(&r1, "MASTER", "advert_timeout");
    let status = said(&r1, &["explain", "VI_1"]);
    assert!(
        status.contains("chk is not tracked: /no: not found"),
        "{status}"
    );
    let (text, code) = check(&ignored.text(1, 1), &dir);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("/no: not found/accessible"), "{text}");

    let tracked = Instance::v3(100).with("track_script {\n    chk\n}");
    let counted = Conf::one(tracked)
        .blocks(blocks)
        .globals("    script_unusable fault");
    r1.reload(&counted.text(1, 1));
    let fault = expect(&r1, "FAULT", "check_unusable");
    assert_eq!(fault["evidence"]["tracker"], "chk", "{fault}");
    let reason = fault["evidence"]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("/no: not found"), "{fault}");
    let status = said(&r1, &["status"]);
    assert!(
        status.contains("VI_1 cannot run: script chk cannot be used: /no: not found"),
        "{status}"
    );
    let explained = said(&r1, &["explain", "VI_1"]);
    assert!(explained.contains("chk counts as failing"), "{explained}");
    let (text, code) = check(&counted.text(1, 1), &dir);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("counts as failing: script_unusable fault"),
        "{text}"
    );
    r1.reload(&ignored.text(1, 1));
    expect(&r1, "MASTER", "advert_timeout");
    drop(r1);

    // One that nobody defined: the start goes on, as keepalived's does.
    let tracked = Instance::v3(100).with("track_script {\n    nobody\n}");
    let undefined = Conf::one(tracked).globals("    script_unusable fault");
    let r1 = lab.start_as(1, Mainstay, &undefined, "undefined");
    expect(&r1, "FAULT", "check_unusable");
}

fn a_program_that_becomes_unsafe_is_not_run_any_more() {
    need_root();
    let lab = Lab::new(1);
    let dir = lab.host(1).dir.clone();
    let script = program(&dir, "sound", "exit 0");
    let hook = program(
        &dir,
        "hook",
        &format!("echo $3 >> {}/hooked", dir.display()),
    );
    let blocks = format!(
        "vrrp_script chk {{\n    script \"{script}\"\n    interval 1\n    fall 2\n    rise 1\n    weight 0\n}}"
    );
    let lines = format!("track_script {{\n    chk\n}}\nnotify \"{hook}\"");
    let conf = Conf::one(Instance::v3(100).with(&lines))
        .blocks(&blocks)
        .globals("    enable_script_security\n    script_user root");
    let r1 = lab.start(1, Mainstay, &conf);
    expect(&r1, "MASTER", "advert_timeout");
    wait_until("the hook ran", secs(5.0), || {
        std::fs::read_to_string(dir.join("hooked")).is_ok_and(|told| told.contains("MASTER"))
    });

    mode(Path::new(&script), 0o757);
    mode(Path::new(&hook), 0o757);
    let fault = expect(&r1, "FAULT", "check_failed");
    assert_eq!(fault["evidence"]["outcome"], "not_started", "{fault}");
    let way_out = "is world-writable (00757 root:root); chmod o-w it or set script_user";
    let warning = wait_for("a warning in status", secs(5.0), || {
        let status = said(&r1, &["status"]);
        let line = status
            .lines()
            .find(|l| l.contains("vrrp_script chk: not run:"));
        line.map(str::to_owned)
    });
    assert!(warning.contains(way_out), "{warning}");
    r1.wait_log("vrrp_instance VI_1 notify: not run:", 5.0);
    let events = said(&r1, &["events", "--json"]);
    let told = events
        .lines()
        .filter(|l| l.contains("vrrp_script chk: not run:"))
        .count();
    assert_eq!(told, 1, "once, not at each start: {events}");
    let hooked = std::fs::read_to_string(dir.join("hooked")).expect("there");
    assert!(
        !hooked.contains("FAULT"),
        "an unsafe hook is not run: {hooked}"
    );

    mode(Path::new(&script), 0o755);
    mode(Path::new(&hook), 0o755);
    expect(&r1, "MASTER", "advert_timeout");
    r1.wait_log("vrrp_script chk: runs, and is safe again", 5.0);
    assert!(!said(&r1, &["status"]).contains("chk: not run"));
    wait_until("the hook ran again", secs(5.0), || {
        std::fs::read_to_string(dir.join("hooked"))
            .is_ok_and(|told| told.matches("MASTER").count() == 2)
    });
}

fn a_flapping_script_is_held_back_and_everybody_can_see_it() {
    need_root();
    let lab = Lab::new(2);
    let dir = lab.host(1).dir.clone();
    let bad = dir.join("bad");
    let script = program(&dir, "chk", &format!("test ! -e {}", bad.display()));
    let blocks =
        format!("vrrp_script chk {{\n    script \"{script}\"\n    interval 0.2\n    weight 0\n}}");
    let damped = "track_script {\n    chk\n}\n\
                  flap_damping {\n    half_life 4\n    suppress 1\n    reuse 1\n}";
    let first = Conf::one(Instance::v3(150).every(0.1).with(damped)).blocks(&blocks);
    let r1 = lab.start(1, Mainstay, &first);
    expect(&r1, "MASTER", "advert_timeout");
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100).every(0.1)));
    r2.wait_state("VI_1", "BACKUP", 5.0);

    // Out and back in: more than 1.
    std::fs::write(&bad, "").expect("written");
    r1.wait_state("VI_1", "FAULT", 5.0);
    r2.wait_state("VI_1", "MASTER", 5.0);
    std::fs::remove_file(&bad).expect("removed");
    r1.wait_state("VI_1", "MASTER", 5.0);
    std::fs::write(&bad, "").expect("written");
    r1.wait_state("VI_1", "FAULT", 5.0);
    std::fs::remove_file(&bad).expect("removed");
    let explained = wait_for("a fault that is held on to", secs(5.0), || {
        let text = said(&r1, &["explain", "VI_1"]);
        text.contains("held in FAULT by flap damping, penalty")
            .then_some(text)
    });
    assert!(explained.contains("free again in"), "{explained}");
    let status = said(&r1, &["status"]);
    assert!(
        status.contains("VI_1: held in FAULT by flap damping"),
        "{status}"
    );
    r1.wait_state("VI_1", "MASTER", 20.0);
    let why = said(&r1, &["why", "VI_1"]);
    assert!(why.contains("flap damping is over"), "{why}");
    let events = said(&r1, &["events", "--json"]);
    for (kind, times) in [("flap_damped", 1), ("flap_damping_over", 1)] {
        let told = events.matches(&format!("\"kind\":\"{kind}\"")).count();
        assert_eq!(told, times, "{kind}: {events}");
    }
}
