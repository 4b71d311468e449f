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
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::telemetry::metrics::{Metrics, MetricsError};
use crate::tls::Acceptor;
use metrics::ReadyMetrics;

/// One thing that must be well for the sidecar to be ready.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// `upstream`, `storage`, `contract` or `phase`.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// A sentence about it.
    pub detail: String,
}

/// Asks every part how it is.
#[async_trait::async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// The checks, in a stable order.
    async fn checks(&self) -> Vec<Check>;
}

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
    admin.ready.record(&admin.readiness.checks().await);
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => {
            tracing::error!(event = "metrics_failed", %error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let checks = admin.readiness.checks().await;
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": ready, "checks": checks });
    (status, axum::Json(body)).into_response()
}
