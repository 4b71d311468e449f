//! The admin edge: metrics and health.
//!
//! Invariants: it never sees `proxy`, listens on loopback unless told otherwise, and no
//! answer carries a payload value. A new endpoint is a file under `http/` and a line in
//! [`router`].

mod metrics;
mod tls;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::control::health::{self, Readiness};
use crate::telemetry::metrics::{Metrics, MetricsError};
use crate::tls::Acceptor;
use metrics::ReadyMetrics;

/// What the admin edge serves.
#[derive(Clone)]
pub struct Admin {
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
    ready: ReadyMetrics,
}

// === impl Admin ===

impl Admin {
    /// Shows `metrics`, and asks `readiness`.
    pub fn new(metrics: Metrics, readiness: Arc<dyn Readiness>) -> Result<Self, MetricsError> {
        let ready = ReadyMetrics::new(&metrics)?;
        Ok(Self { metrics, readiness, ready })
    }
}

/// Serves until `stop` completes; encrypted when there is an identity to encrypt with.
pub async fn serve(
    listener: TcpListener,
    identity: Option<Acceptor>,
    admin: Admin,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(admin);
    match identity {
        Some(identity) => {
            let listener = tls::TlsListener::new(listener, identity)?;
            axum::serve(listener, router).with_graceful_shutdown(stop).await
        }
        None => axum::serve(listener, router).with_graceful_shutdown(stop).await,
    }
}

/// The endpoints.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.ready.record(&health::summary(&*admin.readiness, false).await);
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => {
            tracing::error!(event = "metrics_failed", %error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 503 where traffic cannot be served as configured; with `?storage=1` also where storage fails.
async fn readyz(State(admin): State<Admin>, Query(asked): Query<ReadyQuery>) -> Response {
    let storage_counts = asked.storage.as_deref() == Some("1");
    let summary = health::summary(&*admin.readiness, storage_counts).await;
    let status = if summary.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(summary)).into_response()
}

/// What `/readyz` may be asked.
#[derive(Debug, Deserialize)]
struct ReadyQuery {
    storage: Option<String>,
}
