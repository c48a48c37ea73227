//! systemd's side: notifications to a listener of its own kind, the watchdog, sockets that are there before the process, and what its
//! own tools say of the unit file.

use super::*;
use std::io::{BufRead, BufReader};

/// A datagram socket that socat reads: what is sent there, message by message.
struct Listener {
    socat: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Listener {
    fn start(at: &str) -> Self {
        let mut socat = Command::new("socat")
            .args(["-u", &format!("ABSTRACT-RECVFROM:{at},fork"), "STDOUT"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(socat.stdout.take().unwrap()).lines();
        let listed = || std::fs::read_to_string("/proc/net/unix").unwrap().contains(&format!("@{at}\n"));
        assert!(eventually(listed), "socat listens");
        Self { socat, lines }
    }

    /// Reads on to a line.
    fn until(&mut self, wanted: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line == wanted);
        assert!(found, "{wanted}");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.socat.kill();
        let _ = self.socat.wait();
    }
}

#[test]
fn another_program_hears_it() {
    let name = format!("weir-test-{}", std::process::id());
    let mut listener = Listener::start(&name);
    let environment = [("NOTIFY_SOCKET", format!("@{name}")), ("WATCHDOG_USEC", "200000".to_owned())];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut master = Master::start_program(&Program::Weir.path(), &["-Ws"], &environment);
    listener.until("READY=1");
    listener.until(&format!("MAINPID={}", master.child.id()));
    for _ in 0..3 {
        listener.until("WATCHDOG=1");
    }
    assert!(master.ask("reload").starts_with("Success=1"));
    for line in ["RELOADING=1", "READY=1", "WATCHDOG=1"] {
        listener.until(line);
    }
    signal(master.child.id(), "USR1");
    listener.until("STOPPING=1");
    assert_eq!(master.wait().and_then(|s| s.code()), Some(0));
}

/// The first connection starts it, and each worker has the socket: it is neither weir's nor its master's to close.
#[test]
fn sockets_that_are_there_before() {
    let (dir, address) = (TempDir::new().unwrap(), harness::own_address());
    let path = dir.path().to_owned();
    let write = |name: &str| {
        let text = config(&path, address, name, "").replacen(&format!("{address}:8080"), "fd@3", 1);
        std::fs::write(path.join("proxy.cfg"), text).unwrap();
    };
    write("one");
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &format!("{address}:8080")]).arg(Program::Weir.path());
    command.args(["-W", "-db", "-S", "unix@master.sock", "-f", "proxy.cfg"]);
    let master = Master::in_dir(command, dir, address);
    assert!(eventually(|| harness::listens(address.into(), 8080)));
    assert!(!master.path("master.sock").exists(), "nobody has come yet");
    assert_eq!(master.who(), "one", "{}", master.stderr());
    write("two");
    assert!(master.ask("reload").starts_with("Success=1"), "{}", master.stderr());
    assert!(eventually(|| master.who() == "two"));
    let worker = master.worker().unwrap();
    signal(worker, "KILL");
    assert!(eventually(|| master.worker().is_some_and(|now| now != worker)));
    assert!(eventually(|| master.who() == "two"));
}

#[test]
fn the_unit_file_is_one() {
    let dir = TempDir::new().unwrap();
    let unit =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/weir.service")).unwrap();
    let file = dir.path().join("weir.service");
    std::fs::write(&file, unit.replace("/usr/sbin/weir", &Program::Weir.path().to_string_lossy())).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
