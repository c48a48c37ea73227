//! The HTTP message every engine shares, whichever protocol it came in by.
//!
//! A [`Head`] owns one byte buffer: first the bytes as received, then whatever rules appended. Each piece of the message
//! (method, target, header name, header value) is a range of it, so an untouched message is forwarded by copying
//! ranges and an edit never moves what is already there. Header names are kept in lower case, as HAProxy emits them.

mod head;
mod method;
#[cfg(test)]
mod tests;

pub use head::{Field, Head, Piece, Version};
pub use method::Method;
