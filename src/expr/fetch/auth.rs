//! Credentials of the `Authorization` header (RFC 7617), checked against a userlist.

use super::{Call, Eval, Fetch, Needs, row};
use crate::config::model::Userlist;
use crate::expr::args::{self, Arg, Kind, NONE, OPTIONAL_NAME, Spec};
use crate::expr::sample::{Sample, Type};
use crate::expr::{credentials, password};

const LIST: Spec = Spec { required: 1, kinds: &[Kind::Userlist] };

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("http_auth", LIST, Type::Bool, Needs::Request, Eval::One(authenticated), "Whether the request's credentials are in the userlist."),
    row("http_auth_group", LIST, Type::Str, Needs::Request, Eval::Each { one: user_if_known, each: each_group }, "The groups of the authenticated user; an expression gets the user's name."),
    row("http_auth_type", NONE, Type::Str, Needs::Request, Eval::One(known_scheme), "Authentication scheme: `Basic`, `Bearer`."),
    row("http_auth_user", NONE, Type::Str, Needs::Request, Eval::One(|c| Some(Sample::owned(basic(c)?.0))), "User name of Basic credentials."),
    row("http_auth_pass", NONE, Type::Str, Needs::Request, Eval::One(|c| Some(Sample::owned(basic(c)?.1))), "Password of Basic credentials."),
    row("http_auth_bearer", OPTIONAL_NAME, Type::Str, Needs::Request, Eval::One(bearer), "Token of Bearer credentials, from the header named (Authorization)."),
];

fn scheme<'a>(call: &Call<'a>) -> Option<(&'a [u8], &'a [u8])> {
    credentials::scheme(call.facts)
}

fn basic(call: &Call<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    credentials::basic(call.facts)
}

fn known_scheme<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let known = canonical(scheme(call)?.0)?;
    // Credentials that cannot be read are none.
    if known == b"Basic" {
        basic(call)?;
    }
    Some(Sample::text(known))
}

/// HAProxy's spelling of the schemes it knows.
fn canonical(scheme: &[u8]) -> Option<&'static [u8]> {
    const SCHEMES: [&[u8]; 2] = [b"Basic", b"Bearer"];
    SCHEMES.into_iter().find(|s| s.eq_ignore_ascii_case(scheme))
}

/// The userlist's user the request proves to be.
fn user<'a>(call: &Call<'a>) -> Option<(&'a Userlist, &'a str)> {
    let Some(Arg::Userlist(list)) = call.args.first() else { return None };
    let (name, given) = basic(call)?;
    let user = list.users.iter().find(|u| u.name.as_bytes() == name)?;
    password::matches(user, &given).then_some((&**list, user.name.as_str()))
}

fn authenticated<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    basic(call)?;
    Some(Sample::Bool(user(call).is_some()))
}

fn user_if_known<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    user(call).map(|(_, name)| Sample::text(name.as_bytes()))
}

fn each_group<'a>(call: &Call<'a>, stop: &mut dyn FnMut(Sample<'a>) -> bool) {
    let Some((list, name)) = user(call) else { return };
    let own = list.users.iter().filter(|u| u.name == name).flat_map(|u| u.groups.iter());
    let listing = list.groups.iter().filter(|g| g.users.iter().any(|u| u == name)).map(|g| &g.name);
    for group in own.chain(listing) {
        if stop(Sample::text(group.as_bytes())) {
            return;
        }
    }
}

fn bearer<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let head = call.facts.request()?;
    let value = match args::text(call.args, 0) {
        Some(name) => head.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)?,
        None => head.first(b"authorization")?,
    };
    let (kind, token) = value.split_at(memchr::memchr(b' ', value)?);
    kind.eq_ignore_ascii_case(b"bearer").then(|| Sample::text(token.trim_ascii()))
}
