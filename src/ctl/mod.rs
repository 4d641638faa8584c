//! Talk with operators: the Varlink socket and what is shown.
//!
//! `RUNTIME_DIR/control.sock` speaks Varlink: JSON objects, each ended by a NUL byte. [`server`]
//! lives in the service thread and asks the daemon for a [`Snapshot`](crate::model::view::Snapshot);
//! it never learns of the engine. [`client`], [`render`], [`history`] and [`explain`] belong to
//! the command line.

pub mod asked;
pub mod client;
mod damping;
pub mod explain;
pub mod external;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod history;
pub mod interface;
pub mod neighbours;
pub mod overview;
pub mod render;
pub mod reply;
pub mod server;

/// Name of the socket in the runtime directory.
pub const SOCKET: &str = "control.sock";
