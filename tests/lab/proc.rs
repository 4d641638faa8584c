//! Processes that a test started, and only those.

use super::{note, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// One started program with its log; killed with all its children when dropped.
pub struct Proc {
    child: Child,
    /// Its name in messages.
    pub what: String,
    /// Where its output goes.
    pub log: PathBuf,
    status: Option<ExitStatus>,
}

impl Proc {
    /// Starts `argv` with `env`, output to `log`. It is killed by the kernel when the calling
    /// thread ends, however that ends.
    pub fn start(what: &str, argv: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let again = file.try_clone().expect("a log file can be shared");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(argv)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .unwrap_or_else(|e| panic!("{what}: cannot be started: {e}"));
        note(format!("{what} started, pid {}", child.id()));
        Self {
            child,
            what: what.to_owned(),
            log: log.to_owned(),
            status: None,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pids are small")
    }

    /// Kills everything below it, not itself.
    pub fn kill_children(&self) {
        for pid in self.tree().into_iter().skip(1) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// It and everything below it, parents first.
    pub fn tree(&self) -> Vec<i32> {
        tree(self.pid())
    }

    /// Signals the process alone.
    pub fn signal(&self, signal: Signal) {
        note(format!("{} gets {signal}", self.what));
        // Gone already is as good.
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Signals it and everything below it, parents first.
    pub fn signal_tree(&self, signal: Signal) {
        note(format!("{} and its children get {signal}", self.what));
        for pid in self.tree() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("own child can be asked");
        }
        self.status
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.what);
        wait_for(&what, limit, || self.ended())
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        if self.ended().is_none() {
            for pid in self.tree() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let text = self.output();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            note(format!(
                "---- {} ({} lines)",
                self.what,
                text.lines().count()
            ));
            for line in tail.iter().rev() {
                note(format!("  {line}"));
            }
        }
    }
}

/// A process and its descendants, parents first.
pub fn tree(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        at += 1;
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|w| w.parse::<i32>().ok()),
            );
        }
    }
    all
}

/// Processes whose command line contains `mark`, zombies not counted.
pub fn with_mark(mark: &str) -> Vec<i32> {
    let me = i32::try_from(std::process::id()).expect("pids are small");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != me && line.contains(mark) {
            found.push(pid);
        }
    }
    found
}

/// The same by the kernel's coarser clock ticks (user and system), for comparison.
pub fn cpu_ticks(pid: i32) -> u64 {
    let mut sum = 0;
    for pid in tree(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may contain anything.
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |n: usize| {
            rest.split_whitespace()
                .nth(n)
                .and_then(|w| w.parse::<u64>().ok())
        };
        sum += field(11).unwrap_or(0) + field(12).unwrap_or(0);
    }
    sum
}

/// CPU time of a process and all its descendants, in nanoseconds.
pub fn cpu_ns(pid: i32) -> u64 {
    let mut sum = 0;
    for pid in tree(pid) {
        for task in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += text
                .split_whitespace()
                .next()
                .and_then(|w| w.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    sum
}

/// Resident memory of a process and all its descendants, in KiB.
pub fn rss_kib(pid: i32) -> u64 {
    let mut sum = 0;
    for pid in tree(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum += text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0);
    }
    sum
}
