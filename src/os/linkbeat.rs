//! Asks the driver of an interface whether it has a link, in three ways.

use crate::os::sys;
use socket2::{Domain, Socket, Type};
use std::io;

/// A register of a transceiver (IEEE 802.3 §22.2.4): status, and in it whether there is a link.
const BMSR: u16 = 1;
const BMSR_LINK: u16 = 1 << 2;

/// How to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The transceiver's status register.
    Mii,
    /// ETHTOOL_GLINK.
    Ethtool,
    /// IFF_RUNNING by SIOCGIFFLAGS.
    Ioctl,
}

impl Method {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mii => "MII",
            Self::Ethtool => "ETHTOOL",
            Self::Ioctl => "IOCTL",
        }
    }
}

/// The socket to ask through; it belongs to the network namespace it was opened in.
#[derive(Debug)]
pub struct Asker(Socket);

impl Asker {
    /// Opens the socket.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> io::Result<Self> {
        Socket::new(Domain::IPV4, Type::DGRAM, None).map(Self)
    }

    /// Whether an interface has a link. *Blocks* for as long as the driver takes, which for MII may
    /// be some milliseconds.
    ///
    /// # Errors
    /// ENODEV if there is no such interface; EOPNOTSUPP and others if its driver cannot be asked so.
    pub fn ask(&self, interface: &str, how: Method) -> io::Result<bool> {
        match how {
            Method::Mii => {
                let phy = sys::mii_phy(&self.0, interface)?;
                // The bit stays down until it is read once.
                sys::mii_register(&self.0, interface, phy, BMSR)?;
                let status = sys::mii_register(&self.0, interface, phy, BMSR)?;
                // No transceiver answers with all bits the same.
                if status == 0 || status == u16::MAX {
                    return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
                }
                Ok(status & BMSR_LINK != 0)
            }
            Method::Ethtool => sys::ethtool_link(&self.0, interface),
            Method::Ioctl => {
                let flags = sys::interface_flags(&self.0, interface)?;
                Ok(i32::from(flags) & libc::IFF_RUNNING != 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_has_a_link_and_no_transceiver() {
        let asker = Asker::open().unwrap();
        assert!(asker.ask("lo", Method::Mii).is_err());
        // The loopback of a fresh namespace is down, so what it answers is not known here.
        asker.ask("lo", Method::Ioctl).unwrap();
    }

    #[test]
    fn what_does_not_exist_is_enodev_whatever_is_asked() {
        let asker = Asker::open().unwrap();
        for how in [Method::Mii, Method::Ethtool, Method::Ioctl] {
            let error = asker.ask("no-such-link", how).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{}", how.word());
        }
        let error = asker
            .ask("a-name-of-more-than-15", Method::Ioctl)
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
