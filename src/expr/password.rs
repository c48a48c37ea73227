//! Checking a password of a userlist.

use crate::config::model::User;

/// Is `given` this user's password?
pub fn matches(user: &User, given: &[u8]) -> bool {
    if user.plain {
        equal(user.password.as_bytes(), given)
    } else {
        super::crypt::matches(&user.password, given)
    }
}

/// Time depends on the lengths alone.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}
