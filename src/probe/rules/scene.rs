//! What the expressions of check rules see.

use super::http::Message;
use crate::config::model::{Proxy, VarScope};
use crate::expr::facts::{ConnFacts, LiveFacts, LogRecord, Payload, ProcessFacts};
use crate::expr::{Facts, Value};
use crate::live::variables::Variables;
use crate::message::Head;
use crate::random::xorshift32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub struct Scene<'a> {
    pub live: &'a dyn LiveFacts,
    pub proxy: &'a Proxy,
    pub server: &'a Arc<str>,
    pub process: ProcessFacts<'a>,
    pub conn: ConnFacts,
    pub now: SystemTime,
    pub random: u32,
    log: LogRecord,
    variables: Variables,
    /// Since the last connect or send.
    pub received: Vec<u8>,
    pub closed: bool,
    /// Of an HTTP/2 response; `received` is its body.
    pub head: Option<Head>,
    /// Of an HTTP check.
    pub message: Option<Message>,
    /// So many bytes make it worth looking at the whole body again.
    pub enough: usize,
    /// The request's method takes a body in its response.
    pub bodiless: bool,
}

impl<'a> Scene<'a> {
    pub fn new(
        live: &'a dyn LiveFacts,
        proxy: &'a Proxy,
        server: &'a Arc<str>,
        process: ProcessFacts<'a>,
        now: SystemTime,
    ) -> Self {
        let conn = ConnFacts::of_nobody(now);
        let log = LogRecord { server_name: Some(Arc::clone(server)), ..LogRecord::default() };
        let random = now.duration_since(SystemTime::UNIX_EPOCH).map_or(1, |d| d.subsec_nanos() | 1);
        Self {
            live,
            proxy,
            server,
            process,
            conn,
            now,
            random,
            log,
            variables: Variables::default(),
            received: Vec::new(),
            closed: false,
            head: None,
            message: None,
            enough: 0,
            bodiless: false,
        }
    }

    pub fn forget(&mut self) {
        self.received.clear();
        self.closed = false;
        self.head = None;
        self.message = None;
        self.enough = 0;
    }
}

impl Facts for Scene<'_> {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }

    fn live(&self) -> &dyn LiveFacts {
        self.live
    }

    fn backend(&self) -> Option<&Proxy> {
        Some(self.proxy)
    }

    fn server_name(&self) -> Option<&str> {
        Some(self.server)
    }

    fn response(&self) -> Option<&Head> {
        self.message.as_ref().map(|m| &m.head)
    }

    fn response_payload(&self) -> Option<Payload<'_>> {
        Some(match &self.message {
            Some(message) => Payload { bytes: &message.body, complete: message.complete },
            None => Payload { bytes: &self.received, complete: self.closed },
        })
    }

    fn log(&self) -> &LogRecord {
        &self.log
    }

    fn date(&self) -> SystemTime {
        self.now
    }

    fn random(&mut self) -> u32 {
        self.random = xorshift32(self.random);
        self.random
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

    fn process(&self) -> ProcessFacts<'_> {
        self.process
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
