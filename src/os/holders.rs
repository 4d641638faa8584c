//! Other programs that speak VRRP here: who holds a raw socket of its protocols.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// VRRP, and AH, in which keepalived wraps it.
const PROTOCOLS: [u32; 2] = [112, 51];

/// A process that holds such a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its program, if we may know it.
    pub exe: Option<String>,
    /// Its arguments, the program first; empty if unknown.
    pub argv: Vec<String>,
}

/// The processes other than ours that hold a raw socket of protocol 112 or 51 in this thread's
/// network namespace. A socket whose process we may not look into is not found.
///
/// # Errors
/// Those of reading /proc.
pub fn raw_vrrp_holders() -> io::Result<Vec<Holder>> {
    let mut inodes = HashSet::new();
    for table in ["raw", "raw6"] {
        // Not /proc/net: that is the namespace of the process's first thread.
        match fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            Ok(text) => inodes.extend(text.lines().filter_map(inode)),
            // No IPv6 in this kernel.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let ours = i32::try_from(std::process::id()).unwrap_or(0);
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc")? {
        let Ok(process) = process else { continue };
        let name = process.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(pid) = pid.filter(|&pid| pid != ours)
            && holds(&process.path(), &inodes)
        {
            holders.push(holder(pid, &process.path()));
        }
    }
    holders.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

/// The inode in a line of /proc/net/raw, if the protocol (there called port) is one of ours.
fn inode(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    let protocol = u32::from_str_radix(port, 16).ok()?;
    if !PROTOCOLS.contains(&protocol) {
        return None;
    }
    words.nth(7)?.parse().ok()
}

fn holds(process: &Path, inodes: &HashSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let text = target.as_os_str().as_bytes();
        let inode = text
            .strip_prefix(b"socket:[")
            .and_then(|text| text.strip_suffix(b"]"))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        inode.is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

fn holder(pid: i32, process: &Path) -> Holder {
    let exe = fs::read_link(process.join("exe")).ok();
    let argv = fs::read(process.join("cmdline")).unwrap_or_default();
    Holder {
        pid,
        exe: exe.map(|path| path.to_string_lossy().into_owned()),
        argv: argv
            .split(|&byte| byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_the_port_and_the_inode_the_tenth_word() {
        let line = "  112: 00000000:0070 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                    0        0 12345 2 0000000000000000 0";
        assert_eq!(inode(line), Some(12345));
        assert_eq!(inode(&line.replace(":0070", ":0033")), Some(12345));
        assert_eq!(inode(&line.replace(":0070", ":0001")), None);
        assert_eq!(inode("  sl  local_address rem_address"), None);
        assert_eq!(inode(""), None);
    }
}
