//! DNS answers: no bytes panic; records that are counted are there; another id is another's answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::wire::dns::{Question, Reading, RecordType, read};
use weir::wire::icmp::{EchoReply, Family, without_ipv4_header};

/// The least a record takes: a name of one byte, type, class, time to live, length.
const RECORD: usize = 11;

fuzz_target!(|bytes: &[u8]| {
    let Some(question) = RecordType::parse("A").and_then(|kind| Question::new(kind, "www.example.com")) else { return };
    let id = bytes.get(..2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    if let Reading::Answer(answer) = read(bytes, id, &question) {
        assert!(usize::from(answer.records) * RECORD <= bytes.len());
    }
    assert!(bytes.len() < 2 || read(bytes, !id, &question) == Reading::Foreign);
    for family in [Family::V4, Family::V6] {
        if let Some(reply) = EchoReply::parse(family, bytes) {
            assert_eq!(reply.payload.len() + 8, bytes.len());
        }
    }
    assert!(without_ipv4_header(bytes).is_none_or(|rest| rest.len() + 20 <= bytes.len()));
});
