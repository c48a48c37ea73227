//! Balancing: the order servers are taken in, and where each hash function sends each key.

use std::fmt::Write as _;

use crate::rig::{Row, compare};

/// One backend tried with many requests on connections of their own.
fn sequence(balance: &'static str, servers: &str) -> Row {
    let mut row = Row::new(balance)
        .defaults("option http-server-close\nlog-format %s")
        .back(&format!("{balance}\nhttp-response set-header x-s %s\n{servers}"));
    for number in 0..6 {
        let mut connection = String::new();
        for step in 0..6 {
            let key = number * 6 + step;
            let _ = write!(
                connection,
                "GET /dir{}/file{key}.html?id=user{key}&x=1 HTTP/1.1\r\nHost: www{}.site{}.example.com\r\nX-Key: key-{key}\r\n\r\n",
                key % 4,
                key % 5,
                key % 7,
            );
        }
        row = row.send(&connection);
    }
    row
}

const EQUAL: &str = "server s2 ADDR:9001\nserver s3 ADDR:9001\nserver s4 ADDR:9001";
const WEIGHTED: &str = "server s2 ADDR:9001 weight 3\nserver s3 ADDR:9001 weight 7\nserver s4 ADDR:9001 weight 2\nserver s5 ADDR:9001 weight 0\nserver s6 ADDR:9001 disabled";
const BIG: &str = "server s2 ADDR:9001 weight 256\nserver s3 ADDR:9001 weight 100 id 77\nserver s4 ADDR:9001 weight 13\nserver s5 ADDR:9001 backup";

#[test]
fn sequences() {
    let mut rows = Vec::new();
    for algorithm in [
        "balance roundrobin",
        "balance static-rr",
        "balance leastconn",
        "balance first",
        "balance source",
        "balance uri",
        "balance uri len 6",
        "balance uri depth 1",
        "balance uri whole",
        "balance uri path-only",
        "balance url_param id",
        "balance url_param none",
        "balance hdr(X-Key)",
        "balance hdr(Host)",
        "balance hdr(Host) use_domain_only",
        "balance hdr(None)",
    ] {
        for servers in [EQUAL, WEIGHTED, BIG] {
            rows.push(sequence(algorithm, servers));
        }
    }
    rows.push(sequence("balance roundrobin\ndefault-server weight 4", EQUAL));
    rows.push(sequence(
        "balance roundrobin\noption allbackups",
        "server s2 ADDR:9001 backup\nserver s3 ADDR:9001 backup",
    ));
    rows.push(sequence("balance roundrobin\nserver-template t 4 ADDR:9001", ""));
    rows.push(sequence("balance url_param id check_post", EQUAL));
    rows.push(sequence("balance url_param id\nhash-type consistent\nhash-balance-factor 150", EQUAL));
    compare(rows);
}

#[test]
fn hash_types() {
    let mut rows = Vec::new();
    let names = [
        "hash-type map-based",
        "hash-type consistent",
        "hash-type map-based sdbm",
        "hash-type map-based djb2",
        "hash-type map-based wt6",
        "hash-type map-based crc32",
        "hash-type consistent sdbm",
        "hash-type consistent djb2",
        "hash-type consistent wt6",
        "hash-type consistent crc32",
        "hash-type map-based sdbm avalanche",
        "hash-type map-based djb2 avalanche",
        "hash-type map-based wt6 avalanche",
        "hash-type map-based crc32 avalanche",
        "hash-type consistent sdbm avalanche",
        "hash-type consistent djb2 avalanche",
        "hash-type consistent wt6 avalanche",
        "hash-type consistent crc32 avalanche",
    ];
    for name in names {
        for algorithm in ["balance uri", "balance hdr(X-Key)", "balance url_param id", "balance source"] {
            for servers in [EQUAL, WEIGHTED] {
                let mut row = sequence(name, &format!("{algorithm}\n{servers}"));
                row.send.truncate(4);
                rows.push(row);
            }
        }
    }
    compare(rows);
}
