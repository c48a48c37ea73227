//! Commands about the connection itself.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::admin::session::Prompt;
use crate::admin::usage;
use crate::config::condition::VERSION;
use crate::config::model::global::{Level, SeverityOutput};
use crate::config::model::{Address, StatsSocket};
use crate::config::units::{self, Unit};
use Level::{Admin, Operator, User};
use std::fmt::Write as _;
use std::net::SocketAddr;

pub const TABLE: &[Command] = &[
    Command::new("help", User, "", "Lists the commands, or those near the words that follow.", |c| {
        Answer::info(usage::help(c.session, c.words.get(1..).unwrap_or_default()))
    }),
    Command::new("prompt", User, "", "Keeps the connection open: n, i, p, timed; alone it toggles.", prompt),
    Command::new("quit", User, "", "Ends the connection.", |_| Answer::Quit),
    Command::new("operator", Operator, "operator", "lower the level of this session to operator", |c| {
        c.session.level = Operator;
        (c.session.expert, c.session.experimental) = (false, false);
        Answer::Done
    }),
    Command::new("user", User, "user", "lower the level of this session to user", |c| {
        c.session.level = User;
        (c.session.expert, c.session.experimental) = (false, false);
        Answer::Done
    }),
    Command::new(
        "expert-mode",
        Admin,
        "",
        "Tells or sets (on, off) whether commands for experts may be used.",
        |c| {
            let on = &mut c.session.expert;
            mode("expert-mode", c.words.get(1), on)
        },
    ),
    Command::new(
        "experimental-mode",
        Admin,
        "",
        "Tells or sets (on, off) whether experimental commands may be used.",
        |c| {
            let on = &mut c.session.experimental;
            mode("experimental-mode", c.words.get(1), on)
        },
    ),
    Command::new(
        "set severity-output",
        User,
        "set severity-output [none|number|string]",
        "mark messages with their severity",
        severity_output,
    ),
    Command::new("set timeout", User, "set timeout [cli] <delay>", "change this session's timeout", timeout),
    Command::new("show cli level", User, "show cli level", "show the level of this session", |c| {
        Answer::info(c.session.level.name())
    }),
    Command::new("show cli sockets", User, "show cli sockets", "list the administration sockets", sockets),
    Command::new("show version", User, "show version", "show the version of this process", |_| {
        Answer::info(VERSION)
    }),
    Command::new("echo", User, "echo [text]", "write the text back", |c| {
        Answer::info(c.words.get(1..).unwrap_or_default().join(" "))
    }),
];

fn mode(name: &str, wanted: Option<&String>, on: &mut bool) -> Answer {
    match wanted.map(String::as_str) {
        None | Some("") => Answer::info(format!("{name} is {}", if *on { "ON" } else { "OFF" })),
        // Any other word than 'on' is off, as in HAProxy.
        Some(word) => {
            *on = word == "on";
            Answer::Done
        }
    }
}

fn prompt(call: &mut Call<'_>) -> Answer {
    let words = call.words.get(1..).unwrap_or_default();
    let session = &mut *call.session;
    if words.is_empty() {
        session.prompt = if session.prompt == Prompt::Shown { Prompt::Closing } else { Prompt::Shown };
        return Answer::Done;
    }
    for word in words {
        match word.as_str() {
            "n" => session.prompt = Prompt::Closing,
            "i" => session.prompt = Prompt::Interactive,
            "p" => session.prompt = Prompt::Shown,
            "timed" => {
                session.prompt = Prompt::Shown;
                session.timed = !session.timed;
            }
            _ => {
                return Answer::info(
                    "Usage: prompt [help | n | i | p | timed]*\n  \
                     n      close after the answers (the default)\n  \
                     i      stay open, without a prompt\n  \
                     p      stay open, with a prompt\n  \
                     timed  show how long the process has been running in the prompt, or no longer\n\
                     Without an argument: with a prompt, or back to closing.",
                );
            }
        }
    }
    Answer::Done
}

fn severity_output(call: &mut Call<'_>) -> Answer {
    call.session.severity = match call.word(2) {
        "none" => SeverityOutput::None,
        "number" => SeverityOutput::Number,
        "string" => SeverityOutput::String,
        _ => return Answer::error("one of 'none', 'number', 'string' is a required argument"),
    };
    Answer::Done
}

fn timeout(call: &mut Call<'_>) -> Answer {
    if call.word(2) != "cli" {
        return Answer::error("'set timeout' only supports 'cli'.");
    }
    if !call.has(3) {
        return Answer::error("Expects an integer value.");
    }
    match units::duration(call.word(3), Unit::Seconds) {
        Ok(delay) if !delay.is_zero() => {
            call.session.timeout = Some(delay);
            Answer::Done
        }
        _ => Answer::error("Invalid timeout value."),
    }
}

fn sockets(call: &mut Call<'_>) -> Answer {
    let mut out = String::from("# socket lvl processes\n");
    for socket in &call.admin.sockets {
        let address = shown_address(socket);
        let _ = writeln!(out, "{address} {} all", socket.level.name());
    }
    Answer::text(out)
}

/// The address of a socket as `show cli sockets` has it.
pub(super) fn shown_address(socket: &StatsSocket) -> String {
    match &socket.bind.address {
        Address::Unix(path) => format!("unix@{}", path.display()),
        Address::Inet(v4 @ SocketAddr::V4(_)) => format!("ipv4@{v4}"),
        Address::Inet(v6) => format!("ipv6@{v6}"),
        Address::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
        Address::Fd(fd) => format!("fd@{fd}"),
    }
}
