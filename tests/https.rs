//! https checks against a server of the test's own, and checks of hosts by name.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

use mainstay::model::ids::{CheckId, RunId};
use mainstay::model::seen::Verdict;
use mainstay::model::settings::{Place, Probe, Tls};
use mainstay::scripts::checks::Done;
use mainstay::scripts::probe::Probes;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SOON: Duration = Duration::from_secs(20);

/// What the inner test is told: where the server is.
const SERVER: &str = "MAINSTAY_TEST_HTTPS";

async fn run(probe: &Probe) -> Done {
    let mut probes = Probes::default();
    probes.start(CheckId(1), RunId(1), probe, SOON);
    let done = timeout(SOON, probes.next()).await;
    done.unwrap_or_else(|_| panic!("{probe:?} does not end"))
}

fn https(at: SocketAddr, host: &str, path: &str, tls: Tls) -> Probe {
    Probe::Http {
        to: Place::Addresses(vec![at]),
        host: host.into(),
        path: path.into(),
        tls: Some(tls),
    }
}

async fn passes(probe: &Probe) {
    let done = run(probe).await;
    assert_eq!(done.verdict, Verdict::Pass, "{probe:?}: {}", done.stderr);
}

async fn fails(probe: &Probe) -> String {
    let done = run(probe).await;
    assert_eq!(done.verdict, Verdict::Fail(1), "{probe:?}: {}", done.stderr);
    done.stderr.to_string()
}

/// A key and a certificate for `localhost` that it signs itself.
fn certificate(dir: &Path) -> bool {
    let subject = format!("/CN={}", dir.file_name().unwrap_or_default().display());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", &subject])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

/// Answers every request with 200, and with 503 what asks for `/bad`.
async fn serve(dir: &Path) -> SocketAddr {
    let cert = CertificateDer::from_pem_file(dir.join("cert.pem")).expect("made");
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).expect("made");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut asked = vec![0; 1024];
                let read = stream.read(&mut asked).await.unwrap_or(0);
                let bad = asked[..read].starts_with(b"GET /bad");
                let answer = if bad { "503 Sorry" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    at
}

#[tokio::test]
async fn an_https_server_is_asked_whatever_its_certificate_if_that_is_wanted() {
    let dir = tempfile::tempdir().expect("a folder");
    if !certificate(dir.path()) {
        eprintln!("SKIPPED an_https_server_is_asked: openssl is not installed");
        return;
    }
    let at = serve(dir.path()).await;
    let host = at.to_string();
    passes(&https(at, &host, "/", Tls::Insecure)).await;
    let said = fails(&https(at, &host, "/bad", Tls::Insecure)).await;
    assert_eq!(said, format!("https://{host}/bad: status 503"));
}

/// The inner half, in a process where something else is trusted.
async fn one_host_is_asked(told: &str) {
    let mut words = told.splitn(3, ' ');
    let at = words.next().and_then(|at| at.parse().ok()).expect("where");
    let host = words.next().expect("which host");
    let says = words.next().unwrap_or_default();
    let probe = https(at, host, "/", Tls::Verified);
    if says.is_empty() {
        passes(&probe).await;
        passes(&probe).await;
    } else {
        let said = fails(&probe).await;
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_be_for_the_host() {
    if let Ok(told) = std::env::var(SERVER) {
        return one_host_is_asked(&told).await;
    }
    let dir = tempfile::tempdir().expect("a folder");
    if !certificate(dir.path()) {
        eprintln!("SKIPPED a_certificate_must_be_trusted: openssl is not installed");
        return;
    }
    let at = serve(dir.path()).await;
    // What the system trusts is read once in a process, so each case has one of its own.
    let other = tempfile::tempdir().expect("a folder");
    assert!(certificate(other.path()), "openssl is there");
    let missing = other.path().join("nothing.pem");
    for (trusts, host, says) in [
        (dir.path().join("cert.pem"), "localhost", ""),
        (
            dir.path().join("cert.pem"),
            "127.0.0.1",
            "not valid for name",
        ),
        (other.path().join("cert.pem"), "localhost", "UnknownIssuer"),
        (missing, "localhost", "this system trusts no authority"),
    ] {
        let exe = std::env::current_exe().expect("ourselves");
        let mut child = Command::new(exe);
        child
            .args([
                "--exact",
                "a_certificate_must_be_trusted_and_be_for_the_host",
                "--nocapture",
            ])
            .env("SSL_CERT_FILE", &trusts)
            .env_remove("SSL_CERT_DIR")
            .env(SERVER, format!("{at} {host} {says}"))
            .stdin(Stdio::null());
        let child = tokio::task::spawn_blocking(move || child.output());
        let out = timeout(SOON, child).await.expect("it ends");
        let out = out.expect("no panic").expect("it runs");
        let text = String::from_utf8_lossy(&out.stdout);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{host} {says}: {text}{errors}");
        assert!(text.contains("1 passed"), "{text}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_fails_and_what_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("its address");
    let host = at.to_string();
    let probe = https(at, &host, "/", Tls::Insecure);
    let mut probes = Probes::default();
    probes.start(CheckId(1), RunId(1), &probe, Duration::from_millis(300));
    let done = timeout(SOON, probes.next()).await.expect("it ends");
    assert_eq!(done.verdict, Verdict::TimedOut);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let said = fails(&probe).await;
    assert!(said.starts_with(&format!("https://{host}/: ")), "{said}");
}

#[tokio::test]
async fn names_are_looked_up_at_each_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let named = |host: &str| Probe::Tcp {
        to: Place::Name {
            host: host.into(),
            port,
        },
    };
    passes(&named("localhost")).await;
    // RFC 6761 §6.4: no such name anywhere, whether a name server answers or none does.
    let said = fails(&named("db.invalid")).await;
    assert!(said.starts_with("db.invalid: "), "{said}");
    assert!(said.contains("name") || said.contains("lookup"), "{said}");
}
