//! Which failure moves which address, and which never can: proved from the files alone.
//!
//! Every virtual router is found on all nodes; every tracker on every node is let fail by itself, and
//! every node is let vanish. Priorities come from the engine's own fold ([`crate::core::fold`]), who
//! takes over from its own timers ([`crate::core::election`]); the simulator plays the same cases in
//! the tests. `member` is one instance and what it tracks, `group` finds the instances that belong
//! together, `bond` what sync groups tie to each other, `contest` says who serves; `compare`, `weigh` and
//! `even` find what is wrong, `table` shows it.

mod bond;
mod compare;
mod contest;
mod even;
mod group;
mod member;
mod place;
mod table;
mod weigh;

pub use member::Kind;

use crate::conf::{Diagnostic, Loaded, Places, Sources};
use crate::model::ids::{Family, Version};
use crate::model::settings::Settings;
use bond::Bonds;
use contest::{Beside, Entrant, Outcome};
use group::Seat;
use member::{Definitions, Member};
use serde::Serialize;
use std::sync::Arc;

/// One router of a group: its name and its configuration.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    name: Arc<str>,
    settings: &'a Settings,
    text: Option<(&'a Places, &'a Sources)>,
}

impl<'a> Node<'a> {
    /// From a file that was read; `None` if the file is refused.
    pub fn of_file(name: &str, loaded: &'a Loaded) -> Option<Self> {
        Some(Self {
            name: name.into(),
            settings: loaded.settings.as_ref()?,
            text: Some((&loaded.places, &loaded.sources)),
        })
    }

    /// From settings without a text; findings have no place.
    pub fn of_settings(name: &str, settings: &'a Settings) -> Self {
        Self {
            name: name.into(),
            settings,
            text: None,
        }
    }
}

/// What was proved.
#[derive(Debug, Serialize)]
pub struct Proof {
    /// Names of the nodes.
    pub nodes: Vec<Arc<str>>,
    /// One for each virtual router.
    pub groups: Vec<Group>,
    /// What is wrong, for each node.
    #[serde(skip)]
    pub findings: Vec<Vec<Diagnostic>>,
}

/// One virtual router on all nodes that have it.
#[derive(Debug, Serialize)]
pub struct Group {
    /// VRID.
    pub vrid: u8,
    /// Address family.
    pub family: Family,
    /// Version of the first member.
    pub version: Version,
    /// Unicast or multicast.
    pub unicast: bool,
    /// Its instances.
    pub members: Vec<MemberView>,
    /// Why nothing can be foreseen.
    pub unproved: Option<&'static str>,
    /// All is well, then each single failure.
    pub cases: Vec<Case>,
}

/// One instance.
#[derive(Debug, Serialize)]
pub struct MemberView {
    /// Its node, an index.
    pub node: usize,
    /// Name of the instance.
    pub instance: Arc<str>,
    /// Its interface.
    pub interface: Arc<str>,
    /// Base priority.
    pub base: u8,
    /// Effective priority with every weighted tracker failing.
    pub lowest: u8,
    /// The same before it is brought into range.
    pub lowest_sum: i32,
    /// Effective priority while all is well.
    pub highest: u8,
    /// The same before it is brought into range.
    pub highest_sum: i32,
    /// Takes over from a lower router that serves.
    pub preempts: bool,
}

/// What fails.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Failure {
    /// Nothing.
    Nothing,
    /// A tracker of a member.
    Tracker {
        /// The member, an index.
        member: usize,
        /// What kind of thing.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
    },
    /// A whole node, or its link to the others.
    Node {
        /// The member, an index.
        member: usize,
    },
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Case {
    /// What fails.
    pub failure: Failure,
    /// In words.
    pub text: String,
    /// Effective priority of each member; `None` in fault or gone.
    pub priorities: Vec<Option<u8>>,
    /// Members that may serve in the end: one, unless chance decides; none if all are out.
    pub masters: Vec<usize>,
    /// Members of a sync group may drive each other off for ever, so that nobody serves for long.
    pub unsettled: bool,
}

/// What is known of one virtual router while it is looked at.
struct Field<'a> {
    members: &'a [Member<'a>],
    cases: Vec<Case>,
}

impl Field<'_> {
    /// The members that may serve while all is well.
    fn holders(&self) -> &[usize] {
        self.cases.first().map_or(&[], |c| &c.masters)
    }
}

/// Proves what can be proved of these nodes. One node alone gets notes only.
pub fn prove(nodes: &[Node<'_>]) -> Proof {
    let definitions: Vec<Definitions<'_>> =
        nodes.iter().map(|n| Definitions::of(n.settings)).collect();
    let seats = group::seats(nodes);
    let mut findings = place::Findings::new(nodes);
    if nodes.len() > 1 {
        compare::strangers(&seats, &mut findings);
    }
    let mut led = bond::Leaders::default();
    let fields: Vec<Vec<Member<'_>>> = seats
        .iter()
        .map(|seats| {
            let seats = seats.iter();
            seats
                .map(|&seat| member(nodes, &definitions, seat))
                .collect()
        })
        .collect();
    let bonds = Bonds::of(&fields, &definitions);
    let mut groups = Vec::with_capacity(seats.len());
    for (index, members) in fields.iter().enumerate() {
        let unproved = if !compare::members(members, &mut findings) {
            Some("these routers do not hear each other: each would serve by itself")
        } else if !bond::agree(members, index, &bonds, &mut findings) {
            Some("sync groups bind other instances on each router: nothing can be foreseen")
        } else {
            None
        };
        let cases = if unproved.is_none() {
            cases(nodes, members, &bonds.beside(index, &fields))
        } else {
            Vec::new()
        };
        let field = Field { members, cases };
        weigh::judge(&field, &mut findings);
        even::judge(&field, &mut findings);
        led.note(&field, &definitions);
        groups.extend(view(field, unproved));
    }
    led.judge(&mut findings);
    Proof {
        nodes: nodes.iter().map(|n| n.name.clone()).collect(),
        groups,
        findings: findings.finish(),
    }
}

impl Proof {
    /// The proof for people, as aligned tables.
    pub fn table(&self) -> String {
        table::show(self)
    }
}

fn member<'a>(
    nodes: &[Node<'a>],
    definitions: &[Definitions<'a>],
    (node, router): Seat,
) -> Member<'a> {
    let settings: &'a crate::model::settings::RouterSettings =
        &nodes[node].settings.routers[router];
    Member {
        node,
        settings,
        trackers: definitions[node].trackers(settings),
    }
}

/// All is well, each tracker by itself, each node by itself.
fn cases(
    nodes: &[Node<'_>],
    members: &[Member<'_>],
    beside: &[Vec<Option<Beside<'_, '_>>>],
) -> Vec<Case> {
    let well: Vec<Entrant> = members
        .iter()
        .zip(beside)
        .map(|(member, beside)| Entrant::new(member, beside, &|_| false))
        .collect();
    let start = contest::start(&well);
    let (holders, unsettled) = (start.masters.clone(), start.unsettled);
    let text = "all is well".to_owned();
    let mut cases = vec![case(Failure::Nothing, text, &well, start)];
    let mut fail = |index: usize, now: Entrant, failure: Failure, text: String| {
        let mut entrants = well.clone();
        entrants[index] = now;
        let mut end = contest::after(&holders, &well, &entrants);
        end.unsettled |= unsettled;
        cases.push(case(failure, text, &entrants, end));
    };
    for (index, member) in members.iter().enumerate() {
        let node = &nodes[member.node].name;
        for (at, tracker) in member.trackers.iter().enumerate() {
            let told = member.trackers[..at].iter().any(|t| t.is(tracker));
            if told || (tracker.own_link && tracker.of.is_none()) {
                continue;
            }
            let now = Entrant::new(member, &beside[index], &|bad| bad.is(tracker));
            let failure = Failure::Tracker {
                member: index,
                kind: tracker.kind,
                name: tracker.name.clone(),
            };
            fail(
                index,
                now,
                failure,
                format!("{node}: {}", tracker.failing()),
            );
        }
    }
    for (index, member) in members.iter().enumerate() {
        let node = &nodes[member.node].name;
        let failure = Failure::Node { member: index };
        let text = if member.settings.dont_track_primary {
            format!("{node} is gone")
        } else {
            format!("{node} or its {} is gone", member.settings.interface)
        };
        fail(index, well[index].clone().gone(), failure, text);
    }
    cases
}

fn case(failure: Failure, text: String, entrants: &[Entrant], end: Outcome) -> Case {
    Case {
        failure,
        text,
        priorities: entrants
            .iter()
            .map(|e| e.able.then_some(e.priority().get()))
            .collect(),
        masters: end.masters,
        unsettled: end.unsettled,
    }
}

fn view(field: Field<'_>, unproved: Option<&'static str>) -> Option<Group> {
    let first = field.members.first()?.settings;
    Some(Group {
        vrid: first.vrid.get(),
        family: first.family,
        version: first.version,
        unicast: group::is_unicast(first),
        members: field
            .members
            .iter()
            .map(|member| {
                let (low, high) = (member.standing(|_| true), member.standing(|_| false));
                MemberView {
                    node: member.node,
                    instance: member.settings.name.clone(),
                    interface: member.settings.interface.clone(),
                    base: member.settings.priority.get(),
                    lowest: low.priority.get(),
                    lowest_sum: low.sum,
                    highest: high.priority.get(),
                    highest_sum: high.sum,
                    preempts: member.preempts(),
                }
            })
            .collect(),
        unproved,
        cases: field.cases,
    })
}

#[cfg(test)]
mod help {
    //! What tests of this room need.

    use super::*;
    use crate::conf::{Options, load_str};

    /// One file: `global` stands above an instance with VRID 51 and these lines; it tracks `chk`.
    pub(super) fn file(weight: &str, lines: &str) -> String {
        format!(
            "vrrp_script chk {{\n script /bin/true\n weight {weight}\n}}\nvrrp_instance V {{\n interface eth0\n \
             virtual_router_id 51\n virtual_ipaddress {{\n  10.0.0.9/24\n }}\n track_script {{\n  chk\n }}\n{lines}\n}}\n"
        )
    }

    /// The one finding there is.
    #[track_caller]
    pub(super) fn one(files: &[String]) -> String {
        let all = findings(files);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.into_iter().next().unwrap_or_default()
    }

    /// Proves files named `r1.conf`, `r2.conf` ...: `NODE LINE CODE: TEXT | HELP` of each finding.
    pub(super) fn findings(files: &[String]) -> Vec<String> {
        let loaded: Vec<Loaded> = files
            .iter()
            .enumerate()
            .map(|(i, text)| load_str(&format!("r{}.conf", i + 1), text, &Options::default()))
            .collect();
        let nodes: Vec<Node<'_>> = loaded
            .iter()
            .enumerate()
            .map(|(i, l)| {
                Node::of_file(&format!("r{}", i + 1), l)
                    .unwrap_or_else(|| panic!("refused: {:?}", l.diagnostics))
            })
            .collect();
        let proof = prove(&nodes);
        let mut out = Vec::new();
        for ((node, list), loaded) in nodes.iter().zip(&proof.findings).zip(&loaded) {
            for d in list {
                out.push(format!(
                    "{} {} {:?} {}: {} | {}",
                    node.name,
                    loaded.sources.line_of(d.span),
                    d.severity,
                    d.code,
                    d.text,
                    d.help.as_deref().unwrap_or(""),
                ));
            }
        }
        out
    }

    /// The codes alone, with their nodes.
    pub(super) fn codes(files: &[String]) -> Vec<String> {
        let word = |line: &String, n: usize| {
            let word = line.split(' ').nth(n).unwrap_or("");
            word.trim_end_matches(':').to_owned()
        };
        findings(files)
            .iter()
            .map(|line| format!("{} {}", word(line, 0), word(line, 3)))
            .collect()
    }
}
