//! Virtual addresses while the master of `-W` puts one worker in the place of another.

use crate::harness::network::{Net, Node, VIRTUAL};
use crate::harness::process::{Program, signal};
use crate::harness::terminal::wait_until;
use crate::{harness, weir_config};

const LINES: &str = "version 3\n    advert-interval 200ms";

fn master(net: &Net) -> Node {
    let file = net.write("a.cfg", &weir_config(LINES, 150));
    let socket = net.dir.path().join("master.sock");
    let program = Program::Weir.path();
    let node = net.start(
        "a",
        &[
            &program.to_string_lossy(),
            "-W",
            "-db",
            "-S",
            &socket.to_string_lossy(),
            "-f",
            &file.to_string_lossy(),
        ],
    );
    net.only("a");
    node
}

fn ask(net: &Net, line: &str) -> String {
    harness::ask(&net.dir.path().join("master.sock"), &format!("{line};quit"))
}

/// The pids of the workers: the one that serves first.
fn workers(net: &Net) -> Vec<u32> {
    let listed = ask(net, "show proc");
    let rows = listed.lines().filter(|l| l.contains(" worker "));
    rows.filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect()
}

/// The new worker has the addresses from the old one: they are never away, and the other node never takes them.
#[test]
fn a_reload_keeps_the_addresses() {
    let net = Net::new();
    let a = master(&net);
    let b = net.weir("b", &weir_config(LINES, 100));
    b.wait_for("VI_1: stopped -> backup");
    for _ in 0..3 {
        let before = workers(&net);
        let answer = ask(&net, "reload");
        assert!(answer.starts_with("Success=1"), "{answer}");
        wait_until("the old worker has ended", || {
            assert!(net.holds("a", VIRTUAL), "{}", a.log());
            let now = workers(&net);
            now.len() == 1 && now != before
        });
        a.wait_for(&format!("left by process {}, which this one replaces", before[0]));
    }
    assert!(!b.log().contains("-> master"), "{}{}", b.log(), a.log());
    assert!(!net.holds("b", VIRTUAL));
    // Nobody can hold them on trial.
    let answer = ask(&net, "reload --confirm 10m");
    assert!(answer.starts_with("Success=0") && answer.contains("without it"), "{answer}");
    assert!(net.holds("a", VIRTUAL));
    // They go with the master.
    a.stop();
    b.wait_for("-> master");
    net.only("b");
}

/// A worker that is killed leaves the addresses where they are; the next one goes on with them, or takes them back.
#[test]
fn a_killed_worker_is_followed_by_one_that_holds_them() {
    let net = Net::new();
    let a = master(&net);
    let b = net.weir("b", &weir_config(LINES, 100));
    b.wait_for("VI_1: stopped -> backup");
    let before = workers(&net);
    signal(before[0], "KILL");
    wait_until("another worker serves", || workers(&net).first().is_some_and(|pid| *pid != before[0]));
    let entered = || a.log().matches("VI_1: backup -> master").count();
    wait_until("it is master", || entered() == 2);
    net.only("a");
}
