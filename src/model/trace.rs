//! The place of an exchange in a distributed trace: W3C Trace Context, level 2.

use std::fmt;

/// The flag that says that the caller records its spans.
const SAMPLED: u8 = 0b01;
/// The flag that says that the trace id is random enough to sample by.
const RANDOM: u8 = 0b10;

/// What a `traceparent` field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span that sent the request; never 0.
    pub span_id: u64,
    flags: u8,
}

/// The spans of one exchange, and the trace that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The caller's span; `None` where the trace begins here.
    pub parent: Option<u64>,
    /// The span of the exchange.
    pub exchange: u64,
    /// The span of forwarding it, which the upstream sees as its caller.
    pub upstream: u64,
    /// The span of its validation.
    pub validation: u64,
    flags: u8,
}

/// A trace id as it is written everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

// === impl TraceParent ===

impl TraceParent {
    /// Reads the field's value. What is malformed means that the trace begins anew.
    pub fn parse(value: &str) -> Option<Self> {
        let bytes = value.as_bytes();
        let plain = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        let dashes = |at: usize| bytes.get(at) == Some(&b'-');
        let longer = bytes.len() > 55;
        if bytes.len() < 55 || !plain && !longer || !dashes(2) || !dashes(35) || !dashes(52) {
            return None;
        }
        let hex = |from: usize, to: usize| {
            let text = value.get(from..to)?;
            let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            lower.then_some(text)
        };
        let version = u8::from_str_radix(hex(0, 2)?, 16).ok()?;
        // A later version may say more behind a dash; 255 is no version.
        if version == u8::MAX || longer && (version == 0 || !dashes(55)) {
            return None;
        }
        let trace_id = u128::from_str_radix(hex(3, 35)?, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(hex(36, 52)?, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(hex(53, 55)?, 16).ok()?;
        Some(Self { trace_id, span_id, flags: flags & (SAMPLED | RANDOM) })
    }
}

// === impl TraceContext ===

impl TraceContext {
    /// Goes on with the caller's trace and its decision; `ids` are three random numbers.
    pub fn continuing(parent: TraceParent, ids: [u64; 3]) -> Self {
        Self { parent: Some(parent.span_id), ..Self::with(parent.trace_id, ids, parent.flags) }
    }

    /// Begins a trace; `trace_id` and `ids` are random.
    pub fn beginning(trace_id: u128, ids: [u64; 3], sampled: bool) -> Self {
        // All zeros mean "invalid": the one number in 2^128 that is not random enough.
        Self::with(trace_id.max(1), ids, RANDOM | if sampled { SAMPLED } else { 0 })
    }

    fn with(trace_id: u128, ids: [u64; 3], flags: u8) -> Self {
        let [exchange, upstream, validation] = ids.map(|id| id.max(1));
        Self { trace_id, parent: None, exchange, upstream, validation, flags }
    }

    /// Whether spans of this trace are recorded.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `traceparent` that the upstream gets.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{:016x}-{:02x}", TraceId(self.trace_id), self.upstream, self.flags)
    }
}

// === impl TraceId ===

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_traceparent_is_continued() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(TraceId(parent.trace_id).to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id, 0x00f0_67aa_0ba9_02b7);
        let context = TraceContext::continuing(parent, [1, 2, 3]);
        assert!(context.sampled() && context.parent == Some(parent.span_id));
        assert_eq!(
            context.traceparent(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000002-01"
        );
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        let later = GOOD.replacen("00", "cc", 1);
        assert!(TraceParent::parse(&later).is_some());
        assert!(TraceParent::parse(&format!("{later}-what the future will be like")).is_some());
        for bad in [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{GOOD}-more"),
            format!("{later}.more"),
            GOOD[..54].to_owned(),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace('-', "_"),
            format!("{}é", &GOOD[..54]),
            "é".repeat(40),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let parent = TraceParent::parse(&GOOD.replace("-01", "-fc")).unwrap();
        let context = TraceContext::continuing(parent, [1, 2, 3]);
        assert!(!context.sampled() && context.traceparent().ends_with("-00"));
        let begun = TraceContext::beginning(0, [0, 0, 0], true);
        assert!(begun.sampled() && begun.trace_id == 1 && begun.upstream == 1);
    }
}
