//! Interfaces whose link is asked for every second, because the kernel's carrier flag is not believed
//! (keepalived.conf(5) linkbeat_use_polling, linkbeat_interfaces).

use crate::model::links::Linkbeat;
use crate::model::notice::Level;
use crate::model::seen::TrackedSeen;
use crate::model::settings::Settings;
use crate::os::linkbeat::{Asker, Method};
use crate::scripts::watch::News;
use std::io;
use std::sync::Arc;

/// In this order they are tried.
const ALL: [Method; 3] = [Method::Mii, Method::Ethtool, Method::Ioctl];

/// One polled interface.
#[derive(Debug)]
struct Beat {
    interface: Arc<str>,
    how: Linkbeat,
    /// What works here.
    using: Option<Method>,
    /// Which of them was told of, so that it is told once.
    told: Option<Method>,
    /// What was told last, and of which interface of this name.
    last: Option<(u32, bool)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Linkbeats {
    asker: Option<Asker>,
    list: Vec<Beat>,
}

impl Linkbeats {
    /// Polls these from now on.
    pub(super) fn set(&mut self, settings: &Settings) {
        let mut before = std::mem::take(&mut self.list);
        for poll in settings.polled() {
            let same = |b: &Beat| b.interface == poll.interface && b.how == poll.how;
            let mut beat = match before.iter().position(same) {
                Some(at) => before.swap_remove(at),
                None => Beat {
                    interface: poll.interface,
                    how: poll.how,
                    using: None,
                    told: None,
                    last: None,
                },
            };
            // The engine may have forgotten it with the settings.
            beat.last = None;
            self.list.push(beat);
        }
    }

    /// Asks every interface; what is new is for the engine, and for the log. *Blocks* for as long as
    /// the drivers take.
    pub(super) fn poll(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        if self.list.is_empty() {
            return news;
        }
        if self.asker.is_none() {
            self.asker = Asker::open().ok();
        }
        let Some(asker) = &self.asker else {
            return news;
        };
        for beat in &mut self.list {
            let index = nix::net::if_::if_nametoindex(&*beat.interface).unwrap_or(0);
            beat.poll(index, &mut news, |name, how| asker.ask(name, how));
        }
        news
    }
}

impl Beat {
    fn poll(
        &mut self,
        index: u32,
        news: &mut Vec<News>,
        ask: impl Fn(&str, Method) -> io::Result<bool>,
    ) {
        if index == 0 {
            // Gone: the next one of this name may have another driver.
            (self.using, self.last) = (None, None);
            return;
        }
        let known = self
            .using
            .and_then(|how| Some((how, ask(&self.interface, how).ok()?)));
        let found = known.or_else(|| self.first_that_works(news, ask));
        let Some((how, up)) = found else {
            self.using = None;
            return;
        };
        self.using = Some(how);
        if self.last != Some((index, up)) {
            self.last = Some((index, up));
            let interface = self.interface.clone();
            news.push(News::Seen(TrackedSeen::Link { interface, up }));
        }
    }

    /// What was asked for first, then the others in their order.
    fn first_that_works(
        &mut self,
        news: &mut Vec<News>,
        ask: impl Fn(&str, Method) -> io::Result<bool>,
    ) -> Option<(Method, bool)> {
        let wanted = match self.how {
            Linkbeat::Auto => None,
            Linkbeat::Mii => Some(Method::Mii),
            Linkbeat::Ethtool => Some(Method::Ethtool),
            Linkbeat::Ioctl => Some(Method::Ioctl),
        };
        let others = ALL.into_iter().filter(|how| Some(*how) != wanted);
        let mut refused = None;
        for how in wanted.into_iter().chain(others) {
            match ask(&self.interface, how) {
                Ok(up) => {
                    if self.told != Some(how) {
                        self.told = Some(how);
                        let text = self.found(how, refused.as_ref());
                        let level = match &refused {
                            Some(_) => Level::Warn,
                            None => Level::Info,
                        };
                        news.push(News::Say { level, text });
                    }
                    return Some((how, up));
                }
                Err(error) if Some(how) == wanted => refused = Some((how, error)),
                Err(_) => {}
            }
        }
        None
    }

    fn found(&self, how: Method, refused: Option<&(Method, io::Error)>) -> String {
        let (name, how) = (&self.interface, how.word());
        match refused {
            None => format!("{name}: its link is polled every second by {how}"),
            Some((wanted, error)) => format!(
                "{name}: its link cannot be polled by {}: {error}; {how} is used instead",
                wanted.word()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(how: Linkbeat) -> Beat {
        Beat {
            interface: "eth0".into(),
            how,
            using: None,
            told: None,
            last: None,
        }
    }

    /// A driver that can be asked in these ways only.
    fn driver(knows: &[Method], up: bool) -> impl Fn(&str, Method) -> io::Result<bool> {
        let knows = knows.to_vec();
        move |_, how| match knows.contains(&how) {
            true => Ok(up),
            false => Err(io::Error::from_raw_os_error(nix::libc::EOPNOTSUPP)),
        }
    }

    fn told(
        beat: &mut Beat,
        index: u32,
        driver: impl Fn(&str, Method) -> io::Result<bool>,
    ) -> String {
        let mut news = Vec::new();
        beat.poll(index, &mut news, driver);
        let texts = news.iter().map(|one| match one {
            News::Seen(TrackedSeen::Link { up, .. }) => format!("up {up}"),
            News::Seen(other) => format!("{other:?}"),
            News::Say { text, .. } => text.clone(),
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn left_alone_it_takes_the_first_way_that_works_and_says_so_once() {
        let mut b = beat(Linkbeat::Auto);
        let all = [Method::Ethtool, Method::Ioctl];
        let text = told(&mut b, 7, driver(&all, true));
        assert_eq!(
            text,
            "eth0: its link is polled every second by ETHTOOL; up true"
        );
        assert_eq!(told(&mut b, 7, driver(&all, true)), "");
        assert_eq!(told(&mut b, 7, driver(&all, false)), "up false");
    }

    #[test]
    fn a_way_that_was_asked_for_and_does_not_work_is_told_once_and_another_taken() {
        let mut b = beat(Linkbeat::Mii);
        let text = told(&mut b, 7, driver(&[Method::Ioctl], true));
        assert!(text.contains("cannot be polled by MII: "), "{text}");
        assert!(text.contains("IOCTL is used instead"), "{text}");
        assert_eq!(told(&mut b, 7, driver(&[Method::Ioctl], true)), "");
        let mut b = beat(Linkbeat::Ioctl);
        let text = told(&mut b, 7, driver(&ALL, true));
        assert!(text.contains("by IOCTL"), "{text}");
    }

    #[test]
    fn another_interface_of_the_same_name_is_told_of_anew() {
        let mut b = beat(Linkbeat::Auto);
        told(&mut b, 7, driver(&ALL, true));
        assert_eq!(told(&mut b, 8, driver(&ALL, true)), "up true");
        assert_eq!(told(&mut b, 0, driver(&[], true)), "", "it is gone");
        assert_eq!(told(&mut b, 8, driver(&ALL, true)), "up true");
    }
}
