//! Every router heard: those with our VRIDs and the strangers, in one list.

use crate::ctl::render::{Look, length, table};
use crate::model::view::{NeighbourView, Snapshot};

/// Every router heard, by interface and VRID.
pub fn of(snapshot: &Snapshot) -> Vec<NeighbourView> {
    let mut all = snapshot.strangers.clone();
    for instance in &snapshot.instances {
        for peer in &instance.peers {
            let ours = instance.addresses.iter().filter(|a| a.advertised);
            // The list of a peer is only known while it is ours.
            let addresses = if peer.address_mismatch {
                Vec::new()
            } else {
                let bare = |a: &str| a.split('/').next().unwrap_or_default().to_owned();
                ours.map(|a| bare(&a.address)).collect()
            };
            all.push(NeighbourView {
                interface: instance.interface.clone(),
                vrid: instance.vrid,
                family: instance.family,
                source: peer.address,
                version: instance.version,
                priority: peer.priority,
                interval_s: peer.interval_s,
                ago_s: peer.ago_s,
                adverts: peer.adverts,
                addresses,
                instance: Some(instance.name.clone()),
            });
        }
    }
    all.sort_by(|a, b| {
        let key = |n: &NeighbourView| (n.interface.clone(), n.vrid, n.family, n.source);
        key(a).cmp(&key(b))
    });
    all
}

/// What `mainstay neighbours` prints.
pub fn list(all: &[NeighbourView], look: Look) -> String {
    if all.is_empty() {
        return "no other router was heard\n".to_owned();
    }
    let head = [
        "INTERFACE",
        "VRID",
        "SOURCE",
        "VERSION",
        "PRIORITY",
        "EVERY",
        "HEARD",
        "OURS",
        "ADDRESSES",
    ];
    let rows = all.iter().map(|n| {
        vec![
            n.interface.to_string(),
            n.vrid.to_string(),
            n.source.to_string(),
            n.version.to_string(),
            match n.priority {
                0 => "0 (released)".to_owned(),
                priority => priority.to_string(),
            },
            length(n.interval_s),
            format!("{} ago", length(n.ago_s)),
            match &n.instance {
                Some(name) => name.to_string(),
                None => "no".to_owned(),
            },
            match (n.addresses.is_empty(), &n.instance) {
                (false, _) => n.addresses.join(" "),
                (true, Some(_)) => "other than ours".to_owned(),
                (true, None) => "none".to_owned(),
            },
        ]
    });
    table(&head, rows, "", look)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::tests::full_snapshot;

    #[test]
    fn peers_and_strangers_stand_in_one_list() {
        let mut snapshot = full_snapshot();
        snapshot.strangers[0].instance = None;
        let text = list(&of(&snapshot), Look::default());
        let expected = "\
INTERFACE  VRID  SOURCE    VERSION  PRIORITY  EVERY    HEARD        OURS  ADDRESSES
eth0       9     10.0.0.7  2        100       1.000 s  0.500 s ago  no    10.0.0.99
eth0       51    10.0.0.2  3        100       2.000 s  3.610 s ago  VI_1  other than ours
";
        assert_eq!(text, expected);
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(list(&[], Look::default()), "no other router was heard\n");
    }
}
