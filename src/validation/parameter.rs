//! Parameters.
mod query;
mod read;
pub(crate) use query::{Pair, decode_form, decode_percent};
