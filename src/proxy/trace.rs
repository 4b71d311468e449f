//! Continues the caller's trace, or begins one, and injects it into the request.
//!
//! Invariants: the decision to record is the caller's where there is one; without a tracer
//! (the default) these fields are neither read nor written.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::random::RandomSource;
use crate::model::trace::{TraceContext, TraceParent};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bits of a trace id that are random by the recommendation.
const RANDOM_BITS: u32 = 56;

/// Decides and draws ids. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    /// Traces that begin here are recorded when their random bits are below this.
    threshold: u64,
    random: Arc<dyn RandomSource>,
}

// === impl Tracer ===

impl Tracer {
    /// A tracer that records `ratio` (0 to 1) of the traces that begin here.
    pub fn new(ratio: f64, random: Arc<dyn RandomSource>) -> Self {
        let most = (1_u64 << RANDOM_BITS) as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^56")]
        let threshold = (ratio.clamp(0.0, 1.0) * most) as u64;
        Self { threshold, random }
    }

    /// The trace that a request with `headers` belongs to; `None` where there is no chance to
    /// draw ids with.
    pub fn begin(&self, headers: &HeaderMap) -> Option<TraceContext> {
        let mut bytes = [0; 40];
        self.random.fill(&mut bytes).ok()?;
        let (ids, trace) = bytes.split_at(24);
        let number = |at: usize| ids[at * 8..][..8].try_into().map_or(1, u64::from_le_bytes);
        let ids = [number(0), number(1), number(2)];
        if let Some(parent) = parent_of(headers) {
            return Some(TraceContext::continuing(parent, ids));
        }
        let trace_id = trace.try_into().map_or(1, u128::from_le_bytes);
        let random = u64::try_from(trace_id & ((1 << RANDOM_BITS) - 1)).unwrap_or(u64::MAX);
        Some(TraceContext::beginning(trace_id, ids, random < self.threshold))
    }
}

/// The caller's field, if there is exactly one and it is well formed.
fn parent_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut fields = headers.get_all(&TRACEPARENT).iter();
    let (first, second) = (fields.next()?, fields.next());
    first.to_str().ok().filter(|_| second.is_none()).and_then(TraceParent::parse)
}

/// Sets the fields of the upstream's request. What vendors put in `tracestate` stays with the trace it is about.
pub fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(context.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
    if context.parent.is_none() {
        headers.remove(TRACESTATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::SeededRandom;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn tracer(ratio: f64) -> Tracer {
        Tracer::new(ratio, Arc::new(SeededRandom::new(7)))
    }

    #[test]
    fn the_callers_decision_holds_whatever_the_ratio() {
        for (flag, sampled, ratio) in [("1", true, 0.0), ("0", false, 1.0)] {
            let mut headers =
                headers(&[("traceparent", &format!("{CALLER}{flag}")), ("tracestate", "vendor=x")]);
            let context = tracer(ratio).begin(&headers).unwrap();
            assert_eq!(context.sampled(), sampled);
            inject(&context, &mut headers);
            assert_eq!(headers["traceparent"], context.traceparent());
            assert!(headers["traceparent"].to_str().unwrap().contains("4bf92f3577b34da6a3ce9"));
            assert_eq!(headers["tracestate"], "vendor=x");
        }
    }

    #[test]
    fn two_fields_or_a_malformed_one_begin_a_trace_without_the_old_state() {
        let twice = [("traceparent", CALLER), ("traceparent", CALLER)];
        for fields in [&twice[..], &[("traceparent", "nonsense")], &[]] {
            let mut headers = headers(fields);
            headers.insert(TRACESTATE, HeaderValue::from_static("vendor=x"));
            let context = tracer(1.0).begin(&headers).unwrap();
            assert!(context.parent.is_none() && context.sampled());
            inject(&context, &mut headers);
            assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
            assert!(!headers.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn about_the_ratio_of_new_traces_is_recorded() {
        let tracer = tracer(0.25);
        let sampled = |_: &usize| tracer.begin(&HeaderMap::new()).unwrap().sampled();
        let count = (0..4000).filter(sampled).count();
        assert!((800..1200).contains(&count), "{count} of 4000");
    }
}
