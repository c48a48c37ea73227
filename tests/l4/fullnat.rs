//! `forward fullnat`: the server sees one of the director's addresses, and needs no route back through it.

use crate::net::{Net, VIP, VIP6};

#[test]
fn servers_see_an_address_of_the_pool() {
    let net = Net::new("r");
    net.on("d", "ip addr add 10.72.0.2/24 dev eth0");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let mut director = net.director();
    director.services(80, 8080, "fullnat", "rr");
    for (service, pool) in
        [(0, "10.72.0.1 10.72.0.2"), (1, "10.72.0.1 10.72.0.2"), (2, "fd72::1"), (3, "fd72::1")]
    {
        director.tell(&format!("sources {service} 20000 29999 {pool}"));
        director.tell(&format!("ready {service}"));
    }
    let mut seen = Vec::new();
    for _ in 0..16 {
        let answer = net.curl(&format!("http://{VIP}/"));
        let words: Vec<&str> = answer.split_whitespace().collect();
        let port: u16 = words[2].parse().unwrap();
        assert!((20000..30000).contains(&port), "{answer}");
        seen.push(words[1].to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["10.72.0.1", "10.72.0.2"]);
    assert!(net.datagram(VIP, 80, "hello").ends_with("hello"));
    net.move_much(&format!("http://{VIP}"));
    net.move_much(&format!("http://[{VIP6}]"));
    net.sum_in_software();
    net.move_much(&format!("http://{VIP}"));
}

#[test]
fn an_exhausted_pool_refuses_and_is_counted() {
    let net = Net::new("r");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let mut director = net.director();
    director.services(80, 8080, "fullnat", "rr");
    // Two ports to each of two servers.
    director.tell("sources 0 20000 20001 10.72.0.1");
    director.tell("ready 0");
    let script = format!(
        "import socket\nopen_=[]\n\
         for _ in range(6):\n try: open_.append(socket.create_connection(('{VIP}',80),20))\n except ConnectionRefusedError: pass\n\
         print(len(open_))"
    );
    let output = net.command("c", &["python3", "-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "4");
    assert_eq!(director.number("count PortsExhausted"), 2);
}

/// Sends its request with the acknowledgement that ends the handshake: the first segment that the server may learn from has data.
const AT_ONCE: &str = "
import socket,sys
s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET);s.settimeout(20)
s.bind(('',int(sys.argv[2])));s.setsockopt(6,12,0);s.connect((sys.argv[1],80))
s.send(b'GET / HTTP/1.0\\r\\n\\r\\n');print(s.makefile().read().split()[-4])
";

#[test]
fn servers_are_told_the_client_in_an_option() {
    let net = Net::new("r");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let mut director = net.director();
    director.services(80, 8080, "fullnat:toa", "rr");
    for (service, pool) in [(0, "10.72.0.1"), (1, "10.72.0.1"), (2, "fd72::1"), (3, "fd72::1")] {
        director.tell(&format!("sources {service} 20000 29999 {pool}"));
        director.tell(&format!("ready {service}"));
    }
    let answers = net.capture("c", "tcp src port 80");
    // Kind 254, length, port, address, as the modules at the servers read it, behind a time stamp.
    for (first, vip, option, client, source, mss) in [
        (40_000, VIP.to_owned(), "fe08 9c4", "0a47 0002", "10.72.0.1.", "mss 1452"),
        (40_002, format!("[{VIP6}]"), "fe14 9c4", "fd71 0000", "fd72::1.", "mss 1420"),
    ] {
        let there = net.capture("s1", "-x tcp dst port 8080");
        // One of two goes to s1: 40000 is 9c40.
        for port in [first, first + 1] {
            net.curl(&format!("--local-port {port} -o /dev/null http://{vip}/bytes/100000"));
        }
        there.wait_for(&[source, "Flags [.]", option, client, "length 0"]);
        there.wait_for(&[source, "Flags [P.]", option, client]);
        let packets = there.packets();
        let marked: Vec<bool> = packets.iter().map(|packet| packet.contains(option)).collect();
        assert!(!marked[0] && packets[0].contains("Flags [S]"), "{packets:?}");
        // What acknowledges data says no more.
        assert!(marked.last() == Some(&false) && packets.len() > 4, "{packets:?}");
        answers.wait_for(&["Flags [S.]", mss]);
    }
    for software in [false, true] {
        if software {
            net.sum_in_software();
        }
        let there = net.capture("s1", "-x tcp dst port 8080 and tcp[13] & 8 != 0");
        for port in 0..2 {
            let port = (41_000 + 2 * u16::from(software) + port).to_string();
            let words = ["python3", "-c", AT_ONCE, VIP, &port];
            let output = net.command("c", &words).output().unwrap();
            let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(["s1", "s2"].contains(&name.as_str()), "{name} {output:?}");
        }
        // 41000 is a028.
        there.wait_for(&[
            "fe08 a02",
            "0a47 0002",
            "length 18",
            if software { "(correct)" } else { "Flags [P.]" },
        ]);
        net.move_much(&format!("http://{VIP}"));
        net.move_much(&format!("http://[{VIP6}]"));
    }
}
