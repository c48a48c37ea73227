//! `cookie ... dynamic`: values made of a key and the servers' addresses, switched and keyed by command while the process
//! runs. A value that a server's line gives is never touched.

use super::backend::LiveBackend;
use super::server::LiveServer;
use crate::config::dynamic_cookie;
use crate::config::model::{Backend, Endpoint};
use arc_swap::ArcSwapOption;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A backend's part of it.
#[derive(Debug, Default)]
pub(super) struct DynamicCookies {
    settings: Mutex<Settings>,
}

#[derive(Debug, Default)]
struct Settings {
    on: bool,
    key: Option<String>,
}

impl DynamicCookies {
    pub fn new(conf: &Backend) -> Self {
        let on = conf.cookie.as_ref().is_some_and(|c| c.dynamic);
        Self { settings: Mutex::new(Settings { on, key: conf.dynamic_cookie_key.clone() }) }
    }
}

/// A server's part: the value made for it.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Looked at for each request with persistence; true only where values are made.
    any: AtomicBool,
    value: ArcSwapOption<String>,
}

/// A server's value in the persistence cookie.
#[derive(Debug)]
pub enum CookieValue<'a> {
    Configured(&'a str),
    Made(Arc<String>),
}

impl Deref for CookieValue<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Configured(value) => value,
            Self::Made(value) => value,
        }
    }
}

impl LiveServer {
    /// Its value in the persistence cookie: its line's, or the one made for it.
    #[must_use]
    pub fn cookie(&self) -> Option<CookieValue<'_>> {
        if let Some(value) = &self.conf.cookie {
            return Some(CookieValue::Configured(value));
        }
        let made = self.made_cookie.any.load(Relaxed).then(|| self.made_cookie.value.load_full());
        made.flatten().map(CookieValue::Made)
    }

    fn put_cookie(&self, value: Option<String>) {
        self.made_cookie.any.store(value.is_some(), Relaxed);
        self.made_cookie.value.store(value.map(Arc::new));
    }
}

/// Two servers have the same value: requests for one may go to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Equal(pub bool);

impl LiveBackend {
    /// `enable|disable dynamic-cookie`: makes the values, or takes those away that were made.
    pub fn switch_dynamic_cookies(&self, on: bool) -> Equal {
        self.settings().on = on;
        self.make_cookies()
    }

    /// `set dynamic-cookie-key`: values are made anew where they are made at all.
    pub fn set_dynamic_cookie_key(&self, key: &str) -> Equal {
        let mut settings = self.settings();
        settings.key = Some(key.to_owned());
        if !settings.on {
            return Equal(false);
        }
        drop(settings);
        self.make_cookies()
    }

    /// Makes every server's value anew.
    pub(super) fn make_cookies(&self) -> Equal {
        let mut seen = HashSet::new();
        let mut equal = false;
        for server in self.servers.iter() {
            self.make_cookie(server);
            equal |= server.cookie().is_some_and(|c| !seen.insert(c.to_owned()));
        }
        Equal(equal)
    }

    /// A server's value, once it is there or its address has changed.
    pub(super) fn make_cookie(&self, server: &LiveServer) {
        if server.conf.cookie.is_some() {
            return;
        }
        let settings = self.settings();
        let value = match (&settings.key, &server.reached().endpoint) {
            _ if !settings.on => None,
            (Some(key), Endpoint::Inet(address)) => Some(dynamic_cookie::value(key, *address)),
            _ => return,
        };
        server.put_cookie(value);
    }

    /// Has another server the value that was made for this one?
    pub fn shares_cookie(&self, server: &LiveServer) -> Equal {
        let own = server.cookie().filter(|c| matches!(c, CookieValue::Made(_)));
        let others = || self.servers.iter().filter(|s| s.index != server.index);
        Equal(own.is_some_and(|own| others().any(|s| s.cookie().is_some_and(|c| *c == *own))))
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.dynamic_cookies.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
