//! Entries of `track_script`.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::script::{Check, read_weight, reversed};
use super::source::Span;
use crate::model::priority::Weight;
use crate::model::settings::TrackSettings;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One entry as written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The script's name.
    pub(super) name: Arc<str>,
    /// Where it stands.
    pub(super) span: Span,
    weight: Option<Weight>,
    reverse: Option<bool>,
}

/// Reads one line: `NAME [weight N [reverse|noreverse]]`.
pub(super) fn entry(node: &Node, diags: &mut Diags) -> Option<Entry> {
    let (name, options) = node.words.split_first()?;
    let mut this = Entry {
        name: name.text.clone().into(),
        span: name.span,
        weight: None,
        reverse: None,
    };
    let Some((word, args)) = options.split_first() else {
        return Some(this);
    };
    if &*word.text != "weight" {
        diags.push(
            Diagnostic::error(
                "unknown-option",
                word.span,
                format!("`{}` is not known here; it is left out", word.text),
            )
            .help("expected NAME weight N reverse; one script on each line"),
        );
        return Some(this);
    }
    match args.first() {
        Some(arg) => this.weight = read_weight(word, arg, diags),
        None => diags.push(
            Diagnostic::refusal("missing-word", word.span, "weight needs a number after it")
                .help("keepalived ends with status 2 here; give the number or remove the word"),
        ),
    }
    this.reverse = reversed(args.get(1), true, diags);
    Some(this)
}

/// Track scripts by name, with their place in the order of the file.
pub(super) struct Checks {
    by_name: HashMap<Arc<str>, (usize, Span)>,
    /// In the order of the file.
    pub(super) list: Vec<Check>,
    used: HashSet<Arc<str>>,
}

impl Checks {
    /// No scripts.
    pub(super) fn new() -> Self {
        Self {
            by_name: HashMap::new(),
            list: Vec::new(),
            used: HashSet::new(),
        }
    }

    /// Adds one; the first of a name counts.
    pub(super) fn add(&mut self, check: Check, diags: &mut Diags) {
        let name = check.settings.name.clone();
        if let Some((_, before)) = self.by_name.get(&name) {
            diags.push(
                Diagnostic::warning(
                    "duplicate-name",
                    check.span,
                    format!("a second vrrp_script {name}; the first counts"),
                )
                .related(*before, "first here"),
            );
            return;
        }
        self.by_name.insert(name, (self.list.len(), check.span));
        self.list.push(check);
    }

    /// Resolves the entries of one instance.
    pub(super) fn resolve(
        &mut self,
        entries: &[Entry],
        instance: Span,
        diags: &mut Diags,
    ) -> Vec<TrackSettings> {
        let mut tracks = Vec::with_capacity(entries.len());
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for entry in entries {
            let Some((index, defined)) = self.by_name.get(&entry.name).copied() else {
                diags.push(self.undefined(entry));
                continue;
            };
            if let Some(before) = seen.insert(&entry.name, entry.span) {
                diags.push(
                    Diagnostic::warning(
                        "duplicate-track",
                        entry.span,
                        format!("{} is tracked twice; the first entry counts", entry.name),
                    )
                    .related(before, "first here"),
                );
                continue;
            }
            if defined > instance {
                diags.push(
                    Diagnostic::warning(
                        "defined-later",
                        entry.span,
                        format!(
                            "keepalived does not track {}, because it is defined after its use; here it is tracked",
                            entry.name
                        ),
                    )
                    .related(defined, "defined here")
                    .help("move the vrrp_script block before the instance"),
                );
            }
            self.used.insert(entry.name.clone());
            let Some(check) = self.list.get(index) else {
                continue;
            };
            tracks.push(TrackSettings {
                check: entry.name.clone(),
                weight: entry.weight.unwrap_or(check.settings.weight),
                reverse: entry.reverse.unwrap_or(check.settings.reverse),
            });
        }
        tracks
    }

    fn undefined(&self, entry: &Entry) -> Diagnostic {
        let d = Diagnostic::error(
            "undefined-script",
            entry.span,
            format!(
                "no vrrp_script {} is defined; it is not tracked",
                entry.name
            ),
        );
        let near = self
            .by_name
            .keys()
            .take(1000)
            .map(|known| (strsim::osa_distance(&entry.name, known), known))
            .filter(|(distance, _)| entry.name.len() < 64 && *distance <= 2)
            .min();
        match near {
            Some((_, known)) => d.help(format!("did you mean `{known}`?")),
            None => d.help("define it above, or remove this line"),
        }
    }

    /// Notes the scripts that nothing tracks.
    pub(super) fn note_unused(&self, diags: &mut Diags) {
        for check in &self.list {
            if !self.used.contains(&check.settings.name) {
                let what = format!("nothing tracks {}; it is never run", check.settings.name);
                diags.push(
                    Diagnostic::note("unused-script", check.span, what)
                        .help("add its name to a track_script block"),
                );
            }
        }
    }
}
