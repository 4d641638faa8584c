//! What the engine thread and the service thread say to each other.
//!
//! Two lists and a bell at each end. The engine never waits: it only tries the lock, keeps what it
//! could not hand over, and tries again when its bell rings.

use crate::core::action::Signal;
use crate::core::plan::Plan;
use crate::model::feed::{Fed, Feed};
use crate::model::ids::{CheckId, RunId};
use crate::model::notice::{Notice, Notification};
use crate::model::order::{Order, Outcome};
use crate::model::seen::{TrackedSeen, Verdict};
use crate::model::settings::CheckSettings;
use crate::model::time::Instant;
use crate::model::view::Snapshot;
use crate::os::handover::Handover;
use crate::os::poller::Bell;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Log lines under way at the most; more are dropped and counted.
const NOTICES: usize = 4096;

/// From the service thread to the engine.
#[derive(Debug)]
pub(super) enum ToEngine {
    /// A run's program was started.
    CheckStarted { check: CheckId, run: RunId },
    /// A run ended.
    CheckDone {
        check: CheckId,
        run: RunId,
        verdict: Verdict,
        stderr: Arc<str>,
    },
    /// A tracked file or process.
    Tracked(TrackedSeen),
    /// A reload.
    Plan(Box<Plan>),
    /// Fill this and send it back.
    Snapshot(Box<Snapshot>, oneshot::Sender<Box<Snapshot>>),
    /// An operator asks.
    Order(Order),
    /// Another program reports on an external tracker.
    Feed(Feed),
    /// Leave politely.
    Stop,
}

/// From the engine to the service thread.
#[derive(Debug)]
pub(super) enum ToService {
    /// For the log and the journal, with the time at which it happened.
    Tell(Instant, Box<Notice>),
    /// For the notify programs.
    Notify(Box<Notification>),
    /// Start a script.
    StartRun {
        check: CheckId,
        run: RunId,
        settings: Arc<CheckSettings>,
    },
    /// Signal a script.
    StopRun { run: RunId, how: Signal },
    /// What came of an operator's order.
    Ordered { id: u64, outcome: Outcome },
    /// What came of a report.
    Fed { id: u64, outcome: Fed },
    /// To be freed.
    Dispose(Box<Plan>),
    /// A picture that was asked for.
    Snapshot(Box<Snapshot>, oneshot::Sender<Box<Snapshot>>),
    /// The first picture of the kernel is complete and routers run.
    Ready,
    /// Everything is given back; the engine thread ends.
    Stopped,
    /// The engine cannot go on.
    Broken(String),
}

/// Both directions.
#[derive(Debug)]
struct Lists {
    to_engine: Handover<ToEngine>,
    to_service: Handover<ToService>,
}

/// The engine's end.
#[derive(Debug)]
pub(super) struct EngineEnd {
    lists: Arc<Lists>,
    bell: Bell,
    service_bell: UnixStream,
    waiting: Vec<ToService>,
    notices: usize,
    /// Log lines that were dropped.
    pub(super) dropped: u64,
}

/// The service thread's end.
#[derive(Debug)]
pub(super) struct ServiceEnd {
    lists: Arc<Lists>,
    engine_bell: Bell,
}

/// Makes a bridge; the third part is the service thread's bell, readable when something waits.
pub(super) fn bridge() -> io::Result<(EngineEnd, ServiceEnd, UnixStream)> {
    let lists = Arc::new(Lists {
        to_engine: Handover::with_capacity(64),
        to_service: Handover::with_capacity(256),
    });
    let bell = Bell::new()?;
    let (service_bell, heard) = UnixStream::pair()?;
    service_bell.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    let engine = EngineEnd {
        lists: lists.clone(),
        bell: bell.clone(),
        service_bell,
        waiting: Vec::with_capacity(256),
        notices: 0,
        dropped: 0,
    };
    Ok((
        engine,
        ServiceEnd {
            lists,
            engine_bell: bell,
        },
        heard,
    ))
}

impl EngineEnd {
    /// What wakes the engine.
    pub(super) const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Takes a message; it leaves with [`EngineEnd::flush`].
    pub(super) fn push(&mut self, message: ToService) {
        if matches!(message, ToService::Tell(..)) {
            if self.notices >= NOTICES {
                self.dropped += 1;
                return;
            }
            self.notices += 1;
        }
        self.waiting.push(message);
    }

    /// Hands over what waits, if the other side is not at the list just now. Never blocks.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = &mut self.waiting;
        if self
            .lists
            .to_service
            .engine(|list| list.append(waiting))
            .is_some()
        {
            self.notices = 0;
            // A full bell has been rung already.
            let _ = (&self.service_bell).write(&[1]);
        }
    }

    /// Hands over what waits; true if it has to be tried again.
    pub(super) fn flush_or_wait(&mut self) -> bool {
        self.flush();
        !self.waiting.is_empty()
    }

    /// Takes what the service thread says.
    pub(super) fn take(&self, into: &mut Vec<ToEngine>) {
        self.lists.to_engine.engine(|list| into.append(list));
    }
}

impl ServiceEnd {
    /// Says something to the engine.
    pub(super) fn send(&self, message: ToEngine) {
        self.lists.to_engine.partner(|list| list.push(message));
        self.engine_bell.ring();
    }

    /// Takes what the engine says.
    pub(super) fn take(&self, into: &mut Vec<ToService>) {
        let ((), missed) = self.lists.to_service.partner(|list| into.append(list));
        if missed {
            self.engine_bell.ring();
        }
    }
}
