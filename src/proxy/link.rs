//! An HTTP/1.1 connection to an upstream, moved by the exchange that uses it.
//!
//! A connection with a task of its own costs every exchange four hand-overs between two tasks
//! and as many polls of both. Here whoever waits for something that the connection brings polls
//! the connection itself, so that an exchange wakes twice: when its request comes and when its
//! response does.
//!
//! What must hold: whoever waits polls the connection with its own waker first, and then asks for
//! what it may have brought, for which no waker is needed. A connection that must go on while
//! nobody waits for it gets a task after all: one whose response begins before its request has
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

use super::metrics::UpstreamFailure;
use super::pool::Outgoing;
use super::progress::{Look, Progress};
use super::relay::Relay;

/// One connection, its driver included.
pub struct Link {
    sender: http1::SendRequest<Outgoing>,
    driver: Driver,
    /// Lives as long as the connection: setting it anew costs less than making one.
    timer: Pin<Box<Sleep>>,
}

/// Moves the bytes of a connection when it is polled.
pub struct Driver {
    /// Nothing where a task moves them, or where the connection has ended.
    moving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    relay: Relay,
}

/// How long a response's head is waited for, given how the request's body comes along.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// The longest that the upstream may be still.
    pub timeout: Duration,
    /// The request's body, if it has one.
    pub progress: Option<&'a Progress>,
    /// From when on.
    pub since: std::time::Instant,
}

/// What came of sending: the head of a response, or the request where it was not sent.
pub type Sent = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>;

// === impl Link ===

impl Link {
    /// A connection on which `sender` sends and that `driver` moves.
    pub fn new(
        sender: http1::SendRequest<Outgoing>,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { sender, driver: Driver::new(driver), timer }
    }

    /// Sends `request` and waits for the head of its response.
    pub async fn send(
        &mut self,
        request: Request<Outgoing>,
        patience: Patience<'_>,
    ) -> Result<Sent, UpstreamFailure> {
        let Self { sender, driver, timer } = self;
        // Its only waker would be the one that the driver is polled with.
        let mut sending = pin!(unconstrained(sender.try_send_request(request)));
        let step = patience.step();
        timer.as_mut().reset(Instant::from_std(patience.since) + step);
        let mut look = Look::default();
        let sent = poll_fn(|cx| {
            driver.poll(cx);
            if let Poll::Ready(sent) = driver.take(cx, |cx| sending.as_mut().poll(cx)) {
                return Poll::Ready(Ok(sent));
            }
            while timer.as_mut().poll(cx).is_ready() {
                patience.look(&mut look, step)?;
                timer.as_mut().reset(Instant::now() + step);
            }
            Poll::Pending
        });
        let sent = sent.await?;
        if let Ok(response) = &sent
            && (patience.goes_on() || response.status() == StatusCode::SWITCHING_PROTOCOLS)
        {
            self.driver.run();
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

    /// Lets the connection notice what has happened to it.
    pub fn settle(&mut self) {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Nobody is woken for the connection from now on. It takes a request, unless the last one
    /// is still on its way.
    pub fn rest(&mut self) {
        self.driver.relay.aim(Waker::noop());
        if !self.is_ready() {
            self.settle();
        }
    }

    /// Waits until the connection takes a request; false when it has ended instead.
    pub async fn ready(&mut self) -> bool {
        self.driver.run();
        self.sender.ready().await.is_ok()
    }

    /// What moves the connection.
    pub fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }
}

// === impl Driver ===

impl Driver {
    fn new(moving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { moving: Some(Box::pin(moving)), relay: Relay::new() }
    }

    /// Moves what can be moved now. Nothing to do where a task does it.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(moving) = &mut self.moving else { return };
        self.relay.aim(cx.waker());
        if self.relay.rang() && moving.as_mut().poll(&mut self.relay.context()).is_ready() {
            self.moving = None;
        }
    }

    /// Takes what it has brought; that there is room again it sees when it is polled next.
    pub fn take<T>(
        &self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let taken = self.relay.hold(|| take(&mut self.brought(cx)));
        if taken.is_pending() {
            self.relay.pass_on();
        } else {
            self.relay.note();
        }
        taken
    }

    /// How to ask for what it may have brought: with a waker only where a task moves the
    /// connection.
    fn brought<'a>(&self, cx: &'a Context<'_>) -> Context<'a> {
        Context::from_waker(if self.moving.is_some() { Waker::noop() } else { cx.waker() })
    }

    /// Gives the connection a task of its own.
    pub fn run(&mut self) {
        if let Some(moving) = self.moving.take() {
            tokio::spawn(moving);
        }
    }
}

// === impl Patience ===

impl Patience<'_> {
    /// Waits for `sending`, which somebody else moves.
    pub async fn with<T>(&self, sending: impl Future<Output = T>) -> Result<T, UpstreamFailure> {
        let (mut sending, step) = (pin!(sending), self.step());
        let mut look = Look::default();
        loop {
            if let Ok(output) = tokio::time::timeout(step, sending.as_mut()).await {
                return Ok(output);
            }
            self.look(&mut look, step)?;
        }
    }

    /// How often a look is worth taking.
    fn step(&self) -> Duration {
        self.progress.map_or(self.timeout, |progress| progress.step(self.timeout))
    }

    /// Looks after a `step`: fails when waiting on is of no use.
    fn look(&self, look: &mut Look, step: Duration) -> Result<(), UpstreamFailure> {
        match self.progress {
            None => Err(UpstreamFailure::Timeout),
            Some(progress) => progress.look(look, step, self.timeout),
        }
    }

    /// Whether the request is still on its way.
    fn goes_on(&self) -> bool {
        self.progress.is_some_and(|progress| !progress.is_over())
    }
}
