//! Judges one exchange against one contract.

pub mod report;
