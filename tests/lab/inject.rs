//! Adverts made by hand, good and bad, sent from a host of the lab.

use super::frames::checksum;
use super::lab::Host;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A raw socket of protocol 112 on a host.
pub struct Injector {
    socket: Socket,
    source: IpAddr,
    ifindex: u32,
}

/// What to put into an advert.
#[derive(Clone, Debug)]
pub struct Craft {
    pub version: u8,
    pub kind: u8,
    pub vrid: u8,
    pub priority: u8,
    pub interval_cs: u16,
    pub addresses: Vec<Ipv4Addr>,
    /// Added to a right checksum.
    pub checksum_off: u16,
    /// Bytes behind the message.
    pub tail: Vec<u8>,
    pub ttl: u32,
    /// Authentication type (version 2).
    pub auth: u8,
}

impl Craft {
    /// A version 3 advert for VRID 51 and 10.9.0.51.
    pub fn v3(priority: u8, interval_cs: u16) -> Self {
        Self {
            version: 3,
            kind: 1,
            vrid: 51,
            priority,
            interval_cs,
            addresses: vec![Ipv4Addr::new(10, 9, 0, 51)],
            checksum_off: 0,
            tail: Vec::new(),
            ttl: 255,
            auth: 0,
        }
    }
}

impl Injector {
    /// Opens the socket in the host's namespace.
    pub fn v4(host: &Host) -> Self {
        let socket = host.ns.run(|| {
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).expect("a raw socket")
        });
        let source = host.v4();
        socket
            .set_multicast_if_v4(&source)
            .expect("the host has its address");
        socket.set_multicast_loop_v4(false).expect("no loop");
        Self {
            socket,
            source: source.into(),
            ifindex: 0,
        }
    }

    /// The same over IPv6, from the host's link-local address.
    pub fn v6(host: &Host) -> Self {
        let ifindex = host.ifindex();
        let socket = host.ns.run(|| {
            Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(112))).expect("a raw socket")
        });
        socket
            .set_multicast_if_v6(ifindex)
            .expect("the interface exists");
        socket.set_multicast_hops_v6(255).expect("hops");
        socket.set_multicast_loop_v6(false).expect("no loop");
        let from = SocketAddrV6::new(host.link_local(), 0, 0, ifindex);
        socket
            .bind(&SockAddr::from(from))
            .expect("the host has its address");
        Self {
            socket,
            source: host.link_local().into(),
            ifindex,
        }
    }

    /// Sends one advert to the group.
    pub fn send(&self, craft: &Craft) {
        let mut message = vec![
            craft.version << 4 | craft.kind,
            craft.vrid,
            craft.priority,
            u8::try_from(craft.addresses.len()).expect("few addresses"),
        ];
        if craft.version == 2 {
            message.push(craft.auth);
            message.push(u8::try_from(craft.interval_cs / 100).expect("seconds fit"));
        } else {
            message.extend(craft.interval_cs.to_be_bytes());
        }
        message.extend([0, 0]);
        for address in &craft.addresses {
            message.extend(address.octets());
        }
        if craft.version == 2 {
            message.extend([0; 8]);
        }
        self.send_raw(message, craft);
    }

    /// Sends an IPv6 advert for these addresses.
    pub fn send6(&self, priority: u8, interval_cs: u16, addresses: &[Ipv6Addr]) {
        let count = u8::try_from(addresses.len()).expect("few addresses");
        let mut message = vec![0x31, 51, priority, count];
        message.extend(interval_cs.to_be_bytes());
        message.extend([0, 0]);
        for address in addresses {
            message.extend(address.octets());
        }
        self.send_raw(message, &Craft::v3(priority, interval_cs));
    }

    fn send_raw(&self, mut message: Vec<u8>, craft: &Craft) {
        message.extend(&craft.tail);
        let length = u16::try_from(message.len()).expect("short");
        let (to, sum) = match self.source {
            IpAddr::V4(source) => {
                let group = Ipv4Addr::new(224, 0, 0, 18);
                let pseudo = [
                    &source.octets()[..],
                    &group.octets(),
                    &[0, 112],
                    &length.to_be_bytes(),
                ]
                .concat();
                let sum = if craft.version == 2 {
                    checksum(&[&message])
                } else {
                    checksum(&[&pseudo, &message])
                };
                self.socket.set_multicast_ttl_v4(craft.ttl).expect("ttl");
                (SocketAddr::from((group, 0)), sum)
            }
            IpAddr::V6(source) => {
                let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
                let pseudo = [
                    &source.octets()[..],
                    &group.octets(),
                    &u32::from(length).to_be_bytes(),
                    &[0, 0, 0, 112],
                ]
                .concat();
                let sum = checksum(&[&pseudo, &message]);
                (SocketAddrV6::new(group, 0, 0, self.ifindex).into(), sum)
            }
        };
        if let Some(field) = message.get_mut(6..8) {
            field.copy_from_slice(&sum.wrapping_add(craft.checksum_off).to_be_bytes());
        }
        // A link that is down swallows it; the test sees that by itself.
        let _ = self.socket.send_to(&message, &SockAddr::from(to));
    }

    /// Sends bytes with the options of the last advert.
    pub fn send_prepared(&self, message: &[u8]) {
        let to = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 18), 0));
        let _ = self.socket.send_to(message, &SockAddr::from(to));
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&self, message: &[u8]) {
        let to = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 18), 0));
        self.socket.set_multicast_ttl_v4(255).expect("ttl");
        let _ = self.socket.send_to(message, &SockAddr::from(to));
    }
}
