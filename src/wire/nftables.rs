//! The few messages of nftables' netlink protocol (`linux/netfilter/nf_tables.h`) that a table with one chain of input and
//! its rules takes: what is addressed to these addresses is dropped. Pure: bytes out, and the kernel's answers read.

use std::net::IpAddr;

const NEW_TABLE: u16 = 0x0a00;
const NEW_CHAIN: u16 = 0x0a03;
const NEW_RULE: u16 = 0x0a06;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const ERROR: u16 = 2;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// NFPROTO_INET: both families.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// NFNL_SUBSYS_NFTABLES, in a batch's frame.
const SUBSYSTEM: u16 = 10;
/// The table goes with the socket that made it, however the process ends (Linux 5.12).
const OWNER: u32 = 2;
const LOCAL_IN: u32 = 1;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const NESTED: u16 = 1 << 15;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const META_L4PROTO: u32 = 16;
const META_NFPROTO: u32 = 15;
const ICMPV6: u8 = 58;
/// Neighbour solicitations and advertisements: the address must be found all the same (RFC 9568 section 6.4.3).
const NEIGHBOUR: [u8; 2] = [135, 136];

/// The kernel answers a message once each, but for the batch's frame.
#[must_use]
pub fn drop_input(table: &str, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    let name = [table.as_bytes(), &[0]].concat();
    let hook = [attribute(1, &LOCAL_IN.to_be_bytes()), attribute(2, &0u32.to_be_bytes())].concat();
    let chain = [
        attribute(1, &name),
        attribute(3, b"input\0"),
        attribute(4 | NESTED, &hook),
        attribute(7, b"filter\0"),
    ]
    .concat();
    let mut messages = vec![
        message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[]),
        message(
            NEW_TABLE,
            REQUEST | ACK | CREATE,
            INET,
            0,
            &[attribute(1, &name), attribute(2, &OWNER.to_be_bytes())].concat(),
        ),
        message(NEW_CHAIN, REQUEST | ACK | CREATE, INET, 0, &chain),
    ];
    if addresses.iter().any(IpAddr::is_ipv6) {
        for kind in NEIGHBOUR {
            messages.push(rule(
                &name,
                &[
                    meta(META_L4PROTO),
                    equals(&[ICMPV6]),
                    load(TRANSPORT_HEADER, 0, 1),
                    equals(&[kind]),
                    verdict(ACCEPT),
                ],
            ));
        }
    }
    for address in addresses {
        let (family, offset, bytes) = match address {
            IpAddr::V4(four) => (IPV4, 16, four.octets().to_vec()),
            IpAddr::V6(six) => (IPV6, 24, six.octets().to_vec()),
        };
        let destination = load(NETWORK_HEADER, offset, u32::try_from(bytes.len()).unwrap_or(0));
        messages.push(rule(
            &name,
            &[meta(META_NFPROTO), equals(&[family]), destination, equals(&bytes), verdict(DROP)],
        ));
    }
    messages.push(message(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]));
    for (number, message) in (0u32..).zip(&mut messages) {
        message[8..12].copy_from_slice(&number.to_ne_bytes());
    }
    messages
}

/// The error numbers of the answers in one datagram of the kernel's; 0 is none.
#[must_use]
pub fn answers(mut bytes: &[u8]) -> Vec<i32> {
    let mut all = Vec::new();
    while let Some(header) = bytes.first_chunk::<20>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if u16::from_ne_bytes([header[4], header[5]]) == ERROR {
            all.push(-i32::from_ne_bytes([header[16], header[17], header[18], header[19]]));
        }
        let Some(rest) = bytes.get(length.next_multiple_of(4).max(20)..) else { break };
        bytes = rest;
    }
    all
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        // Sequence number and port.
        &[0; 8],
        &[family, 0],
        &resource.to_be_bytes(),
        attributes,
    ]
    .concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn rule(table: &[u8], expressions: &[Vec<u8>]) -> Vec<u8> {
    let all = [attribute(1, table), attribute(2, b"input\0"), attribute(4 | NESTED, &expressions.concat())];
    message(NEW_RULE, REQUEST | ACK | CREATE | APPEND, INET, 0, &all.concat())
}

fn expression(name: &[u8], data: &[Vec<u8>]) -> Vec<u8> {
    let inside = [attribute(1, name), attribute(2 | NESTED, &data.concat())].concat();
    attribute(1 | NESTED, &inside)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// Into register 1.
fn meta(key: u32) -> Vec<u8> {
    expression(b"meta\0", &[number(2, key), number(1, 1)])
}

/// Into register 1: bytes of a header.
fn load(header: u32, offset: u32, length: u32) -> Vec<u8> {
    expression(b"payload\0", &[number(1, 1), number(2, header), number(3, offset), number(4, length)])
}

/// Register 1 is this, or the rule ends here.
fn equals(value: &[u8]) -> Vec<u8> {
    expression(b"cmp\0", &[number(1, 1), number(2, 0), attribute(3 | NESTED, &attribute(1, value))])
}

fn verdict(code: u32) -> Vec<u8> {
    let code = attribute(2 | NESTED, &number(1, code));
    expression(b"immediate\0", &[number(1, 0), attribute(2 | NESTED, &code)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let all = drop_input("t", &["10.0.0.9".parse().unwrap(), "2001:db8::9".parse().unwrap()]);
        assert_eq!(all.len(), 8, "a frame of two, table, chain, two for neighbours, two to drop");
        for (number, message) in (0u32..).zip(&all) {
            assert_eq!(message.len() % 4, 0);
            assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_ne_bytes());
            assert_eq!(message[8..12], number.to_ne_bytes());
        }
    }

    #[test]
    fn what_the_kernel_says() {
        let answer = |code: i32| {
            [&36u32.to_ne_bytes()[..], &ERROR.to_ne_bytes(), &[0; 10], &code.to_ne_bytes(), &[0; 16]].concat()
        };
        assert_eq!(answers(&[answer(0), answer(-17)].concat()), [0, 17]);
        assert_eq!(answers(&answer(0)[..19]), [] as [i32; 0]);
        assert_eq!(answers(&[0; 64]), [] as [i32; 0], "a length of 0 ends");
    }
}
