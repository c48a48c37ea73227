//! Certificates made by openssl in a directory of their own: authorities, leaves of every kind, lists of what was revoked.

use std::path::Path;
use std::process::{Command, Stdio};

/// Dates of `openssl ca`: in force, and long over.
const NOW: [&str; 2] = ["20240101000000Z", "20490101000000Z"];
const LONG_AGO: [&str; 2] = ["20200101000000Z", "20210101000000Z"];

/// Runs openssl in `dir`.
pub fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority `NAME.pem`, `NAME.key` that can sign and revoke.
pub fn authority(dir: &Path, name: &str) {
    let config = format!(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = {name}.index\nserial = {name}.serial\ncrlnumber = {name}.crlnumber\n\
         new_certs_dir = .\ncertificate = {name}.pem\nprivate_key = {name}.key\ndefault_md = sha256\npolicy = p\n\
         copy_extensions = copy\ndefault_crl_days = 3650\nunique_subject = no\n\
         [p]\ncountryName = optional\norganizationName = optional\norganizationalUnitName = optional\ncommonName = supplied\n"
    );
    let write = |file: &str, text: &str| {
        std::fs::write(dir.join(format!("{name}.{file}")), text).expect("a file is written");
    };
    write("cnf", &config);
    write("index", "");
    write("serial", "1001\n");
    write("crlnumber", "01\n");
    openssl(
        dir,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /O=weir/CN={name} \
             -keyout {name}.key -out {name}.pem"
        ),
    );
}

/// `NAME.pem` with its key inside, signed by `authority`, for the names given.
pub fn leaf(dir: &Path, authority: &str, name: &str, names: &[&str]) {
    signed(dir, authority, name, names, NOW, "ec -pkeyopt ec_paramgen_curve:P-256");
}

/// The same with an RSA key.
pub fn rsa_leaf(dir: &Path, authority: &str, name: &str, names: &[&str]) {
    signed(dir, authority, name, names, NOW, "rsa:2048");
}

/// The same, over since 2021.
pub fn expired(dir: &Path, authority: &str, name: &str, names: &[&str]) {
    signed(dir, authority, name, names, LONG_AGO, "ec -pkeyopt ec_paramgen_curve:P-256");
}

fn signed(dir: &Path, authority: &str, name: &str, names: &[&str], dates: [&str; 2], kind: &str) {
    // With an extension it is a certificate of version 3.
    let alternative = if names.is_empty() {
        "-addext basicConstraints=CA:FALSE".to_owned()
    } else {
        let names: Vec<String> = names.iter().map(|n| format!("DNS:{n}")).collect();
        format!("-addext subjectAltName={}", names.join(","))
    };
    openssl(
        dir,
        &format!(
            "req -newkey {kind} -nodes -subj /C=DE/O=weir/OU=one/OU=two/CN={name} {alternative} -keyout {name}.key -out {name}.csr"
        ),
    );
    let [from, to] = dates;
    openssl(
        dir,
        &format!(
            "ca -batch -config {authority}.cnf -startdate {from} -enddate {to} -notext -in {name}.csr -out {name}.crt"
        ),
    );
    let read = |file: String| std::fs::read_to_string(dir.join(file)).expect("openssl wrote it");
    let bundle = read(format!("{name}.crt")) + &read(format!("{name}.key"));
    std::fs::write(dir.join(format!("{name}.pem")), bundle).expect("a file is written");
}

/// Revokes `NAME.crt`.
pub fn revoke(dir: &Path, authority: &str, name: &str) {
    openssl(dir, &format!("ca -batch -config {authority}.cnf -revoke {name}.crt"));
}

/// `AUTHORITY.crl` with what was revoked so far.
pub fn revocation_list(dir: &Path, authority: &str) {
    openssl(dir, &format!("ca -batch -config {authority}.cnf -gencrl -out {authority}.crl"));
}
