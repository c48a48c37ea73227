//! Machines made of network namespaces, the programs on them and what is on their wire. Needs root.

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
        for bridge in ["breth0", "breth1"] {
            ip(&format!("-n {switch} link add {bridge} type bridge"));
            ip(&format!("-n {switch} link set {bridge} up"));
        }
        for machine in ["a", "b"] {
            let space = net.space(machine);
            ip(&format!("netns add {space}"));
            ip(&format!("-n {space} link set lo up"));
            net.plug(machine, "eth0");
            net.plug(machine, "eth1");
        }
        net
    }

    /// An interface of a machine, with a cable to the switch.
    pub fn plug(&self, machine: &str, interface: &str) {
        let (space, switch) = (self.space(machine), self.space("s"));
        let host = if machine == "a" { 1 } else { 2 };
        let subnet = if interface == "eth0" { 99 } else { 98 };
        let port = format!("{interface}{machine}");
        ip(&format!("link add {interface} netns {space} type veth peer name {port} netns {switch}"));
        ip(&format!("-n {switch} link set {port} master br{interface} up"));
        // A MAC of its own, so that what follows from it is the same in every run.
        ip(&format!("-n {space} link set {interface} address 02:00:00:00:{subnet}:0{host}"));
        ip(&format!("-n {space} addr add 10.{subnet}.0.{host}/24 dev {interface}"));
        ip(&format!("-n {space} addr add 2001:db8:{subnet}::{host}/64 dev {interface} nodad"));
        if machine == "b" {
            // keepalived calls itself master while its address is still tentative, and then cannot send: "send advert error 22".
            ip(&format!("netns exec {space} sysctl -qw net.ipv6.conf.{interface}.accept_dad=0"));
        }
        ip(&format!("-n {space} link set {interface} up"));
    }

    pub fn space(&self, machine: &str) -> String {
        format!("{}{machine}", self.prefix)
    }

    pub fn holds(&self, machine: &str, address: &str) -> bool {
        ip(&format!("-n {} -o addr show", self.space(machine))).contains(&format!(" {address}/"))
    }

    /// Waits until exactly `machine` holds the virtual address.
    pub fn only(&self, machine: &str) {
        self.only_address(machine, VIRTUAL);
    }

    pub fn only_address(&self, machine: &str, address: &str) {
        let other = if machine == "a" { "b" } else { "a" };
        wait_until(&format!("only {machine} holds {address}"), || {
            self.holds(machine, address) && !self.holds(other, address)
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
        let addresses = format!("virtual_ipaddress {{\n {VIRTUAL}/24\n }}");
        self.keepalived_whole(machine, &keepalived_instance("VI_1", &format!("{addresses}\n{instance}")))
    }

    /// With all of its instances.
    pub fn keepalived_whole(&self, machine: &str, instances: &str) -> Node {
        let config = format!("global_defs {{\n router_id {machine}\n script_user root\n}}\n{instances}\n");
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

    /// A new process in the place of an old one.
    pub fn weir_instead(&self, machine: &str, config: &str, old: &Node) -> Node {
        let file = self.write(&format!("{machine}-new.cfg"), config);
        let (program, pid) = (Program::Weir.path(), old.child.id().to_string());
        let words = [&program.to_string_lossy(), "-db", "-f", &file.to_string_lossy(), "-sf", &pid];
        self.start_logged(machine, &format!("{machine}-new.log"), &words)
    }

    pub fn start(&self, machine: &str, words: &[&str]) -> Node {
        self.start_logged(machine, &format!("{machine}.log"), words)
    }

    fn start_logged(&self, machine: &str, log: &str, words: &[&str]) -> Node {
        let log = self.dir.path().join(log);
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

pub fn keepalived_instance(name: &str, lines: &str) -> String {
    format!("vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n{lines}\n}}\n")
}

/// Whole ethernet frames on a machine's eth0 that a condition of python's holds for, by its bytes `f`, in hexadecimal.
pub fn sniff(net: &Net, machine: &str, condition: &str, frames: usize) -> Vec<String> {
    let script = format!(
        "import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3))\ns.bind(('eth0',3))\ns.settimeout(30)\nn={frames}\n\
         while n:\n  f=s.recv(4096)\n  if {condition}: n-=1; print(f.hex(),flush=True)"
    );
    python(net, machine, &script)
}

pub fn python(net: &Net, machine: &str, script: &str) -> Vec<String> {
    let space = net.space(machine);
    let output =
        Command::new("ip").args(["netns", "exec", &space, "python3", "-c", script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// What is on the wire, by a raw socket of python's: whole IP packets in hexadecimal.
pub fn capture(net: &Net, machine: &str, packets: usize) -> Vec<String> {
    let script = format!(
        "import socket,struct\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,112)\n\
         s.setsockopt(0,socket.IP_ADD_MEMBERSHIP,socket.inet_aton('224.0.0.18')+socket.inet_aton('0.0.0.0')+struct.pack('i',socket.if_nametoindex('eth0')))\n\
         s.settimeout(30)\nfor _ in range({packets}): print(s.recv(2048).hex())"
    );
    python(net, machine, &script)
}
