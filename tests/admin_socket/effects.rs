//! What commands do to traffic.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::client::Client;
use crate::harness::console::{Console, ask};
use crate::harness::origin::Origin;
use crate::harness::process::{Program, Proxy};
use crate::harness::{listens, own_address};
use crate::rig::{LIMIT, Rig};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn named(name: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// An origin whose answers tell its name.
fn origin(address: Ipv4Addr, port: u16, name: &str) -> Origin {
    Origin::start(at(address, port), &[&named(name)])
}

/// Who answers one request on its own connection; empty: nobody.
fn who(address: Ipv4Addr) -> String {
    let Ok(mut client) = Client::try_connect(at(address, 8080)) else { return String::new() };
    client.send(GET);
    body(&client.response(false))
}

fn body(response: &[u8]) -> String {
    let text = String::from_utf8_lossy(response).into_owned();
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => body.to_owned(),
        Some((head, _)) => head.lines().next().unwrap_or("").to_owned(),
        None => text,
    }
}

fn refused(address: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect(at(address, port)).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const TWO: &str = "listen l\n    bind ADDR:8080\n    server a ADDR:9001\n    server b ADDR:9002\n";

fn start(global: &str, sections: &str) -> (Rig, Ipv4Addr) {
    let address = own_address();
    (Rig::start(Program::Weir, global, sections, address), address)
}

#[test]
fn a_disabled_frontend_refuses_and_comes_back() {
    let (rig, address) = start("", &format!("{TWO}    bind ADDR:8081\n"));
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    let mut kept = Client::connect(at(address, 8080));
    kept.send(GET);
    assert_eq!(body(&kept.response(false)), "a");
    for _ in 0..3 {
        assert_eq!(rig.ask("disable frontend l"), "\n");
        assert!(refused(address, 8080) && refused(address, 8081));
        kept.send(GET);
        assert!(!body(&kept.response(false)).is_empty(), "what runs goes on");
        assert_eq!(rig.ask("enable frontend l"), "\n");
        assert!(!who(address).is_empty());
    }
    assert_eq!(rig.ask("shutdown frontend l"), "\n");
    assert!(refused(address, 8080) && refused(address, 8081));
    // The address is free.
    eventually("the address is released", || std::net::TcpListener::bind(at(address, 8080)).is_ok());
    kept.send(GET);
    assert!(!body(&kept.response(false)).is_empty());
}

#[test]
fn an_idle_process_that_was_paused_uses_no_processor_time() {
    let (rig, address) = start("", TWO);
    // Threads may be late to hear of it: some find it open again.
    for _ in 0..50 {
        rig.ask("disable frontend l; enable frontend l");
    }
    let _a = origin(address, 9001, "a");
    assert_eq!(who(address), "a");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", rig.proxy.pid())).unwrap();
        let rest: Vec<u64> =
            stat.rsplit(") ").next().unwrap().split(' ').filter_map(|w| w.parse().ok()).collect();
        // utime and stime, in hundredths of a second; the first word after the name is no number.
        rest[10] + rest[11]
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    let used = ticks() - before;
    assert!(used < 20, "{used} hundredths of a second of processor time in half a second");
}

#[test]
fn signals_pause_and_resume() {
    let (rig, address) = start("", TWO);
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    rig.proxy.signal("TTOU");
    eventually("paused", || !listens(address.into(), 8080));
    assert!(refused(address, 8080));
    // Another process may take the address meanwhile.
    let other = Proxy::start(
        Program::HaProxy,
        &format!(
            "defaults\n    mode http\n    timeout client 5s\nfrontend f\n    bind {address}:8080\n    http-request return status 204\n"
        ),
        address,
        &[8080],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(who(address), "HTTP/1.1 204 No Content");
    drop(other);
    rig.proxy.signal("TTIN");
    eventually("resumed", || listens(address.into(), 8080));
    assert_eq!(who(address), "a");
    assert!(
        rig.proxy.stderr().contains("Paused proxy l.") && rig.proxy.stderr().contains("Resumed proxy l.")
    );
}

/// What the next process has is the next process's: an old one that finishes takes no new clients, and keeps those it has.
#[test]
fn a_finishing_process_leaves_its_sockets() {
    let address = own_address();
    let global = format!("    stats socket ipv4@{address}:8089 level admin\n");
    let rig = Rig::start(Program::Weir, &global, TWO, address);
    let silent = std::net::TcpListener::bind(at(address, 9001)).unwrap();
    let mut client = Client::connect(at(address, 8080));
    client.send(GET);
    let _held = silent.accept().unwrap();
    let mut inside = Console::connect(&rig.socket("admin"));
    inside.send(b"prompt\n");
    inside.until("> ");
    rig.proxy.signal("USR1");
    eventually("let go", || refused(address, 8089) && refused(address, 8080));
    let path = rig.socket("admin");
    eventually("refuses", || std::os::unix::net::UnixStream::connect(&path).is_err());
    inside.send(b"show cli level\nquit\n");
    assert_eq!(inside.rest(), b"admin\n\n> ");
}

#[test]
fn traffic_follows_a_moved_server() {
    let (rig, address) =
        start("", "listen l\n    bind ADDR:8080\n    http-reuse always\n    server a ADDR:9001\n");
    let _a = origin(address, 9001, "old");
    let _b = origin(address, 9002, "new");
    let mut client = Client::connect(at(address, 8080));
    for _ in 0..3 {
        client.send(GET);
        assert_eq!(body(&client.response(false)), "old");
    }
    let said = rig.ask(&format!("set server l/a addr {address} port 9002"));
    assert_eq!(
        said,
        "no need to change the addr, port changed from '9001' to '9002' by 'stats socket command'\n\n"
    );
    // Neither the idle connection to the old address nor another one is used.
    client.send(GET);
    assert_eq!(body(&client.response(false)), "new");
    assert_eq!(who(address), "new");
    assert!(rig.ask("show stat l 4 1").contains(&format!("{address}:9002")));
}

#[test]
fn checks_follow_a_moved_server() {
    let (rig, address) = start("", "listen l\n    bind ADDR:8080\n    server a ADDR:9001 check inter 50ms\n");
    eventually("down", || rig.ask("show stat l 4 1").contains(",DOWN,"));
    let _b = origin(address, 9002, "new");
    rig.ask(&format!("set server l/a addr {address} port 9002"));
    eventually("up", || who(address) == "new");
}

#[test]
fn more_room_lets_in_who_waits() {
    let (rig, address) =
        start("", "listen l\n    bind ADDR:8080\n    maxconn 1\n    server a ADDR:9001 maxconn 1\n");
    let silent = std::net::TcpListener::bind(at(address, 9001)).unwrap();
    let mut first = Client::connect(at(address, 8080));
    first.send(GET);
    let (_held, _) = silent.accept().unwrap();
    let mut second = Client::connect(at(address, 8080));
    second.send(GET);
    // The frontend's limit first, then the server's.
    assert_eq!(rig.ask("set maxconn frontend l 5"), "\n");
    eventually("queued", || rig.ask("show stat l 2 0").contains("l,BACKEND,1,1,"));
    assert_eq!(rig.ask("set maxconn server l/a 2"), "\n");
    let (mut served, _) = silent.accept().unwrap();
    use std::io::Write;
    served.write_all(named("late").as_bytes()).unwrap();
    assert_eq!(body(&second.response(false)), "late");
}

#[test]
fn the_process_limit() {
    let (rig, address) = start("    maxconn 10\n", TWO);
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    rig.ask("set maxconn global 1");
    let mut first = Client::connect(at(address, 8080));
    first.send(GET);
    assert!(!body(&first.response(false)).is_empty());
    let mut second = Client::connect(at(address, 8080));
    second.send(GET);
    second.set_limit(Duration::from_millis(200));
    assert!(second.response(false).is_empty(), "served beyond the limit");
    rig.ask("set maxconn global 0");
    second.set_limit(LIMIT);
    assert!(!body(&second.response(false)).is_empty());
}

#[test]
fn sessions_of_a_server_are_shut_down() {
    let (rig, address) = start("", TWO);
    let silent = std::net::TcpListener::bind(at(address, 9001)).unwrap();
    let mut client = Client::connect(at(address, 8080));
    client.send(GET);
    let _held = silent.accept().unwrap();
    assert_eq!(rig.ask("shutdown sessions server l/b"), "\n");
    client.set_limit(Duration::from_millis(100));
    assert!(client.response(false).is_empty());
    assert_eq!(rig.ask("shutdown sessions server l/a"), "\n");
    client.set_limit(LIMIT);
    let (_, closed) = client.rest();
    assert!(closed);
}

#[test]
fn counters_are_cleared() {
    // One thread: with two, a request may come while the one before is still being put away.
    let (rig, address) = start("    nbthread 1\n", TWO);
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    for _ in 0..6 {
        assert!(!who(address).is_empty());
    }
    let row = |sid: &str, kind: &str| {
        let all = rig.ask(&format!("show stat l {kind} {sid}"));
        all.lines().nth(1).unwrap_or("").split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("counted", || row("0", "1")[7] == "6" && row("0", "2")[7] == "6" && row("0", "1")[4] == "0");
    assert_eq!((row("1", "4")[7].as_str(), row("1", "4")[5].as_str()), ("3", "1"));
    rig.ask("clear counters");
    assert_eq!((row("1", "4")[7].as_str(), row("1", "4")[5].as_str()), ("3", "0"));
    rig.ask("clear counters all");
    for (sid, kind) in [("0", "1"), ("0", "2"), ("1", "4"), ("2", "4")] {
        let row = row(sid, kind);
        assert_eq!((row[5].as_str(), row[7].as_str(), row[8].as_str()), ("0", "0", "0"), "{row:?}");
    }
    assert!(!who(address).is_empty());
    eventually("counts again", || row("0", "1")[7] == "1");
}

/// The steps of Ansible's `haproxy` module around a deployment, while requests go on: none may fail.
#[test]
fn enable_and_disable_under_load() {
    let (rig, address) = start("", TWO);
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..3)
            .map(|i| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    let mut client = Client::connect(at(address, 8080));
                    while !stop.load(Ordering::Relaxed) {
                        if i == 0 {
                            client = Client::connect(at(address, 8080));
                        }
                        client.send(GET);
                        let got = body(&client.response(false));
                        if got != "a" && got != "b" {
                            failures.push(got);
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    failures
                })
            })
            .collect();
        let status = |server: &str| {
            let all = rig.ask("show stat");
            let line = all.lines().find(|l| l.starts_with(&format!("l,{server},"))).unwrap().to_owned();
            let columns: Vec<&str> = line.split(',').collect();
            (columns[17].to_owned(), columns[4].to_owned())
        };
        for round in 0..3 {
            for server in ["a", "b"] {
                assert!(rig.ask(&format!("get weight l/{server}")).starts_with("1 (initial 1)"));
                rig.ask(&format!("set server l/{server} state drain"));
                eventually("drained", || status(server) == ("DRAIN".into(), "0".into()));
                rig.ask(&format!("disable server l/{server}"));
                eventually("in maintenance", || status(server) == ("MAINT".into(), "0".into()));
                rig.ask(&format!("enable server l/{server}"));
                assert_eq!(status(server).0, "no check", "round {round}");
                let before = done.load(Ordering::Relaxed);
                eventually("requests go on", || done.load(Ordering::Relaxed) > before + 20);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for thread in load {
            let failures = thread.join().unwrap();
            assert!(failures.is_empty(), "{failures:?}");
        }
    });
}

#[test]
fn a_thousand_idle_clients_are_nobodys_business() {
    let (rig, address) = start("    stats maxconn 2000\n", TWO);
    let _a = origin(address, 9001, "a");
    let _b = origin(address, 9002, "b");
    let socket = rig.socket("admin");
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", rig.proxy.pid())).unwrap().count();
    let before = descriptors();
    let mut idle: Vec<Console> = (0..1000).map(|_| Console::connect(&socket)).collect();
    // All of them are inside, not in the backlog.
    eventually("a thousand clients are let in", || descriptors() >= before + 1000);
    for console in idle.iter_mut().take(500) {
        console.send(b"prompt\nshow in");
    }
    for _ in 0..20 {
        assert!(!who(address).is_empty());
    }
    assert_eq!(ask(&socket, "show cli level"), "admin\n\n");
    for console in idle.iter_mut().take(5) {
        console.send(b"fo\nquit\n");
        assert!(String::from_utf8_lossy(&console.rest()).contains("> Name: HAProxy\n"));
    }
    drop(idle);
    // Traffic may have left some idle connections to servers.
    eventually("their descriptors are given back", || descriptors() < before + 50);
}

/// State written by weir is state to haproxy.
#[test]
fn haproxy_reads_the_state_weir_wrote() {
    let address = own_address();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("state");
    let sections = "backend b\n    server s1 ADDR:9001 weight 10\n    server s2 ADDR:9002\n    server s3 ADDR:9003\nfrontend f\n    bind ADDR:8080\n    default_backend b\n";
    let states = |rig: &Rig| {
        let all = rig.ask("show servers state");
        let lines = all.lines().filter(|l| l.starts_with("2 b "));
        // Without the time since the last change.
        lines
            .map(|l| {
                l.split(' ')
                    .enumerate()
                    .filter(|(i, _)| *i != 9)
                    .map(|(_, w)| w)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect::<Vec<_>>()
    };
    let rig = Rig::start(Program::Weir, "", sections, address);
    rig.ask(&format!(
        "set weight b/s1 3; set server b/s2 state maint; set server b/s3 state drain; set server b/s1 addr {address} port 9009"
    ));
    std::fs::write(&file, rig.ask("show servers state")).unwrap();
    let written = states(&rig);
    drop(rig);
    let global = format!("    server-state-file {}\n", file.display());
    let loads = sections.replace("backend b\n", "backend b\n    load-server-state-from-file global\n");
    let rig = Rig::start(Program::HaProxy, &global, &loads, address);
    let read = states(&rig);
    assert_eq!(read.len(), 3);
    for (written, read) in written.iter().zip(&read) {
        // Names, states and weights; an address comes back by its port alone.
        let shown = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            [words[3], words[5], words[6], words[7], words[17]].join(" ")
        };
        assert_eq!(shown(written), shown(read));
    }
}

/// Values made by command go out, and send the next request to their server.
#[test]
fn dynamic_cookies_by_command_carry_requests() {
    let sections = "listen l\n    bind ADDR:8080\n    cookie SRV insert\n    server a ADDR:9001\n    server b ADDR:9002\n";
    let (rig, address) = start("", sections);
    let (_a, _b) = (origin(address, 9001, "a"), origin(address, 9002, "b"));
    assert_eq!(rig.ask("set dynamic-cookie-key backend l secret"), "\n");
    assert_eq!(rig.ask("enable dynamic-cookie backend l"), "\n");
    let ask = |cookie: &str| {
        let mut client = Client::connect(at(address, 8080));
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: SRV={cookie}\r\n\r\n").as_bytes());
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        let set = answer.lines().find_map(|l| l.strip_prefix("set-cookie: SRV=")?.strip_suffix("; path=/"));
        (set.map(str::to_owned), body(answer.as_bytes()))
    };
    let (value, server) = ask("none");
    let value = value.unwrap();
    assert_eq!(value.len(), 16, "{value}");
    for _ in 0..3 {
        assert_eq!(ask(&value), (None, server.clone()));
    }
    assert_eq!(rig.ask("set dynamic-cookie-key backend l another"), "\n");
    let (next, _) = ask(&value);
    assert!(next.is_some_and(|next| next != value), "the old value names nobody");
    assert_eq!(rig.ask("disable dynamic-cookie backend l"), "\n");
    assert!(ask(&value).0.is_some_and(|set| set.starts_with("; Expires=")), "no server has a value");
}

#[test]
fn an_unpublished_backend_is_passed_over() {
    let sections = "frontend f\n    bind ADDR:8080\n    use_backend %[path,field(2,/)] if { path_beg /dyn }\n    \
        use_backend a if { always_true }\n    use_backend b if { always_true }\n    default_backend c\n\
        frontend t\n    mode tcp\n    bind ADDR:8081\n    use_backend ta if { always_true }\n    default_backend tb\n\
        backend a\n    server s ADDR:9001\nbackend b\n    server s ADDR:9002\nbackend c\n    server s ADDR:9003\n\
        backend ta\n    mode tcp\n    server s ADDR:9001\nbackend tb\n    mode tcp\n    server s ADDR:9002\n";
    let (rig, address) = start("", sections);
    let _origins = [(9001, "a"), (9002, "b"), (9003, "c")].map(|(port, name)| origin(address, port, name));
    let by_tcp = || {
        let mut client = Client::connect(at(address, 8081));
        client.send(GET);
        body(&client.response(false))
    };
    assert_eq!((who(address).as_str(), by_tcp().as_str()), ("a", "a"));
    assert_eq!(
        rig.ask("unpublish backend a; unpublish backend ta"),
        "Backend unpublished.\n\nBackend unpublished.\n\n"
    );
    assert_eq!((who(address).as_str(), by_tcp().as_str()), ("b", "b"));
    rig.ask("unpublish backend b");
    assert_eq!(who(address), "c");
    rig.ask("unpublish backend c");
    assert_eq!(who(address), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(rig.ask("publish backend a"), "Backend published.\n\n");
    assert_eq!(who(address), "a");
    assert_eq!(rig.ask("publish backend none"), "No such backend.\n\n");
    assert_eq!(rig.ask("unpublish backend"), "A backend name is expected.\n\n");
    assert!(rig.ask("add backend x from y").contains("keeps the backends it has"));
}
