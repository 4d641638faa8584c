//! One raw IP socket of protocol 112 for each link and family.
//!
//! Multicast and unicast adverts of all virtual routers on the link share it: the kernel copies a
//! packet to every raw socket that could want it, so a socket each would cost the square of their
//! number. The kernel's own checks, reassembly and the operator's firewall apply.

use crate::model::ids::{Family, LinkId};
use crate::os::error::{OsError, doing};
use crate::os::send::SendBatch;
use crate::os::sys::{self, Ring, To};
use crate::wire::advert::Datagram;
use crate::wire::ip::parse_v4;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// ff02::12 (RFC 9568 §5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Packets in a full [`Batch`].
pub const BATCH: usize = sys::BATCH;

const PROTOCOL: i32 = 112;
/// A process that was stopped for seconds still finds every advert of 255 routers.
const RECEIVE_BUFFER: usize = 4 << 20;
const SEND_BUFFER: usize = 1 << 20;
/// Highest that needs no privilege; the first band of the usual queues.
const PRIORITY: u32 = 6;
/// Not in nix, and absent before Linux 5.0.
const SO_BINDTOIFINDEX: i32 = 62;

/// Receives and sends VRRP packets of one family on one link.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    link: LinkId,
    family: Family,
}

impl VrrpSocket {
    /// Opens it, bound to the link, in the group and ready to send.
    ///
    /// `name` is the link's present name, for messages and for kernels that bind by name alone.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW; ENODEV when the link is gone; EAFNOSUPPORT without IPv6.
    pub fn open(link: LinkId, name: &str, family: Family) -> Result<Self, OsError> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket =
            Socket::new(domain, Type::RAW, Some(Protocol::from(PROTOCOL))).map_err(|error| {
                OsError::new(format!("{name}: cannot open a raw {family} socket"), error)
                    .hint("it needs CAP_NET_RAW")
            })?;
        let opened = Self {
            socket,
            link,
            family,
        };
        opened.bind(name)?;
        opened
            .tune()
            .map_err(doing(format!("{name}: cannot set up the VRRP socket")))?;
        opened.join(name)?;
        Ok(opened)
    }

    /// The link it is bound to.
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.family
    }

    fn bind(&self, name: &str) -> Result<(), OsError> {
        // By index first: between a look at the name and its use the link may be renamed.
        let index = i32::try_from(self.link.0).unwrap_or(0);
        match sys::set_int(&self.socket, libc::SOL_SOCKET, SO_BINDTOIFINDEX, index) {
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                self.socket.bind_device(Some(name.as_bytes()))
            }
            result => result,
        }
        .map_err(|error| {
            OsError::new(format!("{name}: cannot bind to it"), error)
                .hint("is the link still there?")
        })
    }

    fn tune(&self) -> io::Result<()> {
        let socket = &self.socket;
        socket.set_nonblocking(true)?;
        socket.set_priority(PRIORITY)?;
        if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            socket.set_send_buffer_size(SEND_BUFFER)?;
        }
        match self.family {
            Family::V4 => {
                socket.set_multicast_all_v4(false)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_header_included_v4(true)?;
            }
            Family::V6 => {
                // Since Linux 4.20; before, another program's groups on this link come in too.
                let _ = socket.set_multicast_all_v6(false);
                socket.set_multicast_loop_v6(false)?;
                socket.set_header_included_v6(true)?;
                // Lets the source be one that is still under DAD.
                socket.set_freebind_v6(true)?;
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        Ok(())
    }

    /// Leaves the group and joins it again: for a link that forgot its groups.
    ///
    /// # Errors
    /// Those of joining; that it was in no group any more is none.
    pub fn join_again(&self, name: &str) -> Result<(), OsError> {
        let index = InterfaceIndexOrAddress::Index(self.link.0);
        let _ = match self.family {
            Family::V4 => self.socket.leave_multicast_v4_n(&GROUP_V4, &index),
            Family::V6 => self.socket.leave_multicast_v6(&GROUP_V6, self.link.0),
        };
        self.join(name)
    }

    fn join(&self, name: &str) -> Result<(), OsError> {
        let (group, result): (IpAddr, _) = match self.family {
            Family::V4 => {
                let index = InterfaceIndexOrAddress::Index(self.link.0);
                let joined = self.socket.join_multicast_v4_n(&GROUP_V4, &index);
                (GROUP_V4.into(), joined)
            }
            Family::V6 => {
                let joined = self.socket.join_multicast_v6(&GROUP_V6, self.link.0);
                (GROUP_V6.into(), joined)
            }
        };
        result.map_err(|error| {
            OsError::new(format!("{name}: cannot join {group}"), error)
                .hint("is the link still there?")
        })
    }

    /// Reads what waits, at most [`BATCH`] packets; fewer means that it is empty now.
    ///
    /// Never blocks, *allocates* nothing.
    pub fn recv_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.link = self.link;
        batch.family = self.family;
        batch.count = 0;
        batch.count = loop {
            match batch.ring.receive(&self.socket, self.family == Family::V6) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        Ok(batch.count)
    }

    /// Sends a batch of whole IP packets and empties it; says how many the kernel took.
    ///
    /// `failed` hears index and errno of each that it did not: ENOBUFS, EAGAIN and ENETDOWN are
    /// weather. A destination of the other family fails with EAFNOSUPPORT. Never blocks.
    pub fn flush(&self, batch: &mut SendBatch<IpAddr>, failed: impl FnMut(usize, i32)) -> usize {
        let link = self.link.0;
        let to = |packet: &[u8], to: IpAddr| match to {
            IpAddr::V4(to) => To::V4(to),
            IpAddr::V6(to) => To::V6 {
                to,
                from: source_v6(packet),
                link,
            },
        };
        batch.flush(self.socket.as_fd(), to, failed)
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn source_v6(packet: &[u8]) -> Ipv6Addr {
    let source = packet.get(8..24).and_then(|bytes| bytes.try_into().ok());
    source.map_or(Ipv6Addr::UNSPECIFIED, |bytes: [u8; 16]| bytes.into())
}

/// Packets of one [`VrrpSocket::recv_batch`]; one batch serves all sockets.
pub struct Batch {
    ring: Ring,
    count: usize,
    link: LinkId,
    family: Family,
}

impl Batch {
    /// An empty one: about 266 kB, of which only what packets were read into is resident.
    pub fn new() -> Self {
        Self {
            ring: Ring::new(),
            count: 0,
            link: LinkId(0),
            family: Family::V4,
        }
    }

    /// The packets in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.count).filter_map(|index| {
            let (packet, aside) = self.ring.packet(index)?;
            match self.family {
                Family::V4 => from_v4(self.link, packet),
                Family::V6 => Some(Datagram {
                    link: self.link,
                    family: Family::V6,
                    src: aside.from.into(),
                    dst: aside.to.into(),
                    hop_limit: aside.hop_limit,
                    payload: packet,
                }),
            }
        })
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} packets of {:?})", self.count, self.link)
    }
}

/// `None` for what is not whole: longer than a slot, which no advert over IPv4 can be.
fn from_v4(link: LinkId, packet: &[u8]) -> Option<Datagram<'_>> {
    let packet = parse_v4(packet)?;
    Some(Datagram {
        link,
        family: Family::V4,
        src: packet.src.into(),
        dst: packet.dst.into(),
        hop_limit: packet.ttl,
        payload: packet.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_packet_gives_its_addresses_ttl_and_what_follows_options() {
        let mut packet = vec![0x46, 0xc0, 0, 26, 0, 0, 0, 0, 255, 112, 0, 0];
        packet.extend([10, 0, 0, 1, 224, 0, 0, 18, 1, 1, 1, 0, 7, 8, 99]);
        let datagram = from_v4(LinkId(3), &packet).unwrap();
        assert_eq!(datagram.src, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(datagram.dst, IpAddr::from(GROUP_V4));
        assert_eq!((datagram.hop_limit, datagram.payload), (255, &[7, 8][..]));
    }

    #[test]
    fn a_packet_shorter_than_its_header_is_no_datagram() {
        assert!(from_v4(LinkId(1), &[0x45; 19]).is_none());
        let mut packet = [0; 20];
        packet[0] = 0x4f;
        assert!(from_v4(LinkId(1), &packet).is_none());
    }
}
