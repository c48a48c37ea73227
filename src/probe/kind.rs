//! The kinds of checks. One is a type with what the configuration says of it and an `async fn run(&self, &Job) ->
//! Finding` that opens its connections through the job and keeps its deadline.

use super::http::HttpCheck;
use super::job::Job;
use crate::config::model::{CheckKind, Proxy, Server};
use crate::health::Finding;

#[derive(Debug)]
pub enum Kind {
    /// Connecting is all.
    Connect,
    Http(HttpCheck),
}

impl Kind {
    #[must_use]
    pub fn new(proxy: &Proxy, _server: &Server) -> Self {
        match proxy.back.as_ref().map(|b| &b.check) {
            Some(CheckKind::Http(request)) => Self::Http(HttpCheck::new(proxy, request)),
            Some(CheckKind::Tcp) | None => Self::Connect,
        }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        match self {
            Self::Connect => job.connect_only().await,
            Self::Http(check) => check.run(job).await,
        }
    }
}
