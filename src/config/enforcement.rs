//! What a verdict may do: modes, and how they are enforced.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::{Problems, Setting, Values, parse};
use crate::model::mode::{Mode, Modes};
use crate::model::violation::Side;

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("mode", &["CVT_MODE"]).per_route(),
    Setting::new("request_mode", &["CVT_REQUEST_MODE"]).per_route(),
    Setting::new("response_mode", &["CVT_RESPONSE_MODE"]).per_route(),
    Setting::map("operations", &["CVT_OPERATIONS"]).per_route(),
    Setting::new("enforce_responses", &["CVT_ENFORCE_RESPONSES"]).per_route(),
    Setting::new("on_unenforceable", &["CVT_ON_UNENFORCEABLE"]).per_route(),
    Setting::new("verdict_header", &["CVT_VERDICT_HEADER"]).per_route(),
    Setting::new("enforcement.status", &["CVT_ENFORCEMENT_STATUS"]).per_route(),
    Setting::new("enforcement.share", &["CVT_ENFORCEMENT_SHARE"]).per_route(),
    Setting::new("enforcement.validation_budget", &["CVT_ENFORCEMENT_VALIDATION_BUDGET"])
        .per_route(),
    Setting::new("enforcement.buffer_timeout", &["CVT_ENFORCEMENT_BUFFER_TIMEOUT"]).per_route(),
    Setting::new("enforcement.memory", &["CVT_ENFORCEMENT_MEMORY"]),
    Setting::new("enforcement.breaker.share", &["CVT_ENFORCEMENT_BREAKER_SHARE"]).per_route(),
    Setting::new("enforcement.breaker.window", &["CVT_ENFORCEMENT_BREAKER_WINDOW"]).per_route(),
    Setting::new("enforcement.breaker.minimum", &["CVT_ENFORCEMENT_BREAKER_MINIMUM"]).per_route(),
    Setting::new("enforcement.breaker.cooldown", &["CVT_ENFORCEMENT_BREAKER_COOLDOWN"]).per_route(),
];

/// What becomes of an exchange that should be enforced and cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnenforceable {
    /// It passes, and is counted.
    Forward,
    /// It is answered by us, and counted.
    Reject,
}

/// A share of the whole, in steps of a hundredth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentage(u32);

/// The modes of one operation, where they differ from the route's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationModes {
    /// `METHOD /template` or an `operationId`.
    pub name: String,
    /// The request's mode.
    pub request: Option<Mode>,
    /// The response's mode.
    pub response: Option<Mode>,
}

/// When enforcement falls back to `warn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The share of rejections above which it does.
    pub share: Percentage,
    /// The time over which they are counted.
    pub window: Duration,
    /// Fewer exchanges than this in the window prove nothing.
    pub minimum: u32,
    /// How long it lasts.
    pub cooldown: Duration,
}

/// What a verdict may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnforcementSettings {
    /// The modes of operations that have none of their own.
    pub modes: Modes,
    /// Operations that have.
    pub operations: Vec<OperationModes>,
    /// What becomes of an exchange that cannot be enforced.
    pub on_unenforceable: OnUnenforceable,
    /// Whether responses carry a header that shows the verdict.
    pub verdict_header: bool,
    /// The status of a rejected request.
    pub status: StatusCode,
    /// The share of exchanges that is enforced; the rest is treated as in `warn`.
    pub share: Percentage,
    /// The longest that traffic waits for one verdict.
    pub validation_budget: Duration,
    /// The longest that one body is buffered.
    pub buffer_timeout: Duration,
    /// When enforcement falls back to `warn`; `None` for never.
    pub breaker: Option<BreakerSettings>,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> EnforcementSettings {
    let actions = [("forward", OnUnenforceable::Forward), ("reject", OnUnenforceable::Reject)];
    let brief = || Duration::from_millis(1)..=Duration::from_hours(1);
    let responses = values.read("enforce_responses", false, problems, parse::boolean);
    EnforcementSettings {
        modes: modes(values, responses, problems),
        operations: operations(values, responses, problems),
        on_unenforceable: values.read(
            "on_unenforceable",
            OnUnenforceable::Forward,
            problems,
            parse::choice(&actions),
        ),
        verdict_header: values.read("verdict_header", false, problems, parse::boolean),
        status: values.read("enforcement.status", StatusCode::BAD_REQUEST, problems, status),
        share: values.read("enforcement.share", Percentage::ALL, problems, Percentage::parse),
        validation_budget: values.read(
            "enforcement.validation_budget",
            Duration::from_millis(50),
            problems,
            parse::duration(brief()),
        ),
        buffer_timeout: values.read(
            "enforcement.buffer_timeout",
            Duration::from_secs(30),
            problems,
            parse::duration(brief()),
        ),
        breaker: breaker(values, problems),
    }
}

/// Reads how many bytes of bodies may be buffered, in all. It is separate from what waits for validation,
/// so that a backlog there never keeps a strict route from buffering.
pub fn memory(values: &Values, problems: &mut Problems) -> usize {
    values.read("enforcement.memory", 64 << 20, problems, parse::bytes(1 << 20..=64 << 30))
}

fn modes(values: &Values, responses: bool, problems: &mut Problems) -> Modes {
    let both = per_side(values.read("mode", Mode::default(), problems, mode), responses);
    Modes {
        request: values.read("request_mode", both.request, problems, mode),
        response: values.read("response_mode", both.response, problems, mode),
    }
}

/// The modes of both sides: `strict` speaks of requests, and of responses only where asked to.
fn per_side(mode: Mode, responses: bool) -> Modes {
    let response = if mode == Mode::Strict && !responses { Mode::Warn } else { mode };
    Modes { request: mode, response }
}

fn breaker(values: &Values, problems: &mut Problems) -> Option<BreakerSettings> {
    let times = || Duration::from_secs(1)..=Duration::from_hours(24);
    let share = values.read("enforcement.breaker.share", None, problems, |text| match text {
        "off" => Ok(None),
        text => Percentage::parse(text).map(Some),
    });
    let mut time = |key: &str, default: u64| {
        values.read(key, Duration::from_secs(default), problems, parse::duration(times()))
    };
    let window = time("enforcement.breaker.window", 60);
    let cooldown = time("enforcement.breaker.cooldown", 60);
    let minimum = values.read(
        "enforcement.breaker.minimum",
        100,
        problems,
        parse::integer(1..=u64::from(u32::MAX)),
    );
    let minimum = u32::try_from(minimum).unwrap_or(u32::MAX);
    share.map(|share| BreakerSettings { share, window, minimum, cooldown })
}

/// Lines (of a mapping in the file) or items of a list with commas, of the form `NAME=MODE`, where a
/// trailing `.request` or `.response` of the name applies to one side.
fn operations(values: &Values, responses: bool, problems: &mut Problems) -> Vec<OperationModes> {
    let Some((text, source)) = values.get("operations") else { return Vec::new() };
    let separator = if text.contains('\n') { '\n' } else { ',' };
    let mut found: Vec<OperationModes> = Vec::new();
    for item in text.split(separator).map(str::trim).filter(|item| !item.is_empty()) {
        let Some((name, word)) = item.rsplit_once('=') else {
            let message = format!("operations: {item:?}: expected NAME=MODE");
            problems.push(source.clone(), message);
            continue;
        };
        let mode = match mode(word.trim()) {
            Ok(mode) => mode,
            Err(expected) => {
                problems.push(source.clone(), format!("operations: {name:?}: {expected}"));
                continue;
            }
        };
        let (name, side) = split_side(name.trim());
        let at = found.iter().position(|one| one.name == name).unwrap_or_else(|| {
            found.push(OperationModes { name: name.to_owned(), request: None, response: None });
            found.len() - 1
        });
        let both = per_side(mode, responses);
        if side != Some(Side::Response) {
            found[at].request = Some(both.request);
        }
        if side != Some(Side::Request) {
            found[at].response = Some(if side.is_some() { mode } else { both.response });
        }
    }
    found
}

fn split_side(name: &str) -> (&str, Option<Side>) {
    let without = |suffix| name.strip_suffix(suffix);
    match (without(".request"), without(".response")) {
        (Some(name), _) => (name, Some(Side::Request)),
        (_, Some(name)) => (name, Some(Side::Response)),
        _ => (name, None),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn status(text: &str) -> Result<StatusCode, String> {
    let code = text.parse().ok().filter(|code| (400..500).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| "expected a status from 400 to 499".to_owned())
}

// === impl EnforcementSettings ===

impl EnforcementSettings {
    /// Whether anything is ever buffered.
    pub fn enforces(&self) -> bool {
        let strict = |mode: Option<Mode>| mode == Some(Mode::Strict);
        self.modes.enforces()
            || self.operations.iter().any(|one| strict(one.request) || strict(one.response))
    }

    /// Whether nothing is ever validated.
    pub fn is_off(&self) -> bool {
        let off = |mode: Option<Mode>| mode.is_none_or(|mode| mode == Mode::Off);
        self.modes.is_off()
            && self.operations.iter().all(|one| off(one.request) && off(one.response))
    }
}

// === impl OperationModes ===

impl OperationModes {
    /// The modes of the operation on a route whose modes are `base`.
    pub fn over(&self, base: Modes) -> Modes {
        Modes {
            request: self.request.unwrap_or(base.request),
            response: self.response.unwrap_or(base.response),
        }
    }
}

// === impl Percentage ===

impl Percentage {
    /// Everything.
    pub const ALL: Self = Self(10_000);

    /// So many percent.
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 100)
    }

    /// Whether it is everything.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Whether what `hash` stands for is part of it: for the same hash always the same answer.
    pub fn includes(self, hash: u64) -> bool {
        hash % 10_000 < u64::from(self.0)
    }

    /// Whether `part` of `whole` is more than this share.
    pub fn is_exceeded(self, part: u32, whole: u32) -> bool {
        u64::from(part) * 10_000 > u64::from(whole) * u64::from(self.0)
    }

    /// `10%`, `0.5%`; a bare number is percent too.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected a percentage such as 10% or 0.5%".to_owned();
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || !(1..=2).contains(&part.len()) {
            return Err(expected());
        }
        let whole: u32 = whole.parse().map_err(|_| expected())?;
        let hundredths: u32 = format!("{part:0<2}").parse().map_err(|_| expected())?;
        match whole.checked_mul(100).and_then(|whole| whole.checked_add(hundredths)) {
            Some(share) if share <= Self::ALL.0 => Ok(Self(share)),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 100.0)?;
        f.write_str(" %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn read_from(file: &str, environment: &[(&str, &str)]) -> (EnforcementSettings, String) {
        let mut problems = Problems::default();
        let raw = RawSettings {
            file: Some(("cvt.yaml".into(), file.into())),
            environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            flags: Vec::new(),
        };
        let values = Values::collect(raw, crate::config::Config::TABLES, &mut problems);
        let settings = read(&values, &mut problems);
        (settings, problems.or_fail().map_or_else(|error| error.to_string(), |()| String::new()))
    }

    #[test]
    fn strict_enforces_requests_and_responses_only_where_asked_to() {
        let of = |file: &str| read_from(file, &[]).0.modes;
        let modes = |request, response| Modes { request, response };
        assert_eq!(of("mode: strict"), modes(Mode::Strict, Mode::Warn));
        assert_eq!(of("mode: strict\nenforce_responses: true"), Modes::both(Mode::Strict));
        assert_eq!(of("mode: shadow\nenforce_responses: true"), Modes::both(Mode::Shadow));
        assert_eq!(of("mode: shadow\nresponse_mode: strict"), modes(Mode::Shadow, Mode::Strict));
        assert_eq!(of("mode: strict\nrequest_mode: off"), modes(Mode::Off, Mode::Warn));
    }

    #[test]
    fn operations_may_have_modes_of_their_own() {
        let file = "operations:\n  POST /users/{id}.json: strict\n  users.get:\n    \
                    request: off\n    response: strict\n";
        let (settings, problems) = read_from(file, &[]);
        assert_eq!(problems, "");
        let operation = |name: &str, request, response| OperationModes {
            name: name.into(),
            request: Some(request),
            response: Some(response),
        };
        let expected = [
            operation("POST /users/{id}.json", Mode::Strict, Mode::Warn),
            operation("users.get", Mode::Off, Mode::Strict),
        ];
        assert_eq!(settings.operations, expected);
        let variable =
            "POST /users/{id}.json=strict, users.get.request=off,users.get.response=strict";
        assert_eq!(read_from("", &[("CVT_OPERATIONS", variable)]).0.operations, expected);
        assert!(!read_from("mode: off\noperations: {a: warn}", &[]).0.is_off());
        assert!(read_from("mode: off\noperations: {a: off}", &[]).0.is_off());
    }

    #[test]
    fn wrong_modes_are_reported_with_their_operation() {
        let (_, problems) = read_from("operations:\n  getUser: loud\n", &[]);
        assert!(problems.contains("cvt.yaml:2: operations: \"getUser\": expected one of off"));
        let (_, problems) = read_from("", &[("CVT_OPERATIONS", "getUser")]);
        assert!(problems.contains("expected NAME=MODE"), "{problems}");
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!(Percentage::parse("10%"), Ok(Percentage(1_000)));
        assert_eq!(Percentage::parse("0.5 %"), Ok(Percentage(50)));
        assert_eq!(Percentage::parse("0.25"), Ok(Percentage(25)));
        assert_eq!(Percentage::parse("100"), Ok(Percentage::ALL));
        for bad in ["", "%", "101%", "1.234%", "-1", "x", "1e2"] {
            assert!(Percentage::parse(bad).is_err(), "{bad}");
        }
        assert!(Percentage::ALL.includes(9_999) && !Percentage::percent(0).includes(0));
        assert!(
            !Percentage::percent(50).is_exceeded(1, 2) && Percentage::percent(50).is_exceeded(2, 3)
        );
    }

    #[test]
    fn the_rejection_status_is_4xx() {
        assert_eq!(status("422"), Ok(StatusCode::UNPROCESSABLE_ENTITY));
        for bad in ["200", "500", "4xx"] {
            assert!(status(bad).is_err(), "{bad}");
        }
        let (settings, problems) = read_from("enforcement: {breaker: {share: 20%}}", &[]);
        assert_eq!(problems, "");
        assert_eq!(settings.breaker.unwrap().share, Percentage::percent(20));
        assert!(read_from("", &[]).0.breaker.is_none());
    }
}
