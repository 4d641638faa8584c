//! The control socket, spoken to in raw Varlink by a client that shares no code with `ctl`:
//! bytes over a `UnixStream`, objects ended by NUL.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::ctl::interface::{Act, EventsAsked, Refusal};
use mainstay::ctl::reply::EventsReply;
use mainstay::ctl::server::{Answers, Busy, Caller, Limits, Server};
use mainstay::model::event::Event;
use mainstay::model::view::{FORM, Snapshot};
use mainstay::obs::journal::{Filter, Journal};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tokio::sync::watch;

/// A daemon's end: answers with as many warnings as it was made with, and counts.
struct Sample {
    warnings: usize,
    asked: Arc<AtomicUsize>,
    history: History,
    acts: Arc<Mutex<Vec<(Act, u32)>>>,
}

/// A journal and word of what is new in it.
#[derive(Clone)]
struct History {
    journal: Arc<Mutex<Journal>>,
    newest: Arc<watch::Sender<u64>>,
}

impl History {
    fn new() -> Self {
        Self {
            journal: Arc::new(Mutex::new(Journal::in_memory(50))),
            newest: Arc::new(watch::Sender::new(0)),
        }
    }

    fn happens(&self, instance: &str, kind: &'static str) {
        let event = Event::new(kind, "it happened").of_instance(&instance.into());
        let now = mainstay::model::time::Instant::ZERO;
        let mut journal = self.journal.lock().expect("not poisoned");
        let seq = journal.record(now, now, SystemTime::now(), event);
        self.newest.send_replace(seq.expect("recorded"));
    }
}

impl Answers for Sample {
    async fn snapshot(&self) -> Result<Snapshot, Busy> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Snapshot {
            form: FORM,
            warnings: vec!["w".repeat(100); self.warnings],
            ..Snapshot::default()
        })
    }

    fn events(&self, asked: &EventsAsked) -> EventsReply {
        let journal = self.history.journal.lock().expect("not poisoned");
        let filter = Filter {
            after: asked.since.unwrap_or(0),
            instance: asked.instance.as_deref().map(Arc::from),
            kinds: asked.kinds.clone(),
            ..Filter::default()
        };
        EventsReply {
            first: journal.first(),
            last: journal.last(),
            lost: asked
                .since
                .map_or(0, |s| journal.first().saturating_sub(s + 1)),
            events: journal.select(&filter, asked.limit, asked.since.is_some()),
        }
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.history.newest.subscribe()
    }

    async fn act(&self, act: Act, by: Caller) -> Result<Value, Refusal> {
        let refused = matches!(act, Act::Takeover { .. });
        self.acts.lock().expect("not poisoned").push((act, by.uid));
        if refused {
            return Err(Refusal::Impossible("not now".into()));
        }
        Ok(json!({"done": true}))
    }
}

/// A server on a thread of its own; gone with the test.
struct Daemon {
    dir: TempDir,
    asked: Arc<AtomicUsize>,
    history: History,
    acts: Arc<Mutex<Vec<(Act, u32)>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    fn start() -> Self {
        Self::with(Limits::default(), 3)
    }

    fn with(limits: Limits, warnings: usize) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let server = Server::bind(dir.path(), None)
            .expect("a socket")
            .with_limits(limits);
        let asked = Arc::new(AtomicUsize::new(0));
        let (history, acts) = (History::new(), Arc::new(Mutex::new(Vec::new())));
        let sample = Sample {
            warnings,
            asked: asked.clone(),
            history: history.clone(),
            acts: acts.clone(),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    served = server.serve(sample) => panic!("serving ended: {served:?}"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            dir,
            asked,
            history,
            acts,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn connect(&self) -> Raw {
        Raw::connect(self.dir.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server did not panic");
        }
    }
}

struct Raw(UnixStream);

impl Raw {
    fn connect(dir: &Path) -> Self {
        let stream = UnixStream::connect(dir.join("control.sock")).expect("connected");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a limit");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    fn call(&mut self, call: &Value) -> Value {
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        self.send(&bytes);
        self.receive().expect("a reply")
    }

    /// One message; `None` at the end of the connection.
    fn receive(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(1) if byte[0] == 0 => break,
                Ok(1) => message.push(byte[0]),
                Ok(_) => {
                    assert!(message.is_empty(), "half a message: {message:?}");
                    return None;
                }
                // Closed with bytes of ours unread.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply and no end: {error}"),
            }
        }
        Some(serde_json::from_slice(&message).expect("JSON"))
    }
}

fn status() -> Value {
    json!({"method": "dev.mainstay.Control.Status", "parameters": {}})
}

fn answers(raw: &mut Raw) {
    let reply = raw.call(&status());
    assert_eq!(reply["parameters"]["snapshot"]["form"], FORM, "{reply}");
}

/// Places of connections that ended are free a moment later; until then callers are refused.
fn answers_soon(daemon: &Daemon) {
    let began = Instant::now();
    loop {
        let mut raw = daemon.connect();
        // The refusal may come, and the end with it, before the call is written.
        let _ = raw.0.write_all(format!("{}\0", status()).as_bytes());
        let reply = raw.receive().expect("an answer or a refusal");
        if reply.get("error").is_none() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{reply}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn get_info_names_the_product_and_its_interfaces() {
    let daemon = Daemon::start();
    let reply = daemon
        .connect()
        .call(&json!({"method": "org.varlink.service.GetInfo"}));
    let info = &reply["parameters"];
    assert_eq!(info["product"], "mainstay");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    for field in ["vendor", "url"] {
        assert!(info[field].is_string(), "{field}: {info}");
    }
    assert_eq!(
        info["interfaces"],
        json!(["org.varlink.service", "dev.mainstay.Control"])
    );
    assert_eq!(reply.get("error"), None);
}

#[test]
fn every_interface_describes_itself_and_every_method_it_describes_exists() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    for (name, method) in [
        ("org.varlink.service", "GetInfo"),
        ("org.varlink.service", "GetInterfaceDescription"),
        ("dev.mainstay.Control", "Status"),
    ] {
        let reply = raw.call(&json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": name},
        }));
        let text = reply["parameters"]["description"]
            .as_str()
            .expect("a description");
        let interface = zlink_idl::Interface::try_from(text).expect("valid Varlink");
        assert_eq!(interface.name().as_str(), name);
        assert!(
            interface
                .methods()
                .any(|known| known.name().as_str() == method),
            "{name} does not describe {method}"
        );
        for known in interface.methods() {
            let reply = raw.call(&json!({"method": format!("{name}.{}", known.name())}));
            assert_ne!(
                reply["error"],
                "org.varlink.service.MethodNotFound",
                "{} is described and unknown",
                known.name()
            );
        }
    }
}

#[test]
fn status_returns_the_snapshot_again_and_again_on_one_connection() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    for _ in 0..3 {
        let reply = raw.call(&status());
        let snapshot = &reply["parameters"]["snapshot"];
        assert_eq!(
            snapshot["warnings"].as_array().map(Vec::len),
            Some(3),
            "{reply}"
        );
        assert!(snapshot["engine"]["realtime"].is_boolean(), "{reply}");
    }
    assert_eq!(daemon.asked.load(Ordering::Relaxed), 3);
}

#[test]
fn calls_sent_in_one_write_are_answered_in_order() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    raw.send(b"{\"method\":\"org.varlink.service.GetInfo\"}\0{\"method\":\"dev.mainstay.Control.Nope\"}\0{\"method\":\"dev.mainstay.Control.Status\"}\0");
    let first = raw.receive().expect("first");
    assert_eq!(first["parameters"]["product"], "mainstay");
    let second = raw.receive().expect("second");
    assert_eq!(second["error"], "org.varlink.service.MethodNotFound");
    let third = raw.receive().expect("third");
    assert_eq!(third["parameters"]["snapshot"]["form"], FORM);
}

#[test]
fn unknown_methods_interfaces_and_parameters_are_errors_and_the_connection_lives() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    for (call, error, parameters) in [
        (
            json!({"method": "dev.mainstay.Control.Explode"}),
            "org.varlink.service.MethodNotFound",
            json!({"method": "dev.mainstay.Control.Explode"}),
        ),
        (
            json!({"method": "org.varlink.service.Explode"}),
            "org.varlink.service.MethodNotFound",
            json!({"method": "org.varlink.service.Explode"}),
        ),
        (
            json!({"method": "org.example.Explode"}),
            "org.varlink.service.InterfaceNotFound",
            json!({"interface": "org.example"}),
        ),
        (
            json!({"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": "org.example"}}),
            "org.varlink.service.InterfaceNotFound",
            json!({"interface": "org.example"}),
        ),
        (
            json!({"method": "org.varlink.service.GetInterfaceDescription"}),
            "org.varlink.service.InvalidParameter",
            json!({"parameter": "interface"}),
        ),
        (
            json!({"method": "dev.mainstay.Control.Status", "parameters": {"verbose": true}}),
            "org.varlink.service.InvalidParameter",
            json!({"parameter": "verbose"}),
        ),
    ] {
        let reply = raw.call(&call);
        assert_eq!(reply["error"], error, "{call}");
        assert_eq!(reply["parameters"], parameters, "{call}");
    }
    answers(&mut raw);
}

#[test]
fn more_gets_one_reply_that_does_not_continue() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    let reply = raw.call(&json!({"method": "dev.mainstay.Control.Status", "more": true}));
    assert_eq!(reply["parameters"]["snapshot"]["form"], FORM);
    assert_ne!(reply["continues"], true, "{reply}");
    // The next message answers the next call.
    let info = raw.call(&json!({"method": "org.varlink.service.GetInfo"}));
    assert_eq!(info["parameters"]["product"], "mainstay");
}

#[test]
fn oneway_gets_no_reply_not_even_an_error() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    raw.send(b"{\"method\":\"dev.mainstay.Control.Status\",\"oneway\":true}\0");
    raw.send(b"{\"method\":\"dev.mainstay.Control.Nope\",\"oneway\":true}\0");
    let reply = raw.call(&json!({"method": "org.varlink.service.GetInfo"}));
    assert_eq!(reply["parameters"]["product"], "mainstay", "{reply}");
}

#[test]
fn a_message_of_64_kib_passes_and_a_longer_one_ends_the_connection() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    let call = status().to_string();
    let mut padded = call.clone().into_bytes();
    padded.resize(64 * 1024, b' ');
    padded.push(0);
    raw.send(&padded);
    let reply = raw.receive().expect("a reply");
    assert_eq!(reply["parameters"]["snapshot"]["form"], FORM);

    let mut endless = daemon.connect();
    // The server may close before it has everything.
    let _ = endless.0.write_all(&vec![b' '; 10 << 20]);
    let reply = endless.receive().expect("an error");
    assert_eq!(reply["error"], "dev.mainstay.Control.MessageTooLarge");
    assert_eq!(reply["parameters"]["limit"], 64 * 1024);
    assert_eq!(endless.receive(), None);
    answers(&mut daemon.connect());
}

#[test]
fn garbage_is_answered_with_an_error_and_an_end() {
    let daemon = Daemon::start();
    for garbage in [
        &b"\0"[..],
        b"{}\0",
        b"[1,2]\0",
        b"nonsense\0",
        b"{\"method\":42}\0",
        b"{\"method\":\"a.B\",\"method\":\"a.C\"}\0",
        b"{\"method\":\"a.B\",\"more\":\"perhaps\"}\0",
        b"\xff\xfe{\"method\"\0",
        b"GET / HTTP/1.1\r\n\r\n\0",
    ] {
        let mut raw = daemon.connect();
        raw.send(garbage);
        let reply = raw.receive().expect("an error");
        assert_eq!(
            reply["error"], "dev.mainstay.Control.BadMessage",
            "{garbage:?}"
        );
        assert_eq!(raw.receive(), None, "{garbage:?}");
    }
    let mut deep = daemon.connect();
    let mut message = b"{\"method\":\"a.B\",\"parameters\":".to_vec();
    message.resize(60_000, b'[');
    message.push(0);
    deep.send(&message);
    let reply = deep.receive().expect("an error");
    assert_eq!(reply["error"], "dev.mainstay.Control.BadMessage");
    answers(&mut daemon.connect());
}

#[test]
fn half_a_message_and_then_silence_ends_after_two_seconds() {
    let daemon = Daemon::start();
    let mut half = daemon.connect();
    half.send(b"{\"method\":\"dev.mainst");
    let began = Instant::now();
    // Meanwhile others are served.
    answers(&mut daemon.connect());
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(half.receive(), None);
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_millis(1_500) && waited < Duration::from_secs(10),
        "{waited:?}"
    );
}

#[test]
fn a_drip_of_bytes_does_not_prolong_the_two_seconds() {
    let daemon = Daemon::with(
        Limits {
            partial: Duration::from_millis(200),
            ..Limits::default()
        },
        0,
    );
    let mut drip = daemon.connect();
    let began = Instant::now();
    while drip.0.write_all(b" ").is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "a slow writer keeps its connection for ever"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_hundred_connections_are_bounded_told_and_leave_no_harm() {
    let daemon = Daemon::start();
    let mut all: Vec<Raw> = (0..100).map(|_| daemon.connect()).collect();
    let mut refused = 0;
    for raw in &mut all[32..] {
        let reply = raw.receive().expect("a word before the end");
        assert_eq!(
            reply["error"], "dev.mainstay.Control.TooManyConnections",
            "{reply}"
        );
        assert_eq!(reply["parameters"]["limit"], 32);
        assert_eq!(raw.receive(), None);
        refused += 1;
    }
    assert_eq!(refused, 68);
    for raw in &mut all[..32] {
        answers(raw);
    }
    drop(all);
    // The places are free again, at the latest a moment later.
    answers_soon(&daemon);
}

#[test]
fn a_reader_that_never_reads_harms_itself_alone() {
    // 4 MB a reply: far more than a socket's buffer takes.
    let daemon = Daemon::with(Limits::default(), 40_000);
    let mut slow = daemon.connect();
    for _ in 0..8 {
        slow.send(b"{\"method\":\"dev.mainstay.Control.Status\"}\0");
    }
    let began = Instant::now();
    let info = json!({"method": "org.varlink.service.GetInfo"});
    let mut worst = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        let reply = daemon.connect().call(&info);
        worst = worst.max(asked.elapsed());
        assert_eq!(reply["parameters"]["product"], "mainstay");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        worst < Duration::from_secs(1),
        "others waited {worst:?} for a reader that does not read"
    );
    assert!(
        slow.0
            .write_all(b"{\"method\":\"dev.mainstay.Control.Status\"}\0")
            .is_err(),
        "the server has given it up"
    );
    assert!(
        daemon.asked.load(Ordering::Relaxed) < 8,
        "what nobody reads is not computed"
    );
}

#[test]
fn a_caller_that_leaves_before_the_answer_harms_nobody() {
    let daemon = Daemon::start();
    for _ in 0..200 {
        let mut raw = daemon.connect();
        let _ = raw
            .0
            .write_all(b"{\"method\":\"dev.mainstay.Control.Status\"}\0{\"meth");
    }
    answers_soon(&daemon);
}

fn events(parameters: Value) -> Value {
    json!({"method": "dev.mainstay.Control.Events", "parameters": parameters})
}

fn follow(parameters: Value) -> Value {
    let mut call = events(parameters);
    call["more"] = json!(true);
    call
}

fn seqs(reply: &Value) -> Vec<u64> {
    let events = reply["parameters"]["events"].as_array().expect("a list");
    events
        .iter()
        .map(|e| e["seq"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn events_come_by_number_instance_and_kind_and_say_what_is_gone() {
    let daemon = Daemon::start();
    for number in 0..60 {
        let instance = if number % 2 == 0 { "a" } else { "b" };
        daemon.history.happens(instance, "transition");
    }
    daemon.history.happens("a", "reload");
    let mut raw = daemon.connect();
    let reply = raw.call(&events(json!({"limit": 3})));
    assert_eq!(seqs(&reply), [59, 60, 61], "the newest, oldest first");
    assert_eq!(reply["parameters"]["last"], 61);
    assert_ne!(reply["continues"], true);
    let reply = raw.call(&events(json!({"since": 5, "limit": 2})));
    assert_eq!(seqs(&reply), [12, 13], "50 are kept");
    assert_eq!(reply["parameters"]["lost"], 6);
    assert_eq!(reply["parameters"]["first"], 12);
    let reply = raw.call(&events(json!({"since": 56, "instance": "b"})));
    assert_eq!(seqs(&reply), [58, 60]);
    let reply = raw.call(&events(json!({"kinds": ["reload"]})));
    assert_eq!(seqs(&reply), [61]);
    assert_eq!(reply["parameters"]["events"][0]["kind"], "reload");
    assert_eq!(reply["parameters"]["events"][0]["form"], 1);
}

#[test]
fn whoever_follows_gets_every_event_once_and_in_order() {
    let daemon = Daemon::start();
    daemon.history.happens("a", "transition");
    let mut raw = daemon.connect();
    let reply = raw.call(&follow(json!({"since": 0})));
    assert_eq!(reply["continues"], true, "{reply}");
    assert_eq!(seqs(&reply), [1]);
    for _ in 0..30 {
        daemon.history.happens("a", "transition");
    }
    let mut seen = Vec::new();
    while seen.len() < 30 {
        let reply = raw.receive().expect("more");
        assert_eq!(reply["continues"], true, "{reply}");
        seen.extend(seqs(&reply));
    }
    assert_eq!(seen, (2..=31).collect::<Vec<u64>>());
}

#[test]
fn a_follower_of_one_instance_is_not_woken_by_others() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    let first = raw.call(&follow(json!({"instance": "b"})));
    assert_eq!(seqs(&first), [0u64; 0], "the first reply comes at once");
    daemon.history.happens("a", "transition");
    daemon.history.happens("b", "transition");
    let reply = raw.receive().expect("more");
    assert_eq!(seqs(&reply), [2]);
}

#[test]
fn followers_are_bounded_and_their_places_come_back() {
    let daemon = Daemon::start();
    let mut all: Vec<Raw> = (0..8).map(|_| daemon.connect()).collect();
    for raw in &mut all {
        raw.call(&follow(json!({})));
    }
    let mut one_more = daemon.connect();
    let reply = one_more.call(&follow(json!({})));
    assert_eq!(reply["error"], "dev.mainstay.Control.TooManyFollowers");
    assert_eq!(reply["parameters"]["limit"], 8);
    // Whoever only asks is served all the same.
    answers(&mut daemon.connect());
    drop(all);
    let began = Instant::now();
    loop {
        let mut raw = daemon.connect();
        let reply = raw.call(&follow(json!({})));
        if reply.get("error").is_none() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{reply}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_follower_that_talks_is_let_go() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    raw.call(&follow(json!({})));
    let _ = raw
        .0
        .write_all(b"{\"method\":\"dev.mainstay.Control.Status\"}\0");
    assert_eq!(raw.receive(), None);
}

// The test runs as the user that the server runs as, so it may act.
#[test]
fn acts_reach_the_daemon_with_their_parameters_and_the_caller() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    let reply = raw.call(&json!({
        "method": "dev.mainstay.Control.Drain",
        "parameters": {"instance": "VI_1", "for_s": 7200, "reason": "upgrade", "force": true},
    }));
    assert_eq!(reply["parameters"]["done"], true, "{reply}");
    let refused = raw.call(&json!({"method": "dev.mainstay.Control.Takeover"}));
    assert_eq!(refused["error"], "dev.mainstay.Control.Impossible");
    assert_eq!(refused["parameters"]["reason"], "not now");
    // Without a reply, too.
    raw.send(b"{\"method\":\"dev.mainstay.Control.Reload\",\"oneway\":true}\0");
    answers(&mut raw);
    let acts = daemon.acts.lock().expect("not poisoned");
    let told = format!("{acts:?}");
    assert_eq!(acts.len(), 3, "{told}");
    for part in [
        "One(\"VI_1\")",
        "7200.0",
        "upgrade",
        "force: true",
        "dry_run: false",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let own = nix::unistd::geteuid().as_raw();
    assert!(acts.iter().all(|(_, uid)| *uid == own), "{told}");
}

/// The other side of the test below, which runs this binary again as another user; a run of its own
/// has nothing to ask.
#[test]
fn one_call_as_somebody_else() {
    let Some(dir) = std::env::var_os("SOCKET_DIR") else {
        return;
    };
    let method = std::env::var("CALL").expect("told by the test below");
    let mut call = json!({ "method": method });
    if method.ends_with(".SetTracker") {
        call["parameters"] = json!({"name": "db", "value": "down"});
    }
    let mut raw = Raw::connect(Path::new(&dir));
    println!("{}", raw.call(&call));
}

#[test]
fn a_stranger_in_the_group_reads_and_may_not_act() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: needs root to become somebody else");
        return;
    }
    let daemon = Daemon::start();
    daemon.history.happens("a", "transition");
    let socket = daemon.dir.path().join("control.sock");
    // What `control_group` does: the group may connect.
    std::fs::set_permissions(
        daemon.dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("opened");
    std::os::unix::fs::chown(&socket, None, Some(65_534)).expect("given to the group");
    // This binary again, as somebody else, from where somebody else can reach it.
    let copy = daemon.dir.path().join("client");
    std::fs::copy(std::env::current_exe().expect("known"), &copy).expect("copied");
    let ask = |group: &str, method: &str| -> String {
        let output = std::process::Command::new("setpriv")
            .args([
                "--reuid=65534",
                &format!("--regid={group}"),
                "--clear-groups",
            ])
            .arg(&copy)
            .args(["--exact", "--nocapture", "one_call_as_somebody_else"])
            .env("CALL", method)
            .env("SOCKET_DIR", daemon.dir.path())
            .output()
            .expect("util-linux is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let read = ask("65534", "dev.mainstay.Control.Events");
    assert!(read.contains("it happened"), "{read}");
    for method in ["Reload", "Drain", "Undrain", "Takeover"] {
        let told = ask("65534", &format!("dev.mainstay.Control.{method}"));
        assert!(
            told.contains("org.varlink.service.PermissionDenied"),
            "{method}: {told}"
        );
    }
    let outside = ask("65533", "dev.mainstay.Control.Status");
    assert!(outside.contains("PermissionDenied"), "{outside}");
    assert_eq!(daemon.acts.lock().expect("not poisoned").len(), 0);
    // Who may report is said in a tracker's block: the daemon decides, and knows who asks.
    let told = ask("65534", "dev.mainstay.Control.SetTracker");
    assert!(told.contains("\"done\":true"), "{told}");
    let acts = daemon.acts.lock().expect("not poisoned");
    assert!(
        matches!(&acts[..], [(Act::SetTracker { .. }, 65_534)]),
        "{acts:?}"
    );
}

#[test]
fn a_report_reaches_the_daemon_whole_and_trackers_are_listed() {
    let daemon = Daemon::start();
    let mut raw = daemon.connect();
    let mut report = |parameters: Value| {
        raw.call(&json!({
            "method": "dev.mainstay.Control.SetTracker",
            "parameters": parameters,
        }))
    };
    let done = report(json!({"name": "db", "value": "-5", "for_s": 2.5}));
    assert_eq!(done["parameters"]["done"], true, "{done}");
    for (parameters, wrong) in [
        (json!({"name": "db"}), "value"),
        (json!({"value": "up"}), "name"),
        (json!({"name": "db", "value": 5}), "value"),
        (json!({"name": "db", "value": "up", "for_s": 0}), "for_s"),
        (json!({"name": "db", "value": "up", "lease": 5}), "lease"),
        (json!({"name": "x".repeat(300), "value": "up"}), "name"),
    ] {
        let refused = report(parameters);
        assert_eq!(refused["error"], "org.varlink.service.InvalidParameter");
        assert_eq!(refused["parameters"]["parameter"], wrong, "{refused}");
    }
    let listed = raw.call(&json!({"method": "dev.mainstay.Control.Trackers"}));
    assert_eq!(listed["parameters"]["trackers"], json!([]), "{listed}");
    let acts = daemon.acts.lock().expect("not poisoned");
    let report = Act::SetTracker {
        name: "db".into(),
        value: "-5".into(),
        for_s: Some(2.5),
    };
    let own = nix::unistd::geteuid().as_raw();
    assert_eq!(acts[..], [(report, own)]);
}
