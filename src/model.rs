//! The types that every layer shares: plain data.
//!
//! Invariants:
//! - no IO, no clock, no business rule beyond a type's own validity;
//! - every type here can be built by hand in a test.
//!
//! A new type goes into the file of its subject, under the standard term of its domain.

pub mod clock;
pub mod comparison;
pub mod consumer;
pub mod exchange;
pub mod fault;
pub mod group;
pub mod id;
pub mod mode;
pub mod page;
pub mod random;
pub mod record;
pub mod rule;
pub mod schema;
pub mod trace;
pub mod usage;
pub mod verdict;
pub mod violation;
