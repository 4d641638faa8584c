//! What the methods answer with: plain data with the names that stand in the description.

use crate::model::event::Event;
use crate::model::view::{ExternalView, NeighbourView, Snapshot};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// Parameters of the reply to `Status`.
#[derive(Serialize, Deserialize)]
pub struct StatusReply {
    /// The running state.
    pub snapshot: Snapshot,
}

/// Parameters of the reply to `Events`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EventsReply {
    /// The oldest number kept.
    pub first: u64,
    /// The newest number.
    pub last: u64,
    /// So many events after `since` are gone.
    pub lost: u64,
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
}

/// Parameters of the reply to `Neighbours`.
#[derive(Serialize, Deserialize)]
pub struct NeighboursReply {
    /// Every router heard.
    pub neighbours: Vec<NeighbourView>,
}

/// Parameters of the reply to `Trackers`.
#[derive(Serialize, Deserialize)]
pub struct TrackersReply {
    /// Every external tracker.
    pub trackers: Vec<ExternalView>,
}

/// Parameters of the reply to `SetTracker`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FedReply {
    /// The tracker.
    pub name: Arc<str>,
    /// What was reported.
    pub value: String,
    /// What it counts as now: `up`, `down` or a number.
    pub state: String,
    /// Credit or progress of a script: `up 3/5`.
    pub counter: String,
    /// Something is other than after the report before it.
    pub changed: bool,
    /// It counts for so long.
    pub left_s: Option<f64>,
    /// What did not go as it should though the report counts.
    pub remark: Option<String>,
}

/// One thing that a reload changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// `instance`, `script`, `file`, `process` or `group`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What differs, a sentence each.
    pub differs: Vec<String>,
}

/// What a reload changes, or would change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PlanView {
    /// New.
    pub created: Vec<Change>,
    /// In both, and different.
    pub changed: Vec<Change>,
    /// Gone.
    pub removed: Vec<Change>,
    /// So many stay as they are.
    pub untouched: usize,
    /// What differs in `global_defs`.
    pub global: Vec<String>,
    /// What an operator should know before, such as addresses that a peer may refuse.
    pub advice: Vec<String>,
}

impl PlanView {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.changed.is_empty()
            && self.removed.is_empty()
            && self.global.is_empty()
    }
}

/// `1 created, 0 changed, 0 removed, 3 untouched`.
impl std::fmt::Display for PlanView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} created, {} changed, {} removed, {} untouched",
            self.created.len(),
            self.changed.len(),
            self.removed.len(),
            self.untouched
        )?;
        if self.global.is_empty() {
            Ok(())
        } else {
            f.write_str(", global_defs changed")
        }
    }
}

/// Parameters of the reply to `Reload`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReloadReply {
    /// The plan is in force.
    pub applied: bool,
    /// What changed, or would.
    pub plan: PlanView,
    /// What is to be said about the file.
    pub warnings: Vec<String>,
}

/// What came of an order for one instance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ordered {
    /// The instance; a member of a sync group stands for its group.
    pub instance: Arc<str>,
    /// `done`, `nobody_took_over`, `refused` or `no_answer`.
    pub outcome: String,
    /// Who is MASTER now, if it is known.
    pub successor: Option<IpAddr>,
    /// From the order to the outcome.
    pub took_s: f64,
    /// A sentence.
    pub text: String,
}

impl Ordered {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }
}

/// Parameters of the reply to `Drain`, `Undrain` and `Takeover`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OrdersReply {
    /// One for each instance or group that was asked.
    pub ordered: Vec<Ordered>,
}

/// Parameters of the reply to `Log`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogReply {
    /// The level in force.
    pub level: String,
    /// For so long.
    pub until_s: Option<f64>,
}
