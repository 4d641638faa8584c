//! The kernel's news of processes (the proc connector), where it gives any.
//!
//! It tells root alone, and only in the first network and process namespaces. The socket keeps the
//! network namespace in which it was opened.

use crate::os::error::{OsError, doing};
use crate::os::netlink::Drained;
use crate::os::sys::{self, Readable};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recvmsg, send, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A netlink header, a connector header, and the head of an event.
const NETLINK: usize = 16;
const CONNECTOR: usize = 20;
const BODY: usize = NETLINK + CONNECTOR + 16;
/// The group of processes.
const GROUP: i32 = 1;
/// First receive buffer; it doubles with each overrun up to the last.
const ROOM: usize = 2 << 20;
const ROOM_MOST: usize = 16 << 20;
/// The kernel answers within the system call, if at all.
const ANSWER_MS: u16 = 20;
/// Messages of others that are read while an answer is waited for.
const OTHERS_MOST: u32 = 4096;
/// Under a storm of processes the answer may not fit; it is asked for again, so many times at most.
const ATTEMPTS: u32 = 5;

/// What became of a process; threads are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is new, or runs another program, or has another name: look what it is now.
    Look(u32),
    /// It ended.
    Exit(u32),
}

/// The socket.
#[derive(Debug)]
pub struct Connector {
    socket: OwnedFd,
    ready: Option<Readable>,
    room: usize,
}

impl Connector {
    /// Opens the socket and hears nothing yet. Call it before the network namespace is changed.
    ///
    /// # Errors
    /// Those of socket and bind; a kernel without connectors.
    pub fn open() -> Result<Self, OsError> {
        let what = "proc connector: cannot open it";
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::DGRAM,
            Some(Protocol::from(libc::NETLINK_CONNECTOR)),
        )
        .map_err(doing(what))?;
        let socket = OwnedFd::from(socket);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(doing(what))?;
        let mut connector = Self {
            socket,
            ready: None,
            room: ROOM,
        };
        connector.make_room();
        Ok(connector)
    }

    /// Begins to hear, and makes sure that the kernel tells.
    ///
    /// *Panics* outside a tokio runtime. *Blocks* for 20 ms at most.
    ///
    /// # Errors
    /// It does not: another network or process namespace, not root, an old kernel.
    pub fn listen(&mut self) -> Result<(), OsError> {
        let what = "proc connector: the kernel tells nothing of processes here";
        let hint = "they are looked for every second instead";
        let fail = |error: io::Error| OsError::new(what, error).hint(hint);
        if self.ready.is_none() {
            let twin = self.socket.try_clone().map_err(fail)?;
            self.ready = Some(Readable::new(twin).map_err(fail)?);
        }
        self.member(libc::NETLINK_ADD_MEMBERSHIP).map_err(fail)?;
        self.subscribe().map_err(|error| {
            let _ = self.member(libc::NETLINK_DROP_MEMBERSHIP);
            fail(error)
        })
    }

    /// Hears no more.
    pub fn ignore(&mut self) {
        let _ = self.order(libc::PROC_CN_MCAST_IGNORE, 0);
        let _ = self.member(libc::NETLINK_DROP_MEMBERSHIP);
        let mut buffer = [0; 256];
        let mut left = OTHERS_MOST;
        while left > 0 && !matches!(self.receive(&mut buffer), Ok(None)) {
            left -= 1;
        }
    }

    /// Waits until there is something to [`Connector::drain`].
    ///
    /// # Errors
    /// Those of the runtime.
    pub async fn readable(&self) -> io::Result<()> {
        let Some(ready) = &self.ready else {
            return std::future::pending().await;
        };
        ready
            .read(|| {
                let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                match poll(&mut fds, 0_u16)? {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Appends what happened, reading at most `limit` messages. Never blocks. After an overrun
    /// there is more room for the next time.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn drain(&mut self, into: &mut Vec<Event>, limit: usize) -> io::Result<Drained> {
        let mut buffer = [0; 256];
        for _ in 0..limit {
            match self.receive(&mut buffer) {
                Ok(Some(length)) => into.extend(buffer.get(..length).and_then(event)),
                Ok(None) => return Ok(Drained::Empty),
                Err(Errno::ENOBUFS) => {
                    self.room = (self.room * 2).min(ROOM_MOST);
                    self.make_room();
                    return Ok(Drained::Overrun);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Drained::More)
    }

    fn make_room(&mut self) {
        if setsockopt(&self.socket, sockopt::RcvBufForce, &self.room).is_err() {
            // Less room means more overruns, nothing else.
            let _ = setsockopt(&self.socket, sockopt::RcvBuf, &self.room);
        }
    }

    fn member(&self, option: i32) -> io::Result<()> {
        sys::set_int(&self.socket, libc::SOL_NETLINK, option, GROUP)
    }

    /// Asks, and waits for the acknowledgement: a refusal is silent.
    fn subscribe(&mut self) -> io::Result<()> {
        let token = crate::os::clock::now().as_nanos() as u32;
        for _ in 0..ATTEMPTS {
            self.order(libc::PROC_CN_MCAST_LISTEN, token)?;
            match self.await_answer(token) {
                Err(Errno::ENOBUFS) => {}
                Err(errno) => return Err(errno.into()),
                Ok(None) => return Err(io::Error::other("no answer")),
                Ok(Some(0)) => return Ok(()),
                Ok(Some(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        Err(Errno::ENOBUFS.into())
    }

    fn await_answer(&mut self, token: u32) -> nix::Result<Option<i32>> {
        let mut buffer = [0; 256];
        for _ in 0..OTHERS_MOST {
            if let Some(length) = self.receive(&mut buffer)? {
                let message = buffer.get(..length).unwrap_or_default();
                if let Some(error) = answer(message, token) {
                    return Ok(Some(error));
                }
            } else {
                let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                if matches!(poll(&mut fds, ANSWER_MS), Ok(0)) {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    fn order(&self, operation: libc::proc_cn_mcast_op, token: u32) -> io::Result<()> {
        let mut message = Vec::with_capacity(NETLINK + CONNECTOR + 4);
        let length = (NETLINK + CONNECTOR + 4) as u32;
        message.extend(length.to_ne_bytes());
        message.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
        message.extend([0; 2 + 4 + 4]);
        message.extend(libc::CN_IDX_PROC.to_ne_bytes());
        message.extend(libc::CN_VAL_PROC.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(token.to_ne_bytes());
        message.extend(4_u16.to_ne_bytes());
        message.extend(0_u16.to_ne_bytes());
        message.extend(operation.to_ne_bytes());
        send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> nix::Result<Option<usize>> {
        loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let fd = self.socket.as_raw_fd();
            match recvmsg::<NetlinkAddr>(fd, &mut parts, None, MsgFlags::MSG_DONTWAIT) {
                // Another process may send to us; only port 0 is the kernel.
                Ok(message) if message.address.is_some_and(|from| from.pid() == 0) => {
                    return Ok(Some(message.bytes));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // Kernels before 6.5 do not notice that a listener is gone.
        if self.ready.is_some() {
            let _ = self.order(libc::PROC_CN_MCAST_IGNORE, 0);
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u32> {
    let bytes = message.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

/// The error number in the acknowledgement of our request. All listeners hear it: ours carries the
/// token plus 1. (The sequence number is the kernel's own.)
fn answer(message: &[u8], token: u32) -> Option<i32> {
    let ours = word(message, NETLINK + 12)? == token.wrapping_add(1);
    let what = word(message, NETLINK + CONNECTOR)?;
    (ours && what == libc::PROC_EVENT_NONE)
        .then(|| word(message, BODY))
        .flatten()
        .map(|error| error.cast_signed().saturating_abs())
}

fn event(message: &[u8]) -> Option<Event> {
    let what = word(message, NETLINK + CONNECTOR)?;
    let at = |index: usize| word(message, BODY + 4 * index);
    // Each process is named by its thread's number and its own.
    let leader = |index: usize| at(index).filter(|pid| at(index + 1) == Some(*pid));
    match what {
        libc::PROC_EVENT_FORK => leader(2).map(Event::Look),
        // Any thread may do it; then it is the process that runs the new program.
        libc::PROC_EVENT_EXEC => at(1).map(Event::Look),
        libc::PROC_EVENT_COMM => leader(0).map(Event::Look),
        libc::PROC_EVENT_EXIT => leader(0).map(Event::Exit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ack: u32, what: u32, words: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; BODY];
        bytes[NETLINK + 12..NETLINK + 16].copy_from_slice(&ack.to_ne_bytes());
        bytes[NETLINK + CONNECTOR..][..4].copy_from_slice(&what.to_ne_bytes());
        for word in words {
            bytes.extend(word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn processes_are_told_apart_from_threads() {
        let of = |what, words: &[u32]| event(&message(0, what, words));
        assert_eq!(of(1, &[10, 10, 20, 20]), Some(Event::Look(20)));
        assert_eq!(of(1, &[10, 10, 21, 20]), None, "a new thread");
        assert_eq!(of(2, &[21, 20]), Some(Event::Look(20)));
        assert_eq!(of(0x200, &[20, 20]), Some(Event::Look(20)));
        assert_eq!(of(0x200, &[21, 20]), None, "a thread's name");
        assert_eq!(of(0x8000_0000, &[20, 20, 0, 17]), Some(Event::Exit(20)));
        assert_eq!(of(0x8000_0000, &[21, 20, 0, 17]), None, "a thread's end");
        assert_eq!(of(4, &[20, 20]), None);
        assert_eq!(of(0, &[0]), None);
    }

    #[test]
    fn only_the_answer_to_our_own_request_counts() {
        assert_eq!(answer(&message(8, 0, &[0]), 7), Some(0));
        assert_eq!(answer(&message(8, 0, &[1]), 7), Some(libc::EPERM));
        assert_eq!(answer(&message(7, 0, &[0]), 7), None);
        assert_eq!(answer(&message(8, 1, &[0]), 7), None);
        assert_eq!(answer(&message(0, 0, &[0]), u32::MAX), Some(0));
    }

    #[test]
    fn short_messages_are_nothing() {
        let whole = message(7, 1, &[10, 10, 20, 20]);
        for length in 0..whole.len() {
            assert_eq!(event(&whole[..length]), None, "{length} bytes");
            assert_eq!(answer(&whole[..length], 7), None, "{length} bytes");
        }
    }
}
