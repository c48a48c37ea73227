//! OCSP responses that are stapled: shown, and replaced by newer ones.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator};
use crate::expr::{base64_decode, base64_encode};
use crate::logging::local_date;
use crate::tls::Slot;
use crate::tls::certificate::{Certificate, Staple};
use crate::tls::changes::Refusal;
use crate::tls::ocsp::Id;
use crate::tls::x509::{date_in_words, hex, significant};
use rustls::pki_types::UnixTime;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set ssl ocsp-response", Admin, "set ssl ocsp-response <response|payload>", "staple a newer OCSP response (base64) to the certificates it is about", set),
    Command::new("show ssl ocsp-response", Operator, "show ssl ocsp-response [[text|base64] <id|certfile>]", "list whom OCSP responses are stapled for, or tell what one says", show),
    Command::new("show ssl ocsp-updates", Operator, "show ssl ocsp-updates", "tell when each OCSP response is fetched next, and how it went (ocsp-update)", updates),
    Command::new("update ssl ocsp-response", Admin, "update ssl ocsp-response <certfile>", "fetch a certificate's OCSP response now", update),
];

fn set(call: &mut Call<'_>) -> Answer {
    let text = call.payload.unwrap_or_else(|| call.word(3));
    let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return Answer::error("'set ssl ocsp-response' expects response in base64 encoding.");
    }
    let Some(response) = base64_decode(&text, false) else {
        return Answer::error("'set ssl ocsp-response' received invalid base64 encoded response.");
    };
    match call.live().config.tls.staple(&response) {
        Ok(()) => Answer::message(severity::INFO, "OCSP Response updated!"),
        Err(why) => Answer::error(format!("{why}.")),
    }
}

fn show(call: &mut Call<'_>) -> Answer {
    let slots = call.live().config.tls.all();
    let mut all: BTreeMap<Vec<u8>, (Arc<Slot>, Arc<Certificate>)> = BTreeMap::new();
    for slot in slots {
        let certificate = slot.certificate();
        if let Some(key) = certificate.ocsp.as_ref().map(|staple| staple.id.der()) {
            all.entry(key).or_insert((slot, certificate));
        }
    }
    let form = call.word(3);
    let formed = matches!(form, "text" | "base64");
    let wanted = call.word(3 + usize::from(formed));
    if wanted.is_empty() && formed {
        return Answer::error("'show ssl ocsp-response [text|base64]' expects a valid certid.");
    }
    if wanted.is_empty() {
        return Answer::text(list(&all));
    }
    let meant = |key: &[u8], slot: &Slot| hex(key).eq_ignore_ascii_case(wanted) || *slot.name == *wanted;
    match all.iter().find(|(key, (slot, _))| meant(key, slot)) {
        Some((_, (_, certificate))) if form == "base64" => {
            let response = certificate.parts.ocsp.as_deref().unwrap_or_default();
            Answer::text([base64_encode(response, false), b"\n".to_vec()].concat())
        }
        Some((_, (_, certificate))) => {
            Answer::text(certificate.ocsp.as_ref().map_or_else(String::new, details))
        }
        None => Answer::error("Certificate ID or path does not match any certificate."),
    }
}

fn list(all: &BTreeMap<Vec<u8>, (Arc<Slot>, Arc<Certificate>)>) -> String {
    let mut out = String::from("# Certificate IDs\n");
    for (key, (slot, certificate)) in all {
        let _ = writeln!(out, "Certificate ID key : {}", hex(key).to_ascii_lowercase());
        let _ = writeln!(out, "Certificate path : {}", slot.name);
        out.push_str(" Certificate ID:\n");
        if let Some(staple) = &certificate.ocsp {
            describe(&staple.id, "   ", &mut out);
        }
    }
    out
}

fn updates(call: &mut Call<'_>) -> Answer {
    const HEAD: &str = "OCSP Certid | Path | Next Update | Last Update | Successes | Failures | Last Update Status | Last Update Status (str)\n";
    let mut out = String::from(HEAD);
    for (key, update) in call.live().config.tls.updates.list() {
        let next = if update.next == 0 { SystemTime::now() } else { date(update.next) };
        let last = update.last.map_or_else(|| "-".to_owned(), |last| in_words(date(last)));
        let _ = writeln!(
            out,
            "{} | {} | {} | {last} | {} | {} | {} | {}",
            hex(&key).to_ascii_lowercase(),
            update.path,
            in_words(next),
            update.successes,
            update.failures,
            update.status as u8,
            update.words()
        );
    }
    Answer::text(out)
}

fn date(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

/// `21/Nov/2026:04:33:38 +0000`
fn in_words(date: SystemTime) -> String {
    let mut text = Vec::new();
    local_date(date, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn update(call: &mut Call<'_>) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error("'update ssl ocsp-response' expects a filename");
    }
    let why = match call.live().config.tls.update_soon(name) {
        Ok(()) => {
            call.live().process.certificate_changes.notify_one();
            return Answer::text("");
        }
        Err(Refusal::Unknown) => {
            "Unknown certificate! 'update ssl ocsp-response' expects an already known certificate file name."
        }
        Err(_) => {
            "'update ssl ocsp-response' only works on certificates that already have a known OCSP response."
        }
    };
    Answer::error(format!("{why}\nCan't send ocsp request for {name}!"))
}

fn describe(id: &Id, indent: &str, out: &mut String) {
    let _ = writeln!(out, "{indent}Issuer Name Hash: {}", hex(&id.issuer_name));
    let _ = writeln!(out, "{indent}Issuer Key Hash: {}", hex(&id.issuer_key));
    let _ = writeln!(out, "{indent}Serial Number: {}", hex(significant(&id.serial)));
}

/// What clients go by; OpenSSL's dump of signature and certificates behind it is not given.
fn details(staple: &Staple) -> String {
    let Some(response) = &staple.response else { return "No OCSP response\n".to_owned() };
    let mut out = String::from("OCSP Response Data:\n    OCSP Response Status: successful (0x0)\n");
    out.push_str("    Response Type: Basic OCSP Response\n");
    let _ = writeln!(out, "    Produced At: {}", words(response.produced_at));
    out.push_str("    Responses:\n    Certificate ID:\n      Hash Algorithm: sha1\n");
    describe(&response.id, "      ", &mut out);
    let _ = writeln!(out, "    Cert Status: {}", response.status);
    let _ = writeln!(out, "    This Update: {}", words(response.this_update));
    let _ = writeln!(out, "    Next Update: {}", words(response.next_update));
    out
}

fn words(time: UnixTime) -> String {
    date_in_words(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
