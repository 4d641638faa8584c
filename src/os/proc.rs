//! What /proc says of processes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of `stat` up to the state: number, name (the kernel's own threads have up to 64) and state.
const STAT: usize = 192;

/// A mounted /proc and room to read into.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    buffer: Vec<u8>,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at(Path::new("/proc"))
    }
}

impl Proc {
    /// One that is mounted elsewhere.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            buffer: Vec::new(),
        }
    }

    /// All processes, in no order; threads are not among them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            pids.extend(
                entry?
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u32>().ok()),
            );
        }
        Ok(pids)
    }

    /// The name of its program, which the kernel cuts to 15 bytes; `None` if it is gone.
    pub fn comm(&mut self, pid: u32) -> Option<&[u8]> {
        let text = self.read(pid, "comm", 128)?;
        Some(text.strip_suffix(b"\n").unwrap_or(text))
    }

    /// At most `most` bytes of its arguments, each with a NUL at its end; empty for zombies and the
    /// kernel's own, `None` if it is gone.
    pub fn cmdline(&mut self, pid: u32, most: usize) -> Option<&[u8]> {
        self.read(pid, "cmdline", most)
    }

    /// It is there and not a zombie.
    pub fn is_alive(&mut self, pid: u32) -> bool {
        self.read(pid, "stat", STAT)
            .and_then(state)
            .is_some_and(|state| !matches!(state, b'Z' | b'X' | b'x'))
    }

    fn read(&mut self, pid: u32, what: &str, most: usize) -> Option<&[u8]> {
        let mut path = self.root.join(pid.to_string());
        path.push(what);
        self.buffer.clear();
        File::open(path)
            .ok()?
            .take(most as u64)
            .read_to_end(&mut self.buffer)
            .ok()?;
        Some(&self.buffer)
    }
}

/// The letter after the name, which may hold parentheses and blanks itself.
fn state(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_state_stands_behind_the_last_parenthesis() {
        assert_eq!(state(b"17 (cat) S 1 17"), Some(b'S'));
        assert_eq!(state(b"17 (a) Z (b) R 1 17"), Some(b'R'));
        assert_eq!(state(b"17 (cat"), None);
        assert_eq!(state(b"17 (cat)"), None);
    }

    #[test]
    fn our_own_process_is_listed_alive_and_called_by_its_arguments() {
        let mut proc = Proc::default();
        let ourselves = std::process::id();
        assert!(proc.pids().expect("it can be read").contains(&ourselves));
        assert!(proc.is_alive(ourselves));
        let first = std::env::args().next().expect("a name of ours");
        let line = proc.cmdline(ourselves, 4096).expect("it can be read");
        assert!(line.starts_with(first.as_bytes()));
        assert_eq!(proc.cmdline(ourselves, 3).map(<[u8]>::len), Some(3));
    }

    #[test]
    fn a_zombie_is_there_but_not_alive_and_then_gone() {
        let mut proc = Proc::default();
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        assert!(proc.is_alive(child.id()));
        assert_eq!(proc.comm(child.id()), Some(&b"cat"[..]));
        // cat ends with its input; then its output does, and nobody has waited for it.
        drop(child.stdin.take());
        let mut output = child.stdout.take().expect("piped");
        output.read_to_end(&mut Vec::new()).expect("readable");
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), flags).expect("a child of ours");
        assert!(proc.pids().expect("it can be read").contains(&child.id()));
        assert!(!proc.is_alive(child.id()));
        child.wait().expect("a child of ours");
        assert!(!proc.is_alive(child.id()));
        assert_eq!(proc.comm(child.id()), None);
    }
}
