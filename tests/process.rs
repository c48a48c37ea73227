//! The process as scripts and init systems see it: flags, exit codes, pid file, signals, sockets, privileges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::eventually;
use harness::process::{Program, Proxy, is_alive, signal};
use tempfile::TempDir;

const DEFAULTS: &str =
    "defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(8);

fn answering(address: Ipv4Addr) -> String {
    format!("{DEFAULTS}frontend f\n    bind {address}:8080\n    http-request return status 200\n")
}

fn start(config: &str, address: Ipv4Addr) -> Proxy {
    Proxy::start(Program::Weir, config, address, &[8080]).unwrap_or_else(|error| panic!("{error}"))
}

fn front(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(address.into(), 8080)
}

#[test]
fn version_lines_that_scripts_read() {
    let output = Program::Weir.run(&["-v"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(text.starts_with("HAProxy version 3.4"), "{text}");
    assert!(text.contains("weir"), "{text}");
    let long = Program::Weir.run(&["-vv"]);
    let long = String::from_utf8_lossy(&long.stdout).into_owned();
    assert!(long.contains("HAProxy version 3.4"), "{long}");
    // What -vv claims is what `.if feature()` answers.
    let features = long.lines().find_map(|l| l.strip_prefix("Feature list : ")).expect("features");
    for feature in features.split(' ') {
        let (sign, name) = feature.split_at(1);
        let status = Program::Weir.run(&["-cc", &format!("feature({name})")]).status;
        assert_eq!(status.code(), Some(if sign == "+" { 0 } else { 1 }), "{feature}");
    }
}

#[test]
fn conditions_on_the_command_line() {
    for (condition, holds) in [
        ("version_atleast(2.4)", true),
        ("version_atleast(3.4)", true),
        ("version_before(3.4)", false),
        ("version_atleast(99.0)", false),
        ("streq(a,a)", true),
        ("strneq(a,a)", false),
        ("defined(PATH)", true),
        ("defined(SURELY_NOT_SET)", false),
        ("1", true),
        ("0", false),
        ("!streq(a,b) && 1", true),
    ] {
        let status = Program::Weir.run(&["-cc", condition]).status;
        assert_eq!(status.success(), holds, "{condition}: {status}");
    }
    assert_ne!(Program::Weir.run(&["-cc", "bogus("]).status.code(), Some(0));
}

#[test]
fn checking_says_valid_or_exits_with_one() {
    let good = answering(harness::own_address());
    let (code, output) = Program::Weir.check(&good);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("Configuration file is valid"), "{output}");
    assert_eq!(Program::Weir.check("frontend f\n    bogus\n").0, Some(1));
}

/// Of warnings nothing is said with `-q`, as with HAProxy; errors are told all the same.
#[test]
fn checking_quietly_says_nothing_but_errors() {
    let dir = TempDir::new().unwrap();
    let check = |program: Program, text: &str| {
        let file = dir.path().join("check.cfg");
        std::fs::write(&file, text).unwrap();
        let output = program.run(&["-c", "-q", "-f", &file.to_string_lossy()]);
        (output.status.code(), [output.stdout, output.stderr].concat())
    };
    let warned = "frontend f\n    bind 127.0.0.1:8080\n";
    for program in [Program::Weir, Program::HaProxy] {
        let (code, said) = check(program, warned);
        assert_eq!((code, String::from_utf8_lossy(&said).as_ref()), (Some(0), ""), "{program:?}");
    }
    let (code, said) = check(Program::Weir, &format!("{warned}    bogus\n"));
    assert_eq!(code, Some(1));
    assert!(String::from_utf8_lossy(&said).contains("unknown keyword 'bogus'"));
}

#[test]
fn several_files_and_a_directory() {
    let address = harness::own_address();
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(path("base.cfg"), DEFAULTS).unwrap();
    std::fs::write(
        path("conf.d/10-front.cfg"),
        format!("frontend f\n    bind {address}:8080\n    default_backend b\n"),
    )
    .unwrap();
    std::fs::write(path("conf.d/20-back.cfg"), "backend b\n    server s 127.0.0.1:1\n").unwrap();
    std::fs::write(path("conf.d/ignored.txt"), "nonsense\n").unwrap();
    let output = Program::Weir.run(&["-c", "-f", &path("base.cfg"), "-f", &path("conf.d")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let after = Program::Weir.run(&[
        "-c",
        "--",
        &path("base.cfg"),
        &path("conf.d/10-front.cfg"),
        &path("conf.d/20-back.cfg"),
    ]);
    assert_eq!(after.status.code(), Some(0), "{}", String::from_utf8_lossy(&after.stderr));
}

#[test]
fn an_address_in_use_is_an_error() {
    let address = harness::own_address();
    let _taken = TcpListener::bind((address, 8080)).unwrap();
    let error =
        Proxy::start(Program::Weir, &answering(address), address, &[8081]).expect_err("the port is taken");
    assert!(error.contains("exit status: 1"), "{error}");
    assert!(error.contains("cannot bind socket") || error.contains("Address already in use"), "{error}");
}

#[test]
fn daemon_writes_its_pid_and_ends_on_term() {
    let address = harness::own_address();
    let dir = TempDir::new().unwrap();
    let (config, pidfile) = (dir.path().join("cfg"), dir.path().join("pid"));
    std::fs::write(&config, answering(address)).unwrap();
    let output =
        Program::Weir.run(&["-D", "-f", &config.to_string_lossy(), "-p", &pidfile.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let pid: u32 = std::fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap();
    assert!(eventually(|| harness::listens(address.into(), 8080)));
    assert!(is_alive(pid));
    let mut client = Client::connect(front(address));
    client.send(GET);
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    signal(pid, "TERM");
    assert!(eventually(|| !is_alive(pid)), "still there after TERM");
    assert!(!harness::listens(address.into(), 8080));
}

#[test]
fn usr1_finishes_what_runs() {
    let address = harness::own_address();
    let origin = TcpListener::bind((address, 9001)).unwrap();
    let config = format!("{DEFAULTS}listen l\n    bind {address}:8080\n    server s {address}:9001\n");
    let mut proxy = start(&config, address);
    let mut client = Client::connect(front(address));
    client.send(GET);
    let (mut server, _) = origin.accept().unwrap();
    read_head(&mut server);
    proxy.signal("USR1");
    assert!(eventually(|| !harness::listens(address.into(), 8080)), "still listening after USR1");
    assert!(proxy.is_running(), "left with a request running");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
    assert!(client.response(false).ends_with(b"done"));
    drop((client, server));
    assert_eq!(proxy.wait(LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn usr1_ends_an_idle_process_at_once() {
    let address = harness::own_address();
    let mut proxy = start(&answering(address), address);
    proxy.signal("USR1");
    assert_eq!(proxy.wait(LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn term_and_int_end_at_once() {
    for name in ["TERM", "INT"] {
        let address = harness::own_address();
        let mut proxy = start(&answering(address), address);
        let _idle = TcpStream::connect(front(address)).unwrap();
        proxy.signal(name);
        assert!(proxy.wait(LIMIT).is_some(), "still there after {name}");
    }
}

#[test]
fn hup_leaves_it_running() {
    let address = harness::own_address();
    let config = format!(
        "{DEFAULTS}listen l\n    bind {address}:8080\n    http-request return status 200\n    server s {address}:9001\n"
    );
    let mut proxy = start(&config, address);
    proxy.signal("HUP");
    let mut client = Client::connect(front(address));
    client.send(GET);
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    assert!(proxy.is_running());
}

#[test]
fn hard_stop_after_bounds_a_graceful_stop() {
    let address = harness::own_address();
    let origin = TcpListener::bind((address, 9001)).unwrap();
    let config = format!(
        "global\n    hard-stop-after 300ms\n{DEFAULTS}listen l\n    bind {address}:8080\n    server s {address}:9001\n"
    );
    let mut proxy = start(&config, address);
    let mut client = Client::connect(front(address));
    client.send(GET);
    let (mut server, _) = origin.accept().unwrap();
    read_head(&mut server);
    proxy.signal("USR1");
    assert!(proxy.wait(Duration::from_secs(4)).is_some(), "hard-stop-after did not stop it");
}

#[test]
fn unix_and_abstract_sockets() {
    let address = harness::own_address();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("front.sock");
    let config = format!(
        "{DEFAULTS}frontend f\n    bind {address}:8080\n    bind unix@{} mode 600\n    default_backend b\n\
         backend b\n    server s abns@weir-test-{address}\n\
         frontend inner\n    bind abns@weir-test-{address}\n    http-request return status 200\n",
        path.display()
    );
    let _proxy = start(&config, address);
    assert_eq!(mode(&path), 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(GET).unwrap();
    let mut buffer = [0; 12];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
}

#[test]
fn privileges_are_dropped_after_binding() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let address = harness::own_address();
    let jail = TempDir::new().unwrap();
    let config = format!(
        "global\n    user nobody\n    group nogroup\n    chroot {}\n{DEFAULTS}frontend f\n    bind {address}:80\n    bind {address}:8080\n    http-request return status 200\n",
        jail.path().display()
    );
    let proxy =
        Proxy::start(Program::Weir, &config, address, &[80, 8080]).unwrap_or_else(|error| panic!("{error}"));
    let uid = || std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap_or_default();
    assert!(eventually(|| uid().contains("Uid:\t65534\t65534\t65534\t65534")), "{}", uid());
    assert!(uid().contains("Gid:\t65534\t65534\t65534\t65534"), "{}", uid());
    let root = std::fs::read_link(format!("/proc/{}/root", proxy.pid())).unwrap();
    assert_eq!(root, jail.path());
    let mut client = Client::connect(SocketAddr::new(address.into(), 80));
    client.send(GET);
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
}

/// The kernel gives the files of a process to its user only if its memory may be dumped.
#[test]
fn core_dumps_are_allowed_where_they_are_wanted() {
    use std::os::unix::fs::MetadataExt;
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    for (line, owner, core) in [("set-dumpable", 65_534, "unlimited"), ("no set-dumpable", 0, "0")] {
        let (address, dir) = (harness::own_address(), TempDir::new().unwrap());
        let file = dir.path().join("proxy.cfg");
        let identity = format!("global\n    {line}\n    user nobody\n    group nogroup\n");
        std::fs::write(&file, identity + &answering(address)).unwrap();
        let mut weir = Command::new("prlimit")
            .args(["--core=0:unlimited", "--fsize=1000000:unlimited"])
            .arg(Program::Weir.path())
            .args(["-db", "-f"])
            .arg(&file)
            .spawn()
            .unwrap();
        let listens = eventually(|| Client::try_connect(front(address)).is_ok());
        let place = format!("/proc/{}/limits", weir.id());
        let seen = || std::fs::metadata(&place).map(|m| m.uid()).ok();
        let owned = eventually(|| seen() == Some(owner));
        let (limits, seen) = (std::fs::read_to_string(&place).unwrap(), seen());
        weir.kill().unwrap();
        weir.wait().unwrap();
        assert!(listens && owned, "{line}: {seen:?}");
        let row = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[4..6], [core, "unlimited"], "{line}: {limits}");
    }
}

#[test]
fn maxconn_leaves_the_next_client_waiting() {
    let address = harness::own_address();
    let config = format!("global\n    maxconn 2\n{}", answering(address));
    let _proxy = start(&config, address);
    let mut first = Client::connect(front(address));
    let mut second = Client::connect(front(address));
    for client in [&mut first, &mut second] {
        client.send(GET);
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    }
    let mut third = Client::connect(front(address));
    third.send(GET);
    third.set_limit(Duration::from_millis(200));
    assert!(third.response(false).is_empty(), "served beyond maxconn");
    drop(first);
    third.set_limit(LIMIT);
    assert!(third.response(false).starts_with(b"HTTP/1.1 200"));
}

/// The converter `debug`: the same events as HAProxy's, but for their dates.
#[test]
fn debug_tells_a_ring_what_passes() {
    let mut told = Vec::new();
    for program in [Program::HaProxy, Program::Weir] {
        let (address, dir) = (harness::own_address(), TempDir::new().unwrap());
        let socket = dir.path().join("admin.sock");
        let config = format!(
            "global\n    stats socket {} level admin\n{DEFAULTS}frontend f\n    bind {address}:8080\n    \
             http-request set-var(txn.a) dst_port,debug(port)\n    http-request set-var(txn.a) str(x),debug\n    \
             http-request set-var(txn.a) bin(010261),debug(b)\n    http-request set-var(txn.a) bool(true),debug(,buf0)\n    \
             http-request set-var(txn.a) ipv6(2001:db8::1),debug(six,buf0)\n    http-request set-var(txn.a) req.hdr(none),debug(none)\n    \
             http-request set-var(txn.a) int(5),debug(err,stderr)\n    http-request set-var(txn.a) int(6),debug(out,stdout)\n    \
             http-request return status 200 hdr x-a %[int(4),debug]\n",
            socket.display()
        );
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[8080]).unwrap();
        let mut client = Client::connect(front(address));
        client.send(GET);
        assert!(String::from_utf8_lossy(&client.response(false)).contains("x-a: 4\r\n"));
        let events = harness::ask(&socket, "show events buf0");
        let lines =
            events.lines().filter_map(|line| line.split_once(" [debug] ")).map(|(_, rest)| rest.to_owned());
        let mut lines: Vec<String> = lines.collect();
        assert!(eventually(|| proxy.stderr().contains("[debug] err: type=sint <5>")));
        assert!(eventually(|| proxy.stdout().contains("[debug] out: type=sint <6>")));
        lines.sort();
        told.push(lines);
    }
    assert_eq!(told[0].len(), 6, "{told:?}");
    assert_eq!(told[0], told[1]);
    let bad = format!(
        "{DEFAULTS}frontend f\n    bind 127.0.0.1:1\n    http-request set-header a %[src,debug(a,nope)]\n"
    );
    assert!(Program::Weir.check(&bad).1.contains("No such sink 'nope'"));
}

#[test]
fn an_unpublished_backend_is_for_those_who_force_their_way() {
    let address = harness::own_address();
    let config = format!(
        "{DEFAULTS}frontend f\n    bind {address}:8080\n    force-be-switch if {{ hdr(x-try) 1 }}\n    use_backend new if {{ path /new }}\n    \
         default_backend new\nbackend new\n    be-unpublished\n    http-request return status 204\n"
    );
    let _proxy = start(&config, address);
    for (request, expected) in [
        ("GET /new HTTP/1.1\r\nHost: h\r\n\r\n", "503"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "503"),
        ("GET /new HTTP/1.1\r\nHost: h\r\nX-Try: 1\r\n\r\n", "204"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Try: 1\r\n\r\n", "204"),
    ] {
        let mut client = Client::connect(front(address));
        client.send(request.as_bytes());
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{request}: {answer}");
    }
}

/// Where any address may be bound, binding does not tell whose it is.
#[test]
fn own_addresses_are_known_under_ip_nonlocal_bind() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = TempDir::new().unwrap();
    let (file, socket) = (dir.path().join("proxy.cfg"), dir.path().join("front.sock"));
    let config = format!(
        "{DEFAULTS}frontend f\n    bind unix@{} accept-proxy\n    http-request return status 200 hdr x-local %[src_is_local]%[dst_is_local]\n",
        socket.display()
    );
    std::fs::write(&file, config).unwrap();
    // A namespace of its own; the unix socket is reached from outside.
    let prepare = "ip link set lo up && ip addr add 192.0.2.5/32 dev lo && ip addr add 2001:db8::5/128 dev lo && \
                   sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1 && exec \"$@\"";
    let mut weir = Command::new("unshare")
        .args(["-n", "sh", "-c", prepare, "sh"])
        .arg(Program::Weir.path())
        .args(["-db", "-f"])
        .arg(&file)
        .spawn()
        .unwrap();
    let connected = eventually(|| UnixStream::connect(&socket).is_ok());
    let ask = |from: &str| {
        let mut stream = UnixStream::connect(&socket).ok()?;
        stream.write_all(format!("PROXY {from} 1000 80\r\nGET / HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|line| line.strip_prefix("x-local: ").map(str::to_owned))
    };
    let answers =
        ["TCP4 192.0.2.5 192.0.2.6", "TCP4 198.51.100.1 192.0.2.5", "TCP6 2001:db8::5 2001:db8::6"].map(ask);
    weir.kill().unwrap();
    weir.wait().unwrap();
    assert!(connected);
    assert_eq!(answers.map(Option::unwrap_or_default), ["10", "01", "10"]);
}

/// One thread, so that clients are accepted in the order they come.
#[test]
fn maxsslconn_leaves_the_next_client_waiting() {
    let (address, dir) = (harness::own_address(), TempDir::new().unwrap());
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "own", &["h"]);
    let config = format!(
        "global\n    nbthread 1\n    maxsslconn 1\n{DEFAULTS}frontend f\n    bind {address}:8080\n    bind {address}:8443 ssl crt {}\n    http-request return status 200\n",
        dir.path().join("own.pem").display()
    );
    let _proxy = start(&config, address);
    let at = SocketAddr::new(address.into(), 8443);
    let first = TcpStream::connect(at).unwrap();
    // What is no handshake is answered all the same, once its turn has come.
    let mut second = TcpStream::connect(at).unwrap();
    second.write_all(GET).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let early = second.read(&mut [0; 1]);
    assert!(early.is_err(), "served beyond maxsslconn: {early:?}");
    // Others do not mind.
    let mut plain = Client::connect(front(address));
    plain.send(GET);
    assert!(plain.response(false).starts_with(b"HTTP/1.1 200"));
    drop(first);
    second.set_read_timeout(Some(LIMIT)).unwrap();
    let answer = second.read(&mut [0; 1]);
    let waited = answer.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!waited, "not served after the first has gone");
}

#[test]
fn maxsslconn_refuses_connections_to_servers_beyond_it() {
    let address = harness::own_address();
    let origin = TcpListener::bind((address, 9001)).unwrap();
    let config = format!(
        "global\n    maxsslconn 1\n{DEFAULTS}    retries 0\nlisten l\n    bind {address}:8080\n    server s {address}:9001 ssl verify none\n"
    );
    let _proxy = start(&config, address);
    let mut first = Client::connect(front(address));
    first.send(GET);
    // Its handshake is under way: the first bytes of it are there, and never answered.
    let mut held = origin.accept().unwrap().0;
    held.read_exact(&mut [0; 5]).unwrap();
    let mut second = Client::connect(front(address));
    second.send(GET);
    assert!(second.response(false).starts_with(b"HTTP/1.1 503"));
    drop((first, held));
}

#[test]
fn capabilities_outlive_a_change_of_user() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    for (line, effective) in [
        ("", "0000000000000000"),
        ("    setcap cap_net_bind_service\n", "0000000000000400"),
        ("    setcap cap_net_raw,cap_net_bind_service\n", "0000000000002400"),
    ] {
        let address = harness::own_address();
        let config = format!("global\n    user nobody\n{line}{}", answering(address));
        let proxy = start(&config, address);
        // The threads that serve were started afterwards.
        let threads =
            || std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).into_iter().flatten().flatten();
        let status = |entry: std::fs::DirEntry| {
            std::fs::read_to_string(entry.path().join("status")).unwrap_or_default()
        };
        let expected = format!("CapEff:\t{effective}");
        let all = || threads().map(status).all(|s| s.contains("Uid:\t65534\t65534") && s.contains(&expected));
        assert!(eventually(all), "{line}: {:?}", threads().map(status).collect::<Vec<_>>());
    }
}

/// The bound is one that a slow machine cannot miss: no run may be faster than the limits allow.
#[test]
fn rates_hold_clients_back() {
    for (global, front) in [("maxconnrate 5", ""), ("maxsessrate 5", ""), ("", "rate-limit sessions 5")] {
        let address = harness::own_address();
        let config = format!(
            "global\n    nbthread 2\n    {global}\n{DEFAULTS}frontend f\n    bind {address}:8080\n    {front}\n    http-request return status 200\n"
        );
        let _proxy = start(&config, address);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let mut client = Client::connect(SocketAddr::new(address.into(), 8080));
                    client.send(GET);
                    assert!(client.response(false).starts_with(b"HTTP/1.1 200"), "{global}{front}");
                });
            }
        });
        // The harness looked once whether it listens: 17 sessions, of which 5 may come at once.
        assert!(started.elapsed() > Duration::from_secs(1), "{global}{front}: {:?}", started.elapsed());
    }
}

#[test]
fn a_graceful_stop_closes_its_unix_sockets() {
    let address = harness::own_address();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("front.sock");
    let config = format!("{}    bind unix@{}\n", answering(address), path.display());
    let mut proxy = start(&config, address);
    assert!(path.exists());
    proxy.signal("USR1");
    assert!(proxy.wait(LIMIT).is_some());
    assert!(UnixStream::connect(&path).is_err());
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default().contains("Uid:\t0\t0")
}
