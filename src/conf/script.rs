//! Commands, who runs them, and `vrrp_script` blocks.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::external;
use super::extras;
use super::lexer::Word;
use super::probe;
use super::source::is_stand_in;
use super::value::{self, Junk};
use crate::model::priority::Weight;
use crate::model::settings::{CheckSettings, Command, RunAs, Thresholds};
use std::sync::Arc;
use std::time::Duration;

/// The longest interval and timeout in microseconds.
const LONGEST: u64 = 4_294_000_000;

/// A command with its user: the words after `notify` and its like.
pub(super) fn command(node: &Node, diags: &mut Diags) -> Option<Command> {
    let (line, user) = node.args().split_first()?;
    let argv = argv(line, diags)?;
    if !user.is_empty() && !line.quoted {
        note_user(node, line, user, diags);
    }
    Some(Command {
        argv,
        user: run_as(user),
    })
}

/// Unquoted arguments are taken for a user and a group, which is seldom meant.
fn note_user(node: &Node, line: &Word, user: &[Word], diags: &mut Diags) {
    let (Some(first), Some(last)) = (user.first(), user.last()) else {
        return;
    };
    let plausible = user.len() <= 2 && user.iter().all(|w| user_like(&w.text));
    let text = format!(
        "`{}` is read as the user that runs {}, not as an argument",
        first.text, line.text
    );
    let words: Vec<&str> = node.args().iter().map(|w| &*w.text).collect();
    let help = format!("if an argument is meant, write \"{}\"", words.join(" "));
    let span = first.span.to(last.span);
    diags.push(
        if plausible {
            Diagnostic::note("user-or-argument", span, text)
        } else {
            Diagnostic::warning("user-or-argument", span, text)
        }
        .help(help),
    );
}

/// Whether a word could name a user or a group.
fn user_like(word: &str) -> bool {
    let word = word.strip_prefix(':').unwrap_or(word);
    let mut chars = word.chars();
    let good =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    chars
        .next()
        .is_none_or(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && chars.all(|c| good(c) || c == '$')
}

/// `USER [[:]GROUP]`. A colon asks for the user's other groups and stays with the group.
pub(super) fn run_as(words: &[Word]) -> Option<RunAs> {
    let user = words.first().filter(|w| !w.text.is_empty())?;
    let group = words.get(1).filter(|w| !w.text.is_empty());
    Some(RunAs {
        user: user.text.clone().into(),
        group: group.map(|w| w.text.clone().into()),
    })
}

/// Splits a command into program and arguments.
fn argv(word: &Word, diags: &mut Diags) -> Option<Vec<Arc<str>>> {
    let text = word.text.trim();
    // `</path` asks whether a file can be opened. It is the shell that knows this form.
    if let Some(path) = text.strip_prefix('<')
        && path.trim_start().starts_with('/')
    {
        return Some(vec!["/bin/sh".into(), "-c".into(), text.into()]);
    }
    let words = match split(text) {
        Ok(words) => words,
        Err(why) => {
            let what = format!("this command is not understood: {why}");
            diags.push(Diagnostic::error("bad-command", word.span, what));
            return None;
        }
    };
    if words.first().is_none_or(|w| w.is_empty()) {
        diags.push(
            Diagnostic::error("bad-command", word.span, "an empty command")
                .help("write the path of a program and its arguments in quotes"),
        );
        return None;
    }
    Some(words)
}

/// Words of a command: both kinds of quotes, and keepalived's escapes everywhere.
pub(super) fn split(text: &str) -> Result<Vec<Arc<str>>, &'static str> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, quote) {
            (b'\\', _) => {
                let word = word.get_or_insert_with(Vec::new);
                at += escape(bytes.get(at..).unwrap_or(&[]), word);
            }
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_with(Vec::new);
            }
            (_, Some(open)) if open == byte => quote = None,
            (b' ' | b'\t', None) => words.extend(word.take()),
            _ => word.get_or_insert_with(Vec::new).push(byte),
        }
    }
    if quote.is_some() {
        return Err("a quote in it is not closed");
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| match String::from_utf8(word) {
            Ok(word) if word.contains('\0') => Err("an argument cannot hold a NUL byte"),
            Ok(word) if word.contains(is_stand_in) => Err("an argument is not UTF-8"),
            Ok(word) => Ok(word.into()),
            Err(_) => Err("an argument is not UTF-8"),
        })
        .collect()
}

/// Appends what the escape after a backslash stands for; returns its length.
fn escape(rest: &[u8], word: &mut Vec<u8>) -> usize {
    let Some(&first) = rest.first() else {
        word.push(b'\\');
        return 0;
    };
    let run = |from: usize, most: usize, ok: fn(&u8) -> bool| {
        rest.iter()
            .skip(from)
            .take(most)
            .take_while(|b| ok(b))
            .count()
    };
    let number = |from: usize, len: usize, base: u32| {
        rest.iter().skip(from).take(len).fold(0u32, |n, b| {
            n * base + (*b as char).to_digit(base).unwrap_or(0)
        })
    };
    let (byte, len) = match first {
        b'a' => (7, 1),
        b'b' => (8, 1),
        b'E' => (27, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        b'x' if run(1, 1, u8::is_ascii_hexdigit) > 0 => {
            let digits = run(1, 2, u8::is_ascii_hexdigit);
            (u8::try_from(number(1, digits, 16)).unwrap_or(0), 1 + digits)
        }
        b'0'..=b'7' => {
            let digits = run(0, 3, |b| matches!(b, b'0'..=b'7'));
            // More than an octet keeps its lower eight bits, as in C.
            (number(0, digits, 8).to_le_bytes()[0], digits)
        }
        b'c' if rest.len() > 1 => (rest[1] & 0x1f, 2),
        other => (other, 1),
    };
    word.push(byte);
    len
}

/// A `vrrp_script`.
pub(super) struct Check {
    /// What was read.
    pub(super) settings: CheckSettings,
}

/// Reads a `vrrp_script` block.
pub(super) fn check(node: &Node, diags: &mut Diags) -> Option<Check> {
    let name = node.args().first()?;
    let mut command = None;
    let mut probe = None;
    let mut user = None;
    let mut interval = Duration::from_secs(1);
    let mut timeout = None;
    let (mut weight, mut reverse) = (Weight::FAULT, false);
    let (mut rise, mut fall) = (1, 1);
    let mut init_fail = false;
    let mut thresholds = extras::Given::default();
    for child in node.children() {
        let Some((word, args)) = child.words.split_first() else {
            continue;
        };
        let first = args.first();
        match (&*word.text, first) {
            ("script", Some(line)) => command = script_line(line, args, diags),
            ("check", Some(_)) => probe = probe::read(args, diags),
            ("user", Some(_)) => user = run_as(args),
            ("interval", Some(arg)) => {
                if let Some(time) = positive(word, arg, diags) {
                    interval = time;
                }
            }
            ("timeout", Some(arg)) => timeout = positive(word, arg, diags).or(timeout),
            ("weight", Some(arg)) => {
                weight = read_weight(word, arg, diags).unwrap_or(weight);
                reverse = reversed(args.get(1), false, diags).unwrap_or(reverse);
            }
            ("rise", Some(arg)) => rise = times(word, arg, diags).unwrap_or(rise),
            ("fall", Some(arg)) => fall = times(word, arg, diags).unwrap_or(fall),
            ("init_fail", _) => init_fail = true,
            _ => thresholds.read(word, args, diags),
        }
    }
    let thresholds = thresholds.settle(node, diags);
    let external = external::read(node, diags);
    if external.is_some() {
        command = Some(vec!["external".into()]);
        (probe, user) = (None, None);
        (interval, timeout) = (Duration::from_secs(1), None);
    } else if probe.is_some() {
        command = probe::instead(node, diags);
    }
    let Some(argv) = command else {
        let given = |n: &Node| matches!(n.name(), "script" | "check") && !n.args().is_empty();
        if node.children().iter().any(given) {
            return None;
        }
        diags.push(
            Diagnostic::error(
                "script-without-command",
                name.span,
                format!("{} has no script; nothing can track it", name.text),
            )
            .help("add a line: script \"/path/to/program arguments\""),
        );
        return None;
    };
    Some(Check {
        settings: CheckSettings {
            name: name.text.clone().into(),
            command: Command { argv, user },
            probe,
            external,
            interval,
            timeout: timeout.unwrap_or(interval),
            weight,
            reverse,
            rise,
            fall,
            init_fail,
            thresholds,
            unusable: None,
        },
    })
}

/// Stands in for a script that is tracked and not defined, so that it can count as failing.
pub(super) fn undefined(name: &Arc<str>) -> Check {
    let second = Duration::from_secs(1);
    Check {
        settings: CheckSettings {
            name: name.clone(),
            command: Command {
                argv: Vec::new(),
                user: None,
            },
            probe: None,
            interval: second,
            timeout: second,
            weight: Weight::FAULT,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
            thresholds: Thresholds::default(),
            external: None,
            unusable: Some(format!("no usable vrrp_script {name} is defined; define it").into()),
        },
    }
}

/// The command of a `vrrp_script`. keepalived reads its first word alone; the rest is meant too.
fn script_line(line: &Word, args: &[Word], diags: &mut Diags) -> Option<Vec<Arc<str>>> {
    let mut argv = argv(line, diags)?;
    let rest = args.get(1..).unwrap_or(&[]);
    if let (Some(from), Some(to)) = (rest.first(), rest.last()) {
        let all: Vec<&str> = args.iter().map(|w| &*w.text).collect();
        diags.push(
            Diagnostic::warning(
                "script-unquoted",
                from.span.to(to.span),
                "keepalived drops these arguments without a word, because the command is not in quotes; \
                 they are passed on here",
            )
            .help(format!("write script \"{}\"", all.join(" "))),
        );
        for word in rest {
            argv.push(word.text.clone().into());
        }
    }
    Some(argv)
}

fn positive(keyword: &Word, arg: &Word, diags: &mut Diags) -> Option<Duration> {
    let time = value::seconds(keyword, arg, 0..=LONGEST, 3, diags)?;
    if time.is_zero() {
        let what = format!("{} cannot be 0; it is read as 1", keyword.text);
        diags.push(Diagnostic::warning("raised", arg.span, what));
        return Some(Duration::from_secs(1));
    }
    Some(time)
}

pub(super) fn times(keyword: &Word, arg: &Word, diags: &mut Diags) -> Option<u32> {
    let n = value::integer(keyword, arg, 1..=i64::from(i32::MAX), Junk::Cut, diags)?;
    u32::try_from(n).ok()
}

/// A weight; beyond the range the nearest that can be.
pub(super) fn read_weight(keyword: &Word, arg: &Word, diags: &mut Diags) -> Option<Weight> {
    let n = value::integer(keyword, arg, -100_000..=100_000, Junk::Cut, diags)?;
    let near = n.clamp(-253, 253);
    if near != n {
        diags.push(
            Diagnostic::error(
                "out-of-range",
                arg.span,
                format!("weight {n} is out of range; {near} is used"),
            )
            .help("expected a whole number from -253 to 253; 0 means fault while down"),
        );
    }
    Weight::new(i16::try_from(near).ok()?)
}

/// `reverse`, and `noreverse` where it is known; `None` if the word is neither.
pub(super) fn reversed(word: Option<&Word>, both: bool, diags: &mut Diags) -> Option<bool> {
    let word = word?;
    match &*word.text {
        "reverse" => Some(true),
        "noreverse" if both => Some(false),
        other => {
            let text = format!("`{other}` is not known here; it is left out");
            let help = if both {
                "expected reverse or noreverse"
            } else {
                "expected reverse"
            };
            diags.push(Diagnostic::error("unknown-option", word.span, text).help(help));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text)
            .expect("a command")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn commands_split_on_blanks_outside_both_kinds_of_quotes() {
        assert_eq!(
            words("/bin/x a  'b c' \"d 'e'\"f"),
            ["/bin/x", "a", "b c", "d 'e'f"]
        );
        assert_eq!(words("/bin/x ''"), ["/bin/x", ""]);
        assert!(split("/bin/x 'a").is_err());
    }

    #[test]
    fn escapes_are_keepaliveds() {
        assert_eq!(
            words(r"x a\ b \x41 \101 \q \t"),
            ["x", "a b", "A", "A", "q", "\t"]
        );
        assert_eq!(words(r#"x "a\"b" \cA"#), ["x", "a\"b", "\u{1}"]);
        assert!(split(r"x \0").is_err());
        assert!(split(r"x \377").is_err());
    }

    #[test]
    fn a_user_name_looks_like_one() {
        for good in [
            "nobody",
            "www-data",
            "keepalived_script",
            "1000",
            ":",
            ":adm",
        ] {
            assert!(user_like(good), "{good}");
        }
        for bad in ["MASTER", "-0", "/etc/x", "10%", "a b"] {
            assert!(!user_like(bad), "{bad}");
        }
    }
}
