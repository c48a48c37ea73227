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
