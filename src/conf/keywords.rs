//! Every keyword of keepalived's VRRP half: where it may stand, how many words it takes, and what
//! becomes of it here.

use Status::{Acted, AsBlock, Lvs, NoEffect, Refused};
use Within as W;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a line stands in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Within {
    /// Outside any block.
    Root,
    /// `global_defs`.
    Global,
    /// `garp_group`.
    GarpGroup,
    /// `track_group`.
    TrackGroup,
    /// `vrrp_script`.
    Script,
    /// `track_file` at the root.
    TrackFile,
    /// `vrrp_track_process`.
    TrackProcess,
    /// `bfd_instance`.
    Bfd,
    /// `vrrp_instance`.
    Instance,
    /// `vrrp_sync_group`.
    SyncGroup,
    /// `authentication`.
    Auth,
    /// `auth_hmac`.
    Hmac,
    /// `flap_damping`.
    Damping,
    /// A list of names, any number on a line.
    Names,
    /// Addresses, one on a line.
    Addresses,
    /// Routes, one on a line.
    Routes,
    /// Rules, one on a line.
    Rules,
    /// Unicast peers, one on a line.
    Peers,
    /// Things tracked, one on a line.
    Tracks,
    /// Interfaces with words after them, one on a line.
    Interfaces,
    /// After an address.
    AddressWord,
    /// After a peer.
    PeerWord,
    /// After a tracked thing.
    TrackWord,
    /// In a route.
    RouteWord,
    /// In a rule.
    RuleWord,
    /// A block that is not looked into.
    Skipped,
}

impl Within {
    /// Lines here are entries of a list, not keywords.
    pub fn is_list(self) -> bool {
        match self {
            W::Names
            | W::Addresses
            | W::Routes
            | W::Rules
            | W::Peers
            | W::Tracks
            | W::Interfaces
            | W::AddressWord
            | W::PeerWord
            | W::TrackWord
            | W::RouteWord
            | W::RuleWord
            | W::Skipped => true,
            W::Root
            | W::Global
            | W::GarpGroup
            | W::TrackGroup
            | W::Script
            | W::TrackFile
            | W::TrackProcess
            | W::Bfd
            | W::Instance
            | W::SyncGroup
            | W::Auth
            | W::Hmac
            | W::Damping => false,
        }
    }

    /// The block's name for a sentence.
    pub fn name(self) -> &'static str {
        match self {
            W::Root => "the top level",
            W::Global => "global_defs",
            W::GarpGroup => "garp_group",
            W::TrackGroup => "track_group",
            W::Script => "vrrp_script",
            W::TrackFile => "track_file",
            W::TrackProcess => "vrrp_track_process",
            W::Bfd => "bfd_instance",
            W::Instance => "vrrp_instance",
            W::SyncGroup => "vrrp_sync_group",
            W::Auth => "authentication",
            W::Hmac => "auth_hmac",
            W::Damping => "flap_damping",
            W::Names => "a list of names",
            W::Addresses | W::AddressWord => "a list of addresses",
            W::Routes | W::RouteWord => "a list of routes",
            W::Rules | W::RuleWord => "a list of rules",
            W::Peers | W::PeerWord => "unicast_peer",
            W::Tracks | W::TrackWord => "a tracking list",
            W::Interfaces => "a list of interfaces",
            W::Skipped => "this block",
        }
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Acted on.
    Acted,
    /// The same as its block.
    AsBlock,
    /// Accepted; the reason says why nothing needs doing here.
    NoEffect(&'static str),
    /// Not acted on yet. `matters`: it could change who is master or what is on the wire.
    NotYet {
        /// Whether its neglect is worth a warning.
        matters: bool,
    },
    /// Not acted on yet, and unsafe to neglect for this reason.
    Refused(&'static str),
    /// Load balancing, keepalived's other half.
    Lvs,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyword {
    /// The word.
    pub name: &'static str,
    /// Where it may stand.
    pub within: Within,
    /// Words it needs.
    pub min: u8,
    /// Words it takes at most, [`MANY`] for any number.
    pub max: u8,
    /// What its block holds, if it has one.
    pub block: Option<Within>,
    /// Its words are a command, user and group, with quotes of both kinds.
    pub command: bool,
    /// What becomes of it.
    pub status: Status,
}

/// Any number of words.
pub const MANY: u8 = u8::MAX;

const LATER: Status = Status::NotYet { matters: true };
const ASIDE: Status = Status::NotYet { matters: false };

const fn key(within: Within, name: &'static str, min: u8, max: u8, status: Status) -> Keyword {
    Keyword {
        name,
        within,
        min,
        max,
        block: None,
        command: false,
        status,
    }
}

const fn block(within: Within, name: &'static str, words: u8, of: Within, s: Status) -> Keyword {
    Keyword {
        block: Some(of),
        ..key(within, name, words, words, s)
    }
}

const fn cmd(within: Within, name: &'static str, min: u8, status: Status) -> Keyword {
    Keyword {
        command: true,
        ..key(within, name, min, 3, status)
    }
}

const ONE_PROCESS: Status = NoEffect("there is one process here, and it is called by its own name");
const ONE_DAEMON: Status = NoEffect("--runtime-dir tells several of them on one machine apart");
const NO_BFD: Status = NoEffect("there is no BFD process here");
const NO_COPY: Status = NoEffect("the configuration is read by one process; no copy is kept");
const PARSED_FIRST: Status =
    NoEffect("a reload always checks the new file first and keeps the old settings on any error");
const ALWAYS: Status = NoEffect("a missing interface is always waited for");
const NO_VMAC: Status = NoEffect("it concerns virtual MAC interfaces alone");
const DEVELOPERS: Status = NoEffect("it is for keepalived's developers");
const ANYWAY: Status = NoEffect("it is what happens anyway");
const READER: Status = Acted;

const NEEDS_VMAC: Status = Refused(
    "without its virtual MAC address the router would answer from another one than its peers",
);
const NEEDS_AUTH: Status =
    Refused("peers would refuse our adverts and we would heed unauthenticated ones: two masters");
const NEEDS_NET: Status = Refused("the routers would run in the wrong network");

/// The table, but for the words inside routes and rules.
const TABLE: &[Keyword] = &[
    // The top level.
    block(W::Root, "global_defs", 0, W::Global, Acted),
    key(W::Root, "net_namespace", 1, 1, Acted),
    key(W::Root, "net_namespace_ipvs", 1, 1, Lvs),
    key(W::Root, "namespace_with_ipsets", 0, 0, ASIDE),
    key(W::Root, "instance", 1, 1, ONE_DAEMON),
    key(W::Root, "use_pid_dir", 0, 0, ONE_DAEMON),
    key(W::Root, "child_wait_time", 1, 1, ONE_PROCESS),
    key(W::Root, "linkbeat_use_polling", 0, 0, Acted),
    block(W::Root, "linkbeat_interfaces", 0, W::Interfaces, Acted),
    block(W::Root, "interface_up_down_delays", 0, W::Interfaces, Acted),
    block(W::Root, "garp_group", 0, W::GarpGroup, LATER),
    block(W::Root, "track_group", 1, W::TrackGroup, Acted),
    block(W::Root, "static_ipaddress", 0, W::Addresses, Acted),
    block(W::Root, "static_routes", 0, W::Routes, ASIDE),
    block(W::Root, "static_rules", 0, W::Rules, ASIDE),
    block(W::Root, "vrrp_script", 1, W::Script, Acted),
    block(W::Root, "vrrp_track_process", 1, W::TrackProcess, Acted),
    block(W::Root, "track_file", 1, W::TrackFile, Acted),
    block(W::Root, "vrrp_track_file", 1, W::TrackFile, Acted),
    block(W::Root, "bfd_instance", 1, W::Bfd, LATER),
    block(W::Root, "vrrp_instance", 1, W::Instance, Acted),
    block(W::Root, "vrrp_sync_group", 1, W::SyncGroup, Acted),
    Keyword {
        max: 3,
        ..block(W::Root, "virtual_server", 1, W::Skipped, Lvs)
    },
    block(W::Root, "virtual_server_group", 1, W::Skipped, Lvs),
    block(W::Root, "SSL", 0, W::Skipped, Lvs),
    Keyword {
        max: 2,
        ..block(W::Root, "real_server", 1, W::Skipped, Lvs)
    },
    Keyword {
        max: 2,
        ..block(W::Root, "sorry_server", 1, W::Skipped, Lvs)
    },
    // Read by the reader wherever they stand.
    key(W::Root, "include", 1, 1, READER),
    key(W::Root, "includer", 1, 1, READER),
    key(W::Root, "includem", 1, 1, READER),
    key(W::Root, "includew", 1, 1, READER),
    key(W::Root, "includeb", 1, 1, READER),
    key(W::Root, "includea", 1, 1, READER),
    // global_defs.
    key(W::Global, "process_names", 0, 0, ONE_PROCESS),
    key(W::Global, "process_name", 1, 1, ONE_PROCESS),
    key(W::Global, "vrrp_process_name", 1, 1, ONE_PROCESS),
    key(W::Global, "checker_process_name", 1, 1, Lvs),
    key(W::Global, "lvs_process_name", 1, 1, Lvs),
    key(W::Global, "bfd_process_name", 1, 1, NO_BFD),
    key(W::Global, "router_id", 1, 1, Acted),
    block(W::Global, "notification_email", 0, W::Names, ASIDE),
    key(W::Global, "notification_email_from", 1, 1, ASIDE),
    key(W::Global, "smtp_server", 1, 2, ASIDE),
    key(W::Global, "smtp_helo_name", 1, 1, ASIDE),
    key(W::Global, "smtp_connect_timeout", 1, 1, ASIDE),
    key(W::Global, "smtp_alert", 0, 1, ASIDE),
    key(W::Global, "smtp_alert_vrrp", 0, 1, ASIDE),
    key(W::Global, "no_email_faults", 0, 0, ASIDE),
    cmd(W::Global, "startup_script", 1, ASIDE),
    cmd(W::Global, "shutdown_script", 1, ASIDE),
    key(W::Global, "startup_script_timeout", 1, 1, ASIDE),
    key(W::Global, "shutdown_script_timeout", 1, 1, ASIDE),
    key(W::Global, "dynamic_interfaces", 0, 1, ALWAYS),
    key(W::Global, "default_interface", 1, 1, Acted),
    key(W::Global, "disable_local_igmp", 0, 0, ASIDE),
    key(W::Global, "vrrp_mcast_group4", 1, 1, Acted),
    key(W::Global, "vrrp_mcast_group6", 1, 1, Acted),
    key(W::Global, "vrrp_version", 1, 1, Acted),
    key(W::Global, "vrrp_garp_master_delay", 1, 1, Acted),
    key(W::Global, "vrrp_garp_master_repeat", 1, 1, Acted),
    key(W::Global, "vrrp_garp_master_refresh", 1, 1, Acted),
    key(W::Global, "vrrp_garp_master_refresh_repeat", 1, 1, Acted),
    key(W::Global, "vrrp_garp_lower_prio_delay", 1, 1, Acted),
    key(W::Global, "vrrp_garp_lower_prio_repeat", 1, 1, Acted),
    key(W::Global, "vrrp_garp_interval", 1, 1, Acted),
    key(W::Global, "vrrp_gna_interval", 1, 1, Acted),
    key(W::Global, "vrrp_min_garp", 0, 1, Acted),
    key(W::Global, "vrrp_garp_extra_if", 1, 2, LATER),
    key(W::Global, "vrrp_vmac_garp_intvl", 1, 2, LATER),
    key(W::Global, "vrrp_down_timer_adverts", 1, 1, Acted),
    key(W::Global, "vrrp_lower_prio_no_advert", 0, 1, Acted),
    key(W::Global, "vrrp_higher_prio_send_advert", 0, 1, Acted),
    key(W::Global, "vrrp_owner_ignore_adverts", 0, 1, Acted),
    key(W::Global, "vrrp_check_unicast_src", 0, 1, Acted),
    key(W::Global, "vrrp_skip_check_adv_addr", 0, 1, Acted),
    key(W::Global, "vrrp_strict", 0, 1, Acted),
    key(W::Global, "v3_checksum_as_v2", 0, 1, Acted),
    key(W::Global, "vrrp_startup_delay", 1, 1, Acted),
    key(W::Global, "vrrp_delay_after_boot", 1, 1, Acted),
    key(W::Global, "log_unknown_vrids", 0, 0, Acted),
    key(W::Global, "max_auto_priority", 0, 1, ASIDE),
    key(W::Global, "min_auto_priority_delay", 1, 1, ASIDE),
    key(W::Global, "vrrp_priority", 1, 1, Acted),
    key(W::Global, "checker_priority", 1, 1, Lvs),
    key(W::Global, "bfd_priority", 1, 1, NO_BFD),
    key(W::Global, "vrrp_rt_priority", 1, 1, Acted),
    key(W::Global, "checker_rt_priority", 1, 1, Lvs),
    key(W::Global, "bfd_rt_priority", 1, 1, NO_BFD),
    key(W::Global, "vrrp_no_swap", 0, 0, Acted),
    key(W::Global, "checker_no_swap", 0, 0, Lvs),
    key(W::Global, "bfd_no_swap", 0, 0, NO_BFD),
    key(W::Global, "vrrp_cpu_affinity", 1, MANY, Acted),
    key(W::Global, "checker_cpu_affinity", 1, MANY, Lvs),
    key(W::Global, "bfd_cpu_affinity", 1, MANY, NO_BFD),
    key(W::Global, "vrrp_rlimit_rttime", 1, 1, Acted),
    key(W::Global, "vrrp_rlimit_rtime", 1, 1, Acted),
    key(W::Global, "checker_rlimit_rttime", 1, 1, Lvs),
    key(W::Global, "checker_rlimit_rtime", 1, 1, Lvs),
    key(W::Global, "bfd_rlimit_rttime", 1, 1, NO_BFD),
    key(W::Global, "bfd_rlimit_rtime", 1, 1, NO_BFD),
    key(W::Global, "notify_fifo", 1, 3, ASIDE),
    cmd(W::Global, "notify_fifo_script", 1, ASIDE),
    key(W::Global, "vrrp_notify_fifo", 1, 3, ASIDE),
    cmd(W::Global, "vrrp_notify_fifo_script", 1, ASIDE),
    key(W::Global, "lvs_notify_fifo", 1, 3, Lvs),
    cmd(W::Global, "lvs_notify_fifo_script", 1, Lvs),
    key(W::Global, "vrrp_notify_priority_changes", 0, 1, ASIDE),
    key(W::Global, "fifo_write_vrrp_states_on_reload", 0, 0, ASIDE),
    key(W::Global, "script_user", 1, 2, Acted),
    key(W::Global, "enable_script_security", 0, 0, Acted),
    key(W::Global, "use_symlink_paths", 0, 1, ASIDE),
    key(W::Global, "set_supplementary_groups", 0, 1, ASIDE),
    key(W::Global, "umask", 1, MANY, ASIDE),
    key(W::Global, "random_seed", 1, 1, READER),
    key(W::Global, "include_check", 0, MANY, READER),
    key(W::Global, "config_save_dir", 1, 1, ASIDE),
    key(W::Global, "tmp_config_directory", 1, 1, NO_COPY),
    key(W::Global, "reload_check_config", 0, 1, PARSED_FIRST),
    key(W::Global, "reload_time_file", 1, 1, ASIDE),
    key(W::Global, "reload_repeat", 0, 0, ASIDE),
    key(W::Global, "reload_file", 0, 1, ASIDE),
    key(W::Global, "data_use_instance", 0, 1, ASIDE),
    key(W::Global, "json_version", 1, 1, ASIDE),
    key(W::Global, "state_dump_file", 1, 1, ASIDE),
    key(W::Global, "stats_dump_file", 1, 1, ASIDE),
    key(W::Global, "json_dump_file", 1, 1, ASIDE),
    key(W::Global, "vrrp_iptables", 0, 2, ASIDE),
    key(W::Global, "vrrp_ipsets", 0, 7, ASIDE),
    key(W::Global, "nftables", 0, 1, ASIDE),
    key(W::Global, "nftables_priority", 1, 1, ASIDE),
    key(W::Global, "nftables_ifindex", 0, 0, ASIDE),
    key(W::Global, "nftables_counters", 0, 0, ASIDE),
    key(W::Global, "nftables_ipvs", 0, 1, Lvs),
    key(W::Global, "nftables_ipvs_priority", 1, 1, Lvs),
    key(W::Global, "nftables_ipvs_start_fwmark", 1, 1, Lvs),
    key(W::Global, "vmac_prefix", 1, 1, NO_VMAC),
    key(W::Global, "vmac_addr_prefix", 1, 1, NO_VMAC),
    key(W::Global, "vrrp_netlink_cmd_rcv_bufs", 1, 1, ASIDE),
    key(W::Global, "vrrp_netlink_cmd_rcv_bufs_force", 0, 1, ASIDE),
    key(W::Global, "vrrp_netlink_monitor_rcv_bufs", 1, 1, ASIDE),
    key(
        W::Global,
        "vrrp_netlink_monitor_rcv_bufs_force",
        0,
        1,
        ASIDE,
    ),
    key(W::Global, "process_monitor_rcv_bufs", 1, 1, ASIDE),
    key(W::Global, "process_monitor_rcv_bufs_force", 0, 1, ASIDE),
    key(W::Global, "vrrp_rx_bufs_policy", 1, MANY, ASIDE),
    key(W::Global, "vrrp_rx_bufs_multiplier", 1, 1, ASIDE),
    key(W::Global, "enable_snmp_vrrp", 0, 0, ASIDE),
    key(W::Global, "enable_snmp_keepalived", 0, 0, ASIDE),
    key(W::Global, "enable_snmp_checker", 0, 0, Lvs),
    key(W::Global, "enable_snmp_rfc", 0, 0, ASIDE),
    key(W::Global, "enable_snmp_rfcv2", 0, 0, ASIDE),
    key(W::Global, "enable_snmp_rfcv3", 0, 0, ASIDE),
    key(W::Global, "enable_traps", 0, 0, ASIDE),
    key(W::Global, "snmp_socket", 1, 1, ASIDE),
    key(W::Global, "snmp_vs_stats_update_interval", 1, 1, Lvs),
    key(W::Global, "snmp_rs_stats_update_interval", 1, 1, Lvs),
    key(W::Global, "enable_dbus", 0, 0, ASIDE),
    key(W::Global, "dbus_service_name", 1, 1, ASIDE),
    key(W::Global, "dbus_no_interface_name", 1, 1, ASIDE),
    key(W::Global, "iproute_usr_dir", 1, 1, ASIDE),
    key(W::Global, "iproute_etc_dir", 1, 1, ASIDE),
    key(W::Global, "debug", 0, MANY, DEVELOPERS),
    key(W::Global, "lvs_sync_daemon", 1, MANY, Lvs),
    key(W::Global, "lvs_flush", 0, 0, Lvs),
    key(W::Global, "lvs_flush_on_stop", 0, 1, Lvs),
    key(W::Global, "lvs_flush_onstop", 0, 1, Lvs),
    key(W::Global, "lvs_timeouts", 1, MANY, Lvs),
    key(W::Global, "lvs_netlink_cmd_rcv_bufs", 1, 1, Lvs),
    key(W::Global, "lvs_netlink_cmd_rcv_bufs_force", 0, 1, Lvs),
    key(W::Global, "lvs_netlink_monitor_rcv_bufs", 1, 1, Lvs),
    key(W::Global, "lvs_netlink_monitor_rcv_bufs_force", 0, 1, Lvs),
    key(W::Global, "smtp_alert_checker", 0, 1, Lvs),
    key(W::Global, "no_checker_emails", 0, 0, Lvs),
    key(W::Global, "checker_log_all_failures", 0, 1, Lvs),
    key(W::Global, "rs_init_notifies", 0, 0, Lvs),
    key(W::Global, "ipvs_debug", 0, 1, Lvs),
    // Ours.
    key(W::Global, "control_group", 1, 1, Acted),
    key(W::Global, "vip_restore_limit", 2, 2, Acted),
    key(W::Global, "journal_keep", 1, 1, Acted),
    key(W::Global, "vip_mismatch", 1, 1, Acted),
    key(W::Global, "track_handover", 1, 1, Acted),
    key(W::Global, "script_unusable", 1, 1, Acted),
    key(W::Global, "all_failed", 1, 1, Acted),
    // garp_group, track_group.
    key(W::GarpGroup, "garp_interval", 1, 1, AsBlock),
    key(W::GarpGroup, "gna_interval", 1, 1, AsBlock),
    key(W::GarpGroup, "interface", 1, 1, AsBlock),
    block(W::GarpGroup, "interfaces", 0, W::Names, AsBlock),
    block(W::TrackGroup, "group", 0, W::Names, Acted),
    // vrrp_script.
    cmd(W::Script, "script", 1, Acted),
    key(W::Script, "interval", 1, 1, Acted),
    key(W::Script, "timeout", 1, 1, Acted),
    key(W::Script, "weight", 1, 2, Acted),
    key(W::Script, "rise", 1, 1, Acted),
    key(W::Script, "fall", 1, 1, Acted),
    key(W::Script, "user", 1, 2, Acted),
    key(W::Script, "init_fail", 0, 0, Acted),
    // Ours.
    key(W::Script, "check", 1, MANY, Acted),
    key(W::Script, "window", 2, 2, Acted),
    key(W::Script, "rise_when_backup", 1, 1, Acted),
    key(W::Script, "fall_when_master", 1, 1, Acted),
    key(W::Script, "external", 0, 0, Acted),
    key(W::Script, "lease", 1, 1, Acted),
    // track_file, vrrp_track_process, bfd_instance.
    key(W::TrackFile, "file", 1, 1, Acted),
    key(W::TrackFile, "weight", 1, 2, Acted),
    key(W::TrackFile, "init_file", 0, 2, Acted),
    // Ours.
    key(W::TrackFile, "external", 0, 0, Acted),
    key(W::TrackFile, "lease", 1, 1, Acted),
    key(W::TrackFile, "user", 1, 1, Acted),
    // Theirs again.
    key(W::TrackProcess, "process", 1, MANY, Acted),
    key(W::TrackProcess, "param_match", 0, 1, Acted),
    key(W::TrackProcess, "full_command", 0, 0, Acted),
    key(W::TrackProcess, "weight", 1, 2, Acted),
    key(W::TrackProcess, "quorum", 1, 1, Acted),
    key(W::TrackProcess, "quorum_max", 1, 1, Acted),
    key(W::TrackProcess, "fork_delay", 1, 1, Acted),
    key(W::TrackProcess, "terminate_delay", 1, 1, Acted),
    key(W::TrackProcess, "delay", 1, 1, Acted),
    key(W::Bfd, "neighbor_ip", 1, 1, AsBlock),
    key(W::Bfd, "neighbour_ip", 1, 1, AsBlock),
    key(W::Bfd, "source_ip", 1, 1, AsBlock),
    key(W::Bfd, "min_rx", 1, 1, AsBlock),
    key(W::Bfd, "min_tx", 1, 1, AsBlock),
    key(W::Bfd, "idle_tx", 1, 1, AsBlock),
    key(W::Bfd, "multiplier", 1, 1, AsBlock),
    key(W::Bfd, "passive", 0, 0, AsBlock),
    key(W::Bfd, "ttl", 1, 1, AsBlock),
    key(W::Bfd, "hoplimit", 1, 1, AsBlock),
    key(W::Bfd, "max_hops", 1, 1, AsBlock),
    key(W::Bfd, "multihop", 0, 1, AsBlock),
    key(W::Bfd, "weight", 1, 2, AsBlock),
    key(W::Bfd, "vrrp", 0, 0, AsBlock),
    key(W::Bfd, "checker", 0, 0, AsBlock),
    // vrrp_instance.
    key(W::Instance, "state", 1, 1, Acted),
    key(W::Instance, "priority", 1, 1, Acted),
    key(W::Instance, "interface", 1, 1, Acted),
    key(W::Instance, "vrf", 1, 1, NEEDS_NET),
    key(W::Instance, "virtual_router_id", 1, 1, Acted),
    key(W::Instance, "advert_int", 1, 1, Acted),
    key(W::Instance, "version", 1, 1, Acted),
    key(W::Instance, "native_ipv6", 0, 0, Acted),
    block(W::Instance, "virtual_ipaddress", 0, W::Addresses, Acted),
    block(
        W::Instance,
        "virtual_ipaddress_excluded",
        0,
        W::Addresses,
        Acted,
    ),
    key(W::Instance, "no_virtual_ipaddress", 0, 0, Acted),
    block(W::Instance, "virtual_routes", 0, W::Routes, LATER),
    block(W::Instance, "virtual_rules", 0, W::Rules, LATER),
    key(W::Instance, "promote_secondaries", 0, 0, ASIDE),
    block(W::Instance, "authentication", 0, W::Auth, Acted),
    block(W::Instance, "auth_hmac", 0, W::Hmac, NEEDS_AUTH),
    key(W::Instance, "mcast_src_ip", 1, 1, Acted),
    key(W::Instance, "unicast_src_ip", 1, 1, Acted),
    key(W::Instance, "mcast_dst_ip", 1, 1, Acted),
    key(W::Instance, "track_src_ip", 0, 0, LATER),
    block(W::Instance, "unicast_peer", 0, W::Peers, Acted),
    key(W::Instance, "check_unicast_src", 0, 1, Acted),
    key(W::Instance, "unicast_fault_no_peer", 0, 0, LATER),
    key(W::Instance, "unicast_ttl", 1, 1, LATER),
    key(W::Instance, "old_unicast_checksum", 0, 1, LATER),
    key(W::Instance, "v3_checksum_as_v2", 0, 1, Acted),
    key(W::Instance, "use_vmac", 0, MANY, NEEDS_VMAC),
    key(W::Instance, "use_vmac_addr", 0, 0, NEEDS_VMAC),
    key(W::Instance, "vmac_xmit_base", 0, 0, NO_VMAC),
    key(W::Instance, "use_ipvlan", 0, MANY, NEEDS_VMAC),
    key(W::Instance, "dont_track_primary", 0, 0, Acted),
    block(W::Instance, "track_interface", 0, W::Tracks, Acted),
    block(W::Instance, "track_script", 0, W::Tracks, Acted),
    block(W::Instance, "track_file", 0, W::Tracks, Acted),
    block(W::Instance, "track_process", 0, W::Tracks, Acted),
    block(W::Instance, "track_bfd", 0, W::Tracks, LATER),
    key(W::Instance, "linkbeat_use_polling", 0, 0, Acted),
    key(W::Instance, "accept", 0, 0, ANYWAY),
    key(W::Instance, "no_accept", 0, 0, ASIDE),
    key(W::Instance, "preempt", 0, 0, Acted),
    key(W::Instance, "nopreempt", 0, 0, Acted),
    key(W::Instance, "preempt_delay", 1, 1, Acted),
    key(W::Instance, "timer_expired_backup", 0, 1, Acted),
    key(W::Instance, "thread_timer_expired", 0, 1, Acted),
    key(W::Instance, "down_timer_adverts", 1, 1, Acted),
    key(W::Instance, "garp_master_delay", 1, 1, Acted),
    key(W::Instance, "garp_master_repeat", 1, 1, Acted),
    key(W::Instance, "garp_master_refresh", 1, 1, Acted),
    key(W::Instance, "garp_master_refresh_repeat", 1, 1, Acted),
    key(W::Instance, "garp_lower_prio_delay", 1, 1, Acted),
    key(W::Instance, "garp_lower_prio_repeat", 1, 1, Acted),
    key(W::Instance, "garp_extra_if", 1, 2, LATER),
    key(W::Instance, "vmac_garp_intvl", 1, 2, LATER),
    key(W::Instance, "lower_prio_no_advert", 0, 1, Acted),
    key(W::Instance, "higher_prio_send_advert", 0, 1, Acted),
    key(W::Instance, "owner_ignore_adverts", 0, 1, Acted),
    key(W::Instance, "skip_check_adv_addr", 0, 1, Acted),
    key(W::Instance, "strict_mode", 0, 1, Acted),
    cmd(W::Instance, "notify", 1, Acted),
    cmd(W::Instance, "notify_master", 1, Acted),
    cmd(W::Instance, "notify_backup", 1, Acted),
    cmd(W::Instance, "notify_fault", 1, Acted),
    cmd(W::Instance, "notify_stop", 1, Acted),
    cmd(W::Instance, "notify_deleted", 0, Acted),
    cmd(W::Instance, "notify_master_rx_lower_pri", 1, Acted),
    key(W::Instance, "notify_priority_changes", 0, 1, ASIDE),
    key(W::Instance, "smtp_alert", 0, 1, ASIDE),
    key(W::Instance, "kernel_rx_buf_size", 1, 1, ASIDE),
    key(W::Instance, "debug", 1, 1, DEVELOPERS),
    key(W::Instance, "lvs_sync_daemon_interface", 1, 1, Lvs),
    key(W::Instance, "vip_mismatch", 1, 1, Acted),
    key(W::Instance, "track_handover", 1, 1, Acted),
    block(W::Instance, "flap_damping", 0, W::Damping, Acted),
    key(W::Damping, "half_life", 1, 1, Acted),
    key(W::Damping, "suppress", 1, 1, Acted),
    key(W::Damping, "reuse", 1, 1, Acted),
    key(W::Instance, "all_failed", 1, 1, Acted),
    // authentication, auth_hmac.
    key(W::Auth, "auth_type", 1, 1, Acted),
    key(W::Auth, "auth_pass", 1, 1, Acted),
    key(W::Hmac, "key", 2, 2, AsBlock),
    key(W::Hmac, "active_key", 1, 1, AsBlock),
    key(W::Hmac, "anti_replay", 1, 1, AsBlock),
    key(W::Hmac, "time_window", 1, 1, AsBlock),
    key(W::Hmac, "mode", 1, 1, AsBlock),
    // vrrp_sync_group.
    block(W::SyncGroup, "group", 0, W::Names, Acted),
    block(W::SyncGroup, "track_interface", 0, W::Tracks, Acted),
    block(W::SyncGroup, "track_script", 0, W::Tracks, Acted),
    block(W::SyncGroup, "track_file", 0, W::Tracks, Acted),
    block(W::SyncGroup, "track_process", 0, W::Tracks, Acted),
    block(W::SyncGroup, "track_bfd", 0, W::Tracks, LATER),
    cmd(W::SyncGroup, "notify", 1, Acted),
    cmd(W::SyncGroup, "notify_master", 1, Acted),
    cmd(W::SyncGroup, "notify_backup", 1, Acted),
    cmd(W::SyncGroup, "notify_fault", 1, Acted),
    cmd(W::SyncGroup, "notify_stop", 1, Acted),
    key(W::SyncGroup, "smtp_alert", 0, 1, ASIDE),
    key(W::SyncGroup, "notify_priority_changes", 0, 1, ASIDE),
    key(W::SyncGroup, "sync_group_tracking_weight", 0, 0, Acted),
    key(W::SyncGroup, "global_tracking", 0, 0, Acted),
    // After an address.
    key(W::AddressWord, "dev", 1, 1, Acted),
    key(W::AddressWord, "brd", 1, 1, Acted),
    key(W::AddressWord, "broadcast", 1, 1, Acted),
    key(W::AddressWord, "scope", 1, 1, Acted),
    key(W::AddressWord, "label", 1, 1, Acted),
    key(W::AddressWord, "-nodad", 0, 0, Acted),
    key(W::AddressWord, "noprefixroute", 0, 0, Acted),
    key(W::AddressWord, "preferred_lft", 1, 1, Acted),
    key(W::AddressWord, "no_track", 0, 0, Acted),
    key(W::AddressWord, "peer", 1, 1, LATER),
    key(W::AddressWord, "home", 0, 0, ASIDE),
    key(W::AddressWord, "mngtmpaddr", 0, 0, ASIDE),
    key(W::AddressWord, "autojoin", 0, 0, ASIDE),
    key(W::AddressWord, "use_vmac", 0, 0, NEEDS_VMAC),
    key(W::AddressWord, "track_group", 1, 1, Acted),
    // After a peer, after a tracked thing.
    key(W::PeerWord, "min_ttl", 1, 1, LATER),
    key(W::PeerWord, "max_ttl", 1, 1, LATER),
    key(W::TrackWord, "weight", 1, 1, Acted),
    key(W::TrackWord, "reverse", 0, 0, Acted),
    key(W::TrackWord, "noreverse", 0, 0, Acted),
];

/// Words inside a route; all of them share the fate of their list.
const ROUTE_WORDS: &str = "to default any all default6 inet inet6 unicast local broadcast brd anycast \
    multicast throw unreachable prohibit blackhole nat xresolve via gw dev oif onlink encap src vrf \
    nexthop or weight table metric priority preference tos dsfield scope protocol from expires pref \
    ttl-propagate realms as mtu advmss rtt rttvar reordering cwnd ssthresh rto_min hoplimit window \
    initcwnd initrwnd features quickack congctl fastopen_no_cookie lock add prepend append no_track \
    track_group";

/// Words inside a rule; all of them share the fate of their list.
const RULE_WORDS: &str = "inet inet6 from to not all iif dev oif fwmark tos dsfield realms tunnel-id \
    uidrange l3mdev ipproto protocol sport dport suppress_prefixlength sup_pl suppress_ifgroup \
    sup_group preference order priority table lookup goto nop blackhole unreachable prohibit type \
    no_track track_group";

static ALL: LazyLock<Vec<Keyword>> = LazyLock::new(|| {
    let words = |within, list: &'static str| {
        list.split_whitespace()
            .map(move |name| key(within, name, 0, MANY, AsBlock))
    };
    TABLE
        .iter()
        .copied()
        .chain(words(W::RouteWord, ROUTE_WORDS))
        .chain(words(W::RuleWord, RULE_WORDS))
        .collect()
});

static INDEX: LazyLock<HashMap<(Within, &'static str), &'static Keyword>> =
    LazyLock::new(|| ALL.iter().map(|k| ((k.within, k.name), k)).collect());

/// Every row.
pub fn all() -> &'static [Keyword] {
    &ALL
}

/// The row of a word where it stands.
pub fn find(within: Within, name: &str) -> Option<&'static Keyword> {
    // The reader takes these wherever they stand.
    INDEX.get(&(within, name)).copied()
}

/// Whether the rest of a line that begins with this word is a command.
pub(super) fn is_command(name: &str) -> bool {
    static COMMANDS: LazyLock<std::collections::HashSet<&'static str>> =
        LazyLock::new(|| ALL.iter().filter(|k| k.command).map(|k| k.name).collect());
    COMMANDS.contains(name)
}

/// Where else a word may stand.
pub(super) fn elsewhere(name: &str) -> Option<Within> {
    ALL.iter()
        .find(|k| k.name == name && !k.within.is_list())
        .map(|k| k.within)
}

/// The allowed word nearest to `name`, if it is near enough to be meant.
pub(super) fn nearest(within: Within, name: &str) -> Option<&'static str> {
    let most = match name.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        10..=64 => 3,
        _ => return None,
    };
    ALL.iter()
        .filter(|k| k.within == within && k.name.len().abs_diff(name.len()) <= most)
        .map(|k| (strsim::osa_distance(name, k.name), k.name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_has_two_rows_in_one_place() {
        assert_eq!(all().len(), INDEX.len());
    }

    #[test]
    fn near_misses_are_looked_for_where_the_word_stands() {
        assert_eq!(nearest(W::Instance, "prority"), Some("priority"));
        assert_eq!(
            nearest(W::Instance, "virtual_ipadress"),
            Some("virtual_ipaddress")
        );
        assert_eq!(nearest(W::Instance, "interval"), None);
        assert_eq!(nearest(W::Script, "intervall"), Some("interval"));
        assert_eq!(nearest(W::Script, "zz"), None);
    }

    #[test]
    fn what_is_unsafe_to_neglect_is_refused() {
        for (within, name) in [
            (W::Instance, "vrf"),
            (W::Instance, "auth_hmac"),
            (W::Instance, "use_vmac"),
            (W::Instance, "use_vmac_addr"),
            (W::Instance, "use_ipvlan"),
            (W::AddressWord, "use_vmac"),
        ] {
            let row = find(within, name).expect("in the table");
            assert!(matches!(row.status, Refused(_)), "{name}");
        }
    }
}
