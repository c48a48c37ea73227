//! Runs one row through a program and says what was observed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;

const FRONT: u16 = 8080;
const ORIGIN: u16 = 9001;
const LOG: u16 = 5140;
const PARALLEL: usize = 3;

/// Good enough for most rows: what happened, without what differs between two runs.
const LOG_FORMAT: &str = r#""%ST %B %tsc %f %b %s %rc %sq/%bq %CC %CS %hr %hs %{+Q}r""#;

/// Rows that do not agree yet, or where weir is stricter on purpose: one name a line,
/// `#` before a reason. Still run, and named in the output.
const KNOWN: &str = include_str!("known.txt");

/// One case. `ADDR` in any text is the case's own address; each entry of `send` is one connection.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: &'static str,
    /// Lines of the frontend, of the backend `be`, and whole further sections.
    pub front: String,
    pub back: String,
    pub more: String,
    pub send: Vec<String>,
    pub answers: Vec<&'static str>,
    /// Lines of `defaults`, e.g. another log format.
    pub defaults: String,
    /// Files written beside the configuration: name, content.
    pub files: Vec<(&'static str, &'static str)>,
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub fn front(mut self, lines: &str) -> Self {
        self.front = lines.to_owned();
        self
    }

    pub fn back(mut self, lines: &str) -> Self {
        self.back = lines.to_owned();
        self
    }

    pub fn more(mut self, sections: &str) -> Self {
        self.more = sections.to_owned();
        self
    }

    pub fn defaults(mut self, lines: &str) -> Self {
        self.defaults = lines.to_owned();
        self
    }

    pub fn file(mut self, name: &'static str, content: &'static str) -> Self {
        self.files.push((name, content));
        self
    }

    pub fn answer(mut self, answer: &'static str) -> Self {
        self.answers.push(answer);
        self
    }

    /// One connection with these bytes.
    pub fn send(mut self, bytes: &str) -> Self {
        self.send.push(bytes.to_owned());
        self
    }

    /// One connection with a plain GET.
    pub fn get(self, path: &str) -> Self {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h.example\r\n\r\n"))
    }

    /// One connection with a GET and these header lines (`A: b|C: d`).
    pub fn get_with(self, path: &str, headers: &str) -> Self {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: h.example\r\n{}\r\n\r\n",
            headers.replace('|', "\r\n")
        ))
    }
}

/// Rules that answer every request with what the expressions give, each in a header of its own.
pub fn shown(expressions: &[impl AsRef<str>]) -> String {
    let mut rules = String::new();
    for (i, expression) in expressions.iter().map(AsRef::as_ref).enumerate() {
        let _ = write!(
            rules,
            "http-request set-var-fmt(txn.v{i}) \"<%[{expression}]>\"\nhttp-after-response set-header h{i} \"%[var(txn.v{i})]\"\n"
        );
    }
    rules + "http-request return status 200"
}

/// Checks a table: prints how many rows agree, and fails with every row that does not.
pub fn compare(rows: Vec<Row>) {
    let count = rows.len();
    let queue = Mutex::new(VecDeque::from(rows));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().unwrap().pop_front() else { return };
                    let name = row.name.replace('\n', "; ");
                    let known = KNOWN.lines().any(|known| known == name);
                    let result = compare_row(&row);
                    if known {
                        println!(
                            "known difference: {}{}",
                            row.name,
                            if result.is_ok() { " (gone: take it off the list)" } else { "" }
                        );
                    } else if let Err(difference) = result {
                        failures.lock().unwrap().push(format!("## {}\n{difference}", row.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} of {count} rows agree with haproxy", count - failures.len());
    assert!(failures.is_empty(), "{} of {count} rows differ:\n{}", failures.len(), failures.join("\n"));
}

fn compare_row(row: &Row) -> Result<(), String> {
    let address = own_address();
    let theirs = observe(Program::HaProxy, row, address).map_err(|error| format!("haproxy {error}"))?;
    let ours = observe(Program::Weir, row, address).map_err(|error| format!("weir {error}"))?;
    if theirs == ours { Ok(()) } else { Err(difference(&theirs, &ours)) }
}

fn observe(program: Program, row: &Row, address: Ipv4Addr) -> Result<String, String> {
    let at = |port| SocketAddr::new(IpAddr::V4(address), port);
    let syslog = Syslog::start(at(LOG));
    let answers: Vec<String> =
        row.answers.iter().map(|answer| answer.replace("ADDR", &address.to_string())).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let origin = Origin::start(at(ORIGIN), &answers);
    let dir = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    for (name, content) in &row.files {
        std::fs::write(dir.path().join(name), content).map_err(|error| error.to_string())?;
    }
    let proxy = Proxy::start_in(program, dir, &configuration(row, address), &["-db"], address, &[FRONT])?;
    let mut seen = String::new();
    let mut ports = Vec::new();
    for (number, bytes) in row.send.iter().enumerate() {
        let (text, port) = talk(at(FRONT), &bytes.replace("ADDR", &address.to_string()));
        ports.push(port);
        let _ = write!(seen, "client {number}:\n{text}\n");
    }
    proxy.finish();
    for request in origin.seen() {
        let _ = write!(seen, "server:\n{}\n", unchunked(&request));
    }
    let mut lines = syslog.drain();
    lines.retain(|line| !line.contains("Proxy ") || !line.contains(" stopped "));
    // Changes of servers are told by another thread than the requests that ask for them.
    lines.sort_by_key(|line| line.contains("]: Server "));
    for line in &lines {
        let text = line.split_once("]: ").map_or(line.as_str(), |(_, text)| text);
        let _ = writeln!(seen, "log: {}", text.trim_end());
    }
    // The end of a PROXY line.
    for port in &ports {
        seen = seen.replace(&format!(" {port} {FRONT}"), " CPORT FRONT");
    }
    for port in ports {
        seen = seen.replace(&format!(":{port}"), ":CPORT");
    }
    Ok(normalise(&seen))
}

fn configuration(row: &Row, address: Ipv4Addr) -> String {
    let indent = |text: &str| text.lines().map(|line| format!("    {}\n", line.trim())).collect::<String>();
    let text = format!(
        "global\n    nbthread 1\n    log ADDR:{LOG} local0\ndefaults\n    mode http\n    log global\n    log-format {LOG_FORMAT}\n    \
         timeout connect 2s\n    timeout client 4s\n    timeout server 4s\n{}\
         frontend fe\n    bind ADDR:{FRONT}\n{}    default_backend be\n\
         backend be\n{}    server s1 ADDR:{ORIGIN}\n{}\n",
        indent(&row.defaults),
        indent(&row.front),
        indent(&row.back),
        row.more.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>(),
    );
    text.replace("ADDR", &address.to_string())
}

/// Sends everything, reads as many responses as requests were sent, then says goodbye and notes who closed.
fn talk(address: SocketAddr, bytes: &str) -> (String, u16) {
    let mut client = match Client::try_connect(address) {
        Ok(client) => client,
        Err(error) => return (format!("no connection: {}", error.kind()), 0),
    };
    let port = client.local_port();
    client.send(&to_wire(bytes));
    let mut requests: Vec<&str> = bytes.split('\n').filter(|line| line.contains(" HTTP/1.")).collect();
    if requests.is_empty() && bytes.contains("\r\n\r\n") {
        // Something whole that is no request: the answer comes first, or who closed would be a matter of luck.
        requests.push(bytes);
    }
    let mut text = String::new();
    for request in requests {
        loop {
            let response = client.response(request.trim_start().starts_with("HEAD "));
            let _ = write!(text, "{}", unchunked(&show(&response)));
            // An interim response is not yet the answer.
            if !response.starts_with(b"HTTP/1.1 1") || response.starts_with(b"HTTP/1.1 101") {
                break;
            }
        }
    }
    client.finish_sending();
    let (rest, closed) = client.rest();
    let _ = write!(text, "{}{}", show(&rest), if closed { "<closed>" } else { "<still open>" });
    (text, port)
}

/// `\u{e9}` in a table means the byte 0xE9, so that rows can hold any byte.
fn to_wire(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "␍")
}

/// Chunk boundaries follow the reads, which no two runs share: one chunk stands for all of a message.
fn unchunked(message: &str) -> String {
    let end = if message.contains('␍') { "␍\n" } else { "\r\n" };
    let Some((head, mut body)) = message.split_once(&format!("{end}{end}")) else {
        return message.to_owned();
    };
    if !head.to_ascii_lowercase().contains("\ntransfer-encoding: chunked") {
        return message.to_owned();
    }
    let mut data = String::new();
    while let Some((size, rest)) = body.split_once(end) {
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or(""), 16) else { break };
        let Some((chunk, rest)) = rest.split_at_checked(size).filter(|_| size > 0) else { break };
        data.push_str(chunk);
        body = rest.strip_prefix(end).unwrap_or(rest);
    }
    format!("{head}{end}{end}[{data}]{body}")
}

/// What no two runs have in common: dates and elapsed times.
fn normalise(text: &str) -> String {
    let date = regex::Regex::new(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(\.\d{3})?( [+-]\d{4})?").unwrap();
    let timers = regex::Regex::new(r" ((\d+|-1)/){2,4}\+?\d+ ").unwrap();
    // CLF: client port and milliseconds, then five timers.
    let clf = regex::Regex::new(r#""" "" \d+ \d+ ("\w+" "\w+" "[^"]+") (\S+ ){5}"#).unwrap();
    let numbers = regex::Regex::new(r"\d+").unwrap();
    let text = date.replace_all(text, "DATE");
    let text = timers.replace_all(&text, |found: &regex::Captures<'_>| {
        numbers.replace_all(&found[0].replace("-1", "none"), "N").into_owned()
    });
    clf.replace_all(&text, "CLF $1 ").into_owned()
}

/// The lines that only one of the two has, with a little of what both have.
fn difference(theirs: &str, ours: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let same_head = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let longest = left.len().min(right.len()) - same_head;
    let same_tail =
        left.iter().rev().zip(right.iter().rev()).take(longest).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &left[same_head.saturating_sub(2)..same_head] {
        let _ = writeln!(text, "  {line}");
    }
    for (mark, lines) in [("haproxy", &left), ("weir   ", &right)] {
        for line in lines[same_head..lines.len() - same_tail].iter().take(12) {
            let _ = writeln!(text, "  {mark} | {line}");
        }
    }
    text
}
