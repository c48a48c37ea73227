//! `set anon`, `show anon`: dumps that can be shown to strangers. `show sess`, `show servers state` and `show servers conn`
//! heed it.

use crate::admin::anon::Veil;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator, User};

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set anon global-key", Admin, "set anon global-key <value>", "change the key sessions anonymize with unless they name one (0: none)", set_global_key),
    Command::new("set anon on", User, "set anon on [value]", "hide names and addresses in this session's dumps, with this key", on),
    Command::new("set anon off", User, "set anon off", "show names and addresses again", off),
    Command::new("set anon", User, "", "Says which forms there are.", |_| Answer::error(FORMS)),
    Command::new("show anon", User, "show anon", "tell whether this session hides names and addresses, and its key", show),
];

const FORMS: &str = "'set anon' only supports :\n   \
    - 'on' [key] to enable the anonymized mode\n   \
    - 'off' to disable the anonymized mode\n   \
    - 'global-key' <key> to change the key for sessions that name none";

fn on(call: &mut Call<'_>) -> Answer {
    call.session.veil = match (call.word(3), call.admin.anon_key.get()) {
        ("", 0) => Veil::random(),
        ("", key) => Veil::with_key(key),
        (text, _) => match text.parse() {
            Ok(key) if key > 0 => Veil::with_key(key),
            _ => return Answer::error("Value out of range (1 to 4294967295 expected)."),
        },
    };
    Answer::Done
}

fn off(call: &mut Call<'_>) -> Answer {
    if call.has(3) {
        return Answer::error("Key can't be added while disabling anonymized mode");
    }
    call.session.veil = Veil::default();
    Answer::Done
}

fn set_global_key(call: &mut Call<'_>) -> Answer {
    if !call.has(3) {
        return Answer::error("Expects an integer value.");
    }
    match call.word(3).parse() {
        Ok(key) => {
            call.admin.anon_key.set(key);
            Answer::Done
        }
        Err(_) => Answer::error("Value out of range (0 to 4294967295 expected)."),
    }
}

fn show(call: &mut Call<'_>) -> Answer {
    match call.session.veil.key() {
        None => Answer::info("Anonymized mode disabled"),
        // With the key guesses could be tried.
        Some(key) if call.session.level >= Operator => {
            Answer::message(severity::INFO, format!("Anonymized mode enabled\nKey : {key}"))
        }
        Some(_) => Answer::info("Anonymized mode enabled"),
    }
}
