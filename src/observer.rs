//! Judging and recording exchanges, behind the traffic.
//!
//! What must hold: nothing here makes traffic wait; every exchange offered is judged or
//! counted as skipped with a reason; nothing leaves a worker before it is redacted.

pub mod budget;
pub mod consumer;
pub mod exchange;
pub mod flush;
pub mod group;
pub mod kinds;
pub mod metrics;
pub mod notice;
pub mod parcel;
pub mod queue;
mod record;
pub mod recorder;
pub mod screen;
pub mod spool;
#[cfg(test)]
mod testing;
mod trace;
pub mod usage;
pub mod worker;
pub mod writer;
