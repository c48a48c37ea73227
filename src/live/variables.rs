//! Variables that rules set: those of one connection or exchange, and those of scope `proc`, which all threads share.

use crate::config::model::VarScope;
use crate::expr::Value;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

static PROCESS: LazyLock<RwLock<HashMap<String, Value>>> = LazyLock::new(RwLock::default);

#[must_use]
pub fn get(name: &str) -> Option<Value> {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

pub fn set(name: &str, value: Value) {
    PROCESS.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
}

pub fn unset(name: &str) {
    PROCESS.write().unwrap_or_else(PoisonError::into_inner).remove(name);
}

/// The variables of the narrower scopes, few enough for a scan; scope `proc` goes to the process's.
#[derive(Clone, Debug, Default)]
pub struct Variables(Vec<(VarScope, Box<str>, Value)>);

impl Variables {
    #[must_use]
    pub fn get(&self, scope: VarScope, name: &str) -> Option<Value> {
        if scope == VarScope::Process {
            return get(name);
        }
        self.0.iter().find(|(s, n, _)| *s == scope && &**n == name).map(|(_, _, v)| v.clone())
    }

    pub fn set(&mut self, scope: VarScope, name: &str, value: Value) {
        if scope == VarScope::Process {
            return set(name, value);
        }
        match self.0.iter_mut().find(|(s, n, _)| *s == scope && &**n == name) {
            Some((_, _, slot)) => *slot = value,
            None => self.0.push((scope, name.into(), value)),
        }
    }

    pub fn unset(&mut self, scope: VarScope, name: &str) {
        if scope == VarScope::Process {
            unset(name);
        }
        self.0.retain(|(s, n, _)| *s != scope || &**n != name);
    }

    /// Keeps those whose scope is wanted.
    pub fn keep(&mut self, wanted: impl Fn(VarScope) -> bool) {
        if !self.0.is_empty() {
            self.0.retain(|(scope, _, _)| wanted(*scope));
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
