//! What the control socket asks of the service loop.

use crate::ctl::interface::{Act, EventsAsked, Refusal, Term, Whom};
use crate::ctl::reply::{EventsReply, LogReply, OrdersReply, ReloadReply};
use crate::ctl::server::{Answers, Busy, Caller};
use crate::daemon::chronicle::Chronicle;
use crate::daemon::feeds::FeedAsk;
use crate::model::view::Snapshot;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// An asker waits so long for the engine.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A reload reads files, and a large one takes its time.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);

/// What is asked of the service loop, with the place for the answer.
#[derive(Debug)]
pub(super) enum Ask {
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    Reload {
        dry_run: bool,
        /// State of each instance a moment ago, for advice.
        states: HashMap<Arc<str>, String>,
        by: Option<Caller>,
        reply: ReplyTo<ReloadReply>,
    },
    Order(OrderAsk),
    Feed(FeedAsk),
    Log {
        level: String,
        for_s: Option<f64>,
        by: Caller,
        reply: ReplyTo<LogReply>,
    },
}

/// A drain, an undrain or a takeover.
#[derive(Debug)]
pub(super) struct OrderAsk {
    pub(super) what: Asked,
    pub(super) whom: Whom,
    pub(super) term: Term,
    pub(super) by: Caller,
    pub(super) reply: ReplyTo<OrdersReply>,
}

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Drain { force: bool },
    Takeover,
    Undrain,
}

pub(super) type ReplyTo<T> = oneshot::Sender<Result<T, Refusal>>;

/// The control socket's way to the service loop and to the journal.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) chronicle: Chronicle,
}

impl Desk {
    /// Asks and waits; `limit` of `None` leaves the bound to the service loop.
    async fn ask<T: Serialize>(
        &self,
        limit: Option<Duration>,
        ask: impl FnOnce(ReplyTo<T>) -> Ask,
    ) -> Result<Value, Refusal> {
        let late = || Refusal::Busy("the daemon did not answer in time".to_owned());
        let (reply, answer) = oneshot::channel();
        self.asks.try_send(ask(reply)).map_err(|_| late())?;
        let answer = match limit {
            Some(limit) => timeout(limit, answer).await.map_err(|_| late())?,
            None => answer.await,
        };
        let answer = answer.map_err(|_| Refusal::Busy("the daemon is stopping".to_owned()))??;
        serde_json::to_value(answer).map_err(|error| Refusal::Busy(error.to_string()))
    }

    async fn order(
        &self,
        what: Asked,
        whom: Whom,
        term: Term,
        by: Caller,
    ) -> Result<Value, Refusal> {
        self.ask(None, |reply| {
            Ask::Order(OrderAsk {
                what,
                whom,
                term,
                by,
                reply,
            })
        })
        .await
    }
}

impl Answers for Desk {
    async fn snapshot(&self) -> Result<Snapshot, Busy> {
        let (reply, answer) = oneshot::channel();
        let busy = || Busy("the engine did not answer in time".to_owned());
        self.asks
            .try_send(Ask::Snapshot(reply))
            .map_err(|_| busy())?;
        match timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(snapshot)) => Ok(*snapshot),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    fn events(&self, asked: &EventsAsked) -> EventsReply {
        self.chronicle.events(asked)
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.chronicle.newest()
    }

    async fn act(&self, act: Act, by: Caller) -> Result<Value, Refusal> {
        match act {
            Act::Reload { dry_run } => {
                let states = match self.snapshot().await {
                    Ok(snapshot) => snapshot.instances.into_iter().map(|i| (i.name, i.state)),
                    Err(Busy(reason)) => return Err(Refusal::Busy(reason)),
                };
                let states = states.collect();
                self.ask(Some(RELOAD_LIMIT), |reply| Ask::Reload {
                    dry_run,
                    states,
                    by: Some(by),
                    reply,
                })
                .await
            }
            Act::Drain { whom, term, force } => {
                self.order(Asked::Drain { force }, whom, term, by).await
            }
            Act::Takeover { whom, term } => self.order(Asked::Takeover, whom, term, by).await,
            Act::Undrain { whom } => self.order(Asked::Undrain, whom, Term::default(), by).await,
            Act::SetTracker { name, value, for_s } => {
                self.ask(Some(ANSWER_LIMIT), |reply| {
                    Ask::Feed(FeedAsk {
                        name,
                        value,
                        for_s,
                        by,
                        reply,
                    })
                })
                .await
            }
            Act::Log { level, for_s } => {
                self.ask(Some(ANSWER_LIMIT), |reply| Ask::Log {
                    level,
                    for_s,
                    by,
                    reply,
                })
                .await
            }
        }
    }
}
