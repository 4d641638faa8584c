//! VRRP advertisements: what arrived, before anybody believes it.

use crate::model::ids::{Family, LinkId};
use std::net::IpAddr;

/// A packet of protocol 112 as a socket hands it over; payload begins after the IP header.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The link it came in on.
    pub link: LinkId,
    /// The family of the carrying packet.
    pub family: Family,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}
