//! Contracts.

pub mod instance;
pub mod number;
