//! What operators asked for, written down before it is done, so that it outlives a reboot.

use crate::daemon::kept;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "intents.json";
/// The list in it.
const KEY: &str = "intents";

/// What is asked of an instance for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    Drain,
    Takeover,
}

impl Wish {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Takeover => "takeover",
        }
    }
}

/// One intent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) instance: Arc<str>,
    pub(super) what: Wish,
    pub(super) force: bool,
    /// Nobody had taken over when it left by force.
    #[serde(default)]
    pub(super) alone: bool,
    /// Wall clock in microseconds since 1970, as the next two.
    pub(super) since_us: u64,
    pub(super) until_us: Option<u64>,
    pub(super) uid: u32,
    pub(super) reason: Option<Arc<str>>,
}

/// All of them; the file is always as this list is.
#[derive(Debug)]
pub(super) struct Intents {
    dir: PathBuf,
    list: Vec<Written>,
}

impl Intents {
    /// Reads what is left of earlier runs. A file that cannot be read is moved aside and told of,
    /// because a drain may be lost with it.
    pub(super) fn open(dir: &Path) -> (Self, Option<String>) {
        let lost = "drains and takeovers of earlier runs cannot be read and are not in force";
        let (list, remark) = kept::open(dir, FILE, KEY, lost);
        let dir = dir.to_path_buf();
        (Self { dir, list }, remark)
    }

    /// Writes one down, in the place of an earlier one for that instance, which is returned.
    pub(super) fn put(&mut self, written: Written) -> io::Result<Option<Written>> {
        let mut list = self.list.clone();
        let at = list.iter().position(|w| w.instance == written.instance);
        let before = at.map(|at| list.remove(at));
        list.push(written);
        self.keep(list)?;
        Ok(before)
    }

    /// Strikes out those of these instances; returns them.
    pub(super) fn strike(&mut self, instances: &[Arc<str>]) -> io::Result<Vec<Written>> {
        let (gone, list): (Vec<_>, Vec<_>) = self
            .list
            .iter()
            .cloned()
            .partition(|w| instances.contains(&w.instance));
        if !gone.is_empty() {
            self.keep(list)?;
        }
        Ok(gone)
    }

    pub(super) fn of(&self, instance: &str) -> Option<&Written> {
        self.list.iter().find(|w| *w.instance == *instance)
    }

    pub(super) fn all(&self) -> &[Written] {
        &self.list
    }

    /// Instances whose intent is over.
    pub(super) fn expired(&self, now_us: u64) -> Vec<Arc<str>> {
        let over = |w: &&Written| w.until_us.is_some_and(|until| until <= now_us);
        let expired = self.list.iter().filter(over);
        expired.map(|w| w.instance.clone()).collect()
    }

    fn keep(&mut self, list: Vec<Written>) -> io::Result<()> {
        kept::write(&self.dir, FILE, KEY, &list)?;
        self.list = list;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(instance: &str, until_us: Option<u64>) -> Written {
        Written {
            instance: instance.into(),
            what: Wish::Drain,
            force: false,
            alone: false,
            since_us: 1,
            until_us,
            uid: 0,
            reason: Some("upgrade".into()),
        }
    }

    #[test]
    fn what_is_written_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut intents, remark) = Intents::open(dir.path());
        assert_eq!(remark, None);
        assert_eq!(intents.put(written("a", None)).expect("written"), None);
        intents.put(written("b", Some(50))).expect("written");
        let before = intents.put(written("a", Some(9))).expect("written");
        assert_eq!(
            before,
            Some(written("a", None)),
            "the earlier one comes back"
        );
        let (mut again, remark) = Intents::open(dir.path());
        assert_eq!(remark, None);
        assert_eq!(again.all(), [written("b", Some(50)), written("a", Some(9))]);
        assert_eq!(again.expired(9), ["a".into()]);
        assert_eq!(again.strike(&["a".into()]).expect("written").len(), 1);
        assert_eq!(again.of("a"), None);
        assert_eq!(Intents::open(dir.path()).0.all(), [written("b", Some(50))]);
    }

    #[test]
    fn a_damaged_file_is_told_of_and_kept_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        for text in ["", "{", r#"{"form":9,"intents":[]}"#, "\u{0}\u{0}"] {
            fs::write(dir.path().join(FILE), text).expect("written");
            let (intents, remark) = Intents::open(dir.path());
            assert!(intents.all().is_empty());
            let remark = remark.expect("told of");
            assert!(remark.contains("not in force"), "{remark}");
            assert!(dir.path().join("intents.damaged").exists());
            assert!(!dir.path().join(FILE).exists());
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(FILE);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let (mut intents, remark) = Intents::open(dir.path());
        let remark = remark.expect("told of");
        assert!(remark.contains("not a regular file"), "{remark}");
        intents.put(written("a", None)).expect("written");
        assert_eq!(Intents::open(dir.path()).0.all(), [written("a", None)]);
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut intents, _) = Intents::open(dir.path());
        intents.put(written("a", None)).expect("written");
        fs::remove_dir_all(dir.path()).expect("removed");
        assert!(intents.put(written("b", None)).is_err());
        assert_eq!(intents.all(), [written("a", None)]);
    }
}
