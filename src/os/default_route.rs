//! Whether there is a default route that can be used.

use crate::model::ids::Family;
use crate::os::ask::{Asker, Piece, attribute, word};
use netlink_packet_core::{NLM_F_DUMP, NetlinkBuffer, NlasIterator};
use std::io;

const RTM_F_FIB_MATCH: u32 = 0x2000;
/// Flags of a next hop (RTNH_F_*).
const DEAD: u32 = 1;
const LINKDOWN: u32 = 16;
/// The head of a route: `rtmsg`.
const HEAD: usize = 12;

/// One look at the main table. A large one is read piece by piece, so that others have their turn.
#[derive(Debug)]
pub struct DefaultRoute {
    asker: Asker,
    family: Family,
    link: Option<u32>,
    begun: bool,
}

impl DefaultRoute {
    /// Begins; `link` is the only one through which it may lead.
    ///
    /// # Errors
    /// Those of socket and bind.
    pub fn look(family: Family, link: Option<u32>) -> io::Result<Self> {
        Ok(Self {
            asker: Asker::open()?,
            family,
            link,
            begun: false,
        })
    }

    /// Looks on; `None` if there is more to look at.
    ///
    /// # Errors
    /// Those of netlink.
    pub fn step(&mut self) -> io::Result<Option<bool>> {
        if !self.begun {
            self.begun = true;
            if self.family == Family::V6
                && let Some(answer) = self.shortcut()
            {
                return Ok(Some(answer));
            }
            self.asker
                .ask(libc::RTM_GETROUTE, NLM_F_DUMP, &self.question(None))?;
        }
        let (link, family) = (self.link, self.family);
        let mut end = None;
        let piece = self.asker.piece(|message| {
            let Some(route) = Route::parse(message).filter(|route| route.main) else {
                return;
            };
            if route.default {
                if route.leads(link) {
                    end = Some(true);
                }
            } else if family == Family::V4 && end.is_none() {
                // IPv4 routes come in the order of their addresses: all defaults are past.
                end = Some(false);
            }
        })?;
        Ok(match piece {
            Piece::More => end,
            Piece::Last => Some(end.unwrap_or(false)),
        })
    }

    /// What leads to `::` is the default route, unless there is a route to a network around it. The
    /// IPv6 table ends with its default routes, so this spares us the whole of it.
    fn shortcut(&mut self) -> Option<bool> {
        let question = self.question(Some(RTM_F_FIB_MATCH));
        let answer = self.asker.one(libc::RTM_GETROUTE, &question, |message| {
            Route::parse(message)
        });
        match answer {
            Ok(Some(route)) if route.main && route.default && route.leads(self.link) => Some(true),
            Ok(_) => None,
            Err(error) => (error.raw_os_error() == Some(libc::ENETUNREACH)).then_some(false),
        }
    }

    fn question(&self, lookup: Option<u32>) -> Vec<u8> {
        let (family, octets) = match self.family {
            Family::V4 => (libc::AF_INET, 4),
            Family::V6 => (libc::AF_INET6, 16),
        };
        let mut body = vec![0; HEAD];
        body[0] = family as u8;
        if let Some(flags) = lookup {
            body[1] = octets * 8;
            body[8..12].copy_from_slice(&flags.to_ne_bytes());
            attribute(&mut body, libc::RTA_DST, &vec![0; octets.into()]);
        } else {
            let table = u32::from(libc::RT_TABLE_MAIN);
            attribute(&mut body, libc::RTA_TABLE, &table.to_ne_bytes());
        }
        body
    }
}

/// What matters of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Route {
    main: bool,
    default: bool,
    /// Links through which it leads now.
    links: Vec<u32>,
}

impl Route {
    fn parse(message: &NetlinkBuffer<&[u8]>) -> Option<Self> {
        (message.message_type() == libc::RTM_NEWROUTE)
            .then(|| Self::read(message.payload()))
            .flatten()
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let head = payload.get(..HEAD)?;
        let mut table = u32::from(head[4]);
        let usable = head[7] == libc::RTN_UNICAST;
        let dead = |flags: u32| flags & (DEAD | LINKDOWN) != 0;
        let flags = word(head, 8)?;
        let mut links = Vec::new();
        for attribute in NlasIterator::new(payload.get(HEAD..)?) {
            let Ok(attribute) = attribute else { break };
            let value = attribute.value();
            match attribute.kind() {
                libc::RTA_TABLE => table = word(value, 0)?,
                libc::RTA_OIF if !dead(flags) => links.extend(word(value, 0)),
                libc::RTA_MULTIPATH => {
                    for (flags, link) in hops(value) {
                        if !dead(flags) {
                            links.push(link);
                        }
                    }
                }
                _ => {}
            }
        }
        if !usable {
            links.clear();
        }
        Some(Self {
            main: table == u32::from(libc::RT_TABLE_MAIN),
            default: head[1] == 0,
            links,
        })
    }

    /// Leads anywhere, or through this link.
    fn leads(&self, link: Option<u32>) -> bool {
        match link {
            None => !self.links.is_empty(),
            Some(link) => self.links.contains(&link),
        }
    }
}

/// Flags and link of each next hop: `rtnexthop`.
fn hops(mut value: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*value.first_chunk()?));
        let hop = (u32::from(*value.get(2)?), word(value, 4)?);
        value = value
            .get(length.max(8).next_multiple_of(4)..)
            .unwrap_or(&[]);
        Some(hop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(len: u8, kind: u8, flags: u32, attributes: &[(u16, &[u8])]) -> Option<Route> {
        let mut payload = vec![libc::AF_INET as u8, len, 0, 0, 254, 0, 0, kind];
        payload.extend(flags.to_ne_bytes());
        for (kind, value) in attributes {
            attribute(&mut payload, *kind, value);
        }
        Route::read(&payload)
    }

    const LINK_7: (u16, &[u8]) = (libc::RTA_OIF, &7_u32.to_ne_bytes());

    #[test]
    fn only_unicast_routes_over_a_living_link_can_be_used() {
        let of = |kind, flags| {
            route(0, kind, flags, &[LINK_7])
                .expect("a route")
                .leads(None)
        };
        assert!(of(libc::RTN_UNICAST, 0));
        assert!(!of(libc::RTN_BLACKHOLE, 0));
        assert!(!of(libc::RTN_UNREACHABLE, 0));
        assert!(!of(libc::RTN_UNICAST, 1), "dead");
        assert!(!of(libc::RTN_UNICAST, 16), "no carrier");
        let other = route(0, libc::RTN_UNICAST, 0, &[LINK_7]).expect("a route");
        assert!(other.leads(Some(7)) && !other.leads(Some(8)));
        let long = route(8, libc::RTN_UNICAST, 0, &[LINK_7]).expect("a route");
        assert!(!long.default && long.main);
    }

    #[test]
    fn one_living_hop_of_several_is_enough() {
        let mut hops = Vec::new();
        for (flags, link) in [(1_u8, 3_u32), (0, 4)] {
            hops.extend(16_u16.to_ne_bytes());
            hops.extend([flags, 0]);
            hops.extend(link.to_ne_bytes());
            attribute(&mut hops, libc::RTA_GATEWAY, &[10, 0, 0, 1]);
        }
        let several =
            route(0, libc::RTN_UNICAST, 0, &[(libc::RTA_MULTIPATH, &hops)]).expect("a route");
        assert_eq!(several.links, [4]);
        for length in 0..hops.len() {
            let cut: &[u8] = &hops[..length];
            let _ = route(0, libc::RTN_UNICAST, 0, &[(libc::RTA_MULTIPATH, cut)]);
        }
    }

    #[test]
    fn a_table_beyond_255_is_named_by_its_attribute() {
        let main = 254_u32.to_ne_bytes();
        let other = 1000_u32.to_ne_bytes();
        let of = |table: &[u8]| {
            route(0, libc::RTN_UNICAST, 0, &[(libc::RTA_TABLE, table)])
                .expect("a route")
                .main
        };
        assert!(of(&main) && !of(&other));
    }
}
