//! One question to a responder: HTTP/1.1 in clear, on a connection of its own (RFC 6960 appendix A).

use crate::tasks;
use crate::tls::updates::{Failure, Order, Status};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For one address of the responder's, and for all of the rest.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// Responses are of a few kilobytes.
const LARGEST: usize = 64 * 1024;
/// A question that fits in less is part of the address, so that answers can be cached (RFC 6960 A.1).
const SHORT: usize = 255;
const QUESTION: &str = "application/ocsp-request";
const ANSWERED: &str = "application/ocsp-response";

/// Asks, by way of a proxy if there is one.
///
/// # Errors
/// See [`Failure`].
pub async fn ask(order: &Order, via: Option<SocketAddr>) -> Result<Vec<u8>, Failure> {
    let http = |reason: String| Failure { status: Status::Http, reason };
    let request = request(order, via.is_some()).map_err(http)?;
    let stream = match via {
        Some(proxy) => connect(&[proxy]).await,
        None => reach(&order.responder).await,
    };
    let stream = stream.map_err(http)?;
    let answer = timeout(ANSWER, exchange(stream, request)).await;
    answer.unwrap_or_else(|_| Err(http("no answer in time".to_owned())))
}

/// GET where the question fits into the address, else POST.
fn request(order: &Order, proxied: bool) -> Result<Request<Full<Bytes>>, String> {
    let base = order.responder.trim_end_matches('/');
    let short = order.request.len() + order.responder.len() < SHORT;
    let address =
        if short { format!("{base}/{}", in_address(&order.request)) } else { order.responder.clone() };
    let uri = uri(&address)?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let target = if proxied {
        address
    } else {
        uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
    };
    let request = Request::builder().uri(target).header(HOST, authority).header(USER_AGENT, "weir");
    let request = request.header(ACCEPT, ANSWERED);
    let request = if short {
        request.method(Method::GET).body(Full::default())
    } else {
        let body = Full::new(Bytes::copy_from_slice(&order.request));
        request.method(Method::POST).header(CONTENT_TYPE, QUESTION).body(body)
    };
    request.map_err(|e| e.to_string())
}

/// Base64, and of that what has a meaning in addresses as percent signs with hexadecimal.
fn in_address(question: &[u8]) -> String {
    let text = crate::expr::base64_encode(question, false);
    text.iter().fold(String::new(), |mut out, byte| {
        match byte {
            b'+' => out.push_str("%2B"),
            b'/' => out.push_str("%2F"),
            b'=' => out.push_str("%3D"),
            plain => out.push(char::from(*plain)),
        }
        out
    })
}

fn uri(address: &str) -> Result<Uri, String> {
    let uri: Uri = address.parse().map_err(|e| format!("responder '{address}': {e}"))?;
    match uri.scheme_str() {
        Some("http") => Ok(uri),
        _ => Err(format!("responder '{address}': weir asks over 'http://' alone")),
    }
}

async fn reach(responder: &str) -> Result<TcpStream, String> {
    let uri = uri(responder)?;
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(80);
    let addresses = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => resolve(bare, port).await?,
    };
    connect(&addresses).await
}

/// The system's resolver, on a thread of its own: it may take its time.
async fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = host.clone();
    let found = tasks::blocking(move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    let found = timeout(CONNECT, found).await.map_err(|_| format!("no address for '{host}' in time"))?;
    let found = found.ok_or("the process is ending")?;
    found.map_err(|e| format!("no address for '{host}': {e}"))
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut last = "no address".to_owned();
    for address in addresses {
        last = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("{address}: {}", crate::tls::certificate::reason(&error)),
            Err(_) => format!("{address}: no connection in time"),
        };
    }
    Err(last)
}

async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Vec<u8>, Failure> {
    let http = |e: hyper::Error| Failure { status: Status::Http, reason: e.to_string() };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let answer = async { read(sender.send_request(request).await.map_err(http)?).await };
    tokio::pin!(answer, connection);
    // The connection goes on only while it is polled; once it has ended, what it gave may still be read.
    tokio::select! {
        answer = &mut answer => answer,
        _ended = &mut connection => answer.await,
    }
}

async fn read(response: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    if response.status() != StatusCode::OK {
        return Err(Failure {
            status: Status::Http,
            reason: format!("status {}", response.status().as_u16()),
        });
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(ANSWERED) {
        return Err(Failure { status: Status::Header, reason: format!("Content-Type is '{kind}'") });
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|e| Failure { status: Status::Http, reason: e.to_string() })?;
    Ok(body.to_bytes().to_vec())
}
