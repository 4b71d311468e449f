//! The SQL that SQLite and PostgreSQL share.
//!
//! Both run through one [`DbConn`]: `$1` placeholders, the same table and column names, the
//! same statements but for the few words of [`SqlDialect`]. What a backend does in its own way
//! (opening, locking, copying rows in bulk, dropping days) lives in `sqlite` and `postgres`.
//! Statements are built from constant text and bound values only.

pub(crate) mod analytics;
pub(crate) mod backfill;
pub(crate) mod buckets;
pub(crate) mod comparisons;
pub(crate) mod connection;
pub(crate) mod consumers;
pub(crate) mod db;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod groups;
pub(crate) mod insert;
pub(crate) mod migrate;
pub(crate) mod query;
pub(crate) mod retention;
pub(crate) mod rollup_key;
pub(crate) mod rollup_key_cache;
pub(crate) mod rollups;
pub(crate) mod row;
pub(crate) mod schemas;
pub(crate) mod store;
pub(crate) mod usage;
pub(crate) mod validations;

pub(crate) use connection::{DbConn, DbHandle};
pub(crate) use dialect::SqlDialect;
pub(crate) use query::{Query, Value, ValueList};
pub(crate) use row::{DbRow, RowReader};
