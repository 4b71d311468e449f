//! Wakers that remember that they rang.
//!
//! A task is polled as a whole, whichever of its parts was woken, and a part may wake the task
//! that is polling it at this very moment. Both cost a poll of everything for nothing. A relay
//! stands between a part and its task: it knows whether the part was woken, and can hold back
//! what is known to be meaningless.
//!
//! What must hold: nothing rings in vain unless somebody who knows better says so, in
//! [`Relay::forget`]; whoever polls a part has its relay aimed at the task first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// A waker for one part of a task. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    task: Mutex<Waker>,
    rang: AtomicBool,
    held: AtomicBool,
    /// Whether it rang while it was held back.
    late: AtomicBool,
}

/// A part of a task that is polled only when it was woken.
pub struct Woken<F> {
    part: F,
    relay: Relay,
}

// === impl Relay ===

impl Relay {
    /// The relay of a part that has yet to be polled.
    pub fn new() -> Self {
        let bell = Arc::new(Bell {
            task: Mutex::new(Waker::noop().clone()),
            rang: AtomicBool::new(true),
            held: AtomicBool::new(false),
            late: AtomicBool::new(false),
        });
        Self { waker: Waker::from(bell.clone()), bell }
    }

    /// From now on `task` is what it wakes.
    pub fn aim(&self, task: &Waker) {
        let mut aim = self.bell.task.lock();
        if !aim.will_wake(task) {
            aim.clone_from(task);
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

    /// Whether it rang since it was last asked.
    pub fn rang(&self) -> bool {
        self.bell.rang.load(Ordering::Relaxed) && self.bell.rang.swap(false, Ordering::AcqRel)
    }

    /// Runs `act`; what rings meanwhile waits for [`Self::forget`], [`Self::note`] or
    /// [`Self::pass_on`]. What rang before is not touched.
    pub fn hold<T>(&self, act: impl FnOnce() -> T) -> T {
        self.bell.held.store(true, Ordering::Relaxed);
        let done = act();
        self.bell.held.store(false, Ordering::Relaxed);
        done
    }

    /// What rang while it was held back means nothing.
    pub fn forget(&self) {
        self.bell.late.store(false, Ordering::Relaxed);
    }

    /// What rang while it was held back counts, and wakes nobody.
    pub fn note(&self) {
        if self.bell.late.load(Ordering::Relaxed) {
            self.forget();
            self.bell.rang.store(true, Ordering::Release);
        }
    }

    /// What rang while it was held back wakes the task now.
    pub fn pass_on(&self) {
        if self.bell.late.load(Ordering::Relaxed) {
            self.forget();
            self.bell.wake_by_ref();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.held.load(Ordering::Relaxed) {
            self.late.store(true, Ordering::Relaxed);
        } else {
            self.rang.store(true, Ordering::Release);
            self.task.lock().wake_by_ref();
        }
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

// === impl Woken ===

impl<F> Woken<F> {
    /// Polls `part` when `relay` rang.
    pub fn new(part: F, relay: Relay) -> Self {
        Self { part, relay }
    }

    /// The part, about to be changed: it is polled next time.
    pub fn change(&mut self) -> &mut F {
        self.relay.bell.rang.store(true, Ordering::Relaxed);
        &mut self.part
    }
}

impl<F: Future + Unpin> Future for Woken<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { part, relay } = self.get_mut();
        relay.aim(cx.waker());
        if !relay.rang() {
            return Poll::Pending;
        }
        Pin::new(part).poll(&mut relay.context())
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
    fn what_rings_wakes_the_task_it_is_aimed_at() {
        let relay = Relay::new();
        let [(first, one), (second, two)] = [task(), task()];
        relay.aim(&one);
        relay.waker().wake_by_ref();
        relay.aim(&two);
        relay.waker().wake_by_ref();
        let woken = |task: &Task| task.0.load(Ordering::Relaxed);
        assert_eq!((woken(&first), woken(&second)), (1, 1));
        assert!(relay.rang() && !relay.rang(), "asked once");
    }

    #[test]
    fn what_is_held_back_is_forgotten_or_passed_on() {
        let relay = Relay::new();
        let (task, waker) = task();
        relay.aim(&waker);
        assert!(relay.rang(), "a part is polled at least once");
        relay.hold(|| relay.waker().wake_by_ref());
        relay.forget();
        relay.pass_on();
        assert!(!relay.rang());
        relay.hold(|| relay.waker().wake_by_ref());
        relay.note();
        assert!(relay.rang());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        relay.hold(|| relay.waker().wake_by_ref());
        relay.pass_on();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(relay.rang());
    }

    #[test]
    fn what_rang_before_it_was_held_back_is_not_forgotten() {
        let relay = Relay::new();
        assert!(relay.rang());
        relay.waker().wake_by_ref();
        relay.hold(|| relay.waker().wake_by_ref());
        relay.forget();
        assert!(relay.rang());
    }

    #[test]
    fn a_part_is_polled_only_when_it_was_woken() {
        let relay = Relay::new();
        let polls = AtomicUsize::new(0);
        let mut part = Woken::new(
            std::future::poll_fn(|_| {
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::<()>::Pending
            }),
            relay.clone(),
        );
        let (_task, waker) = task();
        let mut poll = || Pin::new(&mut part).poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        relay.waker().wake_by_ref();
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 2);
        part.change();
        assert!(Pin::new(&mut part).poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }
}
