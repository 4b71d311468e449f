//! The only outbound HTTP client: what the sidecar asks others on its own account, as a collector
//! of traces. Traffic is `proxy`'s, databases are `storage`'s.
//!
//! Invariants:
//! - every call ends within its limit of time, and no answer takes more memory than its limit;
//! - nothing is sent to a service whose certificate is not trusted, nor over a redirect that leads
//!   from https to http;
//! - where private addresses are denied, the address that is connected to was checked, also after
//!   a redirect and whatever its name resolved to before;
//! - no error holds a path, a query, a header or a body;
//! - a client that is not used costs nothing: authorities are read at the first call over TLS.
//!
//! HTTP/1.1 over a pool of connections (hyper-util's); `connector` is ours, since the policy on
//! addresses, the proxy and TLS meet there.

mod address;
mod client;
mod connector;
mod error;
mod proxies;
mod redirect;
mod request;
mod response;
mod stream;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

pub use address::PrivateAddresses;
pub use client::EgressClient;
pub use error::EgressError;
pub use request::EgressRequest;
pub use response::EgressResponse;
pub use tls::ServerTrust;

use crate::config::egress::{OutboundSettings, ProxySettings};

/// What a client may do, and how long and how much it takes.
#[derive(Debug, Clone)]
pub struct EgressSettings {
    /// Whose certificates are good.
    pub trust: ServerTrust,
    /// PEM files of the certificate that is shown to services which ask for one, and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The proxies in between.
    pub proxies: ProxySettings,
    /// The longest until a connection is open, with everything that is part of it.
    pub connect_timeout: Duration,
    /// The longest until the answer is there as a whole.
    pub timeout: Duration,
    /// The longest body of an answer.
    pub max_response_bytes: usize,
    /// Redirects that are followed; with 0 a redirect is an answer like others.
    pub max_redirects: usize,
    /// Whether private addresses may be called.
    pub private_addresses: PrivateAddresses,
}

// === impl EgressSettings ===

impl EgressSettings {
    /// Calls to services that the operator configured: within `timeout`, wherever they are.
    pub fn configured(settings: &OutboundSettings, timeout: Duration) -> Self {
        let trust = settings.ca_file.clone().map_or(ServerTrust::System, ServerTrust::Authorities);
        Self {
            trust,
            identity: settings.identity.clone(),
            proxies: settings.proxies.clone(),
            connect_timeout: timeout,
            timeout,
            max_response_bytes: 64 * 1024,
            max_redirects: 3,
            private_addresses: PrivateAddresses::Allow,
        }
    }
}
