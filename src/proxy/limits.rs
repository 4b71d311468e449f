//! What one exchange may take, decided before anything is done for it.
//!
//! Invariants: without limits it costs a comparison; memory is fixed, however many callers
//! there are; a rejected caller gets `Retry-After`. Rates are counted here and not with
//! pingora-limits, which reads the clock itself, forgets everything at each second's end, so
//! that twice the rate passes around it, and subtracts times in an order that may panic.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use http::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::{GaugeGuard, ProxyMetrics};
use crate::config::limits::ExchangeLimits;
use crate::model::clock::Clock;

/// Cells per row in which addresses are counted.
const CELLS: usize = 4096;
const NANOS: u64 = 1_000_000_000;

/// The limits of exchanges.
pub struct ExchangeLimiter {
    settings: ExchangeLimits,
    rate: Option<RequestRateLimiter>,
    client_rates: Option<ClientRateLimiter>,
    concurrency: Option<ConcurrencyLimit>,
    clock: Arc<dyn Clock>,
}

/// Permission for one exchange to run; returned when it is dropped.
#[derive(Debug, Default)]
pub struct ConcurrencyPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why an exchange is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitExceeded {
    /// The request's target is too long.
    Target,
    /// The request announces a body that is too long.
    Body,
    /// There are too many requests; more may come after this time.
    Rate(Duration),
    /// There are too many requests from this address; more may come after this time.
    ClientRate(Duration),
    /// Too many exchanges are under way, and too many wait.
    Busy,
    /// An exchange waited too long for a permit.
    QueueTimeout,
}

/// Requests a second, evenly: a second's worth may come at once, then one by one (the generic
/// cell rate algorithm: one number says when the next one is due).
struct RequestRateLimiter {
    next_due: AtomicU64,
    period: u64,
    origin: Instant,
}

/// A rate for each address. Addresses share cells by hash; each has one in two rows and is
/// refused only where both are full, so that a neighbour in one of them does no harm.
struct ClientRateLimiter {
    rows: [Box<[RequestRateLimiter]>; 2],
    hashers: [RandomState; 2],
}

/// The exchanges that may run at once, and the queue of those that wait.
struct ConcurrencyLimit {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    timeout: Duration,
    metrics: ProxyMetrics,
}

/// Counts one waiting exchange.
struct WaiterGuard<'a>(&'a AtomicUsize);

// === impl ExchangeLimiter ===

impl ExchangeLimiter {
    /// The limits that `settings` ask for.
    pub fn new(settings: ExchangeLimits, metrics: &ProxyMetrics, clock: Arc<dyn Clock>) -> Self {
        let origin = clock.instant();
        Self {
            rate: settings.rate.map(|rate| RequestRateLimiter::new(rate.get(), origin)),
            client_rates: settings
                .client_rate
                .map(|rate| ClientRateLimiter::new(rate.get(), origin)),
            concurrency: settings.concurrency.map(|permits| ConcurrencyLimit {
                permits: Arc::new(Semaphore::new(
                    usize::try_from(permits.get()).map_or(Semaphore::MAX_PERMITS, |permits| {
                        permits.min(Semaphore::MAX_PERMITS)
                    }),
                )),
                waiting: AtomicUsize::new(0),
                max_waiting: settings.queue,
                timeout: settings.queue_timeout,
                metrics: metrics.clone(),
            }),
            settings,
            clock,
        }
    }

    /// Admits `request`, at once or when a permit is free.
    pub async fn admit<B>(
        &self,
        request: &Request<B>,
        from: Option<IpAddr>,
    ) -> Result<ConcurrencyPermit, LimitExceeded> {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.settings.target {
            return Err(LimitExceeded::Target);
        }
        if self.rate.is_some() || self.client_rates.is_some() {
            self.check_rates(from)?;
        }
        match &self.concurrency {
            None => Ok(ConcurrencyPermit::default()),
            Some(concurrency) => concurrency.acquire().await,
        }
    }

    /// One address's rate comes first: a caller over it takes nothing from the others.
    fn check_rates(&self, from: Option<IpAddr>) -> Result<(), LimitExceeded> {
        let now = self.clock.instant();
        if let (Some(client_rates), Some(from)) = (&self.client_rates, from) {
            client_rates.acquire(from, now).map_err(LimitExceeded::ClientRate)?;
        }
        match &self.rate {
            Some(rate) => rate.acquire(now).map_err(LimitExceeded::Rate),
            None => Ok(()),
        }
    }
}

// === impl LimitExceeded ===

impl LimitExceeded {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target_too_long",
            Self::Body => "request_body_too_large",
            Self::Rate(_) => "rate",
            Self::ClientRate(_) => "client_rate",
            Self::Busy => "busy",
            Self::QueueTimeout => "queue_timeout",
        }
    }
}

// === impl RequestRateLimiter ===

impl RequestRateLimiter {
    fn new(per_second: u64, origin: Instant) -> Self {
        Self { next_due: AtomicU64::new(0), period: NANOS / per_second.max(1), origin }
    }

    /// Counts one, or says how long to wait.
    fn acquire(&self, now: Instant) -> Result<(), Duration> {
        let now = self.nanos(now);
        let mut next_due = self.next_due.load(Ordering::Relaxed);
        loop {
            let next = next_due.max(now) + self.period;
            if next > now + NANOS.max(self.period) {
                return Err(Duration::from_nanos(next - now - NANOS.max(self.period)));
            }
            let set = self.next_due.compare_exchange_weak(
                next_due,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match set {
                Ok(_) => return Ok(()),
                Err(changed) => next_due = changed,
            }
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

// === impl ClientRateLimiter ===

impl ClientRateLimiter {
    fn new(per_second: u64, origin: Instant) -> Self {
        let row = || (0..CELLS).map(|_| RequestRateLimiter::new(per_second, origin)).collect();
        Self { rows: [row(), row()], hashers: [RandomState::default(), RandomState::default()] }
    }

    fn acquire(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = network(from);
        let acquire = |row: usize| {
            let hash = usize::try_from(self.hashers[row].hash_one(key) % CELLS as u64);
            self.rows[row][hash.unwrap_or(0)].acquire(now)
        };
        match (acquire(0), acquire(1)) {
            (Err(one), Err(other)) => Err(one.min(other)),
            _ => Ok(()),
        }
    }
}

/// What counts as one address: of IPv6 its /64 network.
fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => u128::from(address.to_bits()),
            None => address.to_bits() >> 64 << 64,
        },
    }
}

// === impl ConcurrencyLimit ===

impl ConcurrencyLimit {
    async fn acquire(&self) -> Result<ConcurrencyPermit, LimitExceeded> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(ConcurrencyPermit { _permit: Some(permit) });
        }
        let Some(_waiting) = WaiterGuard::new(&self.waiting, self.max_waiting) else {
            return Err(LimitExceeded::Busy);
        };
        let _gauge = GaugeGuard::new(&self.metrics.queued);
        match tokio::time::timeout(self.timeout, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(ConcurrencyPermit { _permit: Some(permit) }),
            _ => Err(LimitExceeded::QueueTimeout),
        }
    }
}

// === impl WaiterGuard ===

impl<'a> WaiterGuard<'a> {
    fn new(waiting: &'a AtomicUsize, max_waiting: usize) -> Option<Self> {
        let guard = Self(waiting);
        (waiting.fetch_add(1, Ordering::AcqRel) < max_waiting).then_some(guard)
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::model::clock::{ManualClock, Timestamp};
    use crate::telemetry::metrics::Metrics;

    fn limits(change: impl FnOnce(&mut ExchangeLimits)) -> (ExchangeLimiter, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let mut settings = ExchangeLimits::default();
        change(&mut settings);
        let metrics = ProxyMetrics::new(&Metrics::default()).unwrap();
        (ExchangeLimiter::new(settings, &metrics, clock.clone()), clock)
    }

    fn request() -> Request<()> {
        Request::get("/users/1").body(()).unwrap()
    }

    async fn admitted(limits: &ExchangeLimiter, from: &str, times: usize) -> usize {
        let from = Some(from.parse().unwrap());
        let mut admitted = 0;
        for _ in 0..times {
            admitted += usize::from(limits.admit(&request(), from).await.is_ok());
        }
        admitted
    }

    #[tokio::test]
    async fn a_rate_allows_a_burst_of_one_second_and_then_even_spacing() {
        let (limits, clock) = limits(|it| it.rate = NonZeroU64::new(10));
        assert_eq!(admitted(&limits, "10.0.0.1", 20).await, 10);
        clock.advance(Duration::from_millis(100));
        assert_eq!(admitted(&limits, "10.0.0.2", 20).await, 1);
        let exceeded = limits.admit(&request(), None).await.unwrap_err();
        assert_eq!(exceeded, LimitExceeded::Rate(Duration::from_millis(100)));
        clock.advance(Duration::from_mins(1));
        assert_eq!(admitted(&limits, "10.0.0.1", 20).await, 10);
    }

    #[tokio::test]
    async fn an_address_over_its_rate_does_not_limit_the_others() {
        let (limits, _clock) = limits(|it| {
            it.client_rate = NonZeroU64::new(5);
            it.rate = NonZeroU64::new(100);
        });
        assert_eq!(admitted(&limits, "10.0.0.1", 1000).await, 5);
        assert_eq!(admitted(&limits, "10.0.0.2", 1000).await, 5);
        assert_eq!(admitted(&limits, "2001:db8::1", 3).await, 3);
        assert_eq!(admitted(&limits, "2001:db8::2", 1000).await, 2, "the same network");
    }

    #[tokio::test]
    async fn a_rate_below_one_a_second_cannot_be_set_and_one_a_second_holds() {
        let (limits, clock) = limits(|it| it.rate = NonZeroU64::new(1));
        assert_eq!(admitted(&limits, "10.0.0.1", 9).await, 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(admitted(&limits, "10.0.0.1", 9).await, 1);
    }

    #[tokio::test]
    async fn exchanges_wait_for_a_permit_until_the_queue_timeout() {
        let one_at_a_time = |timeout| {
            let change = |it: &mut ExchangeLimits| {
                it.concurrency = NonZeroU64::new(1);
                it.queue = 1;
                it.queue_timeout = timeout;
            };
            Arc::new(limits(change).0)
        };
        let patient = one_at_a_time(Duration::from_hours(1));
        let first = patient.admit(&request(), None).await.unwrap();
        let second = tokio::spawn({
            let patient = patient.clone();
            async move { patient.admit(&request(), None).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(patient.admit(&request(), None).await.unwrap_err(), LimitExceeded::Busy);
        drop(first);
        assert_eq!(second.await.unwrap(), Ok(()));
        let brief = one_at_a_time(Duration::from_millis(1));
        let _held = brief.admit(&request(), None).await.unwrap();
        assert_eq!(brief.admit(&request(), None).await.unwrap_err(), LimitExceeded::QueueTimeout);
    }

    #[tokio::test]
    async fn targets_over_the_limit_are_rejected() {
        let (limits, _clock) = limits(|it| it.target = 10);
        assert_eq!(limits.admit(&request(), None).await.map(drop), Ok(()));
        let long = Request::get("/a?b=345678").body(()).unwrap();
        assert_eq!(limits.admit(&long, None).await.unwrap_err(), LimitExceeded::Target);
    }
}
