//! What the tools show of real traffic, and what commands do to it.

use crate::harness::ask;
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};
use std::cell::Cell;
use std::path::PathBuf;

const CONFIG: &str = "
global
    stats socket SOCKET level admin
listen web
    mode l4
    bind 10.72.0.100:80
    forward nat
    balance wrr
    server s1 10.72.0.11:8080 weight 1 check inter 200ms fall 1 rise 1
    server s2 10.72.0.12:8080 weight 1 check inter 200ms fall 1 rise 1
listen dns
    mode l4
    bind udp@10.72.0.100:53
    forward nat
    balance rr
    server s1 10.72.0.11:8080
frontend stats
    mode http
    timeout client 30s
    bind 10.72.0.1:8404
    http-request use-service prometheus-exporter if { path /metrics }
    stats enable
    stats uri /
";

struct Site {
    net: Net,
    socket: PathBuf,
    /// Requests that got an answer so far.
    answered: Cell<usize>,
    _weir: Running,
    _origins: [Running; 2],
}

impl Site {
    fn start() -> Self {
        let net = Net::new("d");
        let origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
        let (file, socket) = (net.dir.path().join("weir.cfg"), net.dir.path().join("weir.sock"));
        std::fs::write(&file, CONFIG.replace("SOCKET", &socket.to_string_lossy())).unwrap();
        let weir =
            net.start("d", &[&Program::Weir.path().to_string_lossy(), "-db", "-f", &file.to_string_lossy()]);
        wait_until("the socket is there", || socket.exists());
        let site = Self { net, socket, answered: Cell::new(0), _weir: weir, _origins: origins };
        wait_until("both serve", || site.count(4) == (2, 2));
        site
    }

    fn tell(&self, command: &str) -> String {
        ask(&self.socket, command)
    }

    /// How many of `requests`, each over a connection of its own, either server answered.
    fn count(&self, requests: usize) -> (usize, usize) {
        let urls = vec![format!("http://{VIP}/"); requests].join(" ");
        let output = self.net.output("c", &format!("curl -s --max-time 20 -H Connection:close {urls}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        self.answered.set(self.answered.get() + text.lines().count());
        (of("s1 "), of("s2 "))
    }

    fn held(&self, count: usize) -> Running {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/l4/held.py");
        self.net.start("c", &["python3", script, VIP, "80", &count.to_string()])
    }

    /// A field of a row of `show stat`.
    fn stat(&self, row: &str, column: &str) -> String {
        let text = self.tell("show stat");
        let mut lines = text.trim_start_matches("# ").lines();
        let at = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
        let line = lines.find(|line| line.starts_with(&format!("{row},"))).unwrap();
        line.split(',').nth(at).unwrap().to_owned()
    }

    fn metric(&self, name: &str) -> String {
        let text = self.net.curl("http://10.72.0.1:8404/metrics");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

#[test]
fn statistics_know_of_what_the_kernel_forwards() {
    let site = Site::start();
    wait_until("what was is counted", || {
        site.stat("web,FRONTEND", "stot") == site.answered.get().to_string()
    });
    site.tell("clear counters all");
    assert_eq!(site.stat("web,BACKEND", "stot"), "0");
    let mut held = site.held(6);
    assert_eq!(held.line(), "s1 s1 s1 s2 s2 s2");
    assert_eq!(site.count(4), (2, 2));
    wait_until("flows are in show stat", || site.stat("web,FRONTEND", "stot") == "10");
    let row = |row| ["scur", "stot", "mode", "lbtot"].map(|column| site.stat(row, column));
    assert_eq!(row("web,s1"), ["3", "5", "l4", "5"]);
    assert_eq!(row("web,BACKEND"), ["6", "10", "l4", "10"]);
    assert_eq!(site.stat("web,BACKEND", "algo"), "wrr");
    assert_ne!(site.stat("web,s2", "bin"), "0");
    assert_ne!(site.stat("web,s2", "bout"), "0");
    assert_eq!(site.net.datagram(VIP, 53, "hello").split(' ').next(), Some("s1"));
    wait_until("UDP flows are sessions too", || site.stat("dns,s1", "scur") == "1");
    // The same in the other forms.
    assert!(site.tell("show stat typed").contains(".scur.1:MGP:u32:3\n"));
    assert!(site.tell("show stat json").contains("\"l4\""));
    assert_eq!(site.metric("haproxy_server_current_sessions{proxy=\"web\",server=\"s1\""), "3");
    assert_eq!(site.metric("haproxy_backend_sessions_total{proxy=\"web\""), "10");
    let server = "{service=\"web\",server=\"s1\",address=\"10.72.0.11:8080\",forward=\"nat\"}";
    assert_eq!(site.metric(&format!("weir_l4_server_active_flows{server}")), "3");
    assert_ne!(site.metric(&format!("weir_l4_server_packets_in_total{server}")), "0");
    assert_eq!(site.metric("weir_l4_service_servers_up{service=\"web\"}"), "2");
    let page = site.net.curl("http://10.72.0.1:8404/");
    let panel = page.split("id=l4>").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(
        panel.contains("10.72.0.100:80") && panel.contains("2 of 2") && panel.contains("<td>6</td>"),
        "{panel}"
    );
    // And from the kernel's table itself.
    let flows = site.tell("show l4 flows");
    let open = |server: &str| {
        let of = |line: &&str| line.contains("ESTABLISHED") && line.ends_with(server);
        flows.lines().filter(of).count()
    };
    assert_eq!((open("10.72.0.11:8080"), open("10.72.0.12:8080")), (3, 3), "{flows}");
    assert!(flows.starts_with("IPVS connection entries\npro expire state "), "{flows}");
    assert!(flows.contains("UDP "), "{flows}");
    assert!(site.tell("show l4 stats").contains("ActiveConn: 6\n"));
    assert!(site.tell("show l4 templates").lines().filter(|line| line.starts_with("TCP")).count() == 0);
}

#[test]
fn commands_about_servers_act_on_the_packets() {
    let site = Site::start();
    let mut held = site.held(4);
    assert_eq!(held.line(), "s1 s1 s2 s2");
    // Drained: no new flows, those it has go on.
    site.tell("set server web/s1 state drain");
    wait_until("nothing new for s1", || site.count(4) == (0, 4));
    held.enter();
    assert_eq!(held.line(), "s1 s1 s2 s2");
    site.tell("set server web/s1 state ready");
    wait_until("s1 is back", || site.count(4) == (2, 2));
    site.tell("set server web/s2 state maint");
    wait_until("nothing new for s2", || site.count(4) == (4, 0));
    held.enter();
    assert_eq!(held.line(), "s1 s1 s2 s2");
    site.tell("enable server web/s2");
    wait_until("s2 is back", || site.count(4) == (2, 2));
    site.tell("set server web/s1 weight 3");
    wait_until("three quarters", || site.count(8) == (6, 2));
    assert_eq!(site.stat("web,s1", "weight"), "3");
    site.tell("set server web/s1 weight 0");
    wait_until("weight 0 takes none", || site.count(4) == (0, 4));
    site.tell("set weight web/s1 100%");
    wait_until("as configured", || site.count(4) == (2, 2));
    held.enter();
    assert_eq!(held.line(), "s1 s1 s2 s2");
    // Another address: new flows go there, those of the old one go on.
    site.tell("set server web/s2 addr 10.72.0.11 port 8080");
    wait_until("both lead to the same machine", || site.count(4) == (4, 0));
    held.enter();
    assert_eq!(held.line(), "s1 s1 s2 s2");
    site.tell("set server web/s2 addr 10.72.0.12 port 8080");
    wait_until("two machines again", || site.count(4) == (2, 2));
    // Down: what it has is cut at once, and so it stays until told otherwise.
    site.tell("disable health web/s1");
    site.tell("set server web/s1 health down");
    wait_until("nothing for s1", || site.count(4) == (0, 4));
    held.enter();
    assert_eq!(held.line(), "broken broken s2 s2");
    site.tell("enable health web/s1");
    wait_until("its checks bring it back", || site.count(4) == (2, 2));
    // A server that is made, and removed, while the process runs.
    assert!(site.tell("add server web/s3 10.72.0.11:8080 weight 2").contains("New server registered."));
    site.tell("enable server web/s3");
    wait_until("three servers share", || site.count(8) == (6, 2));
    site.tell("disable server web/s3");
    wait_until("two servers share", || site.count(4) == (2, 2));
}
