//! Modes: what a verdict may do to traffic (CVT's words).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::violation::Side;

/// What happens to an exchange that breaks its contract.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Pure proxy: nothing recorded, nothing validated.
    Off,
    /// Metrics and records only.
    Shadow,
    /// Also logged, one structured event per violation group.
    #[default]
    Warn,
    /// An invalid request is rejected before the upstream sees any byte of it.
    Strict,
}

/// The modes of the two sides of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modes {
    /// Of the request.
    pub request: Mode,
    /// Of the response.
    pub response: Mode,
}

/// A text that is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of off, shadow, warn, strict")]
pub struct UnknownMode;

// === impl Mode ===

impl Mode {
    /// Every mode, mildest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Shadow, Self::Warn, Self::Strict];

    /// The mode's name in settings, records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Warn => "warn",
            Self::Strict => "strict",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(UnknownMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Modes ===

impl Modes {
    /// The same mode for both sides.
    pub const fn both(mode: Mode) -> Self {
        Self { request: mode, response: mode }
    }

    /// The mode of one side.
    pub const fn of(self, side: Side) -> Mode {
        match side {
            Side::Request => self.request,
            Side::Response => self.response,
        }
    }

    /// Whether nothing is recorded and nothing validated.
    pub fn is_off(self) -> bool {
        self.stricter() == Mode::Off
    }

    /// Whether a side is buffered and validated before it is forwarded.
    pub fn enforces(self) -> bool {
        self.stricter() == Mode::Strict
    }

    /// The stricter of the two, which stands for the exchange in records.
    pub fn stricter(self) -> Mode {
        self.request.max(self.response)
    }

    /// The same with `warn` in the place of `strict`.
    #[must_use]
    pub fn unenforced(self) -> Self {
        let milder = |mode: Mode| mode.min(Mode::Warn);
        Self { request: milder(self.request), response: milder(self.response) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_names_parse_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert_eq!("Warn".parse::<Mode>(), Err(UnknownMode));
    }

    #[test]
    fn an_unenforced_mode_still_validates() {
        let modes = Modes { request: Mode::Strict, response: Mode::Off };
        assert!(modes.enforces() && !modes.is_off());
        assert_eq!(modes.unenforced(), Modes { request: Mode::Warn, response: Mode::Off });
        assert!(!modes.unenforced().enforces());
        assert!(Modes::both(Mode::Off).is_off());
    }
}
