//! What the kernel says of links and addresses: an rtnetlink event socket and a picture to compare with.

use crate::model::addr::{Cidr, Mac};
use crate::model::ids::LinkId;
use crate::model::seen::{AddressSeen, LinkFlags, LinkSeen};
use crate::os::error::{OsError, doing};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NlasIterator,
};
use netlink_packet_route::address::{AddressFlags, AddressHeader, AddressMessage};
use netlink_packet_route::link::{
    LinkFlags as KernelFlags, LinkHeader, LinkLayerType, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily as Domain, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind,
    recvmsg, send, setsockopt, socket, sockopt,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The kernel's answers to a dump come in pieces of at most 32 KiB.
const BUFFER: usize = 64 << 10;
const RECEIVE_BUFFER: usize = 4 << 20;
/// A dump that is disturbed is repeated; after so many times the picture is taken as it is.
const ATTEMPTS: u32 = 5;
const ANSWER_MS: u16 = 2_000;
/// Not in libc for every target.
const IFA_FLAGS: u16 = 8;

/// One fact from the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// Of a link.
    Link(LinkSeen),
    /// Of an address.
    Address(AddressSeen),
}

/// How a [`Events::drain`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Nothing waits any more.
    Empty,
    /// The limit was reached.
    More,
    /// The kernel dropped events: call [`Events::resync`].
    Overrun,
}

/// The event socket and what was said so far.
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    picture: Picture,
    sequence: u32,
}

impl Events {
    /// Subscribes. The picture is empty until the first [`Events::resync`], which reports everything.
    ///
    /// # Errors
    /// Those of socket and bind.
    pub fn open() -> Result<Self, OsError> {
        Self::with_buffer(RECEIVE_BUFFER)
    }

    /// As [`Events::open`] with another receive buffer, in bytes.
    pub fn with_buffer(bytes: usize) -> Result<Self, OsError> {
        let socket =
            route_socket(libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR)
                .map_err(doing("rtnetlink: cannot subscribe to links and addresses"))?;
        if setsockopt(&socket, sockopt::RcvBufForce, &bytes).is_err() {
            // Less room means that it has to resync earlier, nothing else.
            let _ = setsockopt(&socket, sockopt::RcvBuf, &bytes);
        }
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            picture: Picture::default(),
            sequence: 0,
        })
    }

    /// Appends what changed, reading at most `limit` messages. Never blocks.
    ///
    /// A repeated fact is not reported again. *Allocates* for what is new.
    pub fn drain(&mut self, facts: &mut Vec<Fact>, limit: usize) -> io::Result<Drained> {
        for _ in 0..limit {
            let length = match self.receive() {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(Drained::Empty),
                Err(Errno::ENOBUFS) => return Ok(Drained::Overrun),
                Err(errno) => return Err(errno.into()),
            };
            let (picture, buffer) = (&mut self.picture, &self.buffer[..length]);
            for message in messages(buffer) {
                if let Some(word) = Word::parse(&message) {
                    picture.apply(word, &mut |fact| facts.push(fact));
                }
            }
        }
        Ok(Drained::More)
    }

    /// Asks for everything and reports the difference: what is gone first, then links, then
    /// addresses.
    ///
    /// *Blocks* as long as the kernel takes to answer; at most 2 s for each piece of it.
    pub fn resync(&mut self, facts: &mut Vec<Fact>) -> io::Result<()> {
        let mut attempt = 1;
        loop {
            let mut fresh = Picture::default();
            let calm = self.dump(&mut fresh)?;
            if calm || attempt == ATTEMPTS {
                self.picture.replace(fresh, facts);
                return Ok(());
            }
            attempt += 1;
        }
    }

    /// Fills the picture; `false` if something changed while the kernel told it.
    fn dump(&mut self, into: &mut Picture) -> io::Result<bool> {
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        Ok(self.ask(links, into)? & self.ask(addresses, into)?)
    }

    fn ask(&mut self, question: RouteNetlinkMessage, into: &mut Picture) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        loop {
            match send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut calm = true;
        loop {
            let length = match self.receive() {
                Ok(Some(length)) => length,
                Ok(None) => {
                    self.await_answer()?;
                    continue;
                }
                // Events were dropped, the dump itself goes on: look again afterwards.
                Err(Errno::ENOBUFS) => {
                    calm = false;
                    continue;
                }
                Err(errno) => return Err(errno.into()),
            };
            for message in messages(&self.buffer[..length]) {
                let ours = message.sequence_number() == self.sequence;
                match i32::from(message.message_type()) {
                    libc::NLMSG_DONE if ours => return Ok(calm),
                    libc::NLMSG_ERROR if ours => {
                        let errno = errno_of(message.payload());
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    _ => {}
                }
                calm &= ours && message.flags() & NLM_F_DUMP_INTR == 0;
                if let Some(word) = Word::parse(&message) {
                    into.apply(word, &mut |_| ());
                }
            }
        }
    }

    fn await_answer(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, ANSWER_MS) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// One datagram from the kernel; `None` if none waits.
    fn receive(&mut self) -> nix::Result<Option<usize>> {
        loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let fd = self.socket.as_raw_fd();
            match recvmsg::<NetlinkAddr>(fd, &mut parts, None, MsgFlags::MSG_DONTWAIT) {
                // Longer than the room: part of it is lost, so look again.
                Ok(message) if message.flags.contains(MsgFlags::MSG_TRUNC) => {
                    return Err(Errno::ENOBUFS);
                }
                // Another process may send to us; only port 0 is the kernel.
                Ok(message) => {
                    if message.address.is_some_and(|from| from.pid() == 0) {
                        return Ok(Some(message.bytes));
                    }
                }
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A NETLINK_ROUTE socket in these groups.
pub(super) fn route_socket(groups: i32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(Domain::Netlink, SockType::Raw, flags, protocol)?;
    bind(
        socket.as_raw_fd(),
        &NetlinkAddr::new(0, groups.unsigned_abs()),
    )?;
    Ok(socket)
}

/// The messages in one datagram.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let length = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or(&[]);
        Some(message)
    })
}

/// The error number in an NLMSG_ERROR; 0 is an acknowledgement.
pub(super) fn errno_of(payload: &[u8]) -> i32 {
    let code = payload.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    code.saturating_neg()
}

/// One message, understood.
#[derive(Debug)]
enum Word {
    Link(LinkSeen),
    Address(AddressSeen),
}

impl Word {
    fn parse(message: &NetlinkBuffer<&[u8]>) -> Option<Self> {
        let payload = message.payload();
        match message.message_type() {
            libc::RTM_NEWLINK => parse_link(payload, true).map(Self::Link),
            libc::RTM_DELLINK => parse_link(payload, false).map(Self::Link),
            libc::RTM_NEWADDR => parse_address(payload, true).map(Self::Address),
            libc::RTM_DELADDR => parse_address(payload, false).map(Self::Address),
            _ => None,
        }
    }
}

/// Reads the few attributes we want; a strange one among the sixty others does no harm.
fn parse_link(payload: &[u8], exists: bool) -> Option<LinkSeen> {
    let header = LinkHeader::parse(payload).ok()?;
    // A bridge tells of its ports in messages of its own family, also that one has left.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let (mut name, mut mtu, mut mac) = (None, 0, None);
    for attribute in NlasIterator::new(payload.get(16..)?) {
        let Ok(attribute) = attribute else { break };
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => name = std::str::from_utf8(value).ok().map(until_nul),
            libc::IFLA_MTU => mtu = value.try_into().map_or(0, u32::from_ne_bytes),
            libc::IFLA_ADDRESS => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    let name = name?;
    let has = |flag| header.flags.contains(flag);
    let is = exists.then(|| LinkFlags {
        up: has(KernelFlags::Up),
        running: has(KernelFlags::Running),
        loopback: has(KernelFlags::Loopback),
        multicast: has(KernelFlags::Multicast),
        noarp: has(KernelFlags::Noarp),
        mac: mac.filter(|_| header.link_layer_type == LinkLayerType::Ether),
        mtu,
        forwarding6: forwards6(&name),
    });
    Some(LinkSeen {
        link: LinkId(header.index),
        name,
        is,
    })
}

fn until_nul(text: &str) -> Arc<str> {
    Arc::from(text.split('\0').next().unwrap_or(""))
}

fn forwards6(name: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/forwarding");
    fs::read(path).is_ok_and(|text| text.first().is_some_and(|&first| first != b'0'))
}

fn parse_address(payload: &[u8], present: bool) -> Option<AddressSeen> {
    let header = AddressHeader::parse(payload).ok()?;
    let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
    let (mut local, mut address) = (None, None);
    for attribute in NlasIterator::new(payload.get(8..)?) {
        let Ok(attribute) = attribute else { break };
        let value = attribute.value();
        match attribute.kind() {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => address = ip(value),
            IFA_FLAGS => {
                flags = AddressFlags::from_bits_retain(u32::from_ne_bytes(value.try_into().ok()?));
            }
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end.
    let cidr = Cidr::new(local.or(address)?, header.prefix_len)?;
    Some(AddressSeen {
        link: LinkId(header.index),
        cidr,
        present,
        dad_failed: flags.contains(AddressFlags::Dadfailed),
        secondary: cidr.addr.is_ipv4() && flags.contains(AddressFlags::Secondary),
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

/// What was said so far, compact.
#[derive(Debug, Default)]
struct Picture {
    links: HashMap<LinkId, LinkSeen>,
    /// With the order in which they were told: the kernel's own, by which it prefers them.
    addresses: HashMap<(LinkId, Cidr), (u64, AddressSeen)>,
    told: u64,
}

impl Picture {
    /// Takes in one word and tells what is new in it.
    fn apply(&mut self, word: Word, tell: &mut dyn FnMut(Fact)) {
        match word {
            Word::Link(seen) if seen.is.is_some() => {
                if self.links.get(&seen.link) != Some(&seen) {
                    self.links.insert(seen.link, seen.clone());
                    tell(Fact::Link(seen));
                }
            }
            Word::Link(seen) => self.lose_link(seen, tell),
            Word::Address(seen) if seen.present => {
                let told = self.told;
                let news = match self.addresses.entry((seen.link, seen.cidr)) {
                    Entry::Vacant(room) => {
                        self.told += 1;
                        room.insert((told, seen));
                        true
                    }
                    Entry::Occupied(mut known) => {
                        let (order, _) = *known.get();
                        known.insert((order, seen)).1 != seen
                    }
                };
                if news {
                    tell(Fact::Address(seen));
                }
            }
            Word::Address(seen) => {
                if self.addresses.remove(&(seen.link, seen.cidr)).is_some() {
                    tell(Fact::Address(seen));
                }
            }
        }
    }

    fn lose_link(&mut self, seen: LinkSeen, tell: &mut dyn FnMut(Fact)) {
        self.addresses.retain(|(link, _), (_, address)| {
            let stays = *link != seen.link;
            if !stays {
                tell(Fact::Address(gone(*address)));
            }
            stays
        });
        if self.links.remove(&seen.link).is_some() {
            tell(Fact::Link(seen));
        }
    }

    /// Becomes `fresh` and reports the way there.
    fn replace(&mut self, fresh: Self, facts: &mut Vec<Fact>) {
        let before = std::mem::replace(self, fresh);
        for (key, (_, address)) in &before.addresses {
            if !self.addresses.contains_key(key) {
                facts.push(Fact::Address(gone(*address)));
            }
        }
        for (link, seen) in before.links.iter() {
            if !self.links.contains_key(link) {
                facts.push(Fact::Link(LinkSeen {
                    is: None,
                    ..seen.clone()
                }));
            }
        }
        let mut links: Vec<_> = self.links.values().collect();
        links.sort_unstable_by_key(|seen| seen.link);
        for seen in links {
            if before.links.get(&seen.link) != Some(seen) {
                facts.push(Fact::Link(seen.clone()));
            }
        }
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_unstable_by_key(|(_, (order, _))| *order);
        for (key, (_, seen)) in addresses {
            if before.addresses.get(key).map(|(_, known)| known) != Some(seen) {
                facts.push(Fact::Address(*seen));
            }
        }
    }
}

fn gone(seen: AddressSeen) -> AddressSeen {
    AddressSeen {
        present: false,
        ..seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, up: bool) -> LinkSeen {
        LinkSeen {
            link: LinkId(index),
            name: name.into(),
            is: Some(LinkFlags {
                up,
                running: up,
                loopback: false,
                multicast: true,
                noarp: false,
                mac: None,
                mtu: 1500,
                forwarding6: false,
            }),
        }
    }

    fn address(index: u32, last: u8, present: bool) -> AddressSeen {
        AddressSeen {
            link: LinkId(index),
            cidr: Cidr::new(IpAddr::from([10, 0, 0, last]), 24).unwrap(),
            present,
            dad_failed: false,
            secondary: false,
        }
    }

    fn told(picture: &mut Picture, word: Word) -> Vec<Fact> {
        let mut facts = Vec::new();
        picture.apply(word, &mut |fact| facts.push(fact));
        facts
    }

    #[test]
    fn a_fact_is_told_once_and_again_when_it_changes() {
        let mut picture = Picture::default();
        let up = link(2, "eth0", true);
        assert_eq!(
            told(&mut picture, Word::Link(up.clone())),
            [Fact::Link(up.clone())]
        );
        assert_eq!(told(&mut picture, Word::Link(up)), []);
        let renamed = link(2, "wan", true);
        assert_eq!(
            told(&mut picture, Word::Link(renamed.clone())),
            [Fact::Link(renamed)]
        );
        let here = address(2, 1, true);
        assert_eq!(
            told(&mut picture, Word::Address(here)),
            [Fact::Address(here)]
        );
        assert_eq!(told(&mut picture, Word::Address(here)), []);
        assert_eq!(told(&mut picture, Word::Address(address(2, 9, false))), []);
    }

    #[test]
    fn a_link_that_goes_takes_its_addresses_along() {
        let mut picture = Picture::default();
        told(&mut picture, Word::Link(link(2, "eth0", true)));
        told(&mut picture, Word::Address(address(2, 1, true)));
        let lost = LinkSeen {
            is: None,
            ..link(2, "eth0", true)
        };
        assert_eq!(
            told(&mut picture, Word::Link(lost.clone())),
            [
                Fact::Address(address(2, 1, false)),
                Fact::Link(lost.clone())
            ]
        );
        assert_eq!(told(&mut picture, Word::Link(lost)), []);
    }

    #[test]
    fn a_new_picture_reports_what_is_gone_what_changed_and_keeps_the_kernels_order() {
        let (mut picture, mut fresh) = (Picture::default(), Picture::default());
        told(&mut picture, Word::Link(link(2, "eth0", true)));
        told(&mut picture, Word::Link(link(3, "eth1", true)));
        told(&mut picture, Word::Address(address(2, 1, true)));
        told(&mut fresh, Word::Link(link(2, "eth0", false)));
        told(&mut fresh, Word::Address(address(2, 7, true)));
        told(&mut fresh, Word::Address(address(2, 5, true)));
        let mut facts = Vec::new();
        picture.replace(fresh, &mut facts);
        let lost = LinkSeen {
            is: None,
            ..link(3, "eth1", true)
        };
        assert_eq!(
            facts,
            [
                Fact::Address(address(2, 1, false)),
                Fact::Link(lost),
                Fact::Link(link(2, "eth0", false)),
                Fact::Address(address(2, 7, true)),
                Fact::Address(address(2, 5, true)),
            ]
        );
    }

    #[test]
    fn a_ports_farewell_to_its_bridge_is_not_the_links() {
        let mut payload = vec![0; 16];
        payload[0] = libc::AF_BRIDGE as u8;
        payload[4] = 2;
        let name = [9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0];
        payload.extend(name);
        assert_eq!(parse_link(&payload, false), None);
        payload[0] = 0;
        let seen = parse_link(&payload, false).unwrap();
        assert_eq!((seen.link, &*seen.name, seen.is), (LinkId(2), "eth0", None));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic() {
        let mut bytes = Vec::new();
        for length in 0..120_u32 {
            for fill in [0, 1, 2, 4, 0x7f, 0xff] {
                bytes.clear();
                bytes.resize(length as usize, fill);
                let _ = (parse_link(&bytes, true), parse_address(&bytes, true));
                let _ = (messages(&bytes).count(), errno_of(&bytes));
            }
        }
    }
}
