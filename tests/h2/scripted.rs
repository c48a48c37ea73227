//! A proxy in front of `tests/h2/server.py`.

use crate::harness::console;
use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const FRONT: u16 = 8080;
pub const SERVER: u16 = 9001;
const LOG: u16 = 5140;
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of the configuration, and the server's arguments.
pub struct Setup<'a> {
    pub global: &'a str,
    pub backend: &'a str,
    /// Of the server line.
    pub server: &'a str,
    pub proto: &'a str,
    pub options: &'a str,
    pub threads: usize,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { global: "", backend: "", server: "", proto: "proto h2", options: "", threads: 1 }
    }
}

impl Setup<'_> {
    fn config(&self, address: Ipv4Addr, socket: &Path) -> String {
        let Setup { global, backend, server: line, proto, threads, .. } = self;
        format!(
            "global\n    nbthread {threads}\n    stats socket {} level admin\n    log {address}:{LOG} local0\n    {global}\ndefaults\n    mode http\n    timeout connect 20s\n    \
             timeout client 30s\n    timeout server 30s\n    option httplog\n    log global\nfrontend f\n    bind {address}:{FRONT}\n    \
             http-request deny if {{ path /deny }}\n    http-response set-header x-version %[res.ver]\n    default_backend b\n\
             backend b\n    {backend}\n    server s {address}:{SERVER} {proto} {line}\n",
            socket.display()
        )
    }
}

pub struct Rig {
    pub proxy: Proxy,
    pub server: Scripted,
    pub log: Syslog,
    address: Ipv4Addr,
    socket: PathBuf,
}

impl Rig {
    pub fn start(program: Program, setup: &Setup) -> Self {
        let address = crate::harness::own_address();
        let server = Scripted::start(address, setup.options);
        let log = Syslog::start((address, LOG).into());
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("admin.sock");
        let config = setup.config(address, &socket);
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[FRONT])
            .unwrap_or_else(|e| panic!("{e}"));
        Self { proxy, server, log, address, socket }
    }

    /// Another configuration for the same process.
    pub fn reload(&self, setup: &Setup) {
        let config = setup.config(self.address, &self.socket);
        std::fs::write(self.proxy.dir().join("proxy.cfg"), config).unwrap();
        let answer = self.ask("reload");
        assert!(answer.starts_with("Success=1\n"), "{answer}");
    }

    pub fn ask(&self, line: &str) -> String {
        console::ask(&self.socket, line)
    }

    /// Until the answer is as wanted.
    pub fn ask_until(&self, line: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.ask(line);
            if wanted(&text) {
                return text;
            }
            assert!(Instant::now() < end, "{line}: {text}");
        }
    }

    pub fn front(&self) -> SocketAddr {
        (self.address, FRONT).into()
    }

    /// Head and body of the answer as curl prints them, without what tells one run from another.
    pub fn curl(&self, protocol: &str, words: &[&str]) -> String {
        let (path, options) = words.split_last().unwrap();
        let output = Command::new("curl")
            .args(["-s", "-m", "60", "-i", protocol])
            .args(options)
            .arg(format!("http://{}{path}", self.front()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let text = text.lines().filter(|l| !l.starts_with("x-connection")).collect::<Vec<_>>().join("\n");
        text.replace(&self.address.to_string(), "ADDRESS")
    }
}

/// The server's process and what it printed.
pub struct Scripted {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// Debian's, with what tests/run has put beside it.
pub fn python() -> Command {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
    assert!(library.join("h2").exists(), "tests/run puts h2 and grpcio (PyPI) into target/python");
    let mut python = Command::new("/usr/bin/python3");
    python.env("PYTHONPATH", library);
    python
}

impl Scripted {
    fn start(address: Ipv4Addr, options: &str) -> Self {
        let mut child = python()
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/h2/server.py"))
            .args([&address.to_string(), &SERVER.to_string()])
            .args(options.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let server = Self { child, lines };
        server.wait("listening");
        server
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line with that text in it.
    pub fn wait(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.lines().into_iter().find(|l| l.contains(text)) {
                return line;
            }
            assert!(Instant::now() < end, "no {text:?} in {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Until there are so many lines with that text in them.
    pub fn wait_for_lines(&self, text: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.lines().iter().filter(|l| l.contains(text)).count() < count {
            assert!(Instant::now() < end, "not {count} times {text:?} in {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has printed up to now: an answer may be here before the line about its request has been read.
    fn settled(&self) -> Vec<String> {
        let count = self.lines().iter().filter(|l| l.starts_with("mark ")).count();
        writeln!(self.child.stdin.as_ref().unwrap(), "{count}.").unwrap();
        self.wait(&format!("mark {count}."));
        self.lines()
    }

    pub fn requests(&self) -> Vec<String> {
        self.settled().into_iter().filter(|l| l.contains(" request ")).collect()
    }

    pub fn connections(&self) -> usize {
        self.settled().iter().filter(|l| l.ends_with(" accepted")).count()
    }

    /// Bytes of a stream's body on the first connection.
    pub fn received(&self, stream: u32) -> usize {
        let begin = format!("1 data {stream} ");
        let sizes = self.lines();
        let sizes =
            sizes.iter().filter_map(|l| l.strip_prefix(&begin)?.split(' ').next()?.parse::<usize>().ok());
        sizes.sum()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A log line, less what differs between two runs.
pub fn log_line(text: &str) -> String {
    let rest = text.split_once("] ").map_or(text, |(_, rest)| rest);
    let mut words: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let numbers: Vec<&str> = word.split('/').collect();
        if numbers.len() == 5 && numbers.iter().all(|n| n.trim_start_matches('+').parse::<i64>().is_ok()) {
            // The timers; counts of connections depend on when others are seen to have ended.
            let shape = numbers.iter().map(|n| if n.starts_with('-') { "-" } else { "n" });
            *word = shape.collect::<Vec<_>>().join("/");
        }
        if let Some(at) = word.find("http://") {
            let path = word[at + 7..].find('/').map_or("", |slash| &word[at + 7 + slash..]);
            *word = format!("{}http://ADDRESS{path}", &word[..at]);
        }
    }
    words.join(" ").trim_end().to_owned()
}

/// What a server saw, in haproxy's words: to an HTTP/1 client's request it makes no authority of `host`.
pub fn as_haproxy_asks(request: &str) -> String {
    let (_, request) = request.split_once(" request ").unwrap();
    let mut words: Vec<&str> = request.split(' ').collect();
    let host = words.iter().find_map(|w| w.strip_prefix(":authority=").or(w.strip_prefix("host=")));
    let host = format!("host={}", if host.is_some() { "ADDRESS" } else { "" });
    words.retain(|w| !w.starts_with(":authority=") && !w.starts_with("host="));
    format!("{} {host}", words.join(" "))
}
