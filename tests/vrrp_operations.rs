//! Virtual addresses in the hands of people: the socket, the page, metrics; failures of the node itself. Two machines made of network
//! namespaces. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::network::{Net, Node, VIRTUAL};
use harness::terminal::wait_until;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const FAST: &str = "version 3\n    advert-interval 100ms";

/// A node of one router, with a stats socket at `<machine>.sock`.
fn config(net: &Net, machine: &str, priority: u8, lines: &str) -> String {
    format!(
        "global\n    stats socket {}/{machine}.sock level admin\n\
         vrrp VI_1\n    interface eth0\n    virtual-router-id 51\n    priority {priority}\n    address {VIRTUAL}/24\n    {FAST}\n    {lines}\n",
        net.dir.path().display()
    )
}

fn ask(net: &Net, machine: &str, line: &str) -> String {
    harness::ask(&net.dir.path().join(format!("{machine}.sock")), line)
}

/// A field of `show vrrp VI_1`.
fn field(net: &Net, machine: &str, name: &str) -> String {
    let all = ask(net, machine, "show vrrp VI_1");
    let line = all.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {all}")).to_owned()
}

fn pair(net: &Net, a: &str, b: &str) -> (Node, Node) {
    let first = net.weir("a", &config(net, "a", 150, a));
    net.only("a");
    let second = net.weir("b", &config(net, "b", 100, b));
    second.wait_for("VI_1: stopped -> backup");
    wait_until("b has heard a", || field(net, "b", "Master").starts_with("10.99.0.1 with priority 150"));
    (first, second)
}

#[test]
fn the_socket_tells_all() {
    let net = Net::new();
    let (_a, _b) = pair(&net, "track interface eth1 weight -20", "");
    let table = ask(&net, "a", "show vrrp");
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..6], ["#", "name", "state", "priority", "base", "interface"], "{table}");
    assert_eq!(lines[1][..6], ["VI_1", "master", "150", "150", "eth0", "51"], "{table}");
    assert_eq!(lines[1][6], "10.99.0.1", "{table}");
    assert_eq!(lines[1].last(), Some(&"10.99.0.100/24"), "{table}");
    harness::network::ip(&format!("-n {} link set eth1 down", net.space("a")));
    wait_until("the tracker counts", || field(&net, "a", "Priority") == "130");
    assert_eq!(field(&net, "a", "Base_priority"), "150");
    let all = ask(&net, "a", "show vrrp VI_1");
    assert!(
        all.contains("Tracker: interface eth1, weight -20, adds -20, fails: interface eth1 is down\n"),
        "{all}"
    );
    assert!(all.contains("Last_change: backup -> master: no master heard\n"), "{all}");
    let document: serde_json::Value = serde_json::from_str(&ask(&net, "b", "show vrrp json")).unwrap();
    let router = &document[0];
    assert_eq!(router["name"], "VI_1");
    assert_eq!(router["state"], "backup");
    assert_eq!(router["master"], "10.99.0.1");
    assert_eq!(router["trackers"][0]["name"], "interface eth0");
    assert_eq!(router["dropped"]["checksum"], 0);
    assert!(router["adverts_received"].as_u64().unwrap() > 0);
    assert_eq!(router["last_change"]["reason"], "started");
    assert_eq!(ask(&net, "b", "show vrrp VI_1 json").matches("\"name\":\"VI_1\"").count(), 1);
}

#[test]
fn wrong_words_are_answered() {
    let net = Net::new();
    let text = config(&net, "a", 150, "").replace("level admin", "level operator");
    let _a = net.weir("a", &text);
    net.only("a");
    let check = |command: &str, expected: &str| {
        assert_eq!(ask(&net, "a", command), format!("{expected}\n\n"), "{command}")
    };
    check("show vrrp VI_2", "No such vrrp section.\n".trim_end());
    check("set vrrp VI_1 state backup", "Permission denied");
    let net = Net::new();
    let _a = net.weir("a", &config(&net, "a", 150, ""));
    net.only("a");
    let check = |command: &str, expected: &str| {
        assert_eq!(ask(&net, "a", command), format!("{expected}\n\n"), "{command}")
    };
    check("set vrrp", "A vrrp name is expected.");
    check("set vrrp VI_2 state backup", "No such vrrp section.");
    check("set vrrp VI_1", "'set vrrp <name>' only supports 'state' and 'priority'.");
    check(
        "set vrrp VI_1 state stopped",
        "'set vrrp <name> state' expects 'master', 'backup', 'fault' or 'ready'.",
    );
    check("set vrrp VI_1 priority 255", "Value out of range (1 to 254).");
    check("set vrrp VI_1 priority", "Expects an integer value.");
}

/// Maintenance: the addresses are handed over, stay away, and come back.
#[test]
fn addresses_are_handed_over() {
    let net = Net::new();
    let (a, b) = pair(&net, "", "");
    assert_eq!(ask(&net, "a", "set vrrp VI_1 state backup"), "\n");
    wait_until("b has them", || {
        ask(&net, "a", "set vrrp VI_1 state backup");
        net.holds("b", VIRTUAL)
    });
    net.only("b");
    a.wait_for("VI_1: master -> backup: told to by the administrator");
    b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
    assert_eq!(field(&net, "a", "Told_to_stay_backup"), "yes");
    // It has the higher priority, and leaves the addresses where they are.
    wait_until("a has heard b", || field(&net, "a", "Master").starts_with("10.99.0.2 with priority 100"));
    assert_eq!(field(&net, "a", "State"), "backup");
    net.only("b");
    assert_eq!(ask(&net, "a", "set vrrp VI_1 state ready"), "\n");
    net.only("a");
    // A lower priority would not keep them.
    let refused = ask(&net, "b", "set vrrp VI_1 state master");
    assert!(refused.contains("10.99.0.1 is master of VI_1 with priority 150"), "{refused}");
    assert_eq!(ask(&net, "b", "set vrrp VI_1 priority 200"), "\n");
    net.only("b");
    b.wait_for("VI_1: priority 100 -> 200: set by the administrator");
    assert_eq!(ask(&net, "b", "set vrrp VI_1 state fault"), "\n");
    net.only("a");
    assert_eq!(field(&net, "b", "Fault"), "told to by the administrator");
}

#[test]
fn groups_are_handed_over_whole() {
    let net = Net::new();
    let second = "10.98.0.100";
    let group = format!(
        "\nvrrp VI_2\n    interface eth1\n    virtual-router-id 52\n    priority 150\n    address {second}/24\n    {FAST}\n\
         vrrp-group VG\n    member VI_1\n    member VI_2\n"
    );
    let _a = net.weir("a", &config(&net, "a", 150, &group));
    net.only("a");
    let b = net.weir("b", &config(&net, "b", 100, &group.replace("priority 150", "priority 100")));
    b.wait_for("VI_1: stopped -> backup");
    wait_until("b hears a", || field(&net, "b", "Master").starts_with("10.99.0.1"));
    assert_eq!(ask(&net, "a", "set vrrp VI_2 state backup"), "\n");
    wait_until("both have moved", || {
        let moved = net.holds("b", VIRTUAL) && net.holds("b", second);
        // When the other one does not come at once, on a busy machine, a takes them again.
        if !moved {
            ask(&net, "a", "set vrrp VI_2 state backup");
        }
        moved
    });
    net.only("b");
    assert_eq!(field(&net, "a", "Told_to_stay_backup"), "yes");
    assert_eq!(field(&net, "a", "Group"), "VG");
}

/// Over HTTP from the machine itself.
fn get(net: &Net, machine: &str, target: &str) -> String {
    let url = format!("http://127.0.0.1:8404{target}");
    let output = Command::new("ip")
        .args(["netns", "exec", &net.space(machine), "curl", "-sS", "--max-time", "30", &url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_and_the_metrics_tell_of_them() {
    let net = Net::new();
    let front = "\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\nfrontend page\n    bind 127.0.0.1:8404\n    \
                 http-request use-service prometheus-exporter if { path /metrics }\n    stats enable\n    stats uri /stats\n";
    let (_a, _b) = pair(&net, &format!("track interface eth1 weight -20{front}"), "");
    let metrics = get(&net, "a", "/metrics?scope=vrrp");
    let own = "vrrp=\"VI_1\",interface=\"eth0\",vrid=\"51\"";
    for line in [
        format!("weir_vrrp_state{{{own},state=\"master\"}} 1"),
        format!("weir_vrrp_state{{{own},state=\"backup\"}} 0"),
        format!("weir_vrrp_priority{{{own}}} 150"),
        format!("weir_vrrp_tracker_up{{{own},tracker=\"interface eth1\"}} 1"),
        format!("weir_vrrp_adverts_dropped_total{{{own},reason=\"ttl\"}} 0"),
        format!("weir_vrrp_conflict{{{own}}} 0"),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("haproxy_"), "{metrics}");
    let all = get(&net, "a", "/metrics");
    assert!(all.contains("weir_vrrp_state") && all.contains("haproxy_process_nbthread"));
    assert!(!get(&net, "a", "/metrics?scope=global").contains("weir_vrrp"));
    let page = get(&net, "a", "/stats");
    assert!(
        page.contains("<section class=panel id=vrrp>") && page.contains("10.99.0.1, this node"),
        "{page}"
    );
    let feed: serde_json::Value = serde_json::from_str(&get(&net, "a", "/stats;live;seq=0")).unwrap();
    assert_eq!(feed["vrrp"][0][0], "up");
    assert_eq!(feed["vrrp"][0][1], "master");
    assert_eq!(feed["vrrp"][0][5], "10.99.0.100/24");
    harness::network::ip(&format!("-n {} link set eth0 down", net.space("a")));
    wait_until("the panel turns red", || {
        let feed: serde_json::Value = serde_json::from_str(&get(&net, "a", "/stats;live;seq=0")).unwrap();
        feed["vrrp"][0][0] == "down" && feed["vrrp"][0][7] == "interface eth0 is down"
    });
}

/// A front for the workers to work for.
const FRONT: &str = "\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\nlisten web\n    \
                     bind 10.99.0.1:8080\n    server s 10.99.0.1:9\n";

/// The process lives and sends, but one of its threads does not forward any more.
#[test]
fn a_worker_hangs() {
    let net = Net::new();
    let config_a = config(&net, "a", 150, &format!("nopreempt{FRONT}"));
    let a = net.weir("a", &config_a.replace("global\n", "global\n    nbthread 2\n"));
    net.only("a");
    let b = net.weir("b", &config(&net, "b", 100, "nopreempt"));
    b.wait_for("VI_1: stopped -> backup");
    assert_eq!(
        ask(&net, "a", "debug dev hang-worker 2"),
        "This command is restricted to expert mode only.\n\n"
    );
    assert_eq!(
        ask(&net, "a", "expert-mode on; debug dev hang-worker 3"),
        "\nExpects a thread's number, 1 to 2.\n\n"
    );
    assert_eq!(
        ask(&net, "a", "expert-mode on; debug dev hang-worker 1 5000; debug dev hang-worker 2"),
        "\n\n\n"
    );
    a.wait_for("VI_1: master -> fault: worker");
    net.only("b");
    b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
    let fault = || field(&net, "a", "Fault");
    wait_until("one of them moves again", || fault() == "worker 2 hangs: it has not moved for 2 s");
    assert!(
        ask(&net, "a", "show vrrp VI_1")
            .contains("Tracker: workers, weight 0, adds 0, fails, which is a fault: worker 2 hangs")
    );
    net.only("b");
}

/// The packet program of `mode l4` is taken off: the node forwards nothing though its process lives.
#[test]
fn the_packet_program_is_taken_off() {
    let net = Net::new();
    let service =
        "\nlisten vip\n    mode l4\n    bind 10.99.0.100:80\n    forward nat\n    server s 10.98.0.2:80\n";
    let tracks = "track l4 vip min-up 1 weight -20\n    track l4";
    let a = net.weir("a", &config(&net, "a", 150, &format!("nopreempt\n    {tracks}{service}")));
    net.only("a");
    let b = net.weir("b", &config(&net, "b", 100, "nopreempt"));
    b.wait_for("VI_1: stopped -> backup");
    assert!(
        ask(&net, "a", "show vrrp VI_1").contains("Tracker: l4 vip, weight -20, adds 0, well"),
        "{}",
        ask(&net, "a", "show vrrp VI_1")
    );
    // As `bpftool link detach` does it: asks for the link at eth0 and detaches it.
    let detach = "import ctypes,struct,socket\nl=ctypes.CDLL(None,use_errno=True)\nids=(ctypes.c_uint32*8)(); links=(ctypes.c_uint32*8)()\n\
        def bpf(command,data):\n  b=ctypes.create_string_buffer(data,64); r=l.syscall(321,command,b,64); assert r>=0,ctypes.get_errno(); return r\n\
        bpf(16,struct.pack('IIIIQIIQQQQ',socket.if_nametoindex('eth0'),46,0,0,ctypes.addressof(ids),8,0,0,ctypes.addressof(links),0,0)); assert links[0]\n\
        bpf(34,struct.pack('I',bpf(30,struct.pack('I',links[0]))))";
    harness::network::python(&net, "a", detach);
    a.wait_for("VI_1: master -> fault: mode l4 : somebody took the packet program off eth0");
    net.only("b");
    a.wait_for("VI_1: fault -> backup: no fault any more");
    ask(&net, "a", "disable server vip/s");
    a.wait_for("VI_1: priority 150 -> 130: backend vip has 0 servers, 1 are wanted");
    net.only("b");
}

#[test]
fn a_worker_comes_back() {
    let net = Net::new();
    let a = net.weir("a", &config(&net, "a", 150, FRONT));
    net.only("a");
    ask(&net, "a", "expert-mode on; debug dev hang-worker 1 4000");
    a.wait_for("VI_1: master -> fault: worker 1 hangs");
    a.wait_for("VI_1: fault -> backup: no fault any more");
    net.only("a");
}

/// A whole process sleeps, as with a virtual machine that is paused: the other takes over, and the sleeper does not claim the addresses
/// when it wakes, whatever its priority.
#[test]
fn a_process_is_paused() {
    let net = Net::new();
    let (a, b) = pair(&net, "nopreempt", "nopreempt");
    a.signal("STOP");
    b.wait_for("VI_1: backup -> master: master down after");
    // Adverts of the new master wait at the sleeper's socket.
    wait_until("b is a master of some age", || field(&net, "b", "Adverts_sent").parse::<u32>().unwrap() > 5);
    a.signal("CONT");
    a.wait_for("VI_1: master -> backup: paused for");
    net.only("b");
    wait_until("a hears b", || field(&net, "a", "Master").starts_with("10.99.0.2 with priority 100"));
    assert_eq!(field(&net, "a", "Became_master"), "1", "{}", a.log());
    assert_eq!(field(&net, "b", "Conflicts"), "0", "{}", b.log());
    net.only("b");
}

fn executable(net: &Net, name: &str, text: &str) -> String {
    let file = net.write(name, text);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.to_string_lossy().into_owned()
}

#[test]
fn files_and_processes_are_followed() {
    let net = Net::new();
    let dir = net.dir.path().display().to_string();
    let lines = format!(
        "track file {dir}/bonus weight 2\n    track file {dir}/broken weight 0\n    track process {dir}/helper weight -20\n    \
         track process vo-nobody min-up 2 weight 5"
    );
    std::fs::copy("/bin/sleep", net.dir.path().join("helper")).unwrap();
    let start = || net.start("b", &[&format!("{dir}/helper"), "600"]);
    let helper = start();
    let a = net.weir("a", &config(&net, "a", 150, &lines));
    net.only("a");
    let priority = |expected: &str| wait_until(expected, || field(&net, "a", "Priority") == expected);
    priority("150");
    // A file that is not there counts as 0 from the beginning.
    assert!(
        !a.log().contains("priority 150 -> 151") && !a.log().contains("priority 150 -> 152"),
        "{}",
        a.log()
    );
    net.write("bonus", "7\n");
    priority("164");
    // Replaced as careful programs do it.
    net.write("bonus.new", "-10");
    std::fs::rename(net.dir.path().join("bonus.new"), net.dir.path().join("bonus")).unwrap();
    priority("130");
    net.write("bonus", "many");
    a.wait_for("holds no number: 'many': its last number counts on");
    helper.kill();
    priority("110");
    let all = ask(&net, "a", "show vrrp VI_1");
    assert!(all.contains("helper, weight -20, adds -20, fails: process"), "{all}");
    assert!(
        all.contains(
            "process vo-nobody, weight 5, adds 0, fails: process vo-nobody runs 0 times, 2 are wanted"
        ),
        "{all}"
    );
    let _helper = start();
    priority("130");
    std::fs::remove_file(net.dir.path().join("bonus")).unwrap();
    priority("150");
    net.write("broken", "1");
    a.wait_for("VI_1: master -> fault: a file says 1");
    net.nobody();
    net.write("broken", "0");
    net.only("a");
    // Less than any priority is none.
    net.write("bonus", "-127");
    a.wait_for("VI_1: master -> fault: a file says -127");
}

#[test]
fn programs_run_as_whom_they_should() {
    let net = Net::new();
    std::fs::set_permissions(net.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let told = net.write("told", "");
    std::fs::set_permissions(&told, std::fs::Permissions::from_mode(0o666)).unwrap();
    let program = executable(&net, "who", &format!("#!/bin/sh\nid -un >> {}\n", told.display()));
    let script = format!(
        "vrrp-script who\n    command {program}\n    user nobody\n    interval 100ms\n    timeout 10s\n"
    );
    let text =
        config(&net, "a", 150, &format!("track script who\n    user daemon\n    notify-master {program}"));
    let a = net.weir("a", &format!("{text}{script}"));
    net.only("a");
    let names = || std::fs::read_to_string(&told).unwrap();
    wait_until("both have run", || names().contains("nobody\n") && names().contains("daemon\n"));
    assert!(!names().contains("root"), "{}", names());
    a.stop();
    // What others can write to is not run; the very command that mends it is said.
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
    let b = net.weir("b", &format!("{text}{script}"));
    let remedy = format!("everybody can write to {program} (owner root, mode 0777): chmod o-w {program}");
    b.wait_for(&format!("vrrp-script 'who' : {program} would run as nobody, but {remedy}"));
    assert!(Command::new("sh").args(["-c", &format!("chmod o-w {program}")]).status().unwrap().success());
    let missing = text.replace(&program, "/nonexistent/program");
    let c = net.weir("b", &format!("{missing}{script}"));
    c.wait_for("vrrp 'VI_1' : /nonexistent/program: No such file or directory");
    let folder = net.dir.path().display().to_string();
    let e = net.weir(
        "b",
        &format!(
            "{}{script}",
            text.replace(&format!("notify-master {program}"), &format!("notify-master {folder}"))
        ),
    );
    e.wait_for(&format!("vrrp 'VI_1' : {folder} is no program, but a directory"));
    let d = net.weir("b", &format!("{text}{script}"));
    d.wait_for("VI_1: stopped -> backup");
}

/// The same changes, told by keepalived and by weir.
#[test]
fn groups_are_told_of_as_keepalived_does() {
    let mut told = Vec::new();
    for program in ["keepalived", "weir"] {
        let net = Net::new();
        let file = net.dir.path().join("told");
        let script = executable(&net, "tell", &format!("#!/bin/sh\necho \"$@\" >> {}\n", file.display()));
        let count = |line: &str| std::fs::read_to_string(&file).unwrap_or_default().matches(line).count();
        let node = if program == "weir" {
            let second = format!(
                "notify {script}\nvrrp VI_2\n    interface eth1\n    virtual-router-id 52\n    priority 110\n    {FAST}\n    address 10.98.0.100/24\n\
                 vrrp-group VG1\n    member VI_1\n    member VI_2\n    notify {script}\n"
            );
            net.weir("a", &config(&net, "a", 120, &second))
        } else {
            let instance = |n: u8, interface: &str, priority: u8, address: &str, more: &str| {
                format!(
                    "vrrp_instance VI_{n} {{\n state BACKUP\n interface {interface}\n virtual_router_id {}\n priority {priority}\n version 3\n \
                     advert_int 0.1\n virtual_ipaddress {{\n {address}/24\n }}\n {more}\n}}\n",
                    50 + n
                )
            };
            let text = format!(
                "global_defs {{\n router_id a\n script_user root\n}}\nvrrp_sync_group VG1 {{\n group {{\n VI_1\n VI_2\n }}\n notify {script}\n}}\n{}{}",
                instance(1, "eth0", 120, VIRTUAL, &format!("notify {script}")),
                instance(2, "eth1", 110, "10.98.0.100", "")
            );
            let conf = net.write("k.conf", &text);
            let (conf, dir) = (conf.to_string_lossy().into_owned(), net.dir.path().display().to_string());
            let pids = [format!("{dir}/m.pid"), format!("{dir}/v.pid")];
            net.start(
                "a",
                &["keepalived", "-n", "-l", "-D", "-P", "-f", &conf, "-p", &pids[0], "-r", &pids[1]],
            )
        };
        wait_until("it is master", || count("GROUP VG1 MASTER") == 1 && count("INSTANCE VI_1 MASTER") == 1);
        harness::network::ip(&format!("-n {} link set eth1 down", net.space("a")));
        wait_until("it is at fault", || count("GROUP VG1 FAULT") == 1 && count("INSTANCE VI_1 FAULT") == 1);
        harness::network::ip(&format!("-n {} link set eth1 up", net.space("a")));
        wait_until("it is master again", || {
            count("GROUP VG1 MASTER") == 2 && count("INSTANCE VI_1 MASTER") == 2
        });
        node.stop();
        wait_until("the end is told", || count("GROUP VG1 STOP") == 1 && count("INSTANCE VI_1 STOP") == 1);
        let all = std::fs::read_to_string(&file).unwrap();
        let of =
            |kind: &str| all.lines().filter(|l| l.starts_with(kind)).map(str::to_owned).collect::<Vec<_>>();
        told.push((of("INSTANCE"), of("GROUP")));
    }
    assert_eq!(told[0], told[1]);
}

/// What was right at the start may be changed later: it is looked at before each run.
#[test]
fn a_program_that_others_can_change_later_is_not_run() {
    let net = Net::new();
    std::fs::set_permissions(net.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = net.dir.path().join("ran");
    let check = executable(&net, "check", "#!/bin/sh\nexit 0\n");
    let told = executable(&net, "told", &format!("#!/bin/sh\necho ran >> {}\n", ran.display()));
    let script = format!(
        "vrrp-script well\n    command {check}\n    interval 100ms\n    timeout 10s\n    weight -20\n"
    );
    let text = config(
        &net,
        "a",
        150,
        &format!("track script well\n    notify-backup {told}\n    notify-fault {told}"),
    );
    let a = net.weir("a", &format!("{text}{script}"));
    net.only("a");
    wait_until("it was told of its start", || ran.exists());
    for file in [&check, &told] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o757)).unwrap();
    }
    a.wait_for(&format!(
        "VI_1: priority 150 -> 130: script well does not start: {check} would run as root, but everybody can write to {check} \
         (owner root, mode 0757): chmod o-w {check}"
    ));
    ask(&net, "a", "set vrrp VI_1 state fault");
    a.wait_for(&format!("notify : {told} would run as root, but everybody can write to {told}"));
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "ran\n");
    std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o755)).unwrap();
    a.wait_for("VI_1: priority 130 -> 150: nothing fails");
}

#[test]
fn mail_tells_of_changes() {
    let net = Net::new();
    let letters = net.dir.path().join("letters");
    let server = format!(
        "import socketserver\nclass S(socketserver.StreamRequestHandler):\n  def handle(self):\n    self.wfile.write(b'220 mx\\r\\n'); data=False\n    \
         for line in self.rfile:\n      open('{}','ab').write(line); word=line.strip()\n      \
         if data and word!=b'.': continue\n      data=word==b'DATA'\n      self.wfile.write(b'354 go\\r\\n' if data else b'250 ok\\r\\n')\n\
         socketserver.ThreadingTCPServer.allow_reuse_address=True\nsocketserver.ThreadingTCPServer(('10.99.0.1',2525),S).serve_forever()",
        letters.display()
    );
    let _server = net.start("a", &["python3", "-c", &server]);
    let listens = "import socket\nsocket.create_connection(('10.99.0.1',2525),1).close()";
    let space = net.space("a");
    wait_until("the mail server listens", || {
        let probe =
            Command::new("ip").args(["netns", "exec", &space, "python3", "-c", listens]).output().unwrap();
        probe.status.success()
    });
    let lines = "email-alert mailers ops\n    email-alert from weir@example.org\n    email-alert to ops@example.org\n    email-alert myhostname lb1\n\
                 mailers ops\n    mailer one 10.99.0.1:2525\n";
    let _a = net.weir("a", &config(&net, "a", 150, lines));
    let got = || std::fs::read_to_string(&letters).unwrap_or_default();
    wait_until("a mail about the master", || {
        got().contains("Subject: [HAProxy Alert] VI_1: backup -> master: no master heard\r\n")
    });
    assert!(got().contains("RCPT TO:<ops@example.org>") && got().contains("HELO lb1"), "{}", got());
    ask(&net, "a", "set vrrp VI_1 state fault");
    wait_until("a mail about the fault", || {
        got().contains("VI_1: master -> fault: told to by the administrator")
    });
}

/// The wire in words, while keepalived and weir speak, and somebody forges.
#[test]
fn the_wire_is_told_in_words() {
    let net = Net::new();
    let weir = harness::process::Program::Weir.path().to_string_lossy().into_owned();
    let watch = net.start("b", &[&weir, "vrrp", "watch", "-i", "eth0"]);
    watch.wait_for("listening on eth0");
    let a = net.weir("a", &config(&net, "a", 150, ""));
    watch.wait_for("id 51: 10.99.0.1 is master with priority 150, of 10.99.0.100");
    watch.wait_for("10.99.0.1 > 224.0.0.18  id 51, version 3, priority 150, every 0.1 s, no password, addresses 10.99.0.100");
    a.stop();
    watch.wait_for("id 51: 10.99.0.1 stops and hands the addresses over");
    // Its own side of the wire is heard too.
    let other = net.keepalived(
        "b",
        " version 2\n advert_int 1\n priority 100\n authentication {\n auth_type PASS\n auth_pass 1111\n }",
    );
    watch.wait_for("id 51: 10.99.0.2 is master with priority 100 (before: 10.99.0.1), of 10.99.0.100");
    watch.wait_for("version 2, priority 100, every 1 s, password, addresses 10.99.0.100");
    let _a = net.weir("a", &config(&net, "a", 150, ""));
    watch.wait_for("10.99.0.1 and 10.99.0.2 speak versions 3 and 2");
    watch.wait_for("WARNING id 51: two masters: ");
    other.kill();
    watch.wait_for("WARNING id 51: 10.99.0.2 has been silent for");
    let forger = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,112)\n\
                  s.setsockopt(0,socket.IP_MULTICAST_IF,socket.inet_aton('10.99.0.1')); s.setsockopt(0,socket.IP_MULTICAST_TTL,255)\n\
                  s.sendto(bytes([0x21,51,200,1,0,1,0,0])+bytes(12),('224.0.0.18',0))";
    let space = net.space("a");
    assert!(
        Command::new("ip")
            .args(["netns", "exec", &space, "python3", "-c", forger])
            .status()
            .unwrap()
            .success()
    );
    watch.wait_for("WARNING 10.99.0.1 > 224.0.0.18: wrong checksum");
    let nothing = net.start("a", &[&weir, "vrrp", "watch", "-i", "eth7"]);
    nothing.wait_for("weir vrrp: this machine has no interface 'eth7'");
}
