//! `option external-check`: what programs get, beside Debian's haproxy, and what becomes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::client::Client;
use harness::origin::Origin;
use harness::own_address;
use harness::process::{Program, Proxy};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A directory of programs, and a proxy that runs them.
struct Bench {
    dir: TempDir,
    proxy: Option<Proxy>,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, proxy: None }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// An executable; `DIR` in its text is the directory.
    fn script(&self, name: &str, text: &str) {
        let text = text.replace("DIR", &self.dir.path().display().to_string());
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Ends a run that went on before. `global` and `rest` are lines of the configuration, `DIR` as in scripts.
    fn start(&mut self, program: Program, global: &str, rest: &str) {
        self.proxy = None;
        let text = format!(
            "global\n stats socket DIR/admin.sock level admin\n max-spread-checks 1ms\n external-check\n{global}\n\
             defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n \
             option log-health-checks\n option external-check\n external-check path /usr/bin:/bin\n{rest}\n"
        );
        let text = text.replace("DIR", &self.dir.path().display().to_string());
        let proxy =
            Proxy::start_in(program, TempDir::new().unwrap(), &text, &["-db"], own_address(), &[]).unwrap();
        self.proxy = Some(proxy);
    }

    fn weir(&mut self, rest: &str) {
        self.start(Program::Weir, " insecure-fork-wanted", rest);
    }

    /// What the administration socket answers.
    fn command(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.path("admin.sock")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stderr(&self) -> String {
        self.proxy.as_ref().unwrap().stderr()
    }

    fn pid(&self) -> u32 {
        self.proxy.as_ref().unwrap().pid()
    }

    /// The first line of standard error with all of `parts`, once it is there.
    fn line(&self, parts: &[&str]) -> String {
        wait(&format!("{parts:?}"), || {
            self.stderr().lines().find(|l| parts.iter().all(|p| l.contains(p))).map(str::to_owned)
        })
        .unwrap_or_else(|| panic!("no line with {parts:?} in:\n{}", self.stderr()))
    }
}

fn wait<T>(_what: &str, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Some(value) = found() {
            return Some(value);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    found()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Records arguments and environment under the server's name, whole or not at all.
const RECORD: &str = "#!/bin/sh
out=DIR/out/$HAPROXY_PROXY_NAME-$HAPROXY_SERVER_NAME
{ for a; do echo \"[$a]\"; done; env | grep -v ^PWD= | sort; echo \"in $(readlink /proc/self/fd/0)\"; } > $out.$$
mv $out.$$ $out
";

/// Every kind of address, proxy and server there is for a program to be told.
const ADDRESSES: &str = "
defaults d2 from unnamed_defaults_1
 external-check command DIR/record.sh
listen inet
 bind ADDR:22001
 bind ADDR:22002
 server plain 127.0.0.1:22100 check inter 1s maxconn 77 weight 5
 server six [::1]:22100 check inter 1s
 server unix unix@DIR/s check inter 1s
 server noport 127.0.0.1 check inter 1s port 22100
 server elsewhere 127.0.0.1:22100 check inter 1s port 22101 addr 127.0.0.2
 server secure 127.0.0.1:22100 check inter 1s ssl verify none
listen six
 mode http
 bind [::1]:PORT6
 server s 127.0.0.1:22100 check inter 1s id 42
listen unix
 mode http
 bind unix@DIR/l
 bind ADDR:22004
 server s 127.0.0.1:22100 check inter 1s
listen abstract
 bind abns@weir-external-PID
 server s abns@weir-external-PID check inter 1s
listen range
 bind ADDR:22010-22012,ADDR:22020
 server s 127.0.0.1:22100 check inter 1s
backend back
 id 99
 mode http
 server s 127.0.0.1:22100 check inter 1s
";
const ADDRESS_SERVERS: usize = 11;

#[test]
fn arguments_and_environment_are_haproxys() {
    let mut bench = Bench::new();
    bench.script("record.sh", RECORD);
    let pid = std::process::id().to_string();
    // A port of ::1 that nobody listens on.
    let port6 = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port().to_string();
    let config = ADDRESSES
        .replace("defaults d2 from unnamed_defaults_1\n", "")
        .replace("ADDR", &own_address().to_string())
        .replace("PORT6", &port6)
        .replace("PID", &pid);
    let mut recorded = |program| -> BTreeMap<String, String> {
        let out = bench.dir.path().join("out");
        // A program of the round before may still write there as it is removed.
        wait("an empty place", || {
            let _ = fs::remove_dir_all(&out);
            fs::create_dir(&out).ok()
        })
        .unwrap();
        bench.start(program, " insecure-fork-wanted", &config);
        let all = wait("records", || {
            let names: BTreeSet<String> = fs::read_dir(&out)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.contains('.'))
                .collect();
            (names.len() == ADDRESS_SERVERS).then_some(names)
        })
        .unwrap_or_else(|| panic!("not all checks ran:\n{}", bench.stderr()));
        // A command moves a server; `maxconn` is told as configured whatever commands say.
        bench.command("set maxconn server inet/plain 5");
        bench.command("set server inet/plain addr 127.0.0.9 port 22111");
        wait("the new address", || {
            read(&out.join("inet-plain")).contains("\nHAPROXY_SERVER_ADDR=127.0.0.9\n").then_some(())
        })
        .unwrap_or_else(|| panic!("{}\n{}", read(&out.join("inet-plain")), bench.stderr()));
        bench.proxy = None;
        all.into_iter().map(|name| (name.clone(), read(&out.join(name)))).collect()
    };
    let (theirs, ours) = (recorded(Program::HaProxy), recorded(Program::Weir));
    for (name, text) in &theirs {
        assert!(text.contains("HAPROXY_SERVER_NAME=") && text.contains("in /dev/null"), "{text}");
        assert_eq!(ours.get(name), Some(text), "{name}");
    }
}

/// `healthcheck` sections have programs of their own, whatever the backend checks by.
#[test]
fn sections_name_programs() {
    let mut bench = Bench::new();
    bench.script("ok.sh", "#!/bin/sh\necho section $HAPROXY_SERVER_NAME\n");
    bench.script("six.sh", "#!/bin/sh\nexit 6\n");
    bench.script("path.sh", "#!/bin/sh\necho \"path $PATH\"\n");
    let sections = "
healthcheck own
 type external-check
 external-check command DIR/ok.sh
healthcheck weighing
 type external-check dynamic-weight
 external-check command DIR/six.sh
healthcheck searched
 type external-check
 external-check command path.sh
 external-check path /usr/bin:/bin:DIR
backend b
 external-check command DIR/none.sh
 balance roundrobin
 server own 127.0.0.1:22100 check inter 1s healthcheck own
 server heavy 127.0.0.1:22100 check inter 1s healthcheck weighing
 server searched 127.0.0.1:22100 check inter 1s healthcheck searched
backend c
 no option external-check
 option tcp-check
 server own 127.0.0.1:22100 check inter 1s healthcheck own
";
    bench.weir(&sections.replace(" no option external-check\n", ""));
    bench.line(&["b/own succeeded", "info: \"section own\""]);
    bench.line(&["b/heavy succeeded", "code: 6"]);
    bench.line(&[
        "b/searched succeeded",
        &format!("info: \"path /usr/bin:/bin:{}\"", bench.dir.path().display()),
    ]);
    bench.line(&["c/own succeeded", "info: \"section own\""]);
    let weights = bench.command("show servers state b");
    assert!(weights.contains(" heavy 127.0.0.1 2 0 4 1 "), "{weights}");
    for (lines, message) in [
        (
            " type external-check\n",
            "healthcheck 'x' : 'type external-check' unable to find required 'external-check command'.",
        ),
        (
            " type external-check\n external-check command a.sh\n",
            "healthcheck 'x': 'external-check command' does not have a leading '/' and 'external-check path' is not set.",
        ),
    ] {
        let config = format!(
            "global\n external-check\n insecure-fork-wanted\nhealthcheck x\n{lines}defaults\n timeout connect 1s\n timeout client 1s\n \
             timeout server 1s\nbackend b\n server s 127.0.0.1:1 check healthcheck x\n"
        );
        let (code, said) = Program::Weir.check(&config);
        assert!(code == Some(1) && said.contains(message), "{said}");
    }
}

/// Programs that end in every way there is; what haproxy says of them is what is to be said, but for the text of ours.
const ENDINGS: &str = "
backend ok
 external-check command DIR/ok.sh
 server s 127.0.0.1:22100 check inter 1s
backend three
 external-check command DIR/three.sh
 server s 127.0.0.1:22100 check inter 1s
backend killed
 external-check command DIR/killed.sh
 server s 127.0.0.1:22100 check inter 1s
backend slow
 external-check command DIR/slow.sh
 server s 127.0.0.1:22100 check inter 1s downinter 1h
backend slowconnect
 timeout connect 300ms
 timeout check 20s
 external-check command DIR/slow.sh
 server s 127.0.0.1:22100 check inter 20s
backend forbidden
 external-check command DIR/forbidden.sh
 server s 127.0.0.1:22100 check inter 1s
backend noshebang
 external-check command DIR/noshebang.sh
 server s 127.0.0.1:22100 check inter 1s
backend badinterpreter
 external-check command DIR/badinterpreter.sh
 server s 127.0.0.1:22100 check inter 1s
backend missing
 external-check command DIR/missing.sh
 server s 127.0.0.1:22100 check inter 1s
backend bare
 external-check command true
 server s 127.0.0.1:22100 check inter 1s
backend barefalse
 external-check command false
 server s 127.0.0.1:22100 check inter 1s
backend barenowhere
 external-check command weir-is-not-there
 server s 127.0.0.1:22100 check inter 1s
";

/// What each backend's first check came to: the log line without durations and without the text.
fn verdicts(bench: &Bench) -> BTreeMap<String, String> {
    let all = wait("verdicts", || {
        let mut found = BTreeMap::new();
        for line in bench.stderr().lines() {
            let Some((_, line)) = line.split_once("Health check for server ") else { continue };
            let (name, rest) = line.split_once('/').unwrap();
            found.entry(name.to_owned()).or_insert_with(|| rest.to_owned());
        }
        (found.len() == ENDINGS.matches("backend ").count()).then_some(found)
    });
    let all = all.unwrap_or_else(|| panic!("not all checks ended:\n{}", bench.stderr()));
    all.into_iter()
        .map(|(name, line)| (name, without(&without(&line, ", info: \"", "\""), ", check duration: ", "ms")))
        .collect()
}

/// `text` without what stands from `begin` to `end`.
fn without(text: &str, begin: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(begin) else { return text.to_owned() };
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{after}")
}

#[test]
fn endings_are_told_as_haproxy_tells_them() {
    let mut bench = Bench::new();
    bench.script("ok.sh", "#!/bin/sh\nexit 0\n");
    bench.script("three.sh", "#!/bin/sh\nexit 3\n");
    bench.script("killed.sh", "#!/bin/sh\nkill -9 $$\n");
    bench.script("slow.sh", "#!/bin/sh\nexec sleep 30\n");
    bench.script("forbidden.sh", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(bench.path("forbidden.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    bench.script("noshebang.sh", "exit 0\n");
    bench.script("badinterpreter.sh", "#!/nonexistent/sh\n");
    bench.start(Program::HaProxy, " insecure-fork-wanted", ENDINGS);
    let theirs = verdicts(&bench);
    let exec_failures = |bench: &Bench, what: &str| {
        let expected = format!("Failed to exec process for external health check: {what}. Aborting.");
        bench.line(&["[ALERT]", &expected]);
    };
    exec_failures(&bench, "Permission denied");
    bench.weir(ENDINGS);
    let ours = verdicts(&bench);
    exec_failures(&bench, "Permission denied");
    exec_failures(&bench, "No such file or directory");
    assert_eq!(ours, theirs);
    assert!(ours["slowconnect"].contains("External check timeout"), "{ours:?}");
    bench.line(&["forbidden/s failed", "code: 255, info: \"Permission denied\""]);
}

#[test]
fn without_the_right_to_start_programs_servers_go_down() {
    let user = if is_root() { " user nobody" } else { "" };
    let rest = "backend b\n external-check command /bin/true\n server s 127.0.0.1:22100 check inter 1s";
    let mut bench = Bench::new();
    let mut said = |program| {
        bench.start(program, user, rest);
        bench.line(&[
            "[ALERT]",
            "Failed to fork process for external health check (likely caused by missing 'insecure-fork-wanted'): \
             Resource temporarily unavailable. Aborting.",
        ]);
        let line = bench.line(&["Health check for server b/s"]);
        let (_, line) = line.split_once(" : ").unwrap();
        without(line, ", check duration: ", "ms")
    };
    let (theirs, ours) = (said(Program::HaProxy), said(Program::Weir));
    assert_eq!(ours, theirs);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// (state, parent, group) of every process.
fn processes() -> Vec<(u32, char, u32, u32)> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut words = stat.rsplit_once(") ")?.1.split(' ');
            let state = words.next()?.chars().next()?;
            Some((pid, state, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect()
}

/// A leader that does not end on TERM, a child that does not either, one that does, and a grandchild.
const ENDLESS: &str = "#!/bin/sh
trap '' TERM
sleep 1000 & a=$!
(trap - TERM; exec sleep 1000) & b=$!
sh -c 'sleep 1000; true' & c=$!
echo $$ $a $b $c > DIR/pids.new
mv DIR/pids.new DIR/pids
sleep 1000
";

/// The processes of [`ENDLESS`], once they run; the leader is the first.
fn endless(bench: &Bench) -> Vec<u32> {
    let pids = wait("pids", || fs::read_to_string(bench.path("pids")).ok()).expect("the program runs");
    let pids: Vec<u32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4);
    pids
}

/// None of them is left, nor any other of the leader's group.
fn are_gone(pids: &[u32]) {
    let left = || -> Vec<_> {
        processes().into_iter().filter(|p| p.1 != 'Z' && (pids.contains(&p.0) || p.3 == pids[0])).collect()
    };
    wait("their end", || left().is_empty().then_some(())).unwrap_or_else(|| panic!("left: {:?}", left()));
}

#[test]
fn the_timeout_ends_the_whole_group() {
    let mut bench = Bench::new();
    bench.script("endless.sh", ENDLESS);
    bench.weir(
        "backend b\n external-check command DIR/endless.sh\n server s 127.0.0.1:22100 check inter 1s downinter 1h",
    );
    let pids = endless(&bench);
    bench.line(&["b/s failed, reason: External check timeout, code: 0"]);
    are_gone(&pids);
}

#[test]
fn no_program_outlives_weir() {
    let mut bench = Bench::new();
    bench.script("endless.sh", ENDLESS);
    bench.weir("backend b\n external-check command DIR/endless.sh\n server s 127.0.0.1:22100 check inter 1h");
    let pids = endless(&bench);
    assert!(pids.iter().all(|pid| harness::process::is_alive(*pid)), "the program waits for its end");
    let mut proxy = bench.proxy.take().unwrap();
    proxy.signal("TERM");
    proxy.wait(LIMIT).expect("weir ends");
    are_gone(&pids);
}

/// Of a listing of /proc/self/fd: number and target, without the listed directory itself.
fn descriptors(listing: &str) -> BTreeMap<&str, &str> {
    let lines = listing.lines().filter_map(|l| l.split_once(" -> "));
    lines
        .filter(|(_, target)| !target.ends_with("/fd"))
        .map(|(left, target)| (left.rsplit(' ').next().unwrap(), target))
        .collect()
}

#[test]
fn inherited_descriptors_are_not_passed_on() {
    let bench = Bench::new();
    bench.script(
        "fds.sh",
        "#!/bin/sh\nmv DIR/fds.new DIR/fds 2>/dev/null\nulimit -Sn > DIR/limit.new; mv DIR/limit.new DIR/limit\n\
         exec ls -l /proc/self/fd > DIR/fds.new\n",
    );
    let config = "global\n stats socket DIR/admin.sock\n maxconn 2000\n external-check\n insecure-fork-wanted\nbackend b\n \
                  option external-check\n external-check command DIR/fds.sh\n external-check path /bin\n \
                  server s 127.0.0.1:22100 check inter 20ms\n";
    fs::write(bench.path("cfg"), config.replace("DIR", &bench.dir.path().display().to_string())).unwrap();
    let mut weir = std::process::Command::new("sh")
        .args(["-c", "exec 7</etc/hostname; ulimit -Sn 1000; exec \"$0\" -db -f \"$1\""])
        .arg(Program::Weir.path())
        .arg(bench.path("cfg"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let listing = wait("the listing", || {
        // One whose time was over while it wrote has left less.
        fs::read_to_string(bench.path("fds")).ok().filter(|l| l.lines().count() > 2)
    });
    // Lowered as soon as the program has started; each run is another chance to see it.
    let limit = wait("the limit", || {
        fs::read_to_string(bench.path("limit")).ok().filter(|limit| limit.trim() == "1000")
    });
    let own_limits = fs::read_to_string(format!("/proc/{}/limits", weir.id())).unwrap();
    let kept = fs::read_link(format!("/proc/{}/fd/7", weir.id()));
    weir.kill().unwrap();
    weir.wait().unwrap();
    assert!(limit.is_some(), "the program has another limit of open files");
    assert!(
        own_limits.lines().any(|l| l.starts_with("Max open files") && !l.contains(" 1000 ")),
        "{own_limits}"
    );
    assert_eq!(kept.unwrap(), Path::new("/etc/hostname"));
    let listing = listing.expect("the program runs");
    assert_eq!(descriptors(&listing).into_keys().collect::<Vec<_>>(), ["0", "1", "2"], "{listing}");
}

#[test]
fn programs_get_three_descriptors_and_leave_no_zombie() {
    let mut bench = Bench::new();
    // The shell's own descriptors are gone with it; `ls` opens the directory it lists.
    bench.script(
        "fds.sh",
        "#!/bin/sh\necho run >> DIR/runs\nmv DIR/fds.new DIR/fds 2>/dev/null\nexec ls -l /proc/self/fd > DIR/fds.new\n",
    );
    let address = own_address();
    bench.weir(&format!(
        "listen l\n bind {address}:22001\n external-check command DIR/fds.sh\n server s 127.0.0.1:22100 check inter 20ms"
    ));
    let runs = bench.dir.path().join("runs");
    wait("runs", || (read(&runs).lines().count() >= 20).then_some(()))
        .expect("the program runs again and again");
    let listing = read(&bench.dir.path().join("fds"));
    let given = descriptors(&listing);
    assert_eq!(given.keys().copied().collect::<Vec<_>>(), ["0", "1", "2"], "{listing}");
    assert_eq!(given["0"], "/dev/null", "{listing}");
    let weir = bench.pid();
    // A child that has just ended may be seen once; it must not stay.
    let zombies = || -> BTreeSet<u32> {
        processes()
            .into_iter()
            .filter(|(_, state, parent, _)| *state == 'Z' && *parent == weir)
            .map(|p| p.0)
            .collect()
    };
    let first = zombies();
    wait("zombies' end", || first.is_disjoint(&zombies()).then_some(())).expect("no child stays a zombie");
}

#[test]
fn two_hundred_programs_run_at_once() {
    const SERVERS: usize = 200;
    let mut bench = Bench::new();
    // Nobody gets past the lock that the test holds until all are there.
    bench.script("meet.sh", "#!/bin/sh\n: > DIR/arrived/$HAPROXY_SERVER_NAME\nexec flock -s DIR/gate true\n");
    fs::create_dir(bench.path("arrived")).unwrap();
    let gate = fs::File::create(bench.path("gate")).unwrap();
    gate.lock().unwrap();
    bench.start(
        Program::Weir,
        " insecure-fork-wanted",
        &format!(
            "backend b\n external-check command DIR/meet.sh\n server-template s {SERVERS} 127.0.0.1:22100 check inter 1h"
        ),
    );
    let arrived = bench.dir.path().join("arrived");
    let count = || fs::read_dir(&arrived).unwrap().count();
    wait("all", || (count() == SERVERS).then_some(()))
        .unwrap_or_else(|| panic!("{} of {SERVERS} run", count()));
    gate.unlock().unwrap();
    let passed = || bench.stderr().matches("External check passed").count();
    wait("verdicts", || (passed() == SERVERS).then_some(())).unwrap_or_else(|| panic!("{} passed", passed()));
}

#[test]
fn what_programs_print() {
    let mut bench = Bench::new();
    bench.script("line.sh", "#!/bin/sh\necho 'all is well'\necho more\n");
    bench.script("nothing.sh", "#!/bin/sh\nexit 0\n");
    bench.script("closed.sh", "#!/bin/sh\nexec >&-\nsleep 0.1\nexit 4\n");
    bench.script("noend.sh", "#!/bin/sh\nprintf 'no line end'\nexit 5\n");
    bench.script("binary.sh", "#!/bin/sh\nprintf 'a\\000\\033[1m\\377\"b\\n'\n");
    // What it leaves behind holds the pipe open.
    bench.script("daemon.sh", "#!/bin/sh\nsleep 1000 &\necho $! > DIR/daemon\necho started\n");
    bench.script("late.sh", "#!/bin/sh\nsleep 1000 &\necho $! > DIR/late\nexit 6\n");
    bench.script("big.sh", "#!/bin/sh\necho first\nhead -c 3000000 /dev/zero\nexit 7\n");
    bench.script("stuck.sh", "#!/bin/sh\necho about to hang\nsleep 1000\n");
    bench.script("flood.sh", "#!/bin/sh\nexec yes flooded\n");
    let names = ["line", "nothing", "closed", "noend", "binary", "daemon", "late", "big"];
    let mut config = String::new();
    for name in names {
        config += &format!(
            "backend {name}\n external-check command DIR/{name}.sh\n server s 127.0.0.1:22100 check inter 1h\n"
        );
    }
    for name in ["stuck", "flood"] {
        config += &format!(
            "backend {name}\n external-check command DIR/{name}.sh\n server s 127.0.0.1:22100 check inter 2s downinter 1h\n"
        );
    }
    bench.start(Program::Weir, " insecure-fork-wanted", &config);
    for (name, expected) in [
        ("line", "External check passed, code: 0, info: \"all is well\","),
        ("nothing", "External check passed, code: 0, check duration"),
        ("closed", "External check error, code: 4, check duration"),
        ("noend", "External check error, code: 5, info: \"no line end\","),
        ("binary", "External check passed, code: 0, info: \"a[1m"),
        ("daemon", "External check passed, code: 0, info: \"started\","),
        ("late", "External check error, code: 6, check duration"),
        ("big", "External check error, code: 7, info: \"first\","),
        ("stuck", "External check timeout, code: 0, info: \"about to hang\","),
        ("flood", "External check timeout, code: 0, info: \"flooded\","),
    ] {
        let line = bench.line(&["Health check", &format!("{name}/s ")]);
        assert!(line.contains(expected), "{line}");
    }
    // What programs leave running on purpose is left alone, as haproxy does.
    for file in ["daemon", "late"] {
        let pid: u32 = read(&bench.dir.path().join(file)).trim().parse().unwrap();
        assert!(harness::process::is_alive(pid), "{file}");
        harness::process::signal(pid, "KILL");
    }
}

#[test]
fn the_environment_is_kept_on_request() {
    let mut bench = Bench::new();
    bench.script("record.sh", RECORD);
    fs::create_dir(bench.path("out")).unwrap();
    let rest = "defaults\n mode tcp\n option external-check\n timeout connect 5s\n timeout server 5s\n\
                backend b\n external-check command DIR/record.sh\n server s 127.0.0.1:22100 check inter 1h";
    bench.start(
        Program::Weir,
        " insecure-fork-wanted\n setenv SAID_IN_CONFIG yes\n external-check preserve-env",
        rest,
    );
    let record = bench.dir.path().join("out/b-s");
    wait("the record", || record.exists().then_some(())).unwrap_or_else(|| panic!("{}", bench.stderr()));
    let text = read(&record);
    let path = std::env::var("PATH").unwrap();
    for line in ["SAID_IN_CONFIG=yes", "HAPROXY_SERVER_NAME=s", &format!("PATH={path}")] {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn exit_statuses_are_weights_on_request() {
    let mut bench = Bench::new();
    let origins = ["a", "b"].map(|name| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}");
        Origin::start((own_address(), 9001).into(), &[&answer])
    });
    // Whole or not at all: the script may read at any moment.
    let say = |bench: &Bench, name: &str, status: u8| {
        fs::write(bench.path("new"), status.to_string()).unwrap();
        fs::rename(bench.path("new"), bench.path(name)).unwrap();
    };
    say(&bench, "a", 102);
    say(&bench, "b", 102);
    bench.script("weigh.sh", "#!/bin/sh\nread status < DIR/$HAPROXY_SERVER_NAME\necho $status >> DIR/ran-$HAPROXY_SERVER_NAME\nexit $status\n");
    let address = own_address();
    bench.weir(&format!(
        "listen l\n mode http\n bind {address}:22001\n balance roundrobin\n option external-check dynamic-weight\n \
         external-check command DIR/weigh.sh\n server a {} check inter 50ms rise 1 fall 1 weight 7\n \
         server b {} check inter 50ms rise 1 fall 1",
        origins[0].address(),
        origins[1].address()
    ));
    bench.line(&["l/a succeeded, reason: External check passed, code: 102,"]);
    let served = |count: usize| -> String {
        let get = |_| {
            let mut client = Client::connect((address, 22001).into());
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            String::from_utf8_lossy(&client.response(false)).chars().last().unwrap_or('-')
        };
        (0..count).map(get).collect()
    };
    let expect = |what: &str, good: &dyn Fn(&str) -> bool| {
        let mut last = String::new();
        let found = wait(what, || {
            last = served(6);
            good(&last).then_some(())
        });
        found.unwrap_or_else(|| panic!("{what}: {last}\n{}", bench.stderr()));
    };
    // Equal weights take turns, whatever the configuration said.
    expect("equal", &|s| s == "ababab" || s == "bababa");
    say(&bench, "a", 2);
    expect("weight 0", &|s| s == "bbbbbb");
    say(&bench, "a", 0);
    let ran = bench.dir.path().join("ran-a");
    wait("a check that ended with 0", || {
        (read(&ran).lines().filter(|l| *l == "0").count() > 1).then_some(())
    })
    .expect("checks go on");
    expect("the weight as it was", &|s| s == "bbbbbb");
    say(&bench, "a", 102);
    expect("equal again", &|s| s == "ababab" || s == "bababa");
    say(&bench, "a", 1);
    bench.line(&["Server l/a is DOWN"]);
    bench.line(&["l/a failed, reason: External check error, code: 1,"]);
}
