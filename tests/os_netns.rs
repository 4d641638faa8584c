//! The system calls against a real kernel: two network namespaces and a veth pair between them.
//!
//! Needs root; without it every test says so and does nothing.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

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

fn packet_v4(src: Ipv4Addr, dst: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0xc0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, ttl, 112, 0, 0]);
    packet.extend(src.octets().into_iter().chain(dst.octets()));
    packet.extend(payload);
    packet
}

fn packet_v6(src: Ipv6Addr, dst: Ipv6Addr, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6c, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([112, hops]);
    packet.extend(src.octets().into_iter().chain(dst.octets()));
    packet.extend(payload);
    packet
}

/// Sends all of them, which must succeed.
fn send(socket: &VrrpSocket, packets: &[(Vec<u8>, IpAddr)]) {
    let mut batch = SendBatch::with_capacity(packets.len(), 4096);
    for (packet, to) in packets {
        batch.push(packet, *to);
    }
    let sent = socket.flush(&mut batch, |index, errno| panic!("{index}: errno {errno}"));
    assert_eq!(sent, packets.len());
}

type Got = (IpAddr, IpAddr, u8, Vec<u8>);

/// What arrives until `count` packets are there. A unicast packet may wait for a second neighbour
/// solicitation, which goes out after a second.
fn receive(socket: &VrrpSocket, count: usize) -> Vec<Got> {
    let mut batch = Batch::new();
    let mut got = Vec::new();
    while got.len() < count && readable(socket, 5000) {
        socket.recv_batch(&mut batch).unwrap();
        got.extend(batch.iter().map(|datagram| {
            assert_eq!(datagram.link, socket.link());
            assert_eq!(datagram.family, socket.family());
            let payload = datagram.payload.to_vec();
            (datagram.src, datagram.dst, datagram.hop_limit, payload)
        }));
    }
    got
}

fn captured(capture: &Capture, wanted: impl Fn(&[u8]) -> bool) -> (Captured, Vec<u8>) {
    let mut buffer = [0; 2048];
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        if let Some(frame) = capture.next(&mut buffer).unwrap() {
            if wanted(&buffer[..frame.len]) {
                return (frame, buffer[..frame.len].to_vec());
            }
        } else {
            assert!(Instant::now() < deadline, "the frame was not captured");
            readable(capture, 100);
        }
    }
}

#[test]
fn ipv4_adverts_arrive_by_multicast_and_unicast_with_their_ttl_and_not_at_home() {
    in_net("ipv4_adverts", |nets| {
        let left = VrrpSocket::open(index("left"), "left", Family::V4).unwrap();
        let (right, capture) = nets.on_b(|| {
            let link = index("right");
            let socket = VrrpSocket::open(link, "right", Family::V4).unwrap();
            (socket, Capture::open(link, false).unwrap())
        });
        send(
            &left,
            &[
                (packet_v4(A4, GROUP_V4, 255, b"one"), GROUP_V4.into()),
                (packet_v4(A4, B4, 254, b"two"), B4.into()),
                (
                    packet_v4(A4, Ipv4Addr::new(224, 0, 0, 5), 255, b"no"),
                    Ipv4Addr::new(224, 0, 0, 5).into(),
                ),
                (packet_v4(A4, GROUP_V4, 1, b""), GROUP_V4.into()),
            ],
        );
        let from = IpAddr::from(A4);
        assert_eq!(
            receive(&right, 3),
            [
                (from, GROUP_V4.into(), 255, b"one".to_vec()),
                (from, B4.into(), 254, b"two".to_vec()),
                (from, GROUP_V4.into(), 1, Vec::new()),
            ]
        );
        send(&right, &[(packet_v4(B4, A4, 255, b"back"), A4.into())]);
        assert_eq!(
            receive(&left, 1),
            [(B4.into(), A4.into(), 255, b"back".to_vec())]
        );
        assert!(!readable(&left, 100), "our own multicast came to us");
        assert!(!readable(&right, 0), "another group came in");
        let (frame, bytes) = captured(&capture, |bytes| bytes.ends_with(b"one"));
        assert!(!frame.outgoing && frame.original == bytes.len());
        assert!(frame.at.elapsed().unwrap() < Duration::from_secs(10));
        assert_eq!(bytes[..6], [1, 0, 0x5e, 0, 0, 0x12]);
        assert_eq!(bytes[12..16], [8, 0, 0x45, 0xc0]);
        let (frame, _) = captured(&capture, |bytes| bytes.ends_with(b"back"));
        assert!(frame.outgoing);
    });
}

#[test]
fn ipv6_adverts_arrive_by_multicast_and_unicast_with_their_hop_limit_and_not_at_home() {
    in_net("ipv6_adverts", |nets| {
        let left = VrrpSocket::open(index("left"), "left", Family::V6).unwrap();
        let (right, capture) = nets.on_b(|| {
            let link = index("right");
            let socket = VrrpSocket::open(link, "right", Family::V6).unwrap();
            (socket, Capture::open(link, false).unwrap())
        });
        send(
            &left,
            &[
                (packet_v6(A6, GROUP_V6, 255, b"one"), GROUP_V6.into()),
                (packet_v6(A6, B6, 64, b"two"), B6.into()),
            ],
        );
        assert_eq!(
            receive(&right, 2),
            [
                (A6.into(), GROUP_V6.into(), 255, b"one".to_vec()),
                (A6.into(), B6.into(), 64, b"two".to_vec()),
            ]
        );
        send(&right, &[(packet_v6(B6, A6, 255, b"back"), A6.into())]);
        let home = [(B6.into(), A6.into(), 255, b"back".to_vec())];
        assert_eq!(receive(&left, 1), home);
        assert!(!readable(&left, 100), "our own multicast came to us");
        let (_, bytes) = captured(&capture, |bytes| bytes.ends_with(b"one"));
        assert_eq!(bytes[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
        assert_eq!(bytes[12..16], [0x86, 0xdd, 0x6c, 0]);
    });
}

#[test]
fn an_ipv6_advert_leaves_while_its_source_is_under_duplicate_address_detection() {
    in_net("tentative_source", |nets| {
        let right = nets.on_b(|| VrrpSocket::open(index("right"), "right", Family::V6).unwrap());
        fs::write("/proc/sys/net/ipv6/conf/left/dad_transmits", "30").unwrap();
        let source: Ipv6Addr = "fe80::77".parse().unwrap();
        ip(&format!("addr del {A6}/64 dev left"));
        ip(&format!("addr add {source}/64 dev left"));
        assert!(shown("addr show dev left").contains("tentative"));
        let left = VrrpSocket::open(index("left"), "left", Family::V6).unwrap();
        let early = packet_v6(source, GROUP_V6, 255, b"early");
        send(&left, &[(early, GROUP_V6.into())]);
        assert!(shown("addr show dev left").contains("tentative"));
        let got = receive(&right, 1);
        assert_eq!((got[0].0, &got[0].3[..]), (source.into(), &b"early"[..]));
    });
}

#[test]
fn a_full_queue_is_read_in_batches_and_a_short_one_means_empty() {
    in_net("batches", |nets| {
        let left = VrrpSocket::open(index("left"), "left", Family::V4).unwrap();
        let right = nets.on_b(|| VrrpSocket::open(index("right"), "right", Family::V4).unwrap());
        let total = BATCH * 40 + 7;
        let packets: Vec<_> = (0..total as u32)
            .map(|n| {
                (
                    packet_v4(A4, GROUP_V4, 255, &n.to_be_bytes()),
                    GROUP_V4.into(),
                )
            })
            .collect();
        send(&left, &packets);
        let mut batch = Batch::new();
        let mut next = 0_u32;
        loop {
            let count = right.recv_batch(&mut batch).unwrap();
            for datagram in batch.iter() {
                assert_eq!(datagram.payload, next.to_be_bytes());
                next += 1;
            }
            if count < BATCH {
                break;
            }
        }
        assert_eq!(next as usize, total, "nothing is lost with nobody reading");
        assert_eq!(right.recv_batch(&mut batch).unwrap(), 0);
        assert_eq!(batch.iter().count(), 0);
    });
}

#[test]
fn a_packet_the_kernel_refuses_is_named_and_the_others_leave() {
    in_net("refused_packets", |nets| {
        for family in [Family::V4, Family::V6] {
            let left = VrrpSocket::open(index("left"), "left", family).unwrap();
            let right = nets.on_b(|| VrrpSocket::open(index("right"), "right", family).unwrap());
            let packet = |payload: &[u8]| match family {
                Family::V4 => (
                    packet_v4(A4, GROUP_V4, 255, payload),
                    IpAddr::from(GROUP_V4),
                ),
                Family::V6 => (
                    packet_v6(A6, GROUP_V6, 255, payload),
                    IpAddr::from(GROUP_V6),
                ),
            };
            let mut batch = SendBatch::with_capacity(3, 4096);
            for payload in [&b"one"[..], &[0; 3000], b"three"] {
                let (packet, to) = packet(payload);
                batch.push(&packet, to);
            }
            let mut failed = Vec::new();
            let sent = left.flush(&mut batch, |index, errno| failed.push((index, errno)));
            assert_eq!((sent, &failed[..]), (2, &[(1, libc::EMSGSIZE)][..]));
            let got = receive(&right, 2);
            assert_eq!((&got[0].3[..], &got[1].3[..]), (&b"one"[..], &b"three"[..]));
            ip("link set left down");
            let (bytes, to) = packet(b"down");
            batch.push(&bytes, to);
            let mut failed = Vec::new();
            left.flush(&mut batch, |_, errno| failed.push(errno));
            assert!(
                matches!(
                    failed[..],
                    [libc::ENETDOWN | libc::ENETUNREACH | libc::EADDRNOTAVAIL]
                ),
                "{failed:?}"
            );
            ip("link set left up");
            ip(&format!("addr replace {A6}/64 dev left nodad"));
        }
    });
}

#[test]
fn an_advert_of_254_ipv6_addresses_fits() {
    in_net("long_advert", |nets| {
        ip("link set left mtu 9000");
        nets.on_b(|| ip("link set right mtu 9000"));
        let left = VrrpSocket::open(index("left"), "left", Family::V6).unwrap();
        let right = nets.on_b(|| VrrpSocket::open(index("right"), "right", Family::V6).unwrap());
        let longest = vec![7; 8 + 255 * 16];
        let longer = vec![8; 5000];
        send(
            &left,
            &[
                (packet_v6(A6, GROUP_V6, 255, &longest), GROUP_V6.into()),
                (packet_v6(A6, GROUP_V6, 255, &longer), GROUP_V6.into()),
            ],
        );
        let got = receive(&right, 2);
        assert_eq!(got[0].3, longest);
        assert!(
            got[1].3.len() > longest.len(),
            "cut off, but still too long"
        );
    });
}

#[test]
fn announcements_leave_as_frames_and_nothing_comes_in() {
    in_net("packet_socket", |nets| {
        let left = PacketSocket::open(index("left"), "left").unwrap();
        let capture = nets.on_b(|| Capture::open(index("right"), false).unwrap());
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 8, 6]);
        frame.extend(b"a gratuitous arp, not really");
        let mut batch = SendBatch::with_capacity(2, 256);
        batch.push(&frame, ());
        batch.push(&[0; 5], ());
        let mut failed = Vec::new();
        let sent = left.flush(&mut batch, |index, errno| failed.push((index, errno)));
        assert_eq!((sent, &failed[..]), (1, &[(1, libc::EINVAL)][..]));
        left.send(&frame).unwrap();
        for _ in 0..2 {
            let (seen, bytes) = captured(&capture, |bytes| {
                bytes.len() >= 14 && bytes[12..14] == [8, 6]
            });
            assert_eq!((bytes, seen.outgoing), (frame.clone(), false));
        }
        nets.on_b(|| {
            ip(&format!(
                "neigh add {A4} lladdr 02:00:00:00:00:09 dev right"
            ))
        });
        nets.on_b(|| {
            PacketSocket::open(index("right"), "right")
                .unwrap()
                .send(&frame)
                .unwrap()
        });
        assert!(!readable(&left, 50));
    });
}

#[test]
fn a_link_that_is_not_there_is_named() {
    in_net("missing_link", |_| {
        let error = VrrpSocket::open(LinkId(9999), "wan7", Family::V4).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        assert!(
            error
                .to_string()
                .starts_with("wan7: cannot join 224.0.0.18: ")
        );
        assert!(Capture::open(LinkId(9999), false).is_err());
    });
}

/// Posts these to a fresh thread and returns the answers in the order they came.
fn perform(ledger: Option<Ledger>, turns: &[Vec<Request>]) -> Vec<Answer> {
    let bell = Bell::new().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&bell, 1).unwrap();
    let mut hands = Hands::start(bell.clone(), ledger).unwrap();
    let mut answers = Vec::new();
    let mut ready = Vec::new();
    let mut wanted = 0;
    for turn in turns {
        wanted += turn.len();
        for request in turn {
            hands.post(request.clone());
        }
        hands.flush();
    }
    while answers.len() < wanted {
        poller.wait(&mut ready).unwrap();
        bell.clear();
        hands.drain(&mut answers);
    }
    assert_eq!(hands.ledger_errors(), 0);
    assert_eq!(hands.stop(), []);
    answers
}

fn request(id: u64, change: Change, what: VirtualAddress) -> Request {
    Request {
        id: ActionId(id),
        link: index("left"),
        name: "left".into(),
        change,
        what: Arc::new(what),
    }
}

fn plain(text: &str) -> VirtualAddress {
    let (addr, len) = text.split_once('/').unwrap();
    let cidr = Cidr::new(addr.parse().unwrap(), len.parse().unwrap()).unwrap();
    VirtualAddress::plain(cidr)
}

fn done(id: u64) -> Answer {
    let (id, errno) = (ActionId(id), None);
    Answer { id, errno }
}

fn refused(id: u64, errno: i32) -> Answer {
    let (id, errno) = (ActionId(id), Some(errno));
    Answer { id, errno }
}

/// The line of `ip -d addr` that shows this address, and the one behind it.
fn line_of(address: &str) -> String {
    let all = shown("-d addr show dev left");
    let lines: Vec<_> = all.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.contains(&format!(" {address} ")));
    at.map_or(String::new(), |at| {
        lines[at..(at + 2).min(lines.len())].join("\n")
    })
}

/// Addresses whose IFA_PROTO is this; the ip of Debian 12 does not show it.
fn tagged(protocol: u8) -> Vec<Cidr> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut question = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    let socket = socket2::Socket::new(
        libc::AF_NETLINK.into(),
        socket2::Type::RAW,
        Some(libc::NETLINK_ROUTE.into()),
    );
    let mut socket = socket.unwrap();
    socket.send(&bytes).unwrap();
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = socket.read(&mut buffer).unwrap();
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
            rest = &rest[(message.header.length as usize).next_multiple_of(4)..];
            let address = match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => address,
                NetlinkPayload::Done(_) => return found,
                other => panic!("{other:?}"),
            };
            let is = |attribute: &AddressAttribute| {
                *attribute == AddressAttribute::Protocol(AddressProtocol::Other(protocol))
            };
            if address.attributes.iter().any(is) {
                let addr = address
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Address(addr) => Some(*addr),
                        _ => None,
                    });
                found.push(Cidr::new(addr.unwrap(), address.header.prefix_len).unwrap());
            }
        }
    }
}

#[test]
fn an_address_is_added_with_all_its_options_and_removed() {
    in_net("address_options", |_| {
        let mut v4 = plain("10.8.0.5/24");
        v4.label = Some("left:vip".into());
        v4.broadcast = Some(Ipv4Addr::new(10, 8, 0, 255));
        v4.scope = 253;
        v4.no_prefix_route = true;
        let v6 = plain("2001:db8::5/128");
        let mut checked = plain("2001:db8::6/64");
        checked.dad = true;
        let add = [&v4, &v6, &checked].map(Clone::clone);
        let adds = add
            .iter()
            .zip(1..)
            .map(|(what, id)| request(id, Change::Add, what.clone()));
        assert_eq!(
            perform(None, &[adds.collect()]),
            [done(1), done(2), done(3)]
        );
        let line = line_of("10.8.0.5/24");
        for word in ["brd 10.8.0.255", "scope link", "noprefixroute", "left:vip"] {
            assert!(line.contains(word), "{word} is missing: {line}");
        }
        let line = line_of("2001:db8::5/128");
        for word in [
            "deprecated",
            "nodad",
            "valid_lft forever preferred_lft 0sec",
        ] {
            assert!(line.contains(word), "{word} is missing: {line}");
        }
        let line = line_of("2001:db8::6/64");
        assert!(
            line.contains("scope global") && !line.contains("nodad"),
            "{line}"
        );
        let mut ours = tagged(18);
        ours.sort();
        assert_eq!(ours, add.each_ref().map(|what| what.cidr));
        assert!(shown("-6 route").contains("2001:db8::/64"));
        assert!(!shown("-4 route").contains("10.8.0.0/24"));
        let removals = add
            .iter()
            .zip(4..)
            .map(|(what, id)| request(id, Change::Remove, what.clone()));
        assert_eq!(
            perform(None, &[removals.collect()]),
            [done(4), done(5), done(6)]
        );
        let left = shown("addr show dev left");
        assert!(
            !left.contains("10.8.0.5") && !left.contains("2001:db8"),
            "{left}"
        );
    });
}

#[test]
fn a_thousand_addresses_come_and_go_and_each_is_answered() {
    in_net("thousand", |_| {
        let address = |n: u64| plain(&format!("10.7.{}.{}/32", n / 250, n % 250 + 1));
        let all = |change| (0..1000).map(|n| request(n, change, address(n))).collect();
        let begun = Instant::now();
        let answers = perform(None, &[all(Change::Add)]);
        assert_eq!(answers, (0..1000).map(done).collect::<Vec<_>>());
        eprintln!("1,000 additions: {:?}", begun.elapsed());
        assert_eq!(
            shown("-4 addr show dev left").matches("inet 10.7.").count(),
            1000
        );
        let answers = perform(None, &[all(Change::Remove)]);
        assert_eq!(answers, (0..1000).map(done).collect::<Vec<_>>());
        assert_eq!(
            shown("-4 addr show dev left").matches("inet 10.7.").count(),
            0
        );
    });
}

#[test]
fn a_refusal_names_its_request_and_what_is_done_already_is_done() {
    in_net("refusals", |_| {
        let vip = || plain("10.8.0.5/24");
        let mut nowhere = request(2, Change::Add, plain("10.8.0.6/24"));
        nowhere.link = LinkId(9999);
        let mut long = plain("10.8.0.7/24");
        long.label = Some("a-label-of-16-by".into());
        let mut gone = request(6, Change::Remove, plain("10.8.0.8/24"));
        gone.link = LinkId(9999);
        // The first is superseded by the third while both wait.
        let answers = perform(
            None,
            &[vec![
                request(1, Change::Add, vip()),
                nowhere,
                request(3, Change::Add, vip()),
                request(4, Change::Add, long),
                request(5, Change::Remove, plain("10.8.0.77/24")),
                gone,
                request(7, Change::Add, plain("2001:db8::9/64")),
                request(8, Change::Add, plain("ff02::77/128")),
            ]],
        );
        let mut sorted = answers.clone();
        sorted.sort_by_key(|answer| answer.id);
        assert_eq!(
            sorted,
            [
                refused(1, libc::ECANCELED),
                refused(2, libc::ENODEV),
                done(3),
                refused(4, libc::ERANGE),
                done(5),
                done(6),
                done(7),
                refused(8, libc::EADDRNOTAVAIL),
            ],
            "{answers:?}"
        );
        assert_eq!(
            perform(None, &[vec![request(9, Change::Add, vip())]]),
            [done(9)]
        );
        assert_eq!(
            perform(None, &[vec![request(10, Change::Add, vip())]]),
            [done(10)]
        );
        fs::write("/proc/sys/net/ipv6/conf/left/disable_ipv6", "1").unwrap();
        let v6 = request(11, Change::Add, plain("2001:db8::9/64"));
        let answers = perform(None, &[vec![v6]]);
        assert!(answers[0].errno.is_some(), "{answers:?}");
    });
}

#[test]
fn after_a_storm_of_flaps_the_kernel_has_what_was_asked_for_last() {
    in_net("flaps", |_| {
        let mut id = 0;
        let mut turns = Vec::new();
        for round in 0..200 {
            let change = if round % 2 == 0 {
                Change::Add
            } else {
                Change::Remove
            };
            let mut turn = Vec::new();
            for last in 1..=20 {
                id += 1;
                // Odd addresses lag one behind, so they end the other way.
                let change = if last % 2 == 1 && round == 199 {
                    Change::Add
                } else {
                    change
                };
                turn.push(request(id, change, plain(&format!("10.8.0.{last}/32"))));
            }
            turns.push(turn);
        }
        let answers = perform(None, &turns);
        assert_eq!(answers.len(), 4000);
        for answer in &answers {
            assert!(
                matches!(answer.errno, None | Some(libc::ECANCELED)),
                "{answer:?}"
            );
        }
        let left = shown("-4 addr show dev left");
        for last in 1..=20 {
            let there = left.contains(&format!("inet 10.8.0.{last}/32"));
            assert_eq!(there, last % 2 == 1, "10.8.0.{last}: {left}");
        }
    });
}

#[test]
fn stopping_finishes_what_was_posted_even_without_a_flush() {
    in_net("stop", |_| {
        let mut hands = Hands::start(Bell::new().unwrap(), None).unwrap();
        for id in 1..=200 {
            let what = plain(&format!("10.8.0.{id}/32"));
            hands.post(request(id, Change::Add, what));
        }
        assert_eq!(hands.stop(), (1..=200).map(done).collect::<Vec<_>>());
        let left = shown("-4 addr show dev left");
        assert_eq!(left.matches("inet 10.8.0.").count(), 200);
    });
}

#[test]
fn the_ledger_names_what_is_in_the_kernel_and_no_more() {
    in_net("ledger", |_| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ledger::FILE);
        let mut bad = plain("10.8.0.9/24");
        bad.label = Some("a-label-of-16-by".into());
        perform(
            Some(Ledger::create(&path, &[]).unwrap()),
            &[vec![
                request(1, Change::Add, plain("10.8.0.5/24")),
                request(2, Change::Add, plain("10.8.0.6/24")),
                request(3, Change::Add, bad),
            ]],
        );
        let left = Ledger::read(&path).unwrap();
        let addresses: Vec<_> = left.iter().map(|entry| entry.cidr.to_string()).collect();
        assert_eq!(addresses, ["10.8.0.5/24", "10.8.0.6/24"]);
        assert!(
            left.iter()
                .all(|entry| entry.link == index("left") && &*entry.name == "left")
        );
        let next = Ledger::create(&path, &left).unwrap();
        let removals = vec![request(4, Change::Remove, plain("10.8.0.5/24"))];
        assert_eq!(perform(Some(next), &[removals]), [done(4)]);
        let addresses: Vec<_> = Ledger::read(&path).unwrap();
        assert_eq!(addresses, left[1..]);
    });
}

/// Everything said until nothing more comes for a while.
fn heard(events: &mut Events) -> Vec<Fact> {
    let mut facts = Vec::new();
    while readable(&*events, 200) {
        assert_ne!(events.drain(&mut facts, 16).unwrap(), Drained::Overrun);
    }
    facts
}

fn links(facts: &[Fact]) -> Vec<LinkSeen> {
    let links = facts.iter().filter_map(|fact| match fact {
        Fact::Link(seen) => Some(seen.clone()),
        Fact::Address(_) => None,
    });
    links.collect()
}

fn addresses(facts: &[Fact]) -> Vec<AddressSeen> {
    let addresses = facts.iter().filter_map(|fact| match fact {
        Fact::Link(_) => None,
        Fact::Address(seen) => Some(*seen),
    });
    addresses.collect()
}

#[test]
fn the_first_picture_has_links_before_addresses_and_what_matters_of_them() {
    in_net("first_picture", |_| {
        fs::write("/proc/sys/net/ipv6/conf/left/forwarding", "1").unwrap();
        ip("link set left address 02:00:00:00:00:0a");
        let mut facts = Vec::new();
        Events::open().unwrap().resync(&mut facts).unwrap();
        let first_address = facts
            .iter()
            .position(|fact| matches!(fact, Fact::Address(_)));
        let last_link = facts.iter().rposition(|fact| matches!(fact, Fact::Link(_)));
        assert!(last_link < first_address);
        let seen = links(&facts);
        let left = seen.iter().find(|seen| &*seen.name == "left").unwrap();
        let flags = left.is.unwrap();
        assert_eq!(left.link, index("left"));
        assert_eq!(flags.mac, Some(Mac([2, 0, 0, 0, 0, 10])));
        assert!(flags.up && flags.running && flags.multicast && flags.forwarding6);
        assert!(!flags.loopback && !flags.noarp && flags.mtu == 1500);
        let lo = seen
            .iter()
            .find(|seen| &*seen.name == "lo")
            .unwrap()
            .is
            .unwrap();
        assert!(lo.loopback && lo.mac.is_none() && !lo.forwarding6);
        let ours: Vec<_> = addresses(&facts)
            .iter()
            .filter(|seen| seen.link == index("left"))
            .map(|seen| (seen.cidr.to_string(), seen.present))
            .collect();
        assert_eq!(
            ours,
            [("10.9.0.1/24".into(), true), ("fe80::a/64".into(), true)]
        );
    });
}

#[test]
fn changes_of_links_and_addresses_are_heard_once_each() {
    in_net("events", |nets| {
        let mut events = Events::open().unwrap();
        events.resync(&mut Vec::new()).unwrap();
        assert_eq!(heard(&mut events), []);
        ip("addr add 10.9.0.50/24 dev left");
        ip("addr change 10.9.0.50/24 dev left valid_lft 500 preferred_lft 400");
        let seen = addresses(&heard(&mut events));
        assert_eq!(seen.len(), 1, "the repeated word is not reported: {seen:?}");
        assert!(seen[0].present && seen[0].secondary && !seen[0].dad_failed);
        assert_eq!(seen[0].cidr.to_string(), "10.9.0.50/24");
        ip("addr del 10.9.0.50/24 dev left");
        let seen = addresses(&heard(&mut events));
        assert!(seen.len() == 1 && !seen[0].present);
        fs::write("/proc/sys/net/ipv6/conf/left/dad_transmits", "30").unwrap();
        ip("addr add 2001:db8::1/64 dev left");
        let seen = addresses(&heard(&mut events));
        assert!(
            seen.len() == 1 && seen[0].present,
            "tentative is present: {seen:?}"
        );

        nets.on_b(|| ip("link set right down"));
        let last = links(&heard(&mut events)).pop().unwrap().is.unwrap();
        assert!(last.up && !last.running);
        ip("link set left down");
        let facts = heard(&mut events);
        let last = links(&facts).pop().unwrap().is.unwrap();
        assert!(!last.up && !last.running);
        assert!(
            addresses(&facts)
                .iter()
                .all(|seen| !seen.present && seen.cidr.addr.is_ipv6())
        );

        let before = index("left");
        ip("link set left name wan");
        let renamed = links(&heard(&mut events));
        assert!(
            renamed
                .iter()
                .all(|seen| seen.link == before && &*seen.name == "wan")
        );
        assert!(renamed.last().is_some_and(|seen| seen.is.is_some()));
        ip("link set wan address 02:00:00:00:00:0b mtu 1400");
        let last = links(&heard(&mut events)).pop().unwrap().is.unwrap();
        assert_eq!((last.mac, last.mtu), (Some(Mac([2, 0, 0, 0, 0, 11])), 1400));

        ip("link del wan");
        let facts = heard(&mut events);
        let lost = links(&facts).pop().unwrap();
        assert_eq!((lost.link, &*lost.name, lost.is), (before, "wan", None));
        assert!(
            addresses(&facts)
                .iter()
                .any(|seen| seen.cidr.to_string() == "10.9.0.1/24")
        );
        assert!(matches!(facts.last(), Some(Fact::Link(_))));
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_still_there() {
    in_net("bridge_port", |_| {
        ip("link add name bridge0 type bridge");
        ip("link set left master bridge0");
        let mut events = Events::open().unwrap();
        events.resync(&mut Vec::new()).unwrap();
        ip("link set left nomaster");
        for seen in links(&heard(&mut events)) {
            assert!(seen.is.is_some(), "{seen:?}");
        }
    });
}

#[test]
fn after_an_overrun_the_difference_is_reported() {
    in_net("overrun", |_| {
        ip("link add name gone type veth peer name gone2");
        ip("addr add 10.9.0.60/24 dev left");
        let mut events = Events::with_buffer(4096).unwrap();
        events.resync(&mut Vec::new()).unwrap();
        let gone = index("gone");
        ip("link del gone");
        ip("addr del 10.9.0.60/24 dev left");
        for _ in 0..60 {
            ip("link set left mtu 1400");
            ip("link set left mtu 1500");
        }
        ip("addr add 10.9.0.61/24 dev left");
        let mut early = Vec::new();
        let mut end = Drained::More;
        while end == Drained::More {
            end = events.drain(&mut early, 1).unwrap();
        }
        assert_eq!(end, Drained::Overrun);
        events.resync(&mut early).unwrap();
        assert!(
            links(&early)
                .iter()
                .any(|seen| seen.link == gone && seen.is.is_none())
        );
        let words: Vec<_> = addresses(&early)
            .iter()
            .filter(|seen| seen.cidr.addr.is_ipv4())
            .map(|seen| (seen.cidr.to_string(), seen.present))
            .collect();
        assert_eq!(
            words,
            [
                ("10.9.0.60/24".into(), false),
                ("10.9.0.61/24".into(), true)
            ]
        );
        let mut again = Vec::new();
        events.resync(&mut again).unwrap();
        assert_eq!(again, []);
        ip("addr del 10.9.0.61/24 dev left");
        assert_eq!(
            addresses(&heard(&mut events)).len(),
            1,
            "it goes on listening"
        );
    });
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
