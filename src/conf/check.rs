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
