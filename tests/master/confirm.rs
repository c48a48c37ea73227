//! `reload --confirm`: what is not confirmed is rolled back. For master and worker, for one process, and by the command line.

use super::*;

fn begin(one: &Master, limit: &str) {
    one.write("two", "");
    let answer = one.ask(&format!("reload --confirm {limit}"));
    assert!(answer.starts_with("Success=1\n--\n") && answer.contains("unless 'confirm' comes"), "{answer}");
    assert!(eventually(|| one.who() == "two"));
}

/// What begins as "one" and ends with "two".
fn check(one: &Master) {
    for word in ["confirm", "rollback"] {
        assert!(one.ask(word).starts_with("Success=0\n--\n"), "nothing waits");
    }
    // Nobody says anything.
    begin(one, "300ms");
    assert!(eventually(|| one.who() == "one"));
    assert!(eventually(|| one.ask("show startup-logs").contains("rolled back (not confirmed within 0.3 s)")));
    // Somebody does not like it.
    begin(one, "10m");
    let other = one.ask("reload");
    assert!(other.starts_with("Success=0") && other.contains("waits to be confirmed"), "{other}");
    assert!(eventually(|| one.who() == "two"));
    let answer = one.ask("rollback");
    assert!(answer.starts_with("Success=1") && answer.contains("rolled back (asked for)"), "{answer}");
    assert!(eventually(|| one.who() == "one"));
    // What is wrong is not tried.
    one.write("two", "    bogus\n");
    assert!(one.ask("reload --confirm 10m").starts_with("Success=0"));
    assert!(one.ask("confirm").starts_with("Success=0"));
    assert!(eventually(|| one.who() == "one"));
    // Somebody likes it.
    begin(one, "10m");
    assert!(one.ask("confirm").starts_with("Success=1"));
    assert!(one.ask("rollback").starts_with("Success=0"));
    assert!(eventually(|| one.who() == "two"));
    for wrong in ["reload --confirm", "reload --confirm soon", "reload --confirm 0", "reload now"] {
        assert!(!one.ask(wrong).contains("Success="), "{wrong}");
    }
}

#[test]
fn in_one_process() {
    check(&Master::alone());
}

#[test]
fn with_a_master() {
    let master = Master::start(&["-W", "-db"]);
    let first = master.worker().unwrap();
    check(&master);
    assert!(eventually(|| !is_alive(first)), "{}", master.stderr());
    assert!(eventually(|| !master.ask("show proc").contains("# old workers")));
}

/// While it waits, the worker before serves whom it has, and its socket is the new one's.
#[test]
fn the_worker_before_serves_on() {
    let master = Master::start(&["-W", "-db"]);
    let first = master.worker().unwrap();
    let mut held = Client::connect(master.at());
    let get = |client: &mut Client| {
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
    };
    assert_eq!(get(&mut held), "one");
    begin(&master, "10m");
    assert_eq!(get(&mut held), "one");
    let pid = |answer: &str| answer.lines().find_map(|l| l.strip_prefix("Pid: ")).map(str::to_owned);
    let admin = master.path("admin.sock");
    let second = master.worker().unwrap();
    assert!(eventually(|| pid(&ask(&admin, "show info")) == Some(second.to_string())));
    assert!(master.ask("rollback").starts_with("Success=1"));
    assert!(eventually(|| pid(&ask(&admin, "show info")) == Some(first.to_string())));
    assert_eq!(get(&mut held), "one");
    assert!(eventually(|| !is_alive(second)));
}

/// A new worker that dies brings the one before back at once; if that one dies, there is no way back.
#[test]
fn one_of_both_dies() {
    let master = Master::start(&["-W", "-db"]);
    let first = master.worker().unwrap();
    begin(&master, "10m");
    signal(master.worker().unwrap(), "KILL");
    assert!(eventually(|| master.worker() == Some(first)));
    assert!(eventually(|| master.who() == "one"));
    begin(&master, "10m");
    signal(first, "KILL");
    assert!(eventually(|| master.stderr().contains("cannot be rolled back any more")));
    assert!(master.ask("confirm").starts_with("Success=0"));
    assert!(eventually(|| master.who() == "two"));
}

#[test]
fn traffic_notices_nothing() {
    let master = Master::start(&["-W", "-db"]);
    let traffic = Traffic::begin(master.at());
    for word in ["rollback", "confirm", "rollback"] {
        begin(&master, "10m");
        traffic.goes_on();
        assert!(master.ask(word).starts_with("Success=1"));
    }
    traffic.goes_on();
    traffic.end_without_failure();
}

/// `weir reload` says what came of it, with an exit code.
#[test]
fn by_the_command_line() {
    for master in [false, true] {
        let arguments: &[&str] = if master {
            &["-W", "-db", "-p", "weir.pid", "-S", "master.sock"]
        } else {
            &["-db", "-p", "weir.pid"]
        };
        let one = Master::spawn(&Program::Weir.path(), arguments, &[], "");
        let run = |order: &str, more: &[&str]| {
            let file = one.path("weir.pid");
            let output = Program::Weir.run(&[&[order, "-p", &file.to_string_lossy()], more].concat());
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        // It is reached a moment after it serves.
        assert!(eventually(|| run("confirm", &[]).0 == Some(1)));
        one.write("two", "    bogus\n");
        let (code, said) = run("reload", &[]);
        assert!(code == Some(1) && said.contains("unknown keyword 'bogus'"), "{said}");
        one.write("two", "");
        let (code, said) = run("reload", &["--confirm", "10m"]);
        assert!(code == Some(0) && said.contains("unless 'confirm' comes within 600 s"), "{said}");
        assert!(eventually(|| one.who() == "two"));
        assert_eq!(run("rollback", &[]).0, Some(0));
        assert!(eventually(|| one.who() == "one"));
        assert_eq!(run("confirm", &[]).0, Some(1));
        assert_eq!(run("reload", &[]).0, Some(0));
        assert!(eventually(|| one.who() == "two"));
        let socket = one.path("admin.sock");
        let output = Program::Weir.run(&["reload", "--socket", &socket.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(one.path("weir.pid"), "1\n").unwrap();
        let (code, said) = run("reload", &[]);
        assert!(code == Some(2) && said.contains("no weir of yours answers as process 1"), "{said}");
    }
}
