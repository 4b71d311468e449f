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
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::telemetry::metrics::{Metrics, MetricsError};
use crate::tls::Acceptor;
use metrics::ReadyMetrics;

/// One part of the sidecar that can fail.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// `upstream`, `storage`, `contract` or `phase`.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// A sentence about it.
    pub detail: String,
    /// Whether traffic cannot be served as configured while it is not well. Other failures leave
    /// the sidecar ready, and degraded.
    pub blocks_traffic: bool,
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

/// 503 where traffic cannot be served as configured; with `?storage=1` also where storage fails.
async fn readyz(State(admin): State<Admin>, Query(asked): Query<ReadyQuery>) -> Response {
    let checks = admin.readiness.checks().await;
    let storage_counts = asked.storage.as_deref() == Some("1");
    let blocks = |check: &Check| check.blocks_traffic || storage_counts && check.name == "storage";
    let ready = checks.iter().all(|check| check.ok || !blocks(check));
    let degraded = is_degraded(&checks);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": ready, "degraded": degraded, "checks": checks });
    (status, axum::Json(body)).into_response()
}

/// What `/readyz` may be asked.
#[derive(Debug, Deserialize)]
struct ReadyQuery {
    storage: Option<String>,
}

/// Whether something is not well that traffic does without.
fn is_degraded(checks: &[Check]) -> bool {
    checks.iter().any(|check| !check.ok && !check.blocks_traffic)
}
