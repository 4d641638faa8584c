//! Values and time to decisions: the engine, its routers and trackers.

pub mod action;
pub mod input;
pub mod plan;
