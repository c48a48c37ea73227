//! `ca-file`, `verify` and their kin on `server` lines.

pub mod ticket_keys;
mod versions;

pub use versions::Versions;

use super::certificates;
use super::diagnostic::{Diagnostic, Severity};
use super::draft::{Reference, ServerDraft};
use super::model::ServerTls;
use super::parser::Parser;
use super::raw::Line;
use crate::tls::certificate::reason;
use crate::tls::trust::{Contents, Kind};
use crate::tls::{ServerTrust, Slot, TrustFile, ciphers};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::{SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SYSTEM_NAME: &str = "@system-ca";
/// Where the system keeps the authorities it trusts (`@system-ca`); `SSL_CERT_FILE` and `SSL_CERT_DIR` go before it.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Files of a directory that hold certificates, as in HAProxy.
const ENDINGS: &[&str] = &["pem", "crt", "cer", "crl"];

/// What a server line, or the global section for all of them, prefers of algorithms.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    pub curves: Option<Vec<&'static dyn SupportedKxGroup>>,
    /// What servers may sign with.
    pub sigalgs: Option<Vec<SignatureScheme>>,
    /// What the key of `crt` may sign with.
    pub client_sigalgs: Option<Vec<SignatureScheme>>,
}

impl Preferences {
    fn over(&self, below: &Self) -> Self {
        Self {
            curves: self.curves.clone().or_else(|| below.curves.clone()),
            sigalgs: self.sigalgs.clone().or_else(|| below.sigalgs.clone()),
            client_sigalgs: self.client_sigalgs.clone().or_else(|| below.client_sigalgs.clone()),
        }
    }
}

/// `ca-file <file | directory | @system-ca>`
pub fn ca_file(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.tls.authorities = authorities(parser, line, i).or(draft.tls.authorities.take());
}

/// The authorities that the option at word `i` names; `None`: they cannot be read, and that is reported.
pub fn authorities(parser: &mut Parser, line: &Line, i: usize) -> Option<Arc<TrustFile>> {
    let is_system = line.word(i + 1) == SYSTEM_NAME;
    let name = if is_system { SYSTEM_NAME.to_owned() } else { based(parser, line.word(i + 1)) };
    if let Some(known) = parser.tls.store.trust_file(&name).filter(|file| file.kind == Kind::Authorities) {
        return Some(known);
    }
    let path = if is_system { system(parser) } else { parser.path(line, &name) };
    match read_authorities(&path) {
        Ok(found) => {
            let contents = Contents::of_authorities(found);
            Some(parser.tls.store.add_trust_file(&name, Kind::Authorities, contents))
        }
        Err(reason) => {
            let message = format!("'{}' : unable to load {} ({reason}).", line.word(i), path.display());
            parser.alert(line, i + 1, message);
            None
        }
    }
}

fn system(parser: &Parser) -> PathBuf {
    let set = |name: &str| parser.environment.get(name).map(PathBuf::from);
    set("SSL_CERT_FILE").or_else(|| set("SSL_CERT_DIR")).unwrap_or_else(|| SYSTEM.into())
}

/// Relative names start at `ca-base`.
fn based(parser: &Parser, name: &str) -> String {
    match &parser.ca_base {
        Some(base) if !name.starts_with('/') => base.join(name).to_string_lossy().into_owned(),
        _ => name.to_owned(),
    }
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
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
pub fn settle(parser: &mut Parser, server: &str, draft: &ServerDraft) -> Option<ServerTls> {
    let (line, tls) = (&draft.line, &draft.tls);
    let required = tls.required.unwrap_or(parser.verify_servers);
    // A 'ca-file' that could not be read has been reported.
    if required && tls.authorities.is_none() && line.words.iter().any(|w| w.text == "ca-file") {
        return None;
    }
    if required && tls.authorities.is_none() {
        let message = format!(
            "'server {server}' : verify is enabled by default but no CA file specified. If you're running on a LAN where you're certain to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' line, or use 'ssl-server-verify none' in the global section to disable server-side verifications by default."
        );
        let diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        parser.report(diagnostic.hint("'ca-file @system-ca' trusts what the system does"));
        return None;
    }
    let versions = tls.versions.or(parser.server_versions);
    if versions.contradict() {
        parser.warning(line, 1, Versions::contradiction(&format!("server '{server}'")));
    }
    let versions = versions.allowed();
    if versions.is_empty() {
        let message = format!(
            "'server {server}' : TLS 1.2 and 1.3 are all that weir speaks, and neither of them is allowed here."
        );
        parser.alert(line, 1, message);
        return None;
    }
    let suites = suites(parser, server, draft, &versions)?;
    let trust = Arc::new(trust(parser, draft, required)?);
    parser.tls.store.add_server_trust(&trust);
    let identity = match &tls.crt {
        Some(crt) => Some(identity(parser, crt)?),
        None => None,
    };
    let preferences = tls.preferences.over(&parser.tls.server_defaults);
    Some(ServerTls {
        required,
        trust,
        host: tls.host.clone(),
        identity,
        alpn: tls.alpn.clone(),
        versions,
        suites,
        curves: preferences.curves,
        sigalgs: preferences.sigalgs,
        client_sigalgs: preferences.client_sigalgs.map(Into::into),
        reuse: !tls.no_reuse,
        tickets: !tls.no_tickets && parser.server_tickets,
    })
}

/// The suites of the line, else of the global section, else the library's. A version that none of them fits goes.
fn suites(
    parser: &mut Parser,
    server: &str,
    draft: &ServerDraft,
    versions: &[&'static SupportedProtocolVersion],
) -> Option<Vec<SupportedCipherSuite>> {
    let old = draft.tls.ciphers.clone().or_else(|| parser.server_ciphers[0].clone());
    let new = draft.tls.ciphersuites.clone().or_else(|| parser.server_ciphers[1].clone());
    let mut all = Vec::new();
    for (said, choose, usual) in [
        (new, ciphers::ciphersuites as fn(&str) -> ciphers::Chosen, ciphers::default_ciphersuites()),
        (old, ciphers::ciphers, ciphers::default_ciphers()),
    ] {
        let Some(said) = said else {
            all.extend(usual);
            continue;
        };
        let chosen = choose(&said.name);
        if !chosen.missing.is_empty() {
            let message = format!(
                "'server {server}' : '{}' : weir does not speak {}.",
                said.line.word(said.word - 1),
                chosen.missing.join(", ")
            );
            parser.warning(&said.line, said.word, message);
        }
        all.extend(chosen.suites);
    }
    if !versions.iter().any(|v| all.iter().any(|s| s.version().version == v.version)) {
        let message =
            format!("'server {server}' : none of the ciphers named is there for the versions allowed.");
        parser.alert(&draft.line, 1, message);
        return None;
    }
    Some(all)
}

/// The certificate of `crt`, from the store that the administrator changes.
fn identity(parser: &mut Parser, crt: &Reference) -> Option<Arc<Slot>> {
    match certificates::open(parser, &crt.line, &crt.name) {
        Ok(found) if found.len() == 1 => {
            let slot = found.into_iter().next()?.slot;
            slot.keep();
            Some(slot)
        }
        Ok(_) => {
            let message = format!("'crt' : '{}' is to be one certificate.", crt.name);
            parser.alert(&crt.line, crt.word, message);
            None
        }
        Err(reason) => {
            parser.alert(&crt.line, crt.word, format!("'crt' : {reason}"));
            None
        }
    }
}

/// What the server's chain is verified with; `None`: it cannot be, and that is reported.
fn trust(parser: &mut Parser, draft: &ServerDraft, required: bool) -> Option<ServerTrust> {
    let authorities = draft.tls.authorities.clone();
    let Some(crl) = draft.tls.crl.as_ref().filter(|_| required) else {
        return Some(ServerTrust { authorities, revocations: None });
    };
    let revocations = revocations(parser, &crl.line, crl.word)?;
    let trust = ServerTrust { authorities, revocations: Some(revocations) };
    if let Err(reason) = trust.revoking(None) {
        no_revocations(parser, &crl.line, crl.word, &reason);
        return None;
    }
    Some(trust)
}

/// The revocation lists of the file that word `i` names; `None`: there are none, and that is reported.
pub fn revocations(parser: &mut Parser, line: &Line, i: usize) -> Option<Arc<TrustFile>> {
    let name = based(parser, line.word(i));
    if let Some(known) = parser.tls.store.trust_file(&name).filter(|file| file.kind == Kind::Revocations) {
        return Some(known);
    }
    match read_revocations(&parser.path(line, &name)) {
        Ok(lists) => {
            let contents = Contents::of_revocations(lists);
            Some(parser.tls.store.add_trust_file(&name, Kind::Revocations, contents))
        }
        Err(reason) => {
            no_revocations(parser, line, i, &reason);
            None
        }
    }
}

fn no_revocations(parser: &mut Parser, line: &Line, i: usize, reason: &str) {
    let path = parser.path(line, &based(parser, line.word(i)));
    parser.alert(line, i, format!("'crl-file' : unable to load {} ({reason}).", path.display()));
}

/// The revocation lists of a file, of which there must be one.
fn read_revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|e| reason(&e))?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let lists = lists.map_err(|e| e.to_string())?;
    if lists.is_empty() {
        return Err("it holds no revocation list in PEM".to_owned());
    }
    Ok(lists)
}

/// The argument of a global statement, kept with its place.
pub fn named(parser: &mut Parser, line: &Line) -> Option<Reference> {
    let name = parser.text(line, 1, "a list of ciphers")?;
    Some(Reference { name, line: line.clone(), word: 1 })
}

/// `ssl-default-server-options`
pub fn default_server_options(parser: &mut Parser, line: &Line) {
    let mut i = 1;
    while i < line.words.len() {
        let (word, argument) = (line.word(i), line.word(i + 1));
        match word {
            "ssl-min-ver" | "ssl-max-ver" => {
                if !parser.server_versions.note(word, argument) {
                    return parser.alert(line, i + 1, unknown_version(word, argument));
                }
                i += 1;
            }
            "no-tls-tickets" => parser.server_tickets = false,
            _ if Versions::knows(word) => {
                parser.server_versions.note(word, "");
            }
            _ => {
                let message = format!("unknown option '{word}' on global statement '{}'.", line.word(0));
                return parser.alert(line, i, message);
            }
        }
        i += 1;
    }
}

#[must_use]
pub fn unknown_version(option: &str, argument: &str) -> String {
    format!(
        "'{option}' : unknown version '{argument}', expected SSLv3, TLSv1.0, TLSv1.1, TLSv1.2 or TLSv1.3."
    )
}
