//! `vrrp_sync_group`: who belongs together, and what its trackers and its rules do to the members
//! (keepalived.conf(5) vrrp_sync_group).

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::notify;
use super::source::Span;
use super::track::{Lists, Resolved, Trackers};
use super::weights::{self, Placed, Shared};
use crate::model::settings::{GroupSettings, NotifySettings, RunAs};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A group as written.
struct Draft<'n> {
    name: &'n Word,
    members: Vec<&'n Word>,
    lists: Lists,
    notify: NotifySettings,
    /// `sync_group_tracking_weight`: members may have weights of their own.
    weights: bool,
    /// Which block of the configuration it is.
    order: usize,
}

/// Reads all groups and folds them into their members.
pub(super) fn settle(
    nodes: &[Node],
    routers: &mut [Placed],
    trackers: &mut Trackers,
    script_user: Option<&RunAs>,
    diags: &mut Diags,
) -> Vec<Arc<GroupSettings>> {
    let mut groups = Vec::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut taken: HashMap<&str, Span> = HashMap::new();
    let by_name: HashMap<Arc<str>, usize> = routers
        .iter()
        .enumerate()
        .map(|(i, r)| (r.settings.name.clone(), i))
        .collect();
    let written: HashSet<&str> = super::blocks(nodes, "vrrp_instance")
        .filter_map(|n| Some(&*n.args().first()?.text))
        .collect();
    let mut grouped = HashSet::new();
    for (order, node) in super::numbered(nodes, "vrrp_sync_group") {
        let Some(name) = node.args().first() else {
            continue;
        };
        if let Some(before) = names.get(&*name.text) {
            let what = format!("a second vrrp_sync_group {}; it is not read", name.text);
            diags.push(
                Diagnostic::error("duplicate-name", name.span, what)
                    .related(*before, "first here")
                    .help("give each group a name of its own"),
            );
            continue;
        }
        names.insert(&name.text, name.span);
        let draft = read(name, node, order, diags);
        let members = members(&draft, node, &written, &mut taken, diags);
        let indices: Vec<usize> = members
            .iter()
            .filter_map(|m| by_name.get(&*m.text).copied())
            .collect();
        let resolved = trackers.resolve(&draft.lists, draft.order, diags);
        if members.is_empty() {
            continue;
        }
        grouped.extend(indices.iter().copied());
        groups.push(fold(draft, resolved, &indices, routers, script_user, diags));
    }
    for (index, router) in routers.iter_mut().enumerate() {
        if !grouped.contains(&index) {
            weights::strip(router, None, diags);
            weights::drop_carriers(router, diags);
        }
    }
    groups
}

fn read<'n>(name: &'n Word, node: &'n Node, order: usize, diags: &mut Diags) -> Draft<'n> {
    let mut this = Draft {
        name,
        members: Vec::new(),
        lists: Lists::default(),
        notify: NotifySettings::default(),
        weights: false,
        order,
    };
    let mut first: Option<Span> = None;
    for child in node.children() {
        let (Some((word, args)), Some(row)) = (child.words.split_first(), child.row) else {
            continue;
        };
        if args.len() < usize::from(row.min) {
            continue;
        }
        match &*word.text {
            "group" => {
                if let Some(before) = first {
                    diags.push(
                        Diagnostic::warning(
                            "repeated",
                            word.span,
                            "a second list of members, which keepalived does not read; both count here",
                        )
                        .related(before, "first here")
                        .help("put all members into one list"),
                    );
                }
                first.get_or_insert(word.span);
                let names = child.children().iter().flat_map(|n| &n.words);
                this.members.extend(names);
            }
            "sync_group_tracking_weight" => this.weights = true,
            "global_tracking" => {
                this.weights = true;
                diags.push(
                    Diagnostic::warning(
                        "deprecated",
                        word.span,
                        "global_tracking is an old name of sync_group_tracking_weight",
                    )
                    .help("write sync_group_tracking_weight, or track in the group itself"),
                );
            }
            _ if row.command => notify::read(&mut this.notify, child, word, diags),
            _ => {
                this.lists.read(child, diags);
            }
        }
    }
    this
}

/// The members that exist and belong to no earlier group.
fn members<'n>(
    draft: &Draft<'n>,
    node: &Node,
    written: &HashSet<&str>,
    taken: &mut HashMap<&'n str, Span>,
    diags: &mut Diags,
) -> Vec<&'n Word> {
    let group = &draft.name.text;
    let mut members = Vec::with_capacity(draft.members.len());
    for member in &draft.members {
        let name = &*member.text;
        if !written.contains(name) {
            let what = format!("no vrrp_instance {name} is defined; {group} goes without it");
            let near = written
                .iter()
                .take(1000)
                .map(|known| (strsim::osa_distance(name, known), *known))
                .filter(|(distance, _)| name.len() < 64 && *distance <= 2.min(name.len() / 2))
                .min();
            let d = Diagnostic::error("unknown-member", member.span, what);
            diags.push(match near {
                Some((_, known)) => d.help(format!("did you mean `{known}`?")),
                None => d.help("define it, or take it out of the group"),
            });
        } else if let Some(before) = taken.get(name) {
            let what = format!("{name} belongs to a group already; it is left out here");
            diags.push(
                Diagnostic::error("member-twice", member.span, what)
                    .related(*before, "first here")
                    .help("an instance can belong to one group, once"),
            );
        } else {
            taken.insert(&member.text, member.span);
            members.push(*member);
        }
    }
    match members.len() {
        0 => {
            let what = format!("{group} has no member; there is no such group then");
            let bare: Vec<&Node> = node
                .children()
                .iter()
                .filter(|n| written.contains(n.name()))
                .collect();
            let d = Diagnostic::error("empty-group", draft.name.span, what);
            diags.push(match bare.first() {
                Some(first) => {
                    let names: Vec<&str> = bare
                        .iter()
                        .flat_map(|n| n.words.iter().map(|w| &*w.text))
                        .collect();
                    d.related(first.span(), "this is no keyword")
                        .help(format!("write group {{ {} }}", names.join(" ")))
                }
                None => d.help("add a line: group { INSTANCE INSTANCE }"),
            });
        }
        1 => {
            let what = format!("{group} has one member; there is nothing to move with it");
            diags.push(
                Diagnostic::warning("lone-member", draft.name.span, what)
                    .help("name the other members, or remove the group"),
            );
        }
        _ => {}
    }
    members
}

fn fold(
    draft: Draft<'_>,
    tracked: Resolved,
    members: &[usize],
    routers: &mut [Placed],
    script_user: Option<&RunAs>,
    diags: &mut Diags,
) -> Arc<GroupSettings> {
    let mut shared = Shared {
        name: &draft.name.text,
        tracked,
        lists: &draft.lists,
        weights: draft.weights,
    };
    let all = || members.iter().filter_map(|i| routers.get(*i));
    if let Some(owner) = all().find(|r| r.settings.priority.is_owner()) {
        weights::unweight(&mut shared, owner, diags);
    }
    note_members(&draft, members, routers, diags);
    let starts = |r: &Placed| r.settings.start_active;
    let mixed = all().any(starts) && !all().all(starts);
    let mut names = Vec::with_capacity(members.len());
    for index in members {
        let Some(router) = routers.get_mut(*index) else {
            continue;
        };
        if mixed {
            router.settings.start_active = false;
        }
        weights::strip(router, Some(&shared), diags);
        weights::drop_carriers(router, diags);
        weights::join(router, &shared, diags);
        names.push(router.settings.name.clone());
    }
    let name = shared.name.into();
    let mut notify = draft.notify;
    notify::default_user(&mut notify, script_user);
    Arc::new(GroupSettings {
        name,
        members: names,
        notify,
    })
}

/// What is odd about the members as a whole.
fn note_members(draft: &Draft<'_>, members: &[usize], routers: &[Placed], diags: &mut Diags) {
    let all = || members.iter().filter_map(|i| routers.get(*i));
    let name = &draft.name.text;
    let active = all().filter(|r| r.settings.start_active).count();
    if active > 0 && active < members.len() {
        let what =
            format!("members of {name} want to start in different states; all start as BACKUP");
        diags.push(
            Diagnostic::note("mixed-states", draft.name.span, what)
                .help("give all members the same state and priority"),
        );
    }
    let first = all().next().map(|r| r.settings.priority);
    if let Some(other) = all().find(|r| Some(r.settings.priority) != first) {
        let what = format!(
            "members of {name} have different priorities; it becomes MASTER only where each of them wins"
        );
        diags.push(
            Diagnostic::note("mixed-priorities", draft.name.span, what)
                .related(other.span, "this one differs")
                .help("give all members of a group the same priority"),
        );
    }
}

#[cfg(test)]
pub(crate) mod help {
    //! Two instances, everything that can be tracked, and a group.

    use super::super::help::{codes, read};
    use crate::model::settings::Settings;

    const TRACKERS: &str = "global_defs {\nenable_script_security\n}\nvrrp_script s {\nscript \"/x\"\n}\n\
        vrrp_script t {\nscript \"/y\"\n}\ntrack_file f {\nfile /x/y\n}\n\
        vrrp_track_process p {\nprocess q\nweight 3\n}\n";

    /// Two instances with these lines, and a group with these.
    pub(crate) fn text(a: &str, b: &str, group: &str) -> String {
        let one = |name: &str, vrid: u8, lines: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n\
                 virtual_ipaddress {{ 10.0.0.{vrid} }}\n{lines}\n}}\n"
            )
        };
        let (a, b) = (one("A", 1, a), one("B", 2, b));
        format!("{TRACKERS}{a}{b}vrrp_sync_group G {{\n{group}\n}}\n")
    }

    /// What they become, and what is said of them.
    pub(crate) fn settings(a: &str, b: &str, group: &str) -> (Settings, Vec<&'static str>) {
        let loaded = read(&text(a, b, group));
        let told: Vec<_> = codes(&loaded)
            .into_iter()
            .filter(|c| !c.starts_with("unused"))
            .collect();
        (
            loaded
                .settings
                .unwrap_or_else(|| panic!("refused: {told:?}")),
            told,
        )
    }

    /// The scripts and weights of one of the routers.
    pub(crate) fn scripts(settings: &Settings, router: usize) -> Vec<(String, i16)> {
        settings.routers[router]
            .tracks
            .iter()
            .map(|t| (t.check.to_string(), t.weight.get()))
            .collect()
    }

    /// Both are members.
    pub(crate) const AB: &str = "group { A B }";
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read};
    use super::help::{AB, settings, text};

    #[test]
    fn members_are_named_and_programs_belong_to_the_group() {
        let (s, told) = settings(
            "",
            "",
            "group {\nA\nB\n}\nnotify_master \"/m x\"\nnotify \"/n\" web",
        );
        assert!(told.is_empty(), "{told:?}");
        let group = &s.groups[0];
        assert_eq!(&*group.name, "G");
        assert_eq!(group.members, ["A".into(), "B".into()]);
        let master = group.notify.master.as_ref().expect("a program");
        assert_eq!(master.argv.len(), 2);
        let any = group.notify.any.as_ref().and_then(|c| c.user.as_ref());
        assert_eq!(any.map(|u| &*u.user), Some("web"));
        assert!(s.routers[0].notify.master.is_none());
    }

    #[test]
    fn a_group_may_stand_before_its_members() {
        let loaded = read(
            "vrrp_sync_group G {\ngroup { A }\n}\nvrrp_instance A {\ninterface e\nvirtual_router_id 1\n\
             virtual_ipaddress { 10.0.0.1 }\n}\n",
        );
        assert_eq!(codes(&loaded), ["lone-member"]);
        assert_eq!(loaded.settings.expect("usable").groups.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_members_is_told_and_the_rest_stays() {
        let of = |group: &str| {
            let (s, told) = settings("", "", group);
            let groups: Vec<Vec<String>> = s
                .groups
                .iter()
                .map(|g| g.members.iter().map(ToString::to_string).collect())
                .collect();
            (groups, told)
        };
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            of("group { A B C }"),
            (vec![list(&["A", "B"])], vec!["unknown-member"])
        );
        assert_eq!(
            of("group { A A B }"),
            (vec![list(&["A", "B"])], vec!["member-twice"])
        );
        assert_eq!(
            of("group { A }\ngroup { B }"),
            (vec![list(&["A", "B"])], vec!["repeated"])
        );
        assert_eq!(of("group { A }"), (vec![list(&["A"])], vec!["lone-member"]));
        assert_eq!(of("group { }"), (vec![], vec!["empty-group"]));
        assert_eq!(of(""), (vec![], vec!["empty-group"]));
        assert_eq!(of("A B"), (vec![], vec!["empty-group", "unknown-keyword"]));
        let second = "group { A B }\n}\nvrrp_sync_group H {\ngroup { A B }";
        let (groups, told) = of(second);
        assert_eq!(groups, [list(&["A", "B"])]);
        assert_eq!(told, ["empty-group", "member-twice", "member-twice"]);
        let (groups, told) = of("group { A B }\n}\nvrrp_sync_group G {\ngroup { A }");
        assert_eq!(
            (groups, told),
            (vec![list(&["A", "B"])], vec!["duplicate-name"])
        );
    }

    #[test]
    fn trackers_of_the_group_are_those_of_every_member() {
        let lists = "group { A B }\ntrack_script {\ns weight -6\n}\ntrack_interface {\neth1\n}\n\
                     track_file {\nf weight 2 reverse\n}\ntrack_process {\np\n}";
        let (s, told) = settings("", "", lists);
        assert!(told.is_empty(), "{told:?}");
        for router in &s.routers {
            assert_eq!(router.tracks[0].weight.get(), -6);
            assert_eq!(&*router.track_links[0].interface, "eth1");
            let file = &router.track_files[0];
            assert_eq!((file.weight, file.reverse), (2, true));
            assert_eq!(router.track_processes[0].weight, 3);
        }
    }

    #[test]
    fn members_that_differ_start_as_backup() {
        let (s, told) = settings("priority 255", "", AB);
        assert!(s.routers.iter().all(|r| !r.start_active));
        assert_eq!(told, ["mixed-states", "mixed-priorities"]);
        let (s, told) = settings("priority 255", "priority 255", AB);
        assert!(s.routers.iter().all(|r| r.start_active));
        assert!(told.is_empty());
    }

    #[test]
    fn a_tracker_of_a_group_may_be_defined_later() {
        let text = text("", "", "group { A B }\ntrack_script {\nz\n}");
        let loaded = read(&format!("{text}vrrp_script z {{\nscript \"/z\"\n}}\n"));
        assert!(codes(&loaded).contains(&"defined-later"));
        assert_eq!(loaded.settings.expect("usable").routers[0].tracks.len(), 1);
    }
}
