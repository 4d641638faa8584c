//! Waiting: epoll, one timerfd on CLOCK_MONOTONIC, and bells that threads ring for each other.

use crate::model::time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

const TIMER: u64 = u64::MAX;
/// Room for events at first; it grows with the descriptors.
const EVENTS: usize = 64;

/// Waits for descriptors and for one deadline.
///
/// epoll's own time-out counts in milliseconds; the timerfd is good for tens of microseconds.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    timer: TimerFd,
    armed: Option<Instant>,
    /// Room for all descriptors at once: what one wait left out would count as silent.
    events: Vec<EpollEvent>,
    watched: Cell<usize>,
}

impl Poller {
    /// An empty poller with a disarmed timer.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        // Edge-triggered: arming again forgets an expiry, so nobody has to read the timer.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&timer, EpollEvent::new(flags, TIMER))?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
            events: vec![EpollEvent::empty(); EVENTS],
            watched: Cell::new(1),
        })
    }

    /// Reports `token` from [`Poller::wait`] for as long as the descriptor is readable or broken.
    ///
    /// `u64::MAX` is the timer's own and is refused with EINVAL.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        if token == TIMER {
            return Err(Errno::EINVAL.into());
        }
        self.epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        self.watched.set(self.watched.get() + 1);
        Ok(())
    }

    /// Forgets a descriptor; to be called before it is closed.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.epoll.delete(fd)?;
        self.watched.set(self.watched.get().saturating_sub(1));
        Ok(())
    }

    /// Wakes [`Poller::wait`] at this time at the latest; a time in the past wakes it at once.
    ///
    /// The timer is set only if this is earlier than what it is set to: a wake that turns out to be
    /// too early costs less than a system call for every advert that moves a deadline away.
    pub fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        if deadline == Instant::MAX || self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        // Zero would disarm it.
        let at = Duration::from_nanos(deadline.as_nanos().max(1));
        self.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(at)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        )?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Blocks until something is readable or the deadline has come; fills `ready` with the tokens.
    ///
    /// Every readable descriptor is among them, however many there are. *Allocates* only while
    /// their number grows. A signal does not end it.
    pub fn wait(&mut self, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        if self.watched.get() > self.events.len() {
            let room = self.watched.get().next_power_of_two();
            self.events.resize(room, EpollEvent::empty());
        }
        let count = loop {
            match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
                Ok(count) => break count,
                // Being stopped and continued ends the wait too. To return with nothing ready would
                // let timers speak before the packets that wait.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        for event in self.events.iter().take(count) {
            if event.data() == TIMER {
                self.armed = None;
            } else {
                ready.push(event.data());
            }
        }
        Ok(())
    }
}

/// An eventfd that wakes another thread; clones ring the same bell.
#[derive(Clone, Debug)]
pub struct Bell(Arc<EventFd>);

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// Makes it readable until it is cleared. Never blocks: a full counter is readable already.
    pub fn ring(&self) {
        let _ = self.0.write(1);
    }

    /// Blocks until it is rung and silences it.
    pub fn wait(&self) {
        while !self.clear() {
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::NONE);
        }
    }

    /// Silences it; says whether it had been rung.
    pub fn clear(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn a_rung_bell_is_reported_until_it_is_cleared() {
        let mut poller = Poller::new().unwrap();
        let bell = Bell::new().unwrap();
        poller.add(&bell, 7).unwrap();
        let mut ready = Vec::new();
        bell.clone().ring();
        poller.wait(&mut ready).unwrap();
        assert_eq!(ready, [7]);
        poller.wait(&mut ready).unwrap();
        assert_eq!(ready, [7]);
        assert!(bell.clear() && !bell.clear());
        poller.arm(Some(Instant::ZERO)).unwrap();
        poller.wait(&mut ready).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn one_wait_reports_everything_that_is_readable() {
        let mut poller = Poller::new().unwrap();
        let bells: Vec<Bell> = (0..200).map(|_| Bell::new().unwrap()).collect();
        for (token, bell) in bells.iter().enumerate() {
            poller.add(bell, token as u64).unwrap();
            bell.ring();
        }
        poller.arm(Some(Instant::ZERO)).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready).unwrap();
        ready.sort_unstable();
        assert_eq!(ready, (0..200).collect::<Vec<u64>>());
    }

    #[test]
    fn the_deadline_wakes_not_before_its_time_and_again_after_it_was_armed_again() {
        let mut poller = Poller::new().unwrap();
        let mut ready = Vec::new();
        for _ in 0..3 {
            let deadline = clock::now() + Duration::from_millis(5);
            poller.arm(Some(deadline)).unwrap();
            poller.wait(&mut ready).unwrap();
            assert!(ready.is_empty() && clock::now() >= deadline);
        }
    }

    #[test]
    fn a_later_deadline_leaves_the_timer_alone_and_an_earlier_one_moves_it() {
        let mut poller = Poller::new().unwrap();
        let now = clock::now();
        let far = now + Duration::from_secs(3600);
        poller.arm(Some(far)).unwrap();
        poller.arm(Some(far + Duration::from_secs(1))).unwrap();
        poller.arm(None).unwrap();
        assert_eq!(poller.armed, Some(far));
        let near = now + Duration::from_millis(1);
        poller.arm(Some(near)).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready).unwrap();
        assert!(clock::now() >= near && poller.armed.is_none());
    }

    #[test]
    fn the_timers_own_token_is_refused() {
        let poller = Poller::new().unwrap();
        let bell = Bell::new().unwrap();
        assert!(poller.add(&bell, u64::MAX).is_err());
        poller.add(&bell, 1).unwrap();
        poller.remove(&bell).unwrap();
        assert!(poller.remove(&bell).is_err());
    }
}
