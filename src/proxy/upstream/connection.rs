//! An HTTP/1.1 connection to an upstream, moved by the exchange that uses it.
//!
//! A connection with a task of its own costs every exchange four hand-overs between two tasks
//! and as many polls of both. Here the exchange that waits for the connection polls
//! it itself, so that an exchange wakes twice: when its request comes and when its
//! response does.
//!
//! Invariants: the exchange polls the connection with its own waker first, and then reads what
//! it may have received, which needs no waker. A connection that must go on while
//! no exchange waits for it gets a task after all: one whose response begins before its request has
//! ended (a caller who reads nothing until it has sent everything would wait for itself), and one
//! that becomes another protocol.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep};

use crate::proxy::body::buffer::OutgoingBody;
use crate::proxy::body::progress::{BodyProgress, StallTracker};
use crate::proxy::metrics::UpstreamFailure;
use crate::proxy::waker::TrackedWaker;

/// One connection, its driver included.
pub struct UpstreamConnection {
    sender: http1::SendRequest<OutgoingBody>,
    driver: ConnectionDriver,
    /// Lives as long as the connection: setting it anew costs less than making one.
    timer: Pin<Box<Sleep>>,
}

/// Moves the bytes of a connection when it is polled.
pub struct ConnectionDriver {
    /// `None` where a task moves them, or where the connection has ended.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    waker: TrackedWaker,
}

/// How long to wait for a response's head, given the progress of the request's body.
#[derive(Clone, Copy)]
pub struct ResponseTimeout<'a> {
    /// The longest that the upstream may be silent.
    pub timeout: Duration,
    /// The request's body, if it has one.
    pub progress: Option<&'a BodyProgress>,
    /// From when on.
    pub since: std::time::Instant,
}

/// The result of sending: the head of a response, or the request where it was not sent.
pub type SendResult = Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>>;

// === impl UpstreamConnection ===

impl UpstreamConnection {
    /// A connection on which `sender` sends and that `driver` moves.
    pub fn new(
        sender: http1::SendRequest<OutgoingBody>,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { sender, driver: ConnectionDriver::new(driver), timer }
    }

    /// Sends `request` and waits for the head of its response.
    pub async fn send(
        &mut self,
        request: Request<OutgoingBody>,
        wait: ResponseTimeout<'_>,
    ) -> Result<SendResult, UpstreamFailure> {
        let Self { sender, driver, timer } = self;
        // Its only waker would be the one that the driver is polled with.
        let mut sending = pin!(unconstrained(sender.try_send_request(request)));
        let interval = wait.check_interval();
        timer.as_mut().reset(Instant::from_std(wait.since) + interval);
        let mut stall = StallTracker::default();
        let sent = poll_fn(|cx| {
            driver.poll(cx);
            if let Poll::Ready(sent) = driver.poll_received(cx, |cx| sending.as_mut().poll(cx)) {
                return Poll::Ready(Ok(sent));
            }
            while timer.as_mut().poll(cx).is_ready() {
                wait.check(&mut stall, interval)?;
                timer.as_mut().reset(Instant::now() + interval);
            }
            Poll::Pending
        });
        let sent = sent.await?;
        if let Ok(response) = &sent
            && (wait.body_in_progress() || response.status() == StatusCode::SWITCHING_PROTOCOLS)
        {
            self.driver.spawn();
        }
        Ok(sent)
    }

    /// Whether the connection takes a request.
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Polls the connection once, so that it notices a close.
    pub fn poll_once(&mut self) {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Wakes no task for the connection from now on. It takes a request, unless the last one
    /// is still on its way.
    pub fn park(&mut self) {
        self.driver.waker.set_task(Waker::noop());
        if !self.is_ready() {
            self.poll_once();
        }
    }

    /// Waits until the connection takes a request; false when it has ended instead.
    pub async fn ready(&mut self) -> bool {
        self.driver.spawn();
        self.sender.ready().await.is_ok()
    }

    /// What moves the connection.
    pub fn driver(&mut self) -> &mut ConnectionDriver {
        &mut self.driver
    }
}

// === impl ConnectionDriver ===

impl ConnectionDriver {
    fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { future: Some(Box::pin(future)), waker: TrackedWaker::new() }
    }

    /// Moves what can be moved now. Nothing to do where a task does it.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(future) = &mut self.future else { return };
        self.waker.set_task(cx.waker());
        if self.waker.take_woken() && future.as_mut().poll(&mut self.waker.context()).is_ready() {
            self.future = None;
        }
    }

    /// Reads what it has received with `receive`. The driver finds out at its next poll that there is
    /// room again.
    pub fn poll_received<T>(
        &self,
        cx: &Context<'_>,
        receive: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let received = self.waker.defer_wakes(|| receive(&mut self.read_context(cx)));
        if received.is_pending() {
            self.waker.wake_deferred();
        } else {
            self.waker.mark_woken();
        }
        received
    }

    /// The context to read with: it has a waker only where a task moves the connection.
    fn read_context<'a>(&self, cx: &'a Context<'_>) -> Context<'a> {
        Context::from_waker(if self.future.is_some() { Waker::noop() } else { cx.waker() })
    }

    /// Gives the connection a task of its own.
    pub fn spawn(&mut self) {
        if let Some(future) = self.future.take() {
            tokio::spawn(future);
        }
    }
}

// === impl ResponseTimeout ===

impl ResponseTimeout<'_> {
    /// Waits for `sending`, which a task of its own moves.
    pub async fn wait_for<T>(
        &self,
        sending: impl Future<Output = T>,
    ) -> Result<T, UpstreamFailure> {
        let (mut sending, interval) = (pin!(sending), self.check_interval());
        let mut stall = StallTracker::default();
        loop {
            if let Ok(output) = tokio::time::timeout(interval, sending.as_mut()).await {
                return Ok(output);
            }
            self.check(&mut stall, interval)?;
        }
    }

    /// The time between two checks.
    fn check_interval(&self) -> Duration {
        self.progress.map_or(self.timeout, |progress| progress.check_interval(self.timeout))
    }

    /// Call after each interval: fails when waiting longer is of no use.
    fn check(&self, stall: &mut StallTracker, interval: Duration) -> Result<(), UpstreamFailure> {
        match self.progress {
            None => Err(UpstreamFailure::Timeout),
            Some(progress) => progress.check(stall, interval, self.timeout),
        }
    }

    /// Whether the request is still on its way.
    fn body_in_progress(&self) -> bool {
        self.progress.is_some_and(|progress| !progress.is_ended())
    }
}
