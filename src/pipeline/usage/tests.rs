//! Fingerprinted messages are counted as read ones are.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::metrics::UsageMetrics;
use super::{UsageBatchBuilder, UsageRegistry};
use crate::contract::{CompileOptions, Contract, OperationIndex};
use crate::exchange::Exchange;
use crate::model::clock::Timestamp;
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use crate::model::id::SchemaId;
use crate::model::usage::OperationUsage;
use crate::model::verdict::Verdict;
use crate::pipeline::testing;
use crate::pipeline::usage::consumer::{ConsumerEntry, ConsumerMetrics};
use crate::pipeline::validate::ValidateExchange;
use crate::registry::LoadedContract;
use crate::telemetry::metrics::Metrics;
use crate::validation::{RequestValidation, ValidationObserver, Validator, ValidatorOptions};

const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /users/{id}:
    put:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: dry, in: query, schema: {type: boolean}}
      requestBody: {content: {application/json: {schema: {properties: {name: {}, tags: {}}}}}}
      responses:
        '200': {description: d, content: {application/json: {schema: {properties: {id: {}}}}}}
";

/// Counts the messages it is asked to validate.
struct CountingValidator {
    inner: Validator,
    asked: usize,
}

impl ValidateExchange for CountingValidator {
    fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
        observer: &mut dyn ValidationObserver,
    ) -> RequestValidation {
        self.asked += 1;
        self.inner.validate_request_with(contract, head, body, observer)
    }

    fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &CapturedBody),
        observer: &mut dyn ValidationObserver,
    ) -> Verdict {
        self.asked += 1;
        self.inner.validate_response_with(contract, operation, request, answer, observer)
    }
}

/// One worker, and what it has counted.
struct UsageFixture {
    contract: Arc<LoadedContract>,
    registry: UsageRegistry,
    validator: CountingValidator,
    consumer: Arc<ConsumerEntry>,
}

impl UsageFixture {
    fn new(contract: &Arc<LoadedContract>) -> Self {
        let metrics = Metrics::default();
        let counters = ConsumerMetrics::new(&metrics, 10).unwrap().others_counters();
        let (id, version) = ("shop".to_owned(), String::new());
        Self {
            contract: contract.clone(),
            registry: UsageRegistry::new(UsageMetrics::new(&metrics).unwrap()),
            validator: CountingValidator {
                inner: Validator::new(ValidatorOptions::default()),
                asked: 0,
            },
            consumer: Arc::new(ConsumerEntry { id, version, tracked: true, counters }),
        }
    }

    fn exchange(&self, target: &'static str, request: &str, response: &str) -> Box<Exchange> {
        let mut exchange = testing::exchange(&testing::parts().budget);
        let headers =
            || HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = |text: &str| CapturedBody::complete(&Bytes::copy_from_slice(text.as_bytes()));
        exchange.contract = Some(self.contract.clone());
        exchange.request.method = Method::PUT;
        exchange.request.target = http::Uri::from_static(target);
        exchange.request.headers = headers();
        exchange.request_body = body(request);
        exchange.response = Some(ResponseHead { status: StatusCode::OK, headers: headers() });
        exchange.response_body = body(response);
        exchange
    }

    /// Validates both sides as they are validated while traffic waits.
    fn validate_inline(&self, exchange: &mut Exchange) {
        let mut fingerprinter = self.registry.fingerprinter();
        let mut validator = Validator::new(ValidatorOptions::default());
        let (head, body) = (&exchange.request, &exchange.request_body);
        let contract = &self.contract.contract;
        let validation = validator.validate_request_with(contract, head, body, &mut fingerprinter);
        let operation = validation.operation;
        exchange.inline.set_request(validation, fingerprinter.take());
        assert!(fingerprinter.take().is_none(), "a fingerprint is of one message");
        let Some(response) = &exchange.response else { return };
        let answer = (response, &exchange.response_body);
        let verdict =
            validator.validate_response_with(contract, operation, head, answer, &mut fingerprinter);
        exchange.inline.set_response(verdict, fingerprinter.take());
    }

    /// Validates messages as a worker does, `inline` what was validated before; how many it had to
    /// read, and what was used.
    fn count(
        mut self,
        messages: &[(&'static str, &str, &str)],
        inline: bool,
    ) -> (usize, Vec<Vec<OperationUsage>>) {
        let handle = self.registry.open();
        for (target, request, response) in messages {
            let mut exchange = self.exchange(target, request, response);
            if inline {
                self.validate_inline(&mut exchange);
            }
            let aggregator = handle.aggregator();
            let mut aggregator = aggregator.lock();
            aggregator.begin(exchange.contract.as_ref());
            let validation = self.validator.validate(&exchange, &mut aggregator).unwrap();
            aggregator.record_exchange(
                &exchange,
                &validation,
                &self.consumer,
                Timestamp::default(),
            );
            assert!(aggregator.shapes().request.is_some());
        }
        let mut batches = UsageBatchBuilder::new("test");
        self.registry.drain(&mut batches);
        (self.validator.asked, batches.into_batches())
    }
}

#[test]
fn messages_validated_inline_are_read_once_and_counted_like_others() {
    let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
    let contract = Arc::new(LoadedContract::new(SchemaId::new("t").unwrap(), contract));
    let many: Vec<_> = (0..40).map(|n| format!(r#"{{"k{n}":1}}"#)).collect();
    let many = format!(r#"{{"tags":[{}]}}"#, many.join(","));
    let messages = [
        ("/users/1?dry=true", r#"{"name":"a"}"#, r#"{"id":1}"#, 2),
        ("/users/2?dry=true", r#"{"name":"b"}"#, r#"{"id":2}"#, 0),
        ("/users/3", r#"{"name":"c"}"#, r#"{"id":3}"#, 0),
        ("/users/4", r#"{"name":"d","tags":[]}"#, r#"{"id":4}"#, 1),
        ("/users/5", r#"{"tags":[1,2],"name":"e"}"#, r#"{"id":"x","more":{}}"#, 2),
        ("/users/x?dry=1", r#"{"tags":[1],"name":"f"}"#, r#"{"more":{},"id":""}"#, 0),
        // Too many things in one array: its shape does not tell.
        ("/users/7", &many, r#"{"id":7}"#, 1),
        ("/users/8", &many, r#"{"id":8}"#, 1),
    ];
    let (mut sent, mut read) = (Vec::new(), 0);
    for (target, request, response, reads) in messages {
        let (observed, enforced) = (UsageFixture::new(&contract), UsageFixture::new(&contract));
        sent.push((target, request, response));
        read += reads;
        let (asked, expected) = observed.count(&sent, false);
        assert_eq!(asked, 2 * sent.len());
        assert_eq!(enforced.count(&sent, true), (read, expected), "after {target}");
    }
}
