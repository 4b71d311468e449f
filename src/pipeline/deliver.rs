//! Records, usage and violation groups on their way to storage, in batches, by way of a spool
//! while storage is unavailable.

pub mod batch;
pub mod drop_reason;
pub mod flush;
pub mod metrics;
pub mod spool;
pub mod writer;
