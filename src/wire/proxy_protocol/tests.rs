use super::*;

fn check(bytes: &[u8], expected: Result<Parsed, Refused>) {
    assert_eq!(parse(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
}

fn header(src: &str, dst: &str, taken: usize) -> Result<Parsed, Refused> {
    let addresses = Some((src.parse().unwrap(), dst.parse().unwrap()));
    Ok(Parsed::Header(Header { addresses, tlvs: Vec::new() }, taken))
}

fn unknown(taken: usize) -> Result<Parsed, Refused> {
    Ok(Parsed::Header(Header::default(), taken))
}

#[test]
fn v1() {
    check(b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\nGET", header("1.2.3.4:1111", "5.6.7.8:2222", 38));
    check(b"PROXY TCP6 ::1 2001:db8::1 0 65535\r\n", header("[::1]:0", "[2001:db8::1]:65535", 36));
    check(b"PROXY UNKNOWN\r\n", unknown(15));
    check(b"PROXY UNKNOWN what ever 1\r\n", unknown(27));
    for part in [&b""[..], b"P", b"PROXY", b"PROXY ", b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r"] {
        check(part, Ok(Parsed::Need));
    }
    for bad in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\n",
        "PROXY TCP4 ::1 5.6.7.8 1111 2222\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1111 2222\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1111 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +111 2222\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 0111 2222\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222 3\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1111 2222\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1111 2222\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1111 2222\r\n",
        "PROXY \r\n",
    ] {
        check(bad.as_bytes(), Err(Refused::BadV1));
    }
    check(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 120], b"\r\n"].concat(), Err(Refused::BadV1));
    check(b"GET / HTTP/1.0\r\n", Err(Refused::NotProxy));
    check(b"PUT", Err(Refused::NotProxy));
    check(b"PROXX", Err(Refused::NotProxy));
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

const V4: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];

#[test]
fn v2_headers() {
    let whole = v2(0x21, 0x11, &V4);
    check(&whole, header("1.2.3.4:1111", "5.6.7.8:2222", 28));
    for cut in 0..whole.len() {
        check(&whole[..cut], Ok(Parsed::Need));
    }
    check(&v2(0x20, 0x11, &V4), unknown(28));
    check(&v2(0x20, 0x00, &[]), unknown(16));
    check(&v2(0x21, 0x00, &[]), unknown(16));
    check(&v2(0x21, 0x31, &[0; 216]), unknown(232));
    check(&v2(0x22, 0x11, &V4), Err(Refused::BadV2));
    check(&v2(0x11, 0x11, &V4), Err(Refused::BadV2));
    check(&v2(0x21, 0x11, &V4[..11]), Err(Refused::BadV2));
    check(&v2(0x21, 0x21, &[0; 35]), Err(Refused::BadV2));
    check(&v2(0x21, 0x11, &[0; 20000]), Err(Refused::TooLong));
    check(b"\r\n\r\n\0\r\nQUIX", Err(Refused::NotProxy));
    check(b"\r\nGET", Err(Refused::NotProxy));
}

#[test]
fn v2_tlvs_are_kept_and_bounded() {
    let with = |tlv: &[u8]| v2(0x21, 0x11, &[&V4[..], tlv].concat());
    let Ok(Parsed::Header(got, _)) = parse(&with(&[5, 0, 2, b'a', b'b', 4, 0, 1, 0, 2, 0, 0])) else {
        panic!("no header")
    };
    assert_eq!(got.tlvs, vec![(TLV_UNIQUE_ID, b"ab".to_vec()), (TLV_AUTHORITY, vec![])]);
    check(&with(&[5, 0, 3, 1, 2]), Err(Refused::BadTlv));
    check(&with(&[5, 0]), Err(Refused::BadTlv));
    check(&with(&[3, 0, 2, 1, 2]), Err(Refused::BadTlv));
    check(&with(&[3, 0, 4, 1, 2, 3, 4]), Err(Refused::BadChecksum));
}

#[test]
fn what_is_written_is_read() {
    let addresses = Some(("1.2.3.4:1111".parse().unwrap(), "5.6.7.8:2222".parse().unwrap()));
    let mixed = Some(("1.2.3.4:1".parse().unwrap(), "[::1]:2".parse().unwrap()));
    let mut out = Vec::new();
    write_v1(addresses, &mut out);
    assert_eq!(out, b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n");
    out.clear();
    write_v1(mixed, &mut out);
    assert_eq!(out, b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n");
    out.clear();
    write_v1(None, &mut out);
    assert_eq!(out, b"PROXY UNKNOWN\r\n");
    for crc in [false, true] {
        let mut out = b"before".to_vec();
        write_v2(false, addresses, &[(TLV_UNIQUE_ID, b"id")], crc, &mut out);
        let Ok(Parsed::Header(got, taken)) = parse(&out[6..]) else { panic!("not read back") };
        assert_eq!((got.addresses, taken), (addresses, out.len() - 6));
        assert_eq!(got.tlvs.len(), 1 + usize::from(crc));
    }
    let mut out = Vec::new();
    write_v2(true, addresses, &[], false, &mut out);
    check(&out, unknown(16));
}

#[test]
fn castagnoli() {
    // RFC 3720 B.4
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
