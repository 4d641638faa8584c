//! Who may ask a real daemon what, and a client that is not ours.

use crate::support::conf::{Conf, Instance};
use crate::support::copied;
use crate::support::daemon::Kind::Mainstay;
use crate::support::daemon::{Daemon, mainstay};
use crate::support::lab::Lab;
use crate::support::runner::{Test, skip};
use crate::{need_root, tests};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        nobody_in_the_group_reads_and_does_not_act_and_others_do_neither,
        varlinkctl_talks_to_the_daemon,
    ]
}

fn open(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("ours");
}

/// Runs a subcommand as somebody; its status and all it printed.
fn as_user(r: &Daemon, binary: &Path, who: &[&str], words: &[&str]) -> (i32, String) {
    let out = Command::new("setpriv")
        .args(who)
        .arg("--no-new-privs")
        .arg(binary)
        .args(words)
        .arg("--runtime-dir")
        .arg(r.dir.join("run"))
        .stdin(Stdio::null())
        .output()
        .expect("util-linux is there");
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text.into_owned())
}

fn nobody_in_the_group_reads_and_does_not_act_and_others_do_neither() {
    need_root();
    let lab = Lab::new(1);
    let group = nix::unistd::Group::from_name("adm").expect("readable");
    let group = group
        .expect("a group that every Debian has")
        .gid
        .to_string();
    let fed = "vrrp_script db {\n    external\n    weight -5\n}";
    let tracks = Instance::v3(100).with("track_script {\n    db\n}");
    let conf = Conf::one(tracks)
        .blocks(fed)
        .globals("    control_group adm");
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "MASTER", 8.0);
    // Somebody else must get as far as the daemon's own folder, and find a binary.
    for dir in r1
        .dir
        .ancestors()
        .take_while(|d| d.starts_with(lab.dir.path()))
    {
        open(dir);
    }
    let binary = lab.dir.path().join("mainstay");
    copied(mainstay().as_ref(), &binary);
    open(&binary);

    let groups = format!("--groups={group}");
    let member = ["--reuid=65534", "--regid=65534", &*groups];
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let stranger = ["--reuid=12345", "--regid=12345", "--clear-groups"];
    let reads: [&[&str]; 6] = [
        &["status"],
        &["status", "--json"],
        &["explain", "VI_1"],
        &["why", "VI_1"],
        &["events"],
        &["neighbours"],
    ];
    let acts: [&[&str]; 7] = [
        &["track", "set", "db", "down"],
        &["drain", "VI_1", "--force"],
        &["undrain", "VI_1"],
        &["takeover", "VI_1"],
        &["reload"],
        &["reload", "--dry-run"],
        &["log", "debug"],
    ];
    for words in reads {
        let (code, text) = as_user(&r1, &binary, &member, words);
        assert_eq!(code, 0, "{words:?} as a member: {text}");
        for who in [&nobody, &stranger] {
            let (code, text) = as_user(&r1, &binary, who, words);
            assert_eq!(code, 4, "{words:?} as {who:?}: {text}");
            assert!(!text.contains("MASTER"), "{text}");
        }
    }
    let before =
        std::fs::read_to_string(r1.dir.join("run/state/events.jsonl")).expect("its journal");
    for words in acts {
        for who in [&member, &nobody, &stranger] {
            let (code, text) = as_user(&r1, &binary, who, words);
            assert_eq!(code, 4, "{words:?} as {who:?}: {text}");
        }
    }
    let after =
        std::fs::read_to_string(r1.dir.join("run/state/events.jsonl")).expect("its journal");
    assert_eq!(before, after, "nothing was done or asked for");
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["intent"], Value::Null, "{seen}");
    // Root is nobody's member and may.
    let (code, text) = as_user(&r1, &binary, &["--reuid=0"], &["drain", "VI_1", "--force"]);
    assert_eq!(code, 0, "{text}");
}

fn varlinkctl_talks_to_the_daemon() {
    need_root();
    let varlinkctl = |words: &[&str]| Command::new("varlinkctl").args(words).output();
    if varlinkctl(&["--version"]).is_err() {
        skip("varlinkctl is not installed (systemd 255 or newer has it)");
    }
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    r1.wait_state("VI_1", "MASTER", 8.0);
    let socket = r1.dir.join("run/control.sock");
    let socket = socket.to_str().expect("the lab's paths are plain");
    let said = |words: &[&str]| {
        let out = varlinkctl(words).expect("it starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{words:?}: {text}{err}");
        text
    };
    let control = "dev.mainstay.Control";
    assert!(said(&["info", socket]).contains(control));
    // It reads the description itself, and writes it again.
    let described = said(&["introspect", socket, control]);
    assert!(described.contains("method Drain"), "{described}");
    let call = |method: &str, parameters: &str| -> Value {
        let method = format!("{control}.{method}");
        let text = said(&["--json=short", "call", socket, &method, parameters]);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    };
    let status = call("Status", "{}");
    assert!(status.to_string().contains("VI_1"), "{status}");
    let events = call("Events", r#"{"since":0,"kinds":["start"]}"#);
    assert_eq!(events["events"][0]["kind"], "start", "{events}");
    let wrong = varlinkctl(&["call", socket, "dev.mainstay.Control.Nope", "{}"]);
    assert!(!wrong.expect("it starts").status.success());
}
