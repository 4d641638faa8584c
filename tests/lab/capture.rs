//! Every frame the hosts send, stamped by the kernel as it enters the bridge.

use super::frames::{self, Frame};
use super::ns::Ns;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrLike, recvmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Frames as they come in; ends when dropped.
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

const ETH_P_ALL: u16 = 3;
const PACKET_OUTGOING: u8 = 4;

/// A packet socket that sees everything in the calling thread's namespace.
pub fn packet_socket() -> Socket {
    let all = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).expect("a packet socket");
    // Without real root the limit of the machine holds; a demo needs no more than that.
    if setsockopt(&socket, RcvBufForce, &(64 << 20)).is_err() {
        let _ = setsockopt(&socket, RcvBuf, &(4 << 20));
    }
    setsockopt(&socket, ReceiveTimestampns, &true).expect("kernel time stamps");
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a read timeout");
    socket
}

/// One frame as the socket gave it.
pub struct Taken<'a> {
    pub at_ns: u64,
    pub ifindex: usize,
    pub outgoing: bool,
    pub bytes: &'a [u8],
}

/// Reads one frame; `None` when none came within the socket's timeout.
pub fn take<'a>(socket: &Socket, buffer: &'a mut [u8]) -> Option<Taken<'a>> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let (length, at_ns, ifindex, outgoing) = {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<LinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        )
        .ok()?;
        let address = message.address.as_ref()?;
        let at_ns = message.cmsgs().ok()?.find_map(|c| match c {
            ControlMessageOwned::ScmTimestampns(t) => Some(
                u64::try_from(t.tv_sec()).ok()? * 1_000_000_000
                    + u64::try_from(t.tv_nsec()).ok()?,
            ),
            _ => None,
        })?;
        debug_assert!(address.family().is_some());
        (
            message.bytes,
            at_ns,
            address.ifindex(),
            address.pkttype() == PACKET_OUTGOING,
        )
    };
    Some(Taken {
        at_ns,
        ifindex,
        outgoing,
        bytes: buffer.get(..length)?,
    })
}

impl Capture {
    /// Captures in `ns` what enters through the links listed as (index, host number).
    pub fn start(ns: &Ns, links: Vec<(usize, usize)>) -> Self {
        let socket = ns.run(packet_socket);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (frames, stop) = (Arc::clone(&frames), Arc::clone(&stop));
            move || {
                let mut buffer = vec![0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Some(taken) = take(&socket, &mut buffer) else {
                        continue;
                    };
                    let from = links.iter().find(|(index, _)| *index == taken.ifindex);
                    let (Some((_, from)), false) = (from, taken.outgoing) else {
                        continue;
                    };
                    let frame = Frame {
                        at_ns: taken.at_ns,
                        from: *from,
                        kind: frames::read(taken.bytes),
                        bytes: taken.bytes.to_vec(),
                    };
                    lock(&frames).push(frame);
                }
            }
        });
        Self {
            frames,
            stop,
            reader: Some(reader),
        }
    }

    /// What was captured so far.
    pub fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        lock(&self.frames)
    }

    /// Writes the frames that `keep` wants as a pcap file with nanoseconds.
    pub fn write(&self, path: &Path, keep: impl Fn(&Frame) -> bool) -> std::io::Result<usize> {
        let frames = self.frames();
        let kept: Vec<&Frame> = frames.iter().filter(|f| keep(f)).collect();
        write_pcap(path, kept.iter().map(|f| (f.at_ns, f.bytes.as_slice())))?;
        Ok(kept.len())
    }
}

/// Writes frames as a pcap file with nanoseconds.
pub fn write_pcap<'a>(
    path: &Path,
    frames: impl Iterator<Item = (u64, &'a [u8])>,
) -> std::io::Result<()> {
    let mut out = Vec::new();
    for word in [0xa1b2_3c4du32, 0x0004_0002, 0, 0, 65535, 1] {
        out.extend(word.to_le_bytes());
    }
    for (at_ns, bytes) in frames {
        let length = u32::try_from(bytes.len()).expect("frames are small");
        let seconds = u32::try_from(at_ns / 1_000_000_000).expect("before 2106");
        let rest = u32::try_from(at_ns % 1_000_000_000).expect("under a second");
        for word in [seconds, rest, length, length] {
            out.extend(word.to_le_bytes());
        }
        out.extend(bytes);
    }
    std::fs::write(path, out)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
