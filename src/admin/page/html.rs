//! The document: complete without scripts, so that it reads in lynx; the script then keeps it current.

use super::history::{self, Track};
use super::query::Outcome;
use super::row::{HEADINGS, Row, RowId};
use super::summary::{Summary, Tile};
use super::text::{escaped, number};
use super::words::{self, State};
use super::{View, assets, l4, reload, row, vrrp};
use crate::config::model::Mode;
use crate::l4::view::services;
use crate::live::LiveProxy;
use crate::live::applet::{Body, Gone};
use crate::stats::{Kind, Rows};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// Servers of one proxy on one page.
pub const PER_PAGE: usize = 100;

/// Rows between two pieces.
const PIECE: usize = 48 * 1024;

/// Writes the whole document.
pub async fn page(view: &View<'_>, body: &Body) -> Result<(), Gone> {
    let routers = view.request.generation.vrrp_routers().await;
    let summary = Summary::of(&view.request.generation, &view.selection).with_routers(&routers);
    let mut out = String::with_capacity(PIECE + 8192);
    head(view, &summary, &mut out);
    top(view, &mut out);
    out.push_str("<main>");
    outcome(view, &mut out);
    reload::banner(view, &mut out);
    tiles(&summary.tiles(&view.request.generation), &mut out);
    problems(view, &summary, &mut out);
    vrrp::panel(&routers, &mut out);
    l4::panel(&services(&view.request.generation), &mut out);
    out.push_str("<div id=proxies>");
    let mut rows = Rows::new(Arc::clone(&view.request.generation), view.selection.clone());
    let mut open: Option<(u32, usize)> = None;
    while let Some(subject) = rows.next(Instant::now()) {
        let proxy = subject.proxy;
        let id = proxy.conf.id;
        if open.is_none_or(|(other, _)| other != id) {
            if let Some((before, servers)) = open {
                close_section(view, before, servers, &mut out);
            }
            open_section(view, proxy, &summary, &mut out);
            open = Some((id, 0));
        }
        let Some((_, servers)) = &mut open else { continue };
        let is_server = subject.kind() == Kind::Server;
        if !is_server || view.is_on_page(id, *servers) {
            table_row(view, &Row::of(&subject), &mut out);
        }
        *servers += usize::from(is_server);
        if out.len() >= PIECE {
            body.send(std::mem::take(&mut out)).await?;
            // Others on this thread have their turn.
            tokio::task::yield_now().await;
        }
    }
    match open {
        Some((last, servers)) => close_section(view, last, servers, &mut out),
        None => out.push_str("<p class=none>No proxy matches.</p>"),
    }
    out.push_str("</div></main>");
    foot(view, &mut out);
    body.send(out).await
}

/// From the doctype to the body's beginning.
pub fn head(view: &View<'_>, summary: &Summary, out: &mut String) {
    let (uri, version) = (&view.uri, assets::version());
    let (state, headline) = summary.health();
    let node = view.node().map(|n| format!(" on {}", escaped(&n))).unwrap_or_default();
    let refresh = view.stats.refresh.map(|r| r.as_secs()).filter(|n| *n > 0 && !view.query.norefresh);
    let admin = if view.request.admin { " data-admin" } else { "" };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=en data-uri=\"{uri}\" data-refresh=\"{}\" data-seq=\"{}\"{admin}>\n<head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><meta name=robots content=noindex>\
         <title>{} - weir{node}</title><link rel=icon href=\"{}\">\
         <link rel=stylesheet href=\"{uri};stats.css;v={version}\"><script src=\"{uri};stats.js;v={version}\"></script>",
        refresh.unwrap_or(0),
        history::with(|h| h.seq),
        escaped(&headline),
        assets::icon(state),
    );
    if let Some(seconds) = refresh {
        let _ = write!(out, "<noscript><meta http-equiv=refresh content={seconds}></noscript>");
    }
    out.push_str("</head>\n<body>\n");
}

fn top(view: &View<'_>, out: &mut String) {
    let (uri, version) = (&view.uri, if view.stats.hide_version { "" } else { env!("CARGO_PKG_VERSION") });
    let _ = write!(out, "<header id=top><p class=brand><a href=\"{uri}\"><b>weir</b></a> {version}");
    if let Some(node) = view.node() {
        let _ = write!(out, " <span class=node>{}</span>", escaped(&node));
    }
    if let Some(desc) = view.description() {
        let _ = write!(out, " <span class=desc>{}</span>", escaped(&desc));
    }
    let (path, query) = view.stats.uri.split_once('?').unwrap_or((&view.stats.uri, ""));
    let _ = write!(out, "</p><form method=get action=\"{}\" role=search id=search>", escaped(path));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let _ = write!(out, "<input type=hidden name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
    }
    let _ = writeln!(
        out,
        "<input id=filter name=scope type=search maxlength=60 autocomplete=off placeholder=\"Filter by name or state\" \
         aria-label=\"Filter by name or state\" value=\"{}\"><button class=noscript>Filter</button></form>\
         <nav id=tools></nav></header>",
        escaped(view.query.scope.as_deref().unwrap_or_default()),
    );
}

fn outcome(view: &View<'_>, out: &mut String) {
    let Some(outcome) = view.query.outcome else { return };
    let (class, text) = outcome_words(outcome);
    let _ = writeln!(
        out,
        "<p class=\"banner {class}\" role=status>{text} <a href=\"{}\">Dismiss</a></p>",
        view.link("")
    );
}

/// How an action ended, in words.
#[must_use]
pub fn outcome_words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Done => ("ok", "Done."),
        Outcome::None => ("info", "Nothing has changed: no server was chosen."),
        Outcome::Part => ("warn", "Done in part: some servers are unknown, or were in that state before."),
        Outcome::Errp => (
            "bad",
            "Not done: the action, the backend or the servers are unknown, or nothing was to be changed.",
        ),
        Outcome::Excd => ("bad", "Not done: too many servers at once. Choose fewer."),
        Outcome::Deny => ("bad", "Not done: this page is for reading (stats admin)."),
        Outcome::Ival => ("bad", "Not done: the page was out of date. It is a new one now: try again."),
        Outcome::Unkn => ("warn", "Nobody knows how that ended."),
    }
}

fn tiles(tiles: &[Tile], out: &mut String) {
    out.push_str("<section id=tiles aria-label=Overview>");
    for tile in tiles {
        let class = tile.state.map(|s| format!(" state {}", s.class())).unwrap_or_default();
        let _ = write!(
            out,
            "<div class=\"tile{class}\" id=t-{}><h2>{}</h2><p class=big>{}</p>",
            tile.id,
            tile.label,
            escaped(&tile.value)
        );
        if let Some(percent) = tile.percent {
            meter(percent, out);
        }
        let _ = write!(out, "<p class=note>{}</p>", escaped(&tile.note));
        if let Some(series) = tile.series {
            let values = history::with(|h| h.total.series(series));
            spark(&values, series == 2, out);
        }
        out.push_str("</div>");
    }
    out.push_str("</section>\n");
}

fn problems(view: &View<'_>, summary: &Summary, out: &mut String) {
    let hidden = if summary.problems.is_empty() { " hidden" } else { "" };
    let _ = write!(out, "<section id=problems{hidden}><h2>Needs attention</h2><ul>");
    for problem in &summary.problems {
        let link = match problem.id {
            Some(id) => format!("\"{};row={id}\" data-row", view.uri),
            None => "\"#vrrp\"".to_owned(),
        };
        let _ = write!(
            out,
            "<li class=\"state {}\"><a href={link}>{}</a> <span>{}</span></li>",
            problem.state.class(),
            escaped(&problem.name),
            escaped(&problem.text)
        );
    }
    if summary.more_problems > 0 {
        let _ = write!(out, "<li>and {} more</li>", summary.more_problems);
    }
    out.push_str("</ul></section>\n");
}

fn open_section(view: &View<'_>, proxy: &LiveProxy, summary: &Summary, out: &mut String) {
    let conf = &proxy.conf;
    let (id, name) = (conf.id, escaped(&conf.name));
    let mode = match conf.mode {
        Mode::Tcp => "tcp",
        Mode::L4 => "l4",
        Mode::Http => "http",
    };
    let state = summary.proxies.get(&id);
    let (class, words) = state.map_or(("up", ""), |p| (p.state.class(), p.text.as_str()));
    let _ = write!(
        out,
        "<section class=proxy id=p{id} data-name=\"{name}\"><header><h2><a href=\"#p{id}\">{name}</a></h2>\
         <span class=kind>{} {mode}</span> <span class=\"badge state {class}\">{words}</span>",
        conf.kind_name(),
    );
    if let Some(desc) = conf.description.as_ref().filter(|d| !d.is_empty()) {
        let _ = write!(out, " <span class=desc>{}</span>", escaped(desc));
    }
    let main = RowId { proxy: id, kind: u32::from(conf.front.is_none()), sid: 0 };
    history::with(|h| trends(h.row(main), out));
    out.push_str("</header>");
    let has_servers = state.is_some_and(|p| p.count.servers > 0);
    if view.request.admin && has_servers {
        let _ = write!(
            out,
            "<form method=post action=\"{}\"><input type=hidden name=token value={}><input type=hidden name=ask value=1>",
            view.link(""),
            view.token
        );
    }
    out.push_str("<div class=scroll><table><thead><tr><th scope=col>Name</th>");
    for heading in &HEADINGS {
        let _ = write!(out, "<th scope=col title=\"{}\">{}</th>", escaped(heading.title), heading.label);
    }
    out.push_str("</tr></thead><tbody>\n");
}

/// The sparklines at a proxy's name.
fn trends(track: Option<&Track>, out: &mut String) {
    out.push_str(" <span class=trends>");
    for (series, label) in [(0, "sess/s"), (1, "req/s"), (2, "err/s")] {
        let values = track.map(|t| t.series(series)).unwrap_or_default();
        let now = values.last().copied().unwrap_or_default();
        let _ = write!(out, " <span class=trend><b>{}</b> {label}", super::summary::per_second(now));
        spark(&values, series == 2, out);
        out.push_str("</span>");
    }
    out.push_str("</span>");
}

/// One line of a table. The script makes the same from the same texts.
fn table_row(view: &View<'_>, row: &Row, out: &mut String) {
    let kind = match row.kind {
        Kind::Frontend => " front",
        Kind::Backend => " back",
        Kind::Server => "",
        Kind::Listener => " listener",
    };
    let _ = write!(out, "<tr id=r{} class=\"{}{kind}\"><th scope=row>", row.id, row.state.class());
    let name = escaped(&row.name);
    if view.request.admin && row.kind == Kind::Server {
        let _ = write!(out, "<input type=checkbox name=s value=\"{name}\" aria-label=\"{name}\">");
    }
    let _ = write!(out, "<a href=\"{};row={}\" data-row>{name}</a></th>", view.uri, row.id);
    for (i, cell) in row.cells.iter().enumerate() {
        let text = escaped(cell);
        let _ = match i {
            row::STATUS => {
                let title = escaped(&row.status_title);
                write!(out, "<td title=\"{title}\">{text} <span class=age>{}</span></td>", row.age)
            }
            row::CHECK if !row.check_title.is_empty() => {
                write!(out, "<td title=\"{}\">{text}</td>", escaped(&row.check_title))
            }
            row::LIMIT | row::QUEUE if gauge(row, i).is_some() => {
                let _ = write!(out, "<td>{text}");
                meter(gauge(row, i).unwrap_or(0), out);
                out.write_str("</td>")
            }
            _ if matches!(cell.as_str(), "0" | "0 / 0" | "0 B" | "0 ms") => {
                write!(out, "<td class=z>{text}</td>")
            }
            _ => write!(out, "<td>{text}</td>"),
        };
    }
    out.push_str("</tr>\n");
}

/// The percentage a cell shows beside its text.
fn gauge(row: &Row, cell: usize) -> Option<u64> {
    if cell == row::QUEUE { row.queue } else { row.load }
}

fn meter(percent: u64, out: &mut String) {
    let _ = write!(
        out,
        " <meter min=0 max=100 low=70 high=90 optimum=0 value={percent} title=\"{percent}%\">{percent}%</meter>"
    );
}

fn close_section(view: &View<'_>, id: u32, servers: usize, out: &mut String) {
    out.push_str("</tbody></table></div>");
    if servers > PER_PAGE {
        pager(view, id, servers, out);
    }
    if view.request.admin && servers > 0 {
        let _ = write!(
            out,
            "<p class=act><input type=hidden name=b value=\"#{id}\"><label>With the servers chosen: \
             <select name=action><option value=\"\">choose an action</option>"
        );
        actions(out);
        out.push_str("</select></label> <button>Apply</button></p></form>");
    }
    out.push_str("</section>\n");
}

/// The options of the list of actions.
pub fn actions(out: &mut String) {
    for action in words::ACTIONS {
        let _ = write!(
            out,
            "<option value={} title=\"{}\">{}</option>",
            action.name,
            escaped(action.effect),
            action.label
        );
    }
}

fn pager(view: &View<'_>, id: u32, servers: usize, out: &mut String) {
    let page = view.page_of(id);
    let pages = servers.div_ceil(PER_PAGE);
    let first = (page - 1) * PER_PAGE;
    let last = (first + PER_PAGE).min(servers);
    let _ = write!(out, "<p class=pager>Servers {} to {last} of {}", first + 1, number(servers as u64));
    for (there, to, word) in
        [(page > 1, page.saturating_sub(1), "previous"), (page < pages, page + 1, "next")]
    {
        if there {
            let link = view.link(&format!(";proxy={id};page={to}"));
            let _ = write!(out, " <a href=\"{link}#p{id}\">{word}</a>");
        }
    }
    out.push_str("</p>");
}

/// A line through the values, the newest at the right.
pub fn spark(values: &[f32], bad: bool, out: &mut String) {
    const HEIGHT: f32 = 20.0;
    let calm = if values.iter().all(|v| *v == 0.0) { " calm" } else { "" };
    let class = format!("spark{}{calm}", if bad { " bad" } else { "" });
    let steps = values.len().saturating_sub(1).max(1);
    let _ = write!(
        out,
        "<svg class=\"{class}\" viewBox=\"0 0 {steps} 20\" preserveAspectRatio=none aria-hidden=true>"
    );
    if values.len() > 1 {
        let top = values.iter().copied().fold(1.0_f32, f32::max);
        out.push_str("<polyline points=\"");
        for (x, value) in values.iter().enumerate() {
            let _ = write!(out, "{x},{:.1} ", HEIGHT - 1.0 - value / top * (HEIGHT - 2.0));
        }
        out.push_str("\"/>");
    }
    out.push_str("</svg>");
}

/// What became of a row: one mark for each sample.
pub fn strip(track: Option<&Track>, out: &mut String) {
    let Some(track) = track.filter(|t| !t.states.is_empty()) else { return };
    let n = track.states.len();
    let _ =
        write!(out, "<svg class=strip viewBox=\"0 0 {n} 1\" preserveAspectRatio=none role=img aria-label=\"");
    let bad = track.states.iter().filter(|s| **s >= State::Failing).count();
    let _ = write!(out, "{bad} of the last {n} samples were not healthy\">");
    let mut from = 0;
    let states: Vec<State> = track.states.iter().copied().collect();
    // Neighbours of one state are one mark.
    for chunk in states.chunk_by(|a, b| a == b) {
        let Some(state) = chunk.first() else { continue };
        let _ = write!(
            out,
            "<rect class={} x={from} width={} height=1><title>{}</title></rect>",
            state.class(),
            chunk.len(),
            state.word()
        );
        from += chunk.len();
    }
    out.push_str("</svg>");
}

/// Export links, the legend and the help.
pub fn foot(view: &View<'_>, out: &mut String) {
    let uri = &view.uri;
    let option = |set: bool, word: &str, on: &str, off: &str| {
        if set {
            format!("<a href=\"{}\">{off}</a>", view.link_without(word))
        } else {
            format!("<a href=\"{}\">{on}</a>", view.link(word))
        }
    };
    let query = &view.query;
    let _ = write!(
        out,
        "<footer><p class=links>{} {} {} <a href=\"{uri};csv\">CSV</a> <a href=\"{uri};json\">JSON</a> \
         <a href=\"{uri};json-schema\">schema</a> <a href=\"{uri};typed\">typed</a></p>",
        option(query.up, ";up", "Hide servers that are down", "Show servers that are down"),
        option(query.no_maint, ";no-maint", "Hide maintenance", "Show maintenance"),
        option(query.norefresh, ";norefresh", "Stop refreshing", "Refresh"),
    );
    out.push_str("<p class=legend>");
    for state in
        [State::Up, State::Failing, State::Rising, State::Down, State::Drain, State::Maint, State::NoCheck]
    {
        let _ = write!(out, "<span class=\"state {}\">{}</span> ", state.class(), state.word());
    }
    out.push_str("</p><details id=help><summary>Help</summary><div class=cols>");
    let _ = write!(
        out,
        "<div><h3>Keys</h3><dl><dt>/</dt><dd>filter</dd><dt>&uarr; &darr;</dt><dd>row by row</dd><dt>Enter</dt><dd>details \
         of the row</dd><dt>Space</dt><dd>choose the server</dd><dt>a</dt><dd>only what needs attention</dd><dt>p</dt><dd>pause, go on</dd><dt>t</dt><dd>light, dark, \
         as the system</dd><dt>?</dt><dd>this help</dd><dt>Esc</dt><dd>close, clear</dd></dl></div>"
    );
    for (title, letters) in
        [("Log: who ended the session", words::ENDED_BY), ("Log: in which phase", words::ENDED_WHEN)]
    {
        let _ = write!(out, "<div><h3>{title}</h3><dl>");
        for (letter, meaning) in letters {
            let _ = write!(out, "<dt>{letter}</dt><dd>{meaning}</dd>");
        }
        out.push_str("</dl></div>");
    }
    out.push_str("</div></details></footer></body></html>\n");
}
