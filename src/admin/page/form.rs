//! The body of an action: `s=SERVER&s=SERVER&b=BACKEND&action=WORD`, in any order.

use super::query::Outcome;

/// What the form asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub servers: Vec<String>,
    /// A name, or `#ID`.
    pub backend: Option<String>,
    pub action: Option<String>,
    /// Proves that our page made the form.
    pub token: Option<String>,
    /// Our page without scripts: ask before acting.
    pub ask: bool,
}

/// Longest field, as HAProxy's.
const LONGEST: usize = 2048;

impl Form {
    /// Reads the body. Of several backends or actions the last counts. HAProxy reads from the end: what stands before a
    /// field it cannot decode is lost, and the last server comes first.
    ///
    /// # Errors
    /// What to answer to a body that cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, Outcome> {
        let mut form = Self::default();
        for field in body.rsplit(|b| *b == b'&') {
            if field.len() >= LONGEST {
                return Err(Outcome::Errp);
            }
            let at = memchr::memchr(b'=', field).unwrap_or(field.len());
            let (name, value) = (field.get(..at), field.get(at + 1..));
            let (Some(name), Some(value)) =
                (decode(name.unwrap_or_default()), decode(value.unwrap_or_default()))
            else {
                break;
            };
            match name.as_str() {
                "s" => form.servers.push(value),
                "b" if form.backend.is_none() => form.backend = Some(value),
                "action" if form.action.is_none() => form.action = Some(value),
                "token" if form.token.is_none() => form.token = Some(value),
                "ask" => form.ask = true,
                _ => {}
            }
        }
        Ok(form)
    }
}

/// `+` and `%XX`; `None` for what is not encoded well.
fn decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(*bytes.next()?).to_digit(16)?;
                let low = char::from(*bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b => *b,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_free_and_the_last_counts() {
        let form = Form::parse(b"action=drain&s=a&b=x&s=b%2Bc&s=d+e&b=%231&action=ready").unwrap();
        assert_eq!(form.servers, ["d e", "b+c", "a"]);
        assert_eq!(form.backend.as_deref(), Some("#1"));
        assert_eq!(form.action.as_deref(), Some("ready"));
        assert_eq!(Form::parse(b"").unwrap(), Form::default());
        assert_eq!(Form::parse(b"s=a&s=%zz&s&=&&").unwrap().servers, [""]);
        assert_eq!(Form::parse(&[b'a'; 3000]), Err(Outcome::Errp));
    }
}
