//! What a line says of its listening socket changes by reload while clients connect without pause: none of them is cut off.

use crate::harness::eventually;
use crate::load::{Tally, requests};
use crate::{GET, Rig};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::Duration;

const RELOADS: usize = 50;
const LIMIT: Duration = Duration::from_secs(30);
const ANSWER: &str = "    http-request return status 200 content-type text/plain string ok\n";

/// `global` and the lines of the frontend.
type Text = (String, String);

fn plain(binds: &str) -> Text {
    ("    nbthread 2\n".to_owned(), binds.to_owned())
}

fn go_to(rig: &Rig, (global, front): &Text) {
    let answer = rig.reload_with(global, &format!("frontend f\n{front}{ANSWER}"));
    assert!(answer.starts_with("Success=1\n"), "{answer}\n{}", rig.proxy.stderr());
}

/// Goes there and back while the clients go on.
fn toggle(rig: &Rig, tally: &Tally, what: &str, [there, back]: [&Text; 2]) {
    for turn in 0..RELOADS {
        let before = tally.done.load(SeqCst);
        go_to(rig, if turn % 2 == 0 { there } else { back });
        assert!(eventually(|| tally.done.load(SeqCst) > before + 5), "{what}: clients go on");
    }
    assert_eq!(tally.failed.load(SeqCst), 0, "{what}: of {}", tally.done.load(SeqCst));
}

fn start(text: &Text, ports: &[u16]) -> Rig {
    Rig::start_with(&text.0, &format!("frontend f\n{}{ANSWER}", text.1), ports)
}

fn end(clients: impl IntoIterator<Item = JoinHandle<()>>, tally: &Tally) {
    tally.stop.store(true, SeqCst);
    clients.into_iter().for_each(|c| c.join().unwrap());
    assert_eq!(tally.failed.load(SeqCst), 0, "of {}", tally.done.load(SeqCst));
}

#[test]
fn options_change_on_the_socket_that_is_there() {
    let usual = plain("    bind {A}:8080\n");
    let rig = start(&usual, &[8080]);
    let tally = Arc::new(Tally::default());
    let clients = [(); 3].map(|()| requests(rig.at(8080), 1, &tally));
    for option in ["defer-accept", "tfo", "mss 1200", "tcp-ut 9s", "backlog 300", "transparent"] {
        let other = plain(&format!("    bind {{A}}:8080 {option}\n"));
        toggle(&rig, &tally, option, [&other, &usual]);
    }
    let kept = plain("    bind {A}:8080\n    option clitcpka\n    clitcpka-idle 7\n");
    toggle(&rig, &tally, "clitcpka", [&kept, &usual]);
    let sized = "    nbthread 2\n    tune.rcvbuf.client 50000\n    tune.sndbuf.client 50000\n";
    toggle(&rig, &tally, "sizes of buffers", [&(sized.to_owned(), usual.1.clone()), &usual]);
    end(clients, &tally);
}

/// What another socket is needed for: the one before is found by nobody any more, and closed once nobody is left in it.
#[test]
fn another_socket_takes_over() {
    let usual = plain("    bind {A}:8080\n");
    let rig = start(&usual, &[8080]);
    let tally = Arc::new(Tally::default());
    let clients = [(); 3].map(|()| requests(rig.at(8080), 1, &tally));
    toggle(&rig, &tally, "interface", [&plain("    bind {A}:8080 interface lo\n"), &usual]);
    end(clients, &tally);
}

#[test]
fn the_wildcard_of_ipv6_means_ipv4_or_not() {
    // Keeps the port for this test.
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let text = |only: &str| plain(&format!("    bind {{A}}:8080\n    bind [::]:{port} {only}\n"));
    let (one, both) = (text("v6only"), text("v4v6"));
    let rig = start(&both, &[8080]);
    let tally = Arc::new(Tally::default());
    let at = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let clients = [(); 3].map(|()| requests(at, 1, &tally));
    toggle(&rig, &tally, "v6only", [&one, &both]);
    let over_ipv4 = || TcpStream::connect_timeout(&rig.at(port), LIMIT);
    assert!(over_ipv4().is_ok());
    go_to(&rig, &one);
    assert!(eventually(|| over_ipv4().is_err()));
    end(clients, &tally);
}

/// Connects without pause; it may be refused, but whoever has got through is answered.
fn served_or_refused(at: SocketAddr, tally: &Arc<Tally>) -> JoinHandle<()> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || {
        while !tally.stop.load(SeqCst) {
            let mut stream = match TcpStream::connect_timeout(&at, LIMIT) {
                Ok(stream) => stream,
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
                Err(e) => {
                    eprintln!("not refused: {e}");
                    tally.failed.fetch_add(1, SeqCst);
                    continue;
                }
            };
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let _ = stream.write_all(GET);
            let mut answer = [0; 12];
            let served = stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 200";
            if served { &tally.done } else { &tally.failed }.fetch_add(1, SeqCst);
        }
    })
}

#[test]
fn who_comes_to_an_address_that_goes_is_served_or_refused() {
    let usual = plain("    bind {A}:8080\n");
    let more = plain("    bind {A}:8080\n    bind {A}:8081\n");
    let rig = start(&more, &[8080, 8081]);
    let tally = Arc::new(Tally::default());
    let clients = [(); 3].map(|()| served_or_refused(rig.at(8081), &tally));
    for _ in 0..RELOADS / 2 {
        go_to(&rig, &usual);
        let before = tally.done.load(SeqCst);
        go_to(&rig, &more);
        assert!(eventually(|| tally.done.load(SeqCst) > before + 5), "clients go on");
    }
    end(clients, &tally);
}

#[test]
fn a_unix_socket_gets_another_mode_and_stays() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("web.sock");
    let line = |options: &str| plain(&format!("    bind {{A}}:8080\n    bind {}{options}\n", path.display()));
    let rig = start(&line(""), &[8080]);
    let found = || std::fs::metadata(&path).unwrap();
    let (file, mode) = (found().ino(), found().permissions().mode());
    let answer = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    go_to(&rig, &line(" mode 600 uid 1 gid 2"));
    assert_eq!((found().ino(), found().permissions().mode() & 0o777), (file, 0o600));
    assert_eq!((found().uid(), found().gid()), (1, 2));
    assert!(answer().ends_with("ok"));
    go_to(&rig, &line(""));
    assert_eq!((found().ino(), found().permissions().mode()), (file, mode));
    assert_eq!((found().uid(), found().gid()), (0, 0));
    assert!(answer().ends_with("ok"));
}

/// A reload that fails after the addresses have been looked at leaves sockets as they are, and obedient.
#[test]
fn what_is_refused_changes_no_socket() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("web.sock");
    let front = format!("frontend f\n    bind {{A}}:8080\n    bind {}\n{ANSWER}", path.display());
    let rig = Rig::start(&front, &[8080]);
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode();
    let before = mode();
    let wrong = format!(
        "frontend f\n    bind {{A}}:8080 defer-accept\n    bind {} mode 600\n    bind {{A}}:8081\n{ANSWER}",
        path.display()
    );
    let answer = rig.reload_with("    stats socket /nowhere/at/all.sock\n", &wrong);
    assert!(answer.starts_with("Success=0\n"), "{answer}");
    assert_eq!(mode(), before);
    assert_eq!(TcpStream::connect(rig.at(8081)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(rig.ask("disable frontend f").trim(), "");
    assert_eq!(TcpStream::connect(rig.at(8080)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(rig.ask("enable frontend f").trim(), "");
    assert_eq!(crate::status(rig.at(8080)), "200");
}
