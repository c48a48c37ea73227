//! Checking a password of a userlist.

use super::credentials::equal;
use super::crypt;
use crate::config::model::User;
use sha1::digest::Digest;
use std::cell::RefCell;

/// Is `given` this user's password?
#[must_use]
pub fn matches(user: &User, given: &[u8]) -> bool {
    if user.plain { equal(user.password.as_bytes(), given) } else { known(&user.password, given) }
}

/// A hash costs thousands of rounds by design. A client sends the same password with each request, so what was right
/// is remembered, as a digest, for the thread's last few users.
fn known(hash: &str, given: &[u8]) -> bool {
    const REMEMBERED: usize = 64;
    thread_local! {
        static RIGHT: RefCell<Vec<[u8; 32]>> = const { RefCell::new(Vec::new()) };
    }
    let seen: [u8; 32] = sha2::Sha256::digest([hash.as_bytes(), b"\0", given].concat()).into();
    if RIGHT.with_borrow(|right| right.contains(&seen)) {
        return true;
    }
    let right = crypt::matches(hash, given);
    if right {
        RIGHT.with_borrow_mut(|list| {
            if list.len() == REMEMBERED {
                list.remove(0);
            }
            list.push(seen);
        });
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes made by glibc's crypt(3).
    #[test]
    fn agrees_with_crypt() {
        for (password, hash) in HASHES {
            let user = User { name: "u".into(), password: (*hash).into(), plain: false, groups: Vec::new() };
            assert!(matches(&user, password.as_bytes()) && matches(&user, password.as_bytes()), "{hash}");
            assert!(!matches(&user, b"something else"), "{hash}");
        }
        let plain = User { name: "u".into(), password: "pw".into(), plain: true, groups: Vec::new() };
        assert!(matches(&plain, b"pw") && !matches(&plain, b"pwx"));
    }

    const HASHES: &[(&str, &str)] = &[
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("Hello world!", "$1$abcdefgh$fzmjzFdo5nMtBG8gtud5e0"),
        ("", "$5$rounds=1400$anotherlongsalts$7IcTVudmZDHdXM3GIn4KAxA5tvn.eciiARdqRBeqNs/"),
        (
            "a very much longer text to encrypt.  This one even stretches over morethan one line.",
            "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
        ),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "$1$ab$xYxcg6Ku8Fq4wHdUunBv1.",
        ),
        ("pä", "$5$ab$145PsAUxMh90LmMlgJmExBaq3L3u8fPSO3RybknGcC/"),
    ];
}
