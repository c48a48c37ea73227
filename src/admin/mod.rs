//! What people look at and give orders through; state changes through methods of `live` only. `page` is the web page.
//!
//! The rest is the administration socket (`stats socket`): HAProxy's line protocol and commands, served on the control thread.
//!
//! `listen` binds the sockets before privileges are dropped, `socket` accepts clients within `stats maxconn`, `protocol`
//! takes their bytes apart into commands (pure), `client` runs them and writes the answers, waiting for slow readers
//! without holding up anybody else. Commands are rows of the tables in `commands`, one file a family; `usage` draws help
//! and the answer to unknown commands from the same rows, `manual` docs/admin-socket.md.

mod anon;
mod answer;
mod client;
mod command;
pub mod commands;
mod console;
mod l4_metrics;
pub mod listen;
mod manual;
pub mod page;
pub mod prometheus;
mod protocol;
mod session;
mod socket;
mod usage;

pub use answer::{Answer, Pieces, severity};
pub use command::{Call, Command, Mode};
pub use console::Console;
pub use session::{Prompt, Session};
pub use socket::{Rights, admit, admit_owner, serve};

use crate::config::model::StatsSocket;
use crate::live::{Generation, Notice};
use crate::{logging, probe};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What every command may reach.
pub struct Admin {
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    pub sockets: Vec<Arc<StatsSocket>>,
    pub started: Instant,
    /// What sessions anonymize with; 0: a key of their own.
    pub anon_key: Cell<u32>,
}

/// Where clients find what they may reach: a reload puts another in its place.
pub struct Office(RefCell<Rc<Admin>>);

impl Office {
    #[must_use]
    pub fn new(admin: Admin) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Rc::new(admin))))
    }

    #[must_use]
    pub fn now(&self) -> Rc<Admin> {
        Rc::clone(&self.0.borrow())
    }

    pub fn replace(&self, admin: Admin) {
        *self.0.borrow_mut() = Rc::new(admin);
    }
}

impl Admin {
    #[must_use]
    pub fn new(generation: Arc<Generation>, log: Rc<logging::Sender>) -> Self {
        let sockets = generation.config.global.stats_sockets.clone();
        let started = generation.process.started.mono;
        let anon_key = Cell::new(generation.config.global.anon_key);
        Self { generation, log, sockets, started, anon_key }
    }

    /// The configuration that runs now.
    #[must_use]
    pub fn live(&self) -> &Arc<Generation> {
        &self.generation
    }

    #[must_use]
    pub fn log(&self) -> &logging::Sender {
        &self.log
    }

    /// Says in the proxies' logs and on standard error what changed.
    pub fn report(&self, notices: &[Notice]) {
        for notice in notices {
            probe::report(&self.generation, &self.log, notice);
        }
    }
}
