//! Names of settings, variables and flags that were replaced, and what they are called now.
//!
//! Invariants: an old name is refused and never read, so that no setting falls back to its
//! default unnoticed; a new name is one that is in use. A name that is replaced gets a line in [`RENAMED`], with its
//! variable and its flag.

/// Old and new names: sections and keys of the config file, variables, flags.
const RENAMED: &[(&str, &str)] = &[
    ("observer", "pipeline"),
    ("observer.workers", "pipeline.workers"),
    ("observer.priority", "pipeline.priority"),
    ("observer.queue_exchanges", "pipeline.queue_exchanges"),
    ("observer.memory", "pipeline.memory"),
    ("sampling.judge", "sampling.validate"),
    ("sampling.keep", "sampling.record"),
    ("sampling.firsts", "sampling.initial"),
    ("enforcement.judging_budget", "enforcement.validation_budget"),
    ("enforcement.hold_timeout", "enforcement.buffer_timeout"),
    ("rules.refuse_read_only", "rules.read_only"),
    ("rules.refuse_write_only", "rules.write_only"),
    ("rules.refuse_empty_values", "rules.empty_values"),
    ("rules.tolerate_trailing_slash", "rules.trailing_slash"),
    ("rules.strict_fields", "rules.undeclared_fields"),
    ("rules.formats_off", "contract.formats_off"),
    ("rules.base_path", "contract.base_path"),
    ("CVT_OBSERVER_WORKERS", "CVT_PIPELINE_WORKERS"),
    ("CVT_OBSERVER_PRIORITY", "CVT_PIPELINE_PRIORITY"),
    ("CVT_OBSERVER_QUEUE_EXCHANGES", "CVT_PIPELINE_QUEUE_EXCHANGES"),
    ("CVT_OBSERVER_MEMORY", "CVT_PIPELINE_MEMORY"),
    ("CVT_SAMPLING_JUDGE", "CVT_SAMPLING_VALIDATE"),
    ("CVT_SAMPLING_KEEP", "CVT_SAMPLING_RECORD"),
    ("CVT_SAMPLING_FIRSTS", "CVT_SAMPLING_INITIAL"),
    ("CVT_ENFORCEMENT_JUDGING_BUDGET", "CVT_ENFORCEMENT_VALIDATION_BUDGET"),
    ("CVT_ENFORCEMENT_HOLD_TIMEOUT", "CVT_ENFORCEMENT_BUFFER_TIMEOUT"),
    ("CVT_REFUSE_READ_ONLY", "CVT_RULES_READ_ONLY"),
    ("CVT_REFUSE_WRITE_ONLY", "CVT_RULES_WRITE_ONLY"),
    ("CVT_REFUSE_EMPTY_VALUES", "CVT_RULES_EMPTY_VALUES"),
    ("CVT_TOLERATE_TRAILING_SLASH", "CVT_RULES_TRAILING_SLASH"),
    ("CVT_STRICT_FIELDS", "CVT_RULES_UNDECLARED_FIELDS"),
    ("CVT_FORMATS_OFF", "CVT_CONTRACT_FORMATS_OFF"),
    ("CVT_BASE_PATH", "CVT_CONTRACT_BASE_PATH"),
    ("--strict-fields", "--rule undeclared_fields=strict"),
    ("--tolerate-trailing-slash", "--rule trailing_slash=lenient"),
    ("--schema-id", "--schema"),
    ("--environment", "--env"),
    ("--operation", "--path"),
];

/// What `name` is called now, if it was replaced.
pub fn replacement(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
}

/// The sentence that refuses the old name, where `name` was replaced.
pub fn refusal(kind: &str, name: &str) -> Option<String> {
    replacement(name).map(|new| format!("the {kind} `{name}` is now called `{new}`"))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawSettings};
    use super::*;

    fn refused(file: &str, environment: &[(&str, &str)]) -> String {
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let file = Some(("cvt.yaml".into(), file.into()));
        Config::load(RawSettings { file, environment, flags: Vec::new() }).unwrap_err().to_string()
    }

    #[test]
    fn old_keys_and_variables_are_refused_all_at_once_with_their_new_names() {
        let file = "spec: a.yaml\nupstream: http://127.0.0.1:1\nobserver:\n  workers: 2\n  memory: 64MiB\n\
                    sampling:\n  judge: 10%\n  keep: 5%\nenforcement:\n  judging_budget: 1s\n";
        let text = refused(file, &[("CVT_OBSERVER_PRIORITY", "low"), ("CVT_SAMPLING_JUDGE", "2")]);
        let lines: Vec<_> = text.lines().collect();
        let expected = [
            "cvt.yaml:4: the key `observer.workers` is now called `pipeline.workers`",
            "cvt.yaml:5: the key `observer.memory` is now called `pipeline.memory`",
            "cvt.yaml:7: the key `sampling.judge` is now called `sampling.validate`",
            "cvt.yaml:8: the key `sampling.keep` is now called `sampling.record`",
            "cvt.yaml:10: the key `enforcement.judging_budget` is now called \
             `enforcement.validation_budget`",
            "CVT_OBSERVER_PRIORITY: the variable `CVT_OBSERVER_PRIORITY` is now called \
             `CVT_PIPELINE_PRIORITY`",
            "CVT_SAMPLING_JUDGE: the variable `CVT_SAMPLING_JUDGE` is now called \
             `CVT_SAMPLING_VALIDATE`",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_old_key_of_a_route_is_refused_with_its_new_name() {
        let file = "routes:\n  - upstream: http://127.0.0.1:1\n    spec: a.yaml\n    enforcement:\n      \
                    hold_timeout: 1s\n";
        let text = refused(file, &[]);
        let expected = "cvt.yaml:5: the key `enforcement.hold_timeout` is now called \
                        `enforcement.buffer_timeout`";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_section_under_an_old_name_is_refused() {
        let file = "spec: a.yaml\nupstream: http://127.0.0.1:1\nobserver:\n";
        assert_eq!(refused(file, &[]), "cvt.yaml:3: the key `observer` is now called `pipeline`");
    }

    #[test]
    fn old_names_are_out_of_use_and_new_names_in_use() {
        let mut names: Vec<&str> = Vec::new();
        for setting in Config::settings() {
            names.push(setting.key);
            names.extend(setting.key.split_once('.').map(|(section, _)| section));
            names.extend(setting.environment);
        }
        for (old, new) in RENAMED.iter().filter(|(old, _)| !old.starts_with("--")) {
            assert!(!names.contains(old), "{old} is in use");
            assert!(names.contains(new), "{new} is not in use");
        }
    }
}
