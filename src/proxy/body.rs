//! Bodies on their way: captured while they pass, or buffered until they are validated.
//!
//! Invariants: bytes leave as they came; a capture passes every frame on at once; what is kept
//! never exceeds its limit and its memory budget; an end is reported exactly once, however a body
//! ends.

pub mod buffer;
pub mod capture;
pub mod progress;
