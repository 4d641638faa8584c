//! The binary as its users meet it: words, exit codes, closed pipes.

use mainstay::ctl::interface::{Act, EventsAsked, Refusal};
use mainstay::ctl::reply::EventsReply;
use mainstay::ctl::server::{Answers, Busy, Caller, Server};
use mainstay::model::event::{Event, Evidence};
use mainstay::model::notice::Phase;
use mainstay::model::view::{FORM, LinkView, Snapshot};
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;
use tokio::sync::watch;

fn mainstay(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    mainstay(words).output().expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// What `words` exit with; stdout and stderr in the message if it is something else.
#[track_caller]
fn exits(words: &[&str], code: i32) -> Output {
    let output = output(words);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{words:?}\nstdout: {}\nstderr: {}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn path(dir: &Path) -> &str {
    dir.to_str().expect("UTF-8")
}

/// A daemon's control socket with a snapshot of its own behind it.
struct Daemon {
    dir: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Sample(Snapshot);

/// A script that fell and the transition that came of it.
fn journal() -> Vec<Arc<Event>> {
    let stamp = |mut event: Event, seq: u64| {
        (event.seq, event.mono_us) = (seq, seq * 1_000_000);
        event.wall_us = 1_795_224_697_000_000 + event.mono_us;
        Arc::new(event)
    };
    let fell = Event::new("script_down", "VRRP_Script(chk) failed").with(Evidence {
        tracker: Some("chk".into()),
        ..Evidence::default()
    });
    let mut fault = Event::new("transition", "Entering FAULT STATE")
        .of_instance(&"VI_1".into())
        .with(Evidence {
            tracker: Some("chk".into()),
            outcome: Some("exited".into()),
            exit: Some(3),
            ..Evidence::default()
        });
    fault.cause = Some("check_failed".into());
    (fault.from, fault.to) = (Some(Phase::Active), Some(Phase::Fault));
    vec![stamp(fell, 4), stamp(fault, 5)]
}

impl Answers for Sample {
    async fn snapshot(&self) -> Result<Snapshot, Busy> {
        Ok(self.0.clone())
    }

    fn events(&self, asked: &EventsAsked) -> EventsReply {
        let wanted = |e: &Arc<Event>| {
            e.seq > asked.since.unwrap_or(0)
                && (asked.kinds.is_empty() || asked.kinds.iter().any(|k| *k == e.kind))
        };
        EventsReply {
            first: 4,
            last: 5,
            lost: 0,
            events: journal().into_iter().filter(wanted).collect(),
        }
    }

    fn newest(&self) -> watch::Receiver<u64> {
        static NEWEST: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(5));
        NEWEST.subscribe()
    }

    async fn act(&self, act: Act, _: Caller) -> Result<Value, Refusal> {
        let ordered = |outcome: &str, successor: Option<&str>| {
            Ok(json!({"ordered": [{
                "instance": "VI_1", "outcome": outcome, "successor": successor, "took_s": 0.5,
                "text": "nobody took over; everything was put back",
            }]}))
        };
        match act {
            Act::Reload { dry_run: false } => Err(Refusal::ConfigRefused(
                "/a.conf".into(),
                "error: odd\n".into(),
            )),
            Act::Reload { dry_run: true } => Ok(json!({
                "applied": false, "warnings": [],
                "plan": {
                    "created": [], "removed": [], "untouched": 1, "global": [], "advice": [],
                    "changed": [{"kind": "instance", "name": "VI_1", "differs": ["priority 1 -> 2"]}],
                },
            })),
            Act::Drain { force: true, .. } => ordered("done", Some("10.0.0.2")),
            Act::Drain { force: false, .. } => ordered("nobody_took_over", None),
            Act::Undrain { .. } => Err(Refusal::NoSuchInstance("x".into(), vec!["VI_1".into()])),
            Act::Takeover { .. } => Err(Refusal::PermissionDenied),
            Act::SetTracker { name, value, for_s } => match &*name {
                "db" => Ok(json!({
                    "name": name, "value": value, "state": "up", "counter": "up 1/2",
                    "changed": true, "left_s": for_s, "remark": "the disk is full",
                })),
                "load" => Err(Refusal::NotPermitted("only root may".into())),
                _ => Err(Refusal::NoSuchTracker(
                    name,
                    vec!["db".into(), "load".into()],
                )),
            },
            Act::Log { level, for_s } => Ok(json!({"level": level, "until_s": for_s})),
        }
    }
}

impl Daemon {
    fn with(snapshot: Snapshot) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let server = Server::bind(dir.path(), None).expect("a socket");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    served = server.serve(Sample(snapshot)) => panic!("ended: {served:?}"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            dir,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn dir(&self) -> &str {
        path(self.dir.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

/// A snapshot as JSON would give it, so that every field a reader sees is spelled here.
fn snapshot() -> Snapshot {
    serde_json::from_value(serde_json::json!({
        "form": FORM,
        "instances": [{
            "name": "VI_1", "interface": "eth0", "vrid": 51, "family": "ipv4", "version": 3,
            "state": "MASTER", "base_priority": 103, "priority": 101, "priority_sum": 101,
            "since_s": 75.0, "cause": "preempt", "detail": "our priority 101 outranks 10.0.0.2",
            "faults": [], "timer_s": 0.5, "source": "10.0.0.1", "advert_interval_s": 1.0,
            "learned_interval_s": 1.0,
            "addresses": [{"address": "10.0.0.9/24", "interface": "eth0", "installed": true, "advertised": true}],
            "tracks": [], "peers": [],
            "counters": {
                "advert_rcvd": 0, "advert_sent": 75, "become_master": 1, "release_master": 0,
                "pri_zero_rcvd": 0, "pri_zero_sent": 0, "lower_rcvd": 0, "lower_unanswered": 0,
                "addr_list_mismatch": 0, "no_link_local": 0, "checksum_other_form": 0, "restored": 0,
                "skipped": 0, "announced": 5, "rejected": {"checksum": 2}
            }
        }],
        "scripts": [], "interfaces": [],
        "engine": {
            "wakes": 1, "worst_late_s": 0.0, "dropped_notices": 0, "send_errors": 0,
            "realtime": false, "locked": false
        },
        "warnings": ["lvs: not handled"]
    }))
    .expect("the form of a snapshot")
}

#[test]
fn help_and_version_succeed_on_stdout() {
    for words in [&["--help"][..], &["-h"], &["run", "--help"]] {
        let output = exits(words, 0);
        assert!(text(&output.stdout).contains("Usage:"), "{words:?}");
        assert!(output.stderr.is_empty(), "{words:?}");
    }
    for words in [&["--version"][..], &["-V"]] {
        let output = exits(words, 0);
        let version = format!("mainstay {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(text(&output.stdout), version);
    }
}

#[test]
fn misuse_exits_64_with_words_on_stderr() {
    for words in [
        &[][..],
        &["no-such-command"],
        &["status", "--no-such-flag"],
        &["run", "--log-format", "xml"],
        &["run", "--log-level"],
        &["check"],
    ] {
        let output = exits(words, 64);
        assert!(output.stdout.is_empty(), "{words:?}");
        let said = text(&output.stderr);
        assert!(said.contains("Usage:") || said.contains("--help"), "{said}");
    }
}

#[test]
fn status_without_a_daemon_says_so_and_how_to_find_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = exits(&["status", "--runtime-dir", path(dir.path())], 1);
    let said = text(&output.stderr);
    assert!(said.contains("mainstay is not running"), "{said}");
    assert!(said.contains(path(dir.path())), "{said}");
    assert!(said.contains("--runtime-dir"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn status_prints_a_table_an_instance_or_json() {
    let daemon = Daemon::with(snapshot());
    let place = ["--runtime-dir", daemon.dir()];

    let table = exits(&[&["status"], &place[..]].concat(), 0);
    let said = text(&table.stdout);
    assert!(
        said.starts_with("INSTANCE  INTERFACE  VRID  STATE "),
        "{said}"
    );
    assert!(said.contains("101 (base 103)"), "{said}");
    assert!(said.contains("1 min 15 s"), "{said}");
    assert!(said.contains("warning: lvs: not handled"), "{said}");
    assert!(!said.contains('\x1b'), "no colour into a pipe: {said}");

    let one = exits(&[&["status", "VI_1"], &place[..]].concat(), 0);
    let said = text(&one.stdout);
    assert!(said.starts_with("VI_1: MASTER for 1 min 15 s\n"), "{said}");
    assert!(said.contains("10.0.0.9/24"), "{said}");
    assert!(said.contains("adverts refused: checksum"), "{said}");

    for words in [&["status", "--json"][..], &["status", "VI_1", "--json"]] {
        let json = exits(&[words, &place[..]].concat(), 0);
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert_eq!(value["form"], FORM);
        assert_eq!(value["instances"][0]["state"], "MASTER");
        assert_eq!(value["instances"][0]["counters"]["rejected"]["checksum"], 2);
    }

    for words in [&["status", "VI_9"][..], &["status", "VI_9", "--json"]] {
        let unknown = exits(&[words, &place[..]].concat(), 1);
        let said = text(&unknown.stderr);
        assert!(
            said.contains("no instance VI_9 (there are: VI_1)"),
            "{said}"
        );
    }
}

#[test]
fn status_waits_for_a_state_and_says_by_its_code_whether_it_came() {
    let daemon = Daemon::with(snapshot());
    let place = ["--runtime-dir", daemon.dir()];
    let wait = |state, timeout| {
        [
            &["status", "--wait", state, "--timeout", timeout],
            &place[..],
        ]
        .concat()
    };
    exits(&wait("MASTER", "5s"), 0);
    exits(&wait("master", "5s"), 0);
    let late = exits(&wait("BACKUP", "300ms"), 75);
    assert!(
        text(&late.stderr).contains("not BACKUP within 0.3 s"),
        "{}",
        text(&late.stderr)
    );
    assert!(
        text(&late.stdout).contains("VI_1"),
        "the state is shown all the same"
    );
    let usage = exits(&wait("ASLEEP", "1s"), 64);
    assert!(
        text(&usage.stderr).contains("BACKUP, MASTER"),
        "{}",
        text(&usage.stderr)
    );
    exits(
        &[
            "status",
            "VI_9",
            "--wait",
            "MASTER",
            "--runtime-dir",
            daemon.dir(),
        ],
        1,
    );
    let nowhere = tempfile::tempdir().expect("a folder");
    let words = [
        "status",
        "--wait",
        "MASTER",
        "--timeout",
        "200ms",
        "--runtime-dir",
    ];
    exits(&[&words[..], &[path(nowhere.path())]].concat(), 1);
}

#[test]
fn events_and_why_tell_the_journal() {
    let daemon = Daemon::with(snapshot());
    let place = ["--runtime-dir", daemon.dir()];
    let list = exits(&[&["events"], &place[..]].concat(), 0);
    let said = text(&list.stdout);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("2026-11-21T01:31:41.000Z"), "{said}");
    let json = exits(
        &[&["events", "--json", "--since", "4"], &place[..]].concat(),
        0,
    );
    let one: Value = serde_json::from_slice(&json.stdout).expect("one object on one line");
    assert_eq!(
        (&one["seq"], &one["form"], &one["cause"]),
        (&json!(5), &json!(1), &json!("check_failed"))
    );
    assert_eq!(
        (&one["from"], &one["to"]),
        (&json!("MASTER"), &json!("FAULT"))
    );

    let why = exits(&[&["why", "VI_1"], &place[..]].concat(), 0);
    let said = text(&why.stdout);
    assert!(
        said.contains("Script chk failed with exit status 3"),
        "{said}"
    );
    assert!(
        said.contains("1.000 s before: VRRP_Script(chk) failed"),
        "{said}"
    );
    let json = exits(&[&["why", "--json"], &place[..]].concat(), 0);
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(told["form"], 1);
    assert_eq!(told["transitions"][0]["cause"], "check_failed");
    assert_eq!(told["transitions"][0]["related"][0]["kind"], "script_down");
    let none = exits(&[&["why", "VI_2"], &place[..]].concat(), 0);
    assert!(text(&none.stdout).contains("no transition of VI_2"));
    let none = exits(&[&["events", "--kind", "nothing"], &place[..]].concat(), 0);
    assert_eq!(text(&none.stdout), "no event like that is in the journal\n");
}

#[test]
fn a_follower_prints_what_there_is_and_ends_with_its_reader() {
    let daemon = Daemon::with(snapshot());
    let mut child = mainstay(&[
        "events",
        "--follow",
        "--json",
        "--runtime-dir",
        daemon.dir(),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for seq in [4, 5] {
        let line = lines.next().expect("a line").expect("UTF-8");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["seq"], seq);
    }
    child.kill().expect("it runs until it is ended");
    child.wait().expect("ended");
}

#[test]
fn explain_and_neighbours_answer_in_tables_and_json() {
    let daemon = Daemon::with(snapshot());
    let place = ["--runtime-dir", daemon.dir()];
    let said = exits(&[&["explain"], &place[..]].concat(), 0);
    let said = text(&said.stdout);
    assert!(
        said.starts_with("VI_1 is MASTER with priority 101"),
        "{said}"
    );
    assert!(said.contains("No other router was heard"), "{said}");
    let json = exits(&[&["explain", "VI_1", "--json"], &place[..]].concat(), 0);
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (&told["form"], &told["instance"]["priority"]),
        (&json!(FORM), &json!(101))
    );
    exits(&[&["explain", "VI_9"], &place[..]].concat(), 1);
    let none = exits(&[&["neighbours"], &place[..]].concat(), 0);
    assert_eq!(text(&none.stdout), "no other router was heard\n");
    let json = exits(&[&["neighbours", "--json"], &place[..]].concat(), 0);
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(told, json!({"form": FORM, "neighbours": []}));
}

#[test]
fn acts_exit_by_what_came_of_them() {
    let daemon = Daemon::with(snapshot());
    let place = ["--runtime-dir", daemon.dir()];
    let run = |words: &[&str], code| exits(&[words, &place[..]].concat(), code);
    let refused = run(&["reload"], 2);
    assert!(text(&refused.stderr).contains("nothing was changed: /a.conf\nerror: odd"));
    let plan = run(&["reload", "--dry-run"], 0);
    assert!(
        text(&plan.stdout).contains("priority 1 -> 2"),
        "{}",
        text(&plan.stdout)
    );
    let nobody = run(&["drain", "VI_1", "--for", "2h", "--reason", "upgrade"], 1);
    assert!(text(&nobody.stdout).contains("nobody took over"));
    let forced = run(&["drain", "VI_1", "--force"], 0);
    assert_eq!(
        text(&forced.stdout),
        "VI_1: drained; 10.0.0.2 is MASTER after 0.500 s\n"
    );
    let unknown = run(&["undrain", "x"], 1);
    assert!(text(&unknown.stderr).contains("no instance x (there are: VI_1)"));
    run(&["takeover"], 4);
    let level = run(&["log", "debug", "--for", "10m"], 0);
    assert_eq!(text(&level.stdout), "log level is debug for 10 min 0 s\n");
    let set = run(&["track", "set", "db", "down", "--for", "5s"], 0);
    assert_eq!(
        text(&set.stdout),
        "db is set to down for 5.000 s and counts as up (up 1/2)\n"
    );
    assert!(text(&set.stderr).contains("the disk is full"));
    let json = run(&["track", "set", "db", "-3", "--json"], 0);
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (&told["form"], &told["value"]),
        (&json!(FORM), &json!("-3"))
    );
    let refused = run(&["track", "set", "load", "7"], 4);
    assert!(text(&refused.stderr).contains("permission denied: only root may"));
    let unknown = run(&["track", "set", "dd", "up"], 1);
    assert!(text(&unknown.stderr).contains("no external tracker dd (there are: db, load)"));
    for list in [&["track"][..], &["track", "list"]] {
        let none = run(list, 0);
        assert!(text(&none.stdout).contains("no tracker is external"));
    }
    let json = run(&["track", "--json"], 0);
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(told, json!({"form": FORM, "trackers": []}));
    run(&["track", "set", "db"], 64);
    run(&["track", "set", "db", "up", "--for", "soon"], 64);
    run(&["drain", "VI_1", "--all"], 64);
    run(&["drain", "--for", "soon"], 64);
    run(&["log", "loud"], 64);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure_and_a_full_disk_is() {
    // Far more than a pipe holds.
    let mut large = snapshot();
    large.interfaces = (0..20_000)
        .map(|number| LinkView {
            name: format!("eth{number}").into(),
            index: Some(number),
            up: true,
            turning: None,
            polled: false,
            rejected: vec![],
        })
        .collect();
    let daemon = Daemon::with(large);
    let words = ["status", "--json", "--runtime-dir", daemon.dir()];
    let mut child = mainstay(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));

    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = mainstay(&words).stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("cannot write to standard output"), "{said}");

    let help = mainstay(&["--help"])
        .stdout(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("Linux has it"),
        )
        .output()
        .expect("it starts");
    assert_eq!(help.status.code(), Some(1));
    assert!(!text(&help.stderr).contains("panicked"));
}

#[test]
fn a_socket_that_is_not_ours_to_use_exits_4_and_names_the_group() {
    let daemon = Daemon::with(snapshot());
    let socket = daemon.dir.path().join("control.sock");
    let output = if nix::unistd::geteuid().is_root() {
        // Somebody else, with a copy of the binary where somebody else can reach it.
        fs::set_permissions(daemon.dir.path(), Permissions::from_mode(0o755)).expect("opened");
        let copy = daemon.dir.path().join("mainstay");
        fs::copy(env!("CARGO_BIN_EXE_mainstay"), &copy).expect("copied");
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(["status", "--runtime-dir", daemon.dir()])
            .output()
            .expect("util-linux is there")
    } else {
        fs::set_permissions(&socket, Permissions::from_mode(0o000)).expect("closed");
        output(&["status", "--runtime-dir", daemon.dir()])
    };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("permission denied"), "{said}");
    assert!(said.contains("member of group"), "{said}");
}

#[test]
fn run_with_a_folder_that_is_not_ours_exits_4_and_says_what_to_do() {
    let (dir, _) = file(GOOD);
    let ours = dir.path();
    // Somebody else's from here on, or nobody's.
    fs::create_dir(ours.join("state")).expect("made");
    let copy = ours.join("mainstay");
    fs::copy(env!("CARGO_BIN_EXE_mainstay"), &copy).expect("copied");
    for folder in [ours.to_owned(), ours.join("below")] {
        fs::set_permissions(ours, Permissions::from_mode(0o555)).expect("closed");
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(&copy);
            command
        } else {
            Command::new(&copy)
        };
        let output = command
            .arg("run")
            .arg("--file")
            .arg(ours.join("test.conf"))
            .arg("--runtime-dir")
            .arg(&folder)
            .output()
            .expect("it starts");
        fs::set_permissions(ours, Permissions::from_mode(0o755)).expect("opened");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("run as root"), "{said}");
    }
}

const GOOD: &str = "\
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.0.0.9/24
    }
}
";

/// A folder with one file of this text.
fn file(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("test.conf");
    fs::write(&file, text).expect("written");
    let name = path(&file).to_owned();
    (dir, name)
}

#[test]
fn check_exits_0_for_a_sound_file() {
    let (_dir, good) = file(GOOD);
    let output = exits(&["check", &good], 0);
    assert!(output.stderr.is_empty());
}

#[test]
fn check_exits_1_for_a_warning_unless_lenient() {
    let (_dir, odd) =
        file(&GOOD.replace("virtual_ipaddress {", "nonsense 3\n    virtual_ipaddress {"));
    let output = exits(&["check", &odd], 1);
    let said = text(&output.stdout);
    assert!(said.contains(&format!("{odd}:4:5")), "{said}");
    assert!(said.contains("nonsense"), "{said}");
    exits(&["check", "--lenient", &odd], 0);
}

#[test]
fn check_exits_2_for_an_error_and_shows_file_line_and_column() {
    let (_dir, broken) =
        file(&GOOD.replace("    virtual_router_id 51", "    virtual_router_id 999"));
    let output = exits(&["check", &broken], 2);
    let said = text(&output.stdout);
    assert!(said.contains(&format!("{broken}:3:")), "{said}");
    assert!(
        said.contains("virtual_router_id 999"),
        "the source line is shown: {said}"
    );
    exits(&["check", "--lenient", &broken], 2);

    let (_other, good) = file(GOOD);
    exits(&["check", &good, &broken], 2);

    let json = exits(&["check", "--json", &good, &broken], 2);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(value["files"][0]["path"], good);
    let found = value["files"][1]["diagnostics"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["line"] == 3)
        .expect("the finding of line 3");
    assert_eq!(found["file"], broken);
    assert_eq!(found["severity"], "error");
}

#[test]
fn a_missing_file_is_an_error_of_the_configuration() {
    let output = exits(&["check", "/nonexistent/mainstay.conf"], 2);
    let said = text(&output.stdout);
    assert!(said.contains("/nonexistent/mainstay.conf"), "{said}");
    assert!(
        said.contains("No such file") || said.contains("no such file"),
        "{said}"
    );
}
