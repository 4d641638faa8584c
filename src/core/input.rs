//! Everything that can happen to the engine.

use crate::core::plan::Plan;
use crate::model::addr::Cidr;
use crate::model::feed::Feed;
use crate::model::ids::{ActionId, CheckId, Family, LinkId, RunId};
use crate::model::order::{Order, StopKind};
use crate::model::seen::{AddressSeen, LinkSeen, TrackedSeen, Verdict};
use crate::wire::advert::Datagram;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The first picture of links and addresses is complete: routers may leave Init.
    Begin {
        /// Time since the machine booted.
        uptime: Duration,
        /// Addresses that another living daemon claims; they are never scrubbed.
        claimed: &'a [(LinkId, Cidr)],
        /// What the last run of this boot put into the kernel and did not take out.
        left: &'a [(LinkId, Arc<str>, Cidr)],
    },
    /// A packet of protocol 112.
    Datagram(Datagram<'a>),
    /// More packets wait on this link than were read; the next Tick believes no silence there.
    Backlog(LinkId),
    /// A socket that was asked for could not be opened, or could be at last.
    Socket {
        /// On which link.
        link: LinkId,
        /// For which family.
        family: Family,
        /// Whether there is one.
        open: bool,
    },
    /// Time passed.
    Tick,
    /// The kernel says of a link.
    Link(LinkSeen),
    /// The kernel says of an address.
    Address(AddressSeen),
    /// The program of a run was started; a run that was not has no result at its deadline.
    CheckStarted {
        /// Which script.
        check: CheckId,
        /// Which run.
        run: RunId,
    },
    /// A run of a script ended.
    CheckDone {
        /// Which script.
        check: CheckId,
        /// Which run; another than the current one is ignored.
        run: RunId,
        /// How.
        verdict: Verdict,
        /// Tail of its stderr.
        stderr: Arc<str>,
    },
    /// A tracked file or process is found to be so.
    Tracked(TrackedSeen),
    /// Another program reports; the answer is [`crate::core::action::Action::Fed`].
    Feed(Feed),
    /// The kernel did it.
    Applied {
        /// The request.
        action: ActionId,
    },
    /// The kernel would not.
    Refused {
        /// The request.
        action: ActionId,
        /// Why.
        errno: i32,
    },
    /// An operator asks; the answer is [`crate::core::action::Action::Ordered`].
    Order(Order),
    /// A reload.
    Plan(Box<Plan>),
    /// The daemon is to stop.
    Stop(StopKind),
}
