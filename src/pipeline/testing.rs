//! A pipeline for the tests of this module.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::config::RawSettings;
use crate::exchange::memory_budget::Budget;
use crate::exchange::metrics::ExchangeMetrics;
use crate::exchange::queue::Queue;
pub(crate) use crate::exchange::testing::exchange;
use crate::model::clock::{Clock, ManualClock, Timestamp};
use crate::model::id::SystemIds;
use crate::model::mode::Mode;
use crate::model::random::SeededRandom;
use crate::model::record::ValidationRecord;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Violation, ViolationCode};
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::spool::metrics::SpoolMetrics;
use crate::pipeline::deliver::writer::{self, Writer, WriterParts};
use crate::pipeline::record::recorder::{ExchangeRecorder, ExchangeRecorderParts};
use crate::pipeline::record::sampling_filter::SamplingFilter;
use crate::pipeline::record::violation_groups::ViolationGroups;
use crate::pipeline::usage::UsageRegistry;
use crate::pipeline::usage::consumer::{ConsumerMetrics, ConsumerTable, IdentityChain};
use crate::pipeline::usage::metrics::UsageMetrics;
use crate::redaction::{Redacted, RedactionContext, RedactionRules, Redactor};
use crate::storage::{MemoryStore, Store};
use crate::telemetry::metrics::Metrics;

/// How many exchanges the queue of [`parts`] holds.
pub(super) const QUEUE_LENGTH: usize = 64;

/// A pipeline around a memory store.
pub(super) struct TestPipeline {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) recorder: ExchangeRecorder,
    pub(super) metrics: ExchangeMetrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) _writer: Writer,
}

/// Builds it.
pub(super) fn parts() -> TestPipeline {
    let config = Config::load(RawSettings {
        flags: vec![
            ("spec", "--spec", "x".into()),
            ("upstream", "--upstream", "http://127.0.0.1:1".into()),
        ],
        ..RawSettings::default()
    })
    .unwrap();
    let all = Metrics::default();
    let metrics = ExchangeMetrics::new(&all).unwrap();
    let record_metrics = RecordMetrics::new(&all).unwrap();
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let (_, deadline) = watch::channel(None);
    let (writes, writer) = writer::channel(WriterParts {
        store,
        spool: None,
        metrics: record_metrics.clone(),
        spool_metrics: SpoolMetrics::new(&all).unwrap(),
        random: Arc::new(SeededRandom::new(1)),
        deadline,
    });
    let redactor = Arc::new(Redactor::new(&RedactionRules::default()).unwrap());
    let recorder = ExchangeRecorder::new(ExchangeRecorderParts {
        metrics: metrics.clone(),
        record_metrics,
        groups: Arc::new(ViolationGroups::default()),
        filter: SamplingFilter::new(&config.record, &config.sampling),
        settings: config.record.clone(),
        consumers: ConsumerTable::new(
            IdentityChain::new(&config.consumer),
            redactor.clone(),
            ConsumerMetrics::new(&all, 10).unwrap(),
            100,
        ),
        usage: UsageRegistry::new(UsageMetrics::new(&all).unwrap()),
        redactor,
        writes,
        spans: None,
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
    });
    let queue = Arc::new(Queue::new(QUEUE_LENGTH, metrics.clone()));
    TestPipeline { queue, budget: Budget::new(1 << 20), recorder, metrics, clock, _writer: writer }
}

/// A redacted record with something in every field that may hold something.
pub(super) fn record(id: uuid::Uuid) -> Redacted<ValidationRecord> {
    let redactor = Redactor::new(&RedactionRules::default()).unwrap();
    let record = ValidationRecord {
        id,
        schema_id: "books".into(),
        schema_version: "1.2.0".into(),
        schema_hash: "ab12".into(),
        request_method: "POST".into(),
        request_path: "/books?page=2".into(),
        request_headers: vec![("accept".into(), "a".into()), ("accept".into(), "b".into())],
        request_body: Some("{\"title\":\"\u{e9}\\u0000\\\"\"}".into()),
        response_status: Some(201),
        response_headers: Vec::new(),
        response_body: None,
        valid: false,
        errors: vec!["an error".into()],
        duration_ms: 3,
        validated_at: Timestamp::from_micros(1_700_000_000_000_001),
        environment: "test".into(),
        client_id: "shop".into(),
        client_ip: "127.0.0.1".into(),
        path_template: Some("/books".into()),
        violations: vec![Violation {
            code: ViolationCode::RESPONSE_BODY_SCHEMA,
            name: Some("page".into()),
            instance_pointer: "/a/0".into(),
            schema_pointer: "/components/schemas/A".into(),
            keyword: "type".into(),
            found: String::new(),
            position: None,
            message: "expected a number".into(),
        }],
        skipped: vec![SkipReason::RegexBudget],
        consumer_id: "shop".into(),
        consumer_version: "3".into(),
        mode: Mode::Warn,
        fault: Some(crate::model::fault::Fault::Service),
        rejected: None,
        request_id: "r".into(),
        trace_id: None,
        upstream_us: Some(-1),
        duration_us: i64::MAX,
        request_size: 0,
        response_size: 7,
    };
    redactor.record(record, RedactionContext::default())
}
