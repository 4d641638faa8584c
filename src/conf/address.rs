//! Entries of `virtual_ipaddress` and `virtual_ipaddress_excluded` (keepalived.conf(5), reference of
//! ip-address(8) words).

use super::audit::unacted;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::keywords::{self, Status, Within};
use super::lexer::Word;
use super::source::Span;
use super::value;
use crate::model::addr::{Cidr, VirtualAddress};
use std::net::{IpAddr, Ipv4Addr};

/// An address and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What was read.
    pub(super) address: VirtualAddress,
    /// Where the address itself stands.
    pub(super) span: Span,
}

/// Reads one line of the list.
pub(super) fn entry(node: &Node, diags: &mut Diags) -> Option<Entry> {
    let (first, options) = node.words.split_first()?;
    let cidr = value::cidr(first, diags)?;
    let mut this = Reading {
        address: VirtualAddress::plain(cidr),
        broadcast: None,
        dropped: false,
    };
    let mut rest = options;
    while let Some((word, tail)) = rest.split_first() {
        let Some(row) = keywords::find(Within::AddressWord, &word.text) else {
            unknown(word, diags);
            rest = tail;
            continue;
        };
        let taken = usize::from(row.min);
        let Some(args) = tail.get(..taken) else {
            diags.push(
                Diagnostic::error(
                    "missing-word",
                    word.span,
                    format!("{} needs a word after it; {cidr} does not count", row.name),
                )
                .help("give the value or remove the word"),
            );
            return None;
        };
        rest = tail.get(taken..).unwrap_or(&[]);
        match row.status {
            Status::Acted => this.option(word, args.first(), diags),
            Status::AsBlock
            | Status::NotYet { .. }
            | Status::Refused(_)
            | Status::NoEffect(_)
            | Status::Lvs => {
                diags.push(unacted(row, word.span));
            }
        }
    }
    this.settle_broadcast(diags);
    (!this.dropped).then_some(Entry {
        address: this.address,
        span: first.span,
    })
}

struct Reading<'t> {
    address: VirtualAddress,
    broadcast: Option<(&'t Word, &'t Word)>,
    dropped: bool,
}

impl<'t> Reading<'t> {
    fn cidr(&self) -> Cidr {
        self.address.cidr
    }

    fn option(&mut self, word: &'t Word, arg: Option<&'t Word>, diags: &mut Diags) {
        match (&*word.text, arg) {
            ("dev", Some(arg)) => {
                if self.address.dev.is_some() || !value::interface(arg, diags) {
                    self.drop(word, "dev is given twice or wrong", diags);
                } else {
                    self.address.dev = Some(arg.text.clone().into());
                }
            }
            ("brd" | "broadcast", Some(arg)) => self.broadcast = Some((word, arg)),
            ("scope", Some(arg)) if self.only_v4(word, diags) => {
                if let Some(scope) = scope(arg, diags) {
                    self.address.scope = scope;
                }
            }
            ("label", Some(arg)) if self.only_v4(word, diags) => {
                if arg.text.is_empty() || arg.text.len() > 15 {
                    self.drop(arg, "a label has 1 to 15 bytes", diags);
                } else {
                    self.address.label = Some(arg.text.clone().into());
                }
            }
            ("preferred_lft", Some(arg)) if self.only_v6(word, diags) => {
                self.address.preferred_lft = match &*arg.text {
                    "forever" => None,
                    _ => {
                        let most = i64::from(u32::MAX) - 1;
                        let n = value::integer(word, arg, 0..=most, value::Junk::Cut, diags);
                        n.and_then(|n| u32::try_from(n).ok())
                            .or(self.address.preferred_lft)
                    }
                };
            }
            ("-nodad", _) if self.only_v6(word, diags) => self.address.dad = true,
            ("noprefixroute", _) => self.address.no_prefix_route = true,
            ("no_track", _) => self.address.no_track = true,
            _ => {}
        }
    }

    fn drop(&mut self, word: &Word, why: &str, diags: &mut Diags) {
        let what = format!("{why}; {} does not count", self.cidr());
        diags.push(Diagnostic::error("bad-address-option", word.span, what));
        self.dropped = true;
    }

    fn only_v4(&self, word: &Word, diags: &mut Diags) -> bool {
        self.only(word, self.cidr().addr.is_ipv4(), "IPv4", diags)
    }

    fn only_v6(&self, word: &Word, diags: &mut Diags) -> bool {
        self.only(word, self.cidr().addr.is_ipv6(), "IPv6", diags)
    }

    fn only(&self, word: &Word, fits: bool, family: &str, diags: &mut Diags) -> bool {
        if !fits {
            let what = format!(
                "{} is for {family} addresses; it is left out here",
                word.text
            );
            diags.push(Diagnostic::warning("wrong-family", word.span, what));
        }
        fits
    }

    /// `brd` is resolved when all options are known.
    fn settle_broadcast(&mut self, diags: &mut Diags) {
        let Some((word, arg)) = self.broadcast else {
            return;
        };
        let IpAddr::V4(addr) = self.cidr().addr else {
            return self.drop(word, "IPv6 knows no broadcast", diags);
        };
        let len = self.cidr().len;
        let host = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
        self.address.broadcast = match &*arg.text {
            "+" | "-" if len > 30 => {
                let what = format!("a /{len} has no broadcast address; none is set");
                diags.push(
                    Diagnostic::error("bad-address-option", arg.span, what)
                        .help("give the address its prefix length, such as /24"),
                );
                None
            }
            "+" => Some(Ipv4Addr::from(u32::from(addr) | host)),
            "-" => Some(Ipv4Addr::from(u32::from(addr) & !host)),
            text => match text.parse() {
                Ok(addr) => Some(addr),
                Err(_) => {
                    let what = format!("`{text}` is no broadcast address; none is set");
                    diags.push(
                        Diagnostic::error("bad-address-option", arg.span, what)
                            .help("expected an IPv4 address, + or -"),
                    );
                    None
                }
            },
        };
    }
}

/// Kernel scopes by name or number (rtnetlink(7)).
fn scope(arg: &Word, diags: &mut Diags) -> Option<u8> {
    match &*arg.text {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        text => {
            let number = text.parse().ok();
            if number.is_none() {
                let what = format!("unknown scope `{text}`; it is left out");
                diags.push(
                    Diagnostic::error("bad-address-option", arg.span, what)
                        .help("expected global, site, link, host, nowhere or a number up to 255"),
                );
            }
            number
        }
    }
}

fn unknown(word: &Word, diags: &mut Diags) {
    let text = &*word.text;
    let d = Diagnostic::error(
        "unknown-option",
        word.span,
        format!("`{text}` is no option of an address; it is left out"),
    );
    let is_address = text
        .split('/')
        .next()
        .is_some_and(|a| a.parse::<IpAddr>().is_ok());
    diags.push(if is_address {
        d.help("write each address on a line of its own")
    } else {
        match keywords::nearest(Within::AddressWord, text) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d.help(
                "known are dev, brd, scope, label, -nodad, noprefixroute, preferred_lft, no_track",
            ),
        }
    });
}
