//! JSON values in a representation of our own, reused from message to message.
//!
//! A tree of [`serde_json::Value`] costs several times what validating it costs. An [`Arena`] holds
//! any number of values (a body, every parameter of a request) in three vectors that keep their
//! memory when cleared, so a warm worker allocates nothing per message. Invariants:
//!
//! - numbers stay exact: an integer that fits an `i64` is kept as such, every other number keeps
//!   its digits as they were sent;
//! - of a repeated object key the last one wins, and no rule sees the earlier ones
//!   (RFC 8259 leaves the choice; most receivers of such a message decide so too);
//! - every input takes at most linear memory and a constant amount of stack;
//! - this module knows nothing of contracts: `contract::schema` adapts [`Node`] to `jsonschema`.
//!
//! Values come from [`Arena::parse`] (RFC 8259 text) or from the builder functions, for messages
//! that are not JSON. [`Node`] is the cheap handle that rules read a value through.

mod arena;
mod build;
pub(crate) mod equality;
mod node;
pub mod number;
mod parse;
pub mod pointer;
pub(crate) mod positions;
pub(crate) mod scan;
mod shape_hash;

pub use arena::{Arena, NodeId};
pub use node::{Members, Node, Number};
pub use parse::{JsonError, JsonErrorKind};
pub use shape_hash::{ShapeHash, ShapeHasher};

pub(crate) use arena::EntryKind;
pub(crate) use node::{At, Items};
