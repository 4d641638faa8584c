//! The system calls against a real kernel: two network namespaces and a veth pair between them.
//!
//! Needs root; without it every test says so and does nothing.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod facts;
mod hands;
mod sockets;

use mainstay::model::addr::{Cidr, Mac, VirtualAddress};
use mainstay::model::ids::{ActionId, Family, LinkId};
use mainstay::model::seen::{AddressSeen, LinkSeen};
use mainstay::os::claims;
use mainstay::os::hands::{Answer, Change, Hands, Request};
use mainstay::os::holders::raw_vrrp_holders;
use mainstay::os::ledger::{self, Ledger};
use mainstay::os::netlink::{Drained, Events, Fact};
use mainstay::os::packet_socket::{Capture, Captured, PacketSocket};
use mainstay::os::poller::{Bell, Poller};
use mainstay::os::send::SendBatch;
use mainstay::os::vrrp_socket::{BATCH, Batch, GROUP_V4, GROUP_V6, VrrpSocket};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const A4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
const B6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);

/// Two namespaces, `left` in the one, `right` in the other.
struct Nets {
    a: File,
    b: File,
}

impl Nets {
    fn enter(&self, which: &File) {
        setns(which, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Runs on the side of `right` and comes back.
    fn on_b<R>(&self, run: impl FnOnce() -> R) -> R {
        self.enter(&self.b);
        let result = run();
        self.enter(&self.a);
        result
    }
}

/// Runs a test on a thread of its own, in namespaces that end with it.
fn in_net(name: &str, test: impl FnOnce(&Nets) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIP {name}: needs root");
        return;
    }
    let body = move || {
        let mine = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let (b, a) = (mine(), mine());
        let other = format!("/proc/{}/fd/{}", std::process::id(), b.as_raw_fd());
        ip("link set lo up");
        ip("link add left type veth peer name right");
        ip(&format!("link set right netns {other}"));
        let nets = Nets { a, b };
        raise("left", A4, A6);
        nets.on_b(|| raise("right", B4, B6));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !shown("link show left").contains("LOWER_UP") {
            assert!(Instant::now() < deadline, "left has no carrier");
        }
        test(&nets);
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

fn raise(link: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
    ip(&format!("link set {link} addrgenmode none up"));
    ip(&format!("addr add {v4}/24 dev {link}"));
    ip(&format!("addr add {v6}/64 dev {link} nodad"));
}

fn ip(words: &str) {
    shown(words);
}

fn shown(words: &str) -> String {
    let output = Command::new("/usr/sbin/ip")
        .args(words.split(' '))
        .output()
        .expect("iproute2 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn index(link: &str) -> LinkId {
    LinkId(nix::net::if_::if_nametoindex(link).unwrap())
}

fn readable(fd: impl AsFd, milliseconds: u16) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, milliseconds).unwrap() > 0
}

#[test]
fn a_daemon_of_another_namespace_is_not_living_here() {
    in_net("claims", |nets| {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        let theirs = nets.on_b(|| claims::claim(dir.path()).unwrap());
        assert!(claims::living().unwrap().is_empty());
        assert_eq!(
            nets.on_b(|| claims::living().unwrap()),
            std::slice::from_ref(&path)
        );
        let ours = claims::claim(dir.path()).unwrap();
        assert_eq!(claims::living().unwrap(), [path]);
        drop((ours, theirs));
        assert!(claims::living().unwrap().is_empty());
    });
}

#[test]
fn another_process_with_a_raw_vrrp_socket_is_found_and_we_are_not() {
    in_net("holders", |nets| {
        // Another test's child is ourselves for a moment, until it executes its program.
        let me = std::env::current_exe().unwrap();
        let holders = || -> Vec<_> {
            let all = raw_vrrp_holders().unwrap().into_iter();
            all.filter(|h| h.exe.as_deref() != me.to_str()).collect()
        };
        let _ours = VrrpSocket::open(index("left"), "left", Family::V4).unwrap();
        assert_eq!(holders(), []);
        for family in [Family::V4, Family::V6] {
            let socket = VrrpSocket::open(index("left"), "left", family).unwrap();
            let held = socket.as_fd().try_clone_to_owned().unwrap();
            let mut child = Command::new("/bin/sleep")
                .arg("60")
                .stdin(Stdio::from(held))
                .spawn()
                .unwrap();
            let found = holders();
            let elsewhere = nets.on_b(|| raw_vrrp_holders().unwrap());
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].pid, child.id() as i32);
            assert_eq!(found[0].argv, ["/bin/sleep", "60"]);
            assert!(found[0].exe.is_some());
            assert_eq!(elsewhere, []);
        }
    });
}
