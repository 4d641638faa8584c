//! Files to lines to items: includes, conditional lines, variables and loops, in keepalived's order.

use super::Options;
use super::block::Builder;
use super::diag::{Diagnostic, Diags};
use super::expand::Trace;
use super::include::Checks;
use super::keywords;
use super::lexer::{self, Line, blank, decomment};
use super::source::{self, Sources, Span};
use super::vars::{self, Meaning, Passes, Value, Vars};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loops and definitions may stand in each other so deep.
const MAX_DEPTH: usize = 32;
/// Lines that loops and definitions may generate.
const MAX_GENERATED: usize = 200_000;
/// References replaced in one line.
const MAX_REPLACED: usize = 256;
/// Bytes of a line that keepalived reads in one piece.
const KEEPALIVED_LINE: usize = 1023;
/// Bytes of a line, also after replacement.
const MAX_LINE: usize = 64 << 10;

/// A definition continued over several lines.
struct Collecting {
    name: String,
    span: Span,
    lines: Vec<Line<'static>>,
}

/// Reads files into a [`Builder`].
pub(super) struct Reader<'a> {
    /// Where texts are kept.
    pub(super) sources: &'a mut Sources,
    /// Where findings go.
    pub(super) diags: &'a mut Diags,
    /// Where items go.
    pub(super) builder: Builder,
    /// Where lines are kept as they are after expansion, if anybody asks.
    pub(super) trace: Option<&'a mut Trace>,
    /// The line being read is one of our additions in a comment.
    addition: bool,
    config_id: String,
    /// What `$NAME` stands for.
    pub(super) vars: Vars,
    collecting: Option<Collecting>,
    generated: usize,
    /// Files being read, innermost last.
    pub(super) stack: Vec<PathBuf>,
    /// Whether includes may be followed.
    pub(super) follow: bool,
    /// What includes of this file and those it includes must fulfil.
    pub(super) checks: Checks,
}

impl<'a> Reader<'a> {
    /// A reader; `follow` allows it to open included files.
    pub(super) fn new(
        options: &Options,
        follow: bool,
        sources: &'a mut Sources,
        diags: &'a mut Diags,
    ) -> Self {
        let config_id = match &options.config_id {
            Some(id) => id.clone(),
            None if follow => source::node_name(),
            None => String::new(),
        };
        let checks = if options.all_include_checks {
            Checks::ALL
        } else {
            Checks::default()
        };
        Self {
            sources,
            diags,
            builder: Builder::default(),
            trace: None,
            addition: false,
            vars: Vars::new(&config_id, options.seed),
            config_id,
            collecting: None,
            generated: 0,
            stack: Vec::new(),
            follow,
            checks,
        }
    }

    /// Reads one text that is already among the sources.
    pub(super) fn text(&mut self, file: u32, path: Option<PathBuf>) {
        let text = self.sources.text(file);
        let directory = path
            .as_deref()
            .and_then(Path::parent)
            .map(|d| d.to_string_lossy().into_owned())
            .unwrap_or_default();
        let outer = self.vars.set("_PWD", Value::Text(directory));
        let checks = self.checks;
        self.stack.push(path.unwrap_or_default());
        if let Some(at) = text.find(source::is_stand_in) {
            self.diags.push(
                Diagnostic::note(
                    "not-utf8",
                    Span {
                        file,
                        at: source::number(at),
                        len: 3,
                    },
                    "this file is not UTF-8; the bytes are kept, but shown as this sign",
                )
                .help("convert the file: iconv -f latin1 -t utf-8"),
            );
        }
        let mut at = 0;
        for raw in text.split_inclusive('\n') {
            self.physical(raw, file, at);
            at += raw.len();
        }
        if let Some(open) = self.collecting.take() {
            self.diags.push(
                Diagnostic::error(
                    "unfinished-definition",
                    open.span,
                    format!("the file ends inside the definition of ${}", open.name),
                )
                .help("the last line of a definition has no \\ at its end"),
            );
        }
        self.stack.pop();
        self.checks = checks;
        self.vars.restore("_PWD", outer);
    }

    fn physical(&mut self, raw: &str, file: u32, at: usize) {
        let raw = raw.trim_end_matches(['\n', '\r']);
        let mut line = Line::direct(raw, file, at);
        if raw.len() > MAX_LINE {
            self.diags.push(
                Diagnostic::error(
                    "long-line",
                    line.span(0, 1),
                    format!("a line of more than {MAX_LINE} bytes is not read"),
                )
                .help("is this the right file?"),
            );
            return;
        }
        if raw.len() > KEEPALIVED_LINE {
            self.diags.push(
                Diagnostic::warning(
                    "split-line",
                    line.whole(),
                    format!(
                        "keepalived reads what is beyond {KEEPALIVED_LINE} bytes as a line of its own; here it belongs to this one"
                    ),
                )
                .help("break the line up"),
            );
        }
        if raw.contains('\0') {
            self.diags.push(
                Diagnostic::warning(
                    "nul-byte",
                    line.whole(),
                    "a line with a NUL byte is not read",
                )
                .help("remove the byte, or the file if it is not text"),
            );
            return;
        }
        // Additions of ours stand in comments, which keepalived ignores.
        let lead = raw.len() - raw.trim_start_matches(blank).len();
        self.addition = false;
        if let Some(rest) = raw[lead..].strip_prefix("#@mainstay")
            && rest.starts_with(blank)
        {
            self.addition = true;
            line = line.part(raw.len() - rest.len(), raw.len());
        }
        let line = decomment(line, self.diags);
        if self.collecting.is_some() {
            self.collect(&line);
        } else if !line.text.is_empty() {
            self.line(line, 0);
        }
    }

    fn collect(&mut self, line: &Line<'_>) {
        let Some(mut open) = self.collecting.take() else {
            return;
        };
        let (kept, more) = match line.text.strip_suffix('\\') {
            Some(text) => (line.part(0, text.len()).trim(), true),
            None => (line.clone(), false),
        };
        if !kept.text.is_empty() {
            open.lines.push(kept.owned());
        }
        if more {
            self.collecting = Some(open);
        } else {
            self.vars.set(&open.name, Value::Lines(open.lines.into()));
        }
    }

    /// One line after its comment is gone: condition, definition, loop, references, include, items.
    fn line(&mut self, line: Line<'_>, depth: usize) {
        if depth > 0 && !self.may_generate(&line, depth) {
            return;
        }
        let Some(line) = self.condition(line) else {
            return;
        };
        if let Some((name, from)) = vars::definition(&line.text) {
            let value = line.part(from, line.text.len()).trim();
            if let Some(first) = value.text.strip_suffix('\\') {
                let first = value.part(0, first.len()).trim();
                let lines = (!first.text.is_empty()).then(|| first.owned());
                self.collecting = Some(Collecting {
                    name: name.to_owned(),
                    span: line.whole(),
                    lines: lines.into_iter().collect(),
                });
            } else {
                self.vars.set(name, Value::Text(value.text.into_owned()));
            }
            return;
        }
        if let Some(close) = vars::loop_head(&line.text) {
            self.repeat(&line, close, depth);
            return;
        }
        let before = line.text.chars().next();
        let line = match self.substitute(line) {
            Substituted::Same(line) => line,
            Substituted::Changed(line) => {
                let line = decomment(line, self.diags);
                let first = line.text.chars().next();
                // The manual lets a variable bring a condition, a loop or a definition with it.
                if before == Some('$') && matches!(first, Some('@' | '~' | '$')) {
                    self.line(line, depth + 1);
                    return;
                }
                line
            }
            Substituted::Lines(first, lines) => {
                if let Some(first) = first {
                    self.line(first, depth + 1);
                }
                for line in lines.iter().skip(1) {
                    if self.generated > MAX_GENERATED {
                        return;
                    }
                    self.line(line.clone(), depth + 1);
                }
                return;
            }
            Substituted::Dropped => return,
        };
        if self.directive(&line) {
            return;
        }
        // What follows a brace is a line of its own, which may define or include something.
        let (line, tail) = match fresh_line(&line.text) {
            Some(at) => (
                line.part(0, at),
                Some(line.part(at, line.text.len()).trim().owned()),
            ),
            None => (line, None),
        };
        if let Some(trace) = &mut self.trace {
            trace.line(&line.text, line.whole(), self.addition);
        }
        let Self { builder, diags, .. } = self;
        let mut found = Vec::new();
        lexer::items(&line, keywords::is_command, diags, &mut |item| {
            found.push(item);
        });
        for item in found {
            builder.push(item, diags);
        }
        if let Some(tail) = tail {
            self.line(tail, depth + 1);
        }
    }

    fn may_generate(&mut self, line: &Line<'_>, depth: usize) -> bool {
        if self.generated < MAX_GENERATED && depth <= MAX_DEPTH {
            self.generated += 1 + line.text.len() / 256;
            return true;
        }
        if self.generated <= MAX_GENERATED {
            self.generated = MAX_GENERATED + 1;
            self.diags.push(Diagnostic::error(
                "endless-expansion",
                line.whole(),
                format!(
                    "loops and definitions generate more than {MAX_GENERATED} lines or stand in each \
                     other more than {MAX_DEPTH} deep; what follows from here is left out"
                ),
            ));
        }
        false
    }

    /// `@id` and `@^id`: the line without the condition, or nothing.
    fn condition<'t>(&mut self, line: Line<'t>) -> Option<Line<'t>> {
        let Some(rest) = line.text.strip_prefix('@') else {
            return Some(line);
        };
        let end = rest.find(blank).unwrap_or(rest.len());
        let (id, wanted) = match rest[..end].strip_prefix('^') {
            Some(id) => (id, false),
            None => (&rest[..end], true),
        };
        if id.starts_with('!') || id.is_empty() {
            self.diags.push(
                Diagnostic::warning(
                    "bad-condition",
                    line.span(0, end + 1),
                    "a condition without a name; the line is not read",
                )
                .help("write @NAME for one machine or @^NAME for all others"),
            );
            return None;
        }
        if (id == self.config_id) == wanted {
            let line = line.part(end + 1, line.text.len()).trim();
            (!line.text.is_empty()).then_some(line)
        } else {
            None
        }
    }

    fn repeat(&mut self, line: &Line<'_>, close: usize, depth: usize) {
        let mut head = match self.substitute(line.part(0, close)) {
            Substituted::Same(head) | Substituted::Changed(head) => head.owned(),
            Substituted::Lines(..) | Substituted::Dropped => return,
        };
        head.append(&line.part(close, line.text.len()));
        let spec = match vars::parse_loop(&head.text) {
            Ok(spec) => spec,
            Err(why) => {
                let span = line.span(0, (close + 1).min(line.text.len()));
                self.diags.push(Diagnostic::error(
                    "bad-loop",
                    span,
                    format!("this loop is not understood: {why}"),
                ));
                return;
            }
        };
        let body = head.part(spec.body, head.text.len()).trim();
        let pass = |this: &mut Self, values: &[String]| {
            let old: Vec<_> = spec
                .names
                .iter()
                .zip(values)
                .map(|(name, value)| (name, this.vars.set(name, Value::Text(value.clone()))))
                .collect();
            this.line(body.clone(), depth + 1);
            for (name, value) in old.into_iter().rev() {
                this.vars.restore(name, value);
            }
            depth < MAX_DEPTH && this.generated <= MAX_GENERATED
        };
        match &spec.passes {
            Passes::List(list) => {
                for values in list {
                    if !pass(self, values) {
                        return;
                    }
                }
            }
            Passes::Count {
                from,
                step,
                last,
                hex,
            } => {
                let mut now = *from;
                while (*step > 0 && now <= *last) || (*step < 0 && now >= *last) {
                    let text = if *hex {
                        format!("{now:x}")
                    } else {
                        now.to_string()
                    };
                    if !pass(self, &[text]) {
                        return;
                    }
                    match now.checked_add(*step) {
                        Some(next) => now = next,
                        None => return,
                    }
                }
            }
        }
    }

    /// Replaces references; what is inserted is looked at again.
    fn substitute<'t>(&mut self, mut line: Line<'t>) -> Substituted<'t> {
        let mut replaced = 0;
        let mut at = 0;
        let (mut counted, mut quoted) = (0, false);
        while let Some(found) = line.text[at..].find('$') {
            at += found;
            quoted ^= line.text[counted..at].matches('"').count() % 2 == 1;
            counted = at;
            let Some(reference) = vars::reference(&line.text[at..]) else {
                self.note_undelimited(&line, at);
                at += 1;
                continue;
            };
            let end = at + reference.len;
            let span = line.span(at, end);
            let text = match self.vars.meaning(reference) {
                Meaning::Text(text) => text,
                Meaning::Lines(lines) if end == line.text.len() => {
                    let mut first = line.part(0, at).owned();
                    if let Some(line) = lines.first() {
                        first.append(line);
                    }
                    let first = (!first.text.is_empty()).then_some(first);
                    return Substituted::Lines(first, lines);
                }
                Meaning::Lines(_) => {
                    let text = format!(
                        "${} has several lines; it can only stand at the end of a line",
                        reference.name
                    );
                    self.diags
                        .push(Diagnostic::error("bad-reference", span, text));
                    at = end;
                    continue;
                }
                Meaning::Undefined => {
                    self.undefined(reference, quoted, span);
                    at = end;
                    continue;
                }
                Meaning::Malformed(form) => {
                    self.diags
                        .push(Diagnostic::error("bad-reference", span, form));
                    at = end;
                    continue;
                }
            };
            replaced += 1;
            if replaced > MAX_REPLACED || line.text.len() + text.len() > MAX_LINE {
                self.diags.push(
                    Diagnostic::error(
                        "endless-expansion",
                        span,
                        format!("replacing ${} makes this line too long", reference.name),
                    )
                    .help("does the definition refer to itself?"),
                );
                return Substituted::Dropped;
            }
            let mut out = line.part(0, at).owned();
            out.append_for(&text, span);
            out.append(&line.part(end, line.text.len()));
            line = out;
        }
        if replaced == 0 {
            Substituted::Same(line)
        } else {
            Substituted::Changed(line)
        }
    }

    /// A bare `$NAME` needs a blank, `,`, `)` or the line's end behind it.
    fn note_undelimited(&mut self, line: &Line<'_>, at: usize) {
        if let Some(name) = vars::undelimited(&line.text[at..])
            && self.vars.knows(name)
        {
            self.diags.push(
                Diagnostic::note(
                    "undelimited-variable",
                    line.span(at, at + 1 + name.len()),
                    format!("${name} is not replaced here, because a blank, `,`, `)` or the end must follow it"),
                )
                .help(format!("write ${{{name}}}")),
            );
        }
    }

    fn undefined(&mut self, reference: vars::Reference<'_>, quoted: bool, span: Span) {
        let name = reference.name;
        let text = format!("${name} is not defined; it is left as written");
        let code = "undefined-variable";
        self.diags.push(if reference.braced && !quoted {
            Diagnostic::error(code, span, text).help(format!(
                "define it above with ${name}=value at the start of a line"
            ))
        } else {
            Diagnostic::note(code, span, text)
        });
    }
}

enum Substituted<'t> {
    Same(Line<'t>),
    Changed(Line<'t>),
    Lines(Option<Line<'static>>, Arc<[Line<'static>]>),
    Dropped,
}

/// Behind which brace something stands that only means what it does at the start of a line.
fn fresh_line(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = lexer::next_brace(text, from) {
        from = at + 1;
        let rest = text[from..].trim_start_matches(blank);
        let first = rest.split(blank).next().unwrap_or("");
        if rest.starts_with('@')
            || vars::definition(rest).is_some()
            || vars::loop_head(rest).is_some()
            || Checks::of_keyword(first).is_some()
        {
            return Some(from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Loaded;
    use super::super::help::{codes, read};

    /// The router identifier that the lines of `global_defs` come to.
    fn router_id(before: &str, lines: &str) -> Option<String> {
        id(&read(&format!("{before}\nglobal_defs {{\n{lines}\n}}\n")))
    }

    fn id(loaded: &Loaded) -> Option<String> {
        let settings = loaded.settings.as_ref()?;
        settings.global.router_id.as_deref().map(str::to_owned)
    }

    fn is(before: &str, lines: &str, expected: &str) {
        assert_eq!(
            router_id(before, lines).as_deref(),
            Some(expected),
            "{before} / {lines}"
        );
    }

    #[test]
    fn variables_are_replaced_where_they_are_used() {
        is("$A=x", "router_id $A", "x");
        is("$A=x", "router_id pre${A}post", "prexpost");
        is("$A=x", "router_id \"$A ${A} $A,\"", "x x x,");
        is("$A=x", "router_id $A-y", "$A-y");
        is("$A=1\n$A=2", "router_id $A", "2");
        is("$A=${B}\n$B=z", "router_id $A", "z");
        is("$A=a  b", "router_id \"${A}\"", "a  b");
        is("$A=x", "router_id \"$A\"", "$A");
        is("$A=", "router_id x${A}y", "xy");
    }

    #[test]
    fn a_hash_from_a_variable_begins_a_comment_unless_quoted() {
        is("", "router_id x ${_HASH} y", "x");
        is("", "router_id \"x${_HASH}${_BANG}y\"", "x#!y");
        is("", "router_id ${_INSTANCE}", "node1");
    }

    #[test]
    fn definitions_of_several_lines_give_several_lines() {
        is("$A=\\\nrouter_id x\\\n\\\nsmtp_alert", "$A", "x");
        is("$A=\\\nx\\\nsmtp_alert", "router_id $A", "x");
        is(
            "$G=\\\nglobal_defs {\\\nrouter_id ${ID}\\\n}\n$ID=q\n$G",
            "",
            "q",
        );
    }

    #[test]
    fn the_first_line_of_a_definition_may_hold_text() {
        is("$A=router_id a \\\nrouter_id b\n", "$A", "b");
    }

    #[test]
    fn loops_bind_their_variables_pass_by_pass() {
        is("", "~SEQ(i, 3) router_id r$i", "r3");
        is("", "~SEQx(i, 30, 31) router_id r${i}", "r1f");
        is("", "~LST(i, a, b) ~SEQ(j, 2) router_id ${i}${j}", "b2");
        is("", "~LST({a,b}, {1,2}, {3,4}) router_id ${a}${b}", "34");
        is("$N=4", "~SEQ(i, $N) router_id r$i", "r4");
        is("$i=outer", "~SEQ(i, 2) smtp_alert\nrouter_id $i", "outer");
        is("$L=~SEQ(i, 2) router_id v$i", "$L", "v2");
    }

    #[test]
    fn conditions_compare_the_configuration_id_as_a_whole_word() {
        is(
            "",
            "router_id a\n@node1 router_id b\n@node router_id c",
            "b",
        );
        is(
            "",
            "router_id a\n@^node1 router_id b\n@^node router_id c",
            "c",
        );
        is("$C=@node1", "router_id a\n$C router_id b", "b");
        is("@node1 $A=x\n@other $A=y", "router_id $A", "x");
    }

    #[test]
    fn what_follows_a_brace_is_a_line_of_its_own() {
        is("global_defs {\n} $A=x\n", "router_id $A", "x");
        is(
            "",
            "} @^node1 global_defs { router_id y\n} @node1 global_defs { router_id x",
            "x",
        );
        is("global_defs { } ~LST(i,2) $A=x\n", "router_id $A", "x");
    }

    #[test]
    fn additions_in_comments_are_read() {
        is("", "router_id a\n  #@mainstay router_id b", "b");
        is(
            "",
            "router_id a\n#@mainstayer router_id b\n# @mainstay router_id c",
            "a",
        );
    }

    #[test]
    fn endless_expansion_ends() {
        for text in [
            "$A=$A$A\nx $A\n",
            "$A=${B}\n$B=${A}\nx ${A}\n",
            "$A=\\\n$A\\\n$A\n$A\n",
            "~SEQ(i, 1, 9000000000000000000) x\n",
            "$A=\\\n~SEQ(i, 1000) $A\n$A\n",
            "~SEQ(i,9)~SEQ(i,9)~SEQ(i,9)~SEQ(i,9)~SEQ(i,9)~SEQ(i,9)~SEQ(i,9)~SEQ(i,9) x\n",
        ] {
            let loaded = read(text);
            assert!(codes(&loaded).contains(&"endless-expansion"), "{text}");
        }
    }

    #[test]
    fn random_numbers_follow_random_seed() {
        let draw =
            |seed: u32| router_id("", &format!("random_seed {seed}\nrouter_id ${{_RANDOM}}"));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
