//! The whole program: a configuration in `mode l4`, checks, the sorry server, and what is left when it stops.

use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};

const CONFIG: &str = "
global
    stats socket SOCKET level admin
listen web
    mode l4
    bind 10.72.0.100:80
    forward nat
    balance rr
    server s1 10.72.0.11:8080 check inter 200ms fall 1 rise 1
    server s2 10.72.0.12:8080 check inter 200ms fall 1 rise 1
    server sorry 127.0.0.1:8081 backup
";

fn weir(net: &Net) -> Running {
    let file = net.dir.path().join("weir.cfg");
    let socket = net.dir.path().join("weir.sock");
    std::fs::write(&file, CONFIG.replace("SOCKET", &socket.to_string_lossy())).unwrap();
    net.start("d", &[&Program::Weir.path().to_string_lossy(), "-db", "-f", &file.to_string_lossy()])
}

/// Who answers, "" if nobody does.
fn who(net: &Net) -> String {
    let output = net.output("c", &format!("curl -s --max-time 20 http://{VIP}/"));
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn checks_move_traffic_and_the_sorry_server_serves_when_all_are_down() {
    let net = Net::new("d");
    net.on("d", "sysctl -qw net.ipv4.ip_forward=0");
    let [first, second] = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let _sorry = net.origin("d", 8081, "127.0.0.1");
    let mut weir = weir(&net);
    wait_until("both serve", || who(&net) == "s1" && who(&net) == "s2");
    // As the tools show it: what both carried, and a service made beside the configured one, which forwards as well.
    let socket = net.dir.path().join("weir.sock");
    let ipvsadm = |words: &str| {
        let program = Program::Weir.path();
        let mut command = net.command("d", &[&program.to_string_lossy(), "ipvsadm"]);
        let output = command.args(words.split_whitespace()).env("WEIR_SOCKET", &socket).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait_until("flows are listed", || {
        let list = ipvsadm("-L -n --stats");
        let line = list.lines().find(|line| line.contains("10.72.0.11:8080")).unwrap_or_default();
        line.split_whitespace().nth(2).is_some_and(|flows| flows != "0")
    });
    ipvsadm(&format!("-A -t {VIP}:88 -s rr"));
    ipvsadm(&format!("-a -t {VIP}:88 -r 10.72.0.12:8080 -m"));
    wait_until("the made service forwards", || {
        let output = net.output("c", &format!("curl -s --max-time 20 http://{VIP}:88/"));
        output.stdout.starts_with(b"s2 10.71.0.2")
    });
    drop(first);
    wait_until("the second alone serves", || (0..4).all(|_| who(&net) == "s2"));
    drop(second);
    wait_until("the sorry server serves", || who(&net) == "d");
    let _first = net.origin("s1", 8080, "::");
    wait_until("the first serves again", || (0..4).all(|_| who(&net) == "s1"));
    weir.end("TERM");
    assert_eq!(net.on("d", "cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    assert_eq!(who(&net), "");
}

#[test]
fn without_capabilities_the_program_says_which() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("weir.cfg");
    std::fs::write(&file, "listen web\n mode l4\n bind 10.72.0.100:80\n server s1 10.72.0.11\n").unwrap();
    let program = Program::Weir.path();
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set", "-all", "--inh-caps", "-all", &program.to_string_lossy(), "-db", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("mode l4 needs CAP_NET_ADMIN and CAP_PERFMON and CAP_BPF"), "{said}");
}
