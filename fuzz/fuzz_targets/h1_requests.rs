//! HTTP/1 requests: no bytes panic; a head that is accepted, written and read again is framed as before, so that the
//! server cannot see another message than we did; chunks come out the same however they arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::h1::chunked::{Decoder, Emit};
use weir::http::h1::{BodyLength, Limits, Parsed, parse_request, write};
use weir::message::Head;

fuzz_target!(|bytes: &[u8]| {
    for relaxed in [false, true] {
        let limits = Limits { head: 15360, fields: 101, relaxed };
        let mut head = Head::new();
        let Parsed::Complete { len, framing } = parse_request(bytes, &limits, &mut head) else { continue };
        assert!(len <= bytes.len());
        forwarded_means_the_same(&head, framing.length);
        if framing.length == BodyLength::Chunked {
            chunks(&bytes[len..]);
        }
    }
});

fn forwarded_means_the_same(head: &Head, body: BodyLength) {
    let mut sent = Vec::new();
    write::request(head, write::Persistence::KeepAlive, None, &mut sent);
    let limits = Limits { head: 1 << 20, fields: 200, relaxed: true };
    let mut again = Head::new();
    match parse_request(&sent, &limits, &mut again) {
        Parsed::Complete { len, framing } => {
            assert_eq!(len, sent.len(), "what follows the head would be read as another message");
            assert_eq!(framing.length, body);
            assert_eq!(again.method_bytes(), head.method_bytes());
            // An authority is normalised (its default port goes), the path never.
            if head.target().first() == Some(&b'/') {
                assert_eq!(again.target(), head.target());
            }
        }
        other => panic!("we sent what we refuse: {other:?}\n{}", String::from_utf8_lossy(&sent)),
    }
}

/// A body in one piece and byte by byte.
fn chunks(body: &[u8]) {
    for emit in [Emit::Framed, Emit::Payload] {
        let mut whole = body.to_vec();
        let mut decoder = Decoder::default();
        let at_once = decoder.scan(&mut whole, emit, 1024);
        let mut split = Decoder::default();
        let mut out = Vec::new();
        let mut consumed = 0;
        let mut failed = None;
        for &byte in body {
            if split.is_done() {
                break;
            }
            let mut piece = [byte];
            match split.scan(&mut piece, emit, 1024) {
                Ok(scan) => {
                    out.extend_from_slice(&piece[..scan.emitted]);
                    consumed += scan.consumed;
                }
                Err(fault) => {
                    failed = Some(fault);
                    break;
                }
            }
        }
        match at_once {
            Ok(scan) => {
                assert_eq!(failed, None);
                assert_eq!(scan.consumed, consumed);
                assert_eq!(&whole[..scan.emitted], &out[..]);
                assert_eq!(scan.done, split.is_done());
                assert_eq!(decoder.payload(), split.payload());
            }
            Err(fault) => assert_eq!(failed, Some(fault)),
        }
    }
}
