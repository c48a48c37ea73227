//! The PROXY header that connections to servers begin with: whose they are, and what is known of the client's TLS.

use crate::config::model::SendProxy;
use crate::expr::facts::ConnFacts;
use crate::tls::Handshake;
use crate::tls::x509::{self, Who};
use crate::wire::proxy_protocol::{self, tlv};

/// Parts of [`proxy_protocol::TLV_SSL`]'s first byte (section 2.2.6).
const OVER_TLS: u8 = 1;
const CERTIFICATE_NOW: u8 = 2;
const CERTIFICATE_IN_SESSION: u8 = 4;

/// Appends the header that `send-proxy*` puts before everything else. `local`: a health check, which speaks for itself.
pub fn proxy_header(
    send: &SendProxy,
    client: &ConnFacts,
    unique_id: Option<&[u8]>,
    local: bool,
    out: &mut Vec<u8>,
) {
    let addresses = client.src.zip(client.dst);
    if !send.v2 {
        proxy_protocol::write_v1(addresses.filter(|_| !local), out);
        return;
    }
    let tls = client.tls.as_deref();
    let mut tlvs: Vec<(u8, &[u8])> = Vec::new();
    if let Some(alpn) = tls.and_then(|tls| tls.agreed.alpn.as_deref()) {
        tlvs.push((proxy_protocol::TLV_ALPN, alpn));
    }
    if let Some(authority) = authority(client).filter(|_| send.authority) {
        tlvs.push((proxy_protocol::TLV_AUTHORITY, authority));
    }
    if let Some(id) = unique_id.filter(|_| send.unique_id) {
        tlvs.push((proxy_protocol::TLV_UNIQUE_ID, id.get(..proxy_protocol::UNIQUE_ID_MAX).unwrap_or(id)));
    }
    let about_tls = send.ssl.then(|| about_tls(send, tls));
    if let Some(about_tls) = &about_tls {
        tlvs.push((proxy_protocol::TLV_SSL, about_tls));
    }
    proxy_protocol::write_v2(local, addresses, &tlvs, send.crc32c, out);
}

/// The name that the client asked for: as a proxy before us tells it, else by its own handshake.
fn authority(client: &ConnFacts) -> Option<&[u8]> {
    let told = client.proxy_tlvs.iter().find(|(kind, _)| *kind == proxy_protocol::TLV_AUTHORITY);
    let own = || client.tls.as_ref()?.agreed.sni.as_deref().map(str::as_bytes);
    told.map(|(_, name)| name.as_slice()).or_else(own)
}

/// The value of [`proxy_protocol::TLV_SSL`]: what the client has, whether its certificate was verified, then further TLVs.
fn about_tls(send: &SendProxy, tls: Option<&Handshake>) -> Vec<u8> {
    // Without a certificate HAProxy says 0 here too, where the standard has anything but that.
    let Some(tls) = tls else { return vec![0; 5] };
    let mut has = OVER_TLS;
    let mut verdict = 0;
    if !tls.client.is_empty() {
        has |= CERTIFICATE_IN_SESSION;
        verdict = u32::from(tls.verdict.last);
        if !tls.agreed.resumed {
            has |= CERTIFICATE_NOW;
        }
    }
    let mut value = vec![has];
    value.extend_from_slice(&verdict.to_be_bytes());
    let mut push = |kind, text: Option<&[u8]>| {
        if let Some(text) = text {
            tlv(kind, text, &mut value);
        }
    };
    push(proxy_protocol::TLV_SSL_VERSION, tls.agreed.version.map(str::as_bytes));
    if send.ssl_cn {
        let name = tls.client.first().and_then(|der| x509::entry(der, Who::Subject, "CN", 1));
        push(proxy_protocol::TLV_SSL_CN, name.as_deref());
    }
    let shown = tls.shown.certificate.parts.chain.first();
    if send.cert_key {
        push(
            proxy_protocol::TLV_SSL_KEY,
            shown.and_then(|der| x509::key_size(der)).as_deref().map(str::as_bytes),
        );
    }
    if send.cert_sig {
        let name = shown.and_then(|der| x509::signature_algorithm(der));
        push(proxy_protocol::TLV_SSL_SIGNATURE, name.as_deref().map(str::as_bytes));
    }
    if send.ssl_cipher {
        push(proxy_protocol::TLV_SSL_CIPHER, tls.agreed.cipher.map(|(name, _)| name.as_bytes()));
    }
    value
}
