//! Everything slow: signals, scripts, notify programs, log, control socket, reload.

use crate::core::action;
use crate::core::plan::diff;
use crate::ctl::server::{Answers, Busy, Server};
use crate::daemon::RunOptions;
use crate::daemon::bridge::{ServiceEnd, ToEngine, ToService};
use crate::daemon::config;
use crate::model::notice::{Level, Notice, What};
use crate::model::settings::Settings;
use crate::model::view::Snapshot;
use crate::obs::log::Log;
use crate::os::{clock, rt};
use crate::scripts::checks::Checks;
use crate::scripts::handle::Runner;
use crate::scripts::notify::{NotifyQueues, Outbox};
use crate::scripts::protocol::{Kind, Reply, Request, Signal};
use crate::scripts::watch::{News, Watchers};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// An asker waits so long for the engine.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
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
    pub(super) checks: Checks,
    pub(super) watchers: Watchers,
    pub(super) notify: NotifyQueues,
    pub(super) outbox: Outbox,
    pub(super) stopping: bool,
    pub(super) engine_gone: Option<Option<String>>,
}

/// Asks the service loop for pictures of the state.
#[derive(Debug)]
struct Pictures(mpsc::Sender<oneshot::Sender<Box<Snapshot>>>);

impl Answers for Pictures {
    async fn snapshot(&self) -> Result<Snapshot, Busy> {
        let (reply, answer) = oneshot::channel();
        let busy = || Busy("the engine did not answer in time".to_owned());
        self.0.try_send(reply).map_err(|_| busy())?;
        match timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(snapshot)) => Ok(*snapshot),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
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
        tokio::spawn(server.serve(Pictures(ask)));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut heard = Vec::with_capacity(64);
        let mut drain = [0u8; 64];
        loop {
            let pause = self.notify.next_deadline().map(|at| at.since(clock::now()));
            let has_runner = self.runner.is_some();
            tokio::select! {
                biased;
                _ = bell.read(&mut drain) => {
                    self.engine.take(&mut heard);
                    for message in heard.drain(..) {
                        self.take(message);
                    }
                }
                reply = next_reply(&mut self.runner), if has_runner => self.reply(reply),
                news = self.watchers.next() => self.hear(news),
                () = sleep(RUNNER_AGAIN), if !has_runner => self.start_runner(),
                Some(reply) = asked.recv() => {
                    self.engine.send(ToEngine::Snapshot(Box::default(), reply));
                }
                _ = terminate.recv() => self.stop("SIGTERM"),
                _ = interrupt.recv() => self.stop("SIGINT"),
                _ = hangup.recv() => self.reload(),
                () = sleep(pause.unwrap_or(Duration::from_secs(1))) => {
                    let now = clock::now();
                    self.log.settle(now);
                    self.notify.tick(now, &mut self.outbox);
                    self.send_out();
                }
            }
            if let Some(end) = &self.engine_gone
                && (end.is_some() || self.notify.idle() || self.notify_is_late())
            {
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
            ToService::Tell(notice) => self.log.tell(now, &notice),
            ToService::Notify(notification) => {
                self.notify.push(now, *notification, &mut self.outbox);
                self.send_out();
            }
            ToService::StartRun {
                check,
                run,
                settings,
            } => {
                let request = self.checks.start(check, run, &settings);
                if self.runner.is_some() {
                    self.ask_runner([request]);
                } else {
                    self.lose_checks();
                }
            }
            ToService::StopRun { run, how } => {
                let how = match how {
                    action::Signal::Term => Signal::Term,
                    action::Signal::Kill => Signal::Kill,
                };
                let request = self.checks.stop(run, how);
                self.ask_runner(request);
            }
            ToService::Ordered { id, outcome } => {
                self.say(Level::Info, format!("order {id}: {outcome}"));
            }
            ToService::Dispose(plan) => {
                drop(plan);
                rt::trim();
            }
            ToService::Snapshot(mut snapshot, reply) => {
                snapshot.warnings.clone_from(&self.warnings);
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
                self.notify.begin_stop(now);
            }
            ToService::Broken(error) => self.engine_gone = Some(Some(error)),
        }
    }

    // ---- programs --------------------------------------------------------------------------------

    fn ask_runner(&mut self, requests: impl IntoIterator<Item = Request>) {
        if let Some(runner) = &mut self.runner {
            for request in requests {
                runner.send(&request);
            }
        }
    }

    fn reply(&mut self, reply: Option<Reply>) {
        match reply {
            None => {
                self.runner = None;
                self.say(
                    Level::Warn,
                    "the runner process is gone; starting it again".to_owned(),
                );
                self.lose_checks();
            }
            Some(Reply::Started { key, .. }) => self.notify.started(key),
            Some(Reply::Ended {
                key, how, stderr, ..
            }) => match key.kind() {
                Kind::Check => {
                    if let Some(done) = self.checks.ended(key, how, &stderr) {
                        self.engine.send(ToEngine::CheckDone {
                            check: done.check,
                            run: done.run,
                            verdict: done.verdict,
                            stderr: done.stderr,
                        });
                    }
                }
                Kind::Notify => {
                    let now = clock::now();
                    self.notify.ended(now, key, how, &stderr, &mut self.outbox);
                    self.send_out();
                }
            },
        }
    }

    /// Trouble of ours is no result: the runs are reported as lost.
    fn lose_checks(&mut self) {
        for done in self.checks.lost() {
            self.engine.send(ToEngine::CheckDone {
                check: done.check,
                run: done.run,
                verdict: done.verdict,
                stderr: done.stderr,
            });
        }
    }

    fn start_runner(&mut self) {
        match Runner::spawn(Path::new(OURSELVES)) {
            Ok(runner) => {
                self.runner = Some(runner);
                self.notify.lost(clock::now(), &mut self.outbox);
                self.send_out();
            }
            Err(error) => self.say(
                Level::Warn,
                format!("cannot start the runner process: {error}"),
            ),
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

    // ---- orders ----------------------------------------------------------------------------------

    fn stop(&mut self, by: &str) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.say(Level::Info, format!("stopping ({by})"));
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.engine.send(ToEngine::Stop);
    }

    /// Reads the file again; whatever is wrong with it, the running state stays.
    fn reload(&mut self) {
        if self.stopping {
            return;
        }
        let stamp = clock::now().as_nanos() / 1_000;
        let _ = sd_notify::notify(&[
            sd_notify::NotifyState::Reloading,
            sd_notify::NotifyState::Custom(&format!("MONOTONIC_USEC={stamp}")),
        ]);
        match config::read(&self.options) {
            Err(refusal) => {
                let file = self.options.file.display();
                self.say(
                    Level::Warn,
                    format!(
                        "reload refused, nothing was changed: {file}\n{}",
                        refusal.text
                    ),
                );
            }
            Ok(config) => {
                for warning in &config.warnings {
                    self.say(Level::Warn, warning.clone());
                }
                self.warnings = config.warnings;
                let plan = diff(&self.settings, config.settings.clone());
                self.say(Level::Info, format!("reload: {plan}"));
                self.settings = config.settings;
                self.watchers.set(&self.settings);
                self.tell_tracked();
                self.engine.send(ToEngine::Plan(Box::new(plan)));
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    }

    pub(super) fn say(&mut self, level: Level, text: String) {
        let notice = Notice {
            router: None,
            what: What::Text {
                level,
                text: Arc::from(text),
            },
        };
        self.log.tell(clock::now(), &notice);
    }
}

async fn next_reply(runner: &mut Option<Runner>) -> Option<Reply> {
    match runner {
        Some(runner) => runner.recv().await,
        None => std::future::pending().await,
    }
}
