//! A new process in the place of an old one on a live port, weir and HAProxy on either side: no connection is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::client::Client;
use harness::eventually;
use harness::process::{Program, Proxy};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
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
        Self::with(program, arguments, "")
    }

    /// The frontend has more lines.
    fn with(program: Program, arguments: &[&str], lines: &str) -> Self {
        let (address, shared) = (harness::own_address(), TempDir::new().unwrap());
        let text = config(&shared.path().join("admin.sock"), &shared.path().join("web.sock"), address, "old");
        let text = text + lines;
        let old = Proxy::start_in(program, TempDir::new().unwrap(), &text, arguments, address, &[8080, 8081]);
        Self { address, shared, old: old.unwrap_or_else(|e| panic!("{e}")) }
    }

    fn admin(&self) -> PathBuf {
        self.shared.path().join("admin.sock")
    }

    /// Starts the next one, with further arguments.
    fn next(&self, program: Program, more: &[&str]) -> Proxy {
        let text = config(&self.admin(), &self.unix(), self.address, "new");
        let pid = self.old.pid().to_string();
        let arguments = [&["-db", "-sf", &pid], more].concat();
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
    let new = stage.next(to, &["-x", &stage.admin().to_string_lossy()]);
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

/// Without `-x`: whoever waits in the sockets of the old one, which takes nobody in, is served by the new one.
fn check_waiting(from: Program, arguments: &[&str]) {
    let mut stage = Stage::with(from, arguments, "    maxconn 1\n    backlog 128\n");
    let at = SocketAddr::from((stage.address, 8080));
    let mut held = Client::connect(at);
    held.set_limit(LIMIT);
    held.send(b"GET / HTTP/1.1\r\n");
    let inside = || harness::console::ask(&stage.admin(), "show stat").contains("f,FRONTEND,,,1,");
    assert!(eventually(inside), "{}", harness::console::ask(&stage.admin(), "show stat"));
    let waiting: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(at);
            client.set_limit(LIMIT);
            client.send(GET);
            client
        })
        .collect();
    // Accepted by nobody either.
    let mut at_the_path = harness::console::Console::connect(&stage.unix());
    at_the_path.send(GET);
    let new = stage.next(Program::Weir, &[]);
    let answer = String::from_utf8_lossy(&at_the_path.rest()).into_owned();
    assert!(answer.ends_with("\r\n\r\nnew"), "{answer}: {}", new.stderr());
    for mut client in waiting {
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        assert!(answer.ends_with("\r\n\r\nnew"), "{answer}: {}", new.stderr());
    }
    held.send(b"Host: h\r\nConnection: close\r\n\r\n");
    assert!(held.response(false).ends_with(b"old"));
    assert!(stage.old.wait(LIMIT).is_some(), "the old one ends: {}", stage.old.stderr());
    // The unix socket has its file still.
    let mut console = harness::console::Console::connect(&stage.unix());
    console.send(GET);
    assert!(String::from_utf8_lossy(&console.rest()).ends_with("new"));
    assert!(!new.stderr().contains("cannot be taken"), "{}", new.stderr());
}

#[test]
fn who_waits_in_weir_is_served_by_the_next() {
    check_waiting(Program::Weir, &["-db"]);
}

#[test]
fn who_waits_in_haproxy_is_served_by_weir() {
    check_waiting(Program::HaProxy, &["-db"]);
}

#[test]
fn who_waits_in_a_worker_is_served_by_the_next() {
    check_waiting(Program::Weir, &["-W", "-db"]);
    check_waiting(Program::HaProxy, &["-W", "-db"]);
}

/// Without a debugger's rights the next one says what that costs, and opens sockets of its own.
#[test]
fn sockets_out_of_reach_are_told_of() {
    let mut stage = Stage::start(Program::HaProxy, &["-db"]);
    let shared = stage.shared.path();
    let (file, said) = (shared.join("new.cfg"), shared.join("said"));
    std::fs::write(&file, config(&stage.admin(), &stage.unix(), stage.address, "new")).unwrap();
    let pid = stage.old.pid().to_string();
    let mut new = Command::new("setpriv")
        .args(["--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace"])
        .arg(Program::Weir.path())
        .args(["-db", "-sf", &pid, "-f"])
        .arg(&file)
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let ended = stage.old.wait(LIMIT);
    let answer = who((stage.address, 8080).into());
    let said = std::fs::read_to_string(&said).unwrap();
    new.kill().unwrap();
    new.wait().unwrap();
    assert!(ended.is_some(), "the old one ends: {said}");
    assert_eq!(answer, "new");
    let expected = format!("the listening sockets of process {pid} cannot be taken (");
    assert!(said.contains(&expected) && said.contains("'-x' with its stats socket"), "{said}");
}

/// The line says another interface: the next one has a socket of its own, and takes in who is on the way to the old one.
fn check_other_socket(from: Program, arguments: &[&str]) {
    let mut stage = Stage::start(from, arguments);
    let tally = Arc::new(Tally::default());
    let at = SocketAddr::from((stage.address, 8081));
    let clients = [(); 3].map(|()| traffic(at, &tally));
    assert!(eventually(|| tally.old.load(SeqCst) > 50));
    let text = config(&stage.admin(), &stage.unix(), stage.address, "new").replace(" interface lo", "");
    let pid = stage.old.pid().to_string();
    let arguments = ["-db", "-sf", &pid];
    let new =
        Proxy::start_in(Program::Weir, TempDir::new().unwrap(), &text, &arguments, stage.address, &[8080])
            .unwrap_or_else(|e| panic!("{e}"));
    assert!(stage.old.wait(LIMIT).is_some_and(|s| s.success()), "the old one ends: {}", stage.old.stderr());
    let so_far = tally.new.load(SeqCst);
    assert!(eventually(|| tally.new.load(SeqCst) > so_far + 50));
    tally.stop.store(true, SeqCst);
    clients.into_iter().for_each(|c| c.join().unwrap());
    let (failed, old) = (tally.failed.load(SeqCst), tally.old.load(SeqCst));
    assert_eq!(failed, 0, "of {old} and {}: {}", tally.new.load(SeqCst), new.stderr());
}

#[test]
fn another_socket_at_the_same_address() {
    check_other_socket(Program::Weir, &["-db"]);
    check_other_socket(Program::Weir, &["-W", "-db"]);
    check_other_socket(Program::HaProxy, &["-db"]);
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
