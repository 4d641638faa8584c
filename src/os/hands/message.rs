//! Requests as netlink messages, and the kernel's answers to a batch of them.

use super::{Change, Request};
use crate::model::addr::VirtualAddress;
use crate::os::error::{OsError, doing};
use crate::os::netlink::{errno_of, messages, route_socket};
use crate::os::sys;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// IFA_PROTO of what we add; kernels before 5.18 ignore it. The same number as keepalived's.
const PROTOCOL: u8 = 18;
const LONGEST_LABEL: usize = 15;
const FOR_EVER: u32 = u32::MAX;
/// Answers repeat only the header of what they answer.
const NETLINK_CAP_ACK: i32 = 10;
const BUFFER: usize = 32 << 10;

/// The socket to ask the kernel with.
#[derive(Debug)]
pub(super) struct Route {
    socket: OwnedFd,
    sequence: u32,
    bytes: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Route {
    pub(super) fn open() -> Result<Self, OsError> {
        let socket =
            route_socket(0).map_err(doing("rtnetlink: cannot open a socket for requests"))?;
        // Without it answers are longer, nothing else.
        let _ = sys::set_int(&socket, libc::SOL_NETLINK, NETLINK_CAP_ACK, 1);
        Ok(Self {
            socket,
            sequence: 0,
            bytes: Vec::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Does a batch and says of each request how it went: 0, or the errno that counts.
    pub(super) fn perform(&mut self, batch: &[Request]) -> Vec<i32> {
        let mut errnos = vec![0; batch.len()];
        let mut result = self.ask(batch, &mut errnos);
        // Answers were lost: as what is done twice is done, ask once more.
        if result == Err(Errno::ENOBUFS) {
            result = self.ask(batch, &mut errnos);
        }
        for (errno, request) in errnos.iter_mut().zip(batch) {
            *errno = match (result, request.change, *errno) {
                (Err(lost), _, 0) => lost as i32,
                (_, Change::Add, libc::EEXIST) => 0,
                (_, Change::Remove, libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO) => 0,
                (_, Change::Add | Change::Remove, errno) => errno,
            };
        }
        errnos
    }

    /// One send, with one acknowledgement asked for; failures answer on their own.
    fn ask(&mut self, batch: &[Request], errnos: &mut [i32]) -> Result<(), Errno> {
        errnos.fill(0);
        self.bytes.clear();
        let first = self.sequence;
        let mut last = None;
        for (index, request) in batch.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let label = request.what.label.as_deref().unwrap_or("");
            if label.len() > LONGEST_LABEL {
                errnos[index] = libc::ERANGE;
                continue;
            }
            last = Some(self.sequence);
            append(&mut self.bytes, message(request, self.sequence));
        }
        let Some(last) = last else {
            return Ok(());
        };
        acknowledge_last(&mut self.bytes, last);
        while let Err(errno) = send(self.socket.as_raw_fd(), &self.bytes, MsgFlags::empty()) {
            if errno != Errno::EINTR {
                return Err(errno);
            }
        }
        loop {
            // The kernel has answered before `send` returns: what is not there now is lost.
            let length = match recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Err(Errno::ENOBUFS),
                Err(errno) => return Err(errno),
            };
            for answer in messages(&self.buffer[..length]) {
                if i32::from(answer.message_type()) != libc::NLMSG_ERROR {
                    continue;
                }
                let sequence = answer.sequence_number();
                let index = sequence.wrapping_sub(first).wrapping_sub(1) as usize;
                // Others answer a batch of which answers were lost.
                if let Some(errno) = errnos.get_mut(index) {
                    *errno = errno_of(answer.payload());
                    if sequence == last {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn append(bytes: &mut Vec<u8>, mut message: NetlinkMessage<RouteNetlinkMessage>) {
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}

/// Sets NLM_F_ACK in the message with this number, which is the last.
fn acknowledge_last(bytes: &mut [u8], sequence: u32) {
    let mut start = 0;
    while let Some(head) = bytes.get_mut(start..start + 16) {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if head[8..12] == sequence.to_ne_bytes() {
            let flags = u16::from_ne_bytes([head[6], head[7]]) | NLM_F_ACK;
            head[6..8].copy_from_slice(&flags.to_ne_bytes());
            return;
        }
        start += length.next_multiple_of(4).max(16);
    }
}

fn message(request: &Request, sequence: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.sequence_number = sequence;
    let what = &request.what;
    let mut address = AddressMessage::default();
    address.header = AddressHeader {
        family: match what.cidr.addr {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        },
        prefix_len: what.cidr.len,
        scope: what.scope.into(),
        index: request.link.0,
        ..AddressHeader::default()
    };
    // Without IFA_ADDRESS the kernel would not look at the prefix length of what it removes.
    address.attributes = vec![
        AddressAttribute::Local(what.cidr.addr),
        AddressAttribute::Address(what.cidr.addr),
    ];
    let inner = match request.change {
        Change::Add => {
            header.flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
            options(what, &mut address.attributes);
            RouteNetlinkMessage::NewAddress(address)
        }
        Change::Remove => {
            header.flags = NLM_F_REQUEST;
            RouteNetlinkMessage::DelAddress(address)
        }
    };
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(inner))
}

fn options(what: &VirtualAddress, into: &mut Vec<AddressAttribute>) {
    let mut flags = AddressFlags::empty();
    if what.cidr.addr.is_ipv6() && !what.dad {
        flags |= AddressFlags::Nodad;
    }
    if what.no_prefix_route {
        flags |= AddressFlags::Noprefixroute;
    }
    into.push(AddressAttribute::Flags(flags));
    if what.cidr.addr.is_ipv4() {
        into.extend(what.broadcast.map(AddressAttribute::Broadcast));
        let label = what.label.as_deref().filter(|label| !label.is_empty());
        into.extend(label.map(|label| AddressAttribute::Label(label.to_owned())));
    }
    if let Some(preferred) = what.preferred_lft {
        let mut times = CacheInfo::default();
        times.ifa_preferred = preferred;
        times.ifa_valid = FOR_EVER;
        into.push(AddressAttribute::CacheInfo(times));
    }
    into.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::addr::Cidr;
    use crate::model::ids::{ActionId, LinkId};
    use std::sync::Arc;

    #[test]
    fn only_the_last_message_of_a_batch_asks_to_be_acknowledged() {
        let mut bytes = Vec::new();
        for (sequence, label) in [(1, "a"), (2, "four"), (3, "a:longer:one")] {
            let cidr = Cidr::host(IpAddr::from([10, 0, 0, 1]));
            let mut what = VirtualAddress::plain(cidr);
            what.label = Some(label.into());
            let request = Request {
                id: ActionId(9),
                link: LinkId(2),
                name: "eth0".into(),
                change: Change::Add,
                what: Arc::new(what),
            };
            append(&mut bytes, message(&request, sequence));
        }
        acknowledge_last(&mut bytes, 3);
        let asked: Vec<_> = messages(&bytes)
            .map(|message| (message.sequence_number(), message.flags() & NLM_F_ACK != 0))
            .collect();
        assert_eq!(asked, [(1, false), (2, false), (3, true)]);
    }

    #[test]
    fn a_removal_names_the_address_and_its_prefix_length_alone() {
        let mut what = VirtualAddress::plain(Cidr::host(IpAddr::from([0; 16])));
        what.preferred_lft = Some(0);
        let request = Request {
            id: ActionId(9),
            link: LinkId(2),
            name: "eth0".into(),
            change: Change::Remove,
            what: Arc::new(what),
        };
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(message)) =
            message(&request, 1).payload
        else {
            panic!("not a removal");
        };
        let address = IpAddr::from([0; 16]);
        assert_eq!(
            message.attributes,
            [
                AddressAttribute::Local(address),
                AddressAttribute::Address(address)
            ]
        );
        assert_eq!(message.header.prefix_len, 128);
    }
}
