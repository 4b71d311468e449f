//! Settings as configured: every setting as text, with its source.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{file, retired};

/// A setting's names.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Dotted key in the config file.
    pub key: &'static str,
    /// Environment variables that set it.
    pub environment: &'static [&'static str],
    /// Whether a route may have a value of its own.
    pub per_route: bool,
    /// Whether the file may have a mapping under the key. Its entries are read as lines
    /// `NAME=VALUE`.
    pub map: bool,
}

/// Where a value was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// Nowhere: the default holds.
    Default,
    /// In a config file.
    File {
        /// Path as given.
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Environment(String),
    /// As a flag.
    Flag(&'static str),
}

/// One wrong setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where it was configured.
    pub source: SettingSource,
    /// What is wrong and what was expected. Never the value of a secret.
    pub message: String,
}

/// The wrong settings found so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<SettingProblem>);

/// Every wrong setting, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, in the order of the sources.
    pub problems: Vec<SettingProblem>,
}

/// Everything that was configured, before it is checked.
#[derive(Debug, Default)]
pub struct RawSettings {
    /// Path and text of the config file, when there is one.
    pub file: Option<(String, String)>,
    /// The process environment.
    pub environment: Vec<(String, String)>,
    /// Flags as (dotted key, flag name, value).
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// The settings that there are. Passed in, so that what collects values knows no section.
#[derive(Debug, Clone, Copy)]
pub struct SettingTables {
    /// One table per section.
    pub sections: &'static [&'static [Setting]],
    /// Settings that only a route has.
    pub route_only: &'static [Setting],
}

/// Every configured setting; the last source wins.
#[derive(Debug)]
pub struct Values {
    entries: BTreeMap<&'static str, (String, SettingSource)>,
    /// Of an entry of `routes`: what it says for itself.
    own: BTreeSet<&'static str>,
    /// What each entry of `routes` says for itself.
    routes: Vec<Values>,
    /// Where a missing value belongs.
    origin: SettingSource,
    notices: RefCell<Vec<String>>,
}

/// The list of routes in the config file.
const ROUTES: &str = "routes";

/// Variables of CVT that this version understands but cannot serve, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("CVT_PORT", "the gRPC API is not served by this version"),
    ("CVT_DISABLE_PLUGINS", "there are no plugins"),
];

// === impl Setting ===

impl Setting {
    /// A setting of the process under `key`, set by the variables `environment`.
    pub const fn new(key: &'static str, environment: &'static [&'static str]) -> Self {
        Self { key, environment, per_route: false, map: false }
    }

    /// A setting whose names the user chooses: a mapping in the file.
    pub const fn map(key: &'static str, environment: &'static [&'static str]) -> Self {
        Self { map: true, ..Self::new(key, environment) }
    }

    /// The same for every route, unless a route says otherwise.
    #[must_use]
    pub const fn per_route(self) -> Self {
        Self { per_route: true, ..self }
    }

    /// The name that the user chose, where `key` is one of this mapping.
    fn name_in<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.key)?.strip_prefix('.').filter(|_| self.map)
    }
}

// === impl Problems ===

impl Problems {
    /// Adds a problem. What is wrong for every route is reported once.
    pub fn push(&mut self, source: SettingSource, message: impl Into<String>) {
        let problem = SettingProblem { source, message: message.into() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Fails with all problems, if there are any.
    pub fn or_fail(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.0 }) }
    }
}

// === impl SettingTables ===

impl SettingTables {
    /// Every setting of the process and of routes, section by section.
    pub fn settings(self) -> impl Iterator<Item = &'static Setting> {
        self.sections.iter().copied().flatten()
    }
}

// === impl Values ===

impl Values {
    /// Merges file, environment and flags; unknown names become problems.
    pub fn collect(raw: RawSettings, tables: SettingTables, problems: &mut Problems) -> Self {
        let mut values = Self::at(SettingSource::Default);
        if let Some((path, text)) = raw.file {
            values.add_file(&path, &text, tables, problems);
        }
        for (name, value) in raw.environment {
            values.add_variable(&name, value, tables, problems);
        }
        for (key, flag, value) in raw.flags {
            values.entries.insert(key, (value, SettingSource::Flag(flag)));
        }
        values
    }

    /// The settings of each entry of `routes`: its own over those that hold for all. Empty when
    /// there is no such list.
    pub fn routes(&self) -> Vec<Self> {
        let over = |own: &Self| {
            let mut all = Self::at(own.origin.clone());
            all.entries = self.entries.clone();
            all.entries.extend(own.entries.clone());
            all.own = own.entries.keys().copied().collect();
            all
        };
        self.routes.iter().map(over).collect()
    }

    /// What an entry of `routes` says for itself alone; nothing outside of such a list.
    #[must_use]
    pub fn own(&self) -> Self {
        let mut own = Self::at(self.origin.clone());
        let entries = self.entries.iter().filter(|(key, _)| self.own.contains(*key));
        own.entries = entries.map(|(key, value)| (*key, value.clone())).collect();
        own
    }

    /// Where a missing value belongs.
    pub fn origin(&self) -> SettingSource {
        self.origin.clone()
    }

    /// The value of `key` and its source, if configured.
    pub fn get(&self, key: &str) -> Option<(&str, &SettingSource)> {
        self.entries.get(key).map(|(text, source)| (text.as_str(), source))
    }

    /// Reads `key` with `parse`, which says what it expected when it cannot; the default holds
    /// where nothing was configured, and where a problem was reported.
    pub fn read<T>(
        &self,
        key: &str,
        default: T,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some((text, source)) = self.get(key) else { return default };
        match parse(text) {
            Ok(value) => value,
            Err(expected) => {
                problems.push(source.clone(), format!("{key}: {expected}"));
                default
            }
        }
    }

    /// Adds a notice about a setting that has no effect, once.
    pub fn notice(&self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let mut notices = self.notices.borrow_mut();
        if !notices.contains(&sentence) {
            notices.push(sentence);
        }
    }

    /// Sentences about settings that have no effect.
    pub fn notices(&self) -> Vec<String> {
        self.notices.borrow().clone()
    }

    fn at(origin: SettingSource) -> Self {
        Self {
            entries: BTreeMap::new(),
            own: BTreeSet::new(),
            routes: Vec::new(),
            origin,
            notices: RefCell::default(),
        }
    }

    fn add_file(&mut self, path: &str, text: &str, tables: SettingTables, problems: &mut Problems) {
        let entries = match file::flatten(text) {
            Ok(entries) => entries,
            Err(error) => {
                let source = SettingSource::File { path: path.into(), line: error.line };
                return problems.push(source, error.message);
            }
        };
        for entry in entries {
            let source = SettingSource::File { path: path.into(), line: entry.line };
            if let Some((index, key)) = item_of(ROUTES, &entry.key) {
                self.add_to_route(index, (key, entry.value), source, tables, problems);
            } else if entry.key == ROUTES {
                problems.push(source, "routes: expected a list, each entry of `key: value` lines");
            } else if !self.add(&entry.key, entry.value, &source, tables.settings()) {
                let known = tables.settings().map(|setting| setting.key);
                problems.push(source, unknown("key", &entry.key, known));
            }
        }
    }

    /// Adds the value of `key` in the file; false if there is no such setting.
    fn add(
        &mut self,
        key: &str,
        value: String,
        source: &SettingSource,
        mut known: impl Iterator<Item = &'static Setting>,
    ) -> bool {
        let takes = |setting: &&Setting| setting.key == key || setting.name_in(key).is_some();
        let Some(setting) = known.find(takes) else { return false };
        if let Some(name) = setting.name_in(key) {
            let entry = self.entries.entry(setting.key);
            let (text, _) = entry.or_insert_with(|| (String::new(), source.clone()));
            text.extend([name, "=", &value, "\n"]);
        } else {
            self.entries.insert(setting.key, (value, source.clone()));
        }
        true
    }

    fn add_to_route(
        &mut self,
        index: usize,
        (key, value): (&str, String),
        source: SettingSource,
        tables: SettingTables,
        problems: &mut Problems,
    ) {
        while self.routes.len() <= index {
            self.routes.push(Self::at(source.clone()));
        }
        let all = || tables.settings().chain(tables.route_only);
        let own = || all().filter(|setting| setting.per_route);
        if self.routes[index].add(key, value, &source, own()) {
            return;
        }
        let message = if all().any(|setting| setting.key == key) {
            format!("{key}: holds for the whole process; it belongs outside of `routes`")
        } else {
            unknown("key", key, own().map(|setting| setting.key))
        };
        problems.push(source, message);
    }

    fn add_variable(
        &mut self,
        name: &str,
        value: String,
        tables: SettingTables,
        problems: &mut Problems,
    ) {
        let setting = tables.settings().find(|setting| setting.environment.contains(&name));
        if let Some(setting) = setting {
            self.entries.insert(setting.key, (value, SettingSource::Environment(name.into())));
            return;
        }
        if !name.starts_with("CVT_") || is_service_link(name, &value) {
            return;
        }
        if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(known, _)| *known == name) {
            return self.notice(format!("{name} has no effect: {why}"));
        }
        let known = tables.settings().flat_map(|setting| setting.environment.iter().copied());
        problems.push(SettingSource::Environment(name.into()), unknown("variable", name, known));
    }
}

/// Number and rest of a key `list[number].rest`.
fn item_of<'a>(list: &str, key: &'a str) -> Option<(usize, &'a str)> {
    let (number, rest) = key.strip_prefix(list)?.strip_prefix('[')?.split_once("].")?;
    Some((number.parse().ok()?, rest))
}

/// Kubernetes and Docker put variables of their own beside ours when a service is called `cvt`.
fn is_service_link(name: &str, value: &str) -> bool {
    value.contains("://") && name.contains("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
}

/// Says that `name` is none of the `known`, and which of them replaced it or may have been meant.
pub fn unknown<'k>(kind: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    if let Some(refusal) = retired::refusal(kind, name) {
        return refusal;
    }
    let nearest = known
        .map(|candidate| (distance(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, candidate)) if distance <= name.len().div_ceil(3) => {
            format!("unknown {kind} `{name}`, did you mean `{candidate}`?")
        }
        _ => format!("unknown {kind} `{name}`"),
    }
}

/// Levenshtein distance; names are short, so the plain table will do.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

// === impl SettingProblem ===

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("settings"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)
    }
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_orchestrators_are_not_ours() {
        assert!(is_service_link("CVT_PORT", "tcp://10.0.0.1:80"));
        assert!(is_service_link("CVT_SIDECAR_SERVICE_HOST", "10.0.0.1"));
        assert!(is_service_link("CVT_PORT_9080_TCP_ADDR", "10.0.0.1"));
        assert!(!is_service_link("CVT_UPSTREAM", "http://127.0.0.1"));
        assert!(!is_service_link("CVT_METRICS_PORT", "9551"));
    }

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
