//! What TOML writes where keepalived writes a keyword: the same names but for a few, and typed values.
//!
//! There is no second table of keywords: what is not named here follows from its row in
//! [`keywords`].

use crate::conf::keywords::{self, Keyword, MANY, Status, Within};

/// How a keyword's words are written in TOML.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::conf) enum Kind {
    /// `true`; `false` is as if it were not there.
    Flag,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Number,
    /// A length of time: `"250ms"`, or a number of seconds.
    Time,
    /// A length of time that keepalived counts in milliseconds.
    Millis,
    /// A string.
    Text,
    /// A string or a whole number.
    Scalar,
    /// `true` or a value of its own.
    Optional,
    /// One value or an array of them.
    Words,
    /// One string with all words, or an array of them.
    Line,
    /// A command: a string, an array of arguments, or a table with a user.
    Command,
    /// A user: a string, or a table with a group.
    User,
    /// A weight, beside which `reverse` may stand.
    Weight,
    /// `init_file`, beside which `overwrite` may stand.
    InitFile,
    /// How a process's parameters are compared.
    Match,
    /// `{ count = 200, within = "60s" }`.
    Rate,
    /// A list of entries.
    List(Within),
    /// A table of keys.
    Table(Within),
}

/// Keys whose name differs: where, the key, the keyword.
const NAMES: &[(Within, &str, &str)] = &[
    (Within::Root, "global", "global_defs"),
    (Within::Root, "script", "vrrp_script"),
    (Within::Root, "instance", "vrrp_instance"),
    (Within::Root, "group", "vrrp_sync_group"),
    (Within::Root, "file", "track_file"),
    (Within::Root, "process", "vrrp_track_process"),
    (Within::Root, "bfd", "bfd_instance"),
    (Within::SyncGroup, "members", "group"),
    (Within::TrackGroup, "members", "group"),
    (Within::AddressWord, "dad", "-nodad"),
];

/// Words of keepalived for which TOML has one name only.
const LEGACY: &[(&str, &str)] = &[
    ("broadcast", "brd"),
    ("thread_timer_expired", "timer_expired_backup"),
    ("vmac_garp_intvl", "garp_extra_if"),
    ("vrrp_vmac_garp_intvl", "vrrp_garp_extra_if"),
    ("vrrp_rlimit_rtime", "vrrp_rlimit_rttime"),
    ("vrrp_track_file", "file"),
    ("neighbour_ip", "neighbor_ip"),
    ("hoplimit", "ttl"),
    ("noreverse", "reverse"),
    ("global_tracking", "sync_group_tracking_weight"),
    ("enable_snmp_keepalived", "enable_snmp_vrrp"),
];

/// Keywords that are for the reader of the keepalived language alone.
const READERS: &[&str] = &[
    "include",
    "includer",
    "includem",
    "includew",
    "includeb",
    "includea",
    "include_check",
    "random_seed",
];

/// Why a key is no key.
pub(super) enum No {
    /// TOML calls it so.
    Write(&'static str),
    /// keepalived has it, here it means nothing.
    Nothing(&'static str),
    /// It is for the keepalived language alone.
    Reader,
    /// Load balancing.
    Lvs,
    /// Nobody knows it.
    Unknown,
}

/// The row of a key where it stands.
pub(super) fn find(within: Within, key: &str) -> Result<&'static Keyword, No> {
    let renamed = NAMES.iter().find(|(w, k, _)| *w == within && *k == key);
    if let Some((_, _, keyword)) = renamed {
        return keywords::find(within, keyword).ok_or(No::Unknown);
    }
    let Some(row) = keywords::find(within, key) else {
        return Err(No::Unknown);
    };
    if let Some((_, name, _)) = NAMES.iter().find(|(w, _, k)| *w == within && *k == key) {
        return Err(No::Write(name));
    }
    if let Some((_, name)) = LEGACY.iter().find(|(legacy, _)| *legacy == key)
        && keywords::find(within, name).is_some()
    {
        return Err(No::Write(name));
    }
    if key == "vrrp_track_file" {
        return Err(No::Write("file"));
    }
    if READERS.contains(&key) {
        return Err(No::Reader);
    }
    match row.status {
        Status::NoEffect(why) => Err(No::Nothing(why)),
        Status::Lvs => Err(No::Lvs),
        Status::Acted | Status::AsBlock | Status::NotYet { .. } | Status::Refused(_) => Ok(row),
    }
}

/// What TOML calls a keyword.
pub(in crate::conf) fn key(row: &Keyword) -> &'static str {
    NAMES
        .iter()
        .find(|(within, _, keyword)| *within == row.within && *keyword == row.name)
        .map_or(row.name, |(_, key, _)| key)
}

/// Every key that may stand somewhere.
pub(super) fn keys(within: Within) -> impl Iterator<Item = &'static str> {
    keywords::all()
        .iter()
        .filter(move |row| row.within == within)
        .map(key)
        .filter(move |key| find(within, key).is_ok())
}

/// How its words are written.
pub(in crate::conf) fn kind(row: &Keyword) -> Kind {
    if let Some(within) = row.block {
        return if within.is_list() {
            Kind::List(within)
        } else {
            Kind::Table(within)
        };
    }
    if row.command {
        return Kind::Command;
    }
    match (row.within, row.name) {
        (Within::Script | Within::TrackFile | Within::TrackProcess | Within::Bfd, "weight") => {
            Kind::Weight
        }
        (Within::Script, "check") => Kind::Line,
        (Within::Script, "user") | (Within::Global, "script_user") => Kind::User,
        (Within::TrackFile, "init_file") => Kind::InitFile,
        (Within::TrackProcess, "param_match") => Kind::Match,
        (Within::Global, "vip_restore_limit") => Kind::Rate,
        (Within::Bfd, "min_rx" | "min_tx" | "idle_tx") => Kind::Millis,
        (_, name) if TIMES.contains(&name) => Kind::Time,
        (_, name) if NUMBERS.contains(&name) => Kind::Number,
        (_, name) if OPTIONAL.contains(&name) => Kind::Optional,
        (_, name) if TEXTS.contains(&name) => Kind::Text,
        _ => match (row.min, row.max) {
            (_, 0) => Kind::Flag,
            (0, 1) => Kind::Truth,
            (1, 1) => Kind::Scalar,
            (_, MANY) | (_, _) => Kind::Words,
        },
    }
}

/// Keywords with a length of time in seconds.
const TIMES: &[&str] = &[
    "advert_int",
    "preempt_delay",
    "interval",
    "timeout",
    "lease",
    "fork_delay",
    "half_life",
    "terminate_delay",
    "delay",
    "garp_interval",
    "gna_interval",
    "garp_master_delay",
    "garp_master_refresh",
    "garp_lower_prio_delay",
    "vrrp_garp_interval",
    "vrrp_gna_interval",
    "vrrp_garp_master_delay",
    "vrrp_garp_master_refresh",
    "vrrp_garp_lower_prio_delay",
    "vrrp_startup_delay",
    "vrrp_delay_after_boot",
    "smtp_connect_timeout",
    "startup_script_timeout",
    "shutdown_script_timeout",
    "time_window",
];

/// Keywords with a whole number.
const NUMBERS: &[&str] = &[
    "priority",
    "virtual_router_id",
    "version",
    "vrrp_version",
    "down_timer_adverts",
    "vrrp_down_timer_adverts",
    "garp_master_repeat",
    "garp_master_refresh_repeat",
    "garp_lower_prio_repeat",
    "vrrp_garp_master_repeat",
    "vrrp_garp_master_refresh_repeat",
    "vrrp_garp_lower_prio_repeat",
    "vrrp_priority",
    "vrrp_rt_priority",
    "vrrp_rlimit_rttime",
    "min_auto_priority_delay",
    "weight",
    "rise",
    "fall",
    "rise_when_backup",
    "fall_when_master",
    "suppress",
    "reuse",
    "quorum",
    "quorum_max",
    "unicast_ttl",
    "min_ttl",
    "max_ttl",
    "multiplier",
    "ttl",
    "max_hops",
    "kernel_rx_buf_size",
    "json_version",
    "nftables_priority",
    "vrrp_rx_bufs_multiplier",
    "active_key",
    "journal_keep",
];

/// Keywords that may stand alone or with a value that is no truth value.
const OPTIONAL: &[&str] = &[
    "timer_expired_backup",
    "max_auto_priority",
    "dynamic_interfaces",
    "reload_file",
    "reload_check_config",
    "nftables",
    "old_unicast_checksum",
    "debug",
];

/// Keywords whose word is text even if it looks like a number.
const TEXTS: &[&str] = &[
    "router_id",
    "control_group",
    "state",
    "interface",
    "auth_type",
    "auth_pass",
    "dev",
    "label",
    "vip_mismatch",
    "track_handover",
    "script_unusable",
    "all_failed",
    "net_namespace",
    "track_group",
    "default_interface",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_keys_and_typed_names_stand_in_the_table() {
        for (within, _, keyword) in NAMES {
            assert!(keywords::find(*within, keyword).is_some(), "{keyword}");
        }
        let known = |name: &str| keywords::all().iter().any(|row| row.name == name);
        for list in [TIMES, NUMBERS, OPTIONAL, READERS] {
            for name in list {
                assert!(known(name), "{name} is in no row");
            }
        }
        for (legacy, _) in LEGACY {
            assert!(known(legacy), "{legacy} is in no row");
        }
    }

    #[test]
    fn one_thing_has_one_name() {
        let refused = |within, key: &str| find(within, key).is_err();
        assert!(refused(Within::Root, "vrrp_instance"));
        assert!(refused(Within::Root, "vrrp_track_file"));
        assert!(refused(Within::AddressWord, "broadcast"));
        assert!(refused(Within::AddressWord, "-nodad"));
        assert!(refused(Within::Instance, "thread_timer_expired"));
        assert!(refused(Within::Global, "dynamic_interfaces"));
        assert!(refused(Within::Root, "include"));
        assert!(find(Within::Root, "instance").is_ok());
        assert!(find(Within::Instance, "priority").is_ok());
    }

    #[test]
    fn a_key_leads_back_to_its_keyword() {
        for row in keywords::all() {
            let taken = |(within, key, keyword): &(Within, &str, &str)| {
                *within == row.within && *key == row.name && *keyword != row.name
            };
            // The key belongs to another keyword, which has the better claim to it.
            if NAMES.iter().any(taken) {
                continue;
            }
            if let Ok(found) = find(row.within, key(row)) {
                assert_eq!(found.name, row.name);
            }
        }
    }
}
