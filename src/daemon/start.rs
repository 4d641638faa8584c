//! Order of birth and death.

use crate::ctl::server::Server;
use crate::daemon::RunOptions;
use crate::daemon::bridge::bridge;
use crate::daemon::chronicle::Chronicle;
use crate::daemon::config::{self, Config};
use crate::daemon::engine_thread::{self, Birth};
use crate::daemon::feeds::Feeds;
use crate::daemon::intents::Intents;
use crate::daemon::linkbeat::Linkbeats;
use crate::daemon::neighbours::{self, Neighbours};
use crate::daemon::orders::Orders;
use crate::daemon::service_thread::{End, OURSELVES, Service};
use crate::model::addr::Cidr;
use crate::model::event::Event;
use crate::model::ids::LinkId;
use crate::model::notice::Level;
use crate::model::time::Instant;
use crate::obs::journal::Journal;
use crate::obs::log::Log;
use crate::os::hands::Hands;
use crate::os::ledger::{self, Entry, Ledger};
use crate::os::poller::Bell;
use crate::os::proc_connector::Connector;
use crate::os::{claims, netns, rt};
use crate::scripts::checks::Checks;
use crate::scripts::handle::Runner;
use crate::scripts::notify::{NotifyQueues, Outbox};
use crate::scripts::probe::Probes;
use crate::scripts::watch::Watchers;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::SigSet;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit codes of `run`.
mod code {
    pub(super) const RUNTIME: u8 = 1;
    pub(super) const CONFIG: u8 = 2;
    pub(super) const PERMISSION: u8 = 4;
    pub(super) const RUNNING: u8 = 69;
}

/// Why the daemon did not start or did not end well.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn runtime(text: impl ToString) -> Self {
        Self {
            code: code::RUNTIME,
            text: text.to_string(),
        }
    }
}

/// Runs the daemon until it is told to stop.
pub(super) fn run(options: RunOptions) -> ExitCode {
    rt::one_arena();
    rt::raise_files();
    // Whoever started us may have blocked signals that are to reach us.
    let _ = SigSet::empty().thread_set_mask();
    match live(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{}", failure.text.trim_end());
            ExitCode::from(failure.code)
        }
    }
}

fn live(mut options: RunOptions) -> Result<(), Failure> {
    let config =
        config::read(&options, options.strict, io::stderr().is_terminal()).map_err(|refusal| {
            Failure {
                code: code::CONFIG,
                text: refusal.text,
            }
        })?;
    // The kernel tells of processes in the first network namespace alone.
    let connector = Connector::open().ok();
    let namespace = move_in(&mut options, &config)?;
    let runtime_dir = options.runtime_dir.clone();
    make_dir(&runtime_dir)?;
    make_dir(&options.state_dir)?;
    let _lock = lock(&runtime_dir)?;
    may_speak()?;
    let neighbours = neighbours::judge(&config.settings).map_err(|text| Failure {
        code: code::CONFIG,
        text,
    })?;
    let claim = claims::claim(&runtime_dir).map_err(|e| Failure {
        code: code::RUNNING,
        text: e.to_string(),
    })?;
    let log = Log::start(&options.log)
        .map_err(|e| Failure::runtime(format!("cannot start the log: {e}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .map_err(|e| Failure::runtime(format!("cannot start the service thread: {e}")))?;
    let place = Place {
        claimed_dir: claim.dir(),
        connector,
        namespace,
    };
    let end = runtime.block_on(serve(options, config, neighbours, place, log));
    runtime.shutdown_background();
    match end? {
        End::Stopped => Ok(()),
        End::Broken(text) => Err(Failure::runtime(text)),
    }
}

/// Where the daemon finds itself.
struct Place<'a> {
    claimed_dir: &'a Path,
    connector: Option<Connector>,
    namespace: Option<String>,
}

/// Enters the network namespace that is asked for, before there is any other thread or socket.
fn move_in(options: &mut RunOptions, config: &Config) -> Result<Option<String>, Failure> {
    let file = config.settings.global.net_namespace.as_deref();
    let Some(name) = options.namespace.as_deref().or(file).map(str::to_owned) else {
        return Ok(None);
    };
    netns::enter(&name).map_err(|e| Failure {
        code: match e.errno() {
            Some(nix::libc::EPERM | nix::libc::EACCES) => code::PERMISSION,
            Some(_) | None => code::RUNTIME,
        },
        text: e.to_string(),
    })?;
    if options.usual_dirs {
        options.runtime_dir.push(&name);
        options.state_dir.push(&name);
    }
    Ok(Some(name))
}

async fn serve(
    options: RunOptions,
    config: Config,
    neighbours: Neighbours,
    place: Place<'_>,
    log: Log,
) -> Result<End, Failure> {
    let Place {
        claimed_dir,
        connector,
        namespace,
    } = place;
    let Config { settings, warnings } = config;
    let runner = Runner::spawn(Path::new(OURSELVES))
        .map_err(|e| Failure::runtime(format!("cannot start the runner process: {e}")))?;
    let group = settings.global.control_group.as_deref();
    let server = Server::bind(&options.runtime_dir, group).map_err(|e| {
        Failure::runtime(format!(
            "{}: cannot make the control socket: {e}",
            options.runtime_dir.display()
        ))
    })?;
    let remark = server.remark().map(str::to_owned);

    let path = claimed_dir.join(ledger::FILE);
    let mut left = Ledger::read(&path).unwrap_or_default();
    let carried = left.clone();
    if neighbours.keepalived {
        // Its addresses carry the same tag and may be the same: nothing is ours for certain.
        left.clear();
    }
    let claimed = claimed_by_others(claimed_dir);
    let ledger = Ledger::create(&path, &carried).map_err(Failure::runtime)?;
    let answers =
        Bell::new().map_err(|e| Failure::runtime(format!("cannot make an eventfd: {e}")))?;
    let hands = Hands::start(answers.clone(), Some(ledger)).map_err(Failure::runtime)?;
    let (engine_end, service_end, bell) =
        bridge().map_err(|e| Failure::runtime(format!("cannot join the threads: {e}")))?;
    let birth = Birth {
        settings: settings.clone(),
        process: settings.global.process.clone(),
        bridge: engine_end,
        hands,
        answers,
        claimed,
        left,
    };
    let (events, remarks) =
        Journal::open(&options.state_dir, settings.global.journal_keep.0 as usize);
    let (intents, damaged) = Intents::open(&options.state_dir);
    let (feeds, lost) = Feeds::open(&options.state_dir);
    let damaged: Vec<String> = damaged.into_iter().chain(lost).collect();
    let chronicle = Chronicle::new(events);
    // Where there is no connector, all processes are looked at from time to time.
    let watchers = Watchers::start(&settings, connector);
    let mut linkbeats = Linkbeats::default();
    linkbeats.set(&settings);
    let mut service = Service {
        options,
        settings,
        warnings,
        log,
        engine: service_end,
        runner: Some(runner),
        runner_at: Instant::ZERO,
        checks: Checks::default(),
        probes: Probes::default(),
        vigil: Default::default(),
        watchers,
        linkbeats,
        namespace,
        notify: NotifyQueues::default(),
        outbox: Outbox::default(),
        chronicle,
        intents,
        orders: Orders::default(),
        feeds,
        reloading: VecDeque::new(),
        log_level_until: None,
        standing: Vec::new(),
        stopping: false,
        engine_gone: None,
    };
    let version = env!("CARGO_PKG_VERSION");
    let file = service.options.file.display().to_string();
    let mut text = format!("Starting Mainstay v{version} with {file}");
    if let Some(name) = &service.namespace {
        let folder = service.options.runtime_dir.display();
        text += &format!(", in network namespace {name} (--runtime-dir {folder})");
    }
    service.say(Level::Info, text.clone());
    if service.chronicle.ended_well() == Some(false) {
        text += "; the run before ended without a word (killed, crashed, or the power failed)";
    }
    service
        .chronicle
        .record(crate::os::clock::now(), Event::new("start", &text));
    // What stands in the file is no event.
    for warning in service.warnings.clone() {
        service.log_only(Level::Warn, warning);
    }
    // What is lost with a damaged file is shown for as long as this run lasts.
    service
        .standing
        .extend(remarks.iter().chain(&damaged).cloned());
    for warning in neighbours
        .warnings
        .into_iter()
        .chain(remark)
        .chain(remarks)
        .chain(damaged)
    {
        service.say(Level::Warn, warning);
    }
    service.tell_tracked();
    service.resume(None);
    service.resume_feeds();
    service.poll_links();
    rt::trim();
    // Its stack is touched and locked: as large as it needs to be and no larger.
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .stack_size(512 * 1024)
        .spawn(move || engine_thread::run(birth))
        .map_err(|e| Failure::runtime(format!("cannot start the engine thread: {e}")))?;
    let end = service
        .run(bell, server)
        .await
        .map_err(|e| Failure::runtime(format!("service thread: {e}")));
    if engine.join().is_err() {
        return Err(Failure::runtime("the engine thread ended unexpectedly"));
    }
    end
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|e| {
        let code = if e.kind() == io::ErrorKind::PermissionDenied {
            code::PERMISSION
        } else {
            code::RUNTIME
        };
        Failure {
            code,
            text: format!(
                "{}: cannot create the directory: {e}{}",
                dir.display(),
                way_out(&e)
            ),
        }
    })
}

/// What to do about a folder that is not ours to write.
fn way_out(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; run as root, or choose others by --runtime-dir and --state-dir"
    } else {
        ""
    }
}

/// One daemon for each runtime directory.
fn lock(dir: &Path) -> Result<Flock<File>, Failure> {
    let path = dir.join("lock");
    let fail = |e: &io::Error| Failure {
        code: if e.kind() == io::ErrorKind::PermissionDenied {
            code::PERMISSION
        } else {
            code::RUNTIME
        },
        text: format!("{}: cannot lock: {e}{}", path.display(), way_out(e)),
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| fail(&e))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno != Errno::EWOULDBLOCK {
            return fail(&errno.into());
        }
        Failure {
            code: code::RUNNING,
            text: format!(
                "mainstay already runs with {}; choose another by --runtime-dir",
                dir.display()
            ),
        }
    })?;
    // Information only; the lock is what counts.
    let _ = lock.set_len(0);
    let _ = writeln!(&*lock, "{}", std::process::id());
    Ok(lock)
}

/// Raw sockets and addresses need root or two capabilities.
fn may_speak() -> Result<(), Failure> {
    use socket2::{Domain, Protocol, Socket, Type};
    match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Failure {
            code: code::PERMISSION,
            text: format!(
                "cannot open a raw socket: {e}; run as root, or with CAP_NET_RAW and CAP_NET_ADMIN"
            ),
        }),
        Err(e) => Err(Failure::runtime(format!("cannot open a raw socket: {e}"))),
    }
}

/// What other living daemons in this namespace have put into the kernel.
fn claimed_by_others(ours: &Path) -> Vec<(LinkId, Cidr)> {
    claims::living()
        .unwrap_or_default()
        .into_iter()
        .filter(|dir| dir != ours)
        .filter_map(|dir| Ledger::read(&dir.join(ledger::FILE)))
        .flatten()
        .map(|Entry { link, cidr, .. }| (link, cidr))
        .collect()
}
