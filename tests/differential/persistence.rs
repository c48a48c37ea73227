//! Cookies in every mode.

use crate::rig::{Row, compare};

const SETS: &str =
    "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=app; path=/x; HttpOnly\r\nETag: e\r\nContent-Length: 2\r\n\r\nok";
const SETS_EMPTY: &str =
    "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=\r\nSet-Cookie: other=1\r\nContent-Length: 2\r\n\r\nok";
const CACHEABLE: &str =
    "HTTP/1.1 200 OK\r\nLast-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok";

fn visits(row: Row) -> Row {
    row.get("/1")
        .get_with("/2", "Cookie: SRV=c2")
        .get_with("/3", "Cookie: a=1; SRV=c1; b=2")
        .get_with("/4", "Cookie: SRV=unknown")
        .get_with("/5", "Cookie: SRV=down; a=1")
        .get_with("/6", "Cookie: a=1;SRV=c2;b=2")
        .get_with("/7", "Cookie: a=1|Cookie: SRV=c2")
        .get_with("/8", "Cookie: SRV=c2~mine")
        .get_with("/9", "Cookie: SRV=c1; SRV=c2")
        .get_with("/10", "Cookie: SRV=\"c2\"")
        .get_with("/11", "Cookie: SRV = c2 ; x=y")
        .send("POST /12 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
}

fn mode(cookie: &'static str) -> Row {
    visits(Row::new(cookie).back(&format!(
        "balance roundrobin\ncookie {cookie}\ndefault-server inter 1h\nhttp-response set-header x-s %s\nserver a ADDR:9001 cookie c1\nserver b ADDR:9001 cookie c2\nserver d ADDR:9001 cookie down disabled"
    )))
    .defaults("option httpclose")
}

#[test]
fn modes() {
    let mut rows: Vec<Row> = [
        "SRV",
        "SRV insert",
        "SRV insert indirect",
        "SRV insert nocache",
        "SRV insert indirect nocache",
        "SRV insert postonly",
        "SRV insert preserve",
        "SRV insert indirect preserve",
        "SRV rewrite",
        "SRV prefix",
        "SRV prefix nocache",
        "SRV prefix indirect",
        "SRV insert httponly",
        "SRV insert secure",
        "SRV insert httponly secure",
        "SRV insert domain .example.org",
        "SRV insert domain .a.example domain .b.example",
        "SRV insert attr SameSite=Lax",
        "SRV insert indirect nocache httponly secure attr SameSite=None",
        "SRV rewrite nocache",
        "SRV insert postonly indirect nocache",
    ]
    .iter()
    .flat_map(|cookie| {
        [
            mode(cookie),
            mode(cookie).answer(SETS),
            mode(cookie).answer(SETS_EMPTY),
            mode(cookie).answer(CACHEABLE),
        ]
    })
    .collect();
    rows.push(
        Row::new("dynamic").back("balance roundrobin\ncookie SRV insert dynamic\ndynamic-cookie-key MyKey\nhttp-response set-header x-s %s\nserver a ADDR:9001\nserver b ADDR:9001").get("/").get("/"),
    );
    rows.push(mode("SRV insert").front("capture cookie SRV len 20"));
    compare(rows);
}

#[test]
fn rules() {
    let servers = "cookie SRV insert\nhttp-response set-header x-s %s\nbalance roundrobin\nserver b ADDR:9001 cookie c2\nserver d ADDR:9001 cookie down disabled";
    let with =
        |name: &'static str| Row::new(name).back(&format!("{name}\n{servers}")).defaults("option httpclose");
    compare(vec![
        visits(with("force-persist if { path /5 }")),
        visits(with("ignore-persist if { path /2 /3 }")),
        visits(with("option persist")),
        visits(with("option persist\noption redispatch")),
        visits(with("use-server b if { path /3 }")),
        visits(with("option allbackups")),
    ]);
}
