//! The journal's file: one JSON object a line, appended by a thread of its own, compacted in place.

use crate::model::event::Event;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Name in the state directory.
pub(super) const NAME: &str = "events.jsonl";
/// The file is compacted beyond this many bytes, whatever the number of lines ...
const LARGEST: u64 = 8 * 1024 * 1024;
/// ... or beyond this many for each event that is to be kept, if that is more.
const LARGEST_EVENT: u64 = 1024;
/// Events that may wait for a slow disk; beyond them events are missing in the file alone.
const WAITING: usize = 1024;
/// No journal has come so far; beyond it there would soon be no number left to go on with.
const HIGHEST: u64 = 1 << 62;
/// How long the end waits for a slow disk.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a file held.
pub(super) struct Loaded {
    /// The newest events, oldest first.
    pub(super) events: Vec<Event>,
    /// Lines that could not be read.
    pub(super) damaged: usize,
    /// Lines in the file.
    pub(super) lines: usize,
}

/// Reads the newest `keep` events of a file that may not exist or have a torn end.
pub(super) fn load(dir: &Path, keep: usize) -> io::Result<Loaded> {
    let mut loaded = Loaded {
        events: Vec::new(),
        damaged: 0,
        lines: 0,
    };
    let text = match newest_part(&dir.join(NAME), largest(keep)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    for line in text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
        loaded.lines += 1;
        match serde_json::from_slice::<Event>(line) {
            // A number that does not grow is of a file that was put together by hand.
            Ok(event)
                if loaded.events.last().is_none_or(|e| e.seq < event.seq)
                    && event.seq < HIGHEST =>
            {
                loaded.events.push(event);
            }
            Ok(_) | Err(_) => loaded.damaged += 1,
        }
    }
    let spare = loaded.events.len().saturating_sub(keep);
    loaded.events.drain(..spare);
    Ok(loaded)
}

fn largest(keep: usize) -> u64 {
    LARGEST.max((keep as u64).saturating_mul(LARGEST_EVENT))
}

/// The end of the file, from the beginning of a line.
fn newest_part(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    regular(path)?;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(largest);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(largest).read_to_end(&mut bytes)?;
    if skipped > 0 {
        let line = bytes.iter().position(|byte| *byte == b'\n');
        bytes.drain(..line.map_or(bytes.len(), |at| at + 1));
    }
    Ok(bytes)
}

/// Opening a FIFO or a terminal would wait for its other end.
fn regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{NAME} is not a regular file")))
    }
}

/// The near end of the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<SyncSender<Vec<u8>>>,
    keep: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the file for appending and starts the thread.
    pub(super) fn start(dir: &Path, keep: usize, lines: usize) -> io::Result<Self> {
        let path = dir.join(NAME);
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        let (queue, lines_of) = sync_channel::<Vec<u8>>(WAITING);
        let (end, ended) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let keep = Arc::new(AtomicUsize::new(keep));
        let worker = Worker {
            path,
            file: Some(file),
            keep: keep.clone(),
            lines,
            bytes,
            lost: lost.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("mainstay-events".into())
            .stack_size(128 * 1024)
            .spawn(move || {
                worker.run(&lines_of);
                let _ = end.send(());
            })?;
        Ok(Self {
            queue: Some(queue),
            keep,
            lost,
            ended,
            thread: Some(thread),
        })
    }

    /// What the file is compacted to from the next event on.
    pub(super) fn set_keep(&self, keep: usize) {
        self.keep.store(keep, Ordering::Relaxed);
    }

    /// Hands an event over; never blocks.
    pub(super) fn append(&mut self, event: &Event) {
        let Some(queue) = &self.queue else { return };
        let taken = serde_json::to_vec(event).is_ok_and(|mut line| {
            line.push(b'\n');
            queue.try_send(line).is_ok()
        });
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that did not reach the file.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        match self.ended.recv_timeout(LAST_WORDS) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
            }
            // The disk hangs: the thread is left to it.
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Opens the file at its end, and at the beginning of a line.
fn append(path: &Path) -> io::Result<File> {
    match regular(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)?;
    if !ends_a_line(path)? {
        // A torn line must not swallow the next one.
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The far end: the only place a slow disk can block.
struct Worker {
    path: PathBuf,
    file: Option<File>,
    keep: Arc<AtomicUsize>,
    lines: usize,
    bytes: u64,
    lost: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Vec<u8>>) {
        while let Ok(first) = queue.recv() {
            let mut batch = first;
            let mut lines = 1;
            while let Ok(more) = queue.try_recv() {
                batch.extend_from_slice(&more);
                lines += 1;
            }
            self.write(&batch, lines);
        }
    }

    fn write(&mut self, batch: &[u8], lines: usize) {
        if self.file.is_none() {
            self.file = append(&self.path).ok();
        }
        let done = self
            .file
            .as_mut()
            .is_some_and(|file| file.write_all(batch).is_ok() && file.sync_data().is_ok());
        if !done {
            // A full disk: perhaps the next attempt finds room. What is torn is left out when read.
            self.lost.fetch_add(lines as u64, Ordering::Relaxed);
            self.file = None;
            return;
        }
        self.lines += lines;
        self.bytes += batch.len() as u64;
        let keep = self.keep.load(Ordering::Relaxed);
        if self.lines > keep.saturating_mul(2) || self.bytes > largest(keep) {
            // If it cannot be compacted now, the next line tries again; perhaps somebody removed it.
            if self.compact(keep).is_err() {
                self.file = None;
            }
        }
    }

    /// Keeps the newest lines: a new file takes the place of the old one.
    fn compact(&mut self, keep: usize) -> io::Result<()> {
        let largest = largest(keep);
        let bytes = newest_part(&self.path, largest)?;
        let all: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let mut kept = &all[all.len().saturating_sub(keep)..];
        let size = |lines: &[&[u8]]| lines.iter().map(|l| l.len() as u64).sum::<u64>();
        while kept.len() > 1 && size(kept) > largest / 2 {
            kept = &kept[kept.len() / 2..];
        }
        let beside = self.path.with_extension("new");
        // What a crash left must not be followed or appended to.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut new = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o640)
            .open(&beside)?;
        for line in kept {
            new.write_all(line)?;
        }
        new.sync_data()?;
        fs::rename(&beside, &self.path)?;
        self.lines = kept.len();
        self.bytes = size(kept);
        self.file = Some(new);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event {
        let mut event = Event::new("transition", "moved");
        event.seq = seq;
        event
    }

    fn write(dir: &Path, keep: usize, events: impl Iterator<Item = u64>) {
        let lines = load(dir, keep).expect("readable").lines;
        let mut writer = Writer::start(dir, keep, lines).expect("a thread");
        for seq in events {
            writer.append(&event(seq));
        }
        assert_eq!(writer.lost(), 0);
    }

    fn numbers(dir: &Path, keep: usize) -> Vec<u64> {
        let loaded = load(dir, keep).expect("readable");
        loaded.events.iter().map(|e| e.seq).collect()
    }

    #[test]
    fn the_file_is_bounded_and_holds_the_newest() {
        let dir = tempfile::tempdir().expect("a folder");
        for round in 0..20 {
            write(dir.path(), 10, (round * 50 + 1)..=(round * 50 + 50));
        }
        let text = fs::read_to_string(dir.path().join(NAME)).expect("a file");
        assert!(text.lines().count() <= 21 + 50, "{}", text.lines().count());
        assert_eq!(numbers(dir.path(), 10), (991..=1000).collect::<Vec<u64>>());
        assert!(!dir.path().join("events.new").exists());
    }

    #[test]
    fn a_file_that_is_to_keep_less_is_cut_with_the_next_event() {
        let dir = tempfile::tempdir().expect("a folder");
        let lines = || {
            let text = fs::read_to_string(dir.path().join(NAME)).unwrap_or_default();
            text.lines().count()
        };
        write(dir.path(), 1000, 1..=200);
        assert_eq!(lines(), 200);
        let mut writer = Writer::start(dir.path(), 1000, 200).expect("a thread");
        writer.set_keep(16);
        writer.append(&event(201));
        drop(writer);
        assert_eq!(lines(), 16);
        assert_eq!(numbers(dir.path(), 100), (186..=201).collect::<Vec<u64>>());
    }

    #[test]
    fn a_million_events_have_room() {
        assert_eq!(largest(16), LARGEST);
        assert!(largest(1_000_000) > 1_000_000 * 500);
    }

    #[test]
    fn a_torn_end_costs_one_line_and_not_the_next() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), 10, 1..=3);
        let mut file = append(&dir.path().join(NAME)).expect("a file");
        file.write_all(b"{\"form\":1,\"seq\":4,\"wal")
            .expect("written");
        drop(file);
        let loaded = load(dir.path(), 10).expect("readable");
        assert_eq!((loaded.events.len(), loaded.damaged), (3, 1));
        write(dir.path(), 10, 5..=5);
        assert_eq!(numbers(dir.path(), 10), [1, 2, 3, 5]);
    }

    #[test]
    fn a_file_that_somebody_removed_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(NAME);
        let mut writer = Writer::start(dir.path(), 2, 0).expect("a thread");
        writer.append(&event(1));
        while load(dir.path(), 2).is_ok_and(|l| l.events.is_empty()) {
            std::thread::yield_now();
        }
        fs::remove_file(&path).expect("removed");
        for seq in 2..=40 {
            writer.append(&event(seq));
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(writer);
        assert_eq!(numbers(dir.path(), 2).last().copied(), Some(40));
    }

    #[test]
    fn garbage_is_left_out_and_never_a_death() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(NAME);
        for garbage in [
            &b"\0\0\0\0"[..],
            b"\xff\xfe\n\n\n",
            b"[]\n{}\nnull\n",
            b"\n",
        ] {
            fs::write(&path, garbage).expect("written");
            write(dir.path(), 10, 7..=7);
            assert_eq!(numbers(dir.path(), 10), [7], "{garbage:?}");
        }
    }

    #[test]
    fn a_number_that_leaves_none_to_go_on_with_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), 10, [3, u64::MAX - 1, u64::MAX].into_iter());
        assert_eq!(numbers(dir.path(), 10), [3]);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(NAME);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        assert!(load(dir.path(), 10).is_err());
        assert!(Writer::start(dir.path(), 10, 0).is_err());
    }

    #[test]
    fn numbers_that_do_not_grow_are_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), 10, [3, 2, 3, 4].into_iter());
        assert_eq!(numbers(dir.path(), 10), [3, 4]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

        #[test]
        fn a_file_torn_anywhere_loses_nothing_before_the_tear(cut: proptest::sample::Index) {
            let dir = tempfile::tempdir().expect("a folder");
            write(dir.path(), 10, 1..=5);
            let path = dir.path().join(NAME);
            let text = fs::read(&path).expect("a file");
            let cut = cut.index(text.len());
            fs::write(&path, &text[..cut]).expect("written");
            let whole = text[..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
            let mut left = numbers(dir.path(), 10);
            // A line that lacks only its end is whole.
            left.truncate(usize::try_from(whole).expect("few"));
            proptest::prop_assert_eq!(left, (1..=whole).collect::<Vec<u64>>());
            write(dir.path(), 10, 9..=9);
            proptest::prop_assert_eq!(numbers(dir.path(), 10).last().copied(), Some(9));
        }
    }

    #[test]
    fn a_giant_file_is_read_from_its_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(NAME);
        let filler = format!("{}\n", "x".repeat(1023)).repeat(9 * 1024);
        fs::write(&path, filler).expect("written");
        write(dir.path(), 10, 1..=2);
        assert_eq!(numbers(dir.path(), 10), [1, 2]);
        let size = fs::metadata(&path).expect("a file").len();
        assert!(size <= LARGEST, "compacted at once: {size}");
    }
}
