//! `weir top` in a real terminal, on the stats socket of weir and of Debian's haproxy: shows what there is, drains a server
//! after a yes, and only then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::process::{Program, Proxy};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

fn start(program: Program) -> Proxy {
    let address = harness::own_address();
    let config = format!(
        "global\n    stats socket unix@admin.sock level admin\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind {address}:8080\n    default_backend app\n\
         backend app\n    balance roundrobin\n    server s1 {address}:8081\n    server s2 {address}:8082\n"
    );
    Proxy::start(program, &config, address, &[8080]).unwrap()
}

fn ask(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The status column of a server, by the socket.
fn status(socket: &Path, server: &str) -> String {
    let answer = ask(socket, "show stat");
    let line = answer.lines().find(|l| l.split(',').nth(1) == Some(server)).unwrap_or("");
    line.split(',').nth(17).unwrap_or("").to_owned()
}

/// A terminal with `weir top` in it; `script` (util-linux) makes it.
struct Screen {
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Screen {
    fn open(socket: &Path) -> Self {
        let command = format!(
            "stty rows 40 cols 160; exec {} top -i 0.2 -s {}",
            Program::Weir.path().display(),
            socket.display()
        );
        let mut child = Command::new("script")
            .args(["-qfc", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (bsdutils) starts");
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut output, sink) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Self { child, seen }
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until `text` has been drawn so many times. Blanks do not count: what is blank already is not drawn.
    fn wait_for(&self, text: &str, times: usize) {
        let wanted: String = text.split_whitespace().collect();
        wait_until(&format!("'{text}' is drawn"), || {
            let drawn = without_controls(&self.seen.lock().unwrap());
            let drawn: String = drawn.split_whitespace().collect();
            drawn.matches(&wanted).count() >= times
        });
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text between the escape sequences.
fn without_controls(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            out.push(letter);
            continue;
        }
        if letters.next_if_eq(&'[').is_some() {
            for letter in letters.by_ref() {
                if ('@'..='~').contains(&letter) {
                    break;
                }
            }
        } else {
            letters.next();
        }
    }
    out
}

fn drains_after_a_yes(program: Program) {
    let proxy = start(program);
    let socket = proxy.dir().join("admin.sock");
    let mut screen = Screen::open(&socket);
    screen.wait_for("app/s2", 1);
    screen.press("/s2\r");
    // A no first. That the question comes again shows that the no was taken.
    screen.press("d");
    screen.wait_for("Drain app/s2", 1);
    screen.press("n");
    screen.press("d");
    screen.wait_for("Drain app/s2", 2);
    assert_eq!(status(&socket, "s2"), "no check", "a no changes nothing");
    screen.press("y");
    wait_until("s2 drains", || status(&socket, "s2") == "DRAIN");
    screen.press("ry");
    wait_until("s2 is back", || status(&socket, "s2") == "no check");
    screen.press("q");
    wait_until("q quits", || screen.child.try_wait().unwrap().is_some());
}

#[test]
fn drains_a_server_of_haproxy() {
    drains_after_a_yes(Program::HaProxy);
}

#[test]
fn drains_a_server_of_weir() {
    drains_after_a_yes(Program::Weir);
}

#[test]
fn plain_text_of_both() {
    for program in [Program::HaProxy, Program::Weir] {
        let proxy = start(program);
        let socket = proxy.dir().join("admin.sock");
        let output =
            Program::Weir.command().args(["top", "-b", "-s"]).arg(&socket).arg("app").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains("app/s1") && text.contains("app (backend)"), "{text}");
        assert!(!text.contains("web (frontend)"), "the filter holds: {text}");
    }
}

#[test]
fn says_why_nothing_is_shown() {
    let output = Program::Weir.run(&["top", "-b", "-s", "/nonexistent/weir.sock"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/nonexistent/weir.sock: no such socket"), "{text}");
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("none.cfg");
    std::fs::write(&file, "global\n").unwrap();
    let output = Program::Weir.run(&["top", "-b", "-f", &file.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no 'stats socket' line found") && text.contains("-s"), "{text}");
}
