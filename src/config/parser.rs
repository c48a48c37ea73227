//! The state a keyword's `apply` works on: the section it stands in, the draft it fills, the diagnostics it raises.

use super::certificates::Tls;
use super::checks::HealthCheck;
use super::diagnostic::{Diagnostic, Severity};
use super::draft::{Draft, Reference};
use super::environment::Environment;
use super::keyword::{Keyword, Prefix, Section};
use super::model::mail::Mailers;
use super::model::{Global, HttpErrors, Ring, Userlist};
use super::raw::Line;
use super::tls::Versions;
use crate::expr::{Condition, Directory, ExprError, PatternStore, Scope, Site};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything read so far. Keyword handlers change the draft of the current section and report through [`Parser::alert`].
pub struct Parser {
    /// `no` / `default` of the current line (already stripped from its words).
    pub prefix: Prefix,
    pub section: Section,
    pub global: Global,
    /// All userlists and http-errors sections: read before any proxy, so that every reference can be checked at once.
    pub userlists: Vec<Arc<Userlist>>,
    pub http_errors: Vec<Arc<HttpErrors>>,
    /// The `userlist` / `http-errors` section being read.
    pub userlist: Userlist,
    pub http_error: HttpErrors,
    /// The `healthcheck` section being read, and those read.
    pub healthcheck: HealthCheck,
    pub healthchecks: Vec<HealthCheck>,
    /// The `mailers` section being read, and those read.
    pub mailers: Mailers,
    pub mailer_sections: Vec<Mailers>,
    /// The `ring` section being read, and those read: before any `log` line.
    pub ring: Ring,
    pub rings: Vec<Ring>,
    /// The state files of the backends so far.
    pub states: super::states::States,
    /// `vrrp` sections and their like; the current one is the last of its kind.
    pub vrrp: super::vrrp::Drafts,
    /// Finished and current proxies; the current one is the last while `section.is_proxy()`.
    pub drafts: Vec<Draft>,
    pub environment: Environment,
    /// Of lines outside proxies.
    pub bare: Scope,
    /// Names of all proxies and servers, for the expressions that take them.
    pub directory: Option<Arc<Directory>>,
    /// Pattern files and maps, shared by all sections.
    pub patterns: Arc<PatternStore>,
    /// The files that rules change, and where they are named.
    pub pattern_edits: Vec<(Line, usize, String)>,
    pub diagnostics: Vec<Diagnostic>,
    pub path_base: PathBase,
    pub unix_bind: UnixBind,
    pub tls: Tls,
    /// `ca-base`
    pub ca_base: Option<PathBuf>,
    /// `ssl-server-verify`: what a server line without `verify` means.
    pub verify_servers: bool,
    /// `ssl-default-server-options`
    pub server_versions: Versions,
    pub server_tickets: bool,
    /// `ssl-default-server-ciphers` and `ssl-default-server-ciphersuites`
    pub server_ciphers: [Option<Reference>; 2],
    /// True while a `defaults` section's lines are applied again to a proxy: what they report was reported already.
    pub replaying: bool,
    /// Which section of a `defaults` chain the line being applied stands in; the same number, the same section.
    pub depth: usize,
}

/// Where relative paths start (`default-path`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathBase {
    #[default]
    Current,
    /// The directory of the configuration file.
    Config,
    Parent,
    Origin(PathBuf),
}

/// What `unix-bind` says for the unix sockets of `bind` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixBind {
    pub prefix: Option<String>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Parser {
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            prefix: Prefix::None,
            section: Section::None,
            global: Global::default(),
            userlists: Vec::new(),
            http_errors: Vec::new(),
            userlist: Userlist::default(),
            http_error: HttpErrors::default(),
            healthcheck: HealthCheck::default(),
            healthchecks: Vec::new(),
            mailers: Mailers::default(),
            mailer_sections: Vec::new(),
            ring: Ring::new("", 0),
            rings: Vec::new(),
            states: super::states::States::default(),
            vrrp: super::vrrp::Drafts::default(),
            drafts: Vec::new(),
            bare: Scope { environment: Some(Arc::new(environment.clone())), ..Scope::default() },
            environment,
            directory: None,
            patterns: Arc::default(),
            pattern_edits: Vec::new(),
            diagnostics: Vec::new(),
            path_base: PathBase::Current,
            unix_bind: UnixBind::default(),
            tls: Tls::default(),
            ca_base: None,
            verify_servers: true,
            server_versions: Versions::default(),
            server_tickets: true,
            server_ciphers: [None, None],
            replaying: false,
            depth: 0,
        }
    }

    /// The proxy (or `defaults`) the current line belongs to. A keyword whose `sections` are proxy sections only is
    /// never called without one; the `None` arm is for the compiler.
    pub fn draft(&mut self) -> Option<&mut Draft> {
        self.drafts.last_mut()
    }

    /// An error about word `index` of the line.
    pub fn alert(&mut self, line: &Line, index: usize, message: impl Into<String>) {
        self.report(Diagnostic::at(Severity::Alert, line, index, message));
    }

    pub fn warning(&mut self, line: &Line, index: usize, message: impl Into<String>) {
        self.report(Diagnostic::at(Severity::Warning, line, index, message));
    }

    /// `Severity::Diag`: only shown with `-dD`.
    pub fn diag(&mut self, line: &Line, index: usize, message: impl Into<String>) {
        self.report(Diagnostic::at(Severity::Diag, line, index, message));
    }

    /// What is accepted because leaving it out changes nothing that can be seen, and why (`because`).
    pub fn no_effect(&mut self, line: &Line, index: usize, because: &str) {
        let name = line.words.get(..=index).unwrap_or_default().iter().map(|w| w.text.as_str());
        let name = name.collect::<Vec<_>>().join(" ");
        self.diag(line, index, format!("'{name}' is accepted and has no effect in weir: {because}."));
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        if !self.replaying {
            self.diagnostics.push(diagnostic);
        }
    }

    /// The answer for what HAProxy knows and weir does not build yet.
    pub fn unsupported(&mut self, line: &Line, index: usize, what: &str) {
        if let Some(draft) = self.drafts.last_mut() {
            draft.incomplete = true;
        }
        self.alert(line, index, format!("'{what}' is not supported by weir yet"));
    }

    /// Reports an expression's error; `first` is the index in `line` of the first word that was given to the expression parser.
    pub fn expr_error(&mut self, line: &Line, first: usize, context: &str, error: ExprError) {
        if let Some(draft) = self.drafts.last()
            && draft.broken_acls.iter().any(|name| error.message.contains(&format!("no such ACL : '{name}'")))
        {
            return;
        }
        let index = first + error.word;
        let message = if error.unsupported && !error.message.contains("not supported by weir") {
            format!("{context} : {} is not supported by weir yet", error.message)
        } else {
            format!("{context} : {}", error.message)
        };
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
        diagnostic.hint = error.hint;
        if self.replaying && error.misplaced {
            // In the `defaults` nothing was wrong with it.
            let proxy = self.drafts.last().map_or("", |d| &*d.proxy.name);
            diagnostic.message = format!("{} (inherited by '{proxy}')", diagnostic.message);
            self.diagnostics.push(diagnostic);
            return;
        }
        self.report(diagnostic);
    }

    /// The names an expression of the section being read may use.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.drafts.last().map_or(&self.bare, |d| &d.scope)
    }

    /// The optional `if`/`unless` at word `index` to the end of the line. `Err(())` when it was reported as wrong.
    ///
    /// # Errors
    /// The condition does not parse, or something else than `if`/`unless` stands there; it has been reported.
    #[allow(clippy::result_unit_err)]
    pub fn condition(
        &mut self,
        line: &Line,
        index: usize,
        context: &str,
        site: Site,
    ) -> Result<Option<Condition>, ()> {
        match line.word(index) {
            "" if index >= line.words.len() => Ok(None),
            "if" | "unless" => {
                let words: Vec<&str> = line.words.iter().skip(index).map(|w| w.text.as_str()).collect();
                match Condition::parse(&words, site, self.scope()) {
                    Ok(condition) => {
                        for warning in condition.warnings() {
                            self.warning(line, index, warning.clone());
                        }
                        Ok(Some(condition))
                    }
                    Err(error) => {
                        self.expr_error(line, index, context, error);
                        Err(())
                    }
                }
            }
            other => {
                let message =
                    format!("{context} : expects 'if' or 'unless' followed by a condition (got '{other}')");
                self.alert(line, index, message);
                Err(())
            }
        }
    }

    /// A file named in the configuration, relative to where HAProxy would look (`default-path`).
    #[must_use]
    pub fn path(&self, line: &Line, name: &str) -> PathBuf {
        let directory = Path::new(&*line.place.file).parent().map(Path::to_path_buf).unwrap_or_default();
        match &self.path_base {
            PathBase::Current => Path::new(name).to_path_buf(),
            PathBase::Config => directory.join(name),
            PathBase::Parent => directory.join("..").join(name),
            PathBase::Origin(origin) => origin.join(name),
        }
    }

    /// Reads a file named by word `index`; a failure is reported.
    pub fn read_file(&mut self, line: &Line, index: usize, context: &str) -> Option<Vec<u8>> {
        let path = self.path(line, line.word(index));
        match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!(
                    "{context} : error opening file <{}> ({}).",
                    path.display(),
                    super::reason(&error)
                );
                self.alert(line, index, message);
                None
            }
        }
    }

    /// Runs the row for `line` (whose prefix has been stripped).
    pub(super) fn apply(&mut self, keyword: &Keyword, line: &Line) {
        self.patterns.enter(&line.place);
        super::keywords::apply(self, keyword, line);
    }
}
