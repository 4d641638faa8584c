//! Notify scripts: arguments, order, environment, one at a time.

use crate::failures::script;
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::Mainstay;
use crate::support::lab::Lab;
use crate::support::proc::with_mark;
use crate::support::runner::Test;
use crate::support::{secs, wait_until, watch};
use crate::{need_root, tests};
use std::time::Instant;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        notify_scripts_come_with_keepalived_s_words_in_order,
        notify_scripts_never_overlap_and_the_last_state_is_told,
        a_stop_ends_with_its_last_notify_script,
        a_hanging_notify_script_leaves_time_for_the_stop,
    ]
}

fn notify_scripts_come_with_keepalived_s_words_in_order() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    let file = script(
        &dir.path().join("tell"),
        &format!(
            "echo \"$@ | $VRRP_INSTANCE $VRRP_FROM $VRRP_TO $VRRP_CAUSE $VRRP_PRIORITY $VRRP_VIPS $VRRP_INTERFACE $VRRP_VRID\" >> {}",
            told.display()
        ),
    );
    let file = file.display();
    let lab = Lab::new(1);
    let instance = Instance::v3(100).with(&format!(
        "notify_master \"{file} special master\"\n\
         notify_backup \"{file} special backup\"\n\
         notify_fault \"{file} special fault\"\n\
         notify_stop \"{file} special stop\"\n\
         notify \"{file} one two\""
    ));
    let mut r1 = lab.start(1, Mainstay, &Conf::one(instance));
    let lines = || -> Vec<String> {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    r1.wait_state("VI_1", "MASTER", 8.0);
    wait_until("two states told", secs(3.0), || lines().len() >= 4);
    lab.host(1).ns.ip("link set eth0 down\n");
    r1.wait_state("VI_1", "FAULT", 3.0);
    wait_until("three states told", secs(3.0), || lines().len() >= 6);
    lab.host(1).ns.ip("link set eth0 up\n");
    r1.wait_state("VI_1", "MASTER", 5.0);
    wait_until("five states told", secs(3.0), || lines().len() >= 10);
    r1.term();
    let seen = lines();
    let words: Vec<&str> = seen.iter().filter_map(|l| l.split(" | ").next()).collect();
    let mut expected = Vec::new();
    for state in ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"] {
        expected.push(format!("special {}", state.to_lowercase()));
        expected.push(format!("one two INSTANCE VI_1 {state} 100"));
    }
    assert_eq!(words, expected, "{seen:#?}");
    let environment: Vec<&str> = seen.iter().filter_map(|l| l.split(" | ").nth(1)).collect();
    let master = environment[2];
    assert_eq!(
        master, "VI_1 BACKUP MASTER advert_timeout 100 10.9.0.51/24 eth0 51",
        "environment of notify_master"
    );
    assert!(
        environment[4].starts_with("VI_1 MASTER FAULT interface_down"),
        "{environment:#?}"
    );
    assert!(environment[10].contains(" STOP stop "), "{environment:#?}");
}

fn notify_scripts_never_overlap_and_the_last_state_is_told() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let (told, lock) = (dir.path().join("told"), dir.path().join("lock"));
    let file = script(
        &dir.path().join("slow"),
        &format!(
            "mkdir {lock} 2>/dev/null || echo OVERLAP >> {told}\nsleep 0.7\necho \"$3\" >> {told}\nrmdir {lock}",
            lock = lock.display(),
            told = told.display()
        ),
    );
    let lab = Lab::new(1);
    let instance = Instance::v3(100).with(&format!("notify {}", file.display()));
    let r1 = lab.start(1, Mainstay, &Conf::one(instance));
    r1.wait_state("VI_1", "MASTER", 8.0);
    // Faster than the script can tell: the states between may collapse, the last may not.
    for _ in 0..3 {
        lab.host(1).ns.ip("link set eth0 down\n");
        watch(secs(0.15));
        lab.host(1).ns.ip("link set eth0 up\n");
        watch(secs(0.15));
    }
    r1.wait_state("VI_1", "MASTER", 5.0);
    let text = || std::fs::read_to_string(&told).unwrap_or_default();
    watch(secs(3.0));
    wait_until("MASTER as the last word", secs(6.0), || {
        text().lines().last() == Some("MASTER") && !lock.exists()
    });
    assert!(!text().contains("OVERLAP"), "two at once:\n{}", text());
    watch(secs(1.0));
    assert_eq!(text().lines().last(), Some("MASTER"), "{}", text());
}

/// Stops a master whose notify script does `body` and then says its state; how long that took, and
/// what was said.
fn stopped(body: &str) -> (f64, String) {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    let file = script(
        &dir.path().join("tell"),
        &format!("{body}\necho \"$3\" >> {}", told.display()),
    );
    let lab = Lab::new(1);
    let instance = Instance::v3(100).with(&format!("notify {}", file.display()));
    let mut r1 = lab.start(1, Mainstay, &Conf::one(instance));
    r1.wait_state("VI_1", "MASTER", 8.0);
    watch(secs(1.5));
    let begun = Instant::now();
    r1.term();
    let took = begun.elapsed().as_secs_f64();
    (took, std::fs::read_to_string(&told).unwrap_or_default())
}

fn a_stop_ends_with_its_last_notify_script() {
    let (took, told) = stopped("sleep 0.6");
    assert_eq!(told.lines().last(), Some("STOP"), "{told}");
    assert!(took < 4.0, "the stop took {took:.1} s");
}

fn a_hanging_notify_script_leaves_time_for_the_stop() {
    let (took, told) = stopped("[ \"$3\" = STOP ] || sleep 98704");
    assert_eq!(told, "STOP\n");
    assert!(took < 8.0, "the stop took {took:.1} s");
    wait_until("no script left", secs(3.0), || {
        with_mark("sleep 98704").is_empty()
    });
}
