//! Files of authorities and of revocation lists (`ca-file`, `crl-file`), each replaceable while it is in use: a change is
//! begun, then committed as a whole, one of either kind at a time.

use super::changes::Refusal;
use super::store::{Store, lock};
use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Authorities,
    Revocations,
}

/// What such a file holds: of its kind one or more, unless it was only just made room for.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub authorities: Arc<Vec<CertificateDer<'static>>>,
    pub revocations: Arc<Vec<CertificateRevocationListDer<'static>>>,
}

impl Contents {
    #[must_use]
    pub fn of_authorities(authorities: Vec<CertificateDer<'static>>) -> Self {
        Self { authorities: Arc::new(authorities), ..Self::default() }
    }

    #[must_use]
    pub fn of_revocations(revocations: Vec<CertificateRevocationListDer<'static>>) -> Self {
        Self { revocations: Arc::new(revocations), ..Self::default() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.revocations.is_empty()
    }

    /// `None`: nothing of that kind is in it, or something that cannot be read.
    fn from_pem(kind: Kind, text: &str) -> Option<Self> {
        let contents = match kind {
            Kind::Authorities => {
                let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
                let all = all.ok()?;
                all.iter()
                    .all(|der| X509Certificate::from_der(der).is_ok())
                    .then(|| Self::of_authorities(all))
            }
            Kind::Revocations => {
                let all: Result<Vec<_>, _> =
                    CertificateRevocationListDer::pem_slice_iter(text.as_bytes()).collect();
                let all = all.ok()?;
                let readable =
                    |der: &CertificateRevocationListDer<'_>| CertificateRevocationList::from_der(der).is_ok();
                all.iter().all(readable).then(|| Self::of_revocations(all))
            }
        };
        contents.filter(|contents| !contents.is_empty())
    }

    /// These, and the authorities of others.
    fn and(&self, more: &Self) -> Self {
        let both = self.authorities.iter().chain(more.authorities.iter());
        Self::of_authorities(both.cloned().collect())
    }
}

/// One file by its name, and what it holds now.
#[derive(Debug)]
pub struct TrustFile {
    /// As written, with `ca-base` before it: the name the administrator uses.
    pub name: Arc<str>,
    pub kind: Kind,
    current: ArcSwap<Contents>,
    version: AtomicU64,
}

impl TrustFile {
    #[must_use]
    pub fn contents(&self) -> Arc<Contents> {
        self.current.load_full()
    }
}

/// What a file is to hold instead, tried before it does.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    pub(super) file: &'a Arc<TrustFile>,
    contents: &'a Contents,
}

/// A file's contents, or those that are proposed for it.
#[must_use]
pub fn look(file: Option<&Arc<TrustFile>>, proposal: Option<Proposal<'_>>) -> Contents {
    match (file, proposal) {
        (None, _) => Contents::default(),
        (Some(file), Some(new)) if Arc::ptr_eq(file, new.file) => new.contents.clone(),
        (Some(file), _) => (*file.contents()).clone(),
    }
}

/// What a server's chain is verified with.
#[derive(Debug, Default)]
pub struct ServerTrust {
    pub authorities: Option<Arc<TrustFile>>,
    /// `crl-file`
    pub revocations: Option<Arc<TrustFile>>,
}

impl ServerTrust {
    /// Grows with each change of its files.
    #[must_use]
    pub fn version(&self) -> u64 {
        let files = self.authorities.iter().chain(&self.revocations);
        files.map(|file| file.version.load(Ordering::Acquire)).sum()
    }

    fn uses(&self, file: &Arc<TrustFile>) -> bool {
        self.authorities.iter().chain(&self.revocations).any(|own| Arc::ptr_eq(own, file))
    }

    #[must_use]
    pub fn roots(&self) -> Arc<Vec<CertificateDer<'static>>> {
        look(self.authorities.as_ref(), None).authorities
    }

    /// Verifies chains with the lists; `None`: there are none to be looked at.
    ///
    /// # Errors
    /// A list cannot be used, or there is no authority.
    pub fn revoking(
        &self,
        proposal: Option<Proposal<'_>>,
    ) -> Result<Option<Arc<WebPkiServerVerifier>>, String> {
        let Some(lists) = &self.revocations else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        let authorities = look(self.authorities.as_ref(), proposal).authorities;
        roots.add_parsable_certificates(authorities.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let lists = look(Some(lists), proposal).revocations;
        let verifier = builder.with_crls(lists.iter().cloned()).enforce_revocation_expiration().build();
        verifier.map(Some).map_err(|e| e.to_string())
    }
}

/// The files of one generation, who uses them, and changes that were begun.
#[derive(Debug, Default)]
pub(super) struct Trust {
    files: Mutex<BTreeMap<Arc<str>, Arc<TrustFile>>>,
    servers: Mutex<Vec<Weak<ServerTrust>>>,
    begun: Mutex<BTreeMap<Kind, (Arc<TrustFile>, Contents)>>,
}

impl Store {
    /// The file of that name, whatever its kind.
    #[must_use]
    pub fn trust_file(&self, name: &str) -> Option<Arc<TrustFile>> {
        lock(&self.trust.files).get(name).cloned()
    }

    /// Those of a kind, by name.
    #[must_use]
    pub fn trust_files(&self, kind: Kind) -> Vec<Arc<TrustFile>> {
        lock(&self.trust.files).values().filter(|file| file.kind == kind).cloned().collect()
    }

    /// Takes a file in under a new name; one that is there already stays.
    pub fn add_trust_file(&self, name: &str, kind: Kind, contents: Contents) -> Arc<TrustFile> {
        let name: Arc<str> = name.into();
        let fresh = || TrustFile {
            name: Arc::clone(&name),
            kind,
            current: ArcSwap::from_pointee(contents),
            version: AtomicU64::new(0),
        };
        let mut files = lock(&self.trust.files);
        Arc::clone(files.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(fresh())))
    }

    /// A server whose chain is verified; forgotten with the server.
    pub fn add_server_trust(&self, trust: &Arc<ServerTrust>) {
        let mut servers = lock(&self.trust.servers);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(trust));
    }

    fn trusting_servers(&self, file: &Arc<TrustFile>) -> Vec<Arc<ServerTrust>> {
        lock(&self.trust.servers)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|server| server.uses(file))
            .collect()
    }

    /// How many lines use it, of `bind` lines and of servers.
    #[must_use]
    pub fn trust_uses(&self, file: &Arc<TrustFile>) -> usize {
        let lines =
            |door: &Arc<super::Door>| door.lines().iter().filter(|line| line.settings.uses(file)).count();
        self.doors().iter().map(lines).sum::<usize>() + self.trusting_servers(file).len()
    }

    /// The change of that kind that was begun.
    #[must_use]
    pub fn trust_begun(&self, kind: Kind) -> Option<(Arc<str>, Contents)> {
        lock(&self.trust.begun).get(&kind).map(|(file, contents)| (Arc::clone(&file.name), contents.clone()))
    }

    /// Takes a name for a file to come.
    ///
    /// # Errors
    /// It is taken.
    pub fn create_trust(&self, name: &str, kind: Kind) -> Result<(), Refusal> {
        if self.trust_file(name).is_some() {
            return Err(Refusal::Taken);
        }
        self.add_trust_file(name, kind, Contents::default());
        Ok(())
    }

    /// Notes new contents for a file; `adding` to what it holds or was about to. Answers whether that begins a change.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn change_trust(&self, name: &str, kind: Kind, text: &str, adding: bool) -> Result<bool, Refusal> {
        let mut begun = lock(&self.trust.begun);
        if let Some((other, _)) = begun.get(&kind).filter(|(file, _)| *file.name != *name) {
            return Err(Refusal::Other(other.name.to_string()));
        }
        let file = self.trust_file(name).filter(|file| file.kind == kind).ok_or(Refusal::Unknown)?;
        let fresh = Contents::from_pem(kind, text).ok_or_else(|| Refusal::Bad("Invalid payload".into()))?;
        let contents = match begun.get(&kind).filter(|_| adding) {
            _ if !adding => fresh,
            Some((_, contents)) => contents.and(&fresh),
            None => file.contents().and(&fresh),
        };
        Ok(begun.insert(kind, (file, contents)).is_none())
    }

    /// Puts a change to use: handshakes that begin later see it, and no session from before is taken up again. Answers
    /// how many lines use the file.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has changed then, and what was begun stays.
    pub fn commit_trust(&self, name: &str, kind: Kind) -> Result<usize, Refusal> {
        let (file, contents) = match lock(&self.trust.begun).get(&kind) {
            None => return Err(Refusal::NotBegun),
            Some((other, _)) if *other.name != *name => return Err(Refusal::Other(other.name.to_string())),
            Some((file, contents)) => (Arc::clone(file), contents.clone()),
        };
        let proposal = Proposal { file: &file, contents: &contents };
        self.trust_anew(proposal).map_err(Refusal::Bad)?;
        lock(&self.trust.begun).remove(&kind);
        Ok(self.trust_uses(&file))
    }

    fn trust_anew(&self, proposal: Proposal<'_>) -> Result<(), String> {
        let _one = self.one_change();
        for server in self.trusting_servers(proposal.file) {
            server.revoking(Some(proposal))?;
        }
        let mut renewed = Vec::new();
        for door in self.doors() {
            if let Some(anew) = door.renewed(self, proposal)? {
                renewed.push((door, anew));
            }
        }
        for (door, anew) in renewed {
            door.renew(anew);
        }
        proposal.file.current.store(Arc::new(proposal.contents.clone()));
        proposal.file.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// # Errors
    /// See [`Refusal`].
    pub fn abort_trust(&self, name: &str, kind: Kind) -> Result<(), Refusal> {
        let mut begun = lock(&self.trust.begun);
        match begun.get(&kind) {
            None => Err(Refusal::NotBegun),
            Some((other, _)) if *other.name != *name => Err(Refusal::Other(other.name.to_string())),
            Some(_) => {
                begun.remove(&kind);
                Ok(())
            }
        }
    }

    /// Forgets a file that nobody uses.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn forget_trust(&self, name: &str, kind: Kind) -> Result<(), Refusal> {
        if self.trust_begun(kind).is_some_and(|(begun, _)| *begun == *name) {
            return Err(Refusal::Begun);
        }
        let file = self.trust_file(name).filter(|file| file.kind == kind).ok_or(Refusal::Unknown)?;
        if self.trust_uses(&file) > 0 {
            return Err(Refusal::Used);
        }
        lock(&self.trust.files).remove(name);
        Ok(())
    }
}
