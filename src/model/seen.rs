//! Facts reported from outside: what the kernel and the runner say.

use crate::model::addr::{Cidr, Mac};
use crate::model::ids::LinkId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The kernel's word on a link; the same fact may be reported again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkSeen {
    /// Which link.
    pub link: LinkId,
    /// Its present name.
    pub name: Arc<str>,
    /// `None` when it is gone.
    pub is: Option<LinkFlags>,
}

/// What matters of a link that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkFlags {
    /// IFF_UP.
    pub up: bool,
    /// IFF_RUNNING: carrier.
    pub running: bool,
    /// IFF_LOOPBACK.
    pub loopback: bool,
    /// IFF_MULTICAST.
    pub multicast: bool,
    /// IFF_NOARP: no announcements are sent.
    pub noarp: bool,
    /// Hardware address, if it is Ethernet's.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it forwards IPv6 (sets the Router flag of our announcements).
    pub forwarding6: bool,
}

/// The kernel's word on an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressSeen {
    /// On which link.
    pub link: LinkId,
    /// Address and prefix.
    pub cidr: Cidr,
    /// There, or gone.
    pub present: bool,
    /// IFA_F_DADFAILED: it is there but must not be used.
    pub dad_failed: bool,
    /// IFA_F_SECONDARY (IPv4).
    pub secondary: bool,
}

/// What was found by looking: files, processes, and interfaces whose link is polled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TrackedSeen {
    /// The number in a tracked file; a missing file counts as 0.
    File {
        /// Name of the `track_file`.
        name: Arc<str>,
        /// Its content.
        value: i32,
    },
    /// Whether a tracked process has its quorum.
    Process {
        /// Name of the `vrrp_track_process`.
        name: Arc<str>,
        /// It has.
        up: bool,
    },
    /// What a polled interface said of its link.
    Link {
        /// The interface.
        interface: Arc<str>,
        /// It has one.
        up: bool,
    },
}

/// How one run of a script ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Exit status 0.
    Pass,
    /// Another exit status.
    Fail(i32),
    /// Ended by a signal.
    Signalled(i32),
    /// Still running at its deadline.
    TimedOut,
    /// Could not be started, for a reason of its own (errno): a failure.
    NotStarted(i32),
    /// Our own trouble (runner lost, EAGAIN): no result at all.
    Lost,
    /// Another program reported it (`external`).
    Reported {
        /// As up.
        up: bool,
    },
    /// Nobody reported in time: the lease ran out (`external`).
    LeaseOver,
}

impl Verdict {
    /// Whether it speaks for the service; [`Verdict::Lost`] speaks for nothing.
    pub const fn is_success(self) -> bool {
        match self {
            Self::Pass | Self::Reported { up: true } => true,
            Self::Fail(_)
            | Self::Signalled(_)
            | Self::TimedOut
            | Self::NotStarted(_)
            | Self::Lost
            | Self::Reported { up: false }
            | Self::LeaseOver => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("succeeded"),
            Self::Fail(status) => write!(f, "failed (exited with status {status})"),
            Self::Signalled(signal) => write!(f, "failed (due to signal {signal})"),
            Self::TimedOut => f.write_str("timed_out"),
            Self::NotStarted(errno) => {
                write!(
                    f,
                    "could not be started ({})",
                    std::io::Error::from_raw_os_error(*errno)
                )
            }
            Self::Lost => f.write_str("has no result (lost by the runner)"),
            Self::Reported { up: true } => f.write_str("was reported up"),
            Self::Reported { up: false } => f.write_str("was reported down"),
            Self::LeaseOver => f.write_str("was not reported in time (its lease ran out)"),
        }
    }
}
