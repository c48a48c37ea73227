//! A client, a router, a director and two real servers as network namespaces.
//!
//! ```text
//!   client c 10.71.0.2 ---- 10.71.0.254 r 10.72.0.254 ---- switch ---- director d 10.72.0.1
//!                                                            |  `----- server s1 10.72.0.11
//!                                                            `-------- server s2 10.72.0.12
//! ```

use crate::harness::terminal::wait_until;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const VIP: &str = "10.72.0.100";
pub const VIP6: &str = "fd72::100";

static NETS: AtomicU32 = AtomicU32::new(0);

pub fn run(words: &str) -> String {
    let mut words = words.split_whitespace();
    let program = words.next().unwrap();
    let output = Command::new(program).args(words.clone()).output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let line: Vec<&str> = words.collect();
    assert!(output.status.success(), "{program} {}: {errors} (these tests need root)", line.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub struct Net {
    pub dir: tempfile::TempDir,
    prefix: String,
}

const MACHINES: [&str; 6] = ["c", "r", "d", "s1", "s2", "sw"];

impl Net {
    /// `gateway`: whom the servers answer through, `d` (nat) or `r` (all else).
    pub fn new(gateway: &str) -> Self {
        let count = NETS.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            dir: tempfile::TempDir::new().unwrap(),
            prefix: format!("lp-{}x{count}", std::process::id()),
        };
        for machine in MACHINES {
            run(&format!("ip netns add {}", net.space(machine)));
            net.on(machine, "ip link set lo up");
        }
        let switch = net.space("sw");
        net.on("sw", "ip link add br0 type bridge");
        net.on("sw", "ip link set br0 up");
        let gateway = if gateway == "d" { 1 } else { 254 };
        for (machine, host) in [("r", 254), ("d", 1), ("s1", 11), ("s2", 12)] {
            net.on(machine, &format!("ip link add eth0 type veth peer name p{machine} netns {switch}"));
            net.on(machine, &format!("ip addr add 10.72.0.{host}/24 dev eth0"));
            net.on(machine, &format!("ip -6 addr add fd72::{host}/64 dev eth0 nodad"));
            net.on(machine, "ip link set eth0 up");
            net.on("sw", &format!("ip link set p{machine} master br0 up"));
            if machine != "r" {
                let via = if machine == "d" { 254 } else { gateway };
                net.on(machine, &format!("ip route add default via 10.72.0.{via}"));
                net.on(machine, &format!("ip -6 route add default via fd72::{via}"));
            }
        }
        net.on("r", &format!("ip link add eth1 type veth peer name eth0 netns {}", net.space("c")));
        net.on("r", "ip addr add 10.71.0.254/24 dev eth1");
        net.on("r", "ip link set eth1 up");
        net.on("r", "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.send_redirects=0");
        net.on("c", "ip addr add 10.71.0.2/24 dev eth0");
        net.on("c", "ip link set eth0 up");
        net.on("c", "ip route add default via 10.71.0.254");
        net.on("r", "ip -6 addr add fd71::254/64 dev eth1 nodad");
        net.on("c", "ip -6 addr add fd71::2/64 dev eth0 nodad");
        net.on("c", "ip -6 route add default via fd71::254");
        net.on("d", &format!("ip addr add {VIP}/32 dev eth0"));
        net.on("d", &format!("ip -6 addr add {VIP6}/128 dev eth0 nodad"));
        for machine in ["r", "d"] {
            net.on(machine, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        }
        net
    }

    /// One more machine at the switch, which forwards; it answers through the router.
    pub fn join(&self, machine: &str, host: u8) {
        run(&format!("ip netns add {}", self.space(machine)));
        self.on(machine, "ip link set lo up");
        let switch = self.space("sw");
        self.on(machine, &format!("ip link add eth0 type veth peer name p{machine} netns {switch}"));
        self.on(machine, &format!("ip addr add 10.72.0.{host}/24 dev eth0"));
        self.on(machine, "ip link set eth0 up");
        self.on("sw", &format!("ip link set p{machine} master br0 up"));
        self.on(machine, "ip route add default via 10.72.0.254");
        self.on(machine, "sysctl -qw net.ipv4.ip_forward=1");
    }

    /// What one curl on the client prints.
    pub fn curl(&self, arguments: &str) -> String {
        self.on("c", &format!("curl -sS --max-time 60 {arguments}"))
    }

    /// Sends a datagram from the client and waits for what comes back.
    pub fn datagram(&self, address: &str, port: u16, message: &str) -> String {
        let script = "import socket,sys\n\
                      family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n\
                      s=socket.socket(family,socket.SOCK_DGRAM);s.settimeout(10);s.setsockopt(0,10,0)\n\
                      s.connect((sys.argv[1],int(sys.argv[2])));s.send(sys.argv[3].encode())\n\
                      print(s.recv(65535).decode())";
        let words = ["python3", "-c", script, address, &port.to_string(), message];
        let output = self.command("c", &words).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// 100 MB down and up through `url`; both ends must have the same content.
    pub fn move_much(&self, url: &str) {
        let [sent, got] = ["sent", "got"].map(|name| self.dir.path().join(name));
        self.curl(&format!("-o {} {url}/bytes/104857600", got.display()));
        let block: Vec<u8> = (0..251u8).collect();
        let content: Vec<u8> = block.iter().copied().cycle().take(104_857_600).collect();
        std::fs::write(&sent, content).unwrap();
        assert_eq!(sha256(&got), sha256(&sent));
        assert_eq!(self.curl(&format!("-T {} {url}/up", sent.display())), sha256(&sent));
    }

    /// Checksums in the packets themselves, as a wire has them: receivers verify them.
    pub fn sum_in_software(&self) {
        for machine in ["c", "r", "s1", "s2"] {
            self.on(machine, "ethtool -K eth0 tx off");
        }
    }

    /// As `weir l4 server-setup` would: the virtual addresses on lo, silently.
    pub fn hold_address(&self, machine: &str) {
        self.on(machine, &format!("ip addr add {VIP}/32 dev lo"));
        self.on(machine, &format!("ip -6 addr add {VIP6}/128 dev lo"));
        self.on(machine, "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    }

    fn space(&self, machine: &str) -> String {
        format!("{}{machine}", self.prefix)
    }

    pub fn command(&self, machine: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(machine)]).args(words).current_dir(self.dir.path());
        command
    }

    /// Runs a command on a machine; it must succeed.
    pub fn on(&self, machine: &str, line: &str) -> String {
        let output = self.output(machine, line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{machine}: {line}: {errors} (these tests need root)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn output(&self, machine: &str, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.command(machine, &words).output().unwrap()
    }

    /// Is a datagram answered with "nobody listens"?
    pub fn refused(&self, address: &str, port: u16) -> bool {
        let script = "import socket,sys\n\
                      family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n\
                      s=socket.socket(family,socket.SOCK_DGRAM);s.settimeout(10)\n\
                      s.connect((sys.argv[1],int(sys.argv[2])));s.send(b'x')\n\
                      try: s.recv(10)\nexcept ConnectionRefusedError: print('refused')";
        let output =
            self.command("c", &["python3", "-c", script, address, &port.to_string()]).output().unwrap();
        output.stdout.starts_with(b"refused")
    }

    pub fn start(&self, machine: &str, words: &[&str]) -> Running {
        Running::start(&mut self.command(machine, words))
    }

    /// A command in the test's own namespaces, in the directory of the test.
    pub fn start_here(&self, program: &str, words: &[&str]) -> Running {
        Running::start(Command::new(program).args(words).current_dir(self.dir.path()))
    }

    /// A script of this directory, on the client.
    pub fn client_script(&self, name: &str, arguments: &[&str]) -> Running {
        let script = format!("{}/tests/l4/{name}", env!("CARGO_MANIFEST_DIR"));
        self.start("c", &[&["python3", &script], arguments].concat())
    }

    /// Starts `origin.py` on a machine and waits until it listens.
    pub fn origin(&self, machine: &str, port: u16, address: &str) -> Running {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/l4/origin.py");
        let mut started = Running::start(
            &mut self.command(machine, &["python3", script, machine, &port.to_string(), address]),
        );
        assert_eq!(started.line(), "ready");
        started
    }

    /// Captures on a machine's interface until [`Capture::stop`].
    pub fn capture(&self, machine: &str, filter: &str) -> Capture {
        let file = self.dir.path().join(format!("{machine}.txt"));
        let out = File::create(&file).unwrap();
        let words = ["tcpdump", "-i", "eth0", "-nn", "-e", "-l", "-v", "--immediate-mode"];
        let mut command = self.command(machine, &words);
        let child =
            command.args(filter.split_whitespace()).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Running { child, input: None, lines: None };
        let mut errors = BufReader::new(running.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "tcpdump ends");
        }
        Capture { _running: running, file, _errors: errors }
    }

    /// The weir test executable on the director, see `director.rs`.
    pub fn director(&self) -> Director {
        self.director_of(1)
    }

    /// The same with so many entries for flows.
    pub fn director_of(&self, entries: u32) -> Director {
        let me = std::env::current_exe().unwrap();
        let mut command =
            self.command("d", &[&me.to_string_lossy(), "--exact", "director::serve", "--nocapture"]);
        command.env("WEIR_L4_DIRECTOR", entries.to_string()).env_remove("WEIR_L4_BENCH");
        let mut running = Running::start(&mut command);
        while running.line() != "director" {}
        Director(running)
    }
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap().to_owned()
}

impl Drop for Net {
    fn drop(&mut self) {
        for machine in MACHINES.into_iter().chain(["d2"]) {
            let _ = Command::new("ip").args(["netns", "del", &self.space(machine)]).output();
        }
    }
}

/// A process with a pipe to it and one from it; ended when dropped.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Option<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, input, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: &str) {
        crate::harness::process::signal(self.child.id(), signal);
        wait_until("the process ends", || matches!(self.child.try_wait(), Ok(Some(_))));
    }

    pub fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends it an empty line.
    pub fn enter(&mut self) {
        writeln!(self.input.as_mut().unwrap()).unwrap();
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "the process ended");
        line.trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Capture {
    _running: Running,
    file: PathBuf,
    _errors: BufReader<std::process::ChildStderr>,
}

impl Capture {
    fn text(&self) -> String {
        let mut text = String::new();
        File::open(&self.file).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until a packet with all of `words` in its lines was captured.
    pub fn wait_for(&self, words: &[&str]) {
        wait_until(&format!("{words:?} captured"), || self.has(words));
    }

    pub fn has(&self, words: &[&str]) -> bool {
        self.packets().iter().any(|packet| words.iter().all(|word| packet.contains(word)))
    }

    /// Each packet's lines in one.
    pub fn packets(&self) -> Vec<String> {
        let mut packets: Vec<String> = Vec::new();
        for line in self.text().lines() {
            match packets.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => last.push_str(line),
                _ => packets.push(line.to_owned()),
            }
        }
        packets
    }
}

/// The plane on the director, driven by lines.
pub struct Director(Running);

impl Director {
    pub fn tell(&mut self, line: &str) -> String {
        self.0.write(line);
        let answer = self.answer();
        assert!(!answer.starts_with("error"), "{line}: {answer}");
        answer
    }

    /// TCP and UDP at `port` of the virtual addresses, to both servers: services 0 and 1 with servers 0 to 3, in IPv6 2 and 3 with 4 to 7.
    pub fn services(&mut self, port: u16, server_port: u16, mode: &str, scheduler: &str) {
        let families =
            [(VIP.to_owned(), "10.72.0.11", "10.72.0.12"), (format!("[{VIP6}]"), "[fd72::11]", "[fd72::12]")];
        for (id, protocol) in (0..).zip(["tcp", "udp", "tcp", "udp"]) {
            let (vip, first, second) = &families[id / 2];
            self.tell(&format!("service {id} {protocol} {vip}:{port} {scheduler}"));
            self.tell(&format!("server {} {id} {first}:{server_port} {mode} 1", 2 * id));
            self.tell(&format!("server {} {id} {second}:{server_port} {mode} 1", 2 * id + 1));
            self.tell(&format!("ready {id}"));
        }
        self.tell("attach");
    }

    /// Active and inactive flows of a server.
    pub fn load(&mut self, server: u32) -> (u32, u32) {
        let answer = self.tell(&format!("load {server}"));
        let mut numbers = answer.split_whitespace().map(|n| n.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Tells it something; [`Self::answer`] waits for it.
    pub fn start(&mut self, line: &str) {
        self.0.write(line);
    }

    /// The director is a test to the harness, which says so of those that take more than a minute.
    pub fn answer(&mut self) -> String {
        loop {
            let line = self.0.line();
            if !line.contains("has been running for over") {
                return line;
            }
        }
    }

    pub fn number(&mut self, line: &str) -> u64 {
        self.tell(line).parse().unwrap()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.0.child.kill().unwrap();
        self.0.child.wait().unwrap();
    }

    /// Ends it in an orderly way.
    pub fn stop(mut self) {
        drop(self.0.input.take());
        assert!(self.0.child.wait().unwrap().success());
    }
}
