//! Whether the interfaces that a file names are there: `check --live` and `--iface`.

use crate::conf::{Diagnostic, Loaded};
use crate::model::settings::RouterSettings;
use crate::os::netlink::{Events, Fact};
use crate::os::netns;
use std::collections::HashSet;
use std::sync::Arc;

/// Interfaces that a file uses and that are neither named nor, if `live`, on this machine: in the
/// network namespace the file names, if it names one.
pub(super) fn missing(
    loaded: &Loaded,
    live: bool,
    named: &[String],
) -> Result<Vec<Diagnostic>, String> {
    let mut there: HashSet<Arc<str>> = named.iter().map(|name| name.trim().into()).collect();
    if live {
        let settings = loaded.settings.as_ref();
        match settings.and_then(|s| s.global.net_namespace.as_deref()) {
            None => there.extend(present()?),
            // A thread of its own, so that nothing else moves.
            Some(name) => there.extend(std::thread::scope(|scope| {
                let listing = scope.spawn(|| {
                    netns::enter(name).map_err(|why| why.to_string())?;
                    present()
                });
                let failed = |_| Err("cannot list interfaces".to_owned());
                listing.join().unwrap_or_else(failed)
            })?),
        }
    }
    Ok(unmet(loaded, &there))
}

/// Names of the interfaces in this thread's network namespace.
fn present() -> Result<Vec<Arc<str>>, String> {
    let mut facts = Vec::new();
    Events::open()
        .map_err(|why| why.to_string())?
        .resync(&mut facts)
        .map_err(|why| format!("cannot list the interfaces of this machine: {why}"))?;
    let names = facts.into_iter().filter_map(|fact| match fact {
        Fact::Link(link) => link.is.is_some().then_some(link.name),
        Fact::Address(_) => None,
    });
    Ok(names.collect())
}

/// Interfaces that are used but not there.
fn unmet(loaded: &Loaded, there: &HashSet<Arc<str>>) -> Vec<Diagnostic> {
    let routers = loaded.settings.iter().flat_map(|s| &s.routers);
    let mut found = Vec::new();
    for router in routers {
        let router: &RouterSettings = router;
        let mut say = |name: &Arc<str>, keyword: &str, entry: Option<&str>| {
            if there.contains(name) {
                return;
            }
            let places = &loaded.places;
            let block = "vrrp_instance";
            let span = entry
                .and_then(|entry| Some(places.entry(block, &router.name, keyword, entry)?.span))
                .or_else(|| places.keyword(block, &router.name, keyword))
                .or_else(|| places.name(block, &router.name))
                .unwrap_or_default();
            found.push(
                Diagnostic::error(
                    "no-interface",
                    span,
                    format!(
                        "there is no interface {name}; {} would be in fault",
                        router.name
                    ),
                )
                .help("name an interface of this machine, or create it before the start"),
            );
        };
        say(&router.interface, "interface", None);
        for track in &router.track_links {
            say(&track.interface, "track_interface", Some(&track.interface));
        }
        let lists = [
            ("virtual_ipaddress", &router.addresses),
            ("virtual_ipaddress_excluded", &router.excluded),
        ];
        for (keyword, list) in lists {
            let mut told = HashSet::new();
            for dev in list.iter().filter_map(|a| a.dev.as_ref()) {
                if *dev != router.interface && told.insert(dev) {
                    say(dev, keyword, None);
                }
            }
        }
    }
    for one in loaded.settings.iter().flat_map(|s| &s.statics) {
        let Some(dev) = one.address.dev.as_ref().filter(|dev| !there.contains(*dev)) else {
            continue;
        };
        let cidr = one.address.cidr;
        let span = loaded.places.listed("static_ipaddress", cidr);
        let what = format!("there is no interface {dev}; {cidr} would wait for it");
        found.push(
            Diagnostic::warning("no-interface", span.unwrap_or_default(), what)
                .help("name an interface of this machine, or create it before the start"),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{self, Options};

    const FILE: &str = "static_ipaddress {\n 10.3.0.1/24 dev eth3\n}\n\
        vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n \
        virtual_ipaddress {\n 10.0.0.9 dev eth1\n }\n track_interface {\n eth2\n }\n}\n";

    fn lines(named: &[&str]) -> Vec<usize> {
        let loaded = conf::load_str("f.conf", FILE, &Options::default());
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let found = missing(&loaded, false, &named).expect("nothing is asked of the kernel");
        let mut lines: Vec<usize> = found
            .iter()
            .map(|d| loaded.sources.line_of(d.span))
            .collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn every_interface_that_is_used_and_not_there_is_told_at_its_place() {
        assert_eq!(lines(&[]), [2, 5, 7, 11]);
        assert!(lines(&["eth0", "eth1", "eth2", " eth3"]).is_empty());
    }

    #[test]
    fn a_namespace_that_is_not_there_cannot_be_looked_into() {
        let text = format!("net_namespace mainstay-none\n{FILE}");
        let loaded = conf::load_str("f.conf", &text, &Options::default());
        let why = missing(&loaded, true, &[]).expect_err("no such namespace");
        assert!(why.contains("mainstay-none"), "{why}");
    }
}
