//! The command line's end of the socket: one call, one reply, no runtime.

use crate::ctl::SOCKET;
use nix::unistd::{Gid, Group};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the daemon to take or send anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest reply: 100,000 instances would fit.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug)]
pub enum Error {
    /// There is no socket, or nobody behind it.
    NotRunning(PathBuf),
    /// The socket is not ours to use; its group, if it could be seen.
    Permission(PathBuf, Option<String>),
    /// The daemon neither took the call nor answered in time.
    TimedOut(PathBuf),
    /// The system would not.
    Io(PathBuf, io::Error),
    /// The daemon answered with an error: its name and parameters.
    Refused(String, Value),
    /// The answer makes no sense.
    BadReply(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(dir) => write!(
                f,
                "mainstay is not running with runtime directory {} (no daemon behind {SOCKET}); start it or pass --runtime-dir",
                dir.display()
            ),
            Self::Permission(dir, Some(group)) => write!(
                f,
                "{}/{SOCKET}: permission denied (become root or a member of group {group})",
                dir.display()
            ),
            Self::Permission(dir, None) => write!(
                f,
                "{}/{SOCKET}: permission denied (become root)",
                dir.display()
            ),
            Self::TimedOut(dir) => write!(
                f,
                "{}/{SOCKET}: no answer within {} s (the daemon is stopped or overloaded)",
                dir.display(),
                PATIENCE.as_secs()
            ),
            Self::Io(dir, error) => write!(f, "{}/{SOCKET}: {error}", dir.display()),
            Self::Refused(name, parameters) => refusal(f, name, parameters),
            Self::BadReply(reason) => {
                write!(f, "the daemon's answer cannot be read: {reason}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::NotRunning(_)
            | Self::Permission(..)
            | Self::TimedOut(_)
            | Self::Refused(..)
            | Self::BadReply(_) => None,
        }
    }
}

/// An error of the interface in words.
fn refusal(f: &mut fmt::Formatter<'_>, name: &str, parameters: &Value) -> fmt::Result {
    let word = name.rsplit('.').next().unwrap_or(name);
    match word {
        "MethodNotFound" | "InterfaceNotFound" => write!(
            f,
            "the running daemon does not know this command ({word}); is it an older version?"
        ),
        "PermissionDenied" => f.write_str("permission denied: this needs root"),
        "ConfigRefused" => write!(
            f,
            "reload refused, nothing was changed: {}\n{}",
            parameters["file"].as_str().unwrap_or_default(),
            parameters["text"].as_str().unwrap_or_default().trim_end()
        ),
        "NoSuchInstance" => {
            let names = parameters["instances"].as_array();
            let names: Vec<&str> = names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let all = names.join(", ");
            match parameters["instance"].as_str() {
                Some("") | None => write!(f, "which instance? name one of {all}, or use --all"),
                Some(name) => write!(f, "no instance {name} (there are: {all})"),
            }
        }
        "NoSuchTracker" => {
            let names = parameters["trackers"].as_array();
            let names: Vec<&str> = names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let name = parameters["tracker"].as_str().unwrap_or_default();
            match names.as_slice() {
                [] => write!(
                    f,
                    "no tracker {name} can be set: none is external (write `external` in a \
                     vrrp_script or track_file)"
                ),
                names => write!(
                    f,
                    "no external tracker {name} (there are: {})",
                    names.join(", ")
                ),
            }
        }
        "NotPermitted" => write!(
            f,
            "permission denied: {}",
            parameters["reason"].as_str().unwrap_or("this needs root")
        ),
        "Impossible" => f.write_str(parameters["reason"].as_str().unwrap_or("impossible")),
        "TooManyFollowers" => write!(
            f,
            "{} others follow events already; try again",
            parameters["limit"]
        ),
        "InvalidParameter" => write!(
            f,
            "the daemon does not take this value of {}",
            parameters["parameter"].as_str().unwrap_or("a parameter")
        ),
        "TooManyConnections" => write!(
            f,
            "the daemon serves {} connections already; try again",
            parameters["limit"]
        ),
        "Busy" => match parameters["reason"].as_str() {
            Some(reason) => write!(f, "the daemon is busy: {reason}"),
            None => f.write_str("the daemon is busy"),
        },
        _ => write!(f, "the daemon refused: {name} {parameters}"),
    }
}

/// Calls `method` of the daemon whose runtime directory is `dir` and returns the reply's parameters.
///
/// *Blocks*: at most a few seconds.
pub fn call(dir: &Path, method: &str, parameters: Value) -> Result<Value, Error> {
    call_for(dir, method, parameters, PATIENCE)
}

/// As [`call`], for methods that take their time: the answer may take so long.
pub fn call_for(
    dir: &Path,
    method: &str,
    parameters: Value,
    patience: Duration,
) -> Result<Value, Error> {
    let mut follower = Follower::ask(dir, method, parameters, false)?;
    follower.patience(Some(patience))?;
    follower.hear()
}

/// A connection on which a method answers again and again.
#[derive(Debug)]
pub struct Follower {
    stream: UnixStream,
    dir: PathBuf,
    /// Bytes of the next reply that came with the last one.
    rest: Vec<u8>,
}

impl Follower {
    /// Calls `method` and asks for more than one reply if `more`.
    ///
    /// *Blocks*: at most a few seconds.
    pub fn ask(dir: &Path, method: &str, parameters: Value, more: bool) -> Result<Self, Error> {
        let trouble = |error| classify(dir, error);
        let mut stream = connect(dir).map_err(trouble)?;
        let mut call = json!({"method": method, "parameters": parameters});
        if more {
            call["more"] = Value::Bool(true);
        }
        let mut call = call.to_string();
        call.push('\0');
        // After a broken pipe too: a daemon that closed at once may have said why.
        if let Err(error) = stream.write_all(call.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(trouble(error));
        }
        Ok(Self {
            stream,
            dir: dir.to_path_buf(),
            rest: Vec::new(),
        })
    }

    /// How long [`Follower::hear`] waits; `None` for ever.
    pub fn patience(&self, patience: Option<Duration>) -> Result<(), Error> {
        // Zero would mean for ever.
        let patience = patience.map(|length| length.max(Duration::from_millis(1)));
        self.stream
            .set_read_timeout(patience)
            .map_err(|error| classify(&self.dir, error))
    }

    /// Parameters of the next reply.
    pub fn hear(&mut self) -> Result<Value, Error> {
        let reply = receive(&mut self.stream, &mut self.rest)
            .map_err(|error| classify(&self.dir, error))?;
        let mut reply: Value = serde_json::from_slice(&reply).map_err(|error| {
            Error::BadReply(match reply.len() {
                0 => "it closed the connection".to_owned(),
                _ => error.to_string(),
            })
        })?;
        let parameters = reply["parameters"].take();
        match reply["error"].as_str() {
            Some(name) => Err(Error::Refused(name.to_owned(), parameters)),
            None => Ok(parameters),
        }
    }
}

fn connect(dir: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Also bounds connect(2), which waits while the backlog is full.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(dir.join(SOCKET))?)?;
    Ok(socket.into())
}

/// One message without its NUL; what came if the connection ended before it.
fn receive(stream: &mut UnixStream, rest: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut reply = std::mem::take(rest);
    if let Some(end) = reply.iter().position(|byte| *byte == 0) {
        *rest = reply.split_off(end + 1);
        reply.pop();
        return Ok(reply);
    }
    let mut chunk = [0; 16 * 1024];
    while (reply.len() as u64) < LONGEST {
        let count = match stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        let (bytes, end) = match chunk[..count].iter().position(|byte| *byte == 0) {
            Some(end) => {
                rest.extend_from_slice(&chunk[end + 1..count]);
                (&chunk[..end], true)
            }
            None => (&chunk[..count], count == 0),
        };
        reply.extend_from_slice(bytes);
        if end {
            break;
        }
    }
    Ok(reply)
}

fn classify(dir: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut, WouldBlock};
    let kind = error.kind();
    let is = |kinds: &[io::ErrorKind]| kinds.contains(&kind);
    let dir = dir.to_path_buf();
    if is(&[NotFound, ConnectionRefused]) {
        Error::NotRunning(dir)
    } else if is(&[PermissionDenied]) {
        let group = fs::symlink_metadata(dir.join(SOCKET)).ok().map(|seen| {
            match Group::from_gid(Gid::from_raw(seen.gid())) {
                Ok(Some(group)) => group.name,
                Ok(None) | Err(_) => seen.gid().to_string(),
            }
        });
        Error::Permission(dir, group)
    } else if is(&[WouldBlock, TimedOut]) {
        Error::TimedOut(dir)
    } else {
        Error::Io(dir, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn no_socket_and_a_stale_socket_both_mean_not_running() {
        let dir = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            let error = call(dir.path(), "x.Y", Value::Null).expect_err("nobody there");
            let text = error.to_string();
            assert!(matches!(error, Error::NotRunning(_)), "{text}");
            assert!(text.contains("mainstay is not running"), "{text}");
            assert!(text.contains(&dir.path().display().to_string()), "{text}");
            drop(UnixListener::bind(dir.path().join(SOCKET)).ok());
        }
    }

    /// The reply to a call when the other end behaves as told.
    fn answered(reply: &'static [u8], read_first: bool) -> Result<Value, Error> {
        let dir = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(dir.path().join(SOCKET)).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            if read_first {
                let mut call = [0; 1024];
                let _ = stream.read(&mut call);
            }
            let _ = stream.write_all(reply);
        });
        let answer = call(dir.path(), "x.Y", json!({}));
        server.join().expect("no panic");
        answer
    }

    #[test]
    fn parameters_of_the_reply_come_back() {
        let value = answered(b"{\"parameters\":{\"a\":1}}\0", true).expect("a reply");
        assert_eq!(value, json!({"a": 1}));
    }

    #[test]
    fn errors_are_told_in_words() {
        let told = |reply| answered(reply, true).expect_err("an error").to_string();
        let busy =
            b"{\"error\":\"dev.mainstay.Control.Busy\",\"parameters\":{\"reason\":\"slow\"}}\0";
        assert_eq!(told(busy), "the daemon is busy: slow");
        let old = b"{\"error\":\"org.varlink.service.MethodNotFound\"}\0";
        assert!(told(old).contains("older version"));
        assert!(told(b"").contains("closed the connection"));
        assert!(told(b"{\"param").contains("cannot be read"));
    }

    #[test]
    fn a_refusal_without_reading_the_call_is_still_read() {
        let reply = b"{\"error\":\"dev.mainstay.Control.TooManyConnections\",\"parameters\":{\"limit\":32}}\0";
        let text = answered(reply, false).expect_err("refused").to_string();
        assert_eq!(text, "the daemon serves 32 connections already; try again");
    }
}
