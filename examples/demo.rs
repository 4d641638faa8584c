//! The main job before your eyes: two routers, a failing script, a takeover, the recovery, a killed
//! master. `make demo` builds and runs it.
//!
//! What is printed is what was seen: frames captured on the bridge, the daemons' own logs and
//! status, and a client that pings the virtual address all the time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "demo/pinger.rs"]
mod pinger;
#[path = "../tests/lab/mod.rs"]
mod support;
#[path = "demo/timeline.rs"]
mod timeline;

use pinger::Pinger;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use support::conf::{Conf, Instance};
use support::daemon::{Daemon, Kind, mainstay};
use support::lab::Lab;
use timeline::Timeline;
use tokio::signal::unix::{SignalKind, signal};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 51);
const INSIDE: &str = "MAINSTAY_DEMO_INSIDE";

fn main() -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        return in_a_user_namespace();
    }
    if let Some(lack) = lacking() {
        eprintln!("demo: {lack}");
        return ExitCode::FAILURE;
    }
    stop_on_signals();
    panic::set_hook(Box::new(|info| {
        if !info.payload().is::<support::Interrupted>() {
            eprintln!("demo: {info}");
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(demo)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(payload) if payload.is::<support::Interrupted>() => {
            eprintln!("\ndemo: interrupted; everything is put away");
            ExitCode::from(130)
        }
        Err(_) => {
            for line in support::take_notes() {
                eprintln!("    {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Without root: the same program as root of a user namespace of its own.
fn in_a_user_namespace() -> ExitCode {
    let unshare = ["--user", "--map-root-user", "--net", "--mount", "--"];
    let allowed = Command::new("unshare")
        .args(unshare)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    match allowed {
        Ok(status) if status.success() && std::env::var_os(INSIDE).is_none() => {}
        Ok(_) => {
            eprintln!(
                "demo: needs root: this kernel does not let you make a user namespace (try: sudo make demo)"
            );
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("demo: needs root, or the unshare program of util-linux: {error}");
            return ExitCode::FAILURE;
        }
    }
    println!("not root: playing inside a user namespace of its own");
    let own = std::env::current_exe().expect("own path is known");
    let error = Command::new("unshare")
        .args(unshare)
        .arg(own)
        .env(INSIDE, "1")
        .exec();
    eprintln!("demo: unshare: {error}");
    ExitCode::FAILURE
}

/// What is not here but needed.
fn lacking() -> Option<String> {
    if !mainstay().exists() {
        return Some(format!(
            "{} is not built (make demo builds it)",
            mainstay().display()
        ));
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    for (program, package) in [("ip", "iproute2"), ("setpriv", "util-linux")] {
        if !path
            .split(':')
            .any(|dir| Path::new(dir).join(program).exists())
        {
            return Some(format!("{program} is not installed (package {package})"));
        }
    }
    let kernel = support::ns::Ns::new();
    kernel
        .err()
        .map(|e| format!("no network namespace can be made: {e}"))
}

/// SIGINT, SIGTERM and SIGHUP make every wait fail, so that the ordinary clean-up runs.
fn stop_on_signals() {
    // Handlers and not a blocked mask: started programs inherit a mask.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for three signals");
    let (ready, installed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let mut on = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ]
            .map(|kind| signal(kind).expect("a signal handler"));
            let _ = ready.send(());
            let [a, b, c] = &mut on;
            tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
            support::INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
    installed.recv().expect("the handlers are installed");
}

fn conf(priority: u8, flag: &Path) -> Conf {
    let mut conf = Conf::one(
        Instance::v3(priority)
            .every(0.5)
            .with("track_script {\n        service\n    }"),
    )
    .blocks(&format!(
        "vrrp_script service {{\n    script \"/usr/bin/test -e {}\"\n    interval 0.5\n    \
         rise 2\n    fall 2\n    weight -100\n    user root\n}}",
        flag.display()
    ));
    conf.args = vec!["--log-format", "json"];
    conf
}

/// What became of one act.
struct Verdict {
    name: &'static str,
    /// Who was to begin advertising.
    who: usize,
    from_ns: u64,
    to_ns: u64,
    /// First advert of the new master after the act began.
    took_ns: Option<u64>,
}

struct Play {
    lab: Lab,
    line: Timeline,
    pinger: Pinger,
    verdicts: Vec<Verdict>,
}

fn demo() -> bool {
    println!("two routers and a client on one bridge; the virtual address is {VIP}\n");
    let lab = Lab::new(2);
    let flags = [1, 2].map(|n| lab.host(n).dir.join("service-is-well"));
    for flag in &flags {
        std::fs::write(flag, "").expect("the lab's folder takes files");
    }
    let (high, low) = (conf(150, &flags[0]), conf(100, &flags[1]));
    let pinger = Pinger::start(lab.host(0), VIP);
    let mut play = Play {
        lab,
        line: Timeline::new(),
        pinger,
        verdicts: Vec::new(),
    };

    let began = play
        .line
        .act("r1 starts with priority 150 and r2 with 100; each tracks a script (weight -100)");
    let mut r1 = play.start(1, &high);
    let mut r2 = play.start(2, &low);
    play.expect("election", 1, began, 8.0);
    play.status(&r1, &r2);

    let failing = play.line.act("the script on r1 begins to fail");
    std::fs::remove_file(&flags[0]).expect("it was written above");
    play.expect("takeover", 2, failing, 8.0);
    play.status(&r1, &r2);

    let well = play.line.act("the script on r1 succeeds again");
    std::fs::write(&flags[0], "").expect("the lab's folder takes files");
    play.expect("recovery", 1, well, 8.0);
    play.status(&r1, &r2);

    let killed = play
        .line
        .act("r1's daemon is killed with kill -9 (its kernel keeps the address)");
    r1.kill9();
    play.expect("kill", 2, killed, 8.0);
    play.line.play(&play.lab, &play.pinger, 0.5);
    play.table(&[("r2", &r2)]);

    drop(r1);
    let again = play
        .line
        .act("r1 starts again, finds what it left and removes it");
    r1 = play.start(1, &high);
    play.expect("return", 1, again, 8.0);
    play.status(&r1, &r2);

    let stopped = play.line.act("r1 is asked to stop (SIGTERM)");
    r1.term();
    play.expect("goodbye", 2, stopped, 8.0);
    r2.term();
    play.line.finish(&play.lab, &play.pinger);
    play.summary()
}

impl Play {
    fn start(&mut self, n: usize, conf: &Conf) -> Daemon {
        let daemon = self.lab.start(n, Kind::Mainstay, conf);
        self.line.follow(&format!("r{n}"), daemon.main.log.clone());
        daemon
    }

    /// Plays until router `who` advertises, then two seconds more.
    fn expect(&mut self, name: &'static str, who: usize, from_ns: u64, limit: f64) {
        // A router that serves already is found by its first advert after the other's last.
        let first = move |line: &Timeline| {
            let served = line
                .adverts
                .iter()
                .rposition(|s| s.at_ns < from_ns)
                .and_then(|at| line.adverts.get(at))
                .is_some_and(|s| s.from == who);
            line.adverts
                .iter()
                .find(|s| s.at_ns >= from_ns && s.from == who && s.priority > 0 && !served)
                .map(|s| s.at_ns)
        };
        self.line
            .until(&self.lab, &self.pinger, limit, |line| first(line).is_some());
        self.line.play(&self.lab, &self.pinger, 2.5);
        self.verdicts.push(Verdict {
            name,
            who,
            from_ns,
            to_ns: support::wall_ns(),
            took_ns: first(&self.line).map(|at| at - from_ns),
        });
    }

    fn status(&mut self, r1: &Daemon, r2: &Daemon) {
        self.table(&[("r1", r1), ("r2", r2)]);
    }

    /// What the daemons themselves say.
    fn table(&mut self, daemons: &[(&str, &Daemon)]) {
        println!("          ------  router state   priority       why");
        for (name, daemon) in daemons {
            let Some(seen) = daemon.instance("VI_1") else {
                println!("                  {name}     does not answer");
                continue;
            };
            let text = |key: &str| seen[key].as_str().unwrap_or("?").to_owned();
            let adds: i64 = seen["tracks"].as_array().map_or(0, |tracks| {
                tracks.iter().filter_map(|t| t["adds"].as_i64()).sum()
            });
            let sum = format!("{} = {}{adds:+}", seen["priority"], seen["base_priority"]);
            println!(
                "                  {name}     {:<7} {sum:<14} {}",
                text("state"),
                text("detail")
            );
            println!(
                "                         {:<7} {:<14} adverts: {} sent, {} received",
                "", "", seen["counters"]["advert_sent"], seen["counters"]["advert_rcvd"]
            );
        }
    }

    /// The acts in numbers; whether all went as they must.
    fn summary(&self) -> bool {
        println!("\nseen on the wire and by the client:");
        let mut whole = true;
        for act in &self.verdicts {
            let adverts = |n: usize| {
                let during = |at: u64| at >= act.from_ns && at < act.to_ns;
                self.line
                    .adverts
                    .iter()
                    .filter(|s| s.from == n && during(s.at_ns))
                    .count()
            };
            let (sent, lost) = self.pinger.between(act.from_ns, act.to_ns);
            let result = match act.took_ns {
                Some(ns) => format!("r{} advertised after {:.3} s", act.who, ns as f64 / 1e9),
                None => format!("r{} never advertised", act.who),
            };
            println!(
                "  {:<9} {result}; adverts: r1 {}, r2 {}; pings: {sent} sent, {} lost",
                act.name,
                adverts(1),
                adverts(2),
                lost.len()
            );
            whole &= act.took_ns.is_some();
        }
        whole
    }
}
