//! Parts for the tests of this floor.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri, Version};
use tokio::sync::watch;

use super::budget::Budget;
use super::consumer::{ConsumerMetrics, IdentityChain, Roster};
use super::exchange::{Ending, Exchange, Known};
use super::kinds::Kinds;
use super::metrics::{ObserverMetrics, RecordMetrics};
use super::queue::Queue;
use super::recorder::{Recorder, RecorderParts};
use super::screen::Screen;
use super::spool::metrics::SpoolMetrics;
use super::usage::UsageBook;
use super::usage::metrics::UsageMetrics;
use super::writer::{self, Writer, WriterParts};
use crate::config::Config;
use crate::config::Typed;
use crate::model::chance::SeededChance;
use crate::model::clock::{Clock, ManualClock, Timestamp};
use crate::model::exchange::{Captured, RequestHead};
use crate::model::id::SystemIds;
use crate::model::mode::{Mode, Modes};
use crate::model::record::ValidationRecord;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Violation, ViolationCode};
use crate::redaction::{Hints, Redacted, Redactor, Rules};
use crate::storage::{MemoryStore, Store};
use crate::telemetry::metrics::Metrics;

/// How many exchanges the queue of [`parts`] holds.
pub(super) const QUEUE_LENGTH: usize = 64;

/// An observer around a memory store.
pub(super) struct Parts {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) recorder: Recorder,
    pub(super) metrics: ObserverMetrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) _writer: Writer,
}

/// Builds it.
pub(super) fn parts() -> Parts {
    let config = Config::load(Typed {
        flags: vec![
            ("spec", "--spec", "x".into()),
            ("upstream", "--upstream", "http://127.0.0.1:1".into()),
        ],
        ..Typed::default()
    })
    .unwrap();
    let all = Metrics::default();
    let metrics = ObserverMetrics::new(&all).unwrap();
    let record_metrics = RecordMetrics::new(&all).unwrap();
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let (_, deadline) = watch::channel(None);
    let (sender, writer) = writer::channel(WriterParts {
        store,
        spool: None,
        metrics: record_metrics.clone(),
        spool_metrics: SpoolMetrics::new(&all).unwrap(),
        chance: Arc::new(SeededChance::new(1)),
        deadline,
    });
    let redactor = Arc::new(Redactor::new(&Rules::default()).unwrap());
    let recorder = Recorder::new(RecorderParts {
        metrics: metrics.clone(),
        record_metrics,
        kinds: Arc::new(Kinds::default()),
        screen: Screen::new(&config.record, &config.sampling),
        settings: config.record.clone(),
        roster: Roster::new(
            IdentityChain::new(&config.consumer),
            redactor.clone(),
            ConsumerMetrics::new(&all, 10).unwrap(),
            100,
        ),
        usage: UsageBook::new(UsageMetrics::new(&all).unwrap()),
        redactor,
        sender,
        spans: None,
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
    });
    let queue = Arc::new(Queue::new(QUEUE_LENGTH, metrics.clone()));
    Parts { queue, budget: Budget::new(1 << 20), recorder, metrics, clock, _writer: writer }
}

/// An exchange without a contract, drawing on `budget`.
pub(super) fn exchange(budget: &Budget) -> Box<Exchange> {
    Box::new(Exchange {
        contract: None,
        trace: None,
        id: None,
        modes: Modes::both(Mode::Warn),
        client_ip: None,
        client_subject: None,
        request: RequestHead {
            method: Method::GET,
            target: Uri::from_static("/"),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
        },
        request_body: Captured::default(),
        response: None,
        response_body: Captured::default(),
        ending: Ending::UpstreamFailed,
        rejected: None,
        known: Known::default(),
        arrived_at: Timestamp::default(),
        duration: Duration::ZERO,
        upstream_duration: None,
        forwarded_after: Duration::ZERO,
        reservation: budget.reserve(100).unwrap(),
    })
}

/// A redacted record with something in every field that may hold something.
pub(super) fn record(id: uuid::Uuid) -> Redacted<ValidationRecord> {
    let redactor = Redactor::new(&Rules::default()).unwrap();
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
        operation: Some("/books".into()),
        violations: vec![Violation {
            code: ViolationCode::RESPONSE_BODY_SCHEMA,
            name: Some("page".into()),
            instance_pointer: "/a/0".into(),
            schema_pointer: "/components/schemas/A".into(),
            keyword: "type".into(),
            position: None,
            message: "expected a number".into(),
        }],
        skipped: vec![SkipReason::RegexBudget],
        consumer_id: "shop".into(),
        consumer_version: "3".into(),
        mode: Mode::Warn,
        rejected: None,
        request_id: "r".into(),
        trace_id: None,
        upstream_us: Some(-1),
        duration_us: i64::MAX,
        request_size: 0,
        response_size: 7,
    };
    redactor.record(record, Hints::default())
}
