//! Why a router changed its state, with the evidence.

use crate::model::addr::Cidr;
use crate::model::seen::Verdict;
use crate::model::time::Human;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What was last heard of another router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// From whom.
    pub from: IpAddr,
    /// Its priority; 0 if it released.
    pub priority: u8,
    /// How long ago.
    pub ago: Duration,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (priority {}) {} ago",
            self.from,
            self.priority,
            Human(self.ago)
        )
    }
}

/// Cause of a transition, with its evidence. The list is closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Why {
    /// The daemon started, or the instance was created.
    Startup,
    /// The owner claims at once.
    Owner,
    /// Nothing acceptable was heard for a whole Active_Down_Interval.
    Silence {
        /// Adverts that should have come.
        missed: u32,
        /// Who was last heeded.
        last: Option<Heard>,
    },
    /// The Active router resigned.
    Released {
        /// Who did.
        by: IpAddr,
    },
    /// Only lower priorities were heard, and we preempt.
    Preempt {
        /// Who was outranked.
        lower: Heard,
        /// Our effective priority.
        ours: u8,
    },
    /// A higher priority was heard.
    Outranked {
        /// By whom.
        by: IpAddr,
        /// Its priority.
        theirs: u8,
        /// Our effective priority.
        ours: u8,
    },
    /// The same priority from a higher address.
    TieLost {
        /// To whom.
        to: IpAddr,
        /// The priority of both.
        priority: u8,
    },
    /// A script with weight 0 is down.
    CheckFailed {
        /// Which.
        check: Arc<str>,
        /// How its last run ended.
        verdict: Option<Verdict>,
    },
    /// A script with weight 0 cannot be used (`script_unusable fault`).
    CheckUnusable {
        /// Which.
        check: Arc<str>,
        /// Why not, and the way out.
        reason: Arc<str>,
    },
    /// Trackers moved it too often: it stays in fault for a while.
    FlapDamping,
    /// A script has no result yet.
    CheckPending {
        /// Which.
        check: Arc<str>,
    },
    /// The interface is down or without carrier.
    LinkDown {
        /// Which.
        link: Arc<str>,
    },
    /// The interface does not exist.
    LinkAbsent {
        /// Which.
        link: Arc<str>,
    },
    /// The interface has no address that could be the source of adverts.
    NoAddress {
        /// Which.
        link: Arc<str>,
    },
    /// There is no socket for adverts on the interface.
    NoSocket {
        /// Which.
        link: Arc<str>,
    },
    /// The kernel refused an address.
    AddressRefused {
        /// Which.
        cidr: Cidr,
        /// Why.
        errno: i32,
    },
    /// Someone keeps removing an address.
    AddressLost {
        /// Which.
        cidr: Cidr,
        /// How often it was put back.
        restored: u32,
    },
    /// A tracked interface is up that must be down (`reverse`).
    LinkUp {
        /// Which.
        link: Arc<str>,
    },
    /// The number in a tracked file asks for fault.
    FileFault {
        /// Which `track_file`.
        file: Arc<str>,
        /// The number.
        value: i32,
    },
    /// A tracked process has no quorum.
    ProcessFault {
        /// Which `vrrp_track_process`.
        process: Arc<str>,
    },
    /// Another member of the sync group moved.
    GroupMember {
        /// The group.
        group: Arc<str>,
        /// The member.
        member: Arc<str>,
    },
    /// Trackers failed, and another router took over (`all_failed hold`).
    GaveWay {
        /// The tracker that failed, if it is its own and not a sync group's.
        tracker: Option<Arc<str>>,
        /// What is wrong with it.
        because: Arc<str>,
        /// Who took over.
        to: IpAddr,
    },
    /// An operator drained it.
    Drained,
    /// An operator had it take over.
    Operator,
    /// Whatever stood in the way is gone.
    Cleared,
    /// Our own advert timer fired too late (`timer_expired_backup`).
    Late {
        /// By how much.
        by: Duration,
    },
    /// A reload.
    Reload,
    /// The daemon stops.
    Stop,
}

impl Why {
    /// The cause as one stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Owner => "owner",
            Self::Silence { .. } => "advert_timeout",
            Self::Released { .. } => "prio_zero_received",
            Self::Preempt { .. } => "preempt",
            Self::Outranked { .. } => "higher_prio_advert",
            Self::TieLost { .. } => "higher_address",
            Self::CheckFailed { .. } => "check_failed",
            Self::CheckUnusable { .. } => "check_unusable",
            Self::FlapDamping => "flap_damping",
            Self::CheckPending { .. } => "check_pending",
            Self::LinkDown { .. } => "interface_down",
            Self::LinkAbsent { .. } => "interface_absent",
            Self::NoAddress { .. } => "no_address",
            Self::NoSocket { .. } => "no_socket",
            Self::AddressRefused { .. } => "vip_refused",
            Self::AddressLost { .. } => "vip_lost",
            Self::LinkUp { .. } => "interface_up",
            Self::FileFault { .. } => "file_fault",
            Self::ProcessFault { .. } => "process_fault",
            Self::GroupMember { .. } => "group_member",
            Self::GaveWay { .. } => "gave_way",
            Self::Drained => "drained",
            Self::Operator => "operator",
            Self::Cleared => "fault_cleared",
            Self::Late { .. } => "stall",
            Self::Reload => "reload",
            Self::Stop => "stop",
        }
    }

    /// The other router concerned, if there is one.
    pub const fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Silence {
                last: Some(Heard { from, .. }),
                ..
            } => Some(*from),
            Self::Released { by } | Self::Outranked { by, .. } => Some(*by),
            Self::Preempt {
                lower: Heard { from, .. },
                ..
            } => Some(*from),
            Self::TieLost { to, .. } | Self::GaveWay { to, .. } => Some(*to),
            Self::Silence { last: None, .. }
            | Self::Startup
            | Self::Owner
            | Self::CheckFailed { .. }
            | Self::CheckUnusable { .. }
            | Self::FlapDamping
            | Self::CheckPending { .. }
            | Self::LinkDown { .. }
            | Self::LinkAbsent { .. }
            | Self::NoAddress { .. }
            | Self::NoSocket { .. }
            | Self::AddressRefused { .. }
            | Self::AddressLost { .. }
            | Self::LinkUp { .. }
            | Self::FileFault { .. }
            | Self::ProcessFault { .. }
            | Self::GroupMember { .. }
            | Self::Drained
            | Self::Operator
            | Self::Cleared
            | Self::Late { .. }
            | Self::Reload
            | Self::Stop => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Startup => f.write_str("start"),
            Self::Owner => f.write_str("priority 255 owns the addresses"),
            Self::Silence {
                missed,
                last: Some(heard),
            } => {
                write!(f, "{missed} adverts missed, last from {heard}")
            }
            Self::Silence { last: None, .. } => f.write_str("no other router was heard"),
            Self::Released { by } => write!(f, "{by} released the addresses (priority 0)"),
            Self::Preempt { lower, ours } => {
                write!(f, "our priority {ours} outranks {lower}")
            }
            Self::Outranked { by, theirs, ours } => {
                write!(f, "{by} advertises priority {theirs}, ours is {ours}")
            }
            Self::TieLost { to, priority } => {
                write!(f, "{to} has our priority {priority} and the higher address")
            }
            Self::CheckFailed {
                check,
                verdict: Some(verdict),
            } => {
                write!(f, "script {check} {verdict}")
            }
            Self::CheckFailed {
                check,
                verdict: None,
            } => {
                write!(
                    f,
                    "script {check} counts as failed until it has succeeded (init_fail)"
                )
            }
            Self::CheckUnusable { check, reason } => {
                write!(f, "script {check} cannot be used: {reason}")
            }
            Self::FlapDamping => f.write_str(
                "flap damping: trackers moved it too often, so it stays out for a while",
            ),
            Self::CheckPending { check } => write!(f, "script {check} has no result yet"),
            Self::LinkDown { link } => write!(f, "interface {link} is down"),
            Self::LinkAbsent { link } => write!(f, "interface {link} does not exist"),
            Self::NoAddress { link } => write!(f, "interface {link} has no usable address"),
            Self::NoSocket { link } => {
                write!(
                    f,
                    "no socket for adverts could be opened on interface {link}"
                )
            }
            Self::AddressRefused { cidr, errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "the kernel refused {cidr}: {error}")
            }
            Self::AddressLost { cidr, restored } => {
                write!(
                    f,
                    "someone keeps removing {cidr}, put back {restored} times"
                )
            }
            Self::LinkUp { link } => write!(f, "interface {link} is up"),
            Self::FileFault { file, value } => write!(f, "tracked file {file} holds {value}"),
            Self::ProcessFault { process } => {
                write!(f, "tracked process {process} has not the number wanted")
            }
            Self::GroupMember { group, member } => {
                write!(f, "sync group {group} moves with its member {member}")
            }
            Self::GaveWay { because, to, .. } => {
                write!(f, "{because}, and {to} took over (all_failed hold)")
            }
            Self::Drained => f.write_str("an operator drained it"),
            Self::Operator => f.write_str("an operator had it take over"),
            Self::Cleared => f.write_str("what stood in the way is gone"),
            Self::Late { by } => write!(f, "our own advert was {} late", Human(*by)),
            Self::Reload => f.write_str("reload"),
            Self::Stop => f.write_str("stop"),
        }
    }
}
