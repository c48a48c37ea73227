//! The master's socket beside that of Debian's haproxy, byte for byte.

use super::*;

/// Pids, versions and uptimes are not the same: their places are.
fn plain(text: &str, master: u32, worker: u32, version: &str) -> String {
    let text = text.replace(&worker.to_string(), "WORKER").replace(&master.to_string(), "MASTER");
    let text = text.replace(version, "VERSION");
    let columns = |line: &str| line.split_whitespace().map(uptime).collect::<Vec<_>>().join(" ");
    text.split('\n').map(columns).collect::<Vec<_>>().join("\n")
}

fn uptime(word: &str) -> &str {
    if word.len() == 11 && word.starts_with("0d00h") { "UPTIME" } else { word }
}

struct Beside {
    weir: Master,
    haproxy: Master,
}

impl Beside {
    fn check(&self, input: &str) {
        let [ours, theirs] =
            [(&self.weir, "3.4.0"), (&self.haproxy, "2.6.12-1+deb12u4")].map(|(one, known)| {
                let version = one.ask("show version").lines().next().unwrap_or(known).to_owned();
                plain(&one.ask(input), one.child.id(), one.worker().unwrap(), &version)
            });
        assert_eq!(ours, theirs, "{input:?}");
    }
}

#[test]
fn answers_are_haproxys() {
    let start = |program: Program| Master::start_program(&program.path(), &["-W", "-db"], &[]);
    let beside = Beside { weir: start(Program::Weir), haproxy: start(Program::HaProxy) };
    for input in [
        "show version",
        "show proc",
        "show proc debug",
        "show cli level",
        "@ show version",
        "@master show version",
        "@1 show version; show version",
        "@1; show version; @; show version",
        "@7 show version; show proc",
        "@foo show version",
        "@1",
        "@!1 show version",
        "operator; show cli level",
        "user; show cli level; reload",
        "user -; @1 set weight f/s 1",
        "operator; @1 set weight f/s 1",
        "expert-mode on; experimental-mode on; expert-mode off",
        "@1 set weight f/s 1; quit; show proc",
        "@1\nset weight f/s 1\nquit",
        "prompt\nshow version\n@1\nshow version\n@\nexpert-mode on\nexperimental-mode on\n@1\nexpert-mode off",
        "prompt\nuser\nshow proc\n@1\nset weight f/s 1",
        "prompt;@1\nprompt\nshow version",
    ] {
        beside.check(input);
    }
}

/// `user`, `level`, `mode` as on a `bind` line.
#[test]
fn the_socket_has_options() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let start = |options: &str| {
        Master::spawn(&Program::Weir.path(), &["-W", "-db", "-S", &format!("master.sock{options}")], &[], "")
    };
    let master = start(",mode,666,uid,0,gid,0,level,operator");
    let file = std::fs::metadata(master.socket()).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.uid()), (0o666, 0));
    assert_eq!(master.ask("show cli level"), "operator\n\n");
    assert_eq!(master.ask("@1 set maxconn global 100"), "Permission denied\n\n");
    let output = Program::Weir.run(&[
        "-W",
        "-db",
        "-S",
        "x,level,root",
        "-f",
        &master.path("proxy.cfg").to_string_lossy(),
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("'level root' is not understood"), "{said}");
}

/// A worker's own socket asks the master.
#[test]
fn a_worker_leaves_reloads_to_its_master() {
    let master = Master::start(&["-W", "-db"]);
    let old = master.worker().unwrap();
    master.write("two", "");
    let answer = ask(&master.path("admin.sock"), "reload");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    assert_ne!(master.worker(), Some(old));
    assert!(eventually(|| master.who() == "two"));
    master.write("three", "    bogus\n");
    let answer = ask(&master.path("admin.sock"), "reload");
    assert!(answer.starts_with("Success=0\n--\n") && answer.contains("unknown keyword 'bogus'"), "{answer}");
    let mut console = Console::connect(&master.socket());
    console.send(b"prompt\n");
    assert_eq!(console.until("> "), "master[ReloadFailed]> ");
}

/// Nothing that others have put in their place is removed at the end.
#[test]
fn files_of_sockets_are_removed_with_their_process() {
    for mut one in [Master::alone(), Master::start(&["-W", "-db"])] {
        let files = ["admin.sock", "web.sock"].map(|name| one.path(name));
        assert!(files.iter().all(|f| f.exists()));
        // Another process's.
        std::fs::remove_file(&files[1]).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&files[1]).unwrap();
        signal(one.child.id(), "TERM");
        assert!(one.wait().is_some());
        assert_eq!(files.map(|f| f.exists()), [false, true], "{}", one.stderr());
    }
}
