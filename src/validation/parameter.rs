//! Parameters.
mod query;
mod read;
pub(crate) use query::{Pair, Pairs, cookie_pairs, decode_form, decode_percent, query_pairs};
pub(crate) use read::{Field, Fields};
