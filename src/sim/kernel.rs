//! The part of a kernel that VRRP needs: links, addresses, sockets, and answers that take their time.

use crate::core::action::Change;
use crate::model::addr::{Cidr, Mac, is_link_local};
use crate::model::ids::{ActionId, Family, LinkId};
use crate::model::seen::{AddressSeen, LinkFlags, LinkSeen};
use crate::model::time::Instant;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Something the kernel reports by itself.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Of a link.
    Link(LinkSeen),
    /// Of an address.
    Address(AddressSeen),
}

/// A change of an address that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Comes back with the answer.
    pub id: ActionId,
    /// Where.
    pub link: LinkId,
    /// Add or remove.
    pub change: Change,
    /// What.
    pub cidr: Cidr,
}

/// A network interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// Its name.
    pub name: Arc<str>,
    /// The LAN it is plugged into.
    pub lan: usize,
    /// It exists.
    pub exists: bool,
    /// It is up with carrier.
    pub up: bool,
    /// Its hardware address.
    pub mac: Mac,
    own: Vec<Cidr>,
    present: Vec<Cidr>,
    open: [bool; 2],
}

impl Link {
    /// A link that is up and holds its own addresses.
    pub fn new(id: LinkId, name: &str, lan: usize, mac: Mac, own: Vec<Cidr>) -> Self {
        Self {
            id,
            name: name.into(),
            lan,
            exists: true,
            up: true,
            mac,
            present: own.clone(),
            own,
            open: [false; 2],
        }
    }

    fn seen(&self) -> LinkSeen {
        LinkSeen {
            link: self.id,
            name: self.name.clone(),
            is: self.exists.then_some(LinkFlags {
                up: self.up,
                running: self.up,
                loopback: false,
                multicast: true,
                noarp: false,
                mac: Some(self.mac),
                mtu: 1500,
                forwarding6: false,
            }),
        }
    }

    /// Addresses that are on it now.
    pub fn present(&self) -> &[Cidr] {
        &self.present
    }

    /// Whether an address is on it, whatever its prefix.
    pub fn has(&self, address: IpAddr) -> bool {
        self.present.iter().any(|c| c.addr == address)
    }

    /// Whether a socket listens for this family.
    pub const fn listens(&self, family: Family) -> bool {
        self.open[slot(family)]
    }
}

const fn slot(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// A host's kernel.
#[derive(Debug)]
pub struct Kernel {
    links: Vec<Link>,
    refusals: HashMap<IpAddr, i32>,
    each: Duration,
    free_at: Instant,
    waiting: usize,
}

impl Kernel {
    /// A kernel with these links; a change of an address takes it `each`.
    pub fn new(links: Vec<Link>, each: Duration) -> Self {
        Self {
            links,
            refusals: HashMap::new(),
            each,
            free_at: Instant::ZERO,
            waiting: 0,
        }
    }

    /// Its links.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// One link.
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|l| l.id == id)
    }

    /// One link by name.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|l| &*l.name == name)
    }

    fn edit(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|l| l.id == id)
    }

    /// Everything there is, as a first dump reports it.
    pub fn picture(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for link in self.links.iter().filter(|l| l.exists) {
            facts.push(Fact::Link(link.seen()));
            for &cidr in &link.present {
                facts.push(seen(link.id, cidr, true));
            }
        }
        facts
    }

    /// Opens a socket.
    pub fn open(&mut self, link: LinkId, family: Family) {
        if let Some(link) = self.edit(link) {
            link.open[slot(family)] = true;
        }
    }

    /// Closes a socket.
    pub fn close(&mut self, link: LinkId, family: Family) {
        if let Some(link) = self.edit(link) {
            link.open[slot(family)] = false;
        }
    }

    /// The daemon is gone: its sockets are closed, its waiting requests lost, its addresses stay.
    pub fn orphan(&mut self) {
        for link in &mut self.links {
            link.open = [false; 2];
        }
        self.waiting = 0;
    }

    /// Adding this address is refused from now on, or no longer.
    pub fn refuse(&mut self, address: IpAddr, errno: Option<i32>) {
        match errno {
            Some(errno) => self.refusals.insert(address, errno),
            None => self.refusals.remove(&address),
        };
    }

    /// Accepts a request; when it will be done.
    pub fn accept(&mut self, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + self.each;
        self.waiting += 1;
        self.free_at
    }

    /// Requests that wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Does a request: what changed, or why not.
    ///
    /// # Errors
    /// The errno with which it is refused.
    pub fn carry_out(&mut self, request: Request) -> Result<Option<Fact>, i32> {
        const ENODEV: i32 = 19;
        self.waiting = self.waiting.saturating_sub(1);
        let refusal = self.refusals.get(&request.cidr.addr).copied();
        let Some(link) = self.edit(request.link).filter(|l| l.exists) else {
            return Err(ENODEV);
        };
        let at = link.present.iter().position(|&c| c == request.cidr);
        match (request.change, at) {
            (Change::Add, None) => {
                if let Some(errno) = refusal {
                    return Err(errno);
                }
                link.present.push(request.cidr);
                Ok(Some(seen(request.link, request.cidr, true)))
            }
            (Change::Remove, Some(at)) => {
                link.present.remove(at);
                Ok(Some(seen(request.link, request.cidr, false)))
            }
            (Change::Add, Some(_)) | (Change::Remove, None) => Ok(None),
        }
    }

    /// Someone else adds or removes an address.
    pub fn meddle(&mut self, link: LinkId, cidr: Cidr, present: bool) -> Option<Fact> {
        let link = self.edit(link)?;
        let at = link.present.iter().position(|c| {
            if present {
                *c == cidr
            } else {
                c.addr == cidr.addr
            }
        });
        match (present, at) {
            (true, None) => {
                link.present.push(cidr);
                Some(seen(link.id, cidr, true))
            }
            (false, Some(at)) => {
                let was = link.present.remove(at);
                Some(seen(link.id, was, false))
            }
            (true, Some(_)) | (false, None) => None,
        }
    }

    /// Takes a link down or up. Like Linux it loses its IPv6 addresses going down and its own ones
    /// are back when it is up again.
    pub fn set_up(&mut self, id: LinkId, up: bool) -> Vec<Fact> {
        let Some(link) = self.edit(id).filter(|l| l.exists && l.up != up) else {
            return Vec::new();
        };
        link.up = up;
        let mut facts = vec![Fact::Link(link.seen())];
        if up {
            for cidr in link.own.clone() {
                if !link.present.contains(&cidr) {
                    link.present.push(cidr);
                    facts.push(seen(id, cidr, true));
                }
            }
        } else {
            let (gone, kept) = link.present.iter().partition(|c| c.addr.is_ipv6());
            link.present = kept;
            let gone: Vec<Cidr> = gone;
            facts.extend(gone.into_iter().map(|cidr| seen(id, cidr, false)));
        }
        facts
    }

    /// Makes a link disappear with its addresses, or appear again with its own ones.
    pub fn set_exists(&mut self, id: LinkId, exists: bool) -> Vec<Fact> {
        let Some(link) = self.edit(id).filter(|l| l.exists != exists) else {
            return Vec::new();
        };
        link.exists = exists;
        link.up = exists;
        link.open = [false; 2];
        let mut facts = Vec::new();
        if exists {
            facts.push(Fact::Link(link.seen()));
            link.present.clone_from(&link.own);
            facts.extend(link.present.iter().map(|&cidr| seen(id, cidr, true)));
        } else {
            facts.extend(link.present.drain(..).map(|cidr| seen(id, cidr, false)));
            facts.push(Fact::Link(link.seen()));
        }
        facts
    }

    /// The address from which a router of this family would speak on a link.
    pub fn source(&self, link: LinkId, family: Family) -> Option<IpAddr> {
        let link = self.link(link)?;
        link.own
            .iter()
            .map(|c| c.addr)
            .find(|&a| Family::of(a) == family && (family == Family::V4 || is_link_local(a)))
    }
}

fn seen(link: LinkId, cidr: Cidr, present: bool) -> Fact {
    Fact::Address(AddressSeen {
        link,
        cidr,
        present,
        dad_failed: false,
        secondary: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: LinkId = LinkId(2);

    fn kernel() -> Kernel {
        let own = vec![
            Cidr::host(IpAddr::from([10, 0, 0, 1])),
            Cidr::host(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1])),
        ];
        let link = Link::new(ETH0, "eth0", 0, Mac([2, 0, 0, 0, 0, 1]), own);
        Kernel::new(vec![link], Duration::from_micros(150))
    }

    fn add(cidr: Cidr) -> Request {
        Request {
            id: ActionId(1),
            link: ETH0,
            change: Change::Add,
            cidr,
        }
    }

    #[test]
    fn what_is_already_so_is_no_error_and_no_news() {
        let mut kernel = kernel();
        let vip = Cidr::host(IpAddr::from([10, 0, 0, 200]));
        assert!(matches!(kernel.carry_out(add(vip)), Ok(Some(_))));
        assert!(matches!(kernel.carry_out(add(vip)), Ok(None)));
        assert!(kernel.link(ETH0).is_some_and(|l| l.has(vip.addr)));
    }

    #[test]
    fn a_refused_address_is_not_there() {
        let mut kernel = kernel();
        let vip = Cidr::host(IpAddr::from([10, 0, 0, 200]));
        kernel.refuse(vip.addr, Some(13));
        assert!(matches!(kernel.carry_out(add(vip)), Err(13)));
        assert!(kernel.link(ETH0).is_some_and(|l| !l.has(vip.addr)));
    }

    #[test]
    fn a_link_going_down_loses_ipv6_and_gets_its_own_back() {
        let mut kernel = kernel();
        assert_eq!(kernel.set_up(ETH0, false).len(), 2);
        assert_eq!(kernel.set_up(ETH0, false).len(), 0, "no news");
        assert!(kernel.link(ETH0).is_some_and(|l| l.present().len() == 1));
        assert_eq!(kernel.set_up(ETH0, true).len(), 2);
        assert!(kernel.link(ETH0).is_some_and(|l| l.present().len() == 2));
    }

    #[test]
    fn requests_wait_for_each_other() {
        let mut kernel = kernel();
        let now = Instant::from_nanos(1_000_000_000);
        assert_eq!(kernel.accept(now), now + Duration::from_micros(150));
        assert_eq!(kernel.accept(now), now + Duration::from_micros(300));
        assert_eq!(kernel.waiting(), 2);
    }
}
