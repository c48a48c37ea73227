//! The tables against what HAProxy prints, and the forms of the output.

use super::columns::{COLUMNS, Column};
use super::modules::MODULES;
use super::*;
use crate::config::model::{Backend, Balance, Config, Front, Mode, Proxy, Server};
use crate::live::{Generation, Process};
use std::sync::Arc;
use std::time::Instant;

/// The header of HAProxy 3.4's `show stat` up to the `-`.
const HEADER: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,\
    weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,\
    check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,\
    req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,\
    ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,\
    agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,\
    cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,\
    used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,srid,sess_other,h1sess,\
    h2sess,h3sess,req_other,h1req,h2req,h3req,proto,priv_idle_cur,reqbin,reqbout,resbin,resbout";

fn generation() -> Arc<Generation> {
    let server = |name: &str, id| Arc::new(Server { name: name.into(), id, ..Server::default() });
    let listen = Proxy {
        name: "web".into(),
        id: 2,
        mode: Mode::Http,
        front: Some(Front { maxconn: 10, ..Front::default() }),
        back: Some(Backend {
            balance: Balance::RoundRobin,
            servers: vec![
                server("a", 1),
                Arc::new(Server { name: "b,\"c\"".into(), id: 2, disabled: true, ..Server::default() }),
            ],
            ..Backend::default()
        }),
        ..Proxy::default()
    };
    let front = Proxy { name: "Other".into(), id: 3, front: Some(Front::default()), ..Proxy::default() };
    let config = Config { proxies: vec![Arc::new(listen), Arc::new(front)], ..Config::default() };
    Arc::new(Generation::build(Arc::new(config), Arc::new(Process::new(1, "h".into(), 1, 100)), 1, None))
}

fn rows(selection: Selection) -> String {
    let csv = StatDump::new(generation(), selection, StatFormat::Csv).whole();
    let csv = String::from_utf8(csv).unwrap();
    let names: Vec<&str> =
        csv.lines().skip(1).map(|l| &l[..l.match_indices(',').nth(1).map_or(0, |(i, _)| i)]).collect();
    names.join(" ")
}

#[test]
fn columns_are_haproxys() {
    let names: Vec<&str> = COLUMNS.iter().map(|c| c.name).collect();
    assert_eq!(names.join(","), HEADER);
}

#[test]
fn names_are_unique_and_values_stand_where_they_may() {
    let mut names: Vec<&str> = COLUMNS.iter().chain(MODULES).map(|c| c.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|w| w[0] != w[1]));
    let mut rows = Rows::new(generation(), Selection::default());
    while let Some(subject) = rows.next(Instant::now()) {
        for column in COLUMNS.iter().chain(MODULES) {
            if column.value(&subject).is_some() {
                assert!(column.kinds.has(subject.kind()), "{} of a {:?}", column.name, subject.kind());
            }
        }
    }
}

#[test]
fn selections() {
    let all = Selection::default;
    assert_eq!(rows(all()), "web,FRONTEND web,a web,\"b web,BACKEND Other,FRONTEND");
    assert_eq!(rows(Selection { proxy: Some(3), ..all() }), "Other,FRONTEND");
    assert_eq!(rows(Selection { kinds: Kinds(4), ..all() }), "web,a web,\"b");
    assert_eq!(rows(Selection { sid: Some(1), ..all() }), "web,a");
    assert_eq!(rows(Selection { sid: Some(0), kinds: Kinds(2), ..all() }), "web,BACKEND");
    assert_eq!(rows(Selection { no_maint: true, kinds: Kinds(4), ..all() }), "web,a");
    assert_eq!(rows(Selection { up: true, kinds: Kinds(4), ..all() }), "web,a");
    assert_eq!(rows(Selection { search: Some("OTH".into()), ..all() }), "Other,FRONTEND");
    assert_eq!(rows(Selection { names: Some(vec!["Other".into()]), ..all() }), "Other,FRONTEND");
}

#[test]
fn forms() {
    let one = |format| {
        let selection = Selection { kinds: Kinds(4), sid: Some(2), ..Selection::default() };
        String::from_utf8(StatDump::new(generation(), selection, format).whole()).unwrap()
    };
    let csv = one(StatFormat::Csv);
    assert!(csv.starts_with("# pxname,svname,qcur,"), "{csv}");
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .starts_with("web,\"b,\"\"c\"\"\",0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT,1,1,0,")
    );
    let typed = one(StatFormat::Typed { desc: true });
    assert!(typed.starts_with(
        "S.2.2.0.pxname.1:KNS:str:web:\"Name of the proxy\"\nS.2.2.1.svname.1:KNS:str:b,\"c\":"
    ));
    let json = one(StatFormat::Json);
    assert!(json.starts_with(
        "[[{\"objType\":\"Server\",\"proxyId\":2,\"id\":2,\"field\":{\"pos\":0,\"name\":\"pxname\"},\"processNum\":1,\
         \"tags\":{\"origin\":\"Key\",\"nature\":\"Name\",\"scope\":\"Service\"},\
         \"value\":{\"type\":\"str\",\"value\":\"web\"}},"
    ));
    assert!(json.contains("\"value\":\"b,\\\"c\\\"\"") && json.ends_with("}}]]\n"));
}

#[test]
fn a_dump_comes_in_pieces() {
    let mut dump = StatDump::new(generation(), Selection::default(), StatFormat::Json);
    let (mut whole, mut pieces) = (Vec::new(), 1);
    while dump.more(&mut whole) {
        pieces += 1;
    }
    let all = StatDump::new(generation(), Selection::default(), StatFormat::Json).whole();
    assert_eq!(whole.len(), all.len());
    assert!(pieces > 1, "{pieces} piece of {} bytes", whole.len());
}

#[test]
fn info_lines() {
    let text =
        |format, desc, float| String::from_utf8(info::dump(&generation(), format, desc, float)).unwrap();
    assert!(
        text(InfoFormat::Plain, false, false).starts_with("Name: HAProxy\nVersion: 3.4.0\nRelease_date: ")
    );
    assert!(text(InfoFormat::Plain, true, false).starts_with("Name: HAProxy:\"Product whose"));
    assert!(text(InfoFormat::Plain, false, true).contains("\nUptime_sec: 0.0"));
    assert!(text(InfoFormat::Typed, false, false).contains("\n3.Nbthread.1:CGS:u32:1\n"));
    let json = text(InfoFormat::Json, false, false);
    assert!(
        json.starts_with("[{\"field\":{\"pos\":0,\"name\":\"Name\"},") && json.ends_with("}}]\n"),
        "{json}"
    );
}

#[test]
fn columns_are_found_by_name() {
    assert_eq!(Column::named("qcur").unwrap().name, "qcur");
    assert!(Column::named("nothing").is_none());
}
