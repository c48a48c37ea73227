//! The HTTP engine: one task per client connection takes requests through rules, a server and back.

pub mod cookies;
pub mod forwarded;
pub mod h1;
pub mod normalize;
pub mod redirect;
pub mod reply;
pub mod rewrite;
pub mod rules;
pub mod status;
pub mod target;
