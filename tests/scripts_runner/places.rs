//! Which programs are started, as whom, and how they are scheduled.

use super::*;

/// Asks for a program under `enable_script_security`, or without it.
fn secured(n: u64, path: &Path, security: bool) -> Request {
    let Request::Start(start) = start(check(n), &[path.to_str().expect("utf-8")]) else {
        unreachable!("a start")
    };
    Request::Start(Start { security, ..start })
}

/// How a program under security came out: its end, and why it was refused.
async fn outcome(runner: &mut Runner, n: u64, path: &Path) -> (How, String) {
    runner.send(&secured(n, path, true));
    let (key, how, stderr) = ended(runner).await;
    assert_eq!(key, check(n));
    (how, stderr)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// A folder that nobody but root can write to, with a script in it.
fn safe_place() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    mode(dir.path(), 0o755);
    let inner = dir.path().join("bin");
    fs::create_dir(&inner).expect("made");
    mode(&inner, 0o755);
    let script = inner.join("chk");
    fs::write(&script, "#!/bin/sh\necho \"$0\" >&2\nexit 7\n").expect("written");
    mode(&script, 0o755);
    (dir, script)
}

const REFUSED: How = How::NotStarted(1);

#[test]
fn a_program_that_became_unsafe_is_not_started_any_more_and_says_why() {
    if !is_root() {
        eprintln!("SKIPPED a_program_that_became_unsafe_is_not_started_any_more: needs root");
        return;
    }
    let (dir, script) = safe_place();
    with_runner(|mut runner| async move {
        let (how, stderr) = outcome(&mut runner, 1, &script).await;
        assert_eq!(how, How::Exited(7));
        assert_eq!(stderr, script.to_str().expect("utf-8"), "$0 as configured");

        mode(&script, 0o757);
        let (how, why) = outcome(&mut runner, 2, &script).await;
        assert_eq!(how, REFUSED);
        let expected =
            "bin/chk is world-writable (00757 root:root); chmod o-w it or set script_user";
        assert!(why.contains(expected), "{why}");
        mode(&script, 0o755);
        assert_eq!(outcome(&mut runner, 3, &script).await.0, How::Exited(7));

        let inner = script.parent().expect("a parent");
        std::os::unix::fs::chown(inner, None, Some(1)).expect("chgrp");
        mode(inner, 0o775);
        let (how, why) = outcome(&mut runner, 4, &script).await;
        assert_eq!(how, REFUSED);
        assert!(why.contains("/bin is group-writable (00775 root:"), "{why}");
        mode(inner, 0o755);
        assert_eq!(outcome(&mut runner, 5, &script).await.0, How::Exited(7));

        // A link to something safe is safe; one that anybody could have made is not.
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&script, &elsewhere).expect("moved");
        std::os::unix::fs::symlink(&elsewhere, &script).expect("linked");
        assert_eq!(outcome(&mut runner, 6, &script).await.0, How::Exited(7));
        std::os::unix::fs::lchown(&script, Some(1000), None).expect("chown");
        let (how, why) = outcome(&mut runner, 7, &script).await;
        assert_eq!(how, REFUSED);
        assert!(why.contains("bin/chk does not belong to root"), "{why}");

        fs::remove_file(&script).expect("removed");
        let (how, why) = outcome(&mut runner, 8, &script).await;
        assert_eq!(how, How::NotStarted(2));
        assert!(why.contains("bin/chk: not found/accessible"), "{why}");
        drop(dir);
    });
}

#[test]
fn without_security_an_unsafe_program_runs_with_a_warning() {
    if !is_root() {
        eprintln!("SKIPPED without_security_an_unsafe_program_runs: needs root");
        return;
    }
    let (_dir, script) = safe_place();
    with_runner(|mut runner| async move {
        let mut warning = async |n: u64| {
            runner.send(&secured(n, &script, false));
            let warning = match reply(&mut runner).await {
                Reply::Started { warning, .. } => warning,
                Reply::Ended { how, stderr, .. } => panic!("not started: {how:?} {stderr}"),
            };
            assert_eq!(ended(&mut runner).await.1, How::Exited(7));
            warning
        };
        assert_eq!(warning(1).await, "");
        mode(&script, 0o757);
        let unsafe_now = warning(2).await;
        assert!(unsafe_now.contains("is world-writable"), "{unsafe_now}");
        assert_eq!(warning(3).await, unsafe_now);
        mode(&script, 0o755);
        assert_eq!(warning(4).await, "");
    });
}

#[test]
fn under_security_somebody_must_be_named_to_run_a_program() {
    if mainstay::scripts::users::default_user().is_some() {
        eprintln!("SKIPPED under_security_somebody_must_be_named: keepalived_script exists");
        return;
    }
    with_runner(|mut runner| async move {
        let Request::Start(start) = secured(1, Path::new("/bin/true"), true) else {
            unreachable!("a start")
        };
        let nobody = |n, security| {
            Request::Start(Start {
                key: check(n),
                user: None,
                security,
                ..start.clone()
            })
        };
        runner.send(&nobody(1, true));
        let (_, how, why) = ended(&mut runner).await;
        assert_eq!(how, REFUSED);
        assert!(why.contains("set script_user"), "{why}");
        runner.send(&nobody(2, false));
        assert_eq!(ended(&mut runner).await.1, How::Exited(0));
    });
}

#[test]
fn other_groups_are_given_where_they_are_asked_for_and_only_there() {
    if !is_root() {
        eprintln!("SKIPPED other_groups_are_given_where_they_are_asked_for: needs root");
        return;
    }
    // Somebody who is in a group besides the own one, in /etc/group of this machine.
    let text = fs::read_to_string("/etc/group").expect("readable");
    let member = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let user = fields.get(3)?.split(',').find(|user| !user.is_empty())?;
        let known = nix::unistd::User::from_name(user).ok().flatten()?;
        let gid: u32 = fields.get(2)?.parse().ok()?;
        (known.gid.as_raw() != gid).then(|| (user.to_owned(), gid))
    });
    let Some((user, gid)) = member else {
        eprintln!("SKIPPED other_groups_are_given: no user here is in another group");
        return;
    };
    with_runner(|mut runner| async move {
        for (n, group, given) in [
            (1, None, false),
            (2, Some(":"), true),
            (3, Some(":daemon"), true),
        ] {
            let Request::Start(mut asked) = shell(check(n), "id -G >&2; id -g >&2; id -u >&2")
            else {
                unreachable!("a start")
            };
            asked.user = Some(RunAs {
                user: user.as_str().into(),
                group: group.map(Into::into),
            });
            runner.send(&Request::Start(asked));
            let (_, how, stderr) = ended(&mut runner).await;
            assert_eq!(how, How::Exited(0), "{stderr}");
            let lines: Vec<&str> = stderr.lines().collect();
            let has = lines[0].split(' ').any(|g| g == gid.to_string());
            assert_eq!(has, given, "{group:?}: {stderr}");
            assert_ne!(lines[2], "0", "it is not root any more");
            if group == Some(":daemon") {
                assert_eq!(lines[1], "1", "the group that was named");
            }
        }
    });
}

#[test]
fn programs_do_not_inherit_how_the_daemon_is_scheduled() {
    if !is_root() {
        eprintln!("SKIPPED programs_do_not_inherit_how_the_daemon_is_scheduled: needs root");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let parent = dir.path().join("parent");
    let text = format!(
        "#!/bin/sh\nexec nice -n -7 chrt -f 9 {} \"$@\"\n",
        env!("CARGO_BIN_EXE_mainstay")
    );
    fs::write(&parent, text).expect("written");
    mode(&parent, 0o755);
    with_runner_at(&parent, |mut runner| async move {
        let (how, stderr) = run(&mut runner, "ps -o ni=,cls= -p $$ >&2").await;
        assert_eq!(how, How::Exited(0));
        let words: Vec<&str> = stderr.split_whitespace().collect();
        assert_eq!(words, ["0", "TS"], "{stderr}");
    });
}

/// How long a look at a program before its start takes; printed, and no more than a start can bear.
#[test]
fn a_look_before_each_start_costs_next_to_nothing() {
    use mainstay::scripts::{users, vet};
    let whom = users::Whom::alone(users::own());
    let times = 2_000;
    let begun = Instant::now();
    for _ in 0..times {
        vet::at_start("/bin/sh", &whom, false).expect("there");
    }
    let each = begun.elapsed() / times;
    eprintln!("a look at /bin/sh takes {each:?}");
    assert!(each < Duration::from_millis(1), "{each:?}");
}
