//! Includes: which files a line asks for, and what must hold of them.

use super::diag::Diagnostic;
use super::lexer::{Line, blank};
use super::reader::Reader;
use super::source::{self, Span, Unreadable};
use std::path::Path;

/// Files may include each other so deep.
const MAX_INCLUDE: usize = 32;
/// So many files in all.
const MAX_FILES: usize = 4096;

/// What must hold of an include for the program to start (`include_check`).
#[derive(Clone, Copy, Default)]
pub(super) struct Checks {
    read: bool,
    found: bool,
    wildcard: bool,
    brace: bool,
}

impl Checks {
    /// What `includea` demands.
    pub(super) const ALL: Self = Self {
        read: true,
        found: true,
        wildcard: true,
        brace: true,
    };

    fn or(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            found: self.found || other.found,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// What `include`, `includer` ... demand; `None` for another word.
    pub(super) fn of_keyword(word: &str) -> Option<Self> {
        let read = Self {
            read: true,
            ..Self::default()
        };
        Some(match word {
            "include" => Self::default(),
            "includer" => read,
            "includem" => Self {
                found: true,
                ..read
            },
            "includew" => Self {
                found: true,
                wildcard: true,
                ..read
            },
            "includeb" => Self {
                brace: true,
                ..read
            },
            "includea" => Self::ALL,
            _ => return None,
        })
    }
}

impl Reader<'_> {
    /// Directives for the reader itself. `true` if the line needs nothing more.
    pub(super) fn directive(&mut self, line: &Line<'_>) -> bool {
        let text: &str = &line.text;
        let end = text.find(blank).unwrap_or(text.len());
        let rest = text[end..].trim_matches(blank);
        match &text[..end] {
            "include_check" => {
                self.include_check(line, rest);
                false
            }
            "random_seed" => {
                if let Ok(seed) = rest.parse() {
                    self.vars.seed(seed);
                }
                false
            }
            word => match Checks::of_keyword(word) {
                Some(checks) => {
                    let pattern = rest.trim_matches('"').to_owned();
                    self.include(line.whole(), &pattern, checks.or(self.checks));
                    true
                }
                None => false,
            },
        }
    }

    fn include_check(&mut self, line: &Line<'_>, rest: &str) {
        if rest.is_empty() {
            self.checks = Checks::ALL;
        }
        for (index, word) in rest.split(blank).filter(|w| !w.is_empty()).enumerate() {
            let (name, on) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (name, true),
                (None, Some(name)) => (name, false),
                (None, None) => {
                    if index == 0 {
                        self.checks = Checks {
                            read: true,
                            ..Checks::default()
                        };
                    }
                    (word, true)
                }
            };
            let flag = match name {
                "read" | "readable" => &mut self.checks.read,
                "match" => &mut self.checks.found,
                "wildcard_match" => &mut self.checks.wildcard,
                "brace_match" => &mut self.checks.brace,
                _ => {
                    let text = format!(
                        "`{name}` is no check of includes; expected read, match, wildcard_match or brace_match"
                    );
                    self.diags
                        .push(Diagnostic::warning("bad-value", line.whole(), text));
                    continue;
                }
            };
            *flag = on;
        }
    }

    fn include(&mut self, span: Span, pattern: &str, checks: Checks) {
        if pattern.is_empty() {
            self.diags.push(
                Diagnostic::refusal("missing-word", span, "include needs the name of a file")
                    .help("write include FILE; * and {a,b} are understood"),
            );
            return;
        }
        if !self.follow {
            let text = format!("{pattern} is not read: this text did not come from a file");
            self.diags.push(Diagnostic::warning("include", span, text));
            return;
        }
        let directory = self
            .stack
            .last()
            .and_then(|f| f.parent())
            .map(Path::to_path_buf)
            .unwrap_or_default();
        let alternatives = source::alternatives(pattern, MAX_FILES);
        let many = alternatives.len() > 1;
        let mut found = 0;
        for one in &alternatives {
            let full = directory.join(one);
            let wildcard = source::has_wildcard(one);
            let paths = source::matches(&full.to_string_lossy());
            if paths.is_empty() {
                let must = if wildcard {
                    checks.wildcard
                } else {
                    checks.found
                };
                self.nothing_found(span, &full, wildcard, must || (many && checks.brace));
            }
            for path in paths {
                found += 1;
                if found > MAX_FILES || self.sources.len() >= MAX_FILES {
                    let text = format!("more than {MAX_FILES} files are included");
                    self.diags.push(Diagnostic::refusal("include", span, text));
                    return;
                }
                self.include_file(span, &path, wildcard, checks);
            }
        }
    }

    fn nothing_found(&mut self, span: Span, path: &Path, wildcard: bool, must: bool) {
        let text = format!("{}: nothing to include here", path.display());
        self.diags.push(if must {
            Diagnostic::refusal("include", span, text)
                .help("create the file, or use `include`, which does not demand one")
        } else if wildcard {
            Diagnostic::note("include", span, text)
        } else {
            Diagnostic::warning("include", span, text)
                .help("names are relative to the directory of the including file")
        });
    }

    fn include_file(&mut self, span: Span, path: &Path, wildcard: bool, checks: Checks) {
        let name = path.display().to_string();
        if self.stack.len() > MAX_INCLUDE || self.stack.iter().any(|f| same_file(f, path)) {
            let text = format!(
                "{name} is included from itself, or files include each other more than {MAX_INCLUDE} deep"
            );
            self.diags
                .push(Diagnostic::error("include-loop", span, text));
            return;
        }
        match source::read(path, self.sources.room()) {
            Ok(found) if found.executable => {
                let text = format!("{name} has an execute bit and is not read, as in keepalived");
                let help = format!("chmod a-x {name}");
                self.diags.push(if checks.read && !wildcard {
                    Diagnostic::refusal("include", span, text).help(help)
                } else {
                    Diagnostic::warning("include", span, text).help(help)
                });
            }
            Ok(found) => {
                let file = self.sources.add(&name, found.text);
                self.text(file, Some(path.to_path_buf()));
            }
            Err(Unreadable::NotAFile) if wildcard && !checks.read => {}
            Err(why @ Unreadable::TooLarge) => self.diags.push(Diagnostic::refusal(
                "include",
                span,
                format!("{name}: {why}"),
            )),
            Err(why @ (Unreadable::Io(_) | Unreadable::NotAFile)) => {
                let text = format!("{name} cannot be read: {why}");
                self.diags.push(if checks.read {
                    Diagnostic::refusal("include", span, text)
                } else {
                    Diagnostic::warning("include", span, text)
                });
            }
        }
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
