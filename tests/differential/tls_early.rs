//! Early data (`allow-0rtt`). The client is rustls, so that what it says and when it goes on with the
//! handshake is the test's to decide; and `openssl s_client`, as people use it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::tls::{EC, FRONT, Pki};
use super::tls_sessions::{s_client, start};
use crate::harness::eventually;
use crate::harness::origin::{OK, Origin};
use crate::harness::own_address;
use crate::harness::process::Program;

const SERVER: u16 = 8081;
const REQUEST: &[u8] = b"GET /early HTTP/1.1\r\nHost: server.test\r\n\r\n";
/// What rules see before and after they have waited.
const SEEN: &str = "    http-request set-var(txn.before) ssl_fc_has_early\n    WAIT\n    \
                    http-request return status 200 content-type text/plain lf-string seen:%[var(txn.before)],%[ssl_fc_has_early].";

fn pki() -> Pki {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    pki
}

fn client(pki: &Pki, alpn: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(pki.path("server.crt")).unwrap();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_early_data = true;
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Arc::new(config)
}

struct Visit {
    tls: ClientConnection,
    socket: TcpStream,
    /// What was sent before anything was heard.
    first: Vec<u8>,
}

impl Visit {
    /// Says hello and, in the same breath, `early`.
    fn begin(config: &Arc<ClientConfig>, address: Ipv4Addr, early: &[u8]) -> Self {
        let name = ServerName::try_from("server.test").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        if !early.is_empty() {
            tls.early_data().expect("a session to go on with").write_all(early).unwrap();
        }
        let mut first = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut first).unwrap();
        }
        let mut socket = TcpStream::connect((address, FRONT)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(&first).unwrap();
        Self { tls, socket, first }
    }

    /// Hears until `wanted` is there; answers what was heard.
    fn until(&mut self, wanted: &str) -> String {
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(wanted) {
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket).unwrap();
            }
            if self.tls.read_tls(&mut self.socket).expect("an answer in time") == 0 {
                break;
            }
            let Ok(state) = self.tls.process_new_packets() else { break };
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain).unwrap();
            heard.extend_from_slice(&plain);
        }
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A session to go on with.
fn acquaint(config: &Arc<ClientConfig>, address: Ipv4Addr, request: &[u8], answer: &str) {
    let mut visit = Visit::begin(config, address, b"");
    while visit.tls.is_handshaking() {
        while visit.tls.wants_write() {
            visit.tls.write_tls(&mut visit.socket).unwrap();
        }
        visit.tls.read_tls(&mut visit.socket).unwrap();
        visit.tls.process_new_packets().unwrap();
    }
    visit.tls.writer().write_all(request).unwrap();
    assert!(visit.until(answer).contains(answer), "{answer}");
}

/// The part between `seen:` and the point.
fn seen(heard: &str) -> &str {
    let from = heard.find("seen:").map_or(heard, |at| &heard[at..]);
    from.split('.').next().unwrap_or_default()
}

/// haproxy 2.6 (with OpenSSL 3.0) takes early data and lets rules run when the handshake is done: it never shows them as
/// early. What clients see of it else is the same.
#[test]
fn early_requests_are_told_and_may_wait() {
    let pki = pki();
    let observe = |program: Program, options: &str, wait: &str| {
        let address = own_address();
        let sections = format!(
            "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem alpn http/1.1 {options}\n{}",
            SEEN.replace("WAIT", wait)
        );
        let _proxy = start(program, &pki, "", &sections, address);
        let config = client(&pki, "http/1.1");
        acquaint(&config, address, REQUEST, "seen:0,0.");
        if options.is_empty() {
            let name = ServerName::try_from("server.test").unwrap();
            let mut tls = ClientConnection::new(Arc::clone(&config), name).unwrap();
            return format!("{}", tls.early_data().is_some());
        }
        let mut visit = Visit::begin(&config, address, REQUEST);
        let heard = visit.until("seen:");
        // The connection goes on as any other.
        visit.tls.writer().write_all(REQUEST).unwrap();
        let later = visit.until("seen:");
        format!("{} {} {}", seen(&heard), seen(&later), visit.tls.is_early_data_accepted())
    };
    let waits = "http-request wait-for-handshake";
    let if_early = "http-request wait-for-handshake if { ssl_fc_has_early }";
    for (options, wait, theirs, ours) in [
        ("allow-0rtt", "", "seen:0,0 seen:0,0 true", "seen:1,1 seen:0,0 true"),
        ("allow-0rtt", waits, "seen:0,0 seen:0,0 true", "seen:1,0 seen:0,0 true"),
        ("allow-0rtt", if_early, "seen:0,0 seen:0,0 true", "seen:1,0 seen:0,0 true"),
        ("", "", "false", "false"),
    ] {
        assert_eq!(observe(Program::HaProxy, options, wait), theirs, "haproxy: {options} {wait}");
        assert_eq!(observe(Program::Weir, options, wait), ours, "weir: {options} {wait}");
    }
}

#[test]
fn servers_are_told_and_nobody_is_heard_twice() {
    let pki = pki();
    let address = own_address();
    let origin = Origin::start(SocketAddr::new(address.into(), SERVER), &[OK]);
    let sections = format!(
        "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem alpn http/1.1 allow-0rtt\n    default_backend b\n\
         backend b\n    http-request wait-for-handshake if {{ path /slow }}\n    server s ADDR:{SERVER}\n"
    );
    let _proxy = start(Program::Weir, &pki, "", &sections, address);
    let config = client(&pki, "http/1.1");
    acquaint(&config, address, REQUEST, "ok");

    // Before anything is heard of the client's side of the handshake, the server has the request.
    let mut visit = Visit::begin(&config, address, REQUEST);
    assert!(eventually(|| origin.seen().len() == 2), "{:?}", origin.seen());
    assert!(visit.until("ok").contains("200 OK"));
    assert!(visit.tls.is_early_data_accepted());
    visit.tls.writer().write_all(REQUEST).unwrap();
    assert!(visit.until("ok").contains("200 OK"));
    let told: Vec<bool> = origin.seen().iter().map(|r| r.contains("early-data: 1\r\n")).collect();
    assert_eq!(told, [false, true, false], "{:?}", origin.seen());

    // Somebody plays the same bytes again: what is early in them is not heard, and the handshake cannot be finished.
    let mut player = TcpStream::connect((address, FRONT)).unwrap();
    player.write_all(&visit.first).unwrap();
    let mut hello = [0; 5];
    player.read_exact(&mut hello).unwrap();
    player.shutdown(std::net::Shutdown::Write).unwrap();
    let _all = player.read_to_end(&mut Vec::new());
    assert_eq!(origin.seen().len(), 3, "{:?}", origin.seen());

    // Who waits is not let through before the handshake is done, nor when the client is gone before that.
    let slow = String::from_utf8_lossy(REQUEST).replace("/early", "/slow");
    drop(Visit::begin(&config, address, slow.as_bytes()));
    let mut visit = Visit::begin(&config, address, slow.as_bytes());
    assert!(visit.until("ok").contains("200 OK"));
    let slow: Vec<String> = origin.seen().into_iter().filter(|r| r.contains("/slow")).collect();
    assert!(slow.len() == 1 && !slow[0].contains("early-data"), "{slow:?}");
}

/// A request with a body that comes partly early, and a stream of HTTP/2 that waits.
#[test]
fn bodies_and_streams() {
    let pki = pki();
    let address = own_address();
    let front = |port: u16, alpn: &str, rules: &str| {
        format!(
            "frontend f{port}\n    bind ADDR:{port} ssl crt PKI/server.pem alpn {alpn} allow-0rtt\n{rules}\n"
        )
    };
    let waits = SEEN.replace("WAIT", "http-request wait-for-handshake");
    let echo = "    http-request wait-for-body time 10s\n    http-request return status 200 content-type text/plain lf-string seen:%[req.body].";
    {
        let _proxy = start(Program::Weir, &pki, "", &front(FRONT, "http/1.1", echo), address);
        let config = client(&pki, "http/1.1");
        let post = |body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n{body}");
        acquaint(&config, address, post("abcdef").as_bytes(), "seen:abcdef.");
        let mut visit = Visit::begin(&config, address, post("uvw").as_bytes());
        visit.tls.writer().write_all(b"xyz").unwrap();
        assert_eq!(seen(&visit.until("seen:")), "seen:uvwxyz");
        assert!(visit.tls.is_early_data_accepted());
    }
    let address = own_address();
    let _proxy = start(Program::Weir, &pki, "", &front(FRONT, "h2", &waits), address);
    let config = client(&pki, "h2");
    // SETTINGS, then HEADERS of stream 1: GET https x /
    let frames = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'x'],
    ]
    .concat();
    acquaint(&config, address, &frames, "seen:0,0.");
    let mut visit = Visit::begin(&config, address, &frames);
    assert_eq!(seen(&visit.until("seen:")), "seen:1,0");
    assert!(visit.tls.is_early_data_accepted());
}

#[test]
fn as_openssl_does_it() {
    let pki = pki();
    let address = own_address();
    let sections = format!(
        "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/server.pem alpn http/1.1 allow-0rtt\n    http-request wait-for-handshake\n    \
         http-request return status 200"
    );
    let _proxy = start(Program::Weir, &pki, "", &sections, address);
    let close = "GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n";
    std::fs::write(pki.path("early"), close).unwrap();
    let dir = pki.dir.path();
    let first = s_client(dir, address, "-tls1_3 -alpn http/1.1 -sess_out session", close);
    assert!(first.contains("Max Early Data: 15360"), "{first}");
    let second = s_client(dir, address, "-tls1_3 -alpn http/1.1 -sess_in session -early_data early", "");
    assert!(second.contains("Early data was accepted") && second.contains("HTTP/1.1 200"), "{second}");
    // The same session, once more: it was given out.
    let third = s_client(dir, address, "-tls1_3 -alpn http/1.1 -sess_in session -early_data early", close);
    assert!(third.contains("Early data was rejected") && third.contains("HTTP/1.1 200"), "{third}");
}

#[test]
fn what_does_not_go_with_it_is_said() {
    let pki = pki();
    let dir = pki.dir.path().display().to_string();
    std::fs::write(pki.path("keys"), format!("{}\n", "A".repeat(64)).repeat(3)).unwrap();
    let check = |global: &str, bind: &str, code: i32, said: &str| {
        let config = format!(
            "global\n    {global}\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n\
             frontend f\n    bind 127.0.0.1:1 ssl crt {dir}/server.pem allow-0rtt {bind}\n    http-request return status 200\n\
             backend b\n    server s 127.0.0.1:1 SERVER\n"
        );
        let (server, bind) = if bind == "server" { ("ssl verify none allow-0rtt", "") } else { ("", bind) };
        let config =
            config.replace("SERVER", server).replace("allow-0rtt server", &format!("allow-0rtt {bind}"));
        let (status, output) = Program::Weir.check(&config);
        assert!(status == Some(code) && output.contains(said), "{global} {bind}: {output}");
    };
    check("", "", 0, "");
    check("tune.ssl.cachesize 0", "", 0, "'allow-0rtt' has no effect");
    check(
        "",
        &format!("tls-ticket-keys {dir}/keys"),
        0,
        "'tls-ticket-keys' has no effect beside 'allow-0rtt'",
    );
    check("", "server", 1, "'allow-0rtt' is not supported by weir yet");
}
