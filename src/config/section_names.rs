//! The words that begin a section.

use super::keyword::Section;

/// Sections weir reads.
pub const BUILT: &[(&str, Section)] = &[
    ("global", Section::Global),
    ("defaults", Section::Defaults),
    ("frontend", Section::Frontend),
    ("backend", Section::Backend),
    ("listen", Section::Listen),
    ("userlist", Section::Userlist),
    ("http-errors", Section::HttpErrors),
    ("healthcheck", Section::HealthCheck),
    ("mailers", Section::Mailers),
    ("ring", Section::Ring),
    ("crt-store", Section::CrtStore),
    ("vrrp", Section::Vrrp),
    ("vrrp-group", Section::VrrpGroup),
    ("vrrp-script", Section::VrrpScript),
];

/// HAProxy's other sections: each is one error, its lines are passed over.
pub const UNSUPPORTED: &[&str] = &[
    "acme",
    "cache",
    "dynamic-update",
    "fcgi-app",
    "log-forward",
    "log-profile",
    "peers",
    "program",
    "resolvers",
    "traces",
];

/// Is `word`, at the beginning of a line, a section header?
#[must_use]
pub fn is_header(word: &str) -> bool {
    BUILT.iter().any(|(name, _)| *name == word) || UNSUPPORTED.contains(&word)
}
