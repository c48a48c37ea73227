//! What testssl.sh says of weir with Mozilla's intermediate settings, beside what it says of haproxy.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::tls::{EC, FRONT, Pki};
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};

/// <https://ssl-config.mozilla.org>, intermediate.
const MOZILLA: &str = "    ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
    ssl-default-bind-options prefer-client-ciphers ssl-min-ver TLSv1.2 no-tls-tickets";

/// Worse ones later.
const SEVERITIES: [&str; 6] = ["OK", "INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

/// Each finding's severity: protocols, kinds of ciphers, forward secrecy, the server's preferences, known holes.
fn findings(program: Program, pki: &Pki) -> BTreeMap<String, (usize, String)> {
    let address = own_address();
    let config = format!(
        "global\n    nbthread 1\n{MOZILLA}\ndefaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    timeout server 5s\n\
         frontend f\n    bind {address}:{FRONT} ssl crt {} alpn h2,http/1.1\n    \
         http-after-response set-header Strict-Transport-Security max-age=63072000\n    http-request return status 200\n",
        pki.path("server.pem").display()
    );
    let _proxy = Proxy::start(program, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    let file = pki.path(&format!("{program:?}.json"));
    let run = Command::new("testssl")
        .args(["--warnings", "off", "--color", "0", "--quiet", "-n", "none"])
        .args(["-p", "-s", "-f", "-P", "-U", "--jsonfile"])
        .arg(&file)
        .arg(format!("{address}:{FRONT}"))
        .stdin(Stdio::null())
        .output()
        .expect("testssl (Debian package testssl.sh) runs");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| {
        panic!("{e}: {}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
    });
    let found: Vec<serde_json::Value> = serde_json::from_str(&text).expect("testssl writes JSON");
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let place = |severity: String| SEVERITIES.iter().position(|s| *s == severity).unwrap_or(SEVERITIES.len());
    found.iter().map(|f| (text(f, "id"), (place(text(f, "severity")), text(f, "finding")))).collect()
}

#[test]
fn nothing_is_graded_below_haproxy() {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| findings(Program::HaProxy, &pki));
        let ours = findings(Program::Weir, &pki);
        (theirs.join().unwrap(), ours)
    });
    let mut wrong = Vec::new();
    for (id, (severity, finding)) in &ours {
        // What only one of them has is measured by what is best.
        let allowed = theirs.get(id).map_or(1, |(severity, _)| *severity);
        if *severity > allowed {
            wrong.push(format!("{id}: {finding} ({:?})", theirs.get(id)));
        }
    }
    for (id, (_, finding)) in theirs.iter().filter(|(id, _)| !ours.contains_key(*id)) {
        // There is no key exchange over finite fields.
        if id != "DH_groups" {
            wrong.push(format!("{id} is missing, haproxy has {finding}"));
        }
    }
    println!("{} findings about haproxy, {} about weir", theirs.len(), ours.len());
    assert!(ours.len() > 35 && ours.contains_key("TLS1_3"), "{ours:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
