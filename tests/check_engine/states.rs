//! `load-server-state-from-file`: both programs start on the same file.

use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::rig::{FRONT, PATIENCE, SERVER};
use std::time::Instant;

/// What is said at the start, with each of `lines` (from srv_addr on after the name) in the file.
fn start(program: Program, lines: &[&str], local: bool) -> Vec<String> {
    let address = own_address();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("states");
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    std::fs::write(&file, text.replace("LINE", "1 f 9")).unwrap();
    let (global, load) = if local { ("base", "local") } else { ("file", "global") };
    let path = if local { dir.path().to_owned() } else { file };
    let config = format!(
        "global\n server-state-{global} {}\ndefaults\n mode http\n balance roundrobin\n timeout client 5s\n timeout server 5s\n \
         timeout connect 5s\n load-server-state-from-file {load}\nlisten f\n bind {address}:{FRONT}\n server-state-file-name \
         states\n server a {address}:{SERVER} check inter 1h rise 3 fall 4 weight 10\n server b {address}:{SERVER} weight 10\n \
         server c {address}:{SERVER} disabled check inter 1h\n server d {address}:{SERVER} track f/a\n server e \
         {address}:{SERVER} check inter 1h rise 1 fall 1\n",
        path.display()
    );
    let folder = dir.path().display().to_string();
    let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[FRONT]).unwrap();
    // The checks of a and e run at once, nobody answers: the states of the file are settled before that.
    let started = Instant::now();
    while !proxy.stderr().contains("Layer4") && started.elapsed() < PATIENCE && proxy.stderr().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let said = proxy.stderr();
    let said = said
        .lines()
        .filter_map(|l| l.split_once(" : config : "))
        .map(|(_, text)| text.replace(&folder, "DIR"));
    said.collect()
}

fn check(lines: &[&str], local: bool) {
    let (theirs, ours) = (start(Program::HaProxy, lines, local), start(Program::Weir, lines, local));
    assert_eq!(ours, theirs, "{lines:#?}");
    assert!(!theirs.is_empty(), "{lines:#?}: nothing was said");
}

const NAMES: &str = "# be_id be_name srv_id srv_name srv_addr ...";

#[test]
fn states_are_taken_over() {
    // Down by checks, in maintenance, disabled in the configuration, tracking.
    let (a, b) = (
        "LINE a 1.1.1.1 0 0 10 10 100 8 2 0 6 0 0 0 - 1 - 0 0 - - 0",
        "LINE b 1.1.1.1 0 1 5 10 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    let (c, d) = (
        "LINE c 1.1.1.1 2 0 1 1 100 6 3 3 6 0 0 0 - 1 - 0 0 - - 0",
        "LINE d 1.1.1.1 2 0 1 1 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    check(&["1", NAMES, a, b, c, d], false);
    check(&["1", NAMES, a, b, c, d], true);
    // Stopping and draining; a weight that the configuration has changed.
    let (a, b) = (
        "LINE a 1.1.1.1 3 8 7 10 100 6 4 5 2 0 0 0 - 1 - 0 0 - - 0",
        "LINE b 1.1.1.1 2 8 5 7 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    let (d, e) = (
        "LINE d 1.1.1.1 0 0 1 1 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
        "LINE e 1.1.1.1 3 0 1 1 100 0 0 0 6 0 0 0 - 1 - 0 0 - - 0",
    );
    check(&["1", NAMES, a, b, d, e], false);
    // By id, of another backend, and fields out of range.
    check(
        &[
            "1",
            NAMES,
            "1 f 9 a 1.1.1.1 9 0 7 10 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
            "2 g 9 b 1.1.1.1 0 0 7 10 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
            "1 f 9 e 1.1.1.1 2 0 300 1 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
        ],
        false,
    );
}

#[test]
fn bad_files_change_nothing() {
    for local in [false, true] {
        check(&[], local);
        check(&["2"], local);
        check(&["1", NAMES, "LINE b 1.1.1.1 0 0 5 10 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0", "garbage"], local);
    }
}
