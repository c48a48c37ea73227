//! `tune.vars.*`: how many bytes variables may take. The limit of a scope counts what the narrower ones hold too.

use crate::config::model::VarScope;
use crate::config::model::global::VariableLimits;
use crate::expr::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// What HAProxy 2.6 counts for a variable beside its text: limits that were found by trying mean the same here.
const EACH: usize = 80;

static SESSION: AtomicUsize = AtomicUsize::new(0);
static TRANSACTION: AtomicUsize = AtomicUsize::new(0);
static EXCHANGE: AtomicUsize = AtomicUsize::new(0);
static CHECK: AtomicUsize = AtomicUsize::new(0);
/// The smaller one of `global` and `proc`: both count everything.
static ALL: AtomicUsize = AtomicUsize::new(0);
/// Is there any limit?
static SET: AtomicBool = AtomicBool::new(false);

/// Bytes of scope `proc`, and of the others as far as [`ALL`] has to know them.
static PROCESS_BYTES: AtomicUsize = AtomicUsize::new(0);
static OTHER_BYTES: AtomicUsize = AtomicUsize::new(0);

type Entry = (VarScope, Box<str>, Value);

/// From now on these count.
pub fn limit(limits: &VariableLimits) {
    let all = match (limits.all, limits.process) {
        (0, other) | (other, 0) => other,
        (all, process) => all.min(process),
    };
    let every = [
        (&SESSION, limits.session),
        (&TRANSACTION, limits.transaction),
        (&EXCHANGE, limits.exchange),
        (&CHECK, limits.check),
        (&ALL, all),
    ];
    for (slot, bytes) in every {
        slot.store(bytes, Relaxed);
    }
    SET.store(every.iter().any(|(_, bytes)| *bytes > 0), Relaxed);
}

pub(super) fn are_set() -> bool {
    SET.load(Relaxed)
}

/// May `value` join the variables of `list`, which do not hold its name?
pub(super) fn fits(list: &[Entry], charge: &Charge, scope: VarScope, value: &Value) -> bool {
    use VarScope::{Check, Process, Request, Response, Session, Transaction};
    let size = size(value);
    let room = |limit: &AtomicUsize, scopes: &[VarScope]| {
        let limit = limit.load(Relaxed);
        limit == 0 || bytes(list, |scope| scopes.contains(&scope)) + size <= limit
    };
    let in_scope = match scope {
        Check => room(&CHECK, &[Check]),
        Request | Response => room(&EXCHANGE, &[scope]),
        Session | Transaction | Process => true,
    };
    let in_transaction =
        matches!(scope, Check | Session) || room(&TRANSACTION, &[Transaction, Request, Response]);
    let in_session = scope == Check || room(&SESSION, &[Session, Transaction, Request, Response]);
    let all = ALL.load(Relaxed);
    let elsewhere = || OTHER_BYTES.load(Relaxed).saturating_sub(charge.0) + PROCESS_BYTES.load(Relaxed);
    let in_all = all == 0 || elsewhere() + bytes(list, |_| true) + size <= all;
    in_scope && in_transaction && in_session && in_all
}

/// May `value` join the variables of scope `proc`? Of these the texts alone count: HAProxy makes them with the configuration.
pub(super) fn fits_process<'v>(all: impl Iterator<Item = &'v Value>, value: &Value) -> bool {
    let limit = ALL.load(Relaxed);
    limit == 0 || all.map(text).sum::<usize>() + text(value) + OTHER_BYTES.load(Relaxed) <= limit
}

/// The variables of scope `proc` have changed.
pub(super) fn note_process<'v>(all: impl Iterator<Item = &'v Value>) {
    PROCESS_BYTES.store(all.map(text).sum(), Relaxed);
}

fn bytes(list: &[Entry], counts: impl Fn(VarScope) -> bool) -> usize {
    list.iter().filter(|(scope, _, _)| counts(*scope)).map(|(_, _, value)| size(value)).sum()
}

fn size(value: &Value) -> usize {
    EACH + text(value)
}

fn text(value: &Value) -> usize {
    match value {
        Value::Str(text) | Value::Bin(text) => text.len(),
        Value::Bool(_) | Value::Int(_) | Value::Addr(_) => 0,
    }
}

/// What one owner's variables count in [`OTHER_BYTES`], taken off again when it goes.
#[derive(Debug, Default)]
pub(super) struct Charge(usize);

impl Charge {
    pub fn settle(&mut self, list: &[Entry]) {
        let now = if ALL.load(Relaxed) == 0 { 0 } else { bytes(list, |_| true) };
        if now != self.0 {
            OTHER_BYTES.fetch_add(now, Relaxed);
            OTHER_BYTES.fetch_sub(self.0, Relaxed);
            self.0 = now;
        }
    }
}

impl Clone for Charge {
    /// A copy has not been counted yet.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.0 > 0 {
            OTHER_BYTES.fetch_sub(self.0, Relaxed);
        }
    }
}
