//! What `show stat` and `show info` say after one course of traffic: the same as Debian's haproxy says, and something in
//! every column.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "harness/mod.rs"]
mod harness;

#[path = "statistics/course.rs"]
mod course;
#[path = "statistics/coverage.rs"]
mod coverage;
#[path = "statistics/differences.rs"]
mod differences;
#[path = "statistics/origin.rs"]
mod origin;
#[path = "statistics/rig.rs"]
mod rig;
#[path = "statistics/table.rs"]
mod table;
