//! One row with all it knows: every column in words, the past ten minutes, the last check.

use super::row::{self, RowId};
use super::summary::{Summary, per_second};
use super::text::escaped;
use super::words;
use super::{View, history, html};
use crate::stats::columns::COLUMNS;
use crate::stats::{Kind, Rows, Selection, Subject};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// The page of one row, or the `part` of it that a dialog shows. `None`: there is no such row.
#[must_use]
pub fn page(view: &View<'_>, id: RowId, part: bool) -> Option<String> {
    let selection = Selection { proxy: Some(id.proxy), sid: Some(id.sid), ..view.selection.clone() };
    let mut rows = Rows::new(Arc::clone(&view.request.generation), selection);
    let now = Instant::now();
    while let Some(subject) = rows.next(now) {
        if row::id_of(&subject) == id {
            return Some(document(view, &subject, part));
        }
    }
    None
}

fn document(view: &View<'_>, subject: &Subject<'_>, part: bool) -> String {
    let mut out = String::with_capacity(16 * 1024);
    if part {
        about(view, subject, &mut out);
        return out;
    }
    html::head(view, &Summary::of(&view.request.generation, &view.selection), &mut out);
    let _ = write!(
        out,
        "<header id=top><p class=brand><a href=\"{}\"><b>weir</b></a></p></header><main class=single>",
        view.uri
    );
    about(view, subject, &mut out);
    out.push_str("</main></body></html>\n");
    out
}

fn about(view: &View<'_>, subject: &Subject<'_>, out: &mut String) {
    let proxy = &subject.proxy.conf;
    let cells = row::Row::of(subject);
    let status = cells.status();
    let _ = write!(
        out,
        "<article><h2 id=about><a href=\"{}#p{}\">{}</a> / {}</h2><p class=\"badge state {}\">{}</p> <p>{}</p>",
        view.uri,
        proxy.id,
        escaped(&proxy.name),
        escaped(&cells.name),
        cells.state.class(),
        escaped(&status),
        escaped(&cells.status_title),
    );
    if !cells.check_title.is_empty() {
        let _ = write!(
            out,
            "<p><b>Last check</b> {}: {}</p>",
            escaped(&cells.cells[row::CHECK]),
            escaped(&cells.check_title)
        );
    }
    past(cells.id, subject.kind(), out);
    if view.request.admin && subject.kind() == Kind::Server {
        let _ = write!(
            out,
            "<form method=post action=\"{}\"><input type=hidden name=token value={}><input type=hidden name=ask value=1>\
             <input type=hidden name=s value=\"{}\"><input type=hidden name=b value=\"#{}\"><p class=act><label>Action: \
             <select name=action><option value=\"\">choose an action</option>",
            view.link(""),
            view.token,
            escaped(&cells.name),
            proxy.id
        );
        html::actions(out);
        out.push_str("</select></label> <button>Apply</button></p></form>");
    }
    out.push_str("<table class=all><thead><tr><th scope=col>Column<th scope=col>Value<th scope=col>Meaning</thead><tbody>");
    for column in COLUMNS {
        let value = row::text_of(column, subject);
        if !value.is_empty() {
            let _ = write!(
                out,
                "<tr><th scope=row>{}<td>{}<td>{}",
                column.name,
                escaped(&value),
                escaped(column.words)
            );
        }
    }
    out.push_str("</tbody></table></article>");
}

/// Sparklines and the strip of states.
fn past(id: RowId, kind: Kind, out: &mut String) {
    history::with(|h| {
        let Some(track) = h.row(id) else { return };
        let span = history::EVERY.as_secs() * track.states.len() as u64;
        let _ = write!(out, "<div class=past><h3>The last {}</h3>", super::text::seconds(span));
        for (series, label) in [(0, "sessions/s"), (1, "requests/s"), (2, "errors/s")] {
            let values = track.series(series);
            let now = values.last().copied().unwrap_or_default();
            let top = values.iter().copied().fold(0.0_f32, f32::max);
            let _ = write!(
                out,
                "<p class=trend><b>{}</b> {label} <small>at most {}</small>",
                per_second(now),
                per_second(top)
            );
            html::spark(&values, series == 2, out);
            out.push_str("</p>");
        }
        if kind == Kind::Server {
            out.push_str("<p>Health</p>");
            html::strip(Some(track), out);
        }
        out.push_str("</div>");
    });
}

/// Asks before acting, where no script can.
#[must_use]
pub fn confirmation(view: &View<'_>, form: &super::form::Form, backend: &str) -> String {
    let mut out = String::new();
    html::head(view, &Summary::of(&view.request.generation, &view.selection), &mut out);
    let action = words::ACTIONS.iter().find(|a| form.action.as_deref() == Some(a.name));
    let (label, effect) = action.map_or(("", ""), |a| (a.label, a.effect));
    let _ = write!(
        out,
        "<main class=single><article><h2>{label}?</h2><p>In backend <b>{}</b>:</p><ul>",
        escaped(backend)
    );
    for server in &form.servers {
        let _ = write!(out, "<li>{}</li>", escaped(server));
    }
    let _ = write!(
        out,
        "</ul><p>{effect}</p><form method=post action=\"{}\"><input type=hidden name=token value={}>",
        view.link(""),
        view.token
    );
    for server in &form.servers {
        let _ = write!(out, "<input type=hidden name=s value=\"{}\">", escaped(server));
    }
    for (name, value) in [("b", &form.backend), ("action", &form.action)] {
        let _ = write!(
            out,
            "<input type=hidden name={name} value=\"{}\">",
            escaped(value.as_deref().unwrap_or_default())
        );
    }
    let _ = writeln!(
        out,
        "<p class=act><button>{label}</button> <a href=\"{}\">Cancel</a></p></form></article></main></body></html>",
        view.link("")
    );
    out
}
