//! Who called: a chain of ways to tell, the first that answers wins; and the consumers met.
//!
//! Invariants: no key and no token becomes a name, and a name that looks like a secret is
//! replaced by a hash of it; with_notifier costs bounded time; however many names callers make up,
//! only so many are kept apart. A new source is a variant of [`IdentitySource`](crate::config::consumer::IdentitySource) and an arm here.

mod identity;
mod metrics;
mod table;

pub use identity::{ConsumerIdentity, IdentityChain, IdentityInput};
pub use metrics::{ConsumerCounters, ConsumerMetrics};
pub use table::{ConsumerEntry, ConsumerTable, OTHERS};
