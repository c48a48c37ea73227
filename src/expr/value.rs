//! Sample values and their types.

use std::net::IpAddr;

/// HAProxy's sample types (`bool`, `sint`, `addr`, `str`, `bin`, `meth`; `meth` is carried as `Str`).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Addr(IpAddr),
    Str(Vec<u8>),
    Bin(Vec<u8>),
}

impl Value {
    /// As text, the way HAProxy casts a sample to `str`: booleans are `0`/`1`, binary stays as it is.
    #[must_use]
    pub fn into_text(self) -> Vec<u8> {
        match self {
            Self::Bool(b) => vec![b'0' + u8::from(b)],
            Self::Int(i) => i.to_string().into_bytes(),
            Self::Addr(a) => a.to_string().into_bytes(),
            Self::Str(s) | Self::Bin(s) => s,
        }
    }

    /// As a number; text counts when it begins with one.
    #[must_use]
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Bool(b) => Some(i64::from(*b)),
            Self::Int(i) => Some(*i),
            Self::Addr(IpAddr::V4(a)) => Some(i64::from(u32::from(*a))),
            Self::Addr(IpAddr::V6(_)) | Self::Bin(_) => None,
            Self::Str(s) => leading_int(s),
        }
    }

    /// As an address; a number is an IPv4 address.
    #[must_use]
    pub fn to_addr(&self) -> Option<IpAddr> {
        match self {
            Self::Addr(a) => Some(*a),
            Self::Int(i) => Some(IpAddr::from((*i as u32).to_be_bytes())),
            Self::Str(s) => std::str::from_utf8(s).ok()?.parse().ok(),
            Self::Bool(_) | Self::Bin(_) => None,
        }
    }
}

fn leading_int(text: &[u8]) -> Option<i64> {
    let digits_from = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text.iter().skip(digits_from).take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    std::str::from_utf8(text.get(..digits_from + digits)?).ok()?.parse().ok()
}
