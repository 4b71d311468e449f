//! The use cases: every question that can be asked and every change that can be made, once, for
//! the command line and for every edge.
//!
//! Invariants:
//! - a question is a function: the store or the parts it needs come in, an owned, typed answer
//!   goes out; nothing here prints, formats text for people or reads arguments;
//! - listings answer page by page; what needs all rows walks them page by page and holds no more
//!   than its answer;
//! - documents are compiled off the async threads;
//! - an error is a [`ControlError`], one variant per thing the caller can do.
//!
//! A file per noun. A new question is a function in the file of its noun; its edges parse, call
//! it and print.

pub(crate) mod consumers;
pub(crate) mod coverage;
pub(crate) mod curl;
pub(crate) mod documents;
mod error;
pub(crate) mod export;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod maintenance;
mod page_walk;
pub(crate) mod purge;
pub(crate) mod records;
pub(crate) mod schemas;
pub(crate) mod usage;
pub(crate) mod validate;

pub(crate) use error::{ControlError, Noun};

#[cfg(test)]
mod fixtures;
