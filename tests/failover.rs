//! One of two backends is killed with SIGKILL under load: no client request fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::process::{Program, Proxy};

const CLIENTS: usize = 20;
const RATE: usize = 2000;
const RUN: Duration = Duration::from_secs(4);
const KILL_AFTER: Duration = Duration::from_millis(1500);

/// nginx answering from its configuration alone: a process of its own, which can be killed.
struct Nginx {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    fn start(address: Ipv4Addr, port: u16) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let root = dir.path().display();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/error;\nevents {{ worker_connections 512; }}\n\
             http {{ access_log off; keepalive_requests 100000; server {{ listen {address}:{port}; return 200 \"ok\"; }} }}\n"
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &root.to_string(), "-e", "error", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (Debian package nginx-light) starts");
        let started = Instant::now();
        while !harness::listens(address.into(), port) {
            assert!(started.elapsed() < Duration::from_secs(10), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, _dir: dir }
    }

    /// SIGKILL, as a crash or the OOM killer would.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_killed_backend_costs_no_request() {
    let address = harness::own_address();
    let mut first = Nginx::start(address, 9001);
    let _second = Nginx::start(address, 9002);
    let config = format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n    option redispatch\n    retries 3\n    \
         retry-on conn-failure empty-response response-timeout\nfrontend f\n    bind {address}:8080\n    default_backend b\n\
         backend b\n    balance roundrobin\n    default-server check inter 200ms fall 1\n    server one {address}:9001\n    server two {address}:9002\n"
    );
    let proxy =
        Proxy::start(Program::Weir, &config, address, &[8080]).unwrap_or_else(|error| panic!("{error}"));
    let front = SocketAddr::new(address.into(), 8080);
    let (good, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| client(front, started, &good, &bad));
        }
        // The moment of the kill is the subject, not a wait for something to happen.
        std::thread::sleep(KILL_AFTER);
        first.kill();
    });
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!("{good} requests answered, {bad} failed, in {:?}", started.elapsed());
    assert_eq!(bad, 0, "failed requests out of {}; proxy said: {}", good + bad, proxy.stderr());
    assert!(good > RATE, "too little load to mean anything: {good}");
}

/// Keep-alive requests at its share of the rate until the run is over.
fn client(front: SocketAddr, started: Instant, good: &AtomicUsize, bad: &AtomicUsize) {
    let pace = Duration::from_secs(1) * u32::try_from(CLIENTS).unwrap() / u32::try_from(RATE).unwrap();
    let mut connection = Client::connect(front);
    let mut next = Instant::now();
    while started.elapsed() < RUN {
        connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = connection.response(false);
        if response.starts_with(b"HTTP/1.1 200") && response.ends_with(b"ok") {
            good.fetch_add(1, Ordering::Relaxed);
        } else {
            bad.fetch_add(1, Ordering::Relaxed);
            connection = Client::connect(front);
        }
        next += pace;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
