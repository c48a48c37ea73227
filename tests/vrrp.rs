//! Virtual addresses between two machines made of network namespaces: weir with Debian's keepalived on the other side, and weir with
//! weir. Real packets. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "vrrp/accept.rs"]
mod accept;
#[path = "vrrp/handover.rs"]
mod handover;
mod harness;
#[path = "vrrp/ipv6.rs"]
mod ipv6;
#[path = "vrrp/link_down.rs"]
mod link_down;
#[path = "vrrp/links.rs"]
mod links;
#[path = "vrrp/master.rs"]
mod master;
#[path = "vrrp/migration.rs"]
mod migration;
#[path = "vrrp/reload.rs"]
mod reload;
#[path = "vrrp/vmac.rs"]
mod vmac;

use harness::network::{Net, VIRTUAL, capture, ip, sniff};
use harness::terminal::wait_until;
use std::process::Command;

/// One way to speak, in both languages. The intervals are short where the version lets them.
struct Dialect {
    weir: &'static str,
    keepalived: &'static str,
}

const DIALECTS: [Dialect; 4] = [
    Dialect {
        weir: "version 2\n    authentication pass 1111",
        keepalived: " version 2\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass 1111\n }",
    },
    Dialect { weir: "version 2", keepalived: " version 2\n advert_int 1" },
    Dialect { weir: "version 3\n    advert-interval 200ms", keepalived: " version 3\n advert_int 0.2" },
    Dialect {
        weir: "version 3\n    advert-interval 200ms\n    peer 10.99.0.2",
        keepalived: " version 3\n advert_int 0.2\n unicast_src_ip 10.99.0.2\n unicast_peer {\n 10.99.0.1\n }",
    },
];

fn weir_config(lines: &str, priority: u8) -> String {
    format!(
        "vrrp VI_1\n    interface eth0\n    virtual-router-id 51\n    priority {priority}\n    address {VIRTUAL}/24\n    {lines}\n"
    )
}

/// The higher priority takes the addresses, whichever program has it, and they come and go with it.
fn speaks_with_keepalived(dialect: &Dialect) {
    let net = Net::new();
    let keepalived = |priority| net.keepalived("b", &format!("{}\n priority {priority}", dialect.keepalived));
    let other = keepalived(100);
    net.only("b");
    let weir = net.weir("a", &weir_config(dialect.weir, 150));
    net.only("a");
    weir.wait_for("VI_1: backup -> master: priority 150 is above 100 of 10.99.0.2");
    weir.stop();
    net.only("b");
    let weir = net.weir("a", &weir_config(dialect.weir, 150));
    net.only("a");
    weir.kill();
    // The machine that lost its process still has the address: what took over is the other one.
    wait_until("keepalived takes over", || net.holds("b", VIRTUAL));
    // A new process cleans up what the killed one left, before it takes the address again.
    let weir = net.weir("a", &weir_config(dialect.weir, 150));
    weir.wait_for("was still on eth0: removed");
    net.only("a");
    other.stop();
    let other = keepalived(200);
    net.only("b");
    weir.wait_for("VI_1: master -> backup: 10.99.0.2 has priority 200");
    other.kill();
    wait_until("weir takes over", || net.holds("a", VIRTUAL));
    weir.wait_for("VI_1: backup -> master: master down after");
}

#[test]
fn version_2_with_a_password() {
    speaks_with_keepalived(&DIALECTS[0]);
}

#[test]
fn version_2_without() {
    speaks_with_keepalived(&DIALECTS[1]);
}

#[test]
fn version_3() {
    speaks_with_keepalived(&DIALECTS[2]);
}

#[test]
fn version_3_to_a_peer() {
    speaks_with_keepalived(&DIALECTS[3]);
}

#[test]
fn another_password_is_not_listened_to() {
    let net = Net::new();
    let _other = net.keepalived("b", &format!("{}\n priority 200", DIALECTS[0].keepalived));
    net.only("b");
    let weir = net.weir("a", &weir_config("version 2\n    authentication pass 2222", 100));
    weir.wait_for("VI_1: backup -> master: no master heard");
    weir.wait_for("VI_1: an advert of 10.99.0.2 is not listened to: another password (2 so far)");
}

/// A cable is pulled: the router at its end is at fault, the other takes over, and falls back when it is plugged in again.
#[test]
fn a_cable_is_pulled() {
    let net = Net::new();
    let fast = "version 3\n    advert-interval 100ms";
    let a = net.weir("a", &weir_config(fast, 150));
    net.only("a");
    let _b = net.weir("b", &weir_config(fast, 100));
    ip(&format!("-n {} link set eth0 down", net.space("a")));
    a.wait_for("VI_1: master -> fault: interface eth0 is down");
    net.only("b");
    ip(&format!("-n {} link set eth0 up", net.space("a")));
    net.only("a");
}

/// The rules of a service whose addresses never move back: the pair of the deployment notes, faster.
#[test]
fn addresses_stay_where_they_are() {
    let net = Net::new();
    let fast = "version 3\n    advert-interval 100ms";
    let config_a = weir_config(fast, 100);
    let config_b = weir_config(&format!("{fast}\n    nopreempt"), 150);
    // The first one up is master, whatever the priorities.
    let a = net.weir("a", &config_a);
    net.only("a");
    // The second stays backup, though its priority is higher.
    let b = net.weir("b", &config_b);
    b.wait_for("stopped -> backup");
    wait_until("b has heard a", || a.log().contains("backup -> master"));
    // It is up and listens: the addresses come when a goes.
    a.stop();
    net.only("b");
    // A returning node never takes them back.
    let a = net.weir("a", &config_a);
    a.wait_for("stopped -> backup");
    b.signal("STOP");
    b.signal("CONT");
    net.only("b");
    b.stop();
    net.only("a");
    let b = net.weir("b", &config_b);
    b.wait_for("stopped -> backup");
    net.only("a");
    assert!(!b.log().contains("-> master"), "{}", b.log());
}

/// The node is well and its process lives, but what it forwards to is gone: the addresses move.
#[test]
fn the_forwarding_function_fails() {
    let net = Net::new();
    let (listener, port) = {
        // The server the proxy forwards to runs on a's machine.
        let script = "import socket,sys\ns=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\ns.bind(('10.99.0.1',8081));s.listen(64)\nwhile True:\n  c,_=s.accept();c.close()";
        (net.start("a", &["python3", "-c", script]), 8081)
    };
    let proxy = |address: &str| {
        format!(
            "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
             frontend web\n    bind {address}:8080\n    default_backend app\n\
             backend app\n    server s1 10.99.0.1:{port} check inter 100ms rise 1 fall 1\n"
        )
    };
    let fast = "version 3\n    advert-interval 100ms";
    let tracked = format!("{fast}\n    track backend app min-up 1");
    let a = net.weir("a", &format!("{}{}", proxy("10.99.0.1"), weir_config(&tracked, 150)));
    net.only("a");
    let _b = net.weir("b", &weir_config(fast, 100));
    listener.stop();
    a.wait_for("VI_1: master -> fault: backend app has 0 servers, 1 are wanted");
    net.only("b");
}

#[test]
fn a_script_says_no() {
    let net = Net::new();
    let flag = net.write("well", "");
    let script = format!(
        "vrrp-script well\n    command /bin/ls {}\n    interval 100ms\n    timeout 5s\n    rise 1\n    fall 2\n    weight -60\n",
        flag.display()
    );
    let fast = "version 3\n    advert-interval 100ms";
    let tracked = format!("{fast}\n    track script well");
    let _a = net.weir("a", &format!("{script}{}", weir_config(&tracked, 150)));
    net.only("a");
    let _b = net.weir("b", &weir_config(fast, 100));
    std::fs::remove_file(&flag).unwrap();
    net.only("b");
    std::fs::write(&flag, "").unwrap();
    net.only("a");
}

/// Two routers on two cables in one group: one cable is pulled, both addresses move; programs are told.
#[test]
fn a_group_moves_together() {
    let net = Net::new();
    let second = "10.98.0.100";
    let told = net.dir.path().join("told");
    let program = net.write("tell", &format!("#!/bin/sh\necho \"$@\" >> {}\n", told.display()));
    let _ = Command::new("chmod").arg("755").arg(&program).status().unwrap();
    let config = |priority: u8, notify: &str| {
        format!(
            "vrrp VI_1\n    interface eth0\n    virtual-router-id 51\n    version 3\n    advert-interval 100ms\n    priority {priority}\n    address {VIRTUAL}/24\n    {notify}\n\
             vrrp VI_2\n    interface eth1\n    virtual-router-id 52\n    version 3\n    advert-interval 100ms\n    priority {priority}\n    address {second}/24\n\
             vrrp-group VG1\n    member VI_1\n    member VI_2\n    {notify}\n"
        )
    };
    let _a = net.weir("a", &config(150, &format!("notify \"{}\"", program.display())));
    net.only("a");
    let _b = net.weir("b", &config(100, ""));
    wait_until("a holds both", || net.holds("a", second));
    ip(&format!("-n {} link set eth1 down", net.space("a")));
    wait_until("b holds both", || {
        net.holds("b", VIRTUAL) && net.holds("b", second) && !net.holds("a", VIRTUAL)
    });
    ip(&format!("-n {} link set eth1 up", net.space("a")));
    wait_until("a holds both again", || {
        net.holds("a", VIRTUAL)
            && net.holds("a", second)
            && !net.holds("b", VIRTUAL)
            && !net.holds("b", second)
    });
    wait_until("the programs were told", || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        ["INSTANCE VI_1 MASTER 150", "INSTANCE VI_1 FAULT 150", "GROUP VG1 MASTER 0"]
            .iter()
            .all(|l| told.contains(l))
    });
}

/// What a client of the address sees: gratuitous ARP leads it to the new holder at once.
#[test]
fn neighbours_learn_where_the_address_is() {
    let net = Net::new();
    let fast = "version 3\n    advert-interval 100ms";
    let a = net.weir("a", &weir_config(fast, 150));
    net.only("a");
    // b keeps an entry for the address, which an announcement changes.
    let connect = format!("import socket; socket.socket().connect_ex(('{VIRTUAL}', 9))");
    let b = net.space("b");
    let _ = Command::new("ip").args(["netns", "exec", &b, "python3", "-c", &connect]).output().unwrap();
    let mac = |machine: &str| {
        let link = ip(&format!("-n {} -o link show eth0", net.space(machine)));
        link.split_whitespace().skip_while(|w| *w != "link/ether").nth(1).unwrap().to_owned()
    };
    let neighbour = || ip(&format!("-n {} neigh show {VIRTUAL}", net.space("b")));
    wait_until("b knows a's card", || neighbour().contains(&mac("a")));
    // A lie in b's table is mended by the burst that follows after 5 seconds.
    ip(&format!("-n {} neigh replace {VIRTUAL} lladdr 02:00:00:00:00:99 dev eth0 nud stale", net.space("b")));
    wait_until("the second burst mends it", || neighbour().contains(&mac("a")));
    drop(a);
    net.nobody();
}

/// Each address is announced once before any is announced again: the last one does not wait for the repetitions of the others.
#[test]
fn addresses_are_announced_in_rounds() {
    let net = Net::new();
    let more = "version 3\n    advert-interval 100ms\n    garp-repeat 3\n    address 10.99.0.101/24";
    let _a = net.weir("a", &weir_config(more, 150));
    // Gratuitous ARP: sender and target are one. Those of the second burst are as good as those of the first.
    let frames = sniff(&net, "b", "f[12:14]==b'\\x08\\x06' and f[28:32]==f[38:42]", 5);
    let addresses: Vec<&str> = frames.iter().map(|frame| &frame[56..64]).collect();
    assert!(addresses.windows(2).all(|two| two[0] != two[1]), "{addresses:?}");
}

/// The same settings give the same packet, but for the identification of IP and its checksum.
#[test]
fn adverts_are_keepalived_s_byte_for_byte() {
    for dialect in &DIALECTS[..3] {
        let mut seen = Vec::new();
        for program in ["weir", "keepalived"] {
            let net = Net::new();
            // Both send from machine b, so that the source is the same.
            let _node = match program {
                "weir" => net.weir("b", &weir_config(dialect.weir, 120)),
                _ => net.keepalived("b", &format!("{}\n priority 120", dialect.keepalived)),
            };
            net.only("b");
            let packet = capture(&net, "a", 1).remove(0);
            // version and length, precedence, total length | id | flags ... protocol | checksum | addresses and payload
            seen.push(format!("{} {} {}", &packet[..8], &packet[16..20], &packet[24..]));
        }
        assert_eq!(seen[0], seen[1], "{}", dialect.weir);
    }
}

/// Forged adverts change nothing and are counted, and the master keeps its rhythm while more than 1,000 a second come.
#[test]
fn forged_adverts_change_nothing() {
    let net = Net::new();
    let socket = net.dir.path().join("a.sock");
    let global = format!("global\n    stats socket {}\n", socket.display());
    let a = net.weir("a", &(global + &weir_config("version 2\n    authentication pass 1111", 100)));
    net.only("a");
    let field = |name: &str| -> u64 {
        let all = harness::ask(&socket, "show vrrp VI_1");
        let value = all.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {name} in {all}")).parse().unwrap()
    };
    // Priority 200, but: TTL 64, a wrong checksum, a wrong password, no address, 255 addresses, cut short, another id.
    let forger = "import socket,struct,time\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_RAW,112)\n\
        s.setsockopt(0,socket.IP_MULTICAST_IF,socket.inet_aton('10.99.0.2')); s.setsockopt(0,socket.IP_MULTICAST_LOOP,0)\n\
        def sum16(b):\n  t=sum(struct.unpack('!%dH'%(len(b)//2),b))\n  t=(t&0xffff)+(t>>16); t=(t&0xffff)+(t>>16)\n  return ~t&0xffff\n\
        def advert(count,addresses,password,wrong=0,vrid=51):\n  b=struct.pack('!BBBBBBH',0x21,vrid,200,count,1,1,0)+addresses+password\n  return b[:6]+struct.pack('!H',sum16(b)^wrong)+b[8:]\n\
        ip=socket.inet_aton('10.99.0.100'); good=b'1111'+bytes(4)\n\
        forged=[(64,advert(1,ip,good)),(255,advert(1,ip,good,1)),(255,advert(1,ip,b'2222'+bytes(4))),(255,advert(0,b'',good)),(255,advert(255,ip,good)),(255,advert(1,ip,good)[:10]),(255,advert(1,ip,good,0,52))]\n\
        while True:\n  for ttl,b in forged:\n    s.setsockopt(0,socket.IP_MULTICAST_TTL,ttl); s.sendto(b,('224.0.0.18',0))\n  time.sleep(0.004)";
    let forging = net.start("b", &["python3", "-c", forger]);
    wait_until("the first ones are counted", || field("Dropped_vrid") > 0);
    let (sent, begin) = (field("Adverts_sent"), std::time::Instant::now());
    let seen = capture(&net, "b", 4);
    // On b its own packets do not come back: what is heard is the master.
    assert!(seen.iter().all(|packet| packet[24..32] == *"0a630001"), "{seen:?}");
    let (kinds, all) =
        (["ttl", "checksum", "auth_mismatch", "address_list", "vrid"], || field("Dropped_malformed"));
    wait_until("all kinds are counted", || {
        all() >= 2000 && kinds.iter().all(|kind| field(&format!("Dropped_{kind}")) >= 1000)
    });
    // One a second: three may be late on a busy machine.
    let expected = begin.elapsed().as_secs().saturating_sub(3);
    assert!(
        field("Adverts_sent") - sent >= expected,
        "{expected}: {}",
        harness::ask(&socket, "show vrrp VI_1")
    );
    assert_eq!(field("Adverts_received"), 0);
    forging.stop();
    net.only("a");
    let log = a.log();
    let said = log.lines().filter(|l| l.contains("VI_1: "));
    let (of_refused, others) = said.partition::<Vec<_>, _>(|l| l.contains("is not listened to: "));
    assert_eq!(others.len(), 2, "started, became master, and nothing since:\n{log}");
    // Seldom: at the 1st, 2nd, 4th... of each of six reasons.
    assert!((6 * 5..6 * 32).contains(&of_refused.len()), "{log}");
}

/// Ids that another section of the interface has are no strangers; further ones count for all of them, also after the link was down.
#[test]
fn adverts_of_no_section_are_counted() {
    let net = Net::new();
    let socket = net.dir.path().join("a.sock");
    let second = weir_config("version 3", 100).replace("VI_1", "VI_2").replace("-id 51", "-id 52");
    let second = second.replace(VIRTUAL, "10.99.0.101");
    let global = format!("global\n    stats socket {}\n", socket.display());
    let _a = net.weir("a", &format!("{global}{}{second}", weir_config("version 3", 100)));
    let count = |router: &str| {
        let all = harness::ask(&socket, &format!("show vrrp {router}"));
        all.lines().find_map(|l| l.strip_prefix("Dropped_vrid: ")?.parse().ok()).unwrap_or(u64::MAX)
    };
    net.only("a");
    let send = |vrid: u8| {
        let script = format!(
            "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,112)\n\
             s.setsockopt(0,socket.IP_MULTICAST_IF,socket.inet_aton('10.99.0.2')); s.setsockopt(0,socket.IP_MULTICAST_TTL,255)\n\
             for _ in range(300): s.sendto(bytes([0x31,{vrid},100,1,0,100,0,0,10,99,0,100]),('224.0.0.18',0))"
        );
        harness::network::python(&net, "b", &script);
    };
    for vrid in 51..=53 {
        send(vrid);
    }
    wait_until("the third one is counted", || (count("VI_1"), count("VI_2")) == (300, 300));
    ip(&format!("-n {} link set eth0 down", net.space("a")));
    ip(&format!("-n {} link set eth0 up", net.space("a")));
    net.only("a");
    send(54);
    wait_until("the fourth one too", || (count("VI_1"), count("VI_2")) == (600, 600));
}

/// After the change of user only what the addresses need is left of root's powers, and they still move.
#[test]
fn without_root() {
    let net = Net::new();
    let config = format!(
        "global\n    user nobody\n    group nogroup\n{}",
        weir_config("version 3\n    advert-interval 100ms", 150)
    );
    let a = net.weir("a", &config);
    net.only("a");
    let status = std::fs::read_to_string(format!("/proc/{}/status", a.child.id())).unwrap();
    let line = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
    // CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13.
    assert_eq!(line("CapEff:"), "0000000000003000");
    assert_ne!(line("Uid:").split_whitespace().next(), Some("0"));
    a.stop();
    net.nobody();
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let net = Net::new();
    let node = net.weir("a", &weir_config("", 100).replace("eth0", "eth7"));
    node.wait_for("this machine has no interface 'eth7'");
    node.wait_for("eth0");
}
