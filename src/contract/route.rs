//! Routing: which operation a method and a path belong to.
//!
//! Invariants:
//! - The cost of a look-up depends on the number of segments of the path, never on the number
//!   of operations (a trie by segment; literal segments are hashed).
//! - Concrete segments win over templated ones, templated ones with more literal text over
//!   those with less; where the winner lacks the method, the next match that has it is taken.
//! - A path is split at `/` before anything is percent-decoded, so `%2F` stays inside its
//!   segment. Captured values are handed out as sent.
//! - A templated part never captures nothing.
//! - A path with a query in the document is matched by path and query.
//! - The path is matched as a whole, base path of the servers included; hosts are not compared.
//! - A trailing slash is part of the path, as the specification appends templates to the base
//!   path literally; a lenient rule also takes the path with or without it.

mod ambiguity;
mod base_path;
mod nearest;
mod query_condition;
mod table;
mod template;

pub use ambiguity::AmbiguousTemplates;
pub use base_path::{BasePath, base_paths};
pub use nearest::NearestPath;
pub use query_condition::{QueryCondition, split_query};
pub use table::{OperationIndex, OperationRouter, RouteConflict, RouteMatch};
pub use template::{Captures, PathTemplate, TemplateError};
