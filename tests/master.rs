//! Master and workers: commands, reloads that succeed and that fail, workers that die, another binary, systemd's messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "master/confirm.rs"]
mod confirm;
#[path = "master/debian.rs"]
mod debian;
mod harness;
#[path = "master/refused.rs"]
mod refused;
#[path = "master/socket.rs"]
mod socket;
#[path = "master/systemd.rs"]
mod systemd;

use harness::client::Client;
use harness::console::Console;
use harness::eventually;
use harness::process::{Program, is_alive, signal};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(30);

struct Master {
    child: Child,
    dir: TempDir,
    address: Ipv4Addr,
}

impl Master {
    fn start(arguments: &[&str]) -> Self {
        Self::start_program(&Program::Weir.path(), arguments, &[])
    }

    fn start_program(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let started =
            Self::spawn(program, &[&["-S", "unix@master.sock"], arguments].concat(), environment, "");
        assert!(eventually(|| started.worker().is_some()), "{}", started.stderr());
        started
    }

    /// A process without a master, which is asked on its stats socket.
    fn alone() -> Self {
        Self::spawn(&Program::Weir.path(), &["-db", "-p", "weir.pid"], &[], "")
    }

    /// Until it serves; `more` stands in its frontend.
    fn spawn(program: &Path, arguments: &[&str], environment: &[(&str, &str)], more: &str) -> Self {
        let (dir, address) = (TempDir::new().unwrap(), harness::own_address());
        std::fs::write(dir.path().join("proxy.cfg"), config(dir.path(), address, "one", more)).unwrap();
        let mut command = Command::new(program);
        command.args(["-f", "proxy.cfg"]).args(arguments).envs(environment.iter().copied());
        let mut started = Self::in_dir(command, dir, address);
        assert!(eventually(|| started.who() == "one"), "{}", started.stderr());
        assert!(started.child.try_wait().unwrap().is_none());
        if started.path("master.sock").exists() {
            assert!(eventually(|| started.worker().is_some()), "{}", started.stderr());
        }
        started
    }

    /// Runs a command in a directory of its own, with `stderr` in it.
    fn in_dir(mut command: Command, dir: TempDir, address: Ipv4Addr) -> Self {
        let said = std::fs::File::create(dir.path().join("stderr")).unwrap();
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Self { child: command.spawn().unwrap(), dir, address }
    }

    fn at(&self) -> SocketAddr {
        (self.address, 8080).into()
    }

    /// The master's, or else the process's.
    fn socket(&self) -> PathBuf {
        let master = self.path("master.sock");
        if master.exists() { master } else { self.path("admin.sock") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    fn write(&self, name: &str, more: &str) {
        std::fs::write(self.dir.path().join("proxy.cfg"), config(self.dir.path(), self.address, name, more))
            .unwrap();
    }

    fn ask(&self, line: &str) -> String {
        ask(&self.socket(), line)
    }

    fn who(&self) -> String {
        who(self.at())
    }

    /// The pid of the worker that serves, as `show proc` says.
    fn worker(&self) -> Option<u32> {
        UnixStream::connect(self.socket()).ok()?;
        let text = self.ask("show proc");
        let rest = text.split("# workers\n").nth(1)?;
        rest.lines().next()?.split_whitespace().next()?.parse().ok()
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let mut status = None;
        eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let worker = self.worker();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Workers end without their master; one that hangs must not outlive the test.
        if let Some(pid) = worker {
            signal(pid, "KILL");
        }
    }
}

/// `name` is what it answers on port 8080; 8404 has the statistics page and the metrics.
fn config(dir: &Path, address: Ipv4Addr, name: &str, more: &str) -> String {
    let dir = dir.display();
    format!(
        "global\n    stats socket {dir}/admin.sock level admin expose-fd listeners\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n\
         frontend f\n    bind {address}:8080\n    bind {dir}/web.sock\n{more}    http-request return status 200 content-type text/plain string {name}\n\
         frontend page\n    bind {address}:8404\n    stats uri /stats\n    stats admin if TRUE\n    http-request use-service prometheus-exporter if {{ path /metrics }}\n"
    )
}

/// The answer to a line for a master or a process; the connection of a master stays until its client is done.
fn ask(path: &Path, line: &str) -> String {
    let mut console = Console::connect(path);
    console.send(format!("{line}\n").as_bytes());
    console.finish_sending();
    String::from_utf8_lossy(&console.rest()).into_owned()
}

/// Who answers a request; an empty text: nobody does.
fn who(at: SocketAddr) -> String {
    let Ok(mut client) = Client::try_connect(at) else { return String::new() };
    client.set_limit(LIMIT);
    client.send(GET);
    let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
    answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
}

#[test]
fn commands_of_the_master_and_of_its_worker() {
    let master = Master::start(&["-W", "-db"]);
    let listed = master.ask("show proc");
    let first = format!("{:<15} {:<15} {:<15} ", master.child.id(), "master", "0 [failed: 0]");
    assert!(
        listed.starts_with("#<PID>          <type>          <reloads>       <uptime>        <version>"),
        "{listed}"
    );
    assert!(listed.contains(&first), "{listed}");
    assert!(master.ask("show version").starts_with("3.4.0\n"));
    let worker = master.worker().unwrap();
    for prefix in ["@1".to_owned(), format!("@!{worker}")] {
        let info = master.ask(&format!("{prefix} show info"));
        assert!(
            info.starts_with("Name: HAProxy\n") && info.contains(&format!("\nPid: {worker}\n")),
            "{info}"
        );
    }
    assert!(master.ask("@7 show info").contains("Can't find the target PID"));
    assert!(master.ask("@master show version").starts_with("3.4.0\n"));
    assert!(master.ask("bogus").starts_with("Unknown command, but maybe"));
    assert!(master.ask("mcli-debug-mode on").contains("not supported by weir"));
    let payload = master.ask("@1 add map #0 <<\na b; c\n\n@1 show version");
    assert_eq!(payload, "Unknown map identifier. Please use #<id> or <file>.\n\n3.4.0\n\n");
    // Of commands for experts those of a worker's.
    assert!(master.ask("@1 debug dev hang-worker").contains("restricted to expert mode"));
    assert!(master.ask("expert-mode on;@1 debug dev hang-worker x").contains("thread"));
    let mut console = Console::connect(&master.socket());
    console.send(b"@@1 prompt\n");
    console.until("> ");
    console.send(b"show version\n");
    assert!(console.until("> ").starts_with("3.4.0\n"));
    console.send(b"quit\n");
    console.rest();
}

#[test]
fn a_reload_starts_another_worker() {
    let master = Master::start(&["-W", "-db"]);
    let old = master.worker().unwrap();
    let mut held = Client::connect(master.at());
    held.send(b"GET / HTTP/1.1\r\n");
    // It is inside once the next one has been answered as well.
    assert_eq!(master.who(), "one");
    master.write("two", "");
    let answer = master.ask("reload");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    assert_ne!(master.worker(), Some(old));
    assert!(eventually(|| master.who() == "two"));
    // The old one serves whoever is inside, and is listed as long as it does.
    assert!(
        master.ask("show proc").contains(&format!("# old workers\n{old:<15} worker          1 ")),
        "{}",
        master.ask("show proc")
    );
    held.send(b"Host: h\r\nConnection: close\r\n\r\n");
    assert!(held.response(false).ends_with(b"one"));
    assert!(eventually(|| !is_alive(old)));
    assert!(eventually(|| !master.ask("show proc").contains("# old workers")));
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let master = Master::start(&["-W", "-db"]);
    let worker = master.worker();
    for (wrong, says) in
        [("    bogus\n", "unknown keyword 'bogus'"), ("    bind 198.51.100.1:8080\n", "cannot bind socket")]
    {
        master.write("two", wrong);
        let answer = master.ask("reload");
        assert!(answer.starts_with("Success=0\n--\n") && answer.contains(says), "{answer}");
        assert!(master.ask("show startup-logs").contains(says));
        assert_eq!(master.who(), "one");
        assert_eq!(master.worker(), worker);
    }
    assert!(master.ask("show proc").contains("2 [failed: 2]"), "{}", master.ask("show proc"));
    master.write("two", "");
    assert!(master.ask("reload").starts_with("Success=1"));
    assert!(eventually(|| master.who() == "two"));
}

/// A worker that still has a client, and outlives one reload, is ended by the next.
#[test]
fn a_worker_outlives_as_many_reloads_as_it_may() {
    let master = Master::start(&["-W", "-db"]);
    let old = master.worker().unwrap();
    let mut held = Client::connect(master.at());
    held.set_limit(LIMIT);
    held.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(master.who(), "one");
    let text = config(master.dir.path(), master.address, "two", "");
    let text = text.replacen("global\n", "global\n    mworker-max-reloads 1\n", 1);
    std::fs::write(master.dir.path().join("proxy.cfg"), text).unwrap();
    assert!(master.ask("reload").starts_with("Success=1"));
    assert!(master.ask("show proc").contains(&format!("{old:<15} worker          1 ")));
    assert!(master.ask("reload").starts_with("Success=1"));
    assert!(eventually(|| !is_alive(old)), "{}", master.ask("show proc"));
    assert!(master.stderr().contains(&format!("Former worker ({old}) has outlived 2 reloads and is ended")));
}

/// What is said behind a command that ends the connection: the answer arrives whole all the same.
#[test]
fn an_answer_survives_what_is_said_after_it() {
    let master = Master::start(&["-W", "-db"]);
    let mut console = UnixStream::connect(master.socket()).unwrap();
    console.set_read_timeout(Some(LIMIT)).unwrap();
    console.write_all(b"reload\n").unwrap();
    // Once another client is answered, the line has been read.
    assert!(master.ask("show proc").contains("#<PID>"));
    console.write_all(b"show proc\n").unwrap();
    let mut answer = String::new();
    console.read_to_string(&mut answer).expect("the end, and no reset");
    assert!(answer.starts_with("Success=1\n--\n") && !answer.contains("#<PID>"), "{answer}");
}

/// Connections are never refused: they wait in the sockets that the master holds. Requests that were inside are lost.
#[test]
fn a_worker_that_is_killed_is_replaced() {
    let master = Master::start(&["-W", "-db"]);
    let (stop, refused, done) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let client = {
        let (stop, refused, done, at) =
            (Arc::clone(&stop), Arc::clone(&refused), Arc::clone(&done), master.at());
        std::thread::spawn(move || {
            while !stop.load(SeqCst) {
                if TcpStream::connect(at).is_err() {
                    refused.fetch_add(1, SeqCst);
                }
                if who(at) == "one" {
                    done.fetch_add(1, SeqCst);
                }
            }
        })
    };
    for _ in 0..2 {
        let worker = master.worker().unwrap();
        signal(worker, "KILL");
        assert!(eventually(|| master.worker().is_some_and(|now| now != worker)), "{}", master.stderr());
        let before = done.load(SeqCst);
        assert!(eventually(|| done.load(SeqCst) > before + 20));
    }
    stop.store(true, SeqCst);
    client.join().unwrap();
    assert_eq!(refused.load(SeqCst), 0);
}

/// Three clients, each request on a connection of its own.
struct Traffic {
    clients: Vec<std::thread::JoinHandle<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    done: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Traffic {
    fn begin(at: SocketAddr) -> Self {
        let counts = Arc::new(Counts::default());
        let client = |_| {
            let counts = Arc::clone(&counts);
            std::thread::spawn(move || {
                while !counts.stop.load(SeqCst) {
                    let counter = if who(at).is_empty() { &counts.failed } else { &counts.done };
                    counter.fetch_add(1, SeqCst);
                }
            })
        };
        Self { clients: (0..3).map(client).collect(), counts }
    }

    fn goes_on(&self) {
        let before = self.counts.done.load(SeqCst);
        assert!(eventually(|| self.counts.done.load(SeqCst) > before + 20));
    }

    fn end_without_failure(self) {
        self.counts.stop.store(true, SeqCst);
        self.clients.into_iter().for_each(|c| c.join().unwrap());
        assert_eq!(self.counts.failed.load(SeqCst), 0, "of {}", self.counts.done.load(SeqCst));
    }
}

#[test]
fn reloads_under_traffic_lose_nothing() {
    let master = Master::start(&["-W", "-db"]);
    let traffic = Traffic::begin(master.at());
    for turn in 0..5 {
        master.write(&format!("turn{turn}"), "");
        assert!(master.ask("reload").starts_with("Success=1"));
        traffic.goes_on();
    }
    traffic.end_without_failure();
    assert!(eventually(|| master.who() == "turn4"));
}

/// By a process of its own: one that is started by this one meanwhile would hold the file open for writing.
fn put(program: &Path) {
    assert!(Command::new("cp").arg(Program::Weir.path()).arg(program).status().unwrap().success());
}

#[test]
fn another_binary_takes_over() {
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("weir");
    put(&program);
    let master = Master::start_program(&program, &["-W", "-db"], &[]);
    let inode = |pid: u32| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/proc/{pid}/exe")).map(|m| m.ino()).unwrap_or(0)
    };
    let old = inode(master.worker().unwrap());
    let beside = dir.path().join("weir.new");
    put(&beside);
    std::fs::rename(&beside, &program).unwrap();
    signal(master.child.id(), "USR2");
    assert!(
        eventually(|| master.worker().is_some_and(|pid| ![0, old].contains(&inode(pid)))),
        "{}",
        master.stderr()
    );
    assert_eq!(master.who(), "one");
}

#[test]
fn systemd_is_told() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let told = || {
        let mut bytes = [0; 1024];
        let n = socket.recv(&mut bytes).expect("a message comes");
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    };
    let mut master =
        Master::start_program(&Program::Weir.path(), &["-Ws"], &[("NOTIFY_SOCKET", &path.to_string_lossy())]);
    let ready = told();
    assert!(
        ready.contains("READY=1") && ready.contains(&format!("MAINPID={}\n", master.child.id())),
        "{ready}"
    );
    for (text, last) in [("", "STATUS=Ready."), ("    bogus\n", "STATUS=Reload failed!")] {
        master.write("two", text);
        signal(master.child.id(), "USR2");
        let reloading = told();
        assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
        let ready = told();
        assert!(ready.contains("READY=1") && ready.contains(last), "{ready}");
    }
    assert!(eventually(|| master.who() == "two"));
    let worker = master.worker().unwrap();
    signal(master.child.id(), "TERM");
    assert!(told().contains("STOPPING=1"));
    assert_eq!(master.wait().and_then(|s| s.code()), Some(143));
    assert!(!is_alive(worker));
}

#[test]
fn a_graceful_stop_waits_for_the_last_connection() {
    let mut master = Master::start(&["-W", "-db"]);
    let mut held = Client::connect(master.at());
    held.send(b"GET / HTTP/1.1\r\n");
    // It is inside once the next one has been answered as well.
    assert_eq!(master.who(), "one");
    signal(master.child.id(), "USR1");
    assert!(eventually(|| TcpStream::connect(master.at()).is_err()));
    assert!(master.child.try_wait().unwrap().is_none());
    held.send(b"Host: h\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8_lossy(&held.response(false)).into_owned();
    assert!(answer.ends_with("one"), "{answer:?} {}", master.stderr());
    assert_eq!(master.wait().and_then(|s| s.code()), Some(0));
}

#[test]
fn a_first_configuration_that_is_wrong_ends_the_master() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("proxy.cfg");
    std::fs::write(&file, config(dir.path(), harness::own_address(), "one", "    bind 198.51.100.1:8080\n"))
        .unwrap();
    let output = Program::Weir.run(&["-W", "-db", "-f", &file.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot bind socket"), "{said}");
}

#[test]
fn without_its_master_a_worker_finishes() {
    let mut master = Master::start(&["-W", "-db"]);
    let worker = master.worker().unwrap();
    master.child.kill().unwrap();
    master.child.wait().unwrap();
    assert!(eventually(|| !is_alive(worker)), "{}", master.stderr());
}
