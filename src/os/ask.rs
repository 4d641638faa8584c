//! Single questions to rtnetlink, whose answers are there when the question is sent.

use crate::os::netlink::{errno_of, messages, route_socket};
use crate::os::sys;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, recvmsg, send};
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// The kernel gives a dump in pieces of at most 32 KiB.
const BUFFER: usize = 64 << 10;
/// Not in libc for every target.
const NETLINK_GET_STRICT_CHK: i32 = 12;

/// A socket to ask on. Nothing here blocks: the kernel answers within the system call.
#[derive(Debug)]
pub(super) struct Asker {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    sequence: u32,
}

/// What a piece of an answer was the last of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// More follow.
    More,
    /// The answer is complete.
    Last,
}

impl Asker {
    pub(super) fn open() -> io::Result<Self> {
        let socket = route_socket(0)?;
        // Before Linux 4.20 a dump is not narrowed; the reader does it in any case.
        let _ = sys::set_int(&socket, libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            sequence: 0,
        })
    }

    /// Sends a question.
    pub(super) fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend((16 + body.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Hands each message of the next piece of the answer to `each`.
    pub(super) fn piece(
        &mut self,
        mut each: impl FnMut(&NetlinkBuffer<&[u8]>),
    ) -> io::Result<Piece> {
        let length = self.receive()?;
        let mut last = Piece::More;
        for message in messages(self.buffer.get(..length).unwrap_or_default()) {
            if message.sequence_number() != self.sequence {
                continue;
            }
            match i32::from(message.message_type()) {
                libc::NLMSG_DONE => last = Piece::Last,
                libc::NLMSG_ERROR => match errno_of(message.payload()) {
                    0 => last = Piece::Last,
                    errno => return Err(io::Error::from_raw_os_error(errno)),
                },
                _ => each(&message),
            }
        }
        Ok(last)
    }

    /// Asks for one thing; the kernel answers with one message or an error.
    pub(super) fn one<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        mut read: impl FnMut(&NetlinkBuffer<&[u8]>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.ask(kind, 0, body)?;
        let mut found = None;
        self.piece(|message| found = read(message).or(found.take()))?;
        Ok(found)
    }

    /// Tells the kernel to do something.
    pub(super) fn order(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.ask(kind, flags | NLM_F_ACK, body)?;
        self.piece(|_| ())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let fd = self.socket.as_raw_fd();
            match recvmsg::<NetlinkAddr>(fd, &mut parts, None, MsgFlags::MSG_DONTWAIT) {
                Ok(message) if message.flags.contains(MsgFlags::MSG_TRUNC) => {
                    return Err(Errno::EMSGSIZE.into());
                }
                // Another process may send to us; only port 0 is the kernel.
                Ok(message) if message.address.is_some_and(|from| from.pid() == 0) => {
                    return Ok(message.bytes);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Appends an attribute.
pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// An address as the kernel wants it.
pub(super) fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// AF_INET or AF_INET6.
pub(super) fn family(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

/// A native word at this place.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    word.try_into().ok().map(u32::from_ne_bytes)
}
