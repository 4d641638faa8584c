//! Watching directories for entries that come, go and are written.

use crate::os::error::{OsError, doing};
use crate::os::sys::Readable;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags as Flags, InitFlags, Inotify, WatchDescriptor};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// One watched directory. Two paths to the same directory have the same watch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(WatchDescriptor);

/// What happened in a watched directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Something became of this entry: look what it is now.
    Entry {
        /// In which directory.
        watch: Watch,
        /// Its name there.
        name: OsString,
    },
    /// The directory was removed, moved or unmounted; it is not watched any more.
    Lost(Watch),
    /// The kernel dropped some: look at everything.
    Overflow,
}

/// All watched directories.
pub struct Directories {
    inotify: Inotify,
    ready: Readable,
}

impl Directories {
    /// Nothing is watched yet.
    ///
    /// *Panics* outside a tokio runtime.
    ///
    /// # Errors
    /// No descriptor, or the limit `fs.inotify.max_user_instances`.
    pub fn open() -> Result<Self, OsError> {
        let what = "inotify: cannot watch directories";
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| {
                OsError::new(what, errno)
                    .hint("EMFILE: raise the sysctl fs.inotify.max_user_instances")
            })?;
        // The same open file: its readiness is the original's.
        let twin = inotify.as_fd().try_clone_to_owned().map_err(doing(what))?;
        let ready = Readable::new(twin).map_err(doing(what))?;
        Ok(Self { inotify, ready })
    }

    /// Watches a directory, or finds the watch that it has.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2); ENOSPC means the sysctl `fs.inotify.max_user_watches`.
    pub fn add(&self, dir: &Path) -> io::Result<Watch> {
        // IN_CREATE: links and symbolic links come without being written.
        let events = Flags::IN_CLOSE_WRITE
            | Flags::IN_CREATE
            | Flags::IN_DELETE
            | Flags::IN_MOVED_FROM
            | Flags::IN_MOVED_TO
            | Flags::IN_DELETE_SELF
            | Flags::IN_MOVE_SELF
            | Flags::IN_ONLYDIR;
        Ok(Watch(self.inotify.add_watch(dir, events)?))
    }

    /// Watches it no longer; it may be lost already.
    pub fn remove(&self, watch: Watch) {
        let _ = self.inotify.rm_watch(watch.0);
    }

    /// Waits until something happened and appends it.
    ///
    /// It may be dropped while it waits and called again: nothing is lost.
    ///
    /// # Errors
    /// Those of read(2).
    pub async fn changes(&self, into: &mut Vec<Change>) -> io::Result<()> {
        let events = self
            .ready
            .read(|| {
                loop {
                    match self.inotify.read_events() {
                        Err(Errno::EINTR) => {}
                        other => return Ok(other?),
                    }
                }
            })
            .await?;
        for event in events {
            let watch = Watch(event.wd);
            if event.mask.contains(Flags::IN_Q_OVERFLOW) {
                into.push(Change::Overflow);
            } else if event.mask.intersects(
                Flags::IN_DELETE_SELF | Flags::IN_MOVE_SELF | Flags::IN_UNMOUNT | Flags::IN_IGNORED,
            ) {
                if event.mask.contains(Flags::IN_MOVE_SELF) {
                    // The watch would go along with the directory.
                    self.remove(watch);
                }
                into.push(Change::Lost(watch));
            } else if let Some(name) = event.name {
                into.push(Change::Entry { watch, name });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;
    use tokio::time::timeout;

    async fn names(directories: &Directories, of: Watch, until: &str) -> Vec<String> {
        let mut changes = Vec::new();
        let mut names = Vec::new();
        while !names.iter().any(|name| name == until) {
            timeout(Duration::from_secs(10), directories.changes(&mut changes))
                .await
                .expect("the kernel tells within 10 s")
                .expect("inotify can be read");
            for change in changes.drain(..) {
                match change {
                    Change::Entry { watch, name } => {
                        assert_eq!(watch, of, "only one directory is watched");
                        names.push(name.into_string().expect("a name of ours"));
                    }
                    Change::Lost(_) => names.push("LOST".to_owned()),
                    Change::Overflow => panic!("a few changes fit"),
                }
            }
        }
        names
    }

    #[tokio::test]
    async fn written_moved_linked_and_deleted_entries_are_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let directories = Directories::open().expect("it can be watched");
        let watch = directories.add(dir.path()).expect("it can be watched");
        assert_eq!(
            directories
                .add(&dir.path().join("."))
                .expect("it can be watched"),
            watch
        );
        let path = |name: &str| dir.path().join(name);
        fs::write(path("written"), "1").expect("the file system obeys");
        names(&directories, watch, "written").await;
        fs::rename(path("written"), path("moved")).expect("the file system obeys");
        let seen = names(&directories, watch, "moved").await;
        assert!(seen.contains(&"written".to_owned()), "{seen:?}");
        fs::hard_link(path("moved"), path("linked")).expect("the file system obeys");
        names(&directories, watch, "linked").await;
        fs::remove_file(path("linked")).expect("the file system obeys");
        names(&directories, watch, "linked").await;
    }

    #[tokio::test]
    async fn a_directory_that_goes_is_told_once_it_is_gone() {
        let parent = tempfile::tempdir().expect("a folder");
        let directories = Directories::open().expect("it can be watched");
        for way in ["removed", "moved"] {
            let dir = parent.path().join(way);
            fs::create_dir(&dir).expect("the file system obeys");
            let watch = directories.add(&dir).expect("it can be watched");
            if way == "moved" {
                fs::rename(&dir, parent.path().join("elsewhere")).expect("the file system obeys");
            } else {
                fs::remove_dir(&dir).expect("the file system obeys");
            }
            names(&directories, watch, "LOST").await;
        }
        assert!(directories.add(&parent.path().join("never")).is_err());
    }
}
