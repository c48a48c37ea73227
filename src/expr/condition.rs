//! `if` / `unless`: an OR of ANDs of ACL terms.

use super::acl::{Acl, Test, Verdict};
use super::error::{ExprError, nearest};
use super::{Facts, Scope, Site};
use std::sync::{Arc, PoisonError};

/// `if` / `unless` and what follows.
#[derive(Debug)]
pub struct Condition {
    unless: bool,
    site: Site,
    /// Any of these suffices; each needs all its terms.
    alternatives: Vec<Vec<Term>>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Term {
    negated: bool,
    tests: Vec<Arc<Test>>,
}

impl Condition {
    /// Parses `words`, which start with `if` or `unless` (anything else is the caller's error).
    ///
    /// # Errors
    /// Unknown ACL, malformed anonymous ACL, missing brace.
    pub fn parse(words: &[&str], site: Site, scope: &Scope) -> Result<Self, ExprError> {
        let unless = match words.first() {
            Some(&"if") => false,
            Some(&"unless") => true,
            other => {
                let found = other.copied().unwrap_or_default();
                return Err(ExprError::new(0, format!("expects 'if' or 'unless' but found '{found}'")));
            }
        };
        let mut condition = Self { unless, site, alternatives: Vec::new(), warnings: Vec::new() };
        let mut current = Vec::new();
        let mut at = 1;
        while let Some(word) = words.get(at) {
            if word.eq_ignore_ascii_case("or") || *word == "||" {
                condition.close_alternative(&mut current);
                at += 1;
                continue;
            }
            let bangs = word.bytes().take_while(|b| *b == b'!').count();
            let mut negated = bangs % 2 == 1;
            let mut name = word.get(bangs..).unwrap_or_default();
            // `! name`
            while name.is_empty() {
                at += 1;
                let Some(next) = words.get(at) else {
                    return Err(ExprError::new(at - 1, "missing ACL after '!'"));
                };
                let more = next.bytes().take_while(|b| *b == b'!').count();
                negated ^= more % 2 == 1;
                name = next.get(more..).unwrap_or_default();
            }
            let (acl, next) = term(words, at, name, site, scope)?;
            if let Some(fetch) = acl.never_matches_in(site, scope) {
                condition.warnings.push(never_matches(&acl.name, fetch));
            }
            let inside = words.get(at + 1..next.saturating_sub(1)).unwrap_or_default();
            condition.warnings.extend(acl.without_pattern(inside).filter(|_| name == "{"));
            current.push(Term { negated, tests: acl.tests().to_vec() });
            at = next;
        }
        let open = current.is_empty();
        condition.close_alternative(&mut current);
        if condition.alternatives.is_empty() {
            let (word, result) = if unless { ("unless", "always") } else { ("if", "never") };
            condition.warnings.push(format!("nothing stands after '{word}': the condition {result} holds"));
        } else if open {
            condition.warnings.push("nothing stands after the last 'or' of the condition".to_owned());
        }
        Ok(condition)
    }

    fn close_alternative(&mut self, current: &mut Vec<Term>) {
        if !current.is_empty() {
            self.alternatives.push(std::mem::take(current));
        }
    }

    /// What HAProxy warns about: ACLs that never match where this condition stands.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub fn holds(&self, facts: &mut dyn Facts) -> bool {
        self.evaluate(facts, true) == Some(true)
    }

    /// Three-valued, for content rules: `None` means that more bytes must come before it can be said. With `last`, a
    /// miss is final.
    pub fn evaluate(&self, facts: &mut dyn Facts, last: bool) -> Option<bool> {
        let mut any = Verdict::Fail;
        for terms in &self.alternatives {
            let mut all = Verdict::Pass;
            for term in terms {
                all = all.and(term.run(facts, self.site, last));
                if all == Verdict::Fail {
                    break;
                }
            }
            any = any.or(all);
            if any == Verdict::Pass {
                break;
            }
        }
        let any = if self.unless { any.negated() } else { any };
        match any {
            Verdict::Pass => Some(true),
            Verdict::Fail => Some(false),
            Verdict::Maybe => None,
        }
    }
}

impl Term {
    fn run(&self, facts: &mut dyn Facts, site: Site, last: bool) -> Verdict {
        let mut any = Verdict::Fail;
        for test in &self.tests {
            any = any.or(test.run(facts, site, last));
            if any == Verdict::Pass {
                break;
            }
        }
        if self.negated { any.negated() } else { any }
    }
}

/// The ACL of the term at `words[at]`, spelled `name` without its `!`; and where the next term starts.
fn term(
    words: &[&str],
    at: usize,
    name: &str,
    site: Site,
    scope: &Scope,
) -> Result<(Arc<Acl>, usize), ExprError> {
    if name == "{" {
        let inside = words.get(at + 1..).unwrap_or_default();
        let Some(len) = inside.iter().position(|w| *w == "}") else {
            return Err(ExprError::new(at, "missing closing '}' in condition."));
        };
        let inside = inside.get(..len).unwrap_or_default();
        let shift = |e: ExprError| {
            let word = e.word + at + 1;
            e.at(word)
        };
        let test = Acl::parse(".noname", inside, site, scope).map_err(shift)?;
        return Ok((Arc::new(test), at + len + 2));
    }
    // `use_backend x if { … }` is a common slip: braces glued to a word.
    if name.starts_with('{') && name.len() > 1 {
        let hint = "braces are words of their own: write '{ path /x }'";
        return Err(ExprError { hint: Some(hint.to_owned()), ..unknown(at, name) });
    }
    if let Some(acl) = scope.acls.get(name) {
        return Ok((acl.clone(), at + 1));
    }
    if let Some((_, words)) = PREDEFINED.iter().find(|(n, _)| *n == name) {
        let mut used = scope.predefined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = used.iter().find(|a| a.name == name) {
            return Ok((known.clone(), at + 1));
        }
        let acl = Arc::new(Acl::parse(name, words, Site::HttpRequest, scope)?);
        used.push(acl.clone());
        return Ok((acl, at + 1));
    }
    let names = scope.acls.names().chain(PREDEFINED.iter().map(|(n, _)| *n));
    let error = unknown(at, name).hint(nearest(name, names));
    if matches!(name, "and" | "AND" | "&&" | "&") {
        let hint = "terms that stand side by side must all hold: leave the word out ('or' stands between alternatives)";
        return Err(ExprError { hint: Some(hint.to_owned()), ..error });
    }
    Err(error)
}

fn unknown(at: usize, name: &str) -> ExprError {
    ExprError::new(at, format!("no such ACL : '{name}'."))
}

fn never_matches(acl: &str, fetch: &str) -> String {
    if acl == ".noname" {
        format!(
            "anonymous acl will never match because it uses keyword '{fetch}' which is incompatible with this rule"
        )
    } else {
        format!(
            "acl '{acl}' will never match because it only involves keywords that are incompatible with this rule"
        )
    }
}

/// ACLs that need no declaration.
pub(crate) const PREDEFINED: &[(&str, &[&str])] = &[
    ("TRUE", &["always_true"]),
    ("FALSE", &["always_false"]),
    ("LOCALHOST", &["src", "127.0.0.1/8", "::1"]),
    ("HTTP", &["req.proto_http"]),
    ("HTTP_1.0", &["req.ver", "1.0"]),
    ("HTTP_1.1", &["req.ver", "1.1"]),
    ("HTTP_2.0", &["req.ver", "2.0"]),
    ("HTTP_3.0", &["req.ver", "3.0"]),
    ("METH_CONNECT", &["method", "CONNECT"]),
    ("METH_DELETE", &["method", "DELETE"]),
    ("METH_GET", &["method", "GET", "HEAD"]),
    ("METH_HEAD", &["method", "HEAD"]),
    ("METH_OPTIONS", &["method", "OPTIONS"]),
    ("METH_POST", &["method", "POST"]),
    ("METH_PUT", &["method", "PUT"]),
    ("METH_TRACE", &["method", "TRACE"]),
    ("HTTP_URL_ABS", &["url_reg", "^[^/:]*://"]),
    ("HTTP_URL_SLASH", &["url_beg", "/"]),
    ("HTTP_URL_STAR", &["url", "*"]),
    ("HTTP_CONTENT", &["req.hdr_val(content-length)", "gt", "0"]),
    ("RDP_COOKIE", &["req.rdp_cookie_cnt", "gt", "0"]),
    ("REQ_CONTENT", &["req.len", "gt", "0"]),
    ("WAIT_END", &["wait_end"]),
];
