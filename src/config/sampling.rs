//! What share of the traffic is validated, and what share of conforming exchanges is recorded.

use std::time::Duration;

use super::enforcement::Percentage;
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("sampling.validate", &["CVT_SAMPLING_VALIDATE"]),
    Setting::new("sampling.record", &["CVT_SAMPLING_RECORD"]),
    Setting::new("sampling.initial", &["CVT_SAMPLING_INITIAL"]),
    Setting::new("sampling.escalate", &["CVT_SAMPLING_ESCALATE"]),
    Setting::new("sampling.escalate_rate", &["CVT_SAMPLING_ESCALATE_RATE"]),
    Setting::map("sampling.operations", &["CVT_SAMPLING_OPERATIONS"]),
];

/// The shares of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Share of its exchanges that is validated.
    pub validate: Percentage,
    /// Share of the conforming exchanges that may be recorded.
    pub keep: Percentage,
}

/// What is sampled.
#[derive(Debug, Clone)]
pub struct SamplingSettings {
    /// The shares of operations that have none of their own.
    pub rates: Rates,
    /// Those that have: `METHOD /template` or an `operationId`.
    pub operations: Vec<(String, Rates)>,
    /// How many of each kind of exchange are validated and recorded whatever the shares say.
    pub firsts: u8,
    /// How long everything is validated after something new: a first violation, another contract.
    pub escalate: Duration,
    /// Conforming exchanges recorded a second meanwhile.
    pub escalate_rate: u32,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> SamplingSettings {
    let mut share = |key: &str| values.read(key, Percentage::ALL, problems, Percentage::parse);
    let rates = Rates { validate: share("sampling.validate"), keep: share("sampling.record") };
    let mut number = |key: &str, default: u64, most: u64| {
        values.read(key, default, problems, parse::integer(0..=most))
    };
    let firsts = number("sampling.initial", 3, 100);
    let escalate_rate = number("sampling.escalate_rate", 500, 1_000_000);
    SamplingSettings {
        rates,
        operations: operations(values, rates, problems),
        firsts: u8::try_from(firsts).unwrap_or(u8::MAX),
        escalate: values.read(
            "sampling.escalate",
            Duration::from_mins(2),
            problems,
            parse::duration(Duration::ZERO..=Duration::from_hours(24)),
        ),
        escalate_rate: u32::try_from(escalate_rate).unwrap_or(u32::MAX),
    }
}

/// Lines (of a mapping in the file) or items of a list with commas: `NAME=VALIDATE` or
/// `NAME=VALIDATE/KEEP`.
fn operations(values: &Values, rates: Rates, problems: &mut Problems) -> Vec<(String, Rates)> {
    values.read("sampling.operations", Vec::new(), problems, |text| {
        let separator = if text.contains('\n') { '\n' } else { ',' };
        let items = text.split(separator).map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| one_operation(item, rates)).collect()
    })
}

fn one_operation(item: &str, rates: Rates) -> Result<(String, Rates), String> {
    let (name, shares) = item
        .rsplit_once('=')
        .ok_or_else(|| format!("{item:?}: expected NAME=VALIDATE or NAME=VALIDATE/RECORD"))?;
    let share = |text: &str| {
        Percentage::parse(text.trim()).map_err(|expected| format!("{name:?}: {expected}"))
    };
    let rates = match shares.split_once('/') {
        Some((validate, keep)) => Rates { validate: share(validate)?, keep: share(keep)? },
        None => Rates { validate: share(shares)?, keep: rates.keep },
    };
    Ok((name.trim().to_owned(), rates))
}

// === impl SamplingSettings ===

impl SamplingSettings {
    /// The shares of an operation.
    pub fn rates_of(&self, method: &str, template: &str, id: Option<&str>) -> Rates {
        let is_it = |name: &str| {
            let by_path = name.split_once(' ').is_some_and(|(named, path)| {
                named.eq_ignore_ascii_case(method) && path.trim_start() == template
            });
            by_path || id == Some(name)
        };
        let own = self.operations.iter().rev().find(|(name, _)| is_it(name));
        own.map_or(self.rates, |(_, rates)| *rates)
    }

    /// Whether every exchange of every operation is validated.
    pub fn validates_all(&self) -> bool {
        let own = self.operations.iter().map(|(_, rates)| rates);
        std::iter::once(&self.rates).chain(own).all(|rates| rates.validate.is_all())
    }
}

#[cfg(test)]
mod tests {
    use super::super::RawSettings;
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<SamplingSettings, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut problems = Problems::default();
        let values = Values::collect(
            RawSettings { environment, ..RawSettings::default() },
            crate::config::Config::TABLES,
            &mut problems,
        );
        let settings = read(&values, &mut problems);
        problems.or_fail().map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operation_has_shares_of_its_own_by_path_or_by_id() {
        let settings = load(&[
            ("CVT_SAMPLING_VALIDATE", "10%"),
            ("CVT_SAMPLING_OPERATIONS", "GET /health=0.5%/0%, listBooks = 100%"),
        ])
        .unwrap();
        assert!(!settings.validates_all());
        let validate = |method, path, id| settings.rates_of(method, path, id).validate;
        assert_eq!(validate("GET", "/health", None), Percentage::parse("0.5").unwrap());
        assert_eq!(settings.rates_of("GET", "/health", None).keep, Percentage::percent(0));
        assert_eq!(validate("GET", "/books", Some("listBooks")), Percentage::ALL);
        assert_eq!(validate("POST", "/health", None), Percentage::percent(10));
        assert!(load(&[]).unwrap().validates_all());
    }

    #[test]
    fn trap_t28_wrong_shares_are_errors() {
        for wrong in ["GET /a", "GET /a=lots", "GET /a=10%/x", "=", "a=101%"] {
            let error = load(&[("CVT_SAMPLING_OPERATIONS", wrong)]).unwrap_err();
            assert!(error.contains("CVT_SAMPLING_OPERATIONS"), "{error}");
        }
        assert!(load(&[("CVT_SAMPLING_VALIDATE", "2")]).is_ok());
        assert!(load(&[("CVT_SAMPLING_INITIAL", "101")]).is_err());
    }
}
