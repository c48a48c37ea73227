//! `http-request use-service prometheus-exporter`: the metrics of `stats::prometheus` as an answer to a request.

use super::l4_metrics;
use crate::config::model::Service;
use crate::l4::view;
use crate::live::applet::{self, Applet, Gone, Reply, Request};
use crate::message::Method;
use crate::stats::prometheus::{Gathering, Wanted, process};
use crate::stats::{Kind, vrrp};

/// Rows between two looks at what else the thread has to do.
const ROWS: usize = 200;

/// Scopes in HAProxy's order.
const KINDS: [Kind; 4] = [Kind::Frontend, Kind::Listener, Kind::Backend, Kind::Server];

#[must_use]
pub fn applet() -> Applet {
    let serve = |request: Request, reply: Reply| -> applet::Served {
        Box::pin(async move {
            // A client that left wants no more.
            let _ = answer(&request, reply).await;
        })
    };
    Applet { service: Service::Prometheus, serve: Box::new(serve) }
}

async fn answer(request: &Request, reply: Reply) -> Result<(), Gone> {
    let target = String::from_utf8_lossy(request.head.target()).into_owned();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let Some(wanted) = Wanted::parse(query) else {
        let mut head = applet::head(400, "Bad request");
        head.add(b"cache-control", b"no-cache");
        head.add(b"content-type", b"text/plain");
        reply.whole(
            head,
            "scope is one of global, frontend, listener, backend, server, sticktable, vrrp, l4, *\n",
        );
        return Ok(());
    };
    if !matches!(request.head.method(), Method::Get | Method::Head) {
        let mut head = applet::head(405, "Method Not Allowed");
        head.add(b"allow", b"GET, HEAD");
        reply.whole(head, "");
        return Ok(());
    }
    let mut head = applet::head(200, "OK");
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/plain; version=0.0.4");
    let body = reply.begin(head);
    let mut own = String::new();
    process(&request.generation, &wanted, &mut own);
    own.push_str(&vrrp::metrics(&request.generation.vrrp_routers().await, &wanted));
    if wanted.l4 {
        let refused = request.generation.process.l4.events();
        own.push_str(&l4_metrics::metrics(&view::services(&request.generation), &refused, &wanted));
    }
    body.send(own).await?;
    for kind in KINDS.into_iter().filter(|kind| wanted.kinds.has(*kind)) {
        let mut gathering = Gathering::new(&request.generation, kind, &wanted);
        while gathering.more(ROWS) {
            tokio::task::yield_now().await;
        }
        for piece in gathering.pieces() {
            body.send(piece).await?;
        }
    }
    Ok(())
}
