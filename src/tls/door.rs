//! One `bind` line's side of TLS: the certificates it shows, and the configuration each client gets.

use super::certificate::Certificate;
use super::settings::Settings;
use super::sni::{Ability, Table};
use super::store::{Slot, Store};
use super::trust::Proposal;
use super::verify::Verifier;
use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm, SignatureScheme};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a certificate stands in a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The list's file, or the directory that is one.
    pub list: Arc<str>,
    pub number: u32,
    pub directory: bool,
}

/// A certificate on a `bind` line, or a line of a list.
#[derive(Clone, Debug)]
pub struct Line {
    pub slot: Arc<Slot>,
    /// Names it is shown for; empty: the certificate's own.
    pub filters: Vec<String>,
    pub settings: Arc<Settings>,
    /// The options as written between brackets.
    pub options: Option<Arc<str>>,
    pub list: Option<Listing>,
    /// Shown where no name fits, whatever its own names are.
    pub is_default: bool,
}

/// What a client that chose a certificate gets.
#[derive(Debug)]
pub struct Instance {
    pub slot: Arc<Slot>,
    pub certificate: Arc<Certificate>,
    pub verifier: Option<Arc<Verifier>>,
    config: Arc<ServerConfig>,
    /// The same without ALPN, for clients that offer none of its protocols.
    bare: Option<Arc<ServerConfig>>,
}

/// Which `bind` line it is, for the administrator.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    pub proxy: String,
    /// File and line.
    pub place: String,
}

#[derive(Debug)]
pub struct Door {
    pub whose: Whose,
    strict: bool,
    /// No `default-crt`: the first line is it.
    first_is_default: bool,
    /// What the `bind` line says: a list's line adds to it.
    common: Mutex<Arc<Settings>>,
    lines: Mutex<Vec<Line>>,
    table: ArcSwap<Table<Instance>>,
}

/// Lines and table with other files of authorities or revocation lists.
#[derive(Debug)]
pub(super) struct Renewed {
    common: Arc<Settings>,
    lines: Vec<Line>,
    table: Table<Instance>,
}

impl Door {
    /// # Errors
    /// A line's settings cannot be had.
    pub fn new(whose: Whose, strict: bool, common: Arc<Settings>, lines: Vec<Line>) -> Result<Self, String> {
        let first_is_default = !lines.iter().any(|line| line.is_default);
        let door = Self {
            whose,
            strict,
            first_is_default,
            common: Mutex::new(common),
            lines: Mutex::new(lines),
            table: ArcSwap::from_pointee(Table::new(strict)),
        };
        door.swap(door.table_with(None)?);
        Ok(door)
    }

    /// The certificate for a client, by its first message. `None`: there is none to be shown.
    #[must_use]
    pub fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<Instance>> {
        self.table.load().choose(hello.server_name(), ability(hello)).cloned()
    }

    /// What the `bind` line says; a list's line without options has the same.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.common))
    }

    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }

    /// The lines, and which of them clients get for whom no name fits.
    #[must_use]
    pub fn shown(&self) -> Vec<(Line, bool)> {
        let first = |place: usize| place == 0 && self.first_is_default && !self.strict;
        let lines = self.lines().into_iter().enumerate();
        lines.map(|(place, line)| (line.clone(), line.is_default || first(place))).collect()
    }

    /// Does one of its lines show the certificate of that name?
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        lock(&self.lines).iter().any(|line| *line.slot.name == *name)
    }

    /// Changes the lines; handshakes that begin later see them.
    ///
    /// # Errors
    /// The new lines' settings cannot be had; nothing has changed then.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Line>)) -> Result<(), String> {
        let mut lines = lock(&self.lines);
        let mut wanted = lines.clone();
        change(&mut wanted);
        let table = self.table_of(&wanted, None)?;
        *lines = wanted;
        self.swap(table);
        Ok(())
    }

    /// The table as it would be with another certificate in a slot.
    ///
    /// # Errors
    /// The certificate does not go with a line's settings.
    pub fn table_with(
        &self,
        new: Option<(&Arc<Slot>, &Arc<Certificate>)>,
    ) -> Result<Table<Instance>, String> {
        self.table_of(&lock(&self.lines), new)
    }

    pub(super) fn swap(&self, table: Table<Instance>) {
        self.table.store(Arc::new(table));
    }

    /// Lines and table as they are to be with a file's new contents; `None`: no line uses it.
    ///
    /// # Errors
    /// A line's settings cannot be had with them.
    pub(super) fn renewed(&self, store: &Store, proposal: Proposal<'_>) -> Result<Option<Renewed>, String> {
        let (mut common, mut lines) = (self.settings(), self.lines());
        let mut renewed: Vec<(Arc<Settings>, Arc<Settings>)> = Vec::new();
        let all = lines.iter_mut().map(|line| &mut line.settings).chain([&mut common]);
        for settings in all.filter(|settings| settings.uses(proposal.file)) {
            // Lines that share settings, and with them sessions, go on sharing them.
            let known = renewed.iter().find(|(old, _)| Arc::ptr_eq(old, settings));
            let fresh = match known {
                Some((_, fresh)) => Arc::clone(fresh),
                None => {
                    let fresh = Arc::new(settings.begin(store, Some(proposal))?);
                    renewed.push((Arc::clone(settings), Arc::clone(&fresh)));
                    fresh
                }
            };
            *settings = fresh;
        }
        if renewed.is_empty() {
            return Ok(None);
        }
        let table = self.table_of(&lines, None)?;
        Ok(Some(Renewed { common, lines, table }))
    }

    pub(super) fn renew(&self, renewed: Renewed) {
        *lock(&self.common) = renewed.common;
        *lock(&self.lines) = renewed.lines;
        self.swap(renewed.table);
    }

    fn table_of(
        &self,
        lines: &[Line],
        new: Option<(&Arc<Slot>, &Arc<Certificate>)>,
    ) -> Result<Table<Instance>, String> {
        let mut table = Table::new(self.strict);
        for line in lines {
            let fresh = new.filter(|(slot, _)| Arc::ptr_eq(slot, &line.slot));
            let certificate = fresh.map_or_else(|| line.slot.certificate(), |(_, new)| Arc::clone(new));
            let kind = certificate.kind;
            let instance = Arc::new(Instance::new(line, certificate)?);
            if line.is_default || (self.first_is_default && !table.has_default()) {
                table.add_default(kind, &instance);
            }
            let names = if line.filters.is_empty() { &instance.certificate.names } else { &line.filters };
            for name in names {
                table.add(name, kind, &instance);
            }
        }
        Ok(table)
    }
}

impl Instance {
    fn new(line: &Line, certificate: Arc<Certificate>) -> Result<Self, String> {
        let config = line.settings.config(&certificate)?;
        let bare = (!config.alpn_protocols.is_empty()).then(|| {
            let mut bare = config.clone();
            bare.alpn_protocols.clear();
            Arc::new(bare)
        });
        Ok(Self {
            slot: Arc::clone(&line.slot),
            certificate,
            verifier: line.settings.verifier.clone(),
            config: Arc::new(config),
            bare,
        })
    }

    /// The configuration for this client. One that offers no protocol of ours is served without any, as OpenSSL does;
    /// the library would refuse it.
    #[must_use]
    pub fn config(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let ours = &self.config.alpn_protocols;
        let common = hello.alpn().is_none_or(|mut offered| offered.any(|p| ours.iter().any(|o| o == p)));
        match &self.bare {
            Some(bare) if !common => Arc::clone(bare),
            _ => Arc::clone(&self.config),
        }
    }
}

/// What the client says it can verify.
fn ability(hello: &ClientHello<'_>) -> Ability {
    let schemes = hello.signature_schemes();
    let signs = |algorithm: SignatureAlgorithm| schemes.iter().any(|s| algorithm_of(*s) == Some(algorithm));
    let ecdsa_suite = hello.cipher_suites().iter().any(|suite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        )
    });
    Ability { rsa: signs(SignatureAlgorithm::RSA), ecdsa: signs(SignatureAlgorithm::ECDSA) && ecdsa_suite }
}

fn algorithm_of(scheme: SignatureScheme) -> Option<SignatureAlgorithm> {
    Some(match u16::from(scheme) {
        // rsa_pss_rsae_*, rsa_pss_pss_*
        0x0804..=0x0806 | 0x0809..=0x080b => SignatureAlgorithm::RSA,
        0x0807 | 0x0808 => SignatureAlgorithm::ED25519,
        old => match old & 0xff {
            1 => SignatureAlgorithm::RSA,
            3 => SignatureAlgorithm::ECDSA,
            _ => return None,
        },
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
