//! When `set-var` really sets: the conditions of its rules and of its converter.

use super::{Facts, Value};
use crate::config::model::VarScope;
use std::cmp::Ordering;

const NAMES: [&str; 8] =
    ["ifexists", "ifnotexists", "ifempty", "ifnotempty", "ifset", "ifnotset", "ifgt", "iflt"];

/// All of them must hold; none: always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreIf(u32);

impl StoreIf {
    /// # Errors
    /// A name that is no condition.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut set = 0;
        for name in names {
            let Some(at) = NAMES.iter().position(|known| known.as_bytes() == name) else {
                let shown = String::from_utf8_lossy(name);
                return Err(format!("unknown condition '{shown}' (expects one of {})", NAMES.join(", ")));
            };
            set |= 1 << at;
        }
        Ok(Self(set))
    }

    /// The bits, for those who keep them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Sets the variable to `new` if the conditions hold.
    pub fn store(self, scope: VarScope, name: &str, new: Value, facts: &mut dyn Facts) {
        // HAProxy makes those of the process when it reads their names: they exist before they are set.
        let made = scope == VarScope::Process;
        if self.0 == 0 || self.holds(facts.var(scope, name).as_ref(), made, &new) {
            facts.set_var(scope, name, new);
        }
    }

    fn holds(self, old: Option<&Value>, made: bool, new: &Value) -> bool {
        let is_set = old.is_some();
        let exists = is_set || made;
        let empty = matches!(new, Value::Str(s) | Value::Bin(s) if s.is_empty());
        // Compared only when both are integers, else taken to hold.
        let order = match (old, new) {
            (Some(Value::Int(old)), Value::Int(new)) => Some(old.cmp(new)),
            _ => None,
        };
        let results = [
            exists,
            !exists,
            empty,
            !empty,
            is_set,
            !is_set,
            order.is_none_or(|o| o == Ordering::Greater),
            order.is_none_or(|o| o == Ordering::Less),
        ];
        results.iter().enumerate().all(|(i, holds)| self.0 & (1 << i) == 0 || *holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_decide() {
        let check = |names: &str, old: Option<Value>, new: Value, expected: bool| {
            let parsed = StoreIf::parse(names.split(',').map(str::as_bytes)).unwrap();
            assert_eq!(parsed.holds(old.as_ref(), false, &new), expected, "{names} {old:?} {new:?}");
        };
        let text = |t: &str| Value::Str(t.into());
        check("ifexists", None, text("a"), false);
        check("ifnotexists", None, text("a"), true);
        check("ifset", Some(text("b")), text("a"), true);
        check("ifempty", None, text(""), true);
        check("ifempty", None, Value::Int(0), false);
        check("ifnotempty,ifnotset", None, text("a"), true);
        check("ifnotempty,ifnotset", None, text(""), false);
        check("ifgt", Some(Value::Int(5)), Value::Int(3), true);
        check("ifgt", Some(Value::Int(3)), Value::Int(5), false);
        check("iflt", Some(Value::Int(3)), Value::Int(5), true);
        check("iflt", Some(text("x")), Value::Int(5), true);
        assert!(StoreIf::parse([b"ifmaybe".as_slice()]).is_err());
    }
}
