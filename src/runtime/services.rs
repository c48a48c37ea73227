//! What the control thread runs for one generation; a reload puts another set in its place.

use super::Shared;
use crate::admin::{self, Admin, Office};
use crate::logging;
use crate::ocsp;
use crate::probe;
use crate::tasks::{self, Task};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

pub struct Services {
    pub log: Rc<logging::Sender>,
    pub sockets: Vec<admin::listen::Bound>,
    means: Rc<probe::Means>,
    tasks: Vec<Task>,
    admin: Vec<Task>,
    office: Rc<Office>,
}

impl Services {
    /// Of the process's first generation.
    ///
    /// # Errors
    /// The reactor refuses an administration socket.
    pub fn start(
        shared: &Arc<Shared>,
        sockets: Vec<admin::listen::Bound>,
        startup: probe::Startup,
    ) -> io::Result<Self> {
        let means = Rc::new(probe::Means::new(startup, &shared.generation.config));
        let log = logging::Sender::new(&shared.hub);
        let office = Office::new(Admin::new(Arc::clone(&shared.generation), Rc::clone(&log)));
        let admin = admin::serve(&office, &sockets)?;
        let tasks = start(shared, &log, &means);
        Ok(Self { log, sockets, means, tasks, admin, office })
    }

    /// Of one that takes this one's place.
    ///
    /// # Errors
    /// The reactor refuses an administration socket.
    pub fn replace(&mut self, shared: &Arc<Shared>, sockets: Vec<admin::listen::Bound>) -> io::Result<()> {
        let config = &shared.generation.config;
        self.log = logging::Sender::new(&shared.hub);
        self.means = Rc::new(self.means.again(config));
        self.office.replace(Admin::new(Arc::clone(&shared.generation), Rc::clone(&self.log)));
        self.admin = admin::serve(&self.office, &sockets)?;
        self.sockets = sockets;
        self.tasks = start(shared, &self.log, &self.means);
        Ok(())
    }

    /// Nobody is let in until [`Self::admit_again`].
    pub fn admit_nobody(&mut self) {
        self.admin.clear();
    }

    /// # Errors
    /// The reactor refuses an administration socket.
    pub fn admit_again(&mut self) -> io::Result<()> {
        // Copies: the reactor may still know the others, whose tasks have been told to end and have not yet.
        let mut again = Vec::new();
        for before in &self.sockets {
            let listener = Arc::new(before.listener.double()?);
            again.push(admin::listen::Bound { listener, socket: Arc::clone(&before.socket) });
        }
        self.admin = admin::serve(&self.office, &again)?;
        self.sockets = again;
        Ok(())
    }

    /// Who asks from now on asks another process; those inside are served on.
    pub fn close_sockets(&mut self) {
        self.admin.clear();
        self.sockets.clear();
    }

    #[must_use]
    pub fn office(&self) -> Rc<Office> {
        Rc::clone(&self.office)
    }

    #[must_use]
    pub fn admin(&self) -> Rc<Admin> {
        self.office.now()
    }
}

fn start(shared: &Arc<Shared>, log: &Rc<logging::Sender>, means: &Rc<probe::Means>) -> Vec<Task> {
    let generation = || Arc::clone(&shared.generation);
    vec![
        tasks::start("log sender", Rc::clone(log).run()),
        tasks::start("ring servers", logging::forward::run(generation(), Rc::clone(log))),
        tasks::start("page history", admin::page::history::run(generation())),
        tasks::start("ocsp updates", ocsp::run(generation(), Rc::clone(log))),
        tasks::start("checks", probe::run(generation(), Rc::clone(log), Rc::clone(means))),
    ]
}
