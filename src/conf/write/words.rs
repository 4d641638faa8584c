//! Words as the keepalived language takes them: quotes where needed, escapes in commands.

use super::Unwritable;
use crate::conf::keywords;
use crate::conf::vars;

/// A word of a line; `first` if the line begins with it.
pub(super) fn word(text: &str, first: bool) -> Result<String, Unwritable> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./:+-,=%*".contains(c);
    if !text.is_empty() && text.chars().all(safe) && !(first && is_keyword(text)) {
        return Ok(text.to_owned());
    }
    if text.contains(|c: char| c == '"' || c.is_control()) {
        return Err(Unwritable {
            text: text.to_owned(),
            why: "quotes and control characters cannot be written there",
        });
    }
    let quoted = format!("\"{text}\"");
    let refers = |(at, _): (usize, &str)| vars::reference(&quoted[at..]).is_some();
    if quoted.match_indices('$').any(refers) {
        return Err(Unwritable {
            text: text.to_owned(),
            why: "it would be read as a reference to a variable",
        });
    }
    Ok(quoted)
}

/// Entries of a list could be taken for these at the beginning of a line.
fn is_keyword(text: &str) -> bool {
    keywords::all().iter().any(|row| row.name == text)
}

/// Arguments as one command line, which reads as these arguments again.
pub(in crate::conf) fn command_line<T: AsRef<str>>(argv: &[T]) -> String {
    if let [shell, flag, text] = argv
        && shell.as_ref() == "/bin/sh"
        && flag.as_ref() == "-c"
        && opens_a_file(text.as_ref())
    {
        return text.as_ref().to_owned();
    }
    let words: Vec<String> = argv.iter().map(|word| argument(word.as_ref())).collect();
    words.join(" ")
}

/// Whether a shell command is the form `</path`, which a configuration writes without the shell.
fn opens_a_file(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:+-,=% ".contains(c);
    text.strip_prefix('<').is_some_and(|path| {
        path.trim_start().starts_with('/') && path.chars().all(plain) && text == text.trim()
    })
}

/// One argument: plain, or in quotes with escapes. keepalived before 2.2.8 resolves escapes twice, so
/// there are none where quotes alone will do.
fn argument(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./:+-,=%*@?^~&|;()[]>".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // A variable would be put in here.
            '$' if next.is_some_and(|c| c == '{' || c == '_' || c.is_ascii_alphabetic()) => {
                out.push_str("$''");
            }
            '\'' | '"' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_they_must_be() {
        let one = |text: &str| word(text, false).expect("writable");
        assert_eq!(one("10.0.0.1/24"), "10.0.0.1/24");
        assert_eq!(one("weight"), "weight");
        assert_eq!(word("weight", true).expect("writable"), "\"weight\"");
        assert_eq!(one("a b"), "\"a b\"");
        assert_eq!(one("a#b!"), "\"a#b!\"");
        assert_eq!(one(""), "\"\"");
        assert_eq!(one("$x-"), "\"$x-\"");
        assert_eq!(one("a$b"), "\"a$b\"");
        for bad in ["a\"b", "a\nb", "${x}", "$x y"] {
            assert!(word(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn command_lines_keep_their_arguments_apart() {
        assert_eq!(command_line(&["/x", "a", "b c"]), "/x a 'b c'");
        assert_eq!(command_line(&["/x", "", "it's"]), r"/x '' 'it\x27s'");
        assert_eq!(command_line(&["/x", "a\\b\n", "$x"]), r"/x 'a\\b\n' '$''x'");
        assert_eq!(command_line(&["/bin/sh", "-c", "</a/b"]), "</a/b");
        assert_eq!(command_line(&["/bin/sh", "-c", "ls"]), "/bin/sh -c ls");
        assert_eq!(command_line(&["</a"]), "'</a'");
    }
}
