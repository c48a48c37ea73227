//! Durations and sizes as HAProxy writes them: `500us`, `10s`, `1d`; `64k`, `2m`.

use nom::character::complete::{alpha0, digit1};
use nom::{IResult, Parser};
use std::time::Duration;

/// The unit of a number that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Seconds,
}

/// HAProxy keeps times in a signed 32-bit count of milliseconds.
const MAX_MILLISECONDS: u128 = 2_147_483_647;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    Unexpected(char),
    Empty,
    Overflow,
    Underflow,
}

impl UnitError {
    /// HAProxy's sentence for a time `text` given to `keyword`.
    #[must_use]
    pub fn message(&self, text: &str, keyword: &str) -> String {
        match self {
            Self::Unexpected(c) => format!("unexpected character '{c}' in '{keyword}'"),
            Self::Empty => format!("'{keyword}' expects a time (in milliseconds unless a unit is given)"),
            Self::Overflow => format!(
                "timer overflow in argument '{text}' to '{keyword}' (maximum value is 2147483647 ms or ~24.8 days)"
            ),
            Self::Underflow => {
                format!(
                    "timer underflow in argument '{text}' to '{keyword}' (minimum non-null value is 1 ms)"
                )
            }
        }
    }
}

impl UnitError {
    /// What a time is made of, for one that has something else in it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = "a time is a whole number and one of us, ms, s, m, h, d, as in '500ms' or '5s'";
        matches!(self, Self::Unexpected(_)).then(|| text.to_owned())
    }
}

fn number_and_suffix(text: &str) -> IResult<&str, (&str, &str)> {
    (digit1, alpha0).parse(text)
}

/// # Errors
/// See [`UnitError`].
pub fn duration(text: &str, unit: Unit) -> Result<Duration, UnitError> {
    let (rest, (digits, suffix)) = number_and_suffix(text).map_err(|_| first_of(text))?;
    if let Some(c) = rest.chars().next() {
        return Err(UnitError::Unexpected(c));
    }
    let number: u128 = digits.parse().map_err(|_| UnitError::Overflow)?;
    let micros = match (suffix, unit) {
        ("us", _) => 1,
        ("ms", _) | ("", Unit::Milliseconds) => 1_000,
        ("s", _) | ("", Unit::Seconds) => 1_000_000,
        ("m", _) => 60_000_000,
        ("h", _) => 3_600_000_000,
        ("d", _) => 86_400_000_000,
        (other, _) => return Err(first_of(other)),
    };
    let micros = number.checked_mul(micros).ok_or(UnitError::Overflow)?;
    let millis = micros.div_ceil(1_000);
    if millis > MAX_MILLISECONDS {
        return Err(UnitError::Overflow);
    }
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| UnitError::Overflow)
}

/// A size in bytes with an optional `k`, `m` or `g`.
///
/// # Errors
/// See [`UnitError`].
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (rest, (digits, suffix)) = number_and_suffix(text).map_err(|_| first_of(text))?;
    if let Some(c) = rest.chars().next() {
        return Err(UnitError::Unexpected(c));
    }
    let shift = match suffix {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        other => return Err(first_of(other)),
    };
    let number: u64 = digits.parse().map_err(|_| UnitError::Overflow)?;
    number.checked_mul(1_u64 << shift).ok_or(UnitError::Overflow)
}

fn first_of(text: &str) -> UnitError {
    text.chars().next().map_or(UnitError::Empty, UnitError::Unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, unit: Unit, expected: Result<u64, UnitError>) {
        assert_eq!(duration(text, unit).map(|d| u64::try_from(d.as_millis()).unwrap()), expected, "{text}");
    }

    #[test]
    fn durations() {
        check("10", Unit::Milliseconds, Ok(10));
        check("10", Unit::Seconds, Ok(10_000));
        check("1500us", Unit::Milliseconds, Ok(2));
        check("10s", Unit::Milliseconds, Ok(10_000));
        check("1m", Unit::Seconds, Ok(60_000));
        check("2h", Unit::Milliseconds, Ok(7_200_000));
        check("1d", Unit::Milliseconds, Ok(86_400_000));
        check("3x", Unit::Milliseconds, Err(UnitError::Unexpected('x')));
        check("3s5", Unit::Milliseconds, Err(UnitError::Unexpected('5')));
        check("-3", Unit::Milliseconds, Err(UnitError::Unexpected('-')));
        check("", Unit::Milliseconds, Err(UnitError::Empty));
        check("30d", Unit::Milliseconds, Err(UnitError::Overflow));
        check(&"9".repeat(50), Unit::Seconds, Err(UnitError::Overflow));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64k"), Ok(65536));
        assert_eq!(size("1g"), Ok(1 << 30));
        assert_eq!(size("12"), Ok(12));
        assert_eq!(size("1x"), Err(UnitError::Unexpected('x')));
        assert_eq!(size("99999999999999999999"), Err(UnitError::Overflow));
    }
}
