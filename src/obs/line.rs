//! One log event as plain values, and its way into and out of `tracing`.

use crate::model::notice::{Level, Notice, What};
use serde::Serialize;
use std::fmt;
use tracing::field::{Field, Visit};

/// A log event. Field names are stable: they are the keys of the JSON form and, with the prefix
/// `VRRP_`, the journal's field names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Line {
    /// The text, with the instance in front of it.
    pub(super) message: String,
    /// The kind of event as one stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    /// The instance concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    /// State before a transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// State after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// Effective priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<u64>,
    /// Effective priority before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority_was: Option<u64>,
    /// Cause of a transition as one stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    /// The other router concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<String>,
    /// The script concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) script: Option<String>,
    /// Number of the transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
}

impl Line {
    /// A line without fields.
    pub(super) fn text(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }

    /// A notice with whatever fields it has.
    pub(super) fn of(notice: &Notice) -> Self {
        let mut line = Self::text(notice.to_string());
        line.event = Some(notice.what.word().to_owned());
        line.instance = notice.router.as_deref().map(str::to_owned);
        match &notice.what {
            What::Entering {
                from,
                to,
                priority,
                why,
                seq,
            } => {
                line.from = Some(from.to_string());
                line.to = Some(to.to_string());
                line.priority = Some((*priority).into());
                line.cause = Some(why.code().to_owned());
                line.peer = why.peer().map(|peer| peer.to_string());
                line.seq = Some(*seq);
            }
            What::GroupEntering {
                from, to, why, seq, ..
            } => {
                line.from = Some(from.to_string());
                line.to = Some(to.to_string());
                line.cause = Some(why.code().to_owned());
                line.seq = Some(*seq);
            }
            What::Priority { from, to, by, .. } => {
                line.priority = Some((*to).into());
                line.priority_was = Some((*from).into());
                line.script = by.as_ref().map(|by| by.name.to_string());
            }
            What::Check { name, .. } | What::CheckExit { name, .. } | What::CheckBusy { name } => {
                line.script = Some(name.to_string());
            }
            What::LeaseOver { name, .. } => line.script = Some(name.to_string()),
            What::Degraded { why, .. } => line.cause = Some(why.code().to_owned()),
            What::NoFailover { tracker, peer, .. } => {
                line.script = Some(tracker.to_string());
                line.peer = Some(peer.to_string());
            }
            What::LateAdvert { from, .. }
            | What::LowerAdvert { from, .. }
            | What::SameAddress { from }
            | What::Rejected { from, .. }
            | What::UnknownVrid { from, .. }
            | What::AddressMismatch { from, .. }
            | What::ChecksumForm { from, .. }
            | What::NoLinkLocal { from }
            | What::Interval { from, .. } => line.peer = Some(from.to_string()),
            What::Restored { .. }
            | What::Refused { .. }
            | What::Scrubbed { .. }
            | What::Stalled { .. }
            | What::Reloaded { .. }
            | What::Text { .. }
            | What::GroupSync { .. }
            | What::Damped { .. }
            | What::DampingOver
            | What::HandoverOff { .. } => {}
        }
        line
    }

    /// Fires the line as a `tracing` event. Absent fields are not recorded.
    pub(super) fn emit(&self, level: tracing::Level) {
        // The level of an event is part of its call site, so each level has its own.
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "mainstay",
                    $level,
                    event = self.event.as_deref(),
                    instance = self.instance.as_deref(),
                    from = self.from.as_deref(),
                    to = self.to.as_deref(),
                    priority = self.priority,
                    priority_was = self.priority_was,
                    cause = self.cause.as_deref(),
                    peer = self.peer.as_deref(),
                    script = self.script.as_deref(),
                    seq = self.seq,
                    "{}",
                    self.message
                )
            };
        }
        match level {
            tracing::Level::ERROR => at!(tracing::Level::ERROR),
            tracing::Level::WARN => at!(tracing::Level::WARN),
            tracing::Level::INFO => at!(tracing::Level::INFO),
            tracing::Level::DEBUG | tracing::Level::TRACE => at!(tracing::Level::DEBUG),
        }
    }
}

/// Reads a line back out of any event; fields without a place of their own join the message.
impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let owned = Some(value.to_owned());
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "event" => self.event = owned,
            "instance" => self.instance = owned,
            "from" => self.from = owned,
            "to" => self.to = owned,
            "cause" => self.cause = owned,
            "peer" => self.peer = owned,
            "script" => self.script = owned,
            name => self.message += &format!(" {name}={value}"),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "priority" => self.priority = Some(value),
            "priority_was" => self.priority_was = Some(value),
            "seq" => self.seq = Some(value),
            name => self.message += &format!(" {name}={value}"),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A notice's level in `tracing`'s words.
pub(super) const fn level(notice: Level) -> tracing::Level {
    match notice {
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::notice::{Mover, Phase, Why};
    use std::net::Ipv4Addr;

    #[test]
    fn a_transition_carries_cause_states_priority_peer_and_number() {
        let line = Line::of(&Notice {
            router: Some("VI_1".into()),
            what: What::Entering {
                from: Phase::Backup,
                to: Phase::Active,
                priority: 101,
                why: Why::Released {
                    by: Ipv4Addr::new(10, 0, 0, 2).into(),
                },
                seq: 7,
            },
        });
        assert!(
            line.message.starts_with("(VI_1) Entering MASTER STATE"),
            "keepalived's phrase stays greppable: {}",
            line.message
        );
        assert_eq!(line.instance.as_deref(), Some("VI_1"));
        assert_eq!(line.from.as_deref(), Some("BACKUP"));
        assert_eq!(line.to.as_deref(), Some("MASTER"));
        assert_eq!(line.priority, Some(101));
        assert_eq!(line.cause.as_deref(), Some("prio_zero_received"));
        assert_eq!(line.peer.as_deref(), Some("10.0.0.2"));
        assert_eq!(line.seq, Some(7));
    }

    #[test]
    fn a_priority_change_names_both_numbers_and_the_script() {
        let line = Line::of(&Notice {
            router: Some("VI_1".into()),
            what: What::Priority {
                from: 103,
                to: 101,
                sum: 101,
                by: Some(Mover {
                    kind: "script",
                    name: "chk".into(),
                }),
            },
        });
        assert_eq!((line.priority_was, line.priority), (Some(103), Some(101)));
        assert_eq!(line.script.as_deref(), Some("chk"));
        assert_eq!(line.from, None, "from and to are states, never numbers");
    }
}
