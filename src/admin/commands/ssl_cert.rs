//! Certificates while they are in use: what there is, and their exchange in two steps (`set ssl cert`, `commit ssl cert`).
//!
//! The sentences are those that programs which renew certificates look for.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator};
use crate::tls::Store;
use crate::tls::certificate::Parts;
use crate::tls::changes::{Found, Refusal};
use crate::tls::x509::{self, Who, hex};
use sha1::{Digest, Sha1};
use std::fmt::Write;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("abort ssl cert", Admin, "abort ssl cert <certfile>", "drop what was set for a certificate and not committed", abort),
    Command::new("commit ssl cert", Admin, "commit ssl cert <certfile>", "put to use what was set for a certificate", commit),
    Command::new("del ssl cert", Admin, "del ssl cert <certfile>", "forget a certificate that nobody shows", delete),
    Command::new("dump ssl cert", Admin, "dump ssl cert <certfile>", "give out a certificate with its key, in PEM", dump),
    Command::new("new ssl cert", Admin, "new ssl cert <certfile>", "make room for a certificate to be set", create),
    Command::new("set ssl cert", Admin, "set ssl cert <certfile> <payload>", "give a certificate, its key or its issuer other contents, in use after 'commit ssl cert'", set),
    Command::new("show ssl cert", Operator, "show ssl cert [<certfile>]", "list the certificates, or tell what one holds", show),
    Command::new("show ssl providers", Operator, "show ssl providers", "name the library's providers of ciphers", |_| Answer::text("Loaded providers : \n\t- aws-lc\n")),
];

fn store<'a>(call: &'a Call<'_>) -> &'a Store {
    &call.live().config.tls
}

fn show(call: &mut Call<'_>) -> Answer {
    let store = store(call);
    let name = call.word(3);
    if name.is_empty() {
        return Answer::text(list(store));
    }
    let Some(found) = parts(store, name) else {
        return Answer::error("Can't display the certificate: Not found or the certificate is a bundle!");
    };
    let mut out = format!("Filename: {name}\n");
    match found {
        Found::Empty => out.push_str("Status: Empty\n"),
        Found::Certificate(parts) => {
            let by_servers = store.get(name).is_some_and(|slot| slot.servers() > 0);
            let used = by_servers || store.doors().iter().any(|door| door.shows(name));
            let _ = writeln!(out, "Status: {}", if used { "Used" } else { "Unused" });
            describe(&parts, &mut out);
        }
    }
    let key = ocsp_key(store, name);
    let _ = writeln!(out, "OCSP Response Key: {key}");
    Answer::text(out)
}

fn dump(call: &mut Call<'_>) -> Answer {
    let (store, name) = (store(call), call.word(3));
    if name.is_empty() {
        return Answer::error("'dump ssl cert' expects a certificate name");
    }
    match parts(store, name) {
        Some(Found::Certificate(parts)) => Answer::text(parts.to_pem()),
        _ => Answer::error("Can't display the certificate: Not found or the certificate is a bundle!"),
    }
}

/// `*NAME` is what was set and not committed.
fn parts(store: &Store, name: &str) -> Option<Found> {
    match name.strip_prefix('*') {
        Some(begun) => {
            store.begun().filter(|(name, _)| name == begun).map(|(_, parts)| Found::Certificate(parts))
        }
        None => store.find(name),
    }
}

/// The number under which `show ssl ocsp-response` has it.
fn ocsp_key(store: &Store, name: &str) -> String {
    let certificate = store.get(name).map(|slot| slot.certificate());
    let id = certificate.and_then(|c| Some(c.ocsp.as_ref()?.id.der()));
    id.map(|id| hex(&id).to_ascii_lowercase()).unwrap_or_default()
}

fn list(store: &Store) -> String {
    let mut out = String::new();
    if let Some((name, _)) = store.begun() {
        let _ = writeln!(out, "# transaction\n*{name}");
    }
    out.push_str("# filename\n");
    for name in store.names() {
        let _ = writeln!(out, "{name}");
    }
    out
}

fn describe(parts: &Parts, out: &mut String) {
    let Some(first) = parts.chain.first() else { return };
    certificate(first, out);
    for above in parts.chain.iter().skip(1) {
        let _ = writeln!(out, "Chain Subject: {}", x509::name(above, Who::Subject).unwrap_or_default());
        let _ = writeln!(out, "Chain Issuer: {}", x509::name(above, Who::Issuer).unwrap_or_default());
    }
}

/// The fields of one certificate.
pub(super) fn certificate(first: &[u8], out: &mut String) {
    let or_none = |text: Option<String>| text.unwrap_or_default();
    let _ = writeln!(out, "Serial: {}", hex(&x509::serial(first).unwrap_or_default()));
    let _ = writeln!(out, "notBefore: {}", or_none(x509::not_before_in_words(first)));
    let _ = writeln!(out, "notAfter: {}", or_none(x509::not_after_in_words(first)));
    let _ = writeln!(out, "Subject Alternative Name: {}", or_none(x509::alternative_names(first)));
    let _ = writeln!(out, "Algorithm: {}", or_none(x509::key_size(first)));
    let _ = writeln!(out, "SHA1 FingerPrint: {}", hex(&Sha1::digest(first)));
    let _ = writeln!(out, "Subject: {}", or_none(x509::name(first, Who::Subject)));
    let _ = writeln!(out, "Issuer: {}", or_none(x509::name(first, Who::Issuer)));
}

fn set(call: &mut Call<'_>) -> Answer {
    let (name, Some(payload)) = (call.word(3), call.payload) else {
        return Answer::error("'set ssl cert expects a filename and a certificate as a payload");
    };
    if name.is_empty() {
        return Answer::error("'set ssl cert expects a filename and a certificate as a payload");
    }
    match store(call).change(name, payload) {
        Ok((name, true)) => {
            Answer::message(severity::NOTICE, format!("Transaction created for certificate {name}!"))
        }
        Ok((name, false)) => {
            Answer::message(severity::NOTICE, format!("Transaction updated for certificate {name}!"))
        }
        Err(refusal) => {
            let why = match refusal {
                Refusal::Other(begun) => {
                    format!("The ongoing transaction is about '{begun}' but you are trying to set '{name}'")
                }
                Refusal::Bad(why) => format!("{why}\nCan't load the payload"),
                _ => "Can't replace a certificate which is not referenced by the configuration!".to_owned(),
            };
            Answer::error(format!("{why}\nCan't update {name}!"))
        }
    }
}

fn commit(call: &mut Call<'_>) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error("'commit ssl cert expects a filename");
    }
    let why = match store(call).commit(name) {
        Ok(shown) => {
            call.live().process.certificate_changes.notify_one();
            return Answer::text(format!("Committing {name}{}\nSuccess!\n", ".".repeat(shown)));
        }
        Err(Refusal::NotBegun) => "No ongoing transaction! !".to_owned(),
        Err(Refusal::Other(begun)) => {
            format!("The ongoing transaction is about '{begun}' but you are trying to set '{name}'")
        }
        Err(Refusal::Bad(why)) => why,
        Err(_) => "The transaction must contain at least a certificate and a private key!".to_owned(),
    };
    Answer::error(format!("{why}\nCan't commit {name}!"))
}

fn abort(call: &mut Call<'_>) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error("'abort ssl cert' expects a filename");
    }
    match store(call).abort(name) {
        Ok(()) => Answer::message(severity::NOTICE, format!("Transaction aborted for certificate '{name}'!")),
        Err(Refusal::Other(begun)) => Answer::error(format!(
            "The ongoing transaction is about '{begun}' but you are trying to abort a transaction for '{name}'"
        )),
        Err(_) => Answer::error("No ongoing transaction!"),
    }
}

fn create(call: &mut Call<'_>) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error("'new ssl cert' expects a filename");
    }
    match store(call).create(name) {
        Ok(()) => Answer::message(severity::NOTICE, format!("New empty certificate store '{name}'!")),
        Err(_) => Answer::error(format!("Certificate '{name}' already exists!")),
    }
}

fn delete(call: &mut Call<'_>) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error("'del ssl cert' expects a certificate name");
    }
    let cannot = |why: String| Answer::error(format!("Can't remove the certificate: {why}"));
    match store(call).forget(name) {
        Ok(()) => Answer::message(severity::NOTICE, format!("Certificate '{name}' deleted!")),
        Err(Refusal::Begun) => cannot(format!("ongoing transaction for the certificate '{name}'")),
        Err(Refusal::Used) => cannot(format!("certificate '{name}' in use, can't be deleted!\n\n")),
        Err(_) => cannot(format!("certificate '{name}' doesn't exist!\n\n")),
    }
}
