//! OCSP responses (RFC 6960) as they are stapled: which certificate one is about, and until when it holds. Whether its
//! signature is right is for clients to say.

use super::der::{element, push, tagged};
use rustls::pki_types::{CertificateDer, UnixTime};
use sha1::{Digest, Sha1};
use std::time::Duration;
use x509_parser::der_parser::asn1_rs::GeneralizedTime;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const ENUMERATED: u8 = 10;
const TIME: u8 = 0x18;
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
/// 1.3.6.1.5.5.7.48.1.1
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];

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

/// # Errors
/// HAProxy's sentence about what is wrong with it.
pub fn parse(der: &[u8]) -> Result<Response, &'static str> {
    const BAD: &str = "Unable to parse OCSP response";
    let (outer, _) = tagged(der, SEQUENCE).ok_or(BAD)?;
    let (status, rest) = tagged(outer, ENUMERATED).ok_or(BAD)?;
    if status != [0] {
        return Err("OCSP response status not successful");
    }
    let basic = basic(rest).ok_or(BAD)?;
    let (data, _) = tagged(basic, SEQUENCE).and_then(|(basic, _)| tagged(basic, SEQUENCE)).ok_or(BAD)?;
    // An explicit version, then who answers, by name or key.
    let data = tagged(data, 0xa0).map_or(data, |(_, rest)| rest);
    let (_, _, data) = element(data).ok_or(BAD)?;
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

/// BasicOCSPResponse: `[0] { SEQUENCE { type, OCTET STRING { it } } }`
fn basic(rest: &[u8]) -> Option<&[u8]> {
    let (explicit, _) = tagged(rest, 0xa0)?;
    let (bytes, _) = tagged(explicit, SEQUENCE)?;
    let (kind, bytes) = tagged(bytes, OID)?;
    let (basic, _) = tagged(bytes, OCTETS)?;
    (kind == BASIC).then_some(basic)
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
