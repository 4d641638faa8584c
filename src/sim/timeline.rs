//! What happened in a simulated world, for people.

use crate::core::action::Change;
use crate::model::addr::Cidr;
use crate::model::notice::{Level, Notice, Phase, Why};
use crate::model::seen::Verdict;
use crate::model::time::Instant;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// One thing that happened, on one host unless it concerns the world.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A router changed its state.
    Entered {
        /// The router.
        router: Arc<str>,
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Effective priority.
        priority: u8,
        /// Cause.
        why: Why,
    },
    /// An advert left.
    Advert {
        /// VRID.
        vrid: u8,
        /// Priority; 0 resigns.
        priority: u8,
        /// To.
        dst: IpAddr,
    },
    /// An advert did not reach this host.
    Lost {
        /// Who should have heard it.
        to: usize,
    },
    /// An address was announced.
    Announced(IpAddr),
    /// The kernel changed an address.
    Address(Change, Cidr),
    /// The kernel refused an address.
    Refused(Cidr, i32),
    /// A run of a script ended.
    Ran(Arc<str>, Verdict),
    /// The log was told something else.
    Told(Box<Notice>),
    /// The script of the scenario.
    Scene(Box<str>),
}

#[derive(Clone, Debug)]
struct Line {
    at: Instant,
    host: Option<usize>,
    entry: Entry,
}

/// Everything that happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    names: Vec<Arc<str>>,
    lines: Vec<Line>,
    muted: bool,
}

impl Timeline {
    /// An empty timeline of hosts with these names.
    pub fn new(names: Vec<Arc<str>>) -> Self {
        Self {
            names,
            lines: Vec::new(),
            muted: false,
        }
    }

    /// Keeps nothing from now on; long or large worlds need it.
    pub const fn mute(&mut self) {
        self.muted = true;
    }

    /// Notes one thing.
    pub fn note(&mut self, at: Instant, host: Option<usize>, entry: Entry) {
        if !self.muted {
            self.lines.push(Line { at, host, entry });
        }
    }

    /// Every change of state so far: when, on which host, of which router, to what.
    pub fn transitions(&self) -> impl Iterator<Item = (Instant, usize, &str, Phase)> {
        self.lines.iter().filter_map(|line| match &line.entry {
            Entry::Entered { router, to, .. } => Some((line.at, line.host?, &**router, *to)),
            Entry::Advert { .. }
            | Entry::Lost { .. }
            | Entry::Announced(_)
            | Entry::Address(..)
            | Entry::Refused(..)
            | Entry::Ran(..)
            | Entry::Told(_)
            | Entry::Scene(_) => None,
        })
    }

    /// Every advert so far: when, by which host, its VRID and priority.
    pub fn adverts(&self) -> impl Iterator<Item = (Instant, usize, u8, u8)> {
        self.lines.iter().filter_map(|line| match line.entry {
            Entry::Advert { vrid, priority, .. } => Some((line.at, line.host?, vrid, priority)),
            Entry::Entered { .. }
            | Entry::Lost { .. }
            | Entry::Announced(_)
            | Entry::Address(..)
            | Entry::Refused(..)
            | Entry::Ran(..)
            | Entry::Told(_)
            | Entry::Scene(_) => None,
        })
    }

    /// Every advert that got lost so far: when, by which host, on its way to whom.
    pub fn losses(&self) -> impl Iterator<Item = (Instant, usize, usize)> {
        self.lines.iter().filter_map(|line| match line.entry {
            Entry::Lost { to } => Some((line.at, line.host?, to)),
            Entry::Entered { .. }
            | Entry::Advert { .. }
            | Entry::Announced(_)
            | Entry::Address(..)
            | Entry::Refused(..)
            | Entry::Ran(..)
            | Entry::Told(_)
            | Entry::Scene(_) => None,
        })
    }

    /// Everything else the log was told so far: when, by which host, what.
    pub fn notices(&self) -> impl Iterator<Item = (Instant, usize, &Notice)> {
        self.lines.iter().filter_map(|line| match &line.entry {
            Entry::Told(notice) => Some((line.at, line.host?, &**notice)),
            Entry::Entered { .. }
            | Entry::Advert { .. }
            | Entry::Lost { .. }
            | Entry::Announced(_)
            | Entry::Address(..)
            | Entry::Refused(..)
            | Entry::Ran(..)
            | Entry::Scene(_) => None,
        })
    }

    /// Every announcement of an address so far: when, by which host, of what.
    pub fn announcements(&self) -> impl Iterator<Item = (Instant, usize, IpAddr)> {
        self.lines.iter().filter_map(|line| match line.entry {
            Entry::Announced(address) => Some((line.at, line.host?, address)),
            Entry::Entered { .. }
            | Entry::Advert { .. }
            | Entry::Lost { .. }
            | Entry::Address(..)
            | Entry::Refused(..)
            | Entry::Ran(..)
            | Entry::Told(_)
            | Entry::Scene(_) => None,
        })
    }

    fn name(&self, host: Option<usize>) -> &str {
        host.and_then(|h| self.names.get(h)).map_or("", |n| n)
    }
}

/// One line for each thing; the same thing again and again is counted, not repeated.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<(Option<usize>, String)> = None;
        let mut again = 0;
        for line in &self.lines {
            let text = line.entry.to_string();
            if last
                .as_ref()
                .is_some_and(|(h, t)| *h == line.host && *t == text)
            {
                again += 1;
                continue;
            }
            if again > 0 {
                writeln!(f, "{:>13}  ... {again} more", "")?;
                again = 0;
            }
            writeln!(
                f,
                "{:>13}  {:<6} {text}",
                line.at.to_string(),
                self.name(line.host)
            )?;
            last = Some((line.host, text));
        }
        if again > 0 {
            writeln!(f, "{:>13}  ... {again} more", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered {
                router,
                from,
                to,
                priority,
                why,
            } => write!(f, "{router}: {from} -> {to} (priority {priority}): {why}"),
            Self::Advert {
                vrid,
                priority: 0,
                dst,
            } => write!(f, "resigns VRID {vrid} (priority 0) to {dst}"),
            Self::Advert {
                vrid,
                priority,
                dst,
            } => write!(f, "advert VRID {vrid} priority {priority} to {dst}"),
            Self::Lost { to } => write!(f, "that advert did not reach host {to}"),
            Self::Announced(address) => write!(f, "announces {address}"),
            Self::Address(Change::Add, cidr) => write!(f, "address {cidr} added"),
            Self::Address(Change::Remove, cidr) => write!(f, "address {cidr} removed"),
            Self::Refused(cidr, errno) => write!(f, "address {cidr} refused (errno {errno})"),
            Self::Ran(script, verdict) => write!(f, "script {script} {verdict}"),
            Self::Told(notice) => match notice.what.level() {
                Level::Warn => write!(f, "warning: {notice}"),
                Level::Info | Level::Debug => write!(f, "{notice}"),
            },
            Self::Scene(text) => write!(f, "* {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn repeated_lines_are_counted() {
        let mut timeline = Timeline::new(vec!["a".into(), "b".into()]);
        for ms in 0..5 {
            timeline.note(
                Instant::ZERO + Duration::from_millis(ms),
                Some(1),
                Entry::Advert {
                    vrid: 51,
                    priority: 0,
                    dst: IpAddr::from([224, 0, 0, 18]),
                },
            );
        }
        let text = timeline.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("b      resigns VRID 51"), "{text}");
        assert!(text.contains("... 4 more"), "{text}");
        assert_eq!(timeline.adverts().count(), 5);
    }
}
