use super::Head;

fn written(head: &Head) -> String {
    let mut out = Vec::new();
    head.write_fields(&mut out);
    String::from_utf8(out).unwrap()
}

fn loaded() -> Head {
    let raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-One:  1 \r\nX-Two: 2\r\n\r\n";
    let mut head = Head::new();
    head.load(raw);
    for (name, value) in [((16, 4), (22, 1)), ((25, 5), (33, 1)), ((37, 5), (44, 1))] {
        let (name, value) = (head.piece(name.0, name.1), head.piece(value.0, value.1));
        head.field(name, value);
    }
    head
}

#[test]
fn lines_that_are_not_canonical_are_rewritten_and_order_is_kept() {
    let mut head = loaded();
    head.add(b"X-Three", b"3");
    assert_eq!(written(&head), "host: a\r\nx-one: 1\r\nx-two: 2\r\nx-three: 3\r\n");
    head.replace_value(0, b"bb");
    assert_eq!(head.remove(b"x-two"), 1);
    assert_eq!(written(&head), "host: bb\r\nx-one: 1\r\nx-three: 3\r\n");
}

#[test]
fn a_piece_outside_the_buffer_is_empty() {
    let head = loaded();
    assert_eq!(head.bytes(head.piece(1000, 5)), b"");
    assert_eq!(head.bytes(head.piece(usize::MAX, 5)), b"");
}
