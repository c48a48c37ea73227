//! `ca-file`, `verify` and their kin on `server` lines.

use super::diagnostic::{Diagnostic, Severity};
use super::draft::{ServerDraft, TlsDraft};
use super::model::ServerTls;
use super::parser::Parser;
use super::raw::Line;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the system keeps the authorities it trusts (`@system-ca`); `SSL_CERT_FILE` and `SSL_CERT_DIR` go before it.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Files of a directory that hold certificates, as in HAProxy.
const ENDINGS: &[&str] = &["pem", "crt", "cer", "crl"];

/// `ca-file <file | directory | @system-ca>`
pub fn ca_file(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    let name = line.word(i + 1);
    let path = if name == "@system-ca" { system(parser) } else { based(parser, line, name) };
    match authorities(&path) {
        Ok(found) => draft.tls.authorities = Some(Arc::new(found)),
        Err(reason) => {
            let message = format!("'ca-file' : unable to load {} ({reason}).", path.display());
            parser.alert(line, i + 1, message);
        }
    }
}

fn system(parser: &Parser) -> PathBuf {
    let set = |name: &str| parser.environment.get(name).map(PathBuf::from);
    set("SSL_CERT_FILE").or_else(|| set("SSL_CERT_DIR")).unwrap_or_else(|| SYSTEM.into())
}

/// Relative names start at `ca-base`.
fn based(parser: &Parser, line: &Line, name: &str) -> PathBuf {
    match &parser.ca_base {
        Some(base) if !name.starts_with('/') => base.join(name),
        _ => parser.path(line, name),
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| reason(&e))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        files.sort();
        let named = |p: &PathBuf| p.extension().is_some_and(|e| ENDINGS.iter().any(|x| e == *x));
        for file in files.iter().filter(|p| named(p)) {
            read(file, &mut found)?;
        }
    } else {
        read(path, &mut found)?;
    }
    if found.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(found) }
}

fn read(file: &Path, found: &mut Vec<CertificateDer<'static>>) -> Result<(), String> {
    let bytes = std::fs::read(file).map_err(|e| reason(&e))?;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        found.push(certificate.map_err(|e| format!("{}: {e}", file.display()))?);
    }
    Ok(())
}

fn reason(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// `verify <none | required>`
pub fn verify(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.tls.required = match line.word(i + 1) {
        "none" => Some(false),
        "required" => Some(true),
        other => {
            let message = format!(
                "'verify' : unknown verify method '{other}', only 'none' and 'required' are supported."
            );
            return parser.alert(line, i + 1, message);
        }
    };
}

/// What the line says of TLS, for a server that is reached by it; `None`: reported.
pub fn settle(parser: &mut Parser, server: &str, line: &Line, tls: &TlsDraft) -> Option<ServerTls> {
    let required = tls.required.unwrap_or(parser.verify_servers);
    if required && tls.authorities.is_none() {
        let message = format!(
            "'server {server}' : verify is enabled by default but no CA file specified. If you're running on a LAN where you're certain to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' line, or use 'ssl-server-verify none' in the global section to disable server-side verifications by default."
        );
        let diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        parser.report(diagnostic.hint("'ca-file @system-ca' trusts what the system does"));
        return None;
    }
    Some(ServerTls {
        required,
        authorities: tls.authorities.clone().unwrap_or_default(),
        host: tls.host.clone(),
    })
}
