//! TLS of clients beside certificates: sessions taken up again, OCSP responses, PROXY headers before the handshake and
//! PROXY headers that tell servers of it, TCP proxies with TLS. Clients are curl and openssl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::tls::{EC, FRONT, FUTURE, PAST, Pki, RSA, SUITES, clients, curl};
use crate::harness::process::{Program, Proxy};
use crate::harness::{ask, bind_soon, own_address};

const SERVER: u16 = 8081;

/// What `openssl s_client` writes while it does one HTTP request; `request` comes on its standard input.
pub(super) fn s_client(dir: &Path, address: Ipv4Addr, options: &str, request: &str) -> String {
    let mut child = Command::new("openssl")
        .arg("s_client")
        .args(["-connect", &format!("{address}:{FRONT}"), "-servername", "server.test", "-ign_eof"])
        .args(options.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) const CLOSE: &str = "GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n";

pub(super) fn start(program: Program, pki: &Pki, global: &str, sections: &str, address: Ipv4Addr) -> Proxy {
    let config = format!(
        "global\n    nbthread 1\n    {SUITES}\n{global}\ndefaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    \
         timeout server 20s\n{sections}\n"
    )
    .replace("PKI", &pki.dir.path().to_string_lossy())
    .replace("ADDR", &address.to_string());
    Proxy::start(program, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{program:?}: {e}"))
}

/// Both programs in turn; what they show must be the same.
fn same(what: &str, wrong: &mut Vec<String>, observe: impl Fn(Program) -> String) {
    let [theirs, ours] = [Program::HaProxy, Program::Weir].map(observe);
    if theirs == ours {
        println!("as haproxy: {what}: {ours}");
    } else {
        wrong.push(format!("{what}\nhaproxy: {theirs}\nweir:    {ours}"));
    }
}

/// A session is taken up again by ticket or by number, or not, as the line says; and not with another line's settings.
#[test]
fn sessions_are_taken_up_again() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let front = "    http-request return status 200 content-type text/plain lf-string \"resumed=%[ssl_fc_is_resumed] %[ssl_fc_protocol]\"";
    let mut wrong = Vec::new();
    for (global, bind) in [
        ("", ""),
        ("", "no-tls-tickets"),
        ("    tune.ssl.cachesize 0", ""),
        ("    tune.ssl.cachesize 0", "no-tls-tickets"),
        ("    ssl-default-bind-options no-tls-tickets", ""),
        ("    ssl-default-bind-options no-tls-tickets\n    tune.ssl.cachesize 0", ""),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            // Without a cache OpenSSL's TLS 1.3 gives stateful tickets that nobody takes; there are none of ours then.
            same(&format!("{global} {bind} {version}"), &mut wrong, |program| {
                let address = own_address();
                let sections = format!(
                    "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem alpn http/1.1 {bind}\n{front}"
                );
                let _proxy = start(program, &pki, global, &sections, address);
                let visit = |options: &str| {
                    let seen = s_client(pki.dir.path(), address, options, CLOSE);
                    // What follows it on its line is openssl's.
                    let said = seen.lines().find(|l| l.starts_with("resumed=")).and_then(|l| l.get(..17));
                    said.unwrap_or("no answer").to_owned()
                };
                let first = visit(&format!("{version} -sess_out session"));
                let second = visit(&format!("{version} -sess_in session"));
                format!("{first}, then {second}")
            });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One visit over TLS 1.2 or 1.3: whether a session went on.
fn visit(pki: &Pki, address: Ipv4Addr, options: &str) -> String {
    let seen = s_client(pki.dir.path(), address, options, CLOSE);
    let said = seen.lines().find_map(|l| l.strip_prefix("resumed=")?.get(..1).map(str::to_owned));
    said.unwrap_or_else(|| "no answer".to_owned())
}

const RESUMED: &str =
    "http-request return status 200 content-type text/plain lf-string resumed=%[ssl_fc_is_resumed]";

/// `tls-ticket-keys`: a session goes on with whoever has the keys, as long as they have them.
#[test]
fn tickets_under_the_keys_of_a_file() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    for (name, bytes) in [("short", 48), ("long", 80), ("other", 48)] {
        let line = |n: u8| {
            let key: Vec<u8> = (0..bytes).map(|i| n.wrapping_mul(17) ^ i ^ name.as_bytes()[0]).collect();
            String::from_utf8(base64(&key)).unwrap() + "\n"
        };
        std::fs::write(pki.path(name), (1..=4).map(line).collect::<String>()).unwrap();
    }
    let mut wrong = Vec::new();
    for version in ["-tls1_2", "-tls1_3"] {
        for (first, then) in [("short", "short"), ("long", "long"), ("short", "other")] {
            same(&format!("{version}: keys of {first}, then of {then}"), &mut wrong, |program| {
                let mut seen = Vec::new();
                for (keys, session) in [(first, "-sess_out"), (then, "-sess_in"), (then, "-sess_in")] {
                    let address = own_address();
                    let sections = format!(
                        "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem tls-ticket-keys PKI/{keys}\n    {RESUMED}"
                    );
                    let _proxy = start(program, &pki, "    tune.ssl.cachesize 0", &sections, address);
                    seen.push(visit(&pki, address, &format!("{version} {session} session")));
                }
                seen.join(", ")
            });
        }
        same(&format!("{version}: keys that roll"), &mut wrong, |program| {
            let address = own_address();
            let global = "    tune.ssl.cachesize 0\n    stats socket PKI/socket level admin";
            let sections = format!(
                "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem tls-ticket-keys PKI/short\n    {RESUMED}"
            );
            let _proxy = start(program, &pki, global, &sections, address);
            let mut seen = visit(&pki, address, &format!("{version} -sess_out session"));
            for n in 0..3_u8 {
                let key = String::from_utf8(base64(&[n; 48])).unwrap();
                let line = format!("set ssl tls-key {} {key}", pki.path("short").display());
                seen += &format!(", {}", ask(&pki.path("socket"), &line).trim());
                seen += &format!(" {}", visit(&pki, address, &format!("{version} -sess_in session")));
            }
            seen
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["base64", "-A"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// The same keys on lines that let in others: a ticket of one is none of the other's.
#[test]
fn keys_of_a_file_tell_lines_apart() {
    let pki = clients();
    std::fs::write(pki.path("keys"), format!("{}\n", "A".repeat(64)).repeat(3)).unwrap();
    let both = format!(
        "frontend f\n    bind ADDR:8443 ssl crt PKI/server.pem tls-ticket-keys PKI/keys\n    {RESUMED}\n\
         frontend g\n    bind ADDR:8444 ssl crt PKI/server.pem tls-ticket-keys PKI/keys verify required ca-file PKI/ours.crt\n    {RESUMED}"
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let address = own_address();
        let _proxy = start(Program::Weir, &pki, "", &both, address);
        assert_eq!(visit(&pki, address, &format!("{version} -sess_out session")), "0");
        assert_eq!(visit(&pki, address, &format!("{version} -sess_in session")), "1");
        let elsewhere = visit(&pki, address, &format!("-connect {address}:8444 {version} -sess_in session"));
        assert_eq!(elsewhere, "no answer");
    }
}

/// `tune.ssl.lifetime`: sooner or later a session does not go on; without it, it does.
#[test]
fn sessions_end() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    for bind in ["", "no-tls-tickets"] {
        let address = own_address();
        let sections =
            format!("frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem {bind}\n    {RESUMED}");
        let _proxy = start(Program::Weir, &pki, "    tune.ssl.lifetime 1s", &sections, address);
        // TLS 1.2: a session may be taken up any number of times, and does not begin anew by that.
        assert_eq!(visit(&pki, address, "-tls1_2 -sess_out session"), "0");
        let began = Instant::now();
        while visit(&pki, address, "-tls1_2 -sess_in session") == "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "the session goes on");
        }
    }
}

/// Who was let in without a certificate by one line does not come back by another that wants one.
#[test]
fn sessions_stay_with_their_line() {
    let pki = clients();
    let both = "frontend f\n    bind ADDR:8443 ssl crt PKI/server.pem\n    http-request return status 200\n\
                frontend g\n    bind ADDR:8444 ssl crt PKI/server.pem verify required ca-file PKI/ours.crt\n    \
                http-request return status 200";
    for version in ["-tls1_2", "-tls1_3"] {
        let address = own_address();
        let _proxy = start(Program::Weir, &pki, "", both, address);
        let dir = pki.dir.path();
        assert!(
            s_client(dir, address, &format!("{version} -sess_out session"), CLOSE).contains("HTTP/1.1 200")
        );
        let other = s_client(dir, address, &format!("{version} -sess_in session"), CLOSE);
        assert!(other.contains("Reused"), "{other}");
        let elsewhere = format!("-connect {address}:8444 {version} -sess_in session");
        let refused = s_client(dir, address, &elsewhere, CLOSE);
        assert!(!refused.contains("HTTP/1.1 200") && !refused.contains("Reused"), "{refused}");
    }
}

/// The response beside the certificate is stapled where the client asks for it.
#[test]
fn ocsp_responses_are_stapled() {
    let pki = Pki::new();
    pki.authority("ours");
    for name in ["good", "gone", "plain"] {
        pki.client(name, "ours", &format!("/CN={name}.test"), [PAST, FUTURE]);
    }
    pki.openssl("ca -config ca.cnf -name ca -keyfile ours.key -cert ours.crt -revoke gone.crt");
    for name in ["good", "gone"] {
        pki.openssl(&format!(
            "ocsp -index index.txt -CA ours.crt -rsigner ours.crt -rkey ours.key -issuer ours.crt -cert {name}.crt -ndays 30 \
             -respout {name}.pem.ocsp"
        ));
        std::fs::copy(pki.path("ours.crt"), pki.path(&format!("{name}.pem.issuer"))).unwrap();
    }
    let mut wrong = Vec::new();
    for (global, name) in
        [("", "good"), ("", "gone"), ("", "plain"), ("    ssl-load-extra-files none", "good")]
    {
        for options in ["-tls1_2 -status", "-tls1_3 -status", "-tls1_3"] {
            same(&format!("{global} {name} {options}"), &mut wrong, |program| {
                let address = own_address();
                let sections = format!(
                    "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/{name}.pem\n    http-request return status 200"
                );
                let _proxy = start(program, &pki, global, &sections, address);
                let seen = s_client(pki.dir.path(), address, options, CLOSE);
                let told = ["OCSP response:", "OCSP Response Status:", "Cert Status:", "HTTP/1.1 200"];
                let lines = seen.lines().filter(|line| told.iter().any(|t| line.contains(t)));
                lines.map(str::trim).collect::<Vec<_>>().join(", ")
            });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `good.pem` with its issuer, and responses about it: good, revoked, without an end, about another, none at all.
fn responses() -> Pki {
    let pki = Pki::new();
    pki.authority("ours");
    for name in ["good", "other"] {
        pki.client(name, "ours", &format!("/CN={name}.test"), [PAST, FUTURE]);
    }
    let about = |name: &str, options: &str, file: &str| {
        pki.openssl(&format!(
            "ocsp -index index.txt -CA ours.crt -rsigner ours.crt -rkey ours.key -issuer ours.crt -cert {name}.crt {options} -respout {file}"
        ));
    };
    about("good", "-ndays 30", "response");
    about("good", "", "endless");
    about("other", "-ndays 30", "another");
    pki.openssl("ca -config ca.cnf -name ca -keyfile ours.key -cert ours.crt -revoke good.crt");
    about("good", "-ndays 30", "revoked");
    std::fs::write(pki.path("garbage"), "garbage").unwrap();
    std::fs::write(pki.path("unauthorized"), [0x30, 3, 10, 1, 6]).unwrap();
    std::fs::copy(pki.path("ours.crt"), pki.path("good.pem.issuer")).unwrap();
    std::fs::copy(pki.path("response"), pki.path("good.pem.ocsp")).unwrap();
    pki
}

/// `set ssl ocsp-response` and `show ssl ocsp-response`: what they answer, and what clients get then.
#[test]
fn ocsp_responses_are_exchanged() {
    let pki = responses();
    let text = |file: &str| String::from_utf8(base64(&std::fs::read(pki.path(file)).unwrap())).unwrap();
    let socket = pki.path("socket");
    let mut wrong = Vec::new();
    same("OCSP responses", &mut wrong, |program| {
        let address = own_address();
        let sections = format!(
            "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/good.pem crt PKI/other.pem\n    http-request return status 200"
        );
        let _proxy = start(program, &pki, "    stats socket PKI/socket level admin", &sections, address);
        let mut seen = String::new();
        let status = || {
            let seen = s_client(pki.dir.path(), address, "-status", CLOSE);
            seen.lines().find(|l| l.contains("Cert Status")).unwrap_or("none").trim().to_owned()
        };
        seen += &format!("{}\n", status());
        for line in [
            "show ssl ocsp-response".to_owned(),
            "show ssl ocsp-response 00".to_owned(),
            "set ssl ocsp-response".to_owned(),
            "set ssl ocsp-response garbage!".to_owned(),
            "set ssl ocsp-response aGVsbG8=".to_owned(),
            format!("set ssl ocsp-response {}", text("unauthorized")),
            format!("set ssl ocsp-response {}", text("another")),
            format!("set ssl ocsp-response {}", text("endless")),
        ] {
            // Later ones than haproxy 2.6 tell the certificate's file too.
            let said = ask(&socket, &line).replace("ID or path does", "ID does");
            let lines = said.split_inclusive('\n').filter(|l| !l.starts_with("Certificate path : "));
            seen += &format!("{line}: {}\n", lines.collect::<String>());
        }
        seen += &format!("{}\n", status());
        seen += &ask(&socket, &format!("set ssl ocsp-response {}", text("revoked")));
        seen += &format!("{}\n", status());
        seen += &ask(&socket, &format!("set ssl ocsp-response <<\n{}\n", text("response")));
        seen += &format!("{}\n", status());
        let good = pki.path("good.pem").display().to_string();
        seen += &ask(&socket, &format!("set ssl cert {good}.ocsp <<\n{}\n", text("revoked")));
        seen += &status();
        seen += &ask(&socket, &format!("commit ssl cert {good}"));
        seen += &status();
        let shown = ask(&socket, &format!("show ssl cert {good}"));
        seen + shown.lines().find(|l| l.contains("OCSP")).unwrap_or_default()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A response that is of no use is passed over with a word; without an issuer nobody can tell, and that is an error.
#[test]
fn ocsp_responses_of_no_use() {
    let pki = responses();
    let config = format!(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 5s\n\
         frontend f\n    bind 127.0.0.1:1 ssl crt {}\n",
        pki.path("good.pem").display()
    );
    let said = |program: Program| {
        let (code, output) = program.check(&config);
        let lines = output.lines().filter(|l| l.contains("OCSP") || l.contains("issuer"));
        let sentences =
            lines.map(|l| l.rsplit_once("Loading: ").or(l.rsplit_once(" : ")).map_or(l, |(_, s)| s));
        format!("{code:?} {}", sentences.map(str::trim).collect::<Vec<_>>().join(", "))
    };
    let mut wrong = Vec::new();
    for file in ["response", "revoked", "endless", "another", "garbage", "unauthorized"] {
        std::fs::copy(pki.path(file), pki.path("good.pem.ocsp")).unwrap();
        same(file, &mut wrong, said);
    }
    std::fs::copy(pki.path("other.crt"), pki.path("good.pem.issuer")).unwrap();
    same("another's certificate as issuer", &mut wrong, said);
    std::fs::remove_file(pki.path("good.pem.issuer")).unwrap();
    same("no issuer", &mut wrong, said);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `accept-proxy`: the header comes before the handshake, and tells the address.
#[test]
fn a_proxy_header_before_the_handshake() {
    let pki = Pki::new();
    pki.server("server", RSA, &["server.test"]);
    let sections = format!(
        "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem accept-proxy\n    \
         http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[ssl_fc_sni]\""
    );
    let certificate = CertificateDer::from_pem_file(pki.path("server.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x10\x01\0\x50";
    let mut wrong = Vec::new();
    for before in [&b"PROXY TCP4 192.0.2.7 192.0.2.8 4097 80\r\n"[..], v2, b"", b"PROXY nonsense\r\n"] {
        same(&before.escape_ascii().to_string(), &mut wrong, |program| {
            let address = own_address();
            let _proxy = start(program, &pki, "", &sections, address);
            let mut socket = TcpStream::connect((address, FRONT)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // Header and hello may come together.
            let mut tls =
                ClientConnection::new(Arc::clone(&config), ServerName::try_from("server.test").unwrap())
                    .unwrap();
            let mut first = before.to_vec();
            tls.write_tls(&mut first).unwrap();
            socket.write_all(&first).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut socket);
            let mut answer = Vec::new();
            match stream.write_all(CLOSE.as_bytes()).and_then(|()| stream.read_to_end(&mut answer)) {
                Ok(_) => String::from_utf8_lossy(&answer).lines().next_back().unwrap_or_default().to_owned(),
                Err(_) => "refused".to_owned(),
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One connection's PROXY v2 header, without addresses and checksum; then an HTTP answer.
fn header(listener: &TcpListener) -> String {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut fixed = [0; 16];
    socket.read_exact(&mut fixed).unwrap();
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    socket.read_exact(&mut rest).unwrap();
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    let mut seen = format!("{:?} {}", &fixed[12..14], rest.len());
    let mut tlvs = rest.get(12..).unwrap_or_default();
    let mut all = Vec::new();
    while let [kind, high, low, more @ ..] = tlvs {
        let (value, after) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        let value = if *kind == 3 { b"checksum" } else { value };
        all.push(format!(" {kind:#x}={}", value.escape_ascii()));
        tlvs = after;
    }
    // The order of TLVs has no meaning.
    all.sort();
    all.into_iter().for_each(|tlv| seen.push_str(&tlv));
    seen
}

/// `send-proxy-v2-ssl` and its options: what servers are told of the client's TLS.
#[test]
fn proxy_headers_tell_of_tls() {
    let pki = clients();
    pki.server("rsa", RSA, &["server.test"]);
    let mut wrong = Vec::new();
    let everything =
        "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id";
    for (bind, server, options) in [
        ("ssl crt PKI/server.pem alpn http/1.1", "send-proxy-v2", &["--tlsv1.3"][..]),
        ("ssl crt PKI/server.pem alpn http/1.1", "send-proxy-v2-ssl", &["--tlsv1.3"]),
        ("ssl crt PKI/server.pem", "send-proxy-v2-ssl", &["--no-alpn", "--tls-max", "1.2"]),
        (
            "ssl crt PKI/server.pem verify optional ca-file PKI/ours.crt",
            "send-proxy-v2-ssl-cn",
            &["--no-alpn", "--cert", "good.pem"],
        ),
        (
            "ssl crt PKI/server.pem verify optional ca-file PKI/ours.crt",
            "send-proxy-v2-ssl-cn",
            &["--no-alpn"],
        ),
        (
            "ssl crt PKI/server.pem verify optional ca-file PKI/ours.crt crt-ignore-err all",
            "send-proxy-v2-ssl-cn",
            &["--no-alpn", "--cert", "expired.pem"],
        ),
        ("ssl crt PKI/server.pem alpn http/1.1", everything, &["--tlsv1.3"]),
        (
            "ssl crt PKI/rsa.pem alpn http/1.1 verify required ca-file PKI/ours.crt",
            everything,
            &["--tls-max", "1.2", "--cert", "good.pem"],
        ),
        ("", everything, &[]),
        ("", "send-proxy-v2-ssl-cn", &[]),
    ] {
        same(&format!("{bind} | {server} | {options:?}"), &mut wrong, |program| {
            let address = own_address();
            let listener = bind_soon(|| TcpListener::bind(SocketAddr::new(IpAddr::V4(address), SERVER)));
            let sections = format!(
                "listen f\n    bind ADDR:{FRONT} {bind}\n    unique-id-format id\n    server s ADDR:{SERVER} {server}"
            );
            let _proxy = start(program, &pki, "", &sections, address);
            std::thread::scope(|scope| {
                let header = scope.spawn(|| header(&listener));
                let scheme = if bind.is_empty() { "http" } else { "https" };
                let client = Command::new("curl")
                    .args(["-sk", "--http1.1", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"])
                    .args(["--resolve", &format!("server.test:{FRONT}:{address}")])
                    .args(options)
                    .arg(format!("{scheme}://server.test:{FRONT}/"))
                    .current_dir(pki.dir.path())
                    .output()
                    .unwrap();
                if client.stdout != b"200" {
                    // Nobody waits for a connection that does not come.
                    drop(TcpStream::connect((address, SERVER)));
                    panic!("{program:?} {bind}: {}", String::from_utf8_lossy(&client.stdout));
                }
                header.join().unwrap()
            })
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `mode tcp` with TLS on the client's side, the server's, both: rules see the handshake, bodies come whole both ways.
#[test]
fn tcp_proxies_with_tls_on_either_side() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let body: String = (0..3_000_000_u32).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    std::fs::write(pki.path("body"), &body).unwrap();
    let sections = "frontend in\n    mode tcp\n    bind ADDR:8443 ssl crt PKI/server.pem\n    tcp-request content reject if { ssl_fc_sni refused.test }\n    \
                    use_backend both if { ssl_fc_sni both.test }\n    default_backend plain\n\
                    frontend out\n    mode tcp\n    bind ADDR:8080\n    default_backend both\n\
                    backend plain\n    mode tcp\n    server s ADDR:8090\n\
                    backend both\n    mode tcp\n    server s ADDR:8091 ssl verify none\n\
                    frontend end\n    bind ADDR:8090\n    bind ADDR:8091 ssl crt PKI/server.pem\n    option http-buffer-request\n    \
                    http-request return status 200 content-type text/plain lf-string \"%[ssl_fc],%[req.body_len]\" if METH_POST\n    \
                    http-request return status 200 content-type text/plain file PKI/long";
    std::fs::write(pki.path("long"), &body[..15_000]).unwrap();
    let mut wrong = Vec::new();
    same("mode tcp", &mut wrong, |program| {
        let address = own_address();
        let _proxy = start(program, &pki, "    tune.bufsize 32768", sections, address);
        let dir = pki.dir.path();
        let mut seen = String::new();
        for name in ["one.test", "both.test", "refused.test"] {
            let got = curl(dir, address, name, &[]);
            seen += &format!(
                "{name}: {} bytes of {}, ",
                got.len(),
                got.split(' ').next_back().unwrap_or_default()
            );
            seen += &format!("{}, ", curl(dir, address, name, &["-d", "some body"]));
        }
        let out = Command::new("curl")
            .args(["-s", "--max-time", "20", "-d", "x", &format!("http://{address}:8080/")])
            .output()
            .unwrap();
        seen + &String::from_utf8_lossy(&out.stdout)
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `add ssl crt-list` with options in brackets: the new line's own go before those of the `bind` line.
#[test]
fn lines_added_to_a_list_have_their_options() {
    let pki = Pki::new();
    for name in ["one", "two"] {
        pki.server(name, EC, &[&format!("{name}.test")]);
    }
    let path = |name: &str| pki.path(name).display().to_string();
    let (list, one, two) = (path("list"), path("one.pem"), path("two.pem"));
    std::fs::write(&list, format!("{one} [alpn http/1.1] one.test\n")).unwrap();
    let pem = std::fs::read_to_string(&two).unwrap();
    let socket = pki.path("socket");
    let mut wrong = Vec::new();
    same("lines of a list", &mut wrong, |program| {
        let address = own_address();
        let shown = "%[ssl_f_s_dn(CN)],%[ssl_fc_protocol],%[ssl_fc_alpn]";
        let sections = format!(
            "frontend f\n    bind ADDR:{FRONT} ssl crt-list PKI/list alpn h2,http/1.1\n    http-request return status 200 content-type text/plain lf-string {shown}"
        );
        let _proxy = start(program, &pki, "    stats socket PKI/socket level admin", &sections, address);
        let mut seen = String::new();
        for line in [
            format!("new ssl cert {two}"),
            format!("set ssl cert {two} <<\n{}\n", pem.trim_end()),
            format!("commit ssl cert {two}"),
            format!("add ssl crt-list {list} <<\n{two} [alpn h2 ssl-max-ver TLSv1.2] two.test\n"),
            format!("add ssl crt-list {list} <<\n{two} *.three.test !no.three.test\n"),
            format!("add ssl crt-list {list} <<\n{two} [verify none] four.test\n"),
            format!("show ssl crt-list {list}"),
        ] {
            // haproxy 2.6 shows the NUL behind its list of protocols.
            seen += &ask(&socket, &line).replace('\0', "");
        }
        for name in ["one.test", "two.test", "a.three.test", "no.three.test", "four.test"] {
            seen += &format!("{name}: {}\n", curl(pki.dir.path(), address, name, &["--http2"]));
        }
        seen
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let address = own_address();
    let sections = format!(
        "frontend f\n    bind ADDR:{FRONT} ssl crt-list PKI/list\n    http-request return status 200"
    );
    let _proxy = start(Program::Weir, &pki, "    stats socket PKI/socket level admin", &sections, address);
    for (options, why) in [
        ("[nonsense]", "unknown keyword 'nonsense'"),
        ("[alpn h2", "a '[' without its ']'"),
        ("[verify required]", "verify is enabled but no CA file specified"),
        ("[ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.2]", "no version is left"),
        ("[ca-file nowhere]", "nowhere"),
    ] {
        let said = ask(&socket, &format!("add ssl crt-list {list} <<\n{one} {options} x.test\n"));
        assert!(said.starts_with("Can't edit the crt-list: ") && said.contains(why), "{options}: {said}");
    }
    assert_eq!(
        ask(&socket, &format!("show ssl crt-list {list}")).trim().lines().count(),
        2,
        "nothing was added"
    );
}
