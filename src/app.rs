//! Builds everything, owns start and stop: the only wiring.
//!
//! Start: settings are checked before this begins; documents are compiled, storage opens, the
//! documents are stored, judging threads and the record writer start, the admin port answers, and only then
//! traffic is taken. Stop runs the other way: no new connections, exchanges in flight finish,
//! what waits is judged and stored, storage closes. Each step has a deadline.

mod announce;
mod contracts;
mod enforcing;
mod error;
mod handover;
mod keys;
mod learning;
mod lifecycle;
mod listeners;
mod observing;
mod readiness;
mod reload;
mod routing;
mod secrecy;
mod stores;
mod storing;
mod summary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{oneshot, watch};

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::config::logging::Format;
use crate::model::chance::SystemChance;
use crate::model::clock::{Clock, SystemClock};
use crate::model::id::SystemIds;
use crate::observer::notice::Announce;
use crate::proxy::{self, Connections, Entrance, Gate, Limits, ProxyMetrics, Tracer, TrafficParts};
use crate::registry::metrics::RegistryMetrics;
use crate::registry::{Registry, RegistryParts, compile_options};
use crate::retention::Retention;
use crate::retention::metrics::RetentionMetrics;
use crate::storage::Store;
use crate::telemetry::logging::{self, Form};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::process;
use crate::tls::Acceptor;
use contracts::{Contracts, Documents, Drafts};
use enforcing::Enforcing;
use handover::{Predecessor, Sockets};
use lifecycle::{Drain, Phase, PhaseWatch, Signals, bury_orphans};
use listeners::{Inherited, Listeners};
use observing::Observing;
use readiness::SidecarReadiness;
use reload::{ConfigFile, InForce, Reloader};
use routing::{Calling, Routing};
use secrecy::Identities;

pub use announce::{LogLines, TerminalLines};
pub use error::StartError;
pub use keys::{KeyError, keyring};
pub use stores::open_store;
pub use summary::Summary;

/// How long what waits may take to be judged and stored at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// What a caller wants to know about the running sidecar.
#[derive(Debug, Clone)]
pub struct Running {
    /// Where traffic is taken.
    pub traffic: SocketAddr,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
}

/// What a caller wants to be told, and how.
pub struct Hooks {
    /// Called once when traffic is taken.
    pub ready: Box<dyn FnOnce(Running) + Send>,
    /// Told about each new kind of violation.
    pub announce: Arc<dyn Announce>,
    /// Whether to take the place of a process that runs already.
    pub take_over: bool,
    /// How settings are read again; without it they stay.
    pub reload: Option<Reload>,
}

/// Where settings come from.
pub struct Reload {
    /// The config file. It may come into being later.
    pub file: PathBuf,
    /// Reads the settings as at first, or says what is wrong with them.
    pub load: Load,
}

/// Reads settings.
pub type Load = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Runs until told to stop; the summary says what was seen.
pub fn run(config: &Config, hooks: Hooks) -> Result<Summary, StartError> {
    let listening = Opening { take_over: hooks.take_over, inherited: Inherited::take() };
    let file = hooks.reload.map(|Reload { file, load }| ConfigFile::new(file, load));
    start_log(config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::default();
    process::register(&metrics)?;
    let control = control_runtime()?;
    let mut signals =
        control.block_on(async { Signals::install() }).map_err(StartError::Threads)?;
    control.spawn(bury_orphans());
    let identities = Identities::load(&config.tls, &metrics)?;
    let (none, mut documents) = (Contracts::default(), Documents::default());
    let compiling = Drafts::compile(config, &none, &mut documents);
    let drafts = control.block_on(compiling)?;
    let opening = stores::open_for_traffic(config, &clock);
    let (store, late) = control.block_on(signals.unless_stopped(opening))?;
    let store = stores::measured(store, &metrics, &clock)?;
    let registry = registry(config, &store, &metrics, &clock)?;
    let registering = drafts.register(config, &registry, &none);
    let contracts = control.block_on(signals.unless_stopped(registering))?;
    let slots = Arc::new(ArcSwap::from_pointee(contracts.slots()));
    registry.show(&slots);
    let (stop_background, background_stopped) = watch::channel(false);
    if let Some(late) = late {
        let stopped = background_stopped.clone();
        control.spawn(async move { late.open(stopped).await });
    }
    let following = control.spawn(registry.follow(slots.clone(), background_stopped.clone()));
    let observing = Observing::start(config, &control, &store, &metrics, &clock, hooks.announce)?;
    let retention = retention(config, &store, &metrics, &clock)?;
    let retention = control.spawn(retention.run(background_stopped.clone()));
    identities.follow(&control, &background_stopped);
    let serving = Serving {
        config,
        control: &control,
        metrics,
        store: &store,
        clock: &clock,
        observing: &observing,
        in_force: InForce { config: config.clone(), contracts, documents, registry, slots, file },
        stopped: background_stopped,
    };
    // Also a start that fails from here on ends in order: what was taken over from an earlier run
    // is stored, or stays in the spool.
    let served = serving.run(signals, identities, listening, hooks.ready);
    let summary = observing.finish(&control, FLUSH_TIMEOUT);
    let _ = stop_background.send(true);
    control.block_on(async {
        // They stop at their next pause; what hangs may not hold up the end.
        let background = async { tokio::join!(retention, following) };
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, background).await;
        store.close().await;
    });
    if let Ok(stop_admin) = &served {
        let _ = stop_admin.send(true);
    }
    control.shutdown_timeout(Duration::from_secs(1));
    served.map(|_| summary)
}

/// Where sockets come from before any is opened.
struct Opening {
    take_over: bool,
    inherited: Inherited,
}

/// What both edges stand on.
struct Serving<'s> {
    config: &'s Config,
    control: &'s Runtime,
    metrics: Metrics,
    store: &'s Arc<dyn Store>,
    clock: &'s Arc<dyn Clock>,
    observing: &'s Observing,
    in_force: InForce,
    /// Turns true when what runs in the background ends.
    stopped: watch::Receiver<bool>,
}

// === impl Serving ===

impl Serving<'_> {
    /// Listens and takes traffic until told to stop; the answer stops the admin port.
    fn run(
        self,
        mut signals: Signals,
        identities: Identities,
        opening: Opening,
        told: Box<dyn FnOnce(Running) + Send>,
    ) -> Result<Arc<watch::Sender<bool>>, StartError> {
        let Self { config, control, metrics, store, clock, observing, in_force, stopped } = self;
        let listeners = Listeners::open(config, opening.take_over, opening.inherited);
        let Listeners { sockets, predecessor } =
            control.block_on(signals.unless_stopped(listeners))?;
        let phase = PhaseWatch::default();
        let routing = routing(&in_force, &metrics, observing, clock, control.handle())?;
        let mut traffic = Traffic::prepare(config, observing, &routing);
        let readiness = SidecarReadiness {
            routes: routing.table.clone(),
            store: store.clone(),
            phase: phase.clone(),
        };
        let reloader = Reloader::new(in_force, routing, &metrics, clock)?;
        control.spawn(reloader.run(signals.hangup(), stopped));
        let admin = Admin::new(metrics, Arc::new(readiness))?;
        let stop_admin = start_admin(&sockets, control, identities.admin, admin)?;
        let ready = Ready { phase: phase.clone(), predecessor, told };
        control.spawn(ready.announce(running(&sockets)?, traffic.started()));
        traffic.run(config, identities.traffic, sockets, signals, stop_admin.clone(), phase)?;
        Ok(stop_admin)
    }
}

fn start_log(config: &Config) {
    logging::install(config.logging.level.as_str(), log_form(config.logging.format));
    logging::log_panics();
    for notice in &config.notices {
        tracing::warn!(event = "setting_without_effect", "{notice}");
    }
}

fn log_form(format: Format) -> Form {
    match format {
        Format::Json => Form::Json,
        Format::Text => Form::Text,
        Format::Auto => logging::form_for_stderr(),
    }
}

/// Everything but traffic runs here, so that nothing of it delays traffic.
fn control_runtime() -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(StartError::Threads)
}

fn registry(
    config: &Config,
    store: &Arc<dyn Store>,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<Registry, StartError> {
    Ok(Registry::new(RegistryParts {
        store: store.clone(),
        cache: config.cache,
        options: compile_options(&config.rules, config.document_limit),
        metrics: RegistryMetrics::new(metrics)?,
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
    }))
}

fn routing(
    in_force: &InForce,
    metrics: &Metrics,
    observing: &Observing,
    clock: &Arc<dyn Clock>,
    runtime: &Handle,
) -> Result<Routing, StartError> {
    let InForce { config, contracts, .. } = in_force;
    let threads = match config.traffic.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let enforcing = Enforcing::new(config, metrics, observing, clock)?;
    let metrics = ProxyMetrics::new(metrics)?;
    let calling = Calling { threads, metrics, clock: clock.clone(), runtime: runtime.clone() };
    let mut routing = Routing::new(calling, enforcing);
    routing.install(routing.build(config, contracts)?);
    Ok(routing)
}

fn retention(
    config: &Config,
    store: &Arc<dyn Store>,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<Retention, StartError> {
    let metrics = RetentionMetrics::new(metrics)?;
    Ok(Retention::new(config.retention, store.clone(), clock.clone(), Some(metrics)))
}

fn start_admin(
    sockets: &Sockets,
    control: &Runtime,
    identity: Option<Acceptor>,
    admin: Admin,
) -> Result<Arc<watch::Sender<bool>>, StartError> {
    let listener = sockets.copy().map_err(StartError::Descriptors)?.admin;
    let within_runtime = control.enter();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Descriptors)?;
    drop(within_runtime);
    let (stop, mut stopped) = watch::channel(false);
    control.spawn(async move {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = admin::serve(listener, identity, admin, stop).await {
            tracing::error!(event = "admin_failed", %error, "the admin port is closed");
        }
    });
    Ok(Arc::new(stop))
}

fn running(sockets: &Sockets) -> Result<Running, StartError> {
    let traffic = sockets.traffic.local_addr().map_err(StartError::Descriptors)?;
    let admin = sockets.admin.local_addr().map_err(StartError::Descriptors)?;
    Ok(Running { traffic, admin })
}

/// Who is told that traffic is taken.
struct Ready {
    phase: PhaseWatch,
    predecessor: Option<Predecessor>,
    told: Box<dyn FnOnce(Running) + Send>,
}

// === impl Ready ===

impl Ready {
    /// Tells them once traffic is taken: Pingora starts on threads of its own.
    async fn announce(self, running: Running, started: oneshot::Receiver<()>) {
        if started.await.is_err() {
            return;
        }
        self.phase.set(Phase::Running);
        if let Some(predecessor) = self.predecessor {
            predecessor.relieve();
        }
        let (traffic, admin) = (running.traffic.to_string(), running.admin.to_string());
        tracing::info!(event = "listening", traffic, admin, "listening");
        (self.told)(running);
    }
}

/// The traffic side, ready to run.
struct Traffic {
    threads: usize,
    entrance: Entrance,
    started: oneshot::Sender<()>,
}

// === impl Traffic ===

impl Traffic {
    fn prepare(config: &Config, observing: &Observing, routing: &Routing) -> Self {
        let Calling { threads, metrics, clock, .. } = &routing.calling;
        let (queue, budget) = (observing.queue.clone(), observing.budget.clone());
        let limits = Limits::new(config.limits.exchange, metrics, clock.clone());
        let routes = routing.table.clone();
        let gate = Gate::new(routes, queue, budget, metrics.clone(), clock.clone());
        let tracer = config.tracing.endpoint.as_ref();
        let tracer = tracer.map(|_| Tracer::new(config.tracing.ratio, Arc::new(SystemChance)));
        let gate = gate.at_pace(config.limits.connection.pace).tracing(tracer);
        let entrance = Entrance::new(Arc::new(gate), limits);
        Self { threads: *threads, entrance, started: oneshot::channel().0 }
    }

    /// Completes when traffic is taken. Asked for once.
    fn started(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.started = sender;
        receiver
    }

    /// Takes traffic until a signal says stop and what was in flight has finished.
    fn run(
        self,
        config: &Config,
        identity: Option<Acceptor>,
        sockets: Sockets,
        signals: Signals,
        stop_admin: Arc<watch::Sender<bool>>,
        phase: PhaseWatch,
    ) -> Result<(), StartError> {
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::default();
        let listener = sockets.copy().map_err(StartError::Descriptors)?.traffic;
        let service = proxy::traffic_service(TrafficParts {
            entrance: self.entrance,
            listen: listener.local_addr().map_err(StartError::Descriptors)?,
            listener,
            started: self.started,
            threads: self.threads,
            head_timeout: config.traffic.head_timeout,
            limits: config.limits.connection,
            identity,
            connections: connections.clone(),
            stop: stopped,
        });
        let mut server = Server::new_with_opt_and_conf(None, server_conf(self.threads));
        server.bootstrap();
        server.add_service(service);
        let drain = Drain {
            signals: tokio::sync::Mutex::new(signals),
            stop,
            stop_admin,
            sockets: parking_lot::Mutex::new(Some(Arc::new(sockets))),
            upgrade_socket: config.upgrade.socket.clone(),
            connections,
            timeout: config.traffic.drain_timeout,
            phase,
        };
        server.run(RunArgs { shutdown_signal: Box::new(drain) });
        Ok(())
    }
}

fn server_conf(threads: usize) -> ServerConf {
    ServerConf {
        threads,
        // One runtime per thread: a connection stays where it is, and nothing is stolen.
        work_stealing: false,
        // We drain ourselves before Pingora is told to stop.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
