//! The collector of traces, called through `egress`.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, StatusCode};

use crate::config::egress::OutboundSettings;
use crate::config::tracing::CollectorAddress;
use crate::egress::{EgressClient, EgressError, EgressRequest, EgressSettings};
use crate::telemetry::spans::{SpanTransport, SpanTransportError};

/// The longest that one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts spans to the collector.
pub(super) struct CollectorTransport {
    client: EgressClient,
    url: String,
}

// === impl CollectorTransport ===

impl CollectorTransport {
    /// A transport to `collector`. Nothing is connected before there are spans.
    pub(super) fn new(
        collector: &CollectorAddress,
        settings: &OutboundSettings,
    ) -> Result<Self, EgressError> {
        let url = collector.url();
        EgressRequest::get(&url)?;
        let client = EgressClient::new(EgressSettings::configured(settings, EXPORT_TIMEOUT));
        if collector.encrypted {
            client.check_tls()?;
        }
        Ok(Self { client, url })
    }
}

#[async_trait]
impl SpanTransport for CollectorTransport {
    async fn export(&self, request: Vec<u8>) -> Result<(), SpanTransportError> {
        let failed = |error: EgressError| SpanTransportError(error.to_string());
        let json = HeaderValue::from_static("application/json");
        let request = EgressRequest::post(&self.url, json, request).map_err(failed)?;
        let response = self.client.send(request).await.map_err(failed)?;
        let status = response.status;
        // Read to the end, so that the connection serves the next batch too.
        let _ = response.bytes().await;
        if status == StatusCode::OK {
            return Ok(());
        }
        Err(SpanTransportError(format!("the collector answers with status {}", status.as_u16())))
    }
}
