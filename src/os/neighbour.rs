//! Whether a neighbour answers, by the kernel's own ARP and neighbour discovery.

use crate::os::ask::{Asker, attribute, family, octets, word};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NetlinkBuffer, NlasIterator};
use std::io;
use std::net::IpAddr;

/// The head of a neighbour: `ndmsg`, and of a route: `rtmsg`.
const HEAD: usize = 12;
const NDA_DST: u16 = 1;
const NTF_USE: u8 = 1;

const INCOMPLETE: u16 = 1;
const REACHABLE: u16 = 2;
const STALE: u16 = 4;
const DELAY: u16 = 8;
const PROBE: u16 = 0x10;
const FAILED: u16 = 0x20;
const NO_ARP: u16 = 0x40;
const PERMANENT: u16 = 0x80;

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It answered.
    Reachable,
    /// It did not, however often it was asked.
    Failed,
    /// It is being asked.
    Asking,
    /// It answered once, and is not being asked now.
    Stale,
    /// Nothing.
    Unknown,
    /// Nobody is asked: the entry is fixed, or the link needs no ARP.
    Fixed,
}

/// One neighbour on one link.
#[derive(Debug)]
pub struct Neighbour {
    asker: Asker,
    addr: IpAddr,
    link: u32,
}

impl Neighbour {
    /// A neighbour on this link.
    ///
    /// # Errors
    /// Those of socket and bind.
    pub fn on(addr: IpAddr, link: u32) -> io::Result<Self> {
        let asker = Asker::open()?;
        Ok(Self { asker, addr, link })
    }

    /// A neighbour where the route to it leads; `None` if it is not on a link of ours.
    ///
    /// # Errors
    /// Those of netlink; ENETUNREACH if there is no route.
    pub fn find(addr: IpAddr) -> io::Result<Option<Self>> {
        let mut asker = Asker::open()?;
        let mut body = vec![0; HEAD];
        let octets = octets(addr);
        (body[0], body[1]) = (family(addr), octets.len() as u8 * 8);
        attribute(&mut body, libc::RTA_DST, &octets);
        let link = asker.one(libc::RTM_GETROUTE, &body, direct)?;
        Ok(link.map(|link| Self { asker, addr, link }))
    }

    /// What the kernel knows.
    ///
    /// # Errors
    /// Those of netlink.
    pub fn state(&mut self) -> io::Result<Answer> {
        let body = self.body(0, 0);
        let found = self.asker.one(libc::RTM_GETNEIGH, &body, state);
        match found {
            Ok(state) => Ok(state.map_or(Answer::Unknown, answer)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Answer::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Has the kernel ask now; whatever is sent in the meantime goes where it went before.
    ///
    /// `known` is what [`Neighbour::state`] said last.
    ///
    /// # Errors
    /// Those of netlink.
    pub fn ask(&mut self, known: Answer) -> io::Result<()> {
        let (state, flags) = match known {
            Answer::Reachable | Answer::Stale => (PROBE, 0),
            Answer::Failed | Answer::Unknown => (0, NTF_USE),
            Answer::Asking | Answer::Fixed => return Ok(()),
        };
        let body = self.body(state, flags);
        let create = if flags == NTF_USE { NLM_F_CREATE } else { 0 };
        self.asker
            .order(libc::RTM_NEWNEIGH, NLM_F_REPLACE | create, &body)
    }

    fn body(&self, state: u16, flags: u8) -> Vec<u8> {
        let mut body = vec![family(self.addr), 0, 0, 0];
        body.extend(self.link.to_ne_bytes());
        body.extend(state.to_ne_bytes());
        body.extend([flags, 0]);
        attribute(&mut body, NDA_DST, &octets(self.addr));
        body
    }
}

/// The link of a route without a gateway.
fn direct(message: &NetlinkBuffer<&[u8]>) -> Option<u32> {
    if message.message_type() != libc::RTM_NEWROUTE {
        return None;
    }
    let payload = message.payload();
    if payload.get(7) != Some(&libc::RTN_UNICAST) {
        return None;
    }
    let mut link = None;
    for attribute in NlasIterator::new(payload.get(HEAD..)?) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            libc::RTA_OIF => link = word(attribute.value(), 0),
            libc::RTA_GATEWAY | libc::RTA_VIA => return None,
            _ => {}
        }
    }
    link
}

fn state(message: &NetlinkBuffer<&[u8]>) -> Option<u16> {
    if message.message_type() != libc::RTM_NEWNEIGH {
        return None;
    }
    let bytes = message.payload().get(8..10)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

fn answer(state: u16) -> Answer {
    match state {
        REACHABLE => Answer::Reachable,
        FAILED => Answer::Failed,
        INCOMPLETE | PROBE => Answer::Asking,
        STALE | DELAY => Answer::Stale,
        NO_ARP | PERMANENT => Answer::Fixed,
        _ => Answer::Unknown,
    }
}
