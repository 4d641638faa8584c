//! How the state of interfaces is found and when it counts, and what is on them in any state.

use crate::model::addr::VirtualAddress;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What concerns interfaces whoever uses them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkSettings {
    /// `linkbeat_use_polling`: every interface in use is polled.
    pub poll_all: bool,
    /// `linkbeat_interfaces`: these are polled.
    pub polls: Vec<LinkPoll>,
    /// `interface_up_down_delays`.
    pub delays: Vec<LinkDelay>,
}

/// An interface whose link is asked for every second; the kernel's carrier flag is not believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkPoll {
    /// The interface.
    pub interface: Arc<str>,
    /// How it is asked first.
    pub how: Linkbeat,
}

/// How a link is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Linkbeat {
    /// The first that works of the three below, in their order.
    #[default]
    Auto,
    /// The status register of the transceiver.
    Mii,
    /// ETHTOOL_GLINK.
    Ethtool,
    /// IFF_RUNNING by SIOCGIFFLAGS.
    Ioctl,
}

/// So long another state of an interface must last before it counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkDelay {
    /// The interface.
    pub interface: Arc<str>,
    /// Going down; within what its users can be silent.
    pub down: Duration,
    /// Coming up, except for the first time.
    pub up: Duration,
}

/// An address that is there whoever is master (`static_ipaddress`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StaticAddress {
    /// The address; its `dev` is always given.
    pub address: VirtualAddress,
    /// `track_group`: these instances track its interface.
    pub track_group: Option<Arc<str>>,
}

/// Instances that track the interfaces of static entries (`track_group`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrackGroup {
    /// Its name.
    pub name: Arc<str>,
    /// Names of instances.
    pub members: Vec<Arc<str>>,
}
