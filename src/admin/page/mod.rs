//! The statistics page at `stats uri`.

use crate::live::applet::{self, Gone, Reply, Request, Served};

/// Answers one request.
pub fn serve(request: Request, reply: Reply) -> Served {
    Box::pin(async move {
        // A client that left wants no more.
        let _ = page(&request, reply).await;
    })
}

async fn page(request: &Request, reply: Reply) -> Result<(), Gone> {
    let mut head = applet::head(200, "OK");
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/plain");
    let body = reply.begin(head);
    for proxy in &request.generation.proxies {
        body.send(format!("{} {}\n", proxy.conf.kind_name(), proxy.conf.name)).await?;
        for server in proxy.back.iter().flat_map(|b| &b.servers) {
            let state = if server.is_up() { "UP" } else { "DOWN" };
            body.send(format!("  {} {state}\n", server.name())).await?;
        }
    }
    Ok(())
}
