//! AF_PACKET: announcements out, and frames in for those who want to look.

use crate::model::ids::LinkId;
use crate::os::error::{OsError, doing};
use crate::os::send::SendBatch;
use crate::os::sys::{self, To};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Socket, Type};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

const SEND_BUFFER: usize = 1 << 20;

/// Sends Ethernet frames on one link and receives nothing.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    link: LinkId,
}

impl PacketSocket {
    /// Opens it; `name` is for messages.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW.
    pub fn open(link: LinkId, name: &str) -> Result<Self, OsError> {
        // Protocol 0: no hook in the receive path, so other frames cost nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(|error| {
            OsError::new(format!("{name}: cannot open a packet socket"), error)
                .hint("it needs CAP_NET_RAW")
        })?;
        let set_up = || {
            socket.set_nonblocking(true)?;
            if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
                socket.set_send_buffer_size(SEND_BUFFER)?;
            }
            Ok::<_, io::Error>(())
        };
        set_up().map_err(doing(format!("{name}: cannot set up the packet socket")))?;
        Ok(Self { socket, link })
    }

    /// The link frames leave by.
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// Sends a batch of frames that begin with their Ethernet header and empties it; says how many
    /// the kernel took.
    ///
    /// `failed` hears index and errno of each that it did not: ENOBUFS, EAGAIN and ENETDOWN are
    /// weather. Never blocks.
    pub fn flush(&self, batch: &mut SendBatch<()>, failed: impl FnMut(usize, i32)) -> usize {
        let link = self.link.0;
        let to = |frame: &[u8], ()| To::Link {
            link,
            protocol: ethertype(frame),
        };
        batch.flush(self.socket.as_fd(), to, failed)
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let to = To::Link {
            link: self.link.0,
            protocol: ethertype(frame),
        };
        sys::send_some(self.socket.as_fd(), 0, 1, |_| (frame, to)).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn ethertype(frame: &[u8]) -> u16 {
    match frame.get(12..14) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        Some(_) | None => 0,
    }
}

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Captured {
    /// When the kernel saw it.
    pub at: SystemTime,
    /// Bytes in the caller's buffer.
    pub len: usize,
    /// Bytes it had on the link.
    pub original: usize,
    /// Whether this machine sent it.
    pub outgoing: bool,
}

/// Receives every frame of one link, in and out, with the kernel's timestamps. Not promiscuous
/// unless asked for.
#[derive(Debug)]
pub struct Capture {
    socket: Socket,
}

impl Capture {
    /// Begins to capture.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW; ENODEV when the link is gone.
    pub fn open(link: LinkId, promiscuous: bool) -> Result<Self, OsError> {
        let link = link.0;
        let what = || format!("link {link}: cannot capture");
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)
            .map_err(|error| OsError::new(what(), error).hint("it needs CAP_NET_RAW"))?;
        let set_up = || {
            let room = 8 << 20;
            if setsockopt(&socket, sockopt::RcvBufForce, &room).is_err() {
                socket.set_recv_buffer_size(room)?;
            }
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            socket.set_nonblocking(true)?;
            if promiscuous {
                sys::promiscuous(&socket, link)?;
            }
            // Last: bound before, it would collect the frames of all links.
            sys::bind_packet(&socket, link, libc::ETH_P_ALL as u16)
        };
        set_up().map_err(doing(what()))?;
        Ok(Self { socket })
    }

    /// The next frame, cut off at the length of `buffer`; `None` if none waits. Never blocks.
    pub fn next(&self, buffer: &mut [u8]) -> io::Result<Option<Captured>> {
        let room = buffer.len();
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<LinkAddr>(fd, &mut parts, Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut at = SystemTime::UNIX_EPOCH;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(time) = part {
                at += Duration::from(time);
            }
        }
        let original = message.bytes;
        let outgoing = message
            .address
            .is_some_and(|from| from.pkttype() == libc::PACKET_OUTGOING);
        Ok(Some(Captured {
            at,
            len: original.min(room),
            original,
            outgoing,
        }))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ethertype_stands_behind_both_addresses() {
        let mut frame = [0; 14];
        frame[12..].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(ethertype(&frame), 0x86dd);
        assert_eq!(ethertype(&frame[..13]), 0);
    }
}
