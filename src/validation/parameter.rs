//! Parameters.
mod query;
pub(crate) use query::Pair;
