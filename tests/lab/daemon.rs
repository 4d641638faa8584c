//! Starting the three kinds of router and dealing with them as a test does.

use super::conf::Conf;
use super::lab::Host;
use super::proc::Proc;
use super::{note, secs, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Whose router it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Mainstay,
    Keepalived,
    Frr,
}

/// A running router.
pub struct Daemon {
    pub kind: Kind,
    /// The main process; dropped first, so that it dies first.
    pub main: Proc,
    /// What it needs beside it: FRR's zebra.
    helper: Option<Proc>,
    /// Folder of its own.
    pub dir: PathBuf,
    /// Its configuration file.
    pub file: PathBuf,
}

/// The binary under test.
pub fn mainstay() -> PathBuf {
    if let Some(path) = std::env::var_os("MAINSTAY") {
        return path.into();
    }
    // Tests, examples and benches lie one folder below it.
    let own = std::env::current_exe().expect("own path is known");
    let beside = own
        .parent()
        .and_then(Path::parent)
        .map(|d| d.join("mainstay"));
    beside.expect("the test lies below target")
}

impl Daemon {
    /// Starts a router of `kind` on `host` with `conf`; `tag` tells several on one host apart.
    pub fn start(kind: Kind, host: &Host, conf: &Conf, hosts: usize, tag: &str) -> Self {
        let dir = host.dir.join(tag);
        let _ = std::fs::create_dir(&dir);
        let file = dir.join("router.conf");
        let text = match kind {
            Kind::Mainstay | Kind::Keepalived => conf.text(host.number, hosts),
            Kind::Frr => conf.frr(),
        };
        std::fs::write(&file, &text).expect("the lab's folder takes files");
        let log = dir.join("log");
        let name = format!("{kind:?} on r{} {tag}", host.number).to_lowercase();
        let _in = host.ns.enter();
        let mut helper = None;
        let main = match kind {
            Kind::Mainstay => start_mainstay(&name, conf, &dir, &file, &log),
            Kind::Keepalived => start_keepalived(&name, &dir, &file, &log),
            Kind::Frr => {
                let (zebra, vrrpd) = start_frr(&name, host, conf, &dir, &file, &log);
                helper = Some(zebra);
                vrrpd
            }
        };
        Self {
            kind,
            main,
            helper,
            dir,
            file,
        }
    }

    /// Dies at once, without a word.
    pub fn kill9(&mut self) {
        match self.kind {
            // Its child would say goodbye if the parent died first, and be started again if not.
            Kind::Keepalived => {
                self.main.signal(Signal::SIGSTOP);
                self.main.kill_children();
                self.main.signal(Signal::SIGKILL);
            }
            Kind::Mainstay | Kind::Frr => self.main.signal(Signal::SIGKILL),
        }
        self.main.wait_end(secs(5.0));
    }

    /// Is asked to stop and does.
    #[track_caller]
    pub fn term(&mut self) -> ExitStatus {
        self.main.signal(Signal::SIGTERM);
        self.main.wait_end(secs(15.0))
    }

    /// Is told to read its file again.
    pub fn reload(&self, text: &str) {
        std::fs::write(&self.file, text).expect("the lab's folder takes files");
        self.main.signal(Signal::SIGHUP);
    }

    /// One Varlink call by hand: the reply as text.
    pub fn varlink(&self, request: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.dir.join("run/control.sock"))?;
        stream.set_read_timeout(Some(secs(5.0)))?;
        stream.write_all(request.as_bytes())?;
        stream.write_all(&[0])?;
        let mut reply = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 && byte[0] != 0 {
            reply.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    /// What `mainstay status --json` says; `None` while it cannot be asked.
    pub fn status(&self) -> Option<serde_json::Value> {
        let out = Command::new(mainstay())
            .args(["status", "--json", "--runtime-dir"])
            .arg(self.dir.join("run"))
            .output()
            .ok()?;
        serde_json::from_slice(&out.stdout).ok()
    }

    /// One instance out of the status.
    pub fn instance(&self, name: &str) -> Option<serde_json::Value> {
        let status = self.status()?;
        let list = status.get("instances")?.as_array()?;
        list.iter().find(|i| i["name"] == name).cloned()
    }

    /// Waits until its status shows an instance in `state`.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str, limit: f64) -> serde_json::Value {
        let what = format!("{}: {name} in {state}", self.main.what);
        wait_for(&what, secs(limit), || {
            self.instance(name).filter(|i| i["state"] == state)
        })
    }

    /// Waits until its log has `words`.
    #[track_caller]
    pub fn wait_log(&self, words: &str, limit: f64) {
        let what = format!("{words:?} in the log of {}", self.main.what);
        wait_until(&what, secs(limit), || self.main.output().contains(words));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the lab's paths are plain")
}

fn start_mainstay(name: &str, conf: &Conf, dir: &Path, file: &Path, log: &Path) -> Proc {
    let binary = mainstay();
    let run = dir.join("run");
    let mut argv = vec![
        text(&binary),
        "run",
        "-f",
        text(file),
        "--runtime-dir",
        text(&run),
    ];
    argv.extend(&conf.args);
    Proc::start(name, &argv, &[], log)
}

fn start_keepalived(name: &str, dir: &Path, file: &Path, log: &Path) -> Proc {
    let (parent, child) = (dir.join("parent.pid"), dir.join("vrrp.pid"));
    // After a kill -9 it takes the pids in them for a running daemon.
    for left in [&parent, &child] {
        let _ = std::fs::remove_file(left);
    }
    let argv = [
        "/usr/sbin/keepalived",
        "-n",
        "-l",
        "-D",
        "-P",
        "-G",
        "-f",
        text(file),
        "-p",
        text(&parent),
        "-r",
        text(&child),
    ];
    Proc::start(name, &argv, &[("TMPDIR", text(dir))], log)
}

fn start_frr(
    name: &str,
    host: &Host,
    conf: &Conf,
    dir: &Path,
    file: &Path,
    log: &Path,
) -> (Proc, Proc) {
    for one in &conf.instances {
        let (four, mac) = if one.six { ("6", "02") } else { ("4", "01") };
        let link = format!("vrrp{four}-{}", one.vrid);
        if host.ns.feed("ip", &["link", "show", "dev", &link], "").0 {
            continue;
        }
        let mut batch = format!(
            "link add {link} link eth0 address 00:00:5e:00:{mac}:{:02x} type macvlan mode bridge\n",
            one.vrid
        );
        for vip in &one.vips {
            let vip = vip.split(' ').next().unwrap_or(vip);
            let nodad = if one.six { "nodad" } else { "" };
            batch += &format!("addr add {vip} dev {link} {nodad}\n");
        }
        batch += &format!("link set {link} up\n");
        host.ns.ip(&batch);
    }
    // FRR gives up its privileges, so its folder must be open to it.
    for ancestor in dir.ancestors().take(3) {
        let _ = std::fs::set_permissions(ancestor, std::fs::Permissions::from_mode(0o755));
    }
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777));
    let socket = dir.join("zserv.api");
    let empty = dir.join("zebra.conf");
    std::fs::write(&empty, "hostname lab\n").expect("the lab's folder takes files");
    let common = |binary: &'static str, file: &Path, pid: &str| -> Vec<String> {
        [
            binary,
            "-u",
            "frr",
            "-g",
            "frr",
            "--log",
            "stdout",
            "--log-level",
            "debug",
            "-A",
            "127.0.0.1",
            "-P",
            "0",
            "-f",
            text(file),
            "-i",
            text(&dir.join(pid)),
            "-z",
            text(&socket),
            "--vty_socket",
            text(dir),
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let start = |binary: &'static str, file: &Path, pid: &str, what: &str, log: &Path| {
        let argv = common(binary, file, pid);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Proc::start(what, &argv, &[], log)
    };
    // Left by one that was killed.
    let _ = std::fs::remove_file(&socket);
    let zebra = start(
        "/usr/lib/frr/zebra",
        &empty,
        "zebra.pid",
        "zebra",
        &dir.join("zebra.log"),
    );
    wait_until("zebra's socket", secs(10.0), || socket.exists());
    let vrrpd = start("/usr/lib/frr/vrrpd", file, "vrrpd.pid", name, log);
    note("frr runs");
    (zebra, vrrpd)
}
