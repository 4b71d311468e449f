//! Handshakes with the identity that is in force at that moment.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::{IdentityFiles, TlsError, subject};
use super::metrics::{ReloadResult, TlsMetrics};
use crate::config::tls::ServerTls;

/// How often the files are checked. Their contents are compared: an orchestrator that swaps a
/// directory of links changes neither name nor, at times, the time of change.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The identity of one listener. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ArcSwap<ServerConfig>>,
    settings: Arc<ServerTls>,
    protocols: &'static [&'static [u8]],
    metrics: TlsMetrics,
}

/// A connection after its handshake.
pub struct Secured<S> {
    /// The encrypted stream.
    pub stream: TlsStream<S>,
    /// Subject of the caller's certificate, when it showed a good one.
    pub subject: Option<Arc<str>>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The caller does not speak TLS, or not ours, or its certificate is no good.
    #[error("{0}")]
    Failed(#[from] std::io::Error),
    /// The caller took too long.
    #[error("the handshake took too long")]
    TimedOut,
}

// === impl Acceptor ===

impl Acceptor {
    /// Loads the identity that `settings` names, offering `protocols` by ALPN.
    pub fn load(
        settings: &ServerTls,
        protocols: &'static [&'static [u8]],
        metrics: TlsMetrics,
    ) -> Result<Self, TlsError> {
        let identity = IdentityFiles::read(settings)?.check(settings, protocols)?;
        metrics.set_expiry(identity.not_after);
        Ok(Self {
            config: Arc::new(ArcSwap::from(identity.config)),
            settings: Arc::new(settings.clone()),
            protocols,
            metrics,
        })
    }

    /// Performs the handshake on `stream` within `timeout`.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        timeout: Duration,
    ) -> Result<Secured<S>, HandshakeError> {
        let handshake = TlsAcceptor::from(self.config.load_full()).accept(stream);
        let stream = match tokio::time::timeout(timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.metrics.record_failed_handshake();
                return Err(error.into());
            }
            Err(_) => {
                self.metrics.record_timed_out_handshake();
                return Err(HandshakeError::TimedOut);
            }
        };
        self.metrics.record_handshake();
        let certificates = stream.get_ref().1.peer_certificates();
        let subject = certificates.and_then(<[_]>::first).and_then(subject);
        Ok(Secured { stream, subject })
    }

    /// Checks the files at intervals, and at once on SIGHUP, until `stop` turns true.
    /// Handshakes after a change use the new identity; connections that exist go on.
    pub async fn watch_files(self, mut stop: watch::Receiver<bool>) {
        let mut seen = IdentityFiles::read(&self.settings).ok();
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = hangup.recv() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            self.reload_if_changed(&mut seen);
        }
    }

    /// Loads the files if they differ from those `seen` last.
    fn reload_if_changed(&self, seen: &mut Option<IdentityFiles>) {
        let files = match IdentityFiles::read(&self.settings) {
            Ok(files) if seen.as_ref() == Some(&files) => return,
            Ok(files) => files,
            // Files that are being replaced are away for a moment: said once, tried again.
            Err(error) if seen.is_some() => {
                *seen = None;
                return self.record_failure(&error);
            }
            Err(_) => return,
        };
        match files.check(&self.settings, self.protocols) {
            Ok(identity) => {
                self.config.store(identity.config);
                self.metrics.set_expiry(identity.not_after);
                self.metrics.record_reload(ReloadResult::Success);
                let file = self.settings.cert_file.display().to_string();
                tracing::info!(event = "certificate_reloaded", file, "a new certificate is in use");
            }
            Err(error) => self.record_failure(&error),
        }
        *seen = Some(files);
    }

    fn record_failure(&self, error: &TlsError) {
        self.metrics.record_reload(ReloadResult::Failure);
        tracing::error!(
            event = "certificate_not_reloaded",
            %error,
            "the certificate in use stays"
        );
    }
}
