//! From what a configuration means to the lines that say so.

use super::defaults::Defaults;
use super::given::Given;
use super::words::command_line;
use super::{Item, links, router, row};
use crate::conf::keywords::Within;
use crate::conf::value::plain;
use crate::model::settings::{
    CheckSettings, Command, ExternalSettings, FileSettings, GlobalSettings, GroupSettings,
    JournalKeep, NotifySettings, ParamMatch, ProcessTrackSettings, RestoreLimit, RunAs, Settings,
    Thresholds,
};
use std::sync::Arc;
use std::time::Duration;

/// The lines of one block.
pub(super) struct Lines {
    within: Within,
    items: Vec<Item>,
}

impl Lines {
    /// The lines themselves.
    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }

    pub(super) fn new(within: Within) -> Self {
        Self {
            within,
            items: Vec::new(),
        }
    }

    /// Adds a line; `needless` if it says what would hold anyway.
    pub(super) fn put(&mut self, name: &'static str, words: Vec<String>, needless: bool) {
        let mut item = Item {
            words: vec![name.to_owned()],
            row: row(self.within, name),
            needless,
            ..Item::default()
        };
        item.words.extend(words);
        self.items.push(item);
    }

    /// A line with one word.
    pub(super) fn one(&mut self, name: &'static str, word: impl ToString, needless: bool) {
        self.put(name, vec![word.to_string()], needless);
    }

    /// A length of time in seconds.
    pub(super) fn time(&mut self, name: &'static str, time: Duration, needless: bool) {
        self.one(name, seconds(time), needless);
    }

    /// A keyword that stands alone, if it is to stand there.
    pub(super) fn flag(&mut self, name: &'static str, on: bool) {
        if on {
            self.put(name, Vec::new(), false);
        }
    }

    /// A list, if it has entries.
    pub(super) fn list(&mut self, name: &'static str, entries: Vec<Vec<String>>) {
        self.entries(name, entries.into_iter().map(Item::entry).collect());
    }

    /// The same, with entries that are more than words.
    pub(super) fn entries(&mut self, name: &'static str, entries: Vec<Item>) {
        if entries.is_empty() {
            return;
        }
        self.put(name, Vec::new(), false);
        if let Some(item) = self.items.last_mut() {
            item.block = Some(entries);
        }
    }

    /// A block inside this one.
    pub(super) fn block(&mut self, name: &'static str, lines: Lines) {
        self.put(name, Vec::new(), false);
        if let Some(item) = self.items.last_mut() {
            item.block = Some(lines.items);
        }
    }

    /// A command, with its user unless that is everybody's.
    pub(super) fn command(
        &mut self,
        name: &'static str,
        command: &Command,
        default: Option<&RunAs>,
    ) {
        let mut words = vec![command_line(&command.argv)];
        if command.user.as_ref() != default {
            words.extend(command.user.iter().flat_map(user));
        }
        self.put(name, words, false);
    }

    pub(super) fn notify(&mut self, notify: &NotifySettings, default: Option<&RunAs>) {
        let NotifySettings {
            master,
            backup,
            fault,
            stop,
            deleted,
            lower_advert,
            any,
        } = notify;
        for (name, command) in [
            ("notify_master", master),
            ("notify_backup", backup),
            ("notify_fault", fault),
            ("notify_stop", stop),
            ("notify_master_rx_lower_pri", lower_advert),
            ("notify", any),
        ] {
            if let Some(command) = command {
                self.command(name, command, default);
            }
        }
        match deleted {
            Some(Some(command)) => self.command("notify_deleted", command, default),
            Some(None) => self.put("notify_deleted", Vec::new(), false),
            None => {}
        }
    }
}

/// Seconds with up to six decimal places.
pub(super) fn seconds(time: Duration) -> String {
    plain(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// User and group as words.
fn user(run_as: &RunAs) -> Vec<String> {
    let mut words = vec![run_as.user.to_string()];
    words.extend(run_as.group.iter().map(ToString::to_string));
    words
}

/// All lines, those included that say what would hold anyway.
pub(super) fn items(settings: &Settings, given: &Given) -> Vec<Item> {
    let defaults = Defaults::of(settings, given);
    let Settings {
        global: program,
        checks,
        files,
        processes,
        routers,
        groups,
        links: _,
        statics: _,
        track_groups: _,
    } = settings;
    let mut items = links::bare(settings);
    let global = global(program, &defaults);
    if !global.items.is_empty() {
        items.push(top("global_defs", None, global));
    }
    items.extend(links::blocks(settings));
    // What only stands in for an undefined script was never written.
    let defined =
        |check: &&Arc<CheckSettings>| check.probe.is_some() || !check.command.argv.is_empty();
    for check in checks.iter().filter(defined) {
        let lines = script(check, &defaults);
        let mut item = top("vrrp_script", Some(&check.name), lines);
        // keepalived would miss the program.
        item.ours = check.probe.is_some() || check.external.is_some();
        items.push(item);
    }
    for one in files {
        let mut item = top("track_file", Some(&one.name), file(one));
        // keepalived would miss the file.
        item.ours = one.external.is_some();
        items.push(item);
    }
    for one in processes {
        items.push(top("vrrp_track_process", Some(&one.name), process(one)));
    }
    for router in routers {
        let lines = router::lines(router, settings, &defaults);
        items.push(top("vrrp_instance", Some(&router.name), lines));
    }
    for one in groups {
        let lines = group(one, settings, &defaults);
        items.push(top("vrrp_sync_group", Some(&one.name), lines));
    }
    items
}

pub(super) fn top(name: &'static str, called: Option<&str>, lines: Lines) -> Item {
    let mut words = vec![name.to_owned()];
    words.extend(called.map(str::to_owned));
    let needless = name == "global_defs" && lines.items.iter().all(|item| item.needless);
    Item {
        row: row(Within::Root, name),
        words,
        block: Some(lines.items),
        needless,
        ..Item::default()
    }
}

fn global(global: &GlobalSettings, defaults: &Defaults) -> Lines {
    let GlobalSettings {
        router_id,
        startup_delay,
        delay_after_boot,
        garp_interval,
        gna_interval,
        // It stands at the top level.
        net_namespace: _,
        log_unknown_vrids,
        script_security,
        unusable_faults,
        control_group,
        journal_keep,
        restore_limit,
        process,
    } = global;
    let mut lines = Lines::new(Within::Global);
    if let Some(id) = router_id {
        lines.one("router_id", id, false);
    }
    lines.flag("enable_script_security", *script_security);
    if *unusable_faults {
        lines.one("script_unusable", "fault", false);
    }
    if let Some(run_as) = &defaults.script_user {
        lines.put("script_user", user(run_as), false);
    }
    defaults.lines(&mut lines);
    for (name, time) in [
        ("vrrp_startup_delay", startup_delay),
        ("vrrp_delay_after_boot", delay_after_boot),
        ("vrrp_garp_interval", garp_interval),
        ("vrrp_gna_interval", gna_interval),
    ] {
        if !time.is_zero() {
            lines.time(name, *time, false);
        }
    }
    lines.flag("log_unknown_vrids", *log_unknown_vrids);
    if let Some(priority) = process.rt_priority {
        lines.one("vrrp_rt_priority", priority, false);
    }
    if let Some(nice) = process.nice {
        lines.one("vrrp_priority", nice, false);
    }
    lines.flag("vrrp_no_swap", process.no_swap);
    if !process.cpus.is_empty() {
        let cpus = process.cpus.iter().map(ToString::to_string).collect();
        lines.put("vrrp_cpu_affinity", cpus, false);
    }
    if let Some(micros) = process.rttime {
        lines.one("vrrp_rlimit_rttime", micros, false);
    }
    if let Some(group) = control_group {
        lines.one("control_group", group, false);
    }
    let needless = *journal_keep == JournalKeep::default();
    lines.one("journal_keep", journal_keep.0, needless);
    let words = vec![
        restore_limit.count.to_string(),
        seconds(restore_limit.within),
    ];
    let needless = *restore_limit == RestoreLimit::default();
    lines.put("vip_restore_limit", words, needless);
    lines
}

fn script(check: &CheckSettings, defaults: &Defaults) -> Lines {
    // Whether it can be used is found out anew by whoever reads the file.
    let CheckSettings {
        name: _,
        command,
        probe,
        external: fed,
        interval,
        timeout,
        weight,
        reverse,
        rise,
        fall,
        init_fail,
        thresholds,
        unusable: _,
    } = check;
    let mut lines = Lines::new(Within::Script);
    match probe {
        None if fed.is_some() => external(fed.as_ref(), &mut lines),
        None => lines.put("script", vec![command_line(&command.argv)], false),
        // The words that describe it begin with the keyword.
        Some(_) => {
            let words = command.argv.iter().skip(1).map(ToString::to_string);
            lines.put("check", words.collect(), false);
        }
    }
    if fed.is_none() {
        lines.time("interval", *interval, *interval == Duration::from_secs(1));
        lines.time("timeout", *timeout, timeout == interval);
    }
    let words = weighted(weight.get(), *reverse);
    lines.put("weight", words, weight.get() == 0 && !reverse);
    lines.one("rise", rise, *rise == 1);
    lines.one("fall", fall, *fall == 1);
    lines.flag("init_fail", *init_fail);
    let Thresholds {
        window,
        rise_when_backup,
        fall_when_master,
    } = thresholds;
    if let Some(window) = window {
        let words = vec![window.failures.to_string(), window.of.to_string()];
        lines.put("window", words, false);
    }
    if let Some(times) = rise_when_backup {
        lines.one("rise_when_backup", times, false);
    }
    if let Some(times) = fall_when_master {
        lines.one("fall_when_master", times, false);
    }
    if let Some(run_as) = &command.user {
        let needless = defaults.script_user.as_ref() == Some(run_as);
        lines.put("user", user(run_as), needless);
    }
    lines
}

/// What is said of reports.
fn external(fed: Option<&ExternalSettings>, lines: &mut Lines) {
    let Some(ExternalSettings { lease, user }) = fed else {
        return;
    };
    lines.flag("external", true);
    if let Some(lease) = lease {
        lines.time("lease", *lease, false);
    }
    if let Some(user) = user {
        lines.one("user", user, false);
    }
}

/// A default weight and its direction.
fn weighted(weight: i16, reverse: bool) -> Vec<String> {
    let mut words = vec![weight.to_string()];
    words.extend(reverse.then(|| "reverse".to_owned()));
    words
}

fn file(file: &FileSettings) -> Lines {
    let FileSettings {
        name: _,
        path,
        weight,
        reverse,
        init,
        overwrite,
        external: fed,
    } = file;
    let mut lines = Lines::new(Within::TrackFile);
    if fed.is_none() {
        lines.one("file", path, false);
    }
    external(fed.as_ref(), &mut lines);
    lines.put(
        "weight",
        weighted(*weight, *reverse),
        *weight == 1 && !reverse,
    );
    if let Some(value) = init {
        let mut words = vec![value.to_string()];
        words.extend(overwrite.then(|| "overwrite".to_owned()));
        lines.put("init_file", words, false);
    }
    lines
}

fn process(process: &ProcessTrackSettings) -> Lines {
    let ProcessTrackSettings {
        name: _,
        process,
        params,
        matching,
        full_command,
        weight,
        reverse,
        quorum,
        quorum_max,
        fork_delay,
        terminate_delay,
    } = process;
    let mut lines = Lines::new(Within::TrackProcess);
    let mut words = vec![process.to_string()];
    words.extend(params.iter().map(ToString::to_string));
    lines.put("process", words, false);
    match matching {
        ParamMatch::None => {}
        ParamMatch::Exact => lines.put("param_match", Vec::new(), !params.is_empty()),
        ParamMatch::Partial => lines.one("param_match", "partial", false),
        ParamMatch::Initial => lines.one("param_match", "initial", false),
    }
    lines.flag("full_command", *full_command);
    lines.put(
        "weight",
        weighted(*weight, *reverse),
        *weight == 0 && !reverse,
    );
    // No process at all is a quorum of its own kind.
    lines.one("quorum", quorum, *quorum == 1 || *quorum_max == Some(0));
    if let Some(most) = quorum_max {
        lines.one("quorum_max", most, false);
    }
    lines.time("fork_delay", *fork_delay, fork_delay.is_zero());
    lines.time(
        "terminate_delay",
        *terminate_delay,
        terminate_delay.is_zero(),
    );
    lines
}

fn group(group: &GroupSettings, settings: &Settings, defaults: &Defaults) -> Lines {
    let GroupSettings {
        name: _,
        members,
        notify,
    } = group;
    let mut lines = Lines::new(Within::SyncGroup);
    let names = members.iter().map(|name| vec![name.to_string()]).collect();
    lines.list("group", names);
    // Trackers of the group stand with its members already; without this their weights would go.
    let weighted = settings.routers.iter().any(|router| {
        members.contains(&router.name)
            && (router.tracks.iter().any(|t| t.weight.get() != 0)
                || router.track_links.iter().any(|t| t.weight.get() != 0)
                || router.track_files.iter().any(|t| t.weight != 0)
                || router.track_processes.iter().any(|t| t.weight != 0))
    });
    lines.flag("sync_group_tracking_weight", weighted);
    lines.notify(notify, defaults.script_user.as_ref());
    lines
}
