use super::*;

fn source(text: &str) -> Vec<Source> {
    vec![Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() }]
}

/// Lines of one section, and the difference without the section's name.
fn check_in(section: &str, old: &str, new: &str, expected: &[&str]) {
    let text = |lines: &str| format!("{section}\n {}\n", lines.replace('|', "\n "));
    let found = diff(&source(&text(old)), &source(&text(new)), &Environment::default());
    let found: Vec<String> = found.iter().map(|d| format!("{} ({})", d.change, d.effect)).collect();
    assert_eq!(found, expected, "{old} => {new}");
}

#[test]
fn servers() {
    let check = |old: &str, new: &str, expected: &[&str]| check_in("backend b", old, new, expected);
    check(
        "server s 1.1.1.1:80 weight 6",
        "server s 1.1.1.1:80 weight 8",
        &["server s: weight 6 -> 8 (no connection affected; a weight set by command gives way)"],
    );
    check(
        "server s 1.1.1.1:80",
        "server s 1.1.1.1:80 weight 8",
        &["server s: + weight 8 (no connection affected; a weight set by command gives way)"],
    );
    check(
        "server s 1.1.1.1:80",
        "server s 1.1.1.2:80",
        &["server s: 1.1.1.1:80 -> 1.1.1.2:80 (new connections; idle ones are not used again)"],
    );
    check(
        "server s 1.1.1.1:80 no-tlsv12 no-check weight 6",
        "server s 1.1.1.1:80 no-tlsv12 no-check weight 8",
        &["server s: weight 6 -> 8 (no connection affected; a weight set by command gives way)"],
    );
    check(
        "server s 1.1.1.1:80 check inter 2s",
        "server s 1.1.1.1:80 check inter 3s rise 2",
        &["server s: inter 2s -> 3s, + rise 2 (checks go on from the last result)"],
    );
    check(
        "server s 1.1.1.1:80 check",
        "server s 1.1.1.1:80",
        &["server s: - check (not checked any more: up)"],
    );
    check(
        "server s 1.1.1.1:80 maxconn 5",
        "server s 1.1.1.1:80 maxconn 6",
        &["server s: maxconn 5 -> 6 (new connections)"],
    );
    check(
        "server s 1.1.1.1:80",
        "server s 1.1.1.1:80 disabled",
        &["server s: + disabled (its state is what the configuration says)"],
    );
    check(
        "server s 1.1.1.1:80",
        "server s 1.1.1.1:80|server t 1.1.1.2:80",
        &["added: server t 1.1.1.2:80 (takes part at once, unless its check says otherwise)"],
    );
    check(
        "server s 1.1.1.1:80|server t 1.1.1.2:80",
        "server s 1.1.1.1:80",
        &["removed: server t 1.1.1.2:80 (its connections finish)"],
    );
    check("server s 1.1.1.1:80 weight 6 maxconn 5", "server s 1.1.1.1:80 maxconn 5 weight 6", &[]);
}

#[test]
fn addresses() {
    let check = |old: &str, new: &str, expected: &[&str]| check_in("frontend f", old, new, expected);
    check("bind :80", "bind :80|bind :81", &["added: bind :81 (bound before anything else changes)"]);
    check("bind :80|bind :81", "bind :80", &["removed: bind :81 (closed; its connections finish)"]);
    check(
        "bind :443 ssl prefer-client-ciphers crt a.pem",
        "bind :443 ssl prefer-client-ciphers crt b.pem",
        &["bind :443: crt a.pem -> b.pem (new handshakes)"],
    );
    check(
        "bind :443 ssl crt a.pem",
        "bind :443 ssl crt a.pem no-tlsv12 prefer-client-ciphers",
        &["bind :443: + no-tlsv12, + prefer-client-ciphers (new handshakes)"],
    );
    check("bind :80", "bind :80 backlog 7", &["bind :80: + backlog 7 (new connections; the socket stays)"]);
    check(
        "bind :80",
        "bind :80 interface lo mss 1200",
        &[
            "bind :80: + interface lo, + mss 1200 (another socket at the same address; who waits in the old one is served)",
        ],
    );
    check("bind /s mode 600", "bind /s mode 660", &["bind /s: mode 600 -> 660 (at once; the socket stays)"]);
    check("bind :80", "bind :80 maxconn 7", &["bind :80: + maxconn 7 (new connections)"]);
}

#[test]
fn options_that_stand_twice() {
    let (old, new) = ("bind :443 ssl crt a.pem crt b.pem", "bind :443 ssl crt a.pem");
    let expected = "bind :443: ssl crt a.pem crt b.pem -> crt a.pem (new handshakes)";
    check_in("frontend f", old, new, &[expected]);
}

#[test]
fn rules_and_settings() {
    let check = |old: &str, new: &str, expected: &[&str]| check_in("frontend f", old, new, expected);
    check("acl a path /x", "acl a path /y", &["acl a: path /x -> /y (new connections)"]);
    check(
        "http-request deny",
        "http-request deny|http-request deny if a",
        &["http-request: 1 lines more, 0 less (new connections)"],
    );
    check(
        "http-request deny if a|http-request deny if b",
        "http-request deny if b|http-request deny if a",
        &["http-request: the lines have another order (new connections)"],
    );
    check("timeout client 5s", "timeout client 6s", &["timeout client: 5s -> 6s (new connections)"]);
    check("maxconn 5", "maxconn 6", &["maxconn: 5 -> 6 (at once)"]);
    check(
        "option httplog",
        "option tcplog",
        &["added: option tcplog (new connections)", "removed: option httplog (new connections)"],
    );
    check("default_backend a", "default_backend b", &["default_backend: a -> b (new connections)"]);
    check(
        "log global",
        "log 127.0.0.1 local0",
        &["log: global -> 127.0.0.1 local0 (new connections' lines)"],
    );
    check_in(
        "backend b",
        "balance roundrobin",
        "balance source",
        &["balance: roundrobin -> source (new connections; states and counters stay)"],
    );
    check_in(
        "backend b",
        "timeout check 1s",
        "timeout check 2s",
        &["timeout check: 1s -> 2s (checks from the next on)"],
    );
    check_in(
        "defaults",
        "retries 2",
        "retries 3",
        &["retries: 2 -> 3 (new connections of the proxies that take it from here)"],
    );
}

#[test]
fn the_process() {
    let check = |old: &str, new: &str, expected: &[&str]| check_in("global", old, new, expected);
    check("nbthread 2", "nbthread 4", &["nbthread: 2 -> 4 (threads begin or end; no connection affected)"]);
    check("maxconn 100", "maxconn 200", &["maxconn: 100 -> 200 (at once)"]);
    check(
        "user a",
        "user b",
        &[
            "added: user b (takes effect with a new process)",
            "removed: user a (takes effect with a new process)",
        ],
    );
    check("tune.bufsize 16384", "tune.bufsize 32768", &["tune.bufsize: 16384 -> 32768 (new connections)"]);
    check(
        "stats socket /a",
        "stats socket /b",
        &["stats socket: /a -> /b (the administration sockets that stay go on)"],
    );
}

#[test]
fn lines_of_routers() {
    let check = |old: &str, new: &str, expected: &[&str]| check_in("vrrp v", old, new, expected);
    check(
        "priority 100",
        "priority 150",
        &["priority: 100 -> 150 (with the next advert; the state stays unless the protocol says otherwise)"],
    );
    check(
        "address 10.0.0.1/24",
        "address 10.0.0.2/24",
        &[
            "address: 10.0.0.1/24 -> 10.0.0.2/24 (put and taken at once where this node is master, which it stays)",
        ],
    );
    check(
        "virtual-router-id 5",
        "virtual-router-id 6",
        &[
            "virtual-router-id: 5 -> 6 (another router: the one before stops at once, this one begins as backup)",
        ],
    );
    check("state backup", "state master", &["state: backup -> master (takes effect with a new process)"]);
    check("nopreempt", "", &["removed: nopreempt (at once; routers stay in their states)"]);
}

#[test]
fn whole_sections_and_what_is_no_difference() {
    let check = |old: &str, new: &str, expected: &[&str]| {
        let found = diff(&source(old), &source(new), &Environment::default());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{old} => {new}");
    };
    let (a, b) = ("backend a\n server s 1.1.1.1:80\n", "frontend f\n bind :80\n");
    check(&format!("{a}{b}"), &format!("{b}\n# text\n{a}"), &[]);
    check(a, "backend a\n  server   \"s\" 1.1.1.1:80   # here\n", &[]);
    check(
        a,
        &format!("{a}{b}"),
        &["frontend f: added (its addresses are bound before anything else changes)"],
    );
    check(&format!("{a}{b}"), a, &["frontend f: removed (its addresses are closed; its connections finish)"]);
    check(&format!("{a}{b}"), b, &["backend a: removed (its connections finish; its checks end)"]);
    check(b, &format!("{a}{b}"), &["backend a: added (its checks begin)"]);
}

#[test]
fn which_defaults_a_proxy_takes_from() {
    let check = |old: &str, new: &str, expected: &[&str]| {
        let found = diff(&source(old), &source(new), &Environment::default());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{old} => {new}");
    };
    let text = "defaults\n mode http\nfrontend f\n bind :80\ndefaults\n mode tcp\nfrontend g\n bind :81\n";
    check(text, text, &[]);
    let moved = "defaults\n mode http\ndefaults\n mode tcp\nfrontend f\n bind :80\nfrontend g\n bind :81\n";
    check(text, moved, &["frontend f: from: defaults -> defaults 2 (new connections)"]);
    let named = "defaults a\ndefaults b\nfrontend f from a\n bind :80\n";
    check(
        named,
        &named.replace("from a", "from b"),
        &["frontend f: from: defaults a -> b (new connections)"],
    );
}

#[test]
fn what_a_process_cannot_do() {
    let check = |old: &str, new: &str, expected: &[&str]| {
        let found = diff(&source(old), &source(new), &Environment::default());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{old} => {new}");
    };
    let front = "frontend f\n bind :80\n";
    let l4 = "listen v\n mode l4\n bind 10.0.0.1:80\n server a 10.0.0.2:80\n";
    check(front, &format!("{front}{l4}"), &["listen v: added (forwarding begins)"]);
    check(l4, &l4.replace("0.2", "0.3"), &["listen v: server a: 10.0.0.2:80 -> 10.0.0.3:80 (new flows)"]);
    check(
        &format!("global\n chroot /var/empty\n{front}"),
        front,
        &[
            "global: chroot: the process cannot read its configuration again (needs a new process: a reload is refused)",
            "global: removed: chroot /var/empty (takes effect with a new process)",
        ],
    );
}
