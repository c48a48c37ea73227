//! Commands of HAProxy's that weir knows and does not do yet: they say so. A row leaves this file when a family gets it.

use crate::admin::answer::Answer;
use crate::admin::command::{self, Call, Command};
use crate::config::model::global::Level::{self, Admin, Operator, User};

const fn row(name: &'static str, level: Level) -> Command {
    Command::new(name, level, "", "Not built yet.", not_yet)
}

#[rustfmt::skip] // a line each, so that rows taken out at the same time do not collide
pub const TABLE: &[Command] = &[
    row("add ssl ech", Admin),
    row("add ssl jwt", Admin),
    row("del ssl ech", Admin),
    row("del ssl jwt", Admin),
    row("hard-reload", Admin),
    row("httpclient", Admin),
    row("set ssl ech", Admin),
    row("show acme", User),
    row("show quic", Operator),
    row("show ssl ech", Operator),
    row("show ssl jwt", Operator),
];

fn not_yet(call: &mut Call<'_>) -> Answer {
    let name = command::find(call.words).map_or("", |c| c.name);
    Answer::error(format!("'{name}' is not supported by weir yet."))
}

#[cfg(test)]
pub fn is_unbuilt(row: &Command) -> bool {
    TABLE.iter().any(|r| std::ptr::eq(r, row) || r.name == row.name)
}
