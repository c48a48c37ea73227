//! The example of docs/external-checks.md, as a reader types it in. Only the names of files and of the database's client are others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::own_address;
use harness::process::{Program, Proxy};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// The text between the fences that begins so.
fn block(begin: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/external-checks.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("\n```").skip(1).step_by(2).filter_map(|b| b.split_once('\n'));
    let found = blocks.map(|(_, text)| text).find(|text| text.starts_with(begin));
    format!("{}\n", found.unwrap_or_else(|| panic!("no block begins with {begin}")))
}

/// Put in its place whole: one that runs cannot be written to.
fn executable(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// Where the page's files are: the script, and a client that says what `answer` holds.
fn site() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    executable(&dir.path().join("check-db"), &block("#!/bin/sh"));
    let client = "#!/bin/sh\nread answer < ${0%/*}/answer\n[ \"$answer\" != none ] || { echo no connection >&2; exit 2; }\necho $answer\n";
    executable(&dir.path().join("psql"), client);
    fs::write(dir.path().join("answer"), "f\n").unwrap();
    dir
}

/// With the site's files in the place of the page's.
fn here(text: &str, dir: &TempDir) -> String {
    let dir = dir.path().display();
    text.replace("/usr/local/bin/check-db", &format!("{dir}/check-db"))
        .replace("/usr/bin:/bin", &format!("{dir}:/usr/bin:/bin"))
}

#[test]
fn the_configuration_is_whole() {
    let dir = site();
    let file = dir.path().join("haproxy.cfg");
    fs::write(&file, block("global")).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_weir")).arg("-c").arg("-f").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert_eq!(said, "Configuration file is valid\n");
}

#[test]
fn it_is_run_by_hand() {
    let dir = site();
    let line = block("sudo").replace("sudo -u haproxy ", "");
    for (answer, expected) in [
        ("f", "primary\nexit status 0\n"),
        ("t", "replica\nexit status 2\n"),
        ("none", "no connection\nexit status 1\n"),
        ("x", "unexpected: x\nexit status 3\n"),
    ] {
        fs::write(dir.path().join("answer"), format!("{answer}\n")).unwrap();
        let run = Command::new("sh").args(["-c", &here(&line, &dir)]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected, "{run:?}");
    }
}

/// Arguments and environment are those of the line that the page gives for trying it by hand.
#[test]
fn by_hand_is_as_it_is_run() {
    let dir = site();
    let folder = dir.path().display().to_string();
    let record =
        format!("#!/bin/sh\n{{ echo \"$@\"; env; }} > {folder}/got.$$\nmv {folder}/got.$$ {folder}/got\n");
    executable(&dir.path().join("check-db"), &record);
    let _proxy = start(&dir, &block("global"));
    let got = |file: &str| {
        let text = fs::read_to_string(dir.path().join(file)).ok()?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // What the shell itself adds.
        lines.retain(|l| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|v| l.starts_with(v)));
        lines[1..].sort();
        Some(lines)
    };
    let began = Instant::now();
    let theirs = loop {
        match got("got").filter(|lines| lines.iter().any(|l| l == "HAPROXY_SERVER_NAME=db1")) {
            Some(lines) => break lines,
            None => assert!(began.elapsed() < LIMIT, "it did not run"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    executable(&dir.path().join("check-db"), &record.replace("/got\n", "/hand\n"));
    let line = here(&block("sudo").replace("sudo -u haproxy ", ""), &dir);
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    assert_eq!(got("hand").unwrap(), theirs);
}

/// The page's configuration, with a door and a pace of its own.
fn start(dir: &TempDir, config: &str) -> Proxy {
    let own = own_address();
    let text = here(config, dir).replace("127.0.0.1:15432", &format!("{own}:15432"));
    let text = text
        .replace("inter 5s", "inter 4s fastinter 50ms")
        .replace("global\n    ext", "global\n    max-spread-checks 1ms\n    ext");
    Proxy::start_in(Program::Weir, TempDir::new().unwrap(), &text, &["-db"], own, &[15432]).unwrap()
}

#[test]
fn the_log_says_what_the_page_says() {
    let short = block("Server db/db1 is DOWN, reason");
    for (lines, config) in [
        (block("Health check for server"), block("global")),
        (short, block("global").replace("    option log-health-checks\n", "")),
    ] {
        let dir = site();
        // Only db1 moves.
        let other = "#!/bin/sh\ncase \"$*\" in *192.0.2.12*) echo f; exit;; esac\necho >> ${0%/*}/asked\nread answer < ${0%/*}/answer\necho $answer\n";
        executable(&dir.path().join("psql"), other);
        let proxy = start(&dir, &config);
        let began = Instant::now();
        // The second question follows the first answer.
        while fs::read_to_string(dir.path().join("asked")).map_or(0, |asked| asked.len()) < 2 {
            assert!(began.elapsed() < LIMIT, "nobody asks");
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::write(dir.path().join("answer"), "t\n").unwrap();
        let plain = |line: &str| {
            let (before, rest) = line.split_once("check duration: ").unwrap_or((line, ""));
            let rest = rest.split_once("ms").map_or("", |(_, rest)| rest);
            format!("{before}{rest}")
        };
        for line in lines.lines() {
            while !proxy.stderr().lines().any(|l| plain(l) == plain(line)) {
                assert!(began.elapsed() < LIMIT, "never said: {line}\n{}", proxy.stderr());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
