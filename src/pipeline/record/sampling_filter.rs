//! Which exchanges are validated at all, and which are kept: from an exchange to what sampling
//! sees of it.
//!
//! Invariants: an exchange that is left out is attributed to its operation; when nothing
//! is sampled and validation keeps up, no exchange is looked at before it is validated.

use std::sync::{Arc, Weak};

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;

use crate::config::record::RecordSettings;
use crate::config::sampling::{Rates, SamplingSettings};
use crate::contract::OperationIndex;
use crate::exchange::Exchange;
use crate::model::clock::Timestamp;
use crate::model::exchange::CapturedBody;
use crate::model::verdict::SkipReason;
use crate::pipeline::usage::BodyShapes;
use crate::pipeline::validate::ExchangeValidation;
use crate::registry::LoadedContract;
use crate::sampling::{ExchangeSample, KeepReason, Sampler, combine, hash, shape};
use crate::validation::decode_content;

/// Contracts that a worker remembers the operations of.
const MAX_CONTRACTS: usize = 32;
/// Bytes of a body that its shape is computed from.
const MAX_SHAPED_BYTES: usize = 64 << 10;

/// Decides for one worker; they share the sampler.
#[derive(Clone)]
pub struct SamplingFilter {
    shared: Arc<SharedSampler>,
    contracts: Vec<ContractSampling>,
}

struct SharedSampler {
    sampler: Mutex<Sampler>,
    settings: SamplingSettings,
    validates_all: bool,
    needs_shapes: bool,
}

/// What is known of the operations of a contract.
#[derive(Clone)]
struct ContractSampling {
    /// Weak, so that a contract that was replaced goes.
    contract: Weak<LoadedContract>,
    schema: u64,
    operations: Vec<Option<OperationSampling>>,
    undocumented: OperationSampling,
}

#[derive(Debug, Clone, Copy)]
struct OperationSampling {
    key: u64,
    rates: Rates,
}

// === impl SamplingFilter ===

impl SamplingFilter {
    /// A filter by these settings.
    pub fn new(record: &RecordSettings, sampling: &SamplingSettings) -> Self {
        let sampler = Sampler::new(record, sampling);
        let shared = SharedSampler {
            needs_shapes: sampler.needs_shapes(),
            validates_all: sampling.validates_all(),
            sampler: Mutex::new(sampler),
            settings: sampling.clone(),
        };
        Self { shared: Arc::new(shared), contracts: Vec::new() }
    }

    /// Whether an exchange need not be looked at before it is validated; `overloaded` says that there
    /// is no time to validate all of them.
    pub fn skip_check(&self, exchange: &Exchange, overloaded: bool) -> bool {
        // What traffic waited for is validated already.
        exchange.inline.request.is_some()
            || exchange.contract.is_none()
            || (self.shared.validates_all && !overloaded)
    }

    /// Why an exchange is left out, if it is.
    pub fn skip_reason(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        consumer: &str,
        overloaded: bool,
        now: Timestamp,
    ) -> Option<SkipReason> {
        let mut sample = self.sample(exchange, operation, consumer, now)?;
        if overloaded {
            let suspected =
                exchange.response.as_ref().is_none_or(|head| head.status.as_u16() >= 400);
            let is_worth_validating =
                self.shared.sampler.lock().worth_validating(&sample, suspected, now);
            return (!is_worth_validating).then_some(SkipReason::Shed);
        }
        sample.shape = shape_of(exchange, BodyShapes::default());
        let validates = self.shared.sampler.lock().should_validate(&sample, now);
        (!validates).then_some(SkipReason::Sampled)
    }

    /// Why a validated exchange is kept, if it is. `groups` are the violations found in it, `shapes`
    /// what the validator saw of its bodies.
    pub fn keep_reason(
        &mut self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        (consumer, shapes): (&str, BodyShapes),
        groups: &[u64],
        now: Timestamp,
    ) -> Option<KeepReason> {
        let mut sample = self.sample(exchange, validation.operation, consumer, now)?;
        let unvalidated = validation.verdicts().flat_map(|verdict| &verdict.skipped);
        let reasons = unvalidated.fold(0, |bits, reason| bits | 1_u64 << (*reason as u64 % 64));
        sample.kind = combine(sample.kind, reasons);
        if self.shared.needs_shapes && groups.is_empty() {
            sample.shape = shape_of(exchange, shapes);
        }
        self.shared.sampler.lock().keep_reason(&sample, groups, now)
    }

    /// Records that an operation broke its contract in a way it had not before.
    pub fn record_new_violation(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        now: Timestamp,
    ) {
        if let Some(contract) = &exchange.contract {
            let OperationSampling { key, .. } = self.operation_sampling(contract, operation, now);
            self.shared.sampler.lock().record_new_violation(key, now);
        }
    }

    fn sample(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        consumer: &str,
        now: Timestamp,
    ) -> Option<ExchangeSample> {
        let contract = exchange.contract.as_ref()?;
        let OperationSampling { key, rates } = self.operation_sampling(contract, operation, now);
        let status = exchange.response.as_ref().map_or(0, |head| head.status.as_u16());
        let sent = media_type(&exchange.request.headers);
        let received = exchange.response.as_ref().map_or(0, |head| media_type(&head.headers));
        Some(ExchangeSample {
            id: sampling_id(exchange),
            operation: key,
            kind: combine(combine(key, u64::from(status)), combine(sent, received)),
            shape: 0,
            consumer: hash(consumer.as_bytes()),
            rates,
        })
    }

    fn operation_sampling(
        &mut self,
        contract: &Arc<LoadedContract>,
        operation: Option<OperationIndex>,
        now: Timestamp,
    ) -> OperationSampling {
        let is_same = |sampling: &ContractSampling| {
            std::ptr::eq(sampling.contract.as_ptr(), Arc::as_ptr(contract))
        };
        let at = self.contracts.iter().position(is_same).unwrap_or_else(|| {
            self.contracts.retain(|sampling| sampling.contract.strong_count() > 0);
            if self.contracts.len() >= MAX_CONTRACTS {
                self.contracts.remove(0);
            }
            self.contracts.push(ContractSampling::new(contract, &self.shared.settings));
            let (schema, content) = (
                self.contracts[self.contracts.len() - 1].schema,
                hash(contract.contract.hash().as_bytes()),
            );
            self.shared.sampler.lock().record_contract(schema, content, now);
            self.contracts.len() - 1
        });
        let sampling = &mut self.contracts[at];
        let Some(index) = operation else { return sampling.undocumented };
        let schema = sampling.schema;
        let settings = &self.shared.settings;
        *sampling.operations[index.as_usize()].get_or_insert_with(|| {
            let operation = contract.contract.operation(index);
            let (method, template) = (operation.method.as_str(), operation.template.to_string());
            let name = format!("{method} {template}");
            OperationSampling {
                key: combine(schema, hash(name.as_bytes())),
                rates: settings.rates_of(method, &template, operation.operation_id.as_deref()),
            }
        })
    }
}

// === impl ContractSampling ===

impl ContractSampling {
    fn new(contract: &Arc<LoadedContract>, settings: &SamplingSettings) -> Self {
        let schema = hash(contract.schema_id.as_str().as_bytes());
        Self {
            contract: Arc::downgrade(contract),
            schema,
            operations: vec![None; contract.contract.operations().len()],
            undocumented: OperationSampling { key: schema, rates: settings.rates },
        }
    }
}

/// A hash of what both sides of it, and every replica that sees the exchange, know it by: the
/// request's id, else the trace's, else its own.
fn sampling_id(exchange: &Exchange) -> u64 {
    let headers = &exchange.request.headers;
    let trace = || {
        let parent = headers.get("traceparent")?.as_bytes();
        parent.get(3..35).map(hash)
    };
    let own = || {
        if let Some(id) = exchange.id {
            return hash(id.as_bytes());
        }
        let at = exchange.arrived_at.as_micros().to_le_bytes();
        combine(hash(&at), hash(&exchange.duration.as_nanos().to_le_bytes()))
    };
    let sent = headers.get("x-request-id").map(|id| hash(id.as_bytes()));
    sent.or_else(trace).unwrap_or_else(own)
}

/// A hash of the media type without its parameters, 0 where there is none.
fn media_type(headers: &HeaderMap) -> u64 {
    essence(headers).map_or(0, hash)
}

fn essence(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    Some(value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
}

/// The shape of both bodies; for one that the validator has read its shape does.
fn shape_of(exchange: &Exchange, shapes: BodyShapes) -> u64 {
    let (head, body) = (&exchange.request.headers, &exchange.request_body);
    let sent = shapes.request.unwrap_or_else(|| body_shape(head, body));
    let response = exchange.response.as_ref();
    let received = response.map_or(0, |head| {
        shapes.response.unwrap_or_else(|| body_shape(&head.headers, &exchange.response_body))
    });
    combine(sent, received)
}

/// The shape of a JSON body, 0 for any other.
fn body_shape(headers: &HeaderMap, body: &CapturedBody) -> u64 {
    let is_json = |essence: &[u8]| {
        let end = essence.last_chunk::<4>();
        end.is_some_and(|end| end.eq_ignore_ascii_case(b"json"))
    };
    if body.kept() == 0 || !essence(headers).is_some_and(is_json) {
        return 0;
    }
    let decoded = decode_content(headers, body.bytes(), MAX_SHAPED_BYTES);
    decoded.map_or(0, |text| shape(&text[..text.len().min(MAX_SHAPED_BYTES)]))
}
