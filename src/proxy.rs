//! The traffic edge: moves exchanges between downstream and upstream untouched.
//!
//! Pingora's server runs the service, its listeners and its threads; hyper carries HTTP on
//! both sides. Invariants: bytes pass unchanged and streams stay streams; in `shadow` and
//! `warn` no exchange waits for a validation, a lock or a database; every exchange is offered to
//! the pipeline exactly once; synthetic responses come from `problem` alone.

mod body;
mod downstream;
pub mod enforce;
mod forwarded;
mod handler;
mod hop_by_hop;
mod limits;
pub mod metrics;
mod problem;
mod routes;
mod trace;
mod upstream;
mod waker;

pub use downstream::admission::RequestAdmission;
pub use downstream::connection::ConnectionCounter;
pub use downstream::listener::{TrafficParts, traffic_service};
pub use enforce::{Enforcement, EnforcementParts, InlineValidators, unknown_operations};
pub use handler::ExchangeHandler;
pub use limits::ExchangeLimiter;
pub use metrics::ProxyMetrics;
pub use routes::{Route, RoutingTable};
pub use trace::Tracer;
pub use upstream::{TlsSetupError, Upstream};
