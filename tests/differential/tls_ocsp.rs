//! OCSP responses that are kept fresh (`ocsp-update`), which haproxy 2.6 has not. The responder is `openssl ocsp`, behind
//! a relay of the test's own that counts what it is asked and can be out of order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::tls::{FRONT, FUTURE, LOG, PAST, Pki, curl};
use super::tls_sessions::{CLOSE, s_client};
use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;
use crate::harness::{ask, eventually, own_address};

const LIMIT: Duration = Duration::from_secs(20);

/// What becomes of a question.
#[derive(Clone)]
enum Manner {
    /// Goes to the responder at this port.
    To(u16),
    /// Is answered with this.
    Answer(Vec<u8>),
    /// Is never answered.
    Silence,
}

/// Where certificates say to ask. The thread ends with the test's process.
struct Relay {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { port, manner: Arc::new(Mutex::new(Manner::Silence)), asked: Arc::default() };
        let (manner, asked) = (Arc::clone(&relay.manner), Arc::clone(&relay.asked));
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let Some(head) = head(&mut client) else { continue };
                asked.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
                let manner = manner.lock().unwrap().clone();
                match manner {
                    Manner::To(port) => {
                        let mut responder = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                        responder.write_all(head.as_bytes()).unwrap();
                        let _ended = std::io::copy(&mut responder, &mut client);
                    }
                    Manner::Answer(bytes) => client.write_all(&bytes).unwrap(),
                    Manner::Silence => silent.push(client),
                }
            }
        });
        relay
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A request without a body.
fn head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// `openssl ocsp`, which signs as `signer`, on a port of the kernel's choice.
struct Responder(Child, u16);

impl Responder {
    fn start(pki: &Pki, signer: &str) -> Self {
        let mut child = Command::new("openssl")
            .args("ocsp -index index.txt -CA ours.crt -port 0 -ndays 2".split(' '))
            .args(["-rsigner", &format!("{signer}.crt"), "-rkey", &format!("{signer}.key")])
            .current_dir(pki.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        // `ACCEPT [::]:42373 PID=16086`
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(' ').nth(1).and_then(|at| at.rsplit(':').next());
        let port = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        Self(child, port)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `NAME.pem` whose responder is at `uri`, with its chain; and what else its extensions say.
fn certificate(pki: &Pki, name: &str, uri: &str, more: &str) {
    let settings = std::fs::read_to_string(pki.path("ca.cnf")).unwrap();
    let said = format!("authorityInfoAccess = OCSP;URI:{uri}\n{more}\n");
    let settings = settings.replace("CA:FALSE\n", &format!("CA:FALSE\n{said}"));
    let plain = std::fs::read(pki.path("ca.cnf")).unwrap();
    std::fs::write(pki.path("ca.cnf"), settings).unwrap();
    pki.client(name, "ours", &format!("/CN={name}.test"), [PAST, FUTURE]);
    std::fs::write(pki.path("ca.cnf"), plain).unwrap();
    pki.join(&[&format!("{name}.crt"), &format!("{name}.key"), "ours.crt"], &format!("{name}.pem"));
}

fn pki(relay: &Relay) -> Pki {
    let pki = Pki::new();
    pki.authority("ours");
    // A name, for the resolver to be asked.
    certificate(&pki, "one", &format!("http://localhost:{}/", relay.port), "");
    pki
}

fn start(pki: &Pki, global: &str, list: &str, address: Ipv4Addr) -> (Proxy, Syslog) {
    let syslog = Syslog::start(SocketAddr::new(address.into(), LOG));
    let dir = pki.dir.path().display().to_string();
    std::fs::write(pki.path("list"), list.replace("PKI", &dir)).unwrap();
    let config = format!(
        "global\n    stats socket {dir}/socket level admin\n    log {address}:{LOG} local0\n    nbthread 1\n{global}\n\
         defaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    timeout server 20s\n\
         frontend f\n    bind {address}:{FRONT} ssl crt-list {dir}/list\n    http-request return status 200\n"
    );
    let proxy = Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    (proxy, syslog)
}

/// What a client is told of the certificate: `good`, `revoked`, or nothing.
fn status(pki: &Pki, address: Ipv4Addr) -> String {
    let seen = s_client(pki.dir.path(), address, "-status", CLOSE);
    let line = seen.lines().find(|l| l.contains("Cert Status")).unwrap_or("none");
    line.trim().trim_start_matches("Cert Status: ").to_owned()
}

/// The rest of the line that says how an update went.
fn told(syslog: &Syslog, text: &str) -> String {
    let line = syslog.wait_for(text, LIMIT).unwrap_or_else(|| panic!("no {text}"));
    line.split_once("<OCSP-UPDATE> ").map_or(line.clone(), |(_, rest)| rest.trim_end().to_owned())
}

#[test]
fn responses_are_fetched_and_stapled() {
    let relay = Relay::start();
    let pki = pki(&relay);
    let responder = Responder::start(&pki, "ours");
    relay.set(Manner::To(responder.1));
    let address = own_address();
    let (proxy, syslog) = start(&pki, "", "PKI/one.pem [ocsp-update on]\n", address);
    let (one, socket) = (pki.path("one.pem").display().to_string(), pki.path("socket"));
    assert_eq!(told(&syslog, "Update successful"), format!("{one} 1 \"Update successful\" 0 1"));
    assert_eq!(status(&pki, address), "good");
    assert!(relay.asked()[0].starts_with("GET /MF"), "{:?}", relay.asked());

    // An hour later; then the administrator wants it at once.
    let updates = ask(&socket, "show ssl ocsp-updates");
    let row: Vec<&str> = updates.lines().nth(1).unwrap_or_default().split(" | ").collect();
    assert!(updates.starts_with("OCSP Certid | Path | Next Update | Last Update | Successes | Failures | "));
    assert_eq!((row[1], &row[4..]), (one.as_str(), &["1", "0", "1", "Update successful"][..]), "{updates}");
    let listed = ask(&socket, "show ssl ocsp-response");
    assert!(listed.contains(&format!("Certificate ID key : {}\nCertificate path : {one}\n", row[0])));
    assert!(ask(&socket, &format!("show ssl ocsp-response text {one}")).contains("Cert Status: good"));
    let base64 = ask(&socket, &format!("show ssl ocsp-response base64 {}", row[0]));
    std::fs::write(pki.path("base64"), base64.trim()).unwrap();
    pki.openssl("base64 -d -A -in base64 -out shown");
    pki.openssl("ocsp -respin shown -CAfile ours.crt -issuer ours.crt -cert one.crt");
    pki.openssl("ca -config ca.cnf -name ca -keyfile ours.key -cert ours.crt -revoke one.crt");
    let second = Responder::start(&pki, "ours");
    relay.set(Manner::To(second.1));
    assert_eq!(ask(&socket, &format!("update ssl ocsp-response {one}")).trim(), "");
    assert_eq!(told(&syslog, "Update successful"), format!("{one} 1 \"Update successful\" 0 2"));
    assert_eq!(status(&pki, address), "revoked");

    // Another certificate in its place has a response of its own, soon.
    certificate(&pki, "two", &format!("http://127.0.0.1:{}", relay.port), "");
    let third = Responder::start(&pki, "ours");
    relay.set(Manner::To(third.1));
    let pem = std::fs::read_to_string(pki.path("two.pem")).unwrap();
    // The file's own newline and the line's end the payload; weir closes behind it.
    ask(&socket, &format!("set ssl cert {one} <<\n{pem}"));
    assert!(ask(&socket, &format!("commit ssl cert {one}")).contains("Success!"));
    assert_eq!(told(&syslog, "Update successful"), format!("{one} 1 \"Update successful\" 0 1"));
    assert_eq!(status(&pki, address), "good");

    // A reload keeps what was fetched, and asks nobody again.
    std::fs::copy(pki.path("two.pem"), pki.path("one.pem")).unwrap();
    let asked = relay.asked().len();
    assert!(ask(&socket, "reload").contains("Success=1"));
    assert_eq!(status(&pki, address), "good");
    assert!(ask(&socket, "show ssl ocsp-updates").contains("| 1 | 0 | 1 | Update successful"));
    assert_eq!(relay.asked().len(), asked);
    drop(proxy);
}

fn answer(status: &str, kind: &str, body: &[u8]) -> Manner {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    Manner::Answer([head.as_bytes(), body].concat())
}

#[test]
fn what_goes_wrong_is_told_and_tried_again() {
    const KIND: &str = "application/ocsp-response";
    let relay = Relay::start();
    let pki = pki(&relay);
    pki.authority("other");
    certificate(&pki, "two", "http://127.0.0.1:1/", "");
    let respond = |about: &str, signer: &str, more: &str, file: &str| {
        pki.openssl(&format!(
            "ocsp -index index.txt -CA ours.crt -rsigner {signer}.crt -rkey {signer}.key -issuer ours.crt -cert {about}.crt {more} -respout {file}"
        ));
        std::fs::read(pki.path(file)).unwrap()
    };
    let address = own_address();
    relay.set(answer("500 Oops", KIND, b""));
    let global = "    ocsp-update.mindelay 0\n    ocsp-update.maxdelay 1\n    ocsp-update.mode on";
    let (proxy, syslog) = start(&pki, global, "PKI/one.pem\n", address);
    let one = pki.path("one.pem").display().to_string();
    let next = |text: &str| {
        let line = told(&syslog, text);
        let words =
            line.trim_start_matches(&one).rsplitn(3, ' ').nth(2).unwrap_or_default().trim().to_owned();
        syslog.drain();
        words
    };
    assert_eq!(next("HTTP error"), "2 \"HTTP error (status 500)\"");
    relay.set(answer("200 OK", "text/html", b"hello"));
    assert_eq!(next("header"), "3 \"Missing \"ocsp-response\" header (Content-Type is 'text/html')\"");
    relay.set(answer("200 OK", KIND, &[0x30, 3, 10, 1, 6]));
    assert_eq!(
        next("not successful"),
        "4 \"OCSP response check failure (OCSP response not successful (6))\""
    );
    relay.set(answer("200 OK", KIND, &respond("one", "other", "-ndays 2", "stranger")));
    let said = next("authorized");
    assert!(said.starts_with("4 \"OCSP response check failure (it is signed by nobody"), "{said}");
    // One bit of what is signed.
    let mut bent = respond("one", "ours", "-ndays 2", "bent");
    let at = bent.windows(2).position(|pair| pair == [0x18, 0x0f]).unwrap();
    bent[at + 2] ^= 1;
    relay.set(answer("200 OK", KIND, &bent));
    assert_eq!(next("signature"), "4 \"OCSP response check failure (the signature is wrong)\"");
    relay.set(answer("200 OK", KIND, &respond("two", "ours", "-ndays 2", "another")));
    assert!(
        next("does not match").starts_with("5 \"Error during insertion (OCSP single response: Certificate")
    );
    relay.set(answer("200 OK", KIND, &respond("one", "ours", "", "endless")));
    assert!(next("nextupdate").contains("missing nextupdate"));
    assert_eq!(status(&pki, address), "none");
    // Who is certified to sign responses may; who is not, may not.
    certificate(&pki, "delegate", "http://127.0.0.1:1/", "extendedKeyUsage = OCSPSigning");
    relay.set(answer("200 OK", KIND, &respond("one", "two", "-ndays 2", "usurper")));
    assert!(next("authorized").contains("signed by nobody"));
    relay.set(answer("200 OK", KIND, &respond("one", "delegate", "-ndays 2", "delegated")));
    assert_eq!(next("Update successful"), "1 \"Update successful\"");
    assert_eq!(status(&pki, address), "good");
    // The last good one stays while nothing better comes.
    relay.set(answer("404 Gone", KIND, b""));
    assert_eq!(next("HTTP error"), "2 \"HTTP error (status 404)\"");
    assert_eq!(status(&pki, address), "good");
    drop(proxy);
}

#[test]
fn clients_are_served_while_a_responder_is_silent() {
    let relay = Relay::start();
    let pki = pki(&relay);
    let address = own_address();
    // By way of a proxy, the whole address is asked for.
    let global = format!("    ocsp-update.httpproxy 127.0.0.1:{}", relay.port);
    certificate(&pki, "far", "http://responder.test/ocsp", "");
    let (proxy, _syslog) = start(&pki, &global, "PKI/far.pem [ocsp-update on]\n", address);
    assert!(eventually(|| !relay.asked().is_empty()));
    assert!(relay.asked()[0].starts_with("GET http://responder.test/ocsp/MF"), "{:?}", relay.asked());
    assert!(curl(pki.dir.path(), address, "far.test", &[]).contains("200"));
    assert!(ask(&pki.path("socket"), "show ssl ocsp-updates").contains("| 0 | 0 | 0 | Unknown"));
    drop(proxy);
}

#[test]
fn who_is_not_asked() {
    let relay = Relay::start();
    let pki = pki(&relay);
    let (one, socket) = (pki.path("one.pem").display().to_string(), pki.path("socket"));
    for (global, list) in [
        ("    ocsp-update.disable on\n    ocsp-update.mode on", "PKI/one.pem [ocsp-update on]\n"),
        ("    ocsp-update.mode on", "PKI/one.pem [ocsp-update off]\n"),
        ("", "PKI/one.pem\n"),
    ] {
        let address = own_address();
        let (proxy, _syslog) = start(&pki, global, list, address);
        assert_eq!(ask(&socket, "show ssl ocsp-updates").trim().lines().count(), 1, "{global} {list}");
        let refused = ask(&socket, &format!("update ssl ocsp-response {one}"));
        assert!(refused.contains("only works on certificates that already have a known OCSP response."));
        assert!(refused.contains(&format!("Can't send ocsp request for {one}!")));
        assert!(ask(&socket, "update ssl ocsp-response x").contains("Unknown certificate!"));
        assert!(ask(&socket, "update ssl ocsp-response").contains("expects a filename"));
        drop(proxy);
    }
    assert_eq!(relay.asked(), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_said() {
    let relay = Relay::start();
    let pki = pki(&relay);
    let dir = pki.dir.path().display().to_string();
    pki.join(&["one.crt", "one.key"], "alone.pem");
    pki.client("plain", "ours", "/CN=plain.test", [PAST, FUTURE]);
    let check = |global: &str, list: &str, bind: &str, stores: &str, said: &str| {
        std::fs::write(pki.path("list"), list.replace("PKI", &dir)).unwrap();
        let config = format!(
            "global\n    {global}\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n\
             {stores}\nfrontend f\n    bind 127.0.0.1:1 ssl {bind}\n    http-request return status 200\n"
        );
        let (code, output) = Program::Weir.check(&config.replace("PKI", &dir));
        let expected = if said.is_empty() { Some(0) } else { Some(1) };
        assert!(code == expected && output.contains(said), "{global} {list} {bind} {stores}: {output}");
    };
    let (on, off) = ("PKI/one.pem [ocsp-update on] a\n", "PKI/one.pem [ocsp-update off] b\n");
    let differ = "incompatible parameters: 'ocsp-update' was";
    check("", on, "crt-list PKI/list", "", "");
    check("", &format!("{on}{off}"), "crt-list PKI/list", "", differ);
    check("", &format!("{on}PKI/one.pem b\n"), "crt-list PKI/list", "", differ);
    check("", on, "crt PKI/one.pem crt-list PKI/list", "", differ);
    check("ocsp-update.mode on", on, "crt PKI/one.pem crt-list PKI/list", "", "");
    check("ocsp-update.mode on", off, "crt PKI/one.pem crt-list PKI/list", "", differ);
    check(
        "ocsp-update.mode on\n    ocsp-update.disable on",
        off,
        "crt PKI/one.pem crt-list PKI/list",
        "",
        "",
    );
    let store = "crt-store\n    load crt PKI/one.pem ocsp-update on alias one\n";
    check("", "", "crt @/one", store, "");
    check("", "@/one [ocsp-update on]\n", "crt-list PKI/list", store, "");
    check("", "@/one [ocsp-update off]\n", "crt-list PKI/list", store, differ);
    check("", "", "crt @/one", &store.replace("update on", "update maybe"), "expecting <on|off>");
    check("", &on.replace("on]", "maybe]"), "crt-list PKI/list", "", "expecting <on|off>");
    // Without its issuer nobody can ask about a certificate; one without a responder is passed over.
    let nobody = "has an OCSP auto-update set to 'on' but an error occurred";
    check("", "PKI/alone.pem [ocsp-update on]\n", "crt-list PKI/list", "", nobody);
    check("ocsp-update.mode on", "", "crt PKI/plain.pem", "", "");
    check("", "", "crt PKI/one.pem ocsp-update on", "", "'ocsp-update' is no option of 'bind' lines.");
    for (global, said) in [
        ("ocsp-update.mode perhaps", "expecting <on|off>"),
        ("ocsp-update.disable", "expecting <on|off>"),
        ("ocsp-update.maxdelay 299", "can not be lower than"),
        ("tune.ssl.ocsp-update.mindelay 3601", "can not be higher than"),
        ("ocsp-update.mindelay x", "'x'"),
        ("ocsp-update.httpproxy a:b", "ocsp-update.httpproxy"),
    ] {
        check(global, "", "crt PKI/one.pem", "", said);
    }
}
