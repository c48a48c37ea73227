//! The statistics of haproxy and weir after the same traffic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::course;
use crate::harness::client::Client;
use crate::harness::console::ask;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::origin::Origin;
use crate::rig::{Rig, request};
use crate::table::Table;
use tempfile::TempDir;

/// Columns whose values are not compared: times, rates, and what differs for a reason.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("lastchg", "a time"),
    ("downtime", "a time"),
    ("lastsess", "a time"),
    ("check_duration", "a time"),
    ("agent_duration", "a time"),
    ("qtime", "a time"),
    ("ctime", "a time"),
    ("rtime", "a time"),
    ("ttime", "a time"),
    ("qtime_max", "a time"),
    ("ctime_max", "a time"),
    ("rtime_max", "a time"),
    ("ttime_max", "a time"),
    ("throttle", "a time"),
    ("rate", "a rate"),
    ("rate_max", "a rate"),
    ("req_rate", "a rate"),
    ("req_rate_max", "a rate"),
    ("conn_rate", "a rate"),
    ("conn_rate_max", "a rate"),
    ("srv_icur", "which idle connections are kept is not haproxy's way"),
    ("idle_conn_cur", "which idle connections are kept is not haproxy's way"),
    ("addr", "each program has an address of its own"),
];

/// How long a difference may last.
const SETTLES: Duration = Duration::from_secs(10);

/// Values that differ: the proxy, its columns, the reason.
const DIFFERENT: &[(&str, &[&str], &str)] = &[
    ("empty", &["src_ilim"], "haproxy 2.6 keeps no idle connection to an added server"),
    (
        "broken",
        &["bin", "bout"],
        "haproxy counts what it read of a body it did not forward, and an error page twice over",
    ),
];

/// Lines of `show info` whose values are not compared.
const OF_THE_PROCESS: &[(&str, &str)] = &[
    ("Version", "its own"),
    ("Release_date", "its own"),
    ("Build info", "its own"),
    ("Pid", "its own"),
    ("Uptime", "a time"),
    ("Uptime_sec", "a time"),
    ("Start_time_sec", "a time"),
    ("Idle_pct", "a time"),
    ("Jobs", "haproxy counts checks under way"),
    ("BytesOutRate", "a rate"),
    ("ConnRate", "a rate"),
    ("MaxConnRate", "a rate"),
    ("SessRate", "a rate"),
    ("MaxSessRate", "a rate"),
    ("Tasks", "what a task is differs"),
    ("Run_queue", "what a task is differs"),
    ("Maxsock", "here the limit is not lowered to what is needed"),
    ("Ulimit-n", "here the limit is not lowered to what is needed"),
    ("CumConns", "haproxy counts checks, which come in their own time; see `totals`"),
    ("CumReq", "haproxy counts agent checks, which come in their own time; see `totals`"),
    ("PoolAlloc_MB", "there are no pools; the memory of the whole process is told"),
    ("PoolAlloc_bytes", "there are no pools; the memory of the whole process is told"),
    ("PoolUsed_MB", "there are no pools; the memory of the whole process is told"),
    ("PoolUsed_bytes", "there are no pools; the memory of the whole process is told"),
    ("TotalBytesOut", "nearly all of it went to the stats socket, which was asked as often as it took"),
];

/// Fields of haproxy 2.6's `show info` that 3.4 does not have.
const GONE_FROM_INFO: &[&str] = &["TotalSplicdedBytesOut"];

fn both() -> (Rig, Rig) {
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| course::run(Program::HaProxy));
        let ours = scope.spawn(|| course::run(Program::Weir));
        (theirs.join().unwrap(), ours.join().unwrap())
    })
}

#[test]
fn the_same_as_haproxy() {
    let (mut theirs, mut ours) = both();
    // A check under way empties cells of haproxy's, and a count may be a moment late: what differs has to go on differing.
    let until = Instant::now() + SETTLES;
    let report = loop {
        let report = differences(&mut theirs, &mut ours);
        if report.is_empty() || Instant::now() > until {
            break report;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(report.is_empty(), "differences:\n{report}");
}

fn differences(theirs: &mut Rig, ours: &mut Rig) -> String {
    let mut report = String::new();
    values(&mut report, &theirs.table(), &ours.table());
    process(&mut report, theirs, ours);
    for form in ["show stat typed", "show stat json"] {
        types(&mut report, form, &stat_types(&theirs.ask(form)), &stat_types(&ours.ask(form)));
    }
    for form in ["show info", "show info typed", "show info json"] {
        types(&mut report, form, &info_types(&theirs.ask(form)), &info_types(&ours.ask(form)));
    }
    report
}

fn values(report: &mut String, theirs: &Table, ours: &Table) {
    assert!(ours.columns.starts_with(&theirs.columns), "{:?}\n{:?}", theirs.columns, ours.columns);
    let names = |table: &Table| table.rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(theirs), names(ours));
    let mut compared = 0;
    // haproxy forgets the last check's text while the next one runs.
    let checking = |row: &str, status: &str| theirs.cell(row, status).starts_with('*');
    let checked = |row: &str| !theirs.cell(row, "check_status").is_empty();
    for (row, cells) in &theirs.rows {
        for (column, theirs) in theirs.columns.iter().zip(cells) {
            let listed = NOT_COMPARED.iter().any(|(name, _)| name == column)
                || DIFFERENT.iter().any(|(proxy, columns, _)| {
                    row.split('/').next() == Some(proxy) && columns.contains(&column.as_str())
                })
                // haproxy counts the connections of checks, which may be two at a time or one.
                || column == "need_conn_est" && checked(row)
                || column == "last_chk" && checking(row, "check_status")
                || column == "last_agt" && checking(row, "agent_status");
            let plain = |cell: &str| cell.trim_start_matches("* ").to_owned();
            let (theirs, ours) = (plain(theirs), plain(ours.cell(row, column)));
            compared += usize::from(!listed);
            if theirs != ours && !listed {
                let _ = writeln!(report, "{row} {column}: haproxy {theirs:?}, weir {ours:?}");
            }
        }
    }
    println!("{compared} values of {} rows compared", theirs.rows.len());
}

/// Name and value of each line of `show info`.
fn info(answer: &str) -> BTreeMap<String, String> {
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Requests, connections without requests, and clients of the stats socket, counted together.
#[test]
fn totals() {
    let counted = |program| {
        let dir = TempDir::new().unwrap();
        let address = own_address();
        let origin = Origin::start((address, 9001).into(), (address, 9002).into());
        let socket = dir.path().join("stats.sock");
        let config = include_str!("totals.cfg")
            .replace("SOCKET", &socket.to_string_lossy())
            .replace("ADDR", &address.to_string());
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[8080, 8081])
            .unwrap_or_else(|error| panic!("{program:?} {error}"));
        for port in [8080, 8080, 8081] {
            let mut client = Client::connect((address, port).into());
            for path in ["/", "/500", "/deny"] {
                client.send(request(path).as_bytes());
                assert!(client.response(false).starts_with(b"HTTP/1.1 "));
            }
            drop(client);
        }
        ask(&socket, "help");
        let answer = info(&ask(&socket, "show info"));
        // The page is in what it tells of itself.
        let mut client = Client::connect((address, 8080).into());
        client.send(b"GET /stats;csv HTTP/1.0\r\n\r\n");
        let text = String::from_utf8(client.response(false)).unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(",")).collect();
        let table = Table::of(&rows.join("\n"));
        let page = ["intercepted", "req_tot", "scur"].map(|column| table.number("web/FRONTEND", column));
        let page = format!("{page:?}");
        drop((origin, proxy));
        [format!("{} {}", answer["CumConns"], answer["CumReq"]), page]
    };
    assert_eq!(counted(Program::Weir), counted(Program::HaProxy));
}

/// The values of `show info`.
fn process(report: &mut String, theirs: &mut Rig, ours: &mut Rig) {
    let [theirs, ours] = [theirs, ours].map(|rig| info(&rig.ask("show info")));
    for (name, theirs) in &theirs {
        let listed = OF_THE_PROCESS.iter().any(|(listed, _)| listed == name)
            || GONE_FROM_INFO.contains(&name.as_str());
        if !listed && ours.get(name) != Some(theirs) {
            let _ = writeln!(report, "show info {name}: haproxy {theirs:?}, weir {:?}", ours.get(name));
        }
    }
}

type Types = BTreeMap<String, String>;

fn types(report: &mut String, form: &str, theirs: &Types, ours: &Types) {
    assert!(theirs.len() > 30, "{form}: {theirs:?}");
    for (name, theirs) in theirs {
        let field = name.rsplit('/').next().unwrap_or("");
        let ours = ours.get(name);
        if ours != Some(theirs) && !GONE_FROM_INFO.contains(&field) {
            let _ = writeln!(report, "{form} {name}: haproxy {theirs}, weir {ours:?}");
        }
    }
}

/// Place, tags and type of each column of each kind of object, of either form. The place of a protocol's own is its own
/// program's business.
fn stat_types(text: &str) -> Types {
    let mut types = Types::new();
    if text.starts_with('[') {
        let objects: Vec<Vec<serde_json::Value>> = serde_json::from_str(text).expect("JSON");
        for field in objects.iter().flatten() {
            types.insert(format!("{}/{}", field["objType"], name(field)), json_type(field, true));
        }
    } else {
        for line in text.lines().filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split(':').collect();
            let key: Vec<&str> = parts[0].split('.').collect();
            types.insert(format!("{}/{}", key[0], key[4]), format!("{} {} {}", key[3], parts[1], parts[2]));
        }
    }
    let modules = ["h1_", "h2_", "h3_", "ssl_", "quic_"];
    types.retain(|key, _| !modules.iter().any(|start| key.contains(&format!("/{start}"))));
    types
}

fn info_types(text: &str) -> Types {
    if text.starts_with('[') {
        let fields: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
        return fields.iter().map(|field| (name(field), json_type(field, false))).collect();
    }
    text.lines()
        .filter_map(|line| {
            let (key, rest) = line.split_once(':')?;
            let words: Vec<&str> = rest.split(':').collect();
            match key.split('.').nth(1) {
                Some(name) => Some((name.to_owned(), format!("{} {}", words[0], words[1]))),
                None => Some((key.to_owned(), String::new())),
            }
        })
        .collect()
}

fn name(field: &serde_json::Value) -> String {
    field["field"]["name"].as_str().unwrap_or("").to_owned()
}

fn json_type(field: &serde_json::Value, place: bool) -> String {
    let place = if place { field["field"]["pos"].to_string() } else { String::new() };
    format!("{place} {} {}", field["tags"], field["value"]["type"])
}
