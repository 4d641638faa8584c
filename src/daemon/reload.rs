//! A reload as a transaction: read, judge, plan, apply in one engine turn, answer.

use crate::core::plan::{Plan, Step, diff};
use crate::ctl::interface::Refusal;
use crate::ctl::reply::{PlanView, ReloadReply};
use crate::ctl::server::Caller;
use crate::daemon::bridge::ToEngine;
use crate::daemon::config::{self, Config};
use crate::daemon::desk::ReplyTo;
use crate::daemon::plan_view;
use crate::daemon::service_thread::Service;
use crate::model::event::{Event, Evidence};
use crate::model::notice::Level;
use crate::model::time::Instant;
use crate::os::{clock, rt};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A plan that the engine has and has not answered for.
#[derive(Debug)]
pub(super) struct Reloading {
    began: Instant,
    view: PlanView,
    warnings: Vec<String>,
    by: Option<Caller>,
    reply: Option<ReplyTo<ReloadReply>>,
}

impl Service {
    /// Reads the file again; whatever is wrong with it, the running state stays.
    pub(super) fn reload(
        &mut self,
        dry_run: bool,
        states: &HashMap<Arc<str>, String>,
        by: Option<Caller>,
        reply: Option<ReplyTo<ReloadReply>>,
    ) {
        if self.stopping {
            let why = "the daemon is stopping".to_owned();
            return answer(reply, Err(Refusal::Impossible(why)));
        }
        let began = clock::now();
        if !dry_run {
            let stamp = began.as_nanos() / 1_000;
            let _ = sd_notify::notify(&[
                sd_notify::NotifyState::Reloading,
                sd_notify::NotifyState::Custom(&format!("MONOTONIC_USEC={stamp}")),
            ]);
        }
        let read =
            config::read(&self.options, true, false).and_then(|config| self.same_network(config));
        match read {
            Err(refusal) => {
                let file = self.options.file.display().to_string();
                if !dry_run {
                    let text = format!("reload refused, nothing was changed: {file}");
                    self.log_only(Level::Warn, text.clone());
                    // A log is read by lines.
                    for line in refusal.text.lines().filter(|l| !l.trim().is_empty()) {
                        self.log_only(Level::Warn, line.to_owned());
                    }
                    self.record_reload(by, "refused", &text, Some(&refusal.text));
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
                }
                answer(reply, Err(Refusal::ConfigRefused(file, refusal.text)));
            }
            Ok(config) => {
                let plan = diff(&self.settings, config.settings.clone());
                let view = plan_view::describe(&self.settings, &plan, states);
                if dry_run {
                    let done = ReloadReply {
                        applied: false,
                        plan: view,
                        warnings: config.warnings,
                    };
                    return answer(reply, Ok(done));
                }
                for warning in &config.warnings {
                    self.log_only(Level::Warn, warning.clone());
                }
                self.warnings.clone_from(&config.warnings);
                self.vigil.forget();
                self.reloading.push_back(Reloading {
                    began,
                    view,
                    warnings: config.warnings,
                    by,
                    reply,
                });
                self.settings = config.settings;
                let keep = self.settings.global.journal_keep;
                self.chronicle.set_keep(keep.0 as usize);
                self.watchers.set(&self.settings);
                self.linkbeats.set(&self.settings);
                self.tell_tracked();
                self.resume(Some(&created(&plan)));
                self.relate_feeds();
                self.engine.send(ToEngine::Plan(Box::new(plan)));
                self.poll_links();
            }
        }
    }

    /// A running daemon cannot move to another network namespace.
    fn same_network(&self, config: Config) -> Result<Config, config::Refusal> {
        let file = config.settings.global.net_namespace.as_deref();
        let wanted = self.options.namespace.as_deref().or(file);
        if wanted == self.namespace.as_deref() {
            return Ok(config);
        }
        let name = |ns: Option<&str>| match ns {
            Some(name) => format!("in {name}"),
            None => "in none".to_owned(),
        };
        let text = format!(
            "net_namespace cannot change while the daemon runs: it is {}, the file wants it {}; \
             restart it, or put the line back\n",
            name(self.namespace.as_deref()),
            name(wanted)
        );
        Err(config::Refusal { text })
    }

    /// The engine hands the old settings back: the plan is in force.
    pub(super) fn reloaded(&mut self, plan: Box<Plan>) {
        drop(plan);
        rt::trim();
        let Some(done) = self.reloading.pop_front() else {
            return;
        };
        let took = clock::now().since(done.began);
        let text = format!(
            "reload: {} (in {})",
            done.view,
            crate::model::time::Human(took)
        );
        self.log_only(Level::Info, text.clone());
        let outcome = if done.view.is_empty() {
            "unchanged"
        } else {
            "applied"
        };
        self.record_reload(done.by, outcome, &text, None);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let reply = ReloadReply {
            applied: true,
            plan: done.view,
            warnings: done.warnings,
        };
        answer(done.reply, Ok(reply));
    }

    fn record_reload(
        &self,
        by: Option<Caller>,
        outcome: &'static str,
        text: &str,
        errors: Option<&str>,
    ) {
        let evidence = Evidence {
            outcome: Some(Cow::Borrowed(outcome)),
            uid: by.map(|caller| caller.uid),
            reason: errors.map(|text| {
                // The first finding says most; the log has them all.
                let first = text.lines().next().unwrap_or_default();
                Arc::from(first)
            }),
            ..Evidence::default()
        };
        let event = Event::new("reload", text).with(evidence);
        self.chronicle.record(clock::now(), event);
    }
}

fn created(plan: &Plan) -> Vec<Arc<str>> {
    let made = plan.routers.iter().filter_map(|step| match *step {
        Step::Create { new } => plan.settings.routers.get(new),
        Step::Alter { .. } | Step::Keep { .. } | Step::Retire { .. } => None,
    });
    made.map(|r| r.name.clone()).collect()
}

fn answer(reply: Option<ReplyTo<ReloadReply>>, with: Result<ReloadReply, Refusal>) {
    if let Some(reply) = reply {
        // Whoever asked may have gone.
        let _ = reply.send(with);
    }
}
