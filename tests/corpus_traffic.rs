//! Requests through the configurations people run (tests/data/corpus): each is started by haproxy and by weir with its
//! addresses replaced, and what clients hear is compared, the server's echo of what it got included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use harness::client::Client;
use harness::process::{Program, Proxy};

const PARALLEL: usize = 4;
const FRONT: u16 = 8000;
const SERVERS: u16 = 9000;
/// Addresses of one file that are asked.
const FRONTS: usize = 4;
const REQUESTS: usize = 14;

/// Sections that need what a test has not got, or that make no traffic.
const LEFT_OUT: &[&str] = &[
    "resolvers",
    "peers",
    "mailers",
    "program",
    "ring",
    "cache",
    "crt-store",
    "http-errors",
    "fcgi-app",
    "log-forward",
];

/// Lines about what is outside: logs, files, checks, and times that are too long for a test.
const DROPPED: &[&str] = &[
    "log",
    "log-tag",
    "errorfile",
    "errorfiles",
    "http-check",
    "tcp-check",
    "email-alert",
    "stats",
    "external-check",
    "bind-process",
    "load-server-state-from-file",
    "server-template",
];
const DROPPED_OPTIONS: &[&str] = &[
    "httpchk",
    "external-check",
    "ssl-hello-chk",
    "tcp-check",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "ldap-check",
    "smtpchk",
    "tcplog",
    "httplog",
    "log-health-checks",
];
const DROPPED_TIMEOUTS: &[&str] = &["client", "server", "connect", "http-request", "queue", "tarpit"];

/// What of a server's options stays out, and how many words after each.
const SERVER_OPTIONS: &[(&str, usize)] = &[
    ("ssl", 0),
    ("check", 0),
    ("check-ssl", 0),
    ("send-proxy", 0),
    ("send-proxy-v2", 0),
    ("allow-0rtt", 0),
    ("no-ssl", 0),
    ("check-send-proxy", 0),
    ("force-tlsv12", 0),
    ("no-check", 0),
    ("agent-check", 0),
    ("on-marked-down", 1),
    ("on-marked-up", 1),
    ("verify", 1),
    ("ca-file", 1),
    ("crt", 1),
    ("sni", 1),
    ("alpn", 1),
    ("resolvers", 1),
    ("init-addr", 1),
    ("resolve-prefer", 1),
    ("port", 1),
    ("inter", 1),
    ("fall", 1),
    ("rise", 1),
    ("fastinter", 1),
    ("downinter", 1),
    ("check-sni", 1),
    ("verifyhost", 1),
    ("addr", 1),
    ("observe", 1),
    ("error-limit", 1),
    ("on-error", 1),
    ("agent-port", 1),
    ("agent-inter", 1),
    ("agent-addr", 1),
    ("agent-send", 1),
    ("proto", 1),
    ("ssl-min-ver", 1),
    ("ssl-max-ver", 1),
    ("slowstart", 1),
    ("source", 1),
    ("check-alpn", 1),
    ("crl-file", 1),
    ("ciphers", 1),
    ("ciphersuites", 1),
    ("check-proto", 1),
    ("resolve-opts", 1),
    ("track", 1),
    ("socks4", 1),
];

/// Files whose answers are a matter of luck, in haproxy too.
const LUCK: &[(&str, &str)] = &[
    ("CantoLang+", "mode tcp, and rules on Host that do not wait for it"),
    ("Rethinkers+", "mode tcp, and rules on Host that do not wait for it"),
];

#[test]
fn clients_hear_the_same() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus");
    let files = std::fs::read_dir(corpus).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "cfg")).collect();
    files.sort();
    let queue = Mutex::new(VecDeque::from(files));
    let (failures, asked, ran) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let Some(path) = queue.lock().unwrap().pop_front() else { return };
                    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    match compare(&name, &text) {
                        Ok(0) => {}
                        Ok(count) => {
                            ran.fetch_add(1, Ordering::Relaxed);
                            asked.fetch_add(count, Ordering::Relaxed);
                        }
                        Err(difference) => failures.lock().unwrap().push(format!("{name}:\n{difference}")),
                    }
                }
            });
        }
    });
    let (failures, ran) = (failures.into_inner().unwrap(), ran.into_inner());
    println!("{} requests through {ran} configurations", asked.into_inner());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(ran >= 60, "only {ran} configurations ran in both");
}

/// How many requests were answered alike; 0: the file does not run in both.
fn compare(name: &str, text: &str) -> Result<usize, String> {
    let address = harness::own_address();
    let site = Site::of(text, address);
    if site.fronts == 0 || LUCK.iter().any(|(file, _)| name.starts_with(file)) {
        return Ok(0);
    }
    let requests = requests(text);
    // What is a matter of chance does not come twice.
    let mut difference = String::new();
    for _ in 0..2 {
        let Ok(theirs) = site.ask(Program::HaProxy, &requests) else { return Ok(0) };
        let ours = match site.ask(Program::Weir, &requests) {
            Err(error) if error.contains("not supported by weir yet") => return Ok(0),
            ours => ours?,
        };
        let differing = theirs.iter().zip(&ours).filter(|((_, a), (_, b))| a != b);
        difference.clear();
        for ((request, theirs), (_, ours)) in differing.take(2) {
            difference += &format!("{request:?}\n   haproxy {theirs:?}\n   weir    {ours:?}\n");
        }
        if difference.is_empty() {
            return Ok(theirs.len());
        }
    }
    Err(difference)
}

/// A configuration whose clients and servers are here.
struct Site {
    config: String,
    address: Ipv4Addr,
    fronts: usize,
    servers: u16,
}

impl Site {
    fn of(text: &str, address: Ipv4Addr) -> Self {
        let mut site = Self {
            config: "global\n    nbthread 1\n    maxconn 2000\ndefaults\n    mode tcp\n    balance roundrobin\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n".to_owned(),
            address,
            fronts: 0,
            servers: 0,
        };
        let mut section = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(first) = words.first() else { continue };
            if ["global", "defaults", "frontend", "backend", "listen", "userlist"].contains(first)
                || LEFT_OUT.contains(first)
            {
                section = (*first).to_owned();
                site.section(line, &words);
            } else if !section.is_empty() && section != "global" && !LEFT_OUT.contains(&section.as_str()) {
                site.line(line, &words);
            }
        }
        site
    }

    fn section(&mut self, line: &str, words: &[&str]) {
        match (words[0], words) {
            ("global", _) => {}
            (left, _) if LEFT_OUT.contains(&left) => {}
            ("frontend" | "listen", [kind, name, old, ..]) if old.contains(':') => {
                self.push(&format!("{kind} {name}"));
                self.bind();
            }
            ("defaults", _) => {
                self.push(line);
                self.push("    balance roundrobin");
            }
            _ => self.push(line),
        }
    }

    fn line(&mut self, line: &str, words: &[&str]) {
        let second = words.get(1).copied().unwrap_or_default();
        match words[0] {
            "bind" => self.bind(),
            "server" => {
                self.servers += 1;
                let options = kept(words.get(3..).unwrap_or_default());
                self.push(&format!(
                    "    server {second} {}:{} {options}",
                    self.address,
                    SERVERS + self.servers
                ));
            }
            "default-server" => {
                let options = kept(&words[1..]);
                if !options.is_empty() {
                    self.push(&format!("    default-server {options}"));
                }
            }
            "balance" if second.starts_with("random") => self.push("    balance roundrobin"),
            "option" if DROPPED_OPTIONS.contains(&second) => {}
            "timeout" if DROPPED_TIMEOUTS.contains(&second) => {}
            dropped if DROPPED.contains(&dropped) => {}
            _ => self.push(&format!("    {line}")),
        }
    }

    fn bind(&mut self) {
        if self.fronts < FRONTS {
            let port = FRONT + u16::try_from(self.fronts).unwrap();
            self.push(&format!("    bind {}:{port}", self.address));
            self.fronts += 1;
        } else {
            // One nobody asks.
            self.push(&format!("    bind {}:0", self.address));
        }
    }

    fn push(&mut self, line: &str) {
        self.config.push_str(line);
        self.config.push('\n');
    }

    /// Starts the program and asks each of its addresses.
    fn ask(&self, program: Program, requests: &[String]) -> Result<Vec<(String, String)>, String> {
        let ports: Vec<u16> = (FRONT..).take(self.fronts).collect();
        let _servers = Echo::start(self.address, self.servers);
        let proxy = Proxy::start(program, &self.config, self.address, &ports)?;
        let mut answers = Vec::new();
        for port in &ports {
            for request in requests {
                let answer = talk(SocketAddr::from((self.address, *port)), request);
                answers.push((format!("port {port}: {request}"), answer));
            }
        }
        proxy.signal("TERM");
        drop(proxy);
        Ok(answers)
    }
}

fn kept(options: &[&str]) -> String {
    let (mut kept, mut i) = (Vec::new(), 0);
    while let Some(option) = options.get(i).filter(|option| !option.starts_with('#')) {
        match SERVER_OPTIONS.iter().find(|(name, _)| name == option) {
            Some((_, more)) => i += more,
            None => kept.push(*option),
        }
        i += 1;
    }
    kept.join(" ")
}

/// Hosts and paths that the configuration's conditions name, and a few others.
fn requests(text: &str) -> Vec<String> {
    let named = |pattern: &str| -> Vec<String> {
        let lines = regex::Regex::new(pattern).unwrap();
        let values = lines.captures_iter(text).flat_map(|found| {
            let words: Vec<String> = found[1].split_whitespace().map(str::to_owned).collect();
            words.into_iter().take_while(|w| !["if", "or", "||", "unless", "and", "!"].contains(&w.as_str()))
        });
        let mut all: Vec<String> = values.collect();
        all.sort();
        all.dedup();
        all
    };
    let is_host = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
    let mut hosts = vec!["example.com".to_owned()];
    hosts.extend(
        named(r"(?im)hdr(?:_\w+)?\(host\)(?:\s+-\w+)*((?:[ \t]+[^\s{}]+)+)")
            .into_iter()
            .filter(is_host)
            .take(4),
    );
    let mut paths = vec!["/".to_owned(), "/img/x.png?a=1".to_owned()];
    let paths_named = named(r"(?im)\b(?:path|url|base)(?:_\w+)?(?:\s+-\w+)*((?:[ \t]+[^\s{}]+)+)");
    let plain = paths_named
        .iter()
        .map(|path| path.replace(['^', '$', '\\', '*', '?', '(', ')', '[', ']', '|', '+'], ""));
    // Counters of two processes are not the same.
    let plain = plain.filter(|path| !path.is_empty() && path.is_ascii() && !path.contains("metrics"));
    paths.extend(plain.map(|path| if path.starts_with('/') { path } else { format!("/x{path}") }).take(5));
    let pairs = hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path)));
    let get =
        pairs.map(|(host, path)| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let mut all: Vec<String> = get.take(REQUESTS).collect();
    all.extend(
        [
            "POST /p HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: 5\r\n\r\nhello",
            "GET /c HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nCookie: SERVERID=s1; JSESSIONID=abc\r\nUser-Agent: curl\r\n\r\n",
            "HEAD /h HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
            "OPTIONS /o HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nOrigin: http://x\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    all
}

fn talk(address: SocketAddr, request: &str) -> String {
    let mut client = match Client::try_connect(address) {
        Ok(client) => client,
        Err(error) => return format!("no connection: {}", error.kind()),
    };
    let port = client.local_port();
    client.send(request.as_bytes());
    let (bytes, closed) = client.rest();
    let text = String::from_utf8_lossy(&bytes).replace(&port.to_string(), "CPORT");
    let varying = [
        r"(?im)^date: .*$",
        r"(?i)expires=[^;\r]*",
        r"[0-9A-F]{8}:[0-9A-F]{4}_[^\s]*",
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ];
    let text = varying.iter().fold(text, |text, pattern| {
        regex::Regex::new(pattern).unwrap().replace_all(&text, "VARIES").into_owned()
    });
    format!("{text}{}", if closed { "" } else { "<still open>" })
}

/// Servers that answer with the port they listen on and the request they got.
struct Echo {
    stopping: Arc<AtomicBool>,
    threads: Vec<(SocketAddr, std::thread::JoinHandle<()>)>,
}

impl Echo {
    fn start(address: Ipv4Addr, count: u16) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let listen = |port: u16| {
            let at = SocketAddr::from((address, port));
            let listener = harness::bind_soon(|| TcpListener::bind(at));
            let stopping = Arc::clone(&stopping);
            let accept = move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    std::thread::spawn(move || echo(stream, port));
                }
            };
            (at, std::thread::spawn(accept))
        };
        let threads = (1..=count).map(|i| listen(SERVERS + i)).collect();
        Self { stopping, threads }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for (at, thread) in self.threads.drain(..) {
            let _ = TcpStream::connect(at);
            let _ = thread.join();
        }
    }
}

fn echo(mut stream: TcpStream, port: u16) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(10)));
    let mut got = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_ascii_lowercase();
            let length = head
                .split("content-length:")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.trim().parse().ok());
            body.len() >= length.unwrap_or(0)
        });
        if whole {
            let body = format!("{port}\n{text}");
            let shown = if text.starts_with("HEAD ") { "" } else { body.as_str() };
            let head = format!(
                "HTTP/1.1 200 OK\r\nServer: o\r\nContent-Type: text/plain\r\nX-Powered-By: php\r\nSet-Cookie: SID=1; path=/\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if stream.write_all((head + shown).as_bytes()).is_err() {
                return;
            }
            got.clear();
            if text.to_ascii_lowercase().contains("connection: close") {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => got.extend_from_slice(&buffer[..n]),
        }
    }
}
