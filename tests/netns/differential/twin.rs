//! Mainstay and keepalived with the same configuration, each alone on a wire of its own, and what
//! is done to both.

use super::case::{Case, WIRE, process_name};
use super::steps::{Action, By};
use crate::support::capture::Capture;
use crate::support::daemon::mainstay;
use crate::support::ns::Ns;
use crate::support::proc::Proc;
use crate::support::{INTERRUPTED, wall_ns};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The two, in the order of the arrays below.
pub(super) const NAMES: [&str; 2] = ["mainstay", "keepalived"];

/// A step's changes have arrived this long after it; adverts before that are not looked at.
const ARRIVED: u64 = 120_000_000;
/// Silence is what lasts this long.
const SILENT: u64 = 1_000_000_000;
/// When both must say the same at the latest. Within it a busy machine has caught up.
const LIMIT: u64 = 6_000_000_000;
/// A run starts once a second.
const RUN_LIMIT: Duration = Duration::from_secs(8);

/// Scripts that run at all have begun by then.
const STARTED: Duration = Duration::from_secs(4);

/// One daemon in its namespace.
struct Side {
    ns: Ns,
    dir: PathBuf,
    daemon: Proc,
    /// Results its scripts were given.
    fed: Vec<usize>,
}

/// Both of them.
pub(super) struct Twin {
    sides: [Side; 2],
    capture: Capture,
    ear: Ns,
    /// Frames read so far, and the last advert of each (side, VRID) that is not a release.
    read: usize,
    last: HashMap<(usize, u8), (u64, u8)>,
    vrids: Vec<u8>,
    processes: Vec<Vec<Child>>,
    mark: String,
    dir: PathBuf,
}

/// What the two say of a VRID; `None` is silence.
pub(super) type Said = Vec<(u8, [Option<u8>; 2])>;

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("the test's folder takes files");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
}

fn lay_out(case: &Case, dir: &Path) {
    fs::create_dir_all(dir).expect("a folder of the test");
    for n in 0..case.scripts.len() {
        let at = dir.join(format!("s{n}"));
        // keepalived 2.2.7 starts another run beside one that is two intervals old: each has a
        // FIFO of its own, and only the run that is fed ends.
        let text = format!(
            "#!/bin/sh\nmkfifo {at}.$$\necho $$ >>{at}.runs\nread -r status <{at}.$$\nexit \"$status\"\n",
            at = at.display()
        );
        executable(&at, &text);
    }
    for (n, file) in case.files.iter().enumerate() {
        if let Some(value) = file.at_start {
            fs::write(dir.join(format!("f{n}")), value).expect("the test's folder takes files");
        }
    }
}

impl Twin {
    /// Starts both. `mark` is a short word that nobody else's processes have in their names.
    pub(super) fn start(case: &Case, dir: &Path, mark: &str) -> Result<Self, String> {
        let ear = Ns::new().expect("a network namespace");
        let mut links = Vec::new();
        let mut twin_processes: Vec<Vec<Child>> = Vec::new();
        fs::create_dir_all(dir).expect("a folder of the test");
        for n in 0..case.processes.len() {
            // The name of a process is that of its file.
            let program = dir.join(process_name(mark, n));
            std::os::unix::fs::symlink("/bin/sleep", program).expect("the test's folder");
            twin_processes.push(Vec::new());
        }
        let sides = [0, 1].map(|side| {
            let ns = Ns::new().expect("a network namespace");
            ns.sysctl("ipv6/conf/default/accept_dad", "0");
            let mut batch = format!(
                "link add {WIRE} type veth peer name p{side} netns {}\n\
                 addr add 10.9.0.1/24 dev {WIRE}\nlink set {WIRE} up\n",
                ear.path()
            );
            for (n, up) in case.links.iter().enumerate() {
                let carrier = if *up { "up" } else { "down" };
                batch += &format!(
                    "link add t{n} type veth peer name q{n}\nlink set t{n} up\nlink set q{n} {carrier}\n"
                );
            }
            ns.ip(&batch);
            ear.ip(&format!("link set p{side} up\n"));
            let listing = ear.sh(&format!("cat /sys/class/net/p{side}/ifindex 2>/dev/null || ip -o link show p{side}"));
            let index = listing.split([':', '\n']).next().and_then(|w| w.trim().parse().ok());
            links.push((index.expect("the port was just made"), side));
            let dir = dir.join(NAMES[side]);
            lay_out(case, &dir);
            (ns, dir)
        });
        let capture = Capture::start(&ear, links);
        let mut twin_sides = Vec::new();
        for (side, (ns, dir)) in sides.into_iter().enumerate() {
            let mut daemon = start_daemon(side, case, &ns, &dir, mark);
            if side == 1 && !case.processes.is_empty() {
                // Its first question to the kernel may be lost among news of other processes.
                for _ in 0..5 {
                    if hears_of_processes(&daemon)? {
                        break;
                    }
                    drop(daemon);
                    fs::remove_file(dir.join("log")).map_err(|e| e.to_string())?;
                    daemon = start_daemon(side, case, &ns, &dir, mark);
                }
                if !hears_of_processes(&daemon)? {
                    return Err("keepalived does not hear of processes".to_owned());
                }
            }
            twin_sides.push(Side {
                ns,
                dir,
                daemon,
                fed: vec![0; case.scripts.len()],
            });
        }
        let sides = twin_sides.try_into().ok().expect("two sides");
        let mut twin = Self {
            sides,
            capture,
            ear,
            read: 0,
            last: HashMap::new(),
            vrids: case.instances.iter().map(|i| i.vrid).collect(),
            processes: twin_processes,
            mark: mark.to_owned(),
            dir: dir.to_owned(),
        };
        for (n, process) in case.processes.iter().enumerate() {
            for _ in 0..process.at_start {
                twin.start_process(n);
            }
        }
        Ok(twin)
    }

    /// The scripts that run: both daemons must run the same.
    pub(super) fn running(&self) -> Result<Vec<usize>, String> {
        let begun = Instant::now();
        let scripts = self.sides[0].fed.len();
        loop {
            let ran = [0, 1].map(|side| -> Vec<usize> {
                let dir = &self.sides[side].dir;
                let has_run = |n: &usize| dir.join(format!("s{n}.runs")).exists();
                (0..scripts).filter(has_run).collect()
            });
            let all = ran.iter().all(|r| r.len() == scripts);
            if all || begun.elapsed() > STARTED {
                let [ours, theirs] = ran;
                return if ours == theirs {
                    Ok(ours)
                } else {
                    Err(format!(
                        "scripts that run: ours {ours:?}, theirs {theirs:?}"
                    ))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Does this to both.
    pub(super) fn play(&mut self, actions: &[Action]) -> Result<(), String> {
        let mut runs = Vec::new();
        for action in actions {
            match action {
                Action::Result(n, status) => {
                    for side in 0..2 {
                        runs.push((side, self.feed(side, *n, *status)?));
                    }
                }
                Action::Value(n, by, value) => {
                    for side in &self.sides {
                        let file = side.dir.join(format!("f{n}"));
                        let at = match by {
                            By::Write => file.clone(),
                            By::Rename => file.with_extension("new"),
                        };
                        fs::write(&at, value).expect("the test's folder takes files");
                        if *by == By::Rename {
                            fs::rename(&at, &file).expect("a file of ours");
                        }
                    }
                }
                Action::Delete(n) => {
                    for side in &self.sides {
                        // It may be gone already.
                        let _ = fs::remove_file(side.dir.join(format!("f{n}")));
                    }
                }
                Action::Admin(n, up) => {
                    for side in &self.sides {
                        side.ns.ip(&format!("link set t{n} {}\n", word(*up)));
                    }
                }
                Action::Carrier(n, up) => {
                    for side in &self.sides {
                        side.ns.ip(&format!("link set q{n} {}\n", word(*up)));
                    }
                }
                Action::Wire(up) => {
                    let up = word(*up);
                    self.ear
                        .ip(&format!("link set p0 {up}\nlink set p1 {up}\n"));
                }
                Action::Start(n) => self.start_process(*n),
                Action::End(n) => {
                    if let Some(mut child) = self.processes[*n].pop() {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            }
        }
        // Once it is gone from the table its daemon has its result.
        for (side, pid) in runs {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            self.until(side, &format!("reaping its run {pid}"), || {
                (!proc.exists()).then_some(())
            })?;
        }
        Ok(())
    }

    fn start_process(&mut self, n: usize) {
        let child = Command::new(self.dir.join(process_name(&self.mark, n)))
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep starts");
        self.processes[n].push(child);
    }

    /// Gives the oldest run that waits, or the next one, its status. The run's process.
    fn feed(&mut self, side: usize, n: usize, status: u8) -> Result<u32, String> {
        let runs = self.sides[side].dir.join(format!("s{n}.runs"));
        let fed = self.sides[side].fed[n];
        let what = format!("run {} of s{n}", fed + 1);
        let pid: u32 = self.until(side, &what, || {
            let text = fs::read_to_string(&runs).unwrap_or_default();
            let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            whole.lines().nth(fed)?.parse().ok()
        })?;
        // The shell opens its end a moment later.
        let fifo = runs.with_extension(pid.to_string());
        let mut fifo = self.until(side, &format!("{what} reading"), || {
            fs::File::options()
                .write(true)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open(&fifo)
                .ok()
        })?;
        writeln!(fifo, "{status}").map_err(|e| format!("{}: s{n}: {e}", NAMES[side]))?;
        self.sides[side].fed[n] += 1;
        Ok(pid)
    }

    fn until<T>(
        &self,
        side: usize,
        what: &str,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        let begun = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if begun.elapsed() > RUN_LIMIT || INTERRUPTED.load(Ordering::Relaxed) {
                return Err(format!("{}: no {what}", NAMES[side]));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until both say the same of every VRID, or until they never will.
    pub(super) fn settle(&mut self) -> Result<Said, (String, Said)> {
        let since = wall_ns();
        loop {
            let now = wall_ns();
            self.listen();
            let mut said = Said::new();
            let mut settled = now > since + ARRIVED;
            for vrid in &self.vrids {
                let heard = [0, 1].map(|side| {
                    let last = self.last.get(&(side, *vrid));
                    // Who looks for processes once a second may have gone on for a while.
                    last.filter(|(at, _)| *at > since + ARRIVED && at + SILENT > now)
                        .copied()
                });
                said.push((*vrid, heard.map(|h| h.map(|(_, priority)| priority))));
                settled &= match heard {
                    [Some(ours), Some(theirs)] => ours.1 == theirs.1,
                    [None, None] => now > since + SILENT,
                    [Some(_), None] | [None, Some(_)] => false,
                };
            }
            if settled {
                return Ok(said);
            }
            for (side, name) in self.sides.iter_mut().zip(NAMES) {
                if let Some(status) = side.daemon.ended() {
                    return Err((format!("{name} ended: {status}"), said));
                }
            }
            if now > since + LIMIT || INTERRUPTED.load(Ordering::Relaxed) {
                return Err(("they differ".to_owned(), said));
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn listen(&mut self) {
        let frames = self.capture.frames();
        for frame in frames.iter().skip(self.read) {
            if let Some(advert) = frame.advert().filter(|a| a.priority > 0) {
                let key = (frame.from, advert.vrid);
                self.last.insert(key, (frame.at_ns, advert.priority));
            }
        }
        self.read = frames.len();
    }

    /// What the daemons wrote last.
    pub(super) fn logs(&self) -> String {
        let mut out = String::new();
        for (side, name) in self.sides.iter().zip(NAMES) {
            let text = side.daemon.output();
            let lines: Vec<&str> = text
                .lines()
                .filter(|l| {
                    !["gratuitous ARP", "skipping run", "proc_events"]
                        .iter()
                        .any(|w| l.contains(w))
                })
                .collect();
            let from = lines.len().saturating_sub(60);
            out += &format!("---- {name}\n{}\n", lines[from..].join("\n"));
        }
        out
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// Whether the kernel tells keepalived of processes.
fn hears_of_processes(daemon: &Proc) -> Result<bool, String> {
    let begun = Instant::now();
    while begun.elapsed() < RUN_LIMIT {
        let said = daemon.output();
        if said.contains("does not support proc events") {
            return Ok(false);
        }
        if said.contains("proc_events has confirmed it is configured") {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("keepalived does not start\n{}", daemon.output()))
}

fn start_daemon(side: usize, case: &Case, ns: &Ns, dir: &Path, mark: &str) -> Proc {
    let file = dir.join("router.conf");
    let path = |name: &str| dir.join(name).display().to_string();
    let log = dir.join("log");
    let name = format!("{} of {mark}", NAMES[side]);
    // keepalived hears of processes in the first network namespace alone: it is started there and
    // moves by itself, to a name that only its own mount namespace knows.
    let moves = side == 1 && !case.processes.is_empty();
    let head = if moves {
        format!("net_namespace {mark}\n")
    } else {
        String::new()
    };
    let text = case.text(&dir.display().to_string(), mark, &head);
    fs::write(&file, text).expect("the test's folder takes files");
    let file = path("router.conf");
    if side == 0 {
        let (binary, run) = (mainstay().display().to_string(), path("run"));
        let argv = [&*binary, "run", "-f", &file, "--runtime-dir", &run];
        return ns.run(|| Proc::start(&name, &argv, &[], &log));
    }
    let (parent, child, folder) = (path("parent.pid"), path("vrrp.pid"), path(""));
    let keepalived = [
        "/usr/sbin/keepalived",
        "-n",
        "-l",
        "-D",
        "-P",
        "-G",
        "-f",
        &file,
        "-p",
        &parent,
        "-r",
        &child,
    ];
    let env = [("TMPDIR", &*folder)];
    if !moves {
        return ns.run(|| Proc::start(&name, &keepalived, &env, &log));
    }
    let names = format!(
        "mount -t tmpfs tmpfs /run && mkdir /run/netns && touch /run/netns/{mark} && \
         mount --bind {} /run/netns/{mark} && exec \"$@\"",
        ns.path()
    );
    let mut argv = vec!["unshare", "-m", "sh", "-c", &names, "sh"];
    argv.extend(keepalived);
    Proc::start(&name, &argv, &env, &log)
}
