//! Rings: what is kept of logs, who reads it, and log servers that get it over TCP.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::client::Client;
use crate::harness::console::Console;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{LIMIT, Rig, compare};

const SECTIONS: &str = "
ring plain
    description Lines without a header
ring named
    description \"In quotes\"
    format priority
    maxlen 60
    size 32768
ring other
    format short
    maxlen 20000
backend b
    log ring@plain local0
    log ring@named format rfc5424 local7 notice
    log ring@other len 80 local1 debug warning
    log ring@buf0 local0 emerg
    server s1 ADDR:9001
    server s2 ADDR:9002
frontend f
    bind ADDR:8080
";

#[test]
fn events_as_haproxy_keeps_them() {
    compare(
        "",
        SECTIONS,
        &[
            "show events",
            "user: show events",
            "show events plain",
            "disable server b/s1",
            "show events plain",
            "show events named",
            "show events other",
            "show events buf0",
            "enable server b/s1",
            "disable server b/s2; disable server b/s1",
            "show events plain",
            "show events named",
            "show events other",
            "show events named -n",
            "show events nope",
            "show events stdout",
            "show events stderr -w",
            "show events plain x",
            "show events plain -x",
            "show events plain -",
            "show events plain -nx",
            "show events plain -n x",
            "show events plain w",
            "user: show events plain",
            "operator: show events plain",
            "show events",
        ],
    );
}

/// What is asked for with `-w` comes as it happens; a key ends it.
#[test]
fn following() {
    for program in [Program::HaProxy, Program::Weir] {
        let rig = Rig::start(program, "", SECTIONS, own_address());
        rig.ask("disable server b/s1");
        let follow = |options: &str| {
            let mut console = Console::connect(&rig.socket("admin"));
            console.send(format!("show events plain {options}\n").as_bytes());
            console
        };
        let mut all = follow("-w");
        assert!(all.until("\n").contains("Server b/s1 is going DOWN"), "{program:?}");
        rig.ask("disable server b/s2");
        assert!(all.until("\n").contains("Server b/s2 is going DOWN"), "{program:?}");
        assert!(all.until("\n").contains("no server available"), "{program:?}");
        all.send(b"x\n");
        // haproxy 2.6 answers only once the client says more.
        if program == Program::HaProxy {
            all.finish_sending();
            continue;
        }
        assert_eq!(String::from_utf8_lossy(&all.rest()), "\n", "{program:?}");
    }
}

/// A full ring forgets the oldest lines, and only those.
#[test]
fn the_oldest_go_first() {
    let rig = Rig::start(Program::Weir, "", SECTIONS, own_address());
    for _ in 0..120 {
        rig.ask("disable server b/s1; enable server b/s1");
    }
    let lines = rig.ask("show events plain");
    assert!(lines.len() > 15_000 && lines.len() <= 16_384, "{} bytes", lines.len());
    let downs = lines.lines().filter(|l| l.contains("going DOWN")).count();
    let ups = lines.lines().filter(|l| l.contains("is UP")).count();
    assert!(downs.abs_diff(ups) <= 1 && downs > 20, "{downs} {ups}");
}

fn read_until(socket: &mut TcpStream, end: &str) -> String {
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut text = Vec::new();
    let mut chunk = [0; 1024];
    while !String::from_utf8_lossy(&text).contains(end) {
        match socket.read(&mut chunk).unwrap() {
            0 => panic!("closed after {}", String::from_utf8_lossy(&text)),
            n => text.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let started = Instant::now();
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).unwrap();
                return socket;
            }
            Err(e) => {
                assert!(started.elapsed() < LIMIT, "nobody connects: {e}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Lines go to the log servers in the two forms, those from before a server was there as well; none is lost while one is
/// away.
#[test]
fn log_servers() {
    let sections = "
ring r
    timeout connect 5s
    timeout server 5s
    server counted ADDR:9101 log-proto octet-count
    server plain ADDR:9102
frontend f
    bind ADDR:8080
    log ring@r local0
    log-format \"<%HP>\"
    http-request return status 200
";
    for program in [Program::HaProxy, Program::Weir] {
        let address: Ipv4Addr = own_address();
        let at = |port| SocketAddr::new(address.into(), port);
        let rig = Rig::start(program, "", sections, address);
        let ask = |path: &str| {
            let mut client = Client::connect(at(8080));
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            client.response(false);
        };
        ask("/before");
        let (counted, plain) = (TcpListener::bind(at(9101)).unwrap(), TcpListener::bind(at(9102)).unwrap());
        let (mut counted, mut first) = (accept(&counted), accept(&plain));
        ask("/with");
        assert_eq!(read_until(&mut counted, "/with>"), "9 </before>7 </with>", "{program:?}");
        assert_eq!(read_until(&mut first, "/with>\n"), "</before>\n</with>\n", "{program:?}");
        drop(first);
        let mut second = accept(&plain);
        ask("/after");
        assert!(read_until(&mut second, "/after>\n").ends_with("</after>\n"), "{program:?}");
        assert_eq!(read_until(&mut counted, "/after>"), "8 </after>", "{program:?}");
        assert!(rig.ask("show events r").starts_with("</before>\n</with>\n</after>\n"), "{program:?}");
    }
}
