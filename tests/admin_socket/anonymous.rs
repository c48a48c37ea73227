//! `set anon`: dumps that hide names and addresses.

use crate::harness::client::Client;
use crate::harness::console::ask;
use crate::harness::process::Program;
use crate::harness::{bind_soon, own_address};
use crate::rig::{LIMIT, PORT, Rig};
use std::net::TcpListener;
use std::time::Instant;

const SECTIONS: &str = "frontend shop-front\n    bind ADDR:8080\n    default_backend shop-back\n\
    backend shop-back\n    server till ADDR:9001\n";

#[test]
fn dumps_hide_names_and_addresses() {
    let address = own_address();
    let rig = Rig::start(Program::Weir, "    anonkey 7\n", SECTIONS, address);
    // A server that says nothing: the session is there as long as the client is.
    let _silent = bind_soon(|| TcpListener::bind((address, 9001)));
    let mut client = Client::connect((address, PORT).into());
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let begun = Instant::now();
    while !rig.ask("show sess").contains("srv=till") {
        assert!(begun.elapsed() < LIMIT, "the session does not get to its server");
    }
    let secrets = ["shop-front", "shop-back", "till", "127."];
    for dump in ["show servers state", "show servers conn", "show sess", "show sess all"] {
        let open = rig.ask(dump);
        assert!(open.contains("shop-"), "{dump}: {open}");
        let hidden = rig.ask(&format!("set anon on; {dump}"));
        assert!(secrets.iter().all(|s| !hidden.contains(s)), "{dump}: {hidden}");
        assert!(hidden.contains("IPV4("), "{dump}: {hidden}");
        assert_eq!(hidden.lines().count(), open.lines().count() + 1, "{dump}: {hidden}");
        let again = rig.ask(&format!("set anon on; set anon off; {dump}"));
        assert!(again.contains("shop-"), "{dump}: {again}");
    }
    // The same name has the same stand-in in every dump, as long as the key is the same.
    let stand_in = |command: &str, line: usize, word: usize| {
        let text = rig.ask(command);
        text.lines().nth(line).and_then(|l| l.split([' ', '/']).nth(word)).unwrap_or_default().to_owned()
    };
    let name = stand_in("set anon on; show servers state", 3, 1);
    assert_eq!(name.len(), 6, "{name}");
    assert_eq!(stand_in("set anon on 7; show servers conn", 2, 0), name);
    assert_ne!(stand_in("set anon on 8; show servers conn", 2, 0), name);
}

#[test]
fn keys_are_checked_and_shown_to_operators() {
    let rig = Rig::weir("", SECTIONS);
    let user = |line: &str| ask(&rig.socket("user"), line);
    assert_eq!(rig.ask("show anon"), "Anonymized mode disabled\n\n");
    assert_eq!(rig.ask("set anon on 12; show anon"), "\nAnonymized mode enabled\nKey : 12\n\n");
    assert_eq!(user("set anon on 12; show anon"), "\nAnonymized mode enabled\n\n");
    assert_eq!(user("set anon global-key 5"), "Permission denied\n\n");
    assert_eq!(rig.ask("set anon global-key 5"), "\n");
    assert_eq!(rig.ask("set anon on; show anon"), "\nAnonymized mode enabled\nKey : 5\n\n");
    assert_eq!(rig.ask("set anon global-key 0"), "\n");
    let random = |text: String| text.split("Key : ").nth(1).map(str::to_owned);
    let (first, second) =
        (random(rig.ask("set anon on; show anon")), random(rig.ask("set anon on; show anon")));
    assert!(first.is_some() && first != second, "{first:?} {second:?}");
    for wrong in ["0", "-1", "4294967296", "x"] {
        let said = rig.ask(&format!("set anon on {wrong}"));
        assert_eq!(said, "Value out of range (1 to 4294967295 expected).\n\n", "{wrong}");
    }
    assert_eq!(rig.ask("set anon off 1"), "Key can't be added while disabling anonymized mode\n\n");
    assert!(rig.ask("set anon maybe").starts_with("'set anon' only supports :\n"));
}
