//! What is tracked by whom: the entries of `track_script` and its like, and the definitions they name.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::script::{Check, reversed};
use super::source::Span;
use super::tracked::{File, Process};
use super::value::{self, Junk};
use crate::model::priority::Weight;
use crate::model::settings::{LinkTrackSettings, NamedTrackSettings, TrackSettings};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The kinds of things that can be tracked by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `track_script`.
    Script,
    /// `track_interface`.
    Link,
    /// `track_file`.
    File,
    /// `track_process`.
    Process,
    /// `track_bfd`.
    Bfd,
}

impl Kind {
    /// The kind of a list by its keyword.
    pub(super) fn of_list(keyword: &str) -> Option<Self> {
        Some(match keyword {
            "track_script" => Self::Script,
            "track_interface" => Self::Link,
            "track_file" => Self::File,
            "track_process" => Self::Process,
            "track_bfd" => Self::Bfd,
            _ => return None,
        })
    }

    /// The largest weight of an entry.
    fn most(self) -> i16 {
        match self {
            Self::Script | Self::Link | Self::Bfd => 253,
            Self::File | Self::Process => 254,
        }
    }

    /// What defines such a thing.
    fn definition(self) -> &'static str {
        match self {
            Self::Script => "vrrp_script",
            Self::Link => "interface",
            Self::File => "track_file",
            Self::Process => "vrrp_track_process",
            Self::Bfd => "bfd_instance",
        }
    }

    fn undefined(self) -> &'static str {
        match self {
            Self::Script => "undefined-script",
            Self::Link => "undefined-interface",
            Self::File => "undefined-file",
            Self::Process => "undefined-process",
            Self::Bfd => "undefined-bfd",
        }
    }

    fn unused(self) -> (&'static str, &'static str) {
        match self {
            Self::Script => ("unused-script", "it is never run"),
            Self::Link => ("unused-interface", "it has no effect"),
            Self::File => ("unused-file", "it has no effect"),
            Self::Process => ("unused-process", "it has no effect"),
            Self::Bfd => ("unused-bfd", "it has no effect"),
        }
    }
}

/// One entry as written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name of what is tracked.
    pub(super) name: Arc<str>,
    /// Where it stands.
    pub(super) span: Span,
    weight: Option<i16>,
    reverse: Option<bool>,
}

/// Reads one line: `NAME [weight N [reverse|noreverse]]`. A line that is not understood tracks
/// nothing, as in keepalived.
fn entry(kind: Kind, node: &Node, diags: &mut Diags) -> Option<Entry> {
    let (name, options) = node.words.split_first()?;
    if kind == Kind::Link && !value::interface(name, diags) {
        return None;
    }
    let mut this = Entry {
        name: name.text.clone().into(),
        span: name.span,
        weight: None,
        reverse: None,
    };
    let Some((word, args)) = options.split_first() else {
        return Some(this);
    };
    let both = kind != Kind::Link;
    if &*word.text != "weight" {
        let form = if both {
            "expected NAME weight N reverse; one name on each line"
        } else {
            "expected INTERFACE weight N reverse; one interface on each line"
        };
        diags.push(
            Diagnostic::error(
                "unknown-option",
                word.span,
                format!(
                    "`{}` is not known here; {} is not tracked",
                    word.text, name.text
                ),
            )
            .help(form),
        );
        return None;
    }
    let Some(number) = args.first() else {
        diags.push(
            Diagnostic::error(
                "missing-word",
                word.span,
                format!(
                    "weight needs a number after it; {} is not tracked",
                    name.text
                ),
            )
            .help("give the number or remove the word"),
        );
        return None;
    };
    this.weight = weight(word, number, kind.most(), diags);
    this.reverse = reversed(args.get(1), both, diags);
    Some(this)
}

/// A weight within `-most..=most`; ±254 is one too much where `most` is 253.
pub(super) fn weight(keyword: &Word, arg: &Word, most: i16, diags: &mut Diags) -> Option<i16> {
    let n = value::integer(keyword, arg, -254..=254, Junk::Cut, diags)?;
    let n = i16::try_from(n).ok()?;
    let near = n.clamp(-most, most);
    if near != n {
        diags.push(
            Diagnostic::error(
                "out-of-range",
                arg.span,
                format!("weight {n} is out of range; {near} is used"),
            )
            .help(format!(
                "expected a whole number from -{most} to {most}; 0 means fault while down"
            )),
        );
    }
    Some(near)
}

/// The lists of one instance or group as written.
#[derive(Clone, Default, Debug)]
pub(super) struct Lists {
    /// `track_script`.
    pub(super) scripts: Vec<Entry>,
    /// `track_interface`.
    pub(super) links: Vec<Entry>,
    /// `track_file`.
    pub(super) files: Vec<Entry>,
    /// `track_process`.
    pub(super) processes: Vec<Entry>,
    /// `track_bfd`.
    pub(super) sessions: Vec<Entry>,
}

impl Lists {
    /// Reads one list; `false` if the block is none.
    pub(super) fn read(&mut self, node: &Node, diags: &mut Diags) -> bool {
        let Some(kind) = Kind::of_list(node.name()) else {
            return false;
        };
        let list = match kind {
            Kind::Script => &mut self.scripts,
            Kind::Link => &mut self.links,
            Kind::File => &mut self.files,
            Kind::Process => &mut self.processes,
            Kind::Bfd => &mut self.sessions,
        };
        let read = node.children().iter();
        list.extend(read.filter_map(|e| entry(kind, e, diags)));
        true
    }

    /// Where a name stands in any of them.
    pub(super) fn span_of(&self, name: &str) -> Option<Span> {
        [&self.scripts, &self.links, &self.files, &self.processes]
            .into_iter()
            .flatten()
            .find(|e| *e.name == *name)
            .map(|e| e.span)
    }
}

/// What is tracked, with weights resolved.
#[derive(Default)]
pub(super) struct Resolved {
    /// Scripts.
    pub(super) scripts: Vec<TrackSettings>,
    /// Interfaces.
    pub(super) links: Vec<LinkTrackSettings>,
    /// Files.
    pub(super) files: Vec<NamedTrackSettings>,
    /// Processes.
    pub(super) processes: Vec<NamedTrackSettings>,
    /// BFD sessions.
    pub(super) sessions: Vec<Arc<str>>,
}

/// Definitions of one kind by name.
pub(super) struct Definitions<T> {
    kind: Kind,
    by_name: HashMap<Arc<str>, At>,
    /// In the order of the file.
    pub(super) list: Vec<T>,
    used: HashSet<Arc<str>>,
    /// Defined, but not usable.
    broken: HashSet<Arc<str>>,
    stood_in: HashSet<Arc<str>>,
    /// Stands in for what is not defined, if that is to count all the same.
    pub(super) stand_in: Option<fn(&Arc<str>) -> T>,
}

/// Where a definition is.
#[derive(Clone, Copy)]
struct At {
    index: usize,
    /// Which block of the whole configuration it is.
    order: usize,
    span: Span,
}

impl<T> Definitions<T> {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            by_name: HashMap::new(),
            list: Vec::new(),
            used: HashSet::new(),
            broken: HashSet::new(),
            stood_in: HashSet::new(),
            stand_in: None,
        }
    }

    /// Adds what a block defines, if it could be read; the first of a name counts.
    pub(super) fn add(&mut self, name: &Word, order: usize, what: Option<T>, diags: &mut Diags) {
        let Some(what) = what else {
            self.broken.insert(name.text.clone().into());
            return;
        };
        if let Some(before) = self.by_name.get(&*name.text) {
            let kind = self.kind.definition();
            diags.push(
                Diagnostic::warning(
                    "duplicate-name",
                    name.span,
                    format!("a second {kind} {}; the first counts", name.text),
                )
                .related(before.span, "first here"),
            );
            return;
        }
        let at = At {
            index: self.list.len(),
            order,
            span: name.span,
        };
        self.by_name.insert(name.text.clone().into(), at);
        self.list.push(what);
    }

    /// Resolves the entries of the block that is the `order`th of the configuration.
    fn resolve<R>(
        &mut self,
        entries: &[Entry],
        order: usize,
        diags: &mut Diags,
        make: impl Fn(&Entry, &T) -> R,
    ) -> Vec<R> {
        let mut tracks = Vec::with_capacity(entries.len());
        let mut seen = HashMap::new();
        for entry in entries {
            let Some(at) = self.by_name.get(&entry.name).copied() else {
                diags.push(self.undefined(entry));
                if let Some(stand_in) = self.stand_in
                    && !seen.contains_key(&*entry.name)
                {
                    seen.insert(&*entry.name, entry.span);
                    let what = stand_in(&entry.name);
                    tracks.push(make(entry, &what));
                    if self.stood_in.insert(entry.name.clone()) {
                        self.list.push(what);
                    }
                }
                continue;
            };
            if twice(&mut seen, entry, diags) {
                continue;
            }
            if at.order > order {
                diags.push(
                    Diagnostic::warning(
                        "defined-later",
                        entry.span,
                        format!(
                            "keepalived does not track {}, because it is defined after its use; here it is tracked",
                            entry.name
                        ),
                    )
                    .related(at.span, "defined here")
                    .help(format!("move the {} block up", self.kind.definition())),
                );
            }
            self.used.insert(entry.name.clone());
            if let Some(what) = self.list.get(at.index) {
                tracks.push(make(entry, what));
            }
        }
        tracks
    }

    fn undefined(&self, entry: &Entry) -> Diagnostic {
        let (kind, code) = (self.kind.definition(), self.kind.undefined());
        let name = &entry.name;
        let comes = match self.stand_in {
            None => "it is not tracked",
            Some(_) => "it counts as failing (script_unusable fault)",
        };
        if self.broken.contains(name) {
            let what = format!("{kind} {name} is not usable; {comes}");
            return Diagnostic::error(code, entry.span, what).help("mend its definition");
        }
        let what = format!("no {kind} {name} is defined; {comes}");
        let d = Diagnostic::error(code, entry.span, what);
        let near = self
            .by_name
            .keys()
            .take(1000)
            .map(|known| (strsim::osa_distance(name, known), known))
            .filter(|(distance, _)| name.len() < 64 && *distance <= 2.min(name.len() / 2))
            .min();
        match near {
            Some((_, known)) => d.help(format!("did you mean `{known}`?")),
            None => d.help("define it above, or remove this line"),
        }
    }

    /// Notes what nothing tracks.
    fn note_unused(&self, diags: &mut Diags) {
        let (code, what) = self.kind.unused();
        for (name, at) in &self.by_name {
            if !self.used.contains(name) {
                let text = format!("nothing tracks {name}; {what}");
                let list = match self.kind {
                    Kind::Script => "track_script",
                    Kind::Link => "track_interface",
                    Kind::File => "track_file",
                    Kind::Process => "track_process",
                    Kind::Bfd => "track_bfd",
                };
                diags.push(
                    Diagnostic::note(code, at.span, text)
                        .help(format!("add its name to a {list} block")),
                );
            }
        }
    }
}

/// Whether the entry repeats an earlier one of its list.
fn twice<'e>(seen: &mut HashMap<&'e str, Span>, entry: &'e Entry, diags: &mut Diags) -> bool {
    let Some(before) = seen.get(&*entry.name) else {
        seen.insert(&entry.name, entry.span);
        return false;
    };
    let what = format!("{} is tracked twice; the first entry counts", entry.name);
    diags.push(
        Diagnostic::warning("duplicate-track", entry.span, what).related(*before, "first here"),
    );
    true
}

/// Everything that can be tracked.
pub(super) struct Trackers {
    /// `vrrp_script`.
    pub(super) scripts: Definitions<Check>,
    /// `track_file`.
    pub(super) files: Definitions<File>,
    /// `vrrp_track_process`.
    pub(super) processes: Definitions<Process>,
    /// `bfd_instance`.
    pub(super) sessions: Definitions<()>,
}

impl Trackers {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            scripts: Definitions::new(Kind::Script),
            files: Definitions::new(Kind::File),
            processes: Definitions::new(Kind::Process),
            sessions: Definitions::new(Kind::Bfd),
        }
    }

    /// Resolves the lists of the block that is the `order`th of the configuration.
    pub(super) fn resolve(&mut self, lists: &Lists, order: usize, diags: &mut Diags) -> Resolved {
        let named = |entry: &Entry, weight: i16, reverse: bool| NamedTrackSettings {
            name: entry.name.clone(),
            weight: entry.weight.unwrap_or(weight),
            reverse: entry.reverse.unwrap_or(reverse),
        };
        let scripts = self
            .scripts
            .resolve(&lists.scripts, order, diags, |entry, check| {
                let own = entry.weight.and_then(Weight::new);
                TrackSettings {
                    check: entry.name.clone(),
                    weight: own.unwrap_or(check.settings.weight),
                    reverse: entry.reverse.unwrap_or(check.settings.reverse),
                }
            });
        let files = self.files.resolve(&lists.files, order, diags, |e, f| {
            named(e, f.weight, f.reverse)
        });
        let processes = self
            .processes
            .resolve(&lists.processes, order, diags, |e, p| {
                named(e, p.weight, p.reverse)
            });
        let sessions = self
            .sessions
            .resolve(&lists.sessions, order, diags, |e, ()| e.name.clone());
        let mut seen = HashMap::new();
        let mut links = Vec::with_capacity(lists.links.len());
        for entry in &lists.links {
            if !twice(&mut seen, entry, diags) {
                links.push(LinkTrackSettings {
                    interface: entry.name.clone(),
                    weight: entry.weight.and_then(Weight::new).unwrap_or(Weight::FAULT),
                    reverse: entry.reverse.unwrap_or(false),
                });
            }
        }
        Resolved {
            scripts,
            links,
            files,
            processes,
            sessions,
        }
    }

    /// Notes what nothing tracks.
    pub(super) fn note_unused(&self, diags: &mut Diags) {
        self.scripts.note_unused(diags);
        self.files.note_unused(diags);
        self.processes.note_unused(diags);
        self.sessions.note_unused(diags);
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
        assert_eq!(
            pull("s weight 300"),
            Some((-5, true)),
            "the script's counts"
        );
    }

    #[test]
    fn a_line_that_is_not_understood_tracks_nothing() {
        for line in ["s weigth 5", "s weight"] {
            let (list, codes) = tracks(line);
            assert!(list.is_empty(), "{line}");
            assert_eq!(codes.len(), 2, "{codes:?}");
        }
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
    fn what_nobody_tracks_is_noted() {
        assert!(codes(&read(SCRIPT)).contains(&"unused-script"));
        let files = "track_file f {\nfile /x/y\n}\nvrrp_track_process p {\nprocess q\n}\n";
        assert_eq!(codes(&read(files)), ["unused-file", "unused-process"]);
    }

    #[test]
    fn other_interfaces_are_tracked_with_their_weight() {
        let links = |list: &str| {
            let body = format!("virtual_ipaddress {{ 10.0.0.1 }}\ntrack_interface {{\n{list}\n}}");
            let loaded = read(&instance(&body));
            let codes = codes(&loaded);
            let settings = loaded.settings.expect("usable");
            let links: Vec<_> = settings.routers[0]
                .track_links
                .iter()
                .map(|l| (l.interface.to_string(), l.weight.get(), l.reverse))
                .collect();
            (links, codes)
        };
        let (list, told) = links("eth1\neth2 weight -7\neth3 weight 3 reverse");
        assert!(told.is_empty(), "{told:?}");
        let named = |name: &str, weight, reverse| (name.to_owned(), weight, reverse);
        assert_eq!(
            list,
            [
                named("eth1", 0, false),
                named("eth2", -7, false),
                named("eth3", 3, true)
            ]
        );
        assert_eq!(links("eth1 weight 300").0, [named("eth1", 0, false)]);
        assert_eq!(links("eth1 weight -254").0, [named("eth1", -253, false)]);
        let (list, told) = links("eth0 weight 4\neth1 weight 4 noreverse\neth1");
        assert_eq!(list, [named("eth1", 4, false)]);
        assert_eq!(told, ["own-interface", "unknown-option", "duplicate-track"]);
    }
}
