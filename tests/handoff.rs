//! A new process in the place of an old one on a live port, weir and HAProxy on either side: no connection is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::client::Client;
use harness::eventually;
use harness::process::{Program, Proxy};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(20);

/// A file whose answers name the process that gives them.
fn config(socket: &Path, unix: &Path, address: Ipv4Addr, name: &str) -> String {
    format!(
        "global\n    stats socket {} level admin expose-fd listeners\n    nbthread 2\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\nfrontend f\n    bind {address}:8080\n    bind {address}:8081 interface lo\n    bind {}\n    http-request return status 200 content-type text/plain string {name}\n",
        socket.display(),
        unix.display()
    )
}

/// Who answers a request; an empty text: nobody does.
fn who(at: SocketAddr) -> String {
    let Ok(mut client) = Client::try_connect(at) else { return String::new() };
    client.set_limit(LIMIT);
    client.send(GET);
    let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
    answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Tally {
    old: AtomicUsize,
    new: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

fn traffic(at: SocketAddr, tally: &Arc<Tally>) -> JoinHandle<()> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || {
        while !tally.stop.load(SeqCst) {
            match who(at).as_str() {
                "old" => &tally.old,
                "new" => &tally.new,
                _ => &tally.failed,
            }
            .fetch_add(1, SeqCst);
        }
    })
}

struct Stage {
    address: Ipv4Addr,
    shared: TempDir,
    old: Proxy,
}

impl Stage {
    fn unix(&self) -> PathBuf {
        self.shared.path().join("web.sock")
    }

    fn start(program: Program, arguments: &[&str]) -> Self {
        let (address, shared) = (harness::own_address(), TempDir::new().unwrap());
        let text = config(&shared.path().join("admin.sock"), &shared.path().join("web.sock"), address, "old");
        let old = Proxy::start_in(program, TempDir::new().unwrap(), &text, arguments, address, &[8080, 8081]);
        Self { address, shared, old: old.unwrap_or_else(|e| panic!("{e}")) }
    }

    fn next(&self, program: Program) -> Proxy {
        let socket = self.shared.path().join("admin.sock");
        let text = config(&socket, &self.unix(), self.address, "new");
        let pid = self.old.pid().to_string();
        let arguments = ["-db", "-x", &socket.to_string_lossy(), "-sf", &pid];
        Proxy::start_in(program, TempDir::new().unwrap(), &text, &arguments, self.address, &[8080, 8081])
            .unwrap_or_else(|e| panic!("{e}"))
    }
}

/// `arguments`: those of the old process.
fn check(from: Program, arguments: &[&str], to: Program) {
    let mut stage = Stage::start(from, arguments);
    let tally = Arc::new(Tally::default());
    let ports = [8080, 8080, 8081].map(|port| SocketAddr::from((stage.address, port)));
    let clients = ports.map(|at| traffic(at, &tally));
    assert!(eventually(|| tally.old.load(SeqCst) > 50));
    let new = stage.next(to);
    assert!(stage.old.wait(LIMIT).is_some_and(|s| s.success()), "the old one ends: {}", stage.old.stderr());
    let so_far = tally.new.load(SeqCst);
    assert!(eventually(|| tally.new.load(SeqCst) > so_far + 50));
    tally.stop.store(true, SeqCst);
    clients.into_iter().for_each(|c| c.join().unwrap());
    let (failed, old) = (tally.failed.load(SeqCst), tally.old.load(SeqCst));
    assert_eq!(failed, 0, "of {old} and {}: {}", tally.new.load(SeqCst), new.stderr());
    // The unix socket is there under its name.
    let mut console = harness::console::Console::connect(&stage.unix());
    console.send(GET);
    assert!(String::from_utf8_lossy(&console.rest()).ends_with("new"));
}

#[test]
fn weir_to_weir() {
    check(Program::Weir, &["-db"], Program::Weir);
}

#[test]
fn haproxy_to_weir() {
    check(Program::HaProxy, &["-db"], Program::Weir);
}

/// HAProxy takes one socket for a line: where weir has one for each thread, whoever waits in the others while they close
/// is lost, so it is started with one.
#[test]
fn weir_to_haproxy() {
    check(Program::Weir, &["-db", "-dR"], Program::HaProxy);
}

#[test]
fn sockets_are_not_for_everybody() {
    let address = harness::own_address();
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("admin.sock");
    let web = dir.path().join("web.sock");
    let text = config(&socket, &web, address, "old").replace(" expose-fd listeners", "");
    let old = Proxy::start(Program::Weir, &text, address, &[8080]).unwrap();
    assert_eq!(harness::console::ask(&socket, "_getsocks"), "Permission denied\n\n");
    let output = Program::Weir.run(&[
        "-db",
        "-x",
        &socket.to_string_lossy(),
        "-f",
        &old.dir().join("proxy.cfg").to_string_lossy(),
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Failed to get the sockets from the old process!")
            && said.contains("expose-fd listeners"),
        "{said}"
    );
    assert_eq!(who((address, 8080).into()), "old");
}

#[test]
fn what_the_new_one_does_not_listen_on_is_free() {
    let mut stage = Stage::start(Program::Weir, &["-db"]);
    let socket = stage.shared.path().join("admin.sock");
    let text = config(&socket, &stage.unix(), stage.address, "new")
        .replace(&format!("    bind {}:8081 interface lo\n", stage.address), "");
    let pid = stage.old.pid().to_string();
    let arguments = ["-db", "-x", &socket.to_string_lossy(), "-sf", &pid];
    let _new =
        Proxy::start_in(Program::Weir, TempDir::new().unwrap(), &text, &arguments, stage.address, &[8080])
            .unwrap();
    assert!(stage.old.wait(LIMIT).is_some());
    assert_eq!(who((stage.address, 8080).into()), "new");
    assert!(eventually(|| std::net::TcpStream::connect((stage.address, 8081)).is_err()));
}

/// Told to end by its successor, a process leaves it the path of a unix socket: by then that is another file.
#[test]
fn a_process_that_is_ended_leaves_the_path_to_its_successor() {
    let mut stage = Stage::start(Program::Weir, &["-db"]);
    let text = config(&stage.shared.path().join("admin.sock"), &stage.unix(), stage.address, "new");
    let pid = stage.old.pid().to_string();
    let arguments = ["-db", "-st", &pid];
    let new =
        Proxy::start_in(Program::Weir, TempDir::new().unwrap(), &text, &arguments, stage.address, &[8080])
            .unwrap();
    assert!(stage.old.wait(LIMIT).is_some());
    for name in ["web.sock", "admin.sock"] {
        assert!(stage.shared.path().join(name).exists(), "{name}: {}", new.stderr());
    }
    let mut console = harness::console::Console::connect(&stage.unix());
    console.send(GET);
    assert!(String::from_utf8_lossy(&console.rest()).ends_with("new"));
}
