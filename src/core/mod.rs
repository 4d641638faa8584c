//! Values and time to decisions: the engine, its routers and trackers.
//!
//! No clock, socket, thread, random number, log or runtime: time is an argument, bytes come in and
//! go out as bytes. [`engine::Engine`] is the way in, [`input::Input`] what can happen,
//! [`action::Action`] what is to be done.

pub mod action;
mod apply;
mod damping;
mod debounce;
mod degraded;
pub mod election;
pub mod engine;
mod facts;
mod feed;
pub mod fold;
mod garp;
mod group;
mod handover;
pub mod health;
mod hear;
pub mod input;
mod link;
mod orders;
mod peers;
mod places;
pub mod plan;
mod receive;
mod router;
mod serve;
mod statics;
mod stats;
mod strangers;
pub mod timers;
pub mod tracker;
mod view;
mod what_if;

pub use engine::Engine;
