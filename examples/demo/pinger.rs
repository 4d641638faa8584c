//! Pings an address all the time and remembers which echo came back.

use super::support::frames::checksum;
use super::support::lab::Host;
use super::support::wall_ns;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two pings.
pub(crate) const EVERY: Duration = Duration::from_millis(50);

/// An echo that has not come back after this is lost.
pub(crate) const PATIENCE_NS: u64 = 300_000_000;

/// One ping: when it left, and whether it came back.
#[derive(Clone, Copy)]
pub(crate) struct Ping {
    pub(crate) sent_ns: u64,
    pub(crate) answered: bool,
}

/// A thread that pings until it is dropped.
pub(crate) struct Pinger {
    pings: Arc<Mutex<Vec<Ping>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pinger {
    /// Pings `target` from `host`.
    pub(crate) fn start(host: &Host, target: Ipv4Addr) -> Self {
        let socket = host.ns.run(|| {
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("a raw socket")
        });
        socket
            .set_nonblocking(true)
            .expect("a socket can be told not to wait");
        let pings = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (pings, stop) = (Arc::clone(&pings), Arc::clone(&stop));
            move || ping(&socket, target, &pings, &stop)
        });
        Self {
            pings,
            stop,
            thread: Some(thread),
        }
    }

    /// Pings sent in this time: how many, and the lost ones among those old enough to be judged.
    pub(crate) fn between(&self, from_ns: u64, to_ns: u64) -> (usize, Vec<Ping>) {
        let judged = to_ns.min(wall_ns().saturating_sub(PATIENCE_NS));
        let pings = self.pings.lock().expect("the pinger does not panic");
        let these: Vec<Ping> = pings
            .iter()
            .filter(|p| p.sent_ns >= from_ns && p.sent_ns < judged)
            .copied()
            .collect();
        let lost = these.iter().filter(|p| !p.answered).copied().collect();
        (these.len(), lost)
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ping(mut socket: &Socket, target: Ipv4Addr, pings: &Mutex<Vec<Ping>>, stop: &AtomicBool) {
    let id = (std::process::id() & 0xffff) as u16;
    let to = SocketAddr::from((target, 0)).into();
    let mut next = Instant::now();
    let mut buffer = [0u8; 256];
    while !stop.load(Ordering::Relaxed) {
        while let Ok(length) = socket.read(&mut buffer) {
            // Behind a header of 20: type, code, checksum, id, number.
            let Some(echo) = buffer.get(20..length).filter(|e| e.len() >= 8) else {
                continue;
            };
            let number = usize::from(u16::from_be_bytes([echo[6], echo[7]]));
            if echo[0] == 0 && echo[4..6] == id.to_be_bytes() {
                let mut pings = pings.lock().expect("nobody panics with the list");
                if let Some(ping) = pings.get_mut(number) {
                    // One that waited for an address to appear comes back late: too late.
                    ping.answered = wall_ns() - ping.sent_ns < PATIENCE_NS;
                }
            }
        }
        if Instant::now() >= next {
            next += EVERY;
            let mut pings = pings.lock().expect("nobody panics with the list");
            let number = u16::try_from(pings.len()).unwrap_or(u16::MAX);
            let mut echo = [8, 0, 0, 0, 0, 0, 0, 0];
            echo[4..6].copy_from_slice(&id.to_be_bytes());
            echo[6..8].copy_from_slice(&number.to_be_bytes());
            let sum = checksum(&[&echo]);
            echo[2..4].copy_from_slice(&sum.to_be_bytes());
            // One that cannot be sent is a lost one.
            let _ = socket.send_to(&echo, &to);
            pings.push(Ping {
                sent_ns: wall_ns(),
                answered: false,
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
