//! TLS towards servers: the same server lines under haproxy and under weir, against haproxy, nginx and openssl as servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::certificates::{authority, expired, leaf, revocation_list, revoke, rsa_leaf};
use harness::client::Client;
use harness::origin::Origin;
use harness::process::{Program, Proxy};
use harness::syslog::Syslog;

const FRONT: u16 = 8080;
const LOG: u16 = 5140;
const PARALLEL: usize = 3;

/// What the servers say of each request: all that haproxy knows of the connection it came over.
const TOLD: &str = "sni=%[ssl_fc_sni] version=%[ssl_fc_protocol] cipher=%[ssl_fc_cipher] alpn=%[ssl_fc_alpn] client=%[ssl_c_s_dn] \
                    used=%[ssl_c_used] resumed=%[ssl_fc_is_resumed] src=%[src] n=%[req.hdr(x-n)]";

/// Certificates and servers, made once for all rows.
struct World {
    dir: tempfile::TempDir,
    address: Ipv4Addr,
    _servers: Proxy,
    _silent: TcpListener,
}

/// Ports of the servers.
const PORTS: &[(u16, &str)] = &[
    (9441, "crt good.pem alpn http/1.1"),
    (9442, "crt expired.pem"),
    (9443, "crt foreign.pem"),
    (9444, "crt good.pem ca-file ca.pem verify required"),
    (9445, "crt good.pem ssl-max-ver TLSv1.2"),
    (9446, "crt good.pem ssl-min-ver TLSv1.3"),
    (9447, "crt revoked.pem"),
    (9448, "crt good.pem accept-proxy"),
    (9449, "crt self.pem"),
    (9450, "crt good.pem ca-file ca.pem verify optional"),
    (9452, "crt common.pem"),
    (9451, "crt rsa.pem no-tls-tickets"),
    (9453, "crt old.pem"),
    (9454, "crt oldrsa.pem"),
];
/// Speaks no TLS; takes connections and says nothing.
const PLAIN: u16 = 9001;
const SILENT: u16 = 9002;
/// A TCP proxy over TLS that passes on to `PLAIN`.
const RELAY: u16 = 9003;

impl World {
    fn new() -> Self {
        let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
        let at = dir.path();
        authority(at, "ca");
        authority(at, "other");
        leaf(at, "ca", "good", &["good.example", "*.wild.example"]);
        rsa_leaf(at, "ca", "rsa", &["good.example"]);
        leaf(at, "ca", "client", &[]);
        leaf(at, "ca", "common", &[]);
        leaf(at, "other", "foreign", &["good.example"]);
        leaf(at, "other", "stranger", &[]);
        expired(at, "ca", "expired", &["good.example"]);
        leaf(at, "ca", "revoked", &["good.example"]);
        revoke(at, "ca", "revoked");
        revocation_list(at, "ca");
        harness::certificates::openssl(
            at,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=self.example \
             -addext subjectAltName=DNS:self.example -keyout self.key -out self.crt",
        );
        // Version 1, as `openssl x509 -req -signkey` makes it.
        for (name, key) in [("old", "ec -pkeyopt ec_paramgen_curve:P-256"), ("oldrsa", "rsa:2048")] {
            let openssl = |arguments: String| harness::certificates::openssl(at, &arguments);
            openssl(format!(
                "req -new -newkey {key} -nodes -subj /CN=good.example -keyout {name}.key -out {name}.csr"
            ));
            openssl(format!("x509 -req -in {name}.csr -signkey {name}.key -days 30 -out {name}.crt"));
            let both = read(at, &format!("{name}.crt")) + &read(at, &format!("{name}.key"));
            std::fs::write(at.join(format!("{name}.pem")), both).unwrap();
        }
        std::fs::write(at.join("self.pem"), read(at, "self.crt") + &read(at, "self.key")).unwrap();
        let silent = TcpListener::bind(SocketAddr::new(address.into(), SILENT)).unwrap();
        let mut config = String::from(
            "global\n    ssl-default-bind-options ssl-min-ver TLSv1.2\ndefaults\n    mode http\n    timeout client 20s\n    \
             timeout connect 5s\n    timeout server 20s\n",
        );
        for (port, options) in PORTS {
            writeln!(
                config,
                "frontend f{port}\n    bind {address}:{port} ssl {}\n    http-request return status 200 content-type text/plain lf-string \"{TOLD}\"",
                inside(at, options)
            )
            .unwrap();
        }
        writeln!(
            config,
            "frontend plain\n    bind {address}:{PLAIN}\n    http-request return status 200 content-type text/plain string plain\n\
             listen relay\n    mode tcp\n    bind {address}:{RELAY} ssl crt {}/good.pem\n    server s {address}:{PLAIN}",
            at.display()
        )
        .unwrap();
        let ports: Vec<u16> = PORTS.iter().map(|(port, _)| *port).chain([PLAIN, RELAY]).collect();
        let servers =
            Proxy::start(Program::HaProxy, &config, address, &ports).unwrap_or_else(|e| panic!("{e}"));
        Self { dir, address, _servers: servers, _silent: silent }
    }

    /// With `ADDR`, and names of files, as they are here.
    fn fill(&self, text: &str) -> String {
        inside(self.dir.path(), text).replace("ADDR", &self.address.to_string())
    }
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

/// Names of files get their directory.
fn inside(dir: &Path, text: &str) -> String {
    let word = |word: &str| {
        let file = word.rsplit_once('.').is_some_and(|(_, end)| matches!(end, "pem" | "crl"));
        if file { format!("{}/{word}", dir.display()) } else { word.to_owned() }
    };
    text.split('\n')
        .map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// One case: the server line's options, other lines of the backend, requests (each entry one connection).
struct Row {
    name: &'static str,
    port: u16,
    server: &'static str,
    back: &'static str,
    global: &'static str,
    send: Vec<&'static str>,
}

const GET: &str = "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n";

fn row(name: &'static str, port: u16, server: &'static str) -> Row {
    Row { name, port, server, back: "", global: "", send: vec![GET] }
}

impl Row {
    fn back(mut self, back: &'static str) -> Self {
        self.back = back;
        self
    }

    fn global(mut self, global: &'static str) -> Self {
        self.global = global;
        self
    }

    fn send(mut self, send: &[&'static str]) -> Self {
        self.send = send.to_vec();
        self
    }
}

fn observe(program: Program, world: &World, row: &Row) -> String {
    let address = harness::own_address();
    let at = |port| SocketAddr::new(IpAddr::V4(address), port);
    let syslog = Syslog::start(at(LOG));
    let config = format!(
        "global\n    nbthread 1\n    log {address}:{LOG} local0\n    {}\ndefaults\n    mode http\n    log global\n    \
         log-format \"%ST %B %tsc %b %s %rc\"\n    timeout connect 20s\n    timeout client 20s\n    timeout server 20s\n    retries 1\n\
         frontend fe\n    bind {address}:{FRONT}\n    default_backend be\n\
         backend be\n    {}\n    server s1 ADDR:{} {}\n",
        row.global, row.back, row.port, row.server
    );
    let proxy = Proxy::start(program, &world.fill(&config), address, &[FRONT])
        .unwrap_or_else(|error| panic!("{}: {program:?} {error}", row.name));
    let mut seen = String::new();
    for bytes in &row.send {
        let mut client = Client::connect(at(FRONT));
        client.set_limit(Duration::from_secs(20));
        for request in bytes.split_inclusive("\r\n\r\n") {
            client.send(request.as_bytes());
            let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
            let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
            let _ = writeln!(seen, "{} | {body}", answer.lines().next().unwrap_or_default());
        }
    }
    proxy.finish();
    for line in syslog.drain().iter().filter(|line| !line.contains("stopped")) {
        let text = line.split_once("]: ").map_or(line.as_str(), |(_, text)| text);
        let _ = writeln!(seen, "log: {}", text.trim_end());
    }
    seen
}

fn compare(rows: Vec<Row>) {
    let world = World::new();
    let count = rows.len();
    let queue = Mutex::new(rows);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().unwrap().pop() else { return };
                    let theirs = observe(Program::HaProxy, &world, &row);
                    let ours = observe(Program::Weir, &world, &row);
                    if theirs != ours {
                        let text = format!("## {}\nhaproxy:\n{theirs}\nweir:\n{ours}", row.name);
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} of {count} rows agree with haproxy", count - failures.len());
    assert!(failures.is_empty(), "{} of {count} rows differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn who_is_trusted() {
    compare(vec![
        row("verify none", 9441, "ssl verify none"),
        row("verify required", 9441, "ssl verify required ca-file ca.pem"),
        row("the default is to verify", 9441, "ssl ca-file ca.pem"),
        row("ssl-server-verify none", 9441, "ssl").global("ssl-server-verify none"),
        row("another authority", 9443, "ssl verify required ca-file ca.pem"),
        row("another authority, trusted", 9443, "ssl verify required ca-file other.pem"),
        row("another authority, verify none", 9443, "ssl verify none ca-file ca.pem"),
        row("expired", 9442, "ssl verify required ca-file ca.pem"),
        row("expired, verify none", 9442, "ssl verify none"),
        row("self-signed, trusted", 9449, "ssl verify required ca-file self.pem"),
        row("self-signed, not trusted", 9449, "ssl verify required ca-file ca.pem"),
        row("version 1, verify none", 9453, "ssl verify none"),
        row("version 1, verify none, 1.2", 9453, "ssl verify none force-tlsv12"),
        row("version 1 and RSA, verify none", 9454, "ssl verify none"),
        row("version 1 and RSA, verify none, 1.2", 9454, "ssl verify none force-tlsv12"),
        row("version 1 of nobody", 9453, "ssl verify required ca-file ca.pem"),
        row("verifyhost", 9441, "ssl verify required ca-file ca.pem verifyhost good.example"),
        row("verifyhost of a wildcard", 9441, "ssl verify required ca-file ca.pem verifyhost a.wild.example"),
        row(
            "verifyhost below a wildcard",
            9441,
            "ssl verify required ca-file ca.pem verifyhost a.b.wild.example",
        ),
        row("verifyhost of another", 9441, "ssl verify required ca-file ca.pem verifyhost bad.example"),
        row("verifyhost of another, verify none", 9441, "ssl verify none verifyhost bad.example"),
        row("a common name", 9452, "ssl verify required ca-file ca.pem verifyhost common"),
        row("another common name", 9452, "ssl verify required ca-file ca.pem verifyhost commons"),
        row("a common name beside others", 9441, "ssl verify required ca-file ca.pem sni str(good)"),
        row("sni is verified", 9441, "ssl verify required ca-file ca.pem sni str(good.example)"),
        row(
            "sni of another is not tried again",
            9441,
            "ssl verify required ca-file ca.pem sni str(bad.example)",
        ),
        row("sni of another, verify none", 9441, "ssl verify none sni str(bad.example)"),
        row(
            "verifyhost goes before sni",
            9441,
            "ssl verify required ca-file ca.pem sni str(bad.example) verifyhost good.example",
        ),
        row("revoked", 9447, "ssl verify required ca-file ca.pem crl-file ca.crl"),
        row("not revoked", 9441, "ssl verify required ca-file ca.pem crl-file ca.crl"),
        row("revoked, no list", 9447, "ssl verify required ca-file ca.pem"),
        row("revoked, verify none", 9447, "ssl verify none ca-file ca.pem crl-file ca.crl"),
    ]);
}

#[test]
fn what_is_said_in_the_handshake() {
    compare(vec![
        row("no sni", 9441, "ssl verify none"),
        row("sni of the host", 9441, "ssl verify none sni req.hdr(host)"),
        row("sni of a header", 9441, "ssl verify none no-ssl-reuse sni req.hdr(x-name)").send(&[
            "GET / HTTP/1.1\r\nHost: a\r\nX-Name: b.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]),
        row("alpn", 9441, "ssl verify none alpn http/1.1"),
        row("the certificate that is asked for", 9444, "ssl verify none crt client.pem"),
        row("none to show", 9444, "ssl verify none force-tlsv12"),
        row("one of another authority", 9444, "ssl verify none force-tlsv12 crt stranger.pem"),
        row("one that is welcome", 9450, "ssl verify none crt client.pem"),
        row("one that is not asked for", 9441, "ssl verify none crt client.pem"),
        row("the newest version", 9441, "ssl verify none"),
        row("a server of 1.2", 9445, "ssl verify none"),
        row("a server of 1.3", 9446, "ssl verify none"),
        row("1.2 asked for", 9441, "ssl verify none ssl-max-ver TLSv1.2"),
        row("1.3 asked for", 9441, "ssl verify none ssl-min-ver TLSv1.3"),
        row("force-tlsv12", 9441, "ssl verify none force-tlsv12"),
        row("force-tlsv13", 9441, "ssl verify none force-tlsv13"),
        row("no-tlsv13", 9441, "ssl verify none no-tlsv13"),
        row("1.3 asked of a server of 1.2", 9445, "ssl verify none ssl-min-ver TLSv1.3"),
        row("1.2 asked of a server of 1.3", 9446, "ssl verify none force-tlsv12"),
        row("versions of the global section", 9441, "ssl verify none")
            .global("ssl-default-server-options ssl-max-ver TLSv1.2"),
        row("versions of the line go first", 9441, "ssl verify none ssl-max-ver TLSv1.3")
            .global("ssl-default-server-options ssl-max-ver TLSv1.2"),
        row("ciphers", 9441, "ssl verify none force-tlsv12 ciphers ECDHE-ECDSA-AES128-GCM-SHA256"),
        row(
            "ciphers the server has not",
            9451,
            "ssl verify none force-tlsv12 ciphers ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        row("ciphersuites", 9441, "ssl verify none ciphersuites TLS_AES_128_GCM_SHA256"),
        row("ciphers of the global section", 9445, "ssl verify none")
            .global("ssl-default-server-ciphers ECDHE+CHACHA20"),
        row("ciphersuites of the global section", 9446, "ssl verify none")
            .global("ssl-default-server-ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
        row("default-server", 9441, "").back("default-server ssl verify none sni str(d.example)"),
        row("default-server undone", PLAIN, "no-ssl").back("default-server ssl verify none"),
        row("PROXY header before it", 9448, "ssl verify none send-proxy"),
        row("PROXY v2 header before it", 9448, "ssl verify none send-proxy-v2"),
        row("an RSA certificate", 9451, "ssl verify required ca-file ca.pem verifyhost good.example"),
    ]);
}

/// What rules see of the connection to the server, and of its certificate.
const SEEN: &str = "ssl_bc ssl_bc_alg_keysize ssl_bc_alpn ssl_bc_cipher ssl_bc_is_resumed ssl_bc_protocol ssl_bc_use_keysize \
     ssl_s_chain_der,sha1,hex ssl_s_der,sha1,hex ssl_s_i_dn ssl_s_i_dn(O) ssl_s_key_alg ssl_s_notafter ssl_s_notbefore ssl_s_s_dn \
     ssl_s_s_dn(OU,2) ssl_s_s_dn(OU,-1) ssl_s_s_dn(,0,rfc2253) ssl_s_serial,hex ssl_s_sha1,hex ssl_s_sig_alg ssl_s_version";

#[test]
fn rules_see_the_handshake() {
    let mut text = String::new();
    for fetch in SEEN.split_whitespace() {
        let _ = write!(text, "{}=%[{fetch}];", fetch.replace(',', "-").replace(['(', ')'], "_"));
    }
    let told: &'static str = Box::leak(
        format!("http-reuse never\n    http-response return status 200 content-type text/plain lf-string \"{text}\"")
            .into_boxed_str(),
    );
    // What the response's rules saw is told with the next request.
    let later = "http-reuse always\n    http-response set-var(sess.seen) ssl_bc_cipher,concat(/,txn.d)\n    http-request set-header x-n %[var(sess.seen)]";
    let two = &[GET, GET];
    let kept = &[concat!(
        "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n"
    )];
    compare(vec![
        row("1.3", 9446, "ssl verify none alpn http/1.1").back(told).send(two),
        row("1.2", 9445, "ssl verify none").back(told).send(two),
        row("alpn", 9441, "ssl verify none alpn http/1.1,x sni str(good.example)").back(told),
        row("an RSA certificate", 9451, "ssl verify required ca-file ca.pem").back(told).send(two),
        row("an idle connection", 9446, "ssl verify none").back(later).send(kept),
        row("no TLS", PLAIN, "").back(told),
    ]);
}

/// `curves`, `sigalgs` and `client-sigalgs` on both sides, which haproxy 2.6 has not: weir talks to itself.
#[test]
fn preferred_algorithms() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let at = dir.path();
    authority(at, "ca");
    leaf(at, "ca", "good", &["good.example"]);
    rsa_leaf(at, "ca", "rsa", &["good.example"]);
    leaf(at, "ca", "client", &[]);
    // A front side's options, a server line's, what comes of it.
    // In TLS 1.3 a client hears only later that its certificate was refused: 503 or 502.
    let rows = [
        ("crt good.pem", "curves P-384", "200 P-384"),
        ("crt good.pem", "curves X25519:P-256", "200 X25519"),
        ("crt good.pem curves P-256", "curves X25519:P-256", "200 P-256"),
        ("crt good.pem curves P-256", "curves X25519", "50"),
        ("crt rsa.pem", "sigalgs RSA-PSS+SHA384", "200"),
        ("crt rsa.pem", "sigalgs ECDSA+SHA256", "50"),
        ("crt good.pem", "sigalgs ECDSA+SHA256", "200"),
        ("crt rsa.pem sigalgs rsa_pss_rsae_sha512", "sigalgs RSA-PSS+SHA512", "200"),
        ("crt rsa.pem sigalgs rsa_pss_rsae_sha512", "sigalgs RSA-PSS+SHA256", "50"),
        ("crt good.pem ca-file ca.pem verify required", "crt client.pem", "200"),
        (
            "crt good.pem ca-file ca.pem verify required",
            "crt client.pem client-sigalgs ecdsa_secp256r1_sha256",
            "200",
        ),
        ("crt good.pem ca-file ca.pem verify required", "crt client.pem client-sigalgs RSA-PSS+SHA256", "50"),
        ("crt good.pem ca-file ca.pem verify required client-sigalgs RSA-PSS+SHA256", "crt client.pem", "50"),
        ("crt good.pem ca-file ca.pem verify required client-sigalgs ECDSA+SHA256", "crt client.pem", "200"),
    ];
    let globals = [
        ("ssl-default-bind-curves P-384", "crt good.pem", "", "200 P-384"),
        ("ssl-default-server-curves P-384", "crt good.pem", "", "200 P-384"),
        ("ssl-default-server-curves P-384", "crt good.pem", "curves P-256", "200 P-256"),
        ("ssl-default-bind-sigalgs RSA-PSS+SHA384", "crt good.pem", "", "50"),
        ("ssl-default-server-sigalgs RSA-PSS+SHA384", "crt good.pem", "", "50"),
        (
            "ssl-default-server-client-sigalgs RSA-PSS+SHA384",
            "crt good.pem ca-file ca.pem verify required",
            "crt client.pem",
            "50",
        ),
        (
            "ssl-default-bind-client-sigalgs RSA-PSS+SHA384",
            "crt good.pem ca-file ca.pem verify required",
            "crt client.pem",
            "50",
        ),
    ];
    let rows = rows.iter().map(|(front, server, expected)| ("", *front, *server, *expected));
    for (global, front, server, expected) in rows.chain(globals) {
        for version in ["force-tlsv12", "force-tlsv13"] {
            let config = format!(
                "global\n    {global}\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n    \
                 retries 0\nfrontend f\n    bind ADDR:9441 ssl {front}\n    \
                 http-request return status 200 content-type text/plain lf-string %[ssl_fc_curve]\n\
                 listen l\n    bind ADDR:{FRONT}\n    server s ADDR:9441 ssl verify none {version} {server}\n"
            );
            let config = inside(at, &config).replace("ADDR", &address.to_string());
            let _proxy = Proxy::start(Program::Weir, &config, address, &[FRONT, 9441])
                .unwrap_or_else(|e| panic!("{e}"));
            let mut client = Client::connect(SocketAddr::new(address.into(), FRONT));
            client.send(GET.as_bytes());
            let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
            let (status, body) = expected.split_once(' ').unwrap_or((expected, ""));
            let right = answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(body);
            assert!(right, "{global} {front} <- {version} {server}: {answer}");
        }
    }
}

#[test]
fn what_goes_wrong() {
    compare(vec![
        row("no TLS spoken there", PLAIN, "ssl verify none"),
        row("TLS spoken there only", 9441, ""),
        row("nobody there", 9999, "ssl verify none"),
        row("nothing is said", SILENT, "ssl verify none").back("timeout connect 300ms"),
        row("no retries", PLAIN, "ssl verify none").back("retries 0"),
        row("no retries wanted", PLAIN, "ssl verify none").back("retry-on none"),
        row("another server", PLAIN, "ssl verify none")
            .back("option redispatch 1\n    balance roundrobin\n    server s0 ADDR:9001 ssl verify none\n    server s2 ADDR:9441 ssl verify none"),
    ]);
}

#[test]
fn connections_and_sessions_used_again() {
    let three = &[
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    let two = &[GET, GET];
    compare(vec![
        row("the same name", 9441, "ssl verify none sni req.hdr(host)").back("http-reuse always").send(three),
        row("no names", 9441, "ssl verify none").back("http-reuse always").send(three),
        row("closed each time, 1.3", 9446, "ssl verify none").back("option httpclose").send(two),
        row("closed each time, 1.2", 9445, "ssl verify none").back("option httpclose").send(two),
        row("no-ssl-reuse", 9446, "ssl verify none no-ssl-reuse").back("option httpclose").send(two),
        row("no tickets there", 9451, "ssl verify none").back("option httpclose").send(two),
        row("tcp", RELAY, "ssl verify none").back("option httpclose"),
    ]);
}

/// nginx with TLS on one port: files of a directory, and `/up` to an origin.
struct Nginx {
    child: Child,
}

impl Nginx {
    fn start(dir: &Path, address: Ipv4Addr, port: u16) -> Self {
        let root = dir.display();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/error;\nevents {{ worker_connections 64; }}\n\
             http {{ access_log off; client_max_body_size 64m; client_body_temp_path {root}/bodies; proxy_temp_path {root}/p; \
             fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address}:{port} ssl; ssl_certificate {root}/good.crt; ssl_certificate_key {root}/good.key; \
             root {root}; location /up {{ proxy_pass http://{address}:{PLAIN}; }} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &root.to_string(), "-e", "error", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (Debian package nginx-light) starts");
        let started = Instant::now();
        while !harness::listens(address.into(), port) {
            assert!(started.elapsed() < Duration::from_secs(20), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bodies larger than every buffer come whole, both ways, in HTTP and in TCP mode.
#[test]
fn long_bodies_come_whole() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    authority(dir.path(), "ca");
    leaf(dir.path(), "ca", "good", &["good.example"]);
    let body: Vec<u8> = (0..8_000_000_u32).map(|i| b'a' + (i % 23) as u8).collect();
    std::fs::write(dir.path().join("long"), &body).unwrap();
    let origin = Origin::start(SocketAddr::new(address.into(), PLAIN), &[]);
    let _nginx = Nginx::start(dir.path(), address, 9441);
    let server = format!(
        "server s {address}:9441 ssl verify required ca-file {}/ca.pem verifyhost good.example",
        dir.path().display()
    );
    let config = format!(
        "defaults\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n\
         listen http\n    mode http\n    bind {address}:8080\n    {server}\n\
         listen tcp\n    mode tcp\n    bind {address}:8081\n    {server}\n"
    );
    let _proxy =
        Proxy::start(Program::Weir, &config, address, &[8080, 8081]).unwrap_or_else(|e| panic!("{e}"));
    for port in [8080, 8081] {
        let mut client = Client::connect(SocketAddr::new(address.into(), port));
        client.set_limit(Duration::from_secs(20));
        for _ in 0..2 {
            client.send(b"GET /long HTTP/1.1\r\nHost: good.example\r\n\r\n");
            let response = client.response(false);
            assert!(response.ends_with(&body), "{} bytes of {} on {port}", response.len(), body.len());
        }
        client.send(
            format!("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        );
        client.send(&body);
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
        let seen = origin.seen();
        assert!(
            seen.last().is_some_and(|r| r.as_bytes().ends_with(&body)),
            "the body that was sent, on {port}"
        );
    }
}
