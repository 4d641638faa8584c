//! Tracked files and processes, with a real kernel and real processes.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::model::notice::Level;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{FileSettings, ParamMatch, ProcessTrackSettings};
use mainstay::os::proc_connector::Connector;
use mainstay::scripts::watch::News;
use mainstay::scripts::watch::files::Files;
use mainstay::scripts::watch::processes::Processes;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Whatever is to be told is told within this time.
const SOON: Duration = Duration::from_secs(10);

// ---- files ---------------------------------------------------------------------------------------

fn file(name: &str, path: &Path) -> Arc<FileSettings> {
    Arc::new(FileSettings {
        external: None,
        name: name.into(),
        path: path.to_str().expect("a path of ours").into(),
        weight: 1,
        reverse: false,
        init: None,
        overwrite: false,
    })
}

/// The next number of a file, and what was said until then.
async fn number(files: &mut Files, of: &str, said: &mut Vec<String>) -> i32 {
    let waited = timeout(SOON, async {
        loop {
            match files.next().await {
                News::Seen(TrackedSeen::File { name, value }) => {
                    assert_eq!(&*name, of, "another file was told");
                    return value;
                }
                News::Seen(other) => panic!("a file tells {other:?}"),
                News::Say { text, .. } => said.push(text),
            }
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("nothing was told of {of}; said: {said:?}"))
}

/// What is told in the next 200 ms.
async fn quiet(files: &mut Files) -> Vec<News> {
    let mut told = Vec::new();
    let _ = timeout(Duration::from_millis(200), async {
        loop {
            told.push(files.next().await);
        }
    })
    .await;
    told
}

/// A folder with one tracked file, of which the first number was told.
async fn tracked(content: &str) -> (tempfile::TempDir, PathBuf, Files) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("value");
    fs::write(&path, content).expect("written");
    let mut files = Files::new(&[file("f", &path)]);
    number(&mut files, "f", &mut Vec::new()).await;
    (dir, path, files)
}

#[tokio::test]
async fn a_number_is_told_when_its_writer_closes_the_file() {
    let (_dir, path, mut files) = tracked("5\n").await;
    let mut said = Vec::new();
    fs::write(&path, "0x10").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 16);
    fs::write(&path, "no number").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    fs::write(&path, "-3").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, -3);
    fs::write(&path, "-3 again").expect("the file system obeys");
    assert_eq!(quiet(&mut files).await, [], "only changes are told");
    assert_eq!(said, [""; 0]);
}

#[tokio::test]
async fn a_file_renamed_over_deleted_and_moved_away_is_followed() {
    let (dir, path, mut files) = tracked("1").await;
    let other = dir.path().join("other");
    let mut said = Vec::new();
    for round in 2..5 {
        fs::write(&other, round.to_string()).expect("the file system obeys");
        fs::rename(&other, &path).expect("the file system obeys");
        assert_eq!(number(&mut files, "f", &mut said).await, round);
    }
    fs::remove_file(&path).expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    fs::write(&path, "9").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 9);
    fs::rename(&path, &other).expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    fs::hard_link(&other, &path).expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 9);
    assert_eq!(said, [""; 0]);
}

#[tokio::test]
async fn a_file_emptied_to_be_written_anew_is_not_taken_for_0() {
    let (_dir, path, mut files) = tracked("5").await;
    let mut said = Vec::new();
    for round in 0..50 {
        // What a shell's redirection does, with another writer's close just before.
        drop(
            fs::File::options()
                .append(true)
                .open(&path)
                .expect("as it was made"),
        );
        let writer = fs::File::create(&path).expect("the file system obeys");
        let told = timeout(Duration::from_millis(2), files.next()).await;
        assert!(
            told.is_err(),
            "round {round}: half a write was told: {told:?}"
        );
        fs::write(&path, "5").expect("the file system obeys");
        drop(writer);
        let told = timeout(Duration::from_millis(2), files.next()).await;
        assert!(told.is_err(), "round {round}: it is 5 as before: {told:?}");
    }
    fs::write(&path, "").expect("the file system obeys");
    assert_eq!(
        number(&mut files, "f", &mut said).await,
        0,
        "a file that stays empty is 0"
    );
}

#[tokio::test]
async fn a_number_out_of_range_leaves_the_last_in_force_and_is_said_once() {
    let (_dir, path, mut files) = tracked("7").await;
    for _ in 0..3 {
        fs::write(&path, "2147483648").expect("the file system obeys");
        let told = quiet(&mut files).await;
        assert!(
            told.iter().all(|news| !matches!(news, News::Seen(_))),
            "{told:?}"
        );
        fs::write(&path, "99999999999").expect("the file system obeys");
    }
    fs::write(&path, "8").expect("the file system obeys");
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "f", &mut said).await, 8);
    assert_eq!(said, [""; 0], "it was said while it happened, once");
    fs::write(&path, "2147483648").expect("the file system obeys");
    let told = quiet(&mut files).await;
    assert_eq!(told.len(), 1, "said again after a good number: {told:?}");
    match &told[0] {
        News::Say { level, text } => {
            assert_eq!(*level, Level::Warn);
            assert!(text.contains("beyond 32 bits"), "{text}");
        }
        News::Seen(seen) => panic!("{seen:?}"),
    }
}

#[tokio::test]
async fn a_missing_directory_is_looked_for_until_it_is_there_and_when_it_goes() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = parent.path().join("dir");
    let path = dir.join("value");
    let mut files = Files::new(&[file("f", &path)]);
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("looked for every second"), "{said:?}");
    said.clear();
    fs::create_dir(&dir).expect("the file system obeys");
    fs::write(&path, "4").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 4);
    fs::write(&path, "5").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 5);
    // Replaced as a whole, which no watch on the old one tells.
    let fresh = parent.path().join("fresh");
    fs::create_dir(&fresh).expect("the file system obeys");
    fs::write(fresh.join("value"), "6").expect("the file system obeys");
    fs::rename(&dir, parent.path().join("old")).expect("the file system obeys");
    fs::rename(&fresh, &dir).expect("the file system obeys");
    let value = number(&mut files, "f", &mut said).await;
    let value = if value == 0 {
        number(&mut files, "f", &mut said).await
    } else {
        value
    };
    assert_eq!(value, 6);
    fs::remove_dir_all(&dir).expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
}

#[tokio::test]
async fn a_directory_that_another_is_renamed_over_its_parent_is_found_again() {
    let root = tempfile::tempdir().expect("a folder");
    let path = |name: &str| root.path().join(name);
    for (name, value) in [("a", "1"), ("b", "2")] {
        fs::create_dir_all(path(name).join("d")).expect("the file system obeys");
        fs::write(path(name).join("d/value"), value).expect("the file system obeys");
    }
    let mut files = Files::new(&[file("f", &path("a/d/value"))]);
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "f", &mut said).await, 1);
    fs::rename(path("a"), path("c")).expect("the file system obeys");
    fs::rename(path("b"), path("a")).expect("the file system obeys");
    // The watched directory itself was not touched: this is found by the slow look alone.
    assert_eq!(number(&mut files, "f", &mut said).await, 2);
}

#[tokio::test]
async fn the_target_of_a_symbolic_link_may_change_elsewhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("target");
    let path = dir.path().join("value");
    fs::write(&target, "1").expect("the file system obeys");
    symlink(&target, &path).expect("the file system obeys");
    let mut files = Files::new(&[file("f", &path)]);
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "f", &mut said).await, 1);
    fs::write(&target, "2").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 2);
}

#[tokio::test]
async fn files_in_one_directory_are_told_apart_also_by_two_paths() {
    let dir = tempfile::tempdir().expect("a folder");
    let twin = dir.path().join("twin");
    fs::create_dir(dir.path().join("d")).expect("the file system obeys");
    symlink("d", &twin).expect("the file system obeys");
    let first = file("first", &dir.path().join("d/first"));
    let second = file("second", &twin.join("second"));
    let mut files = Files::new(&[first.clone(), second.clone()]);
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "first", &mut said).await, 0);
    assert_eq!(number(&mut files, "second", &mut said).await, 0);
    fs::write(dir.path().join("d/second"), "2").expect("the file system obeys");
    assert_eq!(number(&mut files, "second", &mut said).await, 2);
    fs::write(dir.path().join("d/first"), "1").expect("the file system obeys");
    assert_eq!(number(&mut files, "first", &mut said).await, 1);
    // The watch they share outlives the one of them.
    files.set(&[second]);
    assert_eq!(number(&mut files, "second", &mut said).await, 2);
    fs::write(dir.path().join("d/first"), "11").expect("the file system obeys");
    fs::write(dir.path().join("d/second"), "22").expect("the file system obeys");
    assert_eq!(number(&mut files, "second", &mut said).await, 22);
    assert_eq!(said, [""; 0]);
}

#[tokio::test]
async fn a_reload_reads_again_and_writes_no_init_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("value");
    let mut settings = FileSettings::clone(&file("f", &path));
    settings.init = Some(12);
    settings.overwrite = true;
    let settings = Arc::new(settings);
    let mut files = Files::new(std::slice::from_ref(&settings));
    let mut said = Vec::new();
    assert_eq!(number(&mut files, "f", &mut said).await, 12);
    assert_eq!(fs::read_to_string(&path).expect("readable"), "12\n");
    fs::write(&path, "3").expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 3);
    files.set(std::slice::from_ref(&settings));
    assert_eq!(number(&mut files, "f", &mut said).await, 3, "told again");
    fs::remove_file(&path).expect("the file system obeys");
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    files.set(&[settings]);
    assert_eq!(number(&mut files, "f", &mut said).await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_cannot_be_watched_is_read_every_second_and_that_is_said() {
    // Every process may rename itself, and proc tells nobody.
    let mut files = Files::new(&[file("f", Path::new("/proc/self/coredump_filter"))]);
    let mut said = Vec::new();
    let before = number(&mut files, "f", &mut said).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("read every second"), "{said:?}");
    let text = fs::read_to_string("/proc/self/coredump_filter").expect("readable");
    // Without 0x it is decimal, or octal for its leading zeros.
    assert_eq!(before, i32::from_str_radix(text.trim(), 8).unwrap_or(0));
    fs::write("/proc/self/coredump_filter", "0x1").expect("the file system obeys");
    let after = number(&mut files, "f", &mut said).await;
    fs::write("/proc/self/coredump_filter", format!("0x{}", text.trim()))
        .expect("the file system obeys");
    assert_eq!(after, 1);
}

// ---- processes -----------------------------------------------------------------------------------

/// A program that is surely ours: cat under a name of its own, which ends with its input.
struct Program {
    _dir: tempfile::TempDir,
    path: PathBuf,
    name: String,
}

impl Program {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::tempdir().expect("a folder");
        let name = format!("mw{}x{count}", std::process::id());
        let path = dir.path().join(&name);
        // A copy: the name of a process is that of the file, not of a link's target.
        fs::copy("/bin/cat", &path).expect("copied");
        Self {
            _dir: dir,
            path,
            name,
        }
    }

    /// Starts it and waits until it looks as it shall.
    fn start(&self, args: &[&str]) -> Child {
        let child = Command::new(&self.path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        // The kernel lets us go on before the new program has its name and arguments.
        let line = format!("/proc/{}/cmdline", child.id());
        let begun = Instant::now();
        while !fs::read_to_string(&line).is_ok_and(|line| line.contains(&self.name)) {
            assert!(begun.elapsed() < SOON, "{} does not start", self.name);
            std::thread::yield_now();
        }
        child
    }

    fn tracked(&self) -> ProcessTrackSettings {
        ProcessTrackSettings {
            name: "p".into(),
            process: self.name.as_str().into(),
            params: Vec::new(),
            matching: ParamMatch::None,
            full_command: false,
            weight: 0,
            reverse: false,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        }
    }
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("it ends with its input");
}

/// Whether the tracked process is up, when that is next told.
async fn up(processes: &mut Processes) -> bool {
    let waited = timeout(SOON, async {
        loop {
            match processes.next().await {
                News::Seen(TrackedSeen::Process { name, up }) => {
                    assert_eq!(&*name, "p");
                    return up;
                }
                News::Seen(other) => panic!("a process tells {other:?}"),
                News::Say { .. } => {}
            }
        }
    });
    waited.await.expect("nothing was told of the process")
}

/// Root in the first namespaces, under a kernel with the proc connector.
fn must_tell() -> bool {
    let namespace = |which: &str| fs::read_link(which).ok();
    let first = |which: &str, number: &str| {
        namespace(&format!("/proc/self/ns/{which}")) == Some(format!("{which}:[{number}]").into())
    };
    // The kernel numbers its first namespaces so.
    first("pid", "4026531836")
        && first("user", "4026531837")
        && namespace("/proc/self/ns/net") == namespace("/proc/1/ns/net")
        && nix::unistd::geteuid().is_root()
        && fs::read_to_string("/proc/net/connector").is_ok_and(|text| text.contains("cn_proc"))
}

/// Both ways to see processes; `None` for the kernel's news where it gives none.
fn both(settings: ProcessTrackSettings) -> [(&'static str, Option<Processes>); 2] {
    let settings = [Arc::new(settings)];
    let connector = Connector::open().ok();
    let told = Processes::new(&settings, connector);
    let scanned = Processes::new(&settings, None);
    assert!(!scanned.is_told());
    let told = if told.is_told() {
        Some(told)
    } else {
        assert!(
            !must_tell(),
            "root in the first namespaces is told of processes"
        );
        eprintln!("SKIPPED for the proc connector: the kernel tells nothing of processes here");
        None
    };
    [("told", told), ("scanned", Some(scanned))]
}

#[tokio::test]
async fn a_process_is_seen_to_come_and_to_go() {
    let program = Program::new();
    for (way, processes) in both(program.tracked()) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let child = program.start(&[]);
        assert!(up(&mut processes).await, "{way}");
        let begun = Instant::now();
        end(child);
        assert!(!up(&mut processes).await, "{way}");
        if way == "told" {
            let took = begun.elapsed();
            assert!(
                took < Duration::from_millis(800),
                "{took:?} is a scan's time"
            );
        }
    }
}

#[tokio::test]
async fn a_zombie_does_not_count() {
    let program = Program::new();
    for (way, processes) in both(program.tracked()) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let mut child = program.start(&[]);
        assert!(up(&mut processes).await, "{way}");
        drop(child.stdin.take());
        // Nobody waits for it yet.
        assert!(!up(&mut processes).await, "{way}");
        child.wait().expect("a child of ours");
    }
}

#[tokio::test]
async fn quorum_and_quorum_max_count_processes() {
    let program = Program::new();
    let mut settings = program.tracked();
    settings.quorum = 2;
    settings.quorum_max = Some(3);
    for (way, processes) in both(settings) {
        let Some(mut processes) = processes else {
            continue;
        };
        let mut children = vec![program.start(&[])];
        assert!(!up(&mut processes).await, "{way}: 1 of 2");
        children.push(program.start(&[]));
        assert!(up(&mut processes).await, "{way}: 2");
        children.push(program.start(&[]));
        children.push(program.start(&[]));
        assert!(!up(&mut processes).await, "{way}: 4 are more than 3");
        end(children.remove(0));
        assert!(up(&mut processes).await, "{way}: 3");
        children.into_iter().for_each(end);
        assert!(!up(&mut processes).await, "{way}: none");
    }
}

#[tokio::test]
async fn full_commands_and_parameters_are_compared() {
    let program = Program::new();
    let mut settings = program.tracked();
    settings.full_command = true;
    settings.process = program.path.to_str().expect("a name of ours").into();
    settings.params = vec!["-u".into(), "-".into()];
    settings.matching = ParamMatch::Exact;
    for (way, processes) in both(settings) {
        let Some(mut processes) = processes else {
            continue;
        };
        let others = [
            program.start(&[]),
            program.start(&["-u"]),
            program.start(&["-u", "-", "-"]),
        ];
        assert!(!up(&mut processes).await, "{way}: others");
        let child = program.start(&["-u", "-"]);
        assert!(up(&mut processes).await, "{way}");
        others.into_iter().for_each(end);
        end(child);
        assert!(!up(&mut processes).await, "{way}");
    }
}

#[tokio::test]
async fn a_process_that_changes_its_name_is_followed() {
    let program = Program::new();
    for (way, processes) in both(program.tracked()) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg("read x; printf %s \"$1\" > /proc/$$/comm; read x; printf other > /proc/$$/comm; read x")
            .args(["sh", &program.name])
            .stdin(Stdio::piped())
            .spawn()
            .expect("started");
        let mut orders = shell.stdin.take().expect("piped");
        use std::io::Write;
        orders.write_all(b"\n").expect("it reads");
        assert!(up(&mut processes).await, "{way}");
        orders.write_all(b"\n").expect("it reads");
        assert!(!up(&mut processes).await, "{way}");
        drop(orders);
        shell.wait().expect("a child of ours");
    }
}

#[tokio::test]
async fn threads_of_the_name_do_not_count() {
    let program = Program::new();
    let name = program.name.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || stopped.recv())
        .expect("started");
    for (way, processes) in both(program.tracked()) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let news = timeout(Duration::from_millis(1500), up(&mut processes)).await;
        assert!(news.is_err(), "{way}: a thread was counted");
    }
    drop(stop);
    let _ = thread.join();
}

#[tokio::test]
async fn a_restart_within_terminate_delay_is_not_told() {
    let program = Program::new();
    let mut settings = program.tracked();
    settings.terminate_delay = Duration::from_millis(2500);
    for (way, processes) in both(settings) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let child = program.start(&[]);
        assert!(up(&mut processes).await, "{way}");
        end(child);
        let news = timeout(Duration::from_millis(1200), up(&mut processes)).await;
        assert!(news.is_err(), "{way}: told before the delay is over");
        let child = program.start(&[]);
        let news = timeout(Duration::from_millis(3000), up(&mut processes)).await;
        assert!(news.is_err(), "{way}: told although it is back");
        let begun = Instant::now();
        end(child);
        assert!(!up(&mut processes).await, "{way}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(2400), "{way}: {took:?}");
    }
}

#[tokio::test]
async fn a_reload_tells_what_stays_and_looks_for_what_is_new() {
    let program = Program::new();
    let other = Program::new();
    let child = program.start(&[]);
    for (way, processes) in both(program.tracked()) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(up(&mut processes).await, "{way}");
        processes.set(&[]);
        let news = timeout(Duration::from_millis(100), processes.next()).await;
        assert!(news.is_err(), "{way}: {news:?}");
        assert!(!processes.is_told(), "{way}: nothing is tracked");
        processes.set(&[Arc::new(program.tracked())]);
        assert_eq!(processes.is_told(), way == "told");
        assert!(up(&mut processes).await, "{way}");
        processes.set(&[Arc::new(other.tracked())]);
        assert!(!up(&mut processes).await, "{way}");
    }
    end(child);
}

#[tokio::test]
async fn a_hundred_short_lived_processes_leave_no_trace() {
    let program = Program::new();
    let mut settings = program.tracked();
    settings.quorum = 101;
    for (way, processes) in both(settings) {
        let Some(mut processes) = processes else {
            continue;
        };
        assert!(!up(&mut processes).await, "{way}");
        let children: Vec<Child> = (0..100).map(|_| program.start(&[])).collect();
        sleep(Duration::from_millis(50)).await;
        children.into_iter().for_each(end);
        let children: Vec<Child> = (0..101).map(|_| program.start(&[])).collect();
        assert!(up(&mut processes).await, "{way}: 101 run");
        children.into_iter().for_each(end);
        assert!(
            !up(&mut processes).await,
            "{way}: those that ended are forgotten"
        );
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: namespaces need root");
    }
    root
}

#[test]
fn in_another_network_namespace_only_a_socket_opened_before_hears() {
    if !is_root() {
        return;
    }
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let Ok(mut before) = Connector::open() else {
        eprintln!("SKIPPED: this kernel has no proc connector");
        return;
    };
    if runtime().block_on(async { before.listen() }).is_err() {
        assert!(!must_tell());
        eprintln!("SKIPPED: the kernel tells nothing of processes here");
        return;
    }
    drop(before);
    let before = Connector::open().expect("opened as just now");
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
        runtime().block_on(async {
            let program = Program::new();
            let settings = [Arc::new(program.tracked())];
            let after = Connector::open().ok();
            let mut scanned = Processes::new(&settings, after);
            assert!(!scanned.is_told());
            let News::Say { level, text } = scanned.next().await else {
                panic!("the refusal is said first");
            };
            assert_eq!(level, Level::Info);
            assert!(text.contains("every second instead"), "{text}");
            let mut told = Processes::new(&settings, Some(before));
            assert!(told.is_told());
            for processes in [&mut scanned, &mut told] {
                assert!(!up(processes).await);
                let child = program.start(&[]);
                assert!(up(processes).await);
                end(child);
                assert!(!up(processes).await);
            }
        });
    })
    .join()
    .expect("the namespace's thread");
}

#[test]
fn in_a_container_with_processes_of_its_own_they_are_scanned() {
    if !is_root() {
        return;
    }
    let output = Command::new("unshare")
        .args(["--pid", "--net", "--fork", "--mount-proc"])
        .arg(std::env::current_exe().expect("our own path"))
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .args([
            "a_process_is_seen_to_come_and_to_go",
            "a_zombie_does_not_count",
        ])
        .output()
        .expect("unshare(1) runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("2 passed"), "{text}");
    assert!(text.contains("SKIPPED for the proc connector"), "{text}");
}
