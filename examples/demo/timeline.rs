//! Puts what the wire, the daemons' logs and the client's pings say in the order of their time.

use super::pinger::{EVERY, PATIENCE_NS, Pinger};
use super::support::frames::Frame;
use super::support::lab::Lab;
use super::support::{wall_ns, watch};
use mainstay::model::ids::{Family, LinkId};
use mainstay::model::priority::Claim;
use mainstay::wire::advert::{Advert, Datagram};
use mainstay::wire::{arp, ip};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Events are printed this long after they happened, so that all sources are in.
const BEHIND_NS: u64 = 600_000_000;

/// What an advert on the bridge said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) at_ns: u64,
    pub(crate) from: usize,
    /// 0 is a goodbye.
    pub(crate) priority: u8,
    interval: Duration,
}

struct Event {
    at_ns: u64,
    who: String,
    text: String,
}

/// One log that is read as it grows.
struct Log {
    who: String,
    path: PathBuf,
    read: usize,
}

/// The timeline.
pub(crate) struct Timeline {
    start_ns: u64,
    waiting: Vec<Event>,
    logs: Vec<Log>,
    /// Frames looked at so far.
    looked: usize,
    /// Every advert so far.
    pub(crate) adverts: Vec<Said>,
    /// Sender and priority last printed, and how often it was repeated since.
    last: HashMap<usize, (u8, usize)>,
    master: Option<usize>,
    announced: HashMap<usize, (u64, usize)>,
    pings_told_ns: u64,
    colour: bool,
}

/// The advert in a frame, by the daemon's own codec.
pub(crate) fn advert(frame: &Frame) -> Option<Said> {
    let packet = ip::parse_v4(frame.bytes.get(14..)?)?;
    if frame.bytes.get(12..14)? != [8, 0] || packet.protocol != 112 {
        return None;
    }
    let datagram = Datagram {
        link: LinkId(0),
        family: Family::V4,
        src: packet.src.into(),
        dst: packet.dst.into(),
        hop_limit: packet.ttl,
        payload: packet.payload,
    };
    let advert = Advert::decode(&datagram).ok()?;
    Some(Said {
        at_ns: frame.at_ns,
        from: frame.from,
        priority: match advert.claim {
            Claim::Release => 0,
            Claim::Hold(priority) => priority.get(),
        },
        interval: advert.adver,
    })
}

impl Timeline {
    pub(crate) fn new() -> Self {
        let start_ns = wall_ns();
        Self {
            start_ns,
            waiting: Vec::new(),
            logs: Vec::new(),
            looked: 0,
            adverts: Vec::new(),
            last: HashMap::new(),
            master: None,
            announced: HashMap::new(),
            pings_told_ns: start_ns,
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Follows a daemon's log in its JSON form.
    pub(crate) fn follow(&mut self, who: &str, path: PathBuf) {
        let read = std::fs::metadata(&path).map_or(0, |m| usize::try_from(m.len()).unwrap_or(0));
        self.logs.retain(|log| log.path != path);
        self.logs.push(Log {
            who: who.to_owned(),
            path,
            read,
        });
    }

    /// Says what the demo itself does now.
    pub(crate) fn act(&mut self, text: &str) -> u64 {
        let at_ns = wall_ns();
        self.push(at_ns, "demo", format!("==> {text}"));
        at_ns
    }

    fn push(&mut self, at_ns: u64, who: &str, text: String) {
        self.waiting.push(Event {
            at_ns,
            who: who.to_owned(),
            text,
        });
    }

    /// Lets this time pass and prints what happens meanwhile.
    pub(crate) fn play(&mut self, lab: &Lab, pinger: &Pinger, seconds: f64) {
        self.until(lab, pinger, seconds, |_| false);
    }

    /// Plays until `seen` is true, at most for `seconds`; whether it was.
    pub(crate) fn until(
        &mut self,
        lab: &Lab,
        pinger: &Pinger,
        seconds: f64,
        seen: impl Fn(&Self) -> bool,
    ) -> bool {
        let end = wall_ns() + Duration::from_secs_f64(seconds).as_nanos() as u64;
        while wall_ns() < end {
            watch(Duration::from_millis(50));
            self.collect(lab, pinger);
            self.print(wall_ns() - BEHIND_NS);
            if seen(self) {
                return true;
            }
        }
        false
    }

    /// Prints everything that is left.
    pub(crate) fn finish(&mut self, lab: &Lab, pinger: &Pinger) {
        self.play(lab, pinger, 0.7);
        self.print(u64::MAX);
    }

    fn collect(&mut self, lab: &Lab, pinger: &Pinger) {
        let frames: Vec<Frame> = {
            let all = lab.cap.frames();
            all.iter().skip(self.looked).cloned().collect()
        };
        self.looked += frames.len();
        for frame in &frames {
            if let Some(said) = advert(frame) {
                self.hear(said);
            } else if let Some(arp) = arp::parse(&frame.bytes).filter(arp::Arp::is_gratuitous) {
                self.announce(frame, arp.target);
            }
        }
        self.read_logs();
        self.judge_pings(pinger);
    }

    fn hear(&mut self, said: Said) {
        self.adverts.push(said);
        let repeats = match self.last.get_mut(&said.from) {
            Some((priority, repeats)) if *priority == said.priority => {
                *repeats += 1;
                *repeats
            }
            _ => {
                self.last.insert(said.from, (said.priority, 0));
                0
            }
        };
        let changed = said.priority > 0 && self.master != Some(said.from);
        if repeats == 0 || changed {
            let text = match said.priority {
                0 => format!("r{} says goodbye: priority 0", said.from),
                p => format!(
                    "r{} advertises priority {p} every {} ms",
                    said.from,
                    said.interval.as_millis()
                ),
            };
            self.push(said.at_ns, "wire", text);
        }
        if changed {
            self.master = Some(said.from);
        }
    }

    fn announce(&mut self, frame: &Frame, address: std::net::Ipv4Addr) {
        let (at, count) = self.announced.entry(frame.from).or_insert((0, 0));
        let fresh = frame.at_ns.saturating_sub(*at) > 1_000_000_000;
        *at = frame.at_ns;
        *count += 1;
        if fresh {
            let text = format!("r{} announces {address} by gratuitous ARP", frame.from);
            self.push(frame.at_ns, "wire", text);
        }
    }

    fn read_logs(&mut self) {
        let mut events = Vec::new();
        for log in &mut self.logs {
            let text = std::fs::read_to_string(&log.path).unwrap_or_default();
            let fresh = text.get(log.read..).unwrap_or_default();
            let whole = fresh.rfind('\n').map_or(0, |end| end + 1);
            for line in fresh[..whole].lines() {
                events.extend(log_event(&log.who, line));
            }
            log.read += whole;
        }
        self.waiting.extend(events);
    }

    fn judge_pings(&mut self, pinger: &Pinger) {
        let until = wall_ns().saturating_sub(PATIENCE_NS);
        let (_, lost) = pinger.between(self.pings_told_ns, until);
        // A row of lost pings is told when it is over.
        let Some((first, last)) = lost.first().zip(lost.last()) else {
            self.pings_told_ns = self.pings_told_ns.max(until);
            return;
        };
        let again = last.sent_ns + EVERY.as_nanos() as u64;
        if again + EVERY.as_nanos() as u64 > until {
            return;
        }
        let length = (again - first.sent_ns) as f64 / 1e9;
        let text = format!("answered again: {} pings lost in {length:.2} s", lost.len());
        self.push(again, "client", text);
        self.pings_told_ns = until;
    }

    fn print(&mut self, until_ns: u64) {
        self.waiting.sort_by_key(|event| event.at_ns);
        let due = self
            .waiting
            .partition_point(|event| event.at_ns <= until_ns);
        let mut out = std::io::stdout().lock();
        for event in self.waiting.drain(..due) {
            let at = (event.at_ns as f64 - self.start_ns as f64) / 1e9;
            let (on, off) = match (self.colour, event.who.as_str()) {
                (false, _) => ("", ""),
                (true, "demo") => ("\x1b[1m", "\x1b[0m"),
                (true, "r1") => ("\x1b[36m", "\x1b[0m"),
                (true, "r2") => ("\x1b[33m", "\x1b[0m"),
                (true, "client") => ("\x1b[31m", "\x1b[0m"),
                (true, _) => ("\x1b[2m", "\x1b[0m"),
            };
            // A reader that went away is no reason to stop cleaning up.
            let _ = writeln!(out, "{on}{at:8.3}  {:<6}  {}{off}", event.who, event.text);
        }
        let _ = out.flush();
    }
}

/// A line of the JSON log, if it tells a transition, a priority or a script.
fn log_event(who: &str, line: &str) -> Option<Event> {
    let object: serde_json::Value = serde_json::from_str(line).ok()?;
    let told = object.get("level")?.as_str()? != "debug";
    let text = object.get("message")?.as_str()?;
    let at_ns = wall_time(object.get("ts")?.as_str()?)?;
    told.then(|| Event {
        at_ns,
        who: who.to_owned(),
        text: text.to_owned(),
    })
}

/// `2026-11-21T00:30:00.123456Z` in nanoseconds since 1970.
fn wall_time(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days since 0000-03-01, then since 1970 (the Gregorian calendar repeats every 400 years).
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let fraction = text.get(20..)?.trim_end_matches('Z');
    let nanos: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}
