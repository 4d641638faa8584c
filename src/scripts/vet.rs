//! Whether a program can be run, and whether it is safe to (keepalived.conf(5) enable_script_security).
//!
//! Whoever runs as root, or with root's group, runs what others could have put in its place if any
//! directory on the way to it can be written by them. The way is walked as the kernel walks it: every
//! link is followed one by one and every directory passed is judged, so a link in an unsafe place is
//! found. A directory that is itself a link is no fault.

use crate::model::settings::{
    CheckSettings, Command, ExternalSettings, GroupSettings, NotifySettings, RouterSettings, RunAs,
    Settings,
};
use crate::scripts::users::{self, Ids, Whom};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Links followed on one way; the kernel's own limit.
const LINKS: usize = 40;

/// What is said of a program that runs although it is not safe, before the reason.
pub const UNSAFE: &str = "runs although it is not safe: ";

/// Where names without a slash are looked for if PATH is not set.
const PATH: &str = "/bin:/usr/bin";

/// Something about a program that the operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whose program: `vrrp_script chk_web`, `vrrp_instance VI_1 notify_master`.
    pub owner: String,
    /// Whether the program was switched off for it.
    pub unusable: bool,
    /// What and the way out.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, text, .. } = self;
        if self.unusable {
            write!(f, "{owner}: not used: {text}")
        } else {
            write!(f, "{owner}: {text}")
        }
    }
}

/// A program that can be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vetted {
    /// What is to be executed: the path as given, or where PATH has the name.
    pub given: PathBuf,
    /// Where it really is, all links followed.
    pub path: PathBuf,
    /// Who runs it.
    pub whom: Whom,
    /// Why that is not safe; `None` if it is, or if no harm can come of it.
    pub fault: Option<Fault>,
}

/// A program that must not be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// The error number that tells it best.
    pub errno: i32,
    /// What and the way out.
    pub text: String,
}

/// What is unsafe about something on the way to a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    path: PathBuf,
    mode: u32,
    owner: Ids,
    what: &'static str,
    way_out: &'static str,
}

/// `/usr/local/bin is group-writable (02775 root:staff); chmod g-w it or set script_user`.
///
/// Asks the user database for names.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, way_out, .. } = self;
        let (path, shown) = (self.path.display(), shown(self.mode, self.owner));
        write!(f, "{path} {what} ({shown}); {way_out} or set script_user")
    }
}

/// Judges every program of a configuration. A check that cannot be used is marked, a notify program
/// is taken out; with `enable_script_security` unsafe ones too.
///
/// Blocks: it asks the file system and the user database.
pub fn settings(settings: &mut Settings) -> Vec<Finding> {
    let security = settings.global.script_security;
    let mut findings = Vec::new();
    for check in &mut settings.checks {
        if let Some(external) = &check.external {
            let owner = format!("vrrp_script {}", check.name);
            findings.extend(reporter(external, owner));
            continue;
        }
        if check.probe.is_some() {
            continue;
        }
        // Not defined; that was said when the file was read.
        if check.unusable.is_some() {
            continue;
        }
        let owner = format!("vrrp_script {}", check.name);
        if let Err(text) = judge(&check.command, security, &owner, &mut findings) {
            if let Some(finding) = findings.last_mut()
                && settings.global.unusable_faults
            {
                finding.text += " (counts as failing: script_unusable fault)";
            }
            let check: &mut CheckSettings = Arc::make_mut(check);
            check.unusable = Some(text.into());
        }
    }
    for file in &settings.files {
        if let Some(external) = &file.external {
            findings.extend(reporter(external, format!("track_file {}", file.name)));
        }
    }
    for router in &mut settings.routers {
        let router: &mut RouterSettings = Arc::make_mut(router);
        let owner = format!("vrrp_instance {}", router.name);
        notify(&mut router.notify, security, &owner, &mut findings);
    }
    for group in &mut settings.groups {
        let group: &mut GroupSettings = Arc::make_mut(group);
        let owner = format!("vrrp_sync_group {}", group.name);
        notify(&mut group.notify, security, &owner, &mut findings);
    }
    findings
}

/// Who may report must exist, or nobody but root may.
fn reporter(external: &ExternalSettings, owner: String) -> Option<Finding> {
    let user = external.user.as_ref()?;
    users::uid_of(user).is_none().then(|| Finding {
        owner,
        unusable: false,
        text: format!("user {user} does not exist; nobody but root may set this tracker"),
    })
}

fn notify(notify: &mut NotifySettings, security: bool, owner: &str, findings: &mut Vec<Finding>) {
    let mut strike = |keyword: &str, command: &mut Option<Command>| {
        if let Some(wanted) = command {
            let owner = format!("{owner} {keyword}");
            if judge(wanted, security, &owner, findings).is_err() {
                *command = None;
            }
        }
    };
    strike("notify_master", &mut notify.master);
    strike("notify_backup", &mut notify.backup);
    strike("notify_fault", &mut notify.fault);
    strike("notify_stop", &mut notify.stop);
    if let Some(deleted) = &mut notify.deleted {
        strike("notify_deleted", deleted);
    }
    strike("notify_master_rx_lower_pri", &mut notify.lower_advert);
    strike("notify", &mut notify.any);
}

/// Writes down what is found; `Err` if the program must not be used.
fn judge(
    command: &Command,
    security: bool,
    owner: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let verdict = self::command(command, security);
    let (unusable, text) = match &verdict {
        Ok(Vetted { fault: None, .. }) => return Ok(()),
        Ok(Vetted {
            fault: Some(fault), ..
        }) => (false, format!("{UNSAFE}{fault}")),
        Err(unfit) => (true, unfit.text.clone()),
    };
    findings.push(Finding {
        owner: owner.to_owned(),
        unusable,
        text,
    });
    verdict.map(drop).map_err(|unfit| unfit.text)
}

/// Judges one program.
///
/// # Errors
/// It does not exist, its user does not or may not execute it; with `security` also when it is not
/// safe, or when nobody said who is to run it. The text names the path and the way out.
pub fn command(command: &Command, security: bool) -> Result<Vetted, Unfit> {
    let program = command.argv.first().map_or("", |word| &**word);
    let whom = whom(command.user.as_ref(), security)?;
    let vetted = at_start(program, &whom, security)?;
    executable(&vetted.given, &whom)?;
    Ok(vetted)
}

/// Judges a program that is about to be started: where it is and whether it is safe. Whether its user
/// may execute it the kernel tells better.
///
/// What is found safe stays so until it is executed: nobody but root can then replace anything on the
/// way. So it may be executed by its path, and a script sees in `$0` what is configured.
///
/// # Errors
/// It does not exist, or is no file; with `security` also when it is not safe.
pub fn at_start(program: &str, whom: &Whom, security: bool) -> Result<Vetted, Unfit> {
    let given = find(program, whom)?;
    let way = Way::walk(&given)?;
    let last = way.steps.last().ok_or_else(|| empty(program))?;
    if last.kind != Kind::File {
        let text = format!("{} is not a file; name a program", last.path.display());
        return Err(unfit(nix::libc::EACCES, text));
    }
    let ids = whom.ids;
    let set_root = (last.mode & 0o4000 != 0 && last.owner.uid == 0)
        || (last.mode & 0o2000 != 0 && last.owner.gid == 0);
    let danger = ids.uid == 0 || whom.is_in(0) || set_root;
    let fault = danger.then(|| way.steps.iter().find_map(fault)).flatten();
    match fault {
        Some(fault) if security => Err(unfit(nix::libc::EPERM, fault.to_string())),
        fault => Ok(Vetted {
            path: last.path.clone(),
            given,
            whom: whom.clone(),
            fault,
        }),
    }
}

/// Whether a user may pass the directories to a file and execute it, by their modes.
///
/// # Errors
/// It may not, or the file is not there.
pub fn executable(given: &Path, whom: &Whom) -> Result<(), Unfit> {
    may_execute(&Way::walk(given)?, whom).map_err(|text| unfit(nix::libc::EACCES, text))
}

const fn unfit(errno: i32, text: String) -> Unfit {
    Unfit { errno, text }
}

fn empty(program: &str) -> Unfit {
    let text = format!("{program:?} names no program; give its path");
    unfit(nix::libc::ENOENT, text)
}

/// Who runs a program.
///
/// # Errors
/// That one does not exist; with `security` also when nobody is named.
pub fn whom(user: Option<&RunAs>, security: bool) -> Result<Whom, Unfit> {
    if user.is_none() && security && users::default_user().is_none() {
        let text = format!(
            "nobody is named to run it and enable_script_security is set; \
             create the user {} or set script_user",
            users::DEFAULT_USER
        );
        return Err(unfit(nix::libc::EPERM, text));
    }
    users::resolve(user).map_err(|unknown| unfit(nix::libc::EINVAL, unknown.to_string()))
}

/// The path as given; a name without a slash is looked for in PATH as its user.
fn find(program: &str, whom: &Whom) -> Result<PathBuf, Unfit> {
    if program.is_empty() {
        return Err(empty(program));
    }
    if program.contains('/') {
        let path = Path::new(program);
        // The runner's directory is not ours.
        return if path.is_absolute() {
            Ok(path.to_owned())
        } else {
            Ok(Path::new("/").join(path))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|file| {
            Way::walk(file).is_ok_and(|way| {
                way.steps.last().is_some_and(|step| step.kind == Kind::File)
                    && may_execute(&way, whom).is_ok()
            })
        })
        .ok_or_else(|| {
            let text = format!(
                "{program} is in no directory of PATH ({}); give its full path",
                path.display()
            );
            unfit(nix::libc::ENOENT, text)
        })
}

/// One thing passed on the way: a directory, a link, at last the file.
struct Step {
    path: PathBuf,
    kind: Kind,
    mode: u32,
    owner: Ids,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Link,
    File,
    Other,
}

/// Everything passed on the way to a file.
struct Way {
    steps: Vec<Step>,
}

impl Way {
    fn walk(given: &Path) -> Result<Self, Unfit> {
        let mut ahead: VecDeque<OsString> = VecDeque::new();
        push_front(&mut ahead, given);
        let mut here = PathBuf::from("/");
        let mut steps = vec![look(&here)?];
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let step = look(&next)?;
            if step.kind == Kind::Link {
                steps.push(step);
                links += 1;
                if links > LINKS {
                    let text = format!("{}: too many links", given.display());
                    return Err(unfit(nix::libc::ELOOP, text));
                }
                let target = std::fs::read_link(&next).map_err(|error| missing(&next, &error))?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                push_front(&mut ahead, &target);
                continue;
            }
            if !ahead.is_empty() && step.kind != Kind::Directory {
                let text = format!("{} is not a directory", next.display());
                return Err(unfit(nix::libc::ENOTDIR, text));
            }
            steps.push(step);
            here = next;
        }
        // A path ending in `..` stands at a directory already passed.
        if steps.last().is_none_or(|step| step.path != here) {
            steps.push(look(&here)?);
        }
        Ok(Self { steps })
    }
}

fn missing(path: &Path, error: &std::io::Error) -> Unfit {
    let path = path.display();
    let text = format!("{path}: not found/accessible: {error}; install it or correct the path");
    unfit(error.raw_os_error().unwrap_or(nix::libc::ENOENT), text)
}

fn look(path: &Path) -> Result<Step, Unfit> {
    let meta = std::fs::symlink_metadata(path).map_err(|error| missing(path, &error))?;
    let kind = if meta.is_dir() {
        Kind::Directory
    } else if meta.is_symlink() {
        Kind::Link
    } else if meta.is_file() {
        Kind::File
    } else {
        Kind::Other
    };
    Ok(Step {
        path: path.to_owned(),
        kind,
        mode: meta.mode() & 0o7777,
        owner: Ids {
            uid: meta.uid(),
            gid: meta.gid(),
        },
    })
}

fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

/// Whether a user may pass the directories and execute the file, by their modes.
fn may_execute(way: &Way, whom: &Whom) -> Result<(), String> {
    let ids = whom.ids;
    for step in &way.steps {
        let Step { mode, owner, .. } = *step;
        let any = mode & 0o111 != 0;
        let allowed = match step.kind {
            Kind::Link => true,
            Kind::Directory if ids.uid == 0 => true,
            Kind::Directory | Kind::File | Kind::Other => {
                if ids.uid == 0 {
                    any
                } else if ids.uid == owner.uid {
                    mode & 0o100 != 0
                } else if whom.is_in(owner.gid) {
                    mode & 0o010 != 0
                } else {
                    mode & 0o001 != 0
                }
            }
        };
        if allowed {
            continue;
        }
        let user = users::names(ids);
        return Err(match step.kind {
            Kind::Directory => {
                format!("{step} cannot be entered by {user}; chmod it or set script_user")
            }
            Kind::Link | Kind::File | Kind::Other if any => {
                format!("{step} cannot be executed by {user}; chmod it or set script_user")
            }
            Kind::Link | Kind::File | Kind::Other => {
                format!("{step} is not executable; chmod a+x it")
            }
        });
    }
    Ok(())
}

/// What is unsafe about a step, if anything is.
fn fault(step: &Step) -> Option<Fault> {
    let (what, way_out) = if step.owner.uid != 0 {
        ("does not belong to root", "chown root it")
    } else if step.kind == Kind::Link {
        // Its mode means nothing, and root's can only be replaced through its directory.
        return None;
    } else if step.kind == Kind::Directory && step.mode & 0o1000 != 0 {
        // In a sticky directory nobody can replace what is root's.
        return None;
    } else if step.mode & 0o002 != 0 {
        ("is world-writable", "chmod o-w it")
    } else if step.mode & 0o020 != 0 && step.owner.gid != 0 {
        ("is group-writable", "chmod g-w it")
    } else {
        return None;
    };
    Some(Fault {
        path: step.path.clone(),
        mode: step.mode,
        owner: step.owner,
        what,
        way_out,
    })
}

/// `02775 root:staff`.
fn shown(mode: u32, owner: Ids) -> String {
    format!("{mode:05o} {}", users::names(owner))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.mode, self.owner);
        write!(f, "{} ({shown})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::RunAs;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const ROOT: Ids = Ids { uid: 0, gid: 0 };

    fn step(path: &str, kind: Kind, mode: u32, uid: u32, gid: u32) -> Step {
        Step {
            path: path.into(),
            kind,
            mode,
            owner: Ids { uid, gid },
        }
    }

    fn by(program: &str, user: &str) -> Command {
        Command {
            argv: vec![program.into()],
            user: Some(RunAs {
                user: user.into(),
                group: None,
            }),
        }
    }

    #[test]
    fn the_fault_is_named_with_path_mode_and_way_out() {
        let staff = step("/usr/local/bin", Kind::Directory, 0o2775, 0, 4_000_000);
        assert_eq!(
            fault(&staff).map(|fault| fault.to_string()).as_deref(),
            Some(
                "/usr/local/bin is group-writable (02775 root:4000000); \
                 chmod g-w it or set script_user"
            )
        );
    }

    #[test]
    fn only_what_others_can_replace_is_unsafe() {
        use Kind::{Directory, File, Link};
        for (safe, one) in [
            (true, step("/", Directory, 0o755, 0, 0)),
            (true, step("/d", Directory, 0o775, 0, 0)),
            (true, step("/tmp", Directory, 0o1777, 0, 0)),
            (true, step("/l", Link, 0o777, 0, 0)),
            (true, step("/f", File, 0o755, 0, 50)),
            (false, step("/d", Directory, 0o775, 0, 50)),
            (false, step("/d", Directory, 0o777, 0, 0)),
            (false, step("/d", Directory, 0o755, 1000, 0)),
            (false, step("/tmp/l", Link, 0o777, 1000, 1000)),
            (false, step("/f", File, 0o1777, 0, 0)),
            (false, step("/f", File, 0o770, 0, 50)),
        ] {
            assert_eq!(fault(&one).is_none(), safe, "{one}");
        }
    }

    #[test]
    fn permission_is_judged_for_the_user_who_runs_it() {
        let user = Ids { uid: 70, gid: 80 };
        for (mode, uid, gid, allowed) in [
            (0o700, 70, 0, true),
            (0o077, 70, 0, false),
            (0o010, 0, 80, true),
            (0o701, 0, 80, false),
            (0o001, 0, 0, true),
            (0o770, 0, 0, false),
        ] {
            let way = Way {
                steps: vec![step("/f", Kind::File, mode, uid, gid)],
            };
            assert_eq!(
                may_execute(&way, &Whom::alone(user)).is_ok(),
                allowed,
                "{mode:o}"
            );
        }
        let nobody = Way {
            steps: vec![step("/f", Kind::File, 0o644, 0, 0)],
        };
        let text = may_execute(&nobody, &Whom::alone(ROOT)).expect_err("no x at all");
        assert!(text.contains("/f (00644 root:root) is not executable"));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let text = command(&by("/usr/no/such/thing", "root"), false)
            .expect_err("not there")
            .text;
        assert!(text.starts_with("/usr/no: not found/accessible"), "{text}");
        let text = command(&by("no_such_program", "root"), false)
            .expect_err("not there")
            .text;
        assert!(text.contains("in no directory of PATH"), "{text}");
        let text = command(&by("/bin/true", "no_such_user"), false)
            .expect_err("nobody")
            .text;
        assert!(text.contains("user no_such_user does not exist"), "{text}");
        let text = command(&by("/usr/bin", "root"), false)
            .expect_err("a directory")
            .text;
        assert!(text.contains("/usr/bin is not a file"), "{text}");
        let text = command(&by("/bin/true/x", "root"), false)
            .expect_err("no directory")
            .text;
        assert!(text.contains("is not a directory"), "{text}");
    }

    #[test]
    fn names_are_found_in_path_and_links_on_the_way_are_no_fault() {
        // /bin is a link to /usr/bin on most systems, /bin/sh one to another shell.
        let vetted = command(&by("/bin/sh", "root"), false).expect("there");
        assert!(!vetted.path.is_symlink());
        assert!(vetted.path.is_absolute());
        assert!(command(&by("sh", "root"), false).is_ok());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = dir.path().join("one");
        symlink("two", &one).expect("linked");
        symlink("one", dir.path().join("two")).expect("linked");
        let text = command(&by(&one.display().to_string(), "root"), false)
            .expect_err("a circle")
            .text;
        assert!(text.contains("too many links"), "{text}");
    }

    #[test]
    fn an_unsafe_place_behind_a_link_is_found() {
        if users::own() != ROOT {
            eprintln!("SKIPPED an_unsafe_place_behind_a_link_is_found: needs root");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let (open, safe) = (dir.path().join("open"), dir.path().join("safe"));
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        for place in [&open, &safe] {
            fs::create_dir(place).expect("made");
            mode(place, 0o755);
            fs::write(place.join("script"), "#!/bin/sh\n").expect("written");
            mode(&place.join("script"), 0o755);
        }
        // A way into the safe place that leads through a link in the open one.
        symlink(safe.join("script"), open.join("link")).expect("linked");
        symlink(&open, dir.path().join("way")).expect("linked");
        let through = by(&dir.path().join("way/link").display().to_string(), "root");
        assert!(command(&through, true).is_ok());
        mode(&open, 0o777);
        let text = command(&through, true).expect_err("unsafe").text;
        let expected = format!("{} is world-writable (00777 root:root)", open.display());
        assert!(text.starts_with(&expected), "{text}");
        // Without security it runs, with a word of warning; as another user it may.
        let vetted = command(&through, false).expect("allowed");
        assert_eq!(
            vetted.path,
            safe.join("script").canonicalize().expect("there")
        );
        assert!(vetted.fault.is_some());
        mode(dir.path(), 0o755);
        let other = Command {
            user: Some(RunAs {
                user: "nobody".into(),
                group: None,
            }),
            ..through
        };
        assert_eq!(command(&other, true).expect("no root").fault, None);
    }

    #[test]
    fn unusable_programs_are_marked_and_taken_out() {
        let mut what = crate::scripts::told::tests::state(crate::model::notice::Phase::Active);
        let mut router = Arc::make_mut(&mut what.settings).clone();
        router.notify.any = Some(by("/bin/true", "root"));
        let check = |name: &str, program: &str| {
            Arc::new(CheckSettings {
                name: name.into(),
                command: by(program, "root"),
                probe: None,
                external: None,
                interval: std::time::Duration::from_secs(1),
                timeout: std::time::Duration::from_secs(1),
                weight: crate::model::priority::Weight::FAULT,
                reverse: false,
                rise: 1,
                fall: 1,
                init_fail: false,
                thresholds: Default::default(),
                unusable: None,
            })
        };
        let mut all = Settings {
            checks: vec![check("good", "/bin/true"), check("bad", "/no/such")],
            routers: vec![Arc::new(router)],
            ..Settings::default()
        };
        let findings = settings(&mut all);
        assert_eq!(all.checks[0].unusable, None);
        let why = all.checks[1].unusable.as_deref().expect("marked");
        assert!(why.starts_with("/no: not found/accessible"), "{why}");
        let notify = &all.routers[0].notify;
        assert!(notify.any.is_some() && notify.master.is_none());
        assert_eq!(
            notify.deleted,
            Some(None),
            "the word stays without a program"
        );
        let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let has = |start: &str| texts.iter().any(|text| text.starts_with(start));
        assert!(has("vrrp_script bad: not used: /no: not found"));
        assert!(has(
            "vrrp_instance VI_1 notify_master: not used: /master: not found"
        ));
        assert_eq!(findings.iter().filter(|f| f.unusable).count(), 7);
    }
}
