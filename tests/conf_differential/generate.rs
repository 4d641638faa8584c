//! Files that are nearly right.

use super::*;

/// A small generator: the same seed gives the same files.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
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
pub(super) struct File<'r> {
    pub(super) rng: &'r mut Rng,
    /// One in so many values is taken from the unsound ones; 0 for none.
    pub(super) wrong: usize,
    pub(super) text: String,
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

    pub(super) fn whole(mut self) -> String {
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
pub(super) fn mutate(rng: &mut Rng, text: &str) -> String {
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
