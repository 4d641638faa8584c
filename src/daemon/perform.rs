//! The engine's actions become system calls and messages.

use crate::core::action::{Action, Actions, Change, Via};
use crate::daemon::bridge::{EngineEnd, ToService};
use crate::model::ids::{Family, LinkId};
use crate::model::notice::{Level, Notice, What};
use crate::model::time::Instant;
use crate::os::clock;
use crate::os::hands::{Hands, Request};
use crate::os::packet_socket::PacketSocket;
use crate::os::poller::Poller;
use crate::os::send::SendBatch;
use crate::os::vrrp_socket::VrrpSocket;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The same send error on the same link is told once in so long.
const QUIET: Duration = Duration::from_secs(60);
/// Sockets that could not be opened are tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// RFC 8200 §5.
const LEAST_MTU_V6: u32 = 1280;
/// Tokens of sockets begin here; below are the loop's own.
pub(super) const FIRST_PORT: u64 = 16;

/// One raw socket and the adverts collected for it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) link: LinkId,
    pub(super) socket: VrrpSocket,
    out: SendBatch<IpAddr>,
}

/// A packet socket and the announcements collected for it.
#[derive(Debug)]
struct Announcer {
    socket: PacketSocket,
    out: SendBatch<()>,
}

/// Performs actions in order; frames are collected for each socket and sent in batches.
#[derive(Debug)]
pub(super) struct Performer {
    ports: Vec<Option<Port>>,
    by_link: HashMap<(LinkId, Family), usize>,
    announcers: HashMap<LinkId, Announcer>,
    /// Sockets wanted that could not be opened yet.
    wanted: Vec<(LinkId, Family)>,
    /// When they are tried again.
    again_at: Option<Instant>,
    /// What the engine does not know yet of sockets that failed, and of those opened after all.
    pub(super) sockets: Vec<(LinkId, Family, bool)>,
    names: HashMap<LinkId, Arc<str>>,
    mtus: HashMap<LinkId, u32>,
    used: Vec<usize>,
    announcing: Vec<LinkId>,
    told: HashMap<(LinkId, i32), Instant>,
    failures: Vec<(LinkId, i32)>,
    pub(super) send_errors: u64,
}

impl Performer {
    pub(super) fn new() -> Self {
        Self {
            ports: Vec::new(),
            by_link: HashMap::new(),
            announcers: HashMap::new(),
            wanted: Vec::new(),
            again_at: None,
            sockets: Vec::new(),
            names: HashMap::new(),
            mtus: HashMap::new(),
            used: Vec::with_capacity(16),
            announcing: Vec::with_capacity(16),
            told: HashMap::new(),
            failures: Vec::with_capacity(64),
            send_errors: 0,
        }
    }

    /// The socket behind a token.
    pub(super) fn port(&self, token: u64) -> Option<&Port> {
        let index = usize::try_from(token.checked_sub(FIRST_PORT)?).ok()?;
        self.ports.get(index)?.as_ref()
    }

    /// A link's name and MTU as the kernel says, for opening sockets; sockets that failed are tried
    /// again.
    pub(super) fn link_seen(
        &mut self,
        link: LinkId,
        is: Option<(&Arc<str>, u32)>,
        poller: &Poller,
        bridge: &mut EngineEnd,
    ) {
        match is {
            Some((name, mtu)) => {
                self.names.insert(link, name.clone());
                let before = self.mtus.insert(link, mtu).unwrap_or(mtu);
                if before < LEAST_MTU_V6 && mtu >= LEAST_MTU_V6 {
                    self.join_again(link, bridge);
                }
            }
            None => {
                self.names.remove(&link);
                self.mtus.remove(&link);
                // One made anew has another number; a virtual address alone opens no port here.
                self.announcers.remove(&link);
            }
        }
        self.try_again(poller, bridge, |l| l == link);
    }

    /// When [`Performer::retry`] has something to do.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Tries sockets again that failed, whatever it was.
    pub(super) fn retry(&mut self, now: Instant, poller: &Poller, bridge: &mut EngineEnd) {
        if self.again_at.is_some_and(|at| now >= at) {
            self.again_at = None;
            self.try_again(poller, bridge, |_| true);
        }
    }

    fn try_again(&mut self, poller: &Poller, bridge: &mut EngineEnd, on: impl Fn(LinkId) -> bool) {
        let (again, rest): (Vec<_>, _) = self.wanted.drain(..).partition(|(l, _)| on(*l));
        self.wanted = rest;
        for (link, family) in again {
            self.open(link, family, poller, bridge);
            if self.by_link.contains_key(&(link, family)) {
                self.sockets.push((link, family, true));
            }
        }
    }

    /// Below its least MTU a link has no IPv6 at all and forgets which groups were joined; when it
    /// is large enough again the socket would stay deaf.
    fn join_again(&mut self, link: LinkId, bridge: &mut EngineEnd) {
        let index = self.by_link.get(&(link, Family::V6));
        let Some(Some(port)) = index.and_then(|index| self.ports.get(*index)) else {
            return;
        };
        let name = self.names.get(&link).map_or("?", |n| n);
        if let Err(error) = port.socket.join_again(name) {
            tell(clock::now(), Arc::from(error.to_string()), bridge);
        }
    }

    /// Does everything the engine asked for and empties the outbox.
    pub(super) fn run(
        &mut self,
        now: Instant,
        actions: &mut Actions,
        poller: &Poller,
        hands: &mut Hands,
        bridge: &mut EngineEnd,
    ) {
        if actions.is_empty() {
            return;
        }
        let (list, arena) = actions.parts();
        for action in list {
            match action {
                Action::Send {
                    link,
                    via: Via::Ip(to),
                    frame,
                } => {
                    if let Some(&index) = self.by_link.get(&(link, Family::of(to)))
                        && let Some(Some(port)) = self.ports.get_mut(index)
                    {
                        if port.out.is_empty() {
                            self.used.push(index);
                        }
                        port.out.push(arena.frame(frame), to);
                    } else {
                        self.send_errors += 1;
                    }
                }
                Action::Send {
                    link,
                    via: Via::Ethernet,
                    frame,
                } => {
                    self.announce(link, arena.frame(frame));
                }
                Action::Address {
                    id,
                    link,
                    name,
                    change,
                    what,
                } => {
                    let change = match change {
                        Change::Add => crate::os::hands::Change::Add,
                        Change::Remove => crate::os::hands::Change::Remove,
                    };
                    hands.post(Request {
                        id,
                        link,
                        name,
                        change,
                        what,
                    });
                }
                Action::Open { link, family } => self.open(link, family, poller, bridge),
                Action::Close { link, family } => {
                    self.send_all();
                    self.close(link, family, poller);
                }
                Action::StartRun {
                    check,
                    run,
                    settings,
                } => {
                    bridge.push(ToService::StartRun {
                        check,
                        run,
                        settings,
                    });
                }
                Action::StopRun { run, how } => bridge.push(ToService::StopRun { run, how }),
                Action::Notify(notification) => bridge.push(ToService::Notify(notification)),
                Action::Tell(notice) => bridge.push(ToService::Tell(now, notice)),
                Action::Ordered { id, outcome } => bridge.push(ToService::Ordered { id, outcome }),
                Action::Fed { id, outcome } => bridge.push(ToService::Fed { id, outcome }),
                Action::Dispose(plan) => bridge.push(ToService::Dispose(plan)),
            }
        }
        actions.clear();
        // Adverts before announcements before addresses: the order the protocol wants.
        self.send_all();
        hands.flush();
        self.tell_failures(now, bridge);
    }

    fn announce(&mut self, link: LinkId, frame: &[u8]) {
        if !self.announcers.contains_key(&link) {
            let name = self.names.get(&link).map_or("?", |n| n);
            match PacketSocket::open(link, name) {
                Ok(socket) => {
                    let out = SendBatch::with_capacity(64, 64 * 86);
                    self.announcers.insert(link, Announcer { socket, out });
                }
                Err(error) => {
                    self.send_errors += 1;
                    self.failures.push((link, error.errno().unwrap_or(0)));
                    return;
                }
            }
        }
        if let Some(announcer) = self.announcers.get_mut(&link) {
            if announcer.out.is_empty() {
                self.announcing.push(link);
            }
            announcer.out.push(frame, ());
        }
    }

    fn send_all(&mut self) {
        let failures = &mut self.failures;
        let before = failures.len();
        for index in self.used.drain(..) {
            if let Some(Some(port)) = self.ports.get_mut(index) {
                let link = port.link;
                port.socket
                    .flush(&mut port.out, |_, errno| failures.push((link, errno)));
            }
        }
        for link in self.announcing.drain(..) {
            if let Some(a) = self.announcers.get_mut(&link) {
                a.socket
                    .flush(&mut a.out, |_, errno| failures.push((link, errno)));
            }
        }
        self.send_errors += (failures.len() - before) as u64;
    }

    fn open(&mut self, link: LinkId, family: Family, poller: &Poller, bridge: &mut EngineEnd) {
        if self.by_link.contains_key(&(link, family)) {
            return;
        }
        let name = self
            .names
            .get(&link)
            .cloned()
            .unwrap_or_else(|| Arc::from("?"));
        let free = self
            .ports
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.ports.len());
        let opened = VrrpSocket::open(link, &name, family)
            .map_err(|e| e.to_string())
            .and_then(|s| {
                poller
                    .add(&s, FIRST_PORT + free as u64)
                    .map_err(|e| e.to_string())?;
                Ok(s)
            });
        match opened {
            Ok(socket) => {
                let out = SendBatch::with_capacity(64, 64 * 128);
                let port = Some(Port { link, socket, out });
                match self.ports.get_mut(free) {
                    Some(slot) => *slot = port,
                    None => self.ports.push(port),
                }
                self.by_link.insert((link, family), free);
            }
            Err(error) => {
                self.wanted.push((link, family));
                self.sockets.push((link, family, false));
                let now = clock::now();
                self.again_at = Some(now + AGAIN);
                tell(now, Arc::from(error), bridge);
            }
        }
    }

    fn close(&mut self, link: LinkId, family: Family, poller: &Poller) {
        self.wanted.retain(|w| *w != (link, family));
        if let Some(index) = self.by_link.remove(&(link, family))
            && let Some(slot) = self.ports.get_mut(index)
            && let Some(port) = slot.take()
        {
            // A descriptor of a link that is gone may have left the poller by itself.
            let _ = poller.remove(&port.socket);
        }
        if !self.by_link.keys().any(|(l, _)| *l == link) {
            self.announcers.remove(&link);
        }
    }

    fn tell_failures(&mut self, now: Instant, bridge: &mut EngineEnd) {
        for (link, errno) in self.failures.drain(..) {
            let quiet = self
                .told
                .get(&(link, errno))
                .is_some_and(|at| now.since(*at) < QUIET);
            if quiet {
                continue;
            }
            self.told.insert((link, errno), now);
            let name = self.names.get(&link).map_or("?", |n| n);
            let error = std::io::Error::from_raw_os_error(errno);
            let hint = match errno {
                nix::libc::EPERM => {
                    " (a firewall rule on this host drops it: allow IP protocol 112 out)"
                }
                nix::libc::ENETDOWN | nix::libc::ENXIO | nix::libc::ENODEV => " (the link is down)",
                _ => "",
            };
            let text = Arc::from(format!("{name}: cannot send: {error}{hint}"));
            tell(now, text, bridge);
        }
    }
}

fn tell(now: Instant, text: Arc<str>, bridge: &mut EngineEnd) {
    let level = Level::Warn;
    let notice = Notice {
        router: None,
        what: What::Text { level, text },
    };
    bridge.push(ToService::Tell(now, Box::new(notice)));
}
