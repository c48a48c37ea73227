//! `show sess`, `shutdown session`, `shutdown sessions server`, `show errors`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::process::Program;
use crate::harness::syslog::Syslog;
use crate::harness::{bind_soon, own_address};
use crate::rig::{PORT, Rig};

const LIMIT: Duration = Duration::from_secs(20);

const SECTIONS: &str = "frontend f
    bind ADDR:8080
    log ADDR:5140 local0
    option httplog
    default_backend b
backend b
    server s1 ADDR:9001
    server s2 ADDR:9002 weight 0
listen t
    mode tcp
    bind ADDR:8081
    log ADDR:5140 local0
    option tcplog
    server t1 ADDR:9001
";

const BEGINNING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc";

/// A server that takes connections and says nothing, or begins an answer to `/body`.
fn silent(address: Ipv4Addr) -> TcpListener {
    let listener = bind_soon(|| TcpListener::bind((address, 9001)));
    let accepting = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for stream in accepting.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(1..) = stream.read(&mut bytes) {
                    if bytes.starts_with(b"GET /body") {
                        let _ = stream.write_all(BEGINNING.as_bytes());
                    }
                }
            });
        }
    });
    listener
}

/// The lines of `show sess` but that of whoever asks, without what no two runs share.
fn listed(rig: &Rig) -> Vec<String> {
    let mut lines: Vec<String> = rig
        .ask("show sess")
        .lines()
        .filter(|l| l.starts_with("0x") && !l.contains("fe=GLOBAL"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

fn ids(rig: &Rig) -> Vec<String> {
    listed(rig).iter().filter_map(|l| l.split(':').next().map(str::to_owned)).collect()
}

/// Waits until so many sessions are listed, all connected to their servers.
fn wait_for(rig: &Rig, count: usize) -> Vec<String> {
    let end = Instant::now() + LIMIT;
    loop {
        let lines = listed(rig);
        if lines.len() == count && lines.iter().all(|l| l.contains(" scb=[8,")) {
            return lines;
        }
        assert!(Instant::now() < end, "{count} sessions expected, got {lines:#?}");
        std::thread::yield_now();
    }
}

/// `fe=f be=b srv=s1` of each line, sorted, and the names of all its fields.
fn shape(lines: &[String]) -> (Vec<String>, String) {
    let word =
        |line: &str, name: &str| line.split(' ').find(|w| w.starts_with(name)).unwrap_or_default().to_owned();
    let mut who: Vec<String> =
        lines.iter().map(|l| ["proto=", "fe=", "be=", "srv="].map(|n| word(l, n)).join(" ")).collect();
    who.sort();
    let fields = lines.first().map(String::as_str).unwrap_or_default();
    let names: Vec<&str> = fields.split(' ').skip(1).filter_map(|w| w.split('=').next()).collect();
    (who, names.join(" "))
}

struct Held {
    wait: Client,
    body: Client,
    post: Client,
    tcp: Client,
}

fn hold(address: Ipv4Addr) -> Held {
    let open = |port: u16, bytes: &str| {
        let mut client = Client::connect((address, port).into());
        client.set_limit(LIMIT);
        client.send(bytes.as_bytes());
        client
    };
    let mut held = Held {
        wait: open(PORT, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"),
        body: open(PORT, "GET /body HTTP/1.1\r\nHost: a\r\n\r\n"),
        post: open(PORT, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"),
        tcp: open(8081, "hello"),
    };
    assert_eq!(held.body.read_exactly(BEGINNING.len()), BEGINNING.as_bytes());
    held
}

/// How the log ends each: what it was, and its termination.
fn ends(syslog: &Syslog) -> Vec<String> {
    let end = Instant::now() + LIMIT;
    let mut lines = Vec::new();
    while lines.len() < 4 {
        assert!(Instant::now() < end, "four log lines expected, got {lines:#?}");
        lines.extend(syslog.drain());
        std::thread::yield_now();
    }
    let termination = |line: &str| {
        let is_one = |w: &&str| (w.len() == 4 || w.len() == 2) && w.starts_with('K');
        line.split(' ').find(is_one).unwrap_or("no K").to_owned()
    };
    let what = |line: &str| {
        ["/wait", "/body", "/post", " t t/t1 "].into_iter().find(|what| line.contains(what)).unwrap_or("?")
    };
    let mut ends: Vec<String> = lines.iter().map(|l| format!("{} {}", what(l), termination(l))).collect();
    ends.sort();
    ends
}

fn killed_one_by_one(program: Program, address: Ipv4Addr) -> String {
    let syslog = Syslog::start((address, 5140).into());
    let rig = Rig::start(program, "", SECTIONS, address);
    let mut held = hold(address);
    let (who, fields) = shape(&wait_for(&rig, 4));
    for id in ids(&rig) {
        assert_eq!(rig.ask(&format!("shutdown session {id}")), "\n");
    }
    let wait = String::from_utf8(held.wait.response(false)).unwrap();
    let status = wait.lines().next().unwrap_or_default().to_owned();
    let rest = |client: &mut Client| {
        let (bytes, ended) = client.rest();
        format!("{} {ended}", String::from_utf8_lossy(&bytes).to_lowercase())
    };
    let seen = [rest(&mut held.body), rest(&mut held.post), rest(&mut held.tcp)];
    let left = wait_for(&rig, 0);
    format!("{who:#?}\n{fields}\n{status}\n{seen:#?}\n{:#?}\n{left:?}", ends(&syslog))
}

#[test]
fn sessions_are_listed_and_ended_as_haproxy_does() {
    let address = own_address();
    let _origin = silent(address);
    let theirs = killed_one_by_one(Program::HaProxy, address);
    let ours = killed_one_by_one(Program::Weir, address);
    assert_eq!(theirs, ours, "haproxy:\n{theirs}\nweir:\n{ours}");
}

#[test]
fn sessions_of_a_server_are_ended() {
    let address = own_address();
    let _origin = silent(address);
    let rig = Rig::start(Program::Weir, "", SECTIONS, address);
    let _held = hold(address);
    wait_for(&rig, 4);
    assert_eq!(rig.ask("shutdown sessions server b/s2"), "\n");
    assert_eq!(rig.ask("shutdown sessions server b/s1"), "\n");
    let left = wait_for(&rig, 1);
    assert!(left[0].contains(" fe=t be=t srv=t1 "), "{left:?}");
}

#[test]
fn answers_of_the_session_commands() {
    crate::rig::compare(
        "",
        SECTIONS,
        &[
            "show sess 0x1",
            "shutdown session",
            "shutdown session 0x12",
            "shutdown sessions server",
            "shutdown sessions server b",
            "shutdown sessions server b/none",
            "shutdown sessions server x/y",
            "shutdown sessions server b/s1",
            "user: show sess",
            "user: show errors",
            "operator: shutdown session 0x1",
            "operator: shutdown sessions server b/s1",
            "show errors nobody",
        ],
    );
}

#[test]
fn filters_choose_sessions() {
    let address = own_address();
    let _origin = silent(address);
    let rig = Rig::start(Program::Weir, "", SECTIONS, address);
    let _held = hold(address);
    wait_for(&rig, 4);
    let count = |filter: &str| rig.ask(&format!("show sess {filter}")).matches("0x").count();
    assert_eq!([count("frontend f"), count("backend t"), count("server b/s1")], [3, 1, 3]);
    assert_eq!(
        [count("frontend t server b/s1"), count("older 1h"), count("older 0"), count("susp")],
        [0, 0, 4, 0]
    );
    assert!(rig.ask("show sess help").starts_with("Usage: show sess"));
    let id = ids(&rig).pop().unwrap();
    let full = rig.ask(&format!("show sess {id}"));
    for part in ["  frontend=", "  backend=", "  server=", "  task=", "  scf=", "  scb="] {
        assert!(full.contains(part), "{part} in {full}");
    }
}

/// Requests and responses that are refused, and what `show errors` tells of them.
fn errors(program: Program, address: Ipv4Addr) -> String {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nBad Header: x\r\n\r\nabc",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 2x0 OK\r\n\r\n",
    ];
    let origin = Origin::start((address, 9001).into(), &answers);
    let sections =
        "frontend f\n    bind ADDR:8080\n    default_backend b\nbackend b\n    server s1 ADDR:9001\n";
    let rig = Rig::start(program, "", sections, address);
    let mut seen = String::new();
    let mut tell = |lines: &[&str]| {
        for line in lines {
            seen.push_str(&format!("> {line}\n{}", hide(&rig.ask(line))));
        }
    };
    let send = |bytes: &[u8]| {
        let mut stream = TcpStream::connect((address, PORT)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    };
    tell(&["show errors"]);
    send(b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n");
    tell(&["show errors"]);
    let long = "0123456789".repeat(8);
    send(format!("GET /x HTTP/1.1\r\nHost: a\r\nbad header: x\r\nlong: {long}\\\x1b\t\r\n\r\n").as_bytes());
    tell(&["show errors f", "show errors 2 response"]);
    send(b"GE\0T /x HTTP/1.1\r\nHost: a\xff\r\n\r\n");
    tell(&["show errors -1 request"]);
    send(b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    tell(&["show errors 2"]);
    for _ in answers {
        send(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        tell(&["show errors b response"]);
    }
    tell(&["show errors", "show errors zz", "show errors 99", "show errors f response", "show errors b foo"]);
    drop(origin);
    seen
}

/// Dates, ports, and what HAProxy shows of its insides.
fn hide(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.find("/20") {
            Some(_) => {
                line.split(['[', ']']).enumerate().map(|(i, p)| if i == 1 { "DATE" } else { p }).collect()
            }
            None => line.to_owned(),
        };
        let line = match line.rsplit_once(':') {
            Some((start, _)) if line.contains(", src ") => format!("{start}:PORT"),
            _ => line,
        };
        let hidden = line.contains("H1 connection flags") || line.contains("H1 chunk len");
        let line = line.split(", H1 msg flags").next().unwrap_or_default();
        out.push_str(if hidden { "  H1 ..." } else { line });
        out.push('\n');
    }
    out
}

#[test]
fn refused_messages_are_shown_as_haproxy_does() {
    let address = own_address();
    let theirs = errors(Program::HaProxy, address);
    let ours = errors(Program::Weir, address);
    assert!(theirs == ours, "--- haproxy\n{theirs}\n--- weir\n{ours}");
}
