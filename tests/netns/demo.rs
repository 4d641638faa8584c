//! The demo does what it shows.

use crate::need_root;
use crate::support::daemon::mainstay;
use crate::support::proc::with_mark;
use crate::support::runner::{Test, skip};
use crate::support::{copied, secs, wait_for, wait_until, watch};
use crate::tests;
use nix::sys::signal::{Signal, kill};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        the_demo_shows_takeover_recovery_and_kill,
        the_demo_plays_without_root,
        the_demo_cleans_up_when_interrupted,
    ]
}

/// The line of an act in the demo's closing summary.
fn act<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(&format!("  {name:<9} ")))
        .unwrap_or_else(|| panic!("no line for {name}:\n{text}"))
}

/// The number before `unit` after `words` in a line.
fn number(line: &str, words: &str, unit: &str) -> f64 {
    let rest = line
        .split_once(words)
        .unwrap_or_else(|| panic!("{words:?} is not in {line:?}"))
        .1;
    let word = rest.split_once(unit).map_or("", |(word, _)| word);
    word.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{word:?} in {line:?} is no number"))
}

/// Where cargo put the demo.
fn demo() -> PathBuf {
    need_root();
    let own = std::env::current_exe().unwrap();
    let demo = own
        .parent()
        .and_then(|d| d.parent())
        .unwrap()
        .join("examples/demo");
    assert!(
        demo.exists(),
        "{} is not built (cargo build --example demo)",
        demo.display()
    );
    demo
}

fn the_demo_shows_takeover_recovery_and_kill() {
    let out = Command::new("timeout")
        .args(["-k", "5", "80"])
        .arg(demo())
        .output()
        .unwrap();
    judge(&out);
}

fn the_demo_plays_without_root() {
    let demo = demo();
    let nobody = [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ];
    let allowed = Command::new("setpriv")
        .args(nobody)
        .args([
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "true",
        ])
        .output()
        .unwrap();
    if !allowed.status.success() {
        skip("this kernel lets nobody but root make a user namespace");
    }
    // Where nobody may read: the build folder often lies in a home that is closed to others.
    let dir = tempfile::tempdir().unwrap();
    let open = Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let (own_demo, own_mainstay) = (dir.path().join("demo"), dir.path().join("mainstay"));
    copied(&demo, &own_demo);
    copied(mainstay().as_ref(), &own_mainstay);
    let out = Command::new("timeout")
        .args(["-k", "5", "80", "setpriv"])
        .args(nobody)
        .arg(&own_demo)
        .env("MAINSTAY", &own_mainstay)
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    judge(&out);
}

fn the_demo_cleans_up_when_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(demo())
        .env("TMPDIR", dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mark = dir.path().to_str().unwrap().to_owned();
    wait_until("both daemons of the demo", secs(10.0), || {
        let daemons = with_mark(&mark).len();
        daemons >= 2
    });
    watch(secs(1.0));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let status = wait_for("the end of the demo", secs(10.0), || {
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(130), "{status}");
    wait_until("the end of its daemons", secs(5.0), || {
        with_mark(&mark).is_empty()
    });
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// What the demo has to show, whoever plays it.
fn judge(out: &Output) {
    let text = String::from_utf8_lossy(&out.stdout);
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}\n{text}\n{complaint}", out.status);
    // Numbers of the capture: the protocol's time is at least three intervals of 0.5 s.
    for (name, who) in [
        ("election", 1),
        ("takeover", 2),
        ("recovery", 1),
        ("kill", 2),
        ("return", 1),
    ] {
        let line = act(&text, name);
        let took = number(line, &format!("r{who} advertised after "), " s");
        assert!((1.0..6.0).contains(&took), "{name}: {line}\n{text}");
    }
    assert!(
        number(act(&text, "goodbye"), "r2 advertised after ", " s") < 1.5,
        "{text}"
    );
    let lost = number(act(&text, "takeover"), "sent, ", " lost");
    assert!(
        lost <= 10.0,
        "the old master serves until the new one does: {text}"
    );
    // And the words of the daemons' own logs.
    for words in [
        "Entering MASTER STATE",
        "Entering BACKUP STATE",
        "Changing effective priority from 150 to 50",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours only on a terminal");
}
