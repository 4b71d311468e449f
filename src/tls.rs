//! Server identities: certificates and keys of our listeners, reloaded while connections go on.
//!
//! Both edges encrypt with this module. Invariants: no reload drops a connection or leaves
//! a listener without a certificate (what cannot be loaded is logged and counted, the last good
//! one stays); a caller's certificate is verified by the TLS handshake itself, before a byte of
//! HTTP is read; TLS 1.2 is the oldest version spoken.
//!
//! tokio-rustls on the accepted stream, not Pingora's rustls listener: that one reads its files
//! once at start, cannot ask callers for certificates, and does not
//! report the outcome of a handshake.

mod acceptor;
mod identity;
pub mod metrics;

pub use acceptor::Acceptor;
pub use identity::TlsError;
