//! Every kind of change by reload while requests, handshakes and websockets go on: none of them fails.

use crate::harness::certificates::{authority, leaf};
use crate::harness::{eventually, listens};
use crate::load::{Tally, origin, requests, websocket};
use crate::{GET, Rig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::Duration;

/// The certificate of a new handshake, and the answer to a request on it.
fn over_tls(at: SocketAddr, config: &Arc<ClientConfig>) -> Result<(Vec<u8>, String), String> {
    let text = |e: std::io::Error| e.to_string();
    let socket = TcpStream::connect(at).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).map_err(text)?;
    let name = ServerName::try_from("same.example").unwrap();
    let client = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
    Ok((shown.to_vec(), answer))
}

fn handshakes(at: SocketAddr, config: &Arc<ClientConfig>, tally: &Arc<Tally>) -> JoinHandle<()> {
    let (config, tally) = (Arc::clone(config), Arc::clone(tally));
    std::thread::spawn(move || {
        while !tally.stop.load(SeqCst) {
            match over_tls(at, &config) {
                Ok((_, answer)) if answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok") => {
                    tally.done.fetch_add(1, SeqCst);
                }
                other => {
                    eprintln!("over TLS: {other:?}");
                    tally.failed.fetch_add(1, SeqCst);
                }
            }
        }
    })
}

/// The configuration as it is changed step by step.
#[derive(Clone)]
struct Text {
    global: &'static str,
    front: String,
    back: String,
    rest: &'static str,
}

impl Text {
    fn sections(&self) -> String {
        format!(
            "frontend f\n    bind {{A}}:8080\n{}    default_backend b\nbackend b\n    timeout tunnel 1h\n{}{}",
            self.front, self.back, self.rest
        )
    }
}

struct Scene {
    rig: Rig,
    traffic: [Arc<Tally>; 2],
    text: Text,
}

impl Scene {
    /// All kinds of traffic go on after a step.
    fn goes_on(&self, what: &str) {
        for (kind, tally) in ["requests", "handshakes"].iter().zip(&self.traffic) {
            let before = tally.done.load(SeqCst);
            assert!(eventually(|| tally.done.load(SeqCst) > before + 10), "{what}: {kind} go on");
            assert_eq!(tally.failed.load(SeqCst), 0, "{what}: {kind}");
        }
    }

    fn change(&mut self, what: &str, change: impl FnOnce(&mut Text)) {
        change(&mut self.text);
        let answer = self.rig.reload_with(self.text.global, &self.text.sections());
        assert!(answer.starts_with("Success=1\n"), "{what}: {answer}\n{}", self.rig.proxy.stderr());
        self.goes_on(what);
    }

    fn refuse(&self, what: &str, says: &str, change: impl FnOnce(&mut Text)) {
        let mut text = self.text.clone();
        change(&mut text);
        let answer = self.rig.reload_with(text.global, &text.sections());
        assert!(answer.starts_with("Success=0\n--\n"), "{what}: {answer}");
        let stderr = self.rig.proxy.stderr();
        assert!(answer.contains(says) || stderr.contains(says), "{what}: {answer}\n{stderr}");
        self.goes_on(what);
    }

    fn status(&self, path: &str) -> String {
        let mut client = crate::harness::client::Client::connect(self.rig.at(8080));
        client.send(String::from_utf8_lossy(GET).replacen('/', path, 1).as_bytes());
        let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
        answer.split(' ').nth(1).unwrap_or("none").to_owned()
    }
}

#[test]
#[allow(clippy::too_many_lines)]
fn every_kind_of_change_loses_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let files = dir.path();
    authority(files, "ca");
    leaf(files, "ca", "one", &["same.example"]);
    leaf(files, "ca", "two", &["same.example"]);
    std::fs::copy(files.join("one.pem"), files.join("shown.pem")).unwrap();
    let der = |name: &str| CertificateDer::from_pem_file(files.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der("ca.pem")).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    let client = Arc::new(client);

    let origins = [origin(), origin()];
    let text = Text {
        global: "    nbthread 2\n",
        front: format!("    bind {{A}}:8443 ssl crt {}/shown.pem\n", files.display()),
        back: format!("    server s1 {} check inter 500ms weight 1\n", origins[0]),
        rest: "",
    };
    let rig = Rig::start_with(text.global, &text.sections(), &[8080, 8443]);
    let mut websockets: Vec<_> = (0..20).map(|_| websocket(rig.at(8080))).collect();
    let traffic: [Arc<Tally>; 2] = std::array::from_fn(|_| Arc::default());
    let mut clients: Vec<_> = [1, 20].map(|kept| requests(rig.at(8080), kept, &traffic[0])).into();
    clients.push(handshakes(rig.at(8443), &client, &traffic[1]));
    let mut scene = Scene { rig, traffic, text };
    scene.goes_on("before any change");

    let bind = "    bind {A}:8081\n";
    scene.change("an address more", |t| t.front += bind);
    assert!(listens(IpAddr::V4(scene.rig.address), 8081));
    scene.change("an address less", |t| t.front = t.front.replace(bind, ""));
    assert!(eventually(|| !listens(IpAddr::V4(scene.rig.address), 8081)));

    let rule = "    use_backend c if { path /c }\n";
    scene.change("a backend more", |t| {
        t.front += rule;
        t.rest = "backend c\n    http-request return status 204\n";
    });
    assert_eq!(scene.status("/c"), "204");
    scene.change("a backend less", |t| {
        t.front = t.front.replace(rule, "");
        t.rest = "";
    });
    assert_eq!(scene.status("/c"), "200");

    scene.change("a server more", |t| t.back += &format!("    server s2 {} check inter 500ms\n", origins[1]));
    assert_eq!(scene.rig.stat("b", "s2", "status").split(' ').next(), Some("UP"));
    scene.change("a weight", |t| t.back = t.back.replace("weight 1", "weight 7"));
    assert_eq!(scene.rig.stat("b", "s1", "weight"), "7");
    scene.change("a server less", |t| t.back = format!("    server s2 {} check inter 500ms\n", origins[1]));
    assert_eq!(scene.rig.stat("b", "s1", "status"), "");

    scene.change("an ACL", |t| {
        t.front += "    acl closed path_beg /closed\n    http-request deny if closed\n";
    });
    assert_eq!(scene.status("/closed"), "403");
    scene.change("a regular expression in its place", |t| {
        t.front = t.front.replace("path_beg /closed", "path_reg ^/(closed|shut)$");
    });
    assert_eq!((scene.status("/shut"), scene.status("/closed/not")), ("403".into(), "200".into()));

    assert_eq!(over_tls(scene.rig.at(8443), &client).unwrap().0, der("one.crt").to_vec());
    std::fs::copy(files.join("two.pem"), files.join("new.pem")).unwrap();
    std::fs::rename(files.join("new.pem"), files.join("shown.pem")).unwrap();
    scene.change("a certificate", |_| {});
    assert_eq!(over_tls(scene.rig.at(8443), &client).unwrap().0, der("two.crt").to_vec());
    scene.change("options of TLS", |t| {
        t.front = t.front.replace("shown.pem", "shown.pem ssl-min-ver TLSv1.3")
    });

    scene.change("more threads", |t| t.global = "    nbthread 4\n");
    scene.change("one thread", |t| t.global = "    nbthread 1\n");
    scene.change("settings of the process", |t| {
        t.global = "    nbthread 2\n    tune.bufsize 32768\n    tune.maxrewrite 4096\n    maxconn 500\n";
    });
    assert!(scene.rig.ask("show info").contains("\nMaxconn: 500\n"));
    scene.change("balancing, cookies and timeouts", |t| {
        t.back = format!(
            "    balance leastconn\n    cookie SRV insert indirect nocache\n    timeout server 7s\n    server s2 {} cookie x check inter 500ms\n",
            origins[1]
        );
    });
    scene.change("another section", |t| t.rest = "listen other\n    bind {A}:8082\n");

    scene.refuse("an unknown word", "unknown keyword 'bogus'", |t| t.front += "    bogus\n");
    scene.refuse("no such backend", "nowhere", |t| t.front += "    use_backend nowhere if TRUE\n");
    scene.refuse("a wrong regular expression", "path_reg", |t| {
        t.front = t.front.replace("^/(closed|shut)$", "^/(closed");
    });
    scene.refuse("no such certificate", "absent.pem", |t| {
        t.front = t.front.replace("shown.pem", "absent.pem");
    });
    scene.refuse("an address of somebody else", "cannot bind socket", |t| {
        t.front += "    bind 198.51.100.1:8080\n";
    });
    scene.refuse("two servers of one name", "s2", |t| {
        t.back += &format!("    server s2 {}\n", origins[0]);
    });
    scene.refuse("too many threads", "nbthread", |t| t.global = "    nbthread 100000\n");
    assert_eq!(scene.status("/shut"), "403");
    assert_eq!(over_tls(scene.rig.at(8443), &client).unwrap().0, der("two.crt").to_vec());
    assert!(scene.rig.ask("show info").contains("\nMaxconn: 500\n"));

    for tally in &scene.traffic {
        tally.stop.store(true, SeqCst);
    }
    clients.into_iter().for_each(|c| c.join().unwrap());
    for tally in &scene.traffic {
        assert_eq!(tally.failed.load(SeqCst), 0, "of {}", tally.done.load(SeqCst));
    }
    for (i, socket) in websockets.iter_mut().enumerate() {
        let word = format!("word {i}");
        socket.send(word.as_bytes());
        assert_eq!(String::from_utf8_lossy(&socket.read_exactly(word.len())), word);
    }
}
