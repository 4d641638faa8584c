//! The service thread's end of the runner.

use crate::os::rt;
use crate::scripts::protocol::{How, Kind, LARGEST, Reply, Request, RunKey};
use crate::scripts::runner::ARGUMENT;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// More requests than this waiting mean that the runner hangs; it is given up.
const WAITING_MOST: usize = 4096;

/// A living runner process. Dropping it ends the process as the daemon's death would, but leaves it
/// to be reaped; the polite way is [`Request::Quit`], then [`Runner::recv`] until `None`.
#[derive(Debug)]
pub struct Runner {
    // A SOCK_SEQPACKET pair; tokio knows such sockets by this name only.
    socket: UnixDatagram,
    child: Child,
    waiting: VecDeque<Vec<u8>>,
    refused: VecDeque<Reply>,
    /// Process groups of checks that run.
    checks: BTreeMap<RunKey, Pid>,
    buffer: Box<[u8]>,
    lost: bool,
}

impl Runner {
    /// Starts the runner: `exe` is our own binary, best `/proc/self/exe`. No fork: the socket travels
    /// as its stdin. Call it before memory is locked and limits are raised, inside a tokio runtime.
    ///
    /// # Errors
    /// No socket, or the binary cannot be executed.
    pub fn spawn(exe: &Path) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let ours = std::os::unix::net::UnixDatagram::from(ours);
        ours.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(ours)?;
        let child = Command::new(exe)
            .arg(ARGUMENT)
            // Programs get the limits we were started with.
            .args(rt::files_before().map(|soft| soft.to_string()))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            // A terminal's Ctrl-C is the daemon's to answer.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            socket,
            child,
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            checks: BTreeMap::new(),
            buffer: vec![0; LARGEST].into_boxed_slice(),
            lost: false,
        })
    }

    /// The runner's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for something. Never waits: what the socket does not take is sent by [`Self::recv`].
    ///
    /// A start too long for a message comes back as ended with E2BIG.
    pub fn send(&mut self, request: &Request) {
        let Some(packet) = request.encode() else {
            if let Request::Start(start) = request {
                self.refused.push_back(Reply::Ended {
                    key: start.key,
                    how: How::NotStarted(nix::libc::E2BIG),
                    stderr: format!("more than {LARGEST} bytes of arguments and environment"),
                    millis: 0,
                });
            }
            return;
        };
        if *request == Request::Quit {
            // It sees to them itself and says no more of it.
            self.checks.clear();
        }
        self.waiting.push_back(packet);
        self.flush();
        if self.waiting.len() > WAITING_MOST {
            self.lost = true;
        }
    }

    /// The next reply; `None` for ever once the runner is gone and reaped.
    ///
    /// It may be dropped while it waits and called again: nothing is lost.
    pub async fn recv(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.refused.pop_front() {
                return Some(reply);
            }
            if self.lost {
                self.bury();
                return None;
            }
            let interest = if self.waiting.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if self.socket.ready(interest).await.is_err() {
                self.lost = true;
                continue;
            }
            self.flush();
            match self.socket.try_recv(&mut self.buffer) {
                Ok(0) => self.lost = true,
                Ok(len) => match self.buffer.get(..len).and_then(Reply::decode) {
                    Some(reply) => {
                        self.note(&reply);
                        return Some(reply);
                    }
                    None => self.lost = true,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.lost = true,
            }
        }
    }

    fn flush(&mut self) {
        while let Some(packet) = self.waiting.front() {
            match self.socket.try_send(packet) {
                Ok(_) => {
                    self.waiting.pop_front();
                }
                // Full; or the runner is gone, which reading tells.
                Err(_) => return,
            }
        }
    }

    fn note(&mut self, reply: &Reply) {
        match *reply {
            Reply::Started { key, pid, .. } if key.kind() == Kind::Check => {
                let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1);
                self.checks.extend(pid.map(|pid| (key, Pid::from_raw(pid))));
            }
            Reply::Started { .. } => {}
            Reply::Ended { key, .. } => {
                self.checks.remove(&key);
            }
        }
    }

    /// It closed its socket, talks nonsense or hangs: in any case no use any more. Checks it left
    /// are ended, for nobody else would; notify programs may finish.
    fn bury(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for group in std::mem::take(&mut self.checks).into_values() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
