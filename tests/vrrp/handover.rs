//! What clients see while the addresses move: nodes that end, new processes in the place of old ones, networks that heal.

use crate::harness::network::{Net, Node, VIRTUAL, ip, python};
use crate::harness::terminal::wait_until;
use crate::weir_config;

const FAST: &str = "version 3\n    advert-interval 100ms";
const CLIENT: &str = "10.99.0.50";

/// A router whose node answers requests to the virtual address with its own name.
fn serving(machine: &str, lines: &str, priority: u8) -> String {
    format!(
        "defaults\n    mode http\n    timeout connect 10s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind {VIRTUAL}:8080\n    http-request return status 200 content-type text/plain string {machine}\n{}",
        weir_config(&format!("{FAST}\n    {lines}"), priority)
    )
}

/// A client on the switch.
pub fn with_client(net: &Net) {
    // A MAC of its own: by itself it is that of a port, and changes when one is unplugged.
    ip(&format!("-n {} link set breth0 address 02:00:00:00:99:50", net.space("s")));
    ip(&format!("-n {} addr add {CLIENT}/24 dev breth0", net.space("s")));
}

/// Asks the virtual address over and over, each time with a new connection, until `end` has answered twenty times: what was
/// answered, or why it was not, each piece once for as long as it stays the same.
pub fn looping_client(net: &Net, end: &str, limit: u8) -> Node {
    let script = format!(
        "import socket\nlast=None; seen=0\nwhile seen<20:\n\
         \x20 try:\n    s=socket.create_connection(('{VIRTUAL}',8080),20); s.settimeout({limit})\n    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); b=b''\n\
         \x20   while (c:=s.recv(4096)): b+=c\n    got=b.split(b'\\r\\n\\r\\n',1)[1].decode()\n\
         \x20 except Exception as e: got='lost:'+type(e).__name__\n\
         \x20 seen+=got=='{end}'\n  if got!=last: print(got,flush=True); last=got"
    );
    net.start("s", &["python3", "-c", &script])
}

/// What it has seen, once it has seen the end.
pub fn seen(mut client: Node) -> Vec<String> {
    wait_until("the client has seen the end", || matches!(client.child.try_wait(), Ok(Some(_))));
    client.log().lines().map(str::to_owned).collect()
}

/// The node serves on until the next one has the addresses. What is under way at that very moment may break: its packets
/// go to the other node from one to the next.
#[test]
fn a_node_that_ends_serves_until_the_next_one_does() {
    for signal in ["TERM", "USR1", "INT"] {
        let net = Net::new();
        with_client(&net);
        let mut a = net.weir("a", &serving("a", "", 150));
        a.wait_for("-> master");
        net.only("a");
        let b = net.weir("b", &serving("b", "", 100));
        b.wait_for("VI_1: stopped -> backup");
        let client = looping_client(&net, "b", 20);
        client.wait_for("a\n");
        a.signal(signal);
        wait_until("a has ended", || {
            // In this order: what a does not hold, b has had before.
            assert!(net.holds("a", VIRTUAL) || net.holds("b", VIRTUAL), "{}{}", a.log(), b.log());
            matches!(a.child.try_wait(), Ok(Some(_)))
        });
        net.only("b");
        a.wait_for("VI_1: master -> stopped: stopped");
        b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
        let words = seen(client);
        let expected: &[&[&str]] =
            &[&["a", "b"], &["a", "lost:ConnectionResetError", "b"], &["a", "lost:IndexError", "b"]];
        assert!(expected.contains(&&words.iter().map(String::as_str).collect::<Vec<_>>()[..]), "{words:?}");
        assert!(!b.log().contains("is master too"), "{}", b.log());
    }
}

/// The network was parted, and the client has learned the address of the one who loses it.
#[test]
fn after_healing_the_winner_announces() {
    let net = Net::new();
    with_client(&net);
    let quiet = format!("{FAST}\n    garp-delay 0");
    let a = net.weir("a", &weir_config(&quiet, 150));
    net.only("a");
    let switch = net.space("s");
    ip(&format!("-n {switch} link set eth0b nomaster"));
    let b = net.weir("b", &weir_config(&quiet, 100));
    b.wait_for("VI_1: backup -> master: no master heard");
    let card = |host: u8| format!("02:00:00:00:99:0{host}");
    ip(&format!("-n {switch} neigh replace {VIRTUAL} lladdr {} dev breth0 nud stale", card(2)));
    ip(&format!("-n {switch} link set eth0b master breth0"));
    b.wait_for("VI_1: master -> backup: 10.99.0.1 has priority 150");
    a.wait_for("VI_1: 10.99.0.2 is master too, prio 100");
    net.only("a");
    wait_until("the client has learned a's address", || {
        ip(&format!("-n {switch} neigh show {VIRTUAL}")).contains(&card(1))
    });
    assert!(!a.log().contains("master -> "), "{}", a.log());
}

/// Each advert of a lower master is answered with an advert and a burst, and a second burst.
#[test]
fn a_lower_advert_is_answered_with_announcements() {
    let net = Net::new();
    with_client(&net);
    let lines = "garp-delay 0\n    garp-lower-prio-repeat 3\n    garp-lower-prio-delay 1s";
    let _a = net.weir("a", &weir_config(lines, 150));
    net.only("a");
    let script = format!(
        "import socket,struct\nt=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); t.bind(('breth0',3)); t.settimeout(30)\n\
         def frame():\n  while True:\n    f=t.recv(4096)\n    if f[6:12]!=bytes.fromhex('020000009901'): continue\n\
         \x20   if f[12:14]==b'\\x08\\x06' and f[28:32]==socket.inet_aton('{VIRTUAL}'): return 'A'\n\
         \x20   if f[12:14]==b'\\x08\\x00' and f[23]==112: return 'V'\n\
         while frame()!='V': pass\n\
         s=socket.socket(socket.AF_INET,socket.SOCK_RAW,112)\n\
         s.setsockopt(0,socket.IP_MULTICAST_IF,socket.inet_aton('{CLIENT}')); s.setsockopt(0,socket.IP_MULTICAST_TTL,255)\n\
         b=struct.pack('!BBBBBBH',0x21,51,50,1,0,1,0)+socket.inet_aton('{VIRTUAL}')+bytes(8)\n\
         n=sum(struct.unpack('!10H',b)); n=(n&0xffff)+(n>>16); n=~n&0xffff\n\
         s.sendto(b[:6]+struct.pack('!H',n)+b[8:],('224.0.0.18',0))\n\
         print(''.join(frame() for _ in range(11)))"
    );
    let seen = python(&net, "s", &script).remove(0);
    let bursts: Vec<&str> = seen.split('V').filter(|burst| !burst.is_empty()).collect();
    assert_eq!(bursts, ["AAA", "AAA"], "{seen}");
}

/// With `-sf` the new process goes on where the old one was: the other node hears no stop, and the address is never away.
#[test]
fn a_new_process_goes_on() {
    for lines in [FAST.to_owned(), format!("{FAST}\n    use-vmac")] {
        let net = Net::new();
        let mut old = net.weir("a", &weir_config(&lines, 150));
        net.only("a");
        let b = net.weir("b", &weir_config(&lines, 100));
        b.wait_for("VI_1: stopped -> backup");
        // One that cannot start leaves the old one as it was.
        let broken = net.weir_instead(
            "a",
            "vrrp VI_1\n    interface nope\n    virtual-router-id 5\n    address 10.0.0.1\n",
            &old,
        );
        broken.wait_for("this machine has no interface 'nope'");
        drop(broken);
        let links = || ip(&format!("-n {} -o link show type macvlan", net.space("a")));
        let before = links();
        let new = net.weir_instead("a", &weir_config(&lines, 150), &old);
        wait_until("the old one has ended", || {
            assert!(net.holds("a", VIRTUAL), "{}{}", old.log(), new.log());
            matches!(old.child.try_wait(), Ok(Some(_)))
        });
        new.wait_for(&format!(
            "VI_1: backup -> master: left by process {}, which this one replaces",
            old.child.id()
        ));
        old.wait_for("VI_1: master -> stopped: left to the process that replaces this one");
        assert_eq!(links(), before, "the interface is the same");
        assert!(!new.log().contains("was still there"), "{}", new.log());
        // It is the new one's by all means: it goes with it.
        new.stop();
        b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
        net.only("b");
        assert_eq!(b.log().matches("-> master").count(), 1, "{}", b.log());
        assert!(!links().contains("vrrp.51"), "{}", links());
        let arp = python(&net, "a", "print(open('/proc/sys/net/ipv4/conf/eth0/arp_ignore').read())");
        assert_eq!(arp[0], "0");
    }
}

/// Other addresses, another router less: what stays is never away.
#[test]
fn a_new_process_goes_on_with_other_addresses() {
    let net = Net::new();
    let lines = |more: &str| weir_config(&format!("{FAST}\n    {more}"), 150);
    let other = format!(
        "vrrp VI_2\n    interface eth1\n    virtual-router-id 52\n    {FAST}\n    address 10.98.0.100/24\n"
    );
    let route = "route 10.1.0.0/16 via 10.99.0.2";
    let mut old =
        net.weir("a", &format!("{other}{}", lines(&format!("address 10.99.0.101/24\n    {route}"))));
    net.only("a");
    old.wait_for("VI_2: backup -> master");
    wait_until("it holds all", || net.holds("a", "10.99.0.101") && net.holds("a", "10.98.0.100"));
    let new = net.weir_instead("a", &lines("address 10.99.0.102/24"), &old);
    wait_until("the old one has ended", || {
        assert!(net.holds("a", VIRTUAL), "{}{}", old.log(), new.log());
        matches!(old.child.try_wait(), Ok(Some(_)))
    });
    new.wait_for(&format!("VI_1: backup -> master: left by process {}", old.child.id()));
    wait_until("it holds what it is to", || net.holds("a", "10.99.0.102"));
    assert!(!net.holds("a", "10.99.0.101") && !net.holds("a", "10.98.0.100"), "{}", old.log());
    assert!(!ip(&format!("-n {} route", net.space("a"))).contains("10.1.0.0/16"));
    old.wait_for("VI_2: master -> stopped");
    old.wait_for("VI_1: master -> stopped: left to the process that replaces this one");
    assert!(!new.log().contains("removed, it is not held"), "{}", new.log());
}

/// What is configured otherwise is handed over; the new process begins when the old one has cleared away.
#[test]
fn a_new_process_that_is_configured_otherwise_waits() {
    let net = Net::new();
    let old = net.weir("a", &weir_config(&format!("{FAST}\n    use-vmac"), 150));
    net.only("a");
    let b = net.weir("b", &weir_config(FAST, 100));
    b.wait_for("VI_1: stopped -> backup");
    let new = net.weir_instead("a", &weir_config(FAST, 150), &old);
    b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
    old.wait_for("VI_1: master -> stopped: stopped");
    new.wait_for("VI_1: backup -> master: priority 150 is above 100 of 10.99.0.2");
    net.only("a");
    let links = ip(&format!("-n {} -o link show", net.space("a")));
    assert!(!links.contains("vrrp.51"), "{links}");
    assert!(!new.log().contains("removed, it is not held"), "{}", new.log());
}
