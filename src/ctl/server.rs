//! The daemon's end of the socket: who may connect, how long, how much.
//!
//! Every connection is a task of the service thread's runtime and can wait for nothing longer than
//! [`Limits`] allow. Calls of one connection are answered one after another; a slow reader holds up
//! itself alone.

use crate::ctl::SOCKET;
use crate::ctl::frame::{Frames, TooLarge};
use crate::ctl::interface::{self, Act, Asked, Call, EventsAsked, Refusal};
use crate::ctl::neighbours;
use crate::ctl::reply::{EventsReply, NeighboursReply, StatusReply, TrackersReply};
use crate::model::view::Snapshot;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Group, geteuid};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Who may read if no group is named and this one exists.
const DEFAULT_GROUP: &str = "mainstay";
/// Events in one reply to somebody who follows.
const FOLLOWED: usize = 256;
/// A path longer than this fits in no socket address.
const LONGEST_PATH: usize = 107;

/// What the server cannot know itself.
pub trait Answers: Send + Sync + 'static {
    /// The running state, now.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, Busy>> + Send;

    /// The part of the journal that is asked for.
    fn events(&self, asked: &EventsAsked) -> EventsReply;

    /// Number of the newest event, now and whenever it grows.
    fn newest(&self) -> watch::Receiver<u64>;

    /// Does something for a caller that may; the parameters of the reply. It is to bound its own time.
    fn act(&self, act: Act, by: Caller) -> impl Future<Output = Result<Value, Refusal>> + Send;
}

/// Why there is no answer: a sentence for the asker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Busy(pub String);

/// Whose process is at the other end, as the kernel says (SO_PEERCRED).
///
/// Who may read is decided by the socket's mode and group; what acts asks for [`Caller::may_act`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Process; it may be gone by now.
    pub pid: i32,
    /// Root, or the user the daemon runs as.
    pub may_act: bool,
}

impl Caller {
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let peer = getsockopt(stream, PeerCredentials)?;
        Ok(Self {
            uid: peer.uid(),
            gid: peer.gid(),
            pid: peer.pid(),
            may_act: peer.uid() == 0 || peer.uid() == geteuid().as_raw(),
        })
    }
}

/// Bounds on what a peer can cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes in one call.
    pub message: usize,
    /// Open connections.
    pub connections: usize,
    /// Of those, kept for callers that may act, so that no reader can lock them out.
    pub reserved: usize,
    /// Connections that follow events.
    pub followers: usize,
    /// A connection that says nothing is closed after so long.
    pub idle: Duration,
    /// A call that was begun must be complete after so long.
    pub partial: Duration,
    /// A reply must be taken within so long.
    pub write: Duration,
    /// The daemon must answer within so long.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 * 1024,
            connections: 32,
            reserved: 4,
            followers: 8,
            idle: Duration::from_secs(30),
            partial: Duration::from_secs(2),
            write: Duration::from_secs(2),
            answer: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// How many connections there may be when this caller asks for one more.
    pub const fn places(&self, caller: Caller) -> usize {
        if caller.may_act {
            self.connections
        } else {
            self.connections.saturating_sub(self.reserved)
        }
    }
}

/// The listening socket. Dropping it removes the file.
#[derive(Debug)]
pub struct Server {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
    /// Device and inode, so that nobody else's file is removed.
    file: (u64, u64),
    remark: Option<String>,
    limits: Limits,
}

impl Server {
    /// Creates `control.sock` in `runtime_dir`, which exists, with mode 0660 and the group that is
    /// named, else `mainstay` if there is such a group, else ours. Nobody can connect before mode and
    /// group are right. The socket of a dead daemon is replaced.
    ///
    /// *Errors*: `AddrInUse` if a living daemon serves it, `AlreadyExists` if it is no socket, or what
    /// the kernel says.
    pub fn bind(runtime_dir: &Path, group: Option<&str>) -> io::Result<Self> {
        let path = runtime_dir.join(SOCKET);
        let explain =
            |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        let shown = path.display();
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            let text = format!(
                "{shown}: a socket's path has at most {LONGEST_PATH} bytes, this one {length}: choose a shorter --runtime-dir"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        clear_stale(&path)?;
        let (gid, mut remark) = choose_group(group);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // bind(2) gives the file this mode; it is widened below, before listen(2) lets anybody in.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket
            .bind(&SockAddr::unix(&path)?)
            .map_err(|error| explain(&format!("cannot create {shown}"), error))?;
        if let Some(gid) = gid
            && let Err(error) = lchown(&path, None, Some(gid))
        {
            remark = Some(format!(
                "{shown}: cannot give it to group {gid}: {error}; only root can ask for the status"
            ));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o660))?;
        socket.listen(64)?;
        socket.set_nonblocking(true)?;
        let seen = fs::symlink_metadata(&path)?;
        Ok(Self {
            listener: socket.into(),
            path,
            file: (seen.dev(), seen.ino()),
            remark,
            limits: Limits::default(),
        })
    }

    /// Other bounds than the usual ones.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What did not go as asked though the socket works: a line for the log.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Answers until the future is dropped, and with it every connection and the file.
    ///
    /// *Errors*: the runtime cannot watch the socket. Trouble of single connections is theirs alone.
    pub async fn serve<A: Answers>(self, answers: A) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let answers = Arc::new(answers);
        let followers = Arc::new(AtomicUsize::new(0));
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &answers, &followers, &mut talks),
                    // Out of descriptors or memory: the caller stays in the backlog meanwhile.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = talks.join_next() => {}
            }
        }
    }

    fn admit<A: Answers>(
        &self,
        stream: UnixStream,
        answers: &Arc<A>,
        followers: &Arc<AtomicUsize>,
        talks: &mut JoinSet<()>,
    ) {
        let Ok(caller) = Caller::of(&stream) else {
            return;
        };
        let limit = self.limits.places(caller);
        while talks.try_join_next().is_some() {}
        if talks.len() >= limit {
            if let Ok(reply) = interface::message(&Refusal::TooManyConnections(limit).reply()) {
                // A fresh socket has room for it; if not, closing says enough.
                let _ = stream.try_write(&reply);
            }
            return;
        }
        let talk = Talk {
            stream,
            caller,
            answers: answers.clone(),
            followers: followers.clone(),
            limits: self.limits,
        };
        talks.spawn(talk.run());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|seen| (seen.dev(), seen.ino()) == self.file)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody serves.
fn clear_stale(path: &Path) -> io::Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{shown}: {error}"))),
        Ok(seen) if !seen.file_type().is_socket() => {
            let text = format!("{shown} exists and is no socket (remove it)");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full backlog is a living daemon's too.
        Ok(()) | Err(_) => {
            let text = format!("{shown} is served by another daemon");
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

/// The socket's group, and a remark if it is not the one that was named.
fn choose_group(named: Option<&str>) -> (Option<u32>, Option<String>) {
    let name = named.unwrap_or(DEFAULT_GROUP);
    match Group::from_name(name) {
        Ok(Some(group)) => (Some(group.gid.as_raw()), None),
        Ok(None) | Err(_) => (
            None,
            named.map(|name| {
                format!("control_group {name}: no such group; only root can ask for the status")
            }),
        ),
    }
}

/// One connection.
struct Talk<A> {
    stream: UnixStream,
    caller: Caller,
    answers: Arc<A>,
    /// How many connections follow events.
    followers: Arc<AtomicUsize>,
    limits: Limits,
}

/// What a call gets.
enum Reply {
    Bytes(Vec<u8>),
    /// Events, one reply after another.
    Follow(EventsAsked),
}

impl<A: Answers> Talk<A> {
    /// From the first call to the end.
    async fn run(mut self) {
        let mut frames = Frames::new(self.limits.message);
        loop {
            let call = match hear(&mut self.stream, &mut frames, &self.limits).await {
                Heard::Call(call) => call,
                Heard::Nonsense(refusal) => {
                    let _ = self.say(Err(refusal)).await;
                    return;
                }
                Heard::End => return,
            };
            let oneway = call.oneway == Some(true);
            let reply = match call.asked() {
                // What only reads is of no use to somebody who wants no reply.
                Ok(
                    Asked::Ready(_)
                    | Asked::Status
                    | Asked::Events(_)
                    | Asked::Neighbours
                    | Asked::Trackers,
                ) if oneway => {
                    continue;
                }
                Ok(asked) => self.answer(asked, call.more == Some(true)).await,
                Err(refusal) => Err(refusal),
            };
            let bytes = match reply {
                Ok(Reply::Follow(asked)) => {
                    self.follow(asked).await;
                    return;
                }
                Ok(Reply::Bytes(bytes)) => Ok(bytes),
                Err(refusal) => Err(refusal),
            };
            if !oneway && self.say(bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, asked: Asked, more: bool) -> Result<Reply, Refusal> {
        let bytes = match asked {
            Asked::Ready(parameters) => interface::reply(&parameters),
            Asked::Status => {
                let snapshot = self.snapshot().await?;
                interface::reply(&StatusReply { snapshot })
            }
            Asked::Events(asked) if more => return Ok(Reply::Follow(asked)),
            Asked::Events(asked) => interface::reply(&self.answers.events(&asked)),
            Asked::Neighbours => {
                let neighbours = neighbours::of(&self.snapshot().await?);
                interface::reply(&NeighboursReply { neighbours })
            }
            Asked::Trackers => {
                let trackers = self.snapshot().await?.externals;
                interface::reply(&TrackersReply { trackers })
            }
            Asked::Act(act) if act.needs_root() && !self.caller.may_act => {
                Err(Refusal::PermissionDenied)
            }
            Asked::Act(act) => interface::reply(&self.answers.act(act, self.caller).await?),
        };
        bytes.map(Reply::Bytes)
    }

    /// The running state.
    async fn snapshot(&self) -> Result<Snapshot, Refusal> {
        match timeout(self.limits.answer, self.answers.snapshot()).await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(Busy(reason))) => Err(Refusal::Busy(reason)),
            Err(_) => Err(Refusal::Busy(format!(
                "the engine did not answer within {} s",
                self.limits.answer.as_secs_f32()
            ))),
        }
    }

    /// Sends what there is and then what comes, until the caller leaves or stops reading.
    async fn follow(&mut self, mut asked: EventsAsked) {
        let limit = self.limits.followers;
        let Some(_place) = Place::take(&self.followers, limit) else {
            let _ = self.say(Err(Refusal::TooManyFollowers(limit))).await;
            return;
        };
        let mut newest = self.answers.newest();
        let mut first = true;
        loop {
            newest.borrow_and_update();
            let mut reply = self.answers.events(&asked);
            // Since when the next reply goes on: a full one may have left some for it.
            let full = reply.events.len() >= asked.limit && asked.since.is_some();
            let upto = match reply.events.last() {
                Some(event) if full => event.seq,
                Some(_) | None => reply.last,
            };
            asked.since = Some(upto);
            asked.age_s = None;
            if first || !reply.events.is_empty() || reply.lost > 0 {
                if first && asked.limit < FOLLOWED {
                    asked.limit = FOLLOWED;
                }
                first = false;
                reply.last = reply.last.max(upto);
                let bytes = interface::reply_and_more(&reply);
                if self.say(bytes).await.is_err() {
                    return;
                }
            }
            if full {
                continue;
            }
            let mut byte = [0];
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                // A caller that follows has nothing more to say: it left, or breaks the protocol.
                _ = self.stream.read(&mut byte) => return,
            }
        }
    }

    /// Writes a reply; an error means that the connection is of no more use.
    async fn say(&mut self, reply: Result<Vec<u8>, Refusal>) -> io::Result<()> {
        let bytes = match reply {
            Ok(bytes) => bytes,
            Err(refusal) => interface::message(&refusal.reply())?,
        };
        timeout(self.limits.write, self.stream.write_all(&bytes)).await?
    }
}

/// A follower's place; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let place = Self(places.clone());
        (places.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Heard {
    Call(Call),
    Nonsense(Refusal),
    End,
}

/// Waits for the next call.
async fn hear(stream: &mut UnixStream, frames: &mut Frames, limits: &Limits) -> Heard {
    if frames.is_empty() {
        match timeout(limits.idle, stream.read_buf(frames.room())).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return Heard::End,
        }
    }
    let whole = async {
        loop {
            match frames.take() {
                Ok(Some(message)) => {
                    return match Call::parse(message) {
                        Ok(call) => Heard::Call(call),
                        Err(refusal) => Heard::Nonsense(refusal),
                    };
                }
                Ok(None) => {}
                Err(TooLarge { limit }) => {
                    return Heard::Nonsense(Refusal::MessageTooLarge(limit));
                }
            }
            match stream.read_buf(frames.room()).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Heard::End,
            }
        }
    };
    timeout(limits.partial, whole).await.unwrap_or(Heard::End)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net;

    #[test]
    fn the_socket_has_its_mode_and_goes_with_the_server() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(SOCKET);
        let server = Server::bind(dir.path(), None).expect("a socket");
        let seen = fs::symlink_metadata(&path).expect("it exists");
        assert_eq!(seen.mode() & 0o777, 0o660);
        assert!(seen.file_type().is_socket());
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(SOCKET);
        drop(net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "std leaves the file behind");
        let living = Server::bind(dir.path(), None).expect("replaces the stale one");
        let error = Server::bind(dir.path(), None).expect_err("somebody listens");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        assert!(path.exists());
        drop(living);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(SOCKET);
        fs::write(&path, "precious").expect("a file");
        let error = Server::bind(dir.path(), None).expect_err("not a socket");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[test]
    fn a_successors_socket_is_not_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(SOCKET);
        let first = Server::bind(dir.path(), None).expect("a socket");
        fs::remove_file(&path).expect("removed by hand");
        let _second = Server::bind(dir.path(), None).expect("a socket");
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = dir.path().join("x".repeat(110));
        let error = Server::bind(&long, None).expect_err("too long");
        assert!(error.to_string().contains("--runtime-dir"), "{error}");
    }

    #[test]
    fn an_unknown_group_is_a_remark_not_a_death() {
        let dir = tempfile::tempdir().expect("a folder");
        let server = Server::bind(dir.path(), Some("no-such-group-here")).expect("a socket");
        let remark = server.remark().expect("said");
        assert!(remark.contains("no-such-group-here"), "{remark}");
        let seen = fs::symlink_metadata(dir.path().join(SOCKET)).expect("it exists");
        assert_eq!(seen.mode() & 0o777, 0o660);
    }

    #[test]
    fn readers_cannot_take_the_last_places() {
        let limits = Limits::default();
        let mut caller = Caller {
            uid: 1000,
            gid: 1000,
            pid: 1,
            may_act: false,
        };
        assert_eq!(limits.places(caller), 28);
        caller.may_act = true;
        assert_eq!(limits.places(caller), 32);
    }

    struct Never;
    impl Answers for Never {
        async fn snapshot(&self) -> Result<Snapshot, Busy> {
            std::future::pending().await
        }
        fn events(&self, _: &EventsAsked) -> EventsReply {
            EventsReply::default()
        }
        fn newest(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }
        async fn act(&self, _: Act, _: Caller) -> Result<Value, Refusal> {
            Err(Refusal::Impossible("a test".into()))
        }
    }

    /// A runtime as the service thread has it.
    fn with_server<T>(limits: Limits, work: impl FnOnce(PathBuf) -> T + Send + 'static) -> T
    where
        T: Send + 'static,
    {
        let dir = tempfile::tempdir().expect("a folder");
        let server = Server::bind(dir.path(), None).expect("a socket");
        let path = dir.path().join(SOCKET);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let worker = tokio::task::spawn_blocking(move || work(path));
            tokio::select! {
                served = server.with_limits(limits).serve(Never) => panic!("ended: {served:?}"),
                done = worker => done.expect("the client did not panic"),
            }
        })
    }

    fn answer(stream: &mut net::UnixStream) -> String {
        let mut bytes = Vec::new();
        // A reset after the last byte is an end too.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn an_engine_that_does_not_answer_is_reported_as_busy() {
        let limits = Limits {
            answer: Duration::from_millis(50),
            idle: Duration::from_millis(200),
            ..Limits::default()
        };
        let text = with_server(limits, |path| {
            let mut stream = net::UnixStream::connect(path).expect("connected");
            stream
                .write_all(b"{\"method\":\"dev.mainstay.Control.Status\"}\0")
                .expect("sent");
            answer(&mut stream)
        });
        assert!(
            text.contains("dev.mainstay.Control.Busy") && text.contains("did not answer"),
            "{text}"
        );
    }

    #[test]
    fn a_connection_that_says_nothing_is_closed() {
        let limits = Limits {
            idle: Duration::from_millis(50),
            ..Limits::default()
        };
        let text = with_server(limits, |path| {
            answer(&mut net::UnixStream::connect(path).expect("connected"))
        });
        assert_eq!(text, "");
    }
}
