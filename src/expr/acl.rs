//! One ACL test: an expression, a match method and patterns. A named ACL is a list of them, ORed.

use super::error::{ExprError, nearest};
use super::expression::{self, Expr};
use super::fetch::{self, Fetch, Needs};
use super::map;
use super::pattern::store::Use;
use super::pattern::{Flags, Method, Operator, Output, View, ViewKey};
use super::sample::{Sample, Type};
use super::syntax;
use super::{Facts, Scope, Site};
use std::sync::Arc;

/// HAProxy's three answers. Their values make AND and OR bit operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fail = 0,
    /// No, unless more bytes come.
    Maybe = 1,
    Pass = 3,
}

impl Verdict {
    pub fn negated(self) -> Self {
        match self {
            Self::Fail => Self::Pass,
            Self::Maybe => Self::Maybe,
            Self::Pass => Self::Fail,
        }
    }

    pub fn and(self, other: Self) -> Self {
        if (self as u8) < (other as u8) { self } else { other }
    }

    pub fn or(self, other: Self) -> Self {
        if (self as u8) > (other as u8) { self } else { other }
    }
}

/// One named ACL: every `acl NAME ...` line of that name, ORed.
#[derive(Debug)]
pub struct Acl {
    pub name: String,
    tests: Vec<Arc<Test>>,
}

/// One ACL line, or the inside of an anonymous ACL's braces.
#[derive(Debug)]
pub(crate) struct Test {
    expr: Expr,
    method: Method,
    /// One for each file, and one for what stands on the line.
    views: Vec<Arc<View>>,
}

impl Acl {
    /// Parses what follows `acl NAME`: `path_beg -i /static /images`.
    ///
    /// # Errors
    /// As [`Expr::parse`], and bad flags or patterns.
    pub fn parse(name: &str, words: &[&str], site: Site, scope: &Scope) -> Result<Self, ExprError> {
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if let Some(bad) = name.chars().find(|c| !allowed(c)) {
            return Err(ExprError::new(
                0,
                format!("character '{bad}' is not permitted in acl name '{name}'."),
            ));
        }
        if name == "or" {
            return Err(ExprError::new(
                0,
                "acl name 'or' will never match. 'or' is used to express a logical disjunction within a condition.",
            ));
        }
        let test = Test::parse(words, site, scope)?;
        Ok(Self { name: name.to_owned(), tests: vec![Arc::new(test)] })
    }

    /// Adds another line's alternatives to this ACL.
    pub fn join(&mut self, other: Self) {
        self.tests.extend(other.tests);
    }

    pub(crate) fn tests(&self) -> &[Arc<Test>] {
        &self.tests
    }

    /// The fetch this ACL uses that never yields anything at `site` (HAProxy warns: it will never match).
    #[must_use]
    pub fn never_matches_in(&self, site: Site, scope: &Scope) -> Option<&'static str> {
        let all = !self.tests.is_empty() && self.tests.iter().all(|t| !t.needs().available_in(site, scope));
        all.then(|| self.tests.first().map(|t| t.expr.fetch.name)).flatten()
    }

    /// The warning about an ACL (made of `words`) that compares with nothing; `--` says that it is meant so.
    #[must_use]
    pub fn without_pattern(&self, words: &[&str]) -> Option<String> {
        let name = words.first().filter(|_| self.has_no_pattern() && !words.contains(&"--"))?;
        Some(format!(
            "acl keyword '{name}' : no pattern to match against is given, so this ACL will never match (write '--' if that is meant, '-m found' to match existence only, '-m bool' to take a number for a truth)."
        ))
    }

    /// Does some test have a method that compares but no pattern to compare with?
    #[must_use]
    pub fn has_no_pattern(&self) -> bool {
        self.tests.iter().any(|t| {
            t.views.iter().all(|v| v.is_empty()) && t.method != Method::Found && t.method != Method::Bool
        })
    }
}

impl Test {
    pub fn parse(words: &[&str], site: Site, scope: &Scope) -> Result<Self, ExprError> {
        let Some(word) = words.first().filter(|w| !w.is_empty()) else {
            let mut error = ExprError::new(0, "missing fetch method in ACL expression ''.");
            error.hint =
                Some("write 'acl <name> <fetch> [flags] [values]', as in 'acl api path_beg /api'".to_owned());
            return Err(error);
        };
        let (text, mut at) = join_converters(words);
        let (expr, implied) = keyword(&text, site, scope).map_err(|e| e.context_for(word))?;
        let mut flags = Flags::default();
        let mut columns = false;
        let mut method = None;
        let mut id = None;
        let mut files: Vec<(String, Flags, bool, usize)> = Vec::new();
        while let Some(flag) = words.get(at).filter(|w| w.starts_with('-')) {
            match *flag {
                "--" => {
                    at += 1;
                    break;
                }
                "-i" => flags.ignore_case = true,
                "-n" => flags.no_dns = true,
                "-M" => columns = true,
                "-u" => {
                    at += 1;
                    let text = words.get(at).copied().unwrap_or_default();
                    let wrong = |_| ExprError::new(at, format!("'{text}' is not a valid ACL id"));
                    id = Some(text.parse::<u32>().map_err(wrong)?);
                }
                "-m" => {
                    at += 1;
                    let name = words.get(at).copied().unwrap_or_default();
                    if !files.is_empty() {
                        return Err(ExprError::new(
                            at,
                            "'-m' must only be specified before patterns and files in parsing ACL expression",
                        ));
                    }
                    method = Some(match_method(name, at)?);
                }
                "-f" => {
                    at += 1;
                    let Some(file) = words.get(at) else {
                        return Err(ExprError::new(at, "missing file name after '-f'"));
                    };
                    files.push(((*file).to_owned(), flags, columns, at));
                }
                other => {
                    let message = format!(
                        "'{other}' is not a valid ACL option. Please use '--' before any pattern beginning with a '-'."
                    );
                    return Err(ExprError::new(at, message));
                }
            }
            at += 1;
        }
        let method = match method.or(implied).or_else(|| Method::implied(expr.output())) {
            Some(method) => method,
            None => {
                let name = expr.fetch.name;
                let message = format!(
                    "matching method must be specified first (using '-m') when using a sample fetch of this type ('{name}')."
                );
                return Err(ExprError::new(0, message));
            }
        };
        if let Some(expected) = method.expects()
            && !expr.output().casts_to(expected)
            && method != Method::Bool
        {
            let (method, name) = (method.name(), expr.fetch.name);
            return Err(ExprError::new(
                0,
                format!("matching method '{method}' cannot be used with fetch keyword '{name}'."),
            ));
        }
        let view = |flags| ViewKey { method, flags, output: Output::None };
        let mut views = Vec::new();
        for (file, flags, columns, word) in files {
            let how = if columns { Use::AclOfMap } else { Use::Acl };
            let reference = scope.patterns.file(&file, how).map_err(|e| ExprError::new(word, e))?;
            let place = |(entry, e)| {
                let line = map::line_of(&file, entry);
                ExprError::new(word, format!("{e} at line {line} of file <{file}>"))
            };
            views.push(reference.view(view(flags)).map_err(place)?);
        }
        let (patterns, places) = inline_patterns(words, at, method)?;
        let criterion = text.split(['(', ',']).next().unwrap_or(&text);
        let reference = scope.patterns.inline(criterion, id, &patterns);
        let reference = reference.map_err(|e| ExprError::new(at, format!("{e}.")))?;
        let place = |(entry, e): (usize, String)| {
            ExprError::new(places.get(entry).copied().unwrap_or(at), format!("{e}."))
        };
        views.push(reference.view(view(flags)).map_err(place)?);
        Ok(Self { expr, method, views })
    }

    pub fn needs(&self) -> Needs {
        self.expr.fetch.needs
    }

    fn matches(&self, sample: &Sample<'_>) -> bool {
        self.views.iter().any(|v| v.matches(sample))
    }

    pub fn run(&self, facts: &mut dyn Facts, site: Site, last: bool) -> Verdict {
        if !self.needs().available_at(site) {
            return Verdict::Fail;
        }
        let input = match self.method {
            Method::Ip => Some(Type::Addr),
            _ => None,
        };
        let (hit, may_change) = self.expr.any(facts, site, last, |sample| match input {
            // Text that is no address can't be compared with networks.
            Some(Type::Addr) => sample.to_addr().is_some() && self.matches(sample),
            _ => self.matches(sample),
        });
        match (hit, may_change && !last) {
            (true, _) => Verdict::Pass,
            (false, true) => Verdict::Maybe,
            (false, false) => Verdict::Fail,
        }
    }
}

/// The patterns from word `at` on, relations turned into ranges; and the words they are of.
fn inline_patterns(
    words: &[&str],
    at: usize,
    method: Method,
) -> Result<(Vec<String>, Vec<usize>), ExprError> {
    let (mut patterns, mut places) = (Vec::new(), Vec::new());
    let mut operator = Operator::Eq;
    for (i, pattern) in words.iter().enumerate().skip(at) {
        let numbers = matches!(method, Method::Int | Method::Len);
        if numbers && let Some(found) = Operator::by_name(pattern) {
            operator = found;
            continue;
        }
        let pattern = match operator {
            Operator::Eq => (*pattern).to_owned(),
            relation => relation.rewrite(pattern).map_err(|e| ExprError::new(i, format!("{e}.")))?,
        };
        patterns.push(pattern);
        places.push(i);
    }
    Ok((patterns, places))
}

impl ExprError {
    fn context_for(self, word: &str) -> Self {
        if self.unsupported || !self.message.starts_with("unknown fetch") {
            let name = word.split(['(', ',']).next().unwrap_or(word);
            return if self.unsupported || self.message.starts_with("matching") {
                self
            } else {
                self.context(&format!("ACL keyword '{name}' : "))
            };
        }
        let mut error = self;
        error.message = format!("{} in ACL expression '{word}'.", error.message);
        error
    }
}

/// Converters may stand in words of their own, as in `Expr::parse`.
fn join_converters(words: &[&str]) -> (String, usize) {
    let mut text = words.first().copied().unwrap_or_default().to_owned();
    let mut taken = 1;
    while let Some(next) = words.get(taken) {
        if !(next.starts_with(',') || text.ends_with(',')) {
            break;
        }
        text.push_str(next);
        taken += 1;
    }
    (text, taken)
}

/// The expression, and the method an ACL keyword like `path_beg` implies.
fn keyword(text: &str, site: Site, scope: &Scope) -> Result<(Expr, Option<Method>), ExprError> {
    let parsed = syntax::chain(text).map_err(|m| ExprError::new(0, m))?;
    if !parsed.rest.is_empty() {
        return Err(ExprError::new(0, format!("unexpected '{}'", parsed.rest)));
    }
    let (row, implied) = match acl_keyword(parsed.fetch.name) {
        Some((row, method)) => (row, method),
        None => (expression::find_fetch(parsed.fetch.name).map_err(|e| suggest(e, parsed.fetch.name))?, None),
    };
    let expr = Expr::build(row, &parsed.fetch, &parsed.converters, site, scope)?;
    // Behind converters the keyword's own method is forgotten: `path_beg,lower` compares whole strings.
    Ok((expr, implied.filter(|_| parsed.converters.is_empty())))
}

/// Fetches whose ACL spelling takes a method as suffix (`path_beg`).
const SUFFIXED: &[(&str, &str)] = &[
    ("base", "base"),
    ("cook", "req.cook"),
    ("hdr", "req.hdr"),
    ("path", "path"),
    ("scook", "res.cook"),
    ("shdr", "res.hdr"),
    ("url", "url"),
    ("urlp", "url_param"),
];

const SUFFIXES: &[&str] = &["beg", "dir", "dom", "end", "len", "reg", "sub"];

fn acl_keyword(name: &str) -> Option<(&'static Fetch, Option<Method>)> {
    match name {
        // In an ACL `hdr` is the request's, wherever the ACL is used.
        "hdr" => return Some((fetch::by_name("req.hdr")?, None)),
        "payload" => return Some((fetch::by_name("req.payload")?, Some(Method::Bin))),
        "payload_lv" => return Some((fetch::by_name("req.payload_lv")?, Some(Method::Bin))),
        _ => {}
    }
    let (stem, suffix) = name.rsplit_once('_')?;
    let (_, target) = SUFFIXED.iter().find(|(s, _)| *s == stem)?;
    let suffix = SUFFIXES.iter().find(|s| **s == suffix)?;
    Some((fetch::by_name(target)?, Some(Method::by_name(suffix)?)))
}

fn suggest(error: ExprError, name: &str) -> ExprError {
    if error.unsupported || error.hint.is_some() {
        return error;
    }
    let mut spelled = Vec::new();
    for (stem, _) in SUFFIXED {
        for suffix in SUFFIXES {
            spelled.push(format!("{stem}_{suffix}"));
        }
    }
    let near = nearest(name, spelled.iter().map(String::as_str)).map(str::to_owned);
    error.hint(near.as_deref())
}

fn match_method(name: &str, at: usize) -> Result<Method, ExprError> {
    Method::by_name(name).ok_or_else(|| {
        let names = super::pattern::METHODS.iter().map(|(n, _, _)| *n);
        ExprError::new(at, format!("unknown matching method '{name}' when parsing ACL expression."))
            .hint(nearest(name, names))
    })
}
