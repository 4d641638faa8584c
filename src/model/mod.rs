//! The words everybody speaks: plain data without verbs.
//!
//! Nothing here knows a clock, a socket or a file. Every other room may import this one; it imports
//! nothing but `std` and serde derives.

pub mod addr;
pub mod event;
pub mod extras;
pub mod feed;
pub mod ids;
pub mod links;
pub mod notice;
pub mod order;
pub mod priority;
pub mod seen;
pub mod settings;
pub mod time;
pub mod view;
pub mod why;
