//! A server dies under load: its own connections fail, nobody else's, and new ones avoid it once its check has failed.

use crate::configured::{Held, Weir};
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};

/// Connections since the last time, failed ones, and those of each server.
struct Tally {
    all: usize,
    failed: usize,
    servers: [usize; 2],
}

fn tally(clients: &mut Running) -> Tally {
    clients.enter();
    let line = clients.line();
    let words: Vec<&str> = line.split(' ').collect();
    let of =
        |name: &str| words.iter().position(|w| *w == name).map_or(0, |at| words[at + 1].parse().unwrap());
    Tally { all: words[0].parse().unwrap(), failed: words[1].parse().unwrap(), servers: [of("s1"), of("s2")] }
}

#[test]
fn only_flows_of_the_dead_server_fail() {
    let net = Net::new("d");
    let [first, _second] = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let sections = "listen web
    mode l4
    bind 10.72.0.100:80
    forward nat
    balance rr
    default-server check inter 500ms fall 1 rise 1
    server s1 10.72.0.11:8080
    server s2 10.72.0.12:8080
";
    let weir = Weir::start(&net, sections);
    let mut held = Held::to(&net, VIP, 80, "tcp");
    assert_eq!(held.ask("open 40"), [20, 20, 0, 0]);
    let mut clients = net.client_script("rate.py", &[VIP, "80", "500"]);
    assert_eq!(clients.line(), "running");
    let mut before = tally(&mut clients);
    wait_until("some hundred connections", || {
        let more = tally(&mut clients);
        before =
            Tally { all: before.all + more.all, failed: before.failed + more.failed, servers: more.servers };
        before.all > 500
    });
    assert_eq!(before.failed, 0);
    drop(first);
    wait_until("the check fails", || {
        weir.ask("show servers state").lines().any(|line| line.contains(" s1 10.72.0.11 0 "))
    });
    // What was begun until then, and what begins while the maps are written.
    let meanwhile = tally(&mut clients);
    // In turn: the living one had half of them at least, and all of its own were answered.
    let (all, living) = (meanwhile.all, meanwhile.servers[1]);
    assert!(living * 2 + 2 >= all, "{living} of {all}, {} failed", meanwhile.failed);
    // Two hundred in a row that do not fail: in turn, every second one would.
    let mut in_a_row = 0;
    wait_until("nothing goes there any more", || {
        let more = tally(&mut clients);
        in_a_row = if more.failed == 0 { in_a_row + more.all } else { 0 };
        in_a_row > 200
    });
    let mut after = Tally { all: 0, failed: 0, servers: [0, 0] };
    wait_until("some hundred more", || {
        let more = tally(&mut clients);
        let servers = [after.servers[0] + more.servers[0], after.servers[1] + more.servers[1]];
        after = Tally { all: after.all + more.all, failed: after.failed + more.failed, servers };
        after.all > 500
    });
    assert_eq!((after.failed, after.servers[0], after.servers[1]), (0, 0, after.all));
    assert_eq!(held.ask("again"), [0, 20, 0, 20], "the living server's connections go on");
}
