//! Files: the only place that reads them, and the map from every byte to file, line and column.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All files together may be so large.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// A stretch of bytes in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span {
    /// Which file, in the order they were read.
    pub file: u32,
    /// Offset of the first byte.
    pub at: u32,
    /// Bytes.
    pub len: u32,
}

impl Span {
    /// From the start of `self` to the end of `last`, if both lie in one file.
    pub fn to(self, last: Self) -> Self {
        if self.file == last.file && last.at >= self.at {
            Self {
                len: last.at + last.len - self.at,
                ..self
            }
        } else {
            self
        }
    }

    /// The empty span after its last byte.
    pub fn end(self) -> Self {
        Self {
            at: self.at + self.len,
            len: 0,
            ..self
        }
    }
}

/// The files a configuration came from.
#[derive(Default, Debug)]
pub struct Sources {
    files: Vec<SourceFile>,
    total: usize,
}

#[derive(Debug)]
struct SourceFile {
    name: String,
    text: Arc<str>,
    /// Offsets at which lines begin.
    lines: Vec<u32>,
}

impl Sources {
    /// Adds a text under a name.
    pub(super) fn add(&mut self, name: &str, text: String) -> u32 {
        let mut lines = vec![0];
        lines.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(at, _)| number(at + 1)),
        );
        self.total += text.len();
        self.files.push(SourceFile {
            name: name.to_owned(),
            text: text.into(),
            lines,
        });
        number(self.files.len() - 1)
    }

    /// Bytes that may still be read.
    pub(super) fn room(&self) -> usize {
        MAX_BYTES.saturating_sub(self.total)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Name of a file, as it was found.
    pub fn name(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |f| &f.name)
    }

    /// Text of a file; signs of the private area stand for bytes that are not UTF-8.
    pub fn text(&self, file: u32) -> Arc<str> {
        self.files
            .get(file as usize)
            .map_or_else(|| "".into(), |f| f.text.clone())
    }

    /// Line and column of a place, both from 1, columns in characters.
    pub fn locate(&self, span: Span) -> (usize, usize) {
        let Some(file) = self.files.get(span.file as usize) else {
            return (1, 1);
        };
        let line = file.lines.partition_point(|start| *start <= span.at);
        let start = file.lines.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let column = file
            .text
            .get(start as usize..span.at as usize)
            .map_or(0, |s| s.chars().count());
        (line, column + 1)
    }

    /// `file:line:col`.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.locate(span);
        format!("{}:{line}:{column}", self.name(span.file))
    }

    /// The line a span begins in, from 1.
    pub fn line_of(&self, span: Span) -> usize {
        self.files.get(span.file as usize).map_or(1, |f| {
            f.lines.partition_point(|start| *start <= span.at).max(1)
        })
    }

    /// Bytes of the line a span begins in.
    pub(super) fn line_len(&self, span: Span) -> usize {
        let Some(file) = self.files.get(span.file as usize) else {
            return 0;
        };
        let line = self.line_of(span);
        let start = file.lines.get(line - 1).copied().unwrap_or(0) as usize;
        let end = file
            .lines
            .get(line)
            .map_or(file.text.len(), |next| *next as usize);
        end.saturating_sub(start)
    }

    /// The whole lines from `from` to `to` without the last line's end, and the offset they begin at.
    pub(super) fn lines(&self, from: Span, to: Span) -> (String, u32) {
        let Some(file) = self.files.get(from.file as usize) else {
            return (String::new(), 0);
        };
        let start = file.lines.get(self.line_of(from) - 1).copied().unwrap_or(0);
        let end = file
            .lines
            .get(self.line_of(to))
            .map_or(file.text.len(), |next| *next as usize);
        let text = file.text.get(start as usize..end).unwrap_or("");
        (text.trim_end_matches(['\n', '\r']).to_owned(), start)
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.files
            .get(span.file as usize)
            .and_then(|f| f.text.get(span.at as usize..(span.at + span.len) as usize))
            .unwrap_or("")
    }
}

/// Offsets fit: no more than [`MAX_BYTES`] are ever read.
pub(super) fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A file as it was found.
pub(super) struct Found {
    /// Its text; signs of the private area stand for bytes that are not UTF-8.
    pub(super) text: String,
    /// It has an execute bit: keepalived does not read such a file.
    pub(super) executable: bool,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The system says so.
    Io(std::io::Error),
    /// A directory, device, socket or pipe.
    NotAFile,
    /// The limit on all files together would be passed.
    TooLarge,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::TooLarge => write!(f, "all files together are larger than {MAX_BYTES} bytes"),
        }
    }
}

/// Reads one file of at most `room` bytes. A pipe or device is not waited for.
pub(super) fn read(path: &Path, room: usize) -> Result<Found, Unreadable> {
    let meta = fs::metadata(path).map_err(Unreadable::Io)?;
    if !meta.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(room as u64 + 1).read_to_end(&mut bytes))
        .map_err(Unreadable::Io)?;
    // Each stand-in takes three bytes, so the text is measured again.
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => with_stand_ins(e.as_bytes()),
    };
    if text.len() > room {
        return Err(Unreadable::TooLarge);
    }
    Ok(Found {
        text,
        executable: meta.permissions().mode() & 0o111 != 0,
    })
}

/// A byte that is no part of UTF-8 is kept as a sign of the private area that stands for it.
const STAND_IN: u32 = 0xf700;

pub(super) fn with_stand_ins(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let signs = chunk.invalid().iter().map(|b| STAND_IN + u32::from(*b));
        text.extend(signs.filter_map(char::from_u32));
    }
    text
}

/// Whether a sign stands for a byte that is no part of UTF-8.
pub(super) fn is_stand_in(sign: char) -> bool {
    matches!(u32::from(sign), 0xf780..=0xf7ff)
}

/// The bytes of a text as they stood in the file.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for sign in text.chars() {
        if is_stand_in(sign) {
            bytes.push(u32::from(sign).to_le_bytes()[0]);
        } else {
            bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    bytes
}

/// The host's node name up to the first dot: keepalived's default for `@id` lines.
pub(super) fn node_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or("").to_owned()
}

/// The alternatives of the first `{a,b}` lists, fully expanded; at most `limit` of them.
pub(super) fn alternatives(pattern: &str, limit: usize) -> Vec<String> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(next) = todo.pop() {
        if done.len() + todo.len() >= limit {
            done.push(next);
            break;
        }
        match first_list(&next) {
            None => done.push(next),
            Some((open, close)) => {
                let (head, tail) = (&next[..open], &next[close + 1..]);
                let choices = split_list(&next[open + 1..close]);
                todo.extend(choices.iter().rev().map(|c| format!("{head}{c}{tail}")));
            }
        }
    }
    done
}

fn first_list(pattern: &str) -> Option<(usize, usize)> {
    let open = pattern.find('{')?;
    let mut depth = 0;
    for (at, c) in pattern[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((open, open + at));
                }
            }
            _ => {}
        }
    }
    None
}

fn split_list(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Whether a pattern can match more than itself.
pub(super) fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// The files a pattern without brace lists names, sorted; a pattern without wildcard names itself
/// if it exists.
pub(super) fn matches(pattern: &str) -> Vec<PathBuf> {
    if !has_wildcard(pattern) {
        let path = PathBuf::from(pattern);
        return if fs::symlink_metadata(&path).is_ok() {
            vec![path]
        } else {
            Vec::new()
        };
    }
    glob::glob_with(
        pattern,
        glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        },
    )
    .map(|paths| paths.flatten().collect())
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_knows_its_line_and_column() {
        let mut sources = Sources::default();
        let file = sources.add("a", "ab\n\u{e4}x y\n".to_owned());
        let at = |at| Span { file, at, len: 1 };
        assert_eq!(sources.locate(at(0)), (1, 1));
        assert_eq!(sources.locate(at(2)), (1, 3));
        assert_eq!(sources.locate(at(5)), (2, 2));
        assert_eq!(sources.place(at(7)), "a:2:4");
        assert_eq!(sources.lines(at(5), at(5)), ("\u{e4}x y".to_owned(), 3));
    }

    #[test]
    fn brace_lists_are_expanded_in_order() {
        assert_eq!(
            alternatives("a{1,2}b{x,y}", 99),
            ["a1bx", "a1by", "a2bx", "a2by"]
        );
        assert_eq!(alternatives("plain", 99), ["plain"]);
        assert_eq!(alternatives("a{1,{2,3}}", 99), ["a1", "a2", "a3"]);
        assert_eq!(alternatives("open{1", 99), ["open{1"]);
        assert!(alternatives(&"{a,b}".repeat(40), 64).len() <= 65);
    }

    #[test]
    fn a_directory_is_not_read_and_bad_bytes_come_back() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(read(dir.path(), 10), Err(Unreadable::NotAFile)));
        let file = dir.path().join("latin1");
        fs::write(&file, b"p\xe4ss").expect("written");
        let text = read(&file, 99).expect("readable").text;
        assert!(text.chars().any(is_stand_in));
        assert_eq!(bytes(&text), b"p\xe4ss");
        assert_eq!(bytes("p\u{e4}"), b"p\xc3\xa4");
        assert!(matches!(read(&file, 3), Err(Unreadable::TooLarge)));
    }
}
