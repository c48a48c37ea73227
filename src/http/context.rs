//! What rules, expressions and log formats see of one request: both heads, the connection, variables, the log record.

use super::Engine;
use crate::config::model::{Proxy, VarScope};
use crate::expr::facts::{ConnFacts, LiveFacts, LogRecord, Payload, ProcessFacts, Setting, TcpInfo};
use crate::expr::{Facts, Value};
use crate::ids::ProxyIndex;
use crate::live::rules::{Editable, Settings, capture_text};
use crate::live::variables::Variables;
use crate::live::{Generation, LiveProxy, LiveServer};
use crate::message::Head;
use crate::net::raw;
use crate::tls::ServerHandshake;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What all requests on one frontend share; made once per thread.
pub struct Session {
    pub generation: Arc<Generation>,
    pub frontend: Arc<LiveProxy>,
    pub engine: Rc<Engine>,
}

/// One request in work. Contexts are pooled per thread: [`Context::begin`] readies one for a connection.
pub struct Context {
    pub session: Rc<Session>,
    pub conn: Box<ConnFacts>,
    /// When the connection was accepted.
    pub accepted: Instant,
    /// The first request of its connection.
    pub first: bool,
    pub backend: Option<ProxyIndex>,
    pub server: Option<Arc<LiveServer>>,
    /// The handshake with the server, if the connection to it is a TLS one.
    pub server_tls: Option<Arc<ServerHandshake>>,
    pub request: Head,
    pub has_request: bool,
    pub response: Head,
    pub has_response: bool,
    /// The part of the request body that was buffered for rules, decoded.
    pub body: Vec<u8>,
    pub body_complete: bool,
    /// What there is of the response's body for rules, decoded; empty where no expression asks for it.
    pub response_body: Vec<u8>,
    pub response_complete: bool,
    pub response_chunked: bool,
    pub log: LogRecord,
    pub settings: Settings,
    pub variables: Variables,
}

impl Context {
    pub fn new(session: Rc<Session>, accepted: Instant) -> Self {
        Self {
            conn: Box::new(ConnFacts::of_nobody(SystemTime::UNIX_EPOCH)),
            accepted,
            session,
            first: true,
            backend: None,
            server: None,
            server_tls: None,
            request: Head::new(),
            has_request: false,
            response: Head::new(),
            has_response: false,
            body: Vec::new(),
            body_complete: false,
            response_body: Vec::new(),
            response_complete: false,
            response_chunked: false,
            log: LogRecord::default(),
            settings: Settings::default(),
            variables: Variables::default(),
        }
    }

    /// Forgets the last request, keeping its allocations.
    pub fn begin(&mut self, session: &Rc<Session>, accepted: Instant) {
        self.accepted = accepted;
        if !Rc::ptr_eq(&self.session, session) {
            self.session = Rc::clone(session);
        }
        self.backend = None;
        self.server = None;
        self.server_tls = None;
        self.request.clear();
        self.has_request = false;
        self.response.clear();
        self.has_response = false;
        self.body.clear();
        self.body_complete = false;
        self.response_body.clear();
        self.response_complete = false;
        self.settings = Settings::default();
        self.variables.clear();
        self.log.reset();
    }

    /// The frontend's configuration.
    pub fn front(&self) -> &Arc<LiveProxy> {
        &self.session.frontend
    }

    /// The backend, once it is chosen.
    pub fn back(&self) -> Option<&Arc<LiveProxy>> {
        self.session.generation.proxies.get(self.backend?.get())
    }

    pub fn drop_scope(&mut self, scope: VarScope) {
        self.variables.keep(|s| s != scope);
    }
}

impl Facts for Context {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }

    fn live(&self) -> &dyn LiveFacts {
        &*self.session.generation
    }

    fn frontend(&self) -> Option<&Proxy> {
        Some(&self.session.frontend.conf)
    }

    fn backend(&self) -> Option<&Proxy> {
        self.back().map(|b| &*b.conf)
    }

    fn server_name(&self) -> Option<&str> {
        self.server.as_ref().map(|s| &*s.conf.name)
    }

    fn server_tls(&self) -> Option<&ServerHandshake> {
        self.server_tls.as_deref()
    }

    fn request(&self) -> Option<&Head> {
        self.has_request.then_some(&self.request)
    }

    fn response(&self) -> Option<&Head> {
        self.has_response.then_some(&self.response)
    }

    fn request_payload(&self) -> Option<Payload<'_>> {
        Some(Payload { bytes: &self.body, complete: self.body_complete })
    }

    fn response_payload(&self) -> Option<Payload<'_>> {
        self.has_response.then_some(Payload { bytes: &self.response_body, complete: self.response_complete })
    }

    fn log(&self) -> &LogRecord {
        &self.log
    }

    fn date(&self) -> SystemTime {
        self.session.engine.wall(Instant::now())
    }

    fn random(&mut self) -> u32 {
        self.session.engine.random()
    }

    fn var(&self, scope: VarScope, name: &str) -> Option<Value> {
        self.variables.get(scope, name)
    }

    fn set_var(&mut self, scope: VarScope, name: &str, value: Value) {
        self.variables.set(scope, name, value);
    }

    fn unset_var(&mut self, scope: VarScope, name: &str) {
        self.variables.unset(scope, name);
    }

    fn unique_id(&mut self) -> Option<Vec<u8>> {
        if self.log.unique_id.is_none() && self.has_request {
            let format = self.session.frontend.conf.unique_id_format.clone()?;
            // A format that asks for the id itself finds it empty.
            self.log.unique_id = Some(Vec::new());
            let mut text = Vec::new();
            format.render(self, &mut text);
            self.log.unique_id = Some(text);
        }
        self.log.unique_id.clone()
    }

    fn process(&self) -> ProcessFacts<'_> {
        let process = &self.session.generation.process;
        ProcessFacts {
            pid: process.pid,
            hostname: &process.hostname,
            nbthread: self.session.generation.threads,
            thread: self.session.engine.thread,
        }
    }

    fn is_first_request(&self) -> bool {
        self.first
    }

    fn setting(&self, what: Setting) -> Option<i64> {
        self.settings.read(what)
    }

    fn client_tcp(&self) -> Option<TcpInfo> {
        raw::tcp_info(self.conn.descriptor?)
    }

    fn capture(&mut self, response: bool, slot: usize, text: Vec<u8>) {
        capture_text(response, slot, text, self);
    }

    fn elapsed(&self) -> Duration {
        self.accepted.elapsed()
    }
}

impl Editable for Context {
    fn request_mut(&mut self) -> Option<&mut Head> {
        self.has_request.then_some(&mut self.request)
    }

    fn response_mut(&mut self) -> Option<&mut Head> {
        self.has_response.then_some(&mut self.response)
    }

    fn conn_mut(&mut self) -> &mut ConnFacts {
        &mut self.conn
    }

    fn log_mut(&mut self) -> &mut LogRecord {
        &mut self.log
    }

    fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn bufsize(&self) -> usize {
        self.session.generation.config.global.tune.bufsize
    }
}
