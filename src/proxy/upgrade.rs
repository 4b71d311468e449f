//! Connections that became another protocol: bytes pass both ways until either side is done.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::metrics::Raised;

/// Carries bytes between the two upgraded connections. Ends when both directions have ended
/// or either fails; nothing in the tunnel is judged.
pub async fn tunnel(downstream: OnUpgrade, upstream: OnUpgrade, in_flight: Raised) {
    let _in_flight = in_flight;
    let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else {
        return;
    };
    let mut downstream = TokioIo::new(downstream);
    let mut upstream = TokioIo::new(upstream);
    // A peer that resets an upgraded connection is how most of them end.
    let _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await;
}
