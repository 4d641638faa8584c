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
    /// Defined, but without a command that can be run.
    broken: HashSet<Arc<str>>,
}

impl Checks {
    /// No scripts.
    pub(super) fn new() -> Self {
        Self {
            by_name: HashMap::new(),
            list: Vec::new(),
            used: HashSet::new(),
            broken: HashSet::new(),
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

    /// Remembers a script that cannot be used, so that its users hear why.
    pub(super) fn add_broken(&mut self, name: &str) {
        self.broken.insert(name.into());
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
        if self.broken.contains(&entry.name) {
            return Diagnostic::error(
                "undefined-script",
                entry.span,
                format!(
                    "vrrp_script {} has no usable command; it is not tracked",
                    entry.name
                ),
            );
        }
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

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read};
    use super::*;

    const SCRIPT: &str = "vrrp_script s {\nscript \"/x\"\nweight -5 reverse\n}\n";

    fn tracks(list: &str) -> (Vec<TrackSettings>, Vec<&'static str>) {
        let body = format!("virtual_ipaddress {{ 10.0.0.1 }}\ntrack_script {{\n{list}\n}}");
        let text = format!(
            "global_defs {{\nenable_script_security\n}}\n{SCRIPT}{}",
            instance(&body)
        );
        let loaded = read(&text);
        let codes = codes(&loaded);
        let tracks = loaded.settings.map(|s| s.routers[0].tracks.clone());
        (tracks.unwrap_or_default(), codes)
    }

    fn pull(entry: &str) -> Option<(i16, bool)> {
        let (tracks, _) = tracks(entry);
        tracks.first().map(|t| (t.weight.get(), t.reverse))
    }

    #[test]
    fn an_entry_overrides_the_scripts_weight_and_direction() {
        assert_eq!(pull("s"), Some((-5, true)));
        assert_eq!(pull("s weight 7"), Some((7, true)));
        assert_eq!(pull("s weight 7 noreverse"), Some((7, false)));
        assert_eq!(pull("s weight 0"), Some((0, true)));
        assert_eq!(pull("s weight 254"), Some((253, true)));
    }

    #[test]
    fn an_undefined_script_is_not_tracked_and_does_not_stop_the_program() {
        let (list, codes) = tracks("s\nt");
        assert_eq!(list.len(), 1);
        assert_eq!(codes, ["undefined-script"]);
    }

    #[test]
    fn a_script_defined_after_its_use_is_tracked_with_a_warning() {
        let body = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_script {\ns\n}");
        let loaded = read(&format!("{body}{SCRIPT}"));
        assert!(codes(&loaded).contains(&"defined-later"));
        assert_eq!(loaded.settings.expect("usable").routers[0].tracks.len(), 1);
    }

    #[test]
    fn a_script_nobody_tracks_is_noted() {
        assert!(codes(&read(SCRIPT)).contains(&"unused-script"));
    }
}
