//! The fetch table: one row per sample fetch, in families.

// Every row's `prepare` has one signature; some rows add to the list, most only look at it.
#![allow(clippy::ptr_arg)]

mod auth;
mod connection;
mod constant;
mod cookie;
mod elsewhere;
mod header;
mod hello;
mod moment;
pub(crate) mod payload;
mod process;
mod record;
pub(crate) mod request;
mod tls;
mod tls_server;
mod variable;

use super::args::{Arg, Spec};
use super::facts::TcpInfo;
use super::sample::{Sample, Type};
use super::{Facts, Scope, Site};
use std::collections::HashMap;
use std::sync::OnceLock;

pub(crate) use elsewhere::is_known_elsewhere;

/// One sample fetch.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub name: &'static str,
    /// Older spellings of the same fetch.
    pub aliases: &'static [&'static str],
    pub args: Spec,
    pub output: Type,
    pub needs: Needs,
    pub prepare: Option<super::args::Prepare>,
    pub eval: Eval,
    pub doc: &'static str,
}

/// What a fetch reads, which decides where it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Constants and the process.
    Nothing,
    /// What proxies and servers do: not known before they run.
    Internal,
    Client,
    Frontend,
    Backend,
    Server,
    /// Head of the request, only while it is there.
    Request,
    /// Bytes of the request not yet forwarded.
    RequestBytes,
    /// Something of the request that is kept to the end.
    RequestKept,
    Response,
    ResponseBytes,
    ResponseKept,
    /// Request or response head, by the direction of the rule.
    Either,
}

impl Needs {
    /// Is it there in the rules of the scope's proxy? A frontend's own rules on requests run before there is a backend.
    pub fn available_in(self, site: Site, scope: &Scope) -> bool {
        let before_routing = matches!(site, Site::TcpContent | Site::HttpRequest | Site::UseBackend)
            && scope.own.as_ref().is_some_and(|own| !own.back);
        self.available_at(site) && !(self == Self::Backend && before_routing)
    }

    pub fn available_at(self, site: Site) -> bool {
        if site == Site::Global {
            return self == Self::Nothing;
        }
        use Site::{
            Balance, Check, ErrorReply, HttpAfterResponse, HttpRequest, HttpResponse, Log, TcpConnection,
            TcpContent, TcpResponse, TcpSession, UseBackend,
        };
        let request = matches!(site, TcpContent | HttpRequest | UseBackend | Balance | ErrorReply);
        let response = matches!(site, TcpResponse | HttpResponse | HttpAfterResponse | ErrorReply | Check);
        match self {
            Self::Nothing | Self::Internal | Self::Client | Self::Frontend => true,
            Self::Backend => !matches!(site, TcpConnection | TcpSession),
            Self::Server => response || matches!(site, Log | Balance),
            Self::Request | Self::RequestBytes => request,
            Self::RequestKept => request || response || site == Log,
            Self::Response | Self::ResponseBytes => response,
            Self::ResponseKept => response || site == Log,
            Self::Either => request || response,
        }
    }

    pub fn describe(self) -> &'static str {
        match self {
            Self::Nothing | Self::Internal => "internal state",
            Self::Client => "client address",
            Self::Frontend => "client-side information",
            Self::Backend => "backend",
            Self::Server => "server information",
            Self::Request | Self::Either => "HTTP request headers",
            Self::RequestBytes => "request buffer",
            Self::RequestKept => "request-time information",
            Self::Response => "HTTP response headers",
            Self::ResponseBytes => "response buffer",
            Self::ResponseKept => "response-time information",
        }
    }
}

/// What a running fetch sees.
pub(crate) struct Call<'a> {
    pub args: &'a [Arg],
    pub facts: &'a dyn Facts,
    pub site: Site,
    /// The fetch's own.
    pub needs: Needs,
    /// A miss is final: no more bytes will be waited for.
    pub last: bool,
}

impl Call<'_> {
    /// Is it the response that is read?
    pub fn on_response(&self) -> bool {
        match self.needs {
            Needs::Response | Needs::ResponseBytes | Needs::ResponseKept => true,
            Needs::Either => {
                matches!(
                    self.site,
                    Site::TcpResponse | Site::HttpResponse | Site::HttpAfterResponse | Site::Check
                )
            }
            _ => false,
        }
    }
}

/// A sample, and whether it may still become another one as bytes arrive.
#[derive(Debug)]
pub(crate) struct Fetched<'a> {
    pub sample: Option<Sample<'a>>,
    pub may_change: bool,
}

impl<'a> Fetched<'a> {
    pub fn settled(sample: Option<Sample<'a>>) -> Self {
        Self { sample, may_change: false }
    }

    pub fn changing(sample: Option<Sample<'a>>) -> Self {
        Self { sample, may_change: true }
    }
}

pub(crate) type Read = for<'a> fn(&Call<'a>) -> Option<Sample<'a>>;
pub(crate) type ReadEach = for<'a> fn(&Call<'a>, &mut dyn FnMut(Sample<'a>) -> bool);

/// How a fetch is evaluated.
#[derive(Debug)]
pub(crate) enum Eval {
    /// One sample; whether it may change follows from what it needs.
    One(Read),
    /// Several samples for an ACL (`each`, until it answers true), one for an expression.
    Each { one: Read, each: ReadEach },
    /// Says itself whether it may change.
    Content(for<'a> fn(&Call<'a>) -> Fetched<'a>),
    /// One of the numbers the kernel keeps of the client's connection.
    Measured(fn(&TcpInfo) -> u32),
    /// Changes the facts: draws a random number, makes the unique id.
    Changing(fn(&[Arg], &mut dyn Facts) -> Option<Sample<'static>>),
}

impl Fetch {
    pub fn one<'a>(&self, call: &Call<'a>) -> Fetched<'a> {
        match self.eval {
            Eval::One(read) | Eval::Each { one: read, .. } => {
                Fetched { sample: read(call), may_change: self.unsettled(call) }
            }
            Eval::Content(read) => read(call),
            Eval::Measured(read) => {
                let info = call.facts.client_tcp();
                Fetched::settled(info.map(|info| Sample::Int(read(&info).into())))
            }
            Eval::Changing(_) => Fetched::settled(None),
        }
    }

    /// Is what this fetch reads not complete yet?
    pub fn unsettled(&self, call: &Call<'_>) -> bool {
        let facts = call.facts;
        match self.needs {
            Needs::Request => {
                facts.request().is_none() && facts.request_payload().is_some_and(|p| !p.complete)
            }
            Needs::Response => {
                facts.response().is_none() && facts.response_payload().is_some_and(|p| !p.complete)
            }
            Needs::RequestBytes => facts.request_payload().is_none_or(|p| !p.complete),
            Needs::ResponseBytes => facts.response_payload().is_none_or(|p| !p.complete),
            _ => false,
        }
    }
}

/// A table row without the rarely used columns.
pub(crate) const fn row(
    name: &'static str,
    args: Spec,
    output: Type,
    needs: Needs,
    eval: Eval,
    doc: &'static str,
) -> Fetch {
    Fetch { name, aliases: &[], args, output, needs, prepare: None, eval, doc }
}

impl Fetch {
    pub(crate) const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn prepared(mut self, prepare: fn(&mut Vec<Arg>) -> Result<(), String>) -> Self {
        self.prepare = Some(super::args::Prepare::Alone(prepare));
        self
    }

    const fn prepared_in(mut self, prepare: fn(&mut Vec<Arg>, &Scope) -> Result<(), String>) -> Self {
        self.prepare = Some(super::args::Prepare::InScope(prepare));
        self
    }
}

/// Families, in the manual's order.
pub(crate) const FAMILIES: &[(&str, &[Fetch])] = &[
    ("Constants", constant::ROWS),
    ("Process, proxies and servers", process::ROWS),
    ("Connection", connection::ROWS),
    ("TLS", tls::ROWS),
    ("TLS with servers", tls_server::ROWS),
    ("HTTP request line", request::ROWS),
    ("HTTP headers", header::ROWS),
    ("Cookies", cookie::ROWS),
    ("Authentication", auth::ROWS),
    ("Received bytes and bodies", payload::ROWS),
    ("TLS hello in received bytes", hello::ROWS),
    ("Variables", variable::ROWS),
    ("Dates, random numbers and ids", moment::ROWS),
    ("Captures, times and counts", record::ROWS),
];

pub(crate) fn rows() -> impl Iterator<Item = &'static Fetch> {
    FAMILIES.iter().flat_map(|(_, rows)| rows.iter())
}

pub(crate) fn by_name(name: &str) -> Option<&'static Fetch> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Fetch>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        rows()
            .flat_map(|r| std::iter::once((r.name, r)).chain(r.aliases.iter().map(move |a| (*a, r))))
            .collect()
    });
    table.get(name).copied()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|r| r.name)
}
