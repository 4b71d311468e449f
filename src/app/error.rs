//! Why the sidecar cannot start, or cannot apply new settings or documents.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::handover::HandoverError;
use super::keys::KeyError;
use crate::model::id::SchemaId;
use crate::proxy::TlsSetupError;
use crate::registry::RegisterError;
use crate::storage::StoreError;
use crate::telemetry::metrics::MetricsError;

/// Why the sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The new settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// The settings ask for validation, and there was neither a config file nor a mode that asked for
    /// it when the process started.
    #[error(
        "mode: nothing was to be validated when the sidecar started, with mode off and no config file; restart it"
    )]
    ValidationNotStarted,
    /// A port is taken or may not be used.
    #[error("cannot listen on {address}: {reason}; choose another address with {flag}")]
    Listen {
        /// Address asked for.
        address: SocketAddr,
        /// The error of the operating system.
        reason: std::io::Error,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The document cannot be read.
    #[error("{}: the document cannot be read: {reason}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// The document cannot be registered.
    #[error("{}: {reason}", path.display())]
    Document {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: RegisterError,
    },
    /// No document was named, and no schema is registered under the id.
    #[error(
        "no schema is registered under {}{}; register one, or name a document with --spec",
        id.as_ref().map_or("", SchemaId::as_str),
        version.as_ref().map(|version| format!("@{version}")).unwrap_or_default()
    )]
    UnknownSchema {
        /// The id.
        id: Option<SchemaId>,
        /// The version, when a route pins one.
        version: Option<String>,
    },
    /// The registered schema cannot be loaded.
    #[error("the registered schema cannot be loaded: {0}")]
    Lookup(Arc<RegisterError>),
    /// Storage cannot be opened.
    #[error("storage {place}: {reason}")]
    Storage {
        /// Where it is, without secrets.
        place: String,
        /// What is wrong.
        reason: StoreError,
    },
    /// TLS to an upstream cannot be set up.
    #[error("route {route}: {reason}")]
    Upstream {
        /// The route that calls it.
        route: String,
        /// What is wrong.
        reason: TlsSetupError,
    },
    /// The keys cannot be read.
    #[error("encryption: {0}")]
    Keys(#[from] KeyError),
    /// The settings name operations that the document does not list.
    #[error("operations (route {route}): {problems}")]
    Operations {
        /// The route that names them.
        route: String,
        /// A sentence about each.
        problems: String,
    },
    /// A certificate, a key or an authority cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// The collector of traces cannot be called with these settings.
    #[error("tracing.endpoint: {0}")]
    Egress(#[source] crate::egress::EgressError),
    /// The directory that was named for the spool cannot be used.
    #[error("the spool cannot be used: {0}; name another directory with CVT_SPOOL_DIR")]
    Spool(#[source] crate::pipeline::deliver::spool::SpoolError),
    /// A redaction rule is malformed.
    #[error("redaction: {0}")]
    Redaction(#[from] crate::redaction::InvalidPointer),
    /// There is no process to take over from.
    #[error("--upgrade: {0}")]
    Handover(#[from] HandoverError),
    /// The listeners cannot be shared with the process after this one.
    #[error("the system gives no descriptors: {0}")]
    Descriptors(#[source] std::io::Error),
    /// A signal came before traffic was taken.
    #[error("told to stop before it was ready")]
    Stopped,
    /// Threads or timers cannot be had.
    #[error("cannot start threads: {0}")]
    Threads(#[source] std::io::Error),
    /// An instrument's name is taken.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}
