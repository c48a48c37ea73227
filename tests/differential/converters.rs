//! Converters over texts that people and scanners send: each alone, and in chains.

use crate::rig::{Row, compare};

const VALUES: &[&str] = &[
    "abc",
    "0",
    "42",
    "1234567890",
    "99999999999999999999",
    "a:b:c:d",
    "a:",
    ":a:",
    "::a::b::",
    ":",
    "a:b:",
    "192.168.10.77",
    "2001:db8::1:2:3",
    "::ffff:10.1.2.3",
    "1.2.3.4:80",
    "1.2.3.4/24",
    "01.2.3.004",
    "256.1.1.1",
    "1.2.3",
    "1.2.3.4.5",
    "YWJj",
    "YWJjZA==",
    "_-8",
    "{\"a\":\"x y\",\"b\":12}",
    "{\"a\":{\"b\":1}}",
    "a%20b+c%zz",
    "aaa zzz",
    "en-US,fr;q=0.8,de;q=0.9",
    "true",
    "TRUE",
    "0x1F",
    "1f",
    "DEADBEEF",
    "1e3",
    "+5",
    "5abc",
    "",
    "it's \"q\" \\ <b>",
    "%00",
    "%",
    "\u{e9}t\u{e9}",
];

const TEXT: &[&str] = &[
    "bytes(1,3)",
    "bytes(2)",
    "concat(a)",
    "field(1,:)",
    "field(2,:),length",
    "field(-1,:)",
    "field(1,:,2)",
    "field(2,:,0)",
    "field(-2,:,0)",
    "word(1,:)",
    "word(2,:,2)",
    "word(-1,:,3)",
    "word(1,:,0)",
    "word(-2,:,0)",
    "length",
    "lower",
    "upper",
    "ltrim(a)",
    "rtrim(z)",
    "regsub(a,b,g)",
    "json",
    "json(utf8s)",
    "json(ascii)",
    "json_query('\\$.a')",
    "json_query('\\$.b','int')",
    "url_enc",
    "url_dec",
    "url_dec(1)",
    "language(en;fr;de)",
    "strcmp(txn.w)",
    "cut_crlf",
    "iif(yes,no)",
];

const NUMBERS: &[&str] = &[
    "add(1)",
    "and(3)",
    "bool",
    "cpl",
    "div(3)",
    "even",
    "mod(7)",
    "mul(3)",
    "neg",
    "not",
    "odd",
    "or(5)",
    "xor(3)",
    "hex2i",
    "ipmask(24)",
    "ipmask(8,64)",
    "be2dec(:,2)",
    "be2hex(-,3,1)",
    "bool,hex",
    "even,iif(a,b)",
    "ipmask(24,48),length",
];

const DIGESTS: &[&str] = &[
    "base64",
    "b64dec,hex",
    "ub64enc",
    "crc32",
    "crc32c(1)",
    "djb2",
    "djb2(1)",
    "sdbm",
    "wt6",
    "xxh3",
    "xxh32",
    "xxh64(7)",
    "sha1,hex",
    "sha2(256),hex",
    "digest(md5),hex",
    "hmac(sha1,a2V5),hex",
    "hex",
    "not,sdbm(1)",
    "field(2,:),hmac(sha1,a2V5),hex",
    "b64dec,strcmp(txn.w),be2hex(:,2)",
    "lower,word(1,:,2),ub64enc",
    "url_dec,field(-1,:),xxh3",
];

/// Every converter's answer, in a header of its own.
fn row(name: &'static str, converters: &[&str]) -> Row {
    let mut front = String::from("http-request set-var(txn.w) str(abc)\n");
    for (i, converter) in converters.iter().enumerate() {
        front += &format!("http-request set-header r{i} \"<%[req.hdr(in),{converter}]>\"\n");
        front += &format!("http-request set-var-fmt(txn.v{i}) \"%[req.fhdr(r{i})]\"\n");
        front += &format!("http-after-response set-header h{i} \"%[var(txn.v{i})]\"\n");
    }
    let row = Row::new(name).front(&(front + "http-request return status 200"));
    VALUES.iter().fold(row, |row, value| row.get_with("/", &format!("in: {value}")))
}

#[test]
fn converters_answer_alike() {
    compare(vec![row("of text", TEXT), row("of numbers", NUMBERS), row("digests", DIGESTS)]);
}
