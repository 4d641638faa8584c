//! `check` in a `vrrp_script`: what is looked at without a program.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::value;
use crate::model::ids::Family;
use crate::model::settings::{Place, Probe, Tls};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const FORMS: &str = "expected tcp HOST:PORT, http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH] [insecure], \
     unix PATH, file-age PATH TIME, route default [inet|inet6] [dev INTERFACE], gateway ADDRESS [dev INTERFACE] or systemd UNIT";

/// Reads the words after `check`; `None` if they mean nothing, and a diagnostic says so.
pub(super) fn read(words: &[Word], diags: &mut Diags) -> Option<Probe> {
    let (kind, args) = words.split_first()?;
    match (&*kind.text, args) {
        ("tcp", [at]) => tcp(at, diags),
        ("unix", [path]) => absolute(path, true, diags).map(|path| Probe::Unix { path }),
        ("file-age", [path, age]) => {
            let path = absolute(path, false, diags);
            let most = time(age, diags)?;
            path.map(|path| Probe::FileAge { path, most })
        }
        ("route", [default, rest @ ..]) => route(default, rest, diags),
        ("gateway", [addr, rest @ ..]) => gateway(addr, rest, diags),
        ("systemd", [unit]) => systemd(unit, diags),
        (url, []) if url.starts_with("http://") => http(kind, None, diags),
        (url, []) if url.starts_with("https://") => http(kind, Some(Tls::Verified), diags),
        (url, [word]) if url.starts_with("https://") && &*word.text == "insecure" => {
            http(kind, Some(Tls::Insecure), diags)
        }
        (other, _) => {
            let what = match other {
                "tcp" | "unix" | "file-age" | "route" | "gateway" | "systemd" => {
                    format!("check {other} is not followed by what it needs; it is left out")
                }
                _ => format!("`{other}` cannot be checked without a program; it is left out"),
            };
            diags.push(Diagnostic::error("bad-check", kind.span, what).help(FORMS));
            None
        }
    }
}

/// The words that stand for the command where a probe is shown; a script beside it does not count.
pub(super) fn instead(node: &Node, diags: &mut Diags) -> Option<Vec<Arc<str>>> {
    let mut words = None;
    for child in node.children().iter().filter(|n| !n.args().is_empty()) {
        match child.name() {
            "check" => words = Some(child.words.iter().map(|w| w.text.clone().into()).collect()),
            "script" => diags.push(
                Diagnostic::error(
                    "script-and-check",
                    child.line(),
                    "this script is not run, because a check stands in the same block",
                )
                .help("keep one of the two, or make two vrrp_script blocks"),
            ),
            "user" => diags.push(Diagnostic::warning(
                "no-program",
                child.line(),
                "a check runs no program; user has no effect",
            )),
            _ => {}
        }
    }
    words
}

fn wrong<T>(word: &Word, what: String, help: &str, diags: &mut Diags) -> Option<T> {
    diags.push(Diagnostic::error("bad-check", word.span, what).help(help));
    None
}

/// An address, or a name that is looked up at each run. One name means this machine everywhere.
fn place(host: &str, port: u16) -> Option<Place> {
    if host.eq_ignore_ascii_case("localhost") {
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        let both = vec![SocketAddr::new(v4, port), SocketAddr::new(v6, port)];
        return Some(Place::Addresses(both));
    }
    let addr = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match host.parse() {
            Ok(v4) => IpAddr::V4(v4),
            Err(_) if is_name(host) => {
                let host = host.into();
                return Some(Place::Name { host, port });
            }
            Err(_) => return None,
        },
    };
    Some(Place::Addresses(vec![SocketAddr::new(addr, port)]))
}

/// Labels of letters, digits, `-` and `_`; the last has a letter, or it is a mistyped address.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(fit) && !label.starts_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(label)
        && last.contains(|c: char| c.is_ascii_alphabetic())
}

/// Says what it means that a name stands there.
fn note_name(place: &Place, word: &Word, diags: &mut Diags) {
    let Place::Name { host, .. } = place else {
        return;
    };
    let what = format!("{host} is looked up at each run, and a run without an answer has failed");
    diags.push(
        Diagnostic::note("check-by-name", word.span, what)
            .help("write the address if the check is not to depend on name servers"),
    );
}

fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

/// 1..=65535 in plain digits.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

const PLACE: &str =
    "expected an address or a name and a port, such as 127.0.0.1:80, [::1]:80 or localhost:80";

fn tcp(at: &Word, diags: &mut Diags) -> Option<Probe> {
    let (host, number) = split(&at.text);
    let Some(to) = number.and_then(port).and_then(|port| place(host, port)) else {
        let what = format!("`{}` is no address or name with a port", at.text);
        return wrong(at, what, PLACE, diags);
    };
    note_name(&to, at, diags);
    Some(Probe::Tcp { to })
}

fn http(url: &Word, tls: Option<Tls>, diags: &mut Diags) -> Option<Probe> {
    let (_, rest) = url.text.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // What would end the request line, or belongs to the browser alone.
    if let Some(bad) = path.find(|c: char| !c.is_ascii_graphic() || c == '#') {
        let bad: String = path[bad..].chars().take(1).collect();
        let what = format!("`{bad}` cannot stand in the path of a URL");
        return wrong(url, what, "write it as % and two hexadecimal digits", diags);
    }
    let (host, number) = split(authority);
    let number = number.map_or(Some(if tls.is_some() { 443 } else { 80 }), port);
    let Some(to) = number.and_then(|port| place(host, port)) else {
        let what = format!("`{authority}` is no address or name, with or without a port");
        return wrong(url, what, PLACE, diags);
    };
    note_name(&to, url, diags);
    Some(Probe::Http {
        to,
        host: authority.into(),
        path: match path.strip_prefix('/') {
            Some(_) => path.into(),
            None => format!("/{path}").into(),
        },
        tls,
    })
}

fn absolute(path: &Word, nameless: bool, diags: &mut Diags) -> Option<Arc<str>> {
    let good = path.text.starts_with('/')
        || (nameless && path.text.len() > 1 && path.text.starts_with('@'));
    // The kernel's room for the path of a socket.
    let long = nameless && path.text.len() > 107;
    if good && !long {
        return Some(path.text.clone().into());
    }
    let what = if long {
        "a path of a socket has at most 107 bytes".to_owned()
    } else {
        format!("`{}` is not an absolute path", path.text)
    };
    wrong(path, what, "write the whole path, from / on", diags)
}

/// A number and `ms`, `s` (or nothing), `m`, `h` or `d`.
fn time(word: &Word, diags: &mut Diags) -> Option<Duration> {
    let text = &*word.text;
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let millis = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let millis = millis.and_then(|unit: u64| number.parse::<u64>().ok()?.checked_mul(unit));
    match millis.filter(|millis| *millis > 0) {
        Some(millis) => Some(Duration::from_millis(millis)),
        None => wrong(
            word,
            format!("`{text}` is not a time"),
            "expected a number of seconds, or with ms, s, m, h or d",
            diags,
        ),
    }
}

fn route(default: &Word, rest: &[Word], diags: &mut Diags) -> Option<Probe> {
    if &*default.text != "default" {
        let what = format!("a route to `{}` cannot be checked", default.text);
        return wrong(default, what, FORMS, diags);
    }
    let (family, rest) = match rest {
        [word, rest @ ..] if &*word.text == "inet" => (Family::V4, rest),
        [word, rest @ ..] if &*word.text == "inet6" => (Family::V6, rest),
        _ => (Family::V4, rest),
    };
    let interface = device(rest, diags)?;
    Some(Probe::DefaultRoute { family, interface })
}

fn gateway(addr: &Word, rest: &[Word], diags: &mut Diags) -> Option<Probe> {
    let interface = device(rest, diags);
    let found = value::address("check gateway", addr, diags)?;
    let interface = interface?;
    let alone = match found {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    };
    if alone || found.is_loopback() {
        let what = format!("{found} is not the address of a neighbour");
        return wrong(addr, what, "write the address of the next router", diags);
    }
    if crate::model::addr::is_link_local(found) && found.is_ipv6() && interface.is_none() {
        let what = format!("{found} can be on any interface");
        return wrong(addr, what, "add dev and the interface", diags);
    }
    Some(Probe::Gateway {
        addr: found,
        interface,
    })
}

/// `dev INTERFACE`, or nothing.
#[expect(clippy::option_option, reason = "not given, and given wrongly")]
fn device(words: &[Word], diags: &mut Diags) -> Option<Option<Arc<str>>> {
    match words {
        [] => Some(None),
        [dev, name] if &*dev.text == "dev" && (1..=15).contains(&name.text.len()) => {
            Some(Some(name.text.clone().into()))
        }
        [word, ..] => {
            let what = format!("`{}` is not known here", word.text);
            wrong(word, what, "expected dev and an interface", diags)
        }
    }
}

fn systemd(unit: &Word, diags: &mut Diags) -> Option<Probe> {
    let text = &*unit.text;
    let fit = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(fit) {
        let what = format!("`{text}` is not the name of a unit");
        return wrong(unit, what, "expected a name such as nginx.service", diags);
    }
    // As systemctl reads it.
    const SUFFIXES: [&str; 11] = [
        "service",
        "socket",
        "device",
        "mount",
        "automount",
        "swap",
        "target",
        "path",
        "timer",
        "slice",
        "scope",
    ];
    let whole = text
        .rsplit_once('.')
        .is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix));
    Some(Probe::Systemd {
        unit: if whole {
            text.into()
        } else {
            format!("{text}.service").into()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read as file};
    use super::*;

    /// The probe of a block with this line, and the codes of what is said.
    fn probe(line: &str) -> (Option<Probe>, Vec<&'static str>) {
        let text = format!(
            "vrrp_script s {{\ncheck {line}\n}}\nvrrp_instance A {{\ninterface e\nvirtual_router_id 9\n\
             virtual_ipaddress {{ 10.0.0.1 }}\ntrack_script {{\ns\n}}\n}}\n"
        );
        let loaded = file(&text);
        let mut codes = codes(&loaded);
        codes.retain(|code| !matches!(*code, "undefined-script" | "undefined-tracker"));
        let checks = loaded.settings.expect("it runs").checks;
        (checks.first().and_then(|c| c.probe.clone()), codes)
    }

    fn good(line: &str) -> Probe {
        let (probe, codes) = probe(line);
        assert_eq!(codes, [""; 0], "{line}");
        probe.unwrap_or_else(|| panic!("{line} is a probe"))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_form_is_read() {
        let tcp = |to: &[&str]| Probe::Tcp {
            to: Place::Addresses(to.iter().map(|to| at(to)).collect()),
        };
        assert_eq!(good("tcp 127.0.0.1:80"), tcp(&["127.0.0.1:80"]));
        assert_eq!(good("tcp [::1]:80"), tcp(&["[::1]:80"]));
        assert_eq!(good("tcp localhost:80"), tcp(&["127.0.0.1:80", "[::1]:80"]));
        assert_eq!(
            good("unix /run/x"),
            Probe::Unix {
                path: "/run/x".into()
            }
        );
        assert_eq!(
            good("file-age /run/x 5m"),
            Probe::FileAge {
                path: "/run/x".into(),
                most: Duration::from_secs(300)
            }
        );
        let route = |family, interface: Option<&str>| Probe::DefaultRoute {
            family,
            interface: interface.map(Arc::from),
        };
        assert_eq!(good("route default"), route(Family::V4, None));
        assert_eq!(
            good("route default inet6 dev wan"),
            route(Family::V6, Some("wan"))
        );
        assert_eq!(
            good("gateway fe80::1 dev wan"),
            Probe::Gateway {
                addr: "fe80::1".parse().expect("an address"),
                interface: Some("wan".into())
            }
        );
        for unit in ["nginx", "nginx.service"] {
            assert_eq!(
                good(&format!("systemd {unit}")),
                Probe::Systemd {
                    unit: "nginx.service".into()
                }
            );
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let parts = |line: &str| match good(line) {
            Probe::Http {
                to: Place::Addresses(to),
                host,
                path,
                tls,
            } => {
                assert_eq!(tls.is_some(), line.starts_with("https"), "{line}");
                (to[0], host.to_string(), path.to_string())
            }
            other @ (Probe::Tcp { .. }
            | Probe::Http { .. }
            | Probe::Unix { .. }
            | Probe::Systemd { .. }
            | Probe::FileAge { .. }
            | Probe::DefaultRoute { .. }
            | Probe::Gateway { .. }) => panic!("{other:?}"),
        };
        let of = |addr: &str, host: &str, path: &str| (at(addr), host.to_owned(), path.to_owned());
        assert_eq!(parts("http://10.0.0.1"), of("10.0.0.1:80", "10.0.0.1", "/"));
        assert_eq!(
            parts("http://[::1]:8080/health?all=1"),
            of("[::1]:8080", "[::1]:8080", "/health?all=1")
        );
        assert_eq!(
            parts("http://localhost?x"),
            of("127.0.0.1:80", "localhost", "/?x")
        );
        assert_eq!(parts("http://[::1]/"), of("[::1]:80", "[::1]", "/"));
        assert_eq!(
            parts("https://10.0.0.1/x insecure"),
            of("10.0.0.1:443", "10.0.0.1", "/x")
        );
    }

    #[test]
    fn names_are_looked_up_later_and_a_note_says_so() {
        let name = |host: &str, port| Place::Name {
            host: host.into(),
            port,
        };
        let named = |line: &str| {
            let (probe, codes) = probe(line);
            assert_eq!(codes, ["check-by-name"], "{line}");
            probe.unwrap_or_else(|| panic!("{line} is a probe"))
        };
        assert_eq!(
            named("tcp db.example:5432"),
            Probe::Tcp {
                to: name("db.example", 5432)
            }
        );
        for (line, tls) in [
            ("https://www.example.org/", Tls::Verified),
            ("https://www.example.org insecure", Tls::Insecure),
        ] {
            assert_eq!(
                named(line),
                Probe::Http {
                    to: name("www.example.org", 443),
                    host: "www.example.org".into(),
                    path: "/".into(),
                    tls: Some(tls),
                }
            );
        }
    }

    #[test]
    fn what_cannot_be_checked_is_said_and_left_out() {
        for line in [
            "tcp 127.0.0.1",
            "tcp 127.0.0.1:0",
            "tcp 127.0.0.1:+80",
            "tcp ::1:80",
            "tcp example.org",
            "tcp 10.0.0.256:80",
            "tcp 10.0.0:80",
            "tcp -x.org:80",
            "tcp a..org:80",
            "tcp a_b/c:80",
            "tcp 1.2.3.4:80 x",
            "tcp",
            "udp 1.2.3.4:80",
            "http://example.org:0/",
            "http://10.0.0.1/ insecure",
            "https://10.0.0.1/ secure",
            "https://",
            "http://10.0.0.1:99999/",
            "\"http://10.0.0.1/a b\"",
            "unix run/x",
            "file-age /run/x",
            "file-age /run/x 5w",
            "file-age /run/x 0",
            "file-age /run/x 18446744073709551615d",
            "route 10.0.0.0/8",
            "route default via 10.0.0.1",
            "gateway 127.0.0.1",
            "gateway 224.0.0.1",
            "gateway fe80::1",
            "gateway 10.0.0.1 wan",
            "systemd a/b",
        ] {
            assert_eq!(probe(line), (None, vec!["bad-check"]), "{line}");
        }
        assert_eq!(probe("gateway host"), (None, vec!["bad-address"]));
    }

    #[test]
    fn a_script_beside_a_check_is_not_run() {
        let (probe, codes) = probe("tcp 127.0.0.1:80\nscript \"/bin/true\"\nuser nobody");
        assert!(probe.is_some());
        assert!(codes.contains(&"script-and-check"), "{codes:?}");
        assert!(codes.contains(&"no-program"), "{codes:?}");
    }

    #[test]
    fn the_words_stand_for_the_command() {
        let loaded = file("vrrp_script s {\ncheck tcp 127.0.0.1:80\n}\n");
        let settings = loaded.settings.expect("it runs");
        assert_eq!(
            settings.checks[0].command.argv,
            ["check", "tcp", "127.0.0.1:80"].map(Arc::from)
        );
    }
}
