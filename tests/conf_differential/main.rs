//! Generated files, sound and mutated, are held before `keepalived -t` and before our checker, and
//! the verdicts compared: what keepalived accepts (exit 0, or 6 for scripts without security) draws at
//! most warnings of our own kind here; what it objects to draws at least a warning. Every deliberate
//! difference stands in [`OURS`] or [`THEIRS`], with its reason.
//!
//! `CASES=5000 SEED=7` plays more of them, from another start.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

mod generate;

use generate::{File, Rng, mutate};
use mainstay::conf::{self, Options, Severity};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// Findings of ours above a note about files that keepalived accepts: code, and why.
const OURS: &[(&str, &str)] = &[
    (
        "not-acted-on",
        "accepted by keepalived and acted on there; not yet here",
    ),
    (
        "include",
        "keepalived only logs that there is nothing to include; what should be there is lost",
    ),
    (
        "duplicate-name",
        "keepalived lets a second tracker of a name stand unused and says nothing",
    ),
    (
        "duplicate-address",
        "2.2.7 installs an address that is listed twice; 2.4 refuses the list's second",
    ),
    (
        "duplicate-peer",
        "2.2.7 sends to a peer twice that is listed twice",
    ),
    (
        "own-peer",
        "keepalived drops its own address from the peers with a log line",
    ),
    (
        "script-unquoted",
        "keepalived drops arguments of an unquoted command without a word",
    ),
    (
        "user-or-argument",
        "keepalived takes unquoted arguments for a user that does not exist, and only logs it",
    ),
    (
        "no-auth-type",
        "keepalived leaves authentication out without a word",
    ),
    (
        "two-directives",
        "keepalived takes the first directive of a line and drops the others without a word",
    ),
    (
        "strict",
        "keepalived only logs most of what strict mode takes away",
    ),
    (
        "contradiction",
        "keepalived only logs that one of two words has no effect",
    ),
    (
        "link-local-first",
        "keepalived sends an IPv6 list that does not begin with a link-local address",
    ),
    ("rounded", "keepalived only logs some roundings"),
    (
        "repeated-notify",
        "keepalived says that only of notify scripts it could use",
    ),
    (
        "bad-command",
        "keepalived takes a command without a word as no script",
    ),
    (
        "delay-limited",
        "keepalived only logs that it shortens a delay of an interface",
    ),
];

/// What keepalived 2.2.7 objects to and we do not: a part of its message, and why.
const THEIRS: &[(&str, &str)] = &[
    (
        "Non-existent interface specified",
        "interfaces come and go; `check --live` looks whether they are there",
    ),
    (
        "doesn't exist",
        "interfaces come and go; `check --live` looks whether they are there",
    ),
    (
        "Error setting global script uid/gid",
        "users are looked up by `check --scripts`",
    ),
    (
        "not found/accessible",
        "programs are looked at by `check --scripts`",
    ),
    (
        "track script chk not found",
        "because its user was not found, see above",
    ),
    (
        "track script up not found",
        "because its user was not found, see above",
    ),
    (
        "Unable to set default user",
        "users are looked up by `check --scripts`",
    ),
    (
        "Unable to set uid/gid for script",
        "users are looked up by `check --scripts`",
    ),
    (
        "Virtual server",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "virtual server",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "Invalid smtp server",
        "mail is not acted on yet, which a note tells",
    ),
    (
        "unknown route keyword",
        "static routes are not acted on yet, which a note tells",
    ),
    (
        "VRRP parsed invalid IP",
        "said of static routes, which are not acted on yet",
    ),
    (
        "starting `protocol`",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "already specified - ignoring",
        "said of global keywords that are not acted on here, which a note tells",
    ),
];

/// Errors of ours about files that keepalived accepts: code, a part of the text, and why.
const OUR_ERRORS: &[(&str, &str, &str)] = &[
    (
        "bad-boolean",
        "vrrp_skip_check_adv_addr",
        "2.2.7 does not look at the word behind it, which is mended since",
    ),
    (
        "bad-interface",
        "cannot be the name of an interface",
        "with dynamic_interfaces keepalived waits for ever for what no kernel can name so",
    ),
    (
        "missing-interface",
        "has no usable interface",
        "with dynamic_interfaces keepalived waits for ever for what no kernel can name so",
    ),
    (
        "tracks-nothing",
        "is empty",
        "keepalived follows a process without a name, which never runs",
    ),
    (
        "undefined-process",
        "is not usable",
        "keepalived follows a process without a name, which never runs",
    ),
];

/// What keepalived said.
struct Verdict {
    /// Its exit status; `None` if it crashed.
    status: Option<i32>,
    told: String,
}

/// What that amounts to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Accepted,
    Refused,
    /// It crashed, or its status 6 hides whether it objects to anything else.
    Nothing,
}

impl Verdict {
    fn says(&self) -> Says {
        let mut others = self
            .told
            .lines()
            .filter(|l| !l.starts_with("SECURITY VIOLATION"));
        match self.status {
            Some(0) => Says::Accepted,
            Some(6) if others.all(|l| l.trim().is_empty()) => Says::Accepted,
            Some(6) | None => Says::Nothing,
            Some(_) => Says::Refused,
        }
    }
}

/// 2.2.7 runs round in a circle over some files.
const PATIENCE: Duration = Duration::from_secs(1);

fn ask_keepalived(path: &Path) -> Verdict {
    let said = path.with_extension("said");
    let file = fs::File::create(&said).expect("made");
    let mut child = Command::new(KEEPALIVED)
        .arg("-t")
        .arg("-f")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .expect("keepalived starts");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break status.code(),
            None if Instant::now() > until => {
                child.kill().expect("our own child");
                child.wait().expect("our own child");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let told = fs::read(&said).expect("readable");
    Verdict {
        status,
        told: String::from_utf8_lossy(&told).into_owned(),
    }
}

/// Why the verdicts differ in a way that no list explains, if they do. `met` counts what explained.
fn compare(
    theirs: &Verdict,
    loaded: &conf::Loaded,
    met: &mut BTreeMap<&'static str, usize>,
) -> Option<String> {
    let ours = conf::exit_code(&loaded.diagnostics, false);
    if theirs.says() == Says::Nothing {
        return None;
    }
    if theirs.says() == Says::Accepted {
        // What keepalived does not read may contradict anything.
        if loaded
            .diagnostics
            .iter()
            .any(|d| d.code == "two-directives")
        {
            *met.entry("two-directives").or_default() += 1;
            return None;
        }
        for d in &loaded.diagnostics {
            let known =
                |(code, part, _): &(&str, &str, &str)| *code == d.code && d.text.contains(part);
            if d.severity == Severity::Note || OUR_ERRORS.iter().any(known) {
                continue;
            }
            match OURS.iter().find(|(code, _)| *code == d.code) {
                Some((code, _)) if d.severity == Severity::Warning => {
                    *met.entry(code).or_default() += 1
                }
                _ => return Some(format!("keepalived accepts it, but {} here", d.code)),
            }
        }
        return None;
    }
    if ours > 0 {
        return None;
    }
    let unexplained = theirs
        .told
        .lines()
        .filter(|line| !line.trim().is_empty())
        .find(|line| !THEIRS.iter().any(|(part, _)| line.contains(part)));
    match unexplained {
        Some(line) => Some(format!(
            "keepalived objects ({:?}), we do not: {line}",
            theirs.status
        )),
        None if theirs.told.trim().is_empty() => Some(format!(
            "keepalived ends with {:?} without a word",
            theirs.status
        )),
        None => None,
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn ip(batch: &[&str]) {
    for line in batch {
        let done = Command::new("ip").args(line.split(' ')).status();
        assert!(done.is_ok_and(|s| s.success()), "ip {line}");
    }
}

/// Runs on a thread of its own, in a network that ends with it.
fn judge_all() -> (usize, Vec<String>, BTreeMap<&'static str, usize>) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace of its own");
    ip(&[
        "link set lo up",
        "link add eth0 type veth peer name eth1",
        "addr add 10.0.0.5/24 dev eth0",
        "link set eth0 up",
        "link set eth1 up",
    ]);
    let mut cases = number("CASES", 600) as usize;
    let budget = Duration::from_secs(if cases > 600 { 3600 } else { 40 });
    let mut rng = Rng(number("SEED", 1));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("generated.conf");
    let (mut accepted, mut silent, mut wrong, mut met) = (0, 0, Vec::new(), BTreeMap::new());
    let begun = Instant::now();
    for case in 0..cases {
        // A busy machine plays fewer of them; how many is printed.
        if case >= 300 && begun.elapsed() > budget {
            cases = case;
            break;
        }
        let kind = case % 3;
        let file = File {
            wrong: if kind == 1 { 8 } else { 0 },
            rng: &mut rng,
            text: String::new(),
        };
        let mut text = file.whole();
        if kind == 2 {
            text = mutate(&mut rng, &text);
        }
        fs::write(&path, &text).expect("written");
        let theirs = ask_keepalived(&path);
        let loaded = conf::load(&path, &Options::default());
        accepted += usize::from(theirs.says() == Says::Accepted);
        silent += usize::from(theirs.says() == Says::Nothing);
        if let Some(keep) = std::env::var_os("KEEP")
            && theirs.says() == Says::Nothing
        {
            let name = format!("{case}-{:?}.conf", theirs.status);
            fs::write(Path::new(&keep).join(name), &text).expect("written");
        }
        if let Some(why) = compare(&theirs, &loaded, &mut met) {
            let report = conf::render(&loaded.diagnostics, &loaded.sources, false);
            wrong.push(format!(
                "== case {case}: {why}\n{text}-- keepalived: {:?}\n{}-- here:\n{report}",
                theirs.status, theirs.told
            ));
        }
    }
    println!("{silent} of {cases} files draw no verdict from keepalived");
    assert!(silent * 3 < cases, "{silent} of {cases} draw no verdict");
    (accepted, wrong, met)
}

#[test]
fn verdicts_agree_with_keepaliveds() {
    const NAME: &str = "verdicts_agree_with_keepaliveds";
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIP {NAME}: needs root");
        return;
    }
    if !Path::new(KEEPALIVED).exists() {
        eprintln!("SKIP {NAME}: needs {KEEPALIVED} (package keepalived)");
        return;
    }
    let (accepted, wrong, met) = std::thread::spawn(judge_all).join().expect("judged");
    println!("{accepted} files accepted by keepalived; explained differences: {met:?}");
    assert!(accepted > 50, "only {accepted} files are sound");
    let shown: Vec<_> = wrong
        .iter()
        .take(number("SHOW", 5) as usize)
        .cloned()
        .collect();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        shown.join("\n")
    );
}
