//! TLS to an upstream: trusted authorities, our identity, and files that change.
//!
//! Invariants: without `verify: false` nothing is sent to a service whose certificate is not
//! vouched for; what cannot be loaded leaves the last good state in force and is logged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::upstream::{Protocol, UpstreamSettings, UpstreamTls};

/// HTTP/2, by its name in a handshake.
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why TLS to an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {expected}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// The system names no authorities.
    #[error("the system trusts no authorities; name some with upstream_tls.ca_file")]
    NoAuthorities,
    /// The name cannot stand in a certificate.
    #[error("{0:?} is no name of a service; set upstream_tls.server_name")]
    Name(String, #[source] InvalidDnsNameError),
    /// Certificate and key cannot be used.
    #[error("the certificate in upstream_tls cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// TLS to one upstream.
pub struct TlsClient {
    settings: UpstreamTls,
    protocol: Protocol,
    /// The name that the certificate must have, for each configured address.
    names: Vec<ServerName<'static>>,
    current: ArcSwap<ClientConfigs>,
    last_read: Mutex<TlsFiles>,
}

/// The same trust, with and without HTTP/2 on offer.
struct ClientConfigs {
    preferred: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

/// The bytes of the files, to tell whether anything changed.
#[derive(PartialEq, Eq, Clone, Default)]
struct TlsFiles {
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Takes any certificate, and checks only that the peer has its key.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

// === impl TlsClient ===

impl TlsClient {
    /// TLS as `settings` say, if they ask for it.
    pub fn of(settings: &UpstreamSettings) -> Result<Option<Self>, TlsSetupError> {
        if !settings.encrypted() {
            return Ok(None);
        }
        let name = |host: &str| {
            let named = ServerName::try_from(host.to_owned());
            named.map_err(|error| TlsSetupError::Name(host.to_owned(), error))
        };
        let own = settings.tls.server_name.as_deref();
        let names = settings.addresses.iter().map(|address| name(own.unwrap_or(&address.host)));
        let names = names.collect::<Result<_, _>>()?;
        let files = TlsFiles::read(&settings.tls)?;
        let configs = files.check(&settings.tls, settings.protocol)?;
        if !settings.tls.verify {
            tracing::warn!(
                event = "upstream_not_verified",
                upstream = settings.name(),
                "upstream_tls.verify is false: anybody on the way may read and change traffic"
            );
        }
        Ok(Some(Self {
            settings: settings.tls.clone(),
            protocol: settings.protocol,
            names,
            current: ArcSwap::from_pointee(configs),
            last_read: Mutex::new(files),
        }))
    }

    /// Shakes hands on `stream`, which leads to the configured address `address_index`. Also says
    /// whether HTTP/2 was agreed on.
    pub async fn connect(
        &self,
        stream: TcpStream,
        address_index: usize,
        only_http1: bool,
    ) -> std::io::Result<(TlsStream<TcpStream>, bool)> {
        let name = self.names.get(address_index).cloned().ok_or(std::io::ErrorKind::NotFound)?;
        let configs = self.current.load_full();
        let config = if only_http1 { &configs.http1 } else { &configs.preferred };
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        Ok((stream, http2))
    }

    /// Takes over files that changed. Connections that exist go on.
    pub fn refresh(&self) -> Result<bool, TlsSetupError> {
        let files = TlsFiles::read(&self.settings)?;
        let mut last_read = self.last_read.lock();
        if files == *last_read {
            return Ok(false);
        }
        let checked = files.check(&self.settings, self.protocol);
        // A defect is reported once.
        *last_read = files;
        self.current.store(Arc::new(checked?));
        Ok(true)
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn read(settings: &UpstreamTls) -> Result<Self, TlsSetupError> {
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|reason| TlsSetupError::Unreadable { path: path.clone(), reason })
        };
        let identity = match &settings.identity {
            Some((cert, key)) => Some((read(cert)?, read(key)?)),
            None => None,
        };
        Ok(Self { authorities: settings.ca_file.as_ref().map(read).transpose()?, identity })
    }

    fn check(
        &self,
        settings: &UpstreamTls,
        protocol: Protocol,
    ) -> Result<ClientConfigs, TlsSetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = if settings.verify {
            builder.with_root_certificates(self.roots(settings)?)
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
        };
        let mut config = match (&settings.identity, &self.identity) {
            (Some((cert_file, key_file)), Some((cert, key))) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| malformed(key_file, "expected a private key in PEM form"))?;
                builder.with_client_auth_cert(certificates(cert, cert_file)?, key)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![HTTP1.to_vec()],
            Protocol::Http2 => vec![H2.to_vec()],
            Protocol::Auto => vec![H2.to_vec(), HTTP1.to_vec()],
        };
        Ok(ClientConfigs { preferred: Arc::new(config), http1 })
    }

    fn roots(&self, settings: &UpstreamTls) -> Result<RootCertStore, TlsSetupError> {
        let mut roots = RootCertStore::empty();
        let (Some(path), Some(pem)) = (&settings.ca_file, &self.authorities) else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() { Err(TlsSetupError::NoAuthorities) } else { Ok(roots) };
        };
        for certificate in certificates(pem, path)? {
            roots
                .add(certificate)
                .map_err(|_| malformed(path, "expected certificates of authorities"))?;
        }
        Ok(roots)
    }
}

/// At least one certificate.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| malformed(path, "expected certificates in PEM form"))
}

fn malformed(path: &Path, expected: &'static str) -> TlsSetupError {
    TlsSetupError::Malformed { path: path.to_owned(), expected }
}

// === impl AcceptAnyCertificate ===

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
