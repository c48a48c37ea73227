use super::rule::rule;
use super::table::{Server, Service, Table};
use super::{Command, List, What, output, parse};
use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Encapsulation, Flags, Forward, Protocol};
use crate::live::l4::Figures;

fn read(text: &str) -> Result<Command, super::Problem> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    parse(&words)
}

/// The change of a line, written again.
fn check(text: &str, expected: &str) {
    match read(text) {
        Ok(Command::Change(change)) => {
            assert_eq!(rule(&change), expected, "{text}");
            assert_eq!(read(expected), Ok(Command::Change(change)), "{expected}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// Message and hint of a line that is refused.
fn refused(text: &str, message: &str, hint: &str) {
    let problem = read(text).unwrap_err();
    assert_eq!(problem.message, message, "{text}");
    assert!(problem.hint.as_deref().unwrap_or("").contains(hint), "{text}: {problem:?}");
}

#[test]
fn changes() {
    check("-A -t 207.175.44.110:80 -s rr", "-A -t 207.175.44.110:80 -s rr");
    check("-A -t 192.0.2.1:80", "-A -t 192.0.2.1:80 -s wlc");
    check("-At 192.0.2.1:80 -p", "-A -t 192.0.2.1:80 -s wlc -p 300");
    check("-A -p 360 -t 192.0.2.1:0 -M 255.255.255.0", "-A -t 192.0.2.1:0 -s wlc -p 360 -M 255.255.255.0");
    check("--add-service --udp-service=192.0.2.1:53 --ops", "-A -u 192.0.2.1:53 -s wlc -o");
    check("-A -t [2001:db8::1]:80 -p 9 -M 64", "-A -t [2001:db8::1]:80 -s wlc -p 9 -M 64");
    check(
        "-A -t 192.0.2.1:80 -s sh -b sh-port,sh-fallback",
        "-A -t 192.0.2.1:80 -s sh -b sh-fallback,sh-port",
    );
    check("-E -t 192.0.2.1:80 -s nq", "-E -t 192.0.2.1:80 -s nq");
    check("-D -t 192.0.2.1:80", "-D -t 192.0.2.1:80");
    check("-C", "-C");
    check("-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5", "-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5");
    check("-a -t 192.0.2.1:80 -r 10.0.0.1 -x 9 -y 3", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1 -x 9 -y 3");
    check("-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -i", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -i -w 1");
    check(
        "-a -t 192.0.2.1:80 -r 10.0.0.1 -i --tun-type gue --tun-port 6080",
        "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
    );
    check("-e -u 192.0.2.1:53 -r 10.0.0.1:53 -w 0 -m", "-e -u 192.0.2.1:53 -r 10.0.0.1:53 -m -w 0");
    check("-d -t 192.0.2.1:80 -r 10.0.0.1:80", "-d -t 192.0.2.1:80 -r 10.0.0.1:80");
    check("-a -t 192.0.2.1:80 -r 10.0.0.1:81 --fullnat", "-a -t 192.0.2.1:80 -r 10.0.0.1:81 --fullnat -w 1");
    check("-P -t 192.0.2.1:80 -z 10.0.0.5", "--add-laddr -t 192.0.2.1:80 -z 10.0.0.5");
    check("--del-laddr -u 192.0.2.1:80 -z 10.0.0.5", "--del-laddr -u 192.0.2.1:80 -z 10.0.0.5");
    check("--set 60 0 5", "--set 60 0 5");
    check("-Z", "-Z");
    check("-Z -t 192.0.2.1:80", "-Z -t 192.0.2.1:80");
}

/// ipvsadm's own words, but for what it can and weir cannot.
#[test]
fn tunnels_that_do_not_fit_together() {
    let check = |options: &str, message: &str, hint: &str| {
        refused(&format!("-a -t 192.0.2.1:80 -r 10.0.0.1 {options}"), message, hint);
    };
    let port = "You need to supply the 'tun-port' option for the 'gue' tunnel type";
    check("-i --tun-type gue", port, "--tun-port 6080");
    check("-i --tun-port 6080", "Illegal 'tun-port' option with the 'ipip' tunnel type", "gue");
    check("-m --tun-type gue --tun-port 6080", "Tunnel options conflict with forward method", "-i");
    check("-i --tun-type foo", "illegal tunnel type specified", "gue");
    check("-i --tun-type gue --tun-port 0", "illegal tunnel port specified", "");
    check("-i --tun-type ipip --tun-port 70000", "illegal tunnel port specified", "");
    check("-i --tun-nocsum", "Illegal 'tun-nocsum' option with the 'ipip' tunnel type", "");
    check("-i --tun-type gre", "tunnels of type 'gre' are not supported by weir", "gue");
    let gue = "-i --tun-type gue --tun-port 6080";
    check(&format!("{gue} --tun-csum"), "'--tun-csum' is not supported by weir", "own checksum");
    let conflict = "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gue' tunnel type";
    check(&format!("{gue} --tun-csum --tun-nocsum"), conflict, "");
}

/// As the format strings in ipvsadm's executable have it; what its kernel said of tunnels in the older way had no types.
#[test]
fn tunnels_in_lists() {
    let mut gue = table();
    gue.services.truncate(1);
    gue.services[0].servers = vec![server(9, Forward::Tunnel(Encapsulation::Gue { port: 6080 }), 1, 0)];
    let saved = output::save(&gue, true);
    assert!(saved.ends_with("-i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n"), "{saved}");
    let list = List { what: What::TunnelInfo, numeric: true, ..List::default() };
    assert!(output::list(&gue, &list).contains("Tunnel  gue:6080:n    1      "));
    assert_eq!(Table::read(&gue.write()), Some(gue));
}

#[test]
fn lists_and_files() {
    let plain = List { numeric: true, ..List::default() };
    assert_eq!(read("-Ln"), Ok(Command::List(plain)));
    assert_eq!(read("-l -n"), Ok(Command::List(plain)));
    assert_eq!(
        read("-L -n --stats --exact"),
        Ok(Command::List(List { what: What::Stats, exact: true, ..plain }))
    );
    assert_eq!(read(""), Ok(Command::List(List::default())));
    assert_eq!(read("-S -n"), Ok(Command::Save(true)));
    assert_eq!(read("-R"), Ok(Command::Restore));
    assert_eq!(read("-h"), Ok(Command::Help));
}

#[test]
fn mistakes() {
    refused(
        "-A -t 192.0.2.1:80 -r wlc",
        "Illegal 'real-server' option with the 'add-service' command",
        "'-s wlc'",
    );
    refused(
        "-A",
        "You need to supply the 'service-address' option for the 'add-service' command",
        "-t 192.0.2.1:80",
    );
    refused(
        "-a -t 192.0.2.1:80",
        "You need to supply the 'real-server' option for the 'add-server' command",
        "-r",
    );
    refused("-A -t 192.0.2.1", "Zero port specified for non-persistent service", "-p");
    refused("-A -t 192.0.2.1:80 -s wcl", "Scheduler or persistence engine not found", "'wlc'");
    refused("-A -t 192.0.2.1:80 -o", "One-Packet Scheduling is only for UDP virtual services", "");
    refused("-A -t 192.0.2.1:x", "illegal virtual server address[:port] specified", "192.0.2.1:x");
    refused("-A -t 192.0.2.1:80 -s sh -b mh-port", "incompatible scheduler flag `mh-port'", "");
    refused("-A -t 192.0.2.1:80 -s sh -b x", "invalid scheduler flag `x'", "");
    refused("-A -t 192.0.2.1:80 -p 0", "invalid timeout value `0' specified", "");
    refused("-A -t 192.0.2.1:80 -p -M 255.0.255.0", "illegal virtual server persistent mask specified", "");
    refused("-a -t 192.0.2.1:80 -r 10.0.0.1 -m -g -i", "multiple 'forwarding-method' options specified", "");
    refused(
        "-a -t 192.0.2.1:80 -r [2001:db8::1]:80",
        "Different address family is allowed only for tunneling servers",
        "",
    );
    refused("-a -t 192.0.2.1:80 -r 10.0.0.1 -w many", "illegal weight specified", "0 to 65535");
    refused(
        "-a -t 192.0.2.1:80 -r 10.0.0.1 -s rr",
        "Illegal 'scheduler' option with the 'add-server' command",
        "-A or -E",
    );
    refused("-A -D -t 192.0.2.1:80", "invalid option `-D'", "add-service");
    refused("-L -n -n", "multiple 'numeric' options specified", "");
    refused("-L -c --rate", "options conflicts in the list command", "--rate");
    refused("--set 1 2", "--set option requires 3 timeout values", "udp");
    refused("-P -t 192.0.2.1:80 -z ::1", "illegal local address specified", "'::1'");
    refused("-A -f 1", "services by firewall mark are not supported by weir", "several 'bind' lines");
    refused("--ad-service", "--ad-service: unknown option", "add-service");
    refused("-A -t", "-t: missing argument", "");
    refused("-C x", "unexpected argument x", "");
    refused("-t 192.0.2.1:80", "no command specified", "-A");
}

fn server(n: u8, forward: Forward, weight: u32, flows: u64) -> Server {
    let sum = Figures {
        active: 3,
        inactive: 12,
        persistent: 1,
        flows,
        in_packets: flows * 10,
        out_packets: 0,
        in_bytes: flows * 1_000_000,
        out_bytes: 99_999,
    };
    Server {
        address: std::net::SocketAddr::from(([192, 168, 188, n], 80)),
        forward,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
        sum,
        rate: Figures { active: 3, inactive: 12, persistent: 1, flows: 7, ..Figures::default() },
    }
}

fn table() -> Table {
    let service = |key: &str, protocol, scheduler, servers| Service {
        key: (protocol, key.parse().unwrap()),
        scheduler,
        flags: Flags::default(),
        persist: None,
        one_packet: false,
        sources: Vec::new(),
        section: String::new(),
        servers,
    };
    let tunnel = Forward::Tunnel(Encapsulation::Ip);
    let mut dns = service("192.0.2.1:53", Protocol::Udp, Scheduler::Rr, Vec::new());
    dns.one_packet = true;
    let mut web = service(
        "192.168.188.120:80",
        Protocol::Tcp,
        Scheduler::Wlc,
        vec![server(110, Forward::Nat, 100, 12_345_678), server(107, Forward::DirectRouting, 1, 5)],
    );
    web.persist = Some((360, 24));
    web.section = "vip-web".to_owned();
    let mut hashed =
        service("[2001:db8::1]:443", Protocol::Tcp, Scheduler::Sh, vec![server(9, tunnel, 1, 0)]);
    hashed.flags = Flags { port: true, fallback: true };
    Table { timeouts: (900, 120, 300), services: vec![dns, hashed, web] }
}

#[test]
fn tables_survive_the_socket() {
    assert_eq!(Table::read(&table().write()), Some(table()));
    assert_eq!(Table::read("No such thing.\n"), None);
    assert_eq!(Table::read(""), Some(Table::default()));
}

fn listed(what: What, exact: bool) -> String {
    output::list(&table(), &List { what, exact, numeric: true, ..List::default() })
}

/// The widths are those of the format strings in ipvsadm's executable.
#[test]
fn the_list() {
    let expected = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n\
        \x20 -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
        TCP  192.168.188.120:80 wlc persistent 360 mask 255.255.255.0\n\
        \x20 -> 192.168.188.107:80           Route   1      3          12        \n\
        \x20 -> 192.168.188.110:80           Masq    100    3          12        \n\
        UDP  192.0.2.1:53 rr ops\n\
        TCP  [2001:db8::1]:443 sh (sh-fallback,sh-port)\n\
        \x20 -> 192.168.188.9:80             Tunnel  1      3          12        \n";
    assert_eq!(listed(What::Table, false), expected);
}

#[test]
fn other_lists() {
    let lines =
        |what, exact| listed(what, exact).lines().skip(1).take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(What::Stats, false),
        [
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes",
            "  -> RemoteAddress:Port",
            "TCP  192.168.188.120:80           12345683  123456K        0   12345G   199998",
            "  -> 192.168.188.107:80                  5       50        0  5000000    99999",
        ]
    );
    assert_eq!(
        lines(What::Rate, false)[..3],
        [
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS",
            "  -> RemoteAddress:Port",
            "TCP  192.168.188.120:80                 14        0        0        0        0",
        ]
    );
    assert_eq!(
        lines(What::Stats, true)[3],
        "  -> 192.168.188.107:80                  5       50        0  5000000    99999"
    );
    assert_eq!(
        lines(What::Thresholds, false)[0],
        "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn "
    );
    assert_eq!(
        lines(What::PersistentConnections, false)[3],
        "  -> 192.168.188.107:80           1         1           3          12        "
    );
    assert_eq!(
        lines(What::TunnelInfo, false)[3],
        "  -> 192.168.188.107:80           Route   n/a           1      3          12        "
    );
    assert_eq!(listed(What::Timeouts, false), "Timeout (tcp tcpfin udp): 900 120 300\n");
}

/// What `-S` writes, `-R` reads.
#[test]
fn saved_rules_are_read_again() {
    let mut made = table();
    made.services.iter_mut().for_each(|s| s.section.clear());
    let saved = output::save(&made, true);
    // What the configuration has is there without.
    assert!(!output::save(&table(), true).contains("192.168.188.120"));
    assert_eq!(
        saved.lines().take(3).collect::<Vec<_>>(),
        [
            "-A -t 192.168.188.120:80 -s wlc -p 360 -M 255.255.255.0",
            "-a -t 192.168.188.120:80 -r 192.168.188.107:80 -g -w 1",
            "-a -t 192.168.188.120:80 -r 192.168.188.110:80 -m -w 100",
        ]
    );
    for line in saved.lines().filter(|l| !l.contains("2001")) {
        assert!(matches!(read(line), Ok(Command::Change(_))), "{line}");
    }
}
