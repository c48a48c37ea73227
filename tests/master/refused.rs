//! Where a reload that was refused is told: on the page, in the metrics, in the log; for master and worker, and for one process.

use super::*;
use harness::syslog::Syslog;

fn get(at: Ipv4Addr, target: &str) -> String {
    let mut client = Client::connect((at, 8404).into());
    client.set_limit(LIMIT);
    client.send(format!("GET {target} HTTP/1.0\r\nHost: h\r\n\r\n").as_bytes());
    String::from_utf8_lossy(&client.response(false)).into_owned()
}

fn metric(at: Ipv4Addr, name: &str) -> f64 {
    let text = get(at, &format!("/metrics?scope=global&metrics=weir_config_{name}"));
    let value = text.lines().find_map(|l| l.strip_prefix(&format!("weir_config_{name} ")));
    value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
}

fn banner(at: Ipv4Addr) -> Option<String> {
    let page = get(at, "/stats");
    let section = page.split("<section id=reload").nth(1).and_then(|rest| rest.split("</section>").next());
    let section = section.unwrap_or_else(|| panic!("no banner: {page}"));
    (!section.contains(" hidden>")).then(|| section.to_owned())
}

fn check(one: &Master) {
    let began = metric(one.address, "last_reload_success_timestamp_seconds");
    assert!(banner(one.address).is_none());
    assert_eq!(metric(one.address, "last_reload_successful"), 1.0);
    one.write("two", "    bogus <i>secret</i>\n");
    assert!(one.ask("reload").starts_with("Success=0"));
    assert!(eventually(|| metric(one.address, "last_reload_successful") == 0.0));
    assert_eq!(metric(one.address, "reload_failures_total"), 1.0);
    assert_eq!(metric(one.address, "last_reload_success_timestamp_seconds"), began);
    assert!(metric(one.address, "last_reload_timestamp_seconds") >= began);
    let told = banner(one.address).expect("a banner");
    assert!(told.contains("The last reload failed "), "{told}");
    assert!(told.contains("unknown keyword &#39;bogus&#39;") && told.contains("proxy.cfg:"), "{told}");
    let feed = get(one.address, "/stats;live;seq=0");
    let feed = feed.split("\"reload\":[").nth(1).unwrap_or_else(|| panic!("{feed}"));
    assert!(feed.starts_with("\"The last reload failed"), "{feed}");
    assert_eq!(one.who(), "one");
    one.write("two", "");
    assert!(one.ask("reload").starts_with("Success=1"));
    assert!(eventually(|| one.who() == "two"));
    assert!(eventually(|| metric(one.address, "last_reload_successful") == 1.0));
    assert!(eventually(|| metric(one.address, "reloads_total") == 1.0));
    assert!(eventually(|| metric(one.address, "reload_failures_total") == 1.0));
    assert!(eventually(|| banner(one.address).is_none()));
}

#[test]
fn a_worker_tells_what_its_successor_was_refused_for() {
    check(&Master::start(&["-W", "-db"]));
}

#[test]
fn a_process_tells_what_it_refused() {
    check(&Master::alone());
}

/// Lines of the configuration are for those who may change something.
#[test]
fn who_may_only_look_is_told_no_more_than_that() {
    let one = Master::alone();
    let reader = config(one.dir.path(), one.address, "one", "").replace("    stats admin if TRUE\n", "");
    std::fs::write(one.path("proxy.cfg"), reader).unwrap();
    assert!(one.ask("reload").starts_with("Success=1"));
    one.write("two", "    bogus\n");
    assert!(one.ask("reload").starts_with("Success=0"));
    let told = banner(one.address).expect("a banner");
    assert!(told.contains("The last reload failed") && !told.contains("bogus"), "{told}");
}

#[test]
fn the_log_has_it() {
    for arguments in [&["-db"][..], &["-W", "-db", "-S", "master.sock"]] {
        let at: SocketAddr = (harness::own_address(), 5140).into();
        let syslog = Syslog::start(at);
        let log = format!("    log {at} local0\n");
        let one = Master::spawn(&Program::Weir.path(), arguments, &[], "");
        let whole = |more: &str| {
            config(one.dir.path(), one.address, "one", more).replacen(
                "defaults\n",
                &format!("{log}defaults\n"),
                1,
            )
        };
        std::fs::write(one.path("proxy.cfg"), whole("")).unwrap();
        assert!(one.ask("reload").starts_with("Success=1"));
        std::fs::write(one.path("proxy.cfg"), whole("    bogus\n")).unwrap();
        assert!(one.ask("reload").starts_with("Success=0"));
        assert!(syslog.wait_for("Reload failed", LIMIT).is_some());
        assert!(syslog.wait_for("unknown keyword 'bogus'", LIMIT).is_some());
    }
}
