//! Living daemons find each other by abstract unix sockets, one for each runtime directory.
//!
//! Such a name belongs to the network namespace, like the addresses it speaks for, and goes with the
//! process, however it ends. What a living daemon put into the kernel stands in its ledger.

use crate::os::error::{OsError, doing};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

const PREFIX: &[u8] = b"mainstay:";
/// What an abstract name may hold (unix(7): sun_path without its first byte).
const LONGEST: usize = 107;

/// Held for as long as this daemon lives.
#[derive(Debug)]
pub struct Claim {
    _socket: UnixDatagram,
    dir: PathBuf,
}

impl Claim {
    /// The directory as it was claimed: absolute, without symbolic links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Claims a runtime directory, which must exist.
///
/// # Errors
/// EADDRINUSE when another living daemon in this network namespace has it; a name too long.
pub fn claim(dir: &Path) -> Result<Claim, OsError> {
    let what = || format!("cannot claim the runtime directory {}", dir.display());
    let dir = fs::canonicalize(dir).map_err(doing(what()))?;
    let name = [PREFIX, dir.as_os_str().as_bytes()].concat();
    if name.len() > LONGEST || name.contains(&b'\n') {
        let error = io::Error::from(io::ErrorKind::InvalidFilename);
        return Err(OsError::new(what(), error).hint("choose one of at most 98 bytes"));
    }
    let address = SocketAddr::from_abstract_name(&name).map_err(doing(what()))?;
    let socket = UnixDatagram::bind_addr(&address).map_err(|error| {
        let taken = error.kind() == io::ErrorKind::AddrInUse;
        let error = OsError::new(what(), error);
        if taken {
            error.hint("another mainstay runs with it; choose another by --runtime-dir")
        } else {
            error
        }
    })?;
    Ok(Claim {
        _socket: socket,
        dir,
    })
}

/// Runtime directories of the daemons that live in this thread's network namespace, ours included.
///
/// # Errors
/// Those of reading /proc.
pub fn living() -> io::Result<Vec<PathBuf>> {
    // Not /proc/net: that is the namespace of the process's first thread.
    Ok(parse(&fs::read("/proc/thread-self/net/unix")?))
}

fn parse(table: &[u8]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let at = line.windows(2).position(|pair| pair == b" @")?;
            let dir = line.get(at + 2..)?.strip_prefix(PREFIX)?;
            Some(PathBuf::from(OsStr::from_bytes(dir)))
        })
        .filter(|dir| dir.is_absolute())
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_directory_is_living_until_it_is_let_go_and_cannot_be_claimed_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        assert!(!living().unwrap().contains(&path));
        let held = claim(dir.path()).unwrap();
        assert_eq!(held.dir(), path);
        assert!(living().unwrap().contains(&path));
        let error = claim(&path.join(".")).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EADDRINUSE));
        assert!(error.to_string().contains("another mainstay"));
        drop(held);
        assert!(!living().unwrap().contains(&path));
    }

    #[test]
    fn only_our_abstract_names_count() {
        let table = b"Num RefCount Protocol Flags Type St Inode Path\n\
            0: 00000002 0 0 0002 01 2 /run/mainstay\n\
            0: 00000002 0 0 0002 01 3 @mainstay:/run/a b\n\
            0: 00000002 0 0 0002 01 4 @other:/run/c\n\
            0: 00000002 0 0 0002 01 5\n";
        assert_eq!(parse(table), [PathBuf::from("/run/a b")]);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let text = claim(&long).unwrap_err().to_string();
        assert!(text.contains("98 bytes"), "{text}");
    }
}
