//! Builds everything, owns start and stop: the only wiring.
//!
//! Start: settings are checked before this begins; documents are compiled, storage opens, the
//! documents are stored, validator threads and the record writer start, the admin port answers,
//! and only then traffic is taken. Stop runs the other way: no new connections, exchanges in flight finish,
//! what waits is validated and stored, storage closes. Each step has a deadline.
//!
//! Long because `run` shows start and stop in one ordered function.

mod collector;
mod console;
mod contracts;
mod delivery;
mod enforcement;
mod error;
mod handover;
mod identities;
mod keys;
mod lifecycle;
mod listeners;
mod pipeline;
mod readiness;
mod reload;
mod reporting;
mod routing;
mod stores;
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
use crate::config::logging::LogFormat;
use crate::model::clock::{Clock, SystemClock};
use crate::model::id::SystemIds;
use crate::model::random::SystemRandom;
use crate::pipeline::record::notice::NoticeSink;
use crate::proxy::{
    self, ConnectionCounter, ExchangeHandler, ExchangeLimiter, ProxyMetrics, RequestAdmission,
    Tracer, TrafficParts,
};
use crate::registry::metrics::RegistryMetrics;
use crate::registry::{Registry, RegistryParts, compile_options};
use crate::retention::Retention;
use crate::retention::metrics::RetentionMetrics;
use crate::storage::Store;
use crate::telemetry::logging::{self, LineFormat};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::process;
use crate::tls::Acceptor;
use contracts::{CompiledDocuments, DocumentSources, RouteContracts};
use enforcement::EnforcementFactory;
use handover::{Predecessor, Sockets};
use identities::Identities;
use lifecycle::{Drain, Phase, PhaseWatch, Signals, reap_children};
use listeners::{Inherited, Listeners};
use pipeline::RunningPipeline;
use readiness::SidecarReadiness;
use reload::{ActiveConfig, ConfigFile, Reloader};
use routing::{Routing, UpstreamFactory};

pub use console::{LogNotices, TerminalNotices};
pub use error::StartError;
pub use keys::keyring;
pub use reload::LoadConfig;
pub use stores::open_store;
pub use summary::Summary;

/// How long the queue may take to be validated and stored at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the running sidecar listens.
#[derive(Debug, Clone)]
pub struct ListenAddresses {
    /// Where traffic is taken.
    pub traffic: SocketAddr,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
}

/// What a caller is notified of, and where settings are read again.
pub struct Hooks {
    /// Called once when traffic is taken.
    pub on_ready: Box<dyn FnOnce(ListenAddresses) + Send>,
    /// Notified of each new violation group.
    pub notice_sink: Arc<dyn NoticeSink>,
    /// Whether to take over the sockets of a running process.
    pub take_over: bool,
    /// How settings are read again; without it they stay.
    pub reload: Option<Reload>,
}

/// Where settings come from.
pub struct Reload {
    /// The config file. It may be created later.
    pub file: PathBuf,
    /// Reads the settings as at first, or says what is wrong with them.
    pub load: LoadConfig,
}

/// Runs until told to stop; the summary says what was seen.
pub fn run(config: &Config, hooks: Hooks) -> Result<Summary, StartError> {
    let listener_sources =
        ListenerSources { take_over: hooks.take_over, inherited: Inherited::take() };
    let file = hooks.reload.map(|Reload { file, load }| ConfigFile::new(file, load));
    install_logging(config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::default();
    process::register(&metrics)?;
    let control = control_runtime()?;
    let mut signals =
        control.block_on(async { Signals::install() }).map_err(StartError::Threads)?;
    control.spawn(reap_children());
    let identities = Identities::load(&config.tls, &metrics)?;
    let (no_contracts, mut documents) = (RouteContracts::default(), DocumentSources::default());
    let compilation = CompiledDocuments::compile(config, &no_contracts, &mut documents);
    let compiled_documents = control.block_on(compilation)?;
    let (stop_background, background_stopped) = watch::channel(false);
    let opening = stores::open_for_traffic(config, &metrics, &clock, background_stopped.clone());
    let store = control.block_on(signals.unless_stopped(opening))?;
    let store = stores::with_metrics(store, &metrics, &clock)?;
    let registry = registry(config, &store, &metrics, &clock)?;
    let registration = compiled_documents.register(config, &registry, &no_contracts);
    let contracts = control.block_on(signals.unless_stopped(registration))?;
    let slots = Arc::new(ArcSwap::from_pointee(contracts.slots()));
    registry.publish_contracts(&slots);
    let registry_refresh =
        control.spawn(registry.run_refresh(slots.clone(), background_stopped.clone()));
    let pipeline =
        RunningPipeline::start(config, &control, &store, &metrics, &clock, hooks.notice_sink)?;
    let retention = retention(config, &store, &metrics, &clock)?;
    let retention = control.spawn(retention.run(background_stopped.clone()));
    identities.watch_files(&control, &background_stopped);
    let edges = Edges {
        config,
        control: &control,
        metrics,
        store: &store,
        clock: &clock,
        pipeline: &pipeline,
        active: ActiveConfig {
            config: config.clone(),
            contracts,
            documents,
            registry,
            slots,
            file,
        },
        stopped: background_stopped,
    };
    // Also a start that fails from here on ends in order: what was taken over from an earlier run
    // is stored, or stays in the spool.
    let served = edges.run(signals, identities, listener_sources, hooks.on_ready);
    let summary = pipeline.finish(&control, FLUSH_TIMEOUT);
    let _ = stop_background.send(true);
    control.block_on(async {
        // They stop at their next pause; a task that hangs may not delay the end.
        let background = async { tokio::join!(retention, registry_refresh) };
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
struct ListenerSources {
    take_over: bool,
    inherited: Inherited,
}

/// What the traffic port and the admin port are built from.
struct Edges<'s> {
    config: &'s Config,
    control: &'s Runtime,
    metrics: Metrics,
    store: &'s Arc<dyn Store>,
    clock: &'s Arc<dyn Clock>,
    pipeline: &'s RunningPipeline,
    active: ActiveConfig,
    /// Turns true when what runs in the background ends.
    stopped: watch::Receiver<bool>,
}

// === impl Edges ===

impl Edges<'_> {
    /// Listens and takes traffic until told to stop; the answer stops the admin port.
    fn run(
        self,
        mut signals: Signals,
        identities: Identities,
        listener_sources: ListenerSources,
        on_ready: Box<dyn FnOnce(ListenAddresses) + Send>,
    ) -> Result<Arc<watch::Sender<bool>>, StartError> {
        let Self { config, control, metrics, store, clock, pipeline, active, stopped } = self;
        let listeners =
            Listeners::open(config, listener_sources.take_over, listener_sources.inherited);
        let Listeners { sockets, predecessor } =
            control.block_on(signals.unless_stopped(listeners))?;
        let phase = PhaseWatch::default();
        let routing = routing(&active, &metrics, pipeline, clock, control.handle())?;
        let mut traffic = TrafficServer::prepare(config, pipeline, &routing);
        let readiness = SidecarReadiness {
            routes: routing.table.clone(),
            store: store.clone(),
            phase: phase.clone(),
        };
        let reloader = Reloader::new(active, routing, &metrics, clock)?;
        control.spawn(reloader.run(signals.take_hangup(), stopped));
        let admin = Admin::new(metrics, Arc::new(readiness))?;
        let stop_admin = start_admin(&sockets, control, identities.admin, admin)?;
        let ready = ReadyNotifier { phase: phase.clone(), predecessor, on_ready };
        control.spawn(ready.notify(listen_addresses(&sockets)?, traffic.started()));
        traffic.run(config, identities.traffic, sockets, signals, stop_admin.clone(), phase)?;
        Ok(stop_admin)
    }
}

fn install_logging(config: &Config) {
    logging::install(config.logging.level.as_str(), line_format(config.logging.format));
    logging::log_panics();
    for notice in &config.notices {
        tracing::warn!(event = "setting_without_effect", "{notice}");
    }
}

fn line_format(format: LogFormat) -> LineFormat {
    match format {
        LogFormat::Json => LineFormat::Json,
        LogFormat::Text => LineFormat::Text,
        LogFormat::Auto => logging::format_for_stderr(),
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
        options: compile_options(&config.rules, &config.documents),
        metrics: RegistryMetrics::new(metrics)?,
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
    }))
}

fn routing(
    active: &ActiveConfig,
    metrics: &Metrics,
    pipeline: &RunningPipeline,
    clock: &Arc<dyn Clock>,
    runtime: &Handle,
) -> Result<Routing, StartError> {
    let ActiveConfig { config, contracts, .. } = active;
    let threads = match config.traffic.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let enforcement_factory = EnforcementFactory::new(config, metrics, pipeline, clock)?;
    let metrics = ProxyMetrics::new(metrics)?;
    let upstream_factory =
        UpstreamFactory { threads, metrics, clock: clock.clone(), runtime: runtime.clone() };
    let mut routing = Routing::new(upstream_factory, enforcement_factory);
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
    let listener = sockets.try_clone().map_err(StartError::Descriptors)?.admin;
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

fn listen_addresses(sockets: &Sockets) -> Result<ListenAddresses, StartError> {
    let traffic = sockets.traffic.local_addr().map_err(StartError::Descriptors)?;
    let admin = sockets.admin.local_addr().map_err(StartError::Descriptors)?;
    Ok(ListenAddresses { traffic, admin })
}

/// The parts that are notified once traffic is taken.
struct ReadyNotifier {
    phase: PhaseWatch,
    predecessor: Option<Predecessor>,
    on_ready: Box<dyn FnOnce(ListenAddresses) + Send>,
}

// === impl ReadyNotifier ===

impl ReadyNotifier {
    /// Notifies them once traffic is taken: Pingora starts on threads of its own.
    async fn notify(self, addresses: ListenAddresses, started: oneshot::Receiver<()>) {
        if started.await.is_err() {
            return;
        }
        self.phase.set(Phase::Running);
        if let Some(predecessor) = self.predecessor {
            predecessor.notify_ready();
        }
        let (traffic, admin) = (addresses.traffic.to_string(), addresses.admin.to_string());
        tracing::info!(event = "listening", traffic, admin, "listening");
        (self.on_ready)(addresses);
    }
}

/// The traffic side, ready to run.
struct TrafficServer {
    threads: usize,
    admission: RequestAdmission,
    started: oneshot::Sender<()>,
}

// === impl TrafficServer ===

impl TrafficServer {
    fn prepare(config: &Config, pipeline: &RunningPipeline, routing: &Routing) -> Self {
        let UpstreamFactory { threads, metrics, clock, .. } = &routing.upstream_factory;
        let (queue, budget) = (pipeline.queue.clone(), pipeline.budget.clone());
        let limits = ExchangeLimiter::new(config.limits.exchange, metrics, clock.clone());
        let routes = routing.table.clone();
        let handler = ExchangeHandler::new(routes, queue, budget, metrics.clone(), clock.clone());
        let tracer = config.tracing.endpoint.as_ref();
        let tracer = tracer.map(|_| Tracer::new(config.tracing.ratio, Arc::new(SystemRandom)));
        let handler = handler.with_min_rate(config.limits.connection.min_rate).with_tracer(tracer);
        let admission = RequestAdmission::new(Arc::new(handler), limits);
        Self { threads: *threads, admission, started: oneshot::channel().0 }
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
        let connections = ConnectionCounter::default();
        let listener = sockets.try_clone().map_err(StartError::Descriptors)?.traffic;
        let service = proxy::traffic_service(TrafficParts {
            admission: self.admission,
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
        // We drain ourselves before Pingora stops.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
