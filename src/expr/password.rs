//! Checking a password of a userlist.

use crate::config::model::User;

/// Is `given` this user's password? Hashes of an unknown kind match nothing: [`is_supported`] finds them at start.
pub fn matches(user: &User, given: &[u8]) -> bool {
    user.plain && equal(user.password.as_bytes(), given)
}

/// Time depends on the lengths alone.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}
