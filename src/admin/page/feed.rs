//! What the page's script asks for every few seconds: the texts of all rows, so that it formats nothing itself.

use super::history;
use super::row::{Row, RowId};
use super::summary::Summary;
use super::text::json;
use super::{View, assets, l4, reload, vrrp};
use crate::l4::view::services;
use crate::live::applet::{Body, Gone};
use crate::stats::{Kind, Rows};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

const PIECE: usize = 32 * 1024;

/// Writes the document: figures, problems, proxies, virtual routers, services in mode l4, rows.
pub async fn write(view: &View<'_>, body: &Body) -> Result<(), Gone> {
    let generation = &view.request.generation;
    let routers = generation.vrrp_routers().await;
    let summary = Summary::of(generation, &view.selection).with_routers(&routers);
    let mut out = String::with_capacity(PIECE + 4096);
    opening(view, &summary, &mut out);
    out.push_str("],\"vrrp\":[");
    vrrp::feed(&routers, &mut out);
    out.push_str("],\"l4\":[");
    l4::feed(&services(generation), &mut out);
    out.push_str("],\"rows\":[");
    let mut rows = Rows::new(Arc::clone(generation), view.selection.clone());
    let mut first = true;
    while let Some(subject) = rows.next(Instant::now()) {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        row(&Row::of(&subject), &mut out);
        if out.len() >= PIECE {
            body.send(std::mem::take(&mut out)).await?;
            tokio::task::yield_now().await;
        }
    }
    out.push_str("]}");
    body.send(out).await
}

fn opening(view: &View<'_>, summary: &Summary, out: &mut String) {
    let seq = history::with(|h| h.seq);
    let fresh = seq > view.query.seq;
    let (state, headline) = summary.health();
    let _ = write!(
        out,
        "{{\"seq\":{seq},\"version\":\"{}\",\"icon\":\"{}\",\"title\":",
        assets::version(),
        assets::icon(state)
    );
    json(&headline, out);
    out.push_str(",\"tiles\":[");
    for (i, tile) in summary.tiles(&view.request.generation).iter().enumerate() {
        out.push_str(if i > 0 { ",[\"" } else { "[\"" });
        out.push_str(tile.id);
        out.push_str("\",");
        json(&tile.value, out);
        out.push(',');
        json(&tile.note, out);
        let _ = write!(out, ",\"{}\",{}", tile.state.map_or("", |s| s.class()), tile.percent.unwrap_or(0));
        if let Some(series) = tile.series.filter(|_| fresh) {
            out.push(',');
            numbers(&history::with(|h| h.total.series(series)), out);
        }
        out.push(']');
    }
    out.push_str("],\"problems\":[");
    for (i, problem) in summary.problems.iter().enumerate() {
        let id = problem.id.map(|id| id.to_string()).unwrap_or_default();
        let _ = write!(out, "{}[\"{id}\",\"{}\",", if i > 0 { "," } else { "" }, problem.state.class());
        json(&problem.name, out);
        out.push(',');
        json(&problem.text, out);
        out.push(']');
    }
    let _ = write!(out, "],\"more\":{},\"reload\":[", summary.more_problems);
    reload::feed(view, out);
    out.push_str("],\"proxies\":[");
    let mut first = true;
    for proxy in &view.request.generation.proxies {
        let Some(state) = summary.proxies.get(&proxy.conf.id) else { continue };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        let _ = write!(out, "[{},\"{}\",", proxy.conf.id, state.state.class());
        json(&state.text, out);
        if fresh {
            let id = RowId { proxy: proxy.conf.id, kind: u32::from(proxy.conf.front.is_none()), sid: 0 };
            for series in 0..3 {
                out.push(',');
                numbers(&history::with(|h| h.row(id).map(|t| t.series(series))).unwrap_or_default(), out);
            }
        }
        out.push(']');
    }
}

/// `[id, class, name, kind, load, queue, status title, check title, age, cell, cell…]`
fn row(row: &Row, out: &mut String) {
    let kind = match row.kind {
        Kind::Frontend => "front",
        Kind::Backend => "back",
        Kind::Server => "",
        Kind::Listener => "listener",
    };
    let _ = write!(out, "[\"{}\",\"{}\",", row.id, row.state.class());
    json(&row.name, out);
    let percent = |n: Option<u64>| n.map_or(-1, |n| n as i64);
    let _ = write!(out, ",\"{kind}\",{},{},", percent(row.load), percent(row.queue));
    json(&row.status_title, out);
    out.push(',');
    json(&row.check_title, out);
    out.push(',');
    json(&row.age, out);
    for cell in &row.cells {
        out.push(',');
        json(cell, out);
    }
    out.push_str("]\n");
}

fn numbers(values: &[f32], out: &mut String) {
    out.push('[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let rounded = (value * 10.0).round() / 10.0;
        let _ = write!(out, "{rounded}");
    }
    out.push(']');
}
