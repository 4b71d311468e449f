//! What consumers use: operations, parameters, fields, statuses; counted.
//!
//! Invariants: bodies are not parsed for this, the validator shows what it has parsed
//! ([`ValidationObserver`](crate::validation::ValidationObserver)), and of what was validated while traffic waited there is
//! a fingerprint; each worker counts in memory of its own, so that
//! no worker waits for another; every count is in exactly one batch for storage; names are those
//! of the document, or `*`; memory between two batches is bounded, and what goes beyond is
//! counted. A new kind of fact is a variant of `UsageKind`, a field of `Counts` and a line in
//! `pack`.

mod aggregator;
mod batch_builder;
pub mod consumer;
mod count;
mod fields;
pub mod metrics;
mod names;
mod template_guesser;
#[cfg(test)]
mod tests;

pub use aggregator::{AggregatorHandle, BodyShapes, UsageAggregator, UsageRegistry};
pub use batch_builder::UsageBatchBuilder;
