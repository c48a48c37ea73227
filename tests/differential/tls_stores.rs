//! Certificates named elsewhere than on the `bind` line, which haproxy 2.6 has not: `crt-store`, `ssl-f-use`.

use std::net::Ipv4Addr;

use super::tls::{EC, FRONT, Pki, curl};
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};

fn pki() -> Pki {
    let pki = Pki::new();
    for name in ["one", "two"] {
        pki.server(name, EC, &[&format!("{name}.test")]);
    }
    // Key and certificate apart.
    let pem = std::fs::read_to_string(pki.path("two.pem")).unwrap();
    let at = pem.find("-----BEGIN PRIVATE").unwrap();
    std::fs::create_dir(pki.path("keys")).unwrap();
    std::fs::write(pki.path("keys/two.secret"), &pem[at..]).unwrap();
    std::fs::write(pki.path("two.crt"), &pem[..at]).unwrap();
    pki
}

const SHOWN: &str =
    "http-request return status 200 content-type text/plain lf-string %[ssl_f_s_dn(CN)],%[ssl_fc_protocol]";

fn fill(pki: &Pki, text: &str, address: Ipv4Addr) -> String {
    let head =
        "defaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    timeout server 5s\n";
    (text.replace("HEAD", head))
        .replace("PKI", &pki.dir.path().to_string_lossy())
        .replace("ADDR", &address.to_string())
}

#[test]
fn a_store_s_certificates() {
    let pki = pki();
    let address = own_address();
    // Stores may come behind what names them.
    let text = format!(
        "HEADfrontend f\n    bind ADDR:{FRONT} ssl crt @web/second crt @/one.pem crt @web/one.pem alpn http/1.1\n    {SHOWN}\n\
         crt-store web\n    crt-base PKI\n    key-base PKI/keys\n    load crt two.crt key two.secret alias second\n    load crt one.pem\n\
         global\n    crt-base PKI\ncrt-store\n    load crt one.pem\n"
    );
    let _proxy = Proxy::start(Program::Weir, &fill(&pki, &text, address), address, &[FRONT])
        .unwrap_or_else(|e| panic!("{e}"));
    let visit = |name: &str| curl(pki.dir.path(), address, name, &[]);
    assert_eq!(visit("one.test"), "one.pki,TLSv1.3 | 200 0");
    assert_eq!(visit("two.test"), "two.pki,TLSv1.3 | 200 0");
    assert_eq!(visit("other.test"), "two.pki,TLSv1.3 | 200 0");
}

#[test]
fn a_frontend_s_certificates() {
    let pki = pki();
    let address = own_address();
    let text = format!(
        "HEADfrontend f\n    bind ADDR:{FRONT} ssl alpn http/1.1\n    bind ADDR:8444 ssl crt PKI/two.pem alpn http/1.1\n    \
         ssl-f-use crt PKI/one.pem\n    ssl-f-use ssl-max-ver TLSv1.2 crt PKI/two.pem\n    {SHOWN}\n"
    );
    let _proxy = Proxy::start(Program::Weir, &fill(&pki, &text, address), address, &[FRONT])
        .unwrap_or_else(|e| panic!("{e}"));
    let visit = |name: &str| curl(pki.dir.path(), address, name, &[]);
    assert_eq!(visit("one.test"), "one.pki,TLSv1.3 | 200 0");
    assert_eq!(visit("two.test"), "two.pki,TLSv1.2 | 200 0");
    // A line with a certificate of its own has that alone.
    let own = ["--connect-to", &format!("one.test:{FRONT}:{address}:8444")].map(str::to_owned);
    assert_eq!(
        curl(pki.dir.path(), address, "one.test", &own.each_ref().map(String::as_str)),
        "two.pki,TLSv1.3 | 200 0"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let pki = pki();
    let check = |text: &str, said: &str| {
        let (code, output) = Program::Weir.check(&fill(&pki, text, Ipv4Addr::LOCALHOST));
        assert!(code == Some(1) && output.contains(said), "{text}: {output}");
    };
    let bind = "HEADfrontend f\n    bind 127.0.0.1:1 ssl crt @web/x\ncrt-store web\n    crt-base PKI\n";
    check(bind, "unable to find certificate '@web/x' in a 'crt-store' section.");
    check(&format!("{bind}    load alias x\n"), "mandatory 'crt' parameter not found.");
    check(&format!("{bind}    load crt\n"), "'crt' expects an argument.");
    check(
        &format!("{bind}    load crt none.pem alias x\n"),
        "unable to stat SSL certificate from file 'none.pem'",
    );
    check(
        &format!("{bind}    load crt one.pem key PKI/keys/two.secret alias x\n"),
        "inconsistencies between private key",
    );
    check(
        &format!("{bind}    load crt one.pem alias x\n    load crt two.pem alias x\n"),
        "'@web/x' already exists.",
    );
    check(&format!("{bind}    load crt one.pem alias x\n    crt-base /\n"), "must come before");
    check(&format!("{bind}    load crt one.pem alias x foo bar\n"), "unknown keyword 'foo'");
    check(
        "HEADfrontend f\n    bind 127.0.0.1:1 ssl\n    ssl-f-use\n",
        "mandatory 'crt' parameter not found.",
    );
    check(
        "HEADfrontend f\n    bind 127.0.0.1:1 ssl\n    ssl-f-use crt PKI/one.pem foo\n",
        "unknown keyword 'foo'",
    );
}
