//! Indices that name things inside one configuration.

/// A proxy's place in [`crate::config::model::Config::proxies`] (not its HAProxy `id`, which users may set).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyIndex(pub u32);

/// A server's place in its backend's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerIndex(pub u32);

impl ProxyIndex {
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl ServerIndex {
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}
