//! PROXY protocol headers: no bytes panic; what is accepted and written again is read as the same addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::wire::proxy_protocol::{Parsed, parse, write_v1, write_v2};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed::Header(header, len)) = parse(bytes) else { return };
    assert!(len <= bytes.len());
    let Some((src, dst)) = header.addresses else { return };
    let mut v1 = Vec::new();
    write_v1(Some((src, dst)), &mut v1);
    let mut v2 = Vec::new();
    write_v2(false, Some((src, dst)), &[], true, &mut v2);
    for written in [v1, v2] {
        match parse(&written) {
            Ok(Parsed::Header(again, len)) => {
                assert_eq!(len, written.len());
                assert_eq!(again.addresses.map(|(s, d)| (s.ip(), s.port(), d.ip(), d.port())), Some((src.ip(), src.port(), dst.ip(), dst.port())));
            }
            _ => panic!("we wrote what we refuse"),
        }
    }
});
