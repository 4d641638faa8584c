//! The journal as service thread and control socket share it.

use crate::ctl::interface::EventsAsked;
use crate::ctl::reply::EventsReply;
use crate::model::event::{Event, Evidence};
use crate::model::time::Instant;
use crate::obs::journal::{Filter, Journal};
use crate::os::clock;
use crate::scripts::notify::{NotifyResult, Outcome};
use crate::scripts::protocol::How;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;
use tokio::sync::watch;

/// The journal, and word of what is new in it. Both ends live on the service thread, so nobody ever
/// waits for the lock.
#[derive(Clone, Debug)]
pub(super) struct Chronicle {
    journal: Arc<Mutex<Journal>>,
    newest: watch::Sender<u64>,
}

impl Chronicle {
    pub(super) fn new(journal: Journal) -> Self {
        let newest = watch::Sender::new(journal.last());
        Self {
            journal: Arc::new(Mutex::new(journal)),
            newest,
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what happened at `at`.
    pub(super) fn record(&self, at: Instant, event: Event) {
        let recorded = self
            .journal()
            .record(at, clock::now(), clock::wall(), event);
        if let Some(seq) = recorded {
            self.newest.send_replace(seq);
        }
    }

    /// From now on so many events are kept.
    pub(super) fn set_keep(&self, keep: usize) {
        self.journal().set_keep(keep);
    }

    /// Number of the newest event, whenever it grows.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Whether the last thing an earlier run recorded was its end; `None` if there was no run.
    pub(super) fn ended_well(&self) -> Option<bool> {
        let last = self.journal().select(&Filter::default(), 1, false);
        last.first()
            .map(|event| matches!(&*event.kind, "stopped" | "broken"))
    }

    /// Events that the file lacks.
    pub(super) fn unwritten(&self) -> u64 {
        self.journal().unwritten()
    }

    /// What a caller asked for.
    pub(super) fn events(&self, asked: &EventsAsked) -> EventsReply {
        let filter = Filter {
            after: asked.since.unwrap_or(0),
            instance: asked.instance.as_deref().map(Arc::from),
            kinds: asked.kinds.clone(),
            from_us: asked.age_s.map_or(0, from_us),
            ..Filter::default()
        };
        let journal = self.journal();
        let (first, last) = (journal.first(), journal.last());
        EventsReply {
            first,
            last,
            lost: asked
                .since
                .map_or(0, |since| first.saturating_sub(since.saturating_add(1))),
            events: journal.select(&filter, asked.limit, asked.since.is_some()),
        }
    }
}

/// Wall-clock microseconds so many seconds ago.
fn from_us(age_s: f64) -> u64 {
    let age = std::time::Duration::try_from_secs_f64(age_s).unwrap_or_default();
    wall_us().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
}

/// The wall clock in microseconds since 1970.
pub(super) fn wall_us() -> u64 {
    let wall = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)
}

/// How a notify program fared, as an event.
pub(super) fn of_notify(result: &NotifyResult) -> Event {
    let mut evidence = Evidence {
        program: Some(result.program.clone()),
        length_s: Some(result.took.as_secs_f64()),
        reason: Some(Arc::from(format!("{} {}", result.keyword, result.word))),
        ..Evidence::default()
    };
    evidence.outcome = Some(Cow::Borrowed(match result.outcome {
        Outcome::Ended(How::Exited(status)) => {
            evidence.exit = Some(status);
            "exited"
        }
        Outcome::Ended(How::Signalled(signal)) => {
            evidence.signal = Some(signal);
            "signalled"
        }
        Outcome::Ended(How::NotStarted(errno)) => {
            evidence.errno = Some(errno);
            "not_started"
        }
        Outcome::TimedOut => "timed_out",
        Outcome::Lost => "lost",
        Outcome::NoTime => "no_time",
    }));
    Event::new("notify", &result.to_string())
        .of_instance(&result.instance)
        .with(evidence.and_stderr(&result.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(since: Option<u64>, limit: usize) -> EventsAsked {
        EventsAsked {
            since,
            limit,
            ..EventsAsked::default()
        }
    }

    #[test]
    fn a_reader_learns_how_many_events_are_gone() {
        let chronicle = Chronicle::new(Journal::in_memory(3));
        for _ in 0..10 {
            chronicle.record(clock::now(), Event::new("reload", "applied"));
        }
        let reply = chronicle.events(&asked(Some(4), 10));
        assert_eq!((reply.first, reply.last, reply.lost), (8, 10, 3));
        assert_eq!(reply.events.len(), 3);
        assert_eq!(chronicle.events(&asked(Some(7), 10)).lost, 0);
        let newest = chronicle.events(&asked(None, 2));
        assert_eq!(newest.events[0].seq, 9);
        assert_eq!(*chronicle.newest().borrow(), 10);
    }

    #[test]
    fn the_end_of_the_last_run_is_seen() {
        let chronicle = Chronicle::new(Journal::in_memory(3));
        assert_eq!(chronicle.ended_well(), None);
        chronicle.record(clock::now(), Event::new("start", "started"));
        assert_eq!(chronicle.ended_well(), Some(false));
        chronicle.record(
            clock::now(),
            Event::new("stopped", "everything is given back"),
        );
        assert_eq!(chronicle.ended_well(), Some(true));
    }
}
