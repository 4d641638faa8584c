//! What the service thread and the runner say to each other.
//!
//! One message is one packet of a SOCK_SEQPACKET pair, at most [`LARGEST`] bytes: a tag, then the
//! fields in order; numbers little-endian, texts with their length before them. Written by hand so
//! that the runner stays small.

use crate::model::ids::RunId;
use crate::model::settings::RunAs;
use std::sync::Arc;

/// No message is longer.
pub const LARGEST: usize = 64 * 1024;

/// So much of a program's stderr is kept.
pub const TAIL: usize = 4096;

/// What a program is run for: decides what becomes of it when the daemon dies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A track script: pointless without the daemon.
    Check,
    /// A notify program: may finish.
    Notify,
}

/// One run of one program; never used twice on one runner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunKey(u64);

impl RunKey {
    const NOTIFY: u64 = 1 << 63;

    /// The key of a check's run.
    pub const fn check(run: RunId) -> Self {
        Self(run.0 & !Self::NOTIFY)
    }

    /// The key of the n-th notify program.
    pub const fn notify(n: u64) -> Self {
        Self(n | Self::NOTIFY)
    }

    /// What the program is run for.
    pub const fn kind(self) -> Kind {
        if self.0 & Self::NOTIFY == 0 {
            Kind::Check
        } else {
            Kind::Notify
        }
    }
}

/// How a process group is told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// A program to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Comes back with every reply.
    pub key: RunKey,
    /// Program and arguments, at least one word.
    pub argv: Vec<Arc<str>>,
    /// Who runs it; `None` is the default script user.
    pub user: Option<RunAs>,
    /// Added to the inherited environment.
    pub env: Vec<(String, String)>,
    /// `enable_script_security`: it is not started if it is not safe.
    pub security: bool,
}

/// From the service thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Start a program; answered by `Started` and `Ended`, or by `Ended` alone.
    Start(Start),
    /// Signal the process group of a run; without effect once it ended.
    Signal {
        /// Which run.
        key: RunKey,
        /// How.
        signal: Signal,
    },
    /// End everything that runs, notify programs too, and exit.
    Quit,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It could not be started (errno).
    NotStarted(i32),
}

impl How {
    /// Whether want of memory, processes or descriptors kept it from starting: that is our trouble,
    /// and says nothing about the program.
    pub const fn is_our_trouble(self) -> bool {
        use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOMEM};
        match self {
            Self::NotStarted(errno) => matches!(errno, EAGAIN | ENOMEM | EMFILE | ENFILE),
            Self::Exited(_) | Self::Signalled(_) => false,
        }
    }
}

/// From the runner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It runs.
    Started {
        /// Which run.
        key: RunKey,
        /// Its process, which leads a group of its own.
        pid: u32,
        /// Why it is not safe, and the way out; empty if it is.
        warning: String,
    },
    /// Its direct child was reaped, or it never ran.
    Ended {
        /// Which run.
        key: RunKey,
        /// How.
        how: How,
        /// The last [`TAIL`] bytes of stderr, or why it was not started.
        stderr: String,
        /// Milliseconds from start to end.
        millis: u64,
    },
}

const START: u8 = 1;
const SIGNAL: u8 = 2;
const QUIT: u8 = 3;
const STARTED: u8 = 4;
const ENDED: u8 = 5;

impl Request {
    /// The packet; `None` if it would be longer than [`LARGEST`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Start(start) => {
                out.push(START);
                number(&mut out, start.key.0);
                count(&mut out, start.argv.len())?;
                for word in &start.argv {
                    text(&mut out, word)?;
                }
                out.push(u8::from(start.user.is_some()));
                if let Some(as_whom) = &start.user {
                    text(&mut out, &as_whom.user)?;
                    out.push(u8::from(as_whom.group.is_some()));
                    if let Some(group) = &as_whom.group {
                        text(&mut out, group)?;
                    }
                }
                out.push(u8::from(start.security));
                count(&mut out, start.env.len())?;
                for (name, value) in &start.env {
                    text(&mut out, name)?;
                    text(&mut out, value)?;
                }
            }
            Self::Signal { key, signal } => {
                out.push(SIGNAL);
                number(&mut out, key.0);
                out.push(match signal {
                    Signal::Term => 0,
                    Signal::Kill => 1,
                });
            }
            Self::Quit => out.push(QUIT),
        }
        (out.len() <= LARGEST).then_some(out)
    }

    /// Reads a packet; `None` if it is not one of ours.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut left = Reader(packet);
        let asked = match left.byte()? {
            START => {
                let key = RunKey(left.number()?);
                let words = left.count()?;
                let mut argv = Vec::new();
                for _ in 0..words {
                    argv.push(Arc::from(left.text()?));
                }
                let user = match left.byte()? {
                    0 => None,
                    _ => Some(RunAs {
                        user: left.text()?.into(),
                        group: match left.byte()? {
                            0 => None,
                            _ => Some(left.text()?.into()),
                        },
                    }),
                };
                let security = left.byte()? != 0;
                let pairs = left.count()?;
                let mut env = Vec::new();
                for _ in 0..pairs {
                    env.push((left.text()?.to_owned(), left.text()?.to_owned()));
                }
                if argv.is_empty() {
                    return None;
                }
                Self::Start(Start {
                    key,
                    argv,
                    user,
                    env,
                    security,
                })
            }
            SIGNAL => Self::Signal {
                key: RunKey(left.number()?),
                signal: match left.byte()? {
                    0 => Signal::Term,
                    1 => Signal::Kill,
                    _ => return None,
                },
            },
            QUIT => Self::Quit,
            _ => return None,
        };
        left.0.is_empty().then_some(asked)
    }
}

impl Reply {
    /// The packet. A stderr too long for it loses its beginning.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Started { key, pid, warning } => {
                out.push(STARTED);
                number(&mut out, key.0);
                number(&mut out, u64::from(*pid));
                out.extend_from_slice(last(warning, TAIL).as_bytes());
            }
            Self::Ended {
                key,
                how,
                stderr,
                millis,
            } => {
                out.push(ENDED);
                number(&mut out, key.0);
                let (tag, value) = match how {
                    How::Exited(status) => (0, status),
                    How::Signalled(signal) => (1, signal),
                    How::NotStarted(errno) => (2, errno),
                };
                out.push(tag);
                out.extend_from_slice(&value.to_le_bytes());
                number(&mut out, *millis);
                out.extend_from_slice(last(stderr, TAIL).as_bytes());
            }
        }
        out
    }

    /// Reads a packet; `None` if it is not one of ours.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut left = Reader(packet);
        match left.byte()? {
            STARTED => {
                let key = RunKey(left.number()?);
                let pid = u32::try_from(left.number()?).ok()?;
                let warning = std::str::from_utf8(left.0).ok()?.to_owned();
                Some(Self::Started { key, pid, warning })
            }
            ENDED => {
                let key = RunKey(left.number()?);
                let tag = left.byte()?;
                let value = i32::from_le_bytes(left.take::<4>()?);
                let how = match tag {
                    0 => How::Exited(value),
                    1 => How::Signalled(value),
                    2 => How::NotStarted(value),
                    _ => return None,
                };
                Some(Self::Ended {
                    key,
                    how,
                    millis: left.number()?,
                    stderr: std::str::from_utf8(left.0).ok()?.to_owned(),
                })
            }
            _ => None,
        }
    }
}

/// The last `most` bytes of a text, a little less if a character would be cut.
pub(super) fn last(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or("")
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn count(out: &mut Vec<u8>, value: usize) -> Option<()> {
    out.extend_from_slice(&u16::try_from(value).ok()?.to_le_bytes());
    Some(())
}

fn text(out: &mut Vec<u8>, value: &str) -> Option<()> {
    count(out, value.len())?;
    out.extend_from_slice(value.as_bytes());
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        self.take().map(u16::from_le_bytes).map(usize::from)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start() -> Start {
        Start {
            key: RunKey::check(RunId(7)),
            argv: vec!["/bin/sh".into(), "-c".into(), "".into()],
            user: Some(RunAs {
                user: "nobody".into(),
                group: Some("nogroup".into()),
            }),
            env: vec![("VRRP_FROM".to_owned(), "BACKUP".to_owned())],
            security: true,
        }
    }

    #[test]
    fn a_start_arrives_as_it_was_sent() {
        let sent = start();
        let packet = Request::Start(sent.clone()).encode().expect("short");
        assert_eq!(Request::decode(&packet), Some(Request::Start(sent)));
    }

    #[test]
    fn signals_and_quit_arrive() {
        for signal in [Signal::Term, Signal::Kill] {
            let key = RunKey::notify(3);
            let packet = Request::Signal { key, signal }.encode().expect("short");
            assert_eq!(
                Request::decode(&packet),
                Some(Request::Signal { key, signal })
            );
        }
        let packet = Request::Quit.encode().expect("short");
        assert_eq!(Request::decode(&packet), Some(Request::Quit));
    }

    #[test]
    fn a_start_that_does_not_fit_is_refused() {
        let mut long = start();
        long.argv.push("x".repeat(60_000).into());
        assert!(Request::Start(long.clone()).encode().is_some());
        long.argv.push("x".repeat(60_000).into());
        assert!(Request::Start(long).encode().is_none());
    }

    #[test]
    fn a_cut_packet_is_never_read() {
        let packet = Request::Start(start()).encode().expect("short");
        for len in 0..packet.len() {
            assert_eq!(Request::decode(&packet[..len]), None, "cut to {len} bytes");
        }
    }

    #[test]
    fn keys_of_checks_and_notify_programs_never_meet() {
        assert_eq!(RunKey::check(RunId(u64::MAX)).kind(), Kind::Check);
        assert_eq!(RunKey::notify(5).kind(), Kind::Notify);
        assert_ne!(RunKey::check(RunId(5)), RunKey::notify(5));
    }

    #[test]
    fn a_long_stderr_keeps_its_end() {
        let reply = Reply::Ended {
            key: RunKey::check(RunId(1)),
            how: How::Exited(1),
            stderr: format!("{}end", "ä".repeat(3000)),
            millis: 5,
        };
        let Some(Reply::Ended { stderr, .. }) = Reply::decode(&reply.encode()) else {
            panic!("not an end");
        };
        assert!(stderr.len() <= TAIL && stderr.ends_with("äend"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
            let _ = Reply::decode(&bytes);
        }

        #[test]
        fn replies_survive_the_way(key in any::<u64>(), value in any::<i32>(), tag in 0..3,
                                   stderr in ".{0,80}", millis in any::<u64>()) {
            let how = match tag {
                0 => How::Exited(value),
                1 => How::Signalled(value),
                _ => How::NotStarted(value),
            };
            let reply = Reply::Ended { key: RunKey(key), how, stderr, millis };
            prop_assert_eq!(Reply::decode(&reply.encode()), Some(reply.clone()));
            let Reply::Ended { key, stderr, .. } = reply else { unreachable!("an end") };
            let reply = Reply::Started { key, pid: 7, warning: stderr };
            prop_assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }
}
