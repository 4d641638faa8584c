//! What a line looks like: plain text for people, JSON for machines.

use crate::obs::line::Line;
use serde::Serialize;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Longest text of one line; what lies beyond is cut and says so.
const LONGEST: usize = 4096;

/// Wall-clock time with microseconds: `2026-11-21T00:30:00.123456Z`.
pub(super) fn wall_time() -> String {
    let mut text = String::with_capacity(32);
    // Only writing to the String could fail, and that cannot.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// `2026-11-21T00:30:00.123456Z  INFO (VI_1) Entering MASTER STATE …`, control characters escaped
/// so that no script's output can forge a line.
pub(super) fn plain(at: &str, level: Level, line: &Line, colour: bool) -> String {
    let mut text = String::with_capacity(at.len() + line.message.len() + 24);
    let (on, off) = match (colour, level) {
        (false, _) => ("", ""),
        (true, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
        (true, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
        (true, Level::INFO) => ("\x1b[32m", "\x1b[0m"),
        (true, Level::DEBUG | Level::TRACE) => ("\x1b[2m", "\x1b[0m"),
    };
    text += at;
    text += " ";
    text += on;
    text += &format!("{:>5}", level.as_str());
    text += off;
    text += " ";
    for c in cut(&line.message).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if line.message.len() > LONGEST {
        text += " … (cut)";
    }
    text.push('\n');
    text
}

/// One object on one line; `ts`, `level` and `message` always, other keys when there is something
/// to say.
pub(super) fn json(at: &str, level: Level, line: &Line) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        ts: &'a str,
        level: &'a str,
        #[serde(flatten)]
        line: &'a Line,
    }
    let level = match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    };
    let object = Object {
        ts: at,
        level,
        line,
    };
    // Strings and numbers alone: there is nothing that JSON could refuse.
    let mut text = serde_json::to_string(&object).unwrap_or_default();
    text.push('\n');
    text
}

/// At most [`LONGEST`] bytes, ending between two characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_stand_in_columns_and_cannot_be_forged() {
        let line = Line::text("(VI_1) Entering MASTER STATE\n2026 fake\x1b[2J".to_owned());
        let text = plain("T", Level::INFO, &line, false);
        assert_eq!(
            text,
            "T  INFO (VI_1) Entering MASTER STATE\\n2026 fake\\u{1b}[2J\n"
        );
        assert!(plain("T", Level::WARN, &line, true).contains("\x1b[33m WARN\x1b[0m "));
    }

    #[test]
    fn wall_time_has_microseconds_and_ends_in_z() {
        let now = wall_time();
        assert_eq!(now.len(), "2026-11-21T00:30:00.123456Z".len(), "{now}");
        assert!(now.ends_with('Z') && now.as_bytes()[10] == b'T', "{now}");
    }

    #[test]
    fn json_has_only_the_keys_that_mean_something() {
        let mut line = Line::text("hello \"you\"\n".to_owned());
        line.seq = Some(3);
        let text = json("T", Level::WARN, &line);
        assert_eq!(
            text,
            "{\"ts\":\"T\",\"level\":\"warn\",\"message\":\"hello \\\"you\\\"\\n\",\"seq\":3}\n"
        );
    }

    #[test]
    fn a_huge_text_is_cut_between_characters() {
        let line = Line::text("é".repeat(5000));
        let text = plain("T", Level::INFO, &line, false);
        assert!(text.len() < LONGEST + 40);
        assert!(text.ends_with("… (cut)\n"));
    }
}
