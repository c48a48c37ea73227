//! The kinds of checks. One is a type with what the configuration says of it and an `async fn run(&self, &Job) ->
//! Finding` that opens its connections through the job and keeps its deadline.

use super::job::Job;
use super::rules::RuleCheck;
use crate::config::model::{CheckKind, Proxy, Server};
use crate::health::Finding;

#[derive(Debug)]
pub enum Kind {
    /// Connecting is all.
    Connect,
    Rules(RuleCheck),
}

impl Kind {
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server) -> Self {
        let own = server.check.as_ref().and_then(|c| c.kind.as_ref());
        match own.or(proxy.back.as_ref().map(|b| &b.check)) {
            Some(CheckKind::Rules(rules)) => Self::Rules(RuleCheck::new(rules)),
            Some(CheckKind::Tcp) | None => Self::Connect,
        }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        match self {
            Self::Connect => job.connect_only().await,
            Self::Rules(check) => check.run(job).await,
        }
    }
}
