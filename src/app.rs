//! Builds everything, owns start and stop: the only wiring.

mod lifecycle;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use tokio::sync::watch;

use crate::config::Config;
use crate::model::clock::{Clock, SystemClock};
use crate::observer::budget::Budget;
use crate::observer::metrics::ObserverMetrics;
use crate::observer::queue::Queue;
use crate::proxy::{self, Connections, Gate, ProxyMetrics, Route, Upstream};
use crate::telemetry::logging;
use crate::telemetry::metrics::Metrics;
use lifecycle::{Drain, PhaseWatch};

/// Why the sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or may not be used.
    #[error("cannot listen on {address}: {reason}; choose another with {flag}")]
    Listen {
        /// Address asked for.
        address: SocketAddr,
        /// The system's word for it.
        reason: std::io::Error,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// An instrument's name is taken.
    #[error(transparent)]
    Metrics(#[from] crate::telemetry::metrics::MetricsError),
}

/// Runs until told to stop.
pub fn run(config: Config) -> Result<(), StartError> {
    logging::install(config.logging.level.as_str(), logging::form_for_stderr());
    logging::log_panics();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::default();
    let proxy_metrics = ProxyMetrics::new(&metrics)?;
    let observer_metrics = ObserverMetrics::new(&metrics)?;
    let budget = Budget::new(config.observer.memory);
    let queue = Arc::new(Queue::new(config.observer.queue_exchanges, observer_metrics));
    let workers: Vec<_> = (0..1)
        .map(|_| {
            let q = queue.clone();
            std::thread::spawn(move || {
                q.enlist();
                while let Some(x) = q.take() {
                    drop(x);
                }
            })
        })
        .collect();
    let health = proxy::health_service(&config.traffic.upstream);
    let upstream =
        Upstream::new(&health, config.traffic.clone(), proxy_metrics.clone(), clock.clone());
    let route = Route {
        upstream,
        mode: config.traffic.mode,
        body_limit: config.traffic.body_limit,
        contract: Arc::new(ArcSwapOption::empty()),
    };
    let gate = Arc::new(Gate::new(route, queue.clone(), budget, proxy_metrics, clock));
    let (stop, stopped) = watch::channel(false);
    let connections = Connections::default();
    let threads = match config.traffic.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let traffic = proxy::traffic_service(
        gate,
        config.traffic.listen,
        threads,
        config.traffic.head_timeout,
        connections.clone(),
        stopped,
    );
    let mut server = Server::new_with_opt_and_conf(None, server_conf(threads));
    server.bootstrap();
    server.add_service(health);
    server.add_service(traffic);
    let phase = PhaseWatch::default();
    let drain = Drain { stop, connections, timeout: config.traffic.drain_timeout, phase };
    server.run(RunArgs { shutdown_signal: Box::new(drain) });
    queue.close();
    for w in workers {
        let _ = w.join();
    }
    Ok(())
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
