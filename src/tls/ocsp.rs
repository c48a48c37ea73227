//! OCSP (RFC 6960): whom a request and a response are about, until when a response holds, who signed it.
//!
//! A response that people give is stapled as it is: its signature is for clients to verify. One that came over the network
//! is looked at first ([`verify`], [`Response::is_current`]).

use super::der::{element, push, tagged};
use rustls::pki_types::{CertificateDer, UnixTime};
use sha1::{Digest, Sha1};
use std::time::Duration;
use x509_parser::asn1_rs::BitString;
use x509_parser::der_parser::asn1_rs::GeneralizedTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BITS: u8 = 3;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const ENUMERATED: u8 = 10;
const TIME: u8 = 0x18;
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
/// 1.3.6.1.5.5.7.48.1.1
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// id-ad-ocsp
const RESPONDER: &str = "1.3.6.1.5.5.7.48.1";
/// What clocks may differ by.
const SKEW: u64 = 300;
const BAD: &str = "Unable to parse OCSP response";

/// Who a response is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub issuer_name: Vec<u8>,
    pub issuer_key: Vec<u8>,
    pub serial: Vec<u8>,
}

impl Id {
    /// `None`: one of both is no certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
        Some(Self {
            issuer_name: Sha1::digest(certificate.issuer().as_raw()).to_vec(),
            issuer_key: Sha1::digest(&issuer.public_key().subject_public_key.data).to_vec(),
            serial: certificate.raw_serial().to_vec(),
        })
    }

    /// CertID in DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let (mut algorithm, mut id, mut all) = (Vec::new(), Vec::new(), Vec::new());
        push(OID, SHA1, &mut algorithm);
        algorithm.extend_from_slice(&[5, 0]);
        push(SEQUENCE, &algorithm, &mut id);
        push(OCTETS, &self.issuer_name, &mut id);
        push(OCTETS, &self.issuer_key, &mut id);
        push(INTEGER, &self.serial, &mut id);
        push(SEQUENCE, &id, &mut all);
        all
    }

    /// OCSPRequest about it alone, unsigned and without a nonce, so that responders may answer from a cache (RFC 5019).
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        // OCSPRequest { tbsRequest { requestList { Request { reqCert } } } }
        (0..4).fold(self.der(), |inner, _| {
            let mut outer = Vec::new();
            push(SEQUENCE, &inner, &mut outer);
            outer
        })
    }
}

/// Where a certificate says to ask about it (authority information access).
#[must_use]
pub fn responder(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let accesses = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => Some(&access.accessdescs),
        _ => None,
    })?;
    accesses.iter().find_map(|access| match &access.access_location {
        GeneralName::URI(uri) if access.access_method.to_id_string() == RESPONDER => Some((*uri).to_owned()),
        _ => None,
    })
}

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub id: Id,
    /// `good`, `revoked`, `unknown`
    pub status: &'static str,
    pub produced_at: UnixTime,
    pub this_update: UnixTime,
    pub next_update: UnixTime,
}

impl Response {
    /// Does it hold now, clocks being what they are?
    #[must_use]
    pub fn is_current(&self, now: UnixTime) -> bool {
        let now = now.as_secs();
        self.this_update.as_secs() <= now + SKEW && now <= self.next_update.as_secs() + SKEW
    }
}

/// # Errors
/// HAProxy's sentence about what is wrong with it.
pub fn parse(der: &[u8]) -> Result<Response, &'static str> {
    let rest = successful(der)?.map_err(|_| "OCSP response status not successful")?;
    let basic = basic(rest).ok_or(BAD)?;
    let (data, _) = tagged(basic, SEQUENCE).and_then(|(basic, _)| tagged(basic, SEQUENCE)).ok_or(BAD)?;
    let (_, data) = responder_of(data).ok_or(BAD)?;
    let (produced_at, data) = tagged(data, TIME).ok_or(BAD)?;
    let (all, _) = tagged(data, SEQUENCE).ok_or(BAD)?;
    let (single, more) = tagged(all, SEQUENCE).ok_or(BAD)?;
    if !more.is_empty() {
        return Err("OCSP response ignored because contains multiple single responses");
    }
    let (id, single) = tagged(single, SEQUENCE).ok_or(BAD)?;
    let id = certificate_id(id).ok_or(BAD)?;
    let (status, _, single) = element(single).ok_or(BAD)?;
    let (this_update, single) = tagged(single, TIME).ok_or(BAD)?;
    let next_update = tagged(single, 0xa0).and_then(|(explicit, _)| tagged(explicit, TIME));
    let (next_update, _) = next_update.ok_or("OCSP single response: missing nextupdate")?;
    Ok(Response {
        id,
        status: match status {
            0x80 => "good",
            0xa1 => "revoked",
            _ => "unknown",
        },
        produced_at: time(produced_at).ok_or(BAD)?,
        this_update: time(this_update).ok_or(BAD)?,
        next_update: time(next_update).ok_or(BAD)?,
    })
}

/// The same of a response that must be about this certificate.
///
/// # Errors
/// HAProxy's sentence about what is wrong with it.
pub fn about(der: &[u8], id: &Id) -> Result<Response, &'static str> {
    let response = parse(der)?;
    if response.id == *id {
        return Ok(response);
    }
    Err("OCSP single response: Certificate ID does not match certificate and issuer")
}

/// Whether the authority stands behind a response: it signed it itself, or somebody did whom it has certified to sign
/// such responses (RFC 6960 4.2.2.2).
///
/// # Errors
/// What is wrong with it.
pub fn verify(der: &[u8], issuer: &CertificateDer<'_>, now: UnixTime) -> Result<(), String> {
    let rest = successful(der)?.map_err(|status| format!("OCSP response not successful ({status})"))?;
    let (basic, _) = basic(rest).and_then(|basic| tagged(basic, SEQUENCE)).ok_or(BAD)?;
    let (data, after) = tagged(basic, SEQUENCE).ok_or(BAD)?;
    let signed = basic.get(..basic.len() - after.len()).ok_or(BAD)?;
    let (signer, _) = responder_of(data).ok_or(BAD)?;
    let (after, algorithm) = AlgorithmIdentifier::from_der(after).map_err(|_| BAD)?;
    let (signature, after) = tagged(after, BITS).ok_or(BAD)?;
    let signature = BitString::new(0, signature.get(1..).ok_or(BAD)?);
    let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| BAD)?;
    let shown = tagged(after, 0xa0).and_then(|(explicit, _)| tagged(explicit, SEQUENCE));
    let shown = certificates(shown.map_or(&[][..], |(all, _)| all));
    let delegates = shown.iter().filter(|delegate| is_delegate(delegate, &issuer, now));
    let signers = std::iter::once(&issuer).chain(delegates).filter(|one| is_called(one, signer));
    let mut any = false;
    for one in signers {
        if verify_signature(one.public_key(), &algorithm, &signature, signed).is_ok() {
            return Ok(());
        }
        any = true;
    }
    Err(match any {
        true => "the signature is wrong",
        false => "it is signed by nobody whom the certificate's issuer has authorized",
    }
    .to_owned())
}

/// Certificates one after another, as far as they can be read.
fn certificates(mut all: &[u8]) -> Vec<X509Certificate<'_>> {
    let mut found = Vec::new();
    while let Ok((rest, certificate)) = X509Certificate::from_der(all) {
        found.push(certificate);
        all = rest;
    }
    found
}

/// May it sign in the authority's name?
fn is_delegate(one: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let signs = one.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
    signs
        && now.is_some_and(|now| one.validity().is_valid_at(now))
        && one.issuer() == issuer.subject()
        && one.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Who a response says has made it: `[1]` a name, or `[2]` the digest of a key.
#[derive(Clone, Copy)]
struct ResponderId<'a> {
    tag: u8,
    who: &'a [u8],
}

/// Is it the one who a response says has made it: by name, or by its key's digest?
fn is_called(one: &X509Certificate<'_>, id: ResponderId<'_>) -> bool {
    match id.tag {
        0xa1 => one.subject().as_raw() == id.who,
        0xa2 => tagged(id.who, OCTETS)
            .is_some_and(|(key, _)| *key == *Sha1::digest(&one.public_key().subject_public_key.data)),
        _ => false,
    }
}

/// OCSPResponse: what follows its status; the status itself where that is not `successful`.
fn successful(der: &[u8]) -> Result<Result<&[u8], u8>, &'static str> {
    let (outer, _) = tagged(der, SEQUENCE).ok_or(BAD)?;
    let (status, rest) = tagged(outer, ENUMERATED).ok_or(BAD)?;
    Ok(match status {
        [0] => Ok(rest),
        other => Err(other.first().copied().unwrap_or(0xff)),
    })
}

/// BasicOCSPResponse: `[0] { SEQUENCE { type, OCTET STRING { it } } }`
fn basic(rest: &[u8]) -> Option<&[u8]> {
    let (explicit, _) = tagged(rest, 0xa0)?;
    let (bytes, _) = tagged(explicit, SEQUENCE)?;
    let (kind, bytes) = tagged(bytes, OID)?;
    let (basic, _) = tagged(bytes, OCTETS)?;
    (kind == BASIC).then_some(basic)
}

/// ResponseData: an explicit version, then who answers, by name or key; and what follows.
fn responder_of(data: &[u8]) -> Option<(ResponderId<'_>, &[u8])> {
    let data = tagged(data, 0xa0).map_or(data, |(_, rest)| rest);
    let (tag, who, rest) = element(data)?;
    Some((ResponderId { tag, who }, rest))
}

fn certificate_id(id: &[u8]) -> Option<Id> {
    let (algorithm, id) = tagged(id, SEQUENCE)?;
    let (algorithm, _) = tagged(algorithm, OID)?;
    let (issuer_name, id) = tagged(id, OCTETS)?;
    let (issuer_key, id) = tagged(id, OCTETS)?;
    let (serial, _) = tagged(id, INTEGER)?;
    // By another digest it is nobody's that we know.
    let known = algorithm == SHA1;
    Some(Id {
        issuer_name: if known { issuer_name.to_vec() } else { Vec::new() },
        issuer_key: issuer_key.to_vec(),
        serial: serial.to_vec(),
    })
}

fn time(text: &[u8]) -> Option<UnixTime> {
    let time = ASN1Time::new(GeneralizedTime::from_bytes(text).ok()?.utc_datetime().ok()?);
    let seconds = u64::try_from(time.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_id_in_four_sequences() {
        let id = Id { issuer_name: vec![1; 20], issuer_key: vec![2; 20], serial: vec![3; 20] };
        let request = id.request();
        let mut inner = &request[..];
        for _ in 0..4 {
            (inner, _) = tagged(inner, SEQUENCE).unwrap();
        }
        assert_eq!(inner, id.der());
        // As `openssl ocsp -no_nonce -reqout` writes it: 4 * 2 bytes around the CertID.
        assert_eq!((request.len(), id.der().len()), (87, 79));
    }
}
