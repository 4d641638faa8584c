//! Whether another VRRP daemon speaks in this namespace already.

use crate::conf;
use crate::model::settings::Settings;
use crate::os::holders::{Holder, raw_vrrp_holders};
use std::path::{Path, PathBuf};

const KEEPALIVED_CONF: &str = "/etc/keepalived/keepalived.conf";

/// Other VRRP daemons found.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// What is to be said about them.
    pub(super) warnings: Vec<String>,
    /// One is a keepalived.
    pub(super) keepalived: bool,
}

/// Looks for other daemons that speak VRRP here; an error if one has a VRID of ours.
pub(super) fn judge(settings: &Settings) -> Result<Neighbours, String> {
    let holders = raw_vrrp_holders().unwrap_or_default();
    let mut found = Neighbours::default();
    let warnings = &mut found.warnings;
    for holder in holders.iter().filter(|h| !is_mainstay(h)) {
        found.keepalived |= is_keepalived(holder);
        let name = holder.exe.as_deref().unwrap_or("a process");
        let who = format!(
            "{name} (pid {}) speaks VRRP in this network namespace",
            holder.pid
        );
        let Some(file) = config_of(holder) else {
            warnings.push(format!("{who}; its configuration is not known"));
            continue;
        };
        let theirs = conf::load(&file, &conf::Options::default()).settings;
        let Some(theirs) = theirs else {
            warnings.push(format!(
                "{who}; its configuration {} cannot be read",
                file.display()
            ));
            continue;
        };
        let shared = settings.routers.iter().find(|ours| {
            theirs.routers.iter().any(|t| {
                (&t.interface, t.family, t.vrid) == (&ours.interface, ours.family, ours.vrid)
            })
        });
        if let Some(router) = shared {
            return Err(format!(
                "{who} with VRID {} on {} from {}, as instance {} here: stop it first",
                router.vrid,
                router.interface,
                file.display(),
                router.name
            ));
        }
        warnings.push(format!("{who}, with other VRIDs ({})", file.display()));
    }
    Ok(found)
}

fn is_mainstay(holder: &Holder) -> bool {
    let ours = std::env::current_exe().ok();
    holder.exe.as_deref().map(Path::new) == ours.as_deref()
        || holder
            .exe
            .as_deref()
            .is_some_and(|exe| exe.ends_with("/mainstay"))
}

fn is_keepalived(holder: &Holder) -> bool {
    holder
        .exe
        .as_deref()
        .is_some_and(|exe| exe.contains("keepalived"))
}

/// The file a keepalived was started with, if the process is one.
fn config_of(holder: &Holder) -> Option<PathBuf> {
    if !is_keepalived(holder) {
        return None;
    }
    let mut words = holder.argv.iter().skip(1);
    let mut file = PathBuf::from(KEEPALIVED_CONF);
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--use-file=") {
            file = PathBuf::from(value);
        } else if word == "-f" || word == "--use-file" {
            file = PathBuf::from(words.next()?);
        } else if let Some(value) = word.strip_prefix("-f") {
            file = PathBuf::from(value);
        }
    }
    if file.is_relative() {
        file = Path::new("/proc")
            .join(holder.pid.to_string())
            .join("cwd")
            .join(file);
    }
    Some(file)
}
