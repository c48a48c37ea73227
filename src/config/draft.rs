//! What the keyword tables fill: proxies whose names are not resolved yet. [`super::resolve`] turns them into the model.

use super::keyword::Section;
use super::model::{Bind, Proxy, Rule, Server};
use super::raw::Line;
use crate::expr::{LogFormat, Scope};

/// A proxy (or a `defaults` section) being read. `proxy.front`/`proxy.back` are `Some` where the section has that side;
/// in `defaults` both are. Settings of the `defaults` in force are replayed into each new draft before its own lines.
#[derive(Debug)]
pub struct Draft {
    pub section: Section,
    pub header: Line,
    /// The model's value, filled in place. What needs names resolved stands in the fields below instead.
    pub proxy: Proxy,
    /// ACLs declared so far and every userlist of the configuration.
    pub scope: Scope,
    pub binds: Vec<Bind>,
    pub servers: Vec<DraftServer>,
    /// The `default-server` settings so far.
    pub default_server: Server,
    pub default_backend: Option<Reference>,
    pub use_backend: Vec<Rule<Target>>,
    pub use_server: Vec<Rule<Target>>,
    /// `errorfiles NAME [codes]`, in order: taken from the `http-errors` section when all are read.
    pub errorfiles: Vec<ErrorFiles>,
}

/// A name to be resolved, and where it was said (for the diagnostic).
#[derive(Clone, Debug)]
pub struct Reference {
    pub name: String,
    pub line: Line,
    /// The word of `line` that says the name.
    pub word: usize,
}

/// What `use_backend` and `use-server` point at.
#[derive(Debug)]
pub enum Target {
    Name(Reference),
    Format(LogFormat),
}

#[derive(Clone, Debug)]
pub struct ErrorFiles {
    pub section: Reference,
    /// Empty: every status of the section.
    pub codes: Vec<u16>,
}

/// A `server` line before its names are settled.
#[derive(Debug)]
pub struct DraftServer {
    pub line: Line,
    pub server: Server,
}
