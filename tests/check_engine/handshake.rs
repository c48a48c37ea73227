//! A check that only connects resets the connection in place of the handshake's last step: the server's program never
//! hears of it.

use crate::harness::bind_soon;
use crate::rig::{FRONT, SERVER, compare_kept};
use std::net::TcpListener;

const SERVERS: usize = 20;

#[test]
fn connecting_checks_wake_nobody() {
    let servers: String = (1..=SERVERS).map(|i| format!(" server s{i} ADDR:{SERVER}\n")).collect();
    let check = |rules: &str, wakes: bool| {
        let config = format!(
            "global\n max-spread-checks 10\nlisten f\n bind ADDR:{FRONT}\n option log-health-checks\n{rules} default-server check inter 1h\n{servers}"
        );
        // Each server is checked once; in which order is not what is looked at.
        compare_kept(
            &config,
            |line| line.contains("f/s1 "),
            |address| bind_soon(|| TcpListener::bind((address, SERVER))),
            |run, listener| {
                run.wait_for_times("succeeded", SERVERS);
                listener.set_nonblocking(true).unwrap();
                let accepted = std::iter::from_fn(|| listener.accept().ok()).count();
                if wakes {
                    assert_eq!(accepted, SERVERS, "{:?} {rules}", run.program);
                } else {
                    // A machine under load may take so long over one that the kernel sends the acknowledgement.
                    assert!(accepted < SERVERS / 2, "{:?} {rules}: {accepted}", run.program);
                }
            },
        );
    };
    check("", false);
    check(" option tcp-check\n", false);
    check(" option tcp-check\n tcp-check connect\n tcp-check comment last\n", false);
    check(" option tcp-check\n tcp-check connect\n tcp-check send x\n", true);
}
