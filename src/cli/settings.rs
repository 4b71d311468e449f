//! Where the settings of a command come from: config file, environment, flags.

use std::path::PathBuf;

use crate::config::RawSettings;

/// The config file that is read when none is named.
const DEFAULT_FILE: &str = "cvt.yaml";
/// The variable that names it.
const FILE_VARIABLE: &str = "CVT_CONFIG";

/// A flag that was given: dotted key, name, value.
pub(super) type Flag = (&'static str, &'static str, String);

/// Where the config file is, or would be.
pub(super) fn file(named: Option<PathBuf>, environment: &[(String, String)]) -> PathBuf {
    name(named, environment).unwrap_or_else(|| DEFAULT_FILE.into())
}

/// Everything that was typed. A config file that is named must be there; `cvt.yaml` may.
pub(super) fn typed(
    named: Option<PathBuf>,
    environment: &[(String, String)],
    flags: Vec<Flag>,
) -> Result<RawSettings, String> {
    let named = name(named, environment);
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let shown = path.display().to_string();
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => Some((shown, text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{shown}: the config file cannot be read: {error}")),
    };
    let others = environment.iter().filter(|(name, _)| name != FILE_VARIABLE);
    Ok(RawSettings { file, environment: others.cloned().collect(), flags })
}

fn name(named: Option<PathBuf>, environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = environment.iter().find(|(name, _)| name == FILE_VARIABLE);
    named.or_else(|| variable.map(|(_, path)| path.into()))
}
