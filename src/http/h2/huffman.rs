//! The Huffman code of HPACK (RFC 7541 5.2 and appendix B).

/// What `bytes` stand for, behind what is in `out`. `None`: they are not what the code allows.
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes.iter();
    // The bits that come next, the first one highest.
    let (mut window, mut have) = (0_u64, 0);
    loop {
        while have <= 48
            && let Some(byte) = rest.next()
        {
            window |= u64::from(*byte) << (56 - have);
            have += 8;
        }
        let [first, ..] = window.to_be_bytes();
        let (bits, symbol) = match SHORT.get(usize::from(first)) {
            Some((0, _)) | None => long(u32::try_from(window >> 32).unwrap_or(u32::MAX)),
            Some((bits, symbol)) => (*bits, Some(*symbol)),
        };
        if u32::from(bits) > have {
            // Padding is the beginning of the code for the end, and shorter than a byte.
            let is_padding = have < 8 && (have == 0 || window >> (64 - have) == (1 << have) - 1);
            return is_padding.then_some(());
        }
        out.push(symbol?);
        window <<= bits;
        have -= u32::from(bits);
    }
}

/// The code is canonical: those of one length follow each other, so that a length and where it ends tell a symbol.
struct Lengths {
    bits: u8,
    /// How many symbols have shorter codes.
    shorter: usize,
    /// The last code of this length, with ones behind it.
    last: u32,
}

const fn row(bits: u8, shorter: usize, last: u32) -> Lengths {
    Lengths { bits, shorter, last }
}

const LENGTHS: [Lengths; 21] = [
    row(5, 0, 0x4fff_ffff),
    row(6, 10, 0xb7ff_ffff),
    row(7, 36, 0xf7ff_ffff),
    row(8, 68, 0xfdff_ffff),
    row(10, 74, 0xff3f_ffff),
    row(11, 79, 0xff9f_ffff),
    row(12, 82, 0xffbf_ffff),
    row(13, 84, 0xffef_ffff),
    row(14, 90, 0xfff7_ffff),
    row(15, 92, 0xfffd_ffff),
    row(19, 95, 0xfffe_5fff),
    row(20, 98, 0xfffe_dfff),
    row(21, 106, 0xffff_47ff),
    row(22, 119, 0xffff_afff),
    row(23, 145, 0xffff_e9ff),
    row(24, 174, 0xffff_f5ff),
    row(25, 186, 0xffff_f7ff),
    row(26, 190, 0xffff_fbbf),
    row(27, 205, 0xffff_fe1f),
    row(28, 224, 0xffff_ffef),
    row(30, 253, 0xffff_ffff),
];

/// The symbols by their codes. The 257th is the end, which stands in no string.
const SYMBOLS: &[u8; 256] = b"012aceiost %-./3456789=A_bdfghlmnpru:BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz&*,;XZ!\"()?'+|#>\
\x00$@[]~^}<`{\\\xc3\xd0\x80\x82\x83\xa2\xb8\xc2\xe0\xe2\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6\
\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9\
\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef\
\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed\xc7\xcf\xea\xeb\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff\
\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\
\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9\x0a\x0d\x16";

/// Bits and symbol of each code of up to eight bits, by the byte that begins with it; none: the code is longer. Nearly
/// all that stands in a head has one of these.
const SHORT: [(u8, u8); 256] = {
    let mut table = [(0, 0); 256];
    let (mut byte, mut length, mut first) = (0, 0, 0);
    while length < 4 {
        let Lengths { bits, shorter, last } = LENGTHS[length];
        let last = (last >> 24) as usize;
        let begin = first;
        while byte <= last {
            table[byte] = (bits, SYMBOLS[shorter + ((byte - begin) >> (8 - bits))]);
            byte += 1;
        }
        first = byte;
        length += 1;
    }
    table
};

/// The same for one that is longer.
fn long(top: u32) -> (u8, Option<u8>) {
    let mut first = 0;
    for length in &LENGTHS {
        if top <= length.last {
            let place = length.shorter + ((top - first) >> (32 - length.bits)) as usize;
            return (length.bits, SYMBOLS.get(place).copied());
        }
        first = length.last.wrapping_add(1);
    }
    (u8::MAX, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hex: &str, expected: Option<&[u8]>) {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_default())
            .collect();
        let mut out = Vec::new();
        let decoded = decode(&bytes, &mut out).map(|()| out.as_slice());
        assert_eq!(decoded, expected, "{hex}");
    }

    /// RFC 7541 C.4 and C.6, and what PyPI's `hpack` makes of less usual characters.
    #[test]
    fn strings_are_read() {
        check("f1e3c2e5f23a6ba0ab90f4ff", Some(b"www.example.com"));
        check("a8eb10649cbf", Some(b"no-cache"));
        check("d07abe941054d444a8200595040b8166e082a62d1bff", Some(b"Mon, 21 Oct 2013 20:13:21 GMT"));
        check("b958d33f", Some(b":path"));
        check("607fe4707fff0fffdff5e7f9fffe3ffd", Some(b"/a?b=\\{#x\"\xc3~"));
        check("", Some(b""));
    }

    /// The end inside a string, padding of a whole byte, and padding that is none.
    #[test]
    fn what_the_code_does_not_allow_is_told() {
        for hex in ["ffffffff", "ff", "1fff", "18", "00ffffff"] {
            check(hex, None);
        }
    }

    #[test]
    fn every_symbol_is_there_once() {
        let mut symbols = *SYMBOLS;
        symbols.sort_unstable();
        assert!(symbols.iter().enumerate().all(|(at, symbol)| at == usize::from(*symbol)));
    }
}
