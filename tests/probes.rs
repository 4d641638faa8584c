//! Checks without a program, against listeners, neighbours, routes and units that are there or not.
//! Those that need an interface or another's `/run` have one of their own.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::model::ids::{CheckId, Family, RunId};
use mainstay::model::seen::Verdict;
use mainstay::model::settings::{Place, Probe};
use mainstay::scripts::checks::Done;
use mainstay::scripts::probe::Probes;
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Whatever ends by itself does so within this time.
const SOON: Duration = Duration::from_secs(20);

/// Runs a probe to its end.
async fn run(probe: &Probe) -> Done {
    let mut probes = Probes::default();
    probes.start(CheckId(3), RunId(7), probe, SOON);
    let done = timeout(SOON, probes.next()).await;
    let done = done.unwrap_or_else(|_| panic!("{probe:?} does not end"));
    assert_eq!((done.check, done.run), (CheckId(3), RunId(7)));
    assert_eq!(probes.running(), 0);
    done
}

async fn passes(probe: &Probe) {
    let done = run(probe).await;
    assert_eq!(done.verdict, Verdict::Pass, "{probe:?}: {}", done.stderr);
}

/// Runs a probe again and again until it ends so.
async fn soon(probe: &Probe, verdict: Verdict) {
    let begun = Instant::now();
    loop {
        let done = run(probe).await;
        if done.verdict == verdict {
            return;
        }
        assert!(begun.elapsed() < SOON, "{probe:?}: {done:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is said when it fails.
async fn fails(probe: &Probe) -> String {
    let done = run(probe).await;
    assert_eq!(done.verdict, Verdict::Fail(1), "{probe:?}: {}", done.stderr);
    done.stderr.to_string()
}

fn tcp(to: &[SocketAddr]) -> Probe {
    Probe::Tcp {
        to: Place::Addresses(to.to_vec()),
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    (listener, at)
}

/// A port on which nobody listens.
fn free() -> SocketAddr {
    listener().1
}

#[tokio::test]
async fn a_port_is_open_or_not() {
    let (_open, at) = listener();
    passes(&tcp(&[at])).await;
    let closed = free();
    let said = fails(&tcp(&[closed])).await;
    assert!(said.contains("refused"), "{said}");
    assert!(said.contains(&closed.to_string()), "{said}");
    passes(&tcp(&[closed, at])).await;
    let said = fails(&tcp(&[closed, free()])).await;
    assert_eq!(said.matches("refused").count(), 2, "{said}");
}

#[tokio::test]
async fn a_run_that_is_stopped_has_timed_out() {
    // It takes connections, as the kernel does for it, and says nothing.
    let (_mute, at) = listener();
    let mut probes = Probes::default();
    probes.start(CheckId(1), RunId(1), &http(at, "/"), SOON);
    probes.start(CheckId(2), RunId(2), &tcp(&[at]), SOON);
    assert_eq!(probes.running(), 2);
    let done = timeout(SOON, probes.next()).await.expect("it ends");
    assert_eq!((done.run, done.verdict), (RunId(2), Verdict::Pass));
    let waited = timeout(Duration::from_millis(300), probes.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert!(!probes.stop(RunId(2)), "that one ended");
    assert!(probes.stop(RunId(1)));
    let done = timeout(SOON, probes.next()).await.expect("it ends");
    assert_eq!((done.run, done.verdict), (RunId(1), Verdict::TimedOut));
    assert!(!probes.stop(RunId(1)));
}

#[tokio::test]
async fn a_run_gives_up_before_the_next_one_is_due() {
    let (_mute, at) = listener();
    let mut probes = Probes::default();
    let limit = Duration::from_millis(500);
    let begun = Instant::now();
    probes.start(CheckId(1), RunId(1), &http(at, "/"), limit);
    let done = timeout(SOON, probes.next()).await.expect("it ends");
    assert_eq!(done.verdict, Verdict::TimedOut);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(485), "{took:?} is too soon");
}

fn http(at: SocketAddr, path: &str) -> Probe {
    Probe::Http {
        to: Place::Addresses(vec![at]),
        host: at.to_string().into(),
        path: path.into(),
        tls: None,
    }
}

/// Serves one connection: what it was asked.
fn serve(
    answer: impl FnOnce(&mut TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<String>) {
    let (listener, at) = listener();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            asked.push(byte[0]);
        }
        answer(&mut stream);
        String::from_utf8(asked).expect("text")
    });
    (at, asked)
}

fn answered(text: &'static str) -> SocketAddr {
    serve(move |stream| {
        let _ = stream.write_all(text.as_bytes());
    })
    .0
}

#[tokio::test]
async fn a_server_is_asked_as_http_wants_it() {
    let (at, asked) = serve(|stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
            .expect("written")
    });
    passes(&http(at, "/health?all=1")).await;
    let asked = asked.join().expect("the server");
    assert!(
        asked.starts_with("GET /health?all=1 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains(&format!("\r\nHost: {at}\r\n")), "{asked}");
    assert!(asked.contains("\r\nConnection: close\r\n"), "{asked}");
}

#[tokio::test]
async fn a_status_from_200_to_399_passes() {
    for (text, good) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.0 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 399 X\r\n\r\n", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", false),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
        ("HTTP/1.1 100 Continue\r\n\r\n", false),
        ("SSH-2.0-OpenSSH_9.2\r\n", false),
        ("", false),
    ] {
        let probe = http(answered(text), "/");
        if good {
            passes(&probe).await;
        } else {
            let said = fails(&probe).await;
            assert!(said.contains("http://127.0.0.1:"), "{said}");
        }
    }
    let said = fails(&http(answered("HTTP/1.1 503 Busy\r\n\r\n"), "/")).await;
    assert!(said.contains("status 503"), "{said}");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let (at, server) = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n");
        let line = [b"X: ", [b'x'; 500].as_slice(), b"\r\n"].concat();
        while stream.write_all(&line).is_ok() {}
    });
    let said = fails(&http(at, "/")).await;
    assert!(said.contains("16384 bytes"), "{said}");
    server.join().expect("it notices that nobody reads");
}

#[tokio::test]
async fn a_unix_socket_has_a_listener_or_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("socket");
    let probe = |path: &str| Probe::Unix { path: path.into() };
    let at = path.to_str().expect("a path of ours");
    assert!(fails(&probe(at)).await.contains("No such file"));
    let stream = UnixListener::bind(&path).expect("bound");
    passes(&probe(at)).await;
    drop(stream);
    assert!(fails(&probe(at)).await.contains("refused"));
    fs::remove_file(&path).expect("removed");
    let datagram = UnixDatagram::bind(&path).expect("bound");
    passes(&probe(at)).await;
    drop(datagram);
    let name = format!("mainstay-test-{}", std::process::id());
    assert!(fails(&probe(&format!("@{name}"))).await.contains("refused"));
    use std::os::linux::net::SocketAddrExt;
    let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _nameless = UnixListener::bind_addr(&addr).expect("bound");
    passes(&probe(&format!("@{name}"))).await;
}

#[tokio::test]
async fn a_file_was_written_lately_or_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("beat");
    let probe = Probe::FileAge {
        path: path.to_str().expect("a path of ours").into(),
        most: Duration::from_secs(30),
    };
    assert!(fails(&probe).await.contains("No such file"));
    let file = File::create(&path).expect("created");
    passes(&probe).await;
    let old = std::time::SystemTime::now() - Duration::from_secs(31);
    file.set_modified(old).expect("set");
    let said = fails(&probe).await;
    assert!(said.contains("written 31 s ago, more than 30 s"), "{said}");
}

// ---- in a network of its own ---------------------------------------------------------------------

/// Runs a test with namespaces of its own, if that is possible.
fn apart<F: Future<Output = ()>>(flags: CloneFlags, test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: namespaces need root");
        return;
    }
    thread::spawn(move || {
        unshare(flags).expect("namespaces");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test());
    })
    .join()
    .expect("the test's thread");
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.expect("ip(8) runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {line}: {said}");
}

fn ip_batch(family: &str, lines: &str) {
    let mut batch = Command::new("ip")
        .args([family, "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("ip(8) runs");
    let mut input = batch.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).expect("written");
    drop(input);
    assert!(batch.wait().expect("it ends").success());
}

/// A namespace at the other end of a link, with a process that holds it.
struct Other {
    holder: Child,
}

impl Other {
    fn new(link: &str, addrs: &[&str]) -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) runs");
        let mut ready = [0; 6];
        holder
            .stdout
            .as_mut()
            .expect("piped")
            .read_exact(&mut ready)
            .expect("it is ready");
        ip(&format!("link set {link} netns {}", holder.id()));
        let other = Self { holder };
        for addr in addrs {
            let nodad = if addr.contains(':') { " nodad" } else { "" };
            other.ip(&format!("addr add {addr} dev {link}{nodad}"));
        }
        other.ip(&format!("link set {link} up"));
        other
    }

    fn ip(&self, line: &str) {
        let status = Command::new("nsenter")
            .args(["-t", &self.holder.id().to_string(), "-n", "ip"])
            .args(line.split(' '))
            .status();
        assert!(status.expect("nsenter(1) runs").success(), "ip {line}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn route(family: Family, interface: Option<&str>) -> Probe {
    Probe::DefaultRoute {
        family,
        interface: interface.map(Into::into),
    }
}

#[test]
fn a_default_route_leads_somewhere_or_not() {
    apart(CloneFlags::CLONE_NEWNET, || async {
        let (v4, v6) = (Family::V4, Family::V6);
        fails(&route(v4, None)).await;
        fails(&route(v6, None)).await;
        ip("link set lo up");
        ip("link add up0 type veth peer name up1");
        ip("link set up0 up");
        ip("link set up1 up");
        ip("link add no0 type veth peer name no1");
        ip("link set no0 up");
        ip("addr add 10.9.0.1/24 dev up0");
        ip("addr add 10.8.0.1/24 dev no0");
        ip("addr add fd09::1/64 dev up0 nodad");
        ip("route add 0.0.0.0/8 via 10.9.0.2");
        ip("-6 route add ::/96 via fd09::2");
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            ip(&format!("route add {half} via 10.9.0.2"));
        }
        let said = fails(&route(v4, None)).await;
        assert_eq!(said, "no IPv4 default route can be used");
        fails(&route(v6, None)).await;
        for (family, gateway) in [("-4", "10.9.0.2"), ("-6", "fd09::2")] {
            ip(&format!(
                "{family} route add default via {gateway} table 77"
            ));
        }
        fails(&route(v4, None)).await;
        fails(&route(v6, None)).await;
        ip("route add default via 10.9.0.2");
        ip("-6 route add default via fd09::2");
        for family in [v4, v6] {
            passes(&route(family, None)).await;
            passes(&route(family, Some("up0"))).await;
            fails(&route(family, Some("no0"))).await;
            let said = fails(&route(family, Some("none"))).await;
            assert_eq!(said, "there is no interface none");
        }
        ip("-6 route del ::/96 via fd09::2");
        passes(&route(v6, None)).await;
        // The kernel takes its time with the carrier.
        ip("link set up1 down");
        soon(&route(v4, None), Verdict::Fail(1)).await;
        soon(&route(v6, None), Verdict::Fail(1)).await;
        ip("link set up1 up");
        soon(&route(v4, None), Verdict::Pass).await;
        ip("route replace blackhole default");
        fails(&route(v4, None)).await;
        ip("route del default");
        ip("route add default nexthop via 10.8.0.2 dev no0 onlink nexthop via 10.9.0.2 dev up0");
        passes(&route(v4, None)).await;
        passes(&route(v4, Some("up0"))).await;
        fails(&route(v4, Some("no0"))).await;
    });
}

#[test]
fn a_large_table_does_not_hide_its_default_route() {
    apart(CloneFlags::CLONE_NEWNET, || async {
        ip("link add up0 type veth peer name up1");
        ip("link set up0 up");
        ip("link set up1 up");
        ip("addr add 10.9.0.1/24 dev up0");
        ip("addr add fd09::1/64 dev up0 nodad");
        let (mut v4, mut v6) = (String::new(), "route add ::/96 via fd09::2\n".to_owned());
        for n in 0..3000 {
            let (high, low) = (n / 256, n % 256);
            v4 += &format!("route add 20.{high}.{low}.0/24 via 10.9.0.2\n");
            v6 += &format!("route add fd20:{n:x}::/32 via fd09::2\n");
        }
        ip_batch("-4", &v4);
        ip_batch("-6", &v6);
        for family in [Family::V4, Family::V6] {
            fails(&route(family, None)).await;
        }
        ip("route add default via 10.9.0.2");
        ip("-6 route add default via fd09::2");
        for family in [Family::V4, Family::V6] {
            passes(&route(family, None)).await;
        }
    });
}

fn gateway(addr: &str, interface: Option<&str>) -> Probe {
    Probe::Gateway {
        addr: addr.parse::<IpAddr>().expect("an address"),
        interface: interface.map(Into::into),
    }
}

#[test]
fn a_neighbour_answers_or_not() {
    apart(CloneFlags::CLONE_NEWNET, || async {
        ip("link add v0 type veth peer name v1");
        ip("addr add 10.9.0.1/24 dev v0");
        ip("addr add fd09::1/64 dev v0 nodad");
        ip("link set v0 up");
        let other = Other::new("v1", &["10.9.0.2/24", "fd09::2/64"]);
        let addrs = ["10.9.0.2", "fd09::2"];
        for addr in addrs {
            // First it is unknown, and perhaps not ready; then it is known.
            soon(&gateway(addr, None), Verdict::Pass).await;
            for _ in 0..3 {
                let begun = Instant::now();
                passes(&gateway(addr, None)).await;
                let took = begun.elapsed();
                assert!(took < Duration::from_millis(900), "{addr}: {took:?}");
                passes(&gateway(addr, Some("v0"))).await;
            }
        }
        // It goes, while the kernel still believes in it.
        other.ip("link set v1 down");
        other.ip("link set v1 up");
        for addr in addrs {
            other.ip(&format!("addr flush dev v1 to {addr}"));
            let said = fails(&gateway(addr, None)).await;
            assert_eq!(said, format!("{addr} does not answer"));
            let said = fails(&gateway(addr, None)).await;
            assert_eq!(said, format!("{addr} does not answer"), "asked anew");
        }
        other.ip("addr add 10.9.0.2/24 dev v1");
        passes(&gateway("10.9.0.2", None)).await;
        let said = fails(&gateway("192.0.2.1", None)).await;
        assert!(said.contains("unreachable"), "{said}");
        ip("route add default via 10.9.0.2");
        let said = fails(&gateway("192.0.2.1", None)).await;
        assert_eq!(said, "192.0.2.1 is not on a link of this machine");
        ip("neigh replace 10.9.0.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent");
        let said = fails(&gateway("10.9.0.9", None)).await;
        assert!(said.contains("its entry is fixed"), "{said}");
    });
}

// ---- units ---------------------------------------------------------------------------------------

fn unit(name: &str) -> Probe {
    Probe::Systemd { unit: name.into() }
}

fn sh(script: &str) -> std::process::Output {
    let output = Command::new("sh").args(["-ec", script]).output();
    output.expect("sh(1) runs")
}

/// A systemd that is the first process of namespaces of its own, with two units.
struct Manager {
    child: Child,
    cgroup: String,
}

const BOOT: &str = r#"
mount --make-rprivate /
mount -t tmpfs run /run
mkdir -p /run/systemd/system
cd /run/systemd/system
printf '[Unit]\nDefaultDependencies=no\nWants=good@1.service bad.service\n' > probes.target
printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 1000\n' > good@.service
printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/false\n' > bad.service
umount -R /sys/fs/cgroup || true
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -o remount,bind,ro /
export container=lxc
exec /lib/systemd/systemd --system --unit=probes.target --log-target=console
"#;

impl Manager {
    /// `None` where a systemd cannot be started for a test.
    fn start() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let cgroup = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
            (kind == "cgroup2").then_some(path)
        })?;
        if !fs::exists("/lib/systemd/systemd").ok()? {
            return None;
        }
        let own = format!("{cgroup}/mainstay-test-{}", std::process::id());
        fs::create_dir(&own).ok()?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(
                "echo $$ > \"$1\"/cgroup.procs && exec unshare --mount --pid --fork --kill-child \
                 --cgroup --uts --net --ipc --mount-proc sh -ec \"$2\"",
            )
            .args(["sh", &own, BOOT])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, cgroup: own })
    }

    /// Its first process, when it answers.
    fn first(&self) -> Option<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let first = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        fs::exists(format!("/proc/{first}/root/run/systemd/private"))
            .ok()?
            .then_some(first)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Folders can be removed when the last of its processes is gone.
        for _ in 0..50 {
            let _ = Command::new("find")
                .args([&*self.cgroup, "-depth", "-type", "d", "-delete"])
                .stderr(Stdio::null())
                .status();
            if !fs::exists(&self.cgroup).unwrap_or(false) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Set where the test runs again among the processes of the systemd that it started: another's
/// are not answered.
const INSIDE: &str = "MAINSTAY_TEST_INSIDE";

#[test]
fn a_unit_is_active_or_not() {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(units());
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: namespaces need root");
        return;
    }
    let Some(manager) = Manager::start() else {
        eprintln!("SKIPPED: no systemd, or no cgroup2, to start one for the test");
        return;
    };
    let begun = Instant::now();
    let first = loop {
        if let Some(first) = manager.first() {
            break first;
        }
        if begun.elapsed() > SOON {
            eprintln!("SKIPPED: systemd does not start in namespaces here");
            return;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let output = Command::new("nsenter")
        .args(["-t", &first.to_string(), "--mount", "--pid"])
        .arg(std::env::current_exe().expect("our own path"))
        .args(["--exact", "a_unit_is_active_or_not", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("nsenter(1) runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

async fn units() {
    soon(&unit("good@1.service"), Verdict::Pass).await;
    soon(&unit("probes.target"), Verdict::Pass).await;
    let begun = Instant::now();
    while fails(&unit("bad.service")).await != "bad.service is failed" {
        assert!(begun.elapsed() < SOON, "it ends at once, and with an error");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = fails(&unit("3none-x.service")).await;
    assert_eq!(said, "3none-x.service is inactive");
    // Others say the same.
    let output = Command::new("systemctl")
        .args([
            "is-active",
            "good@1.service",
            "bad.service",
            "3none-x.service",
        ])
        .output()
        .expect("systemctl(1) runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "active\nfailed\ninactive\n"
    );
}

const BUS: &str = r#"
mount --make-rprivate /
mount -t tmpfs run /run
mkdir -p /run/dbus
cat > /run/bus.conf <<X
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
X
"#;

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn where_systemd_does_not_listen_it_is_asked_over_the_bus() {
    apart(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS, || async {
        assert!(sh(BUS).status.success(), "a /run of our own");
        let said = fails(&unit("x.service")).await;
        assert!(
            said.contains("systemd cannot be asked: No such file"),
            "{said}"
        );
        let bus = Command::new("dbus-daemon")
            .args(["--config-file=/run/bus.conf", "--nofork"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(bus) = bus else {
            eprintln!("SKIPPED: no dbus-daemon");
            return;
        };
        let _bus = Ended(bus);
        let begun = Instant::now();
        while begun.elapsed() < SOON && !fs::exists("/run/dbus/system_bus_socket").unwrap_or(false)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        // It took our greeting and our question, and knows nobody to pass it on to.
        let said = fails(&unit("x.service")).await;
        assert!(said.contains("ServiceUnknown"), "{said}");
    });
}
