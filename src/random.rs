//! Numbers for draws that nothing secret hangs on: jitter, `balance random`, the fetch `rand` outside of sessions.

/// Marsaglia's xorshift: the number that follows `x`. Never 0.
#[must_use]
pub fn xorshift32(x: u32) -> u32 {
    // 0 would be followed by 0 for ever.
    let mut x = x.max(1);
    x ^= x << 13;
    x ^= x >> 17;
    x ^ (x << 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_published() {
        // The first three of Marsaglia's example seed.
        let mut x = 2_463_534_242;
        let got = [(); 3].map(|()| {
            x = xorshift32(x);
            x
        });
        assert_eq!(got, [723_471_715, 2_497_366_906, 2_064_144_800]);
        assert_eq!(xorshift32(0), xorshift32(1));
    }
}
