//! A reload inside the process: the routers know of none.

use crate::harness::network::{Net, VIRTUAL, ip};
use crate::weir_config;

fn config(turn: u32, priority: u8) -> String {
    format!(
        "defaults\n    mode http\n    timeout connect 10s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind {VIRTUAL}:8080\n    http-request return status 200 content-type text/plain string turn-{turn}\n{}",
        weir_config("", priority)
    )
}

fn asked(net: &Net) -> String {
    ip(&format!("netns exec {} curl -s --max-time 20 http://{VIRTUAL}:8080/", net.space("a")))
}

#[test]
fn a_reload_moves_no_address() {
    let net = Net::new();
    let a = net.weir("a", &config(0, 150));
    a.wait_for("-> master");
    net.only("a");
    for turn in 1..=10 {
        net.write("a.cfg", &config(turn, 150));
        a.signal("USR2");
        a.wait_for(&format!("this is generation {}.", turn + 1));
        assert_eq!(asked(&net), format!("turn-{turn}"));
    }
    // Another priority is nothing that a reload can give it: nothing changes.
    net.write("a.cfg", &config(11, 200));
    a.signal("USR2");
    a.wait_for("the vrrp sections have changed: start a new process with -sf");
    assert_eq!(asked(&net), "turn-10");
    assert!(net.holds("a", VIRTUAL));
    let log = a.log();
    assert_eq!((log.matches("-> master").count(), log.matches("master ->").count()), (1, 0), "{log}");
    a.stop();
}
