//! What people look at and give orders through. State changes through methods of `live` only.

pub mod page;
