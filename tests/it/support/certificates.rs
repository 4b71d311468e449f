//! Certificates made for one test, and a downstream that speaks TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// An authority and what it signs, as PEM files in a directory of their own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// A certificate and its key.
pub(crate) struct CertificateFiles {
    /// PEM file of the certificate.
    pub(crate) cert: PathBuf,
    /// PEM file of its key.
    pub(crate) key: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// A new authority that is not trusted anywhere yet.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let dir = TempDir::new().expect("a temporary directory");
        std::fs::write(dir.path().join("ca.crt"), issuer.pem()).expect("a written file");
        Self { issuer, dir }
    }

    /// PEM file of the authority's certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Signs a certificate for localhost whose subject is `name`, ending with the year `until`;
    /// written to files called `file`, over what was there.
    pub(crate) fn sign(&self, file: &str, name: &str, until: i32) -> CertificateFiles {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &*self.issuer).expect("a certificate");
        let path = |suffix: &str| self.dir.path().join(format!("{file}.{suffix}"));
        let identity = CertificateFiles { cert: path("crt"), key: path("key") };
        replace(&identity.key, &key.serialize_pem());
        replace(&identity.cert, &cert.pem());
        identity
    }

    /// What a client that trusts this authority is set up with.
    pub(crate) fn client(&self, shows: Option<&CertificateFiles>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let cert = CertificateDer::from_pem_file(&identity.cert).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
                builder.with_client_auth_cert(vec![cert], key).expect("an identity")
            }
        })
    }
}

/// As an orchestrator does it: never half a file under the name.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a written file");
    std::fs::rename(new, path).expect("a renamed file");
}

/// A TLS connection to `address`, its handshake done; or why there is none.
pub(crate) fn secure(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(config.clone(), name).expect("a session");
    let mut stream = stream;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// Sends `request` and reads to the end of the connection.
pub(crate) fn ask_secured(
    stream: &mut (impl Read + Write),
    request: &str,
) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A peer may end without TLS's own goodbye.
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
