//! The process is replaced, killed and stopped while connections are in use: they live on as long as somebody forwards.

use crate::configured::Held;
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP, VIP6, run};

/// `s1` behind nat, and answering through the director; `s2` behind dr, and answering through the router.
const CONFIG: &str = "
listen nat
    mode l4
    bind 10.72.0.100:80
    forward nat
    server s1 10.72.0.11:8080
listen dr
    mode l4
    bind 10.72.0.100:8080
    forward dr
    server s2 10.72.0.12
";

struct Director<'a> {
    net: &'a Net,
    /// Keeps the mounts that all of its processes see: `ip netns exec` makes new ones each time.
    room: Running,
}

impl<'a> Director<'a> {
    fn new(net: &'a Net) -> Self {
        std::fs::write(net.dir.path().join("weir.cfg"), CONFIG).unwrap();
        std::fs::write(net.dir.path().join("nobody.cfg"), "global\n user nobody-of-that-name\n").unwrap();
        let script = "mount -t bpf bpf /sys/fs/bpf && echo ready && exec cat";
        let mut room = net.start("d", &["sh", "-c", script]);
        assert_eq!(room.line(), "ready");
        Self { net, room }
    }

    fn file(&self, name: &str) -> String {
        self.net.dir.path().join(name).to_string_lossy().into_owned()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let weir = Program::Weir.path();
        let room = self.room.id().to_string();
        let file = |name: &str| self.file(name);
        let words = ["-t", &room, "-m", "-n", &weir.to_string_lossy(), "-db", "-f", &file("weir.cfg")];
        self.net.start_here("nsenter", &[&words[..], arguments].concat())
    }

    /// How many programs stand at the interface, and how many directories of maps there are.
    fn left(&self) -> (usize, usize) {
        let attached =
            self.net.on("d", concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/l4/attached.py"));
        let room = self.room.id().to_string();
        let list = ["-t", &room, "-m", "sh", "-c", "ls /sys/fs/bpf/weir"];
        let output = std::process::Command::new("nsenter").args(list).output().unwrap();
        (attached.trim().parse().unwrap(), String::from_utf8_lossy(&output.stdout).lines().count())
    }
}

/// Reads the configuration again, which has another weight for the server and one more service.
fn reload(director: &Director, n: u32) {
    let socket = director.file("weir.sock");
    let more = format!("listen more{n}\n mode l4\n bind 10.72.0.100:81\n server s2 10.72.0.12\n");
    let config = CONFIG.replace("s1 10.72.0.11:8080", &format!("s1 10.72.0.11:8080 weight {}", n % 7 + 1));
    let global = format!("global\n stats socket {socket} level admin\n");
    std::fs::write(
        director.file("weir.cfg"),
        [&global[..], &config, if n.is_multiple_of(2) { &more } else { "" }].concat(),
    )
    .unwrap();
    if n > 0 {
        let answer = crate::harness::ask(std::path::Path::new(&socket), "reload");
        assert!(answer.contains("Success=1"), "{answer}");
    }
}

fn answers(net: &Net, port: u16) -> bool {
    net.output("c", &format!("curl -s --max-time 20 http://{VIP}:{port}/")).status.success()
}

/// Ends a round of the clients: nothing went wrong, and they asked.
fn unharmed(clients: &mut Running) {
    clients.enter();
    let line = clients.line();
    clients.enter();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 2, "{line}");
    assert!(words.iter().all(|n| *n != "0"), "{line}");
}

#[test]
fn connections_outlive_the_process() {
    let net = Net::new("r");
    net.on("s1", "ip route replace default via 10.72.0.1");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let director = Director::new(&net);
    let mut weir = director.start(&[]);
    wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
    let mut clients = net.client_script("traffic.py", &["10", &format!("{VIP}:80"), &format!("{VIP}:8080")]);
    assert_eq!(clients.line(), "open");
    for n in 0..10 {
        let next = director.start(&[if n % 2 == 0 { "-sf" } else { "-st" }, &weir.id().to_string()]);
        wait_until("the old process ends", || weir.has_ended());
        weir = next;
        assert_eq!(director.left().1, 1, "the same maps");
    }
    unharmed(&mut clients);
    // A start that fails changes nothing.
    let mut failed = director.start(&["-f", &director.file("nobody.cfg"), "-sf", &weir.id().to_string()]);
    wait_until("it ends", || failed.has_ended());
    unharmed(&mut clients);
    assert_eq!(director.left(), (1, 1));
    // Killed: flows go on without it, and with the next one.
    weir.end("KILL");
    unharmed(&mut clients);
    let mut weir = director.start(&["-p", &director.file("weir.pid")]);
    wait_until("it serves", || net.dir.path().join("weir.pid").exists());
    wait_until("it alone is attached", || director.left() == (1, 1));
    unharmed(&mut clients);
    weir.end("TERM");
    assert_eq!(director.left(), (0, 0), "nothing is left");
    assert!(!answers(&net, 80));
    // Killed, and the next one forwards nothing.
    let mut weir = director.start(&[]);
    wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
    weir.end("KILL");
    assert!(answers(&net, 80));
    std::fs::write(
        net.dir.path().join("weir.cfg"),
        "listen l\n mode http\n bind 127.0.0.1:27010\n timeout client 1s\n",
    )
    .unwrap();
    let _weir = director.start(&[]);
    wait_until("nothing is left", || director.left() == (0, 0));
}

#[test]
fn connections_outlive_a_hundred_reloads() {
    let net = Net::new("r");
    net.on("s1", "ip route replace default via 10.72.0.1");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let director = Director::new(&net);
    reload(&director, 0);
    let _weir = director.start(&[]);
    wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
    let mut clients = net.client_script("traffic.py", &["10", &format!("{VIP}:80"), &format!("{VIP}:8080")]);
    assert_eq!(clients.line(), "open");
    for n in 1..=100 {
        reload(&director, n);
    }
    unharmed(&mut clients);
    assert_eq!(director.left(), (1, 1));
}

/// Twice, so that what the first time has left behind would be seen.
#[test]
fn forwarding_begins_and_ends_with_a_reload() {
    let net = Net::new("r");
    net.on("s1", "ip route replace default via 10.72.0.1");
    net.on("d", "sysctl -qw net.ipv4.ip_forward=0");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let director = Director::new(&net);
    let socket = director.file("weir.sock");
    let ask = |command: &str| crate::harness::console::ask(std::path::Path::new(&socket), command);
    let write = |sections: &str| {
        let global = format!("global\n stats socket {socket} level admin\n");
        let other = "listen l\n mode http\n bind 127.0.0.1:27010\n timeout client 1s\n";
        std::fs::write(director.file("weir.cfg"), [&global, other, sections].concat()).unwrap();
    };
    write("");
    let mut weir = director.start(&[]);
    wait_until("it serves", || ask("show info").contains("Uptime"));
    for _ in 0..2 {
        assert_eq!(director.left(), (0, 0));
        assert!(!answers(&net, 80));
        write(CONFIG);
        let answer = ask("reload");
        assert!(answer.starts_with("Success=1"), "{answer}");
        wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
        let way = ask(&format!("show l4 explain tcp 10.72.0.2:1234 {VIP}:80"));
        assert!(way.contains("10.72.0.11:8080"), "{way}");
        // What is refused leaves it as it is.
        write(&CONFIG.replace("forward dr", "forward nowhere"));
        let answer = ask("reload");
        assert!(answer.starts_with("Success=0"), "{answer}");
        assert_eq!(director.left(), (1, 1));
        assert!(answers(&net, 80));
        write("");
        let answer = ask("reload");
        assert!(answer.starts_with("Success=1"), "{answer}");
        assert_eq!(net.on("d", "cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    }
    assert_eq!(director.left(), (0, 0));
    assert!(!answers(&net, 80));
    weir.end("TERM");
}

/// Its maps cannot be read by the next one, which says so and serves all the same; what it changed of the host stays as it is.
#[test]
fn a_process_of_a_version_with_other_maps_is_replaced() {
    let net = Net::new("d");
    net.on("d", "sysctl -qw net.ipv4.ip_forward=0");
    let _origin = net.origin("s1", 8080, "::");
    let director = Director::new(&net);
    let socket = director.file("weir.sock");
    let global = format!(
        "global\n log ring@told local0\n stats socket {socket} level admin\nring told\n size 32768\n"
    );
    let section = format!("listen l\n mode l4\n bind {VIP}:80\n forward nat\n server s1 10.72.0.11:8080\n");
    std::fs::write(director.file("weir.cfg"), global + &section).unwrap();
    let ask = |command: &str| crate::harness::console::ask(std::path::Path::new(&socket), command);
    let forwarding = || net.on("d", "cat /proc/sys/net/ipv4/ip_forward").trim() == "1";
    let pid = director.file("weir.pid");
    for signal in ["TERM", "KILL"] {
        let mut weir = director.start(&[]);
        wait_until("it is forwarded", || answers(&net, 80));
        let mut held = Held::to(&net, VIP, 80, "tcp");
        assert_eq!(held.ask("open 3"), [3, 0, 0, 0]);
        let room = director.room.id().to_string();
        let rename = "cd /sys/fs/bpf/weir && for d in *; do mv $d $(echo $d | sed -E 's/-[0-9a-f]{16}-/-0123456789abcdef-/'); done";
        let mut command = std::process::Command::new("nsenter");
        assert!(command.args(["-t", &room, "-m", "sh", "-c", rename]).status().unwrap().success());
        if signal == "KILL" {
            weir.end("KILL");
            assert_eq!(held.ask("again"), [3, 0, 0, 0], "the kernel goes on");
        }
        let mut next = director.start(&["-p", &pid, "-sf", &weir.id().to_string()]);
        wait_until("the old process ends", || weir.has_ended());
        wait_until("the next one serves", || std::path::Path::new(&pid).exists());
        wait_until("it says what is lost", || ask("show events told").contains("its flows end, 3 active"));
        assert!(answers(&net, 80) && forwarding());
        wait_until("it alone is attached", || director.left() == (1, 1));
        next.end("TERM");
        assert!(!forwarding());
        assert_eq!(director.left(), (0, 0));
        std::fs::remove_file(&pid).unwrap();
    }
}

/// What a reload needs of the host is set with it, said, kept by whoever takes over, and put back.
#[test]
fn a_reload_brings_the_first_address_of_ipv6() {
    let net = Net::new("d");
    net.on("d", "sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.eth0.accept_ra=1");
    let _origin = net.origin("s1", 8080, "::");
    let director = Director::new(&net);
    let socket = director.file("weir.sock");
    // It reads its file again as another user.
    run(&format!("chmod 755 {}", net.dir.path().display()));
    let write = |sections: &str| {
        let global = format!(
            "global\n user nobody\n group nogroup\n log ring@told local0\n stats socket {socket} level admin\nring told\n size 32768\n"
        );
        std::fs::write(director.file("weir.cfg"), [&global, CONFIG, sections].concat()).unwrap();
    };
    let ask = |command: &str| crate::harness::console::ask(std::path::Path::new(&socket), command);
    let settings = || {
        let values = net.on("d", "sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra");
        values.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let answers = |on: bool| {
        let output = net.output("c", &format!("curl -s --max-time 20 http://[{VIP6}]/"));
        output.status.success() == on
    };
    write("");
    let mut weir = director.start(&[]);
    wait_until("it serves", || ask("show info").contains("Uptime"));
    assert_eq!(settings(), "0 1");
    write(&format!("listen six\n mode l4\n bind [{VIP6}]:80\n forward nat\n server s1 [fd72::11]:8080\n"));
    let answer = ask("reload");
    assert!(answer.starts_with("Success=1"), "{answer}");
    wait_until("it is forwarded", || answers(true));
    assert_eq!(settings(), "1 2");
    let told = ask("show events told");
    assert!(told.contains("set /proc/sys/net/ipv6/conf/all/forwarding to 1"), "{told}");
    // The next one has it from one that was killed.
    weir.end("KILL");
    let mut weir = director.start(&["-p", &director.file("weir.pid")]);
    wait_until("it serves", || net.dir.path().join("weir.pid").exists());
    assert!(answers(true));
    weir.end("TERM");
    assert_eq!(settings(), "0 1");
    assert!(answers(false));
    assert_eq!(director.left().0, 0);
}

#[test]
fn a_process_of_another_user_behind_another_root_forwards_and_puts_all_away() {
    let net = Net::new("r");
    net.on("s1", "ip route replace default via 10.72.0.1");
    net.on("d", "sysctl -qw net.ipv4.ip_forward=0");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let director = Director::new(&net);
    let (root, socket) = (director.file("root"), director.file("weir.sock"));
    std::fs::create_dir(&root).unwrap();
    let confined = format!(
        "global\n user nobody\n group nogroup\n chroot {root}\n stats socket {socket} level admin\n{CONFIG}"
    );
    std::fs::write(director.file("weir.cfg"), &confined).unwrap();
    let ask = |command: &str| crate::harness::ask(std::path::Path::new(&socket), command);
    let mut weir = director.start(&[]);
    wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
    let mut clients = net.client_script("traffic.py", &["10", &format!("{VIP}:80"), &format!("{VIP}:8080")]);
    assert_eq!(clients.line(), "open");
    // It looks at the interfaces and at servers while it serves, and writes the maps.
    wait_until("the kernel's counts are published", || {
        ask("show stat")
            .lines()
            .any(|line| line.starts_with("nat,s1,") && line.split(',').nth(7) != Some("0"))
    });
    ask("set server nat/s1 weight 7");
    wait_until("the weight is written", || ask("show l4 services").contains("Masq    7"));
    unharmed(&mut clients);
    assert_eq!(director.left(), (1, 1));
    // A new one takes the maps over, and the old one leaves them to it.
    let next = director.start(&["-sf", &weir.id().to_string()]);
    wait_until("the old process ends", || weir.has_ended());
    weir = next;
    unharmed(&mut clients);
    wait_until("it alone is attached", || director.left() == (1, 1));
    weir.end("TERM");
    assert_eq!(director.left().0, 0);
    assert!(!answers(&net, 80));
    assert_eq!(net.on("d", "cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
}

/// Flows are the same for each worker that a master starts, after a reload and after a death.
#[test]
fn connections_outlive_the_workers_of_a_master() {
    let net = Net::new("r");
    net.on("s1", "ip route replace default via 10.72.0.1");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let director = Director::new(&net);
    let socket = director.file("master.sock");
    let _weir = director.start(&["-W", "-S", &socket]);
    wait_until("both are forwarded", || answers(&net, 80) && answers(&net, 8080));
    let mut clients = net.client_script("traffic.py", &["10", &format!("{VIP}:80"), &format!("{VIP}:8080")]);
    assert_eq!(clients.line(), "open");
    let ask = |line: &str| crate::harness::ask(std::path::Path::new(&socket), &format!("{line};quit"));
    let workers = || -> Vec<u32> {
        let listed = ask("show proc");
        let rows = listed.lines().filter(|l| l.contains(" worker "));
        rows.filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect()
    };
    for _ in 0..5 {
        let answer = ask("reload");
        assert!(answer.starts_with("Success=1"), "{answer}");
        wait_until("the old worker ends", || workers().len() == 1);
        assert_eq!(director.left().1, 1, "the same maps");
        unharmed(&mut clients);
    }
    let answer = ask("reload --confirm 10m");
    assert!(answer.starts_with("Success=0") && answer.contains("mode l4"), "{answer}");
    let before = workers();
    crate::harness::process::signal(before[0], "KILL");
    unharmed(&mut clients);
    wait_until("another worker serves", || workers().first().is_some_and(|pid| *pid != before[0]));
    wait_until("it alone is attached", || director.left() == (1, 1));
    unharmed(&mut clients);
}

/// Answers of a server that one virtual address has need no entry; who shares it has. Flows of both live on whatever a reload makes of it.
#[test]
fn answers_find_their_flows_whoever_comes_to_share_the_server() {
    let net = Net::new("d");
    let _origin = net.origin("s1", 8080, "::");
    let director = Director::new(&net);
    let socket = director.file("weir.sock");
    let section = |port: u16| {
        format!("listen l{port}\n mode l4\n bind {VIP}:{port}\n forward nat\n server s1 10.72.0.11:8080\n")
    };
    let write = |ports: &[u16]| {
        let sections: String = ports.iter().map(|port| section(*port)).collect();
        let global = format!("global\n stats socket {socket} level admin\n");
        std::fs::write(director.file("weir.cfg"), global + &sections).unwrap();
    };
    let ask = |command: &str| crate::harness::console::ask(std::path::Path::new(&socket), command);
    let reload = |ports: &[u16]| {
        write(ports);
        let answer = ask("reload");
        assert!(answer.starts_with("Success=1"), "{answer}");
    };
    write(&[80]);
    let mut weir = director.start(&[]);
    wait_until("it is forwarded", || answers(&net, 80));
    let mut first = Held::to(&net, VIP, 80, "tcp");
    assert_eq!(first.ask("open 5"), [5, 0, 0, 0]);
    reload(&[81, 80]);
    wait_until("both are forwarded", || answers(&net, 81));
    let mut second = Held::to(&net, VIP, 81, "tcp");
    assert_eq!(second.ask("open 5"), [5, 0, 0, 0]);
    assert_eq!(first.ask("open 5"), [5, 0, 0, 0]);
    assert_eq!(first.ask("again"), [10, 0, 0, 0]);
    // Another process knows what it was.
    let next = director.start(&["-sf", &weir.id().to_string()]);
    wait_until("the old process ends", || weir.has_ended());
    weir = next;
    assert_eq!((first.ask("again"), second.ask("again")), ([10, 0, 0, 0], [5, 0, 0, 0]));
    reload(&[81]);
    wait_until("the first is forwarded no more", || !answers(&net, 80));
    assert_eq!(second.ask("open 5"), [5, 0, 0, 0]);
    assert_eq!((first.ask("again"), second.ask("again")), ([10, 0, 0, 0], [10, 0, 0, 0]));
    drop(first);
    assert_eq!(second.ask("open 5"), [5, 0, 0, 0]);
    assert_eq!(second.ask("again"), [15, 0, 0, 0]);
    weir.end("TERM");
}
