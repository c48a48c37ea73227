//! Arguments of fetches and converters: what a row asks for, and the values once parsed.

use super::pattern::View;
use super::regex::Regex;
use super::{Directory, Own, Scope};
use crate::config::model::{Userlist, VarScope};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// What one argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    Ipv4,
    Ipv6,
    /// A netmask: `255.255.255.0` or `/24` written as `24`.
    Mask4,
    Mask6,
    Frontend,
    Backend,
    /// `backend/server` or `server`
    Server,
    Userlist,
    /// `scope.name`
    Var,
    /// `s`, `ms` or `us`
    Unit,
    /// `1.2.3`
    Fields,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Unit => "string",
            Self::Int => "integer",
            Self::Ipv4 => "IPv4 address",
            Self::Ipv6 => "IPv6 address",
            Self::Mask4 => "IPv4 mask",
            Self::Mask6 => "IPv6 mask",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Server => "server",
            Self::Userlist => "user list",
            Self::Var => "variable",
            Self::Fields => "Protocol buffers field number",
        }
    }
}

/// Looks at the arguments once, when the expression is parsed; may replace them by what evaluation needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prepare {
    Alone(fn(&mut Vec<Arg>) -> Result<(), String>),
    /// With what the configuration has declared.
    InScope(fn(&mut Vec<Arg>, &Scope) -> Result<(), String>),
}

impl Prepare {
    pub fn run(self, args: &mut Vec<Arg>, scope: &Scope) -> Result<(), String> {
        match self {
            Self::Alone(prepare) => prepare(args),
            Self::InScope(prepare) => prepare(args, scope),
        }
    }
}

/// The arguments a row takes: the first `required` must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub required: usize,
    pub kinds: &'static [Kind],
}

pub(crate) const NONE: Spec = Spec { required: 0, kinds: &[] };
pub(crate) const OPTIONAL_NAME: Spec = Spec { required: 0, kinds: &[Kind::Text] };

impl Spec {
    /// As in a manual: `(<integer>,<string>[,<integer>])`.
    pub fn describe(&self) -> String {
        if self.kinds.is_empty() {
            return String::new();
        }
        let mut text = String::from("(");
        for (i, kind) in self.kinds.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            if i < self.required {
                text.push_str(&format!("{comma}<{}>", kind.name()));
            } else {
                text.push_str(&format!("[{comma}<{}>", kind.name()));
            }
        }
        text.push_str(&"]".repeat(self.kinds.len().saturating_sub(self.required)));
        text.push(')');
        text
    }
}

/// A unit of time for dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Micros,
}

/// A number that is either written down or read from a variable.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Int(i64),
    Var(VarScope, String),
}

/// One parsed argument.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    /// An optional argument that was left out or empty.
    Absent,
    Text(Vec<u8>),
    Int(i64),
    Addr(IpAddr),
    Name(String),
    Server {
        backend: Option<String>,
        server: String,
    },
    Userlist(Arc<Userlist>),
    Var(VarScope, String),
    Unit(Unit),
    Fields(Vec<u64>),
    Regex(Arc<Regex>),
    Map(Arc<View>),
    Operand(Operand),
    /// Prepared by a row: what a text argument means to it.
    Flags(u32),
}

impl Arg {
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }
}

/// Argument `i` as text.
pub(crate) fn text(args: &[Arg], i: usize) -> Option<&[u8]> {
    args.get(i).and_then(Arg::text)
}

/// Argument `i` as a number.
pub(crate) fn int(args: &[Arg], i: usize) -> Option<i64> {
    args.get(i).and_then(Arg::int)
}

/// Parses the texts against `spec`. The message is the end of HAProxy's sentence.
pub(crate) fn parse(texts: Option<&[Vec<u8>]>, spec: &Spec, scope: &Scope) -> Result<Vec<Arg>, String> {
    // `str()` is the empty string; other types have no empty value.
    let empty = [Vec::new()];
    let texts = match texts {
        Some([]) if spec.required > 0 && spec.kinds.first() == Some(&Kind::Text) => &empty,
        given => given.unwrap_or_default(),
    };
    if texts.len() > spec.kinds.len() {
        let extra: Vec<_> = texts.iter().skip(spec.kinds.len()).map(|t| String::from_utf8_lossy(t)).collect();
        return Err(format!("expected ')' before '{})'", extra.join(",")));
    }
    if texts.is_empty() && spec.required > 0 {
        let kind = spec.kinds.first().map_or("string", |k| k.name());
        return Err(format!("expected type '{kind}' at position 1, but got nothing"));
    }
    if texts.len() < spec.required {
        let kind = spec.kinds.get(texts.len()).map_or("string", |k| k.name());
        let (got, of) = (texts.len(), spec.required);
        return Err(format!("missing arguments (got {got}/{of}), type '{kind}' expected"));
    }
    let mut out = Vec::with_capacity(texts.len());
    for (i, (bytes, kind)) in texts.iter().zip(spec.kinds).enumerate() {
        if bytes.is_empty() && (i >= spec.required || *kind != Kind::Text) {
            if i < spec.required {
                return Err(format!(
                    "expected type '{}' at position {}, but got nothing",
                    kind.name(),
                    i + 1
                ));
            }
            out.push(Arg::Absent);
            continue;
        }
        let Some(arg) = one(bytes, *kind, scope)? else {
            let shown = String::from_utf8_lossy(bytes);
            return Err(format!("failed to parse '{shown}' as type '{}' at position {}", kind.name(), i + 1));
        };
        out.push(arg);
    }
    Ok(out)
}

/// What names no proxy means the one it stands in, which has to have the side asked for.
pub(crate) fn complete(args: &mut Vec<Arg>, spec: &Spec, own: &Own, scope: &Scope) -> Result<(), String> {
    for (i, kind) in spec.kinds.iter().enumerate() {
        let absent = matches!(args.get(i), None | Some(Arg::Absent));
        match (kind, args.get_mut(i)) {
            (Kind::Frontend | Kind::Backend, _) if absent => {
                let has = if *kind == Kind::Frontend { own.front } else { own.back };
                if !has {
                    let (name, side) = (&own.name, kind.name());
                    return Err(format!(
                        "proxy '{name}' has no {side} capability: name a {side} in parentheses"
                    ));
                }
                args.truncate(i);
                args.push(Arg::Name(own.name.clone()));
            }
            (Kind::Server, Some(Arg::Server { backend: backend @ None, server })) => {
                if let Some(directory) = &scope.directory {
                    directory.check_own_server(own, server)?;
                }
                *backend = Some(own.name.clone());
            }
            _ => {}
        }
    }
    Ok(())
}

fn one(bytes: &[u8], kind: Kind, scope: &Scope) -> Result<Option<Arg>, String> {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let as_str = std::str::from_utf8(bytes).ok();
    Ok(match kind {
        Kind::Text => Some(Arg::Text(bytes.to_vec())),
        Kind::Int => as_str.and_then(parse_int).map(Arg::Int),
        Kind::Ipv4 => as_str.and_then(|t| t.parse().ok()).map(|a| Arg::Addr(IpAddr::V4(a))),
        Kind::Ipv6 => as_str.and_then(|t| t.parse().ok()).map(|a| Arg::Addr(IpAddr::V6(a))),
        Kind::Mask4 => as_str.and_then(mask4).map(Arg::Addr),
        Kind::Mask6 => as_str.and_then(mask6).map(Arg::Addr),
        Kind::Frontend | Kind::Backend => {
            let name = shown();
            if let Some(directory) = &scope.directory {
                directory.check_proxy(&name, kind)?;
            }
            Some(Arg::Name(name))
        }
        Kind::Server => {
            let name = shown();
            Some(match name.split_once('/') {
                Some((backend, server)) => {
                    if let Some(directory) = &scope.directory {
                        directory.check_server(backend, server)?;
                    }
                    Arg::Server { backend: Some(backend.to_owned()), server: server.to_owned() }
                }
                None => Arg::Server { backend: None, server: name },
            })
        }
        Kind::Userlist => match scope.userlists.iter().find(|l| l.name.as_bytes() == bytes) {
            Some(list) => Some(Arg::Userlist(list.clone())),
            None => return Err(format!("unable to find userlist '{}'", shown())),
        },
        Kind::Var => {
            let (scope, name) = variable(&shown())?;
            Some(Arg::Var(scope, name))
        }
        Kind::Fields => {
            let numbers = as_str.map(|t| t.split('.').map(parse_number).collect());
            numbers.flatten().map(Arg::Fields)
        }
        Kind::Unit => match bytes {
            b"s" => Some(Arg::Unit(Unit::Seconds)),
            b"ms" => Some(Arg::Unit(Unit::Millis)),
            b"us" => Some(Arg::Unit(Unit::Micros)),
            _ => return Err(format!("expects 's', 'ms' or 'us', got '{}'", shown())),
        },
    })
}

impl Directory {
    fn check_proxy(&self, name: &str, kind: Kind) -> Result<(), String> {
        let known = match kind {
            Kind::Frontend => self.frontends.contains(name),
            _ => self.backends.contains_key(name),
        };
        if known { Ok(()) } else { Err(format!("unable to find {} '{name}'", kind.name())) }
    }

    fn check_own_server(&self, own: &Own, server: &str) -> Result<(), String> {
        if own.back {
            return self.check_server(&own.name, server);
        }
        let name = &own.name;
        Err(format!(
            "unable to find server '{server}' in proxy '{name}', which has none: write '<backend>/{server}'"
        ))
    }

    fn check_server(&self, backend: &str, server: &str) -> Result<(), String> {
        match self.backends.get(backend) {
            None => Err(format!("unable to find backend '{backend}'")),
            Some(servers) if servers.contains(server) => Ok(()),
            Some(_) => Err(format!("unable to find server '{server}' in proxy '{backend}'")),
        }
    }
}

/// A whole signed integer (`0x1f` too).
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Digits alone.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn mask4(text: &str) -> Option<IpAddr> {
    if let Ok(bits) = text.parse::<u32>() {
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
        return Some(IpAddr::V4(mask.into()));
    }
    text.parse().ok().map(IpAddr::V4)
}

fn mask6(text: &str) -> Option<IpAddr> {
    if let Ok(bits) = text.parse::<u32>() {
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
        return Some(IpAddr::V6(Ipv6Addr::from(mask)));
    }
    text.parse().ok().map(IpAddr::V6)
}

/// `txn.name` as scope and name.
pub(crate) fn variable(text: &str) -> Result<(VarScope, String), String> {
    let scopes = [
        ("proc.", VarScope::Process),
        ("sess.", VarScope::Session),
        ("txn.", VarScope::Transaction),
        ("req.", VarScope::Request),
        ("res.", VarScope::Response),
        ("check.", VarScope::Check),
    ];
    let Some((name, scope)) = scopes.iter().find_map(|(p, s)| text.strip_prefix(p).map(|n| (n, *s))) else {
        return Err(format!(
            "invalid variable name '{text}'. A variable name must be start by its scope. \
             The scope can be 'proc', 'sess', 'txn', 'req', 'res' or 'check'"
        ));
    };
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))) {
        Some(bad) => Err(format!("invalid syntax at char '{bad}' in variable name '{text}'")),
        None if name.is_empty() => Err(format!("missing variable name in '{text}'")),
        None => Ok((scope, name.to_owned())),
    }
}

/// `since` the epoch in `unit`.
pub(crate) fn in_unit(since: Duration, unit: Unit) -> i64 {
    let value = match unit {
        Unit::Seconds => u128::from(since.as_secs()),
        Unit::Millis => since.as_millis(),
        Unit::Micros => since.as_micros(),
    };
    i64::try_from(value).unwrap_or(i64::MAX)
}
