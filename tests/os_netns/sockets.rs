//! Raw and packet sockets.

use super::*;

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
