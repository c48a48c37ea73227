//! Services of our own that answer requests: the statistics page, the Prometheus exporter.
//!
//! They run on the control thread, so that a page over thousands of servers never stalls a worker. The engine sends a
//! [`Request`] over and passes the answer on piece by piece; a client that reads slowly holds back its applet, not memory.

use super::Generation;
use crate::config::model::Service;
use crate::ids::ProxyIndex;
use crate::message::{Head, Version};
use crate::tasks;
use bytes::Bytes;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the control thread; more wait at their workers.
const WAITING: usize = 64;

/// Pieces of an answer under way between the threads.
const PIECES: usize = 4;

/// What an applet is told of a request.
#[derive(Debug)]
pub struct Request {
    pub generation: Arc<Generation>,
    /// Where the page is configured or the rule stands.
    pub proxy: ProxyIndex,
    pub frontend: ProxyIndex,
    pub client: Option<SocketAddr>,
    /// As it came, edited by rules.
    pub head: Head,
    /// Decoded, as much of it as fits a buffer.
    pub body: Vec<u8>,
    pub body_complete: bool,
    /// A `stats admin` condition holds.
    pub admin: bool,
}

/// An applet's answer. Without `content-length` in the head its end is where the pieces end.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub pieces: mpsc::Receiver<Bytes>,
}

/// How an applet answers; dropping it unused tells the client 500.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Answer>);

/// The body of an answer under way.
#[derive(Debug)]
pub struct Body(mpsc::Sender<Bytes>);

/// The client left: nobody reads the rest.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl Reply {
    /// Sends the head; the body ends when the [`Body`] is dropped.
    #[must_use]
    pub fn begin(self, head: Head) -> Body {
        let (sender, pieces) = mpsc::channel(PIECES);
        // Whoever asked may have left: the first piece will tell.
        let _ = self.0.send(Answer { head, pieces });
        Body(sender)
    }

    /// Sends a whole answer, whose length is told.
    pub fn whole(self, mut head: Head, body: impl Into<Bytes>) {
        let body = body.into();
        if !head.has(b"content-length") {
            head.add(b"content-length", body.len().to_string().as_bytes());
        }
        let out = self.begin(head);
        if !body.is_empty() {
            let _ = out.0.try_send(body);
        }
    }
}

impl Body {
    /// Sends a piece, waiting while the client is behind.
    ///
    /// # Errors
    /// The client left.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        let piece = piece.into();
        if piece.is_empty() {
            return Ok(());
        }
        self.0.send(piece).await.map_err(|_| Gone)
    }
}

/// The head of an answer.
#[must_use]
pub fn head(status: u16, reason: &str) -> Head {
    let mut head = Head::new();
    head.set_version(Version::HTTP_11);
    head.set_status(status);
    head.set_reason(reason.as_bytes());
    head
}

/// An applet at work on one request.
pub type Served = Pin<Box<dyn Future<Output = ()>>>;

/// One service, as the runtime registers it.
pub struct Applet {
    pub service: Service,
    pub serve: Box<dyn Fn(Request, Reply) -> Served>,
}

type Call = (Service, Request, Reply);

/// The way from the workers to the applets.
#[derive(Debug)]
pub struct Applets {
    calls: mpsc::Sender<Call>,
    /// Until [`Self::run`] takes it.
    waiting: Mutex<Option<mpsc::Receiver<Call>>>,
}

impl Default for Applets {
    fn default() -> Self {
        let (calls, waiting) = mpsc::channel(WAITING);
        Self { calls, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Applets {
    /// Asks a service. `None`: there is no such service.
    pub async fn ask(&self, service: Service, request: Request) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.calls.send((service, request, Reply(reply))).await.ok()?;
        answer.await.ok()
    }

    /// Serves calls for ever. To be started once, on the control thread.
    pub async fn run(&self, applets: &[Applet]) {
        let taken = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut calls) = taken else { return };
        while let Some((service, request, reply)) = calls.recv().await {
            if let Some(applet) = applets.iter().find(|a| a.service == service) {
                tasks::detached("applet", (applet.serve)(request, reply));
            }
        }
    }
}
