//! Tracked processes: who matches, how many run.
//!
//! Where the kernel tells of processes, each one it names is looked at once; elsewhere all of them are
//! looked at every second. Either way /proc has the last word.

use super::News;
use super::quorum::Quorum;
use crate::model::seen::TrackedSeen;
use crate::model::settings::{ParamMatch, ProcessTrackSettings};
use crate::model::time::Instant;
use crate::os::clock;
use crate::os::netlink::Drained;
use crate::os::proc::Proc;
use crate::os::proc_connector::{Connector, Event};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at all processes where the kernel tells nothing of them.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// The same where it does, in case one of its words was lost or a process changed its arguments.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// A name longer than this is cut by the kernel.
const COMM: usize = 15;
/// Processes looked at, and words of the kernel read, in one go.
const AT_ONCE: usize = 128;

/// All tracked processes.
#[derive(Debug)]
pub struct Processes {
    proc: Proc,
    trackers: Vec<Tracker>,
    connector: Option<Connector>,
    /// The kernel tells; otherwise every second is a look at all.
    told: bool,
    round: Option<Round>,
    next_round: Instant,
    /// /proc could not be read, and that was said.
    blind: bool,
    events: Vec<Event>,
    news: VecDeque<News>,
}

/// A look at all processes that is under way.
#[derive(Debug)]
struct Round {
    left: Vec<u32>,
    found: Vec<HashSet<u32>>,
    /// The second in a row, because the first found too few.
    again: bool,
}

#[derive(Debug)]
struct Tracker {
    settings: Arc<ProcessTrackSettings>,
    quorum: Quorum,
    running: HashSet<u32>,
}

impl Processes {
    /// Begins; every definition is told at once, then when it changes.
    ///
    /// *Panics* outside a tokio runtime. *Blocks* for a look at all processes.
    pub fn new(settings: &[Arc<ProcessTrackSettings>], connector: Option<Connector>) -> Self {
        let mut processes = Self {
            proc: Proc::default(),
            trackers: Vec::new(),
            connector,
            told: false,
            round: None,
            next_round: clock::now(),
            blind: false,
            events: Vec::new(),
            news: VecDeque::new(),
        };
        processes.set(settings);
        processes
    }

    /// Tracks these from now on and tells all of them. What was tracked already keeps its state and
    /// its delays.
    ///
    /// *Blocks* for a look at all processes, if there is something new: some milliseconds for each
    /// thousand of them.
    pub fn set(&mut self, settings: &[Arc<ProcessTrackSettings>]) {
        let mut known = std::mem::take(&mut self.trackers);
        for settings in settings {
            let same = known.iter().position(|t| t.settings == *settings);
            let tracker = same.map_or_else(
                || Tracker {
                    quorum: Quorum::new(settings),
                    settings: settings.clone(),
                    running: HashSet::new(),
                },
                |index| known.swap_remove(index),
            );
            if let Some(up) = tracker.quorum.is_up() {
                self.news.push_back(seen(settings, up));
            }
            self.trackers.push(tracker);
        }
        self.listen();
        let now = clock::now();
        (self.round, self.next_round) = (None, now);
        if self.trackers.iter().any(|t| t.quorum.is_up().is_none()) {
            self.begin_round(now, true);
            while self.round.is_some() {
                self.go_round(now);
            }
        }
    }

    /// The next news, if there is any without waiting.
    pub fn try_next(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The next news. It may be dropped while it waits and called again: nothing is lost.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            if self.trackers.is_empty() {
                return std::future::pending().await;
            }
            let now = clock::now();
            self.turn(now);
            if !self.news.is_empty() {
                continue;
            }
            if self.round.is_some() {
                tokio::task::yield_now().await;
                continue;
            }
            let pause = self.due().since(clock::now());
            let kernel = async {
                match &self.connector {
                    Some(connector) if self.told => connector.readable().await,
                    Some(_) | None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                heard = kernel => match heard {
                    Ok(()) => self.hear(),
                    Err(error) => self.deaf(&error),
                },
            }
        }
    }

    /// Whether the kernel tells of processes, or all of them are looked at every second.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Does what is due: delays, a piece of a round.
    fn turn(&mut self, now: Instant) {
        for tracker in &mut self.trackers {
            if let Some(up) = tracker.quorum.tick(now) {
                self.news.push_back(seen(&tracker.settings, up));
            }
        }
        if self.round.is_none() && now >= self.next_round {
            self.begin_round(now, false);
        }
        self.go_round(now);
    }

    fn due(&self) -> Instant {
        let delays = self.trackers.iter().filter_map(|t| t.quorum.due());
        delays.fold(self.next_round, Instant::min)
    }

    // ---- all of them -----------------------------------------------------------------------------

    fn begin_round(&mut self, now: Instant, again: bool) {
        let every = if self.told { CONFIRM_EVERY } else { SCAN_EVERY };
        self.next_round = now + every;
        match self.proc.pids() {
            Ok(left) => {
                self.blind = false;
                let found = vec![HashSet::new(); self.trackers.len()];
                self.round = Some(Round { left, found, again });
            }
            Err(error) => {
                // What was found last stands: not to see a process is not to see it end.
                self.next_round = now + SCAN_EVERY;
                if !self.blind {
                    self.blind = true;
                    self.news.push_back(News::warn(format!(
                        "tracked processes cannot be looked for: /proc: {error} (is it mounted?)"
                    )));
                }
            }
        }
    }

    fn go_round(&mut self, now: Instant) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        let from = round.left.len().saturating_sub(AT_ONCE);
        for pid in round.left.split_off(from) {
            let mut face = Face::new(&mut self.proc, pid);
            for (tracker, found) in self.trackers.iter().zip(&mut round.found) {
                if face.matches(&tracker.settings) {
                    found.insert(pid);
                }
            }
        }
        if !round.left.is_empty() {
            self.round = Some(round);
            return;
        }
        // A process that hands over to its child and ends can be missed together with the child,
        // which the list does not have yet. Nobody loses its quorum by one look.
        let loses = |(tracker, found): (&Tracker, &HashSet<u32>)| {
            tracker.quorum.is_up() == Some(true) && !tracker.quorum.is_met(count(found))
        };
        if !round.again && self.trackers.iter().zip(&round.found).any(loses) {
            self.begin_round(now, true);
            return;
        }
        // What the kernel said in the meantime waits in the socket and is looked at afterwards.
        for (tracker, found) in self.trackers.iter_mut().zip(round.found) {
            tracker.running = found;
        }
        self.judge(now);
    }

    fn judge(&mut self, now: Instant) {
        for tracker in &mut self.trackers {
            if let Some(up) = tracker.quorum.count(now, count(&tracker.running)) {
                self.news.push_back(seen(&tracker.settings, up));
            }
        }
    }

    // ---- the kernel's word -----------------------------------------------------------------------

    /// Hears the kernel while something is tracked, and not otherwise: it would tell of every
    /// process of the machine.
    fn listen(&mut self) {
        let Some(connector) = &mut self.connector else {
            return;
        };
        match (self.trackers.is_empty(), self.told) {
            (false, false) => match connector.listen() {
                Ok(()) => self.told = true,
                Err(error) => {
                    self.connector = None;
                    self.news.push_back(News::info(error.to_string()));
                }
            },
            (true, true) => {
                connector.ignore();
                self.told = false;
            }
            (false, true) | (true, false) => {}
        }
    }

    fn hear(&mut self) {
        let Some(connector) = &mut self.connector else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        match connector.drain(&mut events, AT_ONCE) {
            Ok(Drained::Empty | Drained::More) => {}
            Ok(Drained::Overrun) => {
                self.next_round = self.next_round.min(clock::now() + SCAN_EVERY)
            }
            Err(error) => self.deaf(&error),
        }
        // The last word on each process decides: one that ended needs no look at it.
        let mut last = BTreeMap::new();
        for event in events.drain(..) {
            match event {
                Event::Look(pid) => last.insert(pid, true),
                Event::Exit(pid) => last.insert(pid, false),
            };
        }
        self.events = events;
        for (pid, look) in last {
            let mut face = Face::new(&mut self.proc, pid);
            for tracker in &mut self.trackers {
                if look && face.matches(&tracker.settings) {
                    tracker.running.insert(pid);
                } else {
                    tracker.running.remove(&pid);
                }
            }
        }
        // Before the first look at all of them there is nothing to judge.
        if self.trackers.iter().all(|t| t.quorum.is_up().is_some()) {
            self.judge(clock::now());
        }
    }

    fn deaf(&mut self, error: &std::io::Error) {
        self.connector = None;
        self.told = false;
        self.next_round = clock::now();
        self.news.push_back(News::warn(format!(
            "proc connector: {error}; processes are looked for every second from now on"
        )));
    }
}

fn count(running: &HashSet<u32>) -> u32 {
    u32::try_from(running.len()).unwrap_or(u32::MAX)
}

fn seen(settings: &ProcessTrackSettings, up: bool) -> News {
    News::Seen(TrackedSeen::Process {
        name: settings.name.clone(),
        up,
    })
}

/// One process; what is asked of it is read once.
struct Face<'a> {
    proc: &'a mut Proc,
    pid: u32,
    comm: Option<Option<Vec<u8>>>,
    alive: Option<bool>,
}

impl<'a> Face<'a> {
    fn new(proc: &'a mut Proc, pid: u32) -> Self {
        Self {
            proc,
            pid,
            comm: None,
            alive: None,
        }
    }

    /// Whether it is one of those tracked.
    fn matches(&mut self, of: &ProcessTrackSettings) -> bool {
        if !of.full_command && !self.is_called(of) {
            return false;
        }
        if of.full_command || of.matching != ParamMatch::None {
            let line = self.proc.cmdline(self.pid, longest(of));
            if !line.is_some_and(|line| fits(line, of)) {
                return false;
            }
        }
        *self
            .alive
            .get_or_insert_with(|| self.proc.is_alive(self.pid))
    }

    fn is_called(&mut self, of: &ProcessTrackSettings) -> bool {
        self.comm
            .get_or_insert_with(|| self.proc.comm(self.pid).map(<[u8]>::to_vec))
            .as_ref()
            .is_some_and(|comm| is_called(comm, of))
    }
}

/// Both names are cut to what the kernel keeps.
fn is_called(comm: &[u8], of: &ProcessTrackSettings) -> bool {
    let name = of.process.as_bytes();
    comm.get(..COMM).unwrap_or(comm) == name.get(..COMM).unwrap_or(name)
}

/// So many bytes of a command line decide.
fn longest(of: &ProcessTrackSettings) -> usize {
    let params: usize = of.params.iter().map(|param| param.len() + 1).sum();
    // A program under another path is told apart by its first byte too many.
    let first = if of.full_command {
        of.process.len() + 2
    } else {
        4096
    };
    first + params + 1
}

/// Whether a command line, cut to [`longest`], has the name and parameters wanted.
fn fits(line: &[u8], of: &ProcessTrackSettings) -> bool {
    if line.is_empty() {
        return false;
    }
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    let mut words = line.split(|&byte| byte == 0);
    let program = words.next().unwrap_or_default();
    if of.full_command && program != of.process.as_bytes() {
        return false;
    }
    let wanted = of.params.iter().map(|param| param.as_bytes());
    match of.matching {
        ParamMatch::None => true,
        ParamMatch::Exact => words.eq(wanted),
        ParamMatch::Partial => wanted.into_iter().all(|param| words.next() == Some(param)),
        ParamMatch::Initial => {
            let last = of.params.len().saturating_sub(1);
            wanted.enumerate().all(|(index, param)| {
                words
                    .next()
                    .is_some_and(|word| word == param || (index == last && word.starts_with(param)))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(process: &str, params: &[&str], matching: ParamMatch) -> ProcessTrackSettings {
        ProcessTrackSettings {
            name: "it".into(),
            process: process.into(),
            params: params.iter().map(|param| Arc::from(*param)).collect(),
            matching,
            full_command: true,
            weight: 0,
            reverse: false,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        }
    }

    /// As /proc gives it, cut as it is read.
    fn fit(line: &str, of: &ProcessTrackSettings) -> bool {
        let line = line.as_bytes();
        fits(line.get(..longest(of)).unwrap_or(line), of)
    }

    #[test]
    fn names_are_compared_as_far_as_the_kernel_keeps_them() {
        let of = |name| tracked(name, &[], ParamMatch::None);
        assert!(is_called(b"nginx", &of("nginx")));
        assert!(!is_called(b"nginx", &of("nginx2")));
        assert!(!is_called(b"nginx2", &of("nginx")));
        assert!(is_called(b"systemd-resolve", &of("systemd-resolved")));
        assert!(is_called(
            b"kworker/u4:0-events_power",
            &of("kworker/u4:0-ev")
        ));
    }

    #[test]
    fn a_full_command_is_the_first_argument_whole() {
        let of = tracked("/usr/sbin/nginx", &[], ParamMatch::None);
        assert!(fit("/usr/sbin/nginx\0", &of));
        assert!(fit("/usr/sbin/nginx\0-g\0daemon off;\0", &of));
        assert!(!fit("/usr/sbin/nginx2\0", &of));
        assert!(!fit("/usr/sbin/nginx2\0-g\0", &of));
        assert!(!fit("/usr/sbin/ngin\0", &of));
        assert!(!fit("nginx\0", &of));
        assert!(!fit("", &of), "a zombie, or the kernel's own");
    }

    #[test]
    fn exact_wants_all_parameters_and_no_other() {
        let of = tracked("x", &["-a", "b"], ParamMatch::Exact);
        assert!(fit("x\0-a\0b\0", &of));
        assert!(!fit("x\0-a\0", &of));
        assert!(!fit("x\0-a\0b\0c\0", &of));
        assert!(!fit("x\0-a\0bc\0", &of));
        assert!(!fit("x\0-a\0b\0\0", &of), "an empty one is one more");
        let none = tracked("x", &[], ParamMatch::Exact);
        assert!(fit("x\0", &none));
        assert!(!fit("x\0y\0", &none));
    }

    #[test]
    fn partial_wants_the_leading_ones_whole() {
        let of = tracked("x", &["-a", "b"], ParamMatch::Partial);
        assert!(fit("x\0-a\0b\0", &of));
        assert!(fit("x\0-a\0b\0c\0", &of));
        assert!(!fit("x\0-a\0bc\0", &of));
        assert!(!fit("x\0-a\0", &of));
    }

    #[test]
    fn initial_lets_the_last_be_the_beginning_of_one() {
        let of = tracked("x", &["-a", "b"], ParamMatch::Initial);
        assert!(fit("x\0-a\0b\0", &of));
        assert!(fit("x\0-a\0bc\0d\0", &of));
        assert!(!fit("x\0-ab\0b\0", &of));
        assert!(!fit("x\0-a\0", &of));
    }
}
