//! Reports on external trackers: who may make them, what outlives a restart, what is told.

use crate::ctl::interface::Refusal;
use crate::ctl::reply::FedReply;
use crate::ctl::server::Caller;
use crate::daemon::bridge::ToEngine;
use crate::daemon::chronicle::wall_us;
use crate::daemon::desk::ReplyTo;
use crate::daemon::kept;
use crate::daemon::service_thread::Service;
use crate::model::event::{Event, Evidence};
use crate::model::feed::{Fed, Feed, Reading, Resumed};
use crate::model::notice::Level;
use crate::model::settings::{ExternalSettings, Settings};
use crate::model::time::Human;
use crate::os::clock;
use crate::scripts::users;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const FILE: &str = "trackers.json";
/// The list in it.
const KEY: &str = "trackers";

/// A report on its way from the control socket.
#[derive(Debug)]
pub(super) struct FeedAsk {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) for_s: Option<f64>,
    pub(super) by: Caller,
    pub(super) reply: ReplyTo<FedReply>,
}

/// The last report on one tracker, as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Arc<str>,
    reading: Reading,
    /// What a script had come to with it.
    up: Option<bool>,
    by: u32,
    /// Wall clock in microseconds since 1970, as `until_us`.
    since_us: u64,
    lease_us: Option<u64>,
    until_us: Option<u64>,
    /// Its lease ran out while we were there to see it.
    over: bool,
}

impl Written {
    /// Whether what the file has of it would mislead the next start: another value, or a lease of
    /// which less than half would be left. A renewal alone is not worth a write.
    fn outdates(&self, kept: &Self, now_us: u64) -> bool {
        let essence = |w: &Self| (w.reading, w.up, w.by, w.over, w.until_us.is_some());
        let half = self.lease_us.unwrap_or(0) / 2;
        let short = |until: u64| until < now_us.saturating_add(half);
        essence(self) != essence(kept)
            || (self.until_us > kept.until_us && kept.until_us.is_some_and(short))
    }
}

/// What is known of external trackers.
#[derive(Debug)]
pub(super) struct Feeds {
    dir: PathBuf,
    list: Vec<Written>,
    /// What the file holds.
    kept: Vec<Written>,
    /// The file could not be written, and that was said.
    unkept: bool,
    /// Users who may report, by number; looked up when the file is read, not when somebody asks.
    users: HashMap<Arc<str>, u32>,
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    feed: Feed,
    reply: ReplyTo<FedReply>,
}

impl Feeds {
    /// Reads what is left of earlier runs; the second part tells of a damaged file.
    pub(super) fn open(dir: &Path) -> (Self, Option<String>) {
        let lost = "what was set of external trackers cannot be read and is not in force";
        let (list, remark) = kept::open::<Written>(dir, FILE, KEY, lost);
        let feeds = Self {
            dir: dir.to_path_buf(),
            kept: list.clone(),
            list,
            unkept: false,
            users: HashMap::new(),
            next: 0,
            pending: BTreeMap::new(),
        };
        (feeds, remark)
    }

    /// Forgets what is no longer external and looks up who may report.
    fn relate(&mut self, settings: &Settings) {
        let known = |w: &Written| match w.reading {
            Reading::Up | Reading::Down => script(settings, &w.name).is_some(),
            Reading::Number(_) => number(settings, &w.name).is_some(),
        };
        self.list.retain(known);
        let scripts = settings.checks.iter().filter_map(|c| c.external.as_ref());
        let numbers = settings.files.iter().filter_map(|f| f.external.as_ref());
        let named = scripts.chain(numbers).filter_map(|e| e.user.clone());
        self.users = named
            .filter_map(|user| users::uid_of(&user).map(|uid| (user, uid)))
            .collect();
    }

    fn put(&mut self, written: Written) {
        match self.list.iter_mut().find(|w| w.name == written.name) {
            Some(before) => *before = written,
            None => self.list.push(written),
        }
    }

    /// Whether the next start would know less than it should.
    fn is_outdated(&self, now_us: u64) -> bool {
        let outdated = |w: &Written| match self.kept.iter().find(|k| k.name == w.name) {
            Some(kept) => w.outdates(kept, now_us),
            None => true,
        };
        self.list.len() != self.kept.len() || self.list.iter().any(outdated)
    }
}

fn script<'a>(settings: &'a Settings, name: &str) -> Option<&'a ExternalSettings> {
    let check = settings.checks.iter().find(|c| *c.name == *name)?;
    check.external.as_ref()
}

fn number<'a>(settings: &'a Settings, name: &str) -> Option<&'a ExternalSettings> {
    let file = settings.files.iter().find(|f| *f.name == *name)?;
    file.external.as_ref()
}

/// Names of all trackers that can be set.
fn names(settings: &Settings) -> Vec<String> {
    let scripts = settings.checks.iter().filter(|c| c.external.is_some());
    let numbers = settings.files.iter().filter(|f| f.external.is_some());
    let scripts = scripts.map(|c| c.name.to_string());
    scripts.chain(numbers.map(|f| f.name.to_string())).collect()
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl Service {
    /// Takes a report from the control socket.
    pub(super) fn take_feed(&mut self, ask: FeedAsk) {
        match self.judge_feed(&ask) {
            Err(refusal) => {
                // Whoever asked may have gone.
                let _ = ask.reply.send(Err(refusal));
            }
            Ok(mut feed) => {
                self.feeds.next += 1;
                feed.id = self.feeds.next;
                let reply = ask.reply;
                let pending = Pending {
                    feed: feed.clone(),
                    reply,
                };
                self.feeds.pending.insert(feed.id, pending);
                self.engine.send(ToEngine::Feed(feed));
            }
        }
    }

    fn judge_feed(&self, ask: &FeedAsk) -> Result<Feed, Refusal> {
        if self.stopping {
            let why = "the daemon is stopping".to_owned();
            return Err(Refusal::Impossible(why));
        }
        let name = &*ask.name;
        let (external, block) = match (script(&self.settings, name), number(&self.settings, name)) {
            (Some(external), _) => (external, "vrrp_script"),
            (None, Some(external)) => (external, "track_file"),
            (None, None) => return Err(self.not_external(name)),
        };
        let user = external.user.as_ref();
        let permitted = user.and_then(|user| self.feeds.users.get(user));
        if !ask.by.may_act && permitted != Some(&ask.by.uid) {
            let who = match user {
                Some(user) => format!("root and user {user} may"),
                None => format!("only root may; `user NAME` in {block} {name} permits another"),
            };
            return Err(Refusal::NotPermitted(format!(
                "user {} may not set {name} ({who})",
                ask.by.uid
            )));
        }
        let wrong = |what: String| Refusal::Impossible(what);
        let reading = Reading::of(&ask.value).ok_or_else(|| {
            wrong(format!(
                "`{}` is neither up nor down nor a whole number from {} to {}",
                ask.value,
                i32::MIN,
                i32::MAX
            ))
        })?;
        match (block, reading) {
            ("vrrp_script", Reading::Number(_)) => {
                return Err(wrong(format!(
                    "{name} is a vrrp_script: set it up or down, not to a number"
                )));
            }
            ("track_file", Reading::Up | Reading::Down) => {
                return Err(wrong(format!(
                    "{name} is a track_file: set it to a whole number, not {reading}"
                )));
            }
            _ => {}
        }
        let asked = ask.for_s.and_then(|s| Duration::try_from_secs_f64(s).ok());
        Ok(Feed {
            id: 0,
            name: name.into(),
            reading,
            lease: asked.or(external.lease),
            by: ask.by.uid,
            resumed: None,
        })
    }

    /// Why a tracker cannot be set, with the way out.
    fn not_external(&self, name: &str) -> Refusal {
        let settings = &self.settings;
        let what = if settings.checks.iter().any(|c| *c.name == *name) {
            format!(
                "vrrp_script {name} is run, not set; write `external` in its block instead of its program"
            )
        } else if let Some(file) = settings.files.iter().find(|f| *f.name == *name) {
            format!(
                "track_file {name} is read from {}; write the number there, or `external` in its block",
                file.path
            )
        } else if settings.processes.iter().any(|p| *p.name == *name) {
            format!("vrrp_track_process {name} is looked for, not set")
        } else {
            return Refusal::NoSuchTracker(name.to_owned(), names(settings));
        };
        Refusal::Impossible(what)
    }

    /// What the engine made of a report.
    pub(super) fn fed(&mut self, id: u64, outcome: Fed) {
        // Nobody waits for what was taken up again at the start.
        let Some(Pending { feed, reply }) = self.feeds.pending.remove(&id) else {
            return;
        };
        let (changed, up, counter) = match outcome {
            Fed::Taken {
                changed,
                up,
                counter,
            } => (changed, up, counter),
            Fed::Refused { why } => {
                let _ = reply.send(Err(Refusal::Impossible(why)));
                return;
            }
        };
        let now = wall_us();
        let until_us = feed.lease.map(|l| now.saturating_add(micros(l)));
        self.feeds.put(Written {
            name: feed.name.clone(),
            reading: feed.reading,
            up,
            by: feed.by,
            since_us: now,
            lease_us: feed.lease.map(micros),
            until_us,
            over: false,
        });
        if changed {
            self.record_feed(&feed, until_us);
        }
        let remark = if changed { self.keep_feeds() } else { None };
        let state = match (feed.reading, up) {
            (Reading::Number(number), _) => number.to_string(),
            (Reading::Up | Reading::Down, Some(true)) => "up".to_owned(),
            (Reading::Up | Reading::Down, Some(false)) => "down".to_owned(),
            (Reading::Up | Reading::Down, None) => "pending".to_owned(),
        };
        let _ = reply.send(Ok(FedReply {
            name: feed.name,
            value: feed.reading.to_string(),
            state,
            counter,
            changed,
            left_s: feed.lease.map(|l| l.as_secs_f64()),
            remark,
        }));
    }

    fn record_feed(&mut self, feed: &Feed, until_us: Option<u64>) {
        let mut text = format!(
            "track set {} {} by user {}",
            feed.name, feed.reading, feed.by
        );
        if let Some(lease) = feed.lease {
            text += &format!(" for {}", Human(lease));
        }
        self.log_only(Level::Info, text.clone());
        let (outcome, value) = match feed.reading {
            Reading::Up => ("reported_up", None),
            Reading::Down => ("reported_down", None),
            Reading::Number(number) => ("reported", Some(number)),
        };
        let evidence = Evidence {
            tracker: Some(feed.name.clone()),
            uid: Some(feed.by),
            outcome: Some(Cow::Borrowed(outcome)),
            value,
            until_us,
            ..Evidence::default()
        };
        let event = Event::new("order", &text).with(evidence);
        self.chronicle.record(clock::now(), event);
    }

    /// Writes the file; a sentence for the caller if that cannot be. What was reported counts all the
    /// same: a full disk must not take a service down.
    fn keep_feeds(&mut self) -> Option<String> {
        let written = kept::write(&self.feeds.dir, FILE, KEY, &self.feeds.list);
        let Err(error) = written else {
            self.feeds.kept.clone_from(&self.feeds.list);
            self.feeds.unkept = false;
            return None;
        };
        let text = format!(
            "{}: what is set of external trackers cannot be written down: {error}; it counts, but \
             after a restart of the daemon it has to be set again",
            self.feeds.dir.join(FILE).display()
        );
        if !std::mem::replace(&mut self.feeds.unkept, true) {
            self.say(Level::Warn, text.clone());
        }
        Some(text)
    }

    /// Once a second, and at the stop: the file learns of leases that ended or were renewed.
    pub(super) fn watch_feeds(&mut self) {
        let now = wall_us();
        for written in &mut self.feeds.list {
            written.over |= written.until_us.is_some_and(|until| until <= now);
        }
        if self.feeds.is_outdated(now) {
            self.keep_feeds();
        }
    }

    /// Before the first decision: what was reported in an earlier run counts again.
    pub(super) fn resume_feeds(&mut self) {
        self.feeds.relate(&self.settings);
        let now = wall_us();
        let (fit, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.feeds.list)
            .into_iter()
            .partition(|w| w.over || w.until_us.is_none_or(|until| until > now));
        self.feeds.list = fit;
        for written in gone {
            // That nobody renewed it while nobody could says nothing of the service.
            let text = format!(
                "tracker {}: the lease of user {} ended while the daemon was not running; it is as if \
                 nobody had set it yet",
                written.name, written.by
            );
            self.say(Level::Info, text);
        }
        for written in self.feeds.list.clone() {
            let Written {
                name,
                reading,
                up,
                by,
                since_us,
                lease_us,
                until_us,
                over,
            } = written;
            let lease = lease_us.map(Duration::from_micros);
            // A wall clock that was set back must not prolong it.
            let left = until_us.map(|until| Duration::from_micros(until.saturating_sub(now)));
            let left = left.zip(lease).map(|(left, lease)| left.min(lease));
            let resumed = Some(Resumed {
                ago: Duration::from_micros(now.saturating_sub(since_us)),
                up,
                left,
                over,
            });
            self.engine.send(ToEngine::Feed(Feed {
                id: 0,
                name,
                reading,
                lease,
                by,
                resumed,
            }));
        }
    }

    /// After a reload: what is no longer external is forgotten.
    pub(super) fn relate_feeds(&mut self) {
        self.feeds.relate(&self.settings);
        self.watch_feeds();
    }

    /// At the stop: nothing is reported from here on.
    pub(super) fn stop_feeds(&mut self) {
        self.watch_feeds();
        if self.feeds.list != self.feeds.kept {
            self.keep_feeds();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reading: Reading, until_us: Option<u64>) -> Written {
        Written {
            name: "chk".into(),
            reading,
            up: Some(reading == Reading::Up),
            by: 0,
            since_us: 1,
            lease_us: until_us.map(|_| 10),
            until_us,
            over: false,
        }
    }

    #[test]
    fn a_renewal_is_written_when_half_of_what_stands_written_is_over() {
        let kept = written(Reading::Up, Some(110));
        let renewed = written(Reading::Up, Some(112));
        assert!(!renewed.outdates(&kept, 102));
        assert!(renewed.outdates(&kept, 106));
        assert!(!kept.outdates(&kept, 109), "nothing newer to write");
        assert!(written(Reading::Down, Some(112)).outdates(&kept, 102));
        assert!(written(Reading::Up, None).outdates(&kept, 102));
    }

    #[test]
    fn what_was_reported_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut feeds, remark) = Feeds::open(dir.path());
        assert_eq!(remark, None);
        feeds.put(written(Reading::Up, None));
        feeds.put(written(Reading::Down, Some(7)));
        assert_eq!(feeds.list.len(), 1, "one report for each tracker");
        assert!(feeds.is_outdated(0));
        kept::write(dir.path(), FILE, KEY, &feeds.list).expect("written");
        let (again, remark) = Feeds::open(dir.path());
        assert_eq!((again.list, remark), (feeds.list, None));
    }
}
