//! Health checks: the same rules against the same scripted servers, through Debian's haproxy and through weir. What both
//! log of each check (`option log-health-checks`) must be the same, but for how long it took.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};

const BOUND: Duration = Duration::from_secs(40);
const FRONT: u16 = 8080;
/// On a machine that is busy a server's bytes may come together, or its end before them: what differs is tried again. A
/// difference of ours stays one.
const ATTEMPTS: usize = 3;

/// One backend with one server.
struct Case {
    name: &'static str,
    lines: Vec<&'static str>,
    options: &'static str,
    /// What the server does on each connection; the last goes on.
    scripts: Vec<&'static str>,
    /// How many checks are compared.
    checks: usize,
    /// What weir says where haproxy is not to be followed.
    ours: Option<&'static str>,
}

/// `## name`, rules, and where they are not empty: `$ options`, `@ script` (one a connection), `% checks`, `= line`
/// (haproxy is left out, and weir is to say this).
fn cases(text: &'static str) -> Vec<Case> {
    let blocks = text.split("## ").skip(1);
    let case = |block: &'static str| {
        let mut lines = block.lines();
        let mut case = Case {
            name: lines.next().unwrap(),
            lines: Vec::new(),
            options: "",
            scripts: Vec::new(),
            checks: 1,
            ours: None,
        };
        for line in lines.filter(|l| !l.is_empty()) {
            match line.split_at_checked(2) {
                Some(("$ ", options)) => case.options = options,
                Some(("@ ", script)) => case.scripts.push(script),
                Some(("= ", said)) => case.ours = Some(said),
                Some(("% ", count)) => case.checks = count.parse().unwrap(),
                _ => case.lines.push(line),
            }
        }
        case
    };
    blocks.map(case).collect()
}

/// Serves one case until the process ends.
fn serve(listener: TcpListener, scripts: Vec<&'static str>) {
    let next = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let turn = next.fetch_add(1, Ordering::SeqCst).min(scripts.len().saturating_sub(1));
            let script = scripts.get(turn).copied().unwrap_or("hold");
            std::thread::spawn(move || play(stream, script));
        }
    });
}

/// `send TEXT`, `read`, `request` (all of one in HTTP/2), `pause MS`, `flood TEXT` (again and again), `end` (of our side), `close`, `reset` and `hold` (until the other side closes), `|` between.
fn play(mut stream: TcpStream, script: &str) {
    let mut buffer = [0; 4096];
    for step in script.split('|') {
        let (action, argument) = step.split_once(' ').unwrap_or((step, ""));
        match action {
            "send" if stream.write_all(&unescaped(argument)).is_err() => return,
            "read" => drop(stream.read(&mut buffer)),
            "request" => drop(http2_request(&mut stream)),
            // Pieces that come apart are the subject, not a wait for something to happen.
            "pause" => std::thread::sleep(Duration::from_millis(argument.parse().unwrap())),
            "reset" => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            "close" => return,
            "end" => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
            }
            "flood" => while stream.write_all(&unescaped(argument)).is_ok() {},
            "hold" => while stream.read(&mut buffer).is_ok_and(|n| n > 0) {},
            _ => {}
        }
    }
}

/// Reads up to the frame that ends a stream.
fn http2_request(stream: &mut TcpStream) -> std::io::Result<()> {
    const PREFACE: usize = 24;
    stream.read_exact(&mut [0; PREFACE])?;
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame)?;
        let length = usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
        stream.read_exact(&mut vec![0; length])?;
        // DATA or HEADERS with END_STREAM.
        if frame[3] < 2 && frame[4] & 1 == 1 {
            return Ok(());
        }
    }
}

/// `\r`, `\n`, `\0`, `\\` and `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(u8::try_from(c).unwrap());
            continue;
        }
        match rest.next() {
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('0') => out.push(0),
            Some('\\') => out.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => panic!("\\{other:?} in a script"),
        }
    }
    out
}

/// The first lines about each case's server, without durations.
fn observe(program: Program, cases: &[Case], address: Ipv4Addr) -> Vec<Vec<String>> {
    let mut config = format!(
        "global\n log stderr format raw local0\n max-spread-checks 1\ndefaults\n log global\n option log-health-checks\n \
         timeout connect 3s\n timeout check 3s\n timeout client 5s\n timeout server 5s\nlisten front\n bind {address}:{FRONT}\n"
    );
    let asked = |case: &Case| program == Program::Weir || case.ours.is_none();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| asked(case)) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        serve(listener, case.scripts.clone());
        let mode = if case.lines.iter().any(|l| l.contains("httpchk")) { "http" } else { "tcp" };
        config += &format!("backend b{number}\n mode {mode}\n");
        for line in &case.lines {
            config += &format!(" {}\n", line.replace("PORT", &port.to_string()));
        }
        let timing = if case.checks > 1 {
            "inter 300ms fastinter 200ms downinter 200ms rise 2 fall 2"
        } else {
            "inter 3s fastinter 60s downinter 60s fall 1"
        };
        let options = case.options.replace("PORT", &port.to_string());
        config += &format!(" server s {address}:{port} check {timing} {options}\n");
    }
    let proxy =
        Proxy::start(program, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{program:?} {e}"));
    let started = Instant::now();
    loop {
        let log = proxy.stderr();
        let found: Vec<Vec<String>> = cases
            .iter()
            .enumerate()
            .map(|(number, case)| match case.ours.filter(|_| !asked(case)) {
                Some(line) => vec![line.to_owned()],
                None => lines_about(&log, number, case.checks),
            })
            .collect();
        let complete = found.iter().zip(cases).all(|(lines, case)| lines.len() == case.checks);
        if complete || started.elapsed() > BOUND {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines_about(log: &str, number: usize, count: usize) -> Vec<String> {
    let start = format!("Health check for server b{number}/s ");
    let duration = regex::Regex::new(r"check duration: \d+ms").unwrap();
    let lines = log.lines().filter_map(|line| line.strip_prefix(&start));
    lines.take(count).map(|line| duration.replace(line, "check duration: N").into_owned()).collect()
}

fn compare(text: &'static str) {
    let mut cases = cases(text);
    let count = cases.len();
    let mut wrong = Vec::new();
    for _ in 0..ATTEMPTS {
        wrong = differing(&cases);
        cases.retain(|case| wrong.iter().any(|(name, _)| *name == case.name));
        if cases.is_empty() {
            break;
        }
    }
    println!("{} of {count} cases agree with haproxy", count - wrong.len());
    let list: Vec<String> =
        wrong.into_iter().map(|(name, difference)| format!("## {name}\n{difference}")).collect();
    assert!(list.is_empty(), "{} of {count} cases differ:\n{}", list.len(), list.join("\n"));
}

/// Names and differences of the cases that do not agree.
fn differing(cases: &[Case]) -> Vec<(&'static str, String)> {
    let (theirs, ours) = std::thread::scope(|scope| {
        let (first, second) = (own_address(), own_address());
        let theirs = scope.spawn(move || observe(Program::HaProxy, cases, first));
        let ours = scope.spawn(move || observe(Program::Weir, cases, second));
        (theirs.join().unwrap(), ours.join().unwrap())
    });
    let mut wrong = Vec::new();
    for (case, (theirs, ours)) in cases.iter().zip(theirs.iter().zip(&ours)) {
        if theirs.len() != case.checks || theirs != ours {
            wrong.push((case.name, format!("  haproxy: {theirs:#?}\n  weir:    {ours:#?}")));
        }
    }
    wrong
}

#[test]
fn tcp_rules() {
    compare(include_str!("health-tcp.txt"));
}

#[test]
fn http_rules() {
    compare(include_str!("health-http.txt"));
}

#[test]
fn protocols() {
    compare(include_str!("health-protocols.txt"));
}

#[test]
fn http2_rules() {
    compare(include_str!("health-http2.txt"));
}
