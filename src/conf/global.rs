//! `global_defs`: what concerns the program, and what instances take over where they say nothing.

use super::all_failed;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::extras;
use super::keywords::{self, Within};
use super::lexer::Word;
use super::script::run_as;
use super::value::{self, Junk};
use crate::model::ids::Version;
use crate::model::settings::{
    AllFailed, GarpSettings, GlobalSettings, Handover, JournalKeep, RestoreLimit, RunAs,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The VRRP groups; another one is not acted on yet.
pub(super) const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// See [`GROUP4`].
pub(super) const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The longest delay in seconds that keepalived can count in microseconds.
const LONGEST: u64 = 4294;
/// Events that the journal can be told to keep.
const LEAST_KEPT: u32 = 16;
const MOST_KEPT: u32 = 1_000_000;

/// What `global_defs` say.
pub(super) struct Global {
    /// The part that is kept as it is.
    pub(super) settings: GlobalSettings,
    /// `vrrp_version`.
    pub(super) version: Version,
    /// `vrrp_garp_*`; the two of lower priority only if given.
    pub(super) garp: Garp,
    /// `vrrp_down_timer_adverts`.
    pub(super) down_adverts: u8,
    /// `vrrp_lower_prio_no_advert`.
    pub(super) lower_prio_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`.
    pub(super) higher_prio_send_advert: bool,
    /// `vrrp_owner_ignore_adverts`.
    pub(super) owner_ignore_adverts: bool,
    /// `vrrp_check_unicast_src`.
    pub(super) check_unicast_src: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub(super) skip_check_addrs: bool,
    /// `vrrp_strict`.
    pub(super) strict: bool,
    /// `v3_checksum_as_v2`.
    pub(super) checksum_as_v2: bool,
    /// `vip_mismatch drop`.
    pub(super) drop_mismatch: bool,
    /// `track_handover`.
    pub(super) handover: Handover,
    /// `all_failed`.
    pub(super) all_failed: AllFailed,
    /// `script_user`.
    pub(super) script_user: Option<RunAs>,
    /// `default_interface`: where static addresses belong that name none.
    pub(super) default_interface: Option<Box<str>>,
}

/// Announcement settings, each only if given.
#[derive(Clone, Copy, Default)]
pub(super) struct Garp {
    /// `garp_master_delay`.
    pub(super) delay: Option<Duration>,
    /// `garp_master_repeat`.
    pub(super) repeat: Option<u32>,
    /// `garp_master_refresh`.
    pub(super) refresh: Option<Duration>,
    /// `garp_master_refresh_repeat`.
    pub(super) refresh_repeat: Option<u32>,
    /// `garp_lower_prio_delay`.
    pub(super) lower_delay: Option<Duration>,
    /// `garp_lower_prio_repeat`.
    pub(super) lower_repeat: Option<u32>,
}

impl Garp {
    /// Reads one keyword without its `vrrp_` and `garp_`; `false` if it is not one of these.
    pub(super) fn read(&mut self, name: &str, word: &Word, arg: &Word, diags: &mut Diags) -> bool {
        match name {
            "master_delay" => self.delay = delay(word, arg, LONGEST, diags).or(self.delay),
            "master_repeat" => self.repeat = rounds(word, arg, 1, diags).or(self.repeat),
            "master_refresh" => {
                self.refresh = delay(word, arg, u64::from(u32::MAX), diags).or(self.refresh);
            }
            "master_refresh_repeat" => {
                self.refresh_repeat = rounds(word, arg, 1, diags).or(self.refresh_repeat);
            }
            "lower_prio_delay" => {
                self.lower_delay = delay(word, arg, LONGEST, diags).or(self.lower_delay);
            }
            "lower_prio_repeat" => {
                self.lower_repeat = rounds(word, arg, 0, diags).or(self.lower_repeat);
            }
            _ => return false,
        }
        true
    }

    /// `vrrp_min_garp`: what was not given becomes the least.
    fn minimal(&mut self) {
        self.delay.get_or_insert(Duration::ZERO);
        self.repeat.get_or_insert(1);
        self.refresh.get_or_insert(Duration::ZERO);
        self.refresh_repeat.get_or_insert(1);
    }

    /// An instance's own over these; the two of lower priority fall back to the instance's others.
    pub(super) fn settle(&self, own: &Self) -> GarpSettings {
        let default = GarpSettings::default();
        let delay = own.delay.or(self.delay).unwrap_or(default.delay);
        let repeat = own.repeat.or(self.repeat).unwrap_or(default.repeat);
        GarpSettings {
            delay,
            repeat,
            refresh: own.refresh.or(self.refresh).unwrap_or(default.refresh),
            refresh_repeat: own
                .refresh_repeat
                .or(self.refresh_repeat)
                .unwrap_or(default.refresh_repeat),
            lower_delay: own.lower_delay.or(self.lower_delay).unwrap_or(delay),
            lower_repeat: own.lower_repeat.or(self.lower_repeat).unwrap_or(repeat),
        }
    }
}

fn delay(word: &Word, arg: &Word, most: u64, diags: &mut Diags) -> Option<Duration> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let n = value::integer(word, arg, 0..=most, Junk::Cut, diags)?;
    u64::try_from(n).ok().map(Duration::from_secs)
}

fn rounds(word: &Word, arg: &Word, least: u32, diags: &mut Diags) -> Option<u32> {
    let n = value::integer(word, arg, 0..=i64::from(u32::MAX), Junk::Cut, diags)?;
    let n = u32::try_from(n).ok()?;
    if n < least {
        let what = format!("{} cannot be 0; it is read as 1", word.text);
        diags.push(Diagnostic::warning("raised", arg.span, what));
    }
    Some(n.max(least))
}

/// `2` or `3`.
pub(super) fn version(word: &Word, arg: &Word, diags: &mut Diags) -> Option<Version> {
    match value::integer(word, arg, 2..=3, Junk::Cut, diags)? {
        2 => Some(Version::V2),
        _ => Some(Version::V3),
    }
}

/// `vip_mismatch drop` or `heed`: whether to drop.
pub(super) fn mismatch(arg: &Word, diags: &mut Diags) -> Option<bool> {
    match &*arg.text {
        "drop" => Some(true),
        "heed" => Some(false),
        other => {
            diags.push(
                Diagnostic::error(
                    "bad-value",
                    arg.span,
                    format!("`{other}` is not known to vip_mismatch"),
                )
                .help("expected drop or heed"),
            );
            None
        }
    }
}

/// `track_handover confirmed`, `always` or `off`.
pub(super) fn handover(arg: &Word, diags: &mut Diags) -> Option<Handover> {
    match &*arg.text {
        "confirmed" => Some(Handover::Confirmed),
        "always" => Some(Handover::Always),
        "off" => Some(Handover::Off),
        other => {
            diags.push(
                Diagnostic::error(
                    "bad-value",
                    arg.span,
                    format!("`{other}` is not known to track_handover"),
                )
                .help("expected confirmed, always or off"),
            );
            None
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            settings: GlobalSettings::default(),
            version: Version::V2,
            garp: Garp::default(),
            down_adverts: 3,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            owner_ignore_adverts: false,
            check_unicast_src: false,
            skip_check_addrs: false,
            strict: false,
            checksum_as_v2: false,
            drop_mismatch: false,
            handover: Handover::default(),
            all_failed: AllFailed::default(),
            script_user: None,
            default_interface: None,
        }
    }
}

impl Global {
    /// Reads one `global_defs` block; there may be several.
    pub(super) fn read(&mut self, node: &Node, diags: &mut Diags) {
        for child in node.children() {
            if let (Some((word, args)), Some(row)) = (child.words.split_first(), child.row)
                && args.len() >= usize::from(row.min)
            {
                self.keyword(word, args, diags);
            }
        }
    }

    fn keyword(&mut self, word: &Word, args: &[Word], diags: &mut Diags) {
        let Some(arg) = args.first() else {
            return self.flag(word, None, diags);
        };
        let name = &*word.text;
        if let Some(rest) = name.strip_prefix("vrrp_garp_")
            && self.garp.read(rest, word, arg, diags)
        {
            return;
        }
        let settings = &mut self.settings;
        match name {
            "router_id" => settings.router_id = Some(arg.text.clone().into()),
            "control_group" => settings.control_group = Some(arg.text.clone().into()),
            "default_interface" => {
                if value::interface(arg, diags) {
                    self.default_interface = Some(arg.text.clone());
                }
            }
            "vrrp_version" => self.version = version(word, arg, diags).unwrap_or(self.version),
            "vrrp_down_timer_adverts" => {
                if let Some(n) = down_adverts(word, arg, diags) {
                    self.down_adverts = n;
                }
            }
            "vrrp_garp_interval" => {
                if let Some(time) = value::seconds(word, arg, 1..=LONGEST * 1_000_000, 6, diags) {
                    settings.garp_interval = time;
                }
            }
            "vrrp_gna_interval" => {
                if let Some(time) = value::seconds(word, arg, 1..=LONGEST * 1_000_000, 6, diags) {
                    settings.gna_interval = time;
                }
            }
            "vrrp_startup_delay" => {
                let range = 1_000..=LONGEST * 1_000_000;
                if let Some(time) = value::seconds(word, arg, range, 6, diags) {
                    settings.startup_delay = time;
                }
            }
            "vrrp_delay_after_boot" => {
                if let Some(time) = value::seconds(word, arg, 0..=LONGEST * 1_000_000, 6, diags) {
                    settings.delay_after_boot = time;
                }
            }
            "script_user" => self.script_user = run_as(args).or(self.script_user.take()),
            "vip_mismatch" => {
                self.drop_mismatch = mismatch(arg, diags).unwrap_or(self.drop_mismatch);
            }
            "track_handover" => self.handover = handover(arg, diags).unwrap_or(self.handover),
            "script_unusable" => {
                let before = settings.unusable_faults;
                settings.unusable_faults = extras::unusable(arg, diags).unwrap_or(before);
            }
            "all_failed" => {
                self.all_failed = all_failed::read(arg, diags).unwrap_or(self.all_failed);
            }
            "journal_keep" => {
                let range = i64::from(LEAST_KEPT)..=i64::from(MOST_KEPT);
                let kept = value::integer(word, arg, range, Junk::Refuse, diags);
                if let Some(n) = kept.and_then(|n| u32::try_from(n).ok()) {
                    settings.journal_keep = JournalKeep(n);
                }
            }
            "vip_restore_limit" => self.restore_limit(word, args, diags),
            "vrrp_mcast_group4" | "vrrp_mcast_group6" => group(word, arg, diags),
            _ if self.process(word, args, arg, diags) => {}
            _ => self.flag(word, Some(arg), diags),
        }
    }

    fn restore_limit(&mut self, word: &Word, args: &[Word], diags: &mut Diags) {
        let number = |arg: Option<&Word>, diags: &mut Diags| {
            value::integer(word, arg?, 1..=i64::from(u32::MAX), Junk::Refuse, diags)
        };
        let count = number(args.first(), diags).and_then(|n| u32::try_from(n).ok());
        let within = number(args.get(1), diags).and_then(|n| u64::try_from(n).ok());
        if let (Some(count), Some(within)) = (count, within) {
            self.settings.restore_limit = RestoreLimit {
                count,
                within: Duration::from_secs(within),
            };
        }
    }

    /// How the engine asks to be scheduled; `false` if the keyword is another.
    fn process(&mut self, word: &Word, args: &[Word], arg: &Word, diags: &mut Diags) -> bool {
        let process = &mut self.settings.process;
        match &*word.text {
            "vrrp_rt_priority" => {
                if let Some(n) = clamped(word, arg, 1, 99, diags) {
                    process.rt_priority = u8::try_from(n).ok();
                }
            }
            "vrrp_priority" => {
                if let Some(n) = clamped(word, arg, -20, 19, diags) {
                    process.nice = i8::try_from(n).ok();
                }
            }
            "vrrp_cpu_affinity" => {
                for arg in args {
                    let n = value::integer(word, arg, 0..=8191, Junk::Refuse, diags);
                    process.cpus.extend(n.and_then(|n| u16::try_from(n).ok()));
                }
                process.cpus.sort_unstable();
                process.cpus.dedup();
            }
            "vrrp_rlimit_rttime" | "vrrp_rlimit_rtime" => {
                let n = value::integer(word, arg, 2..=i64::MAX, Junk::Cut, diags);
                process.rttime = n.and_then(|n| u64::try_from(n).ok()).or(process.rttime);
            }
            _ => return false,
        }
        true
    }

    fn flag(&mut self, word: &Word, arg: Option<&Word>, diags: &mut Diags) {
        let target = match &*word.text {
            "vrrp_lower_prio_no_advert" => &mut self.lower_prio_no_advert,
            "vrrp_higher_prio_send_advert" => &mut self.higher_prio_send_advert,
            "vrrp_owner_ignore_adverts" => &mut self.owner_ignore_adverts,
            "vrrp_check_unicast_src" => &mut self.check_unicast_src,
            "vrrp_skip_check_adv_addr" => &mut self.skip_check_addrs,
            "vrrp_strict" => &mut self.strict,
            "v3_checksum_as_v2" => &mut self.checksum_as_v2,
            "log_unknown_vrids" => {
                self.settings.log_unknown_vrids = true;
                return;
            }
            "enable_script_security" => {
                self.settings.script_security = true;
                return;
            }
            "vrrp_no_swap" => {
                self.settings.process.no_swap = true;
                return;
            }
            "vrrp_min_garp" => {
                if value::boolean(word, arg, diags) == Some(true) {
                    self.garp.minimal();
                }
                return;
            }
            _ => return,
        };
        if let Some(on) = value::boolean(word, arg, diags) {
            *target = on;
        }
    }
}

/// `down_timer_adverts`.
pub(super) fn down_adverts(word: &Word, arg: &Word, diags: &mut Diags) -> Option<u8> {
    let n = value::integer(word, arg, 1..=100, Junk::Cut, diags)?;
    u8::try_from(n).ok()
}

fn clamped(word: &Word, arg: &Word, low: i64, high: i64, diags: &mut Diags) -> Option<i64> {
    let n = value::integer(word, arg, -1_000_000..=1_000_000, Junk::Cut, diags)?;
    let near = n.clamp(low, high);
    if near != n {
        diags.push(
            Diagnostic::error(
                "out-of-range",
                arg.span,
                format!("{} {n} is out of range; {near} is used", word.text),
            )
            .help(format!("expected a whole number from {low} to {high}")),
        );
    }
    Some(near)
}

/// Another multicast group than the standard's is refused until it is acted on.
fn group(word: &Word, arg: &Word, diags: &mut Diags) {
    let Some(addr) = value::address(&*word.text, arg, diags) else {
        return;
    };
    let fits = matches!(
        (&*word.text, addr),
        ("vrrp_mcast_group4", IpAddr::V4(_)) | ("vrrp_mcast_group6", IpAddr::V6(_))
    );
    if !fits || !addr.is_multicast() {
        let what = format!("{addr} is no multicast group of this family; the standard's is used");
        diags.push(Diagnostic::error("bad-group", arg.span, what));
        return;
    }
    if addr != IpAddr::V4(GROUP4) && addr != IpAddr::V6(GROUP6) {
        diags.push(other_group(Within::Global, word, arg));
    }
}

/// The refusal of another group than 224.0.0.18 or ff02::12.
pub(super) fn other_group(within: Within, word: &Word, arg: &Word) -> Diagnostic {
    let name = keywords::find(within, &word.text).map_or("mcast_dst_ip", |row| row.name);
    Diagnostic::refusal(
        "refused",
        arg.span,
        format!(
            "{name} is not acted on yet with another group than {GROUP4} or {GROUP6}, and would be unsafe to \
             neglect: peers would not hear us, nor we them"
        ),
    )
    .help("keep keepalived for this file until it is acted on, or take the keyword out")
    .unacted(name)
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read};
    use super::*;

    fn settings(lines: &str) -> (GlobalSettings, Vec<&'static str>) {
        let loaded = read(&format!("global_defs {{\n{lines}\n}}\n"));
        let codes = codes(&loaded);
        (loaded.settings.expect("usable").global, codes)
    }

    #[test]
    fn what_concerns_the_program_is_kept() {
        let (g, codes) = settings(
            "router_id r\ncontrol_group adm\nvrrp_startup_delay 0.5\nvrrp_delay_after_boot 30\n\
             vrrp_garp_interval 0.001\nvrrp_gna_interval 0.000002\nlog_unknown_vrids\nenable_script_security\n\
             vip_restore_limit 5 10\njournal_keep 1000000",
        );
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!(g.router_id.as_deref(), Some("r"));
        assert_eq!(g.control_group.as_deref(), Some("adm"));
        assert_eq!(g.startup_delay, Duration::from_millis(500));
        assert_eq!(g.delay_after_boot, Duration::from_secs(30));
        assert_eq!(g.garp_interval, Duration::from_millis(1));
        assert_eq!(g.gna_interval, Duration::from_micros(2));
        assert_eq!(g.journal_keep, JournalKeep(1_000_000));
        assert!(g.log_unknown_vrids && g.script_security);
        assert_eq!(
            (g.restore_limit.count, g.restore_limit.within),
            (5, Duration::from_secs(10))
        );
    }

    #[test]
    fn the_journal_keeps_at_least_16_and_at_most_a_million_events() {
        for wrong in ["15", "1000001", "many", "-1"] {
            let (g, codes) = settings(&format!("journal_keep {wrong}"));
            assert_eq!(g.journal_keep.0, 1024, "{wrong}");
            assert_eq!(codes.len(), 1, "{wrong}: {codes:?}");
        }
        assert_eq!(settings("journal_keep 16").0.journal_keep.0, 16);
    }

    #[test]
    fn scheduling_is_clamped_to_what_can_be() {
        let (g, codes) = settings(
            "vrrp_rt_priority 200\nvrrp_priority -99\nvrrp_no_swap\nvrrp_cpu_affinity 2 0 2\nvrrp_rlimit_rttime 5000",
        );
        assert_eq!(g.process.rt_priority, Some(99));
        assert_eq!(g.process.nice, Some(-20));
        assert_eq!(g.process.cpus, [0, 2]);
        assert_eq!((g.process.no_swap, g.process.rttime), (true, Some(5000)));
        assert_eq!(codes, ["out-of-range", "out-of-range"]);
    }

    #[test]
    fn several_blocks_add_up() {
        let loaded = read("global_defs {\nrouter_id a\n}\nglobal_defs {\nlog_unknown_vrids\n}\n");
        let global = loaded.settings.expect("usable").global;
        assert_eq!(global.router_id.as_deref(), Some("a"));
        assert!(global.log_unknown_vrids);
    }

    #[test]
    fn another_group_is_refused_and_the_standards_is_not() {
        assert!(
            read("global_defs {\nvrrp_mcast_group4 224.0.0.99\n}\n")
                .settings
                .is_none()
        );
        assert!(
            settings("vrrp_mcast_group4 224.0.0.18\nvrrp_mcast_group6 ff02::12")
                .1
                .is_empty()
        );
    }
}
