//! `mode l4` between network namespaces: real TCP and UDP through a director, seen by captures on the links. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

#[path = "l4/bench.rs"]
mod bench;
#[path = "l4/configured.rs"]
mod configured;
#[path = "l4/death.rs"]
mod death;
#[path = "l4/direct.rs"]
mod direct;
#[path = "l4/director.rs"]
mod director;
#[path = "l4/failover.rs"]
mod failover;
#[path = "l4/fullnat.rs"]
mod fullnat;
#[path = "l4/nat.rs"]
mod nat;
#[path = "l4/net.rs"]
mod net;
#[path = "l4/object.rs"]
mod object;
#[path = "l4/replaced.rs"]
mod replaced;
#[path = "l4/routes.rs"]
mod routes;
#[path = "l4/schedulers.rs"]
mod schedulers;
#[path = "l4/tools.rs"]
mod tools;
#[path = "l4/tunnel.rs"]
mod tunnel;
#[path = "l4/whole.rs"]
mod whole;
