//! Backends that rules may choose, or no longer: `publish backend`, `unpublish backend`.

use super::target::backend_named;
use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::Mode;
use crate::config::model::global::Level::Admin;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("publish backend", Admin, "publish backend <backend>", "let use_backend and default_backend choose a backend again", |c| publish(c, true)),
    Command::new("unpublish backend", Admin, "unpublish backend <backend>", "let rules pass a backend over; its checks and running requests go on", |c| publish(c, false)),
    Command::new("add backend", Admin, "", "Refused: backends come with the configuration.", |_| refuse("add")),
    Command::new("del backend", Admin, "", "Refused: backends go with the configuration.", |_| refuse("del")),
];

fn publish(call: &mut Call<'_>, published: bool) -> Answer {
    if !call.has(2) {
        return Answer::error("A backend name is expected.");
    }
    let Some(proxy) = backend_named(call.live(), call.word(2)) else {
        return Answer::error("No such backend.");
    };
    if proxy.conf.mode == Mode::L4 {
        return Answer::error("No rule chooses a backend of 'mode l4': disable its servers instead.");
    }
    if let Some(back) = &proxy.back {
        back.publish(published);
    }
    Answer::info(if published { "Backend published." } else { "Backend unpublished." })
}

fn refuse(verb: &str) -> Answer {
    Answer::error(format!(
        "'{verb} backend' is not supported by weir: a running configuration keeps the backends it has. Change the \
         file and reload; servers come and go by 'add server' and 'del server'."
    ))
}
