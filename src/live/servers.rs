//! A backend's servers: those of the configuration, and those added while it runs.
//!
//! Places never change and are never given again, so that an index names one server for ever and reading takes no lock.
//! A removed server stays at its place, marked as gone, and iteration leaves it out.

use super::LiveServer;
use boxcar::Vec as Appended;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Servers {
    configured: Vec<Arc<LiveServer>>,
    added: Appended<Arc<LiveServer>>,
}

impl Servers {
    pub(super) fn new(configured: Vec<Arc<LiveServer>>) -> Self {
        Self { configured, added: Appended::new() }
    }

    /// The server at that place, gone or not.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&Arc<LiveServer>> {
        match self.configured.get(i) {
            Some(server) => Some(server),
            None => self.get_added(i - self.configured.len()),
        }
    }

    #[cold]
    fn get_added(&self, i: usize) -> Option<&Arc<LiveServer>> {
        self.added.get(i)
    }

    /// Places, those of servers that are gone too.
    #[must_use]
    pub fn places(&self) -> usize {
        self.configured.len() + self.added.count()
    }

    /// No server is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The servers that are there.
    pub fn iter(&self) -> Iter<'_> {
        Iter { servers: self, next: 0 }
    }

    /// The servers that are there, by name.
    #[must_use]
    pub fn by_name(&self) -> HashMap<&str, &Arc<LiveServer>> {
        self.iter().map(|server| (server.name(), server)).collect()
    }

    /// To be called under the backend's lock, which keeps additions one after another.
    pub(super) fn push(&self, server: Arc<LiveServer>) {
        self.added.push(server);
    }
}

/// Over the servers that are there.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    servers: &'a Servers,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Arc<LiveServer>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let server = self.servers.get(self.next)?;
            self.next += 1;
            if !server.is_gone() {
                return Some(server);
            }
        }
    }
}

impl<'a> IntoIterator for &'a Servers {
    type Item = &'a Arc<LiveServer>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// For tests and places known to exist.
impl std::ops::Index<usize> for Servers {
    type Output = Arc<LiveServer>;

    fn index(&self, i: usize) -> &Arc<LiveServer> {
        match self.configured.get(i) {
            Some(server) => server,
            None => &self.added[i - self.configured.len()],
        }
    }
}
