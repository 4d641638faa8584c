//! Against Debian's keepalived, in the same run, on the same kernel: `make bench`.
//!
//! Two namespaces and one veth between them; times are the kernel's own stamps on the receiving
//! end. Prints one table and exits non-zero if a row falls short of its goal.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "versus/handover.rs"]
mod handover;
#[path = "../tests/lab/mod.rs"]
mod support;

use handover::{Cast, Times};

use nix::sys::signal::Signal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use support::capture::{packet_socket, take};
use support::conf::{Conf, Instance};
use support::daemon::{Daemon, Kind};
use support::inject::{Craft, Injector};
use support::lab::Host;
use support::ns::Ns;
use support::{proc, secs, wait_until, wall_ns, watch};

/// Virtual routers on the link.
const ROUTERS: u8 = 255;
/// How often each pair of measurements is repeated, the two daemons in turn.
const ROUNDS: usize = 3;
/// Length of a measurement in seconds.
const WINDOW: f64 = 4.0;
/// Interval in the takeover rounds, in seconds.
const TAKEOVER_INTERVAL: f64 = 0.05;

/// One advert on the wire.
#[derive(Clone, Copy)]
struct Seen {
    at_ns: u64,
    /// Sent by the host whose namespace the tap is in.
    outgoing: bool,
    vrid: u8,
    priority: u8,
}

/// Two hosts, one cable, and a tap at the second host's end.
struct Cable {
    one: Host,
    two: Host,
    _dir: tempfile::TempDir,
}

/// Everything that passes a host's interface.
struct Tap {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    fn start(host: &Host) -> Self {
        let socket = host.ns.run(packet_socket);
        let seen = Arc::new(Mutex::new(Vec::with_capacity(400_000)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                let mut buffer = vec![0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Some(frame) = take(&socket, &mut buffer) else {
                        continue;
                    };
                    let bytes = frame.bytes;
                    // IPv4 without options, protocol 112.
                    if bytes.len() < 37 || bytes[12..15] != [8, 0, 0x45] || bytes[23] != 112 {
                        continue;
                    }
                    seen.lock().unwrap().push(Seen {
                        at_ns: frame.at_ns,
                        outgoing: frame.outgoing,
                        vrid: bytes[35],
                        priority: bytes[36],
                    });
                }
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    fn between(&self, from_ns: u64, to_ns: u64) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|s| s.at_ns >= from_ns && s.at_ns < to_ns)
            .copied()
            .collect()
    }

    /// Waits until all virtual routers have been heard from one side after `since_ns`.
    fn wait_all(&self, outgoing: bool, since_ns: u64, limit: f64) {
        wait_until("all virtual routers on the wire", secs(limit), || {
            let mut heard = [false; 256];
            for s in self.between(since_ns, u64::MAX) {
                if s.outgoing == outgoing && s.priority > 0 {
                    heard[usize::from(s.vrid)] = true;
                }
            }
            heard.iter().filter(|h| **h).count() == usize::from(ROUTERS)
        });
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Cable {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = |number: usize| {
            let home = dir.path().join(format!("r{number}"));
            std::fs::create_dir(&home).unwrap();
            Host {
                number,
                ns: Ns::new().unwrap(),
                dir: home,
            }
        };
        let (one, two) = (host(1), host(2));
        one.ns.ip(&format!(
            "link add eth0 type veth peer name eth0 netns {}\n",
            two.ns.path()
        ));
        for host in [&one, &two] {
            let n = host.number;
            host.ns.ip(&format!(
                "link set eth0 up\naddr add 10.9.0.{n}/16 dev eth0\n"
            ));
        }
        Self {
            one,
            two,
            _dir: dir,
        }
    }

    fn start(&self, host: &Host, kind: Kind, conf: &Conf) -> Daemon {
        Daemon::start(kind, host, conf, 2, "d")
    }
}

/// 255 virtual routers with one address each; nothing that the two daemons would do differently.
fn many(interval: f64, priority: impl Fn(u8) -> u8) -> Conf {
    let instances = (1..=ROUTERS)
        .map(|vrid| {
            Instance::v3(priority(vrid))
                .vrid(vrid)
                .every(interval)
                .vips(&[&format!("10.9.1.{vrid}/32")])
        })
        .collect();
    Conf {
        instances,
        ..Conf::default()
    }
    .globals("    vrrp_garp_master_repeat 1\n    vrrp_garp_master_delay 0\n    vrrp_rt_priority 20\n    vrrp_rlimit_rttime 10000000")
}

#[derive(Default)]
struct Figures {
    /// Microseconds of CPU per advert sent, one for each round.
    send_us: Vec<f64>,
    /// Gap on the wire minus interval, in milliseconds.
    late_ms: Vec<f64>,
    /// Adverts sent against what the interval asks for.
    sent: Vec<f64>,
    /// The same per advert received.
    receive_us: Vec<f64>,
    /// Adverts that arrived but were not counted, one for each round.
    missed: Vec<f64>,
    /// First advert after kill -9, beyond Active_Down_Interval, in milliseconds.
    takeover_ms: Vec<f64>,
    /// Resident memory with 255 masters, in KiB.
    rss_kib: Vec<f64>,
}

/// Packets that came in over eth0 of a host.
fn packets_in(host: &Host) -> u64 {
    let text = host
        .ns
        .run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:"));
    let word = line.and_then(|l| l.split_whitespace().nth(1));
    word.and_then(|w| w.parse().ok()).expect("eth0 counts")
}

fn sending(kind: Kind, into: &mut Figures) {
    let cable = Cable::new();
    let tap = Tap::start(&cable.two);
    let daemon = cable.start(&cable.one, kind, &many(0.01, |_| 200));
    tap.wait_all(false, 0, 20.0);
    watch(secs(2.0));
    // First when the adverts leave, seen by the tap.
    let from = wall_ns();
    watch(secs(WINDOW));
    let to = wall_ns();
    watch(secs(0.2));
    let seen = tap.between(from, to);
    drop(tap);
    let wanted = f64::from(ROUTERS) * (to - from) as f64 / 1e7;
    into.sent.push(seen.len() as f64 / wanted);
    let mut last = [0u64; 256];
    for s in seen {
        let before = std::mem::replace(&mut last[usize::from(s.vrid)], s.at_ns);
        if before > 0 {
            into.late_ms.push((s.at_ns - before) as f64 / 1e6 - 10.0);
        }
    }
    // Then what they cost, without the tap: its work would be put on the sender's account.
    let pid = daemon.main.pid();
    let (cpu, packets) = (proc::cpu_ns(pid), packets_in(&cable.two));
    watch(secs(WINDOW));
    let (cpu, packets) = (proc::cpu_ns(pid) - cpu, packets_in(&cable.two) - packets);
    into.send_us.push(cpu as f64 / 1e3 / packets as f64);
    into.rss_kib.push(proc::rss_kib(pid) as f64);
}

/// The least it can cost: prepared adverts out of a bare loop, 255 every 10 ms, on the same kind of
/// socket. Microseconds of CPU for each.
fn bare_loop() -> f64 {
    let cable = Cable::new();
    let injector = Injector::v4(&cable.one);
    let messages: Vec<Vec<u8>> = (1..=ROUTERS)
        .map(|vrid| vec![0x31, vrid, 200, 1, 0, 1, 0, 0, 10, 9, 1, vrid])
        .collect();
    std::thread::spawn(move || {
        let spent = || {
            let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            text.split(' ')
                .next()
                .and_then(|w| w.parse::<f64>().ok())
                .unwrap()
        };
        let (before, mut next, turns) = (spent(), std::time::Instant::now(), 200);
        for _ in 0..turns {
            for message in &messages {
                injector.send_prepared(message);
            }
            next += secs(0.01);
            std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
        }
        (spent() - before) / 1e3 / f64::from(turns) / f64::from(ROUTERS)
    })
    .join()
    .unwrap()
}

/// What the daemon itself counted as received, over all instances.
fn received(daemon: &Daemon) -> i64 {
    if daemon.kind == Kind::Mainstay {
        let status = daemon.status().expect("mainstay answers");
        let instances = status["instances"].as_array().unwrap();
        return instances
            .iter()
            .filter_map(|i| i["counters"]["advert_rcvd"].as_i64())
            .sum();
    }
    let file = daemon.dir.join("keepalived.stats");
    let _ = std::fs::remove_file(&file);
    daemon.main.signal(Signal::SIGUSR2);
    // The file appears first and is filled afterwards.
    let mut counts = Vec::new();
    wait_until("keepalived's statistics", secs(5.0), || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let after = |word: &str| -> Vec<i64> {
            text.lines()
                .filter_map(|l| l.trim().strip_prefix(word))
                .filter_map(|n| n.trim().parse().ok())
                .collect()
        };
        // Each instance has two of this name: adverts, then priority zero.
        counts = after("Received:")
            .chunks(2)
            .filter_map(|c| c.first().copied())
            .collect();
        text.matches("VRRP Instance:").count() == usize::from(ROUTERS)
            && counts.len() == usize::from(ROUTERS)
    });
    counts.iter().sum()
}

fn receiving(kind: Kind, into: &mut Figures) {
    let cable = Cable::new();
    let daemon = cable.start(&cable.two, kind, &many(0.1, |_| 100));
    let injector = Injector::v4(&cable.one);
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(Mutex::new(0i64));
    // The same adverts for both, 255 every 10 ms. They announce 0.1 s, so that a hiccup of the
    // sender makes nobody master and the figures are those of receiving alone.
    let sender = std::thread::spawn({
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        move || {
            let mut next = std::time::Instant::now();
            while !stop.load(Ordering::Relaxed) {
                // Held for a whole turn, so that a count never falls into the middle of one.
                let mut sent = sent.lock().unwrap();
                for vrid in 1..=ROUTERS {
                    injector.send(&Craft {
                        vrid,
                        addresses: vec![std::net::Ipv4Addr::new(10, 9, 1, vrid)],
                        ..Craft::v3(200, 10)
                    });
                }
                *sent += i64::from(ROUTERS);
                drop(sent);
                next += secs(0.01);
                std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
            }
        }
    });
    let counting = |daemon: &Daemon| {
        // Quiet before each count, or what is under way would look lost.
        let held = sent.lock().unwrap();
        watch(secs(0.1));
        (*held, received(daemon))
    };
    watch(secs(3.0));
    let before = counting(&daemon);
    let pid = daemon.main.pid();
    let (cpu, start) = (proc::cpu_ns(pid), *sent.lock().unwrap());
    watch(secs(WINDOW));
    let (used, end) = (proc::cpu_ns(pid) - cpu, *sent.lock().unwrap());
    let after = counting(&daemon);
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    into.receive_us
        .push(used as f64 / 1e3 / (end - start) as f64);
    into.missed
        .push(((after.0 - before.0) - (after.1 - before.1)) as f64);
}

fn takeover(kind: Kind, into: &mut Figures) {
    let cable = Cable::new();
    let tap = Tap::start(&cable.two);
    let mut master = cable.start(&cable.one, kind, &many(TAKEOVER_INTERVAL, |_| 254));
    tap.wait_all(false, 0, 20.0);
    watch(secs(1.0));
    // Different priorities, so that not all timers end at once: each takeover stands for itself.
    let lower = |vrid: u8| vrid.min(253);
    let _backup = cable.start(&cable.two, kind, &many(TAKEOVER_INTERVAL, lower));
    watch(secs(2.5));
    let killed = wall_ns();
    master.kill9();
    tap.wait_all(true, killed, 5.0);
    watch(secs(0.2));
    let seen = tap.between(0, u64::MAX);
    for vrid in 1..=ROUTERS {
        let mine = || seen.iter().filter(|s| s.vrid == vrid);
        let last = mine()
            .rev()
            .find(|s| !s.outgoing)
            .expect("the master was heard");
        let Some(first) = mine().find(|s| s.outgoing && s.at_ns > last.at_ns) else {
            continue;
        };
        let down = Instance::v3(1).every(TAKEOVER_INTERVAL).down(lower(vrid));
        into.takeover_ms
            .push((first.at_ns - last.at_ns) as f64 / 1e6 - down * 1e3);
    }
}

fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

fn worst(values: &[f64]) -> f64 {
    percentile(values, 100.0)
}

fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 - 1.0) * percent / 100.0).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The table, and whether a row fell short.
struct Table {
    short: usize,
}

impl Table {
    fn head() -> Self {
        println!(
            "\n{:<48} {:>10} {:>10} {:>7}  goal",
            "", "mainstay", "keepalived", "ratio"
        );
        Self { short: 0 }
    }

    fn row(&mut self, what: &str, ours: f64, theirs: f64, goal: &str, met: Option<bool>) {
        let verdict = match met {
            None => "",
            Some(true) => "  met",
            Some(false) => "  FALLS SHORT",
        };
        self.short += usize::from(met == Some(false));
        let ratio = ours / theirs;
        println!("{what:<48} {ours:>10.3} {theirs:>10.3} {ratio:>7.2}  {goal}{verdict}");
    }
}

fn main() -> ExitCode {
    if !std::env::args().any(|a| a == "--bench") {
        println!("versus: measures only under cargo bench");
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new("/usr/sbin/keepalived").exists() {
        eprintln!("versus: needs root and keepalived (as root: make deps)");
        return ExitCode::FAILURE;
    }
    type Part = fn(Kind, &mut Figures);
    let parts: [(&str, Part); 3] = [
        ("sending", sending),
        ("receiving", receiving),
        ("takeover", takeover),
    ];
    // `make bench B=receiving` measures a part of it.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    let handovers = if wanted.is_empty() || wanted.iter().any(|w| w == "handover") {
        eprintln!("handover, three pairs of routers side by side");
        handovers()
    } else {
        Default::default()
    };
    for round in 1..=ROUNDS {
        for (name, part) in &parts {
            if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
                continue;
            }
            eprintln!("round {round} of {ROUNDS}: {name}");
            part(Kind::Mainstay, &mut ours);
            part(Kind::Keepalived, &mut theirs);
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\n255 virtual routers on one link; {ROUNDS} rounds in turn; load at the end {}",
        load.trim()
    );
    println!(
        "a bare loop of sendto on a raw socket: {:.3} us per advert",
        bare_loop()
    );
    println!(
        "tracked handover: one virtual router, advert_int 1, 120 to 80 against 100, fall 2; {} falls \
         of each pair, from the exit of the second failed run to the backup's first advert",
        handover::FALLS
    );
    report(&ours, &theirs, &handovers)
}

/// Mainstay twice, Mainstay with keepalived as its backup, keepalived twice.
fn handovers() -> [Times; 3] {
    let (ours, theirs) = (Kind::Mainstay, Kind::Keepalived);
    let pairs = [(ours, ours), (ours, theirs), (theirs, theirs)];
    // Each waits most of the time; one thread each, because its daemons end with it.
    pairs
        .map(|(master, backup)| {
            std::thread::spawn(move || handover::measure(Cast { master, backup }))
        })
        .map(|thread| thread.join().unwrap())
}

fn report(ours: &Figures, theirs: &Figures, handovers: &[Times; 3]) -> ExitCode {
    let mut table = Table::head();
    let [alone, mixed, plain] = handovers;
    let soon = |ms: f64, _: f64| Some(ms < Times::skew() + 5.0);
    for (what, get) in [
        ("median", Times::median as fn(&Times) -> f64),
        ("worst", Times::worst),
    ] {
        for (times, backup) in [(alone, ""), (mixed, ", keepalived backup")] {
            let (a, b) = (get(times), get(plain));
            if !a.is_nan() {
                let what = format!("tracked handover{backup}, {what}, ms");
                table.row(&what, a, b, "< Skew_Time + 5", soon(a, b));
            }
        }
    }
    let mut row = |what: &str,
                   get: &dyn Fn(&Figures) -> f64,
                   goal: &str,
                   met: &dyn Fn(f64, f64) -> Option<bool>| {
        let (a, b) = (get(ours), get(theirs));
        if a.is_nan() {
            return;
        }
        table.row(what, a, b, goal, met(a, b));
    };
    let told = |_: f64, _: f64| None;
    row(
        "adverts sent at 10 ms, share of 25,500/s",
        &|f| median(&f.sent),
        "all (0.999)",
        &|a, _| Some(a >= 0.999),
    );
    row(
        "CPU per advert sent, us",
        &|f| median(&f.send_us),
        "ratio <= 0.25",
        &|a, b| Some(a <= b / 4.0),
    );
    row(
        "lateness of an advert, median, ms",
        &|f| percentile(&f.late_ms, 50.0),
        "",
        &told,
    );
    row(
        "lateness of an advert, p99, ms",
        &|f| percentile(&f.late_ms, 99.0),
        "< 1",
        &|a, _| Some(a < 1.0),
    );
    row(
        "lateness of an advert, worst, ms",
        &|f| percentile(&f.late_ms, 100.0),
        "",
        &told,
    );
    row(
        "CPU per advert received, us",
        &|f| median(&f.receive_us),
        "ratio <= 0.5",
        &|a, b| Some(a <= b / 2.0),
    );
    row(
        "adverts received but missed",
        &|f| worst(&f.missed),
        "0",
        &|a, _| Some(a <= 0.0),
    );
    row(
        "takeover beyond Active_Down_Interval, median, ms",
        &|f| median(&f.takeover_ms),
        "< 0.25",
        &|a, _| Some(a < 0.25),
    );
    row(
        "takeover beyond Active_Down_Interval, p99, ms",
        &|f| percentile(&f.takeover_ms, 99.0),
        "< 1",
        &|a, _| Some(a < 1.0),
    );
    row(
        "takeovers seen",
        &|f| {
            let seen = f.takeover_ms.len() as f64;
            if seen > 0.0 { seen } else { f64::NAN }
        },
        "all",
        &|a, _| Some(a as usize == usize::from(ROUTERS) * ROUNDS),
    );
    row(
        "resident memory of 255 masters, MiB",
        &|f| median(&f.rss_kib) / 1024.0,
        "<= 7 and <= keepalived's",
        &|a, b| Some(a <= 7.0 && a <= b),
    );
    if table.short == 0 {
        println!("\nevery goal is met");
        ExitCode::SUCCESS
    } else {
        println!("\n{} of the goals are not met", table.short);
        ExitCode::FAILURE
    }
}
