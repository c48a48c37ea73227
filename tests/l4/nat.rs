//! `forward nat`: both ways through the director, which changes the destination on the way there and the source on the way back.

use crate::harness::terminal::wait_until;
use crate::net::{Director, Net, Running, VIP, VIP6};

/// TCP and UDP on port 80 of the virtual addresses, to port 8080 of both servers.
fn nat(net: &Net) -> Director {
    let mut director = net.director();
    director.services(80, 8080, "nat", "rr");
    director
}

fn origins(net: &Net) -> [Running; 2] {
    [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")]
}

#[test]
fn servers_take_turns_and_see_the_client_and_their_own_port() {
    let net = Net::new("d");
    let _origins = origins(&net);
    let mut director = nat(&net);
    let capture = net.capture("s1", "tcp port 8080");
    let mut names = Vec::new();
    for _ in 0..4 {
        let answer = net.curl(&format!("http://{VIP}/"));
        let words: Vec<&str> = answer.split_whitespace().collect();
        assert_eq!((words[1], words[3]), ("10.71.0.2", "8080"), "{answer}");
        names.push(words[0].to_owned());
    }
    assert_eq!(names, ["s1", "s2", "s1", "s2"]);
    // From the client's address to the server's port; the router and the director took one off the TTL each.
    capture.wait_for(&["ttl 62", "10.71.0.2.", "> 10.72.0.11.8080: Flags [S]"]);
    wait_until("all flows are inactive", || (0..2).all(|s| director.load(s).0 == 0));
    assert_eq!((director.load(0), director.load(1)), ((0, 2), (0, 2)));
    assert_eq!(director.number("expire 3600"), 4);
    assert_eq!((director.load(0), director.load(1)), ((0, 0), (0, 0)));
    assert_eq!(director.tell("flows"), "0");
}

#[test]
fn a_hundred_megabytes_arrive_whole_both_ways() {
    let net = Net::new("d");
    let _origins = origins(&net);
    let _director = nat(&net);
    net.move_much(&format!("http://{VIP}"));
    net.move_much(&format!("http://[{VIP6}]"));
    net.sum_in_software();
    net.move_much(&format!("http://{VIP}"));
    net.move_much(&format!("http://[{VIP6}]"));
}

#[test]
fn datagrams_come_back_from_the_virtual_address() {
    let net = Net::new("d");
    let _origins = origins(&net);
    let mut director = nat(&net);
    for (message, server) in [("one", "s1"), ("two", "s2")] {
        let answer = net.datagram(VIP, 80, message);
        let words: Vec<&str> = answer.split_whitespace().collect();
        assert_eq!((words[0], words[1], words[3]), (server, "10.71.0.2", message), "{answer}");
    }
    assert_eq!((director.load(2), director.load(3)), ((0, 1), (0, 1)));
    // In several fragments, there and back.
    let long = "x".repeat(4000);
    for address in [VIP, VIP6] {
        assert!(net.datagram(address, 80, &long).ends_with(&long));
    }
}

#[test]
fn five_hundred_open_connections_are_counted_as_such() {
    let net = Net::new("d");
    let _origins = origins(&net);
    let mut director = nat(&net);
    let script = format!(
        "import socket,sys\nopen_=[socket.create_connection(('{VIP}',80),20) for _ in range(1000)]\n\
         for s in open_: s.send(b'GET / HTTP/1.1\\r\\n\\r\\n'); s.recv(1)\n\
         print('open',flush=True)\nsys.stdin.readline()\n[s.close() for s in open_[500:]]\n\
         print('half',flush=True)\nsys.stdin.readline()\n"
    );
    let mut client = net.start("c", &["python3", "-c", &script]);
    let total = |director: &mut Director| {
        let (a, b) = (director.load(0), director.load(1));
        (a.0 + b.0, a.1 + b.1)
    };
    assert_eq!(client.line(), "open");
    wait_until("1000 are active", || total(&mut director) == (1000, 0));
    client.enter();
    assert_eq!(client.line(), "half");
    wait_until("500 are active, 500 inactive", || total(&mut director) == (500, 500));
    client.enter();
    wait_until("none is active", || total(&mut director) == (0, 1000));
    director.number("expire 3600");
    assert_eq!(total(&mut director), (0, 0));
}

#[test]
fn a_service_without_servers_refuses_at_once() {
    let net = Net::new("d");
    let mut director = net.director();
    for (id, protocol, vip) in [(0, "tcp", VIP), (1, "udp", VIP), (2, "tcp", VIP6), (3, "udp", VIP6)] {
        let vip = if vip.contains(':') { format!("[{vip}]") } else { vip.to_owned() };
        director.tell(&format!("service {id} {protocol} {vip}:81 rr"));
        director.tell(&format!("ready {id}"));
    }
    // The host itself would refuse as well: packets to its address must not reach it.
    net.on("d", "ip addr del 10.72.0.100/32 dev eth0");
    net.on("r", "ip route add 10.72.0.100/32 via 10.72.0.1");
    director.tell("attach");
    for software in [false, true] {
        if software {
            net.sum_in_software();
        }
        for url in [format!("http://{VIP}:81/"), format!("http://[{VIP6}]:81/")] {
            let output = net.output("c", &format!("curl -sS --max-time 20 {url}"));
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(7), "{errors}");
            assert!(errors.contains("after 0 ms") || !errors.contains("timed out"), "{errors}");
        }
        for address in [VIP, VIP6] {
            assert!(net.refused(address, 81), "{address}");
        }
    }
    // Whoever lost the answer asked again.
    assert!(director.number("count Refused") >= 8);
}

#[test]
fn nothing_stays_attached() {
    let net = Net::new("d");
    let _origins = origins(&net);
    // Without the program the host itself answers, and refuses.
    let forwards = || net.output("c", &format!("curl -sS --max-time 20 http://{VIP}/")).status.success();
    assert!(!forwards());
    let director = nat(&net);
    assert!(forwards());
    director.stop();
    assert!(!forwards());
    nat(&net).kill();
    wait_until("the kernel takes the program away", || !forwards());
    let director = nat(&net);
    assert!(forwards());
    drop(director);
}

#[test]
fn without_capabilities_the_error_names_them() {
    let me = std::env::current_exe().unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--clear-groups"])
        .args([me.to_str().unwrap(), "--exact", "director::serve", "--nocapture"])
        .env("WEIR_L4_DIRECTOR", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"] {
        assert!(text.contains(name), "{text}");
    }
}
