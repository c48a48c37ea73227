//! The names a certificate is for.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// DNS names among the alternative names, then common names.
///
/// # Errors
/// It is no X.509 certificate.
pub fn of(certificate: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|e| e.to_string())?;
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    };
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) = name {
                add(name);
            }
        }
    }
    for name in certificate.subject().iter_common_name().filter_map(|n| n.as_str().ok()) {
        add(name);
    }
    Ok(names)
}
