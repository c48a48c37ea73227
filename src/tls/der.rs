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

/// Appends an element; its length in as few bytes as it takes.
pub fn push(tag: u8, contents: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = contents.len().to_be_bytes();
            let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            let bytes = bytes.get(from..).unwrap_or_default();
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(contents);
}

#[cfg(test)]
mod tests {
    use super::{element, push};

    #[test]
    fn lengths() {
        assert_eq!(element(&[0x30, 2, 7, 8, 9]), Some((0x30, &[7, 8][..], &[9][..])));
        assert_eq!(element(&[0x30, 0x81, 1, 7]), Some((0x30, &[7][..], &[][..])));
        assert_eq!(element(&[0x30, 0x82, 0, 1, 7]), Some((0x30, &[7][..], &[][..])));
        for bad in [&[][..], &[0x30], &[0x30, 2, 7], &[0x30, 0x80], &[0x30, 0x85, 0, 0, 0, 0, 0]] {
            assert_eq!(element(bad), None);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 70_000] {
            let (contents, mut out) = (vec![7; length], Vec::new());
            push(4, &contents, &mut out);
            assert_eq!(element(&out), Some((4, &contents[..], &[][..])));
        }
    }
}
