//! Which names `bind` lines show certificates for.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::Operator;
use crate::tls::certificate::Kind;
use crate::tls::{Certificate, Door, x509};
use rustls::pki_types::UnixTime;
use std::fmt::Write;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("show ssl sni", Operator, "show ssl sni [-f <frontend>] [-A]", "list the names certificates are shown for, of all frontends or of one; -A: of certificates that are over", show),
];

fn show(call: &mut Call<'_>) -> Answer {
    let (mut frontend, mut over_only) = (None, false);
    let mut i = 3;
    while call.has(i) {
        match call.word(i) {
            "-f" if call.has(i + 1) => {
                frontend = Some(call.word(i + 1));
                i += 1;
            }
            "-f" => return Answer::error("'-f' requires a frontend name!"),
            "-A" => over_only = true,
            _ => {
                return Answer::error(
                    "Invalid parameters, 'show ssl sni' only supports '-f', or '-A' options!",
                );
            }
        }
        i += 1;
    }
    let live = call.live();
    let known = |name: &str| live.config.proxies.iter().any(|p| p.front.is_some() && *p.name == *name);
    if frontend.is_some_and(|name| !known(name)) {
        return Answer::error("Couldn't find the specified frontend!");
    }
    let mut out =
        String::from("# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore\n");
    let now = over_only.then(UnixTime::now);
    for door in live.config.tls.doors() {
        if frontend.is_none_or(|name| door.whose.proxy == name) {
            names(&door, now, &mut out);
        }
    }
    Answer::text(out)
}

/// `before`: only certificates that were over then.
fn names(door: &Door, before: Option<UnixTime>, out: &mut String) {
    let mut rows: Vec<(String, String)> = Vec::new();
    for (line, is_default) in door.shown() {
        let certificate = line.slot.certificate();
        let Some(first) = certificate.parts.chain.first() else { continue };
        let end = x509::end(first).unwrap_or(i64::MAX);
        if before.is_some_and(|now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX) <= end) {
            continue;
        }
        let all = if line.filters.is_empty() { &certificate.names } else { &line.filters };
        let (not, shown): (Vec<&String>, Vec<&String>) = all.iter().partition(|name| name.starts_with('!'));
        let not: Vec<&str> = not.iter().map(|name| name.as_str()).collect();
        let not = if not.is_empty() { "-".to_owned() } else { not.join(" ") };
        let rest = format!(
            "{not}\t{}\t{}\t{}\t{}",
            kind(&certificate),
            line.slot.name,
            x509::not_after_in_words(first).unwrap_or_default(),
            x509::not_before_in_words(first).unwrap_or_default()
        );
        let mut names: Vec<String> = shown.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.extend(is_default.then(|| "*".to_owned()));
        rows.extend(names.into_iter().map(|name| (name, rest.clone())));
    }
    rows.sort();
    rows.dedup();
    for (name, rest) in rows {
        let _ = writeln!(out, "{}/{}\t{name}\t{rest}", door.whose.proxy, door.whose.place);
    }
}

fn kind(certificate: &Certificate) -> &'static str {
    match certificate.kind {
        Kind::Rsa => "rsa",
        Kind::Ecdsa => "ecdsa",
        Kind::Other => "ed25519",
    }
}
