//! What observing costs, without any traffic: from the queue to the database.
//!
//! `cargo bench --bench observer` validates, redacts and stores exchanges of 1 KiB each way, under
//! each record policy, and prints exchanges a second, CPU time and bytes per exchange.
//! `-- --exchanges 500000` takes more of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cvt_sidecar::config::pipeline::Priority;
use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::config::{Config, RawSettings};
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::exchange::memory_budget::Budget;
use cvt_sidecar::exchange::metrics::ExchangeMetrics;
use cvt_sidecar::exchange::queue::Queue;
use cvt_sidecar::exchange::{Ending, Exchange, InlineResults};
use cvt_sidecar::model::clock::{Clock, SystemClock};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use cvt_sidecar::model::id::{SchemaId, SystemIds};
use cvt_sidecar::model::mode::{Mode, Modes};
use cvt_sidecar::model::random::SystemRandom;
use cvt_sidecar::pipeline::deliver::metrics::RecordMetrics;
use cvt_sidecar::pipeline::deliver::spool::metrics::SpoolMetrics;
use cvt_sidecar::pipeline::deliver::writer::{self, WriteQueue, WriterParts};
use cvt_sidecar::pipeline::record::recorder::{ExchangeRecorder, ExchangeRecorderParts};
use cvt_sidecar::pipeline::record::sampling_filter::SamplingFilter;
use cvt_sidecar::pipeline::record::violation_groups::ViolationGroups;
use cvt_sidecar::pipeline::usage::UsageRegistry;
use cvt_sidecar::pipeline::usage::consumer::{ConsumerMetrics, ConsumerTable, IdentityChain};
use cvt_sidecar::pipeline::usage::metrics::UsageMetrics;
use cvt_sidecar::pipeline::validate::{MakeValidator, Workers};
use cvt_sidecar::redaction::{RedactionRules, Redactor};
use cvt_sidecar::registry::LoadedContract;
use cvt_sidecar::storage::{self, Access};
use cvt_sidecar::telemetry::metrics::Metrics;
use cvt_sidecar::validation::{Validator, ValidatorOptions};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

const DOCUMENT: &str = "
openapi: 3.1.0
info: {title: Orders, version: 1.0.0}
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    put:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
      responses:
        '200':
          description: stored
          content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}
components:
  schemas:
    Order:
      type: object
      required: [id, lines]
      properties:
        id: {type: integer}
        lines:
          type: array
          items:
            type: object
            required: [sku, quantity]
            properties:
              sku: {type: string, pattern: '^[A-Z]{3}-[0-9]+$'}
              quantity: {type: integer, minimum: 1}
              price: {type: number}
";

/// Exchanges that may wait; the producer keeps them below half, so that all are validated.
const QUEUE: usize = 16_384;

/// What each exchange is made from.
struct ExchangeTemplate {
    contract: Arc<LoadedContract>,
    body: Bytes,
    request: RequestHead,
    response: ResponseHead,
    budget: Budget,
    clock: SystemClock,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let count = arguments.iter().position(|argument| argument == "--exchanges");
    let count = count.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(100_000);
    let pattern = ExchangeTemplate::new()?;
    let making = cpu();
    for _ in 0..count {
        std::hint::black_box(pattern.exchange());
    }
    let making = cpu().saturating_sub(making);
    println!("policy      exchanges/s  CPU/exchange  held/exchange  stored/exchange");
    for policy in ["violations", "sampled", "all"] {
        let dir = std::env::temp_dir().join(format!("cvt-bench-{}-{policy}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let done = run(&pattern, policy, count, making, &dir);
        let _ = std::fs::remove_dir_all(&dir);
        println!("{}", done?);
    }
    Ok(())
}

/// What an observer leaves behind.
struct RunResult {
    took: Duration,
    used: Duration,
    held: usize,
    metrics: ExchangeMetrics,
    records: RecordMetrics,
}

/// Observes `count` exchanges and says what that took, without `making` them.
fn run(
    pattern: &ExchangeTemplate,
    policy: &str,
    count: u32,
    making: Duration,
    dir: &Path,
) -> Result<String, Failure> {
    let flags = vec![
        ("spec", "--spec", "x".to_owned()),
        ("upstream", "--upstream", "http://127.0.0.1:1".to_owned()),
        ("record", "--record", policy.to_owned()),
    ];
    let config = Config::load(RawSettings { flags, ..RawSettings::default() })?;
    let done = observe(pattern, &config, count, dir)?;
    let files = std::fs::read_dir(dir)?.flatten();
    let stored: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let (validated, written) = (done.metrics.validated.get(), done.records.written());
    assert_eq!((validated, done.records.all_dropped()), (u64::from(count), 0), "all are validated");
    Ok(format!(
        "{policy:<11} {:>11.0} {:>10.1} us {:>12} B {:>14} B   ({written} records, {:.0} a second)",
        f64::from(count) / done.took.as_secs_f64(),
        done.used.saturating_sub(making).as_secs_f64() * 1e6 / f64::from(count),
        done.held,
        stored.checked_div(written).unwrap_or(0),
        written as f64 / done.took.as_secs_f64(),
    ))
}

fn observe(
    pattern: &ExchangeTemplate,
    config: &Config,
    count: u32,
    dir: &Path,
) -> Result<RunResult, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = StorageSettings::Sqlite { path: dir.join("cvt.db") };
    let store = runtime.block_on(storage::open(&settings, Access::Write, clock.clone()))?;
    let all = Metrics::default();
    let records = RecordMetrics::new(&all)?;
    let (_deadline, set) = tokio::sync::watch::channel(None);
    let (writes, writer) = writer::channel(WriterParts {
        store: store.clone(),
        spool: None,
        metrics: records.clone(),
        spool_metrics: SpoolMetrics::new(&all)?,
        random: Arc::new(SystemRandom),
        deadline: set,
    });
    let writer = runtime.spawn(writer.run());
    let metrics = ExchangeMetrics::new(&all)?;
    let queue = Arc::new(Queue::new(QUEUE, metrics.clone()));
    let recorder = recorder(config, &all, (&metrics, &records), writes)?;
    let make_validator: MakeValidator =
        Arc::new(|| Box::new(Validator::new(ValidatorOptions::default())));
    let workers = Workers::start(1, Priority::Normal, &queue, &make_validator, &recorder, &clock)?;
    drop(recorder);
    let (start, before, mut held) = (now(), cpu(), 0);
    for _ in 0..count {
        while queue.len() > QUEUE / 4 {
            held = held.max(pattern.budget.used() / queue.len().max(1));
            std::thread::sleep(Duration::from_micros(200));
        }
        queue.offer(pattern.exchange());
    }
    workers.finish(Duration::from_mins(10));
    runtime.block_on(writer)?;
    let (took, used) = (start.elapsed(), cpu().saturating_sub(before));
    runtime.block_on(store.close());
    Ok(RunResult { took, used, held, metrics, records })
}

fn recorder(
    config: &Config,
    all: &Metrics,
    (metrics, records): (&ExchangeMetrics, &RecordMetrics),
    writes: WriteQueue,
) -> Result<ExchangeRecorder, Failure> {
    let redactor = Arc::new(Redactor::new(&RedactionRules::default())?);
    let chain = IdentityChain::new(&config.consumer);
    let counters = ConsumerMetrics::new(all, config.consumer.metric_labels)?;
    Ok(ExchangeRecorder::new(ExchangeRecorderParts {
        metrics: metrics.clone(),
        record_metrics: records.clone(),
        groups: Arc::new(ViolationGroups::default()),
        filter: SamplingFilter::new(&config.record, &config.sampling),
        settings: config.record.clone(),
        consumers: ConsumerTable::new(chain, redactor.clone(), counters, config.consumer.limit),
        usage: UsageRegistry::new(UsageMetrics::new(all)?),
        redactor,
        writes,
        spans: None,
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    }))
}

// === impl ExchangeTemplate ===

impl ExchangeTemplate {
    fn new() -> Result<Self, Failure> {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default())?;
        let line = r#"{"sku":"ABC-12345","quantity":3,"price":19.99}"#;
        let lines = vec![line; 20].join(",");
        let body = Bytes::from(format!(r#"{{"id":7,"lines":[{lines}]}}"#));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "orders.example"),
            ("content-type", "application/json"),
            ("user-agent", "checkout/3.1"),
            ("accept", "application/json"),
            ("authorization", "Bearer 0123456789abcdef"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(Self {
            contract: Arc::new(LoadedContract::new(SchemaId::new("orders")?, contract)),
            body,
            request: RequestHead {
                method: Method::PUT,
                target: Uri::from_static("/orders/7"),
                version: Version::HTTP_11,
                headers: headers.clone(),
            },
            response: ResponseHead { status: StatusCode::OK, headers },
            budget: Budget::new(1 << 30),
            clock: SystemClock,
        })
    }

    #[allow(clippy::expect_used, reason = "the budget is never used up here")]
    fn exchange(&self) -> Box<Exchange> {
        Box::new(Exchange {
            contract: Some(self.contract.clone()),
            id: None,
            modes: Modes { request: Mode::Shadow, response: Mode::Shadow },
            client_ip: None,
            client_subject: None,
            request: self.request.clone(),
            request_body: CapturedBody::complete(&Bytes::copy_from_slice(&self.body)),
            response: Some(self.response.clone()),
            response_body: CapturedBody::complete(&Bytes::copy_from_slice(&self.body)),
            ending: Ending::Responded,
            rejected: None,
            inline: InlineResults::default(),
            arrived_at: self.clock.now(),
            duration: Duration::from_millis(3),
            upstream_duration: None,
            forwarded_after: Duration::ZERO,
            trace: None,
            // As the gate reckons: heads, their fixed part, and the bodies.
            reservation: self.budget.reserve(2 * (1024 + 500 + self.body.len())).expect("room"),
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// CPU time of this process so far, in the kernel's hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after_name.split(' ').nth(at)?.parse::<u64>().ok();
    Duration::from_millis((ticks(12).unwrap_or(0) + ticks(13).unwrap_or(0)) * 10)
}
