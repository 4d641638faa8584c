//! The number in a tracked file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// So much of a file is read.
const MOST: u64 = 127;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// This number; text that is none counts as 0.
    Number(i32),
    /// Nothing at all, which may be a writer's first half.
    Empty,
    /// A number beyond 32 bits.
    OutOfRange,
    /// There is no such file.
    Missing,
    /// Something that is not a file.
    NotAFile,
    /// It may not be read (errno).
    Unreadable(i32),
    /// Trouble of ours or of the disk (errno), which says nothing of the value.
    Trouble(i32),
}

/// Reads a file. A FIFO or a device is not waited for.
pub fn read(path: &Path) -> Content {
    let opened = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => return failed(&error),
    };
    match file.metadata() {
        Ok(of) if !of.is_file() => return Content::NotAFile,
        Ok(_) => {}
        Err(error) => return failed(&error),
    }
    let mut bytes = Vec::with_capacity(128);
    match file.take(MOST).read_to_end(&mut bytes) {
        Ok(0) => Content::Empty,
        Ok(_) => parse(&bytes).map_or(Content::OutOfRange, Content::Number),
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Content {
    use nix::libc::{EACCES, EIO, ELOOP, ENOENT, ENOTDIR, ENXIO, EPERM};
    match error.raw_os_error() {
        Some(ENOENT | ENOTDIR) => Content::Missing,
        Some(errno @ (EACCES | EPERM | ELOOP)) => Content::Unreadable(errno),
        // A FIFO or socket, or a device that is not there.
        Some(ENXIO) => Content::NotAFile,
        errno => Content::Trouble(errno.unwrap_or(EIO)),
    }
}

/// The number at the beginning, as C reads it: blanks, a sign, then decimal, 0x hexadecimal or
/// 0 octal; whatever follows does not count, and none is 0. `None` if it needs more than 32 bits.
pub fn parse(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii_start();
    // C counts the vertical tab as blank, too.
    let start = text
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && *byte != 0x0b)
        .unwrap_or(text.len());
    let text = text.get(start..).unwrap_or(&[]);
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let mut number: i64 = 0;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(base) else {
            break;
        };
        number = number
            .saturating_mul(base.into())
            .saturating_add(digit.into());
    }
    i32::try_from(if negative { -number } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("12\n", 12),
            (" \t\n\x0b\x0c\r+7 and more", 7),
            ("-254", -254),
            ("0x1F", 31),
            ("-0X10", -16),
            ("010", 8),
            ("08", 0),
            ("0x", 0),
            ("0xg", 0),
            ("12abc", 12),
            ("up", 0),
            ("- 5", 0),
            ("--5", 0),
            ("", 0),
            ("\0 5", 0),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(number), "{text:?}");
        }
    }

    #[test]
    fn more_than_32_bits_is_no_number() {
        let long = "9".repeat(127);
        for text in ["2147483648", "-2147483649", "0x100000000", &long] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(format!("-{long}").as_bytes()), None);
    }

    #[test]
    fn a_file_is_told_from_what_is_none_without_waiting() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        assert_eq!(read(&path("none")), Content::Missing);
        assert_eq!(read(&path("none/below")), Content::Missing);
        assert_eq!(read(dir.path()), Content::NotAFile);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU)
            .expect("the file system obeys");
        assert_eq!(read(&path("fifo")), Content::NotAFile);
        fs::write(path("empty"), "").expect("the file system obeys");
        assert_eq!(read(&path("empty")), Content::Empty);
        fs::write(path("big"), "4294967296").expect("the file system obeys");
        assert_eq!(read(&path("big")), Content::OutOfRange);
        std::os::unix::fs::symlink("loop", path("loop")).expect("the file system obeys");
        assert_eq!(read(&path("loop")), Content::Unreadable(nix::libc::ELOOP));
    }

    #[test]
    fn what_stands_behind_127_bytes_does_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("value");
        fs::write(&path, format!("{}12", " ".repeat(126))).expect("the file system obeys");
        assert_eq!(read(&path), Content::Number(1));
        fs::write(&path, format!("{}12", " ".repeat(127))).expect("the file system obeys");
        assert_eq!(read(&path), Content::Number(0));
    }
}
