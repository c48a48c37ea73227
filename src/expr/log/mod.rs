//! Log formats: text with `%` variables and `%[expr]`.

pub(crate) mod date;
#[cfg(test)]
mod tests;
pub(crate) mod variable;
mod writer;

use super::error::{ExprError, nearest};
use super::expression::Expr;
use super::{Facts, Scope, Site};
use std::borrow::Cow;
use std::sync::Arc;
use variable::{Variable, Write};
use writer::{Flags, Target, Writer};

/// The built-in formats, as `option httplog` and its kin name them.
pub mod builtin {
    /// `option tcplog`
    pub const TCPLOG: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
    /// `option httplog`
    pub const HTTPLOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
    /// `option httplog clf`
    pub const CLF: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc \
                           %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
    /// `option tcplog clf`
    pub const TCPCLF: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U%ts-- \
                              %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";
    /// `option httpslog`
    pub const HTTPSLOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc \
                                %sq/%bq %hr %hs %{+Q}r \
                                %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] \
                                %[ssl_fc_sni]/%sslv/%sslc";
    /// A proxy that has none of them.
    pub const CONNECT: &str = "Connect from %ci:%cp to %fi:%fp (%f/";
    /// A connection that failed before a request: the message follows.
    pub const CONNECT_ERROR: &str = "%ci:%cp [%t] %ft: ";
}

/// A compiled `log-format` string.
#[derive(Debug, Clone)]
pub struct LogFormat {
    pieces: Arc<[Piece]>,
    /// Blanks separate what is written: runs are one, and none stands first.
    merged: bool,
}

#[derive(Debug)]
enum Piece {
    Literal(Box<[u8]>),
    Variable(&'static Variable, Flags),
    Expr(Box<Expr>, Flags),
}

impl LogFormat {
    /// # Errors
    /// Unknown variable, bad flag, bad expression.
    pub fn parse(text: &str, site: Site, scope: &Scope) -> Result<Self, ExprError> {
        Self::parse_merging(text, site, scope, site == Site::Log)
    }

    /// As a log line's: blanks are delimiters and merge; elsewhere they are text.
    ///
    /// # Errors
    /// As [`LogFormat::parse`].
    pub fn parse_line(text: &str, site: Site, scope: &Scope) -> Result<Self, ExprError> {
        Self::parse_merging(text, site, scope, true)
    }

    fn parse_merging(text: &str, site: Site, scope: &Scope, merged: bool) -> Result<Self, ExprError> {
        date::load_zone();
        let mut parser =
            Parser { site, scope, all: Flags::default(), pieces: Vec::new(), literal: Vec::new() };
        let text: Cow<'_, str> = if merged { merge_blanks(text).into() } else { text.into() };
        parser.run(&text)?;
        parser.flush();
        Ok(Self { pieces: parser.pieces.into(), merged })
    }

    /// The whole text when nothing in it has to be computed.
    #[must_use]
    pub fn as_literal(&self) -> Option<&[u8]> {
        match &*self.pieces {
            [] => Some(b""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Nothing at all is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends the rendered text (header values, redirects, names: no log escaping).
    pub fn render(&self, facts: &mut dyn Facts, out: &mut Vec<u8>) {
        self.write(facts, out, Target::Header);
    }

    /// Appends the rendered text with every byte as it is (what checks send, and their words).
    pub fn render_raw(&self, facts: &mut dyn Facts, out: &mut Vec<u8>) {
        self.write(facts, out, Target::Raw);
    }

    /// Appends a log line: missing values as `-`, escaping as HAProxy's logs do.
    pub fn render_log(&self, facts: &mut dyn Facts, out: &mut Vec<u8>) {
        self.write(facts, out, Target::Log);
    }

    fn write(&self, facts: &mut dyn Facts, out: &mut Vec<u8>, target: Target) {
        // Where blanks separate, the one after a variable that wrote nothing goes with it, and none stands first.
        let mut blank = true;
        for piece in &*self.pieces {
            let before = out.len();
            match piece {
                Piece::Literal(text) if blank && self.merged => {
                    out.extend_from_slice(text.strip_prefix(b" ").unwrap_or(text));
                }
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Variable(variable, flags) => {
                    let mut writer = Writer { out, flags: *flags, target };
                    match variable.write {
                        Write::Number(read) => writer.int(read(facts.log())),
                        Write::HexNumber(read) => writer.int_or_hex(read(facts.log())),
                        Write::Running(read) => writer.running(read(facts.log()), facts.log().early),
                        Write::Other(write) => write(&mut writer, facts),
                    }
                }
                Piece::Expr(expr, flags) => expr.with(facts, |sample| {
                    let mut writer = Writer { out, flags: *flags, target };
                    match sample {
                        Some(sample) => writer.expression(&sample.into_text()),
                        None => writer.expression(b""),
                    }
                }),
            }
            blank = match piece {
                Piece::Literal(text) => text.ends_with(b" "),
                _ => blank && out.len() == before,
            };
        }
    }
}

struct Parser<'a> {
    site: Site,
    scope: &'a Scope,
    /// Set by `%{…}o` for all that follows.
    all: Flags,
    pieces: Vec<Piece>,
    literal: Vec<u8>,
}

impl Parser<'_> {
    fn run(&mut self, text: &str) -> Result<(), ExprError> {
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            self.literal.extend_from_slice(before.as_bytes());
            rest = self.item(after.get(1..).unwrap_or_default())?;
        }
        self.literal.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    /// What follows a `%`; answers the text after it.
    fn item<'t>(&mut self, text: &'t str) -> Result<&'t str, ExprError> {
        if text.is_empty() {
            return Err(ExprError::new(0, "truncated line after '%'."));
        }
        if let Some(rest) = text.strip_prefix('%') {
            self.literal.push(b'%');
            return Ok(rest);
        }
        let text = self.skip_name(text)?;
        let (flags, text) = match text.strip_prefix('{') {
            Some(inside) => {
                let Some((arguments, rest)) = inside.split_once('}') else {
                    return Err(ExprError::new(0, format!("missing '}}' after '{inside}'.")));
                };
                (parse_flags(self.all, arguments)?, rest)
            }
            None => (self.all, text),
        };
        if let Some(inside) = text.strip_prefix('[') {
            let (expr, rest) =
                Expr::parse_checked(inside, self.site, self.scope).map_err(|e| describe(e, inside))?;
            let Some(rest) = rest.strip_prefix(']') else {
                return Err(ExprError::new(0, format!("missing ']' after '{inside}'")));
            };
            self.flush();
            self.pieces.push(Piece::Expr(Box::new(expr), flags));
            return Ok(rest);
        }
        let len = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, rest) = text.split_at(len);
        if name == "o" {
            self.all = flags;
            return Ok(rest);
        }
        let Some(variable) = variable::by_name(name) else {
            return Err(unknown(name));
        };
        self.flush();
        self.pieces.push(Piece::Variable(variable, flags));
        Ok(rest)
    }

    /// `%(name)…`: names are for encoded formats, which take them from here; plain text shows no names.
    fn skip_name<'t>(&self, text: &'t str) -> Result<&'t str, ExprError> {
        let Some(inside) = text.strip_prefix('(') else { return Ok(text) };
        match inside.split_once(')') {
            Some((name, _)) if name.contains(':') => {
                Err(ExprError::unsupported(0, "a type after a log-format item's name"))
            }
            Some((_, rest)) => Ok(rest),
            None => Err(ExprError::new(0, format!("missing ')' after '{inside}'."))),
        }
    }
}

fn unknown(name: &str) -> ExprError {
    if name == "OG" {
        return ExprError::unsupported(0, "log variable 'OG'");
    }
    let message = format!(
        "no such format variable '{name}'. If you wanted to emit the '%' character verbatim, you need to use '%%'."
    );
    ExprError::new(0, message)
        .hint(nearest(name, variable::VARIABLES.iter().map(|v| v.name)).filter(|n| n.len() > 1))
}

fn describe(error: ExprError, text: &str) -> ExprError {
    if error.unsupported || error.message.starts_with("sample fetch <") {
        return error;
    }
    let shown = text.split(']').next().unwrap_or(text);
    error.context(&format!("failed to parse sample expression <{shown}> : "))
}

/// `+Q,-X`; letters without a sign are ignored, as HAProxy does.
fn parse_flags(from: Flags, arguments: &str) -> Result<Flags, ExprError> {
    let mut flags = from;
    for argument in arguments.split(',').map(str::trim).filter(|a| !a.is_empty()) {
        let (sign, names) = argument.split_at(argument.chars().next().map_or(0, char::len_utf8));
        let on = match sign {
            "+" => true,
            "-" => false,
            _ => continue,
        };
        if matches!(names, "json" | "cbor" | "bin") {
            return Err(ExprError::unsupported(0, &format!("log-format flag '{names}'")));
        }
        for name in names.chars() {
            match name {
                'Q' => flags.quote = on,
                'X' => flags.hex = on,
                'E' => flags.escape = on,
                // `M` makes missing values show as `-`; that is decided by where the format stands.
                _ => {}
            }
        }
    }
    Ok(flags)
}

/// Runs of blanks outside `%[…]` become one.
fn merge_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut before = '\0';
    for c in text.chars() {
        match c {
            '[' if before == '%' || before == '}' || depth > 0 => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !(c == ' ' && out.ends_with(' ') && depth == 0) {
            out.push(c);
        }
        before = c;
    }
    out
}
