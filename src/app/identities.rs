//! The identities of the two listeners, loaded before anything listens.

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::error::StartError;
use crate::config::tls::TlsSettings;
use crate::telemetry::metrics::Metrics;
use crate::tls::Acceptor;
use crate::tls::metrics::TlsInstruments;

/// What callers may speak on an encrypted connection: over traffic both, best first; the admin
/// edge serves HTTP/1.1 alone.
const TRAFFIC_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
const ADMIN_PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Identities of the listeners that are encrypted.
pub(super) struct Identities {
    pub(super) traffic: Option<Acceptor>,
    pub(super) admin: Option<Acceptor>,
}

// === impl Identities ===

impl Identities {
    pub(super) fn load(settings: &TlsSettings, metrics: &Metrics) -> Result<Self, StartError> {
        let instruments = TlsInstruments::new(metrics)?;
        let load = |settings, protocols, listener| {
            Acceptor::load(settings, protocols, instruments.for_listener(listener))
        };
        let traffic = settings.traffic.as_ref();
        let admin = settings.admin.as_ref();
        Ok(Self {
            traffic: traffic.map(|it| load(it, TRAFFIC_PROTOCOLS, "traffic")).transpose()?,
            admin: admin.map(|it| load(it, ADMIN_PROTOCOLS, "admin")).transpose()?,
        })
    }

    /// Keeps them current until `stop` turns true.
    pub(super) fn watch_files(&self, control: &Runtime, stop: &watch::Receiver<bool>) {
        for identity in [&self.traffic, &self.admin].into_iter().flatten() {
            control.spawn(identity.clone().watch_files(stop.clone()));
        }
    }
}
