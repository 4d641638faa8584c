//! Text to settings: the keepalived language, with a diagnostic for everything that is not understood.
//!
//! TOML becomes the same tree in `toml`; [`write`](mod@write) turns settings into either language.
//!
//! The way of a word: [`source`] knows where each byte stands; `reader` and `include` follow includes,
//! conditions, variables and loops; `lexer` makes words and braces; `block` makes a tree; `audit` holds it against
//! the table in [`keywords`]; `global`, `script`, `tracked`, `router`, `address`, `notify` and `track` read
//! values; `settle` makes an instance that can run; `group` and `weights` fold sync groups into their
//! members; `links` and `statics` read what concerns interfaces; `check` looks at all of them together; [`places`] remembers where it all
//! stands. Nothing here knows a socket, an interface or a user; only [`source`] opens files.

mod address;
mod all_failed;
mod aside;
mod audit;
mod block;
mod check;
mod convert;
pub mod diag;
mod differences;
mod expand;
mod external;
mod extras;
#[doc(hidden)]
pub mod fuzz;
mod global;
mod group;
mod include;
pub mod keywords;
mod lexer;
mod links;
mod notify;
pub mod places;
mod probe;
mod reader;
mod router;
mod script;
mod settle;
pub mod source;
mod statics;
mod toml;
mod track;
mod tracked;
mod value;
mod vars;
mod weights;
pub mod write;

pub use convert::{Converted, convert};
pub use diag::{Diagnostic, Severity, exit_code, render};
pub use expand::{Expanded, expand};
pub use places::Places;
pub use source::{Sources, Span};

use crate::model::settings::Settings;
use block::Node;
use diag::Diags;
use lexer::Word;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// How a configuration is to be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// What `@id` lines are compared with; `None` is the host's name up to the first dot.
    pub config_id: Option<String>,
    /// Seed of `${_RANDOM}` until `random_seed` gives another.
    pub seed: u64,
    /// Demand of every include what `includea` demands.
    pub all_include_checks: bool,
}

/// A configuration as far as it could be read.
#[derive(Debug)]
pub struct Loaded {
    /// The settings; `None` if a diagnostic refuses them.
    pub settings: Option<Settings>,
    /// Everything there is to say, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// The files it came from.
    pub sources: Sources,
    /// Where its words stand.
    pub places: Places,
    /// It configures load balancing, which is not handled here.
    pub lvs: bool,
}

/// A configuration and the tree it was read into.
struct Read {
    loaded: Loaded,
    nodes: Vec<Node>,
}

/// Reads a file and what it includes. A name that ends in `.toml` is TOML.
pub fn load(path: &Path, options: &Options) -> Loaded {
    read_file(path, options, None).loaded
}

/// Reads a text; includes are not followed. A name that ends in `.toml` is TOML.
pub fn load_str(name: &str, text: &str, options: &Options) -> Loaded {
    read_text(name, text, options).loaded
}

/// Whether a file is TOML, by its name.
fn is_toml(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn read_file(path: &Path, options: &Options, trace: Option<&mut expand::Trace>) -> Read {
    let mut sources = Sources::default();
    let mut diags = Diags::default();
    let name = path.display().to_string();
    match source::read(path, sources.room()) {
        Ok(found) => {
            let file = sources.add(&name, found.text);
            if found.executable && !is_toml(&name) {
                let at = Span {
                    file,
                    ..Span::default()
                };
                diags.push(
                    Diagnostic::warning(
                        "executable-file",
                        at,
                        "keepalived does not read a configuration with an execute bit; it is read here",
                    )
                    .help(format!("chmod a-x {name}")),
                );
            }
            finish(file, Some(path), options, trace, sources, diags)
        }
        Err(why) => {
            let file = sources.add(&name, String::new());
            let at = Span {
                file,
                ..Span::default()
            };
            let what = format!("{name} cannot be read: {why}");
            unread(Diagnostic::refusal("unreadable", at, what), sources, diags)
        }
    }
}

fn read_text(name: &str, text: &str, options: &Options) -> Read {
    let mut sources = Sources::default();
    let diags = Diags::default();
    if text.len() > source::MAX_BYTES {
        let file = sources.add(name, String::new());
        let at = Span {
            file,
            ..Span::default()
        };
        let what = source::Unreadable::TooLarge.to_string();
        return unread(Diagnostic::refusal("unreadable", at, what), sources, diags);
    }
    let file = sources.add(name, text.to_owned());
    finish(file, None, options, None, sources, diags)
}

fn unread(why: Diagnostic, sources: Sources, mut diags: Diags) -> Read {
    diags.push(why);
    Read {
        loaded: Loaded {
            settings: None,
            diagnostics: diags.finish(),
            sources,
            places: Places::default(),
            lvs: false,
        },
        nodes: Vec::new(),
    }
}

/// Includes are followed if there is a path they can be found from.
fn finish(
    file: u32,
    path: Option<&Path>,
    options: &Options,
    trace: Option<&mut expand::Trace>,
    mut sources: Sources,
    mut diags: Diags,
) -> Read {
    let native = is_toml(sources.name(file));
    let nodes = if native {
        toml::nodes(file, &sources, &mut diags)
    } else {
        let mut reader = reader::Reader::new(options, path.is_some(), &mut sources, &mut diags);
        reader.trace = trace;
        reader.text(file, path.map(Path::to_path_buf));
        let builder = reader.builder;
        builder.finish(&mut diags)
    };
    let audit = audit::Audit::run(&nodes, &mut diags);
    let settings = settings(&nodes, &mut diags);
    let mut diagnostics = diags.finish();
    if native {
        toml::adapt(&mut diagnostics);
    }
    Read {
        loaded: Loaded {
            settings: (!diagnostics.iter().any(|d| d.refuses)).then_some(settings),
            diagnostics,
            sources,
            places: Places::of(&nodes),
            lvs: audit.servers,
        },
        nodes,
    }
}

/// The top-level blocks of one keyword.
fn blocks<'n>(nodes: &'n [Node], name: &'static str) -> impl Iterator<Item = &'n Node> {
    nodes
        .iter()
        .filter(move |n| n.row.is_some() && n.block.is_some() && n.name() == name)
}

/// The top-level blocks of one keyword, each with its place among all of them in reading order.
fn numbered<'n>(nodes: &'n [Node], name: &'static str) -> impl Iterator<Item = (usize, &'n Node)> {
    nodes
        .iter()
        .enumerate()
        .filter(move |(_, n)| n.row.is_some() && n.block.is_some() && n.name() == name)
}

fn settings(nodes: &[Node], diags: &mut Diags) -> Settings {
    let mut global = global::Global::default();
    for node in blocks(nodes, "global_defs") {
        global.read(node, diags);
    }
    note_late_defaults(nodes, diags);
    global.settings.net_namespace = links::namespace(nodes, diags);
    let mut links = links::read(nodes, diags);
    let mut trackers = trackers(nodes, diags);
    if global.settings.unusable_faults {
        trackers.scripts.stand_in = Some(script::undefined);
    }
    let mut placed = routers(nodes, &global, &mut trackers, diags);
    let user = global.script_user.as_ref();
    let groups = group::settle(nodes, &mut placed, &mut trackers, user, diags);
    all_failed::agree(&groups, &mut placed, diags);
    let interface = global.default_interface.as_deref();
    let statics = statics::settle(nodes, interface, &mut placed, diags);
    links.limit(&placed, diags);
    trackers.note_unused(diags);
    external::one_name_each(nodes, &mut trackers, diags);
    differences::note(nodes, &placed, diags);
    note_script_security(nodes, &global, diags);
    Settings {
        files: trackers.files.list.into_iter().map(Arc::new).collect(),
        processes: trackers.processes.list.into_iter().map(Arc::new).collect(),
        groups,
        links: links.settings,
        statics: statics.addresses,
        track_groups: statics.groups,
        checks: trackers
            .scripts
            .list
            .into_iter()
            .map(|check| {
                let mut settings = check.settings;
                let runs = settings.unusable.is_none() && settings.external.is_none();
                if settings.command.user.is_none() && runs {
                    settings.command.user.clone_from(&global.script_user);
                }
                Arc::new(settings)
            })
            .collect(),
        global: global.settings,
        routers: placed.into_iter().map(|p| Arc::new(p.settings)).collect(),
    }
}

/// Everything that can be tracked.
fn trackers(nodes: &[Node], diags: &mut Diags) -> track::Trackers {
    let mut trackers = track::Trackers::new();
    for (order, node) in nodes.iter().enumerate() {
        if node.row.is_none() || node.block.is_none() {
            continue;
        }
        let Some(name) = node.args().first() else {
            continue;
        };
        match node.name() {
            "vrrp_script" => {
                let check = script::check(node, diags);
                trackers.scripts.add(name, order, check, diags);
            }
            "track_file" | "vrrp_track_file" => {
                let file = tracked::file(node, diags);
                trackers.files.add(name, order, file, diags);
            }
            "vrrp_track_process" => {
                let process = tracked::process(node, diags);
                trackers.processes.add(name, order, process, diags);
            }
            "bfd_instance" => {
                let session = tracked::session(node, diags);
                trackers.sessions.add(name, order, session, diags);
            }
            _ => {}
        }
    }
    trackers
}

fn routers(
    nodes: &[Node],
    global: &global::Global,
    trackers: &mut track::Trackers,
    diags: &mut Diags,
) -> Vec<weights::Placed> {
    let mut routers = Vec::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut taken = check::Taken::default();
    for (order, node) in numbered(nodes, "vrrp_instance") {
        let Some(name) = node.args().first() else {
            continue;
        };
        if let Some(before) = names.get(&*name.text) {
            diags.push(second_instance(name, *before));
            continue;
        }
        names.insert(&name.text, name.span);
        let mut draft = router::draft(name, node, diags);
        let place = draft.vrid.map_or(draft.span, |(_, span)| span);
        let lists = std::mem::take(&mut draft.lists);
        let tracked = trackers.resolve(&lists, order, diags);
        if let Some(settings) = settle::settle(draft, tracked, global, diags)
            && taken.take(&settings, place, diags)
        {
            let mut placed = weights::Placed {
                settings,
                span: name.span,
                lists,
            };
            weights::drop_own(&mut placed, diags);
            routers.push(placed);
        }
    }
    routers
}

fn second_instance(name: &Word, before: Span) -> Diagnostic {
    Diagnostic::error(
        "duplicate-name",
        name.span,
        format!("a second vrrp_instance {}; it is not read", name.text),
    )
    .related(before, "first here")
    .help("give each instance a name of its own")
}

/// keepalived takes these defaults at start wherever they stand, but after a reload only those that
/// stand before the instance.
fn note_late_defaults(nodes: &[Node], diags: &mut Diags) {
    let first = nodes
        .iter()
        .position(|n| n.row.is_some() && n.name() == "vrrp_instance");
    let Some((index, instance)) = first.and_then(|i| Some((i, nodes.get(i)?))) else {
        return;
    };
    for node in blocks(nodes.get(index..).unwrap_or(&[]), "global_defs") {
        let default = node.children().iter().find(|c| {
            c.row.is_some()
                && (c.name().starts_with("vrrp_garp_master")
                    || matches!(
                        c.name(),
                        "vrrp_down_timer_adverts"
                            | "vrrp_min_garp"
                            | "vrrp_check_unicast_src"
                            | "vrrp_skip_check_adv_addr"
                            | "v3_checksum_as_v2"
                    ))
        });
        if let Some(default) = default {
            diags.push(
                Diagnostic::note(
                    "late-defaults",
                    default.span(),
                    "keepalived takes this default at start but forgets it at a reload, because an instance \
                     stands before it; here it always counts",
                )
                .related(instance.span(), "instance here")
                .help("move global_defs to the top of the file"),
            );
        }
    }
}

fn note_script_security(nodes: &[Node], global: &global::Global, diags: &mut Diags) {
    if global.settings.script_security {
        return;
    }
    let command = |n: &&Node| n.row.is_some_and(|r| r.command) && !n.args().is_empty();
    let first = nodes
        .iter()
        .filter(|n| {
            matches!(
                n.name(),
                "vrrp_script" | "vrrp_instance" | "vrrp_sync_group"
            )
        })
        .flat_map(Node::children)
        .find(command);
    if let Some(node) = first {
        diags.push(
            Diagnostic::note(
                "script-security",
                node.span(),
                "scripts are used while enable_script_security is off",
            )
            .help("add enable_script_security and script_user to global_defs"),
        );
    }
}

#[cfg(test)]
pub(crate) mod help {
    //! What tests of this room need.

    use super::*;
    use crate::model::settings::RouterSettings;

    /// Reads a text.
    pub(crate) fn read(text: &str) -> Loaded {
        let options = Options {
            config_id: Some("node1".into()),
            ..Options::default()
        };
        load_str("test.conf", text, &options)
    }

    /// The codes of what is said, in order, without the notes on differences from keepalived.
    pub(crate) fn codes(loaded: &Loaded) -> Vec<&'static str> {
        let codes = loaded.diagnostics.iter().map(|d| d.code);
        codes.filter(|c| !differences::CODES.contains(c)).collect()
    }

    /// One instance on eth0 with VRID 51 and the given lines.
    pub(crate) fn instance(lines: &str) -> String {
        format!("vrrp_instance A {{\ninterface eth0\nvirtual_router_id 51\n{lines}\n}}\n")
    }

    /// The router that `instance` with one address and these lines becomes, and what is said.
    pub(crate) fn router(global: &str, lines: &str) -> (Arc<RouterSettings>, Vec<&'static str>) {
        let body = instance(&format!("virtual_ipaddress {{ 10.0.0.1/24 }}\n{lines}"));
        routers(&format!("global_defs {{\n{global}\n}}\n{body}"))
    }

    /// The first router of a text, and what is said.
    pub(crate) fn routers(text: &str) -> (Arc<RouterSettings>, Vec<&'static str>) {
        let loaded = read(text);
        let codes = codes(&loaded);
        let settings = loaded
            .settings
            .unwrap_or_else(|| panic!("refused: {codes:?}"));
        (settings.routers.first().expect("a router").clone(), codes)
    }
}

#[cfg(test)]
mod tests {
    use super::help::{codes, instance, read};
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_missing_file_is_an_error_and_not_an_empty_configuration() {
        let loaded = load(Path::new("/no/such/file.conf"), &Options::default());
        assert!(loaded.settings.is_none());
        assert_eq!(codes(&loaded), ["unreadable"]);
        assert_eq!(exit_code(&loaded.diagnostics, false), 2);
    }

    #[test]
    fn included_files_are_found_beside_their_includer() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("sub")).expect("made");
        fs::write(path("main.conf"), "include sub/*.inc\n").expect("written");
        fs::write(path("sub/1.inc"), "include deep/vips.txt\n").expect("written");
        fs::create_dir(path("sub/deep")).expect("made");
        let text = instance("virtual_ipaddress { 10.0.0.1/24 }\nnotify \"${_PWD}/x\"");
        fs::write(path("sub/deep/vips.txt"), text).expect("written");
        let loaded = load(&path("main.conf"), &Options::default());
        let settings = loaded.settings.expect("usable");
        assert_eq!(settings.routers.len(), 1);
        assert_eq!(loaded.sources.len(), 3);
        let notify = settings.routers[0].notify.any.clone().expect("a program");
        assert!(notify.argv[0].ends_with("/sub/deep/x"), "{notify:?}");
    }

    #[test]
    fn an_executable_file_is_read_with_a_warning_but_not_included() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("main.conf"), "include part\n").expect("written");
        fs::write(path("part"), "nonsense\n").expect("written");
        for name in ["main.conf", "part"] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).expect("set");
        }
        let loaded = load(&path("main.conf"), &Options::default());
        assert_eq!(codes(&loaded), ["executable-file", "include"]);
    }

    #[test]
    fn files_that_include_each_other_come_to_an_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a"), "include b\n").expect("written");
        fs::write(path("b"), "include a\n").expect("written");
        let loaded = load(&path("a"), &Options::default());
        assert_eq!(codes(&loaded), ["include-loop"]);
    }

    #[test]
    fn a_text_does_not_open_files() {
        let loaded = read("include /etc/hostname\n");
        assert_eq!(codes(&loaded), ["include"]);
        assert_eq!(loaded.sources.len(), 1);
    }

    #[test]
    fn load_balancing_is_told() {
        let loaded = read("virtual_server 10.0.0.1 80 {\n}\nglobal_defs {\nlvs_flush\n}\n");
        assert!(loaded.lvs);
        assert_eq!(codes(&loaded), ["lvs"]);
        assert!(!read("global_defs {\nlvs_flush\n}\n").lvs);
    }

    #[test]
    fn what_is_not_acted_on_is_named() {
        let loaded = read("garp_group {\n}\nglobal_defs {\nsmtp_alert\n}\n");
        let unacted: Vec<_> = loaded
            .diagnostics
            .iter()
            .filter_map(|d| d.unacted)
            .collect();
        assert_eq!(unacted, ["garp_group", "smtp_alert"]);
    }

    #[test]
    fn an_empty_file_is_an_empty_configuration() {
        let loaded = read("");
        assert!(loaded.diagnostics.is_empty());
        assert_eq!(loaded.settings, Some(Settings::default()));
    }
}
