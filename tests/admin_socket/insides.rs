//! Parts that are not configured, and the process's insides.

use crate::rig::{Rig, compare};

const PROXY: &str = "listen l\n    bind ADDR:8080\n    server s ADDR:9001\n";

#[test]
fn absent_parts_answer_as_haproxys_do() {
    compare(
        "",
        PROXY,
        &[
            "show table",
            "show table x",
            "set table",
            "set table x",
            "set table x key a",
            "clear table",
            "clear table x",
            "clear table x key a",
            "show peers",
            "show peers x",
            "show cache",
            "show resolvers x",
            "user: show cache",
            "show events",
            "show events buf0",
            "show events buf0 -n",
            "show events nope",
            "show events stdout",
            "trace 0",
            "trace x",
            "show trace x",
            "set profiling",
            "set profiling tasks",
            "set profiling tasks x",
            "set profiling foo on",
            "set profiling tasks off",
            "user: show fd",
            "user: show libs",
            "user: show profiling",
            "user: show startup-logs",
            "user: trace",
            "operator: set profiling tasks off",
        ],
    );
}

#[test]
fn startup_warnings_are_kept() {
    let rig = Rig::weir("", "frontend f\n    bind ADDR:8080\n    http-request deny if { path }\n");
    let said = rig.ask("show startup-logs");
    assert!(said.contains("no pattern to match against"), "{said}");
    assert!(rig.proxy.stderr().contains(said.trim_end()), "{said}");
}

#[test]
fn the_process_is_described() {
    let rig = Rig::weir("", PROXY);
    let fds = rig.ask("show fd");
    assert!(fds.lines().filter(|l| l.contains(" : socket:")).count() >= 3, "{fds}");
    assert!(rig.ask("show fd 1").starts_with("      1 : "));
    assert!(rig.ask("show libs").contains("/libc.so"));
    assert!(rig.ask("show pools").contains("Total: 0 pools, "));
    let tasks = rig.ask("show tasks");
    assert!(tasks.starts_with("Running tasks: ") && tasks.contains(" (2 threads)\n"), "{tasks}");
    assert!(tasks.contains("  worker-2 ") && !tasks.contains("worker-3"), "{tasks}");
    let count = |thread: &str| -> usize {
        let line = tasks.lines().find(|l| l.trim_start().starts_with(thread)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Whoever asks is served by a task of the control thread.
    assert!(count("worker-1") > 0 && count("control") > 1, "{tasks}");
    assert!(rig.ask("show dev").contains(&format!("pid: {}", rig.proxy.pid())));
}

#[test]
fn tasks_are_profiled_while_that_is_wanted() {
    let rig = Rig::weir("    profiling.tasks on\n", PROXY);
    let row = |text: &str, name: &str| text.lines().any(|l| l.starts_with(&format!("  {name} ")));
    // Each question is a task too.
    let all = rig.ask("show profiling");
    assert!(
        all.starts_with("Per-task CPU profiling              : on            # set profiling tasks"),
        "{all}"
    );
    assert!(row(&rig.ask("show profiling tasks"), "stats_client"), "{all}");
    assert_eq!(rig.ask("show profiling status").lines().count(), 3);
    assert!(rig.ask("show profiling 0 tasks").lines().count() == 3);
    assert!(rig.ask("show profiling x").starts_with("Expects either 'all', 'status', "));
    rig.ask("set profiling tasks off");
    let before = rig.ask("show profiling tasks");
    assert_eq!(rig.ask("show profiling tasks"), before);
    assert_eq!(rig.ask("set profiling memory on"), "Memory profiling not compiled in.\n\n");
    assert!(rig.ask("set profiling tasks auto").contains("say 'on' or 'off'"));
}

/// `show events buf0 -w` waits until the client leaves (or types something).
#[test]
fn following_events_ends_with_the_client() {
    let rig = Rig::weir("", PROXY);
    let mut console = crate::harness::console::Console::connect(&rig.socket("admin"));
    console.send(b"show events buf0 -w\n");
    console.finish_sending();
    assert_eq!(console.rest(), b"\n");
    // What it had sent behind it ends it too, and is not done.
    let mut console = crate::harness::console::Console::connect(&rig.socket("admin"));
    console.send(b"show events buf0 -w\nshow version\n");
    assert_eq!(console.rest(), b"\n");
}
