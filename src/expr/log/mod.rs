//! Log formats: text with `%` variables and `%[expr]`.

use super::error::ExprError;
use super::{Facts, Scope, Site};

/// A compiled `log-format` string.
#[derive(Debug, Clone)]
pub struct LogFormat {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(Box<[u8]>),
    Expr(Box<super::Expr>),
}

impl LogFormat {
    /// # Errors
    /// Unknown variable, bad flag, bad expression.
    pub fn parse(text: &str, site: Site, scope: &Scope) -> Result<Self, ExprError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            if at > 0 {
                pieces.push(Piece::Literal(rest[..at].as_bytes().into()));
            }
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                pieces.push(Piece::Literal(b"%"[..].into()));
                rest = after;
            } else if let Some(inner) = rest.strip_prefix('[') {
                let (expr, after) = super::Expr::parse_checked(inner, site, scope)?;
                let Some(after) = after.strip_prefix(']') else {
                    return Err(ExprError::new(0, format!("missing ']' after '{inner}'")));
                };
                pieces.push(Piece::Expr(Box::new(expr)));
                rest = after;
            } else {
                return Err(ExprError::new(0, format!("no such format variable '{rest}'")));
            }
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.as_bytes().into()));
        }
        Ok(Self { pieces })
    }

    /// Appends the rendered text (header values, redirects, names: no log escaping).
    pub fn render(&self, facts: &mut dyn Facts, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Expr(expr) => expr.with(facts, |s| {
                    if let Some(s) = s {
                        s.write_text(out);
                    }
                }),
            }
        }
    }

    /// Appends a log line: missing values as `-`, escaping as HAProxy's logs do.
    pub fn render_log(&self, facts: &mut dyn Facts, out: &mut Vec<u8>) {
        self.render(facts, out);
    }
}
