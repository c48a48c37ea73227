//! Variables that rules set: those of one connection or exchange, and those of scope `proc`, which all threads share.

mod limits;

pub use limits::limit;

use super::Generation;
use super::scene::Scene;
use crate::config::model::VarScope;
use crate::config::model::global::{Initial, SetVariable};
use crate::expr::Value;
use limits::Charge;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

static PROCESS: LazyLock<RwLock<HashMap<String, Value>>> = LazyLock::new(RwLock::default);

#[must_use]
pub fn get(name: &str) -> Option<Value> {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

/// What is beyond the limits is not set, and what was there before is gone.
pub fn set(name: &str, value: Value) {
    let mut all = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    all.remove(name);
    if limits::fits_process(all.values(), &value) {
        all.insert(name.to_owned(), value);
    }
    limits::note_process(all.values());
}

pub fn unset(name: &str) {
    let mut all = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    all.remove(name);
    limits::note_process(all.values());
}

/// Runs the `set-var` lines of a configuration that takes the place of another: values that rules and commands have set
/// since stay as long as the configuration says what it said before.
pub fn adopt(old: &[SetVariable], new: &[SetVariable], live: &Generation) {
    for gone in old.iter().filter(|old| !new.iter().any(|new| new.name == old.name)) {
        unset(&gone.name);
    }
    let mut scene = Scene::new(live);
    for line in new.iter().filter(|new| !old.iter().any(|old| old.text == new.text)) {
        let value = match &line.value {
            Initial::Expr(expr) => expr.eval(&mut scene),
            Initial::Format(format) => {
                let mut text = Vec::new();
                format.render(&mut scene, &mut text);
                Some(Value::Str(text))
            }
        };
        if let Some(value) = value {
            line.when.store(VarScope::Process, &line.name, value, &mut scene);
        }
    }
}

/// The variables of the narrower scopes, few enough for a scan; scope `proc` goes to the process's.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    list: Vec<(VarScope, Box<str>, Value)>,
    /// What they count in the limits of the process.
    charge: Charge,
}

impl Variables {
    #[must_use]
    pub fn get(&self, scope: VarScope, name: &str) -> Option<Value> {
        if scope == VarScope::Process {
            return get(name);
        }
        self.list.iter().find(|(s, n, _)| *s == scope && &**n == name).map(|(_, _, v)| v.clone())
    }

    /// What is beyond the limits is not set, and what was there before is gone.
    pub fn set(&mut self, scope: VarScope, name: &str, value: Value) {
        if scope == VarScope::Process {
            return set(name, value);
        }
        if limits::are_set() {
            self.unset(scope, name);
            if !limits::fits(&self.list, &self.charge, scope, &value) {
                return;
            }
        }
        match self.list.iter_mut().find(|(s, n, _)| *s == scope && &**n == name) {
            Some((_, _, slot)) => *slot = value,
            None => self.list.push((scope, name.into(), value)),
        }
        self.charge.settle(&self.list);
    }

    pub fn unset(&mut self, scope: VarScope, name: &str) {
        if scope == VarScope::Process {
            unset(name);
        }
        self.list.retain(|(s, n, _)| *s != scope || &**n != name);
        self.charge.settle(&self.list);
    }

    /// Keeps those whose scope is wanted.
    pub fn keep(&mut self, wanted: impl Fn(VarScope) -> bool) {
        if !self.list.is_empty() {
            self.list.retain(|(scope, _, _)| wanted(*scope));
            self.charge.settle(&self.list);
        }
    }

    pub fn clear(&mut self) {
        if !self.list.is_empty() {
            self.list.clear();
            self.charge.settle(&self.list);
        }
    }
}
