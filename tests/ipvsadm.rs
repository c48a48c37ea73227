//! `weir ipvsadm`'s lists against those of Debian's ipvsadm, which is told by `ipvsadm/kernel.c` what a kernel with IPVS would say: the same
//! tables, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use weir::balance::l4::Scheduler;
use weir::config::model::l4::{Encapsulation, Flags, Forward, Protocol};
use weir::l4::ipvsadm::table::{Server, Service, Table};
use weir::l4::ipvsadm::{Command as Asked, List, output, parse};
use weir::live::l4::{Figures, FlowView};

const IPVSADM: &str = "/usr/sbin/ipvsadm";

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn small(&mut self, below: u32) -> u32 {
        u32::try_from(self.next(u64::from(below))).unwrap()
    }

    /// Of any number of digits.
    fn wide(&mut self) -> u64 {
        let digits = self.small(16);
        self.next(10) * 10u64.pow(digits) + self.next(10u64.pow(digits))
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.next(all.len() as u64)).unwrap()]
    }
}

/// The packets' and flows' numbers have 32 bits in the way the table is told here, the sums of five servers included.
fn figures(r: &mut Random) -> Figures {
    let narrow = |n: u64| n % (1 << 29);
    Figures {
        active: r.small(100_000),
        inactive: r.small(100_000),
        persistent: r.small(1000),
        flows: narrow(r.wide()),
        in_packets: narrow(r.wide()),
        out_packets: narrow(r.wide()),
        in_bytes: r.wide(),
        out_bytes: r.wide(),
    }
}

fn server(r: &mut Random, n: u8) -> Server {
    let forward = r.of(&[Forward::Nat, Forward::DirectRouting, Forward::Tunnel(Encapsulation::Ip)]);
    let local = r.next(8) == 0;
    let address = if local { Ipv4Addr::new(127, 0, 0, n) } else { Ipv4Addr::new(10, 0, r.small(2) as u8, n) };
    let sum = figures(r);
    let rate =
        Figures { active: sum.active, inactive: sum.inactive, persistent: sum.persistent, ..figures(r) };
    // Rates have 32 bits altogether.
    let rate = Figures { in_bytes: rate.in_packets, out_bytes: rate.out_packets, ..rate };
    Server {
        address: SocketAddr::from((address, r.of(&[80, 8080, 53, 12_345]))),
        forward,
        weight: r.small(1000),
        upper_threshold: r.small(3) * 1000,
        lower_threshold: r.small(3) * 100,
        sum,
        rate,
    }
}

fn table(r: &mut Random) -> Table {
    let mut services = Vec::new();
    for n in 0..r.next(5) {
        let protocol = r.of(&[Protocol::Tcp, Protocol::Udp]);
        let scheduler = r.of(&Scheduler::ALL);
        let hashes = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
        let address = Ipv4Addr::new(192, 0, r.small(3) as u8, u8::try_from(n).unwrap());
        services.push(Service {
            key: (protocol, SocketAddr::from((address, r.of(&[80, 443, 53, 0, 31_999])))),
            scheduler,
            flags: Flags { port: hashes && r.next(2) == 0, fallback: hashes && r.next(2) == 0 },
            persist: (r.next(2) == 0).then(|| (r.small(86_400) + 1, r.of(&[32, 24, 8]))),
            one_packet: protocol == Protocol::Udp && r.next(3) == 0,
            sources: Vec::new(),
            section: String::new(),
            servers: (0..r.small(5)).map(|n| server(r, n as u8 + 2)).collect(),
        });
    }
    Table { timeouts: (r.small(9999), r.small(999), r.small(999)), services }
}

/// As `kernel.c` reads it. What a service carried is what its servers did: here that is so of those that are left.
fn told(table: &Table) -> String {
    let mut out = format!("timeout {} {} {}\n", table.timeouts.0, table.timeouts.1, table.timeouts.2);
    let numbers = |sum: Figures, rate: Figures| {
        let of = |f: Figures| [f.flows, f.in_packets, f.out_packets, f.in_bytes, f.out_bytes];
        [of(sum), of(rate)].concat().iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
    };
    for s in &table.services {
        let mut flags = u32::from(s.persist.is_some()) | u32::from(s.one_packet) << 2;
        flags |= u32::from(s.flags.fallback) << 3 | u32::from(s.flags.port) << 4;
        let (seconds, bits) = s.persist.unwrap_or((0, 32));
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap();
        let all = |of: fn(&Server) -> Figures| s.servers.iter().fold(Figures::default(), |f, x| f.and(of(x)));
        let protocol = if s.key.0 == Protocol::Tcp { 6 } else { 17 };
        let (address, port, scheduler) = (s.key.1.ip(), s.key.1.port(), s.scheduler.name());
        let carried = numbers(all(|x| x.sum), all(|x| x.rate));
        let _ = writeln!(
            out,
            "service {protocol} {address} {port} {scheduler} {flags} {seconds} {mask} {carried}"
        );
        for x in &s.servers {
            let method = match x.forward {
                _ if x.address.ip().is_loopback() => 1,
                Forward::Nat | Forward::FullNat { .. } => 0,
                Forward::Tunnel(_) => 2,
                Forward::DirectRouting => 3,
            };
            let (weight, upper, lower) = (x.weight, x.upper_threshold, x.lower_threshold);
            let (active, inactive, persistent) = (x.sum.active, x.sum.inactive, x.sum.persistent);
            let _ = writeln!(
                out,
                "server {} {} {method} {weight} {upper} {lower} {active} {inactive} {persistent} {}",
                x.address.ip(),
                x.address.port(),
                numbers(x.sum, x.rate)
            );
        }
    }
    out
}

struct Kernel {
    dir: TempDir,
}

impl Kernel {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ipvsadm/kernel.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.path().join("kernel.so"));
        let built = compiler.arg(source).arg("-ldl").output().expect("cc runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { dir }
    }

    fn knows(&self, table: &str, connections: &str) {
        std::fs::write(self.dir.path().join("table"), table).unwrap();
        std::fs::write(self.dir.path().join("connections"), connections).unwrap();
    }

    /// Exit code, output and errors of ipvsadm.
    fn ask(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let at = |name| self.dir.path().join(name);
        let mut command = Command::new(IPVSADM);
        command.args(words).env("LD_PRELOAD", at("kernel.so"));
        // Where it reads what it never wrote (the name of an engine, told the older way), let there be zeroes.
        command.env("MALLOC_PERTURB_", "255");
        command.env("IPVS_TABLE", at("table")).env("IPVS_CONNECTIONS", at("connections"));
        let output = command.output().expect("Debian's ipvsadm is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn lists_are_those_of_ipvsadm() {
    let kernel = Kernel::new();
    for seed in 0..60 {
        let table = table(&mut Random(seed));
        kernel.knows(&told(&table), "");
        for line in [
            "-L -n",
            "-L",
            "-L -n --stats",
            "-L -n --stats --exact",
            "-L -n --rate",
            "-L -n --rate --exact",
            "-L -n --thresholds",
            "-L -n --persistent-conn",
            "-L -n --tun-info",
            "-L -n --stats --rate",
            "-L -n --nosort",
            "-L -n --sort",
            "-L --timeout",
            "-S -n",
            "-S",
        ] {
            // What -S says of a server that is the host itself loses its way there (-g): ours does not.
            let local = |s: &Service| s.servers.iter().any(|x| x.address.ip().is_loopback());
            if line.starts_with("-S") && table.services.iter().any(local) {
                continue;
            }
            let ours = match parse(&words(line)).unwrap() {
                Asked::List(list) => output::list(&table, &list),
                Asked::Save(numeric) => output::save(&table, numeric),
                other => panic!("{line}: {other:?}"),
            };
            let all: Vec<&str> = line.split(' ').collect();
            assert_eq!(ours, kernel.ask(&all).1, "seed {seed}: {line}\n{}", told(&table));
        }
        for service in &table.services {
            let list = List { service: Some(service.key), numeric: true, ..List::default() };
            let letter = if service.key.0 == Protocol::Tcp { "-t" } else { "-u" };
            let name = service.key.1.to_string();
            let theirs = kernel.ask(&["-L", "-n", letter, &name]).1;
            assert_eq!(output::list(&table, &list), theirs, "seed {seed}: {name}");
        }
    }
}

#[test]
fn connections_are_listed_as_by_ipvsadm() {
    let kernel = Kernel::new();
    let mut r = Random(7);
    let mut flows = Vec::new();
    for _ in 0..200 {
        let mut address = |net: u8| {
            let ip = Ipv4Addr::new(net, r.small(256) as u8, r.small(256) as u8, r.small(255) as u8 + 1);
            SocketAddr::from((ip, r.of(&[0, 80, 53, 1, 65_535, 8080])))
        };
        let (client, service, server) = (address(203), address(192), address(10));
        let udp = r.next(3) == 0;
        let state =
            if udp { "UDP" } else { r.of(&["ESTABLISHED", "SYN_RECV", "TIME_WAIT", "FIN_WAIT", "NONE"]) };
        let protocol = if udp { 17 } else { 6 };
        flows.push(FlowView { protocol, client, service, server, state, left: r.next(6100) });
    }
    let hex = |a: SocketAddr| {
        let SocketAddr::V4(a) = a else { panic!("IPv4 alone") };
        format!("{:08X} {:04X}", u32::from(*a.ip()), a.port())
    };
    let mut lines =
        "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n".to_owned();
    for f in &flows {
        let name = if f.protocol == 6 { "TCP" } else { "UDP" };
        let (client, service, server) = (hex(f.client), hex(f.service), hex(f.server));
        let _ = writeln!(lines, "{name} {client} {service} {server} {:<11} {:>7}", f.state, f.left);
    }
    kernel.knows("", &lines);
    for numeric in [true, false] {
        let ours: String = flows.iter().map(|f| output::connection(f, numeric)).collect();
        let options: &[&str] = if numeric { &["-L", "-n", "-c"] } else { &["-L", "-c"] };
        assert_eq!(format!("{}{ours}", output::CONNECTIONS), kernel.ask(options).1);
    }
    let theirs = kernel.ask(&["-L", "-n", "-c", "--persistent-conn"]).1;
    assert!(theirs.starts_with(output::PERSISTENT_CONNECTIONS), "{theirs}");
    for flow in &flows {
        assert_eq!(output::read_connection(&output::connection(flow, true)).as_ref(), Some(flow));
    }
}

/// The first line of what is said about a mistake, and that it is one.
#[test]
fn mistakes_are_told_in_ipvsadm_s_words() {
    let kernel = Kernel::new();
    kernel.knows("", "");
    for line in [
        "-A",
        "-a -t 192.0.2.1:80",
        "-A -t 192.0.2.1",
        "-A -t 192.0.2.1:80 -p 0",
        "-A -t 192.0.2.1:80 -s sh -b mh-port",
        "-A -t 192.0.2.1:80 -s sh -b x",
        "-A -D -t 192.0.2.1:80",
        "-L -n -n",
        "-L x",
        "-A --delete-service",
        "-A -t",
        "-A -t 192.0.2.1:80 -q",
        "-A -t 192.0.2.1:80 -u 192.0.2.1:80",
        "-A -t 192.0.2.1:x",
        "-a -t 192.0.2.1:80 -r 10.0.0.1 -g -m",
        "-L -t 192.0.2.1:80 --timeout",
        "-A -t 192.0.2.1:80 -o",
        "-L -n -c --stats",
        "-L -n -c -t 192.0.2.1:80",
        "-L --daemon --timeout",
        "-a -t 192.0.2.1:80 -r 10.0.0.1 -s rr",
        "--set 1 2",
        "--set 1 2 x",
        "-C x",
        "-a -t 192.0.2.1:80 -r [2001:db8::1]:80",
    ] {
        let (code, out, errors) = kernel.ask(&line.split(' ').collect::<Vec<_>>());
        let theirs = errors.lines().chain(out.lines()).next().unwrap_or_default().to_owned();
        assert_ne!(code, Some(0), "{line}");
        assert_eq!(parse(&words(line)).unwrap_err().message, theirs, "{line}");
    }
}
