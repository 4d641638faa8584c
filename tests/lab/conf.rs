//! Configurations in keepalived's language (and FRR's) for the routers of a lab.

use super::lab;
use std::fmt::Write as _;

/// One `vrrp_instance`.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: String,
    pub vrid: u8,
    pub version: u8,
    pub six: bool,
    pub priority: u8,
    /// Seconds; whole for version 2.
    pub interval: f64,
    /// Address entries as they stand in `virtual_ipaddress`.
    pub vips: Vec<String>,
    pub unicast: bool,
    pub state: &'static str,
    pub interface: &'static str,
    /// Further lines.
    pub extra: String,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    /// Lines inside `global_defs`.
    pub globals: String,
    /// Blocks before the instances, such as `vrrp_script`.
    pub blocks: String,
    /// Further words on the command line of Mainstay.
    pub args: Vec<&'static str>,
    pub instances: Vec<Instance>,
}

impl Instance {
    /// VRID 51 over IPv4, version 3, every 0.2 s, for 10.9.0.51.
    pub fn v3(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            vrid: 51,
            version: 3,
            six: false,
            priority,
            interval: 0.2,
            vips: vec!["10.9.0.51/24".to_owned()],
            unicast: false,
            state: "BACKUP",
            interface: "eth0",
            extra: String::new(),
        }
    }

    /// The same in version 2, every second.
    pub fn v2(priority: u8) -> Self {
        Self {
            version: 2,
            interval: 1.0,
            ..Self::v3(priority)
        }
    }

    /// The same over IPv6, link-local address first.
    pub fn six(priority: u8) -> Self {
        Self {
            six: true,
            vips: vec!["fe80::9:51/64".to_owned(), "fd00:9::51/64".to_owned()],
            ..Self::v3(priority)
        }
    }

    /// The same by unicast to all other routers of the lab.
    pub fn unicast(mut self) -> Self {
        self.unicast = true;
        self
    }

    /// With further lines.
    pub fn with(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// With this interval in seconds.
    pub fn every(mut self, interval: f64) -> Self {
        self.interval = interval;
        self
    }

    /// With these address entries.
    pub fn vips(mut self, vips: &[&str]) -> Self {
        self.vips = vips.iter().map(|v| (*v).to_owned()).collect();
        self
    }

    /// With this VRID, named after it.
    pub fn vrid(mut self, vrid: u8) -> Self {
        self.vrid = vrid;
        self.name = format!("VI_{vrid}");
        self
    }

    /// The addresses without prefix and options.
    pub fn addresses(&self) -> Vec<&str> {
        self.vips
            .iter()
            .filter_map(|v| v.split(['/', ' ']).next())
            .collect()
    }

    /// Skew_Time at `priority` in seconds (RFC 9568 §6.1, RFC 3768 §6.1).
    pub fn skew(&self, priority: u8) -> f64 {
        let unit = if self.version == 2 {
            1.0
        } else {
            self.interval
        };
        (256.0 - f64::from(priority)) / 256.0 * unit
    }

    /// Active_Down_Interval at `priority` in seconds.
    pub fn down(&self, priority: u8) -> f64 {
        3.0 * self.interval + self.skew(priority)
    }

    fn write(&self, host: usize, hosts: usize, out: &mut String) {
        let _ = writeln!(out, "vrrp_instance {} {{", self.name);
        let _ = writeln!(
            out,
            "    state {}\n    interface {}",
            self.state, self.interface
        );
        let _ = writeln!(out, "    virtual_router_id {}", self.vrid);
        let _ = writeln!(out, "    version {}", self.version);
        let _ = writeln!(
            out,
            "    priority {}\n    advert_int {}",
            self.priority, self.interval
        );
        if self.unicast {
            let address = if self.six { lab::global6 } else { lab::v4 };
            let _ = writeln!(out, "    unicast_src_ip {}", address(host));
            let _ = writeln!(out, "    unicast_peer {{");
            for peer in (1..=hosts).filter(|p| *p != host) {
                let _ = writeln!(out, "        {}", address(peer));
            }
            let _ = writeln!(out, "    }}");
        }
        let _ = writeln!(out, "    virtual_ipaddress {{");
        for vip in &self.vips {
            let _ = writeln!(out, "        {vip}");
        }
        let _ = writeln!(out, "    }}");
        for line in self.extra.lines() {
            let _ = writeln!(out, "    {line}");
        }
        let _ = writeln!(out, "}}");
    }
}

impl Conf {
    /// One instance and nothing else.
    pub fn one(instance: Instance) -> Self {
        Self {
            instances: vec![instance],
            ..Self::default()
        }
    }

    /// With these blocks before the instances.
    pub fn blocks(mut self, blocks: &str) -> Self {
        self.blocks.push_str(blocks);
        self.blocks.push('\n');
        self
    }

    /// With these lines in `global_defs`.
    pub fn globals(mut self, lines: &str) -> Self {
        self.globals.push_str(lines);
        self.globals.push('\n');
        self
    }

    /// In keepalived's language, for router number `host` of `hosts`.
    pub fn text(&self, host: usize, hosts: usize) -> String {
        let mut out = format!("global_defs {{\n    script_user root\n{}}}\n", self.globals);
        out.push_str(&self.blocks);
        for instance in &self.instances {
            instance.write(host, hosts, &mut out);
        }
        out
    }

    /// In the language of FRR's vrrpd.
    pub fn frr(&self) -> String {
        let mut out = String::from("interface eth0\n");
        for one in &self.instances {
            let id = one.vrid;
            let _ = writeln!(out, " vrrp {id} version {}", one.version);
            let _ = writeln!(out, " vrrp {id} priority {}", one.priority);
            let _ = writeln!(
                out,
                " vrrp {id} advertisement-interval {}",
                one.interval * 1000.0
            );
            let word = if one.six { "ipv6" } else { "ip" };
            for address in one.addresses() {
                let _ = writeln!(out, " vrrp {id} {word} {address}");
            }
        }
        out.push_str("exit\n");
        out
    }
}
