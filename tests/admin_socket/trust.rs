//! Authorities and revocation lists exchanged while they are in use: the transcript beside haproxy's, and who is let in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::certificates::{authority, leaf, revocation_list, revoke};
use crate::harness::client::Client;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{PORT, Rig, compare_answers_masked};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

/// `ca` has signed `shown`, `one` and `gone`, `other` has signed `two`. `ca.crl` knows that `gone` is revoked, `none.crl`
/// does not; `other.crl` is the other authority's.
fn pki() -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    let at = dir.path();
    for name in ["ca", "other"] {
        authority(at, name);
        revocation_list(at, name);
    }
    std::fs::copy(at.join("ca.crl"), at.join("none.crl")).unwrap();
    leaf(at, "ca", "shown", &["same.example"]);
    for (authority, name) in [("ca", "one"), ("ca", "gone"), ("other", "two")] {
        leaf(at, authority, name, &[]);
    }
    revoke(at, "ca", "gone");
    revocation_list(at, "ca");
    std::fs::copy(at.join("none.crl"), at.join("used.crl")).unwrap();
    std::fs::copy(at.join("ca.pem"), at.join("used.pem")).unwrap();
    std::fs::write(at.join("both.pem"), read(at, "ca.pem") + &read(at, "other.pem")).unwrap();
    std::fs::write(at.join("both.crl"), read(at, "ca.crl") + &read(at, "other.crl")).unwrap();
    dir
}

fn command(verb: &str, name: &str, contents: &str) -> String {
    format!("{verb} {name} <<\n{}\n", contents.trim_end())
}

/// HAProxy always has the system's authorities, for requests of its own.
fn without_system(answer: &str) -> String {
    answer.split_inclusive('\n').filter(|line| !line.starts_with("@system-ca")).collect()
}

#[test]
fn transcript() {
    let dir = pki();
    let at = dir.path();
    let path = |name: &str| at.join(name).display().to_string();
    let (ca, crl, fresh, more) = (path("used.pem"), path("used.crl"), path("fresh"), path("other.pem"));
    let shown = path("shown.pem");
    let sections = format!(
        "frontend f\n    bind ADDR:{PORT} ssl crt {shown} verify required ca-file {ca} crl-file {crl}\n    http-request return status 200\n\
         frontend g\n    bind ADDR:8443 ssl crt {shown} verify optional ca-file {ca} ca-verify-file {more}\n    http-request return status 200\n"
    );
    let mut lines = Vec::new();
    for (option, used, other, contents, both) in [
        ("ca-file", &ca, &more, read(at, "other.pem"), read(at, "both.pem")),
        ("crl-file", &crl, &path("nope"), read(at, "ca.crl"), read(at, "both.crl")),
    ] {
        let set = |name: &str, contents: &str| command(&format!("set ssl {option}"), name, contents);
        let say = |words: &str| {
            let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
            format!("{verb} ssl {option} {rest}").trim_end().to_owned()
        };
        lines.extend([say("show"), say(&format!("show {used}")), say(&format!("show {used}:1"))]);
        lines.extend([
            say(&format!("show {used}:2")),
            say(&format!("show {used}:0")),
            say(&format!("show {used}:x")),
        ]);
        lines.extend(["show nope", "set", "abort", "new", "del", "del nope"].map(say));
        lines.push(say(&format!("set {used}")));
        lines.extend([set("nope", &contents), set(used, "garbage"), say(&format!("commit {used}"))]);
        lines.extend([set(used, &both), set(used, &both)]);
        lines.extend([say("show"), say(&format!("show *{used}")), say(&format!("show *{used}:2"))]);
        lines.extend([say(&format!("show *{other}")), say(&format!("show {used}"))]);
        if option == "ca-file" {
            // HAProxy 2.6 says 'ca-file' of both.
            lines.push(say("commit"));
            lines.push(set(other, &contents));
        }
        lines.extend(["commit", "abort"].map(|verb| say(&format!("{verb} {other}"))));
        lines.extend(
            ["del", "commit", "commit", "abort", "show", "del"].map(|verb| say(&format!("{verb} {used}"))),
        );
        lines.extend(["new", "new", "show"].map(|verb| say(&format!("{verb} {fresh}"))));
        lines.extend([say("show"), set(&fresh, &contents), say("show"), say(&format!("del {fresh}"))]);
        lines.extend(["abort", "abort"].map(|verb| say(&format!("{verb} {fresh}"))));
        lines.extend([set(&fresh, &contents), say(&format!("commit {fresh}")), say("show")]);
        lines.extend(["show", "del", "del"].map(|verb| say(&format!("{verb} {fresh}"))));
        // Names are taken, whatever of.
        lines.extend([format!("new ssl ca-file {used}"), format!("new ssl crl-file {used}")]);
        // What is under way is kept, and the good one before it stays.
        lines.extend([set(used, &contents), set(used, "garbage"), say(&format!("show *{used}"))]);
        lines.extend(["abort", "show"].map(|verb| say(&format!("{verb} {used}"))));
    }
    lines.extend([format!("show ssl ca-file {crl}"), format!("show ssl crl-file {ca}")]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    compare_answers_masked("", &sections, &lines, without_system);
}

/// A client that shows a certificate of its own.
fn client(at: &Path, name: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at.join("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(at.join(format!("{name}.crt"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(at.join(format!("{name}.key"))).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A connection and the first answer on it: the session goes on if the server lets it.
fn visit(front: SocketAddr, config: &Arc<ClientConfig>) -> Result<(Tls, String), std::io::Error> {
    let socket = TcpStream::connect(front)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from("same.example").unwrap();
    let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    let body = request(&mut tls)?;
    Ok((tls, body))
}

fn request(tls: &mut Tls) -> Result<String, std::io::Error> {
    tls.write_all(b"GET / HTTP/1.1\r\nHost: same.example\r\n\r\n")?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen);
        // The body ends in a full stop.
        if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| body.ends_with('.')) {
            return Ok(body.to_owned());
        }
        match tls.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => seen.extend_from_slice(&buffer[..n]),
        }
    }
}

#[test]
fn who_is_let_in() {
    let dir = pki();
    let at = dir.path();
    let path = |name: &str| at.join(name).display().to_string();
    let (ca, crl) = (path("used.pem"), path("used.crl"));
    let sections = format!(
        "frontend f\n    bind ADDR:{PORT} ssl alpn http/1.1 crt {} verify required ca-file {ca} crl-file {crl}\n    \
         http-request return status 200 content-type text/plain lf-string %[ssl_c_s_dn(CN)],%[ssl_fc_is_resumed].\n",
        path("shown.pem")
    );
    let address = own_address();
    let rig = Rig::start(Program::Weir, "", &sections, address);
    let front = SocketAddr::new(address.into(), PORT);
    let [one, gone, two] = ["one", "gone", "two"].map(|name| client(at, name));
    let seen = |config: &Arc<ClientConfig>| {
        visit(front, config).map(|(_, body)| body).unwrap_or_else(|_| "refused".into())
    };
    let answers = |line: &str, expected: &str| {
        let answer = rig.ask(line);
        assert!(answer.contains(expected), "{line}: {answer}");
    };
    let exchange = |option: &str, name: &str, file: &str| {
        answers(&command(&format!("set ssl {option}"), name, &read(at, file)), "transaction created");
        answers(&format!("commit ssl {option} {name}"), "Success!");
    };
    assert_eq!(seen(&one), "one,0.");
    assert_eq!(seen(&two), "refused");
    // Not yet revoked; the session is one to take up again.
    let (mut open, body) = visit(front, &gone).unwrap();
    assert_eq!(body, "gone,0.");
    assert_eq!(seen(&gone), "gone,1.");
    // What is no list, or one that is not committed, changes nothing.
    answers(&command("set ssl crl-file", &crl, "garbage"), "Invalid payload");
    answers(&command("set ssl crl-file", &crl, &read(at, "ca.pem")), "Invalid payload");
    answers(&command("set ssl crl-file", &crl, &read(at, "ca.crl")), "transaction created");
    assert_eq!(seen(&gone), "gone,1.");
    answers(&format!("commit ssl crl-file {crl}"), "Success!");
    // Neither with a handshake of its own nor with the session from before; a connection that is there goes on.
    assert_eq!(seen(&gone), "refused");
    assert_eq!(seen(&client(at, "gone")), "refused");
    assert_eq!(request(&mut open).unwrap(), "gone,0.");
    assert_eq!(seen(&client(at, "one")), "one,0.");
    exchange("crl-file", &crl, "both.crl");
    exchange("ca-file", &ca, "other.pem");
    assert_eq!(seen(&client(at, "one")), "refused");
    assert_eq!(seen(&two), "two,0.");
    // One more beside it: whoever either has signed.
    answers(&command("add ssl ca-file", &ca, &read(at, "ca.pem")), "transaction created");
    answers("show ssl ca-file", &format!("*{ca} - 2 certificate(s)"));
    answers(&format!("commit ssl ca-file {ca}"), "Success!");
    assert_eq!((seen(&client(at, "one")), seen(&two)), ("one,0.".to_owned(), "two,0.".to_owned()));
    assert_eq!(seen(&client(at, "gone")), "refused");
}

#[test]
fn which_servers_are_trusted() {
    let dir = pki();
    let at = dir.path();
    let path = |name: &str| at.join(name).display().to_string();
    let (ca, crl) = (path("used.pem"), path("used.crl"));
    let sections = format!(
        "frontend s\n    bind ADDR:8443 ssl crt {}\n    http-request return status 200 hdr resumed %[ssl_fc_is_resumed]\n\
         listen l\n    bind ADDR:{PORT}\n    http-reuse never\n    option http-server-close\n    retries 0\n    \
         server s ADDR:8443 ssl verify required ca-file {ca} crl-file {crl}\n",
        path("gone.pem")
    );
    let address = own_address();
    let rig = Rig::start(Program::Weir, "", &sections, address);
    let seen = || {
        let mut client = Client::connect(SocketAddr::new(address.into(), PORT));
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let text = String::from_utf8_lossy(&client.response(false)).into_owned();
        let resumed = text.contains("resumed: 1");
        (text.split(' ').nth(1).unwrap().to_owned(), resumed)
    };
    assert_eq!(seen(), ("200".into(), false));
    assert_eq!(seen(), ("200".into(), true));
    let exchange = |option: &str, name: &str, file: &str| {
        rig.ask(&command(&format!("set ssl {option}"), name, &read(at, file)));
        let answer = rig.ask(&format!("commit ssl {option} {name}"));
        assert!(answer.contains("Success!"), "{answer}");
    };
    exchange("crl-file", &crl, "ca.crl");
    assert_eq!(seen(), ("503".into(), false));
    exchange("crl-file", &crl, "none.crl");
    assert_eq!(seen(), ("200".into(), false));
    exchange("ca-file", &ca, "other.pem");
    assert_eq!(seen(), ("503".into(), false));
    assert!(rig.ask(&format!("show ssl ca-file {ca}")).contains("Status: Used"));
    assert!(rig.ask(&format!("del ssl ca-file {ca}")).contains("in use"));
    // A server that is added trusts what the file holds now.
    rig.ask("disable server l/s");
    rig.ask(
        &format!("add server l/t ADDR:8443 ssl verify required ca-file {ca}")
            .replace("ADDR", &address.to_string()),
    );
    rig.ask("enable server l/t");
    assert_eq!(seen().0, "503");
    exchange("ca-file", &ca, "ca.pem");
    assert_eq!(seen().0, "200");
}

#[test]
fn names_and_certificates_are_told() {
    let dir = pki();
    let at = dir.path();
    leaf(at, "ca", "wide", &["*.wide.example", "b.example"]);
    crate::harness::certificates::expired(at, "ca", "over", &["over.example"]);
    let path = |name: &str| at.join(name).display().to_string();
    let (shown, wide, over) = (path("shown.pem"), path("wide.pem"), path("over.pem"));
    std::fs::write(at.join("list"), format!("{over}\n{wide} *.wide.example !not.wide.example\n")).unwrap();
    let sections = format!(
        "frontend f\n    bind ADDR:{PORT} ssl crt {shown} crt {wide}\n    http-request return status 200\n\
         frontend g\n    bind ADDR:8443 ssl crt-list {} strict-sni\n    http-request return status 200\n",
        path("list")
    );
    let rig = Rig::weir("", &sections);
    // Frontend, name, names left out, kind, certificate.
    let rows = |line: &str| -> Vec<String> {
        let answer = rig.ask(line).replace(&format!("{}/", at.display()), "");
        let mut lines = answer.lines().filter(|line| !line.is_empty());
        let head = lines.next().unwrap();
        assert_eq!(head, "# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore");
        let row = |line: &str| {
            let mut words: Vec<&str> = line.split('\t').collect();
            assert!(words.len() == 7 && words[5].ends_with(" GMT") && words[6].ends_with(" GMT"), "{line}");
            words.truncate(5);
            words[0] = words[0].split('/').next().unwrap();
            words.join(" ")
        };
        lines.map(row).collect()
    };
    let of_f = [
        "f * - ecdsa shown.pem",
        "f *.wide.example - ecdsa wide.pem",
        "f b.example - ecdsa wide.pem",
        "f same.example - ecdsa shown.pem",
        "f shown - ecdsa shown.pem",
        "f wide - ecdsa wide.pem",
    ];
    let of_g = [
        "g *.wide.example !not.wide.example ecdsa wide.pem",
        "g over - ecdsa over.pem",
        "g over.example - ecdsa over.pem",
    ];
    assert_eq!(rows("show ssl sni"), [&of_f[..], &of_g[..]].concat());
    assert_eq!(rows("show ssl sni -f f"), of_f);
    assert_eq!(rows("show ssl sni -A"), of_g[1..]);
    assert!(rows("show ssl sni -f f -A").is_empty());
    assert!(rig.ask("show ssl sni -f nope").contains("Couldn't find the specified frontend!"));
    assert!(rig.ask("show ssl sni -f").contains("'-f' requires a frontend name!"));
    // Certificate and key come back as they went in.
    let dumped = rig.ask(&format!("dump ssl cert {shown}"));
    let parts = |text: &str| {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap).collect();
        (certificates, PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap())
    };
    assert_eq!(parts(&dumped), parts(&read(at, "shown.pem")));
    assert!(dumped.lines().all(|line| line.len() <= 64));
    assert!(rig.ask("dump ssl cert nope").contains("Not found"));
    let operator = crate::harness::console::ask(&rig.socket("operator"), &format!("dump ssl cert {shown}"));
    assert!(operator.contains("Permission denied") && !operator.contains("KEY"), "{operator}");
}
