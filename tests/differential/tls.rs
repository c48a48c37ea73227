//! TLS of clients: which certificate a name gets, client certificates good and bad, what expressions and log lines say of
//! the same handshakes. Clients are curl and openssl; certificates are made by openssl in the test's own directory.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;

pub(super) const FRONT: u16 = 8443;
pub(super) const LOG: u16 = 5140;

/// Certificates of the test, made once per test in its directory.
pub(super) struct Pki {
    pub(super) dir: tempfile::TempDir,
}

impl Pki {
    pub(super) fn new() -> Self {
        let pki = Self { dir: tempfile::TempDir::new().unwrap() };
        std::fs::write(pki.path("index.txt"), "").unwrap();
        std::fs::write(pki.path("crlnumber"), "01\n").unwrap();
        std::fs::write(pki.path("ca.cnf"), CA_SETTINGS.replace("DIR", &pki.dir.path().to_string_lossy()))
            .unwrap();
        pki
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn openssl(&self, arguments: &str) {
        let words = arguments.split_whitespace().map(|word| word.replace('~', " "));
        let run =
            Command::new("openssl").args(words).current_dir(self.dir.path()).stdin(Stdio::null()).output();
        let run = run.expect("openssl runs");
        assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// `NAME.pem`: a self-signed certificate with its key, for these names.
    pub(super) fn server(&self, name: &str, key: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|n| format!("DNS:{n}")).collect();
        self.openssl(&format!(
            "req -x509 -newkey {key} -nodes -days 30 -subj /CN={name}.pki -keyout {name}.key -out {name}.crt \
             -addext subjectAltName={} -addext basicConstraints=critical,CA:FALSE",
            names.join(",")
        ));
        self.join(&[&format!("{name}.crt"), &format!("{name}.key")], &format!("{name}.pem"));
        std::fs::remove_file(self.path(&format!("{name}.key"))).unwrap();
    }

    pub(super) fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey {EC} -nodes -days 30 -subj /C=FR/O=Test/CN={name} -keyout {name}.key -out {name}.crt"
        ));
    }

    /// `NAME.pem` and `NAME.crt`: signed by an authority, valid from and to.
    pub(super) fn client(&self, name: &str, authority: &str, subject: &str, dates: [&str; 2]) {
        self.openssl(&format!(
            "req -new -newkey {EC} -nodes -subj {subject} -keyout {name}.key -out {name}.csr -utf8"
        ));
        self.openssl(&format!(
            "ca -batch -notext -utf8 -config ca.cnf -name ca -keyfile {authority}.key -cert {authority}.crt -in {name}.csr \
             -out {name}.crt -rand_serial -md sha256 -startdate {} -enddate {}",
            dates[0], dates[1]
        ));
        self.join(&[&format!("{name}.crt"), &format!("{name}.key")], &format!("{name}.pem"));
    }

    pub(super) fn join(&self, parts: &[&str], whole: &str) {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(self.path(part)).unwrap()).collect();
        std::fs::write(self.path(whole), bytes).unwrap();
    }
}

pub(super) const EC: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
pub(super) const RSA: &str = "rsa:2048";
pub(super) const PAST: &str = "20200101000000Z";
const YESTERDAY: &str = "20210101000000Z";
pub(super) const FUTURE: &str = "20490101000000Z";

const CA_SETTINGS: &str = "
[ca]
database = DIR/index.txt
new_certs_dir = DIR
default_days = 30
serial = DIR/serial
rand_serial = yes
x509_extensions = leaf
crlnumber = DIR/crlnumber
crl_extensions = list
default_md = sha256
default_crl_days = 30
policy = anything
unique_subject = no
[list]
authorityKeyIdentifier = keyid:always
[leaf]
basicConstraints = CA:FALSE
[anything]
countryName = optional
stateOrProvinceName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional
";

/// OpenSSL's order; weir's own begins with the cheapest.
pub(super) const SUITES: &str = "ssl-default-bind-ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

/// A frontend with TLS and what it answers; both programs in turn on the same files.
pub(super) struct Case<'a> {
    pub(super) pki: &'a Pki,
    /// After `bind ADDR:8443 ssl`.
    pub(super) bind: &'a str,
    pub(super) front: &'a str,
    pub(super) global: &'a str,
}

impl Case<'_> {
    /// Runs the visits against both programs; each line of what is seen must be the same.
    pub(super) fn compare(&self, visits: &[(&str, &[&str])]) -> Result<(), String> {
        let theirs = self.observe(Program::HaProxy, visits);
        let ours = self.observe(Program::Weir, visits);
        let wrong: Vec<String> = theirs
            .iter()
            .zip(&ours)
            .filter(|(theirs, ours)| theirs != ours)
            .map(|(theirs, ours)| difference(theirs, ours))
            .collect();
        if !wrong.is_empty() || theirs.len() != ours.len() {
            return Err(format!("{}: {} differ\n{}", self.bind, wrong.len(), wrong.join("\n")));
        }
        println!("{} lines agree with haproxy: {}", theirs.len(), self.bind);
        Ok(())
    }

    /// A visit is a name and curl's own options.
    pub(super) fn observe(&self, program: Program, visits: &[(&str, &[&str])]) -> Vec<String> {
        let address = own_address();
        let syslog = Syslog::start(SocketAddr::new(IpAddr::V4(address), LOG));
        let text = format!(
            "global\n    nbthread 1\n    log {address}:{LOG} local0\n    {SUITES}\n{}\ndefaults\n    mode http\n    log global\n    \
             option httplog\n    timeout client 20s\n    timeout connect 5s\n    timeout server 5s\nfrontend fe\n    \
             bind {address}:{FRONT} ssl {}\n{}\n",
            self.global, self.bind, self.front
        )
        .replace("PKI", &self.pki.dir.path().to_string_lossy());
        let proxy =
            Proxy::start(program, &text, address, &[FRONT]).unwrap_or_else(|e| panic!("{program:?}: {e}"));
        let mut seen = Vec::new();
        for (name, options) in visits {
            let answer = curl(self.pki.dir.path(), address, name, options);
            seen.push(format!("{name} {}: {answer}", options.join(" ")));
        }
        proxy.finish();
        for line in syslog.drain().iter().filter(|line| !line.contains(" stopped ")) {
            seen.push(format!("log: {}", anonymous(line)));
        }
        seen
    }
}

/// Both lines, of long ones the parts that differ.
fn difference(theirs: &str, ours: &str) -> String {
    let parts = |line: &str, other: &str| {
        let other: Vec<&str> = other.split(';').collect();
        let mine = line.split(';').enumerate();
        let mine = mine.filter(|(i, part)| *i == 0 || other.get(*i) != Some(part)).map(|(_, part)| part);
        mine.collect::<Vec<_>>().join(";")
    };
    format!("haproxy: {}\nweir:    {}", parts(theirs, ours), parts(ours, theirs))
}

/// What a client sees: status and body, or why curl gave up.
pub(super) fn curl(dir: &Path, address: Ipv4Addr, name: &str, options: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sk", "--http1.1", "--max-time", "20", "-w", "\n%{http_code} %{exitcode}"]);
    command.args(["--resolve", &format!("{name}:{FRONT}:{address}")]).args(options).current_dir(dir);
    let host = if name.is_empty() { address.to_string() } else { name.to_owned() };
    let output = command.arg(format!("https://{host}:{FRONT}/")).output().expect("curl runs");
    let seen = String::from_utf8_lossy(&output.stdout).trim().replace('\n', " | ");
    // With which alert a handshake ends is the libraries' choice; curl has a number for some of them.
    if seen.starts_with("000 ") { "refused".to_owned() } else { seen }
}

/// A line without what differs from run to run: time, addresses, timers.
fn anonymous(line: &str) -> String {
    let text = line.split_once("]: ").map_or(line, |(_, text)| text).trim_end();
    let words = text.split(' ').map(|word| {
        let timers =
            word.contains('/') && word.split('/').all(|n| n.trim_start_matches('+').parse::<i64>().is_ok());
        if word.starts_with('[') || (word.contains(':') && word.starts_with("127.")) || timers {
            "_"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_name_gets_its_certificate() {
    let pki = Pki::new();
    pki.server("default", RSA, &["default.test"]);
    pki.server("exact", RSA, &["www.example.com", "Mixed.Example.com"]);
    pki.server("wild", RSA, &["*.example.com", "*.w.test"]);
    pki.server("ec", EC, &["both.test", "only-ec.test", "*.both.test"]);
    pki.server("rsa", RSA, &["both.test", "*.both.test"]);
    pki.server("late", RSA, &["www.example.com", "default.test"]);
    let front = "http-request return status 200 content-type text/plain lf-string %[ssl_f_s_dn(CN)],%[ssl_fc_sni],%[ssl_fc_has_sni]";
    let names = [
        "default.test",
        "www.example.com",
        "WWW.EXAMPLE.COM",
        "mixed.example.com",
        "a.example.com",
        "a.b.example.com",
        "example.com",
        "x.w.test",
        "w.test",
        "y.x.w.test",
        "both.test",
        "only-ec.test",
        "n.both.test",
        "unknown.test",
        "",
        "exact.pki",
        "wild.pki",
        "excluded.example.com",
        "listed.test",
        "any.listed.test",
    ];
    std::fs::write(
        pki.path("list.txt"),
        "# a comment\nPKI/default.pem\n\nPKI/wild.pem *.example.com !excluded.example.com\nPKI/exact.pem [ssl-min-ver TLSv1.2] listed.test *.listed.test !x.listed.test\n"
            .replace("PKI", &pki.dir.path().to_string_lossy()),
    )
    .unwrap();
    std::fs::create_dir(pki.path("dir")).unwrap();
    for name in ["wild", "exact", "ec"] {
        std::fs::copy(pki.path(&format!("{name}.pem")), pki.path(&format!("dir/{name}.pem"))).unwrap();
    }
    std::fs::copy(pki.path("ec.pem"), pki.path("bundle.pem.ecdsa")).unwrap();
    std::fs::copy(pki.path("rsa.pem"), pki.path("bundle.pem.rsa")).unwrap();
    let all = "crt PKI/default.pem crt PKI/exact.pem crt PKI/wild.pem crt PKI/ec.pem crt PKI/rsa.pem crt PKI/late.pem";
    let strict = format!("{all} strict-sni");
    let binds = [
        all,
        &strict,
        "crt-list PKI/list.txt",
        "crt-list PKI/list.txt strict-sni",
        "crt PKI/dir",
        "crt PKI/bundle.pem",
    ];
    let rsa_only: &[&str] = &["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"];
    let ec_only: &[&str] = &["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    let mut wrong = Vec::new();
    for bind in binds {
        let mut visits: Vec<(&str, &[&str])> = names.iter().map(|name| (*name, &[][..])).collect();
        visits.extend([
            ("both.test", rsa_only),
            ("both.test", ec_only),
            ("m.both.test", rsa_only),
            ("default.test", rsa_only),
        ]);
        wrong.extend(Case { pki: &pki, bind, front, global: "" }.compare(&visits).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Certificates of clients: two authorities, good, expired, early, revoked, of a stranger, self-signed.
pub(super) fn clients() -> Pki {
    let pki = Pki::new();
    pki.server("server", EC, &["server.test"]);
    for authority in ["ours", "theirs"] {
        pki.authority(authority);
    }
    let subject = "/C=FR/O=Some~Firm,~Ltd/OU=one/OU=two/CN=J\u{fc}rgen/emailAddress=j@x.test";
    pki.client("good", "ours", subject, [PAST, FUTURE]);
    pki.client("expired", "ours", "/CN=expired", [PAST, YESTERDAY]);
    pki.client("early", "ours", "/CN=early", [FUTURE, "20500101000000Z"]);
    pki.client("revoked", "ours", "/CN=revoked", [PAST, FUTURE]);
    pki.client("stranger", "theirs", "/CN=stranger", [PAST, FUTURE]);
    pki.server("alone", EC, &["alone.test"]);
    // The name of an authority is anybody's to write.
    pki.openssl(&format!(
        "req -x509 -newkey {EC} -nodes -days 30 -subj /C=FR/O=Test/CN=ours -keyout forger.key -out forger.crt"
    ));
    pki.client("forged", "forger", "/CN=forged", [PAST, FUTURE]);
    pki.client("forgery", "forger", "/CN=forgery", [PAST, YESTERDAY]);
    // Without the identifiers of keys only the signature tells.
    let bare = std::fs::read_to_string(pki.path("ca.cnf")).unwrap().replace(
        "[leaf]",
        "[leaf]\n\
        subjectKeyIdentifier = none\nauthorityKeyIdentifier = none",
    );
    std::fs::write(pki.path("ca.cnf"), bare).unwrap();
    pki.client("bare", "ours", "/CN=bare", [PAST, YESTERDAY]);
    pki.client("barely", "forger", "/CN=barely", [PAST, YESTERDAY]);
    // Version 1: no extensions at all.
    for (name, authority) in [("old", "ours"), ("strange", "forger")] {
        pki.openssl(&format!(
            "req -new -newkey {EC} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        pki.openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 30 -out {name}.crt"
        ));
        pki.join(&[&format!("{name}.crt"), &format!("{name}.key")], &format!("{name}.pem"));
    }
    let crl = "-config ca.cnf -name ca -keyfile ours.key -cert ours.crt";
    pki.openssl(&format!("ca {crl} -revoke revoked.crt"));
    pki.openssl(&format!("ca {crl} -gencrl -out ours.crl"));
    pki
}

const SHOWN: &str = "ssl_fc ssl_fc_has_crt ssl_fc_has_sni ssl_fc_is_resumed ssl_fc_alpn ssl_fc_cipher ssl_fc_protocol ssl_fc_alg_keysize \
     ssl_fc_use_keysize ssl_fc_sni ssl_c_used ssl_c_verify ssl_c_err ssl_c_ca_err ssl_c_ca_err_depth ssl_c_s_dn ssl_c_i_dn ssl_c_s_dn(CN) \
     ssl_c_s_dn(OU) ssl_c_s_dn(cn) ssl_c_s_dn(Ou,2) ssl_c_s_dn(OU,2) ssl_c_s_dn(OU,-1) ssl_c_s_dn(X) ssl_c_s_dn(,0,rfc2253) ssl_c_i_dn(O) ssl_c_serial,hex ssl_c_sha1,hex \
     ssl_c_der,sha1,hex ssl_c_notbefore ssl_c_notafter ssl_c_key_alg ssl_c_sig_alg ssl_c_version ssl_f_s_dn ssl_f_i_dn ssl_f_serial,hex \
     ssl_f_sha1,hex ssl_f_der,sha1,hex ssl_f_notbefore ssl_f_notafter ssl_f_key_alg ssl_f_sig_alg ssl_f_version ssl_fc_has_early \
     ssl_c_chain_der,sha1,hex fc_err ssl_fc_err";

#[test]
fn clients_show_certificates() {
    let pki = clients();
    let mut text = String::new();
    for fetch in SHOWN.split_whitespace() {
        let _ = write!(text, "{}=%[{fetch}];", fetch.replace(',', "-").replace(['(', ')'], "_"));
    }
    let front = format!("http-request return status 200 content-type text/plain lf-string \"{text}\"");
    let certificates = [
        "", "good", "expired", "early", "revoked", "stranger", "alone", "forged", "forgery", "bare",
        "barely", "old", "strange",
    ];
    let options: Vec<Vec<String>> = certificates
        .iter()
        .flat_map(|name| {
            ["1.2", "1.3"].map(|version| {
                let mut words = vec!["--tls-max".to_owned(), version.to_owned()];
                if !name.is_empty() {
                    words.extend(["--cert".to_owned(), format!("{name}.pem")]);
                }
                words
            })
        })
        .collect();
    let words: Vec<Vec<&str>> = options.iter().map(|o| o.iter().map(String::as_str).collect()).collect();
    let visits: Vec<(&str, &[&str])> = words.iter().map(|words| ("server.test", words.as_slice())).collect();
    let mut wrong = Vec::new();
    for verify in [
        "verify none",
        "verify optional ca-file PKI/ours.crt",
        "verify required ca-file PKI/ours.crt",
        "verify required ca-file PKI/ours.crt crl-file PKI/ours.crl",
        "verify optional ca-file PKI/ours.crt crl-file PKI/ours.crl crt-ignore-err all ca-ignore-err all",
        "verify required ca-file PKI/ours.crt crt-ignore-err 10",
        "verify optional ca-file PKI/ours.crt crt-ignore-err 20,21 no-ca-names",
        "verify optional ca-file PKI/theirs.crt ca-verify-file PKI/ours.crt",
    ] {
        let bind = format!("crt PKI/server.pem alpn http/1.1 {verify}");
        wrong.extend(Case { pki: &pki, bind: &bind, front: &front, global: "" }.compare(&visits).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With TLS 1.3 a client has asked before it is refused: it is told why, and not reset for what it asked.
#[test]
fn refused_clients_hear_why() {
    let pki = clients();
    let address = own_address();
    let bind = format!("bind {address}:{FRONT} ssl crt PKI/server.pem verify required ca-file PKI/ours.crt");
    let text = format!(
        "defaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    timeout server 5s\nfrontend fe\n    {bind}\n    \
         http-request return status 200\n"
    );
    let text = text.replace("PKI", &pki.dir.path().to_string_lossy());
    let _proxy = Proxy::start(Program::Weir, &text, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    for (name, alert) in
        [("", "certificate required"), ("expired", "certificate expired"), ("stranger", "unknown ca")]
    {
        for round in 0..10 {
            let mut curl = Command::new("curl");
            curl.args(["-sk", "--tlsv1.3", "-m", "60", "-w", "%{errormsg}"]).current_dir(pki.dir.path());
            if !name.is_empty() {
                curl.args(["--cert", &format!("{name}.pem")]);
            }
            let answer = curl.arg(format!("https://{address}:{FRONT}/")).output().unwrap();
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            assert!(answer.contains(alert), "{name}, round {round}: {answer}, not {alert}");
        }
    }
}

#[test]
fn settings_decide_what_is_agreed() {
    let pki = Pki::new();
    pki.server("server", RSA, &["server.test"]);
    let front = "http-request return status 200 content-type text/plain lf-string %[ssl_fc_protocol],%[ssl_fc_cipher],%[ssl_fc_alpn]\n    option httpslog";
    let none: &[&str] = &[];
    let old: &[&str] = &["--tls-max", "1.2"];
    let older: &[&str] = &["--tlsv1.0", "--tls-max", "1.1"];
    let h2: &[&str] = &["--http2"];
    let quiet: &[&str] = &["--no-alpn"];
    let chosen: &[&str] = &["--tls13-ciphers", "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"];
    let weak: &[&str] =
        &["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"];
    let visits: Vec<(&str, &[&str])> =
        [none, old, older, h2, quiet, chosen, weak].iter().map(|options| ("server.test", *options)).collect();
    let mut wrong = Vec::new();
    for bind in [
        "alpn http/1.1",
        "alpn http/1.1 no-tlsv13",
        "alpn http/1.1,http/1.0 force-tlsv13",
        "alpn http/1.1 ssl-min-ver TLSv1.3",
        "alpn http/1.1 ssl-max-ver TLSv1.2",
        "alpn http/1.1 ciphers ECDHE-RSA-AES128-GCM-SHA256 ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        "alpn http/1.1 ciphers ECDHE+AESGCM:!AES256 prefer-client-ciphers",
        "alpn postgresql curves P-256:X25519",
        "alpn http/1.1 no-tls-tickets",
        "alpn http/1.1 ssl-min-ver TLSv1.2 no-tlsv13",
    ] {
        let bind = format!("crt PKI/server.pem {bind}");
        wrong.extend(Case { pki: &pki, bind: &bind, front, global: "" }.compare(&visits).err());
    }
    let global = "    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets\n    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256";
    for bind in ["alpn http/1.1", "alpn http/1.1 ssl-min-ver TLSv1.2"] {
        let bind = format!("crt PKI/server.pem {bind}");
        wrong.extend(Case { pki: &pki, bind: &bind, front, global }.compare(&visits).err());
    }
    let global = "    ssl-default-bind-options no-tlsv13";
    for bind in ["alpn http/1.1", "alpn http/1.1 ssl-min-ver TLSv1.2"] {
        let bind = format!("crt PKI/server.pem {bind}");
        wrong.extend(Case { pki: &pki, bind: &bind, front, global }.compare(&visits).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
