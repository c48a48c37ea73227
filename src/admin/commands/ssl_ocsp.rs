//! OCSP responses that are stapled: shown, and replaced by newer ones.

use super::ssl_cert::hex;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::clock::Civil;
use crate::config::model::global::Level::{Admin, Operator};
use crate::expr::base64_decode;
use crate::tls::certificate::Staple;
use crate::tls::ocsp::Id;
use rustls::pki_types::UnixTime;
use std::collections::BTreeMap;
use std::fmt::Write;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set ssl ocsp-response", Admin, "set ssl ocsp-response <response|payload>", "staple a newer OCSP response (base64) to the certificates it is about", set),
    Command::new("show ssl ocsp-response", Operator, "show ssl ocsp-response [id]", "list whom OCSP responses are stapled for, or tell what one says", show),
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
    let staples = slots.iter().filter_map(|slot| slot.certificate().ocsp.clone());
    let all: BTreeMap<Vec<u8>, Staple> = staples.map(|staple| (staple.id.der(), staple)).collect();
    let wanted = call.word(3);
    if wanted.is_empty() {
        let mut out = String::from("# Certificate IDs\n");
        for (key, staple) in &all {
            let _ = writeln!(out, "Certificate ID key : {}", hex(key).to_ascii_lowercase());
            out.push_str(" Certificate ID:\n");
            describe(&staple.id, "   ", &mut out);
        }
        return Answer::text(out);
    }
    match all.iter().find(|(key, _)| hex(key).eq_ignore_ascii_case(wanted)) {
        Some((_, staple)) => Answer::text(details(staple)),
        None => Answer::error("Certificate ID does not match any certificate."),
    }
}

fn describe(id: &Id, indent: &str, out: &mut String) {
    let serial = id.serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(&id.serial);
    let _ = writeln!(out, "{indent}Issuer Name Hash: {}", hex(&id.issuer_name));
    let _ = writeln!(out, "{indent}Issuer Key Hash: {}", hex(&id.issuer_key));
    let _ = writeln!(out, "{indent}Serial Number: {}", hex(serial));
}

/// What clients go by; OpenSSL's dump of signature and certificates behind it is not given.
fn details(staple: &Staple) -> String {
    let Ok(response) = &staple.response else { return "No OCSP response\n".to_owned() };
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

/// `Nov 21 23:03:07 2026 GMT`
fn words(time: UnixTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = Civil::from_unix(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let month = MONTHS.get(at.month.saturating_sub(1) as usize).copied().unwrap_or_default();
    format!("{month} {:>2} {:02}:{:02}:{:02} {} GMT", at.day, at.hour, at.minute, at.second, at.year)
}
