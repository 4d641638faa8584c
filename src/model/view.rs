//! Read-only pictures of the running state for status and metrics.
//!
//! The engine fills a [`Snapshot`] that the asker brought. Times are given as ages and remaining
//! lengths in seconds, because an [`crate::model::time::Instant`] means nothing outside.

use crate::model::ids::Family;
use crate::model::notice::Phase;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Everything `status` shows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this form; grows when a field changes its meaning.
    pub form: u32,
    /// Virtual routers in the order of the file.
    pub instances: Vec<RouterView>,
    /// Sync groups in the order of the file.
    #[serde(default)]
    pub groups: Vec<GroupView>,
    /// Track scripts in the order of the file.
    pub scripts: Vec<CheckView>,
    /// Trackers that other programs feed, scripts before numbers, in the order of the file.
    #[serde(default)]
    pub externals: Vec<ExternalView>,
    /// Interfaces in use.
    pub interfaces: Vec<LinkView>,
    /// Addresses that are there whoever is MASTER.
    #[serde(default)]
    pub statics: Vec<AddressView>,
    /// The loop.
    pub engine: EngineView,
    /// Warnings that stand: keywords not acted on, scripts that cannot be used.
    pub warnings: Vec<String>,
    /// Routers heard for VRIDs that nobody here has.
    #[serde(default)]
    pub strangers: Vec<NeighbourView>,
}

/// One virtual router.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RouterView {
    /// Name.
    pub name: Arc<str>,
    /// Interface.
    pub interface: Arc<str>,
    /// VRID.
    pub vrid: u8,
    /// Family.
    pub family: Family,
    /// Protocol version.
    pub version: u8,
    /// State in keepalived's words.
    pub state: String,
    /// Base priority.
    pub base_priority: u8,
    /// Effective priority.
    pub priority: u8,
    /// Sum before clamping.
    pub priority_sum: i32,
    /// Seconds in this state.
    pub since_s: f64,
    /// Cause of the last transition: code.
    pub cause: String,
    /// Cause of the last transition: sentence.
    pub detail: String,
    /// Why it cannot run, if it cannot.
    pub faults: Vec<String>,
    /// Seconds until the running timer ends.
    pub timer_s: Option<f64>,
    /// Source of our adverts.
    pub source: Option<IpAddr>,
    /// Own interval in seconds.
    pub advert_interval_s: f64,
    /// Interval learned from the Active router, in seconds.
    pub learned_interval_s: f64,
    /// Addresses and whether they are installed.
    pub addresses: Vec<AddressView>,
    /// What it tracks.
    pub tracks: Vec<TrackView>,
    /// Routers heard for this VRID.
    pub peers: Vec<PeerView>,
    /// What would come of each tracker failing now, the others staying as they are.
    #[serde(default)]
    pub what_if: Vec<WhatIf>,
    /// What an operator asked of it, if that is in force.
    #[serde(default)]
    pub intent: Option<IntentView>,
    /// Flap damping, where it is asked for.
    #[serde(default)]
    pub damping: Option<DampingView>,
    /// What its trackers' failure comes to under `all_failed hold`, in a sentence; `None` if none failed.
    #[serde(default)]
    pub degraded: Option<String>,
    /// Counters.
    pub counters: Counters,
}

/// How far a router's flapping has come.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DampingView {
    /// The penalty now; each move that a tracker causes adds 1.
    pub penalty: f64,
    /// Rises are held back above this.
    pub limit: u32,
    /// They are now.
    pub held: bool,
    /// It is in FAULT for this alone.
    pub fault: bool,
    /// Seconds until they are free again.
    pub free_s: Option<f64>,
}

/// What would come of one tracker failing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WhatIf {
    /// The tracker.
    pub tracker: Arc<str>,
    /// `script`, `interface`, `file` or `process`.
    pub kind: String,
    /// How many failed runs that takes, if a window or its role decides: `3 of 5 runs`.
    #[serde(default)]
    pub after: Option<String>,
    /// It has failed already: this is how things stand.
    pub failing: bool,
    /// Effective priority then.
    pub priority: u8,
    /// The instance would be in FAULT.
    pub fault: bool,
    /// Who would be MASTER by what was last heard: an address, or nobody that is known.
    pub winner: Option<IpAddr>,
    /// We would.
    pub ours: bool,
    /// The winner's priority.
    pub winner_priority: Option<u8>,
    /// Seconds since the winner was heard, if it is another router.
    pub heard_ago_s: Option<f64>,
    /// The failure takes priority or service away from a router that serves, and yet nobody that was
    /// heard would take over.
    pub stuck: bool,
}

/// An operator's drain or takeover.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IntentView {
    /// `drain` or `takeover`.
    pub what: String,
    /// Seconds since it was asked.
    pub since_s: f64,
    /// Seconds until it ends by itself.
    pub left_s: Option<f64>,
    /// The user who asked.
    pub uid: u32,
    /// The reason that was given.
    pub reason: Option<Arc<str>>,
}

/// One virtual address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressView {
    /// Address with prefix.
    pub address: String,
    /// Interface it belongs on.
    pub interface: Arc<str>,
    /// In the kernel, as far as we know.
    pub installed: bool,
    /// Carried in adverts.
    pub advertised: bool,
}

/// A tracked thing as one router sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrackView {
    /// Name of the script, interface, file or process.
    pub script: Arc<str>,
    /// `script`, `interface`, `file`, `process` or `bfd`.
    #[serde(default)]
    pub kind: String,
    /// `pending`, `up`, `down`, `unusable`, `not watched`, or the number in a file.
    #[serde(default)]
    pub state: String,
    /// Credit or progress of a script: `up 3/5`.
    #[serde(default)]
    pub counter: String,
    /// Weight in force here.
    pub weight: i16,
    /// Reversed.
    pub reverse: bool,
    /// What it adds now.
    pub adds: i16,
    /// Whether it holds the router in FAULT.
    pub fault: bool,
    /// Whether it has failed and is borne with priority 1 (`all_failed hold`).
    #[serde(default)]
    pub degrades: bool,
}

/// Another router for the same VRID.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Its address.
    pub address: IpAddr,
    /// Last priority heard.
    pub priority: u8,
    /// Seconds since then.
    pub ago_s: f64,
    /// Its interval in seconds.
    pub interval_s: f64,
    /// Valid adverts heard.
    pub adverts: u64,
    /// `pseudo-header` or `message`; version 3 over IPv4 only.
    pub checksum: Option<String>,
    /// Adverts whose checksum had the pseudo-header.
    pub checksum_pseudo: u64,
    /// Adverts whose checksum covered the message alone.
    pub checksum_message: u64,
    /// Its address list is not ours.
    pub address_mismatch: bool,
}

/// One sync group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// Name.
    pub name: Arc<str>,
    /// State in keepalived's words.
    pub state: String,
    /// Seconds since a member last changed its state.
    pub since_s: f64,
    /// Names of the members in order.
    pub members: Vec<Arc<str>>,
}

/// One track script.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CheckView {
    /// Name.
    pub name: Arc<str>,
    /// `pending`, `up`, `down`, `unused` or `unusable`.
    pub state: String,
    /// Credit or progress: `up 3/5`, `down 1/2`.
    pub counter: String,
    /// How the last run ended.
    pub last: Option<String>,
    /// Seconds since the last run ended.
    pub last_ago_s: Option<f64>,
    /// Runs started.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Tail of stderr of the last run that failed.
    pub stderr: String,
    /// Why it cannot be used.
    pub unusable: Option<Arc<str>>,
}

/// One tracker that other programs feed (`external`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExternalView {
    /// Name.
    pub name: Arc<str>,
    /// `script` or `file`.
    pub kind: String,
    /// The last report: `up`, `down` or a number; `None` if nobody has made one.
    pub value: Option<String>,
    /// What it counts as: `pending`, `up`, `down` or a number.
    pub state: String,
    /// Credit or progress of a script: `up 3/5`.
    pub counter: String,
    /// The user who made the last report.
    pub uid: Option<u32>,
    /// Seconds since then.
    pub ago_s: Option<f64>,
    /// Seconds until its lease ends; `None` if it has none, or none any more.
    pub left_s: Option<f64>,
    /// Its lease ran out.
    pub lease_over: bool,
    /// Seconds that a report counts which does not say for how long.
    pub lease_s: Option<f64>,
    /// Who may report, besides root.
    pub user: Option<Arc<str>>,
    /// Whether an instance tracks it.
    pub used: bool,
}

/// One interface.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkView {
    /// Name.
    pub name: Arc<str>,
    /// Index, if it exists.
    pub index: Option<u32>,
    /// Up and running, as it counts.
    pub up: bool,
    /// It is otherwise already, which does not count yet (`interface_up_down_delays`).
    #[serde(default)]
    pub turning: Option<TurnView>,
    /// Its link is polled.
    #[serde(default)]
    pub polled: bool,
    /// Packets refused before a virtual router could be found, by reason.
    #[serde(with = "by_name")]
    pub rejected: Vec<(String, u64)>,
}

/// A new state of an interface that has to last before it counts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TurnView {
    /// The new state.
    pub up: bool,
    /// Seconds it has lasted.
    pub for_s: f64,
    /// Seconds it has to last.
    pub counts_after_s: f64,
}

/// `down for 0.4 s, counts after 2 s`.
impl fmt::Display for TurnView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.up { "up" } else { "down" };
        let after = self.counts_after_s;
        write!(f, "{word} for {:.1} s, counts after {after} s", self.for_s)
    }
}

/// The loop's own health.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EngineView {
    /// Times the loop woke.
    pub wakes: u64,
    /// Latest wake after a deadline, in seconds.
    pub worst_late_s: f64,
    /// Messages to the service thread that were dropped (log lines).
    pub dropped_notices: u64,
    /// Frames the kernel did not take.
    pub send_errors: u64,
    /// Real-time priority in force.
    pub realtime: bool,
    /// Memory is locked.
    pub locked: bool,
}

/// Counters of one virtual router (names after keepalived's statistics).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Valid adverts heard.
    pub advert_rcvd: u64,
    /// Adverts sent.
    pub advert_sent: u64,
    /// Times it became Active.
    pub become_master: u64,
    /// Times it left Active.
    pub release_master: u64,
    /// Priority 0 heard.
    pub pri_zero_rcvd: u64,
    /// Priority 0 sent.
    pub pri_zero_sent: u64,
    /// Adverts with lower priority heard while Active.
    pub lower_rcvd: u64,
    /// Of those, left unanswered because one answer per interval is enough.
    pub lower_unanswered: u64,
    /// Of those, answered, and the addresses announced again.
    pub reasserted: u64,
    /// Fast tracked handovers offered.
    pub handovers: u64,
    /// Adverts whose address list is not ours.
    pub addr_list_mismatch: u64,
    /// Adverts over IPv6 whose first address is not link-local.
    pub no_link_local: u64,
    /// Adverts whose checksum had the other form than configured.
    pub checksum_other_form: u64,
    /// Addresses removed by someone else and put back.
    pub restored: u64,
    /// Own adverts skipped because the loop was late.
    pub skipped: u64,
    /// Announcements sent (GARP and NA).
    pub announced: u64,
    /// Refused adverts by reason.
    #[serde(with = "by_name")]
    pub rejected: Vec<(String, u64)>,
}

/// One router heard for a VRID, ours or somebody else's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NeighbourView {
    /// On which interface.
    pub interface: Arc<str>,
    /// VRID.
    pub vrid: u8,
    /// Family.
    pub family: Family,
    /// Its address.
    pub source: IpAddr,
    /// Version of the protocol.
    pub version: u8,
    /// Last priority heard.
    pub priority: u8,
    /// Its interval in seconds.
    pub interval_s: f64,
    /// Seconds since it was heard.
    pub ago_s: f64,
    /// Adverts heard.
    pub adverts: u64,
    /// The addresses it advertises; empty if they are not known.
    pub addresses: Vec<String>,
    /// Our instance with this VRID; `None` if nobody here has it.
    pub instance: Option<Arc<str>>,
}

/// What an empty snapshot is filled with first.
pub const FORM: u32 = 1;

/// Named counts are an object outside: `{"checksum": 3}`, in their order.
mod by_name {
    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(
        counts: &[(String, u64)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(counts.iter().map(|(name, count)| (name, count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(String, u64)>, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Vec<(String, u64)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and counts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut counts = Vec::new();
                while let Some(count) = map.next_entry()? {
                    counts.push(count);
                }
                Ok(counts)
            }
        }
        from.deserialize_map(Counts)
    }
}

impl RouterView {
    /// Whether it serves.
    pub fn is_active(&self) -> bool {
        self.state == crate::model::notice::keepalived_word(Phase::Active)
    }
}
