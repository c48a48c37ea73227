//! `show stat`, `show info` and the schema of their JSON forms.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator, User};
use crate::stats::file::FileDump;
use crate::stats::{self, InfoFormat, Kinds, Selection, StatDump, StatFormat, info};
use std::sync::Arc;

pub const TABLE: &[Command] = &[
    Command::new(
        "show info",
        User,
        "show info [desc|json|typed|float]*",
        "tell of the running process",
        show_info,
    ),
    Command::new(
        "show stat",
        User,
        "show stat [desc|json|no-maint|typed|up]*",
        "counters of proxies and servers; [<iid>|<proxy>] <type> <sid> selects",
        show_stat,
    ),
    Command::new(
        "dump stats-file",
        User,
        "dump stats-file",
        "write the counters of what has a guid, for 'stats-file'",
        |c| {
            let mut dump = FileDump::new(Arc::clone(c.admin.live()));
            Answer::Pieces(Box::new(move |out| dump.more(out)))
        },
    ),
    Command::new("show schema json", User, "show schema json", "the schema of the JSON forms", |_| {
        Answer::text(stats::schema())
    }),
    Command::new(
        "clear counters",
        Operator,
        "clear counters [all]",
        "clear the maxima (or all counters)",
        clear_counters,
    ),
];

fn show_info(call: &mut Call<'_>) -> Answer {
    let (mut format, mut desc, mut float) = (InfoFormat::Plain, false, false);
    for word in call.words.iter().skip(2) {
        match word.as_str() {
            "typed" => format = InfoFormat::Typed,
            "json" => format = InfoFormat::Json,
            "desc" => desc = true,
            "float" => float = true,
            _ => {}
        }
    }
    Answer::text(info::dump(call.live(), format, desc, float))
}

fn show_stat(call: &mut Call<'_>) -> Answer {
    let mut selection = Selection { legends: call.session.level >= Operator, ..Selection::default() };
    let mut next = 2;
    // A selection is three words; fewer are none.
    if call.has(2) && call.has(3) && call.has(4) {
        match call.word(2).parse::<i64>() {
            Ok(id) => selection.proxy = u32::try_from(id).ok().filter(|id| *id > 0),
            Err(_) => match call.live().proxies.iter().find(|p| *p.conf.name == *call.word(2)) {
                Some(proxy) => selection.proxy = Some(proxy.conf.id),
                None => return Answer::error("No such proxy."),
            },
        }
        selection.kinds = Kinds::mask(call.word(3).parse::<i64>().unwrap_or(0));
        selection.sid = call.word(4).parse::<i64>().ok().and_then(|id| u32::try_from(id).ok());
        next = 5;
    }
    let (mut format, mut desc) = (StatFormat::Csv, false);
    for word in call.words.iter().skip(next) {
        match word.as_str() {
            "typed" => format = StatFormat::Typed { desc: false },
            "json" => format = StatFormat::Json,
            "desc" => desc = true,
            "no-maint" => selection.no_maint = true,
            "up" => selection.up = true,
            _ => {}
        }
    }
    if let StatFormat::Typed { desc: wanted } = &mut format {
        *wanted = desc;
    }
    let mut dump = StatDump::new(Arc::clone(call.admin.live()), selection, format);
    Answer::Pieces(Box::new(move |out| dump.more(out)))
}

fn clear_counters(call: &mut Call<'_>) -> Answer {
    let all = call.word(2) == "all";
    if all && call.session.level < Admin {
        return Answer::denied();
    }
    call.live().clear_counters(all);
    Answer::Done
}
