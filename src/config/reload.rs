//! How changes of documents and of the config file are noticed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Config, Problems, Setting, Values, limits, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("reload.watch", &["CVT_RELOAD_WATCH"]),
    Setting::new("reload.interval", &["CVT_RELOAD_INTERVAL"]),
];

/// When files are checked for changes.
#[derive(Debug, Clone, Copy)]
pub struct ReloadSettings {
    /// Time between two checks; `None` checks on SIGHUP alone.
    pub interval: Option<Duration>,
}

/// The configured settings that only a restart changes, to detect changes of them.
#[derive(Clone, PartialEq, Eq)]
pub struct RestartSettings(BTreeMap<&'static str, String>);

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ReloadSettings {
    let watch = values.read("reload.watch", true, problems, parse::boolean);
    let range = Duration::from_millis(100)..=Duration::from_hours(24);
    let usual = Duration::from_secs(2);
    let interval = values.read("reload.interval", usual, problems, parse::duration(range));
    ReloadSettings { interval: watch.then_some(interval) }
}

// === impl RestartSettings ===

impl RestartSettings {
    /// Selects them from everything that was configured.
    pub(super) fn of(values: &Values) -> Self {
        let holds =
            |setting: &&Setting| !setting.per_route || limits::GLOBAL_LIMITS.contains(&setting.key);
        let entry = |setting: &'static Setting| {
            values.get(setting.key).map(|(text, _)| (setting.key, text.to_owned()))
        };
        Self(Config::settings().filter(holds).filter_map(entry).collect())
    }

    /// The keys of those that are not the same in `other`.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = self.0.keys().chain(other.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut differing: Vec<_> =
            keys.copied().filter(|key| self.0.get(key) != other.0.get(key)).collect();
        differing.sort_unstable();
        differing
    }
}

impl fmt::Debug for RestartSettings {
    /// Names alone: there are secrets among the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn restart_settings(text: &str) -> RestartSettings {
        let text = format!("spec: a\nupstream: http://a\n{text}");
        let raw = RawSettings { file: Some(("cvt.yaml".into(), text)), ..RawSettings::default() };
        Config::load(raw).unwrap().restart
    }

    #[test]
    fn differing_restart_settings_are_named() {
        let before = restart_settings("mode: off\nlisten: 127.0.0.1:1\nlimits: {rate: 5}\n");
        let after = restart_settings(
            "mode: warn\nstorage: {dsn: x.db}\nlimits: {rate: 6, request_body: 9}\n",
        );
        assert_eq!(before.differences(&after), ["limits.rate", "listen", "storage.dsn"]);
        assert_eq!(before.differences(&before.clone()), Vec::<&str>::new());
    }

    #[test]
    fn debug_output_contains_no_secrets() {
        let shown =
            format!("{:?}", restart_settings("storage: {dsn: 'postgres://u:hunter2@h/d'}\n"));
        assert!(shown.contains("storage.dsn") && !shown.contains("hunter2"), "{shown}");
    }
}
