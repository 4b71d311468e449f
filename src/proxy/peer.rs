//! Who called us.

use std::net::IpAddr;
use std::sync::Arc;

/// The other end of one downstream connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its address, where it has one.
    pub ip: Option<IpAddr>,
    /// Subject of the certificate it showed, verified.
    pub subject: Option<Arc<str>>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}
