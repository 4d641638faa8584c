//! The text that is left when includes, conditions, variables and loops are resolved, each line with
//! its origin.

use super::diag::Diagnostic;
use super::lexer::reference_len;
use super::source::{self, Sources, Span};
use super::{Options, is_toml, read_file};
use std::fmt::Write as _;
use std::path::Path;

/// Lines as they are read after expansion.
#[derive(Default)]
pub(super) struct Trace {
    lines: Vec<(String, Span, bool)>,
}

impl Trace {
    /// Keeps one; `addition` if it stood in a comment that begins with `#@mainstay`.
    pub(super) fn line(&mut self, text: &str, origin: Span, addition: bool) {
        if !text.is_empty() {
            self.lines.push((text.to_owned(), origin, addition));
        }
    }
}

/// A configuration in one text.
#[derive(Debug)]
pub struct Expanded {
    /// The text, which can be read again, here and by keepalived.
    pub text: Vec<u8>,
    /// Everything there is to say about the original.
    pub diagnostics: Vec<Diagnostic>,
    /// The files it came from.
    pub sources: Sources,
}

/// Reads a file and what it includes, and gives what is left as one text with the origin of each line.
///
/// TOML knows neither includes nor variables, so it is given as it is.
pub fn expand(path: &Path, options: &Options) -> Expanded {
    let mut trace = Trace::default();
    let loaded = read_file(path, options, Some(&mut trace)).loaded;
    let text = if is_toml(&path.display().to_string()) {
        loaded.sources.text(0).to_string()
    } else {
        text(&trace, &loaded.sources)
    };
    Expanded {
        text: source::bytes(&text),
        diagnostics: loaded.diagnostics,
        sources: loaded.sources,
    }
}

fn text(trace: &Trace, sources: &Sources) -> String {
    let mut out = String::new();
    let mut depth = 0usize;
    for (text, origin, addition) in &trace.lines {
        let Shape {
            opened,
            closed,
            leading,
            open_quote,
        } = shape(text);
        let indent = "    ".repeat(depth.saturating_sub(leading));
        depth = (depth + opened).saturating_sub(closed);
        let mark = if *addition { "#@mainstay " } else { "" };
        let name = sources.name(origin.file).replace(char::is_control, "?");
        let place = format!("# {name}:{}", sources.line_of(*origin));
        let text = escaped(text);
        // An open quote would swallow the comment.
        let _ = if open_quote {
            writeln!(out, "{indent}{place}\n{indent}{mark}{text}")
        } else {
            writeln!(out, "{indent}{mark}{text}  {place}")
        };
    }
    out
}

/// What a line does to the depth of blocks.
struct Shape {
    opened: usize,
    closed: usize,
    /// Braces that close before anything else stands on the line.
    leading: usize,
    /// A double quote is not closed.
    open_quote: bool,
}

fn shape(text: &str) -> Shape {
    let mut shape = Shape {
        opened: 0,
        closed: 0,
        leading: 0,
        open_quote: false,
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut first = true;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => shape.open_quote = !shape.open_quote,
            b'$' if !shape.open_quote => {
                if let Some(len) = reference_len(&text[at..]) {
                    at += len;
                    first = false;
                    continue;
                }
            }
            b'{' if !shape.open_quote => shape.opened += 1,
            b'}' if !shape.open_quote => {
                shape.closed += 1;
                if first {
                    shape.leading += 1;
                }
            }
            _ => {}
        }
        first &= matches!(byte, b'}' | b' ' | b'\t');
        at += 1;
    }
    shape
}

/// Signs that would begin a comment get their backslash again.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '#' | '!' if !quoted => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{exit_code, load_str};
    use std::fs;

    #[test]
    fn what_is_left_reads_as_the_original() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(
            path("main.conf"),
            "$IF=eth0\nglobal_defs {\n router_id \"a # b\" # why\n #@mainstay vip_mismatch drop\n \
             @other router_id x\n}\ninclude part*\n",
        )
        .expect("written");
        fs::write(
            path("part1"),
            "$BODY=\\\nvrrp_instance V$i { \\\n interface $IF\\\n virtual_router_id $i\\\n \
             virtual_ipaddress { 10.0.0.$i }\\\n authentication {\\\n auth_type PASS\\\n auth_pass a\\#b\\\n }\\\n}\n\
             ~SEQ(i, 2) $BODY\n",
        )
        .expect("written");
        let options = Options {
            config_id: Some("this".into()),
            ..Options::default()
        };
        let expanded = expand(&path("main.conf"), &options);
        let text = std::str::from_utf8(&expanded.text).expect("UTF-8");
        let original = crate::conf::load(&path("main.conf"), &options);
        let again = load_str("again.conf", text, &Options::default());
        assert_eq!(again.settings, original.settings, "{text}");
        assert_eq!(exit_code(&again.diagnostics, false), 0, "{text}");
        let routers = again.settings.expect("usable").routers;
        assert_eq!(routers.len(), 2, "{text}");
        for gone in ["include", "$", "~SEQ", "@other"] {
            assert!(!text.contains(gone), "{gone} is still there:\n{text}");
        }
        let place = format!("interface eth0  # {}:3", path("part1").display());
        assert!(text.contains(&place), "{place} is not in\n{text}");
        assert!(
            text.contains("    #@mainstay vip_mismatch drop  # "),
            "{text}"
        );
        assert!(text.contains("        auth_pass a\\#b  # "), "{text}");
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_origin() {
        let mut trace = Trace::default();
        trace.line("a \"b", Span::default(), false);
        let mut sources = Sources::default();
        sources.add("f", String::new());
        assert_eq!(text(&trace, &sources), "# f:1\na \"b\n");
    }
}
