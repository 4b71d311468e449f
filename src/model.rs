//! The words of the project: plain data that every floor shares.
//!
//! What must hold: no IO, no clock, no business rule beyond a type's own validity; every
//! type here can be built by hand in a test. A new word goes into the file of its kind,
//! under the name of the field's standard term.

pub mod chance;
pub mod clock;
pub mod comparison;
pub mod consumer;
pub mod exchange;
pub mod group;
pub mod id;
pub mod mode;
pub mod page;
pub mod record;
pub mod schema;
pub mod trace;
pub mod usage;
pub mod verdict;
pub mod violation;
