//! Contracts.
pub mod media_type;
pub mod route;
pub mod security;

pub mod instance;
pub mod number;
pub mod serialization;
pub mod shape;
