//! What is there whoever is master, and who tracks its interfaces: `static_ipaddress`, `track_group`
//! (keepalived.conf(5)). Of static routes and rules only the tracking is acted on.

use super::address;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::source::Span;
use super::weights::{self, Placed};
use crate::model::links::{StaticAddress, TrackGroup};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// keepalived's `default_interface` unless another is given.
const DEFAULT_INTERFACE: &str = "eth0";

/// What was read.
#[derive(Default)]
pub(super) struct Statics {
    pub(super) addresses: Vec<Arc<StaticAddress>>,
    pub(super) groups: Vec<Arc<TrackGroup>>,
}

/// A defined group.
struct Defined {
    group: Arc<TrackGroup>,
    span: Span,
    used: bool,
}

struct Reader<'n> {
    /// By name, as far as they are defined yet.
    groups: HashMap<&'n str, Defined>,
    /// Those defined anywhere in the file.
    all: HashSet<&'n str>,
    /// Names of instances.
    instances: HashSet<&'n str>,
    default: &'n str,
    seen: HashMap<(IpAddr, Arc<str>), Span>,
    found: Statics,
}

/// Reads everything of this kind and lets the listed instances track.
pub(super) fn settle<'n>(
    nodes: &'n [Node],
    default_interface: Option<&'n str>,
    routers: &mut [Placed],
    diags: &mut Diags,
) -> Statics {
    let names = |keyword| {
        let named = super::blocks(nodes, keyword);
        named.filter_map(|n| Some(&*n.args().first()?.text))
    };
    let mut reader = Reader {
        groups: HashMap::new(),
        all: names("track_group").collect(),
        instances: names("vrrp_instance").collect(),
        default: default_interface.unwrap_or(DEFAULT_INTERFACE),
        seen: HashMap::new(),
        found: Statics::default(),
    };
    for node in nodes.iter().filter(|n| n.row.is_some()) {
        match node.name() {
            "track_group" => reader.group(node, diags),
            "static_ipaddress" => {
                for entry in node.children() {
                    reader.address(entry, routers, diags);
                }
            }
            "static_routes" => reader.others(node, &["dev", "oif"], routers, diags),
            "static_rules" => reader.others(node, &["iif", "dev", "oif"], routers, diags),
            _ => {}
        }
    }
    for (name, defined) in reader.groups.iter().filter(|(_, d)| !d.used) {
        let what = format!("no static entry names track_group {name}; it has no effect");
        diags.push(
            Diagnostic::note("unused-track-group", defined.span, what)
                .help(format!("write track_group {name} behind a static entry")),
        );
    }
    reader.found
}

impl<'n> Reader<'n> {
    /// `track_group NAME { group { INSTANCE... } }`.
    fn group(&mut self, node: &'n Node, diags: &mut Diags) {
        let Some(name) = node.args().first() else {
            return;
        };
        if let Some(before) = self.groups.get(&*name.text) {
            let what = format!("a second track_group {}; it is not read", name.text);
            diags.push(
                Diagnostic::error("duplicate-name", name.span, what)
                    .related(before.span, "first here")
                    .help("give each track_group a name of its own"),
            );
            return;
        }
        let lists = node.children().iter().filter(|n| n.name() == "group");
        let listed = lists.flat_map(Node::children).flat_map(|n| &n.words);
        let mut members: Vec<Arc<str>> = Vec::new();
        for member in listed {
            if !self.instances.contains(&*member.text) {
                let what = format!(
                    "no vrrp_instance {} is defined; it does not count",
                    member.text
                );
                diags.push(
                    Diagnostic::error("undefined-instance", member.span, what)
                        .help("write the name of a vrrp_instance of this file"),
                );
            } else if !members.iter().any(|m| **m == *member.text) {
                members.push(member.text.clone().into());
            }
        }
        if members.is_empty() {
            let what = format!("track_group {} has no instance", name.text);
            diags.push(
                Diagnostic::warning("empty-group", name.span, what)
                    .help("name instances in it: group { VI_1 }"),
            );
        }
        let group = Arc::new(TrackGroup {
            name: name.text.clone().into(),
            members,
        });
        self.found.groups.push(group.clone());
        let defined = Defined {
            group,
            span: name.span,
            used: false,
        };
        self.groups.insert(&name.text, defined);
    }

    /// A group that is named by an entry; it must be defined above.
    fn named(&mut self, name: &str, span: Span, diags: &mut Diags) -> Option<Arc<TrackGroup>> {
        if let Some(defined) = self.groups.get_mut(name) {
            defined.used = true;
            return Some(defined.group.clone());
        }
        let (what, help) = if self.all.contains(name) {
            (
                format!("track_group {name} is defined below; this entry is not tracked"),
                "move the track_group block up".to_owned(),
            )
        } else {
            (
                format!("no track_group {name} is defined; this entry is not tracked"),
                format!("define it above: track_group {name} {{ group {{ VI_1 }} }}"),
            )
        };
        diags.push(Diagnostic::error("undefined-track-group", span, what).help(help));
        None
    }

    fn address(&mut self, node: &Node, routers: &mut [Placed], diags: &mut Diags) {
        let Some(entry) = address::static_entry(node, diags) else {
            return;
        };
        let mut address = entry.address;
        let mut group = None;
        match (&entry.track_group, &address.dev) {
            (None, _) => {}
            (Some((_, span)), None) => {
                let what = format!(
                    "track_group needs the interface of {} to be named; it is not tracked",
                    address.cidr
                );
                diags.push(
                    Diagnostic::error("missing-interface", *span, what)
                        .help("write dev and the interface before it"),
                );
            }
            (Some((name, span)), Some(dev)) => {
                group = self.named(name, *span, diags);
                for member in group.iter().flat_map(|g| &g.members) {
                    track(member, dev, *span, routers, diags);
                }
            }
        }
        let dev = address
            .dev
            .get_or_insert_with(|| self.default.into())
            .clone();
        if let Some(before) = self.seen.insert((address.cidr.addr, dev), entry.span) {
            let what = format!("{} is given twice; it counts once", address.cidr.addr);
            diags.push(
                Diagnostic::warning("duplicate-address", entry.span, what)
                    .related(before, "first here"),
            );
            return;
        }
        let track_group = group.map(|g| g.name.clone());
        self.found.addresses.push(Arc::new(StaticAddress {
            address,
            track_group,
        }));
    }

    /// Routes or rules: `track_group NAME` makes instances track the interfaces behind these words.
    fn others(&mut self, list: &Node, of: &[&str], routers: &mut [Placed], diags: &mut Diags) {
        for entry in list.children() {
            let after = |keyword: &str| -> Option<&Word> {
                let at = entry.words.iter().position(|w| &*w.text == keyword)?;
                entry.words.get(at + 1)
            };
            let Some(name) = after("track_group") else {
                continue;
            };
            let mut interfaces: Vec<&Word> = of.iter().filter_map(|word| after(word)).collect();
            interfaces.dedup_by(|a, b| a.text == b.text);
            if interfaces.is_empty() {
                let what = "track_group needs an interface to be named; this entry is not tracked";
                diags.push(
                    Diagnostic::error("missing-interface", name.span, what)
                        .help(format!("write {} and the interface", of.join(" or "))),
                );
                continue;
            }
            let Some(group) = self.named(&name.text, name.span, diags) else {
                continue;
            };
            for interface in interfaces {
                let interface: Arc<str> = interface.text.clone().into();
                for member in &group.members {
                    track(member, &interface, name.span, routers, diags);
                }
            }
        }
    }
}

/// Lets an instance track an interface without weight.
fn track(
    member: &str,
    interface: &Arc<str>,
    span: Span,
    routers: &mut [Placed],
    diags: &mut Diags,
) {
    if let Some(router) = routers.iter_mut().find(|r| *r.settings.name == *member)
        && let Some(weight) = weights::track_without_weight(&mut router.settings, interface)
    {
        let what = format!(
            "{member} tracks {interface} without weight because of this; its weight {weight} does not count"
        );
        diags.push(
            Diagnostic::note("implied-interface", span, what)
                .related(router.span, "this instance")
                .help("leave the instance out of the track_group if the weight is meant"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read};
    use crate::model::priority::Weight;
    use crate::model::settings::Settings;

    const T: &str = "track_group T {\ngroup {\nA\n}\n}\n";

    fn of(before: &str, lines: &str) -> (Settings, Vec<&'static str>) {
        let body = instance(&format!("virtual_ipaddress {{ 10.0.0.1 }}\n{lines}"));
        let loaded = read(&format!("{before}{body}"));
        let codes = codes(&loaded);
        (loaded.settings.expect("usable"), codes)
    }

    fn tracked(s: &Settings) -> Vec<(String, i16)> {
        let links = s.routers[0].track_links.iter();
        links
            .map(|t| (t.interface.to_string(), t.weight.get()))
            .collect()
    }

    #[test]
    fn static_addresses_have_an_interface_and_keep_their_options() {
        let text = "static_ipaddress {\n10.3.0.1/24 dev eth3 label eth3:1 no_track\n10.3.0.2\n10.3.0.2\n}\n";
        let (s, told) = of(text, "");
        assert_eq!(told, ["duplicate-address"]);
        assert_eq!(s.statics.len(), 2);
        let first = &s.statics[0].address;
        assert_eq!(first.dev.as_deref(), Some("eth3"));
        assert!(first.no_track && first.label.as_deref() == Some("eth3:1"));
        assert_eq!(s.statics[1].address.dev.as_deref(), Some("eth0"));
        let (s, _) = of(
            &format!("{text}global_defs {{\ndefault_interface br0\n}}\n"),
            "",
        );
        assert_eq!(s.statics[1].address.dev.as_deref(), Some("br0"));
    }

    #[test]
    fn the_instances_of_a_track_group_track_the_interfaces_of_its_entries_without_weight() {
        let text = format!(
            "{T}static_ipaddress {{\n10.3.0.1 dev eth3 track_group T\n10.3.0.2 dev eth4\n}}\n\
             static_routes {{\n10.8.0.0/16 via 10.0.0.9 dev eth5 track_group T\n}}\n\
             static_rules {{\nfrom 10.0.0.0/8 iif eth6 oif eth7 lookup 9 track_group T\n}}\n"
        );
        let (s, told) = of(&text, "");
        assert_eq!(
            told,
            ["not-acted-on", "not-acted-on"],
            "routes and rules themselves"
        );
        let names: Vec<String> = tracked(&s).into_iter().map(|t| t.0).collect();
        assert_eq!(names, ["eth3", "eth5", "eth6", "eth7"]);
        assert!(
            s.routers[0]
                .track_links
                .iter()
                .all(|t| t.weight == Weight::FAULT)
        );
        assert_eq!(s.statics[0].track_group.as_deref(), Some("T"));
        assert_eq!(s.statics[1].track_group, None);
    }

    #[test]
    fn what_is_tracked_without_weight_already_stays_so_and_a_weight_gives_way() {
        let text = format!("{T}static_ipaddress {{\n10.3.0.1 dev eth0 track_group T\n}}\n");
        assert!(tracked(&of(&text, "").0).is_empty(), "its own interface");
        let (s, _) = of(&text, "dont_track_primary");
        assert_eq!(tracked(&s), [("eth0".to_owned(), 0)]);
        let text = text.replace("eth0", "eth3");
        let (s, told) = of(&text, "track_interface {\neth3 weight 5\n}");
        assert_eq!(tracked(&s), [("eth3".to_owned(), 0)]);
        assert_eq!(told, ["implied-interface"]);
        let (s, told) = of(&text, "track_interface {\neth3\n}");
        assert_eq!((tracked(&s).len(), told.len()), (1, 0));
    }

    #[test]
    fn a_group_must_stand_above_its_use_and_name_instances() {
        let entry = "static_ipaddress {\n10.3.0.1 dev eth3 track_group T\n}\n";
        let (s, told) = of(entry, "");
        assert_eq!(told, ["undefined-track-group"]);
        assert!(tracked(&s).is_empty());
        assert_eq!(s.statics.len(), 1, "the entry stays");
        let (s, told) = of(&format!("{entry}{T}"), "");
        assert_eq!(told, ["undefined-track-group", "unused-track-group"]);
        assert!(tracked(&s).is_empty() && s.statics[0].track_group.is_none());
        let group = "track_group T {\ngroup {\nA nobody\n}\n}\n";
        let (s, told) = of(&format!("{group}{entry}"), "");
        assert_eq!(told, ["undefined-instance"]);
        assert_eq!(tracked(&s).len(), 1);
        let (s, told) = of(
            &format!("{T}static_ipaddress {{\n10.3.0.1 track_group T\n}}\n"),
            "",
        );
        assert_eq!(told, ["unused-track-group", "missing-interface"]);
        assert!(tracked(&s).is_empty());
    }

    #[test]
    fn virtual_addresses_take_no_track_group() {
        let lines = "virtual_ipaddress_excluded {\n10.0.0.2 track_group T\n}";
        let (s, told) = of("", lines);
        assert_eq!(told, ["unknown-option"]);
        assert_eq!(s.routers[0].excluded.len(), 1);
    }
}
