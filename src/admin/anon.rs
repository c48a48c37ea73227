//! Names and addresses made unreadable (`set anon on`), so that a dump can be shown to strangers: 24 bits of a keyed hash
//! stand in each one's place, the same wherever it occurs.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh32::xxh32;

/// A session's key; without one everything is shown as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Veil(Option<NonZeroU32>);

impl Veil {
    /// 0 shows all.
    #[must_use]
    pub fn with_key(key: u32) -> Self {
        Self(NonZeroU32::new(key))
    }

    /// One that nobody knows beforehand. Hiding names from readers of a dump needs no more than the clock's fractions.
    #[must_use]
    pub fn random() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos().to_le_bytes();
        Self(NonZeroU32::new(xxh32(&seed, std::process::id())).or(NonZeroU32::new(1)))
    }

    #[must_use]
    pub fn key(self) -> Option<u32> {
        self.0.map(NonZeroU32::get)
    }

    fn hash(key: NonZeroU32, bytes: &[u8]) -> String {
        format!("{:06x}", xxh32(bytes, key.get()) & 0xff_ffff)
    }

    /// A name: of a proxy, a server, a host.
    #[must_use]
    pub fn name(self, name: &str) -> Cow<'_, str> {
        match self.0 {
            Some(key) => Self::hash(key, name.as_bytes()).into(),
            None => name.into(),
        }
    }

    #[must_use]
    pub fn ip(self, ip: IpAddr) -> String {
        match (self.0, ip) {
            (None, ip) => ip.to_string(),
            (Some(key), IpAddr::V4(ip)) => format!("IPV4({})", Self::hash(key, &ip.octets())),
            (Some(key), IpAddr::V6(ip)) => format!("IPV6({})", Self::hash(key, &ip.octets())),
        }
    }

    /// The port stays readable.
    #[must_use]
    pub fn socket(self, address: SocketAddr) -> String {
        format!("{}:{}", self.ip(address.ip()), address.port())
    }

    /// The same of what may be missing.
    pub fn ip_or_dash(self, ip: Option<IpAddr>) -> impl Display {
        ip.map_or_else(|| "-".to_owned(), |ip| self.ip(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_but_stay_apart() {
        let (open, veil, other) = (Veil::default(), Veil::with_key(1), Veil::with_key(2));
        assert_eq!(open.name("web"), "web");
        assert_eq!(veil.name("web"), veil.name("web"));
        assert_eq!(veil.name("web").len(), 6);
        assert_ne!(veil.name("web"), veil.name("api"));
        assert_ne!(veil.name("web"), other.name("web"));
        // xxHash of 32 bits, its low 24.
        assert_eq!(veil.name("web"), format!("{:06x}", xxh32(b"web", 1) % (1 << 24)));
        assert!(Veil::random().key().is_some());
    }

    #[test]
    fn addresses_keep_their_family_and_port() {
        let veil = Veil::with_key(7);
        let hidden = veil.socket("192.0.2.1:80".parse().unwrap());
        assert!(hidden.starts_with("IPV4(") && hidden.ends_with("):80") && hidden.len() == 15, "{hidden}");
        assert!(veil.socket("[2001:db8::1]:443".parse().unwrap()).starts_with("IPV6("));
        assert_eq!(Veil::default().socket("192.0.2.1:80".parse().unwrap()), "192.0.2.1:80");
        assert_eq!(veil.ip_or_dash(None).to_string(), "-");
    }
}
