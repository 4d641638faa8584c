//! What may be asked from outside the protocol, and what comes of it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Why the daemon is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StopKind {
    /// Release, remove addresses, notify STOP.
    Polite,
}

/// Something an operator asks of one instance; a member of a sync group stands for its group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Comes back with the outcome.
    pub id: u64,
    /// Name of the instance.
    pub instance: Arc<str>,
    /// What is asked.
    pub what: Intent,
}

/// What is asked of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Give the addresses away and serve again only if nobody else does.
    Drain {
        /// Leave even if nobody takes over. Resumed: it did, so it stays out.
        force: bool,
        /// The intent was written before a restart: take it up without a handover.
        resumed: bool,
    },
    /// Serve now, whatever the weighted trackers say.
    Takeover {
        /// As for a drain.
        resumed: bool,
    },
    /// End a drain or a takeover.
    Clear,
}

impl Intent {
    /// Whether it was written down before a restart or a reload.
    pub const fn is_resumed(self) -> bool {
        match self {
            Self::Drain { resumed, .. } | Self::Takeover { resumed } => resumed,
            Self::Clear => false,
        }
    }
}

/// What came of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; who serves now, if it is known.
    Done {
        /// The successor.
        successor: Option<IpAddr>,
    },
    /// It left by force: nobody took over, and nobody serves.
    LeftAlone,
    /// Everything was put back: nobody took over.
    NobodyTookOver,
    /// Nothing was changed.
    Refused {
        /// Why, in a sentence.
        why: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done {
                successor: Some(addr),
            } => write!(f, "done: {addr} is MASTER"),
            Self::Done { successor: None } => f.write_str("done"),
            Self::LeftAlone => f.write_str("done: nobody took over, so nobody serves"),
            Self::NobodyTookOver => f.write_str(
                "nobody took over; everything was put back (use --force to leave anyway)",
            ),
            Self::Refused { why } => write!(f, "refused: {why}"),
        }
    }
}
