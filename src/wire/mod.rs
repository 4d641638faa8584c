//! Bytes and values: adverts, checksums, ARP and neighbour discovery.
//!
//! No allocation on the receive path, no system calls, no panics on any input. What arrives goes
//! through [`advert::Advert::parse`]; what leaves is kept ready in a [`template::Template`].

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod advert;
pub mod arp;
pub mod checksum;
#[doc(hidden)]
pub mod fuzz;
pub mod ip;
pub mod ndisc;
pub mod reject;
pub mod template;
