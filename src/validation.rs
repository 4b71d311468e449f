//! Validates one exchange against one contract.
//!
//! [`Validator`] is the entry point: heads and captured bodies in, verdicts out.
//!
//! Invariants:
//! - no message makes it panic, loop or take more than linear memory;
//! - what it cannot validate is a reason in the verdict, never silence;
//! - no part of a violation comes from the message.
//!
//! A new kind of body gets a file under `body/`, a new kind of text a function in
//! `value_reader`.

mod body;
mod decode;
mod header;
mod media_type;
mod names;
mod observation;
mod pairs;
mod parameter;
mod request;
mod response;
pub mod schema_violations;
mod security;
mod undocumented;
mod validator;
mod value;
mod value_reader;
mod verdict_builder;

pub(crate) use decode::decode_content;
pub use observation::{ObservedMessage, ValidationObserver};
pub use validator::{ExchangeVerdicts, RequestValidation, Validator, ValidatorOptions};

#[cfg(test)]
mod tests;
