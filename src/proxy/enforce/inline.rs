//! Validation that traffic waits for.
//!
//! Invariants: what is quick is validated on the traffic thread, what is not on a few threads
//! of their own and within a budget, so that no other exchange waits long; a panic costs the
//! exchange that it happened in; validators are reused with their memory.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::plan::LatencyScore;
use crate::contract::{Contract, OperationIndex};
use crate::exchange::fingerprint::{MessageFingerprint, MessageFingerprinter};
use crate::model::clock::Clock;
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use crate::model::verdict::{SkipReason, Verdict};
use crate::pipeline::usage::UsageRegistry;
use crate::pipeline::validate::{MakeValidator, ValidateExchange};
use crate::validation::RequestValidation;

/// Validators that are kept while unused.
const MAIDLE: usize = 64;

/// The validators of the traffic side, shared by its threads.
pub struct InlineValidators {
    /// A stack: the memory of the one used last is still in the processor's caches.
    idle: Mutex<Vec<ValidatorSlot>>,
    make_validator: MakeValidator,
    usage: UsageRegistry,
    threads: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// A validator, and what fingerprints the messages that it sees.
pub struct ValidatorSlot {
    validator: Box<dyn ValidateExchange>,
    fingerprinter: MessageFingerprinter,
}

/// A verdict, and the fingerprint of its message where there is one.
pub type WithFingerprint<T> = (T, Option<MessageFingerprint>);

// === impl InlineValidators ===

impl InlineValidators {
    /// Validators made by `make_validator`; at most `threads` run beside the traffic threads. What they
    /// validator is sketched for the counts of `usage`.
    pub fn new(
        make_validator: MakeValidator,
        threads: usize,
        usage: UsageRegistry,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            idle: Mutex::default(),
            make_validator,
            usage,
            threads: Arc::new(Semaphore::new(threads.max(1))),
            clock,
        }
    }

    /// Validates on the calling thread.
    pub fn run_local<T>(
        &self,
        latency: &LatencyScore,
        work: impl FnOnce(&mut ValidatorSlot) -> T,
    ) -> Result<T, SkipReason> {
        let idle = self.idle.lock().pop();
        let mut slot = idle.unwrap_or_else(|| self.slot());
        let started = self.clock.instant();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut slot)));
        latency.record(self.clock.instant().saturating_duration_since(started));
        // After a panic its memory may be half-written: that validator is not used again.
        let verdict = outcome.map_err(|_| SkipReason::Panicked)?;
        let mut idle = self.idle.lock();
        if idle.len() < MAIDLE {
            idle.push(slot);
        }
        Ok(verdict)
    }

    fn slot(&self) -> ValidatorSlot {
        ValidatorSlot {
            validator: (self.make_validator)(),
            fingerprinter: self.usage.fingerprinter(),
        }
    }

    /// Validates on another thread and waits at most `budget`. What takes longer still runs to its
    /// end on that thread, and its result is discarded.
    pub async fn run_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        budget: Duration,
        work: impl FnOnce(&Self) -> Result<T, SkipReason> + Send + 'static,
    ) -> Result<T, SkipReason> {
        let validation = async {
            let thread = self.threads.clone().acquire_owned().await;
            let inline = self.clone();
            let work = move || {
                let _thread = thread;
                work(&inline)
            };
            // It fails only when the runtime goes down under it.
            tokio::task::spawn_blocking(work).await.unwrap_or(Err(SkipReason::Stopping))
        };
        tokio::time::timeout(budget, validation).await.unwrap_or(Err(SkipReason::ValidationBudget))
    }
}

// === impl ValidatorSlot ===

impl ValidatorSlot {
    /// Validates a request.
    pub fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
    ) -> WithFingerprint<RequestValidation> {
        let validated = self.validator.request(contract, head, body, &mut self.fingerprinter);
        (validated, self.fingerprinter.take())
    }

    /// Validates a response, by the operation that its request belongs to.
    pub fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &CapturedBody),
    ) -> WithFingerprint<Verdict> {
        let verdict =
            self.validator.response(contract, operation, request, answer, &mut self.fingerprinter);
        (verdict, self.fingerprinter.take())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::model::clock::SystemClock;
    use crate::pipeline::usage::metrics::UsageMetrics;
    use crate::telemetry::metrics::Metrics;
    use crate::validation::{Validator, ValidatorOptions};

    const LONG: Duration = Duration::from_hours(1);

    fn inline() -> (Arc<InlineValidators>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let make_validator: MakeValidator = {
            let made = made.clone();
            Arc::new(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Box::new(Validator::new(ValidatorOptions::default()))
            })
        };
        let usage = UsageRegistry::new(UsageMetrics::new(&Metrics::default()).unwrap());
        (Arc::new(InlineValidators::new(make_validator, 1, usage, Arc::new(SystemClock))), made)
    }

    #[tokio::test]
    async fn trap_t25_a_panic_costs_its_own_validation_only() {
        let (inline, made) = inline();
        let latency = LatencyScore::default();
        assert_eq!(inline.run_local(&latency, |_| 1), Ok(1));
        let panicking = inline.run_local(&latency, |_| -> u8 { panic!("a defect in validation") });
        assert_eq!(panicking, Err(SkipReason::Panicked));
        assert_eq!(inline.run_local(&latency, |_| 2), Ok(2));
        assert_eq!(made.load(Ordering::SeqCst), 2, "one validator, and one after the panic");
        let panicking = inline
            .run_blocking(LONG, |inline| {
                inline.run_local(&LatencyScore::default(), |_| panic!("again"))
            })
            .await;
        assert_eq!(panicking, Err::<(), _>(SkipReason::Panicked));
        assert_eq!(inline.run_blocking(LONG, |_| Ok(3)).await, Ok(3), "the thread is free again");
    }

    #[tokio::test]
    async fn no_exchange_waits_longer_than_the_budget_for_a_thread() {
        let (inline, _) = inline();
        let (release, released) = mpsc::channel::<()>();
        let stuck = move |_: &InlineValidators| {
            let _ = released.recv();
            Ok(())
        };
        let brief = Duration::from_millis(1);
        assert_eq!(inline.run_blocking(brief, stuck).await, Err(SkipReason::ValidationBudget));
        let second = inline.run_blocking(brief, |_| Ok(())).await;
        assert_eq!(second, Err(SkipReason::ValidationBudget), "the only thread is taken");
        drop(release);
        assert_eq!(inline.run_blocking(LONG, |_| Ok(4)).await, Ok(4));
    }
}
