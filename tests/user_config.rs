//! A configuration from production, unchanged but for addresses, chroot and user, under real traffic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use harness::client::Client;
use harness::origin::Origin;
use harness::process::{Program, Proxy};
use harness::syslog::Syslog;

struct Site {
    proxy: Proxy,
    fixed: Origin,
    first: Origin,
    second: Origin,
    log: Syslog,
    front: SocketAddr,
}

/// The stats listener's page is a later piece of work: its lines stay when weir takes them.
fn configuration(address: &str, dir: &Path) -> String {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/user/haproxy.cfg")).unwrap();
    let replace = [
        ("log 127.0.0.1 local2 info", "log ADDR:5140 local2 info"),
        ("log 127.0.0.1 local0 err", "log ADDR:5140 local0 err"),
        ("chroot /var/lib/haproxy\n", ""),
        ("/var/run/haproxy.pid", "haproxy.pid"),
        ("user haproxy ", "#user haproxy "),
        ("group haproxy\n", ""),
        ("/var/lib/haproxy/stats", "DIR/stats.sock"),
        ("bind *:80 ", "bind ADDR:8080 "),
        ("0.0.0.0:9188", "ADDR:9188"),
        ("127.0.0.1:4331", "ADDR:4331"),
        ("192.168.31.66:80", "ADDR:8001"),
        ("192.168.31.55:80", "ADDR:8002"),
    ];
    let text = replace.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} is in the file");
        text.replace(from, to)
    });
    text.replace("ADDR", address).replace("DIR", &dir.to_string_lossy())
}

fn site() -> Site {
    let address = harness::own_address();
    let at = |port| SocketAddr::new(address.into(), port);
    let origin = |port, name: &'static str| Origin::start(at(port), &[name]);
    let log = Syslog::start(at(5140));
    let fixed = origin(4331, "HTTP/1.1 200 OK\r\nX-From: static\r\nContent-Length: 0\r\n\r\n");
    let first = origin(8001, "HTTP/1.1 200 OK\r\nX-From: web1\r\nContent-Length: 0\r\n\r\n");
    let second = origin(8002, "HTTP/1.1 200 OK\r\nX-From: web2\r\nContent-Length: 0\r\n\r\n");
    let dir = tempfile::TempDir::new().unwrap();
    // -db: in the foreground, whatever `daemon` says.
    let text = configuration(&address.to_string(), dir.path());
    let proxy = Proxy::start_in(Program::Weir, dir, &text, &["-db"], address, &[8080, 9188]);
    Site {
        proxy: proxy.unwrap_or_else(|error| panic!("{error}")),
        fixed,
        first,
        second,
        log,
        front: at(8080),
    }
}

fn ask(site: &Site, path: &str, headers: &str) -> String {
    let mut client = Client::connect(site.front);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes());
    String::from_utf8_lossy(&client.response(false)).into_owned()
}

#[test]
fn it_is_accepted_as_it_stands() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/user/haproxy.cfg");
    let output = Program::Weir.run(&["-c", "-f", path]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || !text.contains("parsing ["), "{text}");
}

#[test]
fn traffic() {
    let site = site();
    for path in ["/static/x", "/IMAGES/a", "/a/b.JPG", "/x.css", "/y.js?v=1"] {
        assert!(ask(&site, path, "").contains("x-from: static"), "{path}");
    }
    let turns: Vec<bool> = (0..4).map(|_| ask(&site, "/app", "").contains("x-from: web1")).collect();
    assert_eq!(turns.iter().filter(|web1| **web1).count(), 2, "equal weights take turns: {turns:?}");
    for _ in 0..3 {
        assert!(ask(&site, "/app", "Cookie: SERVERID=server2\r\n").contains("x-from: web2"));
        assert!(ask(&site, "/app", "Cookie: a=b; SERVERID=server1\r\n").contains("x-from: web1"));
    }
    // The client is in 127.0.0.0/8, which forwardfor leaves out; http-server-close asks the servers to close.
    let seen = site.first.seen().into_iter().chain(site.second.seen()).chain(site.fixed.seen());
    let requests: Vec<String> = seen.filter(|request| !request.starts_with("Get /index.php")).collect();
    assert!(requests.iter().all(|request| !request.contains("x-forwarded-for")), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("connection: close")), "{requests:?}");
    let line = site.log.wait_for("\"GET /app HTTP/1.1\"", Duration::from_secs(3)).expect("a log line");
    assert!(line.starts_with("<150>"), "local2.info: {line}");
    assert!(line.contains(" main web/web"), "{line}");
}

#[test]
fn servers_are_checked_as_configured() {
    let site = site();
    let started = std::time::Instant::now();
    let checked = |origin: &Origin| {
        origin.seen().iter().any(|request| request.starts_with("Get /index.php HTTP/1.0\r\n"))
    };
    while !(checked(&site.first) && checked(&site.second)) {
        assert!(started.elapsed() < Duration::from_secs(8), "checks seen: {:?}", site.first.seen());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(site.proxy);
}
