//! Orders and check results, with the lines Debian's haproxy wrote for the same commands in the same order.

use super::*;
use crate::config::model::Check;
use crate::health::{Finding, Status};

fn servers() -> Vec<Server> {
    vec![
        Server { check: Some(Check::default()), ..server("a") },
        Server { track: Some("web/a".into()), ..server("b") },
        Server { backup: true, ..server("c") },
        Server { slowstart: Some(Duration::from_secs(10)), ..server("d") },
    ]
}

/// (order, server, the lines' beginnings; `*`: not looked at)
const STEPS: &[(&str, u32, &[&str])] = &[
    (
        "refused",
        0,
        &[
            "Server web/a is DOWN, reason: Layer4 connection problem, info: \"Connection refused\". 2 active and 1 \
             backup servers left.",
            "Server web/b is DOWN via web/a. 1 active and 1 backup servers left.",
        ],
    ),
    (
        "health up",
        0,
        &[
            "Server web/a is UP, changed from CLI. 2 active and 1 backup servers online.",
            "Server web/b is UP via web/a. 3 active and 1 backup servers online.",
        ],
    ),
    (
        "health stopping",
        0,
        &[
            "Server web/a is stopping, changed from CLI. 2 active and 1 backup servers online.",
            "Server web/b is stopping via web/a. 1 active and 1 backup servers online.",
        ],
    ),
    (
        "health down",
        0,
        &[
            "Server web/a is DOWN, changed from CLI. 1 active and 1 backup servers left.",
            "Server web/b is DOWN via web/a. 1 active and 1 backup servers left.",
        ],
    ),
    (
        "maint",
        0,
        &[
            "Server web/a was DOWN and now enters maintenance.",
            "Server web/b was DOWN and now enters maintenance via web/a.",
        ],
    ),
    (
        "ready",
        0,
        &[
            "Server web/a is UP/READY (leaving forced maintenance).",
            "Server web/b is UP/READY (leaving maintenance).",
        ],
    ),
    (
        "drain",
        0,
        &[
            "Server web/a enters drain state. 2 active and 1 backup servers online.",
            "Server web/b enters drain state via web/a. 1 active and 1 backup servers online.",
        ],
    ),
    (
        "maint",
        0,
        &[
            "Server web/a is going DOWN for maintenance. 1 active and 1 backup servers left.",
            "Server web/b is going DOWN for maintenance via web/a. 1 active and 1 backup servers left.",
        ],
    ),
    (
        "drain",
        0,
        &[
            "Server web/a is UP/DRAIN (leaving forced maintenance).",
            "Server web/a remains in forced drain mode.",
            "Server web/b is UP/DRAIN (leaving maintenance).",
            "Server web/b is leaving forced drain but remains in drain mode via web/a.",
        ],
    ),
    (
        "ready",
        0,
        &["Server web/a is UP (leaving forced drain).", "Server web/b is UP (leaving forced drain)."],
    ),
    ("health down", 0, &["*"]),
    (
        "drain",
        0,
        &[
            "Server web/a enters drain state. 1 active and 1 backup servers left.",
            "Server web/b enters drain state via web/a. 1 active and 1 backup servers left.",
        ],
    ),
    (
        "ready",
        0,
        &["Server web/a is DOWN (leaving forced drain).", "Server web/b is DOWN (leaving forced drain)."],
    ),
    ("health up", 0, &["*"]),
    ("drain", 2, &["Backup Server web/c enters drain state. 3 active and 0 backup servers online."]),
    ("ready", 2, &["Backup Server web/c is UP (leaving forced drain)."]),
    ("maint", 3, &["Server web/d is going DOWN for maintenance. 2 active and 1 backup servers left."]),
    ("ready", 3, &["Server web/d is UP/READY (leaving forced maintenance)."]),
    ("drain", 3, &["Server web/d enters drain state. 2 active and 1 backup servers online."]),
    ("maint", 3, &["*"]),
    ("ready", 3, &["Server web/d is UP/READY (leaving forced maintenance)."]),
    ("drain", 1, &["*"]),
    (
        "drain",
        0,
        &[
            "Server web/a enters drain state. 1 active and 1 backup servers online.",
            "Server web/b remains in forced drain mode.",
        ],
    ),
    (
        "ready",
        0,
        &["Server web/a is UP (leaving forced drain).", "Server web/b remains in forced drain mode."],
    ),
    ("ready", 1, &["Server web/b is UP (leaving forced drain)."]),
];

#[test]
fn lines_are_haproxys() {
    let generation = generation(vec![backend(Balance::RoundRobin, servers())]);
    let now = Instant::now();
    let force = |to| generation.force_check(at(0), Which::Health, to, now);
    for (order, server, expected) in STEPS {
        let at = at(*server);
        let refused = Finding::new(Status::L4Connect).info("Connection refused");
        let notices = match *order {
            "refused" => generation.learn(at, Which::Health, refused, now),
            "health up" => force(Forced::Up),
            "health stopping" => force(Forced::Stopping),
            "health down" => force(Forced::Down),
            "maint" => generation.set_maint(at, true, now),
            "drain" => generation.set_draining(at, now),
            _ => generation.set_ready(at, now),
        };
        let lines: Vec<String> = notices
            .iter()
            .map(|n| {
                n.log
                    .replace(" 0 sessions requeued, 0 total in queue.", "")
                    .replace(" 0 sessions active, 0 requeued, 0 remaining in queue.", "")
            })
            .collect();
        if *expected != ["*"] {
            assert_eq!(lines, *expected, "{order} {server}");
        }
    }
}

#[test]
fn downtime_adds_up() {
    let (generation, back) = live(backend(Balance::RoundRobin, vec![server("a")]));
    let start = Instant::now();
    let later = |s| start + Duration::from_secs(s);
    let check = |now, since: u64, down: u64| {
        let (s, b) = (&back.servers[0], &back);
        assert_eq!((s.since_change(now).as_secs(), s.downtime(now).as_secs()), (since, down));
        assert_eq!((b.since_change(now).as_secs(), b.downtime(now).as_secs()), (since, down));
    };
    generation.set_oper(at(0), OperState::Stopped, "", later(10));
    check(later(13), 3, 3);
    generation.set_oper(at(0), OperState::Running, "", later(15));
    check(later(20), 5, 5);
    generation.set_maint(at(0), true, later(30));
    check(later(32), 2, 7);
    generation.set_maint(at(0), false, later(35));
    check(later(36), 1, 10);
    assert_eq!(back.servers[0].down_transitions.load(Relaxed), 2);
    assert_eq!(back.down_transitions.load(Relaxed), 2);
}
