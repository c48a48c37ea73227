//! What the tools show of real traffic, and what commands do to it.

use crate::configured::Held;
use crate::harness::ask;
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// `weir l4 ...` on a machine: success, and what it said.
fn l4(net: &Net, machine: &str, socket: &Path, words: &str) -> (bool, String) {
    let mut command = net.command(machine, &[&Program::Weir.path().to_string_lossy(), "l4"]);
    let output = command.args(words.split_whitespace()).env("WEIR_SOCKET", socket).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

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

    /// Connections that stay, and who answered them.
    fn held(&self, count: usize) -> (Held, [usize; 4]) {
        let mut held = Held::to(&self.net, VIP, 80, "tcp");
        let answers = held.ask(&format!("open {count}"));
        (held, answers)
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
    let (_held, who) = site.held(6);
    assert_eq!(who, [3, 3, 0, 0]);
    assert_eq!(site.count(4), (2, 2));
    wait_until("flows are in show stat", || site.stat("web,FRONTEND", "stot") == "10");
    let row = |row| ["scur", "stot", "mode", "lbtot"].map(|column| site.stat(row, column));
    assert_eq!(row("web,s1"), ["3", "5", "l4", "5"]);
    assert_eq!(row("web,BACKEND"), ["6", "10", "l4", "10"]);
    assert_eq!(site.stat("web,BACKEND", "algo"), "wrr");
    let limits = ["web,FRONTEND", "web,s1", "web,BACKEND"].map(|row| site.stat(row, "slim"));
    assert_eq!(limits, ["", "", ""], "nothing limits flows");
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
    let (mut held, answers) = site.held(4);
    assert_eq!(answers, [2, 2, 0, 0]);
    // Drained: no new flows, those it has go on.
    site.tell("set server web/s1 state drain");
    wait_until("nothing new for s1", || site.count(4) == (0, 4));
    assert_eq!(held.ask("again"), [2, 2, 0, 0]);
    site.tell("set server web/s1 state ready");
    wait_until("s1 is back", || site.count(4) == (2, 2));
    site.tell("set server web/s2 state maint");
    wait_until("nothing new for s2", || site.count(4) == (4, 0));
    assert_eq!(held.ask("again"), [2, 2, 0, 0]);
    site.tell("enable server web/s2");
    wait_until("s2 is back", || site.count(4) == (2, 2));
    site.tell("set server web/s1 weight 3");
    wait_until("three quarters", || site.count(8) == (6, 2));
    assert_eq!(site.stat("web,s1", "weight"), "3");
    site.tell("set server web/s1 weight 0");
    wait_until("weight 0 takes none", || site.count(4) == (0, 4));
    site.tell("set weight web/s1 100%");
    wait_until("as configured", || site.count(4) == (2, 2));
    assert_eq!(held.ask("again"), [2, 2, 0, 0]);
    // Another address: new flows go there, those of the old one go on.
    site.tell("set server web/s2 addr 10.72.0.11 port 8080");
    wait_until("both lead to the same machine", || site.count(4) == (4, 0));
    assert_eq!(held.ask("again"), [2, 2, 0, 0]);
    site.tell("set server web/s2 addr 10.72.0.12 port 8080");
    wait_until("two machines again", || site.count(4) == (2, 2));
    // Down: what it has is cut at once, and so it stays until told otherwise.
    site.tell("disable health web/s1");
    site.tell("set server web/s1 health down");
    wait_until("nothing for s1", || site.count(4) == (0, 4));
    assert_eq!(held.ask("again"), [0, 2, 0, 2]);
    site.tell("enable health web/s1");
    wait_until("its checks bring it back", || site.count(4) == (2, 2));
    // A server that is made, and removed, while the process runs.
    assert!(site.tell("add server web/s3 10.72.0.11:8080 weight 2").contains("New server registered."));
    site.tell("enable server web/s3");
    wait_until("three servers share", || site.count(8) == (6, 2));
    site.tell("disable server web/s3");
    wait_until("two servers share", || site.count(4) == (2, 2));
}

/// Exit code, output and errors of `weir ipvsadm` on the director.
fn ipvsadm(site: &Site, words: &str, input: &str) -> (Option<i32>, String, String) {
    let file = site.net.dir.path().join("input");
    std::fs::write(&file, input).unwrap();
    let mut command = site.net.command("d", &[&Program::Weir.path().to_string_lossy(), "ipvsadm"]);
    command.args(words.split_whitespace()).env("WEIR_SOCKET", &site.socket);
    let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn ipvsadm_makes_services_lists_flows_and_says_what_is_wrong() {
    let site = Site::start();
    let done = |words: &str, input: &str| {
        let (code, out, errors) = ipvsadm(&site, words, input);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{words}");
        out
    };
    let answers = |port: u16| {
        let output = site.net.output("c", &format!("curl -s --max-time 20 http://{VIP}:{port}/"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Mistakes people make, each with what to write instead; nothing changes.
    done(&format!("-A -t {VIP}:9999 -s rr"), "");
    for (line, said) in [
        (
            format!("-a -t {VIP}:9998 -r 10.72.0.11:8080 -m"),
            format!("of that address there is TCP {VIP}:80, UDP {VIP}:53, TCP {VIP}:9999"),
        ),
        (format!("-A -t {VIP}:81 -r wlc"), "write '-s wlc'".to_owned()),
        (format!("-A -t {VIP}:80 -s rr"), "it stands in section 'web'".to_owned()),
        (format!("-a -t {VIP}:9999 -r 10.72.0.11:8080 --fullnat"), "--add-laddr".to_owned()),
        ("--start-daemon master".to_owned(), "not supported by weir yet".to_owned()),
    ] {
        let (code, _, errors) = ipvsadm(&site, &line, "");
        assert!(code != Some(0) && errors.contains(&said), "{line}: {errors}");
    }
    let rules = format!(
        "-A -t {VIP}:90 -s rr\n\n-a -t {VIP}:90 -r 10.72.0.11:8080 -m\n-a -t {VIP}:91 -r 10.72.0.11:8080 -m\n"
    );
    let (code, _, errors) = ipvsadm(&site, "-R", &rules);
    assert!(
        code == Some(255)
            && errors.starts_with("line 4: No such service\n")
            && errors.contains("nothing was changed"),
        "{errors}"
    );
    let (_, _, errors) = ipvsadm(&site, "-R", &format!("-A -t {VIP}:90 -s rr\n-A -t {VIP}:91 -s wcl\n"));
    assert!(errors.starts_with("line 2: Scheduler") && errors.contains("'wlc'"), "{errors}");
    let saved = |site: &Site| ipvsadm(site, "-S -n", "").1;
    assert_eq!(saved(&site), format!("-A -t {VIP}:9999 -s rr\n"));
    // A whole table in one go: nat and fullnat forward.
    let rules = format!(
        "-C\n-A -t {VIP}:90 -s rr\n-a -t {VIP}:90 -r 10.72.0.11:8080 -m -w 1\n-A -t {VIP}:91 -s rr\n\
         --add-laddr -t {VIP}:91 -z 10.72.0.1\n-a -t {VIP}:91 -r 10.72.0.12:8080 --fullnat -w 1\n"
    );
    done("-R", &rules);
    assert_eq!(saved(&site), rules.trim_start_matches("-C\n"));
    wait_until("the nat service forwards", || answers(90).starts_with("s1 10.71.0.2 "));
    wait_until("the fullnat service forwards", || answers(91).starts_with("s2 10.72.0.1 "));
    let list = done("-L -n", "");
    assert!(list.contains("-> 10.72.0.12:8080              FullNat 1 "), "{list}");
    // Flows, and what their server carried.
    let (_held, who) = site.held(2);
    assert_eq!(who, [1, 1, 0, 0]);
    let flows = done("-L -n -c", "");
    let open = |line: &&str| line.contains("ESTABLISHED 10.71.0.2:") && line.contains(&format!(" {VIP}:80 "));
    assert_eq!(flows.lines().filter(open).count(), 2, "{flows}");
    wait_until("flows are counted", || {
        let list = done(&format!("-L -n --stats -t {VIP}:90"), "");
        let line = list.lines().find(|line| line.contains("10.72.0.11:8080")).unwrap_or_default();
        line.split_whitespace().nth(2).is_some_and(|flows| flows != "0")
    });
    // Timeouts: of services made so, told and in force.
    assert_eq!(done("-L --timeout", ""), "Timeout (tcp tcpfin udp): 900 120 300\n");
    done("--set 3000 0 0", "");
    assert_eq!(done("-L --timeout", ""), "Timeout (tcp tcpfin udp): 3000 120 300\n");
    let script = format!(
        "import socket,sys\ns=socket.create_connection(('{VIP}',90),60)\nprint('open',flush=True)\nsys.stdin.readline()"
    );
    std::fs::write(site.net.dir.path().join("open.py"), script).unwrap();
    let mut open = site.net.start("c", &["python3", "open.py"]);
    assert_eq!(open.line(), "open");
    wait_until("a flow lives for 50 minutes", || {
        let of = |line: &&str| line.contains(&format!(" {VIP}:90 ")) && line.contains("ESTABLISHED");
        let list = done("-L -n -c", "");
        list.lines().find(of).is_some_and(|line| line.contains(" 49:") || line.contains(" 50:00"))
    });
    done("-C", "");
    assert_eq!(saved(&site), "");
    wait_until("nothing is there any more", || answers(91).is_empty());
}

#[test]
fn the_way_of_a_packet_is_explained_and_faults_are_found() {
    let site = Site::start();
    let tell = |words: &str| l4(&site.net, "d", &site.socket, words);
    let (fine, text) = tell(&format!("explain --src 10.71.0.2:40000 --dst {VIP}:80"));
    assert!(fine && text.contains("service    web (TCP 10.72.0.100:80), wrr\n"), "{text}");
    assert!(text.contains("flow       none: it begins one\n"), "{text}");
    let (told, actual) = (text.contains("server     s1 10.72.0.11:8080: "), site.count(1));
    assert_eq!(if told { (1, 0) } else { (0, 1) }, actual, "{text}");
    let mac = site.net.on(if told { "s1" } else { "s2" }, "cat /sys/class/net/eth0/address");
    assert!(
        text.contains("forward    nat: ") && text.contains(&format!("next hop   dev eth0, {} (", mac.trim())),
        "{text}"
    );
    // A flow that is there goes where it goes.
    let (_held, answers) = site.held(1);
    let server = if answers[0] == 1 { "s1" } else { "s2" };
    let flows = site.tell("show l4 flows");
    let client = flows.lines().find(|l| l.contains("ESTABLISHED") && l.contains(" 10.72.0.100:80")).unwrap();
    let client = client.split_whitespace().nth(3).unwrap();
    let (_, text) = tell(&format!("explain --src {client} --dst {VIP}:80"));
    assert!(text.contains("known, ESTABLISHED") && text.contains(&format!("server     {server} ")), "{text}");
    site.tell("set server web/s2 state maint");
    wait_until("a server in maintenance is none", || {
        let (_, text) = tell(&format!("explain --src 10.71.0.2:40001 --dst {VIP}:80"));
        text.contains("server     s1 ") && text.contains("drained")
    });
    let (_, text) = tell(&format!("explain --src 10.71.0.2:40000 --dst {VIP}:8080"));
    assert!(text.contains("of that address there is TCP 10.72.0.100:80, UDP 10.72.0.100:53"), "{text}");
    let (fine, text) = tell("explain --src 10.71.0.2 --dst 10.72.0.100:80");
    assert!(!fine && text.contains("is not <ip>:<port>"), "{text}");
    // The doctor: nothing is wrong, until something is.
    site.tell("set server web/s2 state ready");
    let (fine, text) = tell("doctor");
    assert!(fine && text.ends_with("nothing is wrong\n"), "{text}");
    assert!(text.contains("ok     10.72.0.100 is an address of this host\n"), "{text}");
    site.net.on("d", "sysctl -qw net.ipv4.ip_forward=0");
    site.net.on("d", "ip route add unreachable 10.72.0.12/32");
    let (fine, text) = tell("doctor");
    assert!(!fine && text.contains("WRONG  net/ipv4/ip_forward is not 1"), "{text}");
    assert!(text.contains("sysctl -w net.ipv4.ip_forward=1"), "{text}");
    site.net.on("d", "ip route del unreachable 10.72.0.12/32");
    site.net.on("s1", "ip link set eth0 down");
    site.net.on("d", "ip neigh flush all");
    let (_, text) = tell("doctor");
    assert!(
        text.contains("dns (UDP 10.72.0.100:53): server 10.72.0.11:8080: 10.72.0.11 does not answer on eth0"),
        "{text}"
    );
}

const SETUP: &str = "
global
    stats socket SOCKET level admin
listen web
    mode l4
    bind 10.72.0.100:80
    forward MODE
    balance rr
    server s1 10.72.0.11
    server s2 10.72.0.12
";

#[test]
fn real_servers_are_prepared_and_put_back() {
    for (mode, options) in
        [("dr", "--mode dr"), ("tun", "--mode tun"), ("tun gue port 6080", "--mode tun --gue-port 6080")]
    {
        let net = Net::new("r");
        let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
        let (file, socket) = (net.dir.path().join("weir.cfg"), net.dir.path().join("weir.sock"));
        let config = SETUP.replace("SOCKET", &socket.to_string_lossy()).replace("MODE", mode);
        std::fs::write(&file, config).unwrap();
        let _weir =
            net.start("d", &[&Program::Weir.path().to_string_lossy(), "-db", "-f", &file.to_string_lossy()]);
        let state = |machine: &str| {
            let settings =
                net.on(machine, "sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce");
            let addresses = net.on(machine, "ip -o address show dev lo");
            let disciplines = net.on(machine, "tc qdisc show dev eth0");
            settings + &addresses + &disciplines + &net.on(machine, "tc filter show dev eth0 ingress")
        };
        // One that is somebody else's stays.
        net.on("s2", "tc qdisc add dev eth0 clsact");
        let servers = ["s1", "s2"];
        let before = servers.map(state);
        for _ in 0..2 {
            for server in servers {
                let (fine, text) = l4(&net, server, &socket, &format!("server-setup --vip {VIP} {options}"));
                assert!(fine, "{text}");
            }
        }
        let after = servers.map(state);
        assert!(after.iter().all(|s| s.contains("arp_ignore = 1") && s.contains(VIP)), "{after:?}");
        let who = || {
            let output = net.output("c", &format!("curl -s --max-time 20 http://{VIP}/"));
            String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
        };
        wait_until("the first serves", || who() == "s1");
        wait_until("the second serves", || who() == "s2");
        let size = net.curl(&format!("-o /dev/null -w %{{size_download}} http://{VIP}/bytes/10000000"));
        assert_eq!(size, "10000000");
        // They do not answer for the address: it stays the director's in the segment.
        net.on("r", &format!("ip neigh flush {VIP}"));
        assert!(!who().is_empty());
        let mac = net.on("d", "cat /sys/class/net/eth0/address");
        assert!(net.on("r", &format!("ip neigh show {VIP}")).contains(mac.trim()));
        for server in servers {
            let (fine, text) = l4(&net, server, &socket, "server-setup --undo");
            assert!(fine && text.contains("is no longer on lo"), "{text}");
        }
        assert_eq!(servers.map(state), before, "{mode}");
        let (fine, text) = l4(&net, "s1", &socket, "server-setup --undo");
        assert!(fine && text.is_empty(), "{text}");
    }
}
