//! What the control thread does to live state.
