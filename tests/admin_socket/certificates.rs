//! Certificates exchanged while they are in use: the transcript beside haproxy's, and under load.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::certificates::{authority, leaf, rsa_leaf};
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{LIMIT, PORT, Rig, compare_answers};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn transcript() {
    let dir = tempfile::TempDir::new().unwrap();
    let at = dir.path();
    authority(at, "ca");
    for name in ["good", "second", "third"] {
        leaf(at, "ca", name, &[&format!("{name}.example"), &format!("*.{name}.example")]);
    }
    rsa_leaf(at, "ca", "rsa", &["rsa.example"]);
    let chained = read(at, "second.crt") + &read(at, "ca.pem") + &read(at, "second.key");
    let path = |name: &str| at.join(name).display().to_string();
    std::fs::write(
        at.join("list"),
        format!("{} [ssl-min-ver TLSv1.2] good.example\n# none\n{}\n", path("good.pem"), path("rsa.pem")),
    )
    .unwrap();
    let key = |n: char| n.to_string().repeat(64);
    std::fs::write(at.join("keys"), ['A', 'B', 'C', 'D'].map(|n| key(n) + "\n").concat()).unwrap();
    std::fs::write(at.join("longer"), format!("{}=\n", "E".repeat(106) + "A").repeat(3)).unwrap();
    let sections = format!(
        "frontend f\n    bind ADDR:{PORT} ssl crt {} crt {}\n    http-request return status 200\n\
         frontend g\n    bind ADDR:8443 ssl crt-list {} strict-sni\n    http-request return status 200\n\
         frontend h\n    bind ADDR:8444 ssl crt {} tls-ticket-keys {}\n    bind ADDR:8445 ssl crt {} tls-ticket-keys {}\n    http-request return status 200\n\
         backend b\n    server s1 ADDR:{PORT} ssl verify required ca-file {} crt {}\n    server s2 ADDR:{PORT}\n",
        path("good.pem"),
        path("rsa.pem"),
        path("list"),
        path("good.pem"),
        path("keys"),
        path("good.pem"),
        path("longer"),
        path("ca.pem"),
        path("third.pem"),
    );
    let (good, list) = (path("good.pem"), path("list"));
    let set = |name: &str, contents: &str| format!("set ssl cert {name} <<\n{}\n", contents.trim_end());
    let (new, rsa) = (path("new.pem"), path("rsa.pem"));
    let lines = [
        "show ssl cert".to_owned(),
        format!("show ssl cert {good}"),
        format!("show ssl cert {rsa}"),
        format!("show ssl cert {}", path("third.pem")),
        "show ssl cert nope.pem".to_owned(),
        "set ssl cert".to_owned(),
        format!("set ssl cert {good}"),
        set(&good, &chained),
        "show ssl cert".to_owned(),
        format!("show ssl cert *{good}"),
        format!("show ssl cert *{rsa}"),
        format!("show ssl cert {good}"),
        format!("abort ssl cert {rsa}"),
        format!("commit ssl cert {rsa}"),
        format!("del ssl cert {good}"),
        format!("abort ssl cert {good}"),
        format!("abort ssl cert {good}"),
        "abort ssl cert".to_owned(),
        format!("commit ssl cert {good}"),
        "commit ssl cert".to_owned(),
        set(&good, &chained),
        format!("commit ssl cert {good}"),
        format!("show ssl cert {good}"),
        format!("commit ssl cert {good}"),
        set("nope.pem", &chained),
        set(&good, "garbage"),
        set(&good, &(read(at, "good.crt") + &read(at, "rsa.key"))),
        set(&good, &read(at, "good.crt")),
        format!("commit ssl cert {good}"),
        set(&format!("{good}.key"), &read(at, "good.key")),
        format!("commit ssl cert {good}"),
        format!("show ssl cert {good}"),
        format!("new ssl cert {new}"),
        format!("new ssl cert {new}"),
        format!("new ssl cert {good}"),
        "new ssl cert".to_owned(),
        format!("show ssl cert {new}"),
        format!("add ssl crt-list {list} {new}"),
        set(&new, &read(at, "third.pem")),
        "show ssl cert".to_owned(),
        format!("commit ssl cert {new}"),
        format!("show ssl cert {new}"),
        "show ssl crt-list".to_owned(),
        format!("show ssl crt-list {list}"),
        format!("show ssl crt-list -n {list}"),
        "show ssl crt-list nope".to_owned(),
        format!("add ssl crt-list {list} nope.pem"),
        format!("add ssl crt-list nope {new}"),
        "add ssl crt-list".to_owned(),
        format!("add ssl crt-list {list} {new}"),
        format!("show ssl crt-list {list}"),
        format!("show ssl cert {new}"),
        format!("del ssl cert {new}"),
        format!("del ssl crt-list {list} nope.pem"),
        format!("del ssl crt-list nope {new}"),
        format!("del ssl crt-list {list}"),
        format!("del ssl crt-list {list} {new}"),
        format!("show ssl crt-list -n {list}"),
        format!("add ssl crt-list {list} <<\n{new} x.example !y.example\n"),
        format!("show ssl crt-list {list}"),
        format!("del ssl crt-list {list} {new}"),
        format!("del ssl crt-list {list} {rsa}:3"),
        format!("show ssl crt-list -n {list}"),
        format!("del ssl cert {new}"),
        format!("del ssl cert {new}"),
        format!("del ssl cert {good}"),
        format!("del ssl cert {}", path("third.pem")),
        "del ssl cert".to_owned(),
        "show ssl cert".to_owned(),
        "show tls-keys".to_owned(),
        "show tls-keys *".to_owned(),
        "show tls-keys #1".to_owned(),
        "show tls-keys 1".to_owned(),
        "show tls-keys nope".to_owned(),
        "set ssl tls-key".to_owned(),
        "set ssl tls-key nope".to_owned(),
        format!("set ssl tls-key nope {}", key('F')),
        "set ssl tls-key #1 garbage!".to_owned(),
        format!("set ssl tls-key #0 {}", key('F')),
        format!("set ssl tls-key #1 {}", key('F')),
        format!("set ssl tls-key {} {}", path("keys"), key('G')),
        format!("set ssl tls-key {} <<\n{}\n", path("keys"), key('H')),
        format!("show tls-keys {}", path("keys")),
        "set server b/s1 ssl off".to_owned(),
        "set server b/s1 ssl on".to_owned(),
        "set server b/s2 ssl on".to_owned(),
        "set server b/s1 ssl".to_owned(),
        "set server b/s1 ssl maybe".to_owned(),
    ];
    compare_answers("", &sections, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A directory is a list: what deploy hooks of ACME clients send to add a certificate to it.
#[test]
fn transcript_of_a_directory() {
    let dir = tempfile::TempDir::new().unwrap();
    let at = dir.path();
    authority(at, "ca");
    leaf(at, "ca", "one", &["one.example"]);
    leaf(at, "ca", "two", &["two.example"]);
    let shown = at.join("shown");
    std::fs::create_dir(&shown).unwrap();
    std::fs::copy(at.join("one.pem"), shown.join("one.pem")).unwrap();
    let directory = shown.display().to_string();
    let sections = format!(
        "frontend f\n    bind ADDR:{PORT} ssl crt {directory}/\n    http-request return status 200\n"
    );
    let (old, new) = (format!("{directory}/one.pem"), format!("{directory}/two.pem"));
    let outside = at.join("one.pem").display().to_string();
    let lines = [
        "show ssl cert".to_owned(),
        "show ssl crt-list".to_owned(),
        format!("show ssl crt-list {directory}"),
        format!("show ssl crt-list -n {directory}/"),
        format!("add ssl crt-list {directory} {new}"),
        format!("new ssl cert {new}"),
        format!("set ssl cert {new} <<\n{}\n", read(at, "two.pem").trim_end()),
        format!("commit ssl cert {new}"),
        format!("add ssl crt-list {directory} <<\n{new} [alpn h2]\n"),
        format!("add ssl crt-list {directory} <<\n{new} x.example\n"),
        format!("add ssl crt-list {directory}/ {new}"),
        format!("add ssl crt-list {directory} {new}"),
        format!("add ssl crt-list {directory} {outside}"),
        format!("show ssl crt-list -n {directory}"),
        format!("show ssl cert {new}"),
        format!("set ssl cert {old} <<\n{}\n", read(at, "two.pem").trim_end()),
        format!("commit ssl cert {old}"),
        format!("del ssl crt-list {directory}/ {new}"),
        format!("del ssl cert {new}"),
        format!("show ssl crt-list {directory}"),
        "show ssl cert".to_owned(),
    ];
    compare_answers("", &sections, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The certificate that a new handshake gets, if it gets one.
fn handshake(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<CertificateDer<'static>, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut socket = TcpStream::connect(address).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).map_err(text)?;
    let name = ServerName::try_from("same.example").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).map_err(text)?;
    }
    let shown = tls.peer_certificates().and_then(|chain| chain.first()).cloned();
    shown.map(CertificateDer::into_owned).ok_or_else(|| "no certificate".to_owned())
}

/// 50 exchanges while handshakes go on: none fails, each sees the old or the new one, the last one stays.
#[test]
fn rotation_under_load() {
    const EXCHANGES: usize = 50;
    let dir = tempfile::TempDir::new().unwrap();
    let at = dir.path();
    authority(at, "ca");
    leaf(at, "ca", "one", &["same.example"]);
    leaf(at, "ca", "two", &["same.example"]);
    std::fs::copy(at.join("one.pem"), at.join("shown.pem")).unwrap();
    let shown = at.join("shown.pem").display().to_string();
    let address: Ipv4Addr = own_address();
    let sections =
        format!("frontend f\n    bind ADDR:{PORT} ssl crt {shown}\n    http-request return status 200\n");
    let rig = Rig::start(Program::Weir, "", &sections, address);
    let der = |name: &str| CertificateDer::from_pem_file(at.join(name)).unwrap();
    let known = [der("one.crt"), der("two.crt")];
    let mut roots = RootCertStore::empty();
    roots.add(der("ca.pem")).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let front = SocketAddr::new(address.into(), PORT);
    let (done, seen) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let shown = handshake(front, &config)?;
                        let which = known.iter().position(|k| *k == shown).ok_or("an unknown certificate")?;
                        seen[which].fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), String>(())
                })
            })
            .collect();
        for exchange in 0..EXCHANGES {
            let next = if exchange % 2 == 0 { "two.pem" } else { "one.pem" };
            let answer = rig.ask(&format!("set ssl cert {shown} <<\n{}\n", read(at, next).trim_end()));
            assert!(answer.contains("Transaction created"), "{answer}");
            let before = seen.iter().map(|n| n.load(Ordering::Relaxed)).sum::<usize>();
            let answer = rig.ask(&format!("commit ssl cert {shown}"));
            assert!(answer.contains("Success!"), "{answer}");
            assert_eq!(handshake(front, &config).unwrap(), known[(exchange + 1) % 2], "what comes after it");
            // Some handshakes are to fall between any two exchanges.
            while seen.iter().map(|n| n.load(Ordering::Relaxed)).sum::<usize>() == before
                && clients.iter().any(|c| !c.is_finished())
            {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap().unwrap();
        }
    });
    let [one, two] = seen.map(AtomicUsize::into_inner);
    println!("{one} handshakes saw one certificate, {two} the other");
    assert!(one > 0 && two > 0);
}

/// `show info` counts TLS connections, and their rate can be bounded; haproxy does the same.
#[test]
fn connections_are_counted_and_bounded() {
    let dir = tempfile::TempDir::new().unwrap();
    let at = dir.path();
    authority(at, "ca");
    leaf(at, "ca", "one", &["same.example"]);
    let shown = at.join("one.pem").display().to_string();
    let sections =
        format!("frontend f\n    bind ADDR:{PORT} ssl crt {shown}\n    http-request return status 200\n");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at.join("ca.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    for program in [Program::HaProxy, Program::Weir] {
        let address = own_address();
        let rig = Rig::start(program, "", &sections, address);
        let figure = |name: &str| -> u64 {
            let info = rig.ask("show info");
            let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
        };
        let front = SocketAddr::new(address.into(), PORT);
        handshake(front, &config).unwrap();
        handshake(front, &config).unwrap();
        let started = Instant::now();
        while figure("CurrSslConns") > 0 {
            assert!(started.elapsed() < LIMIT, "{program:?}: connections stay");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((figure("CumSslConns"), figure("SslRateLimit")), (2, 0), "{program:?}");
        assert!(figure("MaxSslRate") > 0 && figure("SslFrontendMaxKeyRate") > 0, "{program:?}");
        assert_eq!(rig.ask("set rate-limit ssl-sessions global 1"), "\n");
        assert_eq!(figure("SslRateLimit"), 1, "{program:?}");
        // Whatever the second that runs has seen: of two more one has to wait for the next.
        let bounded = Instant::now();
        for _ in 0..2 {
            handshake(front, &config).unwrap();
        }
        assert!(bounded.elapsed() >= Duration::from_millis(900), "{program:?}: {:?}", bounded.elapsed());
    }
}
