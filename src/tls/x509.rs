//! The fields of a certificate, as OpenSSL writes them.

use crate::clock::{Civil, month_name};
use crate::expr::hex_upper;
use std::fmt::Write as _;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{
    ASN1Time, AttributeTypeAndValue, CertificateRevocationList, FromDer, X509Certificate, X509Name,
};
use x509_parser::public_key::PublicKey;

/// Whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Subject,
    Issuer,
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// All of a name: `/C=FR/CN=x`.
#[must_use]
pub fn name(der: &[u8], who: Who) -> Option<String> {
    Some(in_one_line(distinguished(&parse(der)?, who)))
}

fn in_one_line(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for attribute in name.iter_attributes() {
        let _ = write!(out, "/{}=", short(attribute.attr_type()));
        out.push_str(&text(attribute));
    }
    out
}

/// All of a name in the form of RFC 2253: the last part first, `CN=x,C=FR`.
#[must_use]
pub fn name_rfc2253(der: &[u8], who: Who) -> Option<String> {
    let certificate = parse(der)?;
    let mut parts = Vec::new();
    for part in distinguished(&certificate, who).iter_rdn() {
        let values = part.iter().map(|attribute| {
            let mut value = String::new();
            escape_rfc2253(&text(attribute), &mut value);
            format!("{}={value}", short(attribute.attr_type()))
        });
        parts.push(values.collect::<Vec<_>>().join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// One entry of a name, by its short name in either case; the `place`-th from the start, or from the end where that is negative.
#[must_use]
pub fn entry(der: &[u8], who: Who, wanted: &str, place: i64) -> Option<Vec<u8>> {
    let certificate = parse(der)?;
    let all: Vec<_> = distinguished(&certificate, who)
        .iter_attributes()
        .filter(|attribute| short(attribute.attr_type()).eq_ignore_ascii_case(wanted))
        .collect();
    let skipped = usize::try_from(place.unsigned_abs().saturating_sub(1)).ok()?;
    let found = if place < 0 { all.iter().rev().nth(skipped) } else { all.get(skipped) };
    found.map(|attribute| text(attribute).into_bytes())
}

/// The serial number's bytes, most significant first.
#[must_use]
pub fn serial(der: &[u8]) -> Option<Vec<u8>> {
    Some(significant(parse(der)?.raw_serial()).to_vec())
}

/// `YYMMDDhhmmssZ`
#[must_use]
pub fn not_before(der: &[u8]) -> Option<String> {
    Some(moment(parse(der)?.validity().not_before))
}

#[must_use]
pub fn not_after(der: &[u8]) -> Option<String> {
    Some(moment(parse(der)?.validity().not_after))
}

/// 1 to 3
#[must_use]
pub fn version(der: &[u8]) -> Option<i64> {
    Some(i64::from(parse(der)?.version().0) + 1)
}

#[must_use]
pub fn signature_algorithm(der: &[u8]) -> Option<String> {
    Some(algorithm(&parse(der)?.signature_algorithm.algorithm))
}

#[must_use]
pub fn key_algorithm(der: &[u8]) -> Option<String> {
    Some(algorithm(&parse(der)?.public_key().algorithm.algorithm))
}

fn distinguished<'a>(certificate: &'a X509Certificate<'a>, who: Who) -> &'a X509Name<'a> {
    match who {
        Who::Subject => certificate.subject(),
        Who::Issuer => certificate.issuer(),
    }
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
    }
}

/// RFC 2253 2.4; what is not ASCII as hexadecimal pairs.
fn escape_rfc2253(text: &str, out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (place, byte) in text.bytes().enumerate() {
        let at_edge = (place == 0 && (byte == b'#' || byte == b' ')) || (place == last && byte == b' ');
        if at_edge || matches!(byte, b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';') {
            out.push('\\');
            out.push(char::from(byte));
        } else if (b' '..=b'~').contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\{byte:02X}");
        }
    }
}

fn moment(time: ASN1Time) -> String {
    let at = time.to_datetime();
    format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        at.year().rem_euclid(100),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// OpenSSL's short name of an attribute; the numbers where it has none.
fn short(oid: &Oid<'_>) -> String {
    known(ATTRIBUTES, oid)
}

fn algorithm(oid: &Oid<'_>) -> String {
    known(ALGORITHMS, oid)
}

fn known(table: &[(&str, &str)], oid: &Oid<'_>) -> String {
    let numbers = oid.to_id_string();
    let found = table.iter().find(|(known, _)| *known == numbers);
    found.map_or(numbers.clone(), |(_, name)| (*name).to_owned())
}

const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.1", "rsaEncryption"),
    ("1.2.840.113549.1.1.4", "RSA-MD5"),
    ("1.2.840.113549.1.1.5", "RSA-SHA1"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA-SHA256"),
    ("1.2.840.113549.1.1.12", "RSA-SHA384"),
    ("1.2.840.113549.1.1.13", "RSA-SHA512"),
    ("1.2.840.113549.1.1.14", "RSA-SHA224"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10045.2.1", "id-ecPublicKey"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
];

/// `Nov 21 16:57:30 2026 GMT`
#[must_use]
pub fn not_before_in_words(der: &[u8]) -> Option<String> {
    Some(in_words(parse(der)?.validity().not_before))
}

#[must_use]
pub fn not_after_in_words(der: &[u8]) -> Option<String> {
    Some(in_words(parse(der)?.validity().not_after))
}

/// When it is over, in seconds.
#[must_use]
pub fn end(der: &[u8]) -> Option<i64> {
    Some(parse(der)?.validity().not_after.timestamp())
}

fn in_words(time: ASN1Time) -> String {
    date_in_words(time.timestamp())
}

/// Seconds since the epoch as OpenSSL writes a date: `Nov 21 16:57:30 2026 GMT`.
#[must_use]
pub fn date_in_words(seconds: i64) -> String {
    let at = Civil::from_unix(seconds);
    let month = month_name(at.month);
    format!("{month} {:>2} {:02}:{:02}:{:02} {} GMT", at.day, at.hour, at.minute, at.second, at.year)
}

/// Two hexadecimal digits a byte, as everything about certificates is written.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    String::from_utf8(hex_upper(bytes)).unwrap_or_default()
}

/// A serial number without the zero that keeps it positive in DER.
#[must_use]
pub fn significant(serial: &[u8]) -> &[u8] {
    serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial)
}

/// `DNS:a, DNS:b`; other kinds of names leave their place empty, as HAProxy shows them.
#[must_use]
pub fn alternative_names(der: &[u8]) -> Option<String> {
    let certificate = parse(der)?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let each = names.iter().map(|name| match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        _ => String::new(),
    });
    Some(each.collect::<Vec<_>>().join(", "))
}

/// `RSA2048`, `EC256`
#[must_use]
pub fn key_size(der: &[u8]) -> Option<String> {
    let certificate = parse(der)?;
    let key = certificate.public_key().parsed().ok()?;
    Some(match &key {
        PublicKey::RSA(_) => format!("RSA{}", key.key_size()),
        // Of an uncompressed point, the two coordinates.
        PublicKey::EC(point) => format!("EC{}", point.key_size()),
        _ => return None,
    })
}

/// A revocation list in the words of `openssl crl -text`; `None`: it is none.
#[must_use]
pub fn revocation_list(der: &[u8]) -> Option<String> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let mut out = String::new();
    let version = list.version().map_or(1, |version| version.0 + 1);
    let signature = known(SIGNATURES, &list.signature_algorithm.algorithm);
    let _ = writeln!(out, "Version {version}\nSignature Algorithm: {signature}");
    let _ = writeln!(out, "Issuer: {}", in_one_line(list.issuer()));
    let _ = writeln!(out, "Last Update: {}", in_words(list.last_update()));
    let next = list.next_update().map_or_else(|| "NONE".to_owned(), in_words);
    let _ = writeln!(out, "Next Update: {next}");
    let mut revoked = list.iter_revoked_certificates().peekable();
    out.push_str(if revoked.peek().is_some() {
        "Revoked Certificates:\n"
    } else {
        "No Revoked Certificates.\n"
    });
    for entry in revoked {
        let _ = writeln!(out, "    Serial Number: {}", hex(significant(entry.raw_serial())));
        let _ = writeln!(out, "        Revocation Date: {}", in_words(entry.revocation_date));
    }
    Some(out)
}

/// OpenSSL's long names, where they differ from the short ones.
const SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
];
