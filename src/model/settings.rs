//! What a configuration means, whatever language it was written in.
//!
//! Every value is resolved and in range: defaults are applied, intervals rounded as the wire wants
//! them, contradictions settled. Names of users and interfaces stay names; whether they exist is not
//! known here.

use crate::model::addr::VirtualAddress;
pub use crate::model::extras::{DampingSettings, Thresholds, Window};
use crate::model::ids::{Family, Version, Vrid};
use crate::model::links::{LinkPoll, LinkSettings, Linkbeat, StaticAddress, TrackGroup};
use crate::model::priority::{Priority, Weight};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// What concerns the program as a whole.
    pub global: GlobalSettings,
    /// Track scripts in the order of the file.
    pub checks: Vec<Arc<CheckSettings>>,
    /// Tracked files in the order of the file.
    #[serde(default)]
    pub files: Vec<Arc<FileSettings>>,
    /// Tracked processes in the order of the file.
    #[serde(default)]
    pub processes: Vec<Arc<ProcessTrackSettings>>,
    /// Virtual routers in the order of the file.
    pub routers: Vec<Arc<RouterSettings>>,
    /// Sync groups in the order of the file.
    #[serde(default)]
    pub groups: Vec<Arc<GroupSettings>>,
    /// How the state of interfaces is found and when it counts.
    #[serde(default)]
    pub links: LinkSettings,
    /// Addresses that are there whoever is master.
    #[serde(default)]
    pub statics: Vec<Arc<StaticAddress>>,
    /// Who tracks their interfaces; folded into the routers already.
    #[serde(default)]
    pub track_groups: Vec<Arc<TrackGroup>>,
}

impl Settings {
    /// Interfaces whose link is polled, each once, in the order of their names.
    pub fn polled(&self) -> Vec<LinkPoll> {
        let mut polls = self.links.polls.clone();
        if self.links.poll_all {
            let used = self.routers.iter().flat_map(|r| r.used_interfaces());
            polls.extend(used.map(|interface| LinkPoll {
                interface: interface.clone(),
                how: Linkbeat::Auto,
            }));
        }
        // Stable: what was asked for by name stands first.
        polls.sort_by(|a, b| a.interface.cmp(&b.interface));
        polls.dedup_by(|later, first| later.interface == first.interface);
        polls
    }
}

/// One `track_file`: its content, a number, is weighted into priorities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The file.
    pub path: Arc<str>,
    /// Default weight of its users, -254..=254.
    pub weight: i16,
    /// Default `reverse` of its users.
    pub reverse: bool,
    /// `init_file`: write this value at the start if there is no file.
    pub init: Option<i32>,
    /// `init_file ... overwrite`: also if there is one.
    pub overwrite: bool,
    /// `external`: the number is reported, there is no file.
    #[serde(default)]
    pub external: Option<ExternalSettings>,
}

/// A tracker that other programs feed (`external`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExternalSettings {
    /// `lease`: how long a report counts that says nothing of it.
    pub lease: Option<Duration>,
    /// `user`: who may report, besides root.
    pub user: Option<Arc<str>>,
}

/// One `vrrp_track_process`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessTrackSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Program name, or the path for `full_command`.
    pub process: Arc<str>,
    /// Parameters to match.
    pub params: Vec<Arc<str>>,
    /// How parameters match.
    pub matching: ParamMatch,
    /// Compare `argv[0]` instead of the program's name.
    pub full_command: bool,
    /// Default weight of its users, -254..=254.
    pub weight: i16,
    /// Default `reverse` of its users.
    pub reverse: bool,
    /// At least so many must run.
    pub quorum: u32,
    /// At most so many may run.
    pub quorum_max: Option<u32>,
    /// A quorum that is gained counts after so long.
    pub fork_delay: Duration,
    /// A quorum that is lost counts after so long.
    pub terminate_delay: Duration,
}

/// How a tracked process's parameters are compared (keepalived.conf(5) param_match).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ParamMatch {
    /// They are not.
    None,
    /// All of them, each whole.
    Exact,
    /// The configured ones lead.
    Partial,
    /// The configured ones lead, the last as a prefix.
    Initial,
}

/// One `vrrp_sync_group`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Names of the member instances in order.
    pub members: Vec<Arc<str>>,
    /// Programs told of the group's transitions.
    pub notify: NotifySettings,
}

/// Tracking of an interface that is not the instance's own (`track_interface`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkTrackSettings {
    /// The interface.
    pub interface: Arc<str>,
    /// Its weight here.
    pub weight: Weight,
    /// Up and down exchanged.
    pub reverse: bool,
}

impl LinkTrackSettings {
    /// `weight 0 reverse`: a fault while the interface is up.
    pub fn is_fault_when_up(&self) -> bool {
        self.weight == Weight::FAULT && self.reverse
    }
}

/// Tracking of a file or a process by name (`track_file`, `track_process`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedTrackSettings {
    /// Name of the definition.
    pub name: Arc<str>,
    /// Its weight here, -254..=254.
    pub weight: i16,
    /// Up and down exchanged.
    pub reverse: bool,
}

/// `global_defs`, as far as it is not folded into routers and checks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GlobalSettings {
    /// `router_id`, if given.
    pub router_id: Option<Arc<str>>,
    /// `vrrp_startup_delay`: nobody sends or listens for so long after the start.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: the same, counted from the machine's boot.
    pub delay_after_boot: Duration,
    /// `vrrp_garp_interval`: least spacing of two gratuitous ARPs on one interface.
    pub garp_interval: Duration,
    /// `vrrp_gna_interval`: least spacing of two neighbour advertisements on one interface.
    pub gna_interval: Duration,
    /// `net_namespace`: the network namespace to run in.
    #[serde(default)]
    pub net_namespace: Option<Arc<str>>,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `enable_script_security`.
    pub script_security: bool,
    /// `script_unusable fault`: a script that cannot be used counts as failing.
    #[serde(default)]
    pub unusable_faults: bool,
    /// `control_group`: who may read from the control socket.
    pub control_group: Option<Arc<str>>,
    /// `journal_keep`: events kept in the journal.
    #[serde(default)]
    pub journal_keep: JournalKeep,
    /// `vip_restore_limit`: so many restored addresses in so long, then fault.
    pub restore_limit: RestoreLimit,
    /// How the engine thread asks to be scheduled.
    pub process: ProcessSettings,
}

/// How many events the journal keeps, in memory and in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalKeep(pub u32);

impl Default for JournalKeep {
    fn default() -> Self {
        Self(1024)
    }
}

/// How often a removed address is put back before the router gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestoreLimit {
    /// So many restorations ...
    pub count: u32,
    /// ... within this time.
    pub within: Duration,
}

impl Default for RestoreLimit {
    fn default() -> Self {
        Self {
            count: 200,
            within: Duration::from_secs(60),
        }
    }
}

/// Scheduling of the engine thread (`vrrp_rt_priority` and its like).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// `vrrp_rt_priority`: SCHED_RR at this priority, 1..=99.
    pub rt_priority: Option<u8>,
    /// `vrrp_priority`: nice value, -20..=19.
    pub nice: Option<i8>,
    /// `vrrp_no_swap`: lock memory.
    pub no_swap: bool,
    /// `vrrp_cpu_affinity`: processors, empty for all.
    pub cpus: Vec<u16>,
    /// `vrrp_rlimit_rttime` in microseconds; the soft limit alone is set, nothing is killed by it.
    pub rttime: Option<u64>,
}

/// One `vrrp_script`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckSettings {
    /// Its name.
    pub name: Arc<str>,
    /// What is run; of a probe, the words that describe it; of what is fed, the word `external`.
    pub command: Command,
    /// `check`: what is looked at instead, without a program.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// `external`: results are reported, nothing is run.
    #[serde(default)]
    pub external: Option<ExternalSettings>,
    /// Start to start.
    pub interval: Duration,
    /// A run that lasts longer has failed.
    pub timeout: Duration,
    /// Default weight of its users.
    pub weight: Weight,
    /// Default `reverse` of its users.
    pub reverse: bool,
    /// Successes that make it up, at least 1.
    pub rise: u32,
    /// Failures that make it down, at least 1.
    pub fall: u32,
    /// `init_fail`: down until `rise` successes.
    pub init_fail: bool,
    /// `window`, `rise_when_backup` and `fall_when_master`.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Why it cannot be used (missing, not executable, insecure); then nobody tracks it, unless
    /// `script_unusable fault` has it count as failing.
    pub unusable: Option<Arc<str>>,
}

/// What can be looked at without a program (`check` in a `vrrp_script`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// A TCP connection can be made.
    Tcp {
        /// Where to.
        to: Place,
    },
    /// An HTTP server answers a GET with a status from 200 to 399.
    Http {
        /// Where it is.
        to: Place,
        /// What the Host field says.
        host: Arc<str>,
        /// Path and query.
        path: Arc<str>,
        /// https: how its certificate is looked at.
        #[serde(default)]
        tls: Option<Tls>,
    },
    /// Somebody listens on a unix socket.
    Unix {
        /// `@NAME` is one without a file.
        path: Arc<str>,
    },
    /// systemd calls a unit active.
    Systemd {
        /// With its suffix.
        unit: Arc<str>,
    },
    /// A file was written not long ago.
    FileAge {
        /// The file.
        path: Arc<str>,
        /// No longer than this.
        most: Duration,
    },
    /// The main table has a default route that can be used.
    DefaultRoute {
        /// Of which family.
        family: Family,
        /// Through which interface; `None` for any.
        interface: Option<Arc<str>>,
    },
    /// A neighbour answers ARP or neighbour solicitations.
    Gateway {
        /// The neighbour.
        addr: IpAddr,
        /// On which interface; `None` for where the route to it leads.
        interface: Option<Arc<str>>,
    },
}

/// Where a probe connects to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Place {
    /// Tried in order.
    Addresses(Vec<SocketAddr>),
    /// Looked up at each run; its addresses are tried in order.
    Name {
        /// The name.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// How the certificate of an https server is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Tls {
    /// It must be valid for the host and come from an authority that the system trusts.
    Verified,
    /// Any will do.
    Insecure,
}

/// A program, its arguments and who runs it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments, at least one word.
    pub argv: Vec<Arc<str>>,
    /// Who runs it; `None` is the default script user.
    pub user: Option<RunAs>,
}

/// User and group by name or number, as written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RunAs {
    /// User name or number.
    pub user: Arc<str>,
    /// Group name or number; `None` is the user's own. A colon before it, or alone, asks for the
    /// user's other groups too.
    pub group: Option<Arc<str>>,
}

/// One `vrrp_instance`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouterSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The interface it runs on.
    pub interface: Arc<str>,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Address family.
    pub family: Family,
    /// Protocol version.
    pub version: Version,
    /// `state`: with MASTER an owner claims at once at start; otherwise without effect.
    pub start_active: bool,
    /// Base priority.
    pub priority: Priority,
    /// Own advertisement interval, rounded to what the wire can say.
    pub adver: Duration,
    /// Multicast, or one copy for each peer.
    pub transport: TransportSettings,
    /// `mcast_src_ip`, `unicast_src_ip`: source of our adverts; `None` is the primary address.
    pub source: Option<IpAddr>,
    /// Version 2 authentication.
    pub auth: AuthSettings,
    /// `v3_checksum_as_v2`: no pseudo-header in version 3 over IPv4 (RFC 9568).
    pub checksum_as_v2: bool,
    /// Preempt_Mode.
    pub preempt: bool,
    /// `preempt_delay`.
    pub preempt_delay: Duration,
    /// `down_timer_adverts`, 1..=100.
    pub down_adverts: u8,
    /// Advertised addresses in order.
    pub addresses: Vec<VirtualAddress>,
    /// Installed but not advertised.
    pub excluded: Vec<VirtualAddress>,
    /// `strict_mode`, `vrrp_strict`.
    pub strict: bool,
    /// `dont_track_primary`.
    pub dont_track_primary: bool,
    /// `skip_check_adv_addr`.
    pub skip_check_addrs: bool,
    /// `vip_mismatch drop`: an advert with other addresses than ours is discarded.
    pub drop_mismatch: bool,
    /// `check_unicast_src`.
    pub check_unicast_src: bool,
    /// `lower_prio_no_advert`.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`.
    pub higher_prio_send_advert: bool,
    /// `owner_ignore_adverts`.
    pub owner_ignore_adverts: bool,
    /// `timer_expired_backup`: the highest priority expected of others.
    pub timer_expired_backup: Option<Priority>,
    /// Announcements after takeover.
    pub garp: GarpSettings,
    /// Scripts it tracks; those of its sync group are folded in.
    pub tracks: Vec<TrackSettings>,
    /// Interfaces it tracks, likewise.
    #[serde(default)]
    pub track_links: Vec<LinkTrackSettings>,
    /// Files it tracks, likewise.
    #[serde(default)]
    pub track_files: Vec<NamedTrackSettings>,
    /// Processes it tracks, likewise.
    #[serde(default)]
    pub track_processes: Vec<NamedTrackSettings>,
    /// Names in `track_bfd`, likewise: no session is set up yet, so they contribute nothing.
    #[serde(default)]
    pub track_sessions: Vec<Arc<str>>,
    /// `track_handover`.
    #[serde(default)]
    pub handover: Handover,
    /// `flap_damping`.
    #[serde(default)]
    pub damping: Option<DampingSettings>,
    /// `all_failed`.
    #[serde(default)]
    pub all_failed: AllFailed,
    /// Programs told of its transitions.
    pub notify: NotifySettings,
}

/// Whether a MASTER whose priority fell because of a tracker hands over at once (`track_handover`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Handover {
    /// When the fall is confirmed.
    #[default]
    Confirmed,
    /// With every fall.
    Always,
    /// Never: the plain protocol.
    Off,
}

/// What becomes of an instance whose trackers of weight 0 fail (`all_failed`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum AllFailed {
    /// It is in FAULT, and if all are, nobody serves.
    #[default]
    Release,
    /// It gives way, and serves on only if nobody else takes over.
    Hold,
}

/// How adverts travel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TransportSettings {
    /// To 224.0.0.18 or ff02::12.
    Multicast,
    /// One copy for each peer.
    Unicast {
        /// The peers, at least one.
        peers: Vec<IpAddr>,
    },
}

/// Version 2 authentication.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthSettings {
    /// None.
    None,
    /// Simple password, padded with zeros (RFC 2338 §5.3.6).
    Password([u8; 8]),
}

/// Does not show the password.
impl std::fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(********)",
        })
    }
}

/// Gratuitous ARP and unsolicited neighbour advertisement (keepalived.conf(5) garp_master_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GarpSettings {
    /// Second set so long after takeover; zero for none.
    pub delay: Duration,
    /// Rounds in a set, at least 1.
    pub repeat: u32,
    /// A refresh every so often; zero for none.
    pub refresh: Duration,
    /// Rounds in a refresh, at least 1.
    pub refresh_repeat: u32,
    /// Second set after a lower-priority advert.
    pub lower_delay: Duration,
    /// Rounds after a lower-priority advert; zero for none.
    pub lower_repeat: u32,
}

impl Default for GarpSettings {
    fn default() -> Self {
        let delay = Duration::from_secs(5);
        Self {
            delay,
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_delay: delay,
            lower_repeat: 5,
        }
    }
}

/// One entry of `track_script`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrackSettings {
    /// Name of the script.
    pub check: Arc<str>,
    /// Its weight here.
    pub weight: Weight,
    /// Up and down exchanged.
    pub reverse: bool,
}

/// Programs told of transitions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NotifySettings {
    /// `notify_master`.
    pub master: Option<Command>,
    /// `notify_backup`.
    pub backup: Option<Command>,
    /// `notify_fault`.
    pub fault: Option<Command>,
    /// `notify_stop`.
    pub stop: Option<Command>,
    /// `notify_deleted`: `Some(None)` asks for the word DELETED without a program of its own.
    pub deleted: Option<Option<Command>>,
    /// `notify_master_rx_lower_pri`.
    pub lower_advert: Option<Command>,
    /// `notify`.
    pub any: Option<Command>,
}

/// What makes a router the same one over a reload: not its name (keepalived's rule).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RouterIdentity {
    /// Interface.
    pub interface: Arc<str>,
    /// Family.
    pub family: Family,
    /// VRID.
    pub vrid: Vrid,
    /// Source of a unicast router; `None` for multicast.
    pub unicast: Option<Option<IpAddr>>,
}

impl RouterSettings {
    /// What makes it the same router over a reload.
    pub fn identity(&self) -> RouterIdentity {
        RouterIdentity {
            interface: self.interface.clone(),
            family: self.family,
            vrid: self.vrid,
            unicast: match &self.transport {
                TransportSettings::Multicast => None,
                TransportSettings::Unicast { .. } => Some(self.source),
            },
        }
    }

    /// Its own interface, those its addresses are on, and those it tracks; some more than once.
    pub fn used_interfaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let carriers = self.installed().filter_map(|a| a.dev.as_ref());
        let tracked = self.track_links.iter().map(|t| &t.interface);
        std::iter::once(&self.interface)
            .chain(carriers)
            .chain(tracked)
    }

    /// All addresses it installs: advertised first, then excluded.
    pub fn installed(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.excluded)
    }
}
