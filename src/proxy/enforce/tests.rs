use std::sync::mpsc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;

use super::*;
use crate::config::{Problems, RawSettings, Values, enforcement};
use crate::contract::{CompileOptions, Contract};
use crate::exchange::InlineResults;
use crate::exchange::metrics::ExchangeMetrics;
use crate::exchange::queue::Queue;
use crate::model::clock::{SystemClock, Timestamp};
use crate::model::exchange::{RequestHead, ResponseHead};
use crate::model::id::{SchemaId, SystemIds};
use crate::pipeline::usage::UsageRegistry;
use crate::pipeline::usage::metrics::UsageMetrics;
use crate::pipeline::validate::{MakeValidator, ValidateExchange};
use crate::telemetry::metrics::Metrics;
use crate::validation::ValidationObserver;

const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /users:
    post:
      requestBody: {content: {'*/*': {}}}
      responses: {'200': {description: d, content: {'*/*': {}}}}
";

/// A validator with a defect: it panics, or does not come to an end before it is released.
enum FaultyValidator {
    Panics,
    Hangs(Arc<Mutex<mpsc::Receiver<()>>>),
}

impl FaultyValidator {
    fn fail(&self) -> ! {
        match self {
            Self::Panics => panic!("a defect in validation"),
            Self::Hangs(released) => {
                let _ = released.lock().recv();
                panic!("released")
            }
        }
    }
}

impl ValidateExchange for FaultyValidator {
    fn request(
        &mut self,
        _: &Contract,
        _: &RequestHead,
        _: &CapturedBody,
        _: &mut dyn ValidationObserver,
    ) -> RequestValidation {
        self.fail()
    }

    fn response(
        &mut self,
        _: &Contract,
        _: Option<OperationIndex>,
        _: &RequestHead,
        _: (&ResponseHead, &CapturedBody),
        _: &mut dyn ValidationObserver,
    ) -> Verdict {
        self.fail()
    }
}

/// Enforcement of everything on one route, and what it counts.
struct EnforcementFixture {
    enforcement: Arc<Enforcement>,
    metrics: Metrics,
    queue: Arc<Queue>,
    contract: Arc<LoadedContract>,
}

impl EnforcementFixture {
    fn new(action: &str, budget: &str, memory: usize, make_validator: MakeValidator) -> Self {
        let metrics = Metrics::default();
        let variables = [
            ("CVT_MODE", "strict"),
            ("CVT_ENFORCE_RESPONSES", "true"),
            ("CVT_ON_UNENFORCEABLE", action),
            ("CVT_ENFORCEMENT_VALIDATION_BUDGET", budget),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let raw = RawSettings { environment: environment.to_vec(), ..RawSettings::default() };
        let mut problems = Problems::default();
        let values = Values::collect(raw, crate::config::Config::TABLES, &mut problems);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let usage = UsageRegistry::new(UsageMetrics::new(&metrics).unwrap());
        let enforcement = Arc::new(Enforcement::new(EnforcementParts {
            route: "default".into(),
            settings: enforcement::read(&values, &mut problems),
            body_limit: 1 << 20,
            validators: Arc::new(InlineValidators::new(make_validator, 1, usage, clock.clone())),
            budget: Budget::new(memory),
            metrics: EnforcementMetrics::new(&metrics).unwrap(),
            clock,
            ids: Arc::new(SystemIds),
        }));
        problems.or_fail().unwrap();
        let observer = ExchangeMetrics::new(&metrics).unwrap();
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let contract = Arc::new(LoadedContract::new(SchemaId::new("t").unwrap(), contract));
        Self { enforcement, metrics, queue: Arc::new(Queue::new(8, observer)), contract }
    }

    fn open(&self) -> (PendingExchange, EnforcementDecision) {
        let headers = HeaderMap::new();
        let contract = Some(&self.contract);
        let uri = Uri::from_static("/users");
        let decision = self.enforcement.decide(contract, &Method::POST, &uri, (&headers, true));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let request = RequestHead {
            method: Method::POST,
            target: Uri::from_static("/users"),
            version: Version::HTTP_11,
            headers,
        };
        let response = ResponseHead { status: StatusCode::OK, headers: HeaderMap::new() };
        let exchange = Exchange {
            contract: Some(self.contract.clone()),
            trace: None,
            id: decision.id,
            modes: decision.modes,
            client_ip: None,
            client_subject: None,
            request,
            request_body: CapturedBody::unread(),
            response: Some(response),
            response_body: CapturedBody::unread(),
            ending: Ending::Responded,
            rejected: None,
            inline: InlineResults::default(),
            arrived_at: Timestamp::default(),
            duration: Duration::ZERO,
            upstream_duration: None,
            forwarded_after: Duration::ZERO,
            reservation: Budget::new(1 << 20).reserve(0).unwrap(),
        };
        let started = clock.instant();
        (PendingExchange::new(Box::new(exchange), started, clock, self.queue.clone()), decision)
    }

    /// Sends a body of `length` bytes through both sides; the status where it does not pass.
    async fn send(&self, length: usize) -> [Result<usize, u16>; 2] {
        let body = || Full::new(Bytes::from(vec![b'x'; length]));
        let (pending, mut decision) = self.open();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/x"))]);
        let (enforcement, decision) = (&self.enforcement, &mut decision);
        let request =
            match enforcement.enforce_request(&pending, decision, &headers, body(), false).await {
                Ok(admitted) => Ok(admitted.body.collect().await.unwrap().to_bytes().len()),
                Err(answer) => Err(answer.status().as_u16()),
            };
        let response =
            match enforcement.enforce_response(&pending, decision, &headers, body()).await {
                Ok(admitted) => Ok(admitted.body.collect().await.unwrap().to_bytes().len()),
                Err(replacement) => Err(replacement.answer.status().as_u16()),
            };
        [request, response]
    }

    /// Asserts that both sides were counted as unenforceable for `reason`.
    #[track_caller]
    fn counted(&self, reason: &str, action: &str) {
        let text = self.metrics.encode().unwrap();
        for side in ["request", "response"] {
            let labels = format!("action=\"{action}\",reason=\"{reason}\",side=\"{side}\"");
            let line = format!("cvt_unenforceable_total{{{labels}}} 1");
            assert!(text.contains(&line), "{line} is missing in:\n{text}");
        }
    }
}

/// Small bodies are validated on the calling thread, large ones on another.
const SIZES: [usize; 2] = [10, 100_000];

#[tokio::test]
async fn trap_t25_a_panic_in_validation_follows_the_settings_and_is_counted() {
    for length in SIZES {
        for (action, expected) in
            [("forward", [Ok(length), Ok(length)]), ("reject", [Err(503), Err(502)])]
        {
            let fixture = EnforcementFixture::new(
                action,
                "1h",
                1 << 20,
                Arc::new(|| Box::new(FaultyValidator::Panics)),
            );
            let sent = fixture.send(length).await;
            assert_eq!(sent, expected, "{length} {action}");
            fixture.counted("panicked", action);
            assert_eq!(fixture.queue.len(), 1, "the exchange itself goes on");
        }
    }
}

#[tokio::test]
async fn traffic_does_not_wait_longer_than_the_budget() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let make_validator: MakeValidator =
        Arc::new(move || Box::new(FaultyValidator::Hangs(released.clone())));
    for (action, expected) in
        [("forward", [Ok(SIZES[1]), Ok(SIZES[1])]), ("reject", [Err(503), Err(502)])]
    {
        let fixture = EnforcementFixture::new(action, "1ms", 1 << 20, make_validator.clone());
        assert_eq!(fixture.send(SIZES[1]).await, expected);
        fixture.counted("validation_budget", action);
    }
    drop(release);
}

#[tokio::test]
async fn without_memory_nothing_is_buffered() {
    for (action, expected) in [("forward", [Ok(10), Ok(10)]), ("reject", [Err(503), Err(502)])] {
        let fixture = EnforcementFixture::new(
            action,
            "1h",
            20,
            Arc::new(|| Box::new(FaultyValidator::Panics)),
        );
        assert_eq!(fixture.send(10).await, expected);
        fixture.counted("capture_memory", action);
    }
}

#[test]
fn streams_are_known_by_their_media_type() {
    let of = |text: &'static str| {
        is_stream(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]))
    };
    for stream in [
        "text/event-stream",
        "application/x-ndjson; charset=utf-8",
        "Application/gRPC+proto",
        "multipart/x-mixed-replace; boundary=b",
    ] {
        assert!(of(stream), "{stream}");
    }
    for whole in ["application/json", "text/plain", "multipart/form-data", "nonsense"] {
        assert!(!of(whole), "{whole}");
    }
}

#[test]
fn the_hash_of_a_request_id_never_changes() {
    assert_eq!(hash(b"r1"), 0xb9a7_8d75_092f_a7d9);
    assert_eq!(hash(b"0194f3e2"), 0x04df_4210_7bb8_2122);
}
