//! The runner: the small process that starts other people's programs.
//!
//! It is the same binary, executed again with [`ARGUMENT`], the limit on open files that programs are
//! to have if that is another than its own, and one end of a SOCK_SEQPACKET pair as
//! its stdin. The daemon never forks; here std may, because there is next to nothing to copy. It
//! knows start, signal and end; intervals, time limits and queues are the daemon's.
//!
//! A run ends when its direct child is reaped. What is left of its group is killed if the run had
//! been told to end, and left alone otherwise: a service started by a script lives on.
//!
//! When the daemon is gone (end of file), checks are ended at once and notify programs get
//! [`FINISH`] to finish; then the runner exits. Signals to the runner itself do nothing: a terminal's
//! Ctrl-C or a service manager's SIGTERM reaches the daemon, which decides.

use crate::model::settings::RunAs;
use crate::os::rt;
use crate::scripts::capture::Capture;
use crate::scripts::protocol::{How, Kind, LARGEST, Reply, Request, RunKey, Signal, Start};
use crate::scripts::users::{self, Ids, Whom};
use crate::scripts::vet::{self, Fault, Unfit};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, killpg};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getpid, setgroups};
use signal_hook::consts;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The first argument that makes the binary a runner.
pub const ARGUMENT: &str = "__runner";

/// So long after SIGTERM a group is killed once the daemon is gone.
pub const GRACE: Duration = Duration::from_secs(1);

/// So long a notify program may go on once the daemon is gone.
pub const FINISH: Duration = Duration::from_secs(30);

/// How often the stderr of running programs is looked at.
const WATCH: Duration = Duration::from_millis(100);

/// How often that of services left behind is.
const WATCH_LEFT: Duration = Duration::from_secs(1);

/// More services left behind than this are not watched.
const LEFT_MOST: usize = 64;

/// So long the numbers behind a user's name are believed: asking may go to a directory service.
const BELIEVED: Duration = Duration::from_secs(10);

/// Packets read between two looks at what ended.
const BATCH: usize = 64;

/// The descriptor the socket arrives as.
const SOCKET: i32 = 0;

/// Never taken over from the daemon's environment.
const UNWANTED: [&str; 3] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// The whole life of the runner process.
pub fn main() -> ExitCode {
    match Runner::new() {
        Ok(mut runner) => {
            rt::trim();
            match runner.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("mainstay runner: cannot go on: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("mainstay runner: {error} (it is started by mainstay itself, not by hand)");
            ExitCode::FAILURE
        }
    }
}

/// One program that runs.
struct Run {
    key: RunKey,
    child: Child,
    group: Pid,
    started: Duration,
    stderr: Option<Capture>,
    /// It was told to end; then nothing of its group may stay.
    told: bool,
}

/// The stderr of a service that a program left behind.
struct Left {
    group: Pid,
    /// Processes that left the group and came to us; `None` for those not ours to know.
    adopted: Vec<Pid>,
    stderr: Capture,
}

/// The daemon is gone or wants us gone.
struct Leaving {
    kill_at: Duration,
    finish_at: Duration,
}

/// A user that was looked up.
struct Found {
    user: Option<RunAs>,
    security: bool,
    whom: Result<Whom, Unfit>,
    until: Duration,
}

/// What was found unsafe about a program, in words: naming owners may go to a directory service.
struct Told {
    program: Arc<str>,
    fault: Fault,
    text: String,
}

struct Runner {
    sigchld: UnixStream,
    own: Ids,
    found: Vec<Found>,
    told: Vec<Told>,
    runs: Vec<Run>,
    left: Vec<Left>,
    outbox: VecDeque<Vec<u8>>,
    leaving: Option<Leaving>,
    buffer: Vec<u8>,
}

impl Runner {
    fn new() -> io::Result<Self> {
        close_inherited();
        if let Some(files) = std::env::args().nth(2).and_then(|n| n.parse().ok()) {
            rt::limit_files(files);
        }
        if let Err(Errno::ENOTSOCK | Errno::EBADF) = recv(
            SOCKET,
            &mut [0],
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        ) {
            return Err(io::Error::other("stdin is not the daemon's socket"));
        }
        let (sigchld, from_handler) = UnixStream::pair()?;
        sigchld.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(consts::SIGCHLD, from_handler)?;
        // A handler, unlike SIG_IGN, is not inherited over exec: programs get the default again,
        // even if we were started with the signal ignored (by nohup, a shell, a limit on CPU time).
        let ignored = Arc::new(AtomicBool::new(false));
        for signal in [
            consts::SIGTERM,
            consts::SIGINT,
            consts::SIGHUP,
            consts::SIGQUIT,
            consts::SIGUSR1,
            consts::SIGUSR2,
            consts::SIGALRM,
            consts::SIGXCPU,
            consts::SIGTSTP,
            consts::SIGTTIN,
            consts::SIGTTOU,
        ] {
            signal_hook::flag::register(signal, Arc::clone(&ignored))?;
        }
        // Programs inherit the mask.
        SigSet::empty().thread_set_mask()?;
        // Orphans of programs come to us instead of to a process 1 that may not reap.
        prctl::set_child_subreaper(true)?;
        let _ = prctl::set_name(c"mainstay-runner");
        let _ = std::env::set_current_dir("/");
        // Refused without CAP_SETGID; then there is nothing to give away either.
        let _ = setgroups(&[]);
        // Programs get the usual place in the queue, however urgent the daemon itself is.
        rt::usual();
        Ok(Self {
            sigchld,
            own: users::own(),
            found: Vec::new(),
            told: Vec::new(),
            runs: Vec::new(),
            left: Vec::new(),
            outbox: VecDeque::new(),
            leaving: None,
            buffer: vec![0; LARGEST],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            self.reap();
            self.flush();
            if self.leaving.is_some() && self.runs.is_empty() {
                return Ok(());
            }
            let (asked, woken) = self.wait()?;
            if woken {
                let mut drain = [0; 64];
                while matches!(self.sigchld.read(&mut drain), Ok(len) if len > 0) {}
            }
            if asked {
                self.listen();
            }
            self.watch();
            self.press_on();
        }
    }

    /// Waits for the daemon, for an end or for a deadline.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let stdin = io::stdin();
        let mut events = PollFlags::empty();
        // After the end of file the socket is always readable.
        if self.leaving.is_none() {
            events |= PollFlags::POLLIN;
            if !self.outbox.is_empty() {
                events |= PollFlags::POLLOUT;
            }
        }
        let mut fds = [
            PollFd::new(self.sigchld.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), events),
        ];
        // A socket that hung up is reported whether asked for or not.
        let watched = if self.leaving.is_some() { 1 } else { 2 };
        let (watched, _) = fds.split_at_mut(watched);
        match poll(watched, self.patience()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or(false);
        Ok((ready(watched.get(1)), ready(watched.first())))
    }

    fn patience(&self) -> PollTimeout {
        let now = now();
        let mut wait = None;
        let mut within = |length: Duration| {
            wait = Some(wait.map_or(length, |shortest: Duration| shortest.min(length)));
        };
        if !self.runs.is_empty() {
            within(WATCH);
        } else if !self.left.is_empty() {
            within(WATCH_LEFT);
        }
        if let Some(leaving) = &self.leaving {
            within(leaving.kill_at.saturating_sub(now));
        }
        match wait {
            None => PollTimeout::NONE,
            // One more, so that a deadline is never met a fraction of a millisecond early.
            Some(length) => {
                let millis = u16::try_from(length.as_millis().saturating_add(1));
                PollTimeout::from(millis.unwrap_or(u16::MAX))
            }
        }
    }

    fn listen(&mut self) {
        for _ in 0..BATCH {
            match recv(SOCKET, &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return self.leave(false),
                Ok(len) => match self.buffer.get(..len).and_then(Request::decode) {
                    Some(Request::Start(start)) => self.start(&start),
                    Some(Request::Signal { key, signal }) => self.signal(key, signal),
                    Some(Request::Quit) => return self.leave(true),
                    None => eprintln!("mainstay runner: a request of {len} bytes makes no sense"),
                },
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => return self.leave(false),
            }
        }
    }

    fn start(&mut self, start: &Start) {
        let key = start.key;
        match self.launch(start) {
            Ok((run, warning)) => {
                self.reply(&Reply::Started {
                    key,
                    pid: run.child.id(),
                    warning,
                });
                self.runs.push(run);
            }
            Err(Unfit { errno, text }) => self.reply(&Reply::Ended {
                key,
                how: How::NotStarted(errno),
                stderr: text,
                millis: 0,
            }),
        }
    }

    fn whom(&mut self, user: Option<&RunAs>, security: bool) -> Result<Whom, Unfit> {
        let now = now();
        self.found.retain(|found| found.until > now);
        let of = |found: &&Found| found.user.as_ref() == user && found.security == security;
        if let Some(found) = self.found.iter().find(of) {
            return found.whom.clone();
        }
        let whom = vet::whom(user, security);
        self.found.push(Found {
            user: user.cloned(),
            security,
            whom: whom.clone(),
            until: now + BELIEVED,
        });
        whom
    }

    /// A fault in words; empty if there is none.
    fn warning(&mut self, program: &Arc<str>, fault: Option<Fault>) -> String {
        let known = self.told.iter().position(|told| told.program == *program);
        match (fault, known) {
            (None, None) => String::new(),
            (None, Some(at)) => {
                self.told.swap_remove(at);
                String::new()
            }
            (Some(fault), Some(at)) if self.told[at].fault == fault => self.told[at].text.clone(),
            (Some(fault), known) => {
                if let Some(at) = known {
                    self.told.swap_remove(at);
                }
                let text = fault.to_string();
                self.told.push(Told {
                    program: program.clone(),
                    fault,
                    text: text.clone(),
                });
                text
            }
        }
    }

    fn launch(&mut self, start: &Start) -> Result<(Run, String), Unfit> {
        let none = Arc::from("");
        let program = start.argv.first().unwrap_or(&none);
        let whom = self.whom(start.user.as_ref(), start.security)?;
        let vetted = vet::at_start(program, &whom, start.security).map_err(|unfit| Unfit {
            text: match unfit.text.strip_prefix(&**program) {
                Some(_) => unfit.text,
                None => format!("{program}: {}", unfit.text),
            },
            ..unfit
        })?;
        let warning = self.warning(program, vetted.fault);
        // Without memory for it the program runs all the same, only its words are lost.
        let (stderr, theirs) = match Capture::new() {
            Ok((capture, theirs)) => (Some(capture), theirs),
            Err(_) => (None, Stdio::null()),
        };
        let mut command = Command::new(&vetted.given);
        command
            .arg0(&**program)
            .args(start.argv.iter().skip(1).map(|word| &**word))
            .envs(start.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(theirs)
            .process_group(0);
        for name in UNWANTED {
            command.env_remove(name);
        }
        self.become_user(&mut command, &whom);
        let started = now();
        let child = command.spawn().map_err(|error| {
            let name = users::names(whom.ids);
            let mut text = format!("{program}: cannot be run as {name}: {error}");
            if let Err(why) = vet::executable(&vetted.given, &whom) {
                text = format!("{text}: {}", why.text);
            }
            Unfit {
                errno: error.raw_os_error().unwrap_or(nix::libc::EINVAL),
                text,
            }
        })?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let run = Run {
            key: start.key,
            child,
            group,
            started,
            stderr,
            told: false,
        };
        Ok((run, warning))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "std forks for these, which is what this process is there for"
    )]
    fn become_user(&self, command: &mut Command, whom: &Whom) {
        let ids = whom.ids;
        if !whom.groups.is_empty() {
            // std would take all other groups away together with the user.
            return rt::become_with_groups(command, ids.uid, ids.gid, &whom.groups);
        }
        // Not asked for where nothing changes: std then spawns without a fork, and a user
        // namespace that maps only us allows no setgroups.
        if ids.gid != self.own.gid {
            command.gid(ids.gid);
        }
        if ids.uid != self.own.uid {
            command.uid(ids.uid);
        }
    }

    fn signal(&mut self, key: RunKey, signal: Signal) {
        // Not yet reaped, so the number of the group is still its own.
        if let Some(run) = self.runs.iter_mut().find(|run| run.key == key) {
            run.tell(signal);
        }
    }

    /// Everything ends: checks at once, notify programs when they are asked to or after a while.
    fn leave(&mut self, at_once: bool) {
        let now = now();
        self.outbox.clear();
        for run in &mut self.runs {
            if at_once || run.key.kind() == Kind::Check {
                run.tell(Signal::Term);
            }
        }
        self.leaving = Some(Leaving {
            kill_at: now + GRACE,
            finish_at: now + FINISH,
        });
    }

    fn press_on(&mut self) {
        let now = now();
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if now < leaving.kill_at {
            return;
        }
        leaving.kill_at = now + GRACE;
        let finish = now >= leaving.finish_at;
        for run in &mut self.runs {
            if run.told {
                run.tell(Signal::Kill);
            } else if finish {
                run.tell(Signal::Term);
            }
        }
    }

    /// Reaps whatever ended.
    fn reap(&mut self) {
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            match waitid(Id::All, flags) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => {}
                Ok(status) => {
                    let Some(pid) = status.pid() else { return };
                    match self.runs.iter().position(|run| run.group == pid) {
                        Some(at) => self.end(at),
                        None => {
                            if waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
                                return;
                            }
                            for left in &mut self.left {
                                left.adopted.retain(|adopted| *adopted != pid);
                            }
                        }
                    }
                }
                // Ended by a signal that nix has no name for (a real-time one).
                Err(_) => match self.runs.iter().position(Run::is_dead) {
                    Some(at) => self.end(at),
                    // An orphan's; reaped although its status is not understood.
                    None => {
                        let _ = waitpid(None, Some(WaitPidFlag::WNOHANG));
                    }
                },
            }
        }
    }

    fn end(&mut self, at: usize) {
        let mut run = self.runs.swap_remove(at);
        if run.told {
            // Before the leader is reaped: its number keeps the group from being another's.
            let _ = killpg(run.group, signal::Signal::SIGKILL);
        }
        let how = match run.child.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => How::Exited(code),
                (None, Some(signal)) => How::Signalled(signal),
                (None, None) => How::NotStarted(nix::libc::EAGAIN),
            },
            Err(error) => How::NotStarted(error.raw_os_error().unwrap_or(nix::libc::EAGAIN)),
        };
        let stderr = match &mut run.stderr {
            Some(capture) => capture.tail(),
            None => String::new(),
        };
        self.reply(&Reply::Ended {
            key: run.key,
            how,
            stderr,
            millis: u64::try_from(now().saturating_sub(run.started).as_millis())
                .unwrap_or(u64::MAX),
        });
        if !run.told {
            self.let_live(run);
        }
    }

    /// Goes on watching the stderr of what a program left behind, if it left anything.
    fn let_live(&mut self, run: Run) {
        let Some(stderr) = run.stderr else { return };
        let known = |pid: &Pid| {
            self.runs.iter().any(|run| run.group == *pid)
                || self.left.iter().any(|left| left.adopted.contains(pid))
        };
        let adopted: Vec<Pid> = children().filter(|pid| !known(pid)).collect();
        let left = Left {
            group: run.group,
            adopted,
            stderr,
        };
        if left.lives() && self.left.len() < LEFT_MOST {
            self.left.push(left);
        }
    }

    /// Keeps every stderr small.
    fn watch(&mut self) {
        for run in &mut self.runs {
            if let Some(stderr) = &mut run.stderr {
                stderr.trim();
            }
        }
        self.left.retain_mut(|left| {
            left.stderr.trim();
            left.lives()
        });
    }

    fn reply(&mut self, reply: &Reply) {
        // Once the daemon is gone nobody listens.
        if self.leaving.is_none() {
            self.outbox.push_back(reply.encode());
        }
    }

    /// Sends what the socket takes: a daemon that is slow to read never stops us.
    fn flush(&mut self) {
        while let Some(packet) = self.outbox.front() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(SOCKET, packet, flags) {
                Ok(_) => {
                    self.outbox.pop_front();
                }
                Err(Errno::EINTR) => {}
                // Full; or gone, which the next look at the socket tells.
                Err(_) => return,
            }
        }
    }
}

impl Run {
    fn tell(&mut self, signal: Signal) {
        self.told = true;
        let signal = match signal {
            Signal::Term => signal::Signal::SIGTERM,
            Signal::Kill => signal::Signal::SIGKILL,
        };
        let _ = killpg(self.group, signal);
    }

    /// Whether its direct child waits to be reaped.
    fn is_dead(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(
            waitid(Id::Pid(self.group), flags),
            Ok(WaitStatus::StillAlive)
        )
    }
}

impl Left {
    /// Whether anybody may still write to it.
    fn lives(&self) -> bool {
        !self.adopted.is_empty() || killpg(self.group, None) != Err(Errno::ESRCH)
    }
}

/// Our children, as the kernel lists them; none where it keeps no list.
fn children() -> impl Iterator<Item = Pid> {
    let list = std::fs::read_to_string(format!("/proc/self/task/{}/children", getpid()));
    let pids: Vec<Pid> = list
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .map(Pid::from_raw)
        .collect();
    pids.into_iter()
}

/// Closes what whoever started the daemon left open, before anything of ours is opened.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open {
        if fd > 2 {
            // The directory just read is among them and closed by now: EBADF.
            let _ = nix::unistd::close(fd);
        }
    }
}

/// Time on the monotonic clock.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
