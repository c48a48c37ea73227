//! Servers added and removed while the process runs.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{PORT, Rig, compare_answers};

const LIMIT: Duration = Duration::from_secs(20);

const SECTIONS: &str = "frontend f
    bind ADDR:8080
    default_backend b
backend b
    balance roundrobin
    server s1 ADDR:9001 check inter 60s
    server s2 ADDR:9001 track s1
    use-server s3 if { path /x }
    server s3 ADDR:9001
backend st
    balance static-rr
    server s1 ADDR:9001
backend nos
    balance leastconn
";

#[test]
fn answers_of_the_dynamic_server_family() {
    compare_answers(
        "",
        SECTIONS,
        &[
            "add server",
            "add server b",
            "add server b/x",
            "add server b/s1 1.1.1.1:80",
            "add server nope/x 1.1.1.1:80",
            "add server st/x 1.1.1.1:80",
            "add server b/x 1.1.1.1:80",
            "add server b/x 1.1.1.1:80",
            "add server b/y ADDR:9001 check inter 1s weight 5 maxconn 10 id 77 backup",
            "add server b/z0 ADDR:9001 id 77",
            "add server b/z1 1.1.1.1:80 cookie a",
            "add server b/z1 1.1.1.1:80 resolvers x",
            "add server b/z1 1.1.1.1:80 redir /x",
            "add server b/w 1.1.1.1:80 enabled",
            "add server b/v 1.1.1.1:80 track s1",
            "add server b/u 1.1.1.1:80 track b/x",
            "add server b/t 1.1.1.1:80 disabled",
            "add server b/z 1.1.1.1:80 slowstart 5s",
            "add server nos/q foo.example:80",
            "del server",
            "del server b",
            "del server b/none",
            "del server x/y",
            "del server b/s1",
            "del server b/s2",
            "del server b/s3",
            "del server b/w",
            "del server b/x",
            "del server b/x",
            "del server b/t",
            "del server nos/q",
            "add server b/x 1.1.1.1:80",
            "operator: add server b/xx 1.1.1.1:80",
            "operator: del server b/x",
        ],
    );
}

fn get(address: std::net::Ipv4Addr) -> String {
    let mut client = Client::connect((address, PORT).into());
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(client.response(false)).unwrap();
    answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
}

fn origins(address: std::net::Ipv4Addr) -> [Origin; 2] {
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo";
    [Origin::start((address, 9001).into(), &[one]), Origin::start((address, 9002).into(), &[two])]
}

const ONE: &str = "frontend f
    bind ADDR:8080
    default_backend b
backend b
    balance ALGORITHM
    server s1 ADDR:9001
";

/// A server that was added gets requests once it is enabled, and none when it is gone.
#[test]
fn an_added_server_takes_requests() {
    for algorithm in ["roundrobin", "leastconn", "first", "random", "hdr(x)\n    hash-type consistent"] {
        let address = own_address();
        let _origins = origins(address);
        let rig = Rig::start(Program::Weir, "", &ONE.replace("ALGORITHM", algorithm), address);
        let console = |line: &str| rig.ask(&line.replace("ADDR", &address.to_string()));
        assert_eq!(get(address), "one");
        assert_eq!(console("add server b/s2 ADDR:9002"), "New server registered.\n\n");
        assert_eq!(get(address), "one", "{algorithm}");
        enable(&rig, "s2");
        disable(&rig, "s1");
        assert_eq!(get(address), "two", "{algorithm}");
        assert_eq!(console("del server b/s1"), "Server deleted.\n");
        assert_eq!(get(address), "two", "{algorithm}");
        disable(&rig, "s2");
        assert_eq!(console("del server b/s2"), "Server deleted.\n");
        assert!(get(address).contains("503"), "{algorithm}");
        // A name can be used again.
        assert_eq!(console("add server b/s1 ADDR:9001 enabled"), "New server registered.\n\n");
        assert_eq!(get(address), "one", "{algorithm}");
    }
}

fn enable(rig: &Rig, server: &str) {
    assert_eq!(rig.ask(&format!("enable server b/{server}")), "\n");
}

fn disable(rig: &Rig, server: &str) {
    assert_eq!(rig.ask(&format!("disable server b/{server}")), "\n");
}

/// The check of an added server runs once it is enabled, and takes it down.
#[test]
fn an_added_server_is_checked() {
    let address = own_address();
    let origins = origins(address);
    let sections = ONE.replace("ALGORITHM", "roundrobin\n    option httpchk GET /alive");
    let rig = Rig::start(Program::Weir, "", &sections, address);
    let line = format!("add server b/s2 {address}:9002 check inter 50ms rise 1 fall 1 enabled");
    assert_eq!(rig.ask(&line), "New server registered.\n\n");
    assert_eq!(rig.ask("enable health b/s2"), "\n");
    let end = Instant::now() + LIMIT;
    while !origins[1].seen().iter().any(|r| r.starts_with("GET /alive")) {
        assert!(Instant::now() < end, "no check came");
        std::thread::yield_now();
    }
    disable(&rig, "s2");
    assert_eq!(rig.ask("del server b/s2"), "Server deleted.\n");
    assert_eq!(get(address), "one");
}

#[test]
fn waiting_ends_when_the_server_can_go() {
    let address = own_address();
    let _origin = std::net::TcpListener::bind((address, 9001)).unwrap();
    let rig = Rig::start(Program::Weir, "", &ONE.replace("ALGORITHM", "roundrobin"), address);
    // What follows in one go waits too: that is how scripts use it.
    assert_eq!(rig.ask("wait 20; echo then"), "Done.\n\nthen\n\n");
    assert_eq!(rig.ask("wait 20\necho then"), "Done.\n\nthen\n\n");
    interrupt(&rig);
    assert_eq!(rig.ask("wait 1"), "Done.\n\n");
    assert!(rig.ask("wait -h").starts_with("Usage: wait"));
    assert_eq!(
        rig.ask("wait 10s srv-removable b/s1"),
        "Only servers in maintenance mode can be deleted.\n\n"
    );
    assert_eq!(rig.ask("wait 10s srv-removable b/none"), "No such server.\n\n");
    let mut client = Client::connect((address, PORT).into());
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let end = Instant::now() + LIMIT;
    while !rig.ask("show sess").contains("srv=s1") {
        assert!(Instant::now() < end, "the request never came to its server");
    }
    disable(&rig, "s1");
    assert_eq!(
        rig.ask("wait 10 srv-removable b/s1"),
        "Server still has connections attached to it, cannot remove it.\n\n"
    );
    let started = Instant::now();
    assert_eq!(rig.ask("shutdown sessions server b/s1;wait 20s srv-removable b/s1"), "\nDone.\n\n");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(rig.ask("del server b/s1"), "Server deleted.\n");
}

/// A key ends a wait, whenever it is typed.
fn interrupt(rig: &Rig) {
    let mut client = UnixStream::connect(rig.socket("admin")).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(b"prompt i\nwait 1h; echo then\n").unwrap();
    let mut typist = client.try_clone().unwrap();
    std::thread::spawn(move || {
        while typist.write_all(b"\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"then\n") && client.read_exact(&mut byte).is_ok() {
        said.extend_from_slice(&byte);
    }
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "\nInterrupted.\n\nthen\n");
}
