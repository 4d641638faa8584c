//! Configurations and what is said of them: mistakes with the exact text that they draw, the samples
//! that keepalived's package ships, our own samples, and random input.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::conf::keywords::{self, Status, Within};
use mainstay::conf::{self, Diagnostic, Loaded, Options, Severity};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn options() -> Options {
    Options {
        config_id: Some("node1".into()),
        ..Options::default()
    }
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("{directory}: {e}"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

fn report(loaded: &Loaded) -> String {
    let text = conf::render(&loaded.diagnostics, &loaded.sources, false);
    let run = if loaded.settings.is_some() {
        "starts"
    } else {
        "refuses"
    };
    let status = conf::exit_code(&loaded.diagnostics, false);
    format!("{text}check exits {status}, run {run}\n")
}

/// Each `.conf` draws exactly the text in the `.txt` beside it. UPDATE=1 writes these anew.
#[test]
fn mistakes_draw_their_exact_text() {
    let update = std::env::var_os("UPDATE").is_some();
    let files = files("tests/data/conf", "conf");
    assert!(files.len() >= 90, "only {} mistakes", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let text = report(&conf::load(&path, &options()));
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, text).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the manual says of differences from keepalived: `check` does tell of them under these codes.
#[test]
fn codes_of_the_manual_are_told() {
    // These depend on modes of files and on programs.
    const ELSEWHERE: [&str; 2] = ["executable-file", "unusable-program"];
    let manual = fs::read_to_string("docs/differences.md").expect("readable");
    let told: String = files("tests/data/conf", "txt")
        .iter()
        .map(|path| fs::read_to_string(path).expect("readable"))
        .collect();
    let mut seen = 0;
    for row in manual.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let code = cells.last().map_or("", |c| c.trim());
        let Some(code) = code.strip_prefix('`').and_then(|c| c.strip_suffix('`')) else {
            continue;
        };
        if code == "check" || ELSEWHERE.contains(&code) {
            continue;
        }
        seen += 1;
        assert!(
            told.contains(&format!("[{code}]")),
            "nothing draws {code}: {row}"
        );
    }
    assert!(seen >= 12, "only {seen} codes");
}

/// Every mistake is found, none is taken for a sound file.
#[test]
fn no_mistake_passes_unnoticed() {
    for path in files("tests/data/conf", "conf") {
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let loaded = conf::load(&path, &options());
        if name == "groups_of_the_standard" {
            assert!(loaded.diagnostics.is_empty(), "{}", report(&loaded));
        } else {
            assert!(!loaded.diagnostics.is_empty(), "{name} draws nothing");
        }
    }
}

#[test]
fn our_own_samples_are_sound() {
    let files = files("conf", "conf");
    assert!(files.len() >= 4);
    for path in files {
        let loaded = conf::load(&path, &options());
        let status = conf::exit_code(&loaded.diagnostics, false);
        assert_eq!(status, 0, "{}", report(&loaded));
        assert!(loaded.settings.is_some_and(|s| !s.routers.is_empty()));
    }
}

/// The samples of keepalived's package: what is wrong with them is known.
#[test]
fn keepaliveds_samples_are_read() {
    const SAMPLES: &str = "/usr/share/doc/keepalived/samples";
    if !Path::new(SAMPLES).is_dir() {
        eprintln!("skipped: {SAMPLES} is not there (package keepalived)");
        return;
    }
    let mut seen = 0;
    for entry in fs::read_dir(SAMPLES).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !name.starts_with("keepalived.conf") {
            continue;
        }
        seen += 1;
        let loaded = conf::load(&path, &options());
        inside(&loaded);
        let errors: Vec<&Diagnostic> = loaded
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .collect();
        for error in errors {
            assert!(
                error.code == "refused" || SAMPLE_ERRORS.contains(&(&*name, error.code)),
                "{name}: {}",
                report(&loaded)
            );
        }
    }
    assert!(seen > 20, "only {seen} samples");
}

/// Errors of the samples that are truly errors.
const SAMPLE_ERRORS: &[(&str, &str)] = &[
    // Its group lists members without the word `group`, which keepalived does not read either.
    ("keepalived.conf.vrrp.lvs_syncd", "empty-group"),
    // Its script lines are for hosts of other names.
    ("keepalived.conf.conditional_conf", "script-without-command"),
    ("keepalived.conf.conditional_conf", "undefined-script"),
];

/// Every span lies inside its file, at the borders of characters.
fn inside(loaded: &Loaded) {
    for d in &loaded.diagnostics {
        for span in [Some(d.span), d.related.map(|(span, _)| span)]
            .into_iter()
            .flatten()
        {
            let text = loaded.sources.text(span.file);
            let (from, to) = (span.at as usize, (span.at + span.len) as usize);
            assert!(
                text.get(from..to).is_some(),
                "{d:?} leaves its file of {} bytes",
                text.len()
            );
        }
    }
    let _ = conf::render(&loaded.diagnostics, &loaded.sources, true);
}

/// For each acted-on keyword: a line with it, and one that differs in nothing else.
const ACTED: &[(Within, &str, &str, &str)] = {
    use Within::{
        AddressWord, Auth, Damping, Global, Instance, Root, Script, SyncGroup, TrackFile,
        TrackGroup, TrackProcess, TrackWord,
    };
    &[
        (Root, "net_namespace", "", "net_namespace a"),
        (Root, "linkbeat_use_polling", "", "linkbeat_use_polling"),
        (TrackGroup, "group", "group {\nA\n}", "group {\nB\n}"),
        (
            Instance,
            "linkbeat_use_polling",
            "interface x",
            "interface x\nlinkbeat_use_polling",
        ),
        (AddressWord, "track_group", "dev t8", "dev t8 track_group T"),
        (Global, "default_interface", "", "default_interface x"),
        (Global, "router_id", "router_id a", "router_id b"),
        (
            Global,
            "vrrp_mcast_group4",
            "vrrp_mcast_group4 224.0.0.18",
            "vrrp_mcast_group4 224.0.0.9",
        ),
        (
            Global,
            "vrrp_mcast_group6",
            "vrrp_mcast_group6 ff02::12",
            "vrrp_mcast_group6 ff02::9",
        ),
        (Global, "vrrp_version", "vrrp_version 2", "vrrp_version 3"),
        (
            Global,
            "vrrp_garp_master_delay",
            "",
            "vrrp_garp_master_delay 6",
        ),
        (
            Global,
            "vrrp_garp_master_repeat",
            "",
            "vrrp_garp_master_repeat 6",
        ),
        (
            Global,
            "vrrp_garp_master_refresh",
            "",
            "vrrp_garp_master_refresh 6",
        ),
        (
            Global,
            "vrrp_garp_master_refresh_repeat",
            "",
            "vrrp_garp_master_refresh_repeat 6",
        ),
        (
            Global,
            "vrrp_garp_lower_prio_delay",
            "",
            "vrrp_garp_lower_prio_delay 6",
        ),
        (
            Global,
            "vrrp_garp_lower_prio_repeat",
            "",
            "vrrp_garp_lower_prio_repeat 6",
        ),
        (Global, "vrrp_garp_interval", "", "vrrp_garp_interval 0.1"),
        (Global, "vrrp_gna_interval", "", "vrrp_gna_interval 0.1"),
        (Global, "vrrp_min_garp", "", "vrrp_min_garp"),
        (
            Global,
            "vrrp_down_timer_adverts",
            "",
            "vrrp_down_timer_adverts 4",
        ),
        (
            Global,
            "vrrp_lower_prio_no_advert",
            "",
            "vrrp_lower_prio_no_advert",
        ),
        (
            Global,
            "vrrp_higher_prio_send_advert",
            "",
            "vrrp_higher_prio_send_advert",
        ),
        (
            Global,
            "vrrp_owner_ignore_adverts",
            "",
            "vrrp_owner_ignore_adverts",
        ),
        (
            Global,
            "vrrp_check_unicast_src",
            "",
            "vrrp_check_unicast_src",
        ),
        (
            Global,
            "vrrp_skip_check_adv_addr",
            "",
            "vrrp_skip_check_adv_addr",
        ),
        (Global, "vrrp_strict", "", "vrrp_strict"),
        (Global, "v3_checksum_as_v2", "", "v3_checksum_as_v2"),
        (Global, "vrrp_startup_delay", "", "vrrp_startup_delay 1"),
        (
            Global,
            "vrrp_delay_after_boot",
            "",
            "vrrp_delay_after_boot 1",
        ),
        (Global, "log_unknown_vrids", "", "log_unknown_vrids"),
        (Global, "vrrp_priority", "", "vrrp_priority 5"),
        (Global, "vrrp_rt_priority", "", "vrrp_rt_priority 5"),
        (Global, "vrrp_no_swap", "", "vrrp_no_swap"),
        (Global, "vrrp_cpu_affinity", "", "vrrp_cpu_affinity 0"),
        (Global, "vrrp_rlimit_rttime", "", "vrrp_rlimit_rttime 9000"),
        (Global, "vrrp_rlimit_rtime", "", "vrrp_rlimit_rtime 9000"),
        (Global, "script_user", "", "script_user nobody"),
        (
            Global,
            "enable_script_security",
            "",
            "enable_script_security",
        ),
        (
            Global,
            "random_seed",
            "router_id ${_RANDOM}",
            "random_seed 5\nrouter_id ${_RANDOM}",
        ),
        (Global, "control_group", "", "control_group adm"),
        (Global, "vip_restore_limit", "", "vip_restore_limit 5 10"),
        (Global, "journal_keep", "", "journal_keep 64"),
        (Global, "vip_mismatch", "", "vip_mismatch drop"),
        (Global, "track_handover", "", "track_handover off"),
        (Instance, "track_handover", "", "track_handover always"),
        (Instance, "flap_damping", "", "flap_damping {\n}"),
        (Damping, "half_life", "", "half_life 9"),
        (Damping, "suppress", "", "suppress 9"),
        (Damping, "reuse", "", "reuse 2"),
        (Global, "script_unusable", "", "script_unusable fault"),
        (Global, "all_failed", "", "all_failed hold"),
        (Instance, "all_failed", "", "all_failed hold"),
        (TrackFile, "file", "file /a/b", "file /a/c"),
        (TrackFile, "weight", "", "weight 2"),
        (TrackFile, "init_file", "", "init_file 3"),
        (TrackFile, "external", "", "external"),
        (TrackFile, "lease", "external", "external\nlease 2"),
        (TrackFile, "user", "external", "external\nuser nobody"),
        (TrackProcess, "process", "process a", "process b"),
        (TrackProcess, "param_match", "", "param_match initial"),
        (TrackProcess, "full_command", "", "full_command"),
        (TrackProcess, "weight", "", "weight 2"),
        (TrackProcess, "quorum", "", "quorum 2"),
        (TrackProcess, "quorum_max", "", "quorum_max 2"),
        (TrackProcess, "fork_delay", "", "fork_delay 2"),
        (TrackProcess, "terminate_delay", "", "terminate_delay 2"),
        (TrackProcess, "delay", "", "delay 2"),
        (SyncGroup, "notify", "", "notify /x"),
        (SyncGroup, "notify_master", "", "notify_master /x"),
        (SyncGroup, "notify_backup", "", "notify_backup /x"),
        (SyncGroup, "notify_fault", "", "notify_fault /x"),
        (SyncGroup, "notify_stop", "", "notify_stop /x"),
        (
            SyncGroup,
            "sync_group_tracking_weight",
            "group { B }",
            "group { B }\nsync_group_tracking_weight",
        ),
        (
            SyncGroup,
            "global_tracking",
            "group { B }",
            "group { B }\nglobal_tracking",
        ),
        (SyncGroup, "group", "", "group { B }"),
        (
            SyncGroup,
            "track_interface",
            "",
            "track_interface {\neth9 weight 5\n}",
        ),
        (SyncGroup, "track_script", "", "track_script {\nu\n}"),
        (SyncGroup, "track_file", "", "track_file {\nf\n}"),
        (SyncGroup, "track_process", "", "track_process {\np\n}"),
        (
            Instance,
            "track_interface",
            "",
            "track_interface {\neth9 weight 5\n}",
        ),
        (Instance, "track_script", "", "track_script {\nu\n}"),
        (Instance, "track_file", "", "track_file {\nf weight 0\n}"),
        (Instance, "track_process", "", "track_process {\np\n}"),
        (
            Instance,
            "virtual_ipaddress_excluded",
            "",
            "virtual_ipaddress_excluded {\n10.9.9.9\n}",
        ),
        (Instance, "unicast_peer", "", "unicast_peer {\n10.9.9.9\n}"),
        (Script, "script", "script \"/a\"", "script \"/b\""),
        (Script, "interval", "", "interval 2"),
        (Script, "timeout", "", "timeout 2"),
        (Script, "weight", "", "weight 2"),
        (Script, "rise", "", "rise 2"),
        (Script, "fall", "", "fall 2"),
        (Script, "window", "", "window 2 3"),
        (Script, "rise_when_backup", "", "rise_when_backup 2"),
        (Script, "fall_when_master", "", "fall_when_master 2"),
        (Script, "user", "", "user nobody"),
        (Script, "init_fail", "", "init_fail"),
        (Script, "check", "", "check tcp 127.0.0.1:80"),
        (Script, "external", "", "external"),
        (Script, "lease", "external", "external\nlease 2"),
        (Instance, "state", "", "state MASTER"),
        (Instance, "priority", "", "priority 9"),
        (Instance, "interface", "interface a", "interface b"),
        (
            Instance,
            "virtual_router_id",
            "virtual_router_id 7",
            "virtual_router_id 8",
        ),
        (Instance, "advert_int", "", "advert_int 2"),
        (Instance, "version", "", "version 3"),
        (
            Instance,
            "native_ipv6",
            "no_virtual_ipaddress",
            "no_virtual_ipaddress\nnative_ipv6",
        ),
        (
            Instance,
            "no_virtual_ipaddress",
            "version 3",
            "version 3\nno_virtual_ipaddress",
        ),
        (Instance, "mcast_src_ip", "", "mcast_src_ip 10.0.0.9"),
        (Instance, "unicast_src_ip", "", "unicast_src_ip 10.0.0.9"),
        (Instance, "mcast_dst_ip", "", "mcast_dst_ip 224.0.0.9"),
        (Instance, "check_unicast_src", "", "check_unicast_src"),
        (Instance, "v3_checksum_as_v2", "", "v3_checksum_as_v2"),
        (Instance, "dont_track_primary", "", "dont_track_primary"),
        (Instance, "preempt", "nopreempt", "nopreempt\npreempt"),
        (Instance, "nopreempt", "", "nopreempt"),
        (Instance, "preempt_delay", "", "preempt_delay 5"),
        (
            Instance,
            "timer_expired_backup",
            "nopreempt",
            "nopreempt\ntimer_expired_backup",
        ),
        (
            Instance,
            "thread_timer_expired",
            "nopreempt",
            "nopreempt\nthread_timer_expired",
        ),
        (Instance, "down_timer_adverts", "", "down_timer_adverts 4"),
        (Instance, "garp_master_delay", "", "garp_master_delay 6"),
        (Instance, "garp_master_repeat", "", "garp_master_repeat 6"),
        (Instance, "garp_master_refresh", "", "garp_master_refresh 6"),
        (
            Instance,
            "garp_master_refresh_repeat",
            "",
            "garp_master_refresh_repeat 6",
        ),
        (
            Instance,
            "garp_lower_prio_delay",
            "",
            "garp_lower_prio_delay 6",
        ),
        (
            Instance,
            "garp_lower_prio_repeat",
            "",
            "garp_lower_prio_repeat 6",
        ),
        (Instance, "lower_prio_no_advert", "", "lower_prio_no_advert"),
        (
            Instance,
            "higher_prio_send_advert",
            "",
            "higher_prio_send_advert",
        ),
        (Instance, "owner_ignore_adverts", "", "owner_ignore_adverts"),
        (Instance, "skip_check_adv_addr", "", "skip_check_adv_addr"),
        (Instance, "strict_mode", "", "strict_mode"),
        (Instance, "notify", "", "notify /x"),
        (Instance, "notify_master", "", "notify_master /x"),
        (Instance, "notify_backup", "", "notify_backup /x"),
        (Instance, "notify_fault", "", "notify_fault /x"),
        (Instance, "notify_stop", "", "notify_stop /x"),
        (Instance, "notify_deleted", "", "notify_deleted"),
        (
            Instance,
            "notify_master_rx_lower_pri",
            "",
            "notify_master_rx_lower_pri /x",
        ),
        (Instance, "vip_mismatch", "", "vip_mismatch drop"),
        (
            Auth,
            "auth_type",
            "auth_pass x",
            "auth_pass x\nauth_type PASS",
        ),
        (
            Auth,
            "auth_pass",
            "auth_type PASS\nauth_pass a",
            "auth_type PASS\nauth_pass b",
        ),
        (AddressWord, "dev", "", "dev eth1"),
        (AddressWord, "brd", "", "brd +"),
        (AddressWord, "broadcast", "", "broadcast +"),
        (AddressWord, "scope", "", "scope link"),
        (AddressWord, "label", "", "label x"),
        (AddressWord, "-nodad", "six", "six -nodad"),
        (AddressWord, "noprefixroute", "", "noprefixroute"),
        (AddressWord, "preferred_lft", "six", "six preferred_lft 9"),
        (AddressWord, "no_track", "", "no_track"),
        (TrackWord, "weight", "", "weight 9"),
        (TrackWord, "reverse", "weight 9", "weight 9 reverse"),
        (TrackWord, "noreverse", "weight 9", "weight 9 noreverse"),
    ]
};

fn with_line(within: Within, name: &str, line: &str) -> String {
    let put = |place: Within| if place == within { line } else { "" };
    let fixed = if name == "track_group" { line } else { "" };
    let address = match (within, line.strip_prefix("six")) {
        _ if name == "track_group" => "10.0.0.1/24".to_owned(),
        (Within::AddressWord, Some(options)) => format!("fe80::1/64 {options}"),
        (Within::AddressWord, None) => format!("10.0.0.1/24 {line}"),
        _ => "10.0.0.1/24".to_owned(),
    };
    let addresses = if line.contains("no_virtual_ipaddress") || name == "no_virtual_ipaddress" {
        String::new()
    } else {
        format!("virtual_ipaddress {{\n{address}\n}}\n")
    };
    let auth = match within {
        Within::Auth => format!("authentication {{\n{line}\n}}\n"),
        Within::Damping => format!("flap_damping {{\n{line}\n}}\n"),
        _ => String::new(),
    };
    let given = |word: &str, default: &str| {
        if name == word {
            String::new()
        } else {
            format!("{word} {default}\n")
        }
    };
    let reverse = if name == "noreverse" {
        "weight 1 reverse\n"
    } else {
        ""
    };
    // Outside the test of a group its members' weights count.
    let weights = match name {
        "sync_group_tracking_weight" | "global_tracking" => "",
        _ => "sync_group_tracking_weight\n",
    };
    format!(
        "{}\ntrack_group T {{\n{}\n}}\nstatic_ipaddress {{\n10.3.0.1 {fixed}\n\
         10.3.0.2 dev t9 track_group T\n}}\nglobal_defs {{\n{}\n}}\nvrrp_script s {{\n{}{reverse}{}\n}}\nvrrp_script u {{\nscript /u\n}}\n\
         track_file f {{\n{}{}\n}}\nvrrp_track_process p {{\n{}{}\n}}\n\
         vrrp_instance A {{\n{}{}{}\n{addresses}{auth}track_script {{\ns {}\n}}\n}}\n\
         vrrp_instance B {{\ninterface b0\nvirtual_router_id 99\nvirtual_ipaddress {{\n10.0.9.9\n}}\n\
         track_script {{\ns weight 9\n}}\n}}\n\
         vrrp_sync_group G {{\ngroup {{\nA\n}}\n{weights}{}\n}}\n\
         vrrp_sync_group H {{\ngroup {{\nB\n}}\n}}\n",
        put(Within::Root),
        put(Within::TrackGroup),
        put(Within::Global),
        given("script", "/s"),
        put(Within::Script),
        given("file", "/f/g"),
        put(Within::TrackFile),
        given("process", "q"),
        put(Within::TrackProcess),
        given("interface", "eth0"),
        given("virtual_router_id", "51"),
        put(Within::Instance),
        put(Within::TrackWord),
        put(Within::SyncGroup),
    )
}

/// The table cannot lie: what it calls acted on changes the settings.
#[test]
fn each_keyword_that_is_acted_on_changes_the_settings() {
    for row in keywords::all() {
        // Includes are shown by the corpus: texts without a file do not follow them.
        let include = row.name.starts_with("include");
        // Blocks at the top are shown by what stands in them.
        let top = row.within == Within::Root && row.block.is_some();
        let holder = matches!(row.name, "virtual_ipaddress" | "authentication");
        if row.status != Status::Acted || top || holder || include {
            continue;
        }
        let Some((_, _, one, other)) = ACTED
            .iter()
            .find(|(w, n, ..)| *w == row.within && *n == row.name)
        else {
            panic!(
                "{:?} {} is called acted on, but no pair of lines shows it",
                row.within, row.name
            );
        };
        let read = |line: &str| {
            let text = with_line(row.within, row.name, line);
            conf::load_str("pair", &text, &options())
        };
        let (first, second) = (read(one), read(other));
        assert_ne!(
            first.settings,
            second.settings,
            "{:?} {}: {}",
            row.within,
            row.name,
            report(&second)
        );
    }
}

fn seeds() -> Vec<String> {
    let mut seeds: Vec<String> = files("tests/data/conf", "conf")
        .iter()
        .chain(&files("conf", "conf"))
        .map(|path| String::from_utf8_lossy(&fs::read(path).expect("readable")).into_owned())
        .collect();
    seeds.sort();
    seeds
}

/// Pieces out of which a text is put together that reaches far into the parser.
const PIECES: &[&str] = &[
    "vrrp_instance A ",
    "{\n",
    "}\n",
    " { ",
    " } ",
    "\n",
    "\"",
    "'",
    "#",
    "!",
    "\\#",
    "$A=",
    "$A",
    "${A}",
    "$A=\\\n",
    "${_ENV HOME}",
    "${_RANDOM 1 9}",
    "~SEQ(i,1,9) ",
    "~SEQ(A,$A) ",
    "~LST(i,{a,b},c) ",
    "~LST({a,b},{1,2}) ",
    "@node1 ",
    "@^x ",
    "#@mainstay ",
    "global_defs",
    "vrrp_script s ",
    "track_script",
    "virtual_ipaddress",
    "10.0.0.1/24",
    "fe80::1",
    " dev ",
    " brd +",
    "priority ",
    "255",
    "-1",
    "0.5",
    "virtual_router_id 1\n",
    "interface e\n",
    "authentication",
    "auth_type PASS\n",
    "auth_pass x\n",
    "\\",
    "\r\n",
    "\0",
    "\u{e4}",
    "\u{fffd}",
    "include x\n",
    "unicast_peer",
    "script ",
    "notify ",
    "vrrp_sync_group G",
    "group { A }\n",
    "track_file f {\nfile /x\n}\n",
    "track_interface",
    "track_process { p }\n",
    "vrrp_track_process p ",
    "process x y\n",
    "quorum ",
    "init_file ",
    "bfd_instance b ",
    "sync_group_tracking_weight\n",
    "virtual_server 1",
    "weight ",
    "reverse",
    "\t",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics_and_spans_stay_inside(text in "\\PC{0,400}") {
        inside(&conf::load_str("random", &text, &options()));
    }

    #[test]
    fn random_pieces_never_panic_and_spans_stay_inside(
        picks in prop::collection::vec(0..PIECES.len(), 0..120)
    ) {
        let text: String = picks.iter().map(|i| PIECES[*i]).collect();
        inside(&conf::load_str("pieces", &text, &options()));
    }

    #[test]
    fn mutated_samples_never_panic_and_spans_stay_inside(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0..PIECES.len()), 1..8)
    ) {
        let seeds = seeds();
        let mut chars: Vec<char> = which.get(&seeds).chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, PIECES[piece].chars());
        }
        let text: String = chars.into_iter().collect();
        inside(&conf::load_str("mutated", &text, &options()));
    }
}
