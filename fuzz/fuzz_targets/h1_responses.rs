//! HTTP/1 responses: no bytes panic, and a head that is accepted is framed the same after it was written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::h1::{Limits, Parsed, parse_response, write};
use weir::message::{Head, Method, Version};

fuzz_target!(|bytes: &[u8]| {
    for (relaxed, method) in [(false, Method::Get), (true, Method::Get), (false, Method::Head), (false, Method::Connect)] {
        let limits = Limits { head: 15360, fields: 101, relaxed };
        let mut head = Head::new();
        let Parsed::Complete { len, framing } = parse_response(bytes, &limits, method, &mut head) else { continue };
        assert!(len <= bytes.len());
        if head.status() < 200 {
            continue;
        }
        let mut sent = Vec::new();
        write::response(&head, Version::HTTP_11, write::Persistence::KeepAlive, None, &mut sent);
        let limits = Limits { head: 1 << 20, fields: 200, relaxed: true };
        let mut again = Head::new();
        match parse_response(&sent, &limits, method, &mut again) {
            Parsed::Complete { len, framing: second } => {
                assert_eq!(len, sent.len(), "what follows the head would be read as another message");
                assert_eq!(second.length, framing.length);
                assert_eq!(again.status(), head.status());
            }
            other => panic!("we sent what we refuse: {other:?}\n{}", String::from_utf8_lossy(&sent)),
        }
    }
});
