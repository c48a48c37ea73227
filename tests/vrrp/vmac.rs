//! `use-vmac`: the virtual MAC address, with keepalived on the other side, and byte for byte.

use crate::harness::network::{Net, Node, VIRTUAL, ip, keepalived_instance, python, sniff};
use crate::harness::terminal::wait_until;

const VIRTUAL6: &str = "2001:db8:99::100";
const MAC: &str = "00:00:5e:00:01:33";
const SPEED: &str = " version 3\n advert_int 0.2\n use_vmac\n";
const FOUR: &str = " virtual_ipaddress {\n 10.99.0.100/24\n }\n";
const SIX: &str = " virtual_ipaddress {\n fe80::100/64\n 2001:db8:99::100/64\n }\n";

/// A router of each family.
fn weir(net: &Net, machine: &str, priority: u8) -> Node {
    let router = |name: &str, addresses: &str| {
        format!(
            "vrrp {name}\n    interface eth0\n    use-vmac\n    virtual-router-id 51\n    version 3\n    advert-interval 200ms\n    priority {priority}\n    {addresses}\n"
        )
    };
    let four = router("VI_4", "address 10.99.0.100/24 dev eth0");
    let six = router("VI_6", "address fe80::100/64\n    address 2001:db8:99::100/64");
    net.weir(machine, &format!("{four}{six}"))
}

fn keepalived(net: &Net, machine: &str, priority: u8) -> Node {
    let four = keepalived_instance("VI_4", &format!("{SPEED}{FOUR} priority {priority}"));
    let six = keepalived_instance("VI_6", &format!("{SPEED}{SIX} priority {priority}"));
    net.keepalived_whole(machine, &format!("{four}{six}"))
}

fn both(net: &Net, machine: &str) {
    net.only(machine);
    net.only_address(machine, VIRTUAL6);
}

fn links(net: &Net, machine: &str) -> String {
    ip(&format!("-n {} -o link show", net.space(machine)))
}

#[test]
fn speaks_with_keepalived() {
    let net = Net::new();
    let other = keepalived(&net, "b", 100);
    both(&net, "b");
    let ours = weir(&net, "a", 150);
    both(&net, "a");
    ours.wait_for("VI_4: backup -> master: priority 150 is above 100 of 10.99.0.2");
    ours.wait_for("VI_6: backup -> master: priority 150 is above 100 of fe80::");
    ours.stop();
    both(&net, "b");
    let ours = weir(&net, "a", 50);
    ours.wait_for("VI_4: stopped -> backup");
    other.stop();
    both(&net, "a");
    ours.wait_for("VI_4: backup -> master: 10.99.0.2 stops");
    let _other = keepalived(&net, "b", 100);
    both(&net, "b");
    ours.wait_for("VI_4: master -> backup: 10.99.0.2 has priority 100");
}

/// Adverts and announcements of both families, from the virtual MAC addresses.
#[test]
fn frames_are_keepalived_s_byte_for_byte() {
    let mut seen = Vec::new();
    for program in ["weir", "keepalived"] {
        let net = &Net::new();
        let frames = std::thread::scope(|scope| {
            let watch =
                |condition: &'static str| scope.spawn(move || sniff(net, "a", condition, 1).remove(0));
            let four = watch("f[12:14]==b'\\x08\\x00' and f[23]==112");
            let arp = watch("f[12:14]==b'\\x08\\x06' and f[6:10]==b'\\x00\\x00\\x5e\\x00'");
            let six = watch("f[12:14]==b'\\x86\\xdd' and f[20]==112");
            let neighbour =
                watch("f[12:14]==b'\\x86\\xdd' and f[20]==58 and f[54]==136 and f[62:64]==b'\\x20\\x01'");
            let node = match program {
                "weir" => weir(net, "b", 120),
                _ => keepalived(net, "b", 120),
            };
            let (four, six) = (four.join().unwrap(), six.join().unwrap());
            let seen = [
                // Without the identification, the header's checksum, and the flag which forbids what does not happen to
                // 32 bytes: keepalived sends it without a virtual MAC only.
                format!("{}{}{}", &four[..36], &four[44..48], &four[52..]),
                arp.join().unwrap(),
                // Without the flow label.
                format!("{}{}", &six[..31], &six[36..]),
                neighbour.join().unwrap(),
            ];
            node.stop();
            seen
        });
        seen.push(frames);
    }
    assert_eq!(seen[0], seen[1]);
}

/// What a neighbour has learned stays true when the addresses move, and what answers is the holder.
#[test]
fn neighbours_learn_nothing_new() {
    let net = Net::new();
    let client = net.space("s");
    ip(&format!("-n {client} addr add 10.99.0.50/24 dev breth0"));
    let a = weir(&net, "a", 150);
    both(&net, "a");
    let b = weir(&net, "b", 100);
    b.wait_for("VI_4: stopped -> backup");
    // A name server of a kind on each machine: says who it is.
    let serve = |machine: &str| {
        let script = format!(
            "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.setsockopt(0,15,1)\ns.bind(('{VIRTUAL}',23053))\n\
             while True:\n  _,a=s.recvfrom(9); s.sendto(b'{machine}',a)"
        );
        net.start(machine, &["python3", "-c", &script])
    };
    let _servers = [serve("a"), serve("b")];
    let ask = || -> String {
        let script = format!(
            "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(0.2)\nwhile True:\n  s.sendto(b'?',('{VIRTUAL}',23053))\n  \
             try: print(s.recv(9).decode()); break\n  except TimeoutError: pass"
        );
        python(&net, "s", &script).remove(0)
    };
    let known = || ip(&format!("-n {client} neigh show {VIRTUAL}"));
    assert_eq!(ask(), "a");
    assert!(known().contains(MAC), "{}", known());
    assert_eq!(links(&net, "b").matches("00:00:5e:00:01:33").count(), 1, "the backup has the interface too");
    a.stop();
    both(&net, "b");
    wait_until("b answers", || ask() == "b");
    assert!(known().contains(MAC), "{}", known());
}

/// Nothing stays behind after a stop; what a killed process left is recognised.
#[test]
fn the_interface_goes_with_the_process() {
    let net = Net::new();
    let space = net.space("a");
    let arp_ignore = || {
        python(&net, "a", "print(open('/proc/sys/net/ipv4/conf/eth0/arp_ignore').read().strip())").remove(0)
    };
    let a = weir(&net, "a", 150);
    both(&net, "a");
    assert_eq!(arp_ignore(), "1");
    a.kill();
    assert!(links(&net, "a").contains("vrrp.51@"));
    let a = weir(&net, "a", 150);
    a.wait_for("VI_4: interface vrrp.51 was still there: removed");
    a.wait_for("VI_6: interface vrrp6.51 was still there: removed");
    both(&net, "a");
    // Taken away under a running process: made again, with its addresses.
    ip(&format!("-n {space} link del vrrp.51"));
    net.only("a");
    a.stop();
    assert!(!links(&net, "a").contains("vrrp"), "{}", links(&net, "a"));
    net.nobody();
    assert_eq!(arp_ignore(), "0", "as it was before the one that was killed");
    // Another interface of that name is not ours to remove.
    ip(&format!("-n {space} link add vrrp.51 type veth peer name other"));
    let a = weir(&net, "a", 150);
    a.wait_for("there is an interface 'vrrp.51' already");
    assert!(links(&net, "a").contains("vrrp.51@"));
}

/// What the kernel says by itself on an interface, reports of IPv6's groups above all, does not leave a backup with the virtual MAC
/// address: switches would learn it at the wrong port.
#[test]
fn a_backup_is_silent() {
    let net = &Net::new();
    let a = weir(net, "a", 150);
    both(net, "a");
    // A router joins more groups.
    python(net, "b", "open('/proc/sys/net/ipv6/conf/default/forwarding','w').write('1')");
    // At b's port of the switch: what comes in from b, until fifty adverts have gone out to it.
    let watch = "import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); s.bind(('eth0b',3)); s.settimeout(30)\n\
        print('ready',flush=True); n=0; seen=0\n\
        while n<50:\n  f,a=s.recvfrom(4096)\n  out=a[2]==4\n  n+=out and f[12:14]==b'\\x08\\x00' and f[23]==112\n\
        \x20 if not out and f[6:10]==b'\\x00\\x00\\x5e\\x00': seen+=1; print('from b:',f.hex(),flush=True)\n\
        print('over',flush=True)";
    let wire = net.start("s", &["python3", "-c", watch]);
    wire.wait_for("ready");
    let b = weir(net, "b", 100);
    b.wait_for("VI_4: stopped -> backup");
    b.wait_for("VI_6: stopped -> backup");
    wait_until("the interfaces are there", || links(net, "b").matches("00:00:5e:00:0").count() == 2);
    wire.wait_for("over");
    assert!(!wire.log().contains("from b:"), "{}", wire.log());
    drop(a);
    both(net, "b");
}

/// Two masters with one MAC address hear each other all the same.
#[test]
fn a_parted_network_heals() {
    let net = Net::new();
    let a = weir(&net, "a", 150);
    both(&net, "a");
    let switch = net.space("s");
    ip(&format!("-n {switch} link set eth0b nomaster"));
    let b = weir(&net, "b", 100);
    b.wait_for("VI_4: backup -> master: no master heard");
    b.wait_for("VI_6: backup -> master: no master heard");
    ip(&format!("-n {switch} link set eth0b master breth0"));
    b.wait_for("VI_4: master -> backup: 10.99.0.1 has priority 150");
    b.wait_for("VI_6: master -> backup: ");
    both(&net, "a");
    assert!(!a.log().contains("master -> "), "{}", a.log());
}
