//! Checking a password of a userlist.

use crate::config::model::User;

/// Is `given` this user's password? Hashed passwords match nothing yet.
pub fn matches(user: &User, given: &[u8]) -> bool {
    user.plain && equal(user.password.as_bytes(), given)
}

/// Time depends on the lengths alone.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}
