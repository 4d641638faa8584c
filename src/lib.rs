//! Mainstay: VRRP for Linux routers. It reads `keepalived.conf`, tracks scripts and says why it failed over.
//!
//! # The rooms
//!
//! | room | what it is for | may import |
//! |---|---|---|
//! | [`model`] | the words everybody speaks, plain data | `std`, serde derives |
//! | [`wire`] | bytes ↔ values | `model` |
//! | [`core`] | values + time → decisions | `model`, `wire` |
//! | [`conf`] | text → settings, with diagnostics | `model` |
//! | [`os`] | Linux: system calls without opinions | `model`, `wire` |
//! | [`scripts`] | other people's programs | `model`, `os` |
//! | [`ctl`] | talk with operators | `model` |
//! | [`obs`] | logs | `model` |
//! | [`sim`] | the same engine in a box | `core`, `wire`, `model`, `conf` |
//! | [`proof`] | which failure moves which address | `core`, `conf`, `model`, `sim` |
//! | [`daemon`] | assembly | everything |
//! | [`cli`] | one file per subcommand | everything, of `daemon` only its entry |
//!
//! `tests/rooms.rs` holds the code to this table. The way of an advert: a socket in [`os`] reads
//! bytes, [`core`] is handed a [`core::input::Input`], answers with [`core::action::Action`]s, and
//! [`daemon`] performs them. The same engine runs in [`sim`] with a virtual clock.

pub mod cli;
pub mod conf;
pub mod core;
pub mod ctl;
pub mod daemon;
pub mod model;
pub mod obs;
pub mod os;
pub mod proof;
pub mod scripts;
pub mod sim;
pub mod wire;
