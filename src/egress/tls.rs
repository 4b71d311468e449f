//! TLS of our own calls: whom we trust and what we show.
//!
//! Invariants: nothing is sent to a service whose certificate is not trusted; files are read when
//! a connection is opened, so a renewed certificate is used from the next one on; what cannot be
//! read then leaves the last good state in force and is logged once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

use super::error::EgressError;

/// Whose certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// What an authority signed that the system trusts.
    System,
    /// What an authority signed that is in this PEM file.
    Authorities(PathBuf),
    /// The first certificate of this PEM file itself, whatever its names: for a service whose
    /// files we can read.
    Certificate(PathBuf),
}

/// TLS as configured, read when it is first needed.
pub(super) struct EgressTls {
    trust: ServerTrust,
    identity: Option<(PathBuf, PathBuf)>,
    loaded: Mutex<Option<LoadedTls>>,
}

struct LoadedTls {
    files: TlsFileBytes,
    config: Arc<ClientConfig>,
    /// Whether the files could not be read since.
    stale: bool,
}

/// The bytes of the files, to detect that one was changed.
#[derive(PartialEq, Eq)]
struct TlsFileBytes {
    trust: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Takes one certificate, from the peer that has its key.
#[derive(Debug)]
struct PinnedCertificate {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

// === impl EgressTls ===

impl EgressTls {
    pub(super) fn new(trust: ServerTrust, identity: Option<(PathBuf, PathBuf)>) -> Self {
        Self { trust, identity, loaded: Mutex::new(None) }
    }

    /// What a connection is set up with. Reads files.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let mut loaded = self.loaded.lock();
        let read = self.read().and_then(|files| match &*loaded {
            Some(last) if last.files == files => Ok((files, last.config.clone())),
            _ => self.build(&files).map(|config| (files, Arc::new(config))),
        });
        match (read, &mut *loaded) {
            (Ok((files, config)), loaded) => {
                *loaded = Some(LoadedTls { files, config: config.clone(), stale: false });
                Ok(config)
            }
            (Err(error), Some(last)) => {
                if !std::mem::replace(&mut last.stale, true) {
                    tracing::warn!(event = "egress_tls_stale", %error, "the last good files are used");
                }
                Ok(last.config.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn read(&self) -> Result<TlsFileBytes, EgressError> {
        let read = |path: &PathBuf| {
            let unreadable =
                |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
            std::fs::read(path).map_err(unreadable)
        };
        let trust = match &self.trust {
            ServerTrust::System => None,
            ServerTrust::Authorities(path) | ServerTrust::Certificate(path) => Some(read(path)?),
        };
        let identity = match &self.identity {
            Some((cert, key)) => Some((read(cert)?, read(key)?)),
            None => None,
        };
        Ok(TlsFileBytes { trust, identity })
    }

    fn build(&self, files: &TlsFileBytes) -> Result<ClientConfig, EgressError> {
        let unusable = |error: rustls::Error| EgressError::TlsSetup(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let pem = files.trust.as_deref().unwrap_or_default();
        let builder = match &self.trust {
            ServerTrust::System => builder.with_root_certificates(system_roots()?),
            ServerTrust::Authorities(path) => builder.with_root_certificates(roots(path, pem)?),
            ServerTrust::Certificate(path) => {
                let certificate = certificates(path, pem)?.swap_remove(0);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(PinnedCertificate {
                    certificate,
                    provider,
                }))
            }
        };
        let mut config = match (&self.identity, &files.identity) {
            (Some((cert_path, key_path)), Some((cert, key))) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| file_error(key_path, "expected a private key in PEM form"))?;
                builder
                    .with_client_auth_cert(certificates(cert_path, cert)?, key)
                    .map_err(unusable)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn system_roots() -> Result<RootCertStore, EgressError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let reason = "the system trusts no authorities; name some with egress.ca_file";
        return Err(EgressError::TlsSetup(reason.into()));
    }
    Ok(roots)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, EgressError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        let unusable = |_| file_error(path, "expected certificates of authorities");
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}

/// The certificates in `pem`, at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| file_error(path, "expected certificates in PEM form"))
}

fn file_error(path: &Path, reason: impl Into<String>) -> EgressError {
    EgressError::TlsFile { path: path.to_owned(), reason: reason.into() }
}

// === impl PinnedCertificate ===

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        let reason = std::io::Error::other("it is not the configured one");
        Err(CertificateError::Other(OtherError(Arc::new(reason))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
