//! The PROXY protocol, versions 1 and 2 (proxy-protocol.txt): a strict parser and the two writers. Pure.
//!
//! Input: the first bytes of a connection. Output: [`Parsed::Header`] and how many bytes it took, [`Parsed::Need`] while
//! every byte so far could begin a header, or a [`Refused`] that says what was wrong. Nothing is allocated but TLVs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest v1 line, CRLF included (section 2.1: "107 chars" and the terminator's NUL).
pub const V1_MAX: usize = 107;
/// The longest v2 header taken: the default buffer size. The format allows 65551.
pub const V2_MAX: usize = 16384;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

pub const TLV_ALPN: u8 = 0x01;
pub const TLV_AUTHORITY: u8 = 0x02;
pub const TLV_CRC32C: u8 = 0x03;
pub const TLV_NOOP: u8 = 0x04;
pub const TLV_UNIQUE_ID: u8 = 0x05;
pub const TLV_SSL: u8 = 0x20;
/// Inside [`TLV_SSL`].
pub const TLV_SSL_VERSION: u8 = 0x21;
pub const TLV_SSL_CN: u8 = 0x22;
pub const TLV_SSL_CIPHER: u8 = 0x23;
pub const TLV_SSL_SIGNATURE: u8 = 0x24;
pub const TLV_SSL_KEY: u8 = 0x25;
/// Section 2.2.5: at most 128 bytes.
pub const UNIQUE_ID_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed to say.
    Need,
    /// A whole header of that many bytes.
    Header(Header, usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Source and destination; `None`: the connection's own addresses stay (LOCAL, UNKNOWN, families we do not carry).
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// v2 type-length-values as they came, nested ones inside [`TLV_SSL`] not split.
    pub tlvs: Vec<(u8, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Neither signature.
    NotProxy,
    /// A v1 line that is too long, or with a field out of form.
    BadV1,
    /// Version, command or length out of form.
    BadV2,
    /// Longer than [`V2_MAX`].
    TooLong,
    /// A type-length-value that passes the header's end.
    BadTlv,
    /// The CRC32c given is not the header's.
    BadChecksum,
}

/// Reads a header from the front of `bytes`.
///
/// # Errors
/// The bytes cannot become a valid header whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refused> {
    match bytes.first() {
        None => Ok(Parsed::Need),
        Some(b'P') => parse_v1(bytes),
        Some(b'\r') => parse_v2(bytes),
        Some(_) => Err(Refused::NotProxy),
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, Refused> {
    const PREFIX: &[u8] = b"PROXY ";
    let seen = bytes.len().min(PREFIX.len());
    if bytes.get(..seen) != PREFIX.get(..seen) {
        return Err(Refused::NotProxy);
    }
    let window = bytes.get(..bytes.len().min(V1_MAX)).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if bytes.len() >= V1_MAX { Err(Refused::BadV1) } else { Ok(Parsed::Need) };
    };
    let line = window.get(PREFIX.len()..end).ok_or(Refused::BadV1)?;
    let line = line.strip_suffix(b"\r").ok_or(Refused::BadV1)?;
    let line = std::str::from_utf8(line).map_err(|_| Refused::BadV1)?;
    let header = Header { addresses: v1_addresses(line)?, tlvs: Vec::new() };
    Ok(Parsed::Header(header, end + 1))
}

fn v1_addresses(line: &str) -> Result<Option<(SocketAddr, SocketAddr)>, Refused> {
    let mut words = line.split(' ');
    let family = words.next();
    let want_v6 = match family {
        // Section 2.1: the rest of the line is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => false,
        Some("TCP6") => true,
        _ => return Err(Refused::BadV1),
    };
    let mut address = || -> Result<IpAddr, Refused> {
        let ip: IpAddr = words.next().and_then(|w| w.parse().ok()).ok_or(Refused::BadV1)?;
        if ip.is_ipv6() == want_v6 { Ok(ip) } else { Err(Refused::BadV1) }
    };
    let (src, dst) = (address()?, address()?);
    let mut port = || words.next().and_then(decimal_port).ok_or(Refused::BadV1);
    let (src_port, dst_port) = (port()?, port()?);
    if words.next().is_some() {
        return Err(Refused::BadV1);
    }
    Ok(Some((SocketAddr::new(src, src_port), SocketAddr::new(dst, dst_port))))
}

/// Digits only, no sign and no leading zero (section 2.1), 0..=65535.
fn decimal_port(word: &str) -> Option<u16> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    if !digits || (word.len() > 1 && word.starts_with('0')) {
        return None;
    }
    word.parse().ok()
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, Refused> {
    let seen = bytes.len().min(V2_SIGNATURE.len());
    if bytes.get(..seen) != V2_SIGNATURE.get(..seen) {
        return Err(Refused::NotProxy);
    }
    let (Some(&command), Some(&family)) = (bytes.get(12), bytes.get(13)) else {
        return match bytes.get(12) {
            Some(c) if !matches!(c, 0x20 | 0x21) => Err(Refused::BadV2),
            _ => Ok(Parsed::Need),
        };
    };
    if !matches!(command, 0x20 | 0x21) {
        return Err(Refused::BadV2);
    }
    let (Some(&high), Some(&low)) = (bytes.get(14), bytes.get(15)) else { return Ok(Parsed::Need) };
    let total = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if total > V2_MAX {
        return Err(Refused::TooLong);
    }
    let Some(whole) = bytes.get(..total) else { return Ok(Parsed::Need) };
    let body = whole.get(V2_FIXED..).unwrap_or_default();
    if command == 0x20 {
        // LOCAL: a health check of the sender; whatever follows is to be skipped.
        return Ok(Parsed::Header(Header::default(), total));
    }
    let (addresses, tlvs) = v2_addresses(family, body)?;
    let tlvs = v2_tlvs(whole, tlvs)?;
    Ok(Parsed::Header(Header { addresses, tlvs }, total))
}

type Addresses = Option<(SocketAddr, SocketAddr)>;

fn v2_addresses(family: u8, body: &[u8]) -> Result<(Addresses, &[u8]), Refused> {
    match family {
        0x11 => {
            let (fixed, rest) = body.split_first_chunk::<12>().ok_or(Refused::BadV2)?;
            let &[a, b, c, d, e, f, g, h, sp0, sp1, dp0, dp1] = fixed;
            let src = SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([sp0, sp1])));
            let dst = SocketAddr::from((Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([dp0, dp1])));
            Ok((Some((src, dst)), rest))
        }
        0x21 => {
            let (src, rest) = body.split_first_chunk::<16>().ok_or(Refused::BadV2)?;
            let (dst, rest) = rest.split_first_chunk::<16>().ok_or(Refused::BadV2)?;
            let (&[sp0, sp1, dp0, dp1], rest) = rest.split_first_chunk::<4>().ok_or(Refused::BadV2)?;
            let src = SocketAddr::from((Ipv6Addr::from(*src), u16::from_be_bytes([sp0, sp1])));
            let dst = SocketAddr::from((Ipv6Addr::from(*dst), u16::from_be_bytes([dp0, dp1])));
            Ok((Some((src, dst)), rest))
        }
        // Unix addresses are 216 bytes; the connection's own stay.
        0x31 | 0x32 => Ok((None, body.get(216..).ok_or(Refused::BadV2)?)),
        // UDP over a stream makes no sense to us, but its TLVs do no harm.
        0x12 => Ok((None, body.get(12..).ok_or(Refused::BadV2)?)),
        0x22 => Ok((None, body.get(36..).ok_or(Refused::BadV2)?)),
        0x00 => Ok((None, body)),
        // Section 2.2: other values are unspecified and must be taken as UNSPEC, with nothing known of what follows.
        _ => Ok((None, &[])),
    }
}

fn v2_tlvs(whole: &[u8], mut rest: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, Refused> {
    let mut tlvs = Vec::new();
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let value = after.get(..len).ok_or(Refused::BadTlv)?;
        if kind == TLV_CRC32C {
            let &[a, b, c, d] = value else { return Err(Refused::BadTlv) };
            let at = whole.len() - after.len();
            if header_crc(whole, at) != u32::from_be_bytes([a, b, c, d]) {
                return Err(Refused::BadChecksum);
            }
        }
        if kind == TLV_UNIQUE_ID && len > UNIQUE_ID_MAX {
            return Err(Refused::BadTlv);
        }
        if kind != TLV_NOOP {
            tlvs.push((kind, value.to_vec()));
        }
        rest = after.get(len..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(tlvs) } else { Err(Refused::BadTlv) }
}

/// CRC32c of the header with the four bytes of the checksum itself, at `at`, taken as zero (section 2.2.3).
fn header_crc(whole: &[u8], at: usize) -> u32 {
    let crc = crc32c_update(!0, whole.get(..at).unwrap_or_default());
    let crc = crc32c_update(crc, &[0; 4]);
    !crc32c_update(crc, whole.get(at + 4..).unwrap_or_default())
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78, as RFC 3720 appendix B.4.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !crc32c_update(!0, bytes)
}

fn crc32c_update(mut crc: u32, bytes: &[u8]) -> u32 {
    for &byte in bytes {
        crc = CRC_TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8);
    }
    crc
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

/// Appends a v1 line. Addresses of two families are said as IPv6, the v4 one mapped; none as UNKNOWN.
pub fn write_v1(addresses: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    use std::io::Write;
    let Some((src, dst)) = addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let _ = match same_family(src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            write!(out, "PROXY TCP4 {s} {d} {} {}\r\n", src.port(), dst.port())
        }
        (s, d) => write!(out, "PROXY TCP6 {s} {d} {} {}\r\n", src.port(), dst.port()),
    };
}

/// Appends a v2 header: LOCAL (a health check) without addresses when `local`, else PROXY with these TLVs, closed by a
/// checksum when `crc`.
pub fn write_v2(
    local: bool,
    addresses: Option<(SocketAddr, SocketAddr)>,
    tlvs: &[(u8, &[u8])],
    crc: bool,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(V2_SIGNATURE);
    out.push(if local { 0x20 } else { 0x21 });
    let family_at = out.len();
    out.extend_from_slice(&[0, 0, 0]);
    let mut family = 0x00;
    if let (Some((src, dst)), false) = (addresses, local) {
        match same_family(src, dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                family = 0x11;
                out.extend_from_slice(&s.octets());
                out.extend_from_slice(&d.octets());
            }
            (s, d) => {
                family = 0x21;
                out.extend_from_slice(&mapped(s).octets());
                out.extend_from_slice(&mapped(d).octets());
            }
        }
        out.extend_from_slice(&src.port().to_be_bytes());
        out.extend_from_slice(&dst.port().to_be_bytes());
    }
    for (kind, value) in tlvs {
        tlv(*kind, value, out);
    }
    let crc_at = out.len() + 3;
    if crc {
        tlv(TLV_CRC32C, &[0; 4], out);
    }
    let len = u16::try_from(out.len() - start - V2_FIXED).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(family_at..family_at + 3) {
        place.copy_from_slice(&[family, len[0], len[1]]);
    }
    if crc {
        let sum = header_crc(out.get(start..).unwrap_or_default(), crc_at - start).to_be_bytes();
        if let Some(place) = out.get_mut(crc_at..crc_at + 4) {
            place.copy_from_slice(&sum);
        }
    }
}

/// Appends one type-length-value.
pub fn tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    // Values are bounded by the configuration and the unique id's limit; one that is too long is left out whole.
    if let Ok(len) = u16::try_from(value.len()) {
        out.push(kind);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(value);
    }
}

fn same_family(src: SocketAddr, dst: SocketAddr) -> (IpAddr, IpAddr) {
    match (src.ip(), dst.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => (s.into(), d.into()),
        (s, d) => (mapped(s).into(), mapped(d).into()),
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests;
