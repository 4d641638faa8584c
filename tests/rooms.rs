//! Holds the rooms to the import table of the crate's front page.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may import, and what it must do without.
struct Room {
    name: &'static str,
    may: &'static [&'static str],
    bans: Bans,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bans {
    /// No clock, socket, file, thread, chance, log or runtime.
    World,
    /// Only what is banned everywhere.
    Nothing,
}

const ROOMS: &[Room] = &[
    Room {
        name: "model",
        may: &[],
        bans: Bans::World,
    },
    Room {
        name: "wire",
        may: &["model"],
        bans: Bans::World,
    },
    Room {
        name: "core",
        may: &["model", "wire"],
        bans: Bans::World,
    },
    Room {
        name: "conf",
        may: &["model"],
        bans: Bans::Nothing,
    },
    Room {
        name: "os",
        may: &["model", "wire"],
        bans: Bans::Nothing,
    },
    Room {
        name: "scripts",
        may: &["model", "os"],
        bans: Bans::Nothing,
    },
    Room {
        name: "ctl",
        may: &["model"],
        bans: Bans::Nothing,
    },
    Room {
        name: "obs",
        may: &["model"],
        bans: Bans::Nothing,
    },
    Room {
        name: "sim",
        may: &["core", "wire", "model", "conf"],
        bans: Bans::World,
    },
    Room {
        name: "proof",
        may: &["core", "conf", "model", "sim"],
        bans: Bans::World,
    },
    Room {
        name: "daemon",
        may: &[
            "model", "wire", "core", "conf", "os", "scripts", "ctl", "obs", "sim",
        ],
        bans: Bans::Nothing,
    },
    Room {
        name: "cli",
        may: &[
            "model", "wire", "core", "conf", "os", "scripts", "ctl", "obs", "sim", "proof",
            "daemon",
        ],
        bans: Bans::Nothing,
    },
];

/// What a room without a world must not name, as a path or at its beginning.
const WORLDLY: &[&str] = &[
    "tokio",
    "nix",
    "socket2",
    "libc",
    "tracing",
    "rand",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "std::thread",
    "std::process",
    "std::os",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
];

/// Packages that rooms without a world may not name even though others may.
const MODEL_AND_CORE: &[&str] = &["pnet", "serde_json", "clap"];

/// Calls that have one home each.
const HOMES: &[(&str, &str)] = &[
    ("Instant::now", "src/os/clock.rs"),
    ("SystemTime::now", "src/os/clock.rs"),
    (".uid(", "src/scripts/runner.rs"),
    (".gid(", "src/scripts/runner.rs"),
    (".groups(", "src/scripts/runner.rs"),
    (".pre_exec(", "src/os/sys.rs"),
];

#[test]
fn every_room_imports_what_its_row_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut read = 0;
    for room in ROOMS {
        for file in sources(&src.join(room.name)) {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            read += 1;
            for complaint in judge(room, &text) {
                wrong.push(format!("{}: {complaint}", file.display()));
            }
        }
    }
    assert!(
        read >= ROOMS.len(),
        "only {read} files were found under {}",
        src.display()
    );
    assert!(
        wrong.is_empty(),
        "the import table is broken:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_folder_of_the_crate_is_a_room_of_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<String> = fs::read_dir(&src)
        .expect("src can be listed")
        .map(|entry| entry.expect("an entry of src"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut rooms: Vec<String> = ROOMS.iter().map(|room| room.name.to_owned()).collect();
    rooms.sort();
    assert_eq!(folders, rooms);
}

#[test]
fn calls_with_one_home_stay_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for file in sources(&root.join("src")) {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let name = file
            .strip_prefix(root)
            .expect("under the root")
            .display()
            .to_string();
        for (call, home) in strays(&text, &name) {
            wrong.push(format!("{name}: {call} belongs in {home}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checker_sees_every_form_of_a_forbidden_import() {
    let core = ROOMS
        .iter()
        .find(|room| room.name == "core")
        .expect("core is a room");
    for bad in [
        "use crate::os::clock;",
        "use crate::{model::ids::Vrid, os::clock};",
        "fn f() { crate::daemon::run() }",
        "pub(crate) use crate::conf::parse as p;",
        "use crate::{\n    model::ids,\n    sim::world,\n};",
        "use tokio::time::sleep;",
        "use std::time::Instant;",
        "use std::time::{Duration, Instant};",
        "use std::{fs, time::Duration};",
        "let t = std::time::SystemTime::UNIX_EPOCH;",
        "use ::libc::c_int;",
        "fn f() { nix::unistd::getpid(); }",
        "use std::net::{IpAddr, UdpSocket};",
        "use std::thread;",
        "use super::super::os::clock;",
    ] {
        assert!(!judge(core, bad).is_empty(), "not seen: {bad}");
    }
}

#[test]
fn the_checker_lets_allowed_lines_and_comments_pass() {
    let core = ROOMS
        .iter()
        .find(|room| room.name == "core")
        .expect("core is a room");
    for good in [
        "use crate::model::time::Instant;\nuse crate::wire::advert::Advert;",
        "use crate::{model::ids::Vrid, wire::arp};",
        "use crate::core::router::Router;",
        "use std::time::Duration;",
        "use std::net::{IpAddr, Ipv4Addr};",
        "// use crate::os::clock;",
        "/* use tokio::time; /* nested */ use crate::daemon; */ fn f() {}",
        "/// See [`crate::daemon`] and tokio::time.",
        "let text = \"use crate::os::clock and tokio::time\";",
        "let text = r#\"crate::os\"#;",
        "let tokio_like = 1; let c = '\"'; let d = crate::model::ids::Vrid::new(1);",
        "use super::router::Router;",
        "mod tests { use super::super::router::Router; }",
    ] {
        assert_eq!(judge(core, good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn the_checker_sees_calls_away_from_home() {
    let code = "fn f() { let t = Instant::now(); command.uid(1); }";
    assert_eq!(strays(code, "src/core/engine.rs").len(), 2);
    assert_eq!(strays("// Instant::now()", "src/core/engine.rs"), []);
    assert_eq!(strays("Instant::now()", "src/os/clock.rs"), []);
    assert_eq!(
        strays("let who = credentials.uid();", "src/ctl/server.rs"),
        []
    );
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("an entry of a source folder").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Calls away from their home. A call without arguments is another thing: credentials have a `uid()`.
fn strays(text: &str, file: &str) -> Vec<(&'static str, &'static str)> {
    let code = without_comments(text);
    let calls = |call: &str| {
        code.match_indices(call)
            .any(|(at, _)| !code[at + call.len()..].starts_with(')') || !call.ends_with('('))
    };
    HOMES
        .iter()
        .filter(|(call, home)| file != *home && calls(call))
        .copied()
        .collect()
}

/// What is wrong with a file of this room.
fn judge(room: &Room, text: &str) -> Vec<String> {
    let code = without_comments(text);
    let mut wrong = Vec::new();
    for path in paths(&code) {
        let parts: Vec<&str> = path.split("::").collect();
        if let ["crate", other, ..] = parts[..]
            && other != room.name
            && !room.may.contains(&other)
        {
            wrong.push(format!("{} may not import {path}", room.name));
        }
        // More than one `super` may lead out of the room to another one.
        let above = parts.iter().take_while(|part| **part == "super").count();
        if above > 1
            && let Some(other) = parts.get(above)
            && *other != room.name
            && ROOMS.iter().any(|r| r.name == *other)
            && !room.may.contains(other)
        {
            wrong.push(format!("{} may not import {path}", room.name));
        }
        if room.bans == Bans::World {
            let tools: &[&str] = if matches!(room.name, "model" | "core" | "sim") {
                MODEL_AND_CORE
            } else {
                &[]
            };
            for banned in WORLDLY.iter().chain(tools) {
                if path == *banned || path.starts_with(&format!("{banned}::")) {
                    wrong.push(format!("{} must do without {path}", room.name));
                }
            }
        }
    }
    wrong
}

/// Every path with at least two parts, groups in braces taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        let first = &code[start..at];
        if code[at..].starts_with("::") || (first != "use" && preceded_by_use(&code[..start])) {
            at = follow(code, at, first.to_owned(), &mut found);
        }
    }
    found
}

fn preceded_by_use(before: &str) -> bool {
    let before = before.trim_end();
    let before = before.strip_suffix("::").unwrap_or(before).trim_end();
    before == "use"
        || before.ends_with(" use")
        || before.ends_with("\nuse")
        || before.ends_with(";use")
}

/// Follows a path from after its first part; returns where it ends.
fn follow(code: &str, mut at: usize, mut path: String, found: &mut Vec<String>) -> usize {
    loop {
        let rest = &code[at..];
        let Some(after) = rest.strip_prefix("::") else {
            break;
        };
        let skipped = after.len() - after.trim_start().len();
        let after = after.trim_start();
        let begin = at + 2 + skipped;
        if after.starts_with('{') {
            return group(code, begin + 1, &path, found);
        }
        let length = after
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(after.len());
        if length == 0 {
            break;
        }
        path.push_str("::");
        path.push_str(&after[..length]);
        at = begin + length;
    }
    found.push(path);
    at
}

/// The members of a group in braces, each with the path before it.
fn group(code: &str, mut at: usize, path: &str, found: &mut Vec<String>) -> usize {
    while at < code.len() {
        let rest = &code[at..];
        let Some(c) = rest.chars().next() else { break };
        if c == '}' {
            return at + 1;
        }
        if c.is_alphanumeric() || c == '_' {
            let length = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let word = &rest[..length];
            let whole = if word == "self" {
                path.to_owned()
            } else {
                format!("{path}::{word}")
            };
            at = follow(code, at + length, whole, found);
        } else {
            at += c.len_utf8();
        }
    }
    at
}

/// The code with comments, strings and character literals blanked out.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, &out) {
            length
        } else if c == '"' {
            string(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push(' ');
        rest = &rest[skip..];
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal, told apart from a lifetime by its closing quote.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escaped) = body.strip_prefix('\\') {
        let end = escaped.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0;
        return Some(2 + end + 1);
    }
    let c = body.chars().next()?;
    body[c.len_utf8()..]
        .starts_with('\'')
        .then(|| 2 + c.len_utf8())
}
