//! The list of what this run put into the kernel, for the next run if this one is killed.
//!
//! One line for each change, appended before an address is added and after one is gone; so after a
//! kill it may name an address that never came, but it never misses one that did. The first line
//! carries the kernel's boot id: after a reboot nothing of it is there any more.

use crate::model::addr::Cidr;
use crate::model::ids::LinkId;
use crate::os::error::{OsError, doing};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the file in the runtime directory.
pub const FILE: &str = "ledger";

const FORM: &str = "mainstay-ledger 1";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// So many lines that no longer matter are borne.
const SLACK: usize = 4096;

/// One address on one link.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Entry {
    /// The link's index.
    pub link: LinkId,
    /// The link's name when it was added.
    pub name: Arc<str>,
    /// The address.
    pub cidr: Cidr,
}

/// The file, open for this run.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    boot: String,
    file: File,
    entries: BTreeSet<Entry>,
    lines: usize,
    text: String,
}

impl Ledger {
    /// Begins the list of this run; `carry` is what the last run left and nobody has removed yet.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn create(path: &Path, carry: &[Entry]) -> Result<Self, OsError> {
        let boot = boot_id().map_err(doing(format!("cannot read {BOOT_ID}")))?;
        Self::begin(path, carry, boot).map_err(|error| {
            OsError::new(format!("cannot write {}", path.display()), error)
                .hint("the runtime directory must be writable")
        })
    }

    fn begin(path: &Path, carry: &[Entry], boot: String) -> io::Result<Self> {
        let entries: BTreeSet<Entry> = carry.iter().cloned().collect();
        let file = rewrite(path, &boot, &entries)?;
        Ok(Self {
            path: path.to_owned(),
            boot,
            file,
            lines: entries.len(),
            entries,
            text: String::new(),
        })
    }

    /// What the list at `path` names; `None` if there is none or it is of another boot.
    ///
    /// Lines that make no sense are skipped; a file that is neither ours nor root's counts for
    /// nothing, or any user could have addresses removed or kept.
    pub fn read(path: &Path) -> Option<Vec<Entry>> {
        let mut file = File::open(path).ok()?;
        let owner = file.metadata().ok()?.uid();
        if owner != 0 && owner != geteuid().as_raw() {
            return None;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        parse(&String::from_utf8_lossy(&text), &boot_id().ok()?)
    }

    /// What is listed now.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Notes that these are about to be added; one write.
    pub fn adding<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> io::Result<()> {
        for entry in entries {
            if !self.entries.contains(entry) {
                self.entries.insert(entry.clone());
                self.note('+', entry);
            }
        }
        self.write()
    }

    /// Notes that these are gone; one write.
    pub fn removed<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> io::Result<()> {
        for entry in entries {
            if self.entries.remove(entry) {
                self.note('-', entry);
            }
        }
        self.write()
    }

    fn note(&mut self, sign: char, entry: &Entry) {
        line(&mut self.text, sign, entry);
        self.lines += 1;
    }

    fn write(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(self.text.as_bytes());
        self.text.clear();
        written?;
        if self.lines > self.entries.len() + SLACK {
            self.file = rewrite(&self.path, &self.boot, &self.entries)?;
            self.lines = self.entries.len();
        }
        Ok(())
    }
}

/// Writes the whole list beside the old one and puts it in its place.
fn rewrite(path: &Path, boot: &str, entries: &BTreeSet<Entry>) -> io::Result<File> {
    let mut text = format!("{FORM} {boot}\n");
    for entry in entries {
        line(&mut text, '+', entry);
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&beside, path)?;
    Ok(file)
}

fn line(text: &mut String, sign: char, entry: &Entry) {
    // Names hold neither spaces nor line ends: the kernel refuses them.
    let _ = writeln!(
        text,
        "{sign} {} {} {}",
        entry.link.0, entry.name, entry.cidr
    );
}

fn parse(text: &str, boot: &str) -> Option<Vec<Entry>> {
    let (head, lines) = text.split_once('\n')?;
    if head.strip_prefix(FORM)?.trim() != boot {
        return None;
    }
    let mut entries = BTreeSet::new();
    // The last line may be cut off; without its line end a prefix length may lack a digit.
    for line in lines.split_inclusive('\n') {
        match parse_line(line) {
            Some((true, entry)) => {
                entries.insert(entry);
            }
            Some((false, entry)) => {
                entries.remove(&entry);
            }
            None => {}
        }
    }
    Some(entries.into_iter().collect())
}

fn parse_line(line: &str) -> Option<(bool, Entry)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let added = match words.next()? {
        "+" => true,
        "-" => false,
        _ => return None,
    };
    let link = LinkId(words.next()?.parse().ok()?);
    let name = words.next().filter(|name| !name.is_empty())?;
    let (addr, len) = words.next()?.split_once('/')?;
    let cidr = Cidr::new(addr.parse::<IpAddr>().ok()?, len.parse().ok()?)?;
    if words.next().is_some() {
        return None;
    }
    let name = Arc::from(name);
    Some((added, Entry { link, name, cidr }))
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(link: u32, last: u8) -> Entry {
        Entry {
            link: LinkId(link),
            name: Arc::from("eth0"),
            cidr: Cidr::new(IpAddr::from([10, 0, 0, last]), 24).unwrap(),
        }
    }

    #[test]
    fn the_next_run_reads_what_was_added_and_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(Ledger::read(&path), None);
        let mut ledger = Ledger::create(&path, &[entry(7, 9)]).unwrap();
        ledger.adding(&[entry(2, 1), entry(2, 2)]).unwrap();
        ledger.removed(&[entry(2, 1), entry(3, 1)]).unwrap();
        let left = Ledger::read(&path).unwrap();
        assert_eq!(left, [entry(2, 2), entry(7, 9)]);
        assert!(ledger.entries().eq(&left));
    }

    #[test]
    fn a_list_that_another_user_wrote_counts_for_nothing() {
        if !geteuid().is_root() {
            eprintln!("SKIP a_list_that_another_user_wrote_counts_for_nothing: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        Ledger::create(&path, &[entry(2, 1)]).unwrap();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert_eq!(Ledger::read(&path), None);
    }

    #[test]
    fn a_list_of_another_boot_counts_for_nothing() {
        let text = format!("{FORM} aaaa\n+ 2 eth0 10.0.0.1/24\n");
        assert_eq!(parse(&text, "bbbb"), None);
        assert_eq!(parse(&text, "aaaa"), Some(vec![entry(2, 1)]));
    }

    #[test]
    fn lines_that_make_no_sense_are_skipped_and_so_is_one_cut_off() {
        let text = format!(
            "{FORM} b\n+ 2 eth0 10.0.0.1/24\n+ x eth0 10.0.0.2/24\n* 2 eth0 10.0.0.3/24\n\
             + 2 eth0 10.0.0.4/33\n+ 2 eth0\n\n+ 2 eth0 10.0.0.5/24 more\n+ 2 eth0 10.0.0.6/2"
        );
        assert_eq!(parse(&text, "b"), Some(vec![entry(2, 1)]));
        assert_eq!(parse("", "b"), None);
    }

    #[test]
    fn a_long_run_does_not_grow_the_file_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut ledger = Ledger::create(&path, &[]).unwrap();
        ledger.adding(&[entry(2, 1)]).unwrap();
        for _ in 0..SLACK {
            ledger.adding(&[entry(2, 2)]).unwrap();
            ledger.removed(&[entry(2, 2)]).unwrap();
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= SLACK + 2, "{lines} lines");
        assert_eq!(Ledger::read(&path).unwrap(), [entry(2, 1)]);
    }
}
