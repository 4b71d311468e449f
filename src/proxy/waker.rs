//! Wakers that remember that they were woken.
//!
//! A task is polled as a whole, whichever of its parts was woken, and a part may wake the task
//! that is polling it at this very moment. Both cost a poll of everything for nothing. A tracked
//! waker stands between a part and its task: it knows whether the part was woken, and can defer
//! wakes that may be meaningless.
//!
//! Invariants: no wake is lost except by [`TrackedWaker::discard_deferred`]; the caller sets the
//! task with [`TrackedWaker::set_task`] before it polls a part.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// A waker for one part of a task. Cheap to clone.
#[derive(Clone)]
pub struct TrackedWaker {
    state: Arc<WakeState>,
    waker: Waker,
}

struct WakeState {
    task: Mutex<Waker>,
    woken: AtomicBool,
    defers: AtomicBool,
    /// Whether it was woken while wakes were deferred.
    deferred: AtomicBool,
}

/// A part of a task that is polled only when it was woken.
pub struct PollWhenWoken<F> {
    part: F,
    waker: TrackedWaker,
}

// === impl TrackedWaker ===

impl TrackedWaker {
    /// The waker of a part that has yet to be polled.
    pub fn new() -> Self {
        let state = Arc::new(WakeState {
            task: Mutex::new(Waker::noop().clone()),
            woken: AtomicBool::new(true),
            defers: AtomicBool::new(false),
            deferred: AtomicBool::new(false),
        });
        Self { waker: Waker::from(state.clone()), state }
    }

    /// Sets the task that it wakes.
    pub fn set_task(&self, task: &Waker) {
        let mut current = self.state.task.lock();
        if !current.will_wake(task) {
            current.clone_from(task);
        }
    }

    /// The waker itself.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// What the part is polled with.
    pub fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Whether it was woken since the last call.
    pub fn take_woken(&self) -> bool {
        self.state.woken.load(Ordering::Relaxed) && self.state.woken.swap(false, Ordering::AcqRel)
    }

    /// Runs `act` and defers its wakes until [`Self::discard_deferred`], [`Self::mark_woken`] or
    /// [`Self::wake_deferred`]. An earlier wake is kept.
    pub fn defer_wakes<T>(&self, act: impl FnOnce() -> T) -> T {
        self.state.defers.store(true, Ordering::Relaxed);
        let done = act();
        self.state.defers.store(false, Ordering::Relaxed);
        done
    }

    /// Discards a deferred wake.
    pub fn discard_deferred(&self) {
        self.state.deferred.store(false, Ordering::Relaxed);
    }

    /// Marks the part as woken without waking its task. Call after [`Self::defer_wakes`] when the
    /// caller is about to poll the part itself.
    pub fn mark_woken(&self) {
        if self.state.deferred.load(Ordering::Relaxed) {
            self.discard_deferred();
            self.state.woken.store(true, Ordering::Release);
        }
    }

    /// Wakes the task now if a wake was deferred.
    pub fn wake_deferred(&self) {
        if self.state.deferred.load(Ordering::Relaxed) {
            self.discard_deferred();
            self.state.wake_by_ref();
        }
    }
}

impl Wake for WakeState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.defers.load(Ordering::Relaxed) {
            self.deferred.store(true, Ordering::Relaxed);
        } else {
            self.woken.store(true, Ordering::Release);
            self.task.lock().wake_by_ref();
        }
    }
}

impl std::fmt::Debug for TrackedWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackedWaker").finish_non_exhaustive()
    }
}

// === impl PollWhenWoken ===

impl<F> PollWhenWoken<F> {
    /// Polls `part` only after `waker` was woken.
    pub fn new(part: F, waker: TrackedWaker) -> Self {
        Self { part, waker }
    }

    /// The part, to be changed: marks it as woken, so that it is polled next time.
    pub fn woken_mut(&mut self) -> &mut F {
        self.waker.state.woken.store(true, Ordering::Relaxed);
        &mut self.part
    }
}

impl<F: Future + Unpin> Future for PollWhenWoken<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { part, waker } = self.get_mut();
        waker.set_task(cx.waker());
        if !waker.take_woken() {
            return Poll::Pending;
        }
        Pin::new(part).poll(&mut waker.context())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        (task.clone(), Waker::from(task))
    }

    #[test]
    fn a_wake_reaches_the_current_task_only() {
        let tracked = TrackedWaker::new();
        let [(first, one), (second, two)] = [task(), task()];
        tracked.set_task(&one);
        tracked.waker().wake_by_ref();
        tracked.set_task(&two);
        tracked.waker().wake_by_ref();
        let woken = |task: &Task| task.0.load(Ordering::Relaxed);
        assert_eq!((woken(&first), woken(&second)), (1, 1));
        assert!(tracked.take_woken() && !tracked.take_woken(), "asked once");
    }

    #[test]
    fn a_deferred_wake_is_discarded_marked_or_delivered() {
        let tracked = TrackedWaker::new();
        let (task, waker) = task();
        tracked.set_task(&waker);
        assert!(tracked.take_woken(), "a part is polled at least once");
        tracked.defer_wakes(|| tracked.waker().wake_by_ref());
        tracked.discard_deferred();
        tracked.wake_deferred();
        assert!(!tracked.take_woken());
        tracked.defer_wakes(|| tracked.waker().wake_by_ref());
        tracked.mark_woken();
        assert!(tracked.take_woken());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        tracked.defer_wakes(|| tracked.waker().wake_by_ref());
        tracked.wake_deferred();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(tracked.take_woken());
    }

    #[test]
    fn a_wake_before_deferral_is_not_discarded() {
        let tracked = TrackedWaker::new();
        assert!(tracked.take_woken());
        tracked.waker().wake_by_ref();
        tracked.defer_wakes(|| tracked.waker().wake_by_ref());
        tracked.discard_deferred();
        assert!(tracked.take_woken());
    }

    #[test]
    fn a_part_is_polled_only_when_it_was_woken() {
        let tracked = TrackedWaker::new();
        let polls = AtomicUsize::new(0);
        let mut part = PollWhenWoken::new(
            std::future::poll_fn(|_| {
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::<()>::Pending
            }),
            tracked.clone(),
        );
        let (_task, waker) = task();
        let mut poll = || Pin::new(&mut part).poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        tracked.waker().wake_by_ref();
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 2);
        part.woken_mut();
        assert!(Pin::new(&mut part).poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }
}
