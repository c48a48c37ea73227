//! JSON as HAProxy writes it: an object for every value, and the schema that describes them.

use super::dump::positions;
use super::snapshot::Subject;
use super::value::{self, Tags, Value};
use std::io::Write as _;

/// One row of `show stat json`.
pub(super) fn row(subject: &Subject<'_>, modules: bool, out: &mut Vec<u8>) {
    let kind = subject.kind();
    out.push(b'[');
    let mut first = true;
    for (position, column) in positions(modules) {
        let Some(value) = column.value(subject) else { continue };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        // Writing to memory does not fail.
        let _written = write!(
            out,
            "{{\"objType\":\"{}\",\"proxyId\":{},\"id\":{},",
            kind.name(),
            subject.proxy.conf.id,
            subject.sid()
        );
        field(position, column.name, column.tags(kind), &value, out);
        out.push(b'}');
    }
    out.push(b']');
}

/// What an object of `show stat json` and one of `show info json` have in common.
pub(super) fn field(position: usize, name: &str, tags: Tags, value: &Value<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _written = write!(
        out,
        "\"field\":{{\"pos\":{position},\"name\":\"{name}\"}},\"processNum\":1,\
         \"tags\":{{\"origin\":\"{}\",\"nature\":\"{}\",\"scope\":\"{}\"}},\
         \"value\":{{\"type\":\"{}\",\"value\":",
        tags.origin(),
        tags.nature(),
        tags.scope(),
        value.type_name(),
    );
    match value {
        Value::Text(text) => string(text, out),
        value => value.write(out),
    }
    out.push(b'}');
}

/// A string with its quotes (RFC 8259, section 7).
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push(b'\\');
                out.push(c as u8);
            }
            c if c < ' ' => {
                let _written = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// `show schema json`: what the two forms above look like (JSON Schema, draft 4).
#[must_use]
pub fn schema() -> Vec<u8> {
    let tags = format!(
        "\"origin\":{},\"nature\":{},\"scope\":{}",
        words(value::ORIGINS),
        words(value::NATURES),
        words(value::SCOPES)
    );
    let item = r##""field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}"##;
    let required = r#""field","processNum","tags","value""#;
    let info =
        format!(r#"{{"title":"InfoItem","type":"object","properties":{{{item}}},"required":[{required}]}}"#);
    let stat = format!(
        r#"{{"title":"StatItem","type":"object","properties":{{"objType":{{"enum":["Frontend","Backend","Listener","Server"]}},"proxyId":{{"type":"integer","minimum":0}},"id":{{"type":"integer","minimum":0}},{item}}},"required":["objType","proxyId","id",{required}]}}"#
    );
    let numbers = [
        ("s32", "-2147483648", "2147483647"),
        ("u32", "0", "4294967295"),
        ("u64", "0", "18446744073709551615"),
    ];
    let mut values: Vec<String> = numbers
        .iter()
        .map(|(name, least, most)| {
            let range = format!(r#""type":"integer","minimum":{least},"maximum":{most}"#);
            value_schema(name, &range)
        })
        .collect();
    values.push(value_schema("flt", r#""type":"number""#));
    values.push(value_schema("str", r#""type":"string""#));
    format!(
        r##"{{"$schema":"http://json-schema.org/draft-04/schema#","oneOf":[{{"title":"Info","type":"array","items":{info}}},{{"title":"Stat","type":"array","items":{{"type":"array","items":{stat}}}}},{{"title":"Error","type":"object","properties":{{"errorStr":{{"type":"string"}}}},"required":["errorStr"]}}],"definitions":{{"field":{{"type":"object","properties":{{"pos":{{"type":"integer","minimum":0}},"name":{{"type":"string"}}}},"required":["pos","name"]}},"processNum":{{"type":"integer","minimum":1}},"tags":{{"type":"object","properties":{{{tags}}},"required":["origin","nature","scope"]}},"typedValue":{{"type":"object","oneOf":[{}]}}}}}}
"##,
        values.join(",")
    )
    .into_bytes()
}

fn words(table: &[(u8, &str)]) -> String {
    let words: Vec<String> = table.iter().map(|(_, word)| format!("\"{word}\"")).collect();
    format!(r#"{{"type":"string","enum":[{}]}}"#, words.join(","))
}

fn value_schema(name: &str, value: &str) -> String {
    format!(
        r#"{{"properties":{{"type":{{"type":"string","enum":["{name}"]}},"value":{{{value}}}}},"required":["type","value"]}}"#
    )
}
