//! Settings of TLS that are seen in what comes over the wire, or in what is loaded: beside haproxy.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::tls::{Case, EC, FRONT, FUTURE, PAST, Pki, RSA, curl};
use super::tls_sessions::{CLOSE, s_client, start};
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};

const SHOWN: &str =
    "http-request return status 200 content-type text/plain lf-string %[ssl_f_s_dn(CN)],%[ssl_fc_protocol]";

#[test]
fn what_a_line_takes_back() {
    let pki = Pki::new();
    pki.server("server", RSA, &["server.test"]);
    let any: &[&str] = &[];
    let old: &[&str] = &["--tls-max", "1.2"];
    let [p256, x25519] = ["P-256", "X25519"].map(|curve| ["--curves", curve]);
    let visits = [
        ("server.test", any),
        ("other.test", any),
        ("server.test", old),
        ("server.test", &p256),
        ("server.test", &x25519),
    ];
    let mut wrong = Vec::new();
    for (global, bind) in [
        ("", "ecdhe P-256"),
        ("", "ecdhe X25519"),
        ("", "no-tlsv12"),
        ("", "no-tlsv11 no-tlsv10 no-sslv3"),
        ("    ssl-default-bind-options no-tlsv12", ""),
    ] {
        let bind = format!("crt PKI/server.pem alpn http/1.1 {bind}");
        wrong.extend(Case { pki: &pki, bind: &bind, front: SHOWN, global }.compare(&visits).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where nothing is said it is the cheapest of TLS 1.3 that the client has.
#[test]
fn which_suite_is_preferred() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let address: Ipv4Addr = own_address();
    let text = format!(
        "defaults\n    mode http\n    timeout client 20s\nfrontend f\n    bind {address}:{FRONT} ssl crt PKI/server.pem alpn http/1.1\n    \
         http-request return status 200 content-type text/plain lf-string %[ssl_fc_cipher]\n"
    );
    let text = text.replace("PKI", &pki.dir.path().to_string_lossy());
    let _proxy = Proxy::start(Program::Weir, &text, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    let [small, large, chacha] =
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    for (offered, chosen) in
        [([large, chacha, small].as_slice(), small), (&[chacha, large], large), (&[chacha], chacha)]
    {
        let options = ["--tls13-ciphers", &offered.join(":")];
        assert_eq!(curl(pki.dir.path(), address, "server.test", &options), format!("{chosen} | 200 0"));
    }
}

/// Words that haproxy 2.6 has not.
#[test]
fn strictness_is_taken_back() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let visits: [(&str, &[&str]); 2] = [("server.test", &[]), ("other.test", &[])];
    let strict = "    ssl-default-bind-options strict-sni";
    for (global, option, other) in [
        (strict, "", "refused"),
        (strict, "no-strict-sni", "server.pki,TLSv1.3 | 200 0"),
        ("", "strict-sni no-strict-sni", "server.pki,TLSv1.3 | 200 0"),
    ] {
        let bind = format!("crt PKI/server.pem alpn http/1.1 {option}");
        let seen = Case { pki: &pki, bind: &bind, front: SHOWN, global }.observe(Program::Weir, &visits);
        assert_eq!(seen[0], "server.test : server.pki,TLSv1.3 | 200 0", "{global} {option}");
        assert_eq!(seen[1], format!("other.test : {other}"), "{global} {option}");
    }
}

/// Beside `two.crt` the key is looked for as `two.crt.key`, or as `two.key`.
#[test]
fn files_beside_a_certificate() {
    let pki = Pki::new();
    for (name, key) in [("one", "one.crt.key"), ("two", "two.key")] {
        pki.server(name, EC, &[&format!("{name}.test")]);
        let pem = std::fs::read_to_string(pki.path(&format!("{name}.pem"))).unwrap();
        let at = pem.find("-----BEGIN PRIVATE").unwrap();
        std::fs::write(pki.path(key), &pem[at..]).unwrap();
    }
    let visits: [(&str, &[&str]); 2] = [("one.test", &[]), ("two.test", &[])];
    let mut wrong = Vec::new();
    for (global, name) in [("", "one"), ("    ssl-load-extra-del-ext", "two")] {
        let bind = format!("crt PKI/{name}.crt alpn http/1.1");
        wrong.extend(Case { pki: &pki, bind: &bind, front: SHOWN, global }.compare(&visits).err());
    }
    // The other way about there is no key.
    for (global, name) in
        [("", "two"), ("ssl-load-extra-del-ext", "one"), ("ssl-load-extra-files none", "one")]
    {
        let text = format!(
            "global\n    {global}\nfrontend f\n    mode http\n    timeout client 1s\n    bind :1 ssl crt PKI/{name}.crt\n"
        );
        let text = text.replace("PKI", &pki.dir.path().to_string_lossy());
        for program in [Program::HaProxy, Program::Weir] {
            let (code, said) = program.check(&text);
            assert!(code == Some(1) && said.contains("No Private Key found"), "{program:?} {global}: {said}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A socket that notes how long the records with traffic are that come over it.
struct Noting {
    socket: TcpStream,
    all: Vec<u8>,
}

impl Read for Noting {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.socket.read(buf)?;
        self.all.extend_from_slice(&buf[..n]);
        Ok(n)
    }
}

impl Write for Noting {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Noting {
    /// RFC 8446 5.1: type, version, length.
    fn longest(&self) -> usize {
        let (mut rest, mut longest) = (self.all.as_slice(), 0);
        while let [kind, _, _, high, low, more @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if *kind == 23 {
                longest = longest.max(length);
            }
            rest = more.get(length..).unwrap_or_default();
        }
        longest
    }
}

#[test]
fn how_long_records_are() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    std::fs::write(pki.path("body"), vec![b'x'; 12_000]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(pki.path("server.crt")).unwrap()).unwrap();
    let mut tls13 = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls13.resumption = rustls::client::Resumption::disabled();
    let tls13 = Arc::new(tls13);
    let seen = |program: Program, global: &str| {
        let address: Ipv4Addr = own_address();
        let text = format!(
            "global\n    nbthread 1\n    {global}\ndefaults\n    mode http\n    timeout client 20s\nfrontend f\n    \
             bind {address}:{FRONT} ssl crt PKI/server.pem alpn http/1.1\n    http-request return status 200 content-type text/plain file PKI/body\n"
        );
        let text = text.replace("PKI", &pki.dir.path().to_string_lossy());
        let _proxy =
            Proxy::start(program, &text, address, &[FRONT]).unwrap_or_else(|e| panic!("{program:?}: {e}"));
        let socket = TcpStream::connect(SocketAddr::new(address.into(), FRONT)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("server.test").unwrap();
        let session = ClientConnection::new(Arc::clone(&tls13), name).unwrap();
        let mut tls = StreamOwned::new(session, Noting { socket, all: Vec::new() });
        tls.write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut body = Vec::new();
        tls.read_to_end(&mut body).unwrap();
        assert!(body.ends_with(&[b'x'; 12_000]), "{program:?}: {} bytes", body.len());
        tls.sock.longest()
    };
    for (global, limit) in [
        ("tune.ssl.maxrecord 1000", Some(1000)),
        ("tune.ssl.hard-maxrecord 1500", Some(1500)),
        ("tune.ssl.hard-maxrecord 1500\n    tune.ssl.maxrecord 1200", Some(1200)),
        ("tune.ssl.maxrecord 0", None),
        ("", None),
    ] {
        let longest = seen(Program::Weir, global);
        match limit {
            // What a record has in clear, then its type and the 16 bytes that seal it.
            Some(limit) => assert_eq!(longest, limit + 17, "{global}"),
            None => assert!(longest > 12_000, "{global}: {longest}"),
        }
        // HAProxy 2.6 does not know the one with 'hard'.
        if !global.contains("hard") && limit.is_some() {
            assert_eq!(seen(Program::HaProxy, global), longest, "{global}");
        }
    }
}

#[test]
fn what_cannot_be_had_is_said() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let check = |global: &str, bind: &str, code: i32, expected: &str| {
        let text = format!(
            "global\n    {global}\nfrontend f\n    mode http\n    timeout client 1s\n    bind :1 ssl crt {} {bind}\n",
            pki.path("server.pem").display()
        );
        let (status, said) = Program::Weir.check(&text);
        assert!(status == Some(code) && said.contains(expected), "{global} {bind}: {status:?} {said}");
    };
    for option in ["force-sslv3", "force-tlsv10", "force-tlsv11", "no-tlsv12 no-tlsv13"] {
        check("", option, 1, "no version is left that weir speaks (TLSv1.2, TLSv1.3)");
    }
    check("ssl-security-level 3", "", 0, "weir keeps level 2");
    check("tune.ssl.maxrecord 16385", "", 1, "tune.ssl.maxrecord");
    check("", "generate-certificates", 1, "not supported by weir yet");
}

/// What stands above a certificate in its file is shown, but for authorities that have signed themselves if so asked.
#[test]
fn authorities_that_are_not_shown() {
    let pki = Pki::new();
    pki.authority("ours");
    for (name, above) in [("between", "ours"), ("near", "ours"), ("far", "between")] {
        pki.client(name, above, &format!("/CN={name}.test"), [PAST, FUTURE]);
    }
    pki.join(&["near.crt", "near.key", "ours.crt"], "near.pem");
    pki.join(&["far.crt", "far.key", "between.crt", "ours.crt"], "far.pem");
    let shown = |program: Program, global: &str, name: &str| {
        let address: Ipv4Addr = own_address();
        let sections = format!(
            "frontend f\n    bind ADDR:{FRONT} ssl crt PKI/{name}.pem\n    http-request return status 200"
        );
        let _proxy = start(program, &pki, global, &sections, address);
        let said = s_client(pki.dir.path(), address, "-showcerts", CLOSE);
        let subjects = said.lines().filter_map(|line| line.trim().split_once(" s:"));
        subjects.map(|(_, subject)| subject.to_owned()).collect::<Vec<_>>().join(" < ")
    };
    for (name, all, without) in [
        ("near", "CN = near.test < C = FR, O = Test, CN = ours", "CN = near.test"),
        (
            "far",
            "CN = far.test < CN = between.test < C = FR, O = Test, CN = ours",
            "CN = far.test < CN = between.test",
        ),
    ] {
        for program in [Program::HaProxy, Program::Weir] {
            assert_eq!(shown(program, "", name), all, "{program:?} {name}");
            assert_eq!(shown(program, "    ssl-skip-self-issued-ca", name), without, "{program:?} {name}");
        }
    }
}
