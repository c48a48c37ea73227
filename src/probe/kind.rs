//! The kinds of checks. One is a type with what the configuration says of it and an `async fn run(&self, &Job) ->
//! Finding` that opens its connections through the job and keeps its deadline.

use super::dns::DnsCheck;
use super::external::ExternalCheck;
use super::job::Job;
use super::ping::PingCheck;
use super::rules::RuleCheck;
use super::startup::Means;
use super::udp::UdpCheck;
use crate::config::model::{CheckKind, Proxy, Server};
use crate::health::Finding;

#[derive(Debug)]
pub enum Kind {
    /// Connecting is all.
    Connect {
        /// `option tcp-check` was written, whose failures say so.
        by_rule: bool,
    },
    Rules(RuleCheck),
    /// Boxed, as the rarer ones are: there are thousands of kinds in memory.
    External(Box<ExternalCheck>),
    Ping(PingCheck),
    Udp(Box<UdpCheck>),
    Dns(Box<DnsCheck>),
}

impl Kind {
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, means: &Means) -> Self {
        let own = server.check.as_ref().and_then(|c| c.kind.as_ref());
        let secure = server.check.as_ref().is_some_and(|c| c.ssl);
        match own.or(proxy.back.as_ref().map(|b| &b.check)) {
            Some(CheckKind::Rules(rules)) if rules.is_bare() && !secure => Self::Connect { by_rule: true },
            Some(CheckKind::Rules(rules)) => Self::Rules(RuleCheck::new(rules)),
            Some(CheckKind::External { dynamic_weight }) => {
                Self::External(Box::new(ExternalCheck::new(proxy, server, means, *dynamic_weight)))
            }
            Some(CheckKind::Ping) => Self::Ping(PingCheck::new(means)),
            Some(CheckKind::Udp(udp)) => Self::Udp(Box::new(UdpCheck::new(udp))),
            Some(CheckKind::Dns(question)) => Self::Dns(Box::new(DnsCheck::new(question))),
            _ if secure => Self::Rules(RuleCheck::connecting()),
            Some(CheckKind::Tcp) | None => Self::Connect { by_rule: false },
        }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        match self {
            Self::Connect { by_rule } => job.connect_only(*by_rule).await,
            Self::Rules(check) => check.run(job).await,
            Self::External(check) => check.run(job).await,
            Self::Ping(check) => check.run(job).await,
            Self::Udp(check) => check.run(job).await,
            Self::Dns(check) => check.run(job).await,
        }
    }
}
