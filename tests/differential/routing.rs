//! ACLs, fetches, matches and the choice of a backend.

use crate::rig::{Row, compare};

/// A condition and requests; the response says whether it held.
fn condition(name: &'static str, condition: &str) -> Row {
    Row::new(name).front(&format!("http-request return status 200 hdr x-held yes if {condition}\nhttp-request return status 200 hdr x-held no"))
}

/// A sample expression whose value comes back in a header (between brackets: an empty value shows).
fn sample(name: &'static str) -> Row {
    Row::new(name).front(&format!("http-request return status 200 hdr x-value \"[%[{name}]]\""))
}

#[test]
fn conditions() {
    let paths = |row: Row| {
        row.get("/").get("/a").get("/A/b.JS?x=/static").get("/static/img/logo.png").get("/b/a/c").get("/10")
    };
    let hosts = |row: Row| {
        ["example.org", "www.example.org", "EXAMPLE.org:8080", "example.org.evil", "myexample.org"]
            .iter()
            .fold(row, |row, host| row.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")))
    };
    let numbers = |row: Row| {
        ["-5", "0", "1", "5", "10", "99", "100", "abc", "", "7x", "1.5"]
            .iter()
            .fold(row, |row, n| row.get_with("/", &format!("x-n: {n}")))
    };
    compare(vec![
        paths(condition("path", "{ path /a }")),
        paths(condition("path -i several", "{ path -i /A /static/img/LOGO.png }")),
        paths(condition("path_beg", "{ path_beg /static /b }")),
        paths(condition("path_beg -i", "{ path_beg -i /a }")),
        paths(condition("path_end -i", "{ path_end -i .js .png }")),
        paths(condition("path_sub", "{ path_sub /a/ img }")),
        paths(condition("path_dir", "{ path_dir img a }")),
        paths(condition("path_dir slashes", "{ path_dir /static/img }")),
        paths(condition("path_reg", "{ path_reg ^/[a-z]$ }")),
        paths(condition("path_reg -i", "{ path_reg -i ^/[a-z]/ }")),
        paths(condition("path_len", "{ path_len 2 }")),
        paths(condition("path_len range", "{ path_len 3:7 }")),
        paths(condition("url_beg", "{ url_beg /A }")),
        paths(condition("url_end", "{ url_end static }")),
        paths(condition("url_sub", "{ url_sub x= }")),
        paths(condition("query found", "{ query -m found }")),
        paths(condition("query len", "{ query -m len gt 3 }")),
        paths(condition("path -m reg", "{ path -m reg \\.(js|png)$ }")),
        paths(condition("path -m end -i", "{ path -m end -i js }")),
        paths(condition("negated", "!{ path_beg /a }")),
        paths(condition("or", "{ path /a } or { path_end c }")),
        paths(condition("and with negation", "{ path_beg /a /b } !{ path_len 2 }")),
        paths(condition("or binds weaker", "{ path_beg /b } { path_end c } || { path / }")),
        hosts(condition("hdr(host)", "{ hdr(host) example.org }")),
        hosts(condition("hdr(host) -i", "{ hdr(host) -i example.org example.org:8080 }")),
        hosts(condition("hdr_dom(host) -i", "{ hdr_dom(host) -i example.org }")),
        hosts(condition("hdr_dom(host) part", "{ hdr_dom(host) www example }")),
        hosts(condition("hdr_beg(host)", "{ hdr_beg(host) -i www. example }")),
        hosts(condition("hdr_end(host)", "{ hdr_end(host) .org }")),
        hosts(condition("hdr_sub(host)", "{ hdr_sub(host) ample.o }")),
        hosts(condition("hdr_reg(host)", "{ hdr_reg(host) -i ^(www\\.)?example\\.org(:[0-9]+)?$ }")),
        hosts(condition("hdr_len(host)", "{ hdr_len(host) 11 }")),
        hosts(condition("host lower", "{ req.hdr(host),lower -m beg example }")),
        numbers(condition("hdr_val eq", "{ hdr_val(x-n) eq 5 }")),
        numbers(condition("hdr_val list", "{ hdr_val(x-n) 1 10:99 }")),
        numbers(condition("hdr_val gt", "{ hdr_val(x-n) gt 5 }")),
        numbers(condition("hdr_val le", "{ hdr_val(x-n) le 5 }")),
        numbers(condition("hdr_val open range", "{ hdr_val(x-n) :0 }")),
        numbers(condition("hdr -m int", "{ hdr(x-n) -m int 0:10 }")),
        numbers(condition("hdr -m found", "{ hdr(x-n) -m found }")),
        numbers(condition("hdr bool", "{ hdr_val(x-n) -m bool }")),
        condition("hdr list values", "{ hdr(x-l) b }")
            .get_with("/", "x-l: a, b,c")
            .get_with("/", "x-l: a|x-l: b")
            .get_with("/", "x-l: ab")
            .get("/"),
        condition("hdr_cnt", "{ hdr_cnt(x-l) 2 }")
            .get_with("/", "x-l: a, b")
            .get_with("/", "x-l: a|x-l: b")
            .get_with("/", "x-l: a"),
        condition("fhdr", "{ req.fhdr(x-l) 'a, b' }")
            .get_with("/", "x-l: a, b")
            .get_with("/", "x-l: a|x-l: b"),
        condition("cook", "{ req.cook(sid) -m beg ab }")
            .get_with("/", "Cookie: sid=abc")
            .get_with("/", "Cookie: x=1; sid=zz")
            .get_with("/", "Cookie: x=1;sid=ab")
            .get("/"),
        condition("cook_cnt", "{ req.cook_cnt(sid) 2 }")
            .get_with("/", "Cookie: sid=1; sid=2")
            .get_with("/", "Cookie: sid=1"),
        condition("url_param", "{ url_param(id) -m str 7 }")
            .get("/?id=7")
            .get("/?x=1&id=7")
            .get("/?ID=7")
            .get("/?id=77")
            .get("/id=7"),
        condition("urlp_beg", "{ urlp_beg(id) 7 }").get("/?id=7").get("/?x=1&id=78").get("/?id=").get("/"),
        condition("method", "{ method GET HEAD }")
            .get("/")
            .send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            .send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"),
        condition("src", "{ src 127.0.0.0/8 }").get("/"),
        condition("src list", "{ src 10.0.0.0/8 192.168.0.1 ::1 }").get("/"),
        condition("dst_port", "{ dst_port 8000:8100 }").get("/"),
        condition("http version", "{ req.ver 1.1 }").get("/").send("GET / HTTP/1.0\r\n\r\n"),
        condition("always_true", "{ always_true } !{ always_false }").get("/"),
        condition("METH_GET covers HEAD", "METH_GET").get("/").send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"),
        condition("HTTP_1.0", "HTTP_1.0").get("/").send("GET / HTTP/1.0\r\n\r\n"),
        condition("HTTP_CONTENT", "HTTP_CONTENT")
            .get("/")
            .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
        condition("HTTP_URL_ABS", "HTTP_URL_ABS").get("/").send("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        condition("LOCALHOST", "LOCALHOST").get("/"),
    ]);
}

#[test]
fn samples() {
    let varied = |row: Row| {
        row.get_with("/a/b;c=d?x=1&y=&x=2#f", "X-L: one, two|X-L: three|Cookie: a=1; b=two; a=3|X-Q: \"q, r\", s")
            .send("POST /p?q HTTP/1.1\r\nHost: H.Example:81\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nx=1&y")
    };
    compare(
        [
            "path",
            "url",
            "query",
            "base",
            "method",
            "req.ver",
            "pathq",
            "url_param(x)",
            "url_param(y)",
            "url_param(zz)",
            "urlp(X)",
            "req.hdr(x-l)",
            "req.hdr(x-l,1)",
            "req.hdr(x-l,2)",
            "req.hdr(x-l,-1)",
            "req.hdr(x-l,-3)",
            "req.hdr(x-l,9)",
            "req.fhdr(x-l)",
            "req.fhdr(x-l,1)",
            "req.fhdr(x-l,-1)",
            "req.hdr_cnt(x-l)",
            "req.fhdr_cnt(x-l)",
            "req.hdr(x-q,1)",
            "req.hdr(x-q,2)",
            "hdr(host)",
            "req.hdr_val(content-length)",
            "req.hdr_names",
            "req.cook(a)",
            "req.cook(b)",
            "req.cook_cnt(a)",
            "req.cook_val(a)",
            "src",
            "dst_port",
            "fe_name",
            "always_true",
            "str(abc)",
            "int(42)",
            "bool(true)",
            "path,upper",
            "path,lower,length",
            "url_param(x),add(5)",
            "hdr(host),lower",
            "url,url_dec",
            "path,hex",
            "path,base64",
            "hdr(host),field(1,:)",
            "path,word(2,/)",
            "path,bytes(1,2)",
            "query,length",
            "path,crc32",
            "path,djb2",
            "path,sdbm",
            "path,wt6",
            "int(7),mod(4)",
            "int(6),mul(7),sub(2)",
            "path,regsub(/,-,g)",
            "req.hdr_ip(x-none)",
            "nbsrv(be)",
            "be_conn(be)",
            "srv_is_up(be/s1)",
            "fe_conn",
            "req.body_len",
            "path,json",
            "int(5),even",
            "int(5),odd",
            "int(0),not",
            "int(12),and(10)",
            "int(12),or(3)",
            "int(12),xor(10)",
            "int(7),div(2)",
            "int(-7),neg",
            "path,sha1,hex",
            "path,digest(md5),hex",
            "str(  ab ),rtrim( )",
            "capture.req.uri",
            "capture.req.method",
            "capture.req.ver",
            "http_first_req",
            "path,concat(-)",
            "hdr(host),host_only",
            "hdr(host),port_only",
            "path,in_table(x)",
        ]
        .iter()
        .filter(|name| !name.contains("in_table"))
        .map(|name| varied(sample(name)))
        .collect(),
    );
}

#[test]
fn backends() {
    let more = "backend b1\n    http-request return status 200 hdr x-be %[be_name]\nbackend b2\n    http-request return status 200 hdr x-be %[be_name]\nbackend b-x.y\n    http-request return status 200 hdr x-be %[be_name]";
    let visit = |row: Row| {
        row.more(more)
            .get("/1")
            .get("/2")
            .get_with("/", "x-be: b1")
            .get_with("/", "x-be: b-x.y")
            .get_with("/", "x-be: gone")
            .get("/3")
    };
    compare(vec![
        visit(
            Row::new("rules in order")
                .front("use_backend b1 if { path /1 }\nuse_backend b2 if { path /1 /2 }"),
        ),
        visit(Row::new("unless").front("use_backend b1 unless { path /1 }")),
        visit(Row::new("dynamic").front("use_backend %[req.hdr(x-be)] if { req.hdr(x-be) -m found }")),
        visit(
            Row::new("dynamic falls through")
                .front("use_backend %[req.hdr(x-be)]\nuse_backend b2 if { path /2 }"),
        ),
        visit(Row::new("dynamic with text").front("use_backend b%[path,bytes(1,1)]")),
        visit(
            Row::new("acl lines are one OR")
                .front("acl one path /1\nacl one hdr(x-be) b1\nuse_backend b1 if one"),
        ),
        visit(
            Row::new("two rules, one backend")
                .front("use_backend b1 if { path /1 }\nuse_backend b1 if { path /2 }"),
        ),
        visit(
            Row::new("file patterns")
                .file("paths.lst", "# comment\n/1\n\n  /2\n")
                .front("use_backend b1 if { path -f paths.lst }"),
        ),
        visit(
            Row::new("file reg")
                .file("paths.lst", "^/[12]$\n")
                .front("use_backend b1 if { path_reg -f paths.lst }"),
        ),
        visit(Row::new("map").file("be.map", "/1 b1\n/2   b2\n").front("use_backend %[path,map(be.map,be)]")),
        visit(
            Row::new("map_beg").file("be.map", "/1 b1\n/ b2\n").front("use_backend %[path,map_beg(be.map)]"),
        ),
    ]);
}

#[test]
fn use_server() {
    let visit = |row: Row| row.get("/1").get("/2").get_with("/", "x-srv: s3").get_with("/", "x-srv: nope");
    let servers = "balance roundrobin\nhttp-response set-header x-s %s\n";
    compare(vec![
        visit(Row::new("use-server").back(&format!(
            "{servers}use-server s2 if {{ path /2 }}\nserver s2 ADDR:9001\nserver s3 ADDR:9001"
        ))),
        visit(Row::new("use-server dynamic").back(&format!(
            "{servers}use-server %[req.hdr(x-srv)] if {{ req.hdr(x-srv) -m found }}\nserver s3 ADDR:9001"
        ))),
        visit(
            Row::new("use-server of a server that is down")
                .back(&format!("{servers}use-server s2 if {{ path /2 }}\nserver s2 ADDR:9001 disabled")),
        ),
    ]);
}
