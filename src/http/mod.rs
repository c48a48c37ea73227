//! The HTTP engine: one task per client connection takes requests through rules, a server and back.

pub mod h1;
