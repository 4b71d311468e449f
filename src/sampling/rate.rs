//! So many a second.

use crate::model::clock::Timestamp;

/// So many a second; up to one second's worth may come at once.
#[derive(Debug, Clone, Copy)]
pub struct RateLimiter {
    per_second: u32,
    tokens: f64,
    last: Option<Timestamp>,
}

// === impl RateLimiter ===

impl RateLimiter {
    /// `per_second` a second.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, tokens: f64::from(per_second), last: None }
    }

    /// Whether one more fits at `now`. A clock that goes back allows nothing extra.
    pub fn allow(&mut self, now: Timestamp) -> bool {
        let limit = f64::from(self.per_second);
        let elapsed = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        self.tokens = (self.tokens + elapsed * limit).min(limit);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_refills_with_time_and_not_when_the_clock_goes_back() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let mut rate = RateLimiter::new(2);
        assert!(rate.allow(at(10)) && rate.allow(at(10)) && !rate.allow(at(10)));
        assert!(!rate.allow(at(5)));
        assert!(!rate.allow(at(10)));
        assert!(rate.allow(at(11)));
    }
}
