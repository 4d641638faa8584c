//! Whether somebody can be reached: connections, routes, neighbours.

use super::Failure;
use crate::model::ids::Family;
use crate::model::settings::Place;
use crate::os::default_route::DefaultRoute;
use crate::os::neighbour::{Answer, Neighbour};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Between two looks whether a neighbour has answered: from the first to the last.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(50);

/// Asking name servers takes a thread each time, as long as they are silent. So few at once, and no
/// more are queued than there are probes.
static LOOKUPS: Semaphore = Semaphore::const_new(2);

/// The addresses of a place.
async fn addresses(to: &Place) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = match to {
        Place::Addresses(list) => return Ok(list.clone()),
        Place::Name { host, port } => (host.clone(), *port),
    };
    let turn = LOOKUPS
        .acquire()
        .await
        .map_err(|error| Failure::Ours(error.to_string()))?;
    let name = host.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let found = (&*name, port).to_socket_addrs().map(Vec::from_iter);
        // Given back when the thread is free again, not when the probe has given up.
        drop(turn);
        found
    });
    match answer.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::of(host, &error)),
        Err(error) => Err(Failure::Ours(error.to_string())),
    }
}

/// The first connection that can be made.
pub(super) async fn connect(to: &Place) -> Result<TcpStream, Failure> {
    let to = addresses(to).await?;
    let mut failed = Failure::found("no address");
    for (index, at) in to.iter().enumerate() {
        let failure = match TcpStream::connect(at).await {
            Ok(stream) if is_ourselves(&stream) => Failure::Found(format!("{at}: nobody listens")),
            Ok(stream) => return Ok(stream),
            Err(error) => Failure::of(at, &error),
        };
        failed = match (failed, failure) {
            (Failure::Found(before), Failure::Found(text)) if index > 0 => {
                Failure::Found(format!("{before}; {text}"))
            }
            (_, failure) => failure,
        };
    }
    Err(failed)
}

/// A connection to a free local port can come to be made with itself, if the kernel happens to
/// choose that port for our end, too.
fn is_ourselves(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// Whether anybody listens on a unix socket of any type.
pub(super) fn unix(path: &str) -> Result<(), Failure> {
    let nameless = path.strip_prefix('@').map(|name| format!("\0{name}"));
    let addr = SockAddr::unix(nameless.as_deref().unwrap_or(path))
        .map_err(|error| Failure::of(path, &error))?;
    let mut failed = Failure::found(path);
    for kind in [Type::STREAM, Type::DGRAM, Type::SEQPACKET] {
        let connected = Socket::new(Domain::UNIX, kind.nonblocking(), None)
            .and_then(|socket| socket.connect(&addr));
        match connected {
            Ok(()) => return Ok(()),
            Err(error) => {
                let other_type = error.raw_os_error() == Some(Errno::EPROTOTYPE as i32);
                failed = match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EAGAIN) => {
                        Failure::Found(format!("{path}: too many wait to be served"))
                    }
                    _ => Failure::of(path, &error),
                };
                if !other_type {
                    break;
                }
            }
        }
    }
    Err(failed)
}

fn link(interface: &str) -> Result<u32, Failure> {
    if_nametoindex(interface)
        .map_err(|_| Failure::Found(format!("there is no interface {interface}")))
}

pub(super) async fn default_route(family: Family, interface: Option<&str>) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::of("routes cannot be read", &error);
    let link = interface.map(link).transpose()?;
    let mut look = DefaultRoute::look(family, link).map_err(fail)?;
    loop {
        match look.step().map_err(fail)? {
            Some(true) => return Ok(()),
            Some(false) => break,
            None => yield_now().await,
        }
    }
    Err(Failure::Found(match interface {
        Some(name) => format!("no {family} default route through {name} can be used"),
        None => format!("no {family} default route can be used"),
    }))
}

/// Has the kernel ask the neighbour, and waits for its answer.
pub(super) async fn gateway(addr: IpAddr, interface: Option<&str>) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::of(addr, &error);
    let found = match interface {
        Some(name) => Some(Neighbour::on(addr, link(name)?).map_err(fail)?),
        None => Neighbour::find(addr).map_err(fail)?,
    };
    let Some(mut neighbour) = found else {
        return Err(Failure::Found(format!(
            "{addr} is not on a link of this machine"
        )));
    };
    let mut known = neighbour.state().map_err(fail)?;
    if known == Answer::Fixed {
        return Err(Failure::Found(format!(
            "{addr} is not asked: its entry is fixed, or its link needs none"
        )));
    }
    neighbour.ask(known).map_err(fail)?;
    let mut pause = LOOK_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
        known = neighbour.state().map_err(fail)?;
        match known {
            Answer::Reachable => return Ok(()),
            Answer::Failed => return Err(Failure::Found(format!("{addr} does not answer"))),
            Answer::Asking => {}
            // Somebody else changed it.
            Answer::Stale | Answer::Unknown => neighbour.ask(known).map_err(fail)?,
            Answer::Fixed => return Err(Failure::Found(format!("{addr} is not asked any more"))),
        }
    }
}
