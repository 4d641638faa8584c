//! Linux: system calls without protocol opinions.
//!
//! This room knows what the kernel can do and how to ask for it; what is wanted, and why, is decided
//! elsewhere. The engine thread calls [`poller`], [`vrrp_socket`], [`packet_socket`] and [`netlink`];
//! [`hands`] is a thread of its own. `unsafe` lives in `sys` alone, the present time in [`clock`] alone.

mod ask;
pub mod claims;
pub mod clock;
pub mod default_route;
pub mod error;
pub mod handover;
pub mod hands;
pub mod holders;
pub mod inotify;
pub mod ledger;
pub mod linkbeat;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod packet_socket;
pub mod poller;
pub mod proc;
pub mod proc_connector;
pub mod rt;
pub mod send;
mod sys;
pub mod vrrp_socket;
