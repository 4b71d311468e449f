//! Checked settings.
//!
//! Defaults < file < `CVT_*` environment < flags; later wins over earlier. Loading has two
//! stages: what was configured ([`values::Values`]: text with its source) and what it means (one
//! section per file, each checks itself). Every wrong setting is reported at once, with the
//! place it came from and what was expected; no value silently falls back to a default, and an
//! unknown key is an error that names the nearest known one, or the one that replaced it.
//!
//! A new setting is one line in its section's `SETTINGS` table and one read in its `read`; one that
//! may differ between routes is marked `per_route` there.

pub mod admin;
pub mod cache;
pub mod consumer;
pub mod contract;
pub mod document;
pub mod egress;
pub mod encryption;
pub mod enforcement;
pub mod file;
pub mod forwarded;
pub mod group;
pub mod limits;
pub mod logging;
pub mod parse;
pub mod pipeline;
pub mod record;
pub mod redaction;
pub mod reload;
pub mod retention;
pub(crate) mod retired;
pub mod route;
pub mod rules;
pub mod sampling;
pub mod spool;
pub mod storage;
pub mod tls;
pub mod tracing;
pub mod traffic;
pub mod upgrade;
pub mod upstream;
pub mod values;

use std::path::PathBuf;

pub use values::{
    ConfigError, Problems, RawSettings, Setting, SettingProblem, SettingSource, SettingTables,
    Values,
};

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where traffic goes and which contract validates it; at least one.
    pub routes: Vec<route::RouteSettings>,
    /// Which documents are accepted.
    pub documents: document::DocumentSettings,
    /// Bytes that bodies buffered for enforcement may take.
    pub enforcement_memory: usize,
    /// How strictly documents are read.
    pub rules: rules::RuleSettings,
    /// How traffic is taken.
    pub traffic: traffic::TrafficSettings,
    /// What callers may take.
    pub limits: limits::LimitSettings,
    /// Validation off the traffic path.
    pub pipeline: pipeline::PipelineSettings,
    /// How consumers are identified.
    pub consumer: consumer::ConsumerSettings,
    /// Violation groups.
    pub groups: group::GroupSettings,
    /// What is kept.
    pub record: record::RecordSettings,
    /// What share of the traffic is validated and recorded.
    pub sampling: sampling::SamplingSettings,
    /// What is hidden.
    pub redaction: redaction::RedactionSettings,
    /// Where it is kept.
    pub storage: storage::StorageSettings,
    /// The keys it is encrypted with.
    pub encryption: encryption::EncryptionSettings,
    /// Where records wait while storage is away.
    pub spool: spool::SpoolSettings,
    /// How much of the contracts is cached.
    pub cache: cache::CacheSettings,
    /// How long what was recorded is kept.
    pub retention: retention::RetentionSettings,
    /// The admin port.
    pub admin: admin::AdminSettings,
    /// Distributed tracing.
    pub tracing: tracing::TracingSettings,
    /// Calls that the sidecar makes itself.
    pub egress: egress::OutboundSettings,
    /// Which listeners are encrypted.
    pub tls: tls::TlsSettings,
    /// The file they were read from, if there is one.
    pub file: Option<PathBuf>,
    /// The configured settings that only a restart changes.
    pub restart: reload::RestartSettings,
    /// When files are checked for changes.
    pub reload: reload::ReloadSettings,
    /// How a new process takes the place of this one.
    pub upgrade: upgrade::UpgradeSettings,
    /// Log level and form.
    pub logging: logging::LoggingSettings,
    /// Settings that were understood but have no effect in this version.
    pub notices: Vec<String>,
}

/// What commands need to know that look after what was recorded.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where it is kept.
    pub storage: storage::StorageSettings,
    /// The keys it is encrypted with.
    pub encryption: encryption::EncryptionSettings,
    /// How long.
    pub retention: retention::RetentionSettings,
}

// === impl Config ===

impl Config {
    /// Every table of settings, for [`Values::collect`].
    pub const TABLES: SettingTables = SettingTables {
        sections: &[
            route::SETTINGS,
            contract::SETTINGS,
            document::SETTINGS,
            upstream::SETTINGS,
            forwarded::SETTINGS,
            rules::SETTINGS,
            traffic::SETTINGS,
            limits::SETTINGS,
            enforcement::SETTINGS,
            pipeline::SETTINGS,
            consumer::SETTINGS,
            group::SETTINGS,
            record::SETTINGS,
            sampling::SETTINGS,
            redaction::SETTINGS,
            storage::SETTINGS,
            encryption::SETTINGS,
            spool::SETTINGS,
            cache::SETTINGS,
            retention::SETTINGS,
            admin::SETTINGS,
            tls::SETTINGS,
            tracing::SETTINGS,
            egress::SETTINGS,
            reload::SETTINGS,
            upgrade::SETTINGS,
            logging::SETTINGS,
        ],
        route_only: route::ROUTE_ONLY,
    };

    /// Every setting there is, section by section.
    pub fn settings() -> impl Iterator<Item = &'static Setting> {
        Self::TABLES.settings()
    }

    /// Merges and checks everything that was configured.
    pub fn load(raw: RawSettings) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let file = raw.file.as_ref().map(|(path, _)| path.into());
        let values = Values::collect(raw, Self::TABLES, &mut problems);
        let config = Self {
            file,
            restart: reload::RestartSettings::of(&values),
            routes: route::read(&values, &mut problems),
            documents: document::read(&values, &mut problems),
            enforcement_memory: enforcement::memory(&values, &mut problems),
            rules: rules::read(&values, &mut problems),
            traffic: traffic::read(&values, &mut problems),
            limits: limits::read(&values, &mut problems),
            pipeline: pipeline::read(&values, &mut problems),
            consumer: consumer::read(&values, &mut problems),
            groups: group::read(&values, &mut problems),
            record: record::read(&values, &mut problems),
            sampling: sampling::read(&values, &mut problems),
            redaction: redaction::read(&values, &mut problems),
            storage: storage::read(&values, &mut problems),
            encryption: encryption::read(&values, &mut problems),
            spool: spool::read(&values, &mut problems),
            cache: cache::read(&values, &mut problems),
            retention: retention::read(&values, &mut problems),
            admin: admin::read(&values, &mut problems),
            tls: tls::read(&values, &mut problems),
            tracing: tracing::read(&values, &mut problems),
            egress: egress::read(&values, &mut problems),
            reload: reload::read(&values, &mut problems),
            upgrade: upgrade::read(&values, &mut problems),
            logging: logging::read(&values, &mut problems),
            notices: values.notices(),
        };
        problems.or_fail().map(|()| config)
    }

    /// The sections about the admin port alone, for commands that ask a running sidecar; with
    /// its encryption, if it has any.
    pub fn load_admin(
        raw: RawSettings,
    ) -> Result<(admin::AdminSettings, Option<tls::ServerTls>), ConfigError> {
        let mut problems = Problems::default();
        let values = Values::collect(raw, Self::TABLES, &mut problems);
        let settings = admin::read(&values, &mut problems);
        let encrypted = tls::read(&values, &mut problems).admin;
        problems.or_fail().map(|()| (settings, encrypted))
    }

    /// The sections about how documents are read alone, for commands that compile some.
    pub fn load_documents(
        raw: RawSettings,
    ) -> Result<(rules::RuleSettings, document::DocumentSettings), ConfigError> {
        let mut problems = Problems::default();
        let values = Values::collect(raw, Self::TABLES, &mut problems);
        let rules = rules::read(&values, &mut problems);
        let documents = document::read(&values, &mut problems);
        problems.or_fail().map(|()| (rules, documents))
    }

    /// The sections about storage alone, for commands that need no traffic.
    pub fn load_store(raw: RawSettings) -> Result<StoreConfig, ConfigError> {
        let mut problems = Problems::default();
        let values = Values::collect(raw, Self::TABLES, &mut problems);
        let config = StoreConfig {
            storage: storage::read(&values, &mut problems),
            encryption: encryption::read(&values, &mut problems),
            retention: retention::read(&values, &mut problems),
        };
        problems.or_fail().map(|()| config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(
        file: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> RawSettings {
        RawSettings {
            file: Some(("cvt.yaml".into(), file.into())),
            environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            flags: flags.iter().map(|(key, v)| (*key, "--flag", (*v).into())).collect(),
        }
    }

    #[test]
    fn later_sources_win_over_earlier_ones() {
        let file = "spec: a.yaml\nupstream: http://127.0.0.1:1\nmode: shadow\nbody_limit: 2KiB\n";
        let config = Config::load(typed(
            file,
            &[("CVT_SPEC", "b.yaml"), ("CVT_MODE", "off")],
            &[("mode", "warn")],
        ))
        .unwrap();
        assert_eq!(config.routes[0].contract.spec.as_deref(), Some(std::path::Path::new("b.yaml")));
        assert_eq!(config.routes[0].enforcement.modes.request.as_str(), "warn");
        assert_eq!(config.routes[0].body_limit, 2048);
        assert_eq!(config.traffic.listen.to_string(), "0.0.0.0:9080");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9551");
    }

    #[test]
    fn trap_t28_every_wrong_setting_is_reported_at_once_with_its_place() {
        let file = "spec: a.yaml\nupstrem: http://x\nbody_limit: lots\npipeline:\n  workers: -1\n";
        let error = Config::load(typed(
            file,
            &[("CVT_MODE", "loud"), ("CVT_RECRD", "all"), ("CVT_METRICS_PORT", "99999")],
            &[("listen", "nowhere")],
        ))
        .unwrap_err();
        let text = error.to_string();
        for part in [
            "cvt.yaml:2: unknown key `upstrem`, did you mean `upstream`?",
            "cvt.yaml:3: body_limit",
            "cvt.yaml:5: pipeline.workers",
            "CVT_MODE: mode",
            "unknown variable `CVT_RECRD`, did you mean `CVT_RECORD`?",
            "CVT_METRICS_PORT",
            "--flag: listen",
            "upstream: required",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert_eq!(error.problems.len(), 8, "{text}");
    }

    #[test]
    fn every_setting_has_a_key_and_a_variable_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for setting in Config::settings() {
            assert!(seen.insert(setting.key), "{} stands twice", setting.key);
            for name in setting.environment {
                assert!(seen.insert(name), "{name} stands twice");
            }
        }
    }
}
