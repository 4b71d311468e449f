//! Regular expressions: ECMA-262 as schemas mean them, within a budget.
//!
//! The `jsonschema` crate translates them and runs them in linear time where it can; those with
//! lookaround or back-references run with a bounded number of steps. A pattern that neither can
//! run is decided here, before anything is compiled.

use std::collections::HashMap;

use jsonschema::{PatternOptions, ValidationOptions};
use serde_json::json;

/// Decides which patterns can be run, once for each.
pub(super) struct PatternCheck {
    steps: usize,
    known: HashMap<Box<str>, bool>,
}

// === impl PatternCheck ===

impl PatternCheck {
    /// `steps` bounds the backtracking of one match.
    pub(super) fn new(steps: usize) -> Self {
        Self { steps, known: HashMap::new() }
    }

    /// Whether `pattern` compiles.
    pub(super) fn can_run(&mut self, pattern: &str) -> bool {
        if let Some(known) = self.known.get(pattern) {
            return *known;
        }
        let options: ValidationOptions<'_> = jsonschema::options();
        let can_run = options
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(false)
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(self.steps))
            .build(&json!({ "pattern": pattern }))
            .is_ok();
        self.known.insert(pattern.into(), can_run);
        can_run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookaround_and_backreferences_run_and_broken_patterns_do_not() {
        let mut check = PatternCheck::new(1_000);
        for good in
            [r"^\d+$", r"^(?!x)[a-z]+$", r"(a)\1", r"^\p{L}+$", r"\cA", r"[\w-]+", "^(a+)+$"]
        {
            assert!(check.can_run(good), "{good}");
        }
        for bad in ["(", "[z-a]", "*a", r"(?P<n"] {
            assert!(!check.can_run(bad), "{bad}");
        }
    }
}
