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

/// When files are looked at again.
#[derive(Debug, Clone, Copy)]
pub struct ReloadSettings {
    /// Time between two looks; `None` looks on SIGHUP alone.
    pub interval: Option<Duration>,
}

/// What was typed of the settings that hold until a restart, to tell which of them changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Fixed(BTreeMap<&'static str, String>);

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ReloadSettings {
    let watch = values.read("reload.watch", true, problems, parse::boolean);
    let range = Duration::from_millis(100)..=Duration::from_hours(24);
    let usual = Duration::from_secs(2);
    let interval = values.read("reload.interval", usual, problems, parse::duration(range));
    ReloadSettings { interval: watch.then_some(interval) }
}

// === impl Fixed ===

impl Fixed {
    /// Takes them from everything that was typed.
    pub(super) fn of(values: &Values) -> Self {
        let holds = |setting: &&Setting| {
            !setting.per_route || limits::OF_ALL_TRAFFIC.contains(&setting.key)
        };
        let typed = |setting: &'static Setting| {
            values.get(setting.key).map(|(text, _)| (setting.key, text.to_owned()))
        };
        Self(Config::settings().filter(holds).filter_map(typed).collect())
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

impl fmt::Debug for Fixed {
    /// Names alone: there are secrets among the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Typed;

    fn fixed(text: &str) -> Fixed {
        let text = format!("spec: a\nupstream: http://a\n{text}");
        let typed = Typed { file: Some(("cvt.yaml".into(), text)), ..Typed::default() };
        Config::load(typed).unwrap().fixed
    }

    #[test]
    fn settings_that_hold_until_a_restart_are_named_when_they_differ() {
        let before = fixed("mode: off\nlisten: 127.0.0.1:1\nlimits: {rate: 5}\n");
        let after = fixed("mode: warn\nstorage: {dsn: x.db}\nlimits: {rate: 6, request_body: 9}\n");
        assert_eq!(before.differences(&after), ["limits.rate", "listen", "storage.dsn"]);
        assert_eq!(before.differences(&before.clone()), Vec::<&str>::new());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", fixed("storage: {dsn: 'postgres://u:hunter2@h/d'}\n"));
        assert!(shown.contains("storage.dsn") && !shown.contains("hunter2"), "{shown}");
    }
}
