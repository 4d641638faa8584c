//! The kernel-hands thread: adds and removes addresses, so that the engine never waits for the kernel.
//!
//! One address may take the kernel 0.15 ms and four thousand IPv6 ones seconds. Requests go out in
//! batches with one acknowledgement, so a batch is a few milliseconds at most before something newer
//! has its turn.

mod message;
mod queue;

use crate::model::addr::VirtualAddress;
use crate::model::ids::{ActionId, LinkId};
use crate::os::error::{OsError, doing};
use crate::os::handover::Handover;
use crate::os::ledger::{Entry, Ledger};
use crate::os::poller::Bell;
use message::Route;
use queue::Queue;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// Requests in one send: enough to share the price of a system call, few enough to wait for.
const BATCH: usize = 64;
/// One thread under mlockall costs its stack.
const STACK: usize = 256 << 10;

/// Add or remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Add; already there is success.
    Add,
    /// Remove; already gone is success, also when its link is gone.
    Remove,
}

/// One thing to be done.
#[derive(Clone, Debug)]
pub struct Request {
    /// Comes back with the answer.
    pub id: ActionId,
    /// On which link.
    pub link: LinkId,
    /// That link's name, for the ledger.
    pub name: Arc<str>,
    /// Add or remove.
    pub change: Change,
    /// What.
    pub what: Arc<VirtualAddress>,
}

/// How it went; each request is answered once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The request.
    pub id: ActionId,
    /// `None` if the kernel did it, else why not.
    ///
    /// ECANCELED: it was still waiting when a later request for the same address made it pointless;
    /// the kernel never heard of it.
    pub errno: Option<i32>,
}

/// A request and the turn in which it was posted.
#[derive(Debug)]
struct Posted {
    turn: u64,
    request: Request,
}

#[derive(Debug)]
struct Shared {
    inbox: Handover<Posted>,
    outbox: Handover<Answer>,
    wake: Bell,
    idle: AtomicBool,
    stop: AtomicBool,
    ledger_errors: AtomicU64,
}

/// The engine's end.
///
/// Nothing is ever dropped. What waits is at most one removal and one addition for each address,
/// because a later request for the same address replaces an earlier one that has not been sent.
#[derive(Debug)]
pub struct Hands {
    shared: Arc<Shared>,
    posted: Vec<Posted>,
    turn: u64,
    thread: Option<JoinHandle<()>>,
}

impl Hands {
    /// Starts the thread in the caller's network namespace; `bell` is rung when answers wait.
    ///
    /// What is added is written into the ledger before the kernel is asked, what is removed is
    /// struck out after it has answered.
    ///
    /// # Errors
    /// Those of opening the socket and starting a thread.
    pub fn start(bell: Bell, ledger: Option<Ledger>) -> Result<Self, OsError> {
        let route = Route::open()?;
        let wake = Bell::new().map_err(doing("cannot make an eventfd"))?;
        let shared = Arc::new(Shared {
            inbox: Handover::with_capacity(BATCH),
            outbox: Handover::with_capacity(BATCH),
            wake,
            idle: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ledger_errors: AtomicU64::new(0),
        });
        let worker = Worker {
            shared: shared.clone(),
            bell,
            route,
            ledger,
            queue: Queue::default(),
            taken: Vec::with_capacity(BATCH),
            answers: Vec::with_capacity(BATCH),
        };
        let thread = thread::Builder::new()
            .name("mainstay-hands".into())
            .stack_size(STACK)
            .spawn(move || worker.run())
            .map_err(doing("cannot start the thread that installs addresses"))?;
        Ok(Self {
            shared,
            posted: Vec::with_capacity(BATCH),
            turn: 0,
            thread: Some(thread),
        })
    }

    /// Puts a request on the list of this turn. Nothing happens before [`Hands::flush`].
    pub fn post(&mut self, request: Request) {
        let turn = self.turn;
        self.posted.push(Posted { turn, request });
    }

    /// Hands over what was posted; to be called once at the end of every turn.
    ///
    /// What is posted in one turn is done in its order; a later turn goes before what still waits of
    /// earlier ones, except that requests for the same address on the same link keep their order.
    /// Never blocks.
    pub fn flush(&mut self) {
        if self.posted.is_empty() {
            return;
        }
        self.turn += 1;
        let (inbox, posted) = (&self.shared.inbox, &mut self.posted);
        // If it is taken just now, the bell rings and `drain` hands over.
        let handed = inbox.engine(|list| list.append(posted)).is_some();
        if handed && self.shared.idle.swap(false, Ordering::SeqCst) {
            self.shared.wake.ring();
        }
    }

    /// Appends the answers that wait; to be called after the bell was cleared. Never blocks.
    pub fn drain(&mut self, answers: &mut Vec<Answer>) {
        self.flush();
        // If it is taken just now, the bell rings again.
        self.shared.outbox.engine(|list| answers.append(list));
    }

    /// Times the ledger could not be written.
    pub fn ledger_errors(&self) -> u64 {
        self.shared.ledger_errors.load(Ordering::Relaxed)
    }

    /// Lets the thread finish everything posted, ends it and returns the answers not yet drained.
    ///
    /// *Blocks* as long as that takes.
    pub fn stop(mut self) -> Vec<Answer> {
        self.finish();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread; what it left undone has no answer.
            let _ = thread.join();
        }
        self.shared.outbox.partner(std::mem::take).0
    }

    fn finish(&mut self) {
        let posted = &mut self.posted;
        self.shared.inbox.partner(|list| list.append(posted));
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake.ring();
    }
}

/// Without [`Hands::stop`] the thread still finishes what was posted, unless the process ends first.
impl Drop for Hands {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.finish();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    bell: Bell,
    route: Route,
    ledger: Option<Ledger>,
    queue: Queue,
    taken: Vec<Posted>,
    answers: Vec<Answer>,
}

impl Worker {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Read before the inbox: what was posted before the order to stop is in there.
            let stopping = self.shared.stop.load(Ordering::SeqCst);
            self.take();
            self.queue.take_front(BATCH, &mut batch);
            if batch.is_empty() {
                self.give();
                if stopping {
                    return;
                }
                self.sleep();
                continue;
            }
            self.work(&batch);
            self.give();
            batch.clear();
        }
    }

    fn take(&mut self) {
        let taken = &mut self.taken;
        let ((), missed) = self.shared.inbox.partner(|list| taken.append(list));
        if missed {
            self.bell.ring();
        }
        for Posted { turn, request } in self.taken.drain(..) {
            self.queue.push(turn, request, |id| {
                self.answers.push(Answer {
                    id,
                    errno: Some(libc::ECANCELED),
                });
            });
        }
    }

    fn give(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let answers = &mut self.answers;
        self.shared.outbox.partner(|list| list.append(answers));
        self.bell.ring();
    }

    fn sleep(&self) {
        self.shared.idle.store(true, Ordering::SeqCst);
        // Whoever posted before the flag was up has not rung.
        let (waiting, missed) = self.shared.inbox.partner(|list| !list.is_empty());
        if missed {
            self.bell.ring();
        }
        if !waiting && !self.shared.stop.load(Ordering::SeqCst) {
            self.shared.wake.wait();
        }
        self.shared.idle.store(false, Ordering::SeqCst);
    }

    fn work(&mut self, batch: &[Request]) {
        let entry = |request: &Request| Entry {
            link: request.link,
            name: request.name.clone(),
            cidr: request.what.cidr,
        };
        if self.ledger.is_some() {
            let adds = batch.iter().filter(|request| request.change == Change::Add);
            self.note(|ledger| ledger.adding(&adds.map(entry).collect::<Vec<_>>()));
        }
        let errnos = self.route.perform(batch);
        self.answers
            .extend(batch.iter().zip(&errnos).map(|(request, &errno)| Answer {
                id: request.id,
                errno: (errno != 0).then_some(errno),
            }));
        if self.ledger.is_some() {
            // In order: an address removed and added again in one batch is there.
            let mut there = std::collections::BTreeMap::new();
            for (request, &errno) in batch.iter().zip(&errnos) {
                match (request.change, errno) {
                    (Change::Add, 0) => there.insert(entry(request), true),
                    (Change::Remove, 0) | (Change::Add, _) => there.insert(entry(request), false),
                    // It is still there.
                    (Change::Remove, _) => there.insert(entry(request), true),
                };
            }
            let gone = there.iter().filter(|(_, there)| !**there);
            self.note(|ledger| ledger.removed(gone.map(|(entry, _)| entry)));
        }
    }

    fn note(&mut self, on: impl FnOnce(&mut Ledger) -> std::io::Result<()>) {
        if let Some(ledger) = &mut self.ledger
            && on(ledger).is_err()
        {
            self.shared.ledger_errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}
