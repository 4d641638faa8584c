//! What happened, in values; every log text lives here.

use crate::model::addr::Cidr;
use crate::model::ids::RouterId;
use crate::model::seen::Verdict;
use crate::model::settings::{GroupSettings, NotifySettings, RouterSettings};
use crate::model::time::Human;
pub use crate::model::why::{Heard, Why};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A state as keepalived's users know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Before the first decision.
    Init,
    /// Listening.
    Backup,
    /// Serving: RFC 9568's Active.
    Active,
    /// Cannot take part.
    Fault,
    /// The daemon stops.
    Stopped,
    /// Removed by a reload.
    Deleted,
}

/// The one translation from our words to keepalived's.
pub const fn keepalived_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Init => "INIT",
        Phase::Backup => "BACKUP",
        Phase::Active => "MASTER",
        Phase::Fault => "FAULT",
        Phase::Stopped => "STOP",
        Phase::Deleted => "DELETED",
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(keepalived_word(*self))
    }
}

/// Something worth a line in the log. Nobody may act on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The instance concerned, if one is.
    pub router: Option<Arc<str>>,
    /// What happened.
    pub what: What,
}

/// How loud a notice is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Detail.
    Debug,
    /// The normal course of things.
    Info,
    /// Something is wrong but handled.
    Warn,
}

/// Something tracked that moved a priority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mover {
    /// `script`, `file`, `process`, `interface`.
    pub kind: &'static str,
    /// Its name.
    pub name: Arc<str>,
}

/// What an instance does whose trackers fail under `all_failed hold`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Degraded {
    /// It serves and lets another router take over, if there is one.
    GivesWay,
    /// It listens with priority 1.
    StandsBack,
    /// It serves although it failed, because nobody else does.
    Serves,
    /// Its trackers are well again.
    Over,
}

impl Degraded {
    /// One stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::GivesWay => "gives_way",
            Self::StandsBack => "stands_back",
            Self::Serves => "serves",
            Self::Over => "over",
        }
    }
}

/// The kinds of notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A transition.
    Entering {
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Effective priority.
        priority: u8,
        /// Cause.
        why: Why,
        /// Number of the transition, counted over all instances.
        seq: u64,
    },
    /// A sync group's members are about to move together.
    GroupSync {
        /// The group.
        group: Arc<str>,
        /// To which state.
        to: Phase,
    },
    /// A sync group's transition.
    GroupEntering {
        /// The group.
        group: Arc<str>,
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Cause.
        why: Why,
        /// Number of the transition.
        seq: u64,
    },
    /// Fast tracked handover is off for this instance.
    HandoverOff {
        /// The peer that took over too early.
        from: IpAddr,
    },
    /// Flap damping begins to hold rises back.
    Damped {
        /// The penalty in thousandths.
        penalty: u32,
        /// Above this it began.
        limit: u32,
        /// At which priority it is held; `None` for FAULT.
        priority: Option<u8>,
        /// For about so long.
        length: Duration,
    },
    /// Flap damping holds nothing back any longer.
    DampingOver,
    /// The effective priority moved.
    Priority {
        /// Before.
        from: u8,
        /// After.
        to: u8,
        /// The sum before clamping.
        sum: i32,
        /// What moved it, if something tracked did.
        by: Option<Mover>,
    },
    /// A check rose or fell.
    Check {
        /// Its name.
        name: Arc<str>,
        /// Up now.
        up: bool,
        /// How the deciding run ended.
        verdict: Verdict,
        /// Tail of its stderr.
        stderr: Arc<str>,
    },
    /// The exit of a check changed without moving it.
    CheckExit {
        /// Its name.
        name: Arc<str>,
        /// How the run ended.
        verdict: Verdict,
        /// Its counter: `up 3/5`.
        counter: Arc<str>,
    },
    /// A check's run was still going when the next was due.
    CheckBusy {
        /// Its name.
        name: Arc<str>,
    },
    /// Nobody reported on an external tracker in time.
    LeaseOver {
        /// Its name.
        name: Arc<str>,
        /// How long the last report counted.
        lease: Duration,
        /// The user who made it.
        by: u32,
    },
    /// Trackers failed, or no longer do, where `all_failed hold` stands.
    Degraded {
        /// What is wrong, or was.
        why: Why,
        /// What comes of it.
        how: Degraded,
    },
    /// A lower-priority advert was heard while Active.
    LowerAdvert {
        /// From whom.
        from: IpAddr,
        /// Its priority.
        theirs: u8,
        /// Ours.
        ours: u8,
    },
    /// The same priority from our own address.
    SameAddress {
        /// The address.
        from: IpAddr,
    },
    /// An advert was refused, first time for this reason and peer.
    Rejected {
        /// From whom.
        from: IpAddr,
        /// The reason in words.
        reason: Arc<str>,
        /// How many before this one were counted and not told.
        silent: u64,
    },
    /// A VRID nobody here has (`log_unknown_vrids`).
    UnknownVrid {
        /// Which.
        vrid: u8,
        /// From whom.
        from: IpAddr,
        /// `log_unknown_vrids`: worth a warning.
        aloud: bool,
    },
    /// An advert of the Active router came late, or some before it did not come.
    LateAdvert {
        /// From whom.
        from: IpAddr,
        /// Since the one before it.
        gap: Duration,
        /// So many did not come.
        missed: u32,
        /// Like it before this one that were counted and not told.
        silent: u64,
    },
    /// If this tracker failed, nobody who was heard would take over.
    NoFailover {
        /// Which.
        tracker: Arc<str>,
        /// Our effective priority now.
        from: u8,
        /// What it would be.
        to: u8,
        /// The best of the others.
        peer: IpAddr,
        /// Its priority.
        theirs: u8,
        /// How long ago it was heard.
        ago: Duration,
    },
    /// The peer's address list is not ours; the advert is heeded all the same.
    AddressMismatch {
        /// From whom.
        from: IpAddr,
        /// In words: what is missing, what is more.
        difference: Arc<str>,
    },
    /// The peer's checksum has the other form.
    ChecksumForm {
        /// From whom.
        from: IpAddr,
        /// Whether the peer includes the pseudo-header.
        pseudo: bool,
    },
    /// The first IPv6 address in an advert is not link-local (RFC 9568 erratum 8300).
    NoLinkLocal {
        /// From whom.
        from: IpAddr,
    },
    /// The peer's interval is not ours (version 3: learned).
    Interval {
        /// From whom.
        from: IpAddr,
        /// Its interval.
        theirs: Duration,
        /// Ours.
        ours: Duration,
    },
    /// An address was removed by someone else and put back.
    Restored {
        /// Which.
        cidr: Cidr,
        /// How often by now.
        times: u32,
    },
    /// The kernel refused an address.
    Refused {
        /// Which.
        cidr: Cidr,
        /// Why.
        errno: i32,
    },
    /// An address left by an earlier run was removed.
    Scrubbed {
        /// Which.
        cidr: Cidr,
        /// Where.
        link: Arc<str>,
    },
    /// The loop woke late.
    Stalled {
        /// By how much.
        late: Duration,
    },
    /// An instance was created, changed or removed by a reload.
    Reloaded {
        /// `created`, `changed`, `removed`.
        how: &'static str,
    },
    /// Text made by the shell, for example an errno of a socket.
    Text {
        /// How loud.
        level: Level,
        /// The text.
        text: Arc<str>,
    },
}

impl What {
    /// The kind as one stable word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Entering { .. } => "transition",
            Self::GroupSync { .. } => "group_sync",
            Self::GroupEntering { .. } => "group_transition",
            Self::HandoverOff { .. } => "handover_off",
            Self::Damped { .. } => "flap_damped",
            Self::DampingOver => "flap_damping_over",
            Self::Priority { .. } => "priority",
            Self::Check { up: true, .. } => "script_up",
            Self::Check { up: false, .. } => "script_down",
            Self::CheckExit { .. } => "script_exit",
            Self::CheckBusy { .. } => "script_busy",
            Self::LeaseOver { .. } => "lease_over",
            Self::Degraded { .. } => "degraded",
            Self::LowerAdvert { .. } => "lower_advert",
            Self::SameAddress { .. } => "same_address",
            Self::Rejected { .. } => "advert_refused",
            Self::UnknownVrid { .. } => "unknown_vrid",
            Self::NoFailover { .. } => "no_failover",
            Self::LateAdvert { .. } => "advert_late",
            Self::AddressMismatch { .. } => "address_mismatch",
            Self::ChecksumForm { .. } => "checksum_form",
            Self::NoLinkLocal { .. } => "no_link_local",
            Self::Interval { .. } => "interval",
            Self::Restored { .. } => "address_restored",
            Self::Refused { .. } => "address_refused",
            Self::Scrubbed { .. } => "address_scrubbed",
            Self::Stalled { .. } => "stall",
            Self::Reloaded { .. } => "reload",
            Self::Text { .. } => "text",
        }
    }

    /// How loud it is.
    pub const fn level(&self) -> Level {
        match self {
            Self::Entering { .. }
            | Self::GroupSync { .. }
            | Self::GroupEntering { .. }
            | Self::Priority { .. }
            | Self::Scrubbed { .. }
            | Self::Reloaded { .. }
            | Self::CheckExit { .. }
            | Self::Degraded {
                how: Degraded::Over,
                ..
            }
            | Self::LateAdvert { .. }
            | Self::DampingOver
            | Self::Interval { .. } => Level::Info,
            Self::Check { up: true, .. } => Level::Info,
            Self::Check { up: false, .. }
            | Self::CheckBusy { .. }
            | Self::LeaseOver { .. }
            | Self::Degraded {
                how: Degraded::GivesWay | Degraded::StandsBack | Degraded::Serves,
                ..
            }
            | Self::LowerAdvert { .. }
            | Self::SameAddress { .. }
            | Self::Rejected { .. }
            | Self::UnknownVrid { aloud: true, .. }
            | Self::NoFailover { .. }
            | Self::AddressMismatch { .. }
            | Self::ChecksumForm { .. }
            | Self::NoLinkLocal { .. }
            | Self::Restored { .. }
            | Self::Refused { .. }
            | Self::HandoverOff { .. }
            | Self::Damped { .. }
            | Self::Stalled { .. } => Level::Warn,
            Self::UnknownVrid { aloud: false, .. } => Level::Debug,
            Self::Text { level, .. } => *level,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(router) = &self.router {
            write!(f, "({router}) ")?;
        }
        self.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entering {
                from,
                to,
                priority,
                why,
                ..
            } => write!(
                f,
                "Entering {to} STATE (was {from}, effective priority {priority}): {why}"
            ),
            Self::GroupSync { group, to } => {
                write!(f, "VRRP_Group({group}) Syncing instances to {to} state")
            }
            Self::GroupEntering { group, to, why, .. } => {
                write!(f, "VRRP_Group({group}) Entering {to} STATE: {why}")
            }
            Self::HandoverOff { from } => write!(
                f,
                "{from} took over with a lower priority sooner than its Skew_Time allows: fast \
                 handover is off for this instance until reload (track_handover off silences this)"
            ),
            Self::Damped {
                penalty,
                limit,
                priority,
                length,
            } => {
                let place = match priority {
                    Some(priority) => format!("at priority {priority} or below"),
                    None => "in FAULT".to_owned(),
                };
                write!(
                    f,
                    "flap damping: trackers moved it too often (penalty {}.{}, limit {limit}); it stays {place} \
                     for about {}, unless nobody else is heard",
                    penalty / 1000,
                    penalty % 1000 / 100,
                    Human(*length)
                )
            }
            Self::DampingOver => {
                f.write_str("flap damping is over: rises of the priority count again")
            }
            Self::Priority { from, to, sum, by } => {
                write!(f, "Changing effective priority from {from} to {to}")?;
                match *sum {
                    1..=254 if i32::from(*to) != *sum => write!(f, " (instead of {sum})")?,
                    1..=255 => {}
                    _ => write!(f, " (sum {sum}, clamped)")?,
                }
                match by {
                    Some(Mover { kind, name }) => write!(f, ": {kind} {name}"),
                    None => Ok(()),
                }
            }
            Self::Check {
                name,
                verdict,
                stderr,
                ..
            } => {
                write!(f, "VRRP_Script({name}) {verdict}")?;
                if stderr.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {stderr}")
                }
            }
            Self::CheckExit {
                name,
                verdict,
                counter,
            } => match verdict {
                Verdict::Pass => write!(f, "Script `{name}` now returning 0 ({counter})"),
                Verdict::Fail(status) => {
                    write!(f, "Script `{name}` now returning {status} ({counter})")
                }
                Verdict::Signalled(_)
                | Verdict::TimedOut
                | Verdict::NotStarted(_)
                | Verdict::Lost
                | Verdict::Reported { .. }
                | Verdict::LeaseOver => write!(f, "Script `{name}` {verdict} ({counter})"),
            },
            Self::CheckBusy { name } => {
                write!(f, "VRRP_Script({name}) is still running - skipping run")
            }
            Self::LeaseOver { name, lease, by } => write!(
                f,
                "Tracker {name}: the lease of {} that user {by} set was not renewed",
                Human(*lease)
            ),
            Self::Degraded { why, how } => match how {
                Degraded::GivesWay => write!(
                    f,
                    "{why}: gives way to whoever takes over, and serves on if nobody does"
                ),
                Degraded::StandsBack => {
                    write!(f, "{why}: priority 1, serves only if nobody else does")
                }
                Degraded::Serves => write!(
                    f,
                    "degraded: serves although {why} because nobody else took over"
                ),
                Degraded::Over => {
                    write!(f, "no longer degraded: what failed is well again ({why})")
                }
            },
            Self::LowerAdvert { from, theirs, ours } => write!(
                f,
                "Received advert from {from} with lower priority {theirs}, ours {ours}"
            ),
            Self::SameAddress { from } => write!(
                f,
                "advert with our priority from our own address {from}: two routers share it"
            ),
            Self::Rejected {
                from,
                reason,
                silent,
            } => {
                write!(f, "advert from {from} refused: {reason}")?;
                if *silent > 0 {
                    write!(f, " ({silent} more before)")
                } else {
                    Ok(())
                }
            }
            Self::UnknownVrid { vrid, from, .. } => {
                write!(f, "advert for unknown VRID {vrid} from {from}")
            }
            Self::LateAdvert {
                from,
                gap,
                missed,
                silent,
            } => {
                write!(f, "advert from {from} came {} after the last", Human(*gap))?;
                if *missed > 0 {
                    write!(f, ": {missed} missing")?;
                }
                if *silent > 0 {
                    write!(f, " ({silent} more gaps before)")?;
                }
                Ok(())
            }
            Self::NoFailover {
                tracker,
                from,
                to,
                peer,
                theirs,
                ago,
            } => write!(
                f,
                "if {tracker} fails we go {from} -> {to}, {peer} has {theirs} (heard {} ago): no failover",
                Human(*ago)
            ),
            Self::AddressMismatch { from, difference } => write!(
                f,
                "{from} advertises other addresses than ours ({difference}); heeded all the same"
            ),
            Self::ChecksumForm { from, pseudo: true } => write!(
                f,
                "{from} sums with the pseudo-header although v3_checksum_as_v2 is set here"
            ),
            Self::ChecksumForm {
                from,
                pseudo: false,
            } => write!(
                f,
                "{from} sums without the pseudo-header: set v3_checksum_as_v2 here"
            ),
            Self::NoLinkLocal { from } => write!(
                f,
                "the first address in the adverts of {from} is not link-local (RFC 9568 §5.2.9)"
            ),
            Self::Interval { from, theirs, ours } => write!(
                f,
                "{from} advertises every {}, our interval is {}",
                Human(*theirs),
                Human(*ours)
            ),
            Self::Restored { cidr, times } => {
                write!(
                    f,
                    "{cidr} was removed by someone else; put back ({times} times)"
                )
            }
            Self::Refused { cidr, errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "the kernel refused {cidr}: {error}")
            }
            Self::Scrubbed { cidr, link } => {
                write!(f, "removed {cidr} from {link}, left by an earlier run")
            }
            Self::Stalled { late } => write!(f, "woke {} late", Human(*late)),
            Self::Reloaded { how } => write!(f, "{how} by reload"),
            Self::Text { text, .. } => f.write_str(text),
        }
    }
}

/// What notify programs are told of one transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// Whose queue it belongs to.
    pub router: RouterId,
    /// Its settings at that time: name, programs, addresses.
    pub settings: Arc<RouterSettings>,
    /// The sync group that is told of, instead of the instance.
    pub group: Option<Arc<GroupSettings>>,
    /// From.
    pub from: Phase,
    /// What is told.
    pub to: Told,
    /// Effective priority.
    pub priority: u8,
    /// Cause.
    pub why: Why,
    /// Number of the transition, counted over all instances.
    pub seq: u64,
    /// The first transition of this instance in this run.
    pub first: bool,
}

impl Notification {
    /// Who is told of: `INSTANCE` or `GROUP`, and its name.
    pub fn subject(&self) -> (&'static str, Arc<str>) {
        match &self.group {
            Some(group) => ("GROUP", group.name.clone()),
            None => ("INSTANCE", self.settings.name.clone()),
        }
    }

    /// The programs that are told.
    pub fn programs(&self) -> &NotifySettings {
        match &self.group {
            Some(group) => &group.notify,
            None => &self.settings.notify,
        }
    }
}

/// What a notification tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Told {
    /// A state was entered.
    State(Phase),
    /// A lower-priority advert came while Active (`notify_master_rx_lower_pri`).
    LowerAdvert,
}
