//! What happens beside traffic: names are looked up, addresses checked, certificates reloaded,
//! unused connections swept.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{HOST, USER_AGENT};

use super::Shared;
use super::connect::Connected;
use super::peers::Target;
use crate::proxy::connection::{as_http1, as_http2};
use crate::proxy::link::Patience;
use crate::proxy::pool::Outgoing;
use crate::proxy::tap::Tap;

/// How often names are looked up again and files compared.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps an upstream current for ever.
pub(super) async fn keep(shared: Arc<Shared>) {
    tokio::join!(look(&shared), check(&shared));
}

async fn look(shared: &Shared) {
    loop {
        shared.resolve().await;
        refresh_certificates(shared);
        shared.peers.sweep();
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The files are small and local: reading them takes microseconds.
fn refresh_certificates(shared: &Shared) {
    let Some(tls) = shared.connector.tls() else { return };
    let upstream = shared.name.as_str();
    match tls.refresh() {
        Ok(false) => {}
        Ok(true) => tracing::info!(
            event = "upstream_certificates_reloaded",
            upstream,
            "new connections use the new files"
        ),
        Err(error) => tracing::error!(
            event = "upstream_certificates_not_reloaded",
            upstream,
            %error,
            "the certificates in use stay"
        ),
    }
}

async fn check(shared: &Arc<Shared>) {
    const FIRST: Duration = Duration::from_millis(20);
    loop {
        let targets = shared.peers.targets();
        let checks: Vec<_> = targets
            .iter()
            .map(|target| {
                let (shared, target) = (shared.clone(), target.clone());
                // Each on its own: one that hangs delays no other.
                tokio::spawn(async move { (shared.is_well(&target).await, target) })
            })
            .collect();
        let mut up = 0;
        for check in checks {
            if let Ok((well, target)) = check.await {
                shared.found(&target, well);
                up += usize::from(well);
            }
        }
        shared.metrics.endpoints(&shared.name, up, targets.len() - up);
        let pause = if targets.is_empty() { FIRST } else { shared.settings.health.interval };
        tokio::time::sleep(pause).await;
    }
}

// === impl Shared ===

impl Shared {
    async fn is_well(&self, target: &Target) -> bool {
        let checking = self.checked(target);
        tokio::time::timeout(self.settings.health.timeout, checking).await.is_ok_and(|well| well)
    }

    async fn checked(&self, target: &Target) -> bool {
        let Some(path) = &self.settings.health.path else {
            return tokio::net::TcpStream::connect(target.address).await.is_ok();
        };
        let Some(address) = self.settings.addresses.get(target.origin) else { return false };
        let request = Request::get(path.as_str())
            .header(HOST, address.authority())
            .header(USER_AGENT, "cvt-sidecar")
            .body(Outgoing::new(Tap::empty()));
        let (Ok(mut request), Ok(connected)) =
            (request, self.connector.connect(target, false).await)
        else {
            return false;
        };
        let answer = match connected {
            Connected::Http1(mut link) => {
                as_http1(&mut request);
                let (timeout, since) = (self.settings.health.timeout, self.clock.instant());
                let patience = Patience { timeout, progress: None, since };
                link.send(request, patience).await.ok().and_then(Result::ok)
            }
            Connected::Http2(mut sender) => {
                as_http2(&mut request, target.encrypted);
                sender.send_request(request).await.ok()
            }
        };
        let (from, to) = self.settings.health.statuses;
        answer.is_some_and(|answer| (from..=to).contains(&answer.status().as_u16()))
    }
}
