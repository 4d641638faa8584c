//! Which instances of several files are one virtual router.

use crate::model::ids::{Family, Vrid};
use crate::model::settings::{RouterSettings, TransportSettings};
use crate::proof::Node;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// An instance: which node, and which of its routers.
pub(super) type Seat = (usize, usize);

/// What adverts tell a virtual router by; interfaces may have other names on each node.
type Key = (Family, Vrid, bool);

pub(super) fn is_unicast(router: &RouterSettings) -> bool {
    matches!(router.transport, TransportSettings::Unicast { .. })
}

/// The instances by virtual router, in the order of the files.
pub(super) fn seats(nodes: &[Node<'_>]) -> Vec<Vec<Seat>> {
    let mut all = Vec::new();
    for (node, of) in nodes.iter().enumerate() {
        all.extend((0..of.settings.routers.len()).map(|router| (node, router)));
    }
    let of = |seat: &Seat| &*nodes[seat.0].settings.routers[seat.1];
    let mut groups = Vec::new();
    for list in parted(all, |seat| -> Key {
        let r = of(seat);
        (r.family, r.vrid, is_unicast(r))
    }) {
        if is_plain(&list) {
            groups.push(list);
            continue;
        }
        // The same identifier on several links: told apart by address, then interface, then name.
        let list = settle(list, &mut groups, |s| {
            let addresses = of(s).addresses.iter();
            addresses.map(|a| a.cidr.addr).min()
        });
        let list = settle(list, &mut groups, |s| of(s).interface.clone());
        let list = settle(list, &mut groups, |s| of(s).name.clone());
        groups.extend(list.into_iter().map(|seat| vec![seat]));
    }
    groups.sort_unstable();
    groups
}

/// Each node at most once.
fn is_plain(list: &[Seat]) -> bool {
    list.windows(2).all(|pair| pair[0].0 != pair[1].0)
}

/// Takes out what a key brings together on several nodes; returns the rest.
fn settle<K: Hash + Eq>(
    list: Vec<Seat>,
    groups: &mut Vec<Vec<Seat>>,
    key: impl Fn(&Seat) -> K,
) -> Vec<Seat> {
    let mut rest = Vec::new();
    for part in parted(list, key) {
        if part.len() > 1 && is_plain(&part) {
            groups.push(part);
        } else {
            rest.extend(part);
        }
    }
    rest.sort_unstable();
    rest
}

/// Parts by key, each in the old order.
fn parted<K: Hash + Eq>(list: Vec<Seat>, key: impl Fn(&Seat) -> K) -> Vec<Vec<Seat>> {
    let mut index: HashMap<K, usize> = HashMap::new();
    let mut parts: Vec<Vec<Seat>> = Vec::new();
    for seat in list {
        let at = *index.entry(key(&seat)).or_insert_with(|| {
            parts.push(Vec::new());
            parts.len() - 1
        });
        if let Some(part) = parts.get_mut(at) {
            part.push(seat);
        }
    }
    parts
}

/// Two groups without a common node that serve one address: most likely meant to be one.
pub(super) fn strangers(nodes: &[Node<'_>], groups: &[Vec<Seat>]) -> Vec<(usize, usize, IpAddr)> {
    let mut by_address: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for (index, group) in groups.iter().enumerate() {
        for seat in group {
            for address in &nodes[seat.0].settings.routers[seat.1].addresses {
                let list = by_address.entry(address.cidr.addr).or_default();
                if list.last() != Some(&index) {
                    list.push(index);
                }
            }
        }
    }
    let mut found: Vec<(usize, usize, IpAddr)> = Vec::new();
    for (address, list) in by_address {
        for pair in list.windows(2) {
            let apart =
                |a: &Vec<Seat>, b: &Vec<Seat>| a.iter().all(|x| b.iter().all(|y| x.0 != y.0));
            if apart(&groups[pair[0]], &groups[pair[1]]) {
                found.push((pair[0], pair[1], address));
            }
        }
    }
    found.sort_unstable();
    found.dedup_by_key(|f| (f.0, f.1));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::Settings;
    use crate::sim::scenario::{RouterMaker, router, settings, vip};
    use std::net::IpAddr;

    fn nodes(list: &[Settings]) -> Vec<Node<'_>> {
        let name = |i: usize| format!("r{i}");
        list.iter()
            .enumerate()
            .map(|(i, s)| Node::of_settings(&name(i), s))
            .collect()
    }

    fn of(routers: impl IntoIterator<Item = RouterMaker>) -> Settings {
        settings(routers, [])
    }

    #[test]
    fn names_and_interfaces_do_not_matter_where_the_vrid_is_clear() {
        let files = [
            of([router("A").vrid(1), router("B").vrid(2)]),
            of([
                router("X").vrid(2).on("ens3"),
                router("Y").vrid(1).on("ens3"),
            ]),
        ];
        assert_eq!(
            seats(&nodes(&files)),
            [vec![(0, 0), (1, 1)], vec![(0, 1), (1, 0)]]
        );
    }

    #[test]
    fn one_vrid_on_several_links_is_told_apart_by_address_then_interface() {
        let a = |last| [vip(IpAddr::from([10, 0, 0, last]))];
        let files = [
            of([
                router("A").vips(a(1)),
                router("B").on("eth1").vips(a(2)),
                router("C").on("eth2").vips(a(3)),
            ]),
            of([
                router("A").on("eth1").vips(a(2)),
                router("B").vips(a(1)),
                router("C").on("eth2").vips(a(4)),
            ]),
        ];
        assert_eq!(
            seats(&nodes(&files)),
            [
                vec![(0, 0), (1, 1)],
                vec![(0, 1), (1, 0)],
                vec![(0, 2), (1, 2)]
            ]
        );
    }

    #[test]
    fn one_address_under_two_identifiers_is_found() {
        let files = [of([router("A").vrid(1)]), of([router("A").vrid(2)])];
        let nodes = nodes(&files);
        let groups = seats(&nodes);
        let found = strangers(&nodes, &groups);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1), (0, 1));
    }
}
