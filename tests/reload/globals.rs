//! Words of `global` and what sockets take from outside their line: applied by a reload, or said to need another process.

use crate::Rig;
use crate::harness::client::Client;
use crate::harness::eventually;
use std::net::SocketAddr;

const ONE: &str = "frontend f\n    bind {A}:8080\n    http-request return status 200\n";
fn reloads(rig: &Rig, global: &str, config: &str) -> String {
    let answer = rig.reload_with(global, config);
    assert!(answer.starts_with("Success=1"), "{global}: {answer}");
    answer
}

#[test]
fn profiling_goes_on_and_off() {
    let rig = Rig::start(ONE, &[8080]);
    let state = |rig: &Rig| {
        let text = rig.ask("show profiling");
        text.split(':').nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(state(&rig), "off");
    reloads(&rig, "    profiling.tasks on\n", ONE);
    assert_eq!(state(&rig), "on");
    // A command counts as long as the file says what it said.
    rig.ask("set profiling tasks off");
    reloads(&rig, "    profiling.tasks on\n", ONE);
    assert_eq!(state(&rig), "off");
    reloads(&rig, "", ONE);
    assert_eq!(state(&rig), "off");
}

#[test]
fn threads_are_bound_to_processors_and_no_longer() {
    let rig = Rig::start_with("    nbthread 1\n", ONE, &[8080]);
    let look = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", rig.proxy.pid())).unwrap();
        let mut status =
            tasks.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("status")).ok());
        let worker = status.find(|s| s.starts_with("Name:\tworker-1\n"))?;
        Some(worker.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:\t"))?.to_owned())
    };
    // A thread names itself a moment after it has begun.
    let allowed = || {
        assert!(eventually(|| look().is_some()));
        look().unwrap()
    };
    let free = allowed();
    reloads(&rig, "    nbthread 1\n    cpu-map 1 0\n", ONE);
    assert_eq!(allowed(), "0");
    reloads(&rig, "    nbthread 1\n", ONE);
    assert_eq!(allowed(), free);
}

/// What rules have set stays until the configuration says something else.
#[test]
fn variables_are_set_anew_where_their_line_changed() {
    let config = "defaults\n    mode http\n    timeout client 5s\nfrontend f\n    bind {A}:8080\n    \
                  http-request set-var(proc.a) int(9) if { path /set }\n    \
                  http-request return status 200 hdr x-v %[var(proc.a,none)]/%[var(proc.b,none)]\n";
    let rig = Rig::start_with("    set-var proc.a int(1)\n", config, &[8080]);
    let see = |path: &str, expected: &str| {
        let mut client = Client::connect(SocketAddr::new(rig.address.into(), 8080));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        assert!(answer.contains(&format!("x-v: {expected}\r\n")), "{answer}");
    };
    see("/", "1/none");
    see("/set", "9/none");
    reloads(&rig, "    set-var proc.a int(1)\n    set-var proc.b int(2)\n", config);
    see("/", "9/2");
    reloads(&rig, "    set-var proc.a int(3)\n    set-var proc.b int(2)\n", config);
    see("/", "3/2");
    reloads(&rig, "    set-var proc.a int(3)\n", config);
    see("/", "3/none");
}

#[test]
fn what_waits_for_another_process_is_said() {
    let rig = Rig::start(ONE, &[8080]);
    for (line, name) in [
        ("pidfile /nonexistent/weir.pid", "pidfile"),
        ("daemon", "daemon"),
        ("user root", "user"),
        ("uid 0", "user"),
        ("group root", "group"),
        ("localpeer other", "localpeer"),
        ("master-worker", "master-worker"),
        ("chroot /", "chroot"),
        ("server-state-base /nonexistent", "server-state-base"),
        ("server-state-file none", "server-state-file"),
        ("stats-file /nonexistent/stats", "stats-file"),
        ("setcap cap_net_raw", "setcap"),
    ] {
        let answer = reloads(&rig, &format!("    {line}\n"), ONE);
        let said = format!("'{name}' has changed: it takes effect with a new process");
        assert_eq!(answer.matches("has changed").count(), 1, "{line}: {answer}");
        assert!(answer.contains(&said), "{line}: {answer}");
        if name == "chroot" {
            // One that says it is there is taken at its word.
            let answer = rig.reload_with("", ONE);
            assert!(answer.contains("cannot read its configuration any more"), "{answer}");
            return;
        }
        reloads(&rig, "", ONE);
    }
}

/// A socket that stays gets what the new configuration says of its connections and of those who wait.
#[test]
fn a_socket_that_stays_changes_its_options() {
    let rig = Rig::start(ONE, &[8080]);
    let backlog = || {
        let filter = format!("src = {}:8080", rig.address);
        let out = std::process::Command::new("ss").args(["-Hltn", &filter]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut each: Vec<String> =
            text.lines().filter_map(|l| l.split_whitespace().nth(2).map(str::to_owned)).collect();
        each.dedup();
        each
    };
    reloads(&rig, "", &ONE.replace("http-request", "backlog 77\n    http-request"));
    assert_eq!(backlog(), ["77"]);
    reloads(&rig, "", &ONE.replace("http-request", "backlog 99\n    http-request"));
    assert_eq!(backlog(), ["99"]);
}
