//! What may be asked from outside the protocol.

use serde::{Deserialize, Serialize};

/// Why the daemon is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StopKind {
    /// Release, remove addresses, notify STOP.
    Polite,
}
