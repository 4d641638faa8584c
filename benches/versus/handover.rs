//! From the exit of the run that makes a tracked script fall to the new master's first advert.

use super::support::conf::{Conf, Instance};
use super::support::daemon::Kind;
use super::support::{secs, wait_for, wait_until, watch};
use super::{Cable, Seen, Tap, median, worst};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Falls of one pair of routers.
pub(super) const FALLS: u32 = 10;
const VRID: u8 = 51;
/// The backup's; the master goes from 120 to 80.
const BACKUP: u8 = 100;

/// Who is master and who is backup.
#[derive(Clone, Copy)]
pub(super) struct Cast {
    pub(super) master: Kind,
    pub(super) backup: Kind,
}

/// Milliseconds from exit to advert, one for each fall.
#[derive(Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn median(&self) -> f64 {
        median(&self.0)
    }

    pub(super) fn worst(&self) -> f64 {
        worst(&self.0)
    }

    /// What every router needs at the least, in milliseconds.
    pub(super) fn skew() -> f64 {
        Instance::v3(BACKUP).every(1.0).skew(BACKUP) * 1e3
    }
}

/// A program that notes when it ends, and fails while a file is there.
struct Script {
    program: PathBuf,
    fails: PathBuf,
    ends: PathBuf,
}

impl Script {
    fn new(dir: &Path) -> Self {
        let this = Self {
            program: dir.join("chk"),
            fails: dir.join("fails"),
            ends: dir.join("ends"),
        };
        // The shell's own clock: no child comes between the stamp and the exit.
        let text = format!(
            "#!/bin/bash\nrc=0; [ -e {} ] && rc=1\necho $rc ${{EPOCHREALTIME/[.,]/}} >> {}\nexit $rc\n",
            this.fails.display(),
            this.ends.display()
        );
        std::fs::write(&this.program, text).expect("the lab's folder takes files");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&this.program, executable).expect("our own file");
        this
    }

    /// When runs that failed ended, in nanoseconds of wall time.
    fn failures(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(&self.ends).unwrap_or_default();
        let failed = text.lines().filter_map(|l| l.strip_prefix("1 "));
        failed
            .filter_map(|us| us.parse::<u64>().ok())
            .map(|us| us * 1000)
            .collect()
    }

    fn fail(&self) {
        let _ = std::fs::remove_file(&self.ends);
        std::fs::write(&self.fails, "").expect("the lab's folder takes files");
    }

    fn pass(&self) {
        std::fs::remove_file(&self.fails).expect("it was there");
    }
}

/// The first advert of the backup, or of the master, after a moment.
fn first(tap: &Tap, of_backup: bool, since_ns: u64) -> Option<Seen> {
    let seen = tap.between(since_ns, u64::MAX);
    let wanted = |s: &Seen| s.vrid == VRID && s.outgoing == of_backup;
    let least = if of_backup { BACKUP } else { 120 };
    seen.into_iter().find(|s| wanted(s) && s.priority >= least)
}

pub(super) fn measure(cast: Cast) -> Times {
    let cable = Cable::new();
    let script = Script::new(&cable.one.dir);
    let tap = Tap::start(&cable.two);
    let check = format!(
        "vrrp_script chk {{\n    script {}\n    interval 1\n    fall 2\n    rise 1\n    weight -40\n}}",
        script.program.display()
    );
    let instance = |priority| Instance::v3(priority).vrid(VRID).every(1.0);
    let tracks = instance(120).with("track_script {\n    chk\n}");
    let _master = cable.start(&cable.one, cast.master, &Conf::one(tracks).blocks(&check));
    let _backup = cable.start(&cable.two, cast.backup, &Conf::one(instance(BACKUP)));
    wait_until("the master's advert", secs(20.0), || {
        first(&tap, false, 0).is_some()
    });
    watch(secs(2.0));
    let mut times = Times::default();
    for fall in 0..FALLS {
        // Runs and adverts stand in another relation each time.
        watch(secs(1.0 + 0.1 * f64::from(fall)));
        script.fail();
        let ended = wait_for("the second failure", secs(10.0), || {
            script.failures().get(1).copied()
        });
        let taken = wait_for("the takeover", secs(10.0), || first(&tap, true, ended));
        times.0.push((taken.at_ns - ended) as f64 / 1e6);
        script.pass();
        wait_until("the master's return", secs(20.0), || {
            first(&tap, false, taken.at_ns).is_some()
        });
    }
    times
}
