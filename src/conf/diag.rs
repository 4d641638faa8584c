//! What there is to say about a configuration, and how it is shown: the source line, the word
//! underlined, what is wrong, what was expected, how to mend it.

use super::source::{Sources, Span, is_stand_in};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Advice, and what has no effect here.
    Note,
    /// keepalived objects to it but runs on, or it is not acted on yet and matters.
    Warning,
    /// The meaning is lost, or an instance cannot work.
    Error,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of this kind of finding.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// What is wrong and what was expected.
    pub text: String,
    /// How to mend it.
    pub help: Option<String>,
    /// A second place that belongs to it.
    pub related: Option<(Span, &'static str)>,
    /// `run` must not start with this.
    pub refuses: bool,
    /// The keyword that is not acted on yet; `run` logs a warning that names it.
    pub unacted: Option<&'static str>,
}

impl Diagnostic {
    /// A finding of the given severity.
    pub fn new(
        severity: Severity,
        code: &'static str,
        span: Span,
        text: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            span,
            text: text.into(),
            help: None,
            related: None,
            refuses: false,
            unacted: None,
        }
    }

    /// An error.
    pub fn error(code: &'static str, span: Span, text: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, text)
    }

    /// An error with which `run` must not start.
    pub fn refusal(code: &'static str, span: Span, text: impl Into<String>) -> Self {
        let mut this = Self::error(code, span, text);
        this.refuses = true;
        this
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, text)
    }

    /// A note.
    pub fn note(code: &'static str, span: Span, text: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, span, text)
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn related(mut self, span: Span, label: &'static str) -> Self {
        self.related = Some((span, label));
        self
    }

    /// Names the keyword that is not acted on yet.
    #[must_use]
    pub fn unacted(mut self, keyword: &'static str) -> Self {
        self.unacted = Some(keyword);
        self
    }

    /// `file:line:col: text`, for a log.
    pub fn one_line(&self, sources: &Sources) -> String {
        let place = sources.place(self.span);
        match &self.help {
            Some(help) => format!("{place}: {} ({help})", self.text),
            None => format!("{place}: {}", self.text),
        }
    }
}

/// Collects findings while a configuration is read.
#[derive(Default, Debug)]
pub(super) struct Diags {
    list: Vec<Diagnostic>,
    /// Stands for all beyond [`MOST`], and how many these are.
    beyond: Option<(Diagnostic, usize)>,
}

/// So many are kept; a file with more is not a configuration.
const MOST: usize = 20_000;

impl Diags {
    /// Adds one.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MOST {
            self.list.push(diagnostic);
            return;
        }
        let Diagnostic {
            severity,
            span,
            refuses,
            ..
        } = diagnostic;
        let first = Diagnostic::new(severity, "too-many", span, "");
        let (beyond, count) = self.beyond.get_or_insert((first, 0));
        beyond.severity = beyond.severity.max(severity);
        beyond.refuses |= refuses;
        *count += 1;
    }

    /// In source order, each said once. A note that only repeats for further places what was said
    /// at the first is folded into it with a count.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if let Some((mut beyond, count)) = self.beyond.take() {
            beyond.text = format!("from here on {count} more findings are left out");
            self.list.push(beyond);
        }
        self.list.sort_by_key(|d| (d.span.file, d.span.at));
        let mut seen = HashSet::new();
        let mut first: HashMap<(&'static str, String), usize> = HashMap::new();
        let mut more: HashMap<usize, usize> = HashMap::new();
        let mut list: Vec<Diagnostic> = Vec::with_capacity(self.list.len());
        for d in self.list {
            if !seen.insert((d.span, d.code, d.text.clone())) {
                continue;
            }
            if d.severity == Severity::Note {
                match first.get(&(d.code, d.text.clone())) {
                    Some(&at) => {
                        *more.entry(at).or_default() += 1;
                        continue;
                    }
                    None => {
                        first.insert((d.code, d.text.clone()), list.len());
                    }
                }
            }
            list.push(d);
        }
        for (at, count) in more {
            if let Some(d) = list.get_mut(at) {
                let places = if count == 1 { "place" } else { "places" };
                let _ = write!(d.text, " (and in {count} more {places})");
            }
        }
        list
    }
}

/// The worst of them as an exit status: 0 notes at most, 1 warnings, 2 errors.
///
/// `lenient` makes warnings count as notes.
pub fn exit_code(diagnostics: &[Diagnostic], lenient: bool) -> u8 {
    match diagnostics.iter().map(|d| d.severity).max() {
        Some(Severity::Error) => 2,
        Some(Severity::Warning) if !lenient => 1,
        Some(Severity::Warning | Severity::Note) | None => 0,
    }
}

/// All of them for people, with the lines they speak of.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    for d in diagnostics {
        out.push_str(&render_one(d, sources, &renderer));
        out.push_str("\n\n");
    }
    out.push_str(&summary(diagnostics));
    out
}

/// A longer line is named but not shown.
const LONG_LINE: usize = 4096;

fn render_one(d: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let name = printable(sources.name(d.span.file));
    let primary = AnnotationKind::Primary;
    let mut group = Group::with_title(level.primary_title(printable(&d.text)).id(d.code));
    let near = d.related.filter(|(span, _)| {
        span.file == d.span.file
            && *span != d.span
            && sources.line_len(*span).max(sources.line_len(d.span)) <= LONG_LINE
            && sources.line_of(*span).abs_diff(sources.line_of(d.span)) <= 12
    });
    match near {
        Some((span, label)) => {
            let (from, to) = if span.at < d.span.at {
                (span, d.span)
            } else {
                (d.span, span)
            };
            let (text, start) = sources.lines(from, to);
            let text = printable(&text);
            group = group.element(
                Snippet::source(text.clone())
                    .path(name)
                    .line_start(sources.line_of(from))
                    .annotation(mark(primary, d.span, start, &text))
                    .annotation(mark(AnnotationKind::Context, span, start, &text).label(label)),
            );
        }
        None if sources.line_len(d.span) > LONG_LINE => {
            let (line, column) = sources.locate(d.span);
            group = group.element(Origin::path(name).line(line).char_column(column));
        }
        None => {
            group = group.element(snippet(primary, d.span, None, sources));
            if let Some((span, label)) = d.related {
                group = group.element(snippet(AnnotationKind::Context, span, Some(label), sources));
            }
        }
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    renderer.render(&[group])
}

fn snippet<'a>(
    kind: AnnotationKind,
    span: Span,
    label: Option<&'static str>,
    sources: &'a Sources,
) -> Snippet<'a, Annotation<'a>> {
    let (text, start) = sources.lines(span, span);
    let text = printable(&text);
    let mark = mark(kind, span, start, &text);
    Snippet::source(text)
        .path(printable(sources.name(span.file)))
        .line_start(sources.line_of(span))
        .annotation(match label {
            Some(label) => mark.label(label),
            None => mark,
        })
}

/// The span within `text`, which begins at offset `start` of its file.
fn mark<'a>(kind: AnnotationKind, span: Span, start: u32, text: &str) -> Annotation<'a> {
    let from = (span.at.saturating_sub(start) as usize).min(text.len());
    let to = (from + span.len as usize).min(text.len());
    kind.span(from..to.max(from))
}

/// Control characters would let a file write on the reader's terminal. Lengths in bytes are kept,
/// so that spans still fit.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\t' | '\n') {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else if is_stand_in(c) {
            out.push(char::REPLACEMENT_CHARACTER);
        } else {
            out.push(c);
        }
    }
    out
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity, one: &str| {
        let n = diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count();
        match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {one}s")),
        }
    };
    let parts: Vec<String> = [
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
        count(Severity::Note, "note"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("{}\n", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(at: u32, len: u32) -> Span {
        Span { file: 0, at, len }
    }

    #[test]
    fn the_worst_decides_the_exit_status() {
        let note = Diagnostic::note("a", span(0, 1), "n");
        let warning = Diagnostic::warning("a", span(0, 1), "w");
        let error = Diagnostic::error("a", span(0, 1), "e");
        assert_eq!(exit_code(&[], false), 0);
        assert_eq!(exit_code(std::slice::from_ref(&note), false), 0);
        assert_eq!(exit_code(&[note.clone(), warning.clone()], false), 1);
        assert_eq!(exit_code(&[note, warning.clone()], true), 0);
        assert_eq!(exit_code(&[error, warning], true), 2);
    }

    #[test]
    fn findings_come_in_source_order_and_repeated_notes_are_counted() {
        let mut diags = Diags::default();
        diags.push(Diagnostic::note("k", span(9, 1), "smtp_alert: later"));
        diags.push(Diagnostic::warning("w", span(5, 1), "second"));
        diags.push(Diagnostic::note("k", span(2, 1), "smtp_alert: later"));
        diags.push(Diagnostic::warning("w", span(5, 1), "second"));
        let list = diags.finish();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].text, "smtp_alert: later (and in 1 more place)");
        assert_eq!(list[1].text, "second");
    }

    #[test]
    fn a_flood_of_findings_is_cut_but_not_its_verdict() {
        let mut diags = Diags::default();
        for at in 0..30_000 {
            diags.push(Diagnostic::note("n", span(at, 1), format!("{at}")));
        }
        diags.push(Diagnostic::refusal("e", span(30_000, 1), "refused"));
        let list = diags.finish();
        assert_eq!(list.len(), MOST + 1);
        assert_eq!(exit_code(&list, false), 2);
        assert!(list.iter().any(|d| d.refuses && d.code == "too-many"));
    }

    #[test]
    fn the_word_is_underlined_in_its_line() {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", "one\n\tprority 100\n".to_owned());
        let d = Diagnostic::warning(
            "unknown-keyword",
            Span {
                file,
                at: 5,
                len: 7,
            },
            "no such word",
        )
        .help("did you mean `priority`?");
        let text = render(std::slice::from_ref(&d), &sources, false);
        assert!(text.contains("a.conf:2:2"), "{text}");
        assert!(text.contains("^^^^^^^"), "{text}");
        assert!(text.contains("help: did you mean"), "{text}");
        assert_eq!(
            d.one_line(&sources),
            "a.conf:2:2: no such word (did you mean `priority`?)"
        );
    }

    #[test]
    fn escape_sequences_of_a_file_do_not_reach_the_terminal() {
        let mut sources = Sources::default();
        let file = sources.add("a\u{1b}.conf", "x \u{1b}[2J\n".to_owned());
        let d = Diagnostic::error(
            "e",
            Span {
                file,
                at: 2,
                len: 4,
            },
            "odd \u{1b}[2J word",
        );
        assert!(!render(&[d], &sources, false).contains('\u{1b}'));
    }
}
