//! The journal for people: `mainstay events` as lines, `mainstay why` as sentences.

use crate::ctl::render::{INDENT, Look, length, paint, printable, state_colour};
use crate::model::event::{Event, Evidence, rfc3339};
use crate::model::notice::{Phase, keepalived_word};
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;

/// How long before a transition something may have happened that belongs to it.
const BEFORE_US: u64 = 30_000_000;
/// An edge so shortly before a transition into or out of FAULT has to do with it.
const AT_ONCE_US: u64 = 100_000;
/// What is told of the time before a transition, at most so many events.
const RELATED: usize = 5;

/// One event on one line: what `mainstay events` prints.
pub fn line(event: &Event, look: Look) -> String {
    let about = event.instance.as_deref().unwrap_or("-");
    let mut text = format!(
        "{:>6}  {}  {:<12}  {:<16}  ",
        event.seq,
        rfc3339(event.wall_us),
        printable(about),
        printable(&event.kind),
    );
    let sentence = printable(&event.text);
    match event.to.filter(|_| look.colour) {
        Some(to) => {
            let word = keepalived_word(to);
            text += &sentence.replacen(word, &paint(word, state_colour(word), look), 1);
        }
        None => text += &sentence,
    }
    if let Some(repeated) = event.evidence.as_ref().and_then(|e| e.repeated) {
        let _ = write!(text, " ({repeated} more like it since the last)");
    }
    text.push('\n');
    text
}

/// A transition with what led to it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Reason {
    /// The transition.
    #[serde(flatten)]
    pub event: Arc<Event>,
    /// Its cause in a sentence.
    pub sentence: String,
    /// What happened shortly before and belongs to it, oldest first.
    pub related: Vec<Arc<Event>>,
}

/// The last transitions, of one instance or sync group or of all instances, oldest first; `events`
/// oldest first.
pub fn reasons(
    events: &[Arc<Event>],
    whose: Option<&str>,
    from_seq: u64,
    from_us: u64,
    most: usize,
) -> Vec<Reason> {
    let wanted = |event: &Event| {
        let meant = match &*event.kind {
            "transition" => whose.is_none_or(|name| event.instance.as_deref() == Some(name)),
            "group_transition" => whose.is_some_and(|name| group_of(event) == Some(name)),
            _ => false,
        };
        meant && event.seq > from_seq && event.wall_us >= from_us
    };
    let found: Vec<usize> = (0..events.len())
        .filter(|at| wanted(&events[*at]))
        .collect();
    let newest = &found[found.len().saturating_sub(most)..];
    newest
        .iter()
        .map(|&at| Reason {
            event: events[at].clone(),
            sentence: sentence(&events[at]),
            related: related(&events[..at], &events[at]),
        })
        .collect()
}

fn group_of(event: &Event) -> Option<&str> {
    event.evidence.as_deref()?.group.as_deref()
}

/// What belongs to a transition: the last edge of the tracker that caused it, whenever that was, and
/// what concerned the instance or everybody since its last transition, shortly before.
fn related(before: &[Arc<Event>], transition: &Event) -> Vec<Arc<Event>> {
    let tracker_of = |event: &Event| event.evidence.as_deref()?.tracker.clone();
    // A priority that moved brings in the tracker that moved it.
    let mut trackers: Vec<Arc<str>> = tracker_of(transition).into_iter().collect();
    let mut found: Vec<Arc<Event>> = Vec::new();
    let mut recent = true;
    for event in before.iter().rev() {
        if !recent && trackers.is_empty() || found.len() >= RELATED {
            break;
        }
        let own = event.instance == transition.instance;
        let gap = transition.mono_us.checked_sub(event.mono_us);
        // Longer ago, of an earlier boot, or of an earlier state.
        recent &= gap.is_some_and(|gap| gap <= BEFORE_US) && !(own && event.kind == "transition");
        if matches!(&*event.kind, "script_down" | "script_up") {
            let tracker = tracker_of(event);
            let at = trackers.iter().position(|t| Some(t) == tracker.as_ref());
            let at_once = recent && gap.is_some_and(|gap| gap <= AT_ONCE_US);
            let fault = match &*event.kind {
                "script_down" => transition.to == Some(Phase::Fault),
                _ => transition.from == Some(Phase::Fault),
            };
            if let Some(at) = at {
                trackers.remove(at);
                found.push(event.clone());
            } else if at_once && fault {
                found.push(event.clone());
            }
        } else if recent && (own || event.instance.is_none()) && leads_on(&event.kind) {
            trackers.extend(tracker_of(event));
            found.push(event.clone());
        }
    }
    found.reverse();
    found
}

/// Kinds that may lead to a transition.
fn leads_on(kind: &str) -> bool {
    matches!(
        kind,
        "priority"
            | "stall"
            | "reload"
            | "order"
            | "lease_over"
            | "degraded"
            | "address_restored"
            | "address_refused"
            | "handover_off"
            | "flap_damped"
            | "flap_damping_over"
            | "advert_refused"
            | "advert_late"
            | "start"
    )
}

/// Why a transition happened, in a sentence made of its evidence.
pub fn sentence(event: &Event) -> String {
    let none = Evidence::default();
    let e = event.evidence.as_deref().unwrap_or(&none);
    let peer = e
        .peer
        .map_or_else(|| "another router".to_owned(), |p| p.to_string());
    let number = |n: Option<u8>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let (theirs, ours) = (number(e.peer_priority), number(e.our_priority));
    let tracker = e.tracker.as_deref().unwrap_or("?");
    let interface = e.interface.as_deref().unwrap_or("?");
    let address = e.address.as_deref().unwrap_or("an address");
    let ago = e
        .heard_ago_s
        .map_or_else(String::new, |s| format!(" {} before", length(s)));
    match event.cause.as_deref().unwrap_or_default() {
        "startup" => "The instance started; it listens before it claims anything.".to_owned(),
        "owner" => "Priority 255 owns the addresses, so they were claimed at once.".to_owned(),
        "advert_timeout" => match (e.peer, e.missed) {
            (Some(_), Some(missed)) => format!(
                "The MASTER fell silent: {missed} adverts in a row did not come. The last one was \
                 heard{ago}, from {peer} with priority {theirs}."
            ),
            (Some(_), None) | (None, _) => {
                "No other router was heard for as long as a MASTER may be silent.".to_owned()
            }
        },
        "prio_zero_received" => {
            format!("{peer} gave the addresses away: it sent priority 0.")
        }
        "preempt" => format!(
            "Our priority {ours} is higher than the {theirs} that {peer} advertised{ago}, and this \
             router preempts."
        ),
        "higher_prio_advert" => {
            format!("{peer} advertised priority {theirs}; ours is {ours}.")
        }
        "higher_address" => format!(
            "{peer} advertised our own priority {theirs} and has the higher address, which decides \
             between equals."
        ),
        "check_failed" => match e.outcome.as_deref() {
            Some(_) => format!("Script {tracker} {}, and its weight is 0.", ended(e)),
            None => format!(
                "Script {tracker} counts as failed until it has succeeded (init_fail), and its \
                 weight is 0."
            ),
        },
        "check_unusable" => format!(
            "Script {tracker} cannot be used ({}), which counts as failing here (script_unusable fault), and \
             its weight is 0.",
            e.reason.as_deref().unwrap_or("?")
        ),
        "flap_damping" => {
            "Its trackers moved it too often: flap damping keeps it out for a while.".to_owned()
        }
        "gave_way" => format!(
            "What it serves failed ({}), and {peer} took over: with all_failed hold it serves only if \
             nobody else does.",
            e.reason.as_deref().unwrap_or("a tracker")
        ),
        "check_pending" => format!("Script {tracker} has no result yet."),
        "interface_down" => format!("Interface {interface} went down or lost its carrier."),
        "interface_up" => format!("Interface {interface} is up and is tracked in reverse."),
        "interface_absent" => format!("There is no interface {interface}."),
        "no_address" => {
            format!("Interface {interface} has no address that adverts could come from.")
        }
        "no_socket" => format!("No socket for adverts could be opened on interface {interface}."),
        "vip_refused" => format!("The kernel refused {address}{}.", errno(e)),
        "vip_lost" => format!(
            "Somebody keeps removing {address}; it was put back {} times.",
            e.count.unwrap_or(0)
        ),
        "file_fault" => format!(
            "Tracked file {tracker} holds {}, which means FAULT.",
            e.value
                .map_or_else(|| "a number".to_owned(), |v| v.to_string())
        ),
        "process_fault" => format!("Tracked process {tracker} does not run in the number wanted."),
        "group_member" => format!(
            "Sync group {} moves together, and its member {} moved first.",
            e.group.as_deref().unwrap_or("?"),
            e.member.as_deref().unwrap_or("?")
        ),
        "drained" => "An operator drained it.".to_owned(),
        "operator" => "An operator had it take over.".to_owned(),
        "fault_cleared" => "What stood in the way is gone; it listens again.".to_owned(),
        "stall" => format!(
            "Our own advert was {} late, longer than others wait.",
            length(e.length_s.unwrap_or(0.0))
        ),
        "reload" => "The configuration was reloaded.".to_owned(),
        "stop" => "The daemon was stopped.".to_owned(),
        _ => event.text.to_string(),
    }
}

fn ended(e: &Evidence) -> String {
    match (e.outcome.as_deref(), e.exit, e.signal) {
        (Some("exited"), Some(status), _) => format!("failed with exit status {status}"),
        (Some("signalled"), _, Some(signal)) => format!("died of signal {signal}"),
        (Some("timed_out"), ..) => "did not end in time".to_owned(),
        (Some("reported_down"), ..) => "was reported down".to_owned(),
        (Some("reported_up"), ..) => "was reported up".to_owned(),
        (Some("lease_over"), ..) => "was not reported in time: its lease ran out".to_owned(),
        (Some("not_started"), ..) => format!("could not be started{}", errno(e)),
        (Some(_) | None, ..) => "failed".to_owned(),
    }
}

fn errno(e: &Evidence) -> String {
    match e.errno {
        Some(errno) => format!(" ({})", std::io::Error::from_raw_os_error(errno)),
        None => String::new(),
    }
}

/// Transitions in sentences: what `mainstay why` prints.
pub fn why(reasons: &[Reason], look: Look) -> String {
    let mut text = String::new();
    for (number, reason) in reasons.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let event = &reason.event;
        let word = |phase: Option<Phase>| match phase {
            Some(phase) => {
                let word = keepalived_word(phase);
                paint(word, state_colour(word), look)
            }
            None => "?".to_owned(),
        };
        let _ = writeln!(
            text,
            "{}  {}: {} -> {}  ({}, event {})",
            rfc3339(event.wall_us),
            printable(event.instance.as_deref().or(group_of(event)).unwrap_or("-")),
            word(event.from),
            word(event.to),
            printable(event.cause.as_deref().unwrap_or("-")),
            event.seq,
        );
        let _ = writeln!(text, "{INDENT}{}", printable(&reason.sentence));
        if let Some(priority) = event.priority {
            let _ = writeln!(text, "{INDENT}Its priority was {priority}.");
        }
        for before in &reason.related {
            let gap = event.mono_us.saturating_sub(before.mono_us);
            // Ages in a report are far below 2^52 microseconds.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let gap = length(gap as f64 / 1e6);
            let _ = writeln!(text, "{INDENT}{gap} before: {}", printable(&before.text));
        }
        let last = reason
            .related
            .iter()
            .rev()
            .find_map(|e| e.evidence.as_ref()?.stderr.clone());
        if let Some(stderr) = last
            && !reason.related.iter().any(|e| e.text.contains(&*stderr))
        {
            let _ = writeln!(text, "{INDENT}it wrote: {}", printable(&stderr));
        }
    }
    text
}

#[cfg(test)]
pub(in crate::ctl) mod tests {
    use super::*;
    use std::borrow::Cow;

    fn stamp(mut event: Event, seq: u64, seconds: u64) -> Arc<Event> {
        event.seq = seq;
        event.mono_us = seconds * 1_000_000;
        event.wall_us = 1_795_224_697_000_000 + event.mono_us;
        Arc::new(event)
    }

    fn entering(from: Phase, to: Phase, cause: &'static str, evidence: Evidence) -> Event {
        let mut event = Event::new("transition", "Entering ...")
            .of_instance(&"VI_1".into())
            .with(evidence);
        event.cause = Some(Cow::Borrowed(cause));
        (event.from, event.to, event.priority) = (Some(from), Some(to), Some(101));
        event
    }

    /// An event in which every field is filled.
    pub(in crate::ctl) fn full_event() -> Event {
        let mut event = entering(
            Phase::Backup,
            Phase::Active,
            "advert_timeout",
            Evidence {
                peer: Some([10, 0, 0, 2].into()),
                peer_priority: Some(100),
                heard_ago_s: Some(3.61),
                missed: Some(3),
                our_priority: Some(101),
                priority_was: Some(103),
                sum: Some(101),
                tracker: Some("chk".into()),
                counter: Some("up 1/2".into()),
                outcome: Some(Cow::Borrowed("exited")),
                exit: Some(1),
                signal: Some(9),
                errno: Some(2),
                stderr: Some("no route".into()),
                program: Some("/bin/false".into()),
                group: Some("G".into()),
                member: Some("VI_2".into()),
                interface: Some("eth0".into()),
                address: Some("10.0.0.9/24".into()),
                vrid: Some(51),
                count: Some(3),
                value: Some(-4),
                length_s: Some(0.5),
                uid: Some(0),
                reason: Some("upgrade".into()),
                until_us: Some(1),
                penalty_milli: Some(3400),
                repeated: Some(7),
            },
        );
        (event.seq, event.wall_us, event.mono_us) = (12, 1_795_224_697_123_456, 5_000_000);
        event
    }

    #[test]
    fn an_event_is_one_line_with_number_time_instance_and_kind() {
        let text = line(&full_event(), Look::default());
        assert_eq!(
            text,
            "    12  2026-11-21T01:31:37.123Z  VI_1          transition        Entering ... (7 more like it since the last)\n"
        );
    }

    #[test]
    fn a_failed_script_is_told_with_its_exit_its_words_and_when() {
        let fell = Event::new("script_down", "VRRP_Script(chk) failed: no route").with(Evidence {
            tracker: Some("chk".into()),
            stderr: Some("no route".into()),
            ..Evidence::default()
        });
        let unrelated =
            Event::new("script_up", "VRRP_Script(other) succeeded").of_instance(&"VI_2".into());
        let fault = Evidence {
            tracker: Some("chk".into()),
            outcome: Some(Cow::Borrowed("exited")),
            exit: Some(3),
            ..Evidence::default()
        };
        let events = [
            stamp(fell, 1, 10),
            stamp(unrelated, 2, 10),
            stamp(
                entering(Phase::Active, Phase::Fault, "check_failed", fault),
                3,
                10,
            ),
        ];
        let reasons = reasons(&events, Some("VI_1"), 0, 0, 5);
        let text = why(&reasons, Look::default());
        let expected = "\
2026-11-21T01:31:47.000Z  VI_1: MASTER -> FAULT  (check_failed, event 3)
  Script chk failed with exit status 3, and its weight is 0.
  Its priority was 101.
  0.000 s before: VRRP_Script(chk) failed: no route
";
        assert_eq!(text, expected);
    }

    #[test]
    fn only_what_happened_since_the_last_transition_belongs_to_one() {
        let priority = |text: &str| Event::new("priority", text).of_instance(&"VI_1".into());
        let none = Evidence::default;
        let events = [
            stamp(priority("old"), 1, 1),
            stamp(
                entering(Phase::Init, Phase::Backup, "startup", none()),
                2,
                2,
            ),
            stamp(priority("new"), 3, 3),
            stamp(Event::new("stall", "long ago"), 4, 4),
            stamp(
                entering(Phase::Backup, Phase::Active, "preempt", none()),
                5,
                40,
            ),
        ];
        let all = reasons(&events, None, 0, 0, 5);
        let related = |at: usize| all[at].related.iter().map(|e| e.seq).collect::<Vec<_>>();
        assert_eq!(related(0), [1]);
        assert_eq!(related(1), [0u64; 0], "more than 30 s before");
        assert_eq!(reasons(&events, None, 0, 0, 1).len(), 1);
        assert_eq!(reasons(&events, None, 2, 0, 5).len(), 1);
        assert_eq!(reasons(&events, Some("VI_2"), 0, 0, 5).len(), 0);
    }

    #[test]
    fn every_cause_has_a_sentence_of_its_own() {
        use crate::model::notice::Why;
        use crate::model::notice::{Notice, What};
        let name = || Arc::<str>::from("x");
        let all = [
            Why::Startup,
            Why::Owner,
            Why::Silence {
                missed: 0,
                last: None,
            },
            Why::Released {
                by: [10, 0, 0, 2].into(),
            },
            Why::TieLost {
                to: [10, 0, 0, 2].into(),
                priority: 9,
            },
            Why::CheckPending { check: name() },
            Why::LinkDown { link: name() },
            Why::LinkUp { link: name() },
            Why::LinkAbsent { link: name() },
            Why::NoAddress { link: name() },
            Why::NoSocket { link: name() },
            Why::FileFault {
                file: name(),
                value: 4,
            },
            Why::ProcessFault { process: name() },
            Why::GroupMember {
                group: name(),
                member: name(),
            },
            Why::CheckUnusable {
                check: name(),
                reason: name(),
            },
            Why::FlapDamping,
            Why::Drained,
            Why::Operator,
            Why::Cleared,
            Why::Reload,
            Why::Stop,
        ];
        for why in all {
            let notice = Notice {
                router: None,
                what: What::Entering {
                    from: Phase::Init,
                    to: Phase::Backup,
                    priority: 1,
                    why,
                    seq: 1,
                },
            };
            let event = Event::of(&notice).expect("worth keeping");
            let text = sentence(&event);
            assert_ne!(text, *event.text, "{:?} has no sentence", event.cause);
            assert!(text.ends_with('.') && !text.contains('?'), "{text}");
        }
    }
}
