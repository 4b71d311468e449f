//! A service that speaks HTTP/1.1 and HTTP/2, in plain text or over TLS, and a caller over
//! HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::certificates::CertificateFiles;
use super::eventually;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedRequest {
    /// Which HTTP carried it.
    pub(crate) version: Version,
    /// Its target; over HTTP/2 with the authority.
    pub(crate) target: Uri,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    /// Whether the connection showed a certificate.
    pub(crate) certified: bool,
}

/// A running service that answers every request with its body, and a trailer `grpc-status: 0`.
pub(crate) struct H2Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    _runtime: Runtime,
}

/// A response to a call over HTTP/2, whole.
#[derive(Debug)]
pub(crate) struct H2CallResponse {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Bytes,
    /// Its trailers.
    pub(crate) trailers: HeaderMap,
}

// === impl H2Upstream ===

impl H2Upstream {
    /// Starts it on a free port, over TLS when `tls` is given.
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        runtime.spawn(accept(listener, tls.map(TlsAcceptor::from), Arc::clone(&seen)));
        Self { address, seen, _runtime: runtime }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, once there are `n`.
    #[track_caller]
    pub(crate) fn wait_for(&self, n: usize) -> Vec<ReceivedRequest> {
        eventually("requests at the service", || {
            let seen = self.seen.lock().expect("requests").clone();
            if seen.len() >= n { Ok(seen) } else { Err(format!("{seen:?}")) }
        })
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let Some(tls) = tls else { return serve(stream, false, seen).await };
            if let Ok(stream) = tls.accept(stream).await {
                let certified = stream.get_ref().1.peer_certificates().is_some();
                serve(stream, certified, seen).await;
            }
        });
    }
}

async fn serve<S>(stream: S, certified: bool, seen: Arc<Mutex<Vec<ReceivedRequest>>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            seen.lock().expect("requests").push(ReceivedRequest {
                version: parts.version,
                target: parts.uri,
                headers: parts.headers,
                certified,
            });
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(echo(body))
        }
    });
    // A connection that breaks off is the other side's affair.
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn echo(body: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(body).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("trailer", HeaderValue::from_static("grpc-status"));
    response
}

/// What a server with `identity` is set up with; callers must show a certificate that `vouches`
/// signed, where it is given.
pub(crate) fn server(
    identity: &CertificateFiles,
    vouches: Option<&Path>,
    protocols: &[&str],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match vouches {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let cert = CertificateDer::from_pem_file(&identity.cert).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    let mut config = builder.with_single_cert(vec![cert], key).expect("an identity");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Sends `requests` at once on one connection over HTTP/2, and reads every response whole.
pub(crate) fn call_all(
    address: SocketAddr,
    requests: Vec<Request<Vec<u8>>>,
) -> Vec<H2CallResponse> {
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        let calls: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let mut sender = sender.clone();
                tokio::spawn(async move {
                    let request = request.map(|body| Full::new(Bytes::from(body)));
                    let response = sender.send_request(request).await.expect("a response");
                    let status = response.status().as_u16();
                    let body = response.into_body().collect().await.expect("a whole body");
                    let trailers = body.trailers().cloned().unwrap_or_default();
                    H2CallResponse { status, body: body.to_bytes(), trailers }
                })
            })
            .collect();
        let mut called = Vec::new();
        for call in calls {
            called.push(call.await.expect("an answered call"));
        }
        called
    })
}
