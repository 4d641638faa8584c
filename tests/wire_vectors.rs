//! Other people's bytes: adverts and announcements captured from keepalived and FRR are read as the
//! capture states, and what we write is the same. etherparse gives a second opinion on our headers.
//!
//! `tests/data/wire-vectors.json` holds the captures. What differs from run to run is not compared:
//! IPv4 identification, DF and header checksum, IPv6 flow label.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mainstay::model::addr::{Mac, is_link_local};
use mainstay::model::ids::{Family, LinkId, Version, Vrid};
use mainstay::model::priority::Claim;
use mainstay::model::settings::AuthSettings;
use mainstay::wire::advert::{Advert, ChecksumForm, Datagram, Expect, Reject, vrid_of};
use mainstay::wire::template::{GROUP4, PROTOCOL, Spec, Template};
use mainstay::wire::{arp, ip, ndisc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const COMPUTED: &str = "_computed_message_only";
const ETHERNET: usize = 14;

#[derive(Deserialize)]
struct Scenario {
    config: String,
    adverts: Vec<Captured>,
    garp: BTreeMap<Ipv4Addr, Vec<f64>>,
    na: BTreeMap<Ipv6Addr, Vec<f64>>,
    garp_frame: Option<String>,
    na_frame: Option<String>,
}

#[derive(Deserialize)]
struct Captured {
    frame: String,
    payload: String,
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    version: u8,
    vrid: u8,
    priority: u8,
    count: usize,
    interval: u64,
    auth_type: Option<u8>,
    addresses: Vec<IpAddr>,
    checksum: u16,
    checksum_kind: String,
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hex has an even length");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn all() -> BTreeMap<String, serde_json::Value> {
    serde_json::from_str(include_str!("data/wire-vectors.json")).expect("the vectors are JSON")
}

fn scenarios() -> Vec<(String, Scenario)> {
    all()
        .into_iter()
        .filter(|(name, _)| name != COMPUTED)
        .map(|(name, value)| {
            let scenario = serde_json::from_value(value).expect("a scenario");
            (name, scenario)
        })
        .collect()
}

impl Captured {
    fn version(&self) -> Version {
        match self.version {
            2 => Version::V2,
            3 => Version::V3,
            other => panic!("version {other}"),
        }
    }

    fn adver(&self) -> Duration {
        match self.version() {
            Version::V2 => Duration::from_secs(self.interval),
            Version::V3 => Duration::from_millis(self.interval * 10),
        }
    }

    /// What our decoder makes of the frame, read as the sockets read it.
    fn datagram<'a>(&self, frame: &'a [u8]) -> Datagram<'a> {
        let packet = &frame[ETHERNET..];
        let (src, dst, hop_limit, protocol, payload): (IpAddr, IpAddr, _, _, _) = match self.src {
            IpAddr::V4(_) => {
                let p = ip::parse_v4(packet).expect("IPv4");
                (p.src.into(), p.dst.into(), p.ttl, p.protocol, p.payload)
            }
            IpAddr::V6(_) => {
                let p = ip::parse_v6(packet).expect("IPv6");
                (
                    p.src.into(),
                    p.dst.into(),
                    p.hop_limit,
                    p.next_header,
                    p.payload,
                )
            }
        };
        assert_eq!(protocol, PROTOCOL);
        Datagram {
            link: LinkId(2),
            family: Family::of(src),
            src,
            dst,
            hop_limit,
            payload,
        }
    }

    fn expect(&self, auth: AuthSettings) -> Expect {
        Expect {
            version: self.version(),
            unicast: !self.dst.is_multicast(),
            auth,
            adver: self.adver(),
            addresses: self.addresses.len(),
            strict: false,
            owner_ignores: false,
        }
    }
}

impl Scenario {
    /// The password of its configuration, padded and cut as keepalived does.
    fn auth(&self) -> AuthSettings {
        if !self.config.contains("auth_type PASS") {
            return AuthSettings::None;
        }
        let (_, rest) = self.config.split_once("auth_pass ").expect("a password");
        let word = rest.split_whitespace().next().expect("a password");
        let mut password = [0; 8];
        for (to, from) in password.iter_mut().zip(word.bytes()) {
            *to = from;
        }
        AuthSettings::Password(password)
    }

    fn is_ah(&self) -> bool {
        self.config.contains("auth_type AH")
    }
}

/// Runs over every advert that is not AH; `see` gets its name for messages.
fn each(mut see: impl FnMut(&str, &Scenario, &Captured)) {
    let mut seen = 0;
    for (name, scenario) in scenarios().iter().filter(|(_, s)| !s.is_ah()) {
        for captured in &scenario.adverts {
            see(name, scenario, captured);
            seen += 1;
        }
    }
    assert_eq!(seen, 157, "adverts in the file that are not AH");
}

/// The header with what differs from run to run set to what we send.
fn comparable(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    match bytes[0] >> 4 {
        4 => {
            bytes[4..8].fill(0);
            bytes[10..12].fill(0);
            bytes[8] = 255;
        }
        6 => {
            bytes[1] &= 0xf0;
            bytes[2..4].fill(0);
            // keepalived leaves unicast to the kernel's default of 64; we send 255 always.
            bytes[7] = 255;
        }
        other => panic!("IP version {other}"),
    }
    bytes
}

#[test]
fn captured_adverts_are_read_as_the_capture_states() {
    each(|name, scenario, c| {
        let frame = hex(&c.frame);
        let datagram = c.datagram(&frame);
        assert_eq!((datagram.src, datagram.dst), (c.src, c.dst), "{name}");
        assert_eq!(datagram.hop_limit, c.ttl, "{name}");
        assert_eq!(datagram.payload, hex(&c.payload), "{name}");

        let expect = c.expect(scenario.auth());
        let advert = Advert::parse(&datagram, &expect)
            .unwrap_or_else(|reject| panic!("{name} is a good advert, but {reject}"));
        assert_eq!(Ok(advert), Advert::decode(&datagram), "{name}");
        assert_eq!(advert.version, c.version(), "{name}");
        assert_eq!(advert.vrid.get(), c.vrid, "{name}");
        assert_eq!(Some(advert.vrid), vrid_of(datagram.payload), "{name}");
        assert_eq!(advert.claim, Claim::from_wire(c.priority), "{name}");
        assert_eq!(advert.adver, c.adver(), "{name}");
        assert_eq!(advert.addrs.len(), c.count, "{name}");
        let addresses: Vec<IpAddr> = advert.addrs.iter().collect();
        assert_eq!(addresses, c.addresses, "{name}");
        let first = c.addresses.first().expect("one at least");
        let expected = first.is_ipv4() || is_link_local(*first);
        assert_eq!(advert.link_local_first, expected, "{name}");
        let form = match c.checksum_kind.as_str() {
            "message" | "pseudo6" => None,
            "pseudo4" => Some(ChecksumForm::Pseudo),
            "pseudo4 with 224.0.0.18" => Some(ChecksumForm::OldUnicast),
            other => panic!("{name}: unknown checksum kind {other}"),
        };
        assert_eq!(advert.form, form, "{name}");
    });
}

#[test]
fn lists_without_a_link_local_address_first_are_in_the_captures_and_strict_refuses_them() {
    let mut refused = 0;
    each(|name, _, c| {
        let frame = hex(&c.frame);
        let strict = Expect {
            strict: true,
            ..c.expect(AuthSettings::None)
        };
        if Advert::parse(&c.datagram(&frame), &strict) == Err(Reject::NotLinkLocal) {
            assert!(
                ["ka-v3-6-nolinklocal", "ka-v3-6-llast", "frr-v3-6-1vip"].contains(&name),
                "{name}"
            );
            refused += 1;
        }
    });
    assert!(refused >= 3, "{refused}");
}

#[test]
fn a_wrong_password_is_refused_in_every_capture_that_has_one() {
    let mut refused = 0;
    each(|name, scenario, c| {
        if scenario.auth() == AuthSettings::None {
            return;
        }
        let frame = hex(&c.frame);
        let other = c.expect(AuthSettings::Password(*b"S3cretpw"));
        let read = Advert::parse(&c.datagram(&frame), &other);
        assert_eq!(read, Err(Reject::AuthFailed), "{name}");
        let none = c.expect(AuthSettings::None);
        let read = Advert::parse(&c.datagram(&frame), &none);
        assert_eq!(read, Err(Reject::AuthType(1)), "{name}");
        refused += 1;
    });
    assert!(refused >= 5, "{refused}");
}

#[test]
fn our_template_sends_the_bytes_that_were_captured() {
    each(|name, scenario, c| {
        let mut template = Template::new(&Spec {
            version: c.version(),
            vrid: Vrid::new(c.vrid).expect("not zero"),
            adver: c.adver(),
            source: c.src,
            destinations: &[c.dst],
            addresses: &c.addresses,
            auth: scenario.auth(),
            checksum_as_v2: false,
            mtu: 1500,
        });
        template.set(Claim::from_wire(c.priority));
        let frames: Vec<_> = template.frames().collect();
        let [(dst, ours)] = frames[..] else {
            panic!("{name}: one destination, {} frames", frames.len());
        };
        assert_eq!(dst, c.dst, "{name}");
        let (mut ours, mut theirs) = (comparable(ours), comparable(&hex(&c.frame)[ETHERNET..]));
        if c.checksum_kind == "pseudo4 with 224.0.0.18" {
            // The old form is understood, never sent.
            let at = ours.len() - hex(&c.payload).len() + 6;
            assert_ne!(ours[at..at + 2], theirs[at..at + 2], "{name}");
            ours[at..at + 2].fill(0);
            theirs[at..at + 2].fill(0);
        } else {
            let [high, low] = c.checksum.to_be_bytes();
            assert!(ours.windows(2).any(|pair| pair == [high, low]), "{name}");
        }
        assert_eq!(ours, theirs, "{name}");
    });
}

#[test]
fn one_template_serves_every_peer_of_a_unicast_router() {
    let scenarios = scenarios();
    for wanted in ["ka-v2-unicast", "ka-v3-4-unicast", "ka-v3-6-unicast"] {
        let (_, scenario) = scenarios
            .iter()
            .find(|(name, _)| name == wanted)
            .expect("a scenario of that name");
        let round = &scenario.adverts[..2];
        let peers = [round[0].dst, round[1].dst];
        assert_ne!(peers[0], peers[1]);
        let mut template = Template::new(&Spec {
            version: round[0].version(),
            vrid: Vrid::new(round[0].vrid).expect("not zero"),
            adver: round[0].adver(),
            source: round[0].src,
            destinations: &peers,
            addresses: &round[0].addresses,
            auth: AuthSettings::None,
            checksum_as_v2: false,
            mtu: 1500,
        });
        template.set(Claim::from_wire(round[0].priority));
        let ours: Vec<_> = template
            .frames()
            .map(|(dst, frame)| (dst, comparable(frame)))
            .collect();
        let theirs: Vec<_> = round
            .iter()
            .map(|c| (c.dst, comparable(&hex(&c.frame)[ETHERNET..])))
            .collect();
        assert_eq!(ours, theirs, "{wanted}");
    }
}

#[test]
fn ah_is_refused_by_name() {
    let mut seen = 0;
    for (name, scenario) in scenarios().iter().filter(|(_, s)| s.is_ah()) {
        for c in &scenario.adverts {
            assert_eq!(c.auth_type, Some(2), "{name}");
            let frame = hex(&c.frame);
            let packet = ip::parse_v4(&frame[ETHERNET..]).expect("IPv4");
            assert_eq!(packet.protocol, 51, "{name}: never reaches our sockets");
            let payload = hex(&c.payload);
            assert!(packet.payload.ends_with(&payload), "{name}");
            let datagram = Datagram {
                link: LinkId(2),
                family: Family::V4,
                src: c.src,
                dst: c.dst,
                hop_limit: c.ttl,
                payload: &payload,
            };
            for auth in [AuthSettings::None, AuthSettings::Password(*b"s3cretpw")] {
                let reject = Advert::parse(&datagram, &c.expect(auth)).expect_err(name);
                assert_eq!(reject, Reject::AuthType(2), "{name}");
                assert!(reject.to_string().contains("AH"), "{reject}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 9, "AH adverts in the file");
}

#[test]
fn the_form_of_rfc_9568_is_read_and_sent() {
    let computed: BTreeMap<String, String> =
        serde_json::from_value(all().remove(COMPUTED).expect("the computed ones")).expect("a map");
    assert_eq!(computed.len(), 12);
    for (name, message) in computed {
        let payload = hex(&message);
        let last = match name.as_str() {
            "holo prio 20" => [10, 0, 1, 2],
            "holo prio 30" => [10, 0, 1, 3],
            _ => [10, 9, 0, 1],
        };
        let (src, dst) = (IpAddr::from(last), IpAddr::V4(GROUP4));
        let datagram = Datagram {
            link: LinkId(2),
            family: Family::V4,
            src,
            dst,
            hop_limit: 255,
            payload: &payload,
        };
        let advert = Advert::decode(&datagram).unwrap_or_else(|reject| panic!("{name}: {reject}"));
        assert_eq!(advert.form, Some(ChecksumForm::Message), "{name}");
        let (_, priority) = name.rsplit_once(' ').expect("`... prio N`");
        let priority = priority.parse().expect("a number");
        assert_eq!(advert.claim, Claim::from_wire(priority), "{name}");

        let addresses: Vec<IpAddr> = advert.addrs.iter().collect();
        let mut template = Template::new(&Spec {
            version: Version::V3,
            vrid: advert.vrid,
            adver: advert.adver,
            source: src,
            destinations: &[dst],
            addresses: &addresses,
            auth: AuthSettings::None,
            checksum_as_v2: true,
            mtu: 1500,
        });
        template.set(advert.claim);
        let (_, frame) = template.frames().next().expect("one destination");
        assert_eq!(frame[ip::HEADER4..], payload, "{name}");
    }
}

#[test]
fn our_gratuitous_arp_is_the_one_that_was_captured() {
    let mut seen = 0;
    for (name, scenario) in scenarios() {
        let Some(frame) = scenario.garp_frame.as_deref().map(hex) else {
            continue;
        };
        let read = arp::parse(&frame).expect("ARP");
        assert!(read.is_gratuitous(), "{name}");
        assert!(scenario.garp.contains_key(&read.sender), "{name}");
        assert_eq!(arp::gratuitous(read.src, read.sender)[..], frame, "{name}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn virtual_macs_in_the_captures_are_those_we_make() {
    let scenarios: BTreeMap<_, _> = scenarios().into_iter().collect();
    let vrid = Vrid::new(51).expect("not zero");
    for (name, family) in [
        ("ka-v2-vmac", Family::V4),
        ("ka-v2-vmac-base", Family::V4),
        ("frr-v3-4-1vip", Family::V4),
        ("ka-v3-6-vmac", Family::V6),
        ("frr-v3-6-ll", Family::V6),
    ] {
        let scenario = &scenarios[name];
        let mac = match family {
            Family::V4 => scenario
                .garp_frame
                .as_deref()
                .and_then(|frame| arp::parse(&hex(frame)))
                .map(|arp| arp.sender_mac),
            Family::V6 => scenario
                .na_frame
                .as_deref()
                .and_then(|frame| ndisc::parse(&hex(frame)))
                .and_then(|advert| advert.mac),
        };
        assert_eq!(mac, Some(Mac::of_router(family, vrid)), "{name}");
    }
}

#[test]
fn our_neighbour_advertisement_is_the_one_that_was_captured() {
    let (mut routers, mut hosts) = (0, 0);
    for (name, scenario) in scenarios() {
        let Some(frame) = scenario.na_frame.as_deref().map(hex) else {
            continue;
        };
        let read = ndisc::parse(&frame).expect("a neighbour advertisement");
        assert!(scenario.na.contains_key(&read.target), "{name}");
        assert_eq!(read.src, read.target, "{name}");
        assert!(read.replaces && !read.solicited, "{name}");
        let mac = read.mac.expect("it says where");
        let ours = ndisc::unsolicited(mac, read.target, read.router);
        assert_eq!(ours[..], frame, "{name}");
        *(if read.router {
            &mut routers
        } else {
            &mut hosts
        }) += 1;
    }
    assert!(routers >= 3 && hosts >= 5, "{routers} and {hosts}");
}

#[test]
fn etherparse_agrees_on_our_ip_headers() {
    each(|name, scenario, c| {
        let mut template = Template::new(&Spec {
            version: c.version(),
            vrid: Vrid::new(c.vrid).expect("not zero"),
            adver: c.adver(),
            source: c.src,
            destinations: &[c.dst],
            addresses: &c.addresses,
            auth: scenario.auth(),
            checksum_as_v2: true,
            mtu: 1500,
        });
        template.set(Claim::from_wire(c.priority));
        let (_, frame) = template.frames().next().expect("one destination");
        let sliced = SlicedPacket::from_ip(frame).expect("an IP packet");
        match sliced.net.expect("an IP header") {
            NetSlice::Ipv4(packet) => {
                let header = packet.header();
                let whole = header.to_header();
                assert_eq!(
                    header.header_checksum(),
                    whole.calc_header_checksum(),
                    "{name}"
                );
                assert_eq!(usize::from(header.total_len()), frame.len(), "{name}");
                assert_eq!(IpAddr::V4(header.source_addr()), c.src, "{name}");
                assert_eq!(IpAddr::V4(header.destination_addr()), c.dst, "{name}");
                assert_eq!(
                    (header.ttl(), header.protocol().0),
                    (255, PROTOCOL),
                    "{name}"
                );
                assert_eq!(
                    header.dcp().value() << 2 | header.ecn().value(),
                    0xc0,
                    "{name}"
                );
                assert!(!header.dont_fragment() && !header.is_fragmenting_payload());
                assert_eq!((header.ihl(), header.identification()), (5, 0), "{name}");
                assert_eq!(
                    packet.payload().payload.len(),
                    hex(&c.payload).len(),
                    "{name}"
                );
            }
            NetSlice::Ipv6(packet) => {
                let header = packet.header();
                assert_eq!(header.traffic_class(), 0xc0, "{name}");
                assert_eq!(header.flow_label().value(), 0, "{name}");
                assert_eq!(IpAddr::V6(header.source_addr()), c.src, "{name}");
                assert_eq!(IpAddr::V6(header.destination_addr()), c.dst, "{name}");
                let next = header.next_header().0;
                assert_eq!((header.hop_limit(), next), (255, PROTOCOL), "{name}");
                assert_eq!(packet.payload().payload, hex(&c.payload), "{name}");
            }
            NetSlice::Arp(_) => panic!("{name}: not ARP"),
        }
    });
}

#[test]
fn etherparse_agrees_on_our_announcements() {
    let mac = [0x02, 0, 0, 0, 0, 0x01];
    let frame = arp::gratuitous(Mac(mac), Ipv4Addr::new(10, 9, 0, 51));
    let sliced = SlicedPacket::from_ethernet(&frame).expect("an Ethernet frame");
    let Some(NetSlice::Arp(slice)) = sliced.net else {
        panic!("not ARP: {:?}", sliced.net);
    };
    let arp = slice.to_packet().try_eth_ipv4().expect("ARP for IPv4");
    assert_eq!(arp.operation, etherparse::ArpOperation::REQUEST);
    assert_eq!((arp.sender_mac, arp.target_mac), (mac, [0xff; 6]));
    assert_eq!(arp.sender_ipv4, [10, 9, 0, 51]);
    assert_eq!(arp.target_ipv4, [10, 9, 0, 51]);

    let ip = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 0x51);
    let frame = ndisc::unsolicited(Mac(mac), ip, true);
    let sliced = SlicedPacket::from_ethernet(&frame).expect("an Ethernet frame");
    let (Some(NetSlice::Ipv6(packet)), Some(TransportSlice::Icmpv6(icmp))) =
        (sliced.net, sliced.transport)
    else {
        panic!("not ICMPv6");
    };
    let header = packet.header();
    assert_eq!((header.source_addr(), header.hop_limit()), (ip, 255));
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    assert_eq!((icmp.type_u8(), icmp.code_u8()), (136, 0));
    assert_eq!(icmp.bytes5to8(), [0xa0, 0, 0, 0]);
}
