//! What one exchange may take, decided before anything is done for it.
//!
//! What must hold: without limits it costs a comparison; memory is fixed, however many callers
//! there are; whoever is refused is told when to try again. Rates are counted here and not with
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

use super::metrics::{ProxyMetrics, Raised};
use crate::config::limits::ExchangeLimits;
use crate::model::clock::Clock;

/// Cells per row in which addresses are counted.
const CELLS: usize = 4096;
const NANOS: u64 = 1_000_000_000;

/// The limits of exchanges.
pub struct Limits {
    settings: ExchangeLimits,
    rate: Option<Rate>,
    clients: Option<ClientRates>,
    turns: Option<Turns>,
    clock: Arc<dyn Clock>,
}

/// A place among the exchanges that may run at once; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why an exchange is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
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
    /// An exchange waited in vain for its turn.
    Waited,
}

/// Requests a second, evenly: a second's worth may come at once, then one by one (the generic
/// cell rate algorithm: one number says when the next one is due).
struct Rate {
    due: AtomicU64,
    period: u64,
    origin: Instant,
}

/// A rate for each address. Addresses share cells by hash; each has one in two rows and is
/// refused only where both are full, so that a neighbour in one of them does no harm.
struct ClientRates {
    rows: [Box<[Rate]>; 2],
    hashers: [RandomState; 2],
}

/// Exchanges at once, and those that wait.
struct Turns {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
    timeout: Duration,
    metrics: ProxyMetrics,
}

/// One that waits, counted while it does.
struct Waiting<'a>(&'a AtomicUsize);

// === impl Limits ===

impl Limits {
    /// The limits that `settings` ask for.
    pub fn new(settings: ExchangeLimits, metrics: &ProxyMetrics, clock: Arc<dyn Clock>) -> Self {
        let origin = clock.instant();
        Self {
            rate: settings.rate.map(|rate| Rate::new(rate.get(), origin)),
            clients: settings.client_rate.map(|rate| ClientRates::new(rate.get(), origin)),
            turns: settings.concurrency.map(|places| Turns {
                places: Arc::new(Semaphore::new(
                    usize::try_from(places.get()).map_or(Semaphore::MAX_PERMITS, |places| {
                        places.min(Semaphore::MAX_PERMITS)
                    }),
                )),
                waiting: AtomicUsize::new(0),
                most: settings.queue,
                timeout: settings.queue_timeout,
                metrics: metrics.clone(),
            }),
            settings,
            clock,
        }
    }

    /// Lets `request` begin, at once or when it is its turn.
    pub async fn admit<B>(
        &self,
        request: &Request<B>,
        from: Option<IpAddr>,
    ) -> Result<Turn, Excess> {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.settings.target {
            return Err(Excess::Target);
        }
        if self.rate.is_some() || self.clients.is_some() {
            self.count(from)?;
        }
        match &self.turns {
            None => Ok(Turn::default()),
            Some(turns) => turns.take().await,
        }
    }

    /// One address's rate comes first: whoever is over it takes nothing from the others.
    fn count(&self, from: Option<IpAddr>) -> Result<(), Excess> {
        let now = self.clock.instant();
        if let (Some(clients), Some(from)) = (&self.clients, from) {
            clients.count(from, now).map_err(Excess::ClientRate)?;
        }
        match &self.rate {
            Some(rate) => rate.count(now).map_err(Excess::Rate),
            None => Ok(()),
        }
    }
}

// === impl Excess ===

impl Excess {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target_too_long",
            Self::Body => "request_body_too_large",
            Self::Rate(_) => "rate",
            Self::ClientRate(_) => "client_rate",
            Self::Busy => "busy",
            Self::Waited => "queue_timeout",
        }
    }
}

// === impl Rate ===

impl Rate {
    fn new(per_second: u64, origin: Instant) -> Self {
        Self { due: AtomicU64::new(0), period: NANOS / per_second.max(1), origin }
    }

    /// Counts one, or says how long to wait.
    fn count(&self, now: Instant) -> Result<(), Duration> {
        let now = self.nanos(now);
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let next = due.max(now) + self.period;
            if next > now + NANOS.max(self.period) {
                return Err(Duration::from_nanos(next - now - NANOS.max(self.period)));
            }
            let set =
                self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed);
            match set {
                Ok(_) => return Ok(()),
                Err(changed) => due = changed,
            }
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

// === impl ClientRates ===

impl ClientRates {
    fn new(per_second: u64, origin: Instant) -> Self {
        let row = || (0..CELLS).map(|_| Rate::new(per_second, origin)).collect();
        Self { rows: [row(), row()], hashers: [RandomState::default(), RandomState::default()] }
    }

    fn count(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = network(from);
        let count = |row: usize| {
            let hash = usize::try_from(self.hashers[row].hash_one(key) % CELLS as u64);
            self.rows[row][hash.unwrap_or(0)].count(now)
        };
        match (count(0), count(1)) {
            (Err(one), Err(other)) => Err(one.min(other)),
            _ => Ok(()),
        }
    }
}

/// What counts as one address: of IPv6 the network of a household, whose hosts have 2⁶⁴ each.
fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => u128::from(address.to_bits()),
            None => address.to_bits() >> 64 << 64,
        },
    }
}

// === impl Turns ===

impl Turns {
    async fn take(&self) -> Result<Turn, Excess> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(Turn { _permit: Some(permit) });
        }
        let Some(_waiting) = Waiting::new(&self.waiting, self.most) else {
            return Err(Excess::Busy);
        };
        let _shown = Raised::new(&self.metrics.queued);
        match tokio::time::timeout(self.timeout, self.places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: Some(permit) }),
            _ => Err(Excess::Waited),
        }
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::AcqRel) < most).then_some(place)
    }
}

impl Drop for Waiting<'_> {
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

    fn limits(change: impl FnOnce(&mut ExchangeLimits)) -> (Limits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let mut settings = ExchangeLimits::default();
        change(&mut settings);
        let metrics = ProxyMetrics::new(&Metrics::default()).unwrap();
        (Limits::new(settings, &metrics, clock.clone()), clock)
    }

    fn request() -> Request<()> {
        Request::get("/users/1").body(()).unwrap()
    }

    async fn admitted(limits: &Limits, from: &str, times: usize) -> usize {
        let from = Some(from.parse().unwrap());
        let mut admitted = 0;
        for _ in 0..times {
            admitted += usize::from(limits.admit(&request(), from).await.is_ok());
        }
        admitted
    }

    #[tokio::test]
    async fn a_second_s_worth_passes_at_once_and_then_one_by_one() {
        let (limits, clock) = limits(|it| it.rate = NonZeroU64::new(10));
        assert_eq!(admitted(&limits, "10.0.0.1", 20).await, 10);
        clock.advance(Duration::from_millis(100));
        assert_eq!(admitted(&limits, "10.0.0.2", 20).await, 1);
        let excess = limits.admit(&request(), None).await.unwrap_err();
        assert_eq!(excess, Excess::Rate(Duration::from_millis(100)));
        clock.advance(Duration::from_mins(1));
        assert_eq!(admitted(&limits, "10.0.0.1", 20).await, 10);
    }

    #[tokio::test]
    async fn one_address_over_its_rate_costs_the_others_nothing() {
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
    async fn exchanges_wait_for_their_turn_but_not_for_ever() {
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
        assert_eq!(patient.admit(&request(), None).await.unwrap_err(), Excess::Busy);
        drop(first);
        assert_eq!(second.await.unwrap(), Ok(()));
        let brief = one_at_a_time(Duration::from_millis(1));
        let _held = brief.admit(&request(), None).await.unwrap();
        assert_eq!(brief.admit(&request(), None).await.unwrap_err(), Excess::Waited);
    }

    #[tokio::test]
    async fn long_targets_are_refused() {
        let (limits, _clock) = limits(|it| it.target = 10);
        assert_eq!(limits.admit(&request(), None).await.map(drop), Ok(()));
        let long = Request::get("/a?b=345678").body(()).unwrap();
        assert_eq!(limits.admit(&long, None).await.unwrap_err(), Excess::Target);
    }
}
