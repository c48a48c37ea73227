//! What stands after the page's URI: `;csv;norefresh?scope=web`. HAProxy looks for its words anywhere behind the URI,
//! whatever separates them, and so do its users' scripts.

/// Longest `scope`, as HAProxy's.
const SCOPE_LIMIT: usize = 20;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub form: Form,
    /// `;up`: servers that are down stay out.
    pub up: bool,
    /// `;no-maint`: servers in maintenance stay out.
    pub no_maint: bool,
    pub norefresh: bool,
    /// `scope=`: part of the proxies' names.
    pub scope: Option<String>,
    /// `;st=`: how the last action ended.
    pub outcome: Option<Outcome>,
    /// `;page=N` of the servers of the proxy in `;proxy=ID`.
    pub page: usize,
    pub proxy: Option<u32>,
    /// `;seq=N`: the samples up to this one are known (`;live`).
    pub seq: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Page,
    Csv,
    Typed,
    Json,
    JsonSchema,
    /// Ours: what the page's script asks for to stay current.
    Live,
    /// Ours: one row with all its columns; `part`: without the rest of a page around it.
    Row {
        at: (u32, u32, u32),
        part: bool,
    },
    /// Ours: the page's own files.
    Style,
    Script,
}

/// HAProxy's answers to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Deny,
    Done,
    Errp,
    Excd,
    None,
    Part,
    Unkn,
    /// Ours: the form was too old, or came from elsewhere.
    Ival,
}

const OUTCOMES: &[(Outcome, &str)] = &[
    (Outcome::Deny, "DENY"),
    (Outcome::Done, "DONE"),
    (Outcome::Errp, "ERRP"),
    (Outcome::Excd, "EXCD"),
    (Outcome::None, "NONE"),
    (Outcome::Part, "PART"),
    (Outcome::Unkn, "UNKN"),
    (Outcome::Ival, "IVAL"),
];

impl Outcome {
    #[must_use]
    pub fn code(self) -> &'static str {
        OUTCOMES.iter().find(|(outcome, _)| *outcome == self).map_or("UNKN", |(_, code)| code)
    }

    fn named(code: &str) -> Self {
        OUTCOMES.iter().find(|(_, name)| code.starts_with(name)).map_or(Self::Unkn, |(outcome, _)| *outcome)
    }
}

impl Query {
    /// Reads `target`, of which `uri` is the page's beginning.
    #[must_use]
    pub fn parse(target: &str, uri: &str) -> Self {
        let path = target.find("://").map_or(target, |at| {
            let rest = target.get(at + 3..).unwrap_or_default();
            rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
        });
        let path = if target.starts_with('/') { target } else { path };
        let rest = path.get(uri.len()..).unwrap_or_default();
        let has = |word: &str| rest.contains(word);
        let number = |word: &str| value(rest, word).and_then(|text| text.parse().ok());
        Self {
            form: form(rest),
            up: has(";up"),
            no_maint: has(";no-maint"),
            norefresh: has(";norefresh"),
            scope: scope(rest),
            outcome: rest.find(";st=").map(|at| Outcome::named(rest.get(at + 4..).unwrap_or_default())),
            page: number(";page=").unwrap_or(1) as usize,
            proxy: number(";proxy="),
            seq: value(rest, ";seq=").and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }
}

fn form(rest: &str) -> Form {
    let has = |word: &str| rest.contains(word);
    if has(";stats.css") {
        Form::Style
    } else if has(";stats.js") {
        Form::Script
    } else if has(";json-schema") {
        Form::JsonSchema
    } else if has(";json") {
        Form::Json
    } else if has(";typed") {
        Form::Typed
    } else if has(";csv") {
        Form::Csv
    } else if has(";live") {
        Form::Live
    } else if let Some(at) = value(rest, ";row=").and_then(three) {
        Form::Row { at, part: has(";part") }
    } else {
        Form::Page
    }
}

/// What stands behind `word` up to the next separator.
fn value<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let text = rest.get(rest.find(word)? + word.len()..)?;
    text.split([';', '&', '?', ' ']).next()
}

fn three(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    let at = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.next().is_none().then_some(at)
}

fn scope(rest: &str) -> Option<String> {
    let text = rest.get(rest.find("scope=")? + 6..)?;
    let text = text.split([';', '&', ' ']).next()?;
    let text: String = text.chars().take(SCOPE_LIMIT).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, expected: &Query) {
        assert_eq!(Query::parse(target, "/stats"), *expected, "{target}");
    }

    #[test]
    fn words_may_stand_anywhere() {
        let plain = Query { page: 1, ..Query::default() };
        check("/stats", &plain);
        check("http://host/stats", &plain);
        check("/stats;csv", &Query { form: Form::Csv, ..plain.clone() });
        check("/stats/x?y;csv;norefresh", &Query { form: Form::Csv, norefresh: true, ..plain.clone() });
        check("/stats;json-schema", &Query { form: Form::JsonSchema, ..plain.clone() });
        check("/stats;json", &Query { form: Form::Json, ..plain.clone() });
        check("/stats;up;no-maint", &Query { up: true, no_maint: true, ..plain.clone() });
        check("/stats?scope=web&x", &Query { scope: Some("web".into()), ..plain.clone() });
        check("/stats;scope=web;csv", &Query { form: Form::Csv, scope: Some("web".into()), ..plain.clone() });
        let long = "scope=aaaaaaaaaabbbbbbbbbbcc";
        let cut = Some("aaaaaaaaaabbbbbbbbbb".to_owned());
        check(&format!("/stats?{long}"), &Query { scope: cut, ..plain.clone() });
        check("/stats?scope=", &plain);
        check("/stats;st=DONE", &Query { outcome: Some(Outcome::Done), ..plain.clone() });
        check("/stats;st=FOO", &Query { outcome: Some(Outcome::Unkn), ..plain.clone() });
        let row = Form::Row { at: (3, 2, 5), part: true };
        check("/stats;row=3.2.5;part", &Query { form: row, ..plain.clone() });
        check("/stats;row=3.2", &plain);
        check("/stats;proxy=3;page=2", &Query { proxy: Some(3), page: 2, ..plain.clone() });
        check("/sta", &plain);
    }
}
