//! A certificate, its key and the authorities of callers, read from PEM files and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::tls::{ClientAuth, ServerTls};

/// Why an identity cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("{} and {}: {reason}", cert_file.display(), key_file.display())]
    Unusable {
        /// The certificate's path.
        cert_file: PathBuf,
        /// The key's path.
        key_file: PathBuf,
        /// What is wrong.
        reason: rustls::Error,
    },
}

/// The bytes of an identity's files, to tell whether anything changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdentityFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

/// A checked identity.
pub(super) struct ServerIdentity {
    pub(super) config: Arc<ServerConfig>,
    /// When its certificate ends, in seconds since the epoch.
    pub(super) not_after: i64,
}

// === impl IdentityFiles ===

impl IdentityFiles {
    /// Reads the files; blocking, and small.
    pub(super) fn read(settings: &ServerTls) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|reason| TlsError::Unreadable { path: path.to_owned(), reason })
        };
        let ca = authorities(&settings.client_auth).map(read).transpose()?;
        Ok(Self { cert: read(&settings.cert_file)?, key: read(&settings.key_file)?, ca })
    }

    /// Checks what was read and makes it usable.
    pub(super) fn check(
        &self,
        settings: &ServerTls,
        protocols: &[&[u8]],
    ) -> Result<ServerIdentity, TlsError> {
        let chain = certificates(&self.cert, &settings.cert_file)?;
        let not_after = X509Certificate::from_der(&chain[0])
            .map_err(|error| malformed(&settings.cert_file, format!("not X.509: {error}")))?
            .1
            .validity()
            .not_after
            .timestamp();
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            let reason = match error {
                pem::Error::NoItemsFound => "holds no private key (an encrypted one will not do)",
                _ => "not a private key in PEM form",
            };
            malformed(&settings.key_file, reason)
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(settings, &provider)?;
        let unusable = |reason| TlsError::Unusable {
            cert_file: settings.cert_file.clone(),
            key_file: settings.key_file.clone(),
            reason,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // Sessions resume without memory of ours; a reload begins with a ticket key of its own,
        // so no session outlives a change of authorities.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
        Ok(ServerIdentity { config: Arc::new(config), not_after })
    }

    fn verifier(
        &self,
        settings: &ServerTls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (Some(path), Some(pem)) = (authorities(&settings.client_auth), &self.ca) else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, path)? {
            roots.add(certificate).map_err(|error| malformed(path, error.to_string()))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let builder = match settings.client_auth {
            ClientAuth::Request(_) => builder.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Require(_) => builder,
        };
        builder.build().map_err(|error| malformed(path, error.to_string()))
    }
}

/// The file of the authorities that vouch for callers, if callers are asked.
fn authorities(client_auth: &ClientAuth) -> Option<&Path> {
    match client_auth {
        ClientAuth::None => None,
        ClientAuth::Request(path) | ClientAuth::Require(path) => Some(path),
    }
}

/// At least one certificate.
fn certificates(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(malformed(path, "holds no certificate in PEM form")),
        Err(error) => Err(malformed(path, format!("not PEM: {error}"))),
    }
}

fn malformed(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::Malformed { path: path.to_owned(), reason: reason.into() }
}

/// The subject of a certificate as text, such as `O=Example, CN=billing`.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.subject().to_string().into())
}
