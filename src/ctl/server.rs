//! The daemon's end of the socket: who may connect, how long, how much.
//!
//! Every connection is a task of the service thread's runtime and can wait for nothing longer than
//! [`Limits`] allow. Calls of one connection are answered one after another; a slow reader holds up
//! itself alone.

use crate::ctl::SOCKET;
use crate::ctl::frame::{Frames, TooLarge};
use crate::ctl::interface::{self, Asked, Call, Refusal, StatusReply};
use crate::model::view::Snapshot;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Group, geteuid};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Who may read if no group is named and this one exists.
const DEFAULT_GROUP: &str = "mainstay";
/// A path longer than this fits in no socket address.
const LONGEST_PATH: usize = 107;

/// What the server cannot know itself.
pub trait Answers: Send + Sync + 'static {
    /// The running state, now.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, Busy>> + Send;
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
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &answers, &mut talks),
                    // Out of descriptors or memory: the caller stays in the backlog meanwhile.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = talks.join_next() => {}
            }
        }
    }

    fn admit<A: Answers>(&self, stream: UnixStream, answers: &Arc<A>, talks: &mut JoinSet<()>) {
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
        talks.spawn(talk(stream, answers.clone(), self.limits));
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

/// One connection, from the first call to the end.
async fn talk<A: Answers>(mut stream: UnixStream, answers: Arc<A>, limits: Limits) {
    let mut frames = Frames::new(limits.message);
    loop {
        let call = match hear(&mut stream, &mut frames, &limits).await {
            Heard::Call(call) => call,
            Heard::Nonsense(refusal) => {
                let _ = say(&mut stream, Err(refusal), &limits).await;
                return;
            }
            Heard::End => return,
        };
        let oneway = call.oneway == Some(true);
        let reply = match call.asked() {
            Ok(Asked::Ready(parameters)) => interface::reply(&parameters),
            // Nobody wants to know.
            Ok(Asked::Status) if oneway => continue,
            Ok(Asked::Status) => status(&*answers, &limits).await,
            Err(refusal) => Err(refusal),
        };
        if !oneway && say(&mut stream, reply, &limits).await.is_err() {
            return;
        }
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

/// The running state as a reply.
async fn status<A: Answers>(answers: &A, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    match timeout(limits.answer, answers.snapshot()).await {
        Ok(Ok(snapshot)) => interface::reply(&StatusReply { snapshot }),
        Ok(Err(Busy(reason))) => Err(Refusal::Busy(reason)),
        Err(_) => Err(Refusal::Busy(format!(
            "the engine did not answer within {} s",
            limits.answer.as_secs_f32()
        ))),
    }
}

/// Writes a reply; an error means that the connection is of no more use.
async fn say(
    stream: &mut UnixStream,
    reply: Result<Vec<u8>, Refusal>,
    limits: &Limits,
) -> io::Result<()> {
    let bytes = match reply {
        Ok(bytes) => bytes,
        Err(refusal) => interface::message(&refusal.reply())?,
    };
    timeout(limits.write, stream.write_all(&bytes)).await?
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
