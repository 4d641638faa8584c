//! The same engine in a box: hosts, links and a clock that jumps.
//!
//! A [`world::World`] holds hosts, each with a real [`crate::core::engine::Engine`], and LANs between
//! them. Its loop jumps to the earliest thing that can happen, hands it in through the engine's one
//! door and performs every action on a fake kernel that answers with the same inputs the real one
//! would. Frames are real bytes. A run is a pure function of hosts, script and seed.
//!
//! This room knows no clock, socket or process: tests, fuzzers and examples call it.

pub mod bodies;
pub mod forge;
pub mod host;
pub mod kernel;
pub mod lan;
pub mod packet;
pub mod programs;
pub mod reloads;
pub mod rng;
pub mod scenario;
pub mod timeline;
pub mod watch;
pub mod world;
