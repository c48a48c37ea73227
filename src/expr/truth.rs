//! Conditions whose results haproxy 2.6 gave, over the same request here (`testdata/acls.txt`).

use super::mock::Mock;
use super::{Condition, Scope, Site, Value};
use crate::config::model::VarScope;
use crate::message::{Head, Version};
use std::fmt::Write;

fn request() -> Head {
    let mut head = Head::new();
    head.set_method(b"GET");
    head.set_target(b"/static/Logo.png?a=1&b=two&a=3");
    head.set_version(Version::HTTP_11);
    for (name, value) in [
        ("host", "www.Example.com"),
        ("user-agent", "curl/8"),
        ("x-list", "one, two"),
        ("x-list", "three,\"fo,ur\""),
        ("x-forwarded-for", "10.1.2.3, 203.0.113.9"),
        ("cookie", "SID=abc; lang=fr"),
        ("cookie", "SID=def"),
        ("content-length", "0"),
        ("x-num", "12abc"),
        ("x-empty", ""),
        ("x-neg", "-7"),
        ("x-true", "true"),
        ("x-ip6", "2001:db8::5"),
        ("x-bad", "nope"),
        ("x-dup", "5, 9"),
        ("connection", "close"),
        ("x-v0", "abc"),
        ("x-v1", ""),
        ("x-v2", "7x"),
        ("x-v3", "1.5"),
        ("x-v4", "-3"),
        ("x-v5", "+4"),
        ("x-v6", "0x10"),
        ("x-v7", "99999999999999999999"),
        ("x-v8", "007"),
        ("x-v9", "--3"),
        ("x-v10", "-"),
        ("x-v11", "- 3"),
        ("x-v12", "7 x"),
        ("x-v13", "9223372036854775808"),
        ("x-v14", "-9223372036854775809"),
    ] {
        head.add(name.as_bytes(), value.as_bytes());
    }
    head
}

fn mock() -> Mock {
    let mut mock =
        Mock { request: Some(request()), payload: Some((b"buffered".to_vec(), false)), ..Mock::default() };
    mock.conn.src = "127.0.0.1:40000".parse().ok();
    mock.conn.dst = "127.0.0.1:21250".parse().ok();
    mock.conn.listener_id = 1;
    for (name, value) in
        [("s", Value::Str(b"val".to_vec())), ("i", Value::Int(5)), ("ip", Value::Addr([10, 1, 1, 1].into()))]
    {
        mock.vars.insert((VarScope::Transaction, name.to_owned()), value);
    }
    mock
}

#[test]
fn conditions_hold_where_haproxys_do() {
    let folder = tempfile::tempdir().unwrap();
    let filler: String = (0..20).map(|i| format!("/x{i}\n")).collect();
    for (name, text) in [
        ("p1.lst", format!("#c\n/a\n/static/logo.png\n{filler}")),
        ("p2.lst", format!("  /zzz\n/static/\n{filler}")),
        ("p3.lst", ".jpg no\n.png yes it\n".to_owned()),
        ("ip.lst", "10.0.0.0/8\n127.0.0.0/16\n::1\n".to_owned()),
        ("re.lst", "^/a\nLogo\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut wrong = String::new();
    for line in include_str!("testdata/acls.txt").lines().filter(|l| !l.starts_with('#')) {
        let (expected, condition) = line.split_once(' ').unwrap();
        let condition = condition.replace("DIR", &folder.path().display().to_string());
        let words: Vec<&str> = condition.split(' ').collect();
        match Condition::parse(&words, Site::HttpRequest, &Scope::default()) {
            Ok(parsed) if parsed.holds(&mut mock()) == (expected == "1") => {}
            Ok(_) => writeln!(wrong, "{condition}: haproxy says {expected}").unwrap(),
            Err(e) => writeln!(wrong, "{condition}: {}", e.message).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
