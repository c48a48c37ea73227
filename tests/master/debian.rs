//! The service scripts of Debian's haproxy, as the package has them, with weir in the place of haproxy: a mount namespace puts
//! weir's executable at `/usr/sbin/haproxy`, the package's own configuration and a frontend at `/etc/haproxy`, and an empty `/run`.
//! Needs root.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::Output;

struct Machine {
    room: Child,
    dir: TempDir,
    address: Ipv4Addr,
}

impl Machine {
    /// `options`: what the administrator has added for the init script.
    fn new(options: &str) -> Self {
        let (dir, address) = (TempDir::new().unwrap(), harness::own_address());
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let copied = Command::new("cp").args(["-r", "/etc/haproxy", &path("etc")]).status().unwrap();
        assert!(copied.success());
        std::fs::write(dir.path().join("default"), format!("EXTRAOPTS=\"{options}\"\n")).unwrap();
        let script = format!(
            "mount --bind {} /usr/sbin/haproxy && mount --bind {} /etc/haproxy && mount --bind {} /etc/default/haproxy \
             && mount -t tmpfs run /run && mkdir -m 2775 /run/haproxy && echo ready && exec cat",
            Program::Weir.path().display(),
            path("etc"),
            path("default")
        );
        let mut room = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(room.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a mount namespace (this test needs root)");
        let machine = Self { room, dir, address };
        machine.write("one", "");
        machine
    }

    /// The package's configuration, and a frontend.
    fn write(&self, name: &str, more: &str) {
        let package = std::fs::read_to_string("/etc/haproxy/haproxy.cfg").unwrap();
        let own = format!(
            "frontend f\n    bind {}:8080\n{more}    http-request return status 200 content-type text/plain string {name}\n",
            self.address
        );
        std::fs::write(self.dir.path().join("etc/haproxy.cfg"), format!("{package}\n{own}")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.room.id().to_string(), "-m"]).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn init(&self, order: &str) -> (Option<i32>, String) {
        // To files: what goes to the background would hold a pipe open.
        let out = self.dir.path().join("init.log");
        let file = std::fs::File::create(&out).unwrap();
        let status = self
            .command(&["/etc/init.d/haproxy", order])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        (status.code(), std::fs::read_to_string(out).unwrap())
    }

    fn pid(&self) -> Option<u32> {
        let output = self.run(&["cat", "/run/haproxy.pid"]);
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    fn who(&self) -> String {
        who((self.address, 8080).into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|pid| is_alive(*pid)) {
            signal(pid, "TERM");
            eventually(|| !is_alive(pid));
        }
        let _ = self.room.kill();
        let _ = self.room.wait();
    }
}

#[test]
fn the_init_script() {
    for options in ["", "-W -S /run/haproxy-master.sock"] {
        let machine = Machine::new(options);
        let (code, said) = machine.init("start");
        assert_eq!(code, Some(0), "{said}");
        assert!(eventually(|| machine.who() == "one"), "{said}");
        let (code, said) = machine.init("status");
        assert!(code == Some(0) && said.contains("haproxy is running."), "{said}");
        let first = machine.pid();
        machine.write("two", "");
        let (code, said) = machine.init("reload");
        assert_eq!(code, Some(0), "{said}");
        assert!(eventually(|| machine.who() == "two"), "{said}");
        assert!(eventually(|| !first.is_some_and(is_alive)), "the old process ends");
        assert_eq!(machine.init("status").0, Some(0));
        // What is wrong is noticed before anybody is told.
        let second = machine.pid();
        machine.write("three", "    bogus\n");
        let (code, said) = machine.init("reload");
        assert!(code == Some(1) && said.contains("unknown keyword 'bogus'"), "{said}");
        assert_eq!((machine.pid(), machine.who()), (second, "two".to_owned()));
        machine.write("three", "");
        let (code, said) = machine.init("restart");
        assert_eq!(code, Some(0), "{said}");
        assert!(eventually(|| machine.who() == "three"), "{said}");
        let (code, said) = machine.init("stop");
        assert_eq!(code, Some(0), "{said}");
        assert!(eventually(|| TcpStream::connect((machine.address, 8080)).is_err()));
        assert_eq!(machine.init("status").0, Some(3));
    }
}

/// The lines of the unit file, run as systemd runs them.
#[test]
fn the_unit_file_of_the_package() {
    let unit = std::fs::read_to_string("/lib/systemd/system/haproxy.service").unwrap();
    let lines = |key: &str| -> Vec<String> {
        unit.lines().filter_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
    };
    let environment: Vec<String> =
        lines("Environment")[0].split('"').map(str::to_owned).filter(|w| w.contains('=')).collect();
    let machine = Machine::new("");
    let notify = machine.dir.path().join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let until = |wanted: &str| {
        let mut bytes = [0; 1024];
        loop {
            let n = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            if String::from_utf8_lossy(&bytes[..n]).contains(wanted) {
                return;
            }
        }
    };
    let variables = |command: &mut Command| {
        for pair in &environment {
            let (name, value) = pair.split_once('=').unwrap();
            command.env(name, value);
        }
        command.env("NOTIFY_SOCKET", &notify);
    };
    let mut start = machine.command(&["sh", "-c", &format!("exec {}", lines("ExecStart")[0])]);
    variables(&mut start);
    let mut process = start
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(machine.dir.path().join("stderr")).unwrap())
        .spawn()
        .unwrap();
    until(&format!("MAINPID={}", process.id()));
    assert_eq!(machine.pid(), Some(process.id()));
    assert_eq!(machine.who(), "one");
    let reload = || {
        let mut code = Some(0);
        for line in lines("ExecReload") {
            let mut command = machine.command(&["sh", "-c", &format!("exec {line}")]);
            variables(command.env("MAINPID", process.id().to_string()));
            code = code.filter(|c| *c == 0).and_then(|_| command.output().unwrap().status.code()).or(code);
        }
        code
    };
    machine.write("two", "");
    assert_eq!(reload(), Some(0));
    until("RELOADING=1");
    until("READY=1");
    assert!(eventually(|| machine.who() == "two"));
    machine.write("three", "    bogus\n");
    assert_eq!(reload(), Some(1));
    assert!(eventually(|| machine.who() == "two"));
    signal(process.id(), "TERM");
    let mut status = None;
    assert!(eventually(|| {
        status = process.try_wait().unwrap();
        status.is_some()
    }));
    assert_eq!(status.and_then(|s| s.code()).map(|c| c.to_string()), lines("SuccessExitStatus").pop());
}
