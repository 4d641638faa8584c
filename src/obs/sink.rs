//! The bounded queue and the thread behind it: the only place a log reader can block.

use crate::obs::form;
use crate::obs::line::Line;
use crate::obs::log::Format;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Lines that may wait; beyond them lines are dropped and counted.
const WAITING: usize = 1024;
/// The thread formats a line and writes it; under mlockall its whole stack is resident.
const STACK: usize = 128 * 1024;

enum Job {
    Bytes(String),
    Journal(Level, Box<Line>),
}

/// What both ends know.
#[derive(Default)]
struct Shared {
    queued: AtomicU64,
    dropped: AtomicU64,
    done: Mutex<u64>,
    moved: Condvar,
}

/// The near end: a subscriber's layer, cheap to clone, never blocks.
#[derive(Clone)]
pub(super) struct Sink {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    format: Format,
    colour: bool,
}

impl Sink {
    /// Starts the thread that writes to `out`, or to journald if that is the form.
    pub(super) fn start(
        format: Format,
        colour: bool,
        out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let journal = match format {
            Format::Journald => Some(tracing::Dispatch::new(
                tracing_subscriber::registry().with(journal()?),
            )),
            Format::Plain | Format::Json => None,
        };
        let (queue, jobs) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let sink = Self {
            queue,
            shared: shared.clone(),
            format,
            colour,
        };
        let worker = Worker {
            jobs,
            shared,
            told: 0,
            format,
            colour,
            out,
            journal,
        };
        std::thread::Builder::new()
            .name("mainstay-log".into())
            .stack_size(STACK)
            .spawn(move || worker.run())?;
        Ok(sink)
    }

    /// Lines lost because the reader was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything queued is written, but not longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let queued = self.shared.queued.load(Ordering::Acquire);
        let done = self.shared.done.lock();
        let done = done.unwrap_or_else(PoisonError::into_inner);
        // Whether it timed out makes no difference: nobody waits any longer.
        let _ = self
            .shared
            .moved
            .wait_timeout_while(done, limit, |done| *done < queued);
    }

    fn push(&self, level: Level, line: Line) {
        let job = match self.format {
            Format::Journald => Job::Journal(level, Box::new(line)),
            Format::Plain => Job::Bytes(form::plain(&form::wall_time(), level, &line, self.colour)),
            Format::Json => Job::Bytes(form::json(&form::wall_time(), level, &line)),
        };
        let count = match self.queue.try_send(job) {
            Ok(()) => &self.shared.queued,
            Err(_) => &self.shared.dropped,
        };
        count.fetch_add(1, Ordering::Release);
    }
}

impl<S: Subscriber> Layer<S> for Sink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.push(*event.metadata().level(), line);
    }
}

/// The journal's layer: our names for its fields, keepalived's priorities.
fn journal() -> io::Result<tracing_journald::Layer> {
    use tracing_journald::{Priority, PriorityMappings};
    let layer = tracing_journald::Layer::new().map_err(|error| {
        let text = format!("cannot reach journald: {error} (use --log-format plain)");
        io::Error::new(error.kind(), text)
    })?;
    Ok(layer
        .with_field_prefix(Some("VRRP".into()))
        .with_syslog_identifier("mainstay".into())
        .with_priority_mappings(PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        }))
}

/// The far end.
struct Worker<W> {
    jobs: Receiver<Job>,
    shared: Arc<Shared>,
    told: u64,
    format: Format,
    colour: bool,
    out: W,
    journal: Option<tracing::Dispatch>,
}

impl<W: Write> Worker<W> {
    fn run(mut self) {
        // Ends when the last sink is gone.
        while let Ok(job) = self.jobs.recv() {
            match job {
                Job::Bytes(text) => self.write(&text),
                Job::Journal(level, line) => self.post(level, &line),
            }
            self.confess();
            *self
                .shared
                .done
                .lock()
                .unwrap_or_else(PoisonError::into_inner) += 1;
            self.shared.moved.notify_all();
        }
    }

    /// There is nobody left to be told that telling failed.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
    }

    fn post(&self, level: Level, line: &Line) {
        if let Some(journal) = &self.journal {
            // This thread's own subscriber; the global one would lead back into the queue.
            tracing::dispatcher::with_default(journal, || line.emit(level));
        }
    }

    /// Says how many lines are missing, in the place where they are missing.
    fn confess(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped == self.told {
            return;
        }
        let lost = dropped - self.told;
        self.told = dropped;
        let line = Line {
            event: Some("log_dropped".into()),
            ..Line::text(format!(
                "{lost} log lines dropped: the log was not read fast enough"
            ))
        };
        let now = form::wall_time();
        match self.format {
            Format::Journald => self.post(Level::WARN, &line),
            Format::Plain => self.write(&form::plain(&now, Level::WARN, &line, self.colour)),
            Format::Json => self.write(&form::json(&now, Level::WARN, &line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A writer that waits for its gate and keeps what it was given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
        }
    }

    #[test]
    fn a_blocked_reader_blocks_nobody_and_the_loss_is_told() {
        let kept = Kept::default();
        let sink = Sink::start(Format::Plain, false, kept.clone()).expect("a thread");
        let gate = kept.0.lock().expect("not poisoned");
        for number in 0..WAITING + 50 {
            sink.push(Level::INFO, Line::text(format!("line {number}")));
        }
        let dropped = sink.dropped();
        assert!(
            (49..=50).contains(&dropped),
            "one may be in the worker's hands: {dropped}"
        );
        drop(gate);
        let lost = format!("{dropped} log lines dropped");
        sink.flush(Duration::from_secs(10));
        let text = kept.text();
        assert!(text.contains(&lost), "{text}");
        assert!(text.contains(" INFO line 0\n"), "{text}");
    }

    #[test]
    fn any_event_of_the_program_comes_out_with_its_fields() {
        let kept = Kept::default();
        let sink = Sink::start(Format::Json, false, kept.clone()).expect("a thread");
        let subscriber = tracing_subscriber::registry().with(sink.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(instance = "VI_1", seq = 4u64, other = 5, "something");
            let line = Line {
                cause: Some("startup".into()),
                priority: Some(100),
                ..Line::text("second".into())
            };
            line.emit(Level::INFO);
        });
        sink.flush(Duration::from_secs(1));
        let text = kept.text();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object a line"))
            .collect();
        assert_eq!(lines[0]["instance"], "VI_1");
        assert_eq!(lines[0]["seq"], 4);
        assert_eq!(lines[0]["level"], "warn");
        assert!(
            lines[0]["message"]
                .as_str()
                .is_some_and(|m| m.contains("other=5")),
            "a field without a place joins the text: {text}"
        );
        assert_eq!(lines[1]["cause"], "startup");
        assert_eq!(lines[1]["priority"], 100);
        assert_eq!(
            lines[1].get("seq"),
            None,
            "what is absent is not written: {text}"
        );
    }
}
