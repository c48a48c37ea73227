//! What directors tell each other: no panic, and what is accepted survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::l4::sync::{decode, encode, read};

fuzz_target!(|bytes: &[u8]| {
    let _ = decode(bytes, b"key");
    if let Some((told, stamp)) = read(bytes) {
        let again = encode(&told, stamp, b"key");
        if again.len() == bytes.len() + 16 {
            assert_eq!(decode(&again, b"key"), Some((told, stamp)));
        }
    }
});
