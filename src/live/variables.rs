//! Variables of scope `proc`: the process's, set and read by rules on all threads.

use crate::expr::Value;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

static ALL: LazyLock<RwLock<HashMap<String, Value>>> = LazyLock::new(RwLock::default);

#[must_use]
pub fn get(name: &str) -> Option<Value> {
    ALL.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

pub fn set(name: &str, value: Value) {
    ALL.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
}

pub fn unset(name: &str) {
    ALL.write().unwrap_or_else(PoisonError::into_inner).remove(name);
}
