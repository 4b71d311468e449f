//! Which exchanges are judged at all, and which are kept: from an exchange to what sampling
//! sees of it.
//!
//! What must hold: an exchange that is left out is attributed to its operation; when nothing
//! is sampled and judging keeps up, no exchange is looked at before it is judged.

use std::sync::{Arc, Weak};

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;

use super::exchange::Exchange;
use super::usage::Outlines;
use super::worker::Judged;
use crate::config::record::RecordSettings;
use crate::config::sampling::{Rates, SamplingSettings};
use crate::contract::OperationIndex;
use crate::model::clock::Timestamp;
use crate::model::exchange::Captured;
use crate::model::verdict::SkipReason;
use crate::registry::LoadedContract;
use crate::sampling::{Kept, Sample, Sampler, hash, mix, shape};
use crate::validation::decode_content;

/// Contracts that a worker remembers the operations of.
const MOST_CONTRACTS: usize = 32;
/// Bytes of a body that its shape is told by.
const SHAPED: usize = 64 << 10;

/// Decides for one worker; they share the sampler.
#[derive(Clone)]
pub struct Screen {
    shared: Arc<Shared>,
    plans: Vec<Plan>,
}

struct Shared {
    sampler: Mutex<Sampler>,
    settings: SamplingSettings,
    judges_all: bool,
    asks_for_shapes: bool,
}

/// What is known of the operations of a contract.
#[derive(Clone)]
struct Plan {
    /// Weak, so that a contract that was replaced goes.
    contract: Weak<LoadedContract>,
    schema: u64,
    operations: Vec<Option<Planned>>,
    undocumented: Planned,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    key: u64,
    rates: Rates,
}

// === impl Screen ===

impl Screen {
    /// A screen by these settings.
    pub fn new(record: &RecordSettings, sampling: &SamplingSettings) -> Self {
        let sampler = Sampler::new(record, sampling);
        let shared = Shared {
            asks_for_shapes: sampler.asks_for_shapes(),
            judges_all: sampling.judges_all(),
            sampler: Mutex::new(sampler),
            settings: sampling.clone(),
        };
        Self { shared: Arc::new(shared), plans: Vec::new() }
    }

    /// Whether an exchange need not be looked at before it is judged; `pressed` says that there
    /// is no time to judge all of them.
    pub fn lets_pass(&self, exchange: &Exchange, pressed: bool) -> bool {
        // What traffic waited for is judged already.
        exchange.known.request.is_some()
            || exchange.contract.is_none()
            || (self.shared.judges_all && !pressed)
    }

    /// Why an exchange is left out, if it is.
    pub fn leaves_out(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        consumer: &str,
        pressed: bool,
        now: Timestamp,
    ) -> Option<SkipReason> {
        let mut sample = self.sample(exchange, operation, consumer, now)?;
        if pressed {
            let suspected =
                exchange.response.as_ref().is_none_or(|head| head.status.as_u16() >= 400);
            let is_worth_it = self.shared.sampler.lock().is_worth_it(&sample, suspected, now);
            return (!is_worth_it).then_some(SkipReason::Shed);
        }
        sample.shape = shape_of(exchange, Outlines::default());
        let judges = self.shared.sampler.lock().judges(&sample, now);
        (!judges).then_some(SkipReason::Sampled)
    }

    /// Why a judged exchange is kept, if it is. `groups` are the violations found in it, `outlines`
    /// what the judge saw of its bodies.
    pub fn keeps(
        &mut self,
        exchange: &Exchange,
        judged: &Judged,
        (consumer, outlines): (&str, Outlines),
        groups: &[u64],
        now: Timestamp,
    ) -> Option<Kept> {
        let mut sample = self.sample(exchange, judged.operation, consumer, now)?;
        let unjudged = judged.verdicts().flat_map(|verdict| &verdict.skipped);
        let reasons = unjudged.fold(0, |bits, reason| bits | 1_u64 << (*reason as u64 % 64));
        sample.kind = mix(sample.kind, reasons);
        if self.shared.asks_for_shapes && groups.is_empty() {
            sample.shape = shape_of(exchange, outlines);
        }
        self.shared.sampler.lock().keeps(&sample, groups, now)
    }

    /// Notes that an operation broke its contract in a way it had not before.
    pub fn note_new_violation(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        now: Timestamp,
    ) {
        if let Some(contract) = &exchange.contract {
            let Planned { key, .. } = self.planned(contract, operation, now);
            self.shared.sampler.lock().note_new_violation(key, now);
        }
    }

    fn sample(
        &mut self,
        exchange: &Exchange,
        operation: Option<OperationIndex>,
        consumer: &str,
        now: Timestamp,
    ) -> Option<Sample> {
        let contract = exchange.contract.as_ref()?;
        let Planned { key, rates } = self.planned(contract, operation, now);
        let status = exchange.response.as_ref().map_or(0, |head| head.status.as_u16());
        let sent = media_type(&exchange.request.headers);
        let received = exchange.response.as_ref().map_or(0, |head| media_type(&head.headers));
        Some(Sample {
            id: id_of(exchange),
            operation: key,
            kind: mix(mix(key, u64::from(status)), mix(sent, received)),
            shape: 0,
            consumer: hash(consumer.as_bytes()),
            rates,
        })
    }

    fn planned(
        &mut self,
        contract: &Arc<LoadedContract>,
        operation: Option<OperationIndex>,
        now: Timestamp,
    ) -> Planned {
        let is_it = |plan: &Plan| std::ptr::eq(plan.contract.as_ptr(), Arc::as_ptr(contract));
        let at = self.plans.iter().position(is_it).unwrap_or_else(|| {
            self.plans.retain(|plan| plan.contract.strong_count() > 0);
            if self.plans.len() >= MOST_CONTRACTS {
                self.plans.remove(0);
            }
            self.plans.push(Plan::new(contract, &self.shared.settings));
            let (schema, content) = (
                self.plans[self.plans.len() - 1].schema,
                hash(contract.contract.hash().as_bytes()),
            );
            self.shared.sampler.lock().note_contract(schema, content, now);
            self.plans.len() - 1
        });
        let plan = &mut self.plans[at];
        let Some(index) = operation else { return plan.undocumented };
        let schema = plan.schema;
        let settings = &self.shared.settings;
        *plan.operations[index.as_usize()].get_or_insert_with(|| {
            let operation = contract.contract.operation(index);
            let (method, template) = (operation.method.as_str(), operation.template.to_string());
            let name = format!("{method} {template}");
            Planned {
                key: mix(schema, hash(name.as_bytes())),
                rates: settings.rates_of(method, &template, operation.operation_id.as_deref()),
            }
        })
    }
}

// === impl Plan ===

impl Plan {
    fn new(contract: &Arc<LoadedContract>, settings: &SamplingSettings) -> Self {
        let schema = hash(contract.schema_id.as_str().as_bytes());
        Self {
            contract: Arc::downgrade(contract),
            schema,
            operations: vec![None; contract.contract.operations().len()],
            undocumented: Planned { key: schema, rates: settings.rates },
        }
    }
}

/// A hash of what both halves, and every replica that sees the exchange, know it by: the
/// request's id, else the trace's, else its own.
fn id_of(exchange: &Exchange) -> u64 {
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
        mix(hash(&at), hash(&exchange.duration.as_nanos().to_le_bytes()))
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

/// The shape of both bodies; for one that the judge has read its outline does.
fn shape_of(exchange: &Exchange, outlines: Outlines) -> u64 {
    let (head, body) = (&exchange.request.headers, &exchange.request_body);
    let sent = outlines.request.unwrap_or_else(|| body_shape(head, body));
    let response = exchange.response.as_ref();
    let received = response.map_or(0, |head| {
        outlines.response.unwrap_or_else(|| body_shape(&head.headers, &exchange.response_body))
    });
    mix(sent, received)
}

/// The shape of a JSON body, 0 for any other.
fn body_shape(headers: &HeaderMap, body: &Captured) -> u64 {
    let is_json = |essence: &[u8]| {
        let end = essence.last_chunk::<4>();
        end.is_some_and(|end| end.eq_ignore_ascii_case(b"json"))
    };
    if body.kept() == 0 || !essence(headers).is_some_and(is_json) {
        return 0;
    }
    let decoded = decode_content(headers, body.bytes(), SHAPED);
    decoded.map_or(0, |text| shape(&text[..text.len().min(SHAPED)]))
}
