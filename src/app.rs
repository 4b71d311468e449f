//! Builds everything, owns start and stop: the only wiring.
//!
//! Start: settings are checked before this begins; documents are compiled, storage opens, the
//! documents are stored, judging threads and the record writer start, the admin port answers, and only then
//! traffic is taken. Stop runs the other way: no new connections, exchanges in flight finish,
//! what waits is judged and stored, storage closes. Each step has a deadline.

mod announce;
mod enforcing;
mod lifecycle;
mod observing;
mod readiness;
mod routing;
mod secrecy;
mod stores;
mod summary;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::config::logging::Format;
use crate::model::chance::SystemChance;
use crate::model::clock::{Clock, SystemClock};
use crate::model::id::{SchemaId, SystemIds};
use crate::observer::recorder::Announce;
use crate::proxy::{
    self, Connections, Gate, HealthService, ProxyMetrics, RouteTable, Tracer, TrafficParts,
};
use crate::registry::metrics::RegistryMetrics;
use crate::registry::{RegisterError, Registry, RegistryParts, compile_options};
use crate::retention::Retention;
use crate::retention::metrics::RetentionMetrics;
use crate::storage::{Store, StoreError};
use crate::telemetry::logging::{self, Form};
use crate::telemetry::metrics::{Metrics, MetricsError};
use crate::telemetry::process;
use crate::tls::Acceptor;
use enforcing::Enforcing;
use lifecycle::{Drain, Phase, PhaseWatch};
use observing::Observing;
use readiness::SidecarReadiness;
use routing::{Contracts, Drafts, Routing};
use secrecy::Identities;

pub use announce::{LogLines, TerminalLines};
pub use stores::open_store;
pub use summary::Summary;

/// How long what waits may take to be judged and stored at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or may not be used.
    #[error("cannot listen on {address}: {reason}; choose another address with {flag}")]
    Listen {
        /// Address asked for.
        address: SocketAddr,
        /// The system's word for it.
        reason: std::io::Error,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The document cannot be read.
    #[error("{}: the document cannot be read: {reason}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's word for it.
        reason: std::io::Error,
    },
    /// The document cannot be registered.
    #[error("{}: {reason}", path.display())]
    Document {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: RegisterError,
    },
    /// No document was named, and no schema is registered under the id.
    #[error(
        "no schema is registered under {}{}; register one, or name a document with --spec",
        id.as_ref().map_or("", SchemaId::as_str),
        version.as_ref().map(|version| format!("@{version}")).unwrap_or_default()
    )]
    UnknownSchema {
        /// The id.
        id: Option<SchemaId>,
        /// The version, when a route pins one.
        version: Option<String>,
    },
    /// The registered schema cannot be loaded.
    #[error("the registered schema cannot be loaded: {0}")]
    Lookup(Arc<RegisterError>),
    /// Storage cannot be opened.
    #[error("storage {place}: {reason}")]
    Storage {
        /// Where it is, without secrets.
        place: String,
        /// What is wrong.
        reason: StoreError,
    },
    /// The settings name operations that the document does not list.
    #[error("operations (route {route}): {problems}")]
    Operations {
        /// The route that names them.
        route: String,
        /// A sentence about each.
        problems: String,
    },
    /// A certificate, a key or an authority cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// The directory that was named for the spool cannot be used.
    #[error("the spool cannot be used: {0}; name another directory with CVT_SPOOL_DIR")]
    Spool(#[source] crate::observer::spool::SpoolError),
    /// A redaction rule is malformed.
    #[error("redaction: {0}")]
    Redaction(#[from] crate::redaction::InvalidPointer),
    /// Threads or timers cannot be had.
    #[error("the system gives no threads: {0}")]
    Threads(#[source] std::io::Error),
    /// An instrument's name is taken.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

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
}

/// Runs until told to stop; the summary says what was seen.
pub fn run(config: &Config, hooks: Hooks) -> Result<Summary, StartError> {
    logging::install(config.logging.level.as_str(), log_form(config.logging.format));
    logging::log_panics();
    for notice in &config.notices {
        tracing::warn!(event = "setting_without_effect", "{notice}");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::default();
    process::register(&metrics)?;
    let control = control_runtime()?;
    let identities = Identities::load(&config.tls, &metrics)?;
    let drafts = control.block_on(Drafts::compile(config))?;
    let store = control.block_on(open_store(&config.storage, false, &clock))?;
    let store = stores::measured(store, &metrics, &clock)?;
    let registry_metrics = RegistryMetrics::new(&metrics)?;
    let registry = registry(config, &store, &registry_metrics, &clock);
    let contracts = control.block_on(drafts.register(config, &registry))?;
    let slots = Arc::new(ArcSwap::from_pointee(contracts.slots()));
    registry.show(&slots.load());
    let (stop_background, background_stopped) = watch::channel(false);
    let following = control.spawn(registry.follow(slots, background_stopped.clone()));
    let observing = Observing::start(config, &control, &store, &metrics, &clock, hooks.announce)?;
    let retention_metrics = RetentionMetrics::new(&metrics)?;
    let retention =
        Retention::new(config.retention, store.clone(), clock.clone(), Some(retention_metrics));
    let retention = control.spawn(retention.run(background_stopped.clone()));
    identities.follow(&control, &background_stopped);
    let phase = PhaseWatch::default();
    let traffic = Traffic::prepare(config, &metrics, &observing, &contracts, &clock)?;
    let readiness = SidecarReadiness {
        routes: traffic.routes.clone(),
        store: store.clone(),
        phase: phase.clone(),
    };
    let admin = Admin::new(metrics, Arc::new(readiness))?;
    let (admin_address, stop_admin) = start_admin(config, &control, identities.admin, admin)?;
    let running = Running { traffic: traffic.listen, admin: admin_address };
    control.spawn(announce_ready(running, phase.clone(), hooks.ready));
    traffic.run(config, identities.traffic, phase);
    let summary = observing.finish(&control, FLUSH_TIMEOUT);
    let _ = stop_background.send(true);
    control.block_on(async {
        // They stop at their next pause; what hangs may not hold up the end.
        let background = async { tokio::join!(retention, following) };
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, background).await;
        store.close().await;
    });
    let _ = stop_admin.send(true);
    control.shutdown_timeout(Duration::from_secs(1));
    Ok(summary)
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
    metrics: &RegistryMetrics,
    clock: &Arc<dyn Clock>,
) -> Registry {
    Registry::new(RegistryParts {
        store: store.clone(),
        cache: config.cache,
        options: compile_options(&config.rules, config.document_limit),
        metrics: metrics.clone(),
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
    })
}

fn start_admin(
    config: &Config,
    control: &Runtime,
    identity: Option<Acceptor>,
    admin: Admin,
) -> Result<(SocketAddr, watch::Sender<bool>), StartError> {
    let address = config.admin.listen;
    let refused =
        |reason| StartError::Listen { address, reason, flag: "--admin-listen or CVT_METRICS_PORT" };
    let listener = control.block_on(tokio::net::TcpListener::bind(address)).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let (stop, mut stopped) = watch::channel(false);
    control.spawn(async move {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = admin::serve(listener, identity, admin, stop).await {
            tracing::error!(event = "admin_failed", %error, "the admin port is closed");
        }
    });
    Ok((bound, stop))
}

/// Says that traffic is taken, once it is: Pingora binds the port on its own thread.
async fn announce_ready(
    running: Running,
    phase: PhaseWatch,
    ready: Box<dyn FnOnce(Running) + Send>,
) {
    const STEP: Duration = Duration::from_millis(5);
    while tokio::net::TcpStream::connect(reachable(running.traffic)).await.is_err() {
        tokio::time::sleep(STEP).await;
    }
    phase.set(Phase::Running);
    let (traffic, admin) = (running.traffic.to_string(), running.admin.to_string());
    tracing::info!(event = "listening", traffic, admin, "listening");
    ready(running);
}

/// An address to reach a listener by that may listen on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The traffic side, ready to run.
struct Traffic {
    listen: SocketAddr,
    threads: usize,
    gate: Arc<Gate>,
    routes: Arc<ArcSwap<RouteTable>>,
    services: Vec<HealthService>,
}

// === impl Traffic ===

impl Traffic {
    fn prepare(
        config: &Config,
        metrics: &Metrics,
        observing: &Observing,
        contracts: &Contracts,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let listen = free_address(config.traffic.listen)?;
        let threads = match config.traffic.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let enforcing = Enforcing::new(metrics, observing, clock)?;
        let metrics = ProxyMetrics::new(metrics)?;
        let Routing { table, services } =
            Routing::build(config, contracts, threads, &metrics, &enforcing, clock);
        let routes = Arc::new(ArcSwap::from_pointee(table));
        let (queue, budget) = (observing.queue.clone(), observing.budget.clone());
        let tracer = config.tracing.endpoint.as_ref();
        let tracer = tracer.map(|_| Tracer::new(config.tracing.ratio, Arc::new(SystemChance)));
        let gate = Gate::new(routes.clone(), queue, budget, metrics, clock.clone());
        let gate = gate.with_tracer(tracer);
        Ok(Self { listen, threads, gate: Arc::new(gate), routes, services })
    }

    /// Takes traffic until a signal says stop and what was in flight has finished.
    fn run(self, config: &Config, identity: Option<Acceptor>, phase: PhaseWatch) {
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::default();
        let service = proxy::traffic_service(TrafficParts {
            gate: self.gate,
            listen: self.listen,
            threads: self.threads,
            head_timeout: config.traffic.head_timeout,
            limits: config.limits.connection,
            identity,
            connections: connections.clone(),
            stop: stopped,
        });
        let mut server = Server::new_with_opt_and_conf(None, server_conf(self.threads));
        server.bootstrap();
        for health in self.services {
            server.add_service(health);
        }
        server.add_service(service);
        let drain = Drain { stop, connections, timeout: config.traffic.drain_timeout, phase };
        server.run(RunArgs { shutdown_signal: Box::new(drain) });
    }
}

/// The address itself if it can be listened on, with a free port in the place of port 0.
/// Pingora tries a taken port again and again, then panics: it must not come to that.
fn free_address(address: SocketAddr) -> Result<SocketAddr, StartError> {
    TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|reason| StartError::Listen { address, reason, flag: "--listen or CVT_LISTEN" })
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
