//! The traffic edge: moves exchanges between downstream and upstream untouched.
//!
//! Pingora's server runs the service, its listeners and its threads; hyper carries HTTP on
//! both sides. What must hold: bytes pass unchanged and streams stay streams; in `shadow` and
//! `warn` nobody waits for a validation, a lock or a database; every exchange is offered to
//! the observer exactly once; responses we invent come from `reject` alone.

mod answer;
mod arriving;
mod connection;
pub mod enforce;
mod entrance;
mod forwarded;
mod gate;
mod hold;
mod interim;
mod limits;
mod link;
pub mod metrics;
mod overseer;
mod peer;
mod pool;
mod progress;
mod reject;
mod relay;
mod route;
mod server;
mod tap;
mod trace;
mod upgrade;
mod upstream;
mod wire;

pub use enforce::{Enforcement, EnforcementParts, Inline, unknown_operations};
pub use entrance::Entrance;
pub use gate::Gate;
pub use limits::Limits;
pub use metrics::ProxyMetrics;
pub use peer::Peer;
pub use route::{Route, RouteTable};
pub use server::{Connections, TrafficParts, TrafficService, traffic_service};
pub use trace::Tracer;
pub use upstream::{TlsSetupError, Upstream};
