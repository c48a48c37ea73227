//! Commands about parts a configuration may leave out, and that no configuration of weir can have yet: stick tables,
//! peers, caches, resolvers. They answer as HAProxy does where none is configured.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Operator, User};

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("clear table", Operator, "clear table <table> [<filter>]*", "remove entries of a stick table (weir has none yet)", clear_table),
    Command::new("set table", Operator, "set table <table> key <k> [data.* <v>]*", "change an entry of a stick table (weir has none yet)", set_table),
    Command::new("show cache", Operator, "show cache", "list the caches (weir has none yet)", |_| Answer::Done),
    Command::new("show peers", User, "show peers [dict|-] [section]", "list the peers (weir has none yet)", |c| named(c, 2, "No such peers\n")),
    Command::new("show resolvers", User, "show resolvers [id]", "show the resolvers' counters (weir has none yet)", |c| named(c, 2, "Can't find that resolvers section\n")),
    Command::new("show table", Operator, "show table <table> [<filter>]*", "list the stick tables, or the entries of one (weir has none yet)", |c| named(c, 2, NO_TABLE)),
];

const NO_TABLE: &str = "No such table\n";

/// Lists nothing; whoever is asked for by name is not there.
fn named(call: &Call<'_>, at: usize, absent: &str) -> Answer {
    match call.word(at) {
        "" | "-" | "dict" => Answer::Done,
        _ => Answer::Message(severity::ERR, absent.to_owned()),
    }
}

fn set_table(call: &mut Call<'_>) -> Answer {
    match call.has(2) {
        true => Answer::error(NO_TABLE),
        false => Answer::error("Required arguments: <table> key <key> [data.<store_data_type> <value>]*"),
    }
}

fn clear_table(call: &mut Call<'_>) -> Answer {
    match call.has(2) {
        true => Answer::error(NO_TABLE),
        false => Answer::error(
            "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>",
        ),
    }
}
