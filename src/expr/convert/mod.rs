//! The converter table: one row per converter, in families.

// Every row's `prepare` has one signature; some rows add to the list, most only look at it.
#![allow(clippy::ptr_arg)]

mod cipher;
mod elsewhere;
pub(crate) mod encoding;
mod fix;
mod hash;
mod json;
mod jwt;
mod jwt_verify;
mod lookup;
mod moment;
mod mqtt;
mod number;
mod protobuf;
mod state;
#[cfg(test)]
mod tests;
mod text;

use super::args::{Arg, Prepare, Spec};
use super::fetch::Call;
use super::sample::{Sample, Type};
use super::{Facts, Scope};
use std::collections::HashMap;
use std::sync::OnceLock;

pub(crate) use elsewhere::is_known_elsewhere;

/// One converter. An output of [`Type::Any`] means "the type it was given".
#[derive(Debug)]
pub(crate) struct Converter {
    pub name: &'static str,
    pub args: Spec,
    pub input: Type,
    pub output: Type,
    pub prepare: Option<Prepare>,
    pub step: Step,
    pub doc: &'static str,
}

/// How a converter runs.
#[derive(Debug)]
pub(crate) enum Step {
    Pure(for<'a> fn(&'a [Arg], Sample<'a>) -> Option<Sample<'a>>),
    Reading(for<'a> fn(&'a [Arg], Sample<'a>, &Call<'a>) -> Option<Sample<'a>>),
    Changing(fn(&[Arg], Sample<'static>, &mut dyn Facts) -> Option<Sample<'static>>),
}

pub(crate) const fn row(
    name: &'static str,
    args: Spec,
    input: Type,
    output: Type,
    step: Step,
    doc: &'static str,
) -> Converter {
    Converter { name, args, input, output, prepare: None, step, doc }
}

impl Converter {
    pub(crate) const fn prepared(mut self, prepare: fn(&mut Vec<Arg>) -> Result<(), String>) -> Self {
        self.prepare = Some(Prepare::Alone(prepare));
        self
    }

    pub(crate) const fn prepared_in(
        mut self,
        prepare: fn(&mut Vec<Arg>, &Scope) -> Result<(), String>,
    ) -> Self {
        self.prepare = Some(Prepare::InScope(prepare));
        self
    }
}

/// Families, in the manual's order.
pub(crate) const FAMILIES: &[(&str, &[&[Converter]])] = &[
    ("Text", &[text::ROWS]),
    ("Numbers and addresses", &[number::ROWS]),
    ("Encodings", &[encoding::ROWS, json::ROWS, jwt::ROWS, cipher::ROWS]),
    ("Messages of other protocols", &[protobuf::ROWS, mqtt::ROWS, fix::ROWS]),
    ("Hashes", &[hash::ROWS]),
    ("Dates", &[moment::ROWS]),
    ("Maps", &lookup::FAMILIES),
    ("Variables and state", &[state::ROWS]),
];

pub(crate) fn rows() -> impl Iterator<Item = &'static Converter> {
    FAMILIES.iter().flat_map(|(_, lists)| lists.iter().flat_map(|rows| rows.iter()))
}

pub(crate) fn by_name(name: &str) -> Option<&'static Converter> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Converter>> = OnceLock::new();
    let table = TABLE.get_or_init(|| rows().map(|r| (r.name, r)).collect());
    table.get(name).copied()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|r| r.name)
}
