//! The SQL that SQLite and PostgreSQL share.
//!
//! Both speak through one [`Link`]: `$1` placeholders, the same table and column names, the
//! same statements but for the few words of [`Dialect`]. What a backend does in its own way
//! (opening, locking, copying rows in bulk, dropping days) lives in `sqlite` and `postgres`.
//! Statements are built from constant text and bound values only.

pub(crate) mod analytics;
pub(crate) mod buckets;
pub(crate) mod comparisons;
pub(crate) mod consumers;
pub(crate) mod fault;
pub(crate) mod groups;
pub(crate) mod insert;
pub(crate) mod link;
pub(crate) mod migrate;
pub(crate) mod query;
pub(crate) mod retention;
pub(crate) mod rollups;
pub(crate) mod row;
pub(crate) mod schemas;
pub(crate) mod series;
pub(crate) mod settle;
pub(crate) mod store;
pub(crate) mod usage;
pub(crate) mod validations;

pub(crate) use link::{Dialect, Held, Link};
pub(crate) use query::{List, Query, Value};
pub(crate) use row::{Reader, Row};
