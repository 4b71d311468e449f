//! Instruments: logging and the metrics registry.
//!
//! Invariants: no payload value and no secret ever becomes a log field or a label value;
//! every label has a bounded set of values.

pub mod logging;
pub mod metrics;
pub mod process;
pub mod spans;
