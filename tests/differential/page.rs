//! The statistics page's addresses and actions. HAProxy 2.6 closes after a 401 of its page and logs 400: those rows are in
//! tests/vtc/stats.

use crate::rig::{Row, compare};

const PAGE: &str = "stats uri /stats\nstats admin if { path_beg /stats }";

/// A row with a page for administrators and two servers, checked by nobody.
fn page(name: &'static str) -> Row {
    Row::new(name).front(PAGE).back("server s2 ADDR:9\nserver s3 ADDR:9")
}

fn post(row: Row, target: &str, body: &str) -> Row {
    let length = body.len();
    row.send(&format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"))
}

#[test]
fn actions() {
    let mut rows = Vec::new();
    for action in [
        "disable", "enable", "stop", "start", "ready", "drain", "maint", "dhlth", "ehlth", "hrunn", "hnolb",
        "hdown", "dagent", "eagent", "arunn", "adown", "shutdown", "nonsense", "",
    ] {
        let body = format!("s=s2&b=be&action={action}");
        let row = post(page("action"), "/stats", &body);
        // Again, now that it is in that state.
        rows.push(post(row, "/stats", &body));
    }
    compare(rows);
}

#[test]
fn bodies() {
    let once = |name, body: &str| post(page(name), "/stats", body);
    let long = format!("s=s2&b=be&action=drain&x={}", "y".repeat(3000));
    compare(vec![
        once("two servers", "s=s2&s=s3&b=be&action=drain"),
        once("servers last", "action=drain&b=be&s=s2&s=s3"),
        once("one unknown", "s=s2&s=none&b=be&action=drain"),
        once("all unknown", "s=none&b=be&action=drain"),
        once("backend by number", "s=s2&b=%233&action=drain"),
        once("backend by wrong number", "s=s2&b=%2399&action=drain"),
        once("unknown backend", "s=s2&b=none&action=drain"),
        once("a frontend", "s=s2&b=fe&action=drain"),
        once("no server", "b=be&action=drain"),
        once("no backend", "s=s2&action=drain"),
        once("no action", "s=s2&b=be"),
        once("the last action counts", "s=s2&b=be&action=maint&action=drain"),
        once("empty", ""),
        once("encoded", "s=s%32&b=b%65&action=d%72ain"),
        once("broken encoding", "s=s2&b=be&action=drain&x=%zz"),
        once("long field", &long),
        post(page("options"), "/stats;up;no-maint;norefresh", "s=s2&b=be&action=drain"),
        post(page("scope"), "/stats?scope=be", "s=s2&b=be&action=drain"),
        post(
            Row::new("refresh").front(&format!("{PAGE}\nstats refresh 5s")).back("server s2 ADDR:9"),
            "/stats;norefresh",
            "s=s2&b=be&action=drain",
        ),
        post(Row::new("denied").front("stats uri /stats"), "/stats", "s=s1&b=be&action=drain"),
        post(
            Row::new("default address").front("stats enable\nstats admin if TRUE"),
            "/haproxy?stats",
            "b=be",
        ),
        post(Row::new("not the page").front(PAGE), "/other", "s=s2&b=be&action=drain"),
        post(
            Row::new("of the backend").back(&format!("{PAGE}\nserver s2 ADDR:9")),
            "/stats",
            "s=s2&b=be&action=maint",
        ),
    ]);
}

#[test]
fn access() {
    compare(vec![
        Row::new("denied by rule").front("stats uri /stats\nhttp-request deny").get("/stats"),
        Row::new("redirected by rule")
            .front("stats uri /stats\nhttp-request redirect location /x")
            .get("/stats"),
        Row::new("another method")
            .front("stats uri /stats")
            .send("DELETE /stats HTTP/1.1\r\nHost: h\r\n\r\n"),
        Row::new("a longer address").front("stats uri /stats/page").get("/stats/pag"),
        Row::new("monitor first").front("stats uri /stats\nmonitor-uri /stats").get("/stats"),
    ]);
}
