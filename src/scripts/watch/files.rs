//! Tracked files: watched in their directories, and looked at every second where that is not possible.

use super::News;
use super::value::{self, Content};
use crate::model::seen::TrackedSeen;
use crate::model::settings::FileSettings;
use crate::model::time::Instant;
use crate::os::clock;
use crate::os::inotify::{Change, Directories, Watch};
use nix::errno::Errno;
use nix::sys::statfs::{self, FsType, statfs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at what cannot be watched.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks whether a watched directory is still the one at its path.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);
/// A file that is empty all of a sudden may be half written; it is believed after so long.
const DOUBT: Duration = Duration::from_millis(50);

/// All tracked files.
#[derive(Debug)]
pub struct Files {
    watched: Option<Directories>,
    dirs: BTreeMap<PathBuf, Dir>,
    entries: Vec<Entry>,
    look_at: Instant,
    /// No directory can be watched, and that was said.
    unwatched: bool,
    changes: Vec<Change>,
    news: VecDeque<News>,
}

/// A directory with tracked files.
#[derive(Debug, Default)]
struct Dir {
    state: State,
    /// What was said of it last.
    said: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// The kernel tells; device and inode say which directory it is.
    Watched { watch: Watch, is: (u64, u64) },
    /// Its files are looked at every second.
    #[default]
    Slow,
    /// Reading there could hang: its files count as missing.
    Refused,
}

#[derive(Debug)]
struct Entry {
    settings: Arc<FileSettings>,
    path: PathBuf,
    dir: PathBuf,
    base: OsString,
    value: Option<i32>,
    /// The trouble that was said last.
    said: Option<Content>,
    /// When an empty file is believed.
    doubt: Option<Instant>,
    /// A symbolic link, whose target may change elsewhere, or trouble that may pass.
    slow: bool,
}

impl Entry {
    fn new(settings: &Arc<FileSettings>) -> Self {
        let path = PathBuf::from(&*settings.path);
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        Self {
            settings: settings.clone(),
            base: path.file_name().unwrap_or_default().to_owned(),
            path,
            dir,
            value: None,
            said: None,
            doubt: None,
            slow: false,
        }
    }
}

impl Files {
    /// Begins; every file is told at once, then when its number changes. Writes the files of
    /// `init_file`.
    ///
    /// *Panics* outside a tokio runtime.
    pub fn new(settings: &[Arc<FileSettings>]) -> Self {
        let mut files = Self {
            watched: None,
            dirs: BTreeMap::new(),
            entries: Vec::new(),
            look_at: Instant::ZERO,
            unwatched: false,
            changes: Vec::new(),
            news: VecDeque::new(),
        };
        for settings in settings.iter().filter(|f| f.external.is_none()) {
            if let Err(error) = init(settings) {
                let name = &settings.name;
                files.news.push_back(News::warn(format!(
                    "track_file {name}: {}: cannot write init_file: {error}",
                    settings.path
                )));
            }
        }
        files.set(settings);
        files
    }

    /// Tracks these from now on, reads all of them again and tells them.
    pub fn set(&mut self, settings: &[Arc<FileSettings>]) {
        let mut known = std::mem::take(&mut self.entries);
        for settings in settings.iter().filter(|f| f.external.is_none()) {
            let mut entry = Entry::new(settings);
            let same = |old: &Entry| {
                old.settings.name == settings.name && old.settings.path == settings.path
            };
            if let Some(index) = known.iter().position(same) {
                let old = known.swap_remove(index);
                // A number out of range leaves this one in force.
                entry.value = old.value;
                entry.said = old.said;
                self.news
                    .extend(old.value.map(|value| seen(settings, value)));
            }
            self.entries.push(entry);
        }
        self.forget_dirs();
        for entry in &self.entries {
            self.dirs.entry(entry.dir.clone()).or_default();
        }
        for dir in self.dirs.values_mut() {
            if dir.state == State::Refused {
                dir.state = State::Slow;
            }
        }
        self.look(clock::now(), true);
    }

    /// The next news, if there is any without waiting.
    pub fn try_next(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The next news. It may be dropped while it waits and called again: nothing is lost.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            if self.entries.is_empty() {
                return std::future::pending().await;
            }
            let now = clock::now();
            self.turn(now);
            if !self.news.is_empty() {
                continue;
            }
            let pause = self.due().since(now);
            let (watched, changes) = (&self.watched, &mut self.changes);
            let kernel = async {
                match watched {
                    Some(directories) => directories.changes(changes).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                heard = kernel => self.hear(heard),
            }
        }
    }

    // ---- time ------------------------------------------------------------------------------------

    fn turn(&mut self, now: Instant) {
        if now >= self.look_at {
            self.look(now, false);
        }
        for index in 0..self.entries.len() {
            if self.entries[index].doubt.is_some_and(|at| now >= at) {
                self.read(index, now);
            }
        }
    }

    fn due(&self) -> Instant {
        let doubts = self.entries.iter().filter_map(|entry| entry.doubt);
        doubts.fold(self.look_at, Instant::min)
    }

    /// Looks at every directory, and at the files that nobody tells of, or at all of them.
    fn look(&mut self, now: Instant, all: bool) {
        let mut read: BTreeSet<usize> = BTreeSet::new();
        let dirs: Vec<PathBuf> = self.dirs.keys().cloned().collect();
        for dir in dirs {
            let fresh = self.look_at_dir(&dir);
            for (index, entry) in self.entries.iter().enumerate() {
                if entry.dir == dir && (fresh || all || entry.slow || self.is_slow(&dir)) {
                    read.insert(index);
                }
            }
        }
        for index in read {
            self.read(index, now);
        }
        let slow = self.entries.iter().any(|entry| entry.slow)
            || self.dirs.keys().any(|dir| self.is_slow(dir));
        self.look_at = now + if slow { LOOK_EVERY } else { CONFIRM_EVERY };
    }

    fn is_slow(&self, dir: &Path) -> bool {
        self.dirs
            .get(dir)
            .is_some_and(|dir| dir.state == State::Slow)
    }

    // ---- directories -----------------------------------------------------------------------------

    /// Sees to it that a directory is watched, if it can be; true if what was known of its files
    /// does not hold any more.
    fn look_at_dir(&mut self, path: &Path) -> bool {
        let Some(dir) = self.dirs.get(path) else {
            return false;
        };
        let before = dir.state;
        if before == State::Refused {
            return false;
        }
        let (state, say) = self.place(path, before);
        if let State::Watched { watch, .. } = before
            && state != before
        {
            self.drop_watch(watch, path);
        }
        let Some(dir) = self.dirs.get_mut(path) else {
            return false;
        };
        dir.state = state;
        if say.is_some() && dir.said != say {
            self.news.extend(say.clone().map(News::warn));
        } else if say.is_none() && dir.said.is_some() {
            let shown = path.display();
            self.news.push_back(News::info(format!(
                "{shown}: tracked files are watched again"
            )));
        }
        dir.said = say;
        state != before
    }

    /// What a directory is now, and what is to be said of it.
    fn place(&mut self, path: &Path, before: State) -> (State, Option<String>) {
        let shown = path.display();
        let is = match fs::metadata(path) {
            Ok(of) if of.is_dir() => (of.dev(), of.ino()),
            Ok(_) => {
                let say = format!(
                    "{shown}: not a directory; tracked files in it count as 0 until it is one"
                );
                return (State::Slow, Some(say));
            }
            Err(error) => {
                let say = format!(
                    "{shown}: {error}; tracked files in it count as 0, and it is looked for every second"
                );
                return (State::Slow, Some(say));
            }
        };
        if let State::Watched { is: known, .. } = before
            && known == is
        {
            return (before, None);
        }
        match statfs(path).map(|of| kind(of.filesystem_type())) {
            Ok(Kind::Local) => {}
            Ok(Kind::Silent) => {
                let say = format!(
                    "{shown}: changes on this file system are not told (inotify); tracked files in it \
                     are read every second"
                );
                return (State::Slow, Some(say));
            }
            Ok(Kind::Remote) => {
                let say = format!(
                    "{shown}: on a network file system, or one made by a program: reading could hang; \
                     tracked files in it count as 0 (choose a local directory, such as /run)"
                );
                return (State::Refused, Some(say));
            }
            Err(errno) => {
                let say = format!("{shown}: {}; looked at every second", errno.desc());
                return (State::Slow, Some(say));
            }
        }
        let Some(directories) = self.directories() else {
            // That was said once for all of them.
            return (State::Slow, None);
        };
        match directories.add(path) {
            Ok(watch) => (State::Watched { watch, is }, None),
            Err(error) => {
                let hint = if error.raw_os_error() == Some(Errno::ENOSPC as i32) {
                    " (raise the sysctl fs.inotify.max_user_watches)"
                } else {
                    ""
                };
                let say = format!(
                    "{shown}: cannot be watched: {error}{hint}; tracked files in it are read every second"
                );
                (State::Slow, Some(say))
            }
        }
    }

    fn directories(&mut self) -> Option<&Directories> {
        if self.watched.is_none() {
            match Directories::open() {
                Ok(directories) => self.watched = Some(directories),
                Err(error) if !self.unwatched => {
                    self.unwatched = true;
                    self.news.push_back(News::warn(format!(
                        "{error}; tracked files are read every second"
                    )));
                }
                Err(_) => {}
            }
        }
        self.watched.as_ref()
    }

    /// Two paths may lead to one directory, which has one watch.
    fn drop_watch(&self, watch: Watch, of: &Path) {
        let shared = self.dirs.iter().any(|(path, dir)| {
            path != of && matches!(dir.state, State::Watched { watch: other, .. } if other == watch)
        });
        if let (false, Some(directories)) = (shared, &self.watched) {
            directories.remove(watch);
        }
    }

    /// Lets go of directories without tracked files.
    fn forget_dirs(&mut self) {
        let unused = |dir: &Path| !self.entries.iter().any(|entry| entry.dir == dir);
        let unused: Vec<PathBuf> = self.dirs.keys().filter(|d| unused(d)).cloned().collect();
        for path in unused {
            if let Some(Dir {
                state: State::Watched { watch, .. },
                ..
            }) = self.dirs.remove(&path)
            {
                self.drop_watch(watch, &path);
            }
        }
    }

    fn hear(&mut self, heard: io::Result<()>) {
        let now = clock::now();
        if let Err(error) = heard {
            self.watched = None;
            for dir in self.dirs.values_mut() {
                dir.state = State::Slow;
            }
            self.news.push_back(News::warn(format!(
                "inotify: {error}; tracked files are watched anew"
            )));
            self.look_at = now + LOOK_EVERY;
            return;
        }
        let mut read = BTreeSet::new();
        let mut changes = std::mem::take(&mut self.changes);
        for change in changes.drain(..) {
            match change {
                Change::Entry { watch, name } => read.extend(self.named(watch, &name)),
                Change::Lost(watch) => {
                    for dir in self.dirs.values_mut() {
                        if matches!(dir.state, State::Watched { watch: lost, .. } if lost == watch)
                        {
                            dir.state = State::Slow;
                            self.look_at = now;
                        }
                    }
                }
                Change::Overflow => read.extend(0..self.entries.len()),
            }
        }
        self.changes = changes;
        for index in read {
            self.read(index, now);
        }
    }

    fn named(&self, watch: Watch, name: &OsStr) -> impl Iterator<Item = usize> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(move |(index, entry)| {
                let state = self.dirs.get(&entry.dir)?.state;
                let here = matches!(state, State::Watched { watch: its, .. } if its == watch);
                (here && entry.base == name).then_some(index)
            })
    }

    // ---- files -----------------------------------------------------------------------------------

    fn read(&mut self, index: usize, now: Instant) {
        let entry = &mut self.entries[index];
        let refused = self.dirs.get(&entry.dir).map(|dir| dir.state) == Some(State::Refused);
        let content = if refused {
            Content::Missing
        } else {
            entry.slow = fs::symlink_metadata(&entry.path).is_ok_and(|of| of.is_symlink());
            value::read(&entry.path)
        };
        let doubt = entry.doubt.take();
        let (value, say) = match content {
            Content::Number(number) => (number, None),
            Content::Missing => (0, None),
            Content::Empty if entry.value.is_some_and(|value| value != 0) => {
                let until = doubt.unwrap_or(now + DOUBT);
                if now < until {
                    entry.doubt = Some(until);
                    return;
                }
                (0, None)
            }
            Content::Empty => (0, None),
            Content::OutOfRange => (
                entry.value.unwrap_or(0),
                Some("holds a number beyond 32 bits, which is ignored".to_owned()),
            ),
            Content::NotAFile => (0, Some("is not a regular file; it counts as 0".to_owned())),
            Content::Unreadable(errno) => {
                entry.slow = true;
                let why = Errno::from_raw(errno).desc();
                (0, Some(format!("cannot be read: {why}; it counts as 0")))
            }
            Content::Trouble(errno) => {
                entry.slow = true;
                let why = Errno::from_raw(errno).desc();
                (
                    entry.value.unwrap_or(0),
                    Some(format!("cannot be read: {why}; its last number stands")),
                )
            }
        };
        if say.is_some() && entry.said != Some(content) {
            let (name, path) = (&entry.settings.name, &entry.settings.path);
            self.news
                .extend(say.map(|say| News::warn(format!("track_file {name}: {path} {say}"))));
            entry.said = Some(content);
        } else if say.is_none() {
            entry.said = None;
        }
        if entry.slow {
            self.look_at = self.look_at.min(now + LOOK_EVERY);
        }
        if entry.value != Some(value) {
            entry.value = Some(value);
            self.news.push_back(seen(&entry.settings, value));
        }
    }
}

fn seen(settings: &FileSettings, value: i32) -> News {
    News::Seen(TrackedSeen::File {
        name: settings.name.clone(),
        value,
    })
}

/// Writes the number of `init_file`, if it is to be written.
fn init(settings: &FileSettings) -> io::Result<()> {
    let Some(value) = settings.init else {
        return Ok(());
    };
    let path = Path::new(&*settings.path);
    let mut options = File::options();
    options.write(true).mode(0o644).custom_flags(
        // Nobody reads a FIFO yet.
        nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY,
    );
    let mut file = match options.create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !settings.overwrite {
                return Ok(());
            }
            let file = options.create_new(false).open(path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            file.set_len(0)?;
            file
        }
        Err(error) => return Err(error),
    };
    writeln!(file, "{value}")
}

/// What a file system means for watching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Changes are told.
    Local,
    /// They are not, or not all.
    Silent,
    /// Another machine or a program answers, or does not.
    Remote,
}

fn kind(of: FsType) -> Kind {
    match of {
        statfs::NFS_SUPER_MAGIC
        | statfs::SMB_SUPER_MAGIC
        | statfs::FUSE_SUPER_MAGIC
        | statfs::AFS_SUPER_MAGIC
        | statfs::CODA_SUPER_MAGIC
        | statfs::NCP_SUPER_MAGIC => Kind::Remote,
        statfs::PROC_SUPER_MAGIC
        | statfs::SYSFS_MAGIC
        | statfs::CGROUP_SUPER_MAGIC
        | statfs::CGROUP2_SUPER_MAGIC
        | statfs::DEBUGFS_MAGIC
        | statfs::TRACEFS_MAGIC
        | statfs::SECURITYFS_MAGIC
        | statfs::SELINUX_MAGIC
        | statfs::DEVPTS_SUPER_MAGIC
        | statfs::OCFS2_SUPER_MAGIC => Kind::Silent,
        // Those that nix has no names for.
        FsType(magic) => match magic as u32 {
            CIFS | SMB2 | CEPH | PLAN_9 => Kind::Remote,
            GFS2 => Kind::Silent,
            _ => Kind::Local,
        },
    }
}

const CIFS: u32 = 0xff53_4d42;
const SMB2: u32 = 0xfe53_4d42;
const CEPH: u32 = 0x00c3_6400;
const PLAN_9: u32 = 0x0102_1997;
const GFS2: u32 = 0x0116_1970;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: &Path, init: Option<i32>, overwrite: bool) -> FileSettings {
        FileSettings {
            external: None,
            name: "f".into(),
            path: path.to_str().expect("a path of ours").into(),
            weight: 1,
            reverse: false,
            init,
            overwrite,
        }
    }

    #[test]
    fn init_file_writes_a_missing_file_and_an_existing_one_only_to_overwrite() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("value");
        let text = || fs::read_to_string(&path).expect("readable");
        init(&settings(&path, None, true)).expect("the file system obeys");
        assert!(!path.exists());
        init(&settings(&path, Some(-7), false)).expect("the file system obeys");
        assert_eq!(text(), "-7\n");
        init(&settings(&path, Some(1), false)).expect("the file system obeys");
        assert_eq!(text(), "-7\n");
        init(&settings(&path, Some(1), true)).expect("the file system obeys");
        assert_eq!(text(), "1\n");
        assert!(init(&settings(dir.path(), Some(1), true)).is_err());
        assert!(init(&settings(&dir.path().join("no/value"), Some(1), false)).is_err());
    }

    #[test]
    fn init_file_does_not_wait_for_the_reader_of_a_fifo() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("the file system obeys");
        assert!(init(&settings(&path, Some(1), true)).is_err());
        assert!(
            init(&settings(&path, Some(1), false)).is_ok(),
            "it is there"
        );
    }

    #[test]
    fn file_systems_are_told_apart() {
        let of = |path: &str| kind(statfs(path).expect("it is there").filesystem_type());
        assert_eq!(of("/proc"), Kind::Silent);
        assert_eq!(of("/"), Kind::Local);
        assert_eq!(kind(FsType(0x6969)), Kind::Remote, "NFS");
    }

    #[test]
    fn a_path_without_a_directory_is_looked_for_in_the_working_directory() {
        let mut settings = settings(Path::new("value"), None, false);
        let entry = Entry::new(&Arc::new(settings.clone()));
        assert_eq!((entry.dir, entry.base), (".".into(), "value".into()));
        settings.path = "/value".into();
        let entry = Entry::new(&Arc::new(settings));
        assert_eq!((entry.dir, entry.base), ("/".into(), "value".into()));
    }
}
