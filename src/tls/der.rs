//! DER, as far as it has to be read by hand: tags, lengths, contents.

/// The first element: its tag, what stands in it, and what follows it.
#[must_use]
pub fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

/// The first element, which must have this tag: what stands in it, and what follows it.
#[must_use]
pub fn tagged(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == wanted).map(|(_, contents, rest)| (contents, rest))
}

/// Appends an element with less than 128 bytes in it; a longer one is left out.
pub fn push(tag: u8, contents: &[u8], out: &mut Vec<u8>) {
    if let Some(length) = u8::try_from(contents.len()).ok().filter(|n| *n < 0x80) {
        out.extend_from_slice(&[tag, length]);
        out.extend_from_slice(contents);
    }
}

#[cfg(test)]
mod tests {
    use super::element;

    #[test]
    fn lengths() {
        assert_eq!(element(&[0x30, 2, 7, 8, 9]), Some((0x30, &[7, 8][..], &[9][..])));
        assert_eq!(element(&[0x30, 0x81, 1, 7]), Some((0x30, &[7][..], &[][..])));
        assert_eq!(element(&[0x30, 0x82, 0, 1, 7]), Some((0x30, &[7][..], &[][..])));
        for bad in [&[][..], &[0x30], &[0x30, 2, 7], &[0x30, 0x80], &[0x30, 0x85, 0, 0, 0, 0, 0]] {
            assert_eq!(element(bad), None);
        }
    }
}
