//! The judging threads.
//!
//! What must hold: a panic costs the exchange it happened in and nothing else; an exchange
//! taken from the queue is counted as judged or as skipped, exactly once; threads at low
//! priority always get a share of the CPU. When they fall behind, what is worth least is left
//! out here rather than at random in front of the queue: finding an exchange's operation costs
//! a fraction of judging it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::exchange::{Ending, Exchange};
use super::queue::Queue;
use super::recorder::Recorder;
use super::usage::{Collector, Sketch};
use crate::config::observer::Priority;
use crate::contract::{Contract, OperationIndex};
use crate::model::clock::Clock;
use crate::model::exchange::{Captured, RequestHead, ResponseHead};
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason, Verdict};
use crate::model::violation::Side;
use crate::validation::{Judge, RequestJudgement, Witness};

/// Nice value of threads at low priority: about a tenth of the CPU when all cores are busy
/// with threads at normal priority (`sched(7)`: weight 110 against 1024).
const LOW_PRIORITY_NICE: i32 = 10;

/// So many exchanges that wait say that it is judging, and not long bodies under way, that takes
/// the memory.
const BACKLOG: usize = 16;

/// What the judge found out about one exchange.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// The operation it belongs to, when the document lists one.
    pub operation: Option<OperationIndex>,
    /// The verdict on the request.
    pub request: Verdict,
    /// The verdict on the response; `None` when none came.
    pub response: Option<Verdict>,
}

/// Judges messages, one after the other, so it may keep scratch memory.
pub trait Judging: Send {
    /// Judges a request before a witness.
    fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &Captured,
        witness: &mut dyn Witness,
    ) -> RequestJudgement;

    /// Judges a response, by the operation that its request belongs to, before a witness.
    fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &Captured),
        witness: &mut dyn Witness,
    ) -> Verdict;

    /// Judges what is not known yet of `exchange`, by the contract pinned to it; `None` when
    /// there is none. What is known is read again only where its sketch does not tell `usage`
    /// what was used.
    fn judge(&mut self, exchange: &Exchange, usage: &mut Collector) -> Option<Judged> {
        let contract = &exchange.contract.as_ref()?.contract;
        let known = &exchange.known;
        let (head, body) = (&exchange.request, &exchange.request_body);
        let RequestJudgement { operation, verdict } = match &known.request {
            Some(judged) => {
                if let Some(operation) = judged.operation
                    && !recalls(usage, operation, Side::Request, known.request_sketch.as_ref())
                {
                    self.request(contract, head, body, usage);
                }
                judged.clone()
            }
            None if exchange.modes.request == Mode::Off => RequestJudgement {
                operation: Judge::operation(contract, head),
                verdict: Verdict::skipped(SkipReason::Off),
            },
            None => self.request(contract, head, body, usage),
        };
        let response = match (&known.response, &exchange.response) {
            (Some(judged), Some(response)) => {
                if let Some(operation) = operation
                    && !recalls(usage, operation, Side::Response, known.response_sketch.as_ref())
                {
                    let answer = (response, &exchange.response_body);
                    self.response(contract, Some(operation), head, answer, usage);
                }
                judged.clone()
            }
            (Some(judged), None) => judged.clone(),
            _ if exchange.modes.response == Mode::Off => Verdict::skipped(SkipReason::Off),
            _ if exchange.ending == Ending::Upgraded => Verdict::skipped(SkipReason::Upgraded),
            (None, Some(response)) => {
                let answer = (response, &exchange.response_body);
                self.response(contract, operation, head, answer, usage)
            }
            (None, None) => Verdict::skipped(SkipReason::NoResponse),
        };
        Some(Judged { operation, request: verdict, response: Some(response) })
    }
}

fn recalls(
    usage: &mut Collector,
    operation: OperationIndex,
    side: Side,
    sketch: Option<&Sketch>,
) -> bool {
    sketch.is_some_and(|sketch| usage.recalls(operation, side, sketch))
}

/// Makes a judge for whoever needs one, and a new one after a panic.
pub type MakeJudge = Arc<dyn Fn() -> Box<dyn Judging> + Send + Sync>;

/// The running threads.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    queue: Arc<Queue>,
}

struct Worker {
    queue: Arc<Queue>,
    make_judge: MakeJudge,
    judge: Box<dyn Judging>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
}

// === impl Judged ===

impl Judged {
    /// Both verdicts.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        std::iter::once(&self.request).chain(self.response.as_ref())
    }

    /// Both verdicts in one word.
    pub fn outcome(&self) -> Outcome {
        if !self.valid() {
            Outcome::Violates
        } else if self.verdicts().all(|verdict| verdict.skipped.is_empty()) {
            Outcome::Conforms
        } else {
            Outcome::Skipped
        }
    }

    /// Whether no rule was found broken.
    pub fn valid(&self) -> bool {
        self.verdicts().all(|verdict| verdict.violations.is_empty())
    }
}

// === impl Judge ===

impl Judging for Judge {
    fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &Captured,
        witness: &mut dyn Witness,
    ) -> RequestJudgement {
        self.request_before(contract, head, body, witness)
    }

    fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &Captured),
        witness: &mut dyn Witness,
    ) -> Verdict {
        self.response_before(contract, operation, request, answer, witness)
    }
}

// === impl Workers ===

impl Workers {
    /// Starts `count` threads that judge what `queue` hands out.
    pub fn start(
        count: usize,
        priority: Priority,
        queue: &Arc<Queue>,
        make_judge: &MakeJudge,
        recorder: &Recorder,
        clock: &Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let start = |index| {
            let worker = Worker {
                queue: queue.clone(),
                make_judge: make_judge.clone(),
                judge: make_judge(),
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

    /// Takes no more exchanges, judges those in line as far as `time` allows, and waits for the
    /// threads to end.
    pub fn finish(self, time: Duration) {
        const STEP: Duration = Duration::from_millis(5);
        self.queue.close();
        let mut steps = time.as_millis() / STEP.as_millis();
        while steps > 0 && self.threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(STEP);
            steps -= 1;
        }
        self.queue.abandon();
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
        self.queue.enlist();
        let mut since = None;
        loop {
            let (exchange, waited) = match self.queue.at_once() {
                Some(exchange) => (exchange, false),
                None => match self.queue.take() {
                    Some(exchange) => (exchange, true),
                    None => return,
                },
            };
            since = self.judge_one(&exchange, since.filter(|_| !waited));
        }
    }

    /// Judges an exchange; says when that was done. One judgement begins `since` the one before
    /// it ended, where nothing was waited for: reading the clock costs as much as a small rule.
    fn judge_one(&mut self, exchange: &Exchange, since: Option<Instant>) -> Option<Instant> {
        let started = since.unwrap_or_else(|| self.clock.instant());
        let pressed = self.queue.is_half_full()
            || (exchange.reservation.budget_is_half_used() && self.queue.len() > BACKLOG);
        let (judge, recorder) = (&mut self.judge, &mut self.recorder);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            if !recorder.wants(exchange, pressed) {
                return Ok(None);
            }
            let usage = recorder.usage();
            let mut usage = usage.lock();
            usage.begin(exchange.contract.as_ref());
            match judge.judge(exchange, &mut usage) {
                Some(judged) => Ok(recorder.note(exchange, &judged, started, &mut usage)),
                None => Err(SkipReason::NoContract),
            }
        }));
        match outcome {
            Ok(Ok(ended)) => return ended,
            Ok(Err(reason)) => self.recorder.skip(reason),
            Err(_) => {
                // Its scratch memory may be half-written: start over with a fresh judge.
                self.judge = (self.make_judge)();
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
    use crate::model::verdict::SkipReason;
    use crate::observer::testing;

    /// Panics on every second exchange.
    struct Fragile(Arc<AtomicUsize>);

    impl Judging for Fragile {
        fn request(
            &mut self,
            _: &Contract,
            _: &RequestHead,
            _: &Captured,
            _: &mut dyn Witness,
        ) -> RequestJudgement {
            unreachable!("whole exchanges are validated here")
        }

        fn response(
            &mut self,
            _: &Contract,
            _: Option<OperationIndex>,
            _: &RequestHead,
            _: (&ResponseHead, &Captured),
            _: &mut dyn Witness,
        ) -> Verdict {
            unreachable!("whole exchanges are validated here")
        }

        fn judge(&mut self, _: &Exchange, _: &mut Collector) -> Option<Judged> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            assert!(number % 2 == 1, "a defect in validation");
            Some(Judged::default())
        }
    }

    #[test]
    fn trap_t25_a_panic_costs_its_exchange_only() {
        let parts = testing::parts();
        let judged = Arc::new(AtomicUsize::new(0));
        let made = Arc::new(AtomicUsize::new(0));
        let make_judge: MakeJudge = {
            let (judged, made) = (judged.clone(), made.clone());
            Arc::new(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Box::new(Fragile(judged.clone()))
            })
        };
        let workers = Workers::start(
            1,
            Priority::Low,
            &parts.queue,
            &make_judge,
            &parts.recorder,
            &parts.clock,
        )
        .unwrap();
        for _ in 0..10 {
            parts.queue.offer(testing::exchange(&parts.budget));
        }
        workers.finish(Duration::from_secs(20));
        assert_eq!(parts.metrics.skipped(SkipReason::Panicked), 5);
        assert_eq!(parts.metrics.judged.get(), 5);
        assert_eq!(parts.metrics.seen.get(), 10);
        assert_eq!(made.load(Ordering::SeqCst), 6);
        assert_eq!(parts.budget.used(), 0, "every byte held for validation comes back");
    }

    #[test]
    fn seen_is_judged_plus_skipped_when_the_queue_is_too_short() {
        let parts = testing::parts();
        for _ in 0..testing::QUEUE_LENGTH + 7 {
            parts.queue.offer(testing::exchange(&parts.budget));
        }
        assert_eq!(parts.metrics.skipped(SkipReason::QueueFull), 7);
        let make_judge: MakeJudge = Arc::new(|| Box::new(Fragile(Arc::new(AtomicUsize::new(1)))));
        let workers = Workers::start(
            2,
            Priority::Normal,
            &parts.queue,
            &make_judge,
            &parts.recorder,
            &parts.clock,
        )
        .unwrap();
        workers.finish(Duration::from_secs(20));
        parts.queue.offer(testing::exchange(&parts.budget));
        assert_eq!(parts.metrics.skipped(SkipReason::Stopping), 1);
        let skipped: u64 = SkipReason::ALL.map(|reason| parts.metrics.skipped(reason)).iter().sum();
        assert_eq!(parts.metrics.seen.get(), parts.metrics.judged.get() + skipped);
    }
}
