//! Validates and records exchanges, behind the traffic, along the way of the data:
//! [`validate`], [`record`] with [`usage`], [`deliver`].
//!
//! Invariants:
//! - Nothing here makes traffic wait.
//! - Every exchange offered is validated or counted as skipped with a reason.
//! - Nothing leaves a worker before it is redacted.

pub mod deliver;
pub mod record;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod validate;
