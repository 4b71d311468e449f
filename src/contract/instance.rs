//! What is judged: JSON values in a form of our own that is reused from message to message.
//!
//! A tree of [`serde_json::Value`] costs several times what judging it costs. An [`Arena`] holds
//! any number of values (a body, every parameter of a request) in three vectors that keep their
//! memory when cleared, so a warm worker allocates nothing per message. What must hold:
//!
//! - numbers stay exact: an integer that fits an `i64` is kept as such, every other number keeps
//!   its digits as they were sent;
//! - of a repeated object key the last one wins, the earlier ones are not seen by any rule
//!   (RFC 8259 leaves the choice; most receivers of such a message decide so too);
//! - no input whatever takes more than linear memory, or more stack than a constant.
//!
//! Values come from [`Arena::parse`] (RFC 8259 text) or from the builder functions, for messages
//! that are not JSON. [`Node`] is the cheap handle that rules read a value through.

mod arena;
mod build;
mod json;
mod node;
mod outline;
mod parse;
mod scan;
mod unique;

pub use arena::{Arena, NodeId};
pub use node::{Members, Node, Number};
pub use outline::{Outline, Outliner};
pub use parse::{JsonError, JsonErrorKind};

pub(crate) use json::Instance;
