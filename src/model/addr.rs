//! Addresses: hardware, network with prefix, and virtual with their options.

use crate::model::ids::{Family, Vrid};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual router's address (RFC 9568 §7.3).
    pub const fn of_router(family: Family, vrid: Vrid) -> Self {
        let block = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Self([0, 0, 0x5e, 0, block, vrid.get()])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address with its prefix length; host bits are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    /// The address.
    pub addr: IpAddr,
    /// Prefix length, at most 32 or 128.
    pub len: u8,
}

impl Cidr {
    /// `None` if the prefix is longer than the address.
    pub const fn new(addr: IpAddr, len: u8) -> Option<Self> {
        let most = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if len <= most {
            Some(Self { addr, len })
        } else {
            None
        }
    }

    /// The address alone: /32 or /128.
    pub const fn host(addr: IpAddr) -> Self {
        let len = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { addr, len }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A virtual address and how it is to be installed (keepalived.conf(5) virtual_ipaddress).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// Address and prefix length.
    pub cidr: Cidr,
    /// Interface, if not the instance's own.
    pub dev: Option<Arc<str>>,
    /// Broadcast address, resolved from `+` and `-`.
    pub broadcast: Option<Ipv4Addr>,
    /// Kernel scope: 0 global, 200 site, 253 link, 254 host, 255 nowhere.
    pub scope: u8,
    /// IPv4 label, at most 15 bytes.
    pub label: Option<Arc<str>>,
    /// Run duplicate address detection (keepalived's `-nodad` asks for it).
    pub dad: bool,
    /// Add no prefix route.
    pub no_prefix_route: bool,
    /// IPv6 preferred lifetime in seconds; `None` is for ever, 0 means never chosen as a source.
    pub preferred_lft: Option<u32>,
    /// Neither its interface nor its loss is tracked.
    pub no_track: bool,
}

impl VirtualAddress {
    /// An address with keepalived's defaults: scope global, no DAD, IPv6 /128 deprecated.
    pub fn plain(cidr: Cidr) -> Self {
        let preferred_lft = match cidr.addr {
            IpAddr::V6(_) if cidr.len == 128 => Some(0),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        Self {
            cidr,
            dev: None,
            broadcast: None,
            scope: 0,
            label: None,
            dad: false,
            no_prefix_route: false,
            preferred_lft,
            no_track: false,
        }
    }
}

/// Whether an IPv6 address is link-local unicast (fe80::/10); IPv4 never counts as such here.
pub const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_macs_carry_family_and_vrid() {
        let vrid = Vrid::new(51).expect("not zero");
        assert_eq!(
            Mac::of_router(Family::V4, vrid).to_string(),
            "00:00:5e:00:01:33"
        );
        assert_eq!(
            Mac::of_router(Family::V6, vrid).to_string(),
            "00:00:5e:00:02:33"
        );
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_refused() {
        assert!(Cidr::new(IpAddr::from([10, 0, 0, 1]), 33).is_none());
        assert!(Cidr::new(IpAddr::from([0u16; 8]), 128).is_some());
    }
}
