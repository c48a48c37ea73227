//! The keys of TLS tickets while they are in use: shown, and changed in all processes that share a file.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::Admin;
use crate::expr::{base64_decode, base64_encode};
use crate::tls::tickets::TicketKeys;
use std::fmt::Write;
use std::sync::Arc;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set ssl tls-key", Admin, "set ssl tls-key [id|file] <key>", "add a ticket key for the time to come, the one before makes tickets now, the oldest is forgotten", set),
    Command::new("show tls-keys", Admin, "show tls-keys [id|*]", "list the files of ticket keys, or the keys themselves", show),
];

/// By the file's name, or `#` and its number.
fn find(call: &Call<'_>, called: &str) -> Option<(usize, Arc<TicketKeys>)> {
    let number = called.strip_prefix('#').and_then(|n| n.parse::<usize>().ok());
    let all = call.live().config.tls.all_ticket_keys();
    all.into_iter().enumerate().find(|(i, keys)| Some(*i) == number || *keys.name == *called)
}

fn show(call: &mut Call<'_>) -> Answer {
    let called = call.word(2);
    let all = call.live().config.tls.all_ticket_keys();
    if called.is_empty() {
        let lines = all.iter().enumerate().map(|(i, keys)| format!("{i} ({})\n", keys.name));
        return Answer::text(format!("# id (file)\n{}", lines.collect::<String>()));
    }
    let mut out = String::from("# id secret\n");
    if called == "*" {
        for (i, keys) in all.iter().enumerate() {
            dump(i, keys, &mut out);
        }
        return Answer::text(out);
    }
    let Some((i, keys)) = find(call, called) else {
        return Answer::error("'show tls-keys' unable to locate referenced filename");
    };
    dump(i, &keys, &mut out);
    Answer::text(out)
}

fn dump(number: usize, keys: &TicketKeys, out: &mut String) {
    let _ = writeln!(out, "# {number} ({})", keys.name);
    for (i, key) in keys.keys().iter().enumerate() {
        let key = base64_encode(key, false);
        let _ = writeln!(out, "{number}.{i} {}", String::from_utf8_lossy(&key));
    }
}

fn set(call: &mut Call<'_>) -> Answer {
    let (called, key) = (call.word(3), call.word(4));
    if called.is_empty() || key.is_empty() {
        return Answer::error("'set ssl tls-key' expects a filename and the new TLS key in base64 encoding.");
    }
    let Some((_, keys)) = find(call, called) else {
        return Answer::error("'set ssl tls-key' unable to locate referenced filename");
    };
    let Some(key) = base64_decode(key.as_bytes(), false) else {
        return Answer::error("'set ssl tls-key' received invalid base64 encoded TLS key.");
    };
    if !keys.push(&key) {
        return Answer::error("'set ssl tls-key' received a key of wrong size.");
    }
    Answer::message(severity::INFO, "TLS ticket key updated!")
}
