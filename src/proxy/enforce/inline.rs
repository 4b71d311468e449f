//! Judging while traffic waits for it.
//!
//! What must hold: what is quick is judged on the traffic thread, what is not on a few threads
//! of their own and within a budget, so that no other exchange waits long; a panic costs the
//! exchange that it happened in; judges are reused with their memory.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::plan::Pace;
use crate::contract::{Contract, OperationIndex};
use crate::model::clock::Clock;
use crate::model::exchange::{Captured, RequestHead, ResponseHead};
use crate::model::verdict::{SkipReason, Verdict};
use crate::observer::usage::{Sketch, Sketcher, UsageBook};
use crate::observer::worker::{Judging, MakeJudge};
use crate::validation::RequestJudgement;

/// Judges that are kept when nobody uses them.
const IDLE_JUDGES: usize = 64;

/// The judges of the traffic side, shared by its threads.
pub struct Inline {
    /// Whoever judged last judges next: what it needs is still in the processor's caches.
    idle: Mutex<Vec<Seat>>,
    make_judge: MakeJudge,
    usage: UsageBook,
    threads: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// A judge, and who draws what it has before it.
pub struct Seat {
    judge: Box<dyn Judging>,
    sketcher: Sketcher,
}

/// A verdict, and the sketch of what it is about where there is one.
pub type Sketched<T> = (T, Option<Sketch>);

// === impl Inline ===

impl Inline {
    /// Judges made by `make_judge`; at most `threads` judge beside the traffic threads. What they
    /// judge is sketched for the counts of `usage`.
    pub fn new(
        make_judge: MakeJudge,
        threads: usize,
        usage: UsageBook,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            idle: Mutex::default(),
            make_judge,
            usage,
            threads: Arc::new(Semaphore::new(threads.max(1))),
            clock,
        }
    }

    /// Judges on the calling thread.
    pub fn here<T>(&self, pace: &Pace, work: impl FnOnce(&mut Seat) -> T) -> Result<T, SkipReason> {
        let idle = self.idle.lock().pop();
        let mut seat = idle.unwrap_or_else(|| self.seat());
        let started = self.clock.instant();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut seat)));
        pace.note(self.clock.instant().saturating_duration_since(started));
        // After a panic its memory may be half-written: that judge is not used again.
        let verdict = outcome.map_err(|_| SkipReason::Panicked)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_JUDGES {
            idle.push(seat);
        }
        Ok(verdict)
    }

    fn seat(&self) -> Seat {
        Seat { judge: (self.make_judge)(), sketcher: self.usage.sketcher() }
    }

    /// Judges on another thread and waits at most `budget`. What takes longer is finished in
    /// vain, on one of the few threads there are for it.
    pub async fn elsewhere<T: Send + 'static>(
        self: &Arc<Self>,
        budget: Duration,
        work: impl FnOnce(&Self) -> Result<T, SkipReason> + Send + 'static,
    ) -> Result<T, SkipReason> {
        let judging = async {
            let thread = self.threads.clone().acquire_owned().await;
            let inline = self.clone();
            let work = move || {
                let _thread = thread;
                work(&inline)
            };
            // It fails only when the runtime goes down under it.
            tokio::task::spawn_blocking(work).await.unwrap_or(Err(SkipReason::Stopping))
        };
        tokio::time::timeout(budget, judging).await.unwrap_or(Err(SkipReason::JudgingBudget))
    }
}

// === impl Seat ===

impl Seat {
    /// Judges a request.
    pub fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &Captured,
    ) -> Sketched<RequestJudgement> {
        let judged = self.judge.request(contract, head, body, &mut self.sketcher);
        (judged, self.sketcher.take())
    }

    /// Judges a response, by the operation that its request belongs to.
    pub fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &Captured),
    ) -> Sketched<Verdict> {
        let verdict = self.judge.response(contract, operation, request, answer, &mut self.sketcher);
        (verdict, self.sketcher.take())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::model::clock::SystemClock;
    use crate::observer::usage::metrics::UsageMetrics;
    use crate::telemetry::metrics::Metrics;
    use crate::validation::{Judge, JudgeOptions};

    const LONG: Duration = Duration::from_hours(1);

    fn inline() -> (Arc<Inline>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let make_judge: MakeJudge = {
            let made = made.clone();
            Arc::new(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Box::new(Judge::new(JudgeOptions::default()))
            })
        };
        let usage = UsageBook::new(UsageMetrics::new(&Metrics::default()).unwrap());
        (Arc::new(Inline::new(make_judge, 1, usage, Arc::new(SystemClock))), made)
    }

    #[tokio::test]
    async fn trap_t25_a_panic_costs_its_judgement_only() {
        let (inline, made) = inline();
        let pace = Pace::default();
        assert_eq!(inline.here(&pace, |_| 1), Ok(1));
        let panicking = inline.here(&pace, |_| -> u8 { panic!("a defect in validation") });
        assert_eq!(panicking, Err(SkipReason::Panicked));
        assert_eq!(inline.here(&pace, |_| 2), Ok(2));
        assert_eq!(made.load(Ordering::SeqCst), 2, "one validator, and one after the panic");
        let panicking = inline
            .elsewhere(LONG, |inline| inline.here(&Pace::default(), |_| panic!("again")))
            .await;
        assert_eq!(panicking, Err::<(), _>(SkipReason::Panicked));
        assert_eq!(inline.elsewhere(LONG, |_| Ok(3)).await, Ok(3), "the thread is free again");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_budget_even_for_a_free_thread() {
        let (inline, _) = inline();
        let (release, released) = mpsc::channel::<()>();
        let stuck = move |_: &Inline| {
            let _ = released.recv();
            Ok(())
        };
        let brief = Duration::from_millis(1);
        assert_eq!(inline.elsewhere(brief, stuck).await, Err(SkipReason::JudgingBudget));
        let second = inline.elsewhere(brief, |_| Ok(())).await;
        assert_eq!(second, Err(SkipReason::JudgingBudget), "the only thread is taken");
        drop(release);
        assert_eq!(inline.elsewhere(LONG, |_| Ok(4)).await, Ok(4));
    }
}
