//! A fetch and its converters, looked up and checked, and how they run.

use super::args::{self, Arg};
use super::convert::{self, Converter, Step};
use super::error::{ExprError, nearest};
use super::fetch::{self, Call, Eval, Fetch, Fetched};
use super::sample::{Sample, Type};
use super::syntax::{self, CallText};
use super::{Facts, Scope, Site, Value};

/// A fetch and its converters.
#[derive(Debug, Clone)]
pub struct Expr {
    pub(super) fetch: &'static Fetch,
    args: Vec<Arg>,
    converters: Vec<Conversion>,
    pub(super) site: Site,
    output: Type,
    /// A step changes the facts (draws a random number, sets a variable), so nothing may be borrowed across it.
    changes: bool,
}

#[derive(Debug, Clone)]
struct Conversion {
    row: &'static Converter,
    args: Vec<Arg>,
}

impl Expr {
    /// Parses one expression from the front of `words` (`src,ipmask(24)`); answers it and how many words it took.
    ///
    /// # Errors
    /// Unknown fetch or converter, bad argument, or one that does not exist at this `site`.
    pub fn parse(words: &[&str], site: Site, scope: &Scope) -> Result<(Self, usize), ExprError> {
        let Some(word) = words.first().filter(|w| !w.is_empty()) else {
            return Err(ExprError::new(0, "missing fetch method"));
        };
        // Converters may stand in words of their own: `src ,lower` or `src, lower`.
        let mut taken = 1;
        let mut joined: Option<String> = None;
        while let Some(next) = words.get(taken) {
            let so_far = joined.as_deref().unwrap_or(word);
            if !(next.starts_with(',') || so_far.ends_with(',')) {
                break;
            }
            joined = Some(format!("{so_far}{next}"));
            taken += 1;
        }
        let text = joined.as_deref().unwrap_or(word);
        let (expr, rest) = Self::parse_prefix(text, site, scope)?;
        if !rest.is_empty() {
            return Err(trailing(text, rest));
        }
        expr.check_site(scope)?;
        Ok((expr, taken))
    }

    /// Parses an expression at the front of `text`; answers what follows it. The site is not checked.
    pub(super) fn parse_prefix<'t>(
        text: &'t str,
        site: Site,
        scope: &Scope,
    ) -> Result<(Self, &'t str), ExprError> {
        let parsed = syntax::chain(text).map_err(|m| ExprError::new(0, m))?;
        let fetch = find_fetch(parsed.fetch.name)?;
        let expr = Self::build(fetch, &parsed.fetch, &parsed.converters, site, scope)?;
        Ok((expr, parsed.rest))
    }

    /// Puts a looked-up fetch and converters not yet looked up together.
    pub(super) fn build(
        fetch: &'static Fetch,
        call: &CallText<'_>,
        converters: &[CallText<'_>],
        site: Site,
        scope: &Scope,
    ) -> Result<Self, ExprError> {
        let wrong = |m: String| ExprError::new(0, format!("fetch method '{}' : {m}", call.name));
        let mut args = args::parse(call.args.as_deref(), &fetch.args, scope).map_err(wrong)?;
        if let Some(own) = &scope.own {
            args::complete(&mut args, &fetch.args, own, scope).map_err(|m| wrong(m).misplaced())?;
        }
        if let Some(prepare) = fetch.prepare {
            prepare.run(&mut args, scope).map_err(wrong)?;
        }
        let mut output = fetch.output;
        let mut changes = matches!(fetch.eval, Eval::Changing(_));
        let mut steps = Vec::with_capacity(converters.len());
        for text in converters {
            let row = find_converter(text.name)?;
            if !output.casts_to(row.input) {
                return Err(ExprError::new(0, format!("converter '{}' cannot be applied", text.name)));
            }
            let wrong =
                |m: String| ExprError::new(0, format!("invalid args in converter '{}' : {m}", text.name));
            let mut args = args::parse(text.args.as_deref(), &row.args, scope).map_err(wrong)?;
            if let Some(prepare) = row.prepare {
                prepare.run(&mut args, scope).map_err(wrong)?;
            }
            changes |= matches!(row.step, Step::Changing(_));
            if row.output != Type::Any {
                output = row.output;
            }
            steps.push(Conversion { row, args });
        }
        Ok(Self { fetch, args, converters: steps, site, output, changes })
    }

    fn check_site(&self, scope: &Scope) -> Result<(), ExprError> {
        if self.fetch.needs.available_in(self.site, scope) {
            return Ok(());
        }
        let (name, need) = (self.fetch.name, self.fetch.needs.describe());
        Err(ExprError::new(
            0,
            format!(
                "sample fetch <{name}> may not be reliably used here because it needs '{need}' which is not available here."
            ),
        )
        .misplaced())
    }

    /// As [`Expr::parse_prefix`], refused where the fetch does not exist.
    pub(super) fn parse_checked<'t>(
        text: &'t str,
        site: Site,
        scope: &Scope,
    ) -> Result<(Self, &'t str), ExprError> {
        let (expr, rest) = Self::parse_prefix(text, site, scope)?;
        expr.check_site(scope)?;
        Ok((expr, rest))
    }

    pub(super) fn output(&self) -> Type {
        self.output
    }

    /// The sample, or `None` where there is nothing to fetch.
    pub fn eval(&self, facts: &mut dyn Facts) -> Option<Value> {
        self.with(facts, |s| s.map(Sample::into_value))
    }

    /// Hands the sample to `see` without copying it where it can be borrowed.
    pub(super) fn with<R>(&self, facts: &mut dyn Facts, see: impl FnOnce(Option<Sample<'_>>) -> R) -> R {
        if self.changes {
            let sample = self.run_changing(facts, self.site, true).sample;
            return see(sample);
        }
        let facts: &dyn Facts = facts;
        let call = Call { args: &self.args, facts, site: self.site, needs: self.fetch.needs, last: true };
        see(self.fetch.one(&call).sample.and_then(|s| self.convert(s, &call)))
    }

    /// Shows every sample the fetch has in turn (each value of a header, each cookie), converted, until `stop` answers
    /// true. Answers whether it did, and whether a later look may find more.
    pub(super) fn any(
        &self,
        facts: &mut dyn Facts,
        site: Site,
        last: bool,
        mut stop: impl FnMut(&Sample<'_>) -> bool,
    ) -> (bool, bool) {
        if self.changes {
            let got = self.run_changing(facts, site, last);
            return (got.sample.is_some_and(|s| stop(&s)), got.may_change);
        }
        let facts: &dyn Facts = facts;
        let call = Call { args: &self.args, facts, site, needs: self.fetch.needs, last };
        let Eval::Each { each, .. } = self.fetch.eval else {
            let got = self.fetch.one(&call);
            let hit = got.sample.and_then(|s| self.convert(s, &call)).is_some_and(|s| stop(&s));
            return (hit, got.may_change);
        };
        let mut hit = false;
        each(&call, &mut |sample| {
            hit = self.convert(sample, &call).is_some_and(|s| stop(&s));
            hit
        });
        (hit, self.fetch.unsettled(&call))
    }

    fn convert<'a>(&'a self, sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
        let mut sample = sample;
        for conversion in &self.converters {
            let input = sample.cast(conversion.row.input)?;
            sample = match conversion.row.step {
                Step::Pure(run) => run(&conversion.args, input)?,
                Step::Reading(run) => run(&conversion.args, input, call)?,
                Step::Changing(_) => return None,
            };
        }
        Some(sample)
    }

    fn run_changing(&self, facts: &mut dyn Facts, site: Site, last: bool) -> Fetched<'static> {
        let got = if let Eval::Changing(run) = self.fetch.eval {
            Fetched { sample: run(&self.args, facts), may_change: false }
        } else {
            let call = Call { args: &self.args, facts: &*facts, site, needs: self.fetch.needs, last };
            let got = self.fetch.one(&call);
            Fetched { sample: got.sample.map(Sample::detach), may_change: got.may_change }
        };
        let mut sample = got.sample;
        for conversion in &self.converters {
            let input = sample.and_then(|s| s.cast(conversion.row.input));
            let Some(input) = input else {
                return Fetched { sample: None, may_change: got.may_change };
            };
            sample = match conversion.row.step {
                Step::Pure(run) => run(&conversion.args, input).map(Sample::detach),
                Step::Reading(run) => {
                    let call = Call { args: &self.args, facts: &*facts, site, needs: self.fetch.needs, last };
                    run(&conversion.args, input, &call).map(Sample::detach)
                }
                Step::Changing(run) => run(&conversion.args, input, facts),
            };
        }
        Fetched { sample, may_change: got.may_change }
    }
}

fn trailing(text: &str, rest: &str) -> ExprError {
    if let Some(conv) = rest.strip_prefix(',') {
        return ExprError::new(
            0,
            format!("missing comma after fetch keyword or converter before '{conv}' in '{text}'"),
        );
    }
    ExprError::new(0, format!("unexpected '{rest}' after expression in '{text}'"))
}

pub(super) fn find_fetch(name: &str) -> Result<&'static Fetch, ExprError> {
    if let Some(row) = fetch::by_name(name) {
        return Ok(row);
    }
    if fetch::is_known_elsewhere(name) {
        return Err(ExprError::unsupported(0, &format!("sample fetch '{name}'")));
    }
    Err(ExprError::new(0, format!("unknown fetch method '{name}'")).hint(nearest(name, fetch::names())))
}

fn find_converter(name: &str) -> Result<&'static Converter, ExprError> {
    if let Some(row) = convert::by_name(name) {
        return Ok(row);
    }
    if convert::is_known_elsewhere(name) {
        return Err(ExprError::unsupported(0, &format!("converter '{name}'")));
    }
    Err(ExprError::new(0, format!("unknown converter '{name}'")).hint(nearest(name, convert::names())))
}
