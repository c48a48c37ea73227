//! Commands about servers, frontends and limits: answers, logs and the state that results, as haproxy has them.

use crate::rig::{compare, compare_masked};

const SECTIONS: &str = "
frontend f
    bind ADDR:8080
    bind ADDR:8081
    default_backend b
backend b
    server s1 ADDR:9001 weight 10 check inter 60s port 9001 id 40
    server s2 ADDR:9002 backup maxconn 7
    server s3 ADDR:9003 track s1
    server s4 ADDR:9004 disabled
    server s6 ADDR:9006 maxconn 9 minconn 3
    server s7 [::1]:9007 slowstart 10s
    server s8 ADDR
    server s9 ADDR:+1
    server s10 /nowhere/s.sock
    server s11 localhost:9011
backend source
    id 77
    balance source
    server x ADDR:9021
backend static
    balance static-rr
    server x ADDR:9022
backend empty
listen l
    mode tcp
    bind ADDR:8082
    server x ADDR:9023
";

const GLOBAL: &str = "    maxconn 100\n    log ADDR:5140 local0\n";

fn check(lines: &[&str]) {
    // Which checks have run by then is another matter: one of a server that refuses is over before anything is asked.
    let mut all = vec!["set server b/s1 health up", "set server b/s1 state ready"];
    all.extend_from_slice(lines);
    all.extend(["show servers state", "show servers state b", "show servers conn b", "show stat -1 4 -1"]);
    compare(GLOBAL, SECTIONS, &all);
}

#[test]
fn names_of_servers() {
    check(&[
        "enable server",
        "enable server x",
        "enable server b",
        "enable server b/",
        "enable server b/none",
        "enable server none/s1",
        "enable server f/s1",
        "disable server #3/#40",
        "disable server #77/x",
        "enable server #3/#40",
        "enable server 3/40",
        "get weight #77/#1",
        "user: disable server b/s1",
        "operator: disable server b/s1",
        "user: get weight b/s1",
    ]);
}

#[test]
fn states() {
    check(&[
        "set server",
        "set server b/s1",
        "set server b/s1 nonsense",
        "set server b/s1 state",
        "set server b/s1 state nonsense",
        "set server b/s1 state drain",
        "set server b/s1 state drain",
        "set server b/s1 state maint",
        "show servers state",
        "set server b/s1 state ready",
        "set server b/s1 state ready",
        "set server b/s3 state maint",
        "set server b/s3 state drain",
        "show servers state",
        "set server b/s3 state ready",
        "set server b/s2 state maint",
        "set server b/s2 state drain",
        "set server b/s2 state ready",
        "set server b/s4 state ready",
        "set server b/s6 state maint",
        "set server static/x state maint",
        "set server source/x state drain",
        "disable server b/s1",
        "disable server b/s1",
        "show servers state",
        "enable server b/s1",
        "disable server b/s7 more words",
    ]);
}

#[test]
fn health() {
    check(&[
        "set server b/s1 health",
        "set server b/s1 health nonsense",
        "set server b/s1 health stopping",
        "show servers state",
        "set server b/s1 health down",
        "show servers state",
        "set server b/s1 health up",
        "set server b/s3 health up",
        "set server b/s2 health down",
        "set server b/s2 health up",
        "enable health",
        "enable health b/s2",
        "enable health b/s3",
        "disable health b/s1",
        "disable health b/s2",
        "set server b/s1 check-port 80",
        "set server b/s1 check-addr 127.0.0.5",
        "enable health b/s1",
        "set server b/s1 check-port",
        "set server b/s1 check-port 80",
        "set server b/s1 check-port x",
        "set server b/s1 check-port 70000",
        "set server b/s2 check-port 80",
        "set server b/s1 check-addr",
        "set server b/s1 check-addr nonsense",
        "set server b/s1 check-addr 127.0.0.5",
        "set server b/s1 check-addr 127.0.0.5 port 81",
        "set server b/s1 check-addr 127.0.0.5 port 81x",
        "set server b/s1 check-addr 127.0.0.5 port",
        "set server b/s1 check-addr 127.0.0.6 word 82",
        "set server b/s2 check-addr 127.0.0.5",
        "enable agent b/s1",
        "disable agent b/s1",
        "set server b/s1 agent",
        "set server b/s1 agent up",
        "set server b/s1 agent-addr",
        "set server b/s1 agent-addr 127.0.0.5",
        "set server b/s1 agent-port",
        "set server b/s1 agent-port 80",
        "set server b/s1 agent-send",
        "set server b/s1 agent-send x",
        "set server b/s1 fqdn",
        "set server b/s1 fqdn localhost",
        "set server b/s1 ssl",
        "set server b/s1 ssl on",
        "set server b/s1 ssl off",
    ]);
}

#[test]
fn weights() {
    check(&[
        "get weight",
        "get weight b",
        "get weight b/s1",
        "set weight",
        "set weight b",
        "set weight b/s1",
        "set weight b/s1 5",
        "get weight b/s1",
        "set weight b/s1 50%",
        "set weight b/s1 300",
        "set weight b/s1 -1",
        "set weight b/s1 -5%",
        "set weight b/s1 x",
        "set weight b/s1 %",
        "set weight b/s1 5%%",
        "set weight b/s1 5x",
        "set weight b/s1 5000%",
        "get weight b/s1",
        "set weight b/s1 0",
        "set weight b/s3 7",
        "set server b/s6 weight",
        "set server b/s6 weight 20%",
        "set server b/s6 weight 11",
        "set server b/s6 weight x",
        "set weight source/x 5",
        "set weight source/x 0",
        "show servers state source",
        "set weight source/x 100%",
        "set weight source/x 1",
        "set weight static/x 0%",
        "set weight static/x 7",
        "operator: set weight b/s1 1",
    ]);
}

#[test]
fn addresses() {
    check(&[
        "set server b/s1 addr",
        "set server b/s1 addr nonsense",
        "set server b/s1 addr 300.1.1.1",
        "set server b/s1 addr localhost",
        "set server b/s1 addr unix@/x",
        "set server b/s1 addr 127.0.0.2",
        "set server b/s1 addr 127.0.0.2",
        "set server b/s1 addr 127.0.0.2 port",
        "set server b/s1 addr 127.0.0.2 port 9099",
        "set server b/s1 addr 127.0.0.2 port 9099",
        "set server b/s1 addr 127.0.0.2 port x",
        "set server b/s1 addr 127.0.0.2 word 5",
        "set server b/s1 addr ::1",
        "set server b/s1 addr ::1 port 80",
        "show servers state b",
        "set server b/s1 addr 127.0.0.9 port 5",
        "set server b/s2 addr 127.0.0.5 port +5",
        "set server b/s2 addr 127.0.0.5 port -5",
        "set server b/s8 addr 127.0.0.5",
        "set server b/s8 addr 127.0.0.5 port 5",
        "set server b/s9 addr 127.0.0.5 port 5",
        "set server b/s9 addr *",
        "set server b/s10 addr 127.0.0.5",
        "set server b/s3 addr 127.0.0.4",
        "set severity-output number;set server b/s1 addr 127.0.0.3;set server b/s1 addr x;set server b/s1 state x",
    ]);
}

#[test]
fn frontends() {
    check(&[
        "enable frontend",
        "enable frontend none",
        "enable frontend b",
        "enable frontend f",
        "disable frontend f",
        "show stat f 1 0",
        "disable frontend f",
        "enable frontend f",
        "show stat f 1 0",
        "disable frontend #2",
        "enable frontend #2",
        "disable frontend l",
        "shutdown frontend",
        "shutdown frontend none",
        "shutdown frontend l",
        "shutdown frontend l",
        "enable frontend l",
        "disable frontend l",
        "show stat l 1 0",
        "set severity-output number;enable frontend f;disable frontend f;disable frontend f;enable frontend l",
    ]);
}

#[test]
fn limits() {
    check(&[
        "set maxconn",
        "set maxconn nonsense",
        "set maxconn server",
        "set maxconn server b/s1",
        "set maxconn server b/s1 5",
        "set maxconn server b/s6 12",
        "set maxconn server b/s1 x",
        "set maxconn server b/s2 -1",
        "set maxconn server b/none 4",
        "set maxconn frontend",
        "set maxconn frontend f",
        "set maxconn frontend none 5",
        "set maxconn frontend f 5",
        "show stat f 1 0",
        "set maxconn frontend f -1",
        "set maxconn global",
        "set maxconn global 50",
        "set maxconn global 0",
        "set maxconn global x",
        "set maxconn global 101",
        "set rate-limit",
        "set rate-limit nonsense",
        "set rate-limit connections",
        "set rate-limit connections global",
        "set rate-limit connections other 5",
        "set rate-limit connections global 5",
        "set rate-limit connections global -1",
        "set rate-limit connections global x",
        "set rate-limit sessions global 5",
        "set rate-limit sessions global 0",
        "set rate-limit ssl-sessions",
        "set rate-limit ssl-sessions global",
        "set rate-limit ssl-sessions global 7",
        "set rate-limit ssl-sessions global -1",
        "set rate-limit http-compression",
        "set rate-limit http-compression global",
        "set rate-limit http-compression global 7",
        "set rate-limit ssl-sessions other",
    ]);
}

#[test]
fn variables() {
    let lines: Vec<String> = [
        "set var",
        "set var foo int(5)",
        "set var proc.x",
        "set var proc.x int(5)",
        "set var proc.x expr int(6),add(3)",
        "set var txn.x int(1)",
        "set var proc.t str(abc)",
        "set var proc.b bool(true)",
        "set var proc.i ipv4(1.2.3.4)",
        "set var proc.f fmt a%[int(5)]b",
        "set var proc.y var(proc.x),mul(2)",
    ]
    .iter()
    .map(|line| format!("experimental-mode on;{line}"))
    .collect();
    let mut all: Vec<&str> = lines.iter().map(String::as_str).collect();
    all.extend([
        "set var proc.x int(7)",
        "get var proc.x",
        "get var proc.t",
        "get var proc.b",
        "get var proc.i",
        "get var proc.f",
        "get var proc.y",
        "get var proc.none",
        "set severity-output number;get var proc.x",
    ]);
    compare(GLOBAL, SECTIONS, &all);
}

#[test]
fn dumps() {
    check(&[
        "show servers",
        "show servers nonsense",
        "show servers state none",
        "show servers state #3",
        "show servers state 3",
        "show servers state f",
        "show servers state empty",
        "show servers conn none",
        "show servers conn #77",
        "show servers conn",
        "show backend",
        "show backend nonsense",
        "show stat none 4 1",
        "show stat 3 4 40",
        "show stat b 4 40",
        "show stat b 4 4000",
        "show stat -1 2 -1",
        "show stat -1 1 -1",
        "show stat 3",
        "show stat b 2 0",
        "show stat up",
        "show stat no-maint",
        "clear counters",
        "clear counters all",
        "clear counters nonsense",
        "user: clear counters",
        "operator: clear counters",
        "operator: clear counters all",
        "get var",
        "get var proc.none",
        "get var txn.none",
        "user: get var proc.none",
        "show env SURELY_NOT_SET",
        "show env HOME",
        "show env HAPROXY_STARTUP_VERSION",
        "user: show env HOME",
        "shutdown sessions",
        "shutdown sessions server",
        "shutdown sessions server b",
        "shutdown sessions server b/none",
        "shutdown sessions server b/s1",
    ]);
}

/// Values go with the key and the address; those of a server's line stay.
#[test]
fn dynamic_cookies() {
    let sections = "
backend dyn
    cookie SRV insert indirect nocache dynamic
    dynamic-cookie-key foo
    server s1 127.0.0.1:9001 cookie c1
    server s2 127.0.0.1:9002
    server s3 127.0.0.1:9003
    server s4 [::1]:9004
backend keyless
    cookie SRV insert indirect nocache
    server s1 127.0.0.1:9001
backend plain
    server s1 127.0.0.1:9001
frontend f
    bind ADDR:8080
    stats show-legends
";
    let values = "show stat -1 4 -1";
    compare_masked(
        GLOBAL,
        sections,
        &[
            values,
            "enable dynamic-cookie backend",
            "enable dynamic-cookie backend nope",
            "enable dynamic-cookie backend f",
            "user: enable dynamic-cookie backend dyn",
            "disable dynamic-cookie backend",
            "disable dynamic-cookie backend dyn",
            values,
            "set server dyn/s2 addr 127.0.0.9",
            "set dynamic-cookie-key backend dyn bar",
            values,
            "enable dynamic-cookie backend dyn",
            values,
            "set server dyn/s3 addr 127.0.0.8",
            values,
            "set dynamic-cookie-key backend",
            "set dynamic-cookie-key backend dyn",
            "set dynamic-cookie-key backend nope x",
            "set dynamic-cookie-key backend #2 baz",
            values,
            "enable dynamic-cookie backend keyless",
            values,
            "set dynamic-cookie-key backend keyless k",
            values,
            "set dynamic-cookie-key backend plain k",
            "enable dynamic-cookie backend plain",
            values,
            // Equal ones are warned of.
            "set server dyn/s3 addr 127.0.0.9 port 9002",
            "set dynamic-cookie-key backend dyn again",
            values,
        ],
        |answer| answer.to_owned(),
    );
}
