//! Priorities, what an advert claims with them, and weights.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU8;

/// A router's priority, 1..=255; 255 is the address owner (RFC 9568 §5.2.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Priority(NonZeroU8);

impl Priority {
    /// 255: the router whose own addresses the virtual ones are.
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// 100, for a router that is told nothing.
    pub const DEFAULT: Self = match Self::new(100) {
        Some(p) => p,
        None => Self::OWNER,
    };

    /// `None` for 0.
    pub const fn new(priority: u8) -> Option<Self> {
        match NonZeroU8::new(priority) {
            Some(p) => Some(Self(p)),
            None => None,
        }
    }

    /// The nearest priority that may be contended with, 1..=254.
    pub fn contender(sum: i32) -> Self {
        let octet = u8::try_from(sum.clamp(1, 254)).unwrap_or(254);
        Self(NonZeroU8::new(octet).unwrap_or(NonZeroU8::MIN))
    }

    /// The octet on the wire.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Whether this is the owner's 255.
    pub const fn is_owner(self) -> bool {
        self.0.get() == 255
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an advert says of its sender: 0 is a different word, not a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Claim {
    /// Priority 0: the sender resigns.
    Release,
    /// The sender is Active with this priority.
    Hold(Priority),
}

impl Claim {
    /// From the octet on the wire.
    pub const fn from_wire(octet: u8) -> Self {
        match Priority::new(octet) {
            Some(p) => Self::Hold(p),
            None => Self::Release,
        }
    }

    /// The octet on the wire.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Release => 0,
            Self::Hold(p) => p.get(),
        }
    }
}

/// What a tracker adds or takes, -253..=253; 0 means "fault while down" (keepalived.conf(5) weight).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Weight(i16);

impl Weight {
    /// Fault while down.
    pub const FAULT: Self = Self(0);

    /// `None` outside -253..=253.
    pub const fn new(weight: i16) -> Option<Self> {
        if weight >= -253 && weight <= 253 {
            Some(Self(weight))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> i16 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_never_reach_zero_or_the_owner() {
        assert_eq!(Priority::contender(-7).get(), 1);
        assert_eq!(Priority::contender(255).get(), 254);
        assert_eq!(Priority::contender(100), Priority::DEFAULT);
    }

    #[test]
    fn a_claim_survives_the_wire() {
        for octet in 0..=255 {
            assert_eq!(Claim::from_wire(octet).wire(), octet);
        }
    }
}
