//! What can only be seen when everything is read: the same virtual router twice, what is never used.

use super::diag::{Diagnostic, Diags};
use super::source::Span;
use crate::model::ids::{Family, Vrid};
use crate::model::settings::{RouterSettings, TransportSettings};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Virtual routers are told apart by these; a unicast one also by its peers.
type Key = (Arc<str>, Family, Vrid, Option<IpAddr>);

/// Finds virtual routers that are configured twice.
#[derive(Default)]
pub(super) struct Taken {
    routers: HashMap<Key, (Arc<str>, Span)>,
}

impl Taken {
    /// Notes a router; `false` if another already is what it wants to be.
    pub(super) fn take(&mut self, router: &RouterSettings, span: Span, diags: &mut Diags) -> bool {
        let key = |peer| (router.interface.clone(), router.family, router.vrid, peer);
        let keys: Vec<Key> = match &router.transport {
            TransportSettings::Multicast => vec![key(None)],
            TransportSettings::Unicast { peers } => peers.iter().map(|p| key(Some(*p))).collect(),
        };
        let before = keys
            .iter()
            .find_map(|key| Some((key.3, self.routers.get(key)?)));
        if let Some((peer, (name, first))) = before {
            let with = peer.map(|p| format!(" with peer {p}")).unwrap_or_default();
            diags.push(
                Diagnostic::refusal(
                    "duplicate-vrid",
                    span,
                    format!(
                        "virtual_router_id {} on {} ({}){with} already belongs to {name}",
                        router.vrid, router.interface, router.family
                    ),
                )
                .related(*first, "first here")
                .help("give each instance on an interface a virtual_router_id of its own"),
            );
            return false;
        }
        for key in keys {
            self.routers.insert(key, (router.name.clone(), span));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read};

    fn two(first: &str, second: &str) -> Vec<&'static str> {
        let one = |name: &str, body: &str| {
            let vip = if body.contains("v6") {
                "fe80::1/64"
            } else {
                "10.0.0.1"
            };
            let body = body.replace("v6", "");
            format!(
                "vrrp_instance {name} {{\nvirtual_router_id 9\nvirtual_ipaddress {{ {vip} }}\n{body}\n}}\n"
            )
        };
        codes(&read(&format!("{}{}", one("A", first), one("B", second))))
    }

    const PEER: &str = "interface e\nunicast_peer {\n10.0.0.2\n10.0.0.3\n}";

    #[test]
    fn a_virtual_router_is_one_vrid_of_one_family_on_one_link() {
        assert_eq!(two("interface e", "interface e"), ["duplicate-vrid"]);
        assert!(two("interface e", "interface f").is_empty());
        assert!(two("interface e", "interface e\nv6").is_empty());
    }

    #[test]
    fn unicast_routers_differ_by_their_peers() {
        assert!(two("interface e", PEER).is_empty());
        assert!(two(PEER, "interface e\nunicast_peer {\n10.0.0.4\n}").is_empty());
        assert_eq!(
            two(PEER, "interface e\nunicast_peer {\n10.0.0.3\n}"),
            ["duplicate-vrid"]
        );
    }
}
