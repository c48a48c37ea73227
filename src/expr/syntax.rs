//! The grammar of `fetch(args),converter(args)…`: names and arguments cut out of one word, not yet looked up.
//!
//! Quotes inside parentheses are the argument parser's own (the configuration reader has already removed one level):
//! `'…'` is literal, `"…"` protects separators, a backslash protects one character.

use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::opt;
use nom::error::{Error, ErrorKind};
use nom::multi::{many0, separated_list1};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// `name(args)`: `args` is `None` without parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallText<'a> {
    pub name: &'a str,
    pub args: Option<Vec<Vec<u8>>>,
}

/// A fetch and its converters, and what follows them in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainText<'a> {
    pub fetch: CallText<'a>,
    pub converters: Vec<CallText<'a>>,
    pub rest: &'a str,
}

/// Cuts a chain off the front of `text`. What cannot belong to it stays in `rest`.
pub(crate) fn chain(text: &str) -> Result<ChainText<'_>, String> {
    let wrong = |_| {
        let name: String = text.chars().take_while(|c| is_name(*c)).collect();
        match text.get(name.len()..).filter(|r| r.starts_with('(')) {
            Some(rest) if !name.is_empty() => {
                format!("expected ')' before '{}'", rest.get(1..).unwrap_or_default())
            }
            _ if name.is_empty() => format!("missing fetch method in '{text}'"),
            _ => format!("malformed expression '{text}'"),
        }
    };
    let (rest, fetch) = call(text).map_err(wrong)?;
    let (rest, converters) = many0(preceded(char(','), call)).parse(rest).map_err(wrong)?;
    Ok(ChainText { fetch, converters, rest })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':')
}

fn call(input: &str) -> IResult<&str, CallText<'_>> {
    let (rest, name) = take_while1(is_name).parse(input)?;
    let (rest, args) =
        opt(delimited(char('('), separated_list1(char(','), argument), char(')'))).parse(rest)?;
    if args.is_none() && rest.starts_with('(') {
        return Err(nom::Err::Failure(Error::new(rest, ErrorKind::Char)));
    }
    // `f()` has no argument rather than one empty one.
    let args = args.map(|a: Vec<Vec<u8>>| if a.len() == 1 && a[0].is_empty() { Vec::new() } else { a });
    Ok((rest, CallText { name, args }))
}

fn argument(input: &str) -> IResult<&str, Vec<u8>> {
    let (rest, pieces) = many0(alt((single_quoted, double_quoted, escaped, plain))).parse(input)?;
    Ok((rest, pieces.concat()))
}

fn single_quoted(input: &str) -> IResult<&str, Vec<u8>> {
    let (rest, body) = delimited(char('\''), opt(take_while1(|c| c != '\'')), char('\'')).parse(input)?;
    Ok((rest, body.unwrap_or_default().as_bytes().to_vec()))
}

fn double_quoted(input: &str) -> IResult<&str, Vec<u8>> {
    let inside = take_while1(|c| c != '"' && c != '\\').map(|s: &str| s.as_bytes().to_vec());
    let (rest, pieces) = delimited(char('"'), many0(alt((escaped, inside))), char('"')).parse(input)?;
    Ok((rest, pieces.concat()))
}

fn escaped(input: &str) -> IResult<&str, Vec<u8>> {
    let (rest, _) = char('\\').parse(input)?;
    let Some(next) = rest.chars().next() else {
        return Ok((rest, b"\\".to_vec()));
    };
    let bytes = match next {
        'n' => b"\n".to_vec(),
        'r' => b"\r".to_vec(),
        't' => b"\t".to_vec(),
        '\\' | '\'' | '"' | ' ' => next.to_string().into_bytes(),
        other => format!("\\{other}").into_bytes(),
    };
    Ok((rest.get(next.len_utf8()..).unwrap_or_default(), bytes))
}

fn plain(input: &str) -> IResult<&str, Vec<u8>> {
    take_while1(|c| !matches!(c, ',' | ')' | '\'' | '"' | '\\'))
        .map(|s: &str| s.as_bytes().to_vec())
        .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Option<&[&str]>)], rest: &str) {
        let parsed = chain(text).unwrap();
        let mut got = vec![parsed.fetch];
        got.extend(parsed.converters);
        let got: Vec<(&str, Option<Vec<String>>)> = got
            .iter()
            .map(|c| {
                let texts =
                    |a: &Vec<Vec<u8>>| a.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect();
                (c.name, c.args.as_ref().map(texts))
            })
            .collect();
        let expected: Vec<(&str, Option<Vec<String>>)> = expected
            .iter()
            .map(|(n, a)| (*n, a.map(|a| a.iter().map(|t| (*t).to_owned()).collect())))
            .collect();
        assert_eq!(got, expected, "{text}");
        assert_eq!(parsed.rest, rest, "{text}");
    }

    #[test]
    fn cuts_chains() {
        check("src", &[("src", None)], "");
        check("path,lower", &[("path", None), ("lower", None)], "");
        check("hdr(host),lower]x", &[("hdr", Some(&["host"])), ("lower", None)], "]x");
        check("str('a,b)')", &[("str", Some(&["a,b)"]))], "");
        check(r#"str("a'b")"#, &[("str", Some(&["a'b"]))], "");
        check("word(1,',')", &[("word", Some(&["1", ","]))], "");
        check(r#"str("a\(b\x\\")"#, &[("str", Some(&[r"a\(b\x\"]))], "");
        check("date()", &[("date", Some(&[]))], "");
        check("concat(,sess.x,)", &[("concat", Some(&["", "sess.x", ""]))], "");
    }
}
