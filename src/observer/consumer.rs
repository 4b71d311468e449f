//! Who called: a chain of ways to tell, the first that answers wins; and the consumers met.
//!
//! What must hold: no key and no token becomes a name, and a name that looks like a secret is
//! replaced by a hash of it; telling costs bounded time; however many names callers make up,
//! only so many are kept apart. A new way is a variant of [`Way`](crate::config::consumer::Way) and an arm here.

mod identity;
mod metrics;
mod roster;

pub use identity::{Caller, Identity, IdentityChain};
pub use metrics::{ConsumerCounters, ConsumerMetrics};
pub use roster::{Consumer, OTHERS, Roster};
