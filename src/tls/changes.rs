//! Changes of certificates while they are in use: begun, filled in pieces, then committed as a whole; one at a time.

use super::certificate::{BESIDE, Certificate, Parts};
use super::ocsp;
use super::store::{Slot, Store, lock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What was ordered and is not in use yet.
#[derive(Debug, Default)]
pub struct Changes {
    begun: Option<Begun>,
    /// Names taken by `new ssl cert` that have no certificate yet.
    empty: BTreeSet<String>,
}

#[derive(Debug)]
struct Begun {
    name: String,
    parts: Parts,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No certificate has that name.
    Unknown,
    /// The name is taken.
    Taken,
    /// Nothing was begun.
    NotBegun,
    /// Another certificate's change was begun: its name.
    Other(String),
    /// A change of it was begun.
    Begun,
    /// A line shows it.
    Used,
    /// Certificate or key are missing.
    Incomplete,
    /// What was given cannot be read or does not fit; a sentence.
    Bad(String),
}

/// What is there under a name.
#[derive(Clone, Debug)]
pub enum Found {
    Certificate(Parts),
    Empty,
}

impl Store {
    /// The name and the parts of the change that was begun.
    #[must_use]
    pub fn begun(&self) -> Option<(String, Parts)> {
        lock(&self.changes).begun.as_ref().map(|begun| (begun.name.clone(), begun.parts.clone()))
    }

    /// Every name, in order, those without a certificate too.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = lock(&self.changes).empty.clone();
        names.extend(self.all().iter().map(|slot| slot.name.to_string()));
        names.into_iter().collect()
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        match self.get(name) {
            Some(slot) => Some(Found::Certificate(slot.certificate().parts.clone())),
            None => lock(&self.changes).empty.contains(name).then_some(Found::Empty),
        }
    }

    /// Takes a name for a certificate to come.
    ///
    /// # Errors
    /// It is taken.
    pub fn create(&self, name: &str) -> Result<(), Refusal> {
        if self.find(name).is_some() {
            return Err(Refusal::Taken);
        }
        lock(&self.changes).empty.insert(name.to_owned());
        Ok(())
    }

    /// Notes new contents for a certificate, or for one part of it: `NAME.key`, `NAME.ocsp`, `NAME.issuer`. Answers the
    /// certificate's name, and whether that begins a change.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn change(&self, called: &str, contents: &str) -> Result<(String, bool), Refusal> {
        let (name, part) = self.addressed(called).ok_or(Refusal::Unknown)?;
        let mut parts = match self.begun() {
            Some((begun, _)) if begun != name => return Err(Refusal::Other(begun)),
            Some((_, parts)) => parts,
            None => match self.find(&name) {
                Some(Found::Certificate(parts)) => parts,
                _ => Parts {
                    updates: self.updates.by_default(),
                    skip_roots: self.skips_roots.load(Relaxed),
                    ..Parts::default()
                },
            },
        };
        fill(&mut parts, part, contents, called).map_err(Refusal::Bad)?;
        let begins = lock(&self.changes).begun.replace(Begun { name: name.clone(), parts }).is_none();
        Ok((name, begins))
    }

    /// Puts a change to use; answers how many lines show the certificate.
    ///
    /// # Errors
    /// See [`Refusal`]; what was begun stays.
    pub fn commit(&self, name: &str) -> Result<usize, Refusal> {
        let parts = match self.begun() {
            None => return Err(Refusal::NotBegun),
            Some((begun, _)) if begun != name => return Err(Refusal::Other(begun)),
            Some((_, parts)) => parts,
        };
        if parts.key.is_none() || parts.chain.is_empty() {
            return Err(Refusal::Incomplete);
        }
        let parts = self.with_newer_response(name, parts);
        let certificate = parts.build().map_err(|problem| Refusal::Bad(problem.sentence(name)))?;
        let shown = self.put(name, certificate)?;
        lock(&self.changes).begun = None;
        Ok(shown)
    }

    fn put(&self, name: &str, certificate: Certificate) -> Result<usize, Refusal> {
        if self.get(name).is_none() {
            self.insert(name, certificate);
            lock(&self.changes).empty.remove(name);
            return Ok(0);
        }
        let doors = self.replace(name, certificate).map_err(Refusal::Bad)?;
        let servers = self.get(name).map_or(0, |slot| slot.servers());
        Ok(servers
            + doors
                .iter()
                .map(|door| door.lines().iter().filter(|line| *line.slot.name == *name).count())
                .sum::<usize>())
    }

    /// Staples a new OCSP response to every certificate that it is about and that had one from the beginning.
    ///
    /// # Errors
    /// HAProxy's sentence.
    pub fn staple(&self, response: &[u8]) -> Result<(), String> {
        let id = ocsp::parse(response)?.id;
        let about = |slot: &Arc<Slot>| slot.certificate().ocsp.as_ref().is_some_and(|staple| staple.id == id);
        let slots: Vec<_> = self.all().into_iter().filter(about).collect();
        if slots.is_empty() {
            return Err(
                "OCSP single response: Certificate ID does not match any certificate or issuer".into()
            );
        }
        for slot in slots {
            let parts = Parts { ocsp: Some(response.to_vec()), ..slot.certificate().parts.clone() };
            let certificate = parts.build().map_err(|problem| problem.sentence(&slot.name))?;
            self.replace(&slot.name, certificate)?;
        }
        Ok(())
    }

    /// # Errors
    /// See [`Refusal`].
    pub fn abort(&self, name: &str) -> Result<(), Refusal> {
        let mut changes = lock(&self.changes);
        match &changes.begun {
            None => Err(Refusal::NotBegun),
            Some(begun) if begun.name != name => Err(Refusal::Other(begun.name.clone())),
            Some(_) => {
                changes.begun = None;
                Ok(())
            }
        }
    }

    /// Forgets a certificate that nobody shows.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn forget(&self, name: &str) -> Result<(), Refusal> {
        if self.begun().is_some_and(|(begun, _)| begun == name) {
            return Err(Refusal::Begun);
        }
        if lock(&self.changes).empty.remove(name) || self.remove(name) {
            return Ok(());
        }
        Err(if self.get(name).is_some() { Refusal::Used } else { Refusal::Unknown })
    }

    /// A certificate's name, and which part of it is meant.
    fn addressed<'a>(&self, called: &'a str) -> Option<(String, Option<&'a str>)> {
        if self.find(called).is_some() {
            return Some((called.to_owned(), None));
        }
        let (name, part) = called.rsplit_once('.')?;
        (BESIDE.contains(&part) && self.find(name).is_some()).then(|| (name.to_owned(), Some(part)))
    }
}

/// Base64 comes in lines.
fn without_spaces(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !b.is_ascii_whitespace()).collect()
}

fn fill(parts: &mut Parts, part: Option<&str>, contents: &str, called: &str) -> Result<(), String> {
    let unreadable = || format!("unable to load certificate from file '{called}'.");
    match part {
        None => {
            let mut fresh = Parts::default();
            fresh.read_pem(contents.as_bytes()).map_err(|_| unreadable())?;
            if fresh.chain.is_empty() {
                return Err(unreadable());
            }
            (parts.chain, parts.key) = (fresh.chain, fresh.key);
        }
        Some("key") => {
            let mut fresh = Parts::default();
            fresh.read_pem(contents.as_bytes()).map_err(|_| unreadable())?;
            parts.key = Some(fresh.key.ok_or_else(unreadable)?);
        }
        Some("issuer") => {
            let issuer = CertificateDer::from_pem_slice(contents.as_bytes()).map_err(|_| unreadable())?;
            parts.issuer = Some(issuer);
        }
        Some("ocsp") => {
            let response = crate::expr::base64_decode(&without_spaces(contents), false);
            let Some(response) = response.filter(|r| !r.is_empty()) else { return Err(unreadable()) };
            ocsp::parse(&response).map_err(|why| format!("{why}."))?;
            parts.ocsp = Some(response);
        }
        Some(other) => return Err(format!("'.{other}' files are not supported by weir yet on this socket.")),
    }
    Ok(())
}
