//! The dates in a cookie with `maxidle` or `maxlife`: units of four seconds since the epoch in five base64 digits.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Seconds, rounded up to the next unit.
#[must_use]
pub fn encode(seconds: u64) -> [u8; 5] {
    encode_units((seconds + 3) >> 2)
}

/// A date that came with a cookie, as it was.
#[must_use]
pub fn encode_again(seconds: u64) -> [u8; 5] {
    encode_units(seconds >> 2)
}

fn encode_units(units: u64) -> [u8; 5] {
    [24, 18, 12, 6, 0].map(|shift| DIGITS[(units >> shift) as usize & 63])
}

/// Seconds. `None` when the text does not begin with five digits.
#[must_use]
pub fn decode(text: &[u8]) -> Option<u64> {
    text.get(..5)?
        .iter()
        .try_fold(0_u64, |sum, b| {
            let digit = DIGITS.iter().position(|d| d == b)?;
            Some(sum << 6 | digit as u64)
        })
        .map(|units| units << 2)
        .filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        // Emitted by haproxy 2.6 at that second.
        assert_eq!(&encode(1_795_238_236), b"awEpX");
        assert_eq!(decode(b"awEpX|x"), Some(1_795_238_236));
        assert_eq!(&encode_again(1_795_238_236), b"awEpX");
        assert_eq!(&encode(1_795_238_233), b"awEpX");
        assert_eq!(decode(b"zz"), None);
        assert_eq!(decode(b"~~~~~"), None);
    }
}
