//! One table row per keyword. The parser dispatches on the rows; the reference manual, the `-dK` listing and the
//! "did you mean" hints are generated from them.

use super::parser::Parser;
use super::raw::Line;

/// Where a keyword may stand: a set of [`Section`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections(pub u16);

impl Sections {
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn has(self, section: Section) -> bool {
        self.0 & section.set().0 != 0
    }
}

pub const GLOBAL: Sections = Section::Global.set();
pub const DEFAULTS: Sections = Section::Defaults.set();
pub const FRONTEND: Sections = Section::Frontend.set();
pub const BACKEND: Sections = Section::Backend.set();
pub const LISTEN: Sections = Section::Listen.set();
pub const USERLIST: Sections = Section::Userlist.set();
pub const HTTP_ERRORS: Sections = Section::HttpErrors.set();
pub const HEALTH_CHECK: Sections = Section::HealthCheck.set();
pub const MAILERS: Sections = Section::Mailers.set();
pub const RING: Sections = Section::Ring.set();
pub const CRT_STORE: Sections = Section::CrtStore.set();
pub const VRRP: Sections = Section::Vrrp.set();
pub const VRRP_GROUP: Sections = Section::VrrpGroup.set();
pub const VRRP_SCRIPT: Sections = Section::VrrpScript.set();
/// The proxy sections, as the columns of HAProxy's keyword matrix combine.
pub const ANY_PROXY: Sections = DEFAULTS.or(FRONTEND).or(BACKEND).or(LISTEN);
pub const FRONT: Sections = DEFAULTS.or(FRONTEND).or(LISTEN);
pub const BACK: Sections = DEFAULTS.or(BACKEND).or(LISTEN);
pub const NO_DEFAULTS: Sections = FRONTEND.or(BACKEND).or(LISTEN);
pub const FRONT_ONLY: Sections = FRONTEND.or(LISTEN);
pub const BACK_ONLY: Sections = BACKEND.or(LISTEN);

/// The section a line stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// Before the first section header.
    #[default]
    None,
    Global,
    Defaults,
    Frontend,
    Backend,
    Listen,
    Userlist,
    HttpErrors,
    HealthCheck,
    Mailers,
    Ring,
    CrtStore,
    Vrrp,
    VrrpGroup,
    VrrpScript,
    /// A section of HAProxy's that weir has not got yet: its lines are swallowed.
    Unsupported,
}

impl Section {
    #[must_use]
    pub const fn set(self) -> Sections {
        match self {
            Self::None | Self::Unsupported => Sections(0),
            Self::Global => Sections(1),
            Self::Defaults => Sections(2),
            Self::Frontend => Sections(4),
            Self::Backend => Sections(8),
            Self::Listen => Sections(16),
            Self::Userlist => Sections(32),
            Self::HttpErrors => Sections(64),
            Self::HealthCheck => Sections(128),
            Self::Mailers => Sections(256),
            Self::Ring => Sections(512),
            Self::Vrrp => Sections(1024),
            Self::VrrpGroup => Sections(2048),
            Self::VrrpScript => Sections(4096),
            Self::CrtStore => Sections(8192),
        }
    }

    /// As it is typed and shown in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None | Self::Unsupported => "",
            Self::Global => "global",
            Self::Defaults => "defaults",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Listen => "listen",
            Self::Userlist => "userlist",
            Self::HttpErrors => "http-errors",
            Self::HealthCheck => "healthcheck",
            Self::Mailers => "mailers",
            Self::Ring => "ring",
            Self::CrtStore => "crt-store",
            Self::Vrrp => "vrrp",
            Self::VrrpGroup => "vrrp-group",
            Self::VrrpScript => "vrrp-script",
        }
    }

    #[must_use]
    pub const fn is_proxy(self) -> bool {
        matches!(self, Self::Defaults | Self::Frontend | Self::Backend | Self::Listen)
    }

    /// Has the proxy a client side / a server side? (`defaults` has both.)
    #[must_use]
    pub const fn has_front(self) -> bool {
        matches!(self, Self::Defaults | Self::Frontend | Self::Listen)
    }

    #[must_use]
    pub const fn has_back(self) -> bool {
        matches!(self, Self::Defaults | Self::Backend | Self::Listen)
    }
}

/// `no` or `default` before a keyword. It is stripped from the line's words; see [`Parser::prefix`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefix {
    #[default]
    None,
    No,
    Default,
}

/// One keyword. `name` may be several words (`option httplog`, `timeout client`): the longest match wins, and
/// `line.word(0)` is always the first word of the name.
#[derive(Clone, Copy)]
pub struct Keyword {
    pub name: &'static str,
    pub sections: Sections,
    /// For the manual: `<time>`, `[header <name>] [if-none]`…
    pub args: &'static str,
    /// One or two sentences of ours for the manual.
    pub doc: &'static str,
    /// May `no`/`default` stand before it?
    pub no: bool,
    pub apply: fn(&mut Parser, &Line),
}

impl Keyword {
    #[must_use]
    pub const fn new(
        name: &'static str,
        sections: Sections,
        args: &'static str,
        doc: &'static str,
        apply: fn(&mut Parser, &Line),
    ) -> Self {
        Self { name, sections, args, doc, no: false, apply }
    }

    /// Allows the `no` and `default` prefixes.
    #[must_use]
    pub const fn negatable(mut self) -> Self {
        self.no = true;
        self
    }
}
