//! Cookie values made of a key and the servers' addresses (`cookie ... dynamic`).

use super::target;
use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::dynamic_cookie;
use crate::config::model::global::Level::Admin;
use crate::live::{Equal, Generation, LiveBackend};
use std::io::Write as _;

pub const TABLE: &[Command] = &[
    Command::new(
        "disable dynamic-cookie backend",
        Admin,
        "disable dynamic-cookie backend <bk>",
        "take the made cookie values of a backend's servers away",
        |c| with_backend(c, |_, b| Ok(b.switch_dynamic_cookies(false))),
    ),
    Command::new(
        "enable dynamic-cookie backend",
        Admin,
        "enable dynamic-cookie backend <bk>",
        "make cookie values for a backend's servers that have none, if it has a key",
        |c| with_backend(c, |_, b| Ok(b.switch_dynamic_cookies(true))),
    ),
    Command::new(
        "set dynamic-cookie-key backend",
        Admin,
        "set dynamic-cookie-key backend <bk> <k>",
        "change the key that cookie values are made with",
        |c| {
            with_backend(c, |c, b| match c.word(4) {
                "" => Err(Answer::error("String value expected.")),
                key => Ok(b.set_dynamic_cookie_key(key)),
            })
        },
    ),
];

fn with_backend(
    call: &mut Call<'_>,
    run: impl FnOnce(&Call<'_>, &LiveBackend) -> Result<Equal, Answer>,
) -> Answer {
    if !call.has(3) {
        return Answer::error("A backend name is expected.");
    }
    let Some(proxy) = target::backend_named(call.live(), call.word(3)) else {
        return Answer::error("No such backend.");
    };
    let Some(backend) = &proxy.back else { return Answer::error("No such backend.") };
    match run(call, backend) {
        Ok(equal) => {
            warn(call.live(), &proxy.conf.name, equal);
            Answer::Done
        }
        Err(answer) => answer,
    }
}

/// Says on standard error that two servers share their clients.
pub(super) fn warn(live: &Generation, backend: &str, equal: Equal) {
    if equal.0 && !live.config.global.quiet {
        let text = dynamic_cookie::equal_values(backend);
        // Nobody may be reading there.
        let _written = writeln!(std::io::stderr(), "[WARNING]  ({}) : {text}", live.process.pid);
    }
}
