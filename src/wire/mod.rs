//! Bytes and values: adverts, checksums, ARP and neighbour discovery.
//!
//! No allocation on the receive path, no system calls, no panics on any input.

pub mod advert;
