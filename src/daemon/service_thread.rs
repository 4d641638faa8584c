//! Everything slow: signals, scripts, notify programs, log, control socket, reload.

use crate::core::action;
use crate::ctl::interface::Refusal;
use crate::ctl::reply::LogReply;
use crate::ctl::server::{Caller, Server};
use crate::daemon::RunOptions;
use crate::daemon::bridge::{ServiceEnd, ToEngine, ToService};
use crate::daemon::chronicle::{self, Chronicle};
use crate::daemon::desk::{Ask, Desk, ReplyTo};
use crate::daemon::feeds::Feeds;
use crate::daemon::intents::Intents;
use crate::daemon::linkbeat::Linkbeats;
use crate::daemon::orders::Orders;
use crate::daemon::reload::Reloading;
use crate::model::event::{Event, Evidence};
use crate::model::notice::{Level, Notice, What};
use crate::model::settings::Settings;
use crate::model::time::Instant;
use crate::obs::log::{Log, Threshold};
use crate::os::{clock, rt};
use crate::scripts::checks::{Checks, Done};
use crate::scripts::handle::Runner;
use crate::scripts::notify::{NotifyQueues, Outbox};
use crate::scripts::probe::Probes;
use crate::scripts::protocol::{How, Kind, Reply, Request, RunKey, Signal};
use crate::scripts::vigil::Vigil;
use crate::scripts::watch::{News, Watchers};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// A lost runner is started again after so long.
const RUNNER_AGAIN: Duration = Duration::from_secs(1);
/// Our own binary, also after the file was replaced.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// How the daemon ended.
pub(super) enum End {
    /// As it was told.
    Stopped,
    /// The engine could not go on.
    Broken(String),
}

/// What the service thread works with.
pub(super) struct Service {
    pub(super) options: RunOptions,
    pub(super) settings: Arc<Settings>,
    /// Warnings that stand, for `status`.
    pub(super) warnings: Vec<String>,
    pub(super) log: Log,
    pub(super) engine: ServiceEnd,
    pub(super) runner: Option<Runner>,
    /// When a lost runner is started again.
    pub(super) runner_at: Instant,
    pub(super) checks: Checks,
    pub(super) probes: Probes,
    /// What stands against programs since they were last started.
    pub(super) vigil: Vigil,
    pub(super) watchers: Watchers,
    pub(super) linkbeats: Linkbeats,
    /// The network namespace it runs in, if that is not the one it was started in.
    pub(super) namespace: Option<String>,
    pub(super) notify: NotifyQueues,
    pub(super) outbox: Outbox,
    pub(super) chronicle: Chronicle,
    pub(super) intents: Intents,
    pub(super) orders: Orders,
    pub(super) feeds: Feeds,
    pub(super) reloading: VecDeque<Reloading>,
    /// Warnings of this run that no reload takes away, for `status`.
    pub(super) standing: Vec<String>,
    /// When the log returns to the level it was started with.
    pub(super) log_level_until: Option<Instant>,
    pub(super) stopping: bool,
    pub(super) engine_gone: Option<Option<String>>,
}

impl Service {
    /// Runs until everything is given back.
    pub(super) async fn run(
        mut self,
        bell: std::os::unix::net::UnixStream,
        server: Server,
    ) -> io::Result<End> {
        let mut bell = UnixStream::from_std(bell)?;
        let (ask, mut asked) = mpsc::channel(16);
        let desk = Desk {
            asks: ask,
            chronicle: self.chronicle.clone(),
        };
        tokio::spawn(server.serve(desk));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Vec::with_capacity(64);
        let mut drain = [0u8; 64];
        let mut engine_lives = true;
        loop {
            let pause = self.notify.next_deadline().map(|at| at.since(clock::now()));
            let has_runner = self.runner.is_some();
            // A fixed time: a wait begun anew with every message would never end among busy scripts.
            let absence = self.runner_at.since(clock::now());
            tokio::select! {
                biased;
                rung = bell.read(&mut drain), if engine_lives => {
                    // Its end would be read again and again, and nobody else would have a turn.
                    engine_lives = matches!(rung, Ok(1..));
                    self.engine.take(&mut heard);
                    for message in heard.drain(..) {
                        self.take(message);
                    }
                }
                reply = next_reply(&mut self.runner), if has_runner => self.reply(reply),
                done = self.probes.next() => self.check_done(done),
                news = self.watchers.next() => self.hear(news),
                () = sleep(absence), if !has_runner => self.start_runner(),
                Some(ask) = asked.recv() => self.asked(ask),
                _ = terminate.recv() => self.stop("SIGTERM"),
                _ = interrupt.recv() => self.stop("SIGINT"),
                _ = hangup.recv() => self.reload(false, &HashMap::new(), None, None),
                _ = second.tick() => self.each_second(),
                () = sleep(pause.unwrap_or(Duration::from_secs(60))) => {
                    let now = clock::now();
                    self.notify.tick(now, &mut self.outbox);
                    self.send_out();
                }
            }
            if let Some(end) = &self.engine_gone
                && (end.is_some() || self.notify.idle() || self.notify_is_late())
            {
                if end.is_none() {
                    let event = Event::new("stopped", "everything is given back");
                    self.chronicle.record(clock::now(), event);
                }
                return Ok(match end.clone() {
                    None => End::Stopped,
                    Some(error) => End::Broken(error),
                });
            }
        }
    }

    /// Notify programs had their time since the stop.
    fn notify_is_late(&self) -> bool {
        self.notify
            .stop_deadline()
            .is_some_and(|at| clock::now() >= at)
    }

    fn take(&mut self, message: ToService) {
        let now = clock::now();
        match message {
            ToService::Tell(at, notice) => self.tell(at, &notice),
            ToService::Notify(notification) => {
                self.notify.push(now, *notification, &mut self.outbox);
                self.send_out();
            }
            ToService::StartRun {
                check,
                run,
                settings,
            } => {
                if let Some(probe) = &settings.probe {
                    self.probes.start(check, run, probe, settings.timeout);
                    return;
                }
                let request = self.checks.start(check, run, &settings);
                if self.runner.is_some() {
                    self.ask_runner([request]);
                } else {
                    self.lose_checks();
                }
            }
            ToService::StopRun { run, .. } if self.probes.stop(run) => {}
            ToService::StopRun { run, how } => {
                let how = match how {
                    action::Signal::Term => Signal::Term,
                    action::Signal::Kill => Signal::Kill,
                };
                let request = self.checks.stop(run, how);
                self.ask_runner(request);
            }
            ToService::Ordered { id, outcome } => self.ordered(id, &outcome),
            ToService::Fed { id, outcome } => self.fed(id, outcome),
            ToService::Dispose(plan) => self.reloaded(plan),
            ToService::Snapshot(mut snapshot, reply) => {
                snapshot.warnings.clone_from(&self.warnings);
                snapshot.warnings.extend(self.standing.iter().cloned());
                for standing in self.vigil.standing() {
                    if !snapshot.warnings.contains(&standing) {
                        snapshot.warnings.push(standing);
                    }
                }
                let unwritten = self.chronicle.unwritten();
                if unwritten > 0 {
                    snapshot.warnings.push(format!(
                        "{unwritten} events are missing in the journal's file: it could not be written"
                    ));
                }
                self.show_intents(&mut snapshot);
                // Whoever asked may have gone.
                let _ = reply.send(snapshot);
            }
            ToService::Ready => {
                rt::trim();
                // Without a service manager there is nobody to tell.
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
            ToService::Stopped => {
                self.engine_gone = Some(None);
            }
            ToService::Broken(error) => {
                let event = Event::new("broken", &format!("the engine cannot go on: {error}"));
                self.chronicle.record(now, event);
                self.engine_gone = Some(Some(error));
            }
        }
    }

    // ---- programs --------------------------------------------------------------------------------

    fn ask_runner(&mut self, requests: impl IntoIterator<Item = Request>) {
        let Some(runner) = &mut self.runner else {
            return;
        };
        for mut request in requests {
            if let Request::Start(start) = &mut request {
                start.security = self.settings.global.script_security;
            }
            runner.send(&request);
        }
    }

    /// Says what the runner found about a program at its start, if that is news. What was said when
    /// the file was read is none.
    fn watch_over(&mut self, key: RunKey, found: Result<&str, &str>) {
        let owner = || match key.kind() {
            Kind::Check => Some(format!("vrrp_script {}", self.checks.name(key)?)),
            Kind::Notify => {
                let (name, keyword) = self.notify.owner(key)?;
                Some(match name.strip_prefix("group ") {
                    Some(group) => format!("vrrp_sync_group {group} {keyword}"),
                    None => format!("vrrp_instance {name} {keyword}"),
                })
            }
        };
        let news = match found {
            Ok(warning) => self.vigil.started(warning, owner),
            Err(why) => self.vigil.refused(why, owner),
        };
        if let Some((level, text)) = news
            && !self.warnings.contains(&text)
        {
            self.say(level, text);
        }
    }

    fn reply(&mut self, reply: Option<Reply>) {
        match reply {
            None => {
                self.runner = None;
                self.runner_at = clock::now() + RUNNER_AGAIN;
                self.say(
                    Level::Warn,
                    "the runner process is gone; starting it again".to_owned(),
                );
                self.lose_checks();
            }
            Some(Reply::Started { key, warning, .. }) => {
                self.watch_over(key, Ok(&warning));
                match key.kind() {
                    Kind::Check => {
                        if let Some((check, run)) = self.checks.started(key) {
                            self.engine.send(ToEngine::CheckStarted { check, run });
                        }
                    }
                    Kind::Notify => self.notify.started(key),
                }
            }
            Some(Reply::Ended {
                key, how, stderr, ..
            }) => {
                if matches!(how, How::NotStarted(_)) && !how.is_our_trouble() {
                    self.watch_over(key, Err(&stderr));
                }
                self.program_ended(key, how, &stderr);
            }
        }
    }

    fn program_ended(&mut self, key: RunKey, how: How, stderr: &str) {
        match key.kind() {
            Kind::Check => {
                if let Some(done) = self.checks.ended(key, how, stderr) {
                    self.check_done(done);
                }
            }
            Kind::Notify => {
                let now = clock::now();
                self.notify.ended(now, key, how, stderr, &mut self.outbox);
                self.send_out();
            }
        }
    }

    /// Trouble of ours is no result: the runs are reported as lost.
    fn lose_checks(&mut self) {
        for done in self.checks.lost() {
            self.check_done(done);
        }
    }

    fn check_done(&self, done: Done) {
        self.engine.send(ToEngine::CheckDone {
            check: done.check,
            run: done.run,
            verdict: done.verdict,
            stderr: done.stderr,
        });
    }

    fn start_runner(&mut self) {
        match Runner::spawn(Path::new(OURSELVES)) {
            Ok(runner) => {
                self.runner = Some(runner);
                self.notify.lost(clock::now(), &mut self.outbox);
                self.send_out();
            }
            Err(error) => {
                self.runner_at = clock::now() + RUNNER_AGAIN;
                self.say(
                    Level::Warn,
                    format!("cannot start the runner process: {error}"),
                );
            }
        }
    }

    /// Sends what the notify queues ask for and logs how their programs fared.
    fn send_out(&mut self) {
        let mut out = std::mem::take(&mut self.outbox);
        self.ask_runner(out.requests.drain(..));
        for result in out.results.drain(..) {
            let level = if result.is_success() {
                Level::Debug
            } else {
                Level::Warn
            };
            let text = Arc::from(result.to_string());
            let what = What::Text { level, text };
            let router = Some(result.instance.clone());
            self.chronicle
                .record(clock::now(), chronicle::of_notify(&result));
            self.log.tell(clock::now(), &Notice { router, what });
        }
        self.outbox = out;
    }

    // ---- what is tracked without a program -------------------------------------------------------

    fn hear(&mut self, news: News) {
        match news {
            News::Seen(seen) => self.engine.send(ToEngine::Tracked(seen)),
            News::Say { level, text } => self.say(level, text),
        }
    }

    /// Tells the engine what is known by now, so that its next decision rests on it.
    pub(super) fn tell_tracked(&mut self) {
        while let Some(news) = self.watchers.try_next() {
            self.hear(news);
        }
    }

    /// Asks the interfaces that are polled.
    pub(super) fn poll_links(&mut self) {
        for news in self.linkbeats.poll() {
            self.hear(news);
        }
    }

    // ---- orders ----------------------------------------------------------------------------------

    fn stop(&mut self, by: &str) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.stop_feeds();
        self.notify.begin_stop(clock::now());
        self.say(Level::Info, format!("stopping ({by})"));
        let event = Event::new("stop", &format!("stopping ({by})"));
        self.chronicle.record(clock::now(), event);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.engine.send(ToEngine::Stop);
    }

    /// What the control socket asks for.
    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Snapshot(reply) => {
                self.engine.send(ToEngine::Snapshot(Box::default(), reply));
            }
            Ask::Reload {
                dry_run,
                states,
                by,
                reply,
            } => self.reload(dry_run, &states, by, Some(reply)),
            Ask::Order(order) => self.take_order(order),
            Ask::Feed(feed) => self.take_feed(feed),
            Ask::Log {
                level,
                for_s,
                by,
                reply,
            } => self.set_level(&level, for_s, by, reply),
        }
    }

    /// What is looked at once a second.
    fn each_second(&mut self) {
        let now = clock::now();
        self.log.settle(now);
        self.keep_orders();
        self.watch_feeds();
        self.poll_links();
        if self.log_level_until.is_some_and(|until| now >= until) {
            self.log_level_until = None;
            let level = self.options.log.level;
            self.log.set_level(level);
            self.say(Level::Info, format!("log level is {} again", level.word()));
        }
    }

    fn set_level(&mut self, word: &str, for_s: Option<f64>, by: Caller, reply: ReplyTo<LogReply>) {
        let Some(level) = Threshold::of(word) else {
            let _ = reply.send(Err(Refusal::InvalidParameter("level".to_owned())));
            return;
        };
        let length = for_s.and_then(|s| Duration::try_from_secs_f64(s).ok());
        self.log_level_until = length.map(|length| clock::now() + length);
        self.log.set_level(level);
        let text = format!("log level is {word} by user {}", by.uid);
        self.log_only(Level::Info, text.clone());
        let event = Event::new("log_level", &text).with(Evidence {
            uid: Some(by.uid),
            outcome: Some(level.word().into()),
            length_s: for_s,
            ..Evidence::default()
        });
        self.chronicle.record(clock::now(), event);
        let _ = reply.send(Ok(LogReply {
            level: word.to_owned(),
            until_s: for_s,
        }));
    }

    /// Tells log and journal of a notice.
    fn tell(&mut self, at: Instant, notice: &Notice) {
        if let Some(event) = Event::of(notice) {
            self.chronicle.record(at, event);
        }
        self.log.tell(clock::now(), notice);
    }

    /// A line of our own: to the log, and to the journal if it is a warning.
    pub(super) fn say(&mut self, level: Level, text: String) {
        let text = Arc::from(text);
        let what = What::Text { level, text };
        self.tell(clock::now(), &Notice { router: None, what });
    }

    /// A line of our own that the journal has in another form.
    pub(super) fn log_only(&mut self, level: Level, text: String) {
        let text = Arc::from(text);
        let what = What::Text { level, text };
        let notice = Notice { router: None, what };
        self.log.tell(clock::now(), &notice);
    }
}

async fn next_reply(runner: &mut Option<Runner>) -> Option<Reply> {
    match runner {
        Some(runner) => runner.recv().await,
        None => std::future::pending().await,
    }
}
