//! Servers go down and up as their checks say, with the lines that Debian's haproxy wrote in the same cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

struct Weir {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Weir {
    fn start(dir: &Path, config: &str) -> Self {
        let file = dir.join("cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let mut process = command.arg("-db").arg("-f").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next lines about servers are these (durations are not compared).
    fn expect(&mut self, expected: &[&str]) {
        for line in expected {
            let got = self.lines.next().expect("weir ended").unwrap();
            let text = got.split_once(") : ").map_or(got.as_str(), |(_, text)| text);
            assert_eq!(without_duration(text), *line, "{got}");
        }
    }
}

fn without_duration(line: &str) -> String {
    let mark = "check duration: ";
    let Some((before, after)) = line.split_once(mark) else { return line.to_owned() };
    format!("{before}{mark}N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Answers every request with the status of the moment.
fn origin(path: &Path, status: Arc<AtomicU16>) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // A check that only connects sends nothing.
            if stream.read(&mut request).unwrap_or(0) > 0 {
                let status = status.load(Ordering::Relaxed);
                let answer =
                    format!("HTTP/1.1 {status} Said so\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
}

fn get(dir: &Path) -> String {
    let limit = Instant::now() + Duration::from_secs(20);
    let mut stream = loop {
        match UnixStream::connect(dir.join("front")) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
    };
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn config(dir: &Path, backend: &str) -> String {
    let dir = dir.display();
    format!(
        "defaults\n mode http\n timeout client 20s\n timeout server 20s\n timeout connect 5s\n timeout check 20s\n\
         frontend f\n bind unix@{dir}/front\n default_backend web\n\
         backend web\n{}\n",
        backend.replace("DIR", &dir.to_string())
    )
}

#[test]
fn a_server_goes_down_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let status = Arc::new(AtomicU16::new(200));
    origin(&dir.path().join("s"), Arc::clone(&status));
    let mut weir = Weir::start(
        dir.path(),
        &config(dir.path(), " option httpchk\n server s unix@DIR/s check inter 20ms rise 2 fall 2"),
    );
    assert_eq!(get(dir.path()), "200");
    status.store(500, Ordering::Relaxed);
    weir.expect(&[
        "Server web/s is DOWN, reason: Layer7 wrong status, code: 500, info: \"Said so\", check duration: Nms. 0 active \
         and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "backend 'web' has no server available!",
    ]);
    assert_eq!(get(dir.path()), "503");
    status.store(200, Ordering::Relaxed);
    weir.expect(&[
        "Server web/s is UP, reason: Layer7 check passed, code: 200, check duration: Nms. 1 active and 0 backup servers \
         online. 0 sessions requeued, 0 total in queue.",
    ]);
    assert_eq!(get(dir.path()), "200");
}

#[test]
fn every_check_is_told_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let status = Arc::new(AtomicU16::new(200));
    origin(&dir.path().join("s"), Arc::clone(&status));
    let mut weir = Weir::start(
        dir.path(),
        &config(
            dir.path(),
            " option httpchk\n option log-health-checks\n server s unix@DIR/s check inter 20ms rise 2 fall 2",
        ),
    );
    weir.expect(&[
        "Health check for server web/s succeeded, reason: Layer7 check passed, code: 200, check duration: Nms, status: \
         2/2 UP.",
    ]);
    status.store(503, Ordering::Relaxed);
    weir.expect(&[
        "Health check for server web/s failed, reason: Layer7 wrong status, code: 503, info: \"Said so\", check \
         duration: Nms, status: 1/2 UP.",
        "Health check for server web/s failed, reason: Layer7 wrong status, code: 503, info: \"Said so\", check \
         duration: Nms, status: 0/2 DOWN.",
        "Server web/s is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "backend 'web' has no server available!",
    ]);
}

#[test]
fn a_404_stops_a_server_and_a_backup_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let status = Arc::new(AtomicU16::new(200));
    origin(&dir.path().join("s"), Arc::clone(&status));
    origin(&dir.path().join("b"), Arc::new(AtomicU16::new(418)));
    let mut weir = Weir::start(
        dir.path(),
        &config(
            dir.path(),
            " option httpchk\n http-check disable-on-404\n server s unix@DIR/s check inter 20ms rise 2 fall 2\n \
             server b unix@DIR/b backup",
        ),
    );
    assert_eq!(get(dir.path()), "200");
    status.store(404, Ordering::Relaxed);
    weir.expect(&[
        "Server web/s is stopping, reason: Layer7 check conditionally passed, code: 404, check duration: Nms. 0 active \
         and 1 backup servers online. Running on backup. 0 sessions requeued, 0 total in queue.",
    ]);
    assert_eq!(get(dir.path()), "418");
    status.store(200, Ordering::Relaxed);
    weir.expect(&[
        "Server web/s is UP, reason: Layer7 check passed, code: 200, check duration: Nms. 1 active and 1 backup servers \
         online. 0 sessions requeued, 0 total in queue.",
    ]);
    assert_eq!(get(dir.path()), "200");
}

#[test]
fn a_connection_is_enough_without_httpchk() {
    let dir = tempfile::tempdir().unwrap();
    origin(&dir.path().join("a"), Arc::new(AtomicU16::new(200)));
    let mut weir = Weir::start(
        dir.path(),
        &config(
            dir.path(),
            " server a unix@DIR/a check inter 20ms\n server gone unix@DIR/gone check inter 20ms\n server follows \
             unix@DIR/a track web/gone",
        ),
    );
    weir.expect(&[
        "Server web/gone is DOWN, reason: Socket error, info: \"General socket error (No such file or directory)\", \
         check duration: Nms. 2 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "Server web/follows is DOWN via web/gone. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 \
         remaining in queue.",
    ]);
    for _ in 0..4 {
        assert_eq!(get(dir.path()), "200");
    }
}
