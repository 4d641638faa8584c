//! Numbered records of what happened: the journal's entries.

use crate::model::notice::{Heard, Level, Notice, Phase, What, Why, keepalived_word};
use crate::model::seen::Verdict;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Version of the form of an [`Event`]; grows when a field changes its meaning.
pub const EVENT_FORM: u32 = 1;

/// Longest text of an event, in bytes; what is longer is cut.
const LONGEST_TEXT: usize = 1024;
/// Longest tail of stderr kept in an event, in bytes.
const LONGEST_STDERR: usize = 512;

/// One record of the journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Version of this form.
    pub form: u32,
    /// Its number; numbers only grow, also over a restart.
    pub seq: u64,
    /// Wall clock in microseconds since 1970.
    pub wall_us: u64,
    /// Monotonic clock in microseconds since an arbitrary point of this boot.
    pub mono_us: u64,
    /// What kind of thing happened, as one stable word.
    pub kind: Cow<'static, str>,
    /// The instance concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Arc<str>>,
    /// Cause of a transition, as one stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cow<'static, str>>,
    /// State before a transition.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "by_word")]
    pub from: Option<Phase>,
    /// State after it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "by_word")]
    pub to: Option<Phase>,
    /// Effective priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Numbers, names and words behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// The whole in a sentence.
    pub text: Arc<str>,
}

/// What an event is based on; absent is what has no meaning for it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The other router concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_priority: Option<u8>,
    /// Since it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_ago_s: Option<f64>,
    /// Adverts that should have come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u32>,
    /// Our effective priority at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub our_priority: Option<u8>,
    /// Effective priority before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_was: Option<u8>,
    /// Sum of base and weights before clamping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<i32>,
    /// The tracker concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracker: Option<Arc<str>>,
    /// Counter of the tracker: `up 3/5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<Arc<str>>,
    /// How it ended or came out, as one word: `exited`, `timed_out`, `refused` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Cow<'static, str>>,
    /// Exit status of a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Error number of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Tail of what a program wrote to stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Arc<str>>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Arc<str>>,
    /// The sync group concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<str>>,
    /// The member that moved first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Arc<str>>,
    /// The interface concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Arc<str>>,
    /// The virtual address concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A VRID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrid: Option<u8>,
    /// Penalty of flap damping in thousandths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty_milli: Option<u32>,
    /// A count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The number in a tracked file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i32>,
    /// A length of time: how late, how long, an interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_s: Option<f64>,
    /// The user who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The reason that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Until when it holds, wall clock in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// Like events before this one that were counted and not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
}

impl Event {
    /// An event without a number and time yet.
    pub fn new(kind: &'static str, text: &str) -> Self {
        Self {
            form: EVENT_FORM,
            seq: 0,
            wall_us: 0,
            mono_us: 0,
            kind: Cow::Borrowed(kind),
            instance: None,
            cause: None,
            from: None,
            to: None,
            priority: None,
            evidence: None,
            text: Arc::from(cut(text, LONGEST_TEXT)),
        }
    }

    /// The same of an instance.
    #[must_use]
    pub fn of_instance(mut self, name: &Arc<str>) -> Self {
        self.instance = Some(name.clone());
        self
    }

    /// The same with evidence.
    #[must_use]
    pub fn with(mut self, evidence: Evidence) -> Self {
        self.evidence = (evidence != Evidence::default()).then(|| Box::new(evidence));
        self
    }

    /// A notice as an event; `None` for what is not worth keeping.
    pub fn of(notice: &Notice) -> Option<Self> {
        if let What::Text { level, .. } = &notice.what
            && *level != Level::Warn
        {
            return None;
        }
        let mut event =
            Self::new(notice.what.word(), &notice.what.to_string()).with(of_what(&notice.what));
        event.instance.clone_from(&notice.router);
        if let What::Entering {
            from,
            to,
            priority,
            why,
            ..
        } = &notice.what
        {
            event.cause = Some(Cow::Borrowed(why.code()));
            (event.from, event.to) = (Some(*from), Some(*to));
            event.priority = Some(*priority);
        } else if let What::GroupEntering { from, to, why, .. } = &notice.what {
            event.cause = Some(Cow::Borrowed(why.code()));
            (event.from, event.to) = (Some(*from), Some(*to));
        } else if let What::Degraded { why, .. } = &notice.what {
            event.cause = Some(Cow::Borrowed(why.code()));
        } else if let What::Priority { to, .. } = &notice.what {
            event.priority = Some(*to);
        }
        Some(event)
    }

    /// Whether the like of it may come in numbers without end, so that repetitions are only counted.
    pub fn repeats(&self) -> bool {
        !matches!(
            &*self.kind,
            "transition"
                | "group_transition"
                | "priority"
                | "script_up"
                | "script_down"
                | "degraded"
                | "reload"
                | "order"
                | "notify"
                | "start"
                | "stop"
        )
    }
}

/// A text, cut at the front so that at most `longest` bytes stay: the end says most.
pub fn tail(text: &str, longest: usize) -> &str {
    let mut from = text.len().saturating_sub(longest);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn cut(text: &str, longest: usize) -> &str {
    let mut to = text.len().min(longest);
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    &text[..to]
}

impl Evidence {
    /// Evidence with what a program wrote to stderr, cut to what an event keeps.
    #[must_use]
    pub fn and_stderr(mut self, stderr: &str) -> Self {
        let stderr = stderr.trim();
        if !stderr.is_empty() {
            self.stderr = Some(Arc::from(tail(stderr, LONGEST_STDERR)));
        }
        self
    }

    /// How a run ended.
    #[must_use]
    pub fn and_verdict(mut self, verdict: Verdict) -> Self {
        self.outcome = Some(Cow::Borrowed(match verdict {
            Verdict::Pass => "succeeded",
            Verdict::Fail(_) => "exited",
            Verdict::Signalled(_) => "signalled",
            Verdict::TimedOut => "timed_out",
            Verdict::NotStarted(_) => "not_started",
            Verdict::Lost => "lost",
            Verdict::Reported { up: true } => "reported_up",
            Verdict::Reported { up: false } => "reported_down",
            Verdict::LeaseOver => "lease_over",
        }));
        match verdict {
            Verdict::Pass => self.exit = Some(0),
            Verdict::Fail(status) => self.exit = Some(status),
            Verdict::Signalled(signal) => self.signal = Some(signal),
            Verdict::NotStarted(errno) => self.errno = Some(errno),
            Verdict::TimedOut | Verdict::Lost | Verdict::Reported { .. } | Verdict::LeaseOver => {}
        }
        self
    }

    fn and_heard(mut self, heard: &Heard) -> Self {
        self.peer = Some(heard.from);
        self.peer_priority = Some(heard.priority);
        self.heard_ago_s = Some(heard.ago.as_secs_f64());
        self
    }
}

fn seconds(length: Duration) -> Option<f64> {
    Some(length.as_secs_f64())
}

/// What a notice is based on.
fn of_what(what: &What) -> Evidence {
    let mut e = Evidence::default();
    match what {
        What::Entering { why, .. } => return of_why(why),
        What::GroupEntering { group, why, .. } => {
            e = of_why(why);
            e.group = Some(group.clone());
        }
        What::GroupSync { group, to } => {
            e.group = Some(group.clone());
            e.outcome = Some(Cow::Borrowed(keepalived_word(*to)));
        }
        What::Priority { from, sum, by, .. } => {
            e.priority_was = Some(*from);
            e.sum = Some(*sum);
            e.tracker = by.as_ref().map(|by| by.name.clone());
        }
        What::Check {
            name,
            verdict,
            stderr,
            ..
        } => {
            e.tracker = Some(name.clone());
            return e.and_verdict(*verdict).and_stderr(stderr);
        }
        What::CheckExit {
            name,
            verdict,
            counter,
        } => {
            e.tracker = Some(name.clone());
            e.counter = Some(counter.clone());
            return e.and_verdict(*verdict);
        }
        What::CheckBusy { name } => e.tracker = Some(name.clone()),
        What::LeaseOver { name, lease, by } => {
            e.tracker = Some(name.clone());
            e.length_s = seconds(*lease);
            e.uid = Some(*by);
        }
        What::Degraded { why, how } => {
            e = of_why(why);
            e.reason = Some(Arc::from(why.to_string()));
            e.outcome = Some(Cow::Borrowed(how.word()));
        }
        What::LowerAdvert { from, theirs, ours } => {
            e.peer = Some(*from);
            e.peer_priority = Some(*theirs);
            e.our_priority = Some(*ours);
        }
        What::SameAddress { from }
        | What::ChecksumForm { from, .. }
        | What::HandoverOff { from }
        | What::NoLinkLocal { from } => e.peer = Some(*from),
        What::Rejected {
            from,
            reason,
            silent,
        } => {
            e.peer = Some(*from);
            e.reason = Some(reason.clone());
            e.repeated = (*silent > 0).then_some(*silent);
        }
        What::UnknownVrid { vrid, from, .. } => {
            e.vrid = Some(*vrid);
            e.peer = Some(*from);
        }
        What::LateAdvert {
            from,
            gap,
            missed,
            silent,
        } => {
            e.peer = Some(*from);
            e.length_s = seconds(*gap);
            e.missed = Some(*missed);
            e.repeated = (*silent > 0).then_some(*silent);
        }
        What::NoFailover {
            tracker,
            to,
            peer,
            theirs,
            ago,
            from,
        } => {
            e.tracker = Some(tracker.clone());
            e.priority_was = Some(*from);
            e.our_priority = Some(*to);
            e.peer = Some(*peer);
            e.peer_priority = Some(*theirs);
            e.heard_ago_s = seconds(*ago);
        }
        What::AddressMismatch { from, difference } => {
            e.peer = Some(*from);
            e.reason = Some(difference.clone());
        }
        What::Interval { from, theirs, .. } => {
            e.peer = Some(*from);
            e.length_s = seconds(*theirs);
        }
        What::Restored { cidr, times } => {
            e.address = Some(cidr.to_string());
            e.count = Some(u64::from(*times));
        }
        What::Refused { cidr, errno } => {
            e.address = Some(cidr.to_string());
            e.errno = Some(*errno);
        }
        What::Scrubbed { cidr, link } => {
            e.address = Some(cidr.to_string());
            e.interface = Some(link.clone());
        }
        What::Damped {
            penalty,
            limit: _,
            priority,
            length,
        } => {
            e.our_priority = *priority;
            e.penalty_milli = Some(*penalty);
            e.length_s = seconds(*length);
        }
        What::Stalled { late } => e.length_s = seconds(*late),
        What::Reloaded { how } => e.outcome = Some(Cow::Borrowed(how)),
        What::DampingOver | What::Text { .. } => {}
    }
    e
}

/// What a transition is based on.
fn of_why(why: &Why) -> Evidence {
    let mut e = Evidence::default();
    match why {
        Why::Silence { missed, last } => {
            e.missed = Some(*missed);
            if let Some(heard) = last {
                return e.and_heard(heard);
            }
        }
        Why::Released { by } => {
            e.peer = Some(*by);
            e.peer_priority = Some(0);
        }
        Why::Preempt { lower, ours } => {
            e.our_priority = Some(*ours);
            return e.and_heard(lower);
        }
        Why::Outranked { by, theirs, ours } => {
            e.peer = Some(*by);
            e.peer_priority = Some(*theirs);
            e.our_priority = Some(*ours);
        }
        Why::TieLost { to, priority } => {
            e.peer = Some(*to);
            e.peer_priority = Some(*priority);
            e.our_priority = Some(*priority);
        }
        Why::CheckFailed { check, verdict } => {
            e.tracker = Some(check.clone());
            if let Some(verdict) = verdict {
                return e.and_verdict(*verdict);
            }
        }
        Why::CheckUnusable { check, reason } => {
            e.tracker = Some(check.clone());
            e.reason = Some(reason.clone());
        }
        Why::CheckPending { check } => e.tracker = Some(check.clone()),
        Why::LinkDown { link }
        | Why::LinkAbsent { link }
        | Why::NoAddress { link }
        | Why::NoSocket { link }
        | Why::LinkUp { link } => e.interface = Some(link.clone()),
        Why::FileFault { file, value } => {
            e.tracker = Some(file.clone());
            e.value = Some(*value);
        }
        Why::ProcessFault { process } => e.tracker = Some(process.clone()),
        Why::GaveWay {
            tracker,
            because,
            to,
        } => {
            e.tracker.clone_from(tracker);
            e.reason = Some(because.clone());
            e.peer = Some(*to);
        }
        Why::GroupMember { group, member } => {
            e.group = Some(group.clone());
            e.member = Some(member.clone());
        }
        Why::AddressRefused { cidr, errno } => {
            e.address = Some(cidr.to_string());
            e.errno = Some(*errno);
        }
        Why::AddressLost { cidr, restored } => {
            e.address = Some(cidr.to_string());
            e.count = Some(u64::from(*restored));
        }
        Why::Late { by } => e.length_s = seconds(*by),
        Why::Startup
        | Why::Owner
        | Why::FlapDamping
        | Why::Drained
        | Why::Operator
        | Why::Cleared
        | Why::Reload
        | Why::Stop => {}
    }
    e
}

/// Wall-clock microseconds as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(wall_us: u64) -> String {
    let (seconds, millis) = (wall_us / 1_000_000, wall_us / 1_000 % 1_000);
    let (days, left) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that a leap day ends its year; 400 years are 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (left / 3_600, left / 60 % 60, left % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// States are written in keepalived's words.
mod by_word {
    use super::{Phase, keepalived_word};
    use serde::{Deserialize, Deserializer, Serializer};

    const ALL: [Phase; 6] = [
        Phase::Init,
        Phase::Backup,
        Phase::Active,
        Phase::Fault,
        Phase::Stopped,
        Phase::Deleted,
    ];

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        phase: &Option<Phase>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match phase {
            Some(phase) => to.serialize_some(keepalived_word(*phase)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Phase>, D::Error> {
        let word: Option<String> = Option::deserialize(from)?;
        Ok(word.and_then(|word| {
            ALL.into_iter()
                .find(|phase| keepalived_word(*phase) == word)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (1_795_224_697, "2026-11-21T01:31:37.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1_000_000), text);
        }
        assert_eq!(rfc3339(1_999_999), "1970-01-01T00:00:01.999Z");
    }

    #[test]
    fn a_transition_keeps_cause_states_and_numbers() {
        let event = Event::of(&Notice {
            router: Some("VI_1".into()),
            what: What::Entering {
                from: Phase::Backup,
                to: Phase::Active,
                priority: 101,
                why: Why::Silence {
                    missed: 3,
                    last: Some(Heard {
                        from: [10, 0, 0, 2].into(),
                        priority: 100,
                        ago: Duration::from_millis(3_610),
                    }),
                },
                seq: 9,
            },
        })
        .expect("worth keeping");
        assert_eq!(event.kind, "transition");
        assert_eq!(event.cause.as_deref(), Some("advert_timeout"));
        assert_eq!(
            (event.from, event.to),
            (Some(Phase::Backup), Some(Phase::Active))
        );
        let evidence = event.evidence.expect("evidence");
        assert_eq!(evidence.missed, Some(3));
        assert_eq!(evidence.peer, Some([10, 0, 0, 2].into()));
        assert_eq!(evidence.peer_priority, Some(100));
        assert_eq!(evidence.heard_ago_s, Some(3.61));
    }

    #[test]
    fn a_fallen_script_keeps_its_exit_and_the_end_of_its_stderr() {
        let stderr = format!("{}ä the end", "x".repeat(2_000));
        let event = Event::of(&Notice {
            router: None,
            what: What::Check {
                name: "chk".into(),
                up: false,
                verdict: Verdict::Fail(7),
                stderr: stderr.into(),
            },
        })
        .expect("worth keeping");
        let evidence = event.evidence.expect("evidence");
        assert_eq!(event.kind, "script_down");
        assert_eq!(
            (evidence.exit, evidence.outcome.as_deref()),
            (Some(7), Some("exited"))
        );
        let kept = evidence.stderr.expect("stderr");
        assert!(
            kept.len() <= LONGEST_STDERR && kept.ends_with("ä the end"),
            "{kept}"
        );
        assert!(event.text.len() <= LONGEST_TEXT);
    }

    #[test]
    fn idle_talk_is_not_kept_and_trouble_is() {
        let text = |level| Notice {
            router: None,
            what: What::Text {
                level,
                text: "x".into(),
            },
        };
        assert_eq!(Event::of(&text(Level::Info)), None);
        assert_eq!(Event::of(&text(Level::Debug)), None);
        assert!(Event::of(&text(Level::Warn)).is_some());
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(tail("aää", 3), "ä");
        assert_eq!(cut("aää", 2), "a");
        assert_eq!(tail("abc", 9), "abc");
    }
}
