//! Given and when: settings made in a line, hosts on LANs, and what happens to them.

use crate::core::action::Change;
use crate::model::addr::{Cidr, Mac, VirtualAddress};
use crate::model::feed::Feed;
use crate::model::ids::{Family, LinkId, Version, Vrid};
use crate::model::order::Order;
use crate::model::priority::{Priority, Weight};
use crate::model::seen::TrackedSeen;
use crate::model::settings::{
    AuthSettings, CheckSettings, Command, ExternalSettings, GarpSettings, GlobalSettings,
    NotifySettings, RouterSettings, Settings, TrackSettings, TransportSettings,
};
use crate::model::time::Instant;
use crate::sim::host::Host;
use crate::sim::kernel::{Kernel, Link};
use crate::sim::lan::{Fate, Lan, Quality};
use crate::sim::programs::Behaviour;
use crate::sim::world::World;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The first link of every simulated host, `eth0`.
pub const ETH0: LinkId = LinkId(2);

/// Something that happens to a world.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say who and what")]
pub enum Event {
    /// The daemon starts.
    Start { host: usize },
    /// kill -9.
    Kill { host: usize },
    /// SIGTERM.
    Stop { host: usize },
    /// SIGHUP with other settings.
    Reload {
        host: usize,
        settings: Arc<Settings>,
    },
    /// The file changes; nobody reads it before the next start.
    NextStart {
        host: usize,
        settings: Arc<Settings>,
    },
    /// SIGSTOP, and SIGCONT so much later.
    Stall { host: usize, length: Duration },
    /// One hears the other no longer.
    Cut { lan: usize, from: usize, to: usize },
    /// One hears the other again.
    Heal { lan: usize, from: usize, to: usize },
    /// Of what one sends to the other from now on, frame number `nth`, counted from 0, meets this.
    Doom {
        lan: usize,
        from: usize,
        to: usize,
        nth: u32,
        fate: Fate,
    },
    /// Everybody hears everybody.
    HealAll { lan: usize },
    /// The LAN carries like this from now on.
    Quality { lan: usize, quality: Quality },
    /// A link goes down or up.
    Plug { host: usize, link: LinkId, up: bool },
    /// A link disappears or appears.
    Exists {
        host: usize,
        link: LinkId,
        exists: bool,
    },
    /// Someone else adds or removes an address.
    Meddle {
        host: usize,
        link: LinkId,
        cidr: Cidr,
        change: Change,
    },
    /// The kernel refuses an address with this errno, or no longer.
    Refuse {
        host: usize,
        address: IpAddr,
        errno: Option<i32>,
    },
    /// A script does this from its next run on.
    Script {
        host: usize,
        script: Arc<str>,
        behaviour: Behaviour,
    },
    /// The next runs of a script do these.
    ScriptNext {
        host: usize,
        script: Arc<str>,
        behaviours: Vec<Behaviour>,
    },
    /// An operator asks for something.
    Order { host: usize, order: Order },
    /// A tracked file or process is found to be so.
    Tracked { host: usize, seen: TrackedSeen },
    /// Another program reports on an external tracker.
    Feed { host: usize, feed: Feed },
    /// A packet from a stranger.
    Stranger { lan: usize, bytes: Vec<u8> },
}

impl Event {
    /// The host it happens to, if it is one.
    pub const fn host(&self) -> Option<usize> {
        match self {
            Self::Start { host }
            | Self::Kill { host }
            | Self::Stop { host }
            | Self::Reload { host, .. }
            | Self::NextStart { host, .. }
            | Self::Stall { host, .. }
            | Self::Plug { host, .. }
            | Self::Exists { host, .. }
            | Self::Meddle { host, .. }
            | Self::Refuse { host, .. }
            | Self::Script { host, .. }
            | Self::Order { host, .. }
            | Self::Tracked { host, .. }
            | Self::Feed { host, .. }
            | Self::ScriptNext { host, .. } => Some(*host),
            Self::Cut { .. }
            | Self::Heal { .. }
            | Self::Doom { .. }
            | Self::HealAll { .. }
            | Self::Quality { .. }
            | Self::Stranger { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { .. } => f.write_str("starts"),
            Self::Kill { .. } => f.write_str("is killed"),
            Self::Stop { .. } => f.write_str("is stopped politely"),
            Self::Reload { .. } => f.write_str("reloads"),
            Self::NextStart { .. } => f.write_str("gets another file"),
            Self::Stall { length, .. } => write!(f, "sleeps for {length:?}"),
            Self::Cut { lan, from, to } => {
                write!(f, "LAN {lan}: host {to} no longer hears host {from}")
            }
            Self::Heal { lan, from, to } => {
                write!(f, "LAN {lan}: host {to} hears host {from} again")
            }
            Self::Doom {
                lan,
                from,
                to,
                nth,
                fate,
            } => write!(
                f,
                "LAN {lan}: frame {nth} from now of host {from} to host {to}: {fate:?}"
            ),
            Self::HealAll { lan } => write!(f, "LAN {lan} is whole again"),
            Self::Quality { lan, quality } => write!(f, "LAN {lan} carries like {quality:?}"),
            Self::Plug { link, up, .. } => {
                write!(
                    f,
                    "link {} goes {}",
                    link.0,
                    if *up { "up" } else { "down" }
                )
            }
            Self::Exists { link, exists, .. } => {
                let verb = if *exists { "appears" } else { "disappears" };
                write!(f, "link {} {verb}", link.0)
            }
            Self::Meddle { cidr, change, .. } => match change {
                Change::Add => write!(f, "someone adds {cidr}"),
                Change::Remove => write!(f, "someone removes {cidr}"),
            },
            Self::Refuse { address, errno, .. } => match errno {
                Some(errno) => write!(f, "refuses {address} from now on (errno {errno})"),
                None => write!(f, "refuses {address} no longer"),
            },
            Self::Script {
                script, behaviour, ..
            } => write!(f, "script {script} does {behaviour:?} from now on"),
            Self::ScriptNext {
                script, behaviours, ..
            } => write!(f, "script {script} does {behaviours:?} next"),
            Self::Order { order, .. } => write!(f, "is asked for {:?}", order.what),
            Self::Tracked { seen, .. } => write!(f, "finds {seen:?}"),
            Self::Feed { feed, .. } => write!(f, "hears {} of {}", feed.reading, feed.name),
            Self::Stranger { lan, bytes } => {
                write!(f, "LAN {lan}: a stranger sends {} octets", bytes.len())
            }
        }
    }
}

/// A virtual router in the making: VRID 51, version 3, IPv4, priority 100, every second, `eth0`,
/// 10.0.0.200/24.
#[derive(Clone, Debug)]
pub struct RouterMaker(RouterSettings);

/// Begins a virtual router.
pub fn router(name: &str) -> RouterMaker {
    RouterMaker(RouterSettings {
        name: name.into(),
        interface: "eth0".into(),
        vrid: vrid(51),
        family: Family::V4,
        version: Version::V3,
        start_active: false,
        priority: Priority::DEFAULT,
        adver: Duration::from_secs(1),
        transport: TransportSettings::Multicast,
        source: None,
        auth: AuthSettings::None,
        checksum_as_v2: false,
        preempt: true,
        preempt_delay: Duration::ZERO,
        down_adverts: 3,
        addresses: vec![vip(IpAddr::from([10, 0, 0, 200]))],
        excluded: Vec::new(),
        strict: false,
        dont_track_primary: false,
        skip_check_addrs: false,
        drop_mismatch: false,
        check_unicast_src: false,
        lower_prio_no_advert: false,
        higher_prio_send_advert: false,
        owner_ignore_adverts: false,
        timer_expired_backup: None,
        garp: GarpSettings::default(),
        tracks: Vec::new(),
        track_links: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        track_sessions: Vec::new(),
        handover: crate::model::settings::Handover::default(),
        damping: None,
        all_failed: crate::model::settings::AllFailed::default(),
        notify: NotifySettings::default(),
    })
}

/// 0 is no identifier: it is taken for 1.
fn vrid(id: u8) -> Vrid {
    Vrid::new(id.max(1)).unwrap_or(const { Vrid::new(1).expect("1 is not 0") })
}

/// A virtual address with /24 or /64.
pub fn vip(addr: impl Into<IpAddr>) -> VirtualAddress {
    let addr = addr.into();
    let len = if addr.is_ipv4() { 24 } else { 64 };
    VirtualAddress::plain(Cidr { addr, len })
}

impl RouterMaker {
    /// VRID; 0 is taken for 1.
    pub fn vrid(mut self, id: u8) -> Self {
        self.0.vrid = vrid(id);
        self
    }

    /// Base priority; 0 is taken for 1.
    pub fn priority(mut self, priority: u8) -> Self {
        self.0.priority = Priority::new(priority).unwrap_or(Priority::contender(1));
        self
    }

    /// Advertisement interval.
    pub const fn adver(mut self, adver: Duration) -> Self {
        self.0.adver = adver;
        self
    }

    /// Version 2.
    pub const fn v2(mut self) -> Self {
        self.0.version = Version::V2;
        self
    }

    /// IPv6 with fe80::200.
    pub fn v6(mut self) -> Self {
        self.0.family = Family::V6;
        self.0.addresses = vec![vip(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x200]))];
        self
    }

    /// Another interface.
    pub fn on(mut self, interface: &str) -> Self {
        self.0.interface = interface.into();
        self
    }

    /// These addresses instead.
    pub fn vips(mut self, addresses: impl IntoIterator<Item = VirtualAddress>) -> Self {
        self.0.addresses = addresses.into_iter().collect();
        self
    }

    /// `nopreempt`.
    pub const fn nopreempt(mut self) -> Self {
        self.0.preempt = false;
        self
    }

    /// `preempt_delay`.
    pub const fn preempt_delay(mut self, delay: Duration) -> Self {
        self.0.preempt_delay = delay;
        self
    }

    /// `state MASTER`.
    pub const fn start_active(mut self) -> Self {
        self.0.start_active = true;
        self
    }

    /// `unicast_peer`.
    pub fn unicast(mut self, source: impl Into<IpAddr>, peers: &[IpAddr]) -> Self {
        self.0.source = Some(source.into());
        self.0.transport = TransportSettings::Unicast {
            peers: peers.to_vec(),
        };
        self
    }

    /// `track_script` with this weight, kept within -253..=253.
    pub fn track(self, check: &str, weight: i16) -> Self {
        self.track_as(check, weight, false)
    }

    /// `track_script` with this weight and `reverse`.
    pub fn track_as(mut self, check: &str, weight: i16, reverse: bool) -> Self {
        self.0.tracks.push(TrackSettings {
            check: check.into(),
            weight: Weight::new(weight.clamp(-253, 253)).unwrap_or_default(),
            reverse,
        });
        self
    }

    /// Anything else.
    pub fn with(mut self, change: impl FnOnce(&mut RouterSettings)) -> Self {
        change(&mut self.0);
        self
    }

    /// What was made.
    pub fn settings(self) -> RouterSettings {
        self.0
    }
}

/// A track script in the making: every second, timeout a second, rise 1, fall 1, weight 0.
#[derive(Clone, Debug)]
pub struct CheckMaker(CheckSettings);

/// Begins a track script.
pub fn check(name: &str) -> CheckMaker {
    CheckMaker(CheckSettings {
        name: name.into(),
        command: Command {
            argv: vec![name.into()],
            user: None,
        },
        probe: None,
        external: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        weight: Weight::FAULT,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        thresholds: Default::default(),
        unusable: None,
    })
}

impl CheckMaker {
    /// Start to start.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.0.interval = interval;
        self
    }

    /// Longest run.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Successes that make it up.
    pub const fn rise(mut self, rise: u32) -> Self {
        self.0.rise = rise;
        self
    }

    /// Failures that make it down.
    pub const fn fall(mut self, fall: u32) -> Self {
        self.0.fall = fall;
        self
    }

    /// Anything else.
    pub fn with(mut self, change: impl FnOnce(&mut CheckSettings)) -> Self {
        change(&mut self.0);
        self
    }

    /// `external`, with this lease for reports that name none.
    pub fn external(mut self, lease: Option<Duration>) -> Self {
        self.0.command.argv = vec!["external".into()];
        self.0.external = Some(ExternalSettings { lease, user: None });
        self
    }

    /// `init_fail`.
    pub const fn init_fail(mut self) -> Self {
        self.0.init_fail = true;
        self
    }

    /// What was made.
    pub fn settings(self) -> CheckSettings {
        self.0
    }
}

/// Settings of these routers and checks.
pub fn settings(
    routers: impl IntoIterator<Item = RouterMaker>,
    checks: impl IntoIterator<Item = CheckMaker>,
) -> Settings {
    Settings {
        files: Vec::new(),
        processes: Vec::new(),
        groups: Vec::new(),
        global: GlobalSettings::default(),
        checks: checks.into_iter().map(|c| Arc::new(c.0)).collect(),
        routers: routers.into_iter().map(|r| Arc::new(r.0)).collect(),
        ..Settings::default()
    }
}

/// A host in the making, on every LAN with one link: `eth0` on the first, `eth1` on the second.
#[derive(Clone, Debug)]
pub struct HostMaker {
    name: Arc<str>,
    settings: Settings,
    starts: Option<Duration>,
    uptime: Duration,
    kernel: Duration,
    scripts: Vec<(Arc<str>, Behaviour)>,
    leftovers: Vec<Cidr>,
}

/// Begins a host that starts at once on a machine that has been up for an hour.
pub fn host(name: &str) -> HostMaker {
    HostMaker {
        name: name.into(),
        settings: Settings::default(),
        starts: Some(Duration::ZERO),
        uptime: Duration::from_secs(3600),
        kernel: Duration::from_micros(150),
        scripts: Vec::new(),
        leftovers: Vec::new(),
    }
}

impl HostMaker {
    /// One more virtual router.
    pub fn router(mut self, router: RouterMaker) -> Self {
        self.settings.routers.push(Arc::new(router.0));
        self
    }

    /// One more track script, and what it does.
    pub fn check(mut self, check: CheckMaker, behaviour: Behaviour) -> Self {
        self.scripts.push((check.0.name.clone(), behaviour));
        self.settings.checks.push(Arc::new(check.0));
        self
    }

    /// `global_defs`.
    pub fn global(mut self, change: impl FnOnce(&mut GlobalSettings)) -> Self {
        change(&mut self.settings.global);
        self
    }

    /// These settings instead.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts so late.
    pub const fn starts(mut self, after: Duration) -> Self {
        self.starts = Some(after);
        self
    }

    /// Does not start by itself.
    pub const fn starts_never(mut self) -> Self {
        self.starts = None;
        self
    }

    /// The machine's uptime at the beginning.
    pub const fn uptime(mut self, uptime: Duration) -> Self {
        self.uptime = uptime;
        self
    }

    /// Time the kernel takes for one address.
    pub const fn kernel_takes(mut self, each: Duration) -> Self {
        self.kernel = each;
        self
    }

    /// An address an earlier run left on `eth0`.
    pub fn leftover(mut self, cidr: Cidr) -> Self {
        self.leftovers.push(cidr);
        self
    }
}

/// A whole setting: LANs, hosts and a script.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    lans: Vec<Quality>,
    hosts: Vec<HostMaker>,
    events: Vec<(Duration, Event)>,
}

impl Scenario {
    /// One good LAN, nobody on it.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            lans: vec![Quality::GOOD],
            hosts: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The first LAN carries like this.
    pub fn quality(mut self, quality: Quality) -> Self {
        if let Some(first) = self.lans.first_mut() {
            *first = quality;
        }
        self
    }

    /// One more LAN.
    pub fn lan(mut self, quality: Quality) -> Self {
        self.lans.push(quality);
        self
    }

    /// One more host, numbered from 0.
    pub fn host(mut self, host: HostMaker) -> Self {
        self.hosts.push(host);
        self
    }

    /// Something happens then.
    pub fn at(mut self, after: Duration, event: Event) -> Self {
        self.events.push((after, event));
        self
    }

    /// The world at its beginning.
    pub fn world(self) -> World {
        let lans = self.lans.iter().map(|&q| Lan::new(q)).collect();
        let mut starts = Vec::new();
        let mut hosts = Vec::new();
        for (index, maker) in self.hosts.into_iter().enumerate() {
            let links = (0..self.lans.len()).map(|lan| link(index, lan)).collect();
            let mut kernel = Kernel::new(links, maker.kernel);
            for cidr in maker.leftovers {
                kernel.meddle(ETH0, cidr, true);
            }
            let settings = Arc::new(maker.settings);
            let mut host = Host::new(index, maker.name, settings, kernel, maker.uptime);
            for (script, behaviour) in maker.scripts {
                host.programs.set(&script, behaviour);
            }
            hosts.push(host);
            starts.extend(maker.starts.map(|after| (after, index)));
        }
        let mut world = World::new(self.seed, lans, hosts);
        for (after, host) in starts {
            world.at(Instant::ZERO + after, Event::Start { host });
        }
        for (after, event) in self.events {
            world.at(Instant::ZERO + after, event);
        }
        world
    }
}

/// The own IPv4 address of a host: 10.0.LAN.(HOST+1).
pub fn own_v4(host: usize, lan: usize) -> IpAddr {
    IpAddr::from([10, 0, octet(lan), octet(host + 1)])
}

/// The own IPv6 link-local address of a host: fe80::LAN:(HOST+1).
pub fn own_v6(host: usize, lan: usize) -> IpAddr {
    let (lan, host) = (u16::from(octet(lan)), u16::from(octet(host + 1)));
    IpAddr::from([0xfe80, 0, 0, 0, 0, 0, lan, host])
}

fn octet(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

fn link(host: usize, lan: usize) -> Link {
    let own = [(own_v4(host, lan), 24), (own_v6(host, lan), 64)]
        .map(|(addr, len)| Cidr { addr, len })
        .to_vec();
    let mac = Mac([2, 0, 0, 0, octet(lan), octet(host + 1)]);
    let id = LinkId(ETH0.0 + u32::from(octet(lan)));
    Link::new(id, &format!("eth{lan}"), lan, mac, own)
}
