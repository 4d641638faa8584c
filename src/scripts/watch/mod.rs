//! What is tracked beside scripts and interfaces: numbers in files, and processes.
//!
//! The service thread holds a [`Watchers`] and asks it for the next news; nothing here waits for a
//! disk, a child or another machine.

pub mod files;
pub mod processes;
pub mod quorum;
pub mod value;

use crate::model::notice::Level;
use crate::model::seen::TrackedSeen;
use crate::model::settings::Settings;
use crate::os::proc_connector::Connector;
use files::Files;
use processes::Processes;

/// What there is to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// For the engine.
    Seen(TrackedSeen),
    /// For the log.
    Say {
        /// How loud.
        level: Level,
        /// What.
        text: String,
    },
}

impl News {
    pub(super) fn warn(text: String) -> Self {
        let level = Level::Warn;
        Self::Say { level, text }
    }

    pub(super) fn info(text: String) -> Self {
        let level = Level::Info;
        Self::Say { level, text }
    }
}

/// Everything that is tracked here.
#[derive(Debug)]
pub struct Watchers {
    files: Files,
    processes: Processes,
}

impl Watchers {
    /// Begins; every definition is told at once ([`Watchers::try_next`]), then when it changes. Initial
    /// files are written here.
    ///
    /// `connector` was opened before the network namespace was changed; `None` if it could not be.
    ///
    /// *Panics* outside a tokio runtime. *Blocks* for a look at all processes, if any are tracked.
    pub fn start(settings: &Settings, connector: Option<Connector>) -> Self {
        Self {
            files: Files::new(&settings.files),
            processes: Processes::new(&settings.processes, connector),
        }
    }

    /// Tracks these from now on and tells all of them again. *Blocks* as [`Watchers::start`].
    pub fn set(&mut self, settings: &Settings) {
        self.files.set(&settings.files);
        self.processes.set(&settings.processes);
    }

    /// The next news, if there is any without waiting.
    pub fn try_next(&mut self) -> Option<News> {
        self.files.try_next().or_else(|| self.processes.try_next())
    }

    /// The next news. It may be dropped while it waits and called again: nothing is lost.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            news = self.files.next() => news,
            news = self.processes.next() => news,
        }
    }
}
