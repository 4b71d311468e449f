//! Why a call failed: one variant for each thing that the caller can do about it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Why a call failed. Names hosts and ports, and neither paths nor queries, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The address to call is malformed.
    #[error("the URL cannot be called: {0}; expected http://HOST or https://HOST")]
    Url(String),
    /// A file for TLS cannot be used.
    #[error("{}: {reason}", path.display())]
    TlsFile {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key cannot be used, or the system trusts no authority.
    #[error("TLS cannot be set up: {0}")]
    TlsSetup(String),
    /// The system gives no means to call at all.
    #[error("cannot start the client: {0}")]
    Runtime(String),
    /// A proxy variable is malformed, or names a kind of proxy that is not supported.
    #[error("{variable}: the proxy cannot be used; expected http://HOST:PORT")]
    ProxySetting {
        /// The variable.
        variable: &'static str,
    },
    /// The proxy does not connect to the service.
    #[error("{origin}: the proxy gives no connection: {reason}")]
    Proxy {
        /// Whom the call was for.
        origin: String,
        /// What the proxy said.
        reason: String,
    },
    /// The name of the host is unknown.
    #[error("{host}: the name cannot be resolved: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error.
        reason: String,
    },
    /// The host has private addresses only, and the caller asked for public ones.
    #[error("{host}: the address is private, and only public addresses may be called from here")]
    PrivateAddress {
        /// The host.
        host: String,
    },
    /// No connection came about.
    #[error("{origin}: no connection: {reason}")]
    Connect {
        /// Whom the call was for.
        origin: String,
        /// The system's error.
        reason: String,
    },
    /// The service's certificate is not trusted.
    #[error("{origin}: the certificate is not trusted: {reason}")]
    UntrustedCertificate {
        /// Whom the call was for.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The service and the sidecar do not agree on TLS.
    #[error("{origin}: no TLS connection: {reason}")]
    Handshake {
        /// Whom the call was for.
        origin: String,
        /// Which side objects to what.
        reason: String,
    },
    /// It took too long.
    #[error("{origin}: no complete answer within {limit:?}")]
    Timeout {
        /// Whom the call was for.
        origin: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer is not HTTP, or ended early.
    #[error("{origin}: the answer broke off or is not HTTP: {reason}")]
    Protocol {
        /// Whom the call was for.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than the caller takes.
    #[error("{origin}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Whom the call was for.
        origin: String,
        /// The limit.
        limit: usize,
    },
    /// One redirect followed the other.
    #[error("{origin}: more than {limit} redirects")]
    TooManyRedirects {
        /// Whom the call was for.
        origin: String,
        /// The limit.
        limit: usize,
    },
    /// The target of a redirect is malformed, or less safe than what was asked for.
    #[error("{origin}: the redirect is not followed: {reason}")]
    Redirect {
        /// Who redirects.
        origin: String,
        /// Why it is not followed.
        reason: &'static str,
    },
}

// === impl EgressError ===

impl EgressError {
    /// The reason behind `error`, which came up while `origin` was called.
    pub(super) fn find(error: &(dyn Error + 'static), origin: &str) -> Self {
        let mut next = Some(error);
        let mut reason = error.to_string();
        while let Some(error) = next {
            if let Some(known) = Self::of_one(error, origin) {
                return known;
            }
            reason = error.to_string();
            next = error.source();
        }
        Self::Protocol { origin: origin.to_owned(), reason }
    }

    fn of_one(error: &(dyn Error + 'static), origin: &str) -> Option<Self> {
        if let Some(own) = error.downcast_ref::<Self>() {
            return Some(own.clone());
        }
        let origin = origin.to_owned();
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            let reason = tls.to_string();
            return Some(match tls {
                rustls::Error::InvalidCertificate(_) => {
                    Self::UntrustedCertificate { origin, reason }
                }
                _ => Self::Handshake { origin, reason },
            });
        }
        // An I/O error hides what it wraps from `source`.
        let wrapped = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        Self::of_one(wrapped, &origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_below_wrappers() {
        let private = EgressError::PrivateAddress { host: "a".into() };
        let wrapped = std::io::Error::other(std::io::Error::other(private.clone()));
        assert_eq!(EgressError::find(&wrapped, "http://a"), private);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let refused = EgressError::find(&std::io::Error::other(alert), "https://a");
        assert!(matches!(refused, EgressError::Handshake { .. }), "{refused}");
        let other = EgressError::find(&std::io::Error::other("odd"), "http://a:1");
        assert_eq!(other.to_string(), "http://a:1: the answer broke off or is not HTTP: odd");
    }
}
