//! `vrrp_sync_group`: who belongs together, and what its trackers and its rules do to the members
//! (keepalived.conf(5) vrrp_sync_group).

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::notify;
use super::source::Span;
use super::track::{Entry, Lists, Resolved, Trackers};
use crate::model::priority::Weight;
use crate::model::settings::{GroupSettings, NotifySettings, RouterSettings, RunAs};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A settled instance, and where things stand.
pub(super) struct Placed {
    /// Its settings, without what its group adds.
    pub(super) settings: RouterSettings,
    /// Where its name stands.
    pub(super) span: Span,
    /// Its tracking lists as written.
    pub(super) lists: Lists,
}

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
        if !grouped.contains(&index) && router.settings.priority.is_owner() {
            strip(router, None, diags);
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
                .filter(|(distance, _)| name.len() < 64 && *distance <= 2)
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
    mut resolved: Resolved,
    members: &[usize],
    routers: &mut [Placed],
    script_user: Option<&RunAs>,
    diags: &mut Diags,
) -> Arc<GroupSettings> {
    let name = &draft.name.text;
    let of = |routers: &[Placed], index: &usize| routers.get(*index).map(|r| r.settings.priority);
    let owner = members
        .iter()
        .find(|i| of(routers, i).is_some_and(|p| p.is_owner()));
    if let Some(owner) = owner.and_then(|i| routers.get(*i)) {
        unweight(&mut resolved, &draft.lists, owner, diags);
    }
    note_members(&draft, members, routers, diags);
    let mixed = {
        let starts = |i: &usize| routers.get(*i).is_some_and(|r| r.settings.start_active);
        members.iter().any(starts) && !members.iter().all(starts)
    };
    let mut names = Vec::with_capacity(members.len());
    for index in members {
        let Some(router) = routers.get_mut(*index) else {
            continue;
        };
        if mixed {
            router.settings.start_active = false;
        }
        strip(router, (!draft.weights).then_some(&**name), diags);
        join(router, &resolved, &draft, diags);
        names.push(router.settings.name.clone());
    }
    let mut told = draft.notify;
    notify::default_user(&mut told, script_user);
    Arc::new(GroupSettings {
        name: name.clone().into(),
        members: names,
        notify: told,
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

/// A group with an owner cannot weigh: the owner's priority does not move.
fn unweight(resolved: &mut Resolved, lists: &Lists, owner: &Placed, diags: &mut Diags) {
    let mut say = |entries: &[Entry], name: &str, span: Span| {
        let what = format!(
            "the weight of {name} does not count, because {} of this group has priority 255; its failure is a fault",
            owner.settings.name
        );
        diags.push(
            Diagnostic::warning("dead-weight", span_of(entries, name, span), what).help(
                "remove the weight if a fault is meant, else give the member another priority",
            ),
        );
    };
    for t in resolved
        .scripts
        .iter_mut()
        .filter(|t| t.weight != Weight::FAULT)
    {
        say(&lists.scripts, &t.check, owner.span);
        t.weight = Weight::FAULT;
    }
    for t in resolved
        .links
        .iter_mut()
        .filter(|t| t.weight != Weight::FAULT)
    {
        say(&lists.links, &t.interface, owner.span);
        t.weight = Weight::FAULT;
    }
    for t in resolved.files.iter_mut().filter(|t| t.weight != 0) {
        say(&lists.files, &t.name, owner.span);
        t.weight = 0;
    }
    for t in resolved.processes.iter_mut().filter(|t| t.weight != 0) {
        say(&lists.processes, &t.name, owner.span);
        t.weight = 0;
    }
}

fn span_of(entries: &[Entry], name: &str, or: Span) -> Span {
    entries
        .iter()
        .find(|e| *e.name == *name)
        .map_or(or, |e| e.span)
}

/// Takes away weights that cannot count: of members of a group without sync_group_tracking_weight
/// (`group`), and of owners. What becomes of each kind is keepalived's choice.
fn strip(router: &mut Placed, group: Option<&str>, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    if group.is_none() && !settings.priority.is_owner() {
        return;
    }
    let instance = settings.name.clone();
    let mut say = |entries: &[Entry], list: &str, name: &str, weight: i16, fate: &str| {
        let why = match group {
            Some(group) => format!("weights of members of {group} do not count"),
            None => format!("{instance} has priority 255, which no weight moves"),
        };
        let help = match group {
            Some(_) => format!(
                "give it to the group: {list} {{ {name} weight {weight} }}, or add sync_group_tracking_weight to it"
            ),
            None => "remove the weight if a fault is meant, else give another priority".to_owned(),
        };
        diags.push(
            Diagnostic::warning(
                "dead-weight",
                span_of(entries, name, *span),
                format!("{why}: {name} {fate}"),
            )
            .help(help),
        );
    };
    settings.tracks.retain(|t| {
        let keep = t.weight == Weight::FAULT;
        if !keep {
            let fate = "is not tracked";
            say(
                &lists.scripts,
                "track_script",
                &t.check,
                t.weight.get(),
                fate,
            );
        }
        keep
    });
    settings.track_links.retain_mut(|t| {
        if t.weight == Weight::FAULT {
            return true;
        }
        let fate = match group {
            Some(_) => "is tracked without weight",
            None => "is not tracked",
        };
        let name = &t.interface;
        say(&lists.links, "track_interface", name, t.weight.get(), fate);
        t.weight = Weight::FAULT;
        group.is_some()
    });
    settings.track_files.retain_mut(|t| match t.weight {
        0 => true,
        // 1 is the default, so it need not be what was asked for.
        1 => {
            let fate = "is tracked without weight, so that any value but 0 is a fault";
            say(&lists.files, "track_file", &t.name, 1, fate);
            t.weight = 0;
            true
        }
        weight => {
            say(
                &lists.files,
                "track_file",
                &t.name,
                weight,
                "is not tracked",
            );
            false
        }
    });
}

/// Adds the group's trackers to a member. What it tracks itself takes the group's weight, unless its
/// own is 0.
fn join(router: &mut Placed, group: &Resolved, draft: &Draft<'_>, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    let mut both = |entries: &[Entry], name: &str, kept: bool| {
        let whose = if kept {
            "the member's weight 0"
        } else {
            "the group's weight"
        };
        let what = format!(
            "{name} is tracked by {} too; {whose} counts",
            draft.name.text
        );
        diags.push(
            Diagnostic::note("tracked-twice", span_of(entries, name, *span), what)
                .help("track it in the group alone"),
        );
    };
    for track in &group.scripts {
        match settings.tracks.iter_mut().find(|t| t.check == track.check) {
            Some(own) => {
                both(&lists.scripts, &own.check, own.weight == Weight::FAULT);
                if own.weight != Weight::FAULT {
                    own.clone_from(track);
                }
            }
            None => settings.tracks.push(track.clone()),
        }
    }
    for track in &group.links {
        if implied(settings, &track.interface) {
            continue;
        }
        let own = settings.track_links.iter_mut();
        match own.into_iter().find(|t| t.interface == track.interface) {
            Some(own) => {
                both(&lists.links, &own.interface, own.weight == Weight::FAULT);
                if own.weight != Weight::FAULT {
                    own.clone_from(track);
                }
            }
            None => settings.track_links.push(track.clone()),
        }
    }
    for (own, group, entries) in [
        (&mut settings.track_files, &group.files, &lists.files),
        (
            &mut settings.track_processes,
            &group.processes,
            &lists.processes,
        ),
    ] {
        for track in group {
            match own.iter_mut().find(|t| t.name == track.name) {
                Some(own) => {
                    both(entries, &own.name, own.weight == 0);
                    if own.weight != 0 {
                        own.clone_from(track);
                    }
                }
                None => own.push(track.clone()),
            }
        }
    }
}

/// Whether an interface is tracked without being named: the instance's own, and those that its
/// addresses are on.
fn implied(settings: &RouterSettings, name: &str) -> bool {
    (*settings.interface == *name && !settings.dont_track_primary) || carries(settings, name)
}

fn carries(settings: &RouterSettings, name: &str) -> bool {
    settings
        .installed()
        .any(|a| !a.no_track && a.dev.as_deref() == Some(name))
}

/// Interfaces that are tracked anyway, without weight, take none from the instance's list.
pub(super) fn drop_implied(router: &mut Placed, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    let links = std::mem::take(&mut settings.track_links);
    settings.track_links = links
        .into_iter()
        .filter(|link| {
            let name = &link.interface;
            let span = span_of(&lists.links, name, *span);
            if *name == settings.interface {
                let what = format!("{name} is the instance's own interface; this line does not count");
                diags.push(
                    Diagnostic::warning("own-interface", span, what).help(
                        "it is tracked without weight anyway, unless dont_track_primary says not to",
                    ),
                );
                return false;
            }
            let under = carries(settings, name);
            if under && link.weight != Weight::FAULT {
                let what = format!(
                    "virtual addresses are on {name}, so it is tracked without weight; this weight does not count"
                );
                diags.push(
                    Diagnostic::note("implied-interface", span, what)
                        .help("write no_track behind these addresses if the weight is meant"),
                );
            }
            !under
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read};
    use super::*;
    use crate::model::settings::Settings;

    const TRACKERS: &str = "global_defs {\nenable_script_security\n}\nvrrp_script s {\nscript \"/x\"\n}\n\
        vrrp_script t {\nscript \"/y\"\n}\ntrack_file f {\nfile /x/y\n}\n\
        vrrp_track_process p {\nprocess q\nweight 3\n}\n";

    fn text(a: &str, b: &str, group: &str) -> String {
        let one = |name: &str, vrid: u8, lines: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n\
                 virtual_ipaddress {{ 10.0.0.{vrid} }}\n{lines}\n}}\n"
            )
        };
        let (a, b) = (one("A", 1, a), one("B", 2, b));
        format!("{TRACKERS}{a}{b}vrrp_sync_group G {{\n{group}\n}}\n")
    }

    fn settings(a: &str, b: &str, group: &str) -> (Settings, Vec<&'static str>) {
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

    fn scripts(settings: &Settings, router: usize) -> Vec<(String, i16)> {
        settings.routers[router]
            .tracks
            .iter()
            .map(|t| (t.check.to_string(), t.weight.get()))
            .collect()
    }

    const AB: &str = "group { A B }";

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
    fn the_groups_weight_replaces_a_members_unless_that_is_0() {
        let group = "group { A B }\nsync_group_tracking_weight\ntrack_script {\ns weight -6\n}";
        let (s, told) = settings(
            "track_script {\ns weight -20 reverse\n}",
            "track_script {\ns weight 0\n}",
            group,
        );
        assert_eq!(told, ["tracked-twice", "tracked-twice"]);
        assert_eq!(scripts(&s, 0), [("s".to_owned(), -6)]);
        assert!(!s.routers[0].tracks[0].reverse);
        assert_eq!(scripts(&s, 1), [("s".to_owned(), 0)]);
    }

    #[test]
    fn weights_of_members_do_not_count_unless_the_group_says_so() {
        let lists = "track_script {\ns weight -20\nt\n}\ntrack_interface {\neth1 weight 5\neth2\n}\n\
                     track_file {\nf\n}\ntrack_process {\np\n}";
        let (s, told) = settings(lists, "", AB);
        assert_eq!(told, ["dead-weight"; 3]);
        assert_eq!(scripts(&s, 0), [("t".to_owned(), 0)]);
        let a = &s.routers[0];
        assert!(a.track_links.iter().all(|l| l.weight == Weight::FAULT));
        assert_eq!(a.track_links.len(), 2);
        assert_eq!(a.track_files[0].weight, 0);
        assert_eq!(
            a.track_processes[0].weight, 3,
            "keepalived lets processes be"
        );
        let (s, told) = settings("track_file {\nf weight 7\n}", "", AB);
        assert_eq!(told, ["dead-weight"]);
        assert!(s.routers[0].track_files.is_empty());
        for word in ["sync_group_tracking_weight", "global_tracking"] {
            let (s, told) = settings(lists, "", &format!("{AB}\n{word}"));
            assert_eq!(scripts(&s, 0)[0], ("s".to_owned(), -20));
            assert_eq!(told.is_empty(), word != "global_tracking", "{told:?}");
        }
    }

    #[test]
    fn an_owner_is_moved_by_no_weight_in_a_group_or_alone() {
        let lists = "track_script {\ns weight -20\n}\ntrack_interface {\neth1 weight 5\n}";
        let owner = format!("priority 255\n{lists}");
        let (s, told) = settings(&owner, "", "group { B }");
        assert_eq!(told, ["dead-weight", "dead-weight", "lone-member"]);
        assert!(s.routers[0].tracks.is_empty() && s.routers[0].track_links.is_empty());
        let weighed = "group { A B }\nsync_group_tracking_weight";
        let (s, _) = settings(&owner, lists, weighed);
        assert!(s.routers[0].tracks.is_empty() && s.routers[0].track_links.is_empty());
        assert_eq!(scripts(&s, 1), [("s".to_owned(), -20)]);
        let (s, _) = settings(&owner, "", AB);
        assert_eq!(s.routers[0].track_links[0].weight, Weight::FAULT);
        let (s, told) = settings("priority 255", "priority 255", &format!("{AB}\n{lists}"));
        assert_eq!(told, ["dead-weight", "dead-weight"]);
        assert_eq!(scripts(&s, 1), [("s".to_owned(), 0)]);
        assert_eq!(s.routers[1].track_links[0].weight, Weight::FAULT);
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
    fn an_interface_that_is_tracked_anyway_takes_no_weight_from_the_group() {
        let group = "group { A B }\ntrack_interface {\neth0 weight 9\n}";
        let (s, _) = settings("", "dont_track_primary", group);
        assert!(s.routers[0].track_links.is_empty());
        assert_eq!(s.routers[1].track_links[0].weight.get(), 9);
    }

    #[test]
    fn a_tracker_of_a_group_may_be_defined_later() {
        let text = text("", "", "group { A B }\ntrack_script {\nz\n}");
        let loaded = read(&format!("{text}vrrp_script z {{\nscript \"/z\"\n}}\n"));
        assert!(codes(&loaded).contains(&"defined-later"));
        assert_eq!(loaded.settings.expect("usable").routers[0].tracks.len(), 1);
    }
}
