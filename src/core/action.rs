//! Everything the engine asks for, in order.

use crate::core::plan::Plan;
use crate::model::addr::VirtualAddress;
use crate::model::feed::Fed;
use crate::model::ids::{ActionId, CheckId, Family, LinkId, RunId};
use crate::model::notice::{Notice, Notification, Phase, Told};
use crate::model::order::Outcome;
use crate::model::settings::CheckSettings;
use std::net::IpAddr;
use std::sync::Arc;

/// One thing to be done.
#[derive(Debug)]
pub enum Action {
    /// Put bytes on a link.
    Send {
        /// The link.
        link: LinkId,
        /// By which socket.
        via: Via,
        /// The bytes, in [`Actions::frame`].
        frame: Frame,
    },
    /// Add or remove an address; the answer is `Applied` or `Refused`.
    Address {
        /// Comes back with the answer.
        id: ActionId,
        /// On which link.
        link: LinkId,
        /// That link's name, for the ledger.
        name: Arc<str>,
        /// Add or remove.
        change: Change,
        /// What.
        what: Arc<VirtualAddress>,
    },
    /// Listen for adverts of this family on a link; repeated calls are harmless.
    Open {
        /// The link.
        link: LinkId,
        /// The family.
        family: Family,
    },
    /// Listen no longer.
    Close {
        /// The link.
        link: LinkId,
        /// The family.
        family: Family,
    },
    /// Start a script; the answer is `CheckDone`.
    StartRun {
        /// Which.
        check: CheckId,
        /// Under this number.
        run: RunId,
        /// What to run.
        settings: Arc<CheckSettings>,
    },
    /// Signal the process group of a run.
    StopRun {
        /// Which.
        run: RunId,
        /// How.
        how: Signal,
    },
    /// What came of an operator's order.
    Ordered {
        /// The order's number.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// What came of a report on an external tracker.
    Fed {
        /// The report's number.
        id: u64,
        /// What came of it.
        outcome: Fed,
    },
    /// Tell the notify programs.
    Notify(Box<Notification>),
    /// Tell the log.
    Tell(Box<Notice>),
    /// Free this somewhere else.
    Dispose(Box<Plan>),
}

/// The socket a frame leaves by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Raw IP with the header included, to this destination.
    Ip(IpAddr),
    /// AF_PACKET; the frame begins with its Ethernet header.
    Ethernet,
}

/// Add or remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Add; already there is success.
    Add,
    /// Remove; already gone is success.
    Remove,
}

/// How a run is told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// A range in the byte arena of [`Actions`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    start: u32,
    len: u32,
}

/// An ordered outbox with its byte arena; cleared, never shrunk.
#[derive(Debug, Default)]
pub struct Actions {
    list: Vec<Action>,
    bytes: Vec<u8>,
}

impl Actions {
    /// Room for so many actions and bytes, so that the steady state allocates nothing.
    pub fn with_capacity(actions: usize, bytes: usize) -> Self {
        Self {
            list: Vec::with_capacity(actions),
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Appends one.
    pub fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    /// Appends a frame to be sent.
    pub fn send(&mut self, link: LinkId, via: Via, bytes: &[u8]) {
        let frame = Frame {
            start: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            len: u32::try_from(bytes.len()).unwrap_or(0),
        };
        self.bytes.extend_from_slice(bytes);
        self.list.push(Action::Send { link, via, frame });
    }

    /// The bytes of a frame; empty if it is not of this outbox.
    pub fn frame(&self, frame: Frame) -> &[u8] {
        let start = frame.start as usize;
        self.bytes
            .get(start..start.saturating_add(frame.len as usize))
            .unwrap_or(&[])
    }

    /// The actions in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Action> {
        self.list.iter()
    }

    /// Splits into the actions, to be drained in order, and the arena they refer to.
    pub fn parts(&mut self) -> (std::vec::Drain<'_, Action>, Arena<'_>) {
        (self.list.drain(..), Arena(&self.bytes))
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Notifications from `from` on in the order of keepalived's start: instances that begin in
    /// FAULT, groups, the other instances.
    pub(super) fn order_start(&mut self, from: usize) {
        let rank = |action: &Action| {
            let Action::Notify(told) = action else {
                return 2;
            };
            match (&told.group, told.to) {
                (Some(_), _) => 1,
                (None, to) => 2 * u8::from(to != Told::State(Phase::Fault)),
            }
        };
        let is_told = |action: &Action| matches!(action, Action::Notify(_));
        let from = from.min(self.list.len());
        let places: Vec<bool> = self.list.iter().skip(from).map(is_told).collect();
        let (mut told, rest): (Vec<_>, Vec<_>) = self.list.drain(from..).partition(is_told);
        told.sort_by_key(rank);
        let (mut told, mut rest) = (told.into_iter(), rest.into_iter());
        let next = |is_told: bool| if is_told { told.next() } else { rest.next() };
        self.list.extend(places.into_iter().filter_map(next));
    }

    /// Empties it and keeps the room.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }
}

/// The bytes behind drained actions.
#[derive(Clone, Copy, Debug)]
pub struct Arena<'a>(&'a [u8]);

impl<'a> Arena<'a> {
    /// The bytes of a frame; empty if it is not of this arena.
    pub fn frame(&self, frame: Frame) -> &'a [u8] {
        let start = frame.start as usize;
        self.0
            .get(start..start.saturating_add(frame.len as usize))
            .unwrap_or(&[])
    }
}
