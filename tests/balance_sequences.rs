//! The executable chooses the servers that Debian's haproxy chose (tests/data/balance), request by request.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LETTERS: &str = "abcdefgh";

struct Weir(Child);

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A recorded case that needs nothing but requests: `run N servers`, more than once perhaps.
struct Case {
    spec: &'static str,
    servers: &'static str,
    expected: Vec<&'static str>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("data/balance/sequences.txt");
    let mut found = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let steps: Vec<Vec<&str>> = parts[2].split(" , ").map(|s| s.split(' ').collect()).collect();
        if parts[0].contains(";tcp") || steps.iter().any(|s| s[0] != "run") {
            continue;
        }
        let expected = steps.iter().map(|s| s[2]).collect();
        found.push(Case { spec: parts[0], servers: parts[1], expected });
    }
    found
}

fn config(dir: &Path, cases: &[Case]) -> String {
    let dir = dir.display();
    let mut out = format!(
        "global\n nbthread 2\ndefaults\n mode http\n timeout client 30s\n timeout server 30s\n timeout connect 5s\n\
         frontend f\n bind unix@{dir}/front accept-proxy\n use_backend %[req.hdr(x-be)]\n"
    );
    for c in LETTERS.chars() {
        let _ = write!(
            out,
            "frontend name{c}\n bind unix@{dir}/{c}\n http-request return status 200 content-type text/plain string {c}\n"
        );
    }
    for (n, case) in cases.iter().enumerate() {
        let _ = writeln!(out, "backend be{n}");
        for line in case.spec.split(';') {
            let line = match line {
                "balance hdr" => "balance hdr(x-key)",
                "balance source6" => "balance source",
                "balance nokey" => "balance hdr(x-none)",
                other => other,
            };
            let _ = writeln!(out, " {line}");
        }
        for (c, weight) in LETTERS.chars().zip(case.servers.split(' ')) {
            let _ = writeln!(out, " server {c} unix@{dir}/{c} weight {weight}");
        }
    }
    out
}

fn connect(dir: &Path, source: &str) -> BufReader<UnixStream> {
    let limit = Instant::now() + Duration::from_secs(20);
    let mut stream = loop {
        match UnixStream::connect(dir.join("front")) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "PROXY {source} 1000 80\r\n").unwrap();
    BufReader::new(stream)
}

/// The client of request `i`, as record.py has it.
fn source(spec: &str, i: u32) -> String {
    if spec.contains("source6") {
        let words = [2_654_435_761, 40503, 1, 2_246_822_519].map(|m: u32| i.wrapping_mul(m).wrapping_add(7));
        let all = words.iter().fold(0_u128, |a, w| a << 32 | u128::from(*w));
        return format!("TCP6 {} ::1", Ipv6Addr::from(all));
    }
    let ip = Ipv4Addr::from(i.wrapping_mul(2_654_435_761).wrapping_add(0x0102_0304));
    format!("TCP4 {ip} 127.0.0.1")
}

fn ask(client: &mut BufReader<UnixStream>, backend: usize, i: u32) -> char {
    write!(
        client.get_mut(),
        "GET /k{i}/{}?q={i} HTTP/1.1\r\nhost: a\r\nx-be: be{backend}\r\nx-key: k\u{e9}{}\r\n\r\n",
        u64::from(i) * 7919,
        i * 31
    )
    .unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        client.read_line(&mut line).unwrap();
    }
    let mut body = [0];
    client.read_exact(&mut body).unwrap();
    char::from(body[0])
}

#[test]
fn servers_are_chosen_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases();
    assert!(cases.len() > 140, "{} cases", cases.len());
    let file = dir.path().join("cfg");
    std::fs::write(&file, config(dir.path(), &cases)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let _weir = Weir(command.arg("-db").arg("-f").arg(&file).stderr(Stdio::null()).spawn().unwrap());
    let mut wrong = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let mut count = 0;
        // Two connections, so that both threads may take part: turns are shared. Not so with leastconn, where the end of
        // a request counts and the client cannot see when the other thread has noted it.
        let clients_used = if case.spec.contains("leastconn") { 1 } else { 2 };
        let mut clients = [0, 1].map(|_| connect(dir.path(), &source(case.spec, 0)));
        for expected in &case.expected {
            let mut got = String::new();
            for _ in 0..expected.len() {
                if case.spec.contains("source") {
                    got.push(ask(&mut connect(dir.path(), &source(case.spec, count)), n, count));
                } else {
                    got.push(ask(&mut clients[count as usize % clients_used], n, count));
                }
                count += 1;
            }
            if got != *expected {
                wrong
                    .push(format!("{} | {}\n  haproxy {expected}\n  weir    {got}", case.spec, case.servers));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
