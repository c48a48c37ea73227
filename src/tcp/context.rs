//! What rules, expressions and log formats see of a TCP connection.

use super::Engine;
use crate::config::model::{Proxy, VarScope};
use crate::expr::facts::{ConnFacts, LiveFacts, LogRecord, Payload, ProcessFacts, Setting, TcpInfo};
use crate::expr::{Facts, Value};
use crate::live::rules::{Editable, Settings, capture_text};
use crate::live::variables::Variables;
use crate::live::{Generation, LiveProxy, LiveServer};
use crate::message::Head;
use crate::net::raw;
use crate::tls::ServerHandshake;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

/// One connection in work.
pub struct Context {
    pub engine: Rc<Engine>,
    pub generation: Arc<Generation>,
    pub frontend: Arc<LiveProxy>,
    pub backend: Option<Arc<LiveProxy>>,
    pub server: Option<Arc<LiveServer>>,
    /// The handshake with the server, if the connection to it is a TLS one.
    pub server_tls: Option<Arc<ServerHandshake>>,
    pub conn: Box<ConnFacts>,
    pub accepted: Instant,
    pub log: LogRecord,
    pub settings: Settings,
    pub variables: Variables,
    /// Received from the client and not forwarded yet.
    pub request: Vec<u8>,
    pub request_complete: bool,
    pub response: Vec<u8>,
    pub response_complete: bool,
}

impl Context {
    pub fn new(
        conn: Box<ConnFacts>,
        accepted: Instant,
        frontend: &Arc<LiveProxy>,
        generation: &Arc<Generation>,
        engine: &Rc<Engine>,
    ) -> Self {
        Self {
            engine: Rc::clone(engine),
            generation: Arc::clone(generation),
            frontend: Arc::clone(frontend),
            backend: None,
            server: None,
            server_tls: None,
            log: LogRecord {
                idle: -1,
                request: -1,
                queue: -1,
                connect: -1,
                response: -1,
                status: -1,
                termination: *b"----",
                accept_date: Some(conn.accepted),
                request_date: Some(conn.accepted),
                request_counter: generation.process.requests.fetch_add(1, Relaxed),
                ..LogRecord::default()
            },
            conn,
            accepted,
            settings: Settings::default(),
            variables: Variables::default(),
            request: Vec::new(),
            request_complete: false,
            response: Vec::new(),
            response_complete: false,
        }
    }
}

impl Facts for Context {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }

    fn live(&self) -> &dyn LiveFacts {
        &*self.generation
    }

    fn frontend(&self) -> Option<&Proxy> {
        Some(&self.frontend.conf)
    }

    fn backend(&self) -> Option<&Proxy> {
        self.backend.as_ref().map(|b| &*b.conf)
    }

    fn server_name(&self) -> Option<&str> {
        self.server.as_ref().map(|s| &*s.conf.name)
    }

    fn server_tls(&self) -> Option<&ServerHandshake> {
        self.server_tls.as_deref()
    }

    fn request_payload(&self) -> Option<Payload<'_>> {
        Some(Payload { bytes: &self.request, complete: self.request_complete })
    }

    fn response_payload(&self) -> Option<Payload<'_>> {
        Some(Payload { bytes: &self.response, complete: self.response_complete })
    }

    fn log(&self) -> &LogRecord {
        &self.log
    }

    fn date(&self) -> SystemTime {
        self.engine.wall(Instant::now())
    }

    fn random(&mut self) -> u32 {
        self.engine.random()
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
        if self.log.unique_id.is_none() {
            let format = self.frontend.conf.unique_id_format.clone()?;
            // A format that asks for the id itself finds it empty.
            self.log.unique_id = Some(Vec::new());
            let mut text = Vec::new();
            format.render(self, &mut text);
            self.log.unique_id = Some(text);
        }
        self.log.unique_id.clone()
    }

    fn process(&self) -> ProcessFacts<'_> {
        let process = &self.generation.process;
        ProcessFacts {
            pid: process.pid,
            hostname: &process.hostname,
            nbthread: self.generation.threads,
            thread: self.engine.thread,
        }
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
        None
    }

    fn response_mut(&mut self) -> Option<&mut Head> {
        None
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
}
