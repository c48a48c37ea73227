//! What a program is given, and one run of it.

use super::super::startup::Means;
use crate::config::model::bind::Address;
use crate::config::model::{Endpoint, Mode, Protocol, Proxy, Server};
use crate::program::{self, FirstLine, Prints, Program};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// So many programs run at once, in the whole process; further checks wait for their turn.
const RUNNING_MAX: usize = 256;
/// Programs that are still there this long after SIGTERM get SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// What HAProxy passes where an address or a port makes no sense.
const NOT_USED: &str = "NOT_USED";

static ROOM: Semaphore = Semaphore::const_new(RUNNING_MAX);

/// What is run for one server.
#[derive(Clone, Debug)]
pub struct Script {
    command: Arc<str>,
    /// `external-check path`
    path: Arc<str>,
    /// The environment of `external-check preserve-env`.
    inherited: Option<Arc<[(String, String)]>>,
    proxy: Listener,
    /// `HAPROXY_PROXY_ID`, `_NAME`, and the server's constant ones.
    constant: Vec<(&'static str, String)>,
    /// Open files allowed when the process started: (soft, hard).
    open_files: Option<(u64, u64)>,
}

/// What of the server may change from one run to the next.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    pub endpoint: &'a Endpoint,
    pub connections: u32,
    pub maxconn: u32,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    Exited(u8),
    Signalled,
    TimedOut,
    /// The program could not be executed.
    NotExecuted(io::Error),
    /// No process could be made.
    NotStarted(io::Error),
}

/// One run.
#[derive(Debug)]
pub struct Run {
    pub ended: Ended,
    /// The first line it printed.
    pub text: Option<String>,
}

/// An address and port as the program gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    address: OsString,
    port: Option<u16>,
    /// There is none: the variable is empty, the argument says so.
    none: bool,
}

impl Script {
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, means: &Means) -> Self {
        let own = server.check.as_ref().and_then(|c| c.external.as_deref());
        let said = own.or(proxy.back.as_ref().map(|b| &b.external)).cloned().unwrap_or_default();
        let protocol = match server.protocol {
            _ if proxy.mode != Mode::Http => "tcp",
            Some(Protocol::H2) => "h2",
            _ => "h1",
        };
        let constant = vec![
            ("HAPROXY_PROXY_ID", proxy.id.to_string()),
            ("HAPROXY_PROXY_NAME", proxy.name.to_string()),
            ("HAPROXY_SERVER_ID", server.id.to_string()),
            ("HAPROXY_SERVER_NAME", server.name.to_string()),
            ("HAPROXY_SERVER_PROTO", protocol.to_owned()),
            ("HAPROXY_SERVER_SSL", u8::from(server.ssl).to_string()),
        ];
        Self {
            command: said.command.unwrap_or_default(),
            path: said.path.unwrap_or_default(),
            inherited: means.environment.clone(),
            proxy: Listener::of(proxy),
            constant,
            open_files: means.open_files,
        }
    }

    fn arguments(&self, server: &Listener) -> [OsString; 4] {
        [
            self.proxy.address_argument(),
            self.proxy.port_argument(),
            server.address_argument(),
            server.port_argument(),
        ]
    }

    fn environment(&self, server: &Listener, moment: &Moment) -> Vec<(OsString, OsString)> {
        let mut out: Vec<(OsString, OsString)> =
            self.inherited.iter().flat_map(|all| all.iter()).map(|(n, v)| (n.into(), v.into())).collect();
        let mut set = |name: &str, value: OsString| out.push((name.into(), value));
        // Whoever keeps the environment keeps its PATH, unless there is another.
        if self.inherited.is_none() || !self.path.is_empty() {
            set("PATH", (*self.path).into());
        }
        for (name, value) in &self.constant {
            set(name, value.into());
        }
        set("HAPROXY_PROXY_ADDR", self.proxy.address.clone());
        set("HAPROXY_PROXY_PORT", self.proxy.port_variable());
        set("HAPROXY_SERVER_ADDR", server.address.clone());
        set("HAPROXY_SERVER_PORT", server.port_variable());
        set("HAPROXY_SERVER_CURCONN", moment.connections.to_string().into());
        set("HAPROXY_SERVER_MAXCONN", moment.maxconn.to_string().into());
        out
    }

    /// Runs it once; `limit` counts from the moment it is started.
    pub async fn run(&self, moment: Moment<'_>, limit: Duration) -> Run {
        // Never closed.
        let Ok(place) = ROOM.acquire().await else { return Run::failed(Ended::TimedOut) };
        let server = Listener::server(moment.endpoint);
        let program = Program {
            command: self.command.to_string(),
            path: self.path.to_string(),
            arguments: self.arguments(&server).to_vec(),
            environment: Some(self.environment(&server, &moment)),
            open_files: self.open_files,
            identity: None,
            prints: Prints::FirstLine,
        };
        let deadline = Instant::now() + limit;
        let mut group = match program::start(program, Some(place), deadline).await {
            Ok(Some(group)) => group,
            Ok(None) => return Run::failed(Ended::TimedOut),
            Err(program::Failure::Execute(error)) => return Run::failed(Ended::NotExecuted(error)),
            Err(program::Failure::Start(error)) => return Run::failed(Ended::NotStarted(error)),
        };
        let mut line = FirstLine::default();
        match timeout_at(deadline, group.end(&mut line)).await {
            Err(_) => {
                group.end_later(GRACE);
                Run { ended: Ended::TimedOut, text: line.text() }
            }
            Ok(Err(error)) => Run { ended: Ended::NotStarted(error), text: line.text() },
            Ok(Ok(status)) => {
                let code = status.code().and_then(|c| u8::try_from(c).ok());
                debug_assert!(code.is_some() || status.signal().is_some());
                Run { ended: code.map_or(Ended::Signalled, Ended::Exited), text: line.text() }
            }
        }
    }
}

impl Run {
    #[must_use]
    pub fn failed(ended: Ended) -> Self {
        Self { ended, text: None }
    }
}

impl Listener {
    /// The proxy's first, as HAProxy takes it.
    fn of(proxy: &Proxy) -> Self {
        let first = proxy.front.as_ref().and_then(|f| f.binds.first());
        match first.map(|b| &b.address) {
            Some(Address::Inet(address)) => {
                Self { address: address.ip().to_string().into(), port: Some(address.port()), none: false }
            }
            Some(Address::Unix(path)) => Self { address: path.clone().into(), port: None, none: false },
            // An abstract name begins with a zero byte: as text it is empty.
            Some(Address::Abstract(_)) => Self { address: OsString::new(), port: None, none: false },
            Some(Address::Fd(_)) | None => Self { address: OsString::new(), port: None, none: true },
        }
    }

    fn server(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Inet(address) => {
                Self { address: address.ip().to_string().into(), port: Some(address.port()), none: false }
            }
            Endpoint::Unix(path) => Self { address: path.clone().into(), port: None, none: false },
            Endpoint::Abstract(_) => Self { address: OsString::new(), port: None, none: false },
            Endpoint::Unresolved { port, .. } => {
                Self { address: OsString::new(), port: Some(*port), none: false }
            }
        }
    }

    fn address_argument(&self) -> OsString {
        if self.none { NOT_USED.into() } else { self.address.clone() }
    }

    fn port_argument(&self) -> OsString {
        self.port.map_or_else(|| NOT_USED.into(), |p| p.to_string().into())
    }

    fn port_variable(&self) -> OsString {
        self.port.map_or_else(OsString::new, |p| p.to_string().into())
    }
}
