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
