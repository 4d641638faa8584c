//! The journal: the last events, numbered, in memory and in a file that outlives the process.

use crate::model::event::Event;
use crate::model::time::Instant;
use crate::obs::journal_file::{self, Writer};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Like events of what may repeat without end are counted instead of recorded for so long.
const QUIET: Duration = Duration::from_secs(60);
/// Kinds of repetition remembered at a time.
const REMEMBERED: usize = 256;

/// Which part of the journal is asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Filter {
    /// Only events with a number above this.
    pub after: u64,
    /// Only events of this instance, and those of no instance if `general`.
    pub instance: Option<Arc<str>>,
    /// With an instance: also what concerns no instance.
    pub general: bool,
    /// Only these kinds; empty for all.
    pub kinds: Vec<String>,
    /// Only events at or after this wall-clock time, in microseconds since 1970.
    pub from_us: u64,
}

impl Filter {
    fn takes(&self, event: &Event) -> bool {
        event.seq > self.after
            && event.wall_us >= self.from_us
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| *kind == event.kind))
            && match (&self.instance, &event.instance) {
                (None, _) => true,
                (Some(wanted), Some(name)) => wanted == name,
                (Some(_), None) => self.general,
            }
    }
}

/// What is alike for [`QUIET`].
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    kind: String,
    instance: Option<Arc<str>>,
    peer: Option<IpAddr>,
    tracker: Option<Arc<str>>,
    text: Option<Arc<str>>,
}

/// The last events. Dropping it writes what waits, for at most a second.
#[derive(Debug)]
pub struct Journal {
    keep: usize,
    ring: VecDeque<Arc<Event>>,
    next: u64,
    /// When the like was recorded, and how many came since.
    alike: HashMap<Alike, (Instant, u64)>,
    file: Option<Writer>,
}

impl std::fmt::Debug for Alike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)
    }
}

impl Journal {
    /// A journal in memory alone.
    pub fn in_memory(keep: usize) -> Self {
        Self {
            keep: keep.max(1),
            ring: VecDeque::new(),
            next: 1,
            alike: HashMap::new(),
            file: None,
        }
    }

    /// Reads what an earlier run left in `dir` and goes on numbering where it ended.
    ///
    /// Lines that cannot be read are left out. The second part says what did not go as it should;
    /// without a file the journal goes on in memory. *Blocks*: reads one file of bounded size.
    pub fn open(dir: &Path, keep: usize) -> (Self, Vec<String>) {
        let mut journal = Self::in_memory(keep);
        let mut remarks = Vec::new();
        match journal_file::load(dir, journal.keep) {
            Ok(loaded) => {
                journal.next = loaded.events.last().map_or(1, |e| e.seq + 1);
                journal.ring = loaded.events.into_iter().map(Arc::new).collect();
                if loaded.damaged > 0 {
                    remarks.push(format!(
                        "{}: {} lines of the event journal could not be read and were left out",
                        dir.display(),
                        loaded.damaged
                    ));
                }
                match Writer::start(dir, journal.keep, loaded.lines) {
                    Ok(writer) => journal.file = Some(writer),
                    Err(error) => remarks.push(unwritten(dir, &error)),
                }
            }
            Err(error) => remarks.push(unwritten(dir, &error)),
        }
        (journal, remarks)
    }

    /// From now on keeps so many events, in memory at once and in the file with the next event.
    pub fn set_keep(&mut self, keep: usize) {
        self.keep = keep.max(1);
        let spare = self.ring.len().saturating_sub(self.keep);
        self.ring.drain(..spare);
        if let Some(file) = &self.file {
            file.set_keep(self.keep);
        }
    }

    /// Numbers an event, stamps it and keeps it. What repeats without end is recorded once a
    /// minute, with the count of what was left out. Returns its number if it was recorded.
    ///
    /// `at` is when it happened, `now` and `wall` the clocks' word for the present. Never blocks.
    pub fn record(
        &mut self,
        at: Instant,
        now: Instant,
        wall: SystemTime,
        mut event: Event,
    ) -> Option<u64> {
        if event.repeats() {
            let silenced = self.silence(at, &event)?;
            if silenced > 0 {
                let evidence = event.evidence.get_or_insert_default();
                evidence.repeated = Some(evidence.repeated.unwrap_or(0) + silenced);
            }
        }
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = wall.saturating_sub(now.since(at));
        event.seq = self.next;
        event.wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        event.mono_us = at.as_nanos() / 1_000;
        self.next += 1;
        if let Some(file) = &mut self.file {
            file.append(&event);
        }
        if self.ring.len() >= self.keep {
            self.ring.pop_front();
        }
        let seq = event.seq;
        self.ring.push_back(Arc::new(event));
        Some(seq)
    }

    /// How many like it were left out; `None` if this one is to be left out too.
    fn silence(&mut self, at: Instant, event: &Event) -> Option<u64> {
        let evidence = event.evidence.as_deref();
        let alike = Alike {
            kind: event.kind.clone().into_owned(),
            instance: event.instance.clone(),
            peer: evidence.and_then(|e| e.peer),
            tracker: evidence.and_then(|e| e.tracker.clone()),
            // Without anything to tell them apart, the text does.
            text: evidence.is_none().then(|| event.text.clone()),
        };
        if let Some((since, count)) = self.alike.get_mut(&alike)
            && at.since(*since) < QUIET
        {
            *count += 1;
            return None;
        }
        if self.alike.len() >= REMEMBERED {
            self.alike.retain(|_, (since, _)| at.since(*since) < QUIET);
        }
        if self.alike.len() >= REMEMBERED && !self.alike.contains_key(&alike) {
            // More kinds of trouble at once than can be told apart: each is recorded.
            return Some(0);
        }
        let before = self.alike.insert(alike, (at, 0));
        Some(before.map_or(0, |(_, count)| count))
    }

    /// The events a filter takes, oldest first, at most `most` of them: the newest, or with
    /// `oldest_first` the oldest.
    pub fn select(&self, filter: &Filter, most: usize, oldest_first: bool) -> Vec<Arc<Event>> {
        let from = self.ring.partition_point(|e| e.seq <= filter.after);
        let taken = self.ring.range(from..).filter(|e| filter.takes(e));
        if oldest_first {
            return taken.take(most).cloned().collect();
        }
        let mut newest: Vec<_> = taken.rev().take(most).cloned().collect();
        newest.reverse();
        newest
    }

    /// Number of the oldest event kept; the next number if there is none.
    pub fn first(&self) -> u64 {
        self.ring.front().map_or(self.next, |e| e.seq)
    }

    /// Number of the newest event; 0 if there never was one.
    pub const fn last(&self) -> u64 {
        self.next - 1
    }

    /// Events that are not in the file, because it could not be written or was too slow.
    pub fn unwritten(&self) -> u64 {
        self.file.as_ref().map_or(0, Writer::lost)
    }
}

fn unwritten(dir: &Path, error: &std::io::Error) -> String {
    format!(
        "{}: the event journal is kept in memory only: {error}",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Evidence;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000 + seconds)
    }

    fn put(journal: &mut Journal, seconds: u64, event: Event) -> Option<u64> {
        journal.record(at(seconds), at(seconds), wall(seconds), event)
    }

    fn transition(instance: &str) -> Event {
        Event::new("transition", "moved").of_instance(&instance.into())
    }

    fn stall() -> Event {
        Event::new("stall", "woke late").with(Evidence {
            length_s: Some(1.0),
            ..Evidence::default()
        })
    }

    fn seqs(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|e| e.seq).collect()
    }

    #[test]
    fn the_newest_are_kept_and_numbers_only_grow() {
        let mut journal = Journal::in_memory(3);
        for number in 1..=5 {
            assert_eq!(put(&mut journal, number, transition("a")), Some(number));
        }
        assert_eq!((journal.first(), journal.last()), (3, 5));
        assert_eq!(
            seqs(&journal.select(&Filter::default(), 9, true)),
            [3, 4, 5]
        );
        assert_eq!(seqs(&journal.select(&Filter::default(), 2, false)), [4, 5]);
        assert_eq!(seqs(&journal.select(&Filter::default(), 2, true)), [3, 4]);
    }

    #[test]
    fn an_event_carries_the_time_at_which_it_happened() {
        let mut journal = Journal::in_memory(3);
        journal.record(at(7), at(9), wall(9), transition("a"));
        let event = &journal.select(&Filter::default(), 1, true)[0];
        assert_eq!(event.mono_us, 7_000_000);
        assert_eq!(
            event.wall_us, 1_007_000_000,
            "two seconds before it was recorded"
        );
    }

    #[test]
    fn filters_choose_by_instance_kind_number_and_time() {
        let mut journal = Journal::in_memory(10);
        put(&mut journal, 1, transition("a"));
        put(&mut journal, 2, transition("b"));
        put(&mut journal, 3, Event::new("reload", "applied"));
        put(&mut journal, 4, transition("a"));
        let of = |filter: Filter| seqs(&journal.select(&filter, 9, true));
        let a = Filter {
            instance: Some("a".into()),
            ..Filter::default()
        };
        assert_eq!(of(a.clone()), [1, 4]);
        assert_eq!(
            of(Filter {
                general: true,
                ..a.clone()
            }),
            [1, 3, 4]
        );
        assert_eq!(of(Filter { after: 1, ..a }), [4]);
        let kinds = vec!["reload".to_owned()];
        assert_eq!(
            of(Filter {
                kinds,
                ..Filter::default()
            }),
            [3]
        );
        let from_us = 1_003_000_000;
        assert_eq!(
            of(Filter {
                from_us,
                ..Filter::default()
            }),
            [3, 4]
        );
    }

    #[test]
    fn what_repeats_without_end_is_recorded_once_a_minute_with_its_count() {
        let mut journal = Journal::in_memory(10);
        for second in 0..=60 {
            put(&mut journal, second, stall());
        }
        let events = journal.select(&Filter::default(), 9, true);
        let repeated: Vec<_> = events
            .iter()
            .map(|e| e.evidence.as_ref().and_then(|e| e.repeated))
            .collect();
        assert_eq!(repeated, [None, Some(59)]);
    }

    #[test]
    fn transitions_are_never_left_out() {
        let mut journal = Journal::in_memory(10);
        for _ in 0..3 {
            put(&mut journal, 1, transition("a"));
        }
        assert_eq!(journal.last(), 3);
    }

    #[test]
    fn troubles_of_different_peers_are_told_apart_and_memory_of_them_is_bounded() {
        let mut journal = Journal::in_memory(10_000);
        for number in 0..1_000u32 {
            let event = Event::new("advert_refused", "checksum").with(Evidence {
                peer: Some(IpAddr::from(number.to_be_bytes())),
                ..Evidence::default()
            });
            put(&mut journal, 1, event);
        }
        assert_eq!(journal.last(), 1_000);
        assert!(journal.alike.len() <= REMEMBERED);
    }

    #[test]
    fn numbering_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, remarks) = Journal::open(dir.path(), 4);
        assert_eq!(remarks, [""; 0]);
        for number in 1..=6 {
            put(&mut journal, number, transition("a"));
        }
        drop(journal);
        let (mut journal, remarks) = Journal::open(dir.path(), 4);
        assert_eq!(remarks, [""; 0]);
        assert_eq!(
            seqs(&journal.select(&Filter::default(), 9, true)),
            [3, 4, 5, 6]
        );
        assert_eq!(put(&mut journal, 9, transition("b")), Some(7));
    }

    #[test]
    fn it_can_be_told_to_keep_less_and_more() {
        let mut journal = Journal::in_memory(8);
        for number in 1..=8 {
            put(&mut journal, number, transition("a"));
        }
        journal.set_keep(3);
        assert_eq!((journal.first(), journal.last()), (6, 8));
        journal.set_keep(5);
        for number in 9..=12 {
            put(&mut journal, number, transition("a"));
        }
        assert_eq!((journal.first(), journal.last()), (8, 12));
    }

    #[test]
    fn without_a_folder_it_lives_in_memory_and_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, remarks) = Journal::open(&dir.path().join("absent"), 4);
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(remarks[0].contains("memory only"), "{remarks:?}");
        assert_eq!(put(&mut journal, 1, transition("a")), Some(1));
    }
}
