//! Machines made of network namespaces, and the programs on them. Needs root.

use super::process::{Program, signal};
use super::terminal::wait_until;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The address that moves.
pub const VIRTUAL: &str = "10.99.0.100";

static NETS: AtomicU32 = AtomicU32::new(0);

pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip (iproute2) runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {arguments}: {errors} (these tests need root)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two machines, `a` at 10.99.0.1 and `b` at 10.99.0.2 on one switch, 10.98.0.1 and .2 on another.
pub struct Net {
    pub dir: tempfile::TempDir,
    prefix: String,
}

impl Net {
    pub fn new() -> Self {
        let count = NETS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("weir{}x{count}", std::process::id());
        let net = Self { dir: tempfile::TempDir::new().unwrap(), prefix };
        let switch = net.space("s");
        ip(&format!("netns add {switch}"));
        for (machine, host) in [("a", 1), ("b", 2)] {
            let space = net.space(machine);
            ip(&format!("netns add {space}"));
            ip(&format!("-n {space} link set lo up"));
            for (cable, subnet) in [("eth0", "10.99.0"), ("eth1", "10.98.0")] {
                let port = format!("{cable}{machine}");
                ip(&format!("link add {cable} netns {space} type veth peer name {port} netns {switch}"));
                ip(&format!("-n {space} addr add {subnet}.{host}/24 dev {cable}"));
                ip(&format!("-n {space} link set {cable} up"));
                ip(&format!("-n {switch} link set {port} up"));
            }
        }
        for cable in ["eth0", "eth1"] {
            let bridge = format!("br{cable}");
            ip(&format!("-n {switch} link add {bridge} type bridge"));
            ip(&format!("-n {switch} link set {bridge} up"));
            for machine in ["a", "b"] {
                ip(&format!("-n {switch} link set {cable}{machine} master {bridge}"));
            }
        }
        net
    }

    pub fn space(&self, machine: &str) -> String {
        format!("{}{machine}", self.prefix)
    }

    pub fn holds(&self, machine: &str, address: &str) -> bool {
        ip(&format!("-n {} -o addr show", self.space(machine))).contains(&format!(" {address}/"))
    }

    /// Waits until exactly `machine` holds the virtual address.
    pub fn only(&self, machine: &str) {
        let other = if machine == "a" { "b" } else { "a" };
        wait_until(&format!("only {machine} holds the address"), || {
            self.holds(machine, VIRTUAL) && !self.holds(other, VIRTUAL)
        });
    }

    pub fn nobody(&self) {
        wait_until("nobody holds the address", || !self.holds("a", VIRTUAL) && !self.holds("b", VIRTUAL));
    }

    pub fn weir(&self, machine: &str, config: &str) -> Node {
        let file = self.write(&format!("{machine}.cfg"), config);
        let program = Program::Weir.path();
        self.start(machine, &[&program.to_string_lossy(), "-db", "-f", &file.to_string_lossy()])
    }

    pub fn keepalived(&self, machine: &str, instance: &str) -> Node {
        let config = format!(
            "global_defs {{\n router_id {machine}\n script_user root\n}}\n\
             vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n \
             virtual_ipaddress {{\n {VIRTUAL}/24\n }}\n{instance}\n}}\n"
        );
        let file = self.write(&format!("{machine}.conf"), &config);
        let pid = |which: &str| {
            self.dir.path().join(format!("{machine}-{which}.pid")).to_string_lossy().into_owned()
        };
        let file = file.to_string_lossy();
        self.start(
            machine,
            &["keepalived", "-n", "-l", "-D", "-P", "-f", &file, "-p", &pid("main"), "-r", &pid("vrrp")],
        )
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    pub fn start(&self, machine: &str, words: &[&str]) -> Node {
        let log = self.dir.path().join(format!("{machine}.log"));
        let out = File::create(&log).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &self.space(machine)])
            .args(words)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Node { child, log }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for machine in ["a", "b", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.space(machine)]).output();
        }
    }
}

/// A process on a machine.
pub struct Node {
    pub child: Child,
    log: PathBuf,
}

impl Node {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn wait_for(&self, text: &str) {
        wait_until(&format!("'{text}' in the log"), || self.log().contains(text));
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn stop(mut self) {
        self.signal("TERM");
        wait_until("the process ends", || matches!(self.child.try_wait(), Ok(Some(_))));
    }

    /// kill -9, with the children keepalived has.
    pub fn kill(mut self) {
        let children =
            Command::new("ps").args(["-o", "pid=", "--ppid", &self.child.id().to_string()]).output().unwrap();
        for pid in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            signal(pid.parse().unwrap(), "KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            for _ in 0..500 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
