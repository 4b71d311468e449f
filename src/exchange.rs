//! One exchange on its way from traffic to the pipeline: what `proxy` and `pipeline` share.
//!
//! Invariants:
//! - An exchange is offered to the queue exactly once, however it ended.
//! - Nothing here makes traffic wait: the queue takes an exchange or counts it as skipped.
//! - The memory of exchanges under way and of those that wait comes from one budget.
//!
//! This module knows nothing of `pipeline`: it imports contracts and words only.

pub mod fingerprint;
pub mod memory_budget;
pub mod metrics;
mod pending;
pub mod queue;
mod state;
#[cfg(test)]
pub(crate) mod testing;

pub use pending::PendingExchange;
pub use state::{Ending, Exchange, InlineResults};
