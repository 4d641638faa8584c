//! The log's face: options, start, [`Log::tell`].

use crate::model::notice::{Notice, What};
use crate::model::time::Instant;
use crate::obs::line::{self, Line};
use crate::obs::sink::Sink;
use std::io::{self, IsTerminal};
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text for people, on stderr.
    Plain,
    /// One JSON object a line, on stderr.
    Json,
    /// To journald with fields `VRRP_INSTANCE`, `VRRP_FROM`, `VRRP_TO`, `VRRP_CAUSE` …
    Journald,
}

/// From which level on something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Threshold {
    /// Only what stops the daemon.
    Error,
    /// And what is wrong but handled.
    Warn,
    /// And the normal course of things.
    #[default]
    Info,
    /// Everything.
    Debug,
}

impl Threshold {
    /// Its name on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// By its name.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug]
            .into_iter()
            .find(|level| level.word() == word)
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// What the command line says about the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogOptions {
    /// `--log-format`; `None` is journald under systemd, else plain.
    pub format: Option<Format>,
    /// `--log-level`.
    pub level: Threshold,
}

/// Identical lines within this time are counted instead of written.
const REPEAT: Duration = Duration::from_secs(1);
/// Lines remembered for that.
const REMEMBERED: usize = 8;
/// How long the end waits for a slow reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The log of this process. Dropping it writes what waits, for at most a second.
///
/// Start it before the engine thread is made real-time: its writer thread inherits the policy.
pub struct Log {
    sink: Sink,
    recent: Vec<Recent>,
    level: Option<reload::Handle<LevelFilter, Registry>>,
}

/// A line that was written a moment ago.
struct Recent {
    line: Line,
    level: tracing::Level,
    at: Instant,
    more: u32,
}

impl Log {
    /// Starts the writer thread and makes it the target of every `tracing` event of the process.
    ///
    /// *Errors*: journald was asked for and cannot be reached, no thread, or a second call.
    pub fn start(options: &LogOptions) -> io::Result<Self> {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stderr().is_terminal() && !no_colour;
        let start = |format| Sink::start(format, colour, io::stderr());
        let sink = match options.format {
            Some(format) => start(format)?,
            // Our own choice must not stop the daemon where the journal cannot be reached.
            None => start(default_format()).or_else(|_| start(Format::Plain))?,
        };
        let (level, handle) = reload::Layer::new(options.level.filter());
        let subscriber = tracing_subscriber::registry()
            .with(level)
            .with(sink.clone());
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| io::Error::other("the log was started already"))?;
        let mut log = Self::over(sink);
        log.level = Some(handle);
        Ok(log)
    }

    /// From now on tells from this level on.
    pub fn set_level(&self, level: Threshold) {
        if let Some(handle) = &self.level {
            // It fails only when the subscriber is gone, and with it every line.
            let _ = handle.reload(level.filter());
        }
    }

    fn over(sink: Sink) -> Self {
        Self {
            sink,
            recent: Vec::with_capacity(REMEMBERED),
            level: None,
        }
    }

    /// Writes a notice, or counts it if the same was written within the last second. Transitions and
    /// priority changes are always written.
    ///
    /// *Allocates*; never blocks.
    pub fn tell(&mut self, now: Instant, notice: &Notice) {
        self.settle(now);
        let line = Line::of(notice);
        let level = line::level(notice.what.level());
        if matches!(notice.what, What::Entering { .. } | What::Priority { .. }) {
            line.emit(level);
            return;
        }
        if let Some(same) = self.recent.iter_mut().find(|recent| recent.line == line) {
            same.more = same.more.saturating_add(1);
            return;
        }
        line.emit(level);
        if self.recent.len() == REMEMBERED {
            self.recent.remove(0).confess();
        }
        self.recent.push(Recent {
            line,
            level,
            at: now,
            more: 0,
        });
    }

    /// Writes how often lines were repeated, once their second is over. To be called now and then,
    /// so that the last repetition does not wait for the next notice.
    pub fn settle(&mut self, now: Instant) {
        self.recent.retain_mut(|recent| {
            if now.since(recent.at) < REPEAT {
                return true;
            }
            // A line that goes on repeating keeps its place: one line a second, whatever comes.
            let again = recent.more > 0;
            recent.confess();
            recent.at = now;
            again
        });
    }

    /// Lines lost because whoever reads the log was too slow.
    pub fn dropped(&self) -> u64 {
        self.sink.dropped()
    }
}

impl Recent {
    fn confess(&mut self) {
        if self.more > 0 {
            let mut line = self.line.clone();
            line.message += &format!(" (repeated {} times)", self.more);
            line.emit(self.level);
            self.more = 0;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        for recent in &mut self.recent {
            recent.confess();
        }
        self.sink.flush(LAST_WORDS);
    }
}

/// Journald if stderr is the stream systemd gave us (sd-daemon(3): `JOURNAL_STREAM` is
/// `device:inode`), else plain.
fn default_format() -> Format {
    let is_stderr = |stream: &str| {
        let (device, inode) = stream.split_once(':')?;
        let stat = nix::sys::stat::fstat(io::stderr()).ok()?;
        Some(device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
    };
    match std::env::var("JOURNAL_STREAM") {
        Ok(stream) if is_stderr(&stream) == Some(true) => Format::Journald,
        Ok(_) | Err(_) => Format::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::notice::{Level, Phase, Why};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a log writes while `work` uses it.
    fn written(work: impl FnOnce(&mut Log)) -> Vec<String> {
        let kept = Kept::default();
        let sink = Sink::start(Format::Plain, false, kept.clone()).expect("a thread");
        let subscriber = tracing_subscriber::registry().with(sink.clone());
        tracing::subscriber::with_default(subscriber, || {
            let mut log = Log::over(sink);
            work(&mut log);
        });
        let text = String::from_utf8(kept.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        text.lines().map(|line| line[28..].to_owned()).collect()
    }

    fn text(text: &str) -> Notice {
        Notice {
            router: None,
            what: What::Text {
                level: Level::Warn,
                text: text.into(),
            },
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn repeated_lines_are_counted_and_the_count_is_told_once_a_second() {
        let lines = written(|log| {
            for step in 0..25 {
                log.tell(at(step * 100), &text("same"));
            }
        });
        assert_eq!(
            lines,
            [
                " WARN same",
                " WARN same (repeated 9 times)",
                " WARN same (repeated 10 times)",
                " WARN same (repeated 5 times)",
            ]
        );
    }

    #[test]
    fn a_line_told_again_after_its_second_is_a_new_line() {
        let lines = written(|log| {
            log.tell(at(0), &text("same"));
            log.tell(at(1000), &text("same"));
        });
        assert_eq!(lines, [" WARN same", " WARN same"]);
    }

    #[test]
    fn transitions_are_never_swallowed() {
        let entering = Notice {
            router: Some("VI_1".into()),
            what: What::Entering {
                from: Phase::Init,
                to: Phase::Backup,
                priority: 100,
                why: Why::Startup,
                seq: 1,
            },
        };
        let lines = written(|log| {
            log.tell(at(0), &entering);
            log.tell(at(1), &entering);
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            " INFO (VI_1) Entering BACKUP STATE (was INIT, effective priority 100): start"
        );
    }

    #[test]
    fn memory_of_lines_is_bounded_and_loses_no_count() {
        let lines = written(|log| {
            for _ in 0..2 {
                for number in 0..20 {
                    log.tell(at(0), &text(&format!("line {number}")));
                }
            }
            log.tell(at(0), &text("line 19"));
            assert_eq!(log.recent.len(), REMEMBERED);
        });
        assert_eq!(lines.len(), 41);
        assert_eq!(lines[40], " WARN line 19 (repeated 1 times)");
    }
}
