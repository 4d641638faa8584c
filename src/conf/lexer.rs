//! One line to words and braces: comments, quotes, and where each piece came from.

use super::diag::{Diagnostic, Diags};
use super::source::{Span, number};
use std::borrow::Cow;

/// A word and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word {
    /// Its text without quotes.
    pub(super) text: Box<str>,
    /// Where it stands, quotes included.
    pub(super) span: Span,
    /// It was written in quotes.
    pub(super) quoted: bool,
}

/// What a line is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    /// Words up to a brace or the end of the line.
    Words(Vec<Word>),
    /// `{`.
    Open(Span),
    /// `}`.
    Close(Span),
}

/// A line of text whose every byte remembers its origin.
#[derive(Clone, Debug)]
pub(super) struct Line<'t> {
    /// The text.
    pub(super) text: Cow<'t, str>,
    map: Map,
}

#[derive(Clone, Debug)]
enum Map {
    /// The text stands so in the file.
    Direct { file: u32, at: u32 },
    /// Put together, in order of `from`.
    Pieces(Vec<Piece>),
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    from: u32,
    origin: Span,
    /// Byte for byte from the file; otherwise the whole piece stands for `origin`.
    exact: bool,
}

impl<'t> Line<'t> {
    /// A line as it stands in a file.
    pub(super) fn direct(text: &'t str, file: u32, at: usize) -> Self {
        Self {
            text: Cow::Borrowed(text),
            map: Map::Direct {
                file,
                at: number(at),
            },
        }
    }

    /// A line without text, to append to.
    pub(super) fn empty() -> Line<'static> {
        Line {
            text: Cow::Borrowed(""),
            map: Map::Pieces(Vec::new()),
        }
    }

    /// Where the bytes `from..to` come from.
    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        match &self.map {
            Map::Direct { file, at } => Span {
                file: *file,
                at: at + number(from),
                len: number(to.saturating_sub(from)),
            },
            Map::Pieces(pieces) => {
                let first = Self::origin(pieces, from);
                if to <= from + 1 {
                    return match first {
                        (span, true) => Span {
                            len: number(to.saturating_sub(from)).min(span.len),
                            ..span
                        },
                        (span, false) => span,
                    };
                }
                let last = match Self::origin(pieces, to - 1) {
                    (span, true) => Span {
                        len: span.len.min(1),
                        ..span
                    },
                    (span, false) => span,
                };
                let first = first.0;
                if first.file == last.file && first.at <= last.at {
                    first.to(last)
                } else {
                    first
                }
            }
        }
    }

    /// The origin from byte `at` to the end of its piece, and whether it is byte for byte.
    fn origin(pieces: &[Piece], at: usize) -> (Span, bool) {
        let index = pieces.partition_point(|p| p.from as usize <= at);
        let Some(piece) = pieces.get(index.wrapping_sub(1)) else {
            return (Span::default(), false);
        };
        if !piece.exact {
            return (piece.origin, false);
        }
        let skip = (number(at) - piece.from).min(piece.origin.len);
        let span = Span {
            at: piece.origin.at + skip,
            len: piece.origin.len - skip,
            ..piece.origin
        };
        (span, true)
    }

    /// The whole line's origin.
    pub(super) fn whole(&self) -> Span {
        self.span(0, self.text.len())
    }

    /// The part `from..to`.
    pub(super) fn part(&self, from: usize, to: usize) -> Line<'t> {
        let map = match &self.map {
            Map::Direct { file, at } => Map::Direct {
                file: *file,
                at: at + number(from),
            },
            Map::Pieces(pieces) => {
                let mut kept = Vec::new();
                for (index, piece) in pieces.iter().enumerate() {
                    let start = piece.from as usize;
                    let end = pieces
                        .get(index + 1)
                        .map_or(usize::MAX, |p| p.from as usize);
                    if end <= from || start >= to {
                        continue;
                    }
                    let cut = from.saturating_sub(start);
                    let mut piece = *piece;
                    if piece.exact {
                        let cut = number(cut).min(piece.origin.len);
                        piece.origin.at += cut;
                        piece.origin.len -= cut;
                    }
                    piece.from = number(start.max(from) - from);
                    kept.push(piece);
                }
                Map::Pieces(kept)
            }
        };
        let text = match &self.text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(from..to).unwrap_or("")),
            Cow::Owned(text) => Cow::Owned(text.get(from..to).unwrap_or("").to_owned()),
        };
        Line { text, map }
    }

    /// Without blanks at both ends.
    pub(super) fn trim(self) -> Line<'t> {
        let from = self.text.len() - self.text.trim_start_matches(blank).len();
        let to = self.text.trim_end_matches(blank).len().max(from);
        if from == 0 && to == self.text.len() {
            self
        } else {
            self.part(from, to)
        }
    }

    /// A copy that does not borrow the file.
    pub(super) fn owned(&self) -> Line<'static> {
        Line {
            text: Cow::Owned(self.text.clone().into_owned()),
            map: self.map.clone(),
        }
    }

    /// Appends another line, origins kept.
    pub(super) fn append(&mut self, other: &Line<'_>) {
        let base = number(self.text.len());
        let origin = |piece: &Piece| Piece {
            from: piece.from + base,
            ..*piece
        };
        let mut pieces = self.take_pieces();
        match &other.map {
            Map::Direct { file, at } => pieces.push(Piece {
                from: base,
                origin: Span {
                    file: *file,
                    at: *at,
                    len: number(other.text.len()),
                },
                exact: true,
            }),
            Map::Pieces(more) => pieces.extend(more.iter().map(origin)),
        }
        self.text.to_mut().push_str(&other.text);
        self.map = Map::Pieces(pieces);
    }

    /// Appends a text that stands for `origin`.
    pub(super) fn append_for(&mut self, text: &str, origin: Span) {
        let mut pieces = self.take_pieces();
        pieces.push(Piece {
            from: number(self.text.len()),
            origin,
            exact: false,
        });
        self.text.to_mut().push_str(text);
        self.map = Map::Pieces(pieces);
    }

    fn take_pieces(&mut self) -> Vec<Piece> {
        match &mut self.map {
            Map::Pieces(pieces) => std::mem::take(pieces),
            Map::Direct { file, at } => vec![Piece {
                from: 0,
                origin: Span {
                    file: *file,
                    at: *at,
                    len: number(self.text.len()),
                },
                exact: true,
            }],
        }
    }
}

/// What separates words.
pub(super) fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c' | '\n' | '\r' | '\x0b')
}

/// Cuts the comment off, resolves `\#` and `\!`, and trims. Only `"` protects.
pub(super) fn decomment<'t>(line: Line<'t>, diags: &mut Diags) -> Line<'t> {
    if !line.text.contains(['#', '!']) {
        return line.trim();
    }
    let bytes = line.text.as_bytes();
    let mut quoted = false;
    let mut escapes = Vec::new();
    let mut end = bytes.len();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => quoted = !quoted,
            b'\\' if !quoted && matches!(bytes.get(at + 1), Some(b'#' | b'!')) => {
                escapes.push(at);
                at += 1;
            }
            b'#' | b'!' if !quoted => {
                note_cut_word(&line, at, diags);
                end = at;
                break;
            }
            _ => {}
        }
        at += 1;
    }
    if escapes.is_empty() {
        return line.part(0, end).trim();
    }
    let mut out = Line::empty();
    let mut from = 0;
    for escape in escapes {
        out.append(&line.part(from, escape));
        from = escape + 1;
    }
    out.append(&line.part(from, end));
    out.trim()
}

/// A comment that begins inside a word is most often a password or an argument cut short.
fn note_cut_word(line: &Line<'_>, at: usize, diags: &mut Diags) {
    let before = &line.text[..at];
    let Some(last) = before.chars().next_back() else {
        return;
    };
    if blank(last) || matches!(last, '{' | '}' | '"' | ';' | '@' | '#' | '!') {
        return;
    }
    let start = before.rfind(blank).map_or(0, |b| b + 1);
    diags.push(
        Diagnostic::note(
            "comment-in-word",
            line.span(start, at + 1),
            format!(
                "`{}` begins a comment here, in the middle of a word; the rest of the line is not read",
                &line.text[at..=at]
            ),
        )
        .help("put the word in \"quotes\" or write a backslash before the sign if it belongs to the word"),
    );
}

/// Splits a line into words and braces. `script` tells for a first word whether the rest is a
/// command with quotes of both kinds.
pub(super) fn items(
    line: &Line<'_>,
    script: impl Fn(&str) -> bool,
    diags: &mut Diags,
    out: &mut impl FnMut(Item),
) {
    let text: &str = &line.text;
    let mut from = 0;
    while from < text.len() {
        let (brace, end) = match next_brace(text, from) {
            Some(at) => (Some(at), at),
            None => (None, text.len()),
        };
        let words = words(line, from, end, &script, diags);
        if !words.is_empty() {
            out(Item::Words(words));
        }
        let Some(at) = brace else { break };
        let span = line.span(at, at + 1);
        out(if text.as_bytes()[at] == b'{' {
            Item::Open(span)
        } else {
            Item::Close(span)
        });
        from = at + 1;
    }
}

/// The first brace outside quotes; those of a reference to an unknown `${NAME}` are part of a word.
pub(super) fn next_brace(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => quoted = !quoted,
            b'$' if !quoted => {
                if let Some(len) = reference_len(&text[at..]) {
                    at += len;
                    continue;
                }
            }
            b'{' | b'}' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Length of a `${NAME}` or `${_NAME words}` at the start of `text`.
pub(super) fn reference_len(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("${")?;
    let close = rest.find(['{', '}', '"'])?;
    if !rest[close..].starts_with('}') {
        return None;
    }
    let name = rest[..close].split(blank).next()?;
    name_ok(name).then_some(close + 3)
}

/// Whether this can name a variable.
pub(super) fn name_ok(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn words(
    line: &Line<'_>,
    from: usize,
    end: usize,
    script: &impl Fn(&str) -> bool,
    diags: &mut Diags,
) -> Vec<Word> {
    let text: &str = &line.text;
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = from;
    loop {
        while at < end && blank(bytes[at] as char) {
            at += 1;
        }
        if at >= end {
            return words;
        }
        if words.len() == 1
            && words
                .first()
                .is_some_and(|w: &Word| !w.quoted && script(&w.text))
        {
            command_words(line, at, end, diags, &mut words);
            return words;
        }
        let start = at;
        let quoted = bytes[at] == b'"';
        let (inner, next) = if quoted {
            match text[at + 1..end].find('"') {
                Some(len) => (at + 1..at + 1 + len, at + len + 2),
                None => {
                    unmatched(line, at, end, '"', diags);
                    (at + 1..end, end)
                }
            }
        } else {
            while at < end && !blank(bytes[at] as char) && bytes[at] != b'"' {
                at += 1;
            }
            (start..at, at)
        };
        words.push(Word {
            text: text[inner].into(),
            span: line.span(start, next),
            quoted,
        });
        at = next;
    }
}

fn unmatched(line: &Line<'_>, at: usize, end: usize, quote: char, diags: &mut Diags) {
    diags.push(
        Diagnostic::error(
            "unmatched-quote",
            line.span(at, end),
            format!("no closing {quote} on this line; the rest of the line is taken as one word"),
        )
        .help(format!(
            "end the text with {quote}; quotes cannot span lines"
        )),
    );
}

/// Words of a command line: both kinds of quotes, adjacent pieces joined, backslashes kept.
fn command_words(
    line: &Line<'_>,
    from: usize,
    end: usize,
    diags: &mut Diags,
    words: &mut Vec<Word>,
) {
    let text: &str = &line.text;
    let bytes = text.as_bytes();
    let mut at = from;
    while at < end {
        if blank(bytes[at] as char) {
            at += 1;
            continue;
        }
        let start = at;
        let mut word = String::new();
        let mut quoted = false;
        while at < end && !blank(bytes[at] as char) {
            let quote = bytes[at];
            if quote == b'"' || quote == b'\'' {
                quoted = true;
                let inner = at + 1;
                match text[inner..end].find(quote as char) {
                    Some(len) => {
                        word.push_str(&text[inner..inner + len]);
                        at = inner + len + 1;
                    }
                    None => {
                        unmatched(line, at, end, quote as char, diags);
                        word.push_str(&text[inner..end]);
                        at = end;
                    }
                }
            } else {
                let piece = at;
                while at < end && !blank(bytes[at] as char) && !matches!(bytes[at], b'"' | b'\'') {
                    at += 1;
                }
                word.push_str(&text[piece..at]);
            }
        }
        words.push(Word {
            text: word.into(),
            span: line.span(start, at),
            quoted,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> (String, Vec<Diagnostic>) {
        let mut diags = Diags::default();
        let line = decomment(Line::direct(text, 0, 0), &mut diags);
        (line.text.into_owned(), diags.finish())
    }

    fn lex(text: &str) -> (Vec<String>, Vec<Diagnostic>) {
        let mut diags = Diags::default();
        let mut out = Vec::new();
        items(
            &Line::direct(text, 0, 0),
            |w| w == "script",
            &mut diags,
            &mut |item| match item {
                Item::Words(words) => out.extend(words.iter().map(|w| w.text.to_string())),
                Item::Open(_) => out.push("{".into()),
                Item::Close(_) => out.push("}".into()),
            },
        );
        (out, diags.finish())
    }

    #[test]
    fn comments_begin_anywhere_outside_double_quotes() {
        assert_eq!(cut("  a b # c").0, "a b");
        assert_eq!(cut("! all").0, "");
        assert_eq!(cut("a \"x # y\" ! z").0, "a \"x # y\"");
        assert_eq!(cut("a 'x # y'").0, "a 'x");
        assert_eq!(cut(r"pa\#ss \! \n # gone").0, r"pa#ss ! \n");
    }

    #[test]
    fn a_comment_inside_a_word_is_noted() {
        let (text, diags) = cut("auth_pass se#cret");
        assert_eq!(text, "auth_pass se");
        assert_eq!(diags[0].code, "comment-in-word");
        assert_eq!(
            diags[0].span,
            Span {
                file: 0,
                at: 10,
                len: 3
            }
        );
        assert!(cut("}# end").1.is_empty());
    }

    #[test]
    fn braces_split_a_line_except_in_quotes_and_references() {
        let (words, _) = lex("virtual_ipaddress { 10.0.0.1/24 }");
        assert_eq!(words, ["virtual_ipaddress", "{", "10.0.0.1/24", "}"]);
        assert_eq!(lex("a \"{x}\" b{").0, ["a", "{x}", "b", "{"]);
        assert_eq!(
            lex("a ${NO_SUCH} ${_ENV X}").0,
            ["a", "${NO_SUCH}", "${_ENV", "X}"]
        );
    }

    #[test]
    fn a_quote_ends_the_word_before_it_but_joins_in_commands() {
        assert_eq!(lex("a b\"c d\"e").0, ["a", "b", "c d", "e"]);
        assert_eq!(lex("script b\"c d\"'e f' g").0, ["script", "bc de f", "g"]);
        let (words, diags) = lex("a \"b c");
        assert_eq!(words, ["a", "b c"]);
        assert_eq!(diags[0].code, "unmatched-quote");
    }

    #[test]
    fn put_together_lines_remember_their_pieces() {
        let mut line = Line::direct("priority $P", 0, 100).part(0, 9);
        line.append_for(
            "100",
            Span {
                file: 0,
                at: 109,
                len: 2,
            },
        );
        assert_eq!(line.text, "priority 100");
        assert_eq!(
            line.span(0, 8),
            Span {
                file: 0,
                at: 100,
                len: 8
            }
        );
        assert_eq!(
            line.span(9, 12),
            Span {
                file: 0,
                at: 109,
                len: 2
            }
        );
        assert_eq!(
            line.whole(),
            Span {
                file: 0,
                at: 100,
                len: 11
            }
        );
        let part = line.part(9, 12);
        assert_eq!(
            part.span(0, 3),
            Span {
                file: 0,
                at: 109,
                len: 2
            }
        );
    }
}
