//! What goes on through a reload.

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::{eventually, own_address};
use crate::{GET, Rig, status};

fn config(a: &Origin, b: &Origin, more: &str) -> String {
    format!(
        "frontend f\n    bind {{A}}:8080\n    default_backend b\nbackend b\n    balance roundrobin\n{more}    server one {} weight 10\n    server two {} weight 10\n",
        a.address(),
        b.address()
    )
}

fn origins() -> (Origin, Origin) {
    let new = || Origin::start((own_address(), 0).into(), &[]);
    (new(), new())
}

/// The backend is the same, or another line of it has changed.
fn check(change: &str) {
    let (a, b) = origins();
    let rig = Rig::start(&config(&a, &b, ""), &[8080]);
    for order in ["set server b/one weight 3", "disable server b/two", "set maxconn frontend f 17"] {
        assert_eq!(rig.ask(order).trim(), "", "{order}");
    }
    for _ in 0..5 {
        assert_eq!(status(rig.at(8080)), "200");
    }
    rig.go_to(&config(&a, &b, change));
    assert_eq!(rig.stat("b", "one", "weight"), "3", "{change}");
    assert!(rig.stat("b", "two", "status").starts_with("MAINT"), "{change}");
    assert_eq!(rig.stat("f", "FRONTEND", "slim"), "17", "{change}");
    assert_eq!(rig.stat("b", "one", "stot"), "5", "{change}");
    assert_eq!(rig.stat("b", "BACKEND", "hrsp_2xx"), "5", "{change}");
    assert_eq!(rig.stat("f", "FRONTEND", "req_tot"), "5", "{change}");
    // The orders still hold, and can be taken back.
    for _ in 0..4 {
        assert_eq!(status(rig.at(8080)), "200");
    }
    assert_eq!(b.seen().len(), 0);
    assert_eq!(rig.ask("enable server b/two").trim(), "");
    for _ in 0..8 {
        assert_eq!(status(rig.at(8080)), "200");
    }
    assert!(!b.seen().is_empty());
    assert_eq!(rig.stat("f", "FRONTEND", "req_tot"), "17", "{change}");
}

#[test]
fn orders_and_counters_of_a_backend_that_stays() {
    check("");
}

#[test]
fn orders_and_counters_of_a_backend_that_changes() {
    check("    option httpclose\n    fullconn 100\n    retries 5\n");
}

#[test]
fn what_the_configuration_says_anew_counts() {
    let (a, b) = origins();
    let rig = Rig::start(&config(&a, &b, ""), &[8080]);
    rig.ask("set server b/one weight 3");
    rig.ask("set server b/two weight 4");
    rig.go_to(&config(&a, &b, "").replacen("weight 10", "weight 20", 1));
    assert_eq!((rig.stat("b", "one", "weight"), rig.stat("b", "two", "weight")), ("20".into(), "4".into()));
}

#[test]
fn checks_go_on_without_flapping() {
    let (a, b) = origins();
    // The second server is down by its check.
    let text = |interval: &str| {
        format!(
            "frontend f\n    bind {{A}}:8080\n    default_backend b\nbackend b\n    option httpchk GET /\n    default-server check inter {interval} fall 2 rise 2\n    server one {}\n    server two {} check port 1\n",
            a.address(),
            b.address()
        )
    };
    let rig = Rig::start(&text("50ms"), &[8080]);
    assert!(eventually(
        || rig.stat("b", "two", "status") == "DOWN" && rig.stat("b", "one", "check_status") == "L7OK"
    ));
    let said = |rig: &Rig| {
        rig.proxy.stderr().matches(" is UP").count() + rig.proxy.stderr().matches(" is DOWN").count()
    };
    let before = said(&rig);
    for interval in ["50ms", "60ms", "60ms", "70ms"] {
        rig.go_to(&text(interval));
        assert_eq!(rig.stat("b", "two", "status"), "DOWN", "{interval}");
        assert_eq!(rig.stat("b", "one", "status"), "UP", "{interval}");
        assert_eq!(status(rig.at(8080)), "200");
    }
    let checked = |rig: &Rig| rig.stat("b", "two", "check_duration");
    assert!(eventually(|| !checked(&rig).is_empty()));
    assert_eq!(said(&rig), before, "{}", rig.proxy.stderr());
    assert_eq!(rig.stat("b", "two", "chkdown"), "1");
}

#[test]
fn idle_server_connections_are_used_again() {
    let (a, b) = origins();
    let text = config(&a, &b, "    http-reuse always\n").replace("    server two", "    #");
    let rig = Rig::start_with("    nbthread 1\n", &text, &[8080]);
    assert_eq!(status(rig.at(8080)), "200");
    let answer = rig.reload_with(
        "    nbthread 1\n",
        &text.replace("frontend f\n", "frontend f\n    http-response set-header x 1\n"),
    );
    assert!(answer.starts_with("Success=1"), "{answer}");
    assert_eq!(status(rig.at(8080)), "200");
    assert_eq!((rig.stat("b", "one", "connect"), rig.stat("b", "one", "reuse")), ("1".into(), "1".into()));
}

#[test]
fn servers_added_by_command_are_the_file_s_to_keep() {
    let (a, b) = origins();
    let rig = Rig::start(&config(&a, &b, ""), &[8080]);
    assert!(rig.ask(&format!("add server b/three {}", b.address())).contains("New server registered"));
    rig.go_to(&config(&a, &b, ""));
    assert_eq!(rig.stat("b", "three", "status"), "");
    assert_eq!(rig.stat("b", "one", "status"), "no check");
}

#[test]
fn requests_that_wait_in_a_queue_are_served() {
    let (a, b) = origins();
    let text = config(&a, &b, "    timeout queue 15s\n").replace("weight 10", "maxconn 1");
    let rig = Rig::start(&text, &[8080]);
    rig.ask("disable server b/one");
    rig.ask("disable server b/two");
    // Nobody is there to serve it: it waits.
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    rig.go_to(&text);
    rig.ask("enable server b/one");
    let answer = client.response(false);
    assert!(!answer.is_empty());
}
