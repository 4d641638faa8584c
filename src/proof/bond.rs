//! Sync groups: which virtual routers move together.

use crate::conf::Diagnostic;
use crate::proof::contest::Beside;
use crate::proof::member::{Definitions, Member};
use crate::proof::place::Findings;
use crate::proof::{Case, Field};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Which virtual routers sync groups bind to each other.
pub(super) struct Bonds {
    /// By field: those bound to it on any node.
    fields: HashMap<usize, BTreeSet<usize>>,
    /// By field and node: the sync group there.
    groups: HashMap<(usize, usize), usize>,
}

impl Bonds {
    pub(super) fn of(fields: &[Vec<Member<'_>>], definitions: &[Definitions<'_>]) -> Self {
        let mut groups = HashMap::new();
        let mut members: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (index, field) in fields.iter().enumerate() {
            for member in field {
                if let Some(group) = definitions[member.node].group_of(&member.settings.name) {
                    groups.insert((index, member.node), group);
                    members.entry((member.node, group)).or_default().push(index);
                }
            }
        }
        let mut bound: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        for list in members.values() {
            for field in list {
                let others = list.iter().copied().filter(|other| other != field);
                bound.entry(*field).or_default().extend(others);
            }
        }
        Self {
            fields: bound,
            groups,
        }
    }

    /// The fields that a node's sync group binds to this one.
    fn with(&self, index: usize, node: usize) -> Vec<usize> {
        let group = self.groups.get(&(index, node));
        let bound = self.fields.get(&index).into_iter().flatten().copied();
        bound
            .filter(|other| group.is_some() && group == self.groups.get(&(*other, node)))
            .collect()
    }

    /// For each member of a field: the same node in each field that is bound to it.
    pub(super) fn beside<'m, 'a>(
        &self,
        index: usize,
        fields: &'m [Vec<Member<'a>>],
    ) -> Vec<Vec<Option<Beside<'m, 'a>>>> {
        let bound = self.fields.get(&index);
        let on = |node: usize| {
            let others = bound.into_iter().flatten();
            others.map(move |other| {
                let member = fields.get(*other)?.iter().find(|m| m.node == node)?;
                let group = self.groups.get(&(index, node));
                Some(Beside {
                    member,
                    bound: group.is_some() && group == self.groups.get(&(*other, node)),
                })
            })
        };
        let members = fields.get(index).into_iter().flatten();
        members.map(|m| on(m.node).collect()).collect()
    }
}

/// Sync groups must bind the same virtual routers on all nodes; false if they do not.
pub(super) fn agree(
    members: &[Member<'_>],
    index: usize,
    bonds: &Bonds,
    findings: &mut Findings<'_>,
) -> bool {
    let Some((first, others)) = members.split_first() else {
        return true;
    };
    let expected = bonds.with(index, first.node);
    let Some(other) = others
        .iter()
        .find(|m| bonds.with(index, m.node) != expected)
    else {
        return true;
    };
    let what = format!(
        "{} moves with other instances than on {}{}: where one is held back by its sync group, nobody may serve",
        other.settings.name,
        findings.name(first),
        findings.at(first, &[]),
    );
    let span = findings.keyword(other, &[]);
    findings.push(
        other.node,
        Diagnostic::warning("groups-differ", span, what)
            .help("put the same virtual routers into one vrrp_sync_group on all routers"),
    );
    false
}

/// The one member with the highest priority.
fn best(case: &Case) -> Option<usize> {
    let top = case.priorities.iter().flatten().max()?;
    let mut best = (0..case.priorities.len()).filter(|i| case.priorities[*i] == Some(*top));
    best.next().filter(|_| best.next().is_none())
}

/// Who leads which member of which sync group.
#[derive(Default)]
pub(super) struct Leaders {
    /// By node and group: the node with the highest priority in each member while all is well.
    led: HashMap<(usize, usize), Vec<Led>>,
}

struct Led {
    instance: Arc<str>,
    by: usize,
}

impl Leaders {
    /// Remembers who is best in a virtual router while all is well.
    pub(super) fn note(&mut self, field: &Field<'_>, definitions: &[Definitions<'_>]) {
        let Some(best) = field.cases.first().and_then(best) else {
            return;
        };
        let Some(by) = field.members.get(best).map(|m| m.node) else {
            return;
        };
        for member in field.members {
            let instance = &member.settings.name;
            if let Some(group) = definitions[member.node].group_of(instance) {
                let led = self.led.entry((member.node, group)).or_default();
                led.push(Led {
                    instance: instance.clone(),
                    by,
                });
            }
        }
    }

    /// A group moves as one, so one router must be the best for all of its members.
    pub(super) fn judge(self, findings: &mut Findings<'_>) {
        let mut all: Vec<_> = self.led.into_iter().collect();
        all.sort_by_key(|(key, _)| *key);
        for ((node, group), led) in all {
            let Some((first, other)) = led
                .first()
                .and_then(|first| Some((first, led.iter().find(|l| l.by != first.by)?)))
            else {
                continue;
            };
            let of = &findings.nodes[node];
            let Some(name) = of.settings.groups.get(group).map(|g| &g.name) else {
                continue;
            };
            let names = findings.nodes;
            let what = format!(
                "the members of this sync group disagree: {} has the highest priority in {}, {} in {}; a router takes \
                 over only where it is better in all, so whoever serves first stays",
                names[first.by].name, first.instance, names[other.by].name, other.instance,
            );
            let span = of
                .text
                .and_then(|(places, _)| places.name("vrrp_sync_group", name));
            findings.push(
                node,
                Diagnostic::warning("group-disagrees", span.unwrap_or_default(), what)
                    .help("let the same router have the highest priority in every member"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::proof::help::{codes, file, findings};

    #[test]
    fn members_of_a_sync_group_need_one_leader() {
        let grouped = |v: u8, w: u8| {
            let instance = |name: &str, vrid: u8, priority: u8| {
                format!(
                    "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n priority {priority}\n \
                     virtual_ipaddress {{ 10.0.0.{vrid}/24 }}\n}}\n"
                )
            };
            let (v, w) = (instance("V", 1, v), instance("W", 2, w));
            format!("{v}{w}vrrp_sync_group G {{\n group {{ V W }}\n}}\n")
        };
        assert_eq!(
            codes(&[grouped(100, 100), grouped(90, 90)]),
            [] as [&str; 0]
        );
        let said = findings(&[grouped(100, 90), grouped(90, 100)]);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("r1 13 Warning group-disagrees: the members of this sync group disagree: r1 has the highest priority in V, r2 in W;"), "{said:#?}");
    }

    #[test]
    fn sync_groups_must_bind_the_same_instances_everywhere() {
        let two = |group: &str| {
            let v = file("0", "priority 100");
            let w = v[v.find("vrrp_instance").unwrap_or(0)..]
                .replace("V {", "W {")
                .replace("51", "52")
                .replace("0.9/", "0.10/");
            format!("{v}{w}{group}")
        };
        let group = "vrrp_sync_group G {\n group { V W }\n}\n";
        let said = codes(&[two(group), two("")]);
        assert_eq!(said, ["r2 groups-differ", "r2 groups-differ"]);
        assert!(!codes(&[two(group), two(group)]).contains(&said[0]));
    }
}
