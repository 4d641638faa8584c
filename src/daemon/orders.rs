//! Drain, undrain and takeover: the intent is written first, then the engine is asked, then the
//! caller is told who serves.

use crate::ctl::interface::{Refusal, Whom};
use crate::ctl::reply::{Ordered, OrdersReply};
use crate::ctl::server::Caller;
use crate::daemon::bridge::ToEngine;
use crate::daemon::chronicle::wall_us;
use crate::daemon::desk::{Asked, OrderAsk, ReplyTo};
use crate::daemon::intents::{Wish, Written};
use crate::daemon::service_thread::Service;
use crate::model::event::{Event, Evidence, rfc3339};
use crate::model::notice::Level;
use crate::model::order::{Intent, Order, Outcome};
use crate::model::settings::Settings;
use crate::model::time::Instant;
use crate::model::view::{IntentView, Snapshot};
use crate::os::clock;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What the engine may take beyond the longest time the protocol gives.
const MARGIN: Duration = Duration::from_secs(2);

/// Orders on their way.
#[derive(Debug, Default)]
pub(super) struct Orders {
    next: u64,
    pending: BTreeMap<u64, Pending>,
    batches: HashMap<u64, Batch>,
}

#[derive(Debug)]
struct Pending {
    instance: Arc<str>,
    /// The call that waits; `None` for what nobody waits for.
    batch: Option<u64>,
    what: Asked,
    by: Option<Caller>,
    /// The intent that this one took the place of.
    before: Option<Written>,
    began: Instant,
    late_at: Instant,
}

/// One call; its orders are answered together.
#[derive(Debug)]
struct Batch {
    waiting: usize,
    done: Vec<Ordered>,
    reply: ReplyTo<OrdersReply>,
}

impl Asked {
    const fn word(self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Takeover => "takeover",
            Self::Undrain => "undrain",
        }
    }
}

impl Service {
    /// Takes a call from the control socket.
    pub(super) fn take_order(&mut self, ask: OrderAsk) {
        if self.stopping {
            let why = "the daemon is stopping".to_owned();
            let _ = ask.reply.send(Err(Refusal::Impossible(why)));
            return;
        }
        let targets = match self.targets(ask.what, &ask.whom) {
            Ok(targets) => targets,
            Err(refusal) => {
                let _ = ask.reply.send(Err(refusal));
                return;
            }
        };
        self.orders.next += 1;
        let batch = self.orders.next;
        self.orders.batches.insert(
            batch,
            Batch {
                waiting: targets.len(),
                done: Vec::new(),
                reply: ask.reply,
            },
        );
        let until_us = ask.term.for_s.map(|s| {
            let length = Duration::try_from_secs_f64(s).unwrap_or_default();
            wall_us().saturating_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX))
        });
        let reason: Option<Arc<str>> = ask.term.reason.as_deref().map(Arc::from);
        for instance in targets {
            let written = |what, force| Written {
                instance: instance.clone(),
                what,
                force,
                alone: false,
                since_us: wall_us(),
                until_us,
                uid: ask.by.uid,
                reason: reason.clone(),
            };
            let wish = match ask.what {
                Asked::Drain { force } => Some(written(Wish::Drain, force)),
                Asked::Takeover => Some(written(Wish::Takeover, false)),
                Asked::Undrain => None,
            };
            self.order_one(&instance, ask.what, wish, batch, ask.by);
        }
        self.close_batch(batch);
    }

    fn order_one(
        &mut self,
        instance: &Arc<str>,
        what: Asked,
        wish: Option<Written>,
        batch: u64,
        by: Caller,
    ) {
        let refuse = |service: &mut Self, why: String| {
            let outcome = Outcome::Refused { why };
            service.answer(batch, instance, &outcome, Duration::ZERO);
            service.record_order(instance, what, Some(by), Some(&outcome), None);
        };
        for pending in self.orders.pending.values_mut() {
            if pending.instance == *instance {
                // What is under way can be called off, and nothing else.
                if what != Asked::Undrain || pending.what == Asked::Undrain {
                    return refuse(self, "another order for it is under way".to_owned());
                }
                pending.before = None;
            }
        }
        let state_dir = self.options.state_dir.display().to_string();
        let before = match &wish {
            Some(written) => self.intents.put(written.clone()),
            None => {
                let group = group_of(&self.settings, instance);
                match self.intents.strike(&group) {
                    Ok(gone) if gone.is_empty() => {
                        let why = "it is neither drained nor taken over".to_owned();
                        return refuse(self, why);
                    }
                    Ok(gone) => Ok(gone.into_iter().next()),
                    Err(error) => Err(error),
                }
            }
        };
        let before = match before {
            Ok(before) => before,
            Err(error) => {
                let why = format!("{state_dir}: cannot write the intent down: {error}");
                return refuse(self, why);
            }
        };
        self.record_order(instance, what, Some(by), None, wish.as_ref());
        let intent = match what {
            Asked::Drain { force } => Intent::Drain {
                force,
                resumed: false,
            },
            Asked::Takeover => Intent::Takeover { resumed: false },
            Asked::Undrain => Intent::Clear,
        };
        let now = clock::now();
        let pending = Pending {
            instance: instance.clone(),
            batch: Some(batch),
            what,
            by: Some(by),
            before,
            began: now,
            late_at: now + self.patience(instance),
        };
        self.send_order(instance, intent, pending);
    }

    fn send_order(&mut self, instance: &Arc<str>, what: Intent, pending: Pending) {
        self.orders.next += 1;
        let id = self.orders.next;
        self.orders.pending.insert(id, pending);
        let instance = instance.clone();
        self.engine
            .send(ToEngine::Order(Order { id, instance, what }));
    }

    /// An order that nobody waits for.
    fn send_quietly(&mut self, instance: &Arc<str>, what: Intent, asked: Asked) {
        let now = clock::now();
        let pending = Pending {
            instance: instance.clone(),
            batch: None,
            what: asked,
            by: None,
            before: None,
            began: now,
            late_at: now + self.patience(instance),
        };
        self.send_order(instance, what, pending);
    }

    /// The longest that the engine may take: an Active_Down_Interval at priority 1 of the slowest
    /// member, and a margin.
    fn patience(&self, instance: &Arc<str>) -> Duration {
        let group = group_of(&self.settings, instance);
        let members = self.settings.routers.iter();
        let down = members
            .filter(|r| group.contains(&r.name))
            .map(|r| r.adver.max(Duration::from_secs(1)) * (u32::from(r.down_adverts) + 1))
            .max();
        down.unwrap_or_default() + MARGIN
    }

    /// Which instances a call means; a member of a sync group stands for its group.
    fn targets(&self, what: Asked, whom: &Whom) -> Result<Vec<Arc<str>>, Refusal> {
        let names: Vec<Arc<str>> = self
            .settings
            .routers
            .iter()
            .map(|r| r.name.clone())
            .collect();
        let unknown = |name: &str| {
            let all = names.iter().map(ToString::to_string).collect();
            Refusal::NoSuchInstance(name.to_owned(), all)
        };
        let mut targets: Vec<Arc<str>> = match whom {
            Whom::One(name) => {
                let group = self.settings.groups.iter().find(|g| *g.name == **name);
                let wanted = match (names.iter().find(|n| ***n == **name), group) {
                    (Some(found), _) => found.clone(),
                    (None, Some(group)) => {
                        let mut members = group.members.iter();
                        let first = members.find(|m| names.contains(m));
                        first.cloned().ok_or_else(|| unknown(name))?
                    }
                    // What is written down for an instance that is gone can still be struck out.
                    (None, None) if what == Asked::Undrain && self.intents.of(name).is_some() => {
                        Arc::from(&**name)
                    }
                    (None, None) => return Err(unknown(name)),
                };
                vec![wanted]
            }
            Whom::All if what == Asked::Undrain => {
                let written = self.intents.all().iter();
                written.map(|w| w.instance.clone()).collect()
            }
            Whom::All => names.clone(),
            Whom::Only => match names.as_slice() {
                [only] => vec![only.clone()],
                _ => return Err(unknown("")),
            },
        };
        for target in &mut targets {
            if let Some(first) = group_of(&self.settings, target).first() {
                *target = first.clone();
            }
        }
        let mut seen = std::collections::HashSet::new();
        targets.retain(|t| seen.insert(t.clone()));
        Ok(targets)
    }

    /// What the engine says of an order.
    pub(super) fn ordered(&mut self, id: u64, outcome: &Outcome) {
        let Some(pending) = self.orders.pending.remove(&id) else {
            return;
        };
        let took = clock::now().since(pending.began);
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::LeftAlone => self.note_alone(&pending.instance),
            Outcome::NobodyTookOver | Outcome::Refused { .. } => self.undo(&pending),
        }
        let written = self.intents.of(&pending.instance).cloned();
        self.record_order(
            &pending.instance,
            pending.what,
            pending.by,
            Some(outcome),
            written.as_ref().filter(|_| pending.what != Asked::Undrain),
        );
        if let Some(batch) = pending.batch {
            self.answer(batch, &pending.instance, outcome, took);
            self.close_batch(batch);
        }
    }

    /// Left by force with nobody to follow: a restart must not bring it back either.
    fn note_alone(&mut self, instance: &Arc<str>) {
        let Some(written) = self.intents.of(instance).cloned() else {
            return;
        };
        let alone = Written {
            alone: true,
            ..written
        };
        if let Err(error) = self.intents.put(alone) {
            let dir = self.options.state_dir.display().to_string();
            let text = format!(
                "({instance}) {dir}: cannot write that nobody took over: {error}; after a restart it would \
                 serve again"
            );
            self.say(Level::Warn, text);
        }
    }

    /// An order that came to nothing leaves what is written as it was before.
    fn undo(&mut self, pending: &Pending) {
        if pending.batch.is_none() {
            return;
        }
        let put_back = match (&pending.before, pending.what) {
            (Some(before), _) => self.intents.put(before.clone()).map(|_| ()),
            (None, Asked::Undrain) => Ok(()),
            (None, Asked::Drain { .. } | Asked::Takeover) => {
                let instance = std::slice::from_ref(&pending.instance);
                self.intents.strike(instance).map(|_| ())
            }
        };
        if let Err(error) = put_back {
            let dir = self.options.state_dir.display().to_string();
            let text = format!(
                "({}) {dir}: cannot write that the {} came to nothing: {error}; after a restart it \
                 would be in force",
                pending.instance,
                pending.what.word()
            );
            self.say(Level::Warn, text);
        }
    }

    fn answer(&mut self, batch: u64, instance: &Arc<str>, outcome: &Outcome, took: Duration) {
        let Some(batch) = self.orders.batches.get_mut(&batch) else {
            return;
        };
        let (word, successor) = match outcome {
            Outcome::Done { successor } => ("done", *successor),
            Outcome::LeftAlone => ("done", None),
            Outcome::NobodyTookOver => ("nobody_took_over", None),
            Outcome::Refused { why } if why == NO_ANSWER => ("no_answer", None),
            Outcome::Refused { .. } => ("refused", None),
        };
        batch.done.push(Ordered {
            instance: instance.clone(),
            outcome: word.to_owned(),
            successor,
            took_s: took.as_secs_f64(),
            text: outcome.to_string(),
        });
    }

    /// Answers a call whose last order is done.
    fn close_batch(&mut self, id: u64) {
        let Some(batch) = self.orders.batches.get(&id) else {
            return;
        };
        if batch.done.len() < batch.waiting {
            return;
        }
        if let Some(batch) = self.orders.batches.remove(&id) {
            let ordered = batch.done;
            // Whoever asked may have gone.
            let _ = batch.reply.send(Ok(OrdersReply { ordered }));
        }
    }

    /// Once a second: what is over ends, and what the engine never answered is given up.
    pub(super) fn keep_orders(&mut self) {
        let now = clock::now();
        let late: Vec<u64> = self
            .orders
            .pending
            .iter()
            .filter(|(_, p)| now >= p.late_at)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let again = self
                .orders
                .pending
                .get(&id)
                .filter(|p| p.what != Asked::Undrain)
                .map(|p| p.instance.clone());
            self.ordered(
                id,
                &Outcome::Refused {
                    why: NO_ANSWER.to_owned(),
                },
            );
            if let Some(instance) = again {
                self.send_quietly(&instance, Intent::Clear, Asked::Undrain);
            }
        }
        if self.stopping {
            return;
        }
        let expired = self.intents.expired(wall_us());
        for instance in expired {
            match self.intents.strike(std::slice::from_ref(&instance)) {
                Ok(gone) => {
                    let what = gone.first().map_or("intent", |w| w.what.word());
                    self.say(
                        Level::Info,
                        format!("({instance}) {what} is over: its time has passed"),
                    );
                    let text = format!("{what} of {instance} is over: its time has passed");
                    let event = Event::new("order", &text)
                        .of_instance(&instance)
                        .with(Evidence {
                            outcome: Some(Cow::Borrowed("expired")),
                            ..Evidence::default()
                        });
                    self.chronicle.record(now, event);
                    self.send_quietly(&instance, Intent::Clear, Asked::Undrain);
                }
                // Tried again in a second; until then it stays in force, as it stands written.
                Err(_) => continue,
            }
        }
    }

    /// Before the start, and before a reload creates instances: what is written is in force again from
    /// their first decision on, else an owner would serve for a moment.
    pub(super) fn resume(&mut self, only: Option<&[Arc<str>]>) {
        let now = wall_us();
        let written: Vec<Written> = self.intents.all().to_vec();
        for intent in written {
            let exists = self
                .settings
                .routers
                .iter()
                .any(|r| r.name == intent.instance);
            let meant = only.is_none_or(|names| names.contains(&intent.instance));
            if !exists || !meant || intent.until_us.is_some_and(|until| until <= now) {
                continue;
            }
            let (what, asked) = match intent.what {
                Wish::Drain => {
                    let force = intent.alone;
                    (
                        Intent::Drain {
                            force,
                            resumed: true,
                        },
                        Asked::Drain { force },
                    )
                }
                Wish::Takeover => (Intent::Takeover { resumed: true }, Asked::Takeover),
            };
            let text = format!("({}) {} stays in force", intent.instance, describe(&intent));
            self.say(Level::Info, text);
            self.send_quietly(&intent.instance, what, asked);
        }
    }

    /// Adds to a picture what operators asked for.
    pub(super) fn show_intents(&self, snapshot: &mut Snapshot) {
        let now = wall_us();
        for written in self.intents.all() {
            let group = group_of(&self.settings, &written.instance);
            for instance in &mut snapshot.instances {
                if group.contains(&instance.name) {
                    let left = |until: u64| seconds(until.saturating_sub(now));
                    instance.intent = Some(IntentView {
                        what: written.what.word().to_owned(),
                        since_s: seconds(now.saturating_sub(written.since_us)),
                        left_s: written.until_us.map(left),
                        uid: written.uid,
                        reason: written.reason.clone(),
                    });
                }
            }
        }
    }

    fn record_order(
        &mut self,
        instance: &Arc<str>,
        what: Asked,
        by: Option<Caller>,
        outcome: Option<&Outcome>,
        written: Option<&Written>,
    ) {
        let who = match by {
            Some(caller) => format!(" by user {}", caller.uid),
            None => String::new(),
        };
        let detail = match written {
            Some(written) => format!(" ({})", describe(written)),
            None => String::new(),
        };
        let word = what.word();
        let (mut evidence, text) = match outcome {
            None => (Evidence::default(), format!("{word} asked{who}{detail}")),
            Some(outcome) => (Evidence::default(), format!("{word}{who}: {outcome}")),
        };
        evidence.uid = by.map(|caller| caller.uid);
        evidence.reason = written.and_then(|w| w.reason.clone());
        evidence.until_us = written.and_then(|w| w.until_us);
        evidence.outcome = Some(Cow::Borrowed(match outcome {
            None => "asked",
            Some(Outcome::Done { .. } | Outcome::LeftAlone) => "done",
            Some(Outcome::NobodyTookOver) => "nobody_took_over",
            Some(Outcome::Refused { .. }) => "refused",
        }));
        if let Some(Outcome::Done { successor }) = outcome {
            evidence.peer = *successor;
        }
        let level = match outcome {
            None | Some(Outcome::Done { .. }) => Level::Info,
            Some(Outcome::LeftAlone | Outcome::NobodyTookOver | Outcome::Refused { .. }) => {
                Level::Warn
            }
        };
        self.log_only(level, format!("({instance}) {text}"));
        let event = Event::new("order", &text)
            .of_instance(instance)
            .with(evidence);
        self.chronicle.record(clock::now(), event);
    }
}

/// The sentence of an order that the engine never answered.
const NO_ANSWER: &str = "the engine gave no answer in time; everything is put back";

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

/// All members of an instance's sync group, the first of them first; else the instance alone.
fn group_of(settings: &Settings, instance: &Arc<str>) -> Vec<Arc<str>> {
    let exists = |name: &&Arc<str>| settings.routers.iter().any(|r| r.name == **name);
    let group = settings
        .groups
        .iter()
        .find(|g| g.members.contains(instance));
    match group {
        Some(group) => group.members.iter().filter(exists).cloned().collect(),
        None => vec![instance.clone()],
    }
}

/// `drain by user 0 until 2026-01-01T00:00:00.000Z: upgrade`.
fn describe(written: &Written) -> String {
    let mut text = format!("{} by user {}", written.what.word(), written.uid);
    match written.until_us {
        Some(until) => text += &format!(" until {}", rfc3339(until)),
        None => text += " until undrain",
    }
    if let Some(reason) = &written.reason {
        text += &format!(": {reason}");
    }
    text
}
