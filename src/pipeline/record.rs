//! What follows a verdict: counters, violation groups and their notices, the record.

mod builder;
pub mod found_names;
pub mod group_id;
pub mod metrics;
pub mod notice;
pub mod notifier;
pub mod recorder;
pub mod sampling_filter;
mod spans;
pub mod violation_groups;
