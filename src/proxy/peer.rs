//! Who called us, and on which connection.

use std::net::IpAddr;
use std::sync::Arc;

use super::interim::Interim;
use super::pool::Lane;
use super::relay::Relay;

/// One downstream connection, as its exchanges see it.
pub struct Line {
    /// Who called.
    pub peer: Peer,
    /// The thread that carries it.
    pub lane: Lane,
    /// Where interim responses go.
    pub interim: Interim,
    /// Wakes it.
    pub relay: Relay,
}

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
