//! Generated files, sound and mutated, are held before `keepalived -t` and before our checker, and
//! the verdicts compared: what keepalived accepts (exit 0, or 6 for scripts without security) draws at
//! most warnings of our own kind here; what it objects to draws at least a warning. Every deliberate
//! difference stands in [`OURS`] or [`THEIRS`], with its reason.
//!
//! `CASES=5000 SEED=7` plays more of them, from another start.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::conf::{self, Options, Severity};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// Findings of ours above a note about files that keepalived accepts: code, and why.
const OURS: &[(&str, &str)] = &[
    (
        "not-acted-on",
        "accepted by keepalived and acted on there; not yet here",
    ),
    (
        "include",
        "keepalived only logs that there is nothing to include; what should be there is lost",
    ),
    (
        "duplicate-name",
        "keepalived lets a second tracker of a name stand unused and says nothing",
    ),
    (
        "duplicate-address",
        "2.2.7 installs an address that is listed twice; 2.4 refuses the list's second",
    ),
    (
        "duplicate-peer",
        "2.2.7 sends to a peer twice that is listed twice",
    ),
    (
        "own-peer",
        "keepalived drops its own address from the peers with a log line",
    ),
    (
        "script-unquoted",
        "keepalived drops arguments of an unquoted command without a word",
    ),
    (
        "user-or-argument",
        "keepalived takes unquoted arguments for a user that does not exist, and only logs it",
    ),
    (
        "no-auth-type",
        "keepalived leaves authentication out without a word",
    ),
    (
        "two-directives",
        "keepalived takes the first directive of a line and drops the others without a word",
    ),
    (
        "strict",
        "keepalived only logs most of what strict mode takes away",
    ),
    (
        "contradiction",
        "keepalived only logs that one of two words has no effect",
    ),
    (
        "link-local-first",
        "keepalived sends an IPv6 list that does not begin with a link-local address",
    ),
    ("rounded", "keepalived only logs some roundings"),
    (
        "repeated-notify",
        "keepalived says that only of notify scripts it could use",
    ),
    (
        "bad-command",
        "keepalived takes a command without a word as no script",
    ),
    (
        "delay-limited",
        "keepalived only logs that it shortens a delay of an interface",
    ),
];

/// What keepalived 2.2.7 objects to and we do not: a part of its message, and why.
const THEIRS: &[(&str, &str)] = &[
    (
        "Non-existent interface specified",
        "interfaces come and go; `check --live` looks whether they are there",
    ),
    (
        "doesn't exist",
        "interfaces come and go; `check --live` looks whether they are there",
    ),
    (
        "Error setting global script uid/gid",
        "users are looked up by `check --scripts`",
    ),
    (
        "not found/accessible",
        "programs are looked at by `check --scripts`",
    ),
    (
        "track script chk not found",
        "because its user was not found, see above",
    ),
    (
        "track script up not found",
        "because its user was not found, see above",
    ),
    (
        "Unable to set default user",
        "users are looked up by `check --scripts`",
    ),
    (
        "Unable to set uid/gid for script",
        "users are looked up by `check --scripts`",
    ),
    (
        "Virtual server",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "virtual server",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "Invalid smtp server",
        "mail is not acted on yet, which a note tells",
    ),
    (
        "unknown route keyword",
        "static routes are not acted on yet, which a note tells",
    ),
    (
        "VRRP parsed invalid IP",
        "said of static routes, which are not acted on yet",
    ),
    (
        "starting `protocol`",
        "load balancing is not looked into, which a note tells",
    ),
    (
        "already specified - ignoring",
        "said of global keywords that are not acted on here, which a note tells",
    ),
];

/// Errors of ours about files that keepalived accepts: code, a part of the text, and why.
const OUR_ERRORS: &[(&str, &str, &str)] = &[
    (
        "bad-boolean",
        "vrrp_skip_check_adv_addr",
        "2.2.7 does not look at the word behind it, which is mended since",
    ),
    (
        "bad-interface",
        "cannot be the name of an interface",
        "with dynamic_interfaces keepalived waits for ever for what no kernel can name so",
    ),
    (
        "missing-interface",
        "has no usable interface",
        "with dynamic_interfaces keepalived waits for ever for what no kernel can name so",
    ),
    (
        "tracks-nothing",
        "is empty",
        "keepalived follows a process without a name, which never runs",
    ),
    (
        "undefined-process",
        "is not usable",
        "keepalived follows a process without a name, which never runs",
    ),
];

/// A small generator: the same seed gives the same files.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[self.below(list.len())]
    }
}

/// A keyword with values that are sound and values that are not.
struct Key(
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const ON: &[&str] = &["", "on", "off", "true", "false", "yes", "no"];
const NOT_ON: &[&str] = &["True", "1", "ON", "maybe"];
const NONE: &[&str] = &[""];
const COUNT: &[&str] = &["1", "2", "5", "10"];
const NOT_COUNT: &[&str] = &["-1", "x", "99999999999"];

const GLOBAL: &[Key] = &[
    Key("router_id", &["lb1", "\"my router\""], &[]),
    Key("vrrp_version", &["2", "3"], &["1", "4", "x"]),
    Key("vrrp_garp_master_delay", &["0", "5", "10"], &["-1", "x"]),
    Key("vrrp_garp_master_repeat", COUNT, &["0", "-1", "x"]),
    Key("vrrp_garp_master_refresh", &["0", "60"], NOT_COUNT),
    Key("vrrp_garp_master_refresh_repeat", COUNT, &["0", "x"]),
    Key("vrrp_garp_lower_prio_delay", &["0", "3"], NOT_COUNT),
    Key("vrrp_garp_lower_prio_repeat", &["0", "3"], NOT_COUNT),
    Key(
        "vrrp_garp_interval",
        &["0.001", "1", "0.000001"],
        &["0", "x", "-1"],
    ),
    Key("vrrp_gna_interval", &["0.001", "1"], &["0", "x"]),
    Key("vrrp_min_garp", ON, NOT_ON),
    Key("vrrp_lower_prio_no_advert", ON, NOT_ON),
    Key("vrrp_higher_prio_send_advert", ON, NOT_ON),
    Key("vrrp_check_unicast_src", NONE, &[]),
    Key("vrrp_skip_check_adv_addr", ON, NOT_ON),
    Key("vrrp_strict", NONE, &[]),
    Key(
        "vrrp_startup_delay",
        &["0.001", "2", "5.5"],
        &["0", "x", "5000"],
    ),
    Key("log_unknown_vrids", NONE, &[]),
    Key("vrrp_priority", &["-20", "0", "19"], &["x"]),
    Key("vrrp_rt_priority", &["1", "50", "99"], &["x"]),
    Key("vrrp_no_swap", NONE, &[]),
    Key("vrrp_rlimit_rttime", &["5000", "10000"], &["x"]),
    Key("script_user", &["root", "root root"], &["nosuchuser"]),
    Key("dynamic_interfaces", &["", "allow_if_changes"], &["x"]),
    Key("vrrp_mcast_group4", &["224.0.0.18"], &["10.0.0.1", "x"]),
    Key("vrrp_mcast_group6", &["ff02::12"], &["fe80::1", "x"]),
    Key("smtp_server", &["127.0.0.1", "127.0.0.1 25"], &[]),
    Key("smtp_connect_timeout", &["30"], &["x"]),
    Key("smtp_alert", ON, NOT_ON),
    Key("notification_email_from", &["a@b.example"], &[]),
    Key("lvs_flush", NONE, &[]),
    Key("enable_traps", NONE, &[]),
    Key("vrrp_notify_priority_changes", ON, NOT_ON),
    Key("max_auto_priority", &["", "5", "-1"], &["x", "100"]),
    Key("process_names", NONE, &[]),
    Key("umask", &["022", "IRUSR | IWUSR"], &["x"]),
    Key("nftables", &["", "t"], &[]),
    Key("notify_fifo", &["/run/kt_fifo"], &[]),
];

const SCRIPT: &[Key] = &[
    Key("interval", &["1", "2", "30"], &["x", "-1", "99999"]),
    Key("timeout", &["1", "3"], &["x", "-1"]),
    Key(
        "weight",
        &["0", "5", "-20", "253", "-253", "7 reverse"],
        &["x", "300", "5 backwards"],
    ),
    Key("rise", COUNT, &["0", "x"]),
    Key("fall", COUNT, &["0", "x"]),
    Key("user", &["root", "root root"], &["nosuchuser"]),
    Key("init_fail", NONE, &[]),
];

const FILE: &[Key] = &[
    Key(
        "weight",
        &["0", "1", "-254", "254 reverse"],
        &["x", "255", "5 backwards"],
    ),
    Key("init_file", &["", "5", "overwrite", "5 overwrite"], &["x"]),
];

const PROCESS: &[Key] = &[
    Key(
        "weight",
        &["0", "5", "-254", "9 reverse"],
        &["x", "255", "5 noreverse"],
    ),
    Key("param_match", &["", "initial", "partial"], &["exact"]),
    Key("full_command", NONE, &[]),
    Key("quorum", &["1", "3"], &["0", "x", "65536"]),
    Key("quorum_max", &["0", "9"], &["x", "65536"]),
    Key("fork_delay", &["0.5", "3"], &["0", "x", "3601"]),
    Key("terminate_delay", &["0.5", "3"], &["0", "x", "3601"]),
    Key("delay", &["0.25", "3600"], &["0", "x", "3601"]),
];

const INSTANCE: &[Key] = &[
    Key("state", &["MASTER", "BACKUP"], &["master", "SLAVE"]),
    Key(
        "priority",
        &["1", "100", "150", "254", "255"],
        &["0", "256", "x", "100x"],
    ),
    Key("advert_int", &["1", "2", "5"], &["0", "x", "256", "-1"]),
    Key("version", &["2", "3"], &["1", "x"]),
    Key("mcast_src_ip", &["10.0.0.5"], &["x", "fe80::5"]),
    Key("check_unicast_src", NONE, &[]),
    Key("dont_track_primary", NONE, &[]),
    Key("preempt", NONE, &[]),
    Key("nopreempt", NONE, &[]),
    Key("preempt_delay", &["0", "5", "1000"], &["x", "1001", "-1"]),
    Key("down_timer_adverts", &["1", "3", "100"], &["0", "101", "x"]),
    Key("garp_master_delay", &["0", "7"], NOT_COUNT),
    Key("garp_master_repeat", COUNT, &["0", "x"]),
    Key("garp_master_refresh", &["0", "60"], NOT_COUNT),
    Key("garp_master_refresh_repeat", COUNT, &["0", "x"]),
    Key("garp_lower_prio_delay", &["0", "7"], NOT_COUNT),
    Key("garp_lower_prio_repeat", &["0", "7"], NOT_COUNT),
    Key("lower_prio_no_advert", ON, NOT_ON),
    Key("higher_prio_send_advert", ON, NOT_ON),
    Key("skip_check_adv_addr", &["", "on"], NOT_ON),
    Key("strict_mode", &["off", "on", ""], NOT_ON),
    Key("notify", &["/bin/true", "\"/bin/true a b\""], &[]),
    Key(
        "notify_master",
        &["\"/bin/true a\"", "\"/bin/true\" root"],
        &[],
    ),
    Key("notify_backup", &["/bin/true"], &[]),
    Key("notify_fault", &["/bin/true"], &[]),
    Key("notify_stop", &["/bin/true"], &[]),
    Key("notify_deleted", &["", "/bin/true"], &[]),
    Key("notify_master_rx_lower_pri", &["/bin/true"], &[]),
    Key("notify_priority_changes", ON, NOT_ON),
    Key("smtp_alert", ON, NOT_ON),
    Key("accept", NONE, &[]),
    Key("promote_secondaries", NONE, &[]),
    Key("track_src_ip", NONE, &[]),
    Key("kernel_rx_buf_size", &["65536"], &["x"]),
    Key("debug", &["", "1"], &["9"]),
];

const GROUP: &[Key] = &[
    Key("sync_group_tracking_weight", NONE, &[]),
    Key("global_tracking", &[], NONE),
    Key("notify", &["/bin/true", "\"/bin/true x\""], &[]),
    Key("notify_master", &["/bin/true"], &[]),
    Key("notify_backup", &["/bin/true"], &[]),
    Key("notify_fault", &["/bin/true"], &[]),
    Key("notify_stop", &["/bin/true"], &[]),
    Key("smtp_alert", ON, NOT_ON),
    Key("notify_priority_changes", ON, NOT_ON),
];

/// Blocks and lines at the top that seldom stand in a file.
const REST: &[&str] = &[
    "static_ipaddress {\n    10.3.0.1/24 dev eth0\n}",
    "static_routes {\n    10.8.0.0/24 via 10.0.0.1 dev eth0\n}",
    "static_rules {\n    from 10.8.0.0/24 table 9 priority 99\n}",
    "bfd_instance b {\n    neighbor_ip 10.0.0.9\n    min_rx 50\n    multiplier 3\n}",
    "bfd_instance c {\n    min_rx 50\n}",
    "garp_group {\n    garp_interval 0.5\n    interfaces {\n        eth0\n    }\n}",
    "track_group T {\n    group {\n        A\n    }\n}",
    "interface_up_down_delays {\n    eth0 2 1\n}",
    "linkbeat_use_polling",
    "use_pid_dir",
    "virtual_server 10.0.0.1 80 {\n    delay_loop 5\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    \
     real_server 10.0.0.2 80 {\n        weight 1\n    }\n}",
    "$TEXT=\\\nvrrp_script more { \\\n    script \"/bin/true\" \\\n}",
    "@nobody-here vrrp_version 9",
    "@^nobody-here ! nothing",
    "~SEQ(i, 3) ! $i",
    "include /nonexistent.conf",
];

/// Words that keepalived knows nowhere, and blocks of them.
const UNKNOWN: &[&str] = &[
    "prority 100",
    "virtual_ipadress {\n10.9.9.9\n}",
    "track_scripts {\nchk\n}",
    "}",
    "{",
    "auth_pass x",
    "interval 3",
    "vrrp_instance",
    "\"unfinished",
    "group { A }",
];

/// One generated file.
struct File<'r> {
    rng: &'r mut Rng,
    /// One in so many values is taken from the unsound ones; 0 for none.
    wrong: usize,
    text: String,
}

impl File<'_> {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    fn key(&mut self, key: &Key) {
        let Key(name, good, bad) = key;
        let wrong = self.wrong > 0 && self.rng.one_in(self.wrong);
        let value = if (wrong && !bad.is_empty()) || good.is_empty() {
            if self.wrong == 0 {
                return;
            }
            self.rng.pick(bad)
        } else {
            self.rng.pick(good)
        };
        self.line(format!("    {name} {value}").trim_end());
    }

    /// Some of these, each at most once.
    fn some(&mut self, keys: &[Key], one_in: usize) {
        for key in keys {
            if self.rng.one_in(one_in) {
                self.key(key);
            }
        }
    }

    fn whole(mut self) -> String {
        let secure = !self.rng.one_in(8);
        if secure || self.rng.one_in(2) {
            self.line("global_defs {");
            if secure {
                self.line("    enable_script_security\n    script_user root");
            }
            self.some(GLOBAL, 10);
            if self.rng.one_in(6) {
                self.line(
                    "    notification_email {\n        a@b.example\n        c@d.example\n    }",
                );
            }
            self.line("}");
        }
        if self.rng.one_in(8) {
            self.line("$PRIO=120\n! a comment\n$NET=10.0.0");
        }
        self.rest();
        for name in ["chk", "up"] {
            if self.rng.one_in(2) {
                self.line(&format!("vrrp_script {name} {{"));
                let script = ["\"/bin/true\"", "\"/bin/true -a 'b c'\"", "/bin/true"];
                let script = self.rng.pick(&script);
                self.line(&format!("    script {script}"));
                self.some(SCRIPT, 4);
                self.line("}");
            }
        }
        if self.rng.one_in(3) {
            let word = self.rng.pick(&["track_file", "vrrp_track_file"]);
            self.line(&format!("{word} level {{\n    file /tmp/kt_level"));
            self.some(FILE, 3);
            self.line("}");
        }
        if self.rng.one_in(3) {
            let process = self.rng.pick(&["nginx", "/usr/sbin/nginx -g x", "\"a b\""]);
            self.line(&format!("vrrp_track_process web {{\n    process {process}"));
            self.some(PROCESS, 5);
            self.line("}");
        }
        let early = self.rng.one_in(4);
        let count = 1 + self.rng.below(3);
        let group = self.rng.one_in(3);
        if group && early {
            self.group(count);
        }
        for n in 0..count {
            self.instance(n);
        }
        if group && !early {
            self.group(count);
        }
        self.text
    }

    /// Blocks that seldom stand in a file.
    fn rest(&mut self) {
        for block in REST {
            if self.rng.one_in(25) {
                self.line(block);
            }
        }
    }

    fn group(&mut self, count: usize) {
        self.line("vrrp_sync_group G {\n    group {");
        for name in ["A", "B", "C"].iter().take(count) {
            self.line(&format!("        {name}"));
        }
        if self.wrong > 0 && self.rng.one_in(self.wrong) {
            let odd = self.rng.pick(&["Z", "A"]);
            self.line(&format!("        {odd}"));
        }
        self.line("    }");
        self.some(GROUP, 6);
        self.tracks();
        self.line("}");
    }

    fn tracks(&mut self) {
        let defined = |this: &Self, what: &str| this.text.contains(what);
        for (list, name, definition, weights) in [
            (
                "track_script",
                "chk",
                "vrrp_script chk",
                ["", " weight 5", " weight -20 reverse"],
            ),
            (
                "track_file",
                "level",
                "track_file level",
                ["", " weight 5", " weight -254"],
            ),
            (
                "track_process",
                "web",
                "vrrp_track_process web",
                ["", " weight 5 noreverse", " weight -254"],
            ),
            (
                "track_interface",
                "eth1",
                "",
                ["", " weight 5", " weight -20 reverse"],
            ),
        ] {
            // 2.2.7 crashes on a file that is not defined; that is no verdict.
            let known = defined(self, definition);
            let odd = self.wrong > 0 && self.rng.one_in(self.wrong);
            if !self.rng.one_in(3) || !(known || (odd && list != "track_file")) {
                continue;
            }
            let end = if odd {
                self.rng.pick(&[
                    " weight",
                    " weight 300",
                    " weight 254",
                    " wait 5",
                    " weight 5 x",
                    "\n  xyz",
                ])
            } else {
                self.rng.pick(&weights)
            };
            // An undefined file makes 2.2.7 crash, which is no verdict.
            let end = if list == "track_file" && end.contains("xyz") {
                ""
            } else {
                end
            };
            self.line(&format!("    {list} {{\n        {name}{end}\n    }}"));
        }
    }

    fn instance(&mut self, n: usize) {
        let name = ["A", "B", "C"][n];
        let interface = if n == 0 || self.rng.one_in(2) {
            "eth0"
        } else {
            "eth1"
        };
        let six = self.rng.one_in(6);
        self.line(&format!(
            "vrrp_instance {name} {{\n    interface {interface}"
        ));
        self.line(&format!("    virtual_router_id {}", 51 + n));
        if self.text.contains("$PRIO=") && self.rng.one_in(2) {
            let form = self
                .rng
                .pick(&["$PRIO", "${PRIO}", "$PRIO # more", "\"${PRIO}\""]);
            self.line(&format!("    priority {form}"));
        }
        if self.rng.one_in(20) {
            self.line("    @^nobody-here debug 1\n    @nobody-here priority 900");
        }
        let usual = self.rng.below(4);
        for key in INSTANCE {
            let often = matches!(key.0, "state" | "priority" | "advert_int") && usual > 0;
            let rare = matches!(
                key.0,
                "strict_mode" | "mcast_src_ip" | "preempt_delay" | "version"
            );
            let source6 = key.0 == "mcast_src_ip" && six;
            if !source6
                && self.rng.one_in(if often {
                    2
                } else if rare {
                    20
                } else {
                    14
                })
            {
                self.key(key);
            }
        }
        if self.rng.one_in(3) && !six {
            let pass = self.rng.pick(&["1111", "secret", "\"a b\""]);
            let pass = if self.wrong > 0 && self.rng.one_in(self.wrong) {
                "much-too-long"
            } else {
                pass
            };
            self.line(&format!(
                "    authentication {{\n        auth_type PASS\n        auth_pass {pass}\n    }}"
            ));
        }
        if self.rng.one_in(8) && !six {
            let source = if self.rng.one_in(2) {
                "    unicast_src_ip 10.0.0.5\n"
            } else {
                ""
            };
            self.line(&format!(
                "{source}    unicast_peer {{\n        10.0.0.{}\n        10.0.0.77\n    }}",
                60 + n
            ));
        }
        self.addresses(n, six);
        self.tracks();
        self.line("}");
    }

    fn addresses(&mut self, n: usize, six: bool) {
        let n = n + 1;
        let word = if self.wrong > 0 && self.rng.one_in(self.wrong) {
            self.rng
                .pick(&[" foo", " dev", " label", " dev eth7", " brd x"])
        } else if six {
            self.rng.pick(&[
                "",
                "",
                " dev eth1",
                " scope link",
                " preferred_lft 0",
                " -nodad",
            ])
        } else {
            self.rng.pick(&[
                "",
                "",
                " dev eth1",
                " label eth0:1",
                " brd 10.0.0.255",
                " scope global",
                " brd +",
                " no_track",
            ])
        };
        let first = if six {
            format!("fe80::{n}/64{word}\n        2001:db8::{n}/64")
        } else {
            format!("10.0.0.10{n}/24{word}\n        10.0.0.11{n}")
        };
        self.line(&format!(
            "    virtual_ipaddress {{\n        {first}\n    }}"
        ));
        if self.rng.one_in(5) {
            self.line(&format!("    virtual_ipaddress_excluded {{\n        10.1.{n}.1/24\n        2001:db8:1::{n}/64\n    }}"));
        }
        if self.rng.one_in(12) {
            self.line("    virtual_routes {\n        10.9.0.0/24 via 10.0.0.1 dev eth0\n    }");
        }
    }
}

/// Breaks a file in one or two places.
fn mutate(rng: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..1 + rng.below(2) {
        let at = rng.below(lines.len());
        // Load balancing is not looked into, which a note tells.
        let balanced = [
            "delay_loop",
            "lb_",
            "protocol",
            "real_server",
            "weight 1",
            "virtual_server",
        ];
        let inside = lines.iter().any(|l| l.starts_with("virtual_server"));
        if inside
            && balanced
                .iter()
                .any(|word| lines[at].trim().starts_with(word))
        {
            continue;
        }
        match rng.below(10) {
            0 => {
                lines.remove(at);
            }
            1 => {
                let line = lines[at].clone();
                lines.insert(at, line);
            }
            2 => lines.insert(at, rng.pick(UNKNOWN).to_owned()),
            3 => {
                let line = &mut lines[at];
                let words: Vec<&str> = line.split_whitespace().collect();
                *line = words[..words.len().saturating_sub(1)].join(" ");
            }
            4 => {
                let line = &mut lines[at];
                if let Some(i) = line.find(|c: char| c.is_ascii_lowercase()) {
                    line.remove(i);
                }
            }
            5 => lines[at].push_str(rng.pick(&[" x", " 5", " # c", "x", " {", " }"])),
            6 => {
                // A value out of another place.
                let from = rng.below(lines.len());
                let word = lines[from].split_whitespace().last().map(str::to_owned);
                if let (Some(word), Some((keyword, _))) = (word, lines[at].trim().split_once(' ')) {
                    lines[at] = format!("    {keyword} {word}");
                }
            }
            7 => {
                let next = lines.get(at + 1).cloned().unwrap_or_default();
                lines[at].push(' ');
                lines[at].push_str(next.trim());
                if at + 1 < lines.len() {
                    lines.remove(at + 1);
                }
            }
            8 => {
                let line = &mut lines[at];
                if let Some((keyword, value)) = line.trim().split_once(' ')
                    && !value.contains(['{', '}', '"'])
                {
                    *line = format!("    {keyword} \"{value}\"");
                }
            }
            _ => {
                let to = rng.below(lines.len());
                lines.swap(at, to);
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n") + "\n"
}

/// What keepalived said.
struct Verdict {
    /// Its exit status; `None` if it crashed.
    status: Option<i32>,
    told: String,
}

/// What that amounts to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Accepted,
    Refused,
    /// It crashed, or its status 6 hides whether it objects to anything else.
    Nothing,
}

impl Verdict {
    fn says(&self) -> Says {
        let mut others = self
            .told
            .lines()
            .filter(|l| !l.starts_with("SECURITY VIOLATION"));
        match self.status {
            Some(0) => Says::Accepted,
            Some(6) if others.all(|l| l.trim().is_empty()) => Says::Accepted,
            Some(6) | None => Says::Nothing,
            Some(_) => Says::Refused,
        }
    }
}

/// 2.2.7 runs round in a circle over some files.
const PATIENCE: Duration = Duration::from_secs(1);

fn ask_keepalived(path: &Path) -> Verdict {
    let said = path.with_extension("said");
    let file = fs::File::create(&said).expect("made");
    let mut child = Command::new(KEEPALIVED)
        .arg("-t")
        .arg("-f")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .expect("keepalived starts");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break status.code(),
            None if Instant::now() > until => {
                child.kill().expect("our own child");
                child.wait().expect("our own child");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let told = fs::read(&said).expect("readable");
    Verdict {
        status,
        told: String::from_utf8_lossy(&told).into_owned(),
    }
}

/// Why the verdicts differ in a way that no list explains, if they do. `met` counts what explained.
fn compare(
    theirs: &Verdict,
    loaded: &conf::Loaded,
    met: &mut BTreeMap<&'static str, usize>,
) -> Option<String> {
    let ours = conf::exit_code(&loaded.diagnostics, false);
    if theirs.says() == Says::Nothing {
        return None;
    }
    if theirs.says() == Says::Accepted {
        // What keepalived does not read may contradict anything.
        if loaded
            .diagnostics
            .iter()
            .any(|d| d.code == "two-directives")
        {
            *met.entry("two-directives").or_default() += 1;
            return None;
        }
        for d in &loaded.diagnostics {
            let known =
                |(code, part, _): &(&str, &str, &str)| *code == d.code && d.text.contains(part);
            if d.severity == Severity::Note || OUR_ERRORS.iter().any(known) {
                continue;
            }
            match OURS.iter().find(|(code, _)| *code == d.code) {
                Some((code, _)) if d.severity == Severity::Warning => {
                    *met.entry(code).or_default() += 1
                }
                _ => return Some(format!("keepalived accepts it, but {} here", d.code)),
            }
        }
        return None;
    }
    if ours > 0 {
        return None;
    }
    let unexplained = theirs
        .told
        .lines()
        .filter(|line| !line.trim().is_empty())
        .find(|line| !THEIRS.iter().any(|(part, _)| line.contains(part)));
    match unexplained {
        Some(line) => Some(format!(
            "keepalived objects ({:?}), we do not: {line}",
            theirs.status
        )),
        None if theirs.told.trim().is_empty() => Some(format!(
            "keepalived ends with {:?} without a word",
            theirs.status
        )),
        None => None,
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn ip(batch: &[&str]) {
    for line in batch {
        let done = Command::new("ip").args(line.split(' ')).status();
        assert!(done.is_ok_and(|s| s.success()), "ip {line}");
    }
}

/// Runs on a thread of its own, in a network that ends with it.
fn judge_all() -> (usize, Vec<String>, BTreeMap<&'static str, usize>) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace of its own");
    ip(&[
        "link set lo up",
        "link add eth0 type veth peer name eth1",
        "addr add 10.0.0.5/24 dev eth0",
        "link set eth0 up",
        "link set eth1 up",
    ]);
    let mut cases = number("CASES", 600) as usize;
    let budget = Duration::from_secs(if cases > 600 { 3600 } else { 40 });
    let mut rng = Rng(number("SEED", 1));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("generated.conf");
    let (mut accepted, mut silent, mut wrong, mut met) = (0, 0, Vec::new(), BTreeMap::new());
    let begun = Instant::now();
    for case in 0..cases {
        // A busy machine plays fewer of them; how many is printed.
        if case >= 300 && begun.elapsed() > budget {
            cases = case;
            break;
        }
        let kind = case % 3;
        let file = File {
            wrong: if kind == 1 { 8 } else { 0 },
            rng: &mut rng,
            text: String::new(),
        };
        let mut text = file.whole();
        if kind == 2 {
            text = mutate(&mut rng, &text);
        }
        fs::write(&path, &text).expect("written");
        let theirs = ask_keepalived(&path);
        let loaded = conf::load(&path, &Options::default());
        accepted += usize::from(theirs.says() == Says::Accepted);
        silent += usize::from(theirs.says() == Says::Nothing);
        if let Some(keep) = std::env::var_os("KEEP")
            && theirs.says() == Says::Nothing
        {
            let name = format!("{case}-{:?}.conf", theirs.status);
            fs::write(Path::new(&keep).join(name), &text).expect("written");
        }
        if let Some(why) = compare(&theirs, &loaded, &mut met) {
            let report = conf::render(&loaded.diagnostics, &loaded.sources, false);
            wrong.push(format!(
                "== case {case}: {why}\n{text}-- keepalived: {:?}\n{}-- here:\n{report}",
                theirs.status, theirs.told
            ));
        }
    }
    println!("{silent} of {cases} files draw no verdict from keepalived");
    assert!(silent * 3 < cases, "{silent} of {cases} draw no verdict");
    (accepted, wrong, met)
}

#[test]
fn verdicts_agree_with_keepaliveds() {
    const NAME: &str = "verdicts_agree_with_keepaliveds";
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIP {NAME}: needs root");
        return;
    }
    if !Path::new(KEEPALIVED).exists() {
        eprintln!("SKIP {NAME}: needs {KEEPALIVED} (package keepalived)");
        return;
    }
    let (accepted, wrong, met) = std::thread::spawn(judge_all).join().expect("judged");
    println!("{accepted} files accepted by keepalived; explained differences: {met:?}");
    assert!(accepted > 50, "only {accepted} files are sound");
    let shown: Vec<_> = wrong
        .iter()
        .take(number("SHOW", 5) as usize)
        .cloned()
        .collect();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        shown.join("\n")
    );
}
