//! Modes: what a verdict may do to traffic (CVT's words).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What happens to an exchange that breaks its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Pure proxy: nothing kept, nothing judged.
    Off,
    /// Metrics and records only.
    Shadow,
    /// Also logged, one structured event per violation group.
    #[default]
    Warn,
    /// An invalid request is rejected before the upstream sees any byte of it.
    Strict,
}

/// A text that names no mode.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert_eq!("Warn".parse::<Mode>(), Err(UnknownMode));
    }
}
