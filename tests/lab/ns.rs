//! Network namespaces without names: each lives as long as its open file.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// One network namespace.
pub struct Ns {
    file: File,
}

/// The calling thread is in another namespace until this is dropped.
pub struct Entered {
    home: File,
}

fn here() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

impl Ns {
    /// Makes an empty namespace with `lo` up; the calling thread stays where it was.
    pub fn new() -> io::Result<Self> {
        let home = here()?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let file = here();
        setns(&home, CloneFlags::CLONE_NEWNET)?;
        let ns = Self { file: file? };
        ns.ip("link set lo up\n");
        Ok(ns)
    }

    /// Moves the calling thread in.
    pub fn enter(&self) -> Entered {
        let home = here().expect("own namespace can be opened");
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("setns into a namespace of ours");
        Entered { home }
    }

    /// Calls `body` inside.
    pub fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        let _in = self.enter();
        body()
    }

    /// A path by which `ip` finds this namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs a batch of `ip` commands inside; every one must succeed.
    #[track_caller]
    pub fn ip(&self, batch: &str) {
        let (ok, _, err) = self.feed("ip", &["-batch", "-"], batch);
        assert!(ok, "ip -batch failed: {err}\n{batch}");
    }

    /// Runs a command inside and returns what it printed; it must succeed.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        let (ok, out, err) = self.feed("sh", &["-c", line], "");
        assert!(ok, "`{line}` failed: {err}");
        out
    }

    /// Runs a command inside: whether it succeeded, its output and its complaints.
    pub fn feed(&self, program: &str, args: &[&str], input: &str) -> (bool, String, String) {
        let _in = self.enter();
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: cannot be started: {e}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends early says so by its exit status.
            let _ = io::Write::write_all(&mut stdin, input.as_bytes());
        }
        let out = child
            .wait_with_output()
            .expect("a started child can be awaited");
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    }

    /// Writes a setting below `/proc/sys/net`.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let _in = self.enter();
        let path = format!("/proc/sys/net/{name}");
        std::fs::write(&path, value).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("the way home stays open");
    }
}

/// Whether this kernel can make a link of `kind` (`macvlan`, `vlan`, `dummy`, ...).
pub fn kernel_has(kind: &str) -> bool {
    let Ok(ns) = Ns::new() else { return false };
    ns.ip("link add p0 type veth peer name p1\n");
    let line = match kind {
        "dummy" | "bond" | "team" | "bridge" => format!("ip link add x0 type {kind}"),
        "vrf" => "ip link add x0 type vrf table 10".to_owned(),
        "vlan" => "ip link add link p0 name x0 type vlan id 5".to_owned(),
        _ => format!("ip link add link p0 name x0 type {kind}"),
    };
    ns.feed("sh", &["-c", &line], "").0
}
