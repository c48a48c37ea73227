//! `dump stats-file` and `stats-file`: counters that outlive the process.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{PORT, Rig};

const SECTIONS: &str = "frontend f\n    guid f:1\n    option socket-stats\n    \
    bind ADDR:8080,ADDR:8081 guid-prefix door\n    default_backend b\n\
    backend b\n    guid b-1\n    server s ADDR:9001 guid srv.1\n    server t ADDR:9002 weight 0\n\
    backend unnamed\n    server s ADDR:9001\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn start(global: &str, address: Ipv4Addr) -> Rig {
    Rig::start(Program::Weir, global, SECTIONS, address)
}

fn fetch(address: Ipv4Addr) {
    let mut client = Client::connect((address, PORT).into());
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    client.rest();
}

/// The rows of `show stat` as (proxy, row) -> column -> value.
fn stat(rig: &Rig) -> HashMap<(String, String), HashMap<String, String>> {
    let text = rig.ask("show stat");
    let names: Vec<&str> = text.lines().next().unwrap().trim_start_matches("# ").split(',').collect();
    let row = |line: &str| {
        let cells: HashMap<String, String> =
            names.iter().zip(line.split(',')).map(|(n, v)| ((*n).to_owned(), v.to_owned())).collect();
        ((cells["pxname"].clone(), cells["svname"].clone()), cells)
    };
    text.lines().skip(1).filter(|l| !l.is_empty()).map(row).collect()
}

#[test]
fn counters_go_on_in_the_next_process() {
    let address = own_address();
    let _origin = Origin::start((address, 9001).into(), &[RESPONSE]);
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("stats");
    let first = start("", address);
    for _ in 0..3 {
        fetch(address);
    }
    let dump = first.ask("dump stats-file");
    let (fronts, backs) = dump.split_once("\n\n").expect("two sections");
    assert!(fronts.starts_with("#fe guid,stot,bin,bout,dreq,"), "{dump}");
    let names = |section: &str| -> Vec<String> {
        section.lines().skip(1).filter_map(|l| l.split(',').next().map(str::to_owned)).collect()
    };
    // What has no name is not kept.
    assert_eq!(names(fronts), ["f:1", "door-0", "door-1"]);
    assert!(backs.starts_with("#be guid,stot,"), "{dump}");
    assert_eq!(names(backs.trim_end()), ["srv.1", "b-1"]);
    let before = stat(&first);
    std::fs::write(&file, &dump).unwrap();
    drop(first);

    let second = start(&format!("    stats-file {}\n", file.display()), address);
    let after = stat(&second);
    let counts = [
        "stot", "bin", "bout", "hrsp_2xx", "req_tot", "conn_tot", "h1sess", "h1req", "connect", "lbtot",
        "reqbout", "resbin",
    ];
    for (proxy, row) in [("f", "FRONTEND"), ("f", "sock-1"), ("f", "sock-2"), ("b", "s"), ("b", "BACKEND")] {
        let key = (proxy.to_owned(), row.to_owned());
        for name in counts {
            // Rows without names begin at nothing; the one below has some.
            assert_eq!(after[&key][name], before[&key][name], "{proxy}/{row} {name}");
        }
        assert!(row == "sock-2" || after[&key]["stot"] == "3", "{proxy}/{row}");
    }
    // What was counted long ago is no rate of today, nor is it this process's.
    assert_eq!(after[&("f".to_owned(), "FRONTEND".to_owned())]["rate"], "0");
    let info = second.ask("show info");
    assert!(info.contains("\nMaxConnRate: 0\n") && info.contains("\nMaxSessRate: 0\n"), "{info}");
    fetch(address);
    let more = stat(&second);
    assert_eq!(more[&("b".to_owned(), "s".to_owned())]["stot"], "4");
    // The dump of the second goes on from the first's.
    assert!(second.ask("dump stats-file").contains("\nsrv.1,4,"));
    second.ask("clear counters all");
    assert!(second.ask("dump stats-file").contains("\nsrv.1,0,"));
}

/// Files come from other versions, and from people.
#[test]
fn strange_files_do_no_harm() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("stats");
    let text = "// said by hand\n#fe guid,unknown,stot,\nf:1,7,1024,\nf:1,7,abc\nnobody,1,2,\nb-1,1,2,\n\n\
        #other guid,x,\nb-1,5,\n\n#be guid,stot,\nb-1,512,\nsrv.1\n";
    std::fs::write(&file, text).unwrap();
    let rig = Rig::weir(&format!("    stats-file {}\n", file.display()), SECTIONS);
    let rows = stat(&rig);
    let stot = |proxy: &str, row: &str| rows[&(proxy.to_owned(), row.to_owned())]["stot"].clone();
    assert_eq!([stot("f", "FRONTEND"), stot("b", "BACKEND"), stot("b", "s")], ["1024", "512", "0"]);
    assert!(!rig.proxy.stderr().contains("stats"), "{}", rig.proxy.stderr());

    std::fs::write(&file, "f:1,7,\n").unwrap();
    let rig = Rig::weir(&format!("    stats-file {}\n", file.display()), SECTIONS);
    assert!(rig.proxy.stderr().contains("stats-file : line 1 is not read"), "{}", rig.proxy.stderr());

    let rig = Rig::weir(&format!("    stats-file {}/none\n", dir.path().display()), SECTIONS);
    assert!(rig.proxy.stderr().contains("Can't load stats file"), "{}", rig.proxy.stderr());
}

#[test]
fn a_servers_name_is_its_own() {
    let rig = Rig::weir("", SECTIONS);
    let taken = rig.ask("add server b/new 127.0.0.1:1 guid door-1");
    assert_eq!(taken, "'guid' : 'door-1' is the name of something else already.\n\n");
    assert_eq!(rig.ask("add server b/new 127.0.0.1:1 guid new-1"), "New server registered.\n\n");
    assert!(rig.ask("dump stats-file").contains("\nnew-1,0,"));
}
