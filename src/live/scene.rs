//! What an expression sees where there is no traffic: the process, its proxies, and the variables all threads share.

use super::{Generation, variables};
use crate::clock::Now;
use crate::config::model::VarScope;
use crate::expr::facts::{ConnFacts, LiveFacts, LogRecord, ProcessFacts};
use crate::expr::{Facts, Value};
use crate::random::xorshift32;
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub struct Scene<'a> {
    live: &'a Generation,
    now: Now,
    conn: ConnFacts,
    log: LogRecord,
    random: u32,
}

impl<'a> Scene<'a> {
    #[must_use]
    pub fn new(live: &'a Generation) -> Self {
        let now = Now::read();
        let conn = ConnFacts::of_nobody(now.wall);
        let random = now.wall.duration_since(SystemTime::UNIX_EPOCH).map_or(1, |d| d.subsec_nanos() | 1);
        Self { live, now, conn, log: LogRecord::default(), random }
    }
}

impl Facts for Scene<'_> {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }

    fn live(&self) -> &dyn LiveFacts {
        self.live
    }

    fn log(&self) -> &LogRecord {
        &self.log
    }

    fn date(&self) -> SystemTime {
        self.now.wall
    }

    fn random(&mut self) -> u32 {
        self.random = xorshift32(self.random);
        self.random
    }

    fn var(&self, scope: VarScope, name: &str) -> Option<Value> {
        if scope == VarScope::Process { variables::get(name) } else { None }
    }

    fn set_var(&mut self, scope: VarScope, name: &str, value: Value) {
        if scope == VarScope::Process {
            variables::set(name, value);
        }
    }

    fn unset_var(&mut self, scope: VarScope, name: &str) {
        if scope == VarScope::Process {
            variables::unset(name);
        }
    }

    fn process(&self) -> ProcessFacts<'_> {
        let process = &self.live.process;
        ProcessFacts { pid: process.pid, hostname: &process.hostname, nbthread: self.live.threads, thread: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
