//! The statistics page at `stats uri`: HAProxy's addresses, forms and answers, and a page of our own.
//!
//! `query` reads the address, `form` and `guard` a POST, `act` does it. `row` turns a row of `stats` into texts, which
//! `html` puts into a document that needs no script and `feed` into what the script (assets/stats.js) keeps it current
//! with. `history` remembers what the sparklines show. A further panel is one more function that `html::page` calls.

mod act;
mod assets;
mod detail;
mod feed;
mod form;
mod guard;
pub mod history;
mod html;
mod l4;
mod query;
mod reload;
mod row;
mod summary;
mod text;
mod vrrp;
mod words;

use crate::config::model::{Service, Stats};
use crate::live::applet::{self, Applet, Gone, Reply, Request};
use crate::message::{Head, Method};
use crate::stats::{Selection, StatDump, StatFormat};
use crate::{logging, probe, stats};
use form::Form;
use guard::Refusal;
use query::{Form as Shape, Outcome, Query};
use row::RowId;
use std::rc::Rc;
use std::sync::Arc;

/// What may run, load and be asked by the page: its own files and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The applet, which logs changes through `log`.
#[must_use]
pub fn applet(log: Rc<logging::Sender>) -> Applet {
    let serve = move |request: Request, reply: Reply| -> applet::Served {
        let log = Rc::clone(&log);
        Box::pin(async move {
            // A client that left wants no more.
            let _ = answer(&request, reply, &log).await;
        })
    };
    Applet { service: Service::Stats, serve: Box::new(serve) }
}

/// What one request may see and asked for.
pub struct View<'a> {
    request: &'a Request,
    stats: &'a Stats,
    query: Query,
    selection: Selection,
    /// The page's address, ready for an attribute.
    uri: String,
    token: String,
}

async fn answer(request: &Request, reply: Reply, log: &logging::Sender) -> Result<(), Gone> {
    let generation = Arc::clone(&request.generation);
    let Some(proxy) = generation.proxy(request.proxy) else { return Ok(()) };
    let Some(conf) = &proxy.conf.stats else { return Ok(()) };
    let query = Query::parse(&String::from_utf8_lossy(request.head.target()), &conf.uri);
    let view = View {
        request,
        stats: conf,
        selection: selection(conf, &query, &proxy.conf.name),
        query,
        uri: text::escaped(&conf.uri),
        token: if request.admin { guard::token(&request.head, proxy.conf.id) } else { String::new() },
    };
    if request.head.method() == Method::Post {
        post(&view, reply, proxy.conf.id, log);
        return Ok(());
    }
    match view.query.form {
        Shape::Style => file(reply, "text/css; charset=utf-8", assets::STYLE),
        Shape::Script => file(reply, "text/javascript; charset=utf-8", assets::SCRIPT),
        Shape::Csv => return dump(&view, reply, StatFormat::Csv, "text/plain").await,
        Shape::Typed => return dump(&view, reply, StatFormat::Typed { desc: false }, "text/plain").await,
        Shape::Json => return dump(&view, reply, StatFormat::Json, "application/json").await,
        Shape::JsonSchema => {
            let body = reply.begin(view.refreshing(head(200, "OK", "application/json")));
            return body.send(stats::schema()).await;
        }
        Shape::Live => {
            let body = reply.begin(secured(head(200, "OK", "application/json")));
            return feed::write(&view, &body).await;
        }
        Shape::Row { at: (proxy, kind, sid), part } => {
            match detail::page(&view, RowId { proxy, kind, sid }, part) {
                Some(text) => reply.whole(secured(html_head(200, "OK")), text),
                None => reply.whole(secured(html_head(404, "Not Found")), "<p>There is no such row.</p>"),
            }
        }
        Shape::Page => {
            let body = reply.begin(secured(html_head(200, "OK")));
            return html::page(&view, &body).await;
        }
    }
    Ok(())
}

fn selection(stats: &Stats, query: &Query, own: &str) -> Selection {
    let names = stats.scope.iter().map(|name| if name == "." { own.to_owned() } else { name.clone() });
    Selection {
        up: query.up,
        no_maint: query.no_maint,
        search: query.scope.clone(),
        names: (!stats.scope.is_empty()).then(|| names.collect()),
        legends: stats.show_legends,
        modules: stats.show_modules,
        ..Selection::default()
    }
}

/// CSV, JSON or the typed form, in pieces.
async fn dump(view: &View<'_>, reply: Reply, format: StatFormat, kind: &str) -> Result<(), Gone> {
    let body = reply.begin(view.refreshing(head(200, "OK", kind)));
    let mut dump = StatDump::new(Arc::clone(&view.request.generation), view.selection.clone(), format);
    loop {
        let mut piece = Vec::new();
        let more = dump.more(&mut piece);
        body.send(piece).await?;
        if !more {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

fn file(reply: Reply, kind: &str, text: &'static str) {
    let mut head = secured(head(200, "OK", kind));
    // Its address changes with it.
    head.set(b"cache-control", b"private, max-age=604800");
    reply.whole(head, text);
}

fn post(view: &View<'_>, reply: Reply, id: u32, log: &logging::Sender) {
    let request = view.request;
    if !request.admin {
        return redirect(view, reply, Outcome::Deny);
    }
    if !request.body_complete {
        return redirect(view, reply, Outcome::Excd);
    }
    let form = match Form::parse(&request.body) {
        Ok(form) => form,
        Err(outcome) => return redirect(view, reply, outcome),
    };
    match guard::check(&request.head, id, form.token.as_deref()) {
        Err(Refusal::Foreign) => {
            let text = "Refused: the request came from another site. If weir stands behind a proxy, that proxy must keep the Host \
                        header.\n";
            return reply.whole(secured(head(403, "Forbidden", "text/plain")), text);
        }
        Err(Refusal::Stale) => return redirect(view, reply, Outcome::Ival),
        Ok(()) => {}
    }
    let backend = form.backend.as_deref().and_then(|name| act::backend(&request.generation, name));
    if form.ask
        && !form.servers.is_empty()
        && let Some(backend) = backend
        && form.action.as_deref().is_some_and(|name| words::ACTIONS.iter().any(|a| a.name == name))
    {
        let page = detail::confirmation(view, &form, &backend.conf.name);
        return reply.whole(secured(html_head(200, "OK")), page);
    }
    let outcome = act::apply(&request.generation, &form, |notices| {
        notices.iter().for_each(|notice| probe::report(&request.generation, log, notice));
    });
    if request.head.first(b"accept") == Some(b"application/json") {
        let (class, words) = html::outcome_words(outcome);
        let mut text = format!("{{\"code\":\"{}\",\"class\":\"{class}\",\"text\":", outcome.code());
        text::json(words, &mut text);
        text.push('}');
        return reply.whole(secured(head(200, "OK", "application/json")), text);
    }
    redirect(view, reply, outcome);
}

/// HAProxy's answer to every action: back to the page, with a code.
fn redirect(view: &View<'_>, reply: Reply, outcome: Outcome) {
    let query = &view.query;
    let mut location = format!("{};st={}", view.stats.uri, outcome.code());
    if query.up {
        location.push_str(";up");
    }
    if query.norefresh && view.stats.refresh.is_some() {
        location.push_str(";norefresh");
    }
    if let Some(scope) = &query.scope {
        location.push_str("?scope=");
        location.push_str(scope);
    }
    let mut head = head(303, "See Other", "text/plain");
    head.add(b"content-length", b"0");
    head.add(b"location", location.as_bytes());
    reply.whole(head, "");
}

fn head(status: u16, reason: &str, kind: &str) -> Head {
    let mut head = applet::head(status, reason);
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", kind.as_bytes());
    head
}

fn html_head(status: u16, reason: &str) -> Head {
    head(status, reason, "text/html; charset=utf-8")
}

fn secured(mut head: Head) -> Head {
    head.add(b"content-security-policy", POLICY.as_bytes());
    head.add(b"x-content-type-options", b"nosniff");
    head.add(b"x-frame-options", b"DENY");
    head.add(b"referrer-policy", b"same-origin");
    head
}

impl View<'_> {
    /// HAProxy's header for those who watch CSV in a browser.
    fn refreshing(&self, mut head: Head) -> Head {
        if let Some(delay) = self.stats.refresh.filter(|d| d.as_secs() > 0 && !self.query.norefresh) {
            head.add(b"refresh", delay.as_secs().to_string().as_bytes());
        }
        head.add(b"x-content-type-options", b"nosniff");
        head
    }

    /// `stats show-node`
    fn node(&self) -> Option<String> {
        let name = self.stats.show_node.as_ref()?;
        let global = &self.request.generation.config.global;
        Some(match (name.is_empty(), &global.node) {
            (false, _) => name.clone(),
            (true, Some(node)) => node.clone(),
            (true, None) => self.request.generation.process.hostname.clone(),
        })
    }

    /// `stats show-desc`
    fn description(&self) -> Option<String> {
        let text = self.stats.show_desc.as_ref()?;
        let global = &self.request.generation.config.global;
        if text.is_empty() { global.description.clone() } else { Some(text.clone()) }
    }

    /// The page with its present options and `more` of them, ready for an attribute.
    fn link(&self, more: &str) -> String {
        self.link_of(more, "")
    }

    fn link_without(&self, word: &str) -> String {
        self.link_of("", word)
    }

    fn link_of(&self, more: &str, without: &str) -> String {
        let mut link = self.stats.uri.clone();
        for (set, word) in
            [(self.query.up, ";up"), (self.query.no_maint, ";no-maint"), (self.query.norefresh, ";norefresh")]
        {
            if set && word != without {
                link.push_str(word);
            }
        }
        link.push_str(more);
        if let Some(scope) = &self.query.scope {
            link.push_str("?scope=");
            link.push_str(scope);
        }
        text::escaped(&link)
    }

    /// The page of servers shown of a proxy, from 1.
    fn page_of(&self, id: u32) -> usize {
        if self.query.proxy == Some(id) { self.query.page.clamp(1, 100_000) } else { 1 }
    }

    fn is_on_page(&self, id: u32, server: usize) -> bool {
        server / html::PER_PAGE == self.page_of(id) - 1
    }
}
