//! Hosts on one bridge, each in a network namespace of its own.

use super::capture::Capture;
use super::conf::Conf;
use super::daemon::{Daemon, Kind};
use super::frames::{Advert, Frame};
use super::ns::Ns;
use super::{note, secs, wait_for, wall_ns, watch};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;

/// IPv4 address of router `n`.
pub fn v4(n: usize) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, octet(n)).into()
}

/// Global IPv6 address of router `n`.
pub fn global6(n: usize) -> IpAddr {
    Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, u16::from(octet(n))).into()
}

fn octet(n: usize) -> u8 {
    // The client is host 0 and has a number of its own.
    if n == 0 {
        100
    } else {
        u8::try_from(n).expect("few hosts")
    }
}

/// A host: a router r1, r2, ... or the client (number 0).
pub struct Host {
    pub number: usize,
    pub ns: Ns,
    pub dir: PathBuf,
}

/// Frames our own daemons sent, over all labs, for the second opinion at the end.
pub static OURS: Mutex<Vec<(u64, Vec<u8>)>> = Mutex::new(Vec::new());

/// The bridge, the hosts, the capture.
pub struct Lab {
    pub cap: Capture,
    pub hosts: Vec<Host>,
    pub bridge: Ns,
    pub dir: TempDir,
    ours: Mutex<Vec<usize>>,
}

impl Host {
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, octet(self.number))
    }

    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, u16::from(octet(self.number)))
    }

    /// The line `ip address` prints for `address`, on whatever interface it is.
    pub fn address(&self, address: &str) -> Option<String> {
        let listing = self.ns.sh("ip -o address show");
        let wanted = format!(" {address}/");
        listing
            .lines()
            .find(|l| l.contains(&wanted))
            .map(str::to_owned)
    }

    pub fn has(&self, address: &str) -> bool {
        self.address(address).is_some()
    }

    /// Index of eth0.
    pub fn ifindex(&self) -> u32 {
        let text = self.ns.sh("ip -o link show dev eth0");
        let number = text.split(':').next().and_then(|w| w.parse().ok());
        number.unwrap_or_else(|| panic!("no index in {text:?}"))
    }
}

impl Lab {
    /// Routers r1 to r`routers`, and the client.
    pub fn new(routers: usize) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mainstay-lab-")
            .tempdir()
            .expect("a temporary folder");
        let bridge = Ns::new().expect("a network namespace (needs root)");
        let mut wires = String::from(
            "link add br0 type bridge mcast_snooping 0 forward_delay 0\nlink set br0 up\n",
        );
        let mut hosts = Vec::new();
        for number in 0..=routers {
            let ns = Ns::new().expect("a network namespace");
            for scope in ["all", "default"] {
                ns.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0");
                ns.sysctl(&format!("ipv6/conf/{scope}/router_solicitations"), "0");
            }
            let octet = octet(number);
            wires += &format!(
                "link add p{number} type veth peer name eth0 address 02:00:0a:09:00:{octet:02x} netns {}\n\
                 link set p{number} master br0 up\n",
                ns.path()
            );
            let home = dir.path().join(format!("r{number}"));
            std::fs::create_dir(&home).expect("a folder of the lab");
            hosts.push(Host {
                number,
                ns,
                dir: home,
            });
        }
        bridge.ip(&wires);
        for host in &hosts {
            let n = octet(host.number);
            host.ns.ip(&format!(
                "link set eth0 addrgenmode none\n\
                 link set eth0 up\n\
                 addr add 10.9.0.{n}/24 brd + dev eth0\n\
                 addr add fe80::9:{n:x}/64 dev eth0 nodad\n\
                 addr add fd00:9::{n:x}/64 dev eth0 nodad\n"
            ));
        }
        let listing = bridge.sh("ip -o link show");
        let links = (0..=routers)
            .map(|number| {
                let name = format!(": p{number}@");
                let line = listing.lines().find(|l| l.contains(&name));
                let index = line.and_then(|l| l.split(':').next()?.parse().ok());
                (index.expect("the port was just made"), number)
            })
            .collect();
        let cap = Capture::start(&bridge, links);
        Self {
            cap,
            hosts,
            bridge,
            dir,
            ours: Mutex::new(Vec::new()),
        }
    }

    /// Router `n`, or the client for 0.
    pub fn host(&self, n: usize) -> &Host {
        &self.hosts[n]
    }

    /// Starts a router on host `n`.
    pub fn start(&self, n: usize, kind: Kind, conf: &Conf) -> Daemon {
        self.start_as(n, kind, conf, "d")
    }

    /// Starts one of several routers on host `n`.
    pub fn start_as(&self, n: usize, kind: Kind, conf: &Conf, tag: &str) -> Daemon {
        if kind == Kind::Mainstay {
            self.ours.lock().unwrap().push(n);
        }
        Daemon::start(kind, self.host(n), conf, self.hosts.len() - 1, tag)
    }

    /// Takes the carrier from host `n`, or gives it back.
    pub fn carrier(&self, n: usize, on: bool) {
        note(format!("carrier of r{n}: {on}"));
        let word = if on { "up" } else { "down" };
        self.bridge.ip(&format!("link set p{n} {word}\n"));
    }

    /// Takes host `n` off the bridge without it noticing, or puts it back.
    pub fn plugged(&self, n: usize, on: bool) {
        note(format!("r{n} on the bridge: {on}"));
        let word = if on { "master br0" } else { "nomaster" };
        self.bridge.ip(&format!("link set p{n} {word}\n"));
    }

    /// Drops this share of the VRRP packets that host `n` receives.
    pub fn lose(&self, n: usize, percent: u32) {
        note(format!("r{n} loses {percent} % of the adverts"));
        let some = match percent {
            100.. => String::new(),
            _ => format!("numgen random mod 100 < {percent} "),
        };
        let rules = format!(
            "table inet lab {{\n chain input {{\n type filter hook input priority 0\n \
             meta l4proto 112 {some}drop\n }}\n}}\n"
        );
        let (ok, _, err) = self.host(n).ns.feed("nft", &["-f", "-"], &rules);
        assert!(ok, "nft: {err}");
    }

    /// Adverts since `since_ns` that `keep` wants, with their time and sender.
    pub fn adverts(
        &self,
        since_ns: u64,
        keep: impl Fn(&Frame, &Advert) -> bool,
    ) -> Vec<(u64, usize, Advert)> {
        let frames = self.cap.frames();
        frames
            .iter()
            .filter(|f| f.at_ns >= since_ns)
            .filter_map(|f| Some((f, f.advert()?)))
            .filter(|(f, a)| keep(f, a))
            .map(|(f, a)| (f.at_ns, f.from, a.clone()))
            .collect()
    }

    /// Waits for an advert of host `n` for `vrid` with a priority above 0, sent after `since_ns`.
    #[track_caller]
    pub fn wait_advert(&self, n: usize, vrid: u8, since_ns: u64, limit: f64) -> (u64, Advert) {
        let what = format!("an advert of r{n} for VRID {vrid}");
        wait_for(&what, secs(limit), || {
            let found = self.adverts(since_ns, |f, a| {
                f.from == n && a.vrid == vrid && a.priority > 0
            });
            found.into_iter().next().map(|(at, _, a)| (at, a))
        })
    }

    /// Waits for a resignation of host `n` for `vrid`, sent after `since_ns`.
    #[track_caller]
    pub fn wait_release(&self, n: usize, vrid: u8, since_ns: u64, limit: f64) -> u64 {
        let what = format!("an advert with priority 0 of r{n} for VRID {vrid}");
        wait_for(&what, secs(limit), || {
            let found = self.adverts(since_ns, |f, a| {
                f.from == n && a.vrid == vrid && a.priority == 0
            });
            found.first().map(|(at, _, _)| *at)
        })
    }

    /// Time of the last advert (any priority) of host `n` for `vrid` before `until_ns`.
    #[track_caller]
    pub fn last_advert(&self, n: usize, vrid: u8, until_ns: u64) -> u64 {
        let found = self.adverts(0, |f, a| {
            f.from == n && a.vrid == vrid && f.at_ns < until_ns
        });
        found.last().expect("it had advertised").0
    }

    /// Watches for `seconds`: nobody but host `n` sends for `vrid`, and host `n` does.
    #[track_caller]
    pub fn only(&self, n: usize, vrid: u8, seconds: f64) {
        let since = wall_ns();
        watch(secs(seconds));
        let senders: Vec<(usize, u8)> = self
            .adverts(since, |_, a| a.vrid == vrid)
            .into_iter()
            .map(|(_, from, a)| (from, a.priority))
            .collect();
        assert!(
            !senders.is_empty() && senders.iter().all(|(from, _)| *from == n),
            "only r{n} may advertise VRID {vrid} now, seen (host, priority): {senders:?}"
        );
    }

    /// Waits until host `n` alone has advertised `vrid` for `quiet` seconds.
    #[track_caller]
    pub fn settle(&self, n: usize, vrid: u8, quiet: f64, limit: f64) {
        let what = format!("r{n} as the only one advertising VRID {vrid}");
        wait_for(&what, secs(limit), || {
            let since = wall_ns().saturating_sub(secs(quiet).as_nanos() as u64);
            let seen = self.adverts(since, |_, a| a.vrid == vrid);
            (!seen.is_empty() && seen.iter().all(|(_, from, a)| *from == n && a.priority > 0))
                .then_some(())
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ours = self
            .ours
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let frames = self.cap.frames();
        let of_ours = frames.iter().filter(|f| ours.contains(&f.from));
        let sample = of_ours.take(3000).map(|f| (f.at_ns, f.bytes.clone()));
        OURS.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(sample);
        if std::thread::panicking() {
            note(format!("---- the last of {} frames", frames.len()));
            let from = frames.len().saturating_sub(40);
            for frame in frames.iter().skip(from) {
                let at = frame.at_ns as f64 / 1e9 % 1000.0;
                let kind = match frame.advert() {
                    Some(a) => format!(
                        "advert v{} vrid {} priority {} interval {} cs",
                        a.version, a.vrid, a.priority, a.interval_cs
                    ),
                    None => format!("{:?}", frame.kind),
                };
                note(format!("  {at:.6} r{} {kind}", frame.from));
            }
        }
    }
}
