//! Servers added and removed under load.

use super::*;
use crate::live::dynamic::Kept;

fn add(generation: &Generation, name: &str) -> Arc<LiveServer> {
    let proxy = &generation.proxies[0];
    let id = proxy.back.as_ref().unwrap().free_id();
    generation.add_server(proxy, Server { id, ..server(name) }, true, None).unwrap()
}

fn remove(generation: &Generation, i: u32) -> Result<(), Kept> {
    let server = generation.server(at(i)).unwrap();
    generation.remove_server(&generation.proxies[0], server)
}

#[test]
fn an_added_server_takes_its_turns() {
    for balance in [Balance::RoundRobin, Balance::LeastConn] {
        let text = format!("{balance:?}");
        let (generation, back) = live(backend(balance, vec![server("a"), server("b")]));
        assert_eq!(picks(&back, 2), "ab", "{text}");
        add(&generation, "c");
        let mut turns: Vec<char> = picks(&back, 6).chars().collect();
        turns.sort_unstable();
        assert_eq!(turns, ['a', 'a', 'b', 'b', 'c', 'c'], "{text}");
    }
}

#[test]
fn a_removed_server_is_never_chosen_again() {
    let (generation, back) = live(backend(Balance::RoundRobin, vec![server("a"), server("b")]));
    assert_eq!(remove(&generation, 1), Err(Kept::Serving));
    let held = back.try_assign(&sticky(1, false)).unwrap().unwrap();
    generation.set_maint(at(1), true, Instant::now());
    assert_eq!(remove(&generation, 1), Err(Kept::Busy));
    drop(held);
    assert_eq!(remove(&generation, 1), Ok(()));
    assert_eq!(picks(&back, 3), "aaa");
    // Persistence that insists does not find it either.
    let insists = Want {
        sticky: Some(Sticky { server: ServerIndex(1), even_down: true, redispatch: false }),
        ..Want::default()
    };
    assert_eq!(name(&back.try_assign(&insists).unwrap().unwrap()), "a");
    assert_eq!(back.servers.iter().count(), 1);
    // Its place is not given to the next, its name and number are.
    let again = add(&generation, "b");
    assert_eq!((again.index.get(), again.conf.id), (2, 2));
    assert_eq!(picks(&back, 4).matches('b').count(), 2);
}

#[test]
fn what_others_look_at_stays() {
    let tracker = Server { track: Some("web/a".into()), ..server("b") };
    let (generation, back) = live(backend(Balance::RoundRobin, vec![server("a"), tracker]));
    generation.set_maint(at(0), true, Instant::now());
    assert_eq!(remove(&generation, 0), Err(Kept::Referenced));
    // One that is added to track it takes its state over.
    let proxy = &generation.proxies[0];
    let conf = Server { id: 3, track: Some("a".into()), ..server("c") };
    let added = generation.add_server(proxy, conf, true, Some(at(0))).unwrap();
    assert!(!added.is_up());
    generation.set_maint(at(0), false, Instant::now());
    assert!(added.is_up());
    assert_eq!(picks(&back, 3).matches('c').count(), 1);
}

#[test]
fn requests_go_on_while_servers_come_and_go() {
    let (generation, back) = live(backend(Balance::LeastConn, vec![server("a")]));
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..2000 {
                    assert!(back.try_assign(&Want::default()).unwrap().is_ok());
                }
            });
        }
        for i in 1..200 {
            add(&generation, "x");
            generation.set_maint(at(i), true, Instant::now());
            while remove(&generation, i) == Err(Kept::Busy) {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!((back.servers.iter().count(), back.servers.places()), (1, 200));
}
