//! Listening sockets on their way out, which lose nobody: no newcomer finds them any more, while who has begun to connect
//! gets through and waits to be accepted. A socket that is closed resets both.

use crate::net::raw;
use socket2::{SockFilter, Socket};
use std::io;

/// All sockets that share their address with `sockets` must be among them, or be bound to it in another way (to another
/// interface, to IPv6 alone): those are found instead from now on. Without any, clients are refused.
pub fn hide(sockets: &[&Socket]) {
    // The kernel finds one of those that share an address, and asks then which of them it is to be, hidden ones included:
    // so each has to stand for itself until all are hidden.
    for socket in sockets {
        let _ = socket.set_reuse_port(false);
    }
    for socket in sockets {
        // One that has an interface keeps it without CAP_NET_RAW.
        let _ = raw::bind_to_no_interface(*socket).or_else(|_| ignore_newcomers(socket));
    }
    for socket in sockets {
        let _ = socket.set_reuse_port(true);
        // Who has not said a word yet waits as well.
        let _ = raw::set_defer_accept(*socket, 0);
    }
}

/// Who asks for a connection is not heard and asks again, in a second for the first time: by then of another socket.
fn ignore_newcomers(socket: &Socket) -> io::Result<()> {
    const LOAD_FLAGS: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const MASK: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const IS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // A filter of a TCP socket sees the packet from the TCP header on.
    socket.attach_filter(&[
        SockFilter::new(LOAD_FLAGS, 0, 0, 13),
        SockFilter::new(MASK, 0, 0, SYN | ACK),
        SockFilter::new(IS, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};
    use std::io::{Read, Write};
    use std::net::{Ipv6Addr, SocketAddr, TcpStream};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Two sockets of one address; `only_v6` tells them from others of it.
    fn pair(port: u16, only_v6: bool) -> (Vec<Socket>, SocketAddr) {
        let mut at = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let open = || {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.set_only_v6(only_v6).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.listen(64).unwrap();
            at = socket.local_addr().unwrap().as_socket().unwrap();
            socket
        };
        let all = std::iter::repeat_with(open).take(2).collect();
        (all, SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())))
    }

    fn accepted(sockets: &[Socket]) -> usize {
        let mut count = 0;
        for socket in sockets {
            socket.set_nonblocking(true).unwrap();
            while let Ok((client, _)) = socket.accept() {
                let mut client: TcpStream = client.into();
                client.set_nonblocking(false).unwrap();
                client.write_all(b"x").unwrap();
                count += 1;
            }
        }
        count
    }

    fn answered(mut client: &TcpStream) -> bool {
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.read_exact(&mut [0]).is_ok()
    }

    fn check(hide: impl Fn(&[&Socket])) {
        let (old, at) = pair(0, false);
        let before: Vec<_> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
        let (new, _) = pair(at.port(), true);
        hide(&old.iter().collect::<Vec<_>>());
        let after = std::thread::spawn(move || {
            (0..20).map(|_| TcpStream::connect_timeout(&at, LIMIT).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(accepted(&old), 20);
        assert!(before.iter().all(answered));
        // Who is not heard comes again.
        drop(old);
        let after = after.join().unwrap();
        assert_eq!(accepted(&new), 20);
        assert!(after.iter().all(answered));
    }

    #[test]
    fn nobody_is_lost() {
        check(hide);
    }

    #[test]
    fn nobody_is_lost_where_an_interface_stays() {
        check(|sockets| sockets.iter().for_each(|s| ignore_newcomers(s).unwrap()));
    }

    #[test]
    fn newcomers_are_refused() {
        let (old, at) = pair(0, false);
        hide(&old.iter().collect::<Vec<_>>());
        let refused = TcpStream::connect_timeout(&at, LIMIT).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
