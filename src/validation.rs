//! Validation.
mod body;
mod decode;
mod parameter;
mod security;
mod reading;
