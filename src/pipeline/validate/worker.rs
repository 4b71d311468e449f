//! The validator threads.
//!
//! Invariants: a panic costs the exchange it happened in and nothing else; an exchange
//! taken from the queue is counted as validated or as skipped, exactly once; threads at low
//! priority always get a share of the CPU. When they fall behind, what is worth least is left
//! out here rather than at random in front of the queue: finding an exchange's operation costs
//! a fraction of validating it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::pipeline::Priority;
use crate::exchange::Exchange;
use crate::exchange::queue::Queue;
use crate::model::clock::Clock;
use crate::model::verdict::SkipReason;
use crate::pipeline::record::recorder::ExchangeRecorder;
use crate::pipeline::validate::{MakeValidator, ValidateExchange};

/// Nice value of threads at low priority: about a tenth of the CPU when all cores are busy
/// with threads at normal priority (`sched(7)`: weight 110 against 1024).
const LOW_PRIORITY_NICE: i32 = 10;

/// So many exchanges that wait say that it is validation, and not long bodies under way, that takes
/// the memory.
const OVERLOAD_EXCHANGES: usize = 16;

/// The running threads.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    queue: Arc<Queue>,
}

struct Worker {
    queue: Arc<Queue>,
    make_validator: MakeValidator,
    validator: Box<dyn ValidateExchange>,
    recorder: ExchangeRecorder,
    clock: Arc<dyn Clock>,
}

// === impl Workers ===

impl Workers {
    /// Starts `count` threads that validate what `queue` hands out.
    pub fn start(
        count: usize,
        priority: Priority,
        queue: &Arc<Queue>,
        make_validator: &MakeValidator,
        recorder: &ExchangeRecorder,
        clock: &Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let start = |index| {
            let worker = Worker {
                queue: queue.clone(),
                make_validator: make_validator.clone(),
                validator: make_validator(),
                recorder: recorder.clone(),
                clock: clock.clone(),
            };
            std::thread::Builder::new().name(format!("validate {index}")).spawn(move || {
                if priority == Priority::Low {
                    lower_priority();
                }
                worker.run();
            })
        };
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { threads, queue: queue.clone() })
    }

    /// Takes no more exchanges, validates those in line as far as `time` allows, and waits for the
    /// threads to end.
    pub fn finish(self, time: Duration) {
        const STEP: Duration = Duration::from_millis(5);
        self.queue.close();
        let mut steps = time.as_millis() / STEP.as_millis();
        while steps > 0 && self.threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(STEP);
            steps -= 1;
        }
        self.queue.drain_as_skipped();
        for thread in self.threads {
            // A worker catches its panics; one that got away is in the log already.
            let _ = thread.join();
        }
    }
}

fn lower_priority() {
    // On Linux the nice value belongs to the thread; 0 names the calling one.
    if let Err(error) = rustix::process::setpriority_process(None, LOW_PRIORITY_NICE) {
        tracing::warn!(event = "priority_not_lowered", %error, "validation runs at normal priority");
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self) {
        self.queue.register_worker();
        let mut since = None;
        loop {
            let (exchange, waited) = match self.queue.try_pop() {
                Some(exchange) => (exchange, false),
                None => match self.queue.pop() {
                    Some(exchange) => (exchange, true),
                    None => return,
                },
            };
            since = self.validate_one(&exchange, since.filter(|_| !waited));
        }
    }

    /// Validates an exchange; says when that was done. One validation begins `since` the one before
    /// it ended, where nothing was waited for: reading the clock costs as much as a small rule.
    fn validate_one(&mut self, exchange: &Exchange, since: Option<Instant>) -> Option<Instant> {
        let started = since.unwrap_or_else(|| self.clock.instant());
        let overloaded = self.queue.is_half_full()
            || (exchange.reservation.is_budget_half_used()
                && self.queue.len() > OVERLOAD_EXCHANGES);
        let (validator, recorder) = (&mut self.validator, &mut self.recorder);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            if !recorder.should_validate(exchange, overloaded) {
                return Ok(None);
            }
            let usage = recorder.usage();
            let mut usage = usage.lock();
            usage.begin(exchange.contract.as_ref());
            match validator.validate(exchange, &mut usage) {
                Some(validation) => {
                    Ok(recorder.record_exchange(exchange, &validation, started, &mut usage))
                }
                None => Err(SkipReason::NoContract),
            }
        }));
        match outcome {
            Ok(Ok(ended)) => return ended,
            Ok(Err(reason)) => self.recorder.skip(reason),
            Err(_) => {
                // Its scratch memory may be half-written: start over with a fresh validator.
                self.validator = (self.make_validator)();
                self.recorder.skip(SkipReason::Panicked);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::contract::{Contract, OperationIndex};
    use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
    use crate::model::verdict::Verdict;
    use crate::pipeline::testing;
    use crate::pipeline::usage::UsageAggregator;
    use crate::pipeline::validate::ExchangeValidation;
    use crate::validation::{RequestValidation, ValidationObserver};

    /// Panics on every second exchange.
    struct Fragile(Arc<AtomicUsize>);

    impl ValidateExchange for Fragile {
        fn request(
            &mut self,
            _: &Contract,
            _: &RequestHead,
            _: &CapturedBody,
            _: &mut dyn ValidationObserver,
        ) -> RequestValidation {
            unreachable!("whole exchanges are validated here")
        }

        fn response(
            &mut self,
            _: &Contract,
            _: Option<OperationIndex>,
            _: &RequestHead,
            _: (&ResponseHead, &CapturedBody),
            _: &mut dyn ValidationObserver,
        ) -> Verdict {
            unreachable!("whole exchanges are validated here")
        }

        fn validate(
            &mut self,
            _: &Exchange,
            _: &mut UsageAggregator,
        ) -> Option<ExchangeValidation> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            assert!(number % 2 == 1, "a defect in validation");
            Some(ExchangeValidation::default())
        }
    }

    #[test]
    fn trap_t25_a_panic_costs_its_exchange_only() {
        let parts = testing::parts();
        let validated = Arc::new(AtomicUsize::new(0));
        let made = Arc::new(AtomicUsize::new(0));
        let make_validator: MakeValidator = {
            let (validated, made) = (validated.clone(), made.clone());
            Arc::new(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Box::new(Fragile(validated.clone()))
            })
        };
        let workers = Workers::start(
            1,
            Priority::Low,
            &parts.queue,
            &make_validator,
            &parts.recorder,
            &parts.clock,
        )
        .unwrap();
        for _ in 0..10 {
            parts.queue.offer(testing::exchange(&parts.budget));
        }
        workers.finish(Duration::from_secs(20));
        assert_eq!(parts.metrics.skipped(SkipReason::Panicked), 5);
        assert_eq!(parts.metrics.validated.get(), 5);
        assert_eq!(parts.metrics.seen.get(), 10);
        assert_eq!(made.load(Ordering::SeqCst), 6);
        assert_eq!(parts.budget.used(), 0, "every byte held for validation comes back");
    }

    #[test]
    fn seen_equals_validated_plus_skipped_under_a_full_queue() {
        let parts = testing::parts();
        for _ in 0..testing::QUEUE_LENGTH + 7 {
            parts.queue.offer(testing::exchange(&parts.budget));
        }
        assert_eq!(parts.metrics.skipped(SkipReason::QueueFull), 7);
        let make_validator: MakeValidator =
            Arc::new(|| Box::new(Fragile(Arc::new(AtomicUsize::new(1)))));
        let workers = Workers::start(
            2,
            Priority::Normal,
            &parts.queue,
            &make_validator,
            &parts.recorder,
            &parts.clock,
        )
        .unwrap();
        workers.finish(Duration::from_secs(20));
        parts.queue.offer(testing::exchange(&parts.budget));
        assert_eq!(parts.metrics.skipped(SkipReason::Stopping), 1);
        let skipped: u64 = SkipReason::ALL.map(|reason| parts.metrics.skipped(reason)).iter().sum();
        assert_eq!(parts.metrics.seen.get(), parts.metrics.validated.get() + skipped);
    }
}
