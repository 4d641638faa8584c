//! Where a program's stderr goes: an unlinked file in memory, kept small while anybody watches.
//!
//! Not a pipe: a service started by a notify script keeps its stderr, and must neither die of
//! SIGPIPE nor stop at a full pipe when we are gone. Not RLIMIT_FSIZE either, which such a service
//! would inherit. The file is a memfd in append mode, so `echo x > /dev/stderr` works in it as it
//! does on a terminal. [`Capture::trim`] empties it before it grows; whoever writes faster than that
//! ([`FLOOD`] between two looks), or is no longer watched when we let go of the file, gets EPERM
//! from `write` by a seal against growth. The memory is bounded either way.

use crate::scripts::protocol::{TAIL, last};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::sys::uio::pread;
use nix::unistd::ftruncate;
use std::os::fd::OwnedFd;
use std::process::Stdio;

/// Above this size the file is emptied.
const ROOM: i64 = 64 * 1024;

/// Above this size its writer is cut off.
const FLOOD: i64 = 16 * 1024 * 1024;

/// The stderr of one run.
pub(super) struct Capture {
    file: OwnedFd,
    kept: Vec<u8>,
}

impl Capture {
    /// A fresh file, and the end of it that the program gets.
    pub(super) fn new() -> nix::Result<(Self, Stdio)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(c"stderr", flags)?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        // Another user's script opens /dev/stderr anew; nobody else can reach the file.
        fchmod(&file, Mode::from_bits_truncate(0o666))?;
        let theirs = file.try_clone().map_err(|error| {
            nix::Error::from_raw(error.raw_os_error().unwrap_or(nix::libc::EMFILE))
        })?;
        let capture = Self {
            file,
            kept: Vec::new(),
        };
        Ok((capture, Stdio::from(theirs)))
    }

    /// Empties the file if it has grown, and keeps its end.
    pub(super) fn trim(&mut self) {
        let size = self.size();
        if size <= ROOM {
            return;
        }
        self.keep(size);
        let _ = ftruncate(&self.file, 0);
        if size > FLOOD {
            self.seal();
        }
    }

    /// The end of what was written up to now, as text.
    pub(super) fn tail(&mut self) -> String {
        let size = self.size();
        if size > 0 {
            self.keep(size);
        }
        let text = String::from_utf8_lossy(&self.kept);
        last(text.trim_end(), TAIL).to_owned()
    }

    /// Appends the file's end to what is kept.
    fn keep(&mut self, size: i64) {
        let mut end = [0; TAIL];
        let from = (size - TAIL as i64).max(0);
        let len = pread(&self.file, &mut end, from).unwrap_or(0);
        self.kept.extend_from_slice(end.get(..len).unwrap_or(&[]));
        let surplus = self.kept.len().saturating_sub(TAIL);
        self.kept.drain(..surplus);
    }

    fn size(&self) -> i64 {
        fstat(&self.file).map_or(0, |stat| stat.st_size)
    }

    fn seal(&self) {
        let _ = fcntl(&self.file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW));
    }
}

/// Nobody will watch it any more.
impl Drop for Capture {
    fn drop(&mut self) {
        let _ = ftruncate(&self.file, 0);
        self.seal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    fn capture() -> (Capture, File) {
        let (capture, _theirs) = Capture::new().expect("memfd");
        let file = File::from(capture.file.try_clone().expect("a descriptor"));
        (capture, file)
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let (mut capture, mut file) = capture();
        for n in 0..20_000 {
            writeln!(file, "line {n}").expect("memory");
            capture.trim();
        }
        let tail = capture.tail();
        assert!(tail.ends_with("line 19998\nline 19999"));
        assert!(tail.len() <= TAIL && tail.len() > TAIL - 20);
        assert!(capture.size() <= ROOM + 20);
    }

    #[test]
    fn a_flood_is_cut_off_but_only_with_an_error() {
        let (mut capture, mut file) = capture();
        let block = vec![b'x'; 1 << 20];
        for _ in 0..17 {
            file.write_all(&block).expect("memory");
        }
        capture.trim();
        let error = file.write_all(&block).expect_err("sealed");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EPERM));
        assert_eq!(capture.size(), 0);
    }

    #[test]
    fn nothing_grows_after_we_let_go() {
        let (capture, mut file) = capture();
        file.write_all(b"before").expect("memory");
        drop(capture);
        assert!(file.write_all(b"after").is_err());
        assert_eq!(file.metadata().expect("open").len(), 0);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let (mut capture, mut file) = capture();
        file.write_all(&[0xff; 8000]).expect("memory");
        let tail = capture.tail();
        assert!(!tail.is_empty() && tail.len() <= TAIL);
    }
}
