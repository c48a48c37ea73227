//! Files of authorities and of revocation lists while they are in use: what they hold, and their exchange in two steps.

use super::ssl_cert::certificate;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator};
use crate::tls::Store;
use crate::tls::changes::Refusal;
use crate::tls::trust::{Contents, Kind};
use crate::tls::x509;
use std::fmt::Write;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("abort ssl ca-file", Admin, "abort ssl ca-file <cafile>", "drop what was set for a file of authorities and not committed", |c| abort(c, CA)),
    Command::new("abort ssl crl-file", Admin, "abort ssl crl-file <crlfile>", "drop what was set for a file of revocation lists and not committed", |c| abort(c, CRL)),
    Command::new("add ssl ca-file", Admin, "add ssl ca-file <cafile> <payload>", "give a file of authorities more of them, in use after 'commit ssl ca-file'", |c| set(c, CA)),
    Command::new("commit ssl ca-file", Admin, "commit ssl ca-file <cafile>", "put to use what was set for a file of authorities", |c| commit(c, CA)),
    Command::new("commit ssl crl-file", Admin, "commit ssl crl-file <crlfile>", "put to use what was set for a file of revocation lists", |c| commit(c, CRL)),
    Command::new("del ssl ca-file", Admin, "del ssl ca-file <cafile>", "forget a file of authorities that nobody uses", |c| delete(c, CA)),
    Command::new("del ssl crl-file", Admin, "del ssl crl-file <crlfile>", "forget a file of revocation lists that nobody uses", |c| delete(c, CRL)),
    Command::new("new ssl ca-file", Admin, "new ssl ca-file <cafile>", "make room for a file of authorities to be set", |c| create(c, CA)),
    Command::new("new ssl crl-file", Admin, "new ssl crl-file <crlfile>", "make room for a file of revocation lists to be set", |c| create(c, CRL)),
    Command::new("set ssl ca-file", Admin, "set ssl ca-file <cafile> <payload>", "give a file of authorities other contents, in use after 'commit ssl ca-file'", |c| set(c, CA)),
    Command::new("set ssl crl-file", Admin, "set ssl crl-file <crlfile> <payload>", "give a file of revocation lists other contents, in use after 'commit ssl crl-file'", |c| set(c, CRL)),
    Command::new("show ssl ca-file", Operator, "show ssl ca-file [<cafile>[:<index>]]", "list the files of authorities, or tell what one holds", |c| show(c, CA)),
    Command::new("show ssl crl-file", Operator, "show ssl crl-file [<crlfile>[:<index>]]", "list the files of revocation lists, or tell what one holds", |c| show(c, CRL)),
];

const CA: Kind = Kind::Authorities;
const CRL: Kind = Kind::Revocations;

/// What HAProxy calls them.
fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorities => "CA",
        Kind::Revocations => "CRL",
    }
}

fn option(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorities => "ca-file",
        Kind::Revocations => "crl-file",
    }
}

fn store<'a>(call: &'a Call<'_>) -> &'a Store {
    &call.live().config.tls
}

fn other(begun: &str, name: &str) -> String {
    format!("The ongoing transaction is about '{begun}' but you are trying to set '{name}'")
}

fn show(call: &mut Call<'_>, kind: Kind) -> Answer {
    let store = store(call);
    let called = call.word(3);
    if called.is_empty() {
        return Answer::text(list(store, kind));
    }
    let (name, index) = match called.rsplit_once(':') {
        Some((name, index)) => match index.parse::<usize>() {
            Ok(index) if index > 0 => (name, Some(index)),
            _ => {
                let message = format!("wrong {} index after colons in '{called}'!\n", noun(kind));
                return Answer::unended(severity::ERR, message.trim_end());
            }
        },
        None => (called, None),
    };
    let (contents, used) = match name.strip_prefix('*') {
        Some(begun) => match store.trust_begun(kind).filter(|(name, _)| **name == *begun) {
            Some((_, contents)) => (contents, false),
            None => return not_found(kind),
        },
        None => match store.trust_file(name).filter(|file| file.kind == kind) {
            Some(file) => ((*file.contents()).clone(), store.trust_uses(&file) > 0),
            None => return not_found(kind),
        },
    };
    Answer::text(details(kind, name, &contents, used, index))
}

fn not_found(kind: Kind) -> Answer {
    Answer::error(format!("Can't display the {} file : Not found!", noun(kind)))
}

fn list(store: &Store, kind: Kind) -> String {
    let mut out = String::new();
    let entry = |mark: &str, name: &str, contents: &Contents, out: &mut String| {
        let _ = match kind {
            Kind::Authorities => {
                writeln!(out, "{mark}{name} - {} certificate(s)", contents.authorities.len())
            }
            Kind::Revocations => writeln!(out, "{mark}{name}"),
        };
    };
    if let Some((name, contents)) = store.trust_begun(kind) {
        out.push_str("# transaction\n");
        entry("*", &name, &contents, &mut out);
    }
    out.push_str("# filename\n");
    for file in store.trust_files(kind) {
        entry("", &file.name, &file.contents(), &mut out);
    }
    out
}

/// Of authorities an index beyond the last, or a file without any, shows nothing at all: so does HAProxy.
fn details(kind: Kind, name: &str, contents: &Contents, used: bool, index: Option<usize>) -> String {
    let status = match (contents.is_empty(), used) {
        (true, _) => "Empty",
        (_, true) => "Used",
        (_, false) => "Unused",
    };
    let mut out = format!("Filename: {name}\nStatus: {status}\n");
    let wanted = |number: &usize| index.is_none_or(|index| index == *number);
    let mut shown = 0;
    match kind {
        Kind::Authorities => {
            for (number, der) in (1_usize..).zip(contents.authorities.iter()).filter(|(n, _)| wanted(n)) {
                let _ = writeln!(out, " \nCertificate #{number}:");
                certificate(der, &mut out);
                shown += 1;
            }
        }
        Kind::Revocations => {
            for (number, der) in (1_usize..).zip(contents.revocations.iter()).filter(|(n, _)| wanted(n)) {
                let _ = writeln!(out, " \nCertificate Revocation List #{number}:");
                out.push_str(&x509::revocation_list(der).unwrap_or_default());
                shown += 1;
            }
        }
    }
    if kind == Kind::Authorities && shown == 0 { String::new() } else { out }
}

/// `set` and `add`
fn set(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (verb, name, noun) = (call.word(0), call.word(3), noun(kind));
    let Some(payload) = call.payload.filter(|_| !name.is_empty()) else {
        return Answer::error(format!(
            "'{verb} ssl {} expects a filename and {noun}s as a payload",
            option(kind)
        ));
    };
    let why = match store(call).change_trust(name, kind, payload, verb == "add") {
        Ok(begins) => {
            let what = if begins { "created" } else { "updated" };
            let message = format!("transaction {what} for {noun} {name}!");
            return Answer::message(severity::NOTICE, message);
        }
        Err(Refusal::Other(begun)) => other(&begun, name),
        Err(Refusal::Bad(why)) => why,
        Err(_) => format!("Can't replace a {noun} file which is not referenced by the configuration!"),
    };
    Answer::error(format!("{why}\nCan't update {name}!"))
}

fn commit(call: &mut Call<'_>, kind: Kind) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error(format!("'commit ssl {} expects a filename", option(kind)));
    }
    let why = match store(call).commit_trust(name, kind) {
        Ok(uses) => return Answer::text(format!("Committing {name}{}\nSuccess!\n", ".".repeat(uses))),
        Err(Refusal::Other(begun)) => other(&begun, name),
        Err(Refusal::Bad(why)) => why,
        Err(_) => "No ongoing transaction! !".to_owned(),
    };
    Answer::error(format!("{why}\nCan't commit {name}!"))
}

fn abort(call: &mut Call<'_>, kind: Kind) -> Answer {
    let name = call.word(3);
    if name.is_empty() {
        return Answer::error(format!("'abort ssl {}' expects a filename", option(kind)));
    }
    match store(call).abort_trust(name, kind) {
        Ok(()) => Answer::message(severity::NOTICE, format!("Transaction aborted for certificate '{name}'!")),
        Err(Refusal::Other(begun)) => Answer::error(format!(
            "The ongoing transaction is about '{begun}' but you are trying to abort a transaction for '{name}'"
        )),
        Err(_) => Answer::error("No ongoing transaction!"),
    }
}

fn create(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (name, noun) = (call.word(3), noun(kind));
    if name.is_empty() {
        return Answer::error(format!("'new ssl {}' expects a filename", option(kind)));
    }
    match store(call).create_trust(name, kind) {
        Ok(()) => Answer::message(severity::NOTICE, format!("New {noun} file created '{name}'!")),
        Err(_) => Answer::error(format!("{noun} file '{name}' already exists!")),
    }
}

fn delete(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (name, noun) = (call.word(3), noun(kind));
    if name.is_empty() {
        return Answer::error(format!("'del ssl {}' expects a {noun} file name", option(kind)));
    }
    let cannot = |why: String| Answer::error(format!("Can't remove the {noun} file: {why}"));
    match store(call).forget_trust(name, kind) {
        Ok(()) => Answer::message(severity::NOTICE, format!("{noun} file '{name}' deleted!")),
        Err(Refusal::Begun) => cannot(format!("ongoing transaction for the {noun} file '{name}'")),
        Err(Refusal::Used) => cannot(format!("{noun} file '{name}' in use, can't be deleted!\n\n")),
        Err(_) => cannot(format!("{noun} file '{name}' doesn't exist!\n\n")),
    }
}
