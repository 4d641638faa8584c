//! What a configuration may ask for beyond keepalived to keep a flapping service from moving addresses.
//!
//! Nothing here is on by default.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the results of a script are judged where `rise` and `fall` alone are not enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// `window`: falls by a share of the last results instead of by `fall` in a row.
    pub window: Option<Window>,
    /// `rise_when_backup`: in place of `rise` while no router that tracks it is MASTER.
    pub rise_when_backup: Option<u32>,
    /// `fall_when_master`: in place of `fall` while a router that tracks it is MASTER.
    pub fall_when_master: Option<u32>,
}

impl Thresholds {
    /// Whether the role of the routers that track it matters.
    pub const fn by_role(&self) -> bool {
        self.rise_when_backup.is_some() || self.fall_when_master.is_some()
    }

    /// `rise` in force in a role.
    pub fn rise(&self, rise: u32, master: bool) -> u32 {
        self.rise_when_backup.filter(|_| !master).unwrap_or(rise)
    }

    /// How many failed runs take it down, where `fall` does not say: `3 of 5 runs`.
    pub fn falls_after(&self, master: bool) -> Option<String> {
        match (self.window, self.fall_when_master.filter(|_| master)) {
            (Some(Window { failures, of }), _) => Some(format!("{failures} of {of} runs")),
            (None, Some(1)) => Some("1 run".to_owned()),
            (None, Some(times)) => Some(format!("{times} runs in a row")),
            (None, None) => None,
        }
    }

    /// `fall` in force in a role.
    pub fn fall(&self, fall: u32, master: bool) -> u32 {
        self.fall_when_master.filter(|_| master).unwrap_or(fall)
    }
}

/// Down when at least so many of the last results failed, in a row or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// So many failures, 1 to `of`.
    pub failures: u8,
    /// Of so many results, 2 to 64.
    pub of: u8,
}

impl Window {
    /// The most results that are looked back on.
    pub const MOST: u8 = 64;
}

/// Flap damping: a router that trackers moved too often stays out of the way for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DampingSettings {
    /// In so long a penalty halves.
    pub half_life: Duration,
    /// Above this penalty rises are held back; each move adds 1.
    pub suppress: u32,
    /// Below this penalty they are free again; at most `suppress`.
    pub reuse: u32,
}

impl DampingSettings {
    /// The largest `suppress`.
    pub const MOST: u32 = 1000;
    /// The longest `half_life`.
    pub const LONGEST: Duration = Duration::from_secs(86_400);
}

impl Default for DampingSettings {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(60),
            suppress: 3,
            reuse: 1,
        }
    }
}
