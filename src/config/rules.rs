//! How strictly a document is read where the specification leaves a choice.
//!
//! The rules themselves are a table in the model; each has a setting `rules.NAME` here, and
//! `rules.preset` says what holds for those that are not set by name.

use super::{Problems, Setting, Values, parse, retired, values};
use crate::model::rule::{Rule, Rules, Strictness};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new(PRESET, &["CVT_RULES_PRESET"]),
    Setting::new("rules.nullable", &["CVT_RULES_NULLABLE"]),
    Setting::new("rules.discriminator", &["CVT_RULES_DISCRIMINATOR"]),
    Setting::new("rules.empty_values", &["CVT_RULES_EMPTY_VALUES"]),
    Setting::new("rules.read_only", &["CVT_RULES_READ_ONLY"]),
    Setting::new("rules.write_only", &["CVT_RULES_WRITE_ONLY"]),
    Setting::new("rules.offsets", &["CVT_RULES_OFFSETS"]),
    Setting::new("rules.nulls", &["CVT_RULES_NULLS"]),
    Setting::new("rules.undeclared_fields", &["CVT_RULES_UNDECLARED_FIELDS"]),
    Setting::new("rules.trailing_slash", &["CVT_RULES_TRAILING_SLASH"]),
    Setting::new("rules.duplicate_keys", &["CVT_RULES_DUPLICATE_KEYS"]),
    Setting::new("rules.path_traversal", &["CVT_RULES_PATH_TRAVERSAL"]),
    Setting::new("rules.encoded_slashes", &["CVT_RULES_ENCODED_SLASHES"]),
    Setting::new("contract.formats_off", &["CVT_CONTRACT_FORMATS_OFF"]),
    Setting::new("contract.base_path", &["CVT_CONTRACT_BASE_PATH"]),
];

const PRESET: &str = "rules.preset";
const SECTION: &str = "rules.";

/// How documents are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSettings {
    /// The rules that can be lenient or strict.
    pub rules: Rules,
    /// Formats that are not asserted; `*` stands for all of them.
    pub formats_off: Vec<String>,
    /// Takes the place of the base paths of the document's servers.
    pub base_path: Option<String>,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> RuleSettings {
    let choice = [("lenient", Strictness::Lenient), ("strict", Strictness::Strict)];
    let mut strictness =
        |key: &str, default| values.read(key, default, problems, parse::choice(&choice));
    let mut rules = Rules::of(strictness(PRESET, Strictness::Lenient));
    for rule in Rule::ALL {
        if let Some(key) = key_of(rule.as_str()) {
            rules = rules.with(*rule, strictness(key, rules.strictness(*rule)));
        }
    }
    RuleSettings {
        rules,
        formats_off: values.read("contract.formats_off", Vec::new(), problems, parse::list),
        base_path: values.read("contract.base_path", None, problems, |text| {
            if text.is_empty() || text.starts_with('/') {
                Ok(Some(text.to_owned()))
            } else {
                Err("expected a path such as /v1, or nothing for no base path".into())
            }
        }),
    }
}

/// The setting that a flag `--rule NAME=VALUE` is about, with the value; `preset` is a name too.
pub fn of_flag(text: &str) -> Result<(&'static str, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("--rule {text}: expected NAME=lenient or NAME=strict"));
    };
    if let Some(key) = key_of(name) {
        return Ok((key, value.to_owned()));
    }
    let known = SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(SECTION));
    let renamed = retired::refusal("rule", &format!("{SECTION}{name}"));
    Err(format!("--rule: {}", renamed.unwrap_or_else(|| values::unknown("rule", name, known))))
}

/// The key of the rule called `name`, or of the preset.
fn key_of(name: &str) -> Option<&'static str> {
    let mut keys = SETTINGS.iter().map(|setting| setting.key);
    keys.find(|key| key.strip_prefix(SECTION) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawSettings};
    use super::*;

    fn load(file: &str, flags: &[&str]) -> Result<RuleSettings, String> {
        let file = format!("spec: a.yaml\nupstream: http://127.0.0.1:1\n{file}");
        let flags =
            flags.iter().map(|text| of_flag(text).map(|(key, value)| (key, "--rule", value)));
        let flags = flags.collect::<Result<Vec<_>, _>>()?;
        let raw =
            RawSettings { file: Some(("cvt.yaml".into(), file)), flags, ..RawSettings::default() };
        Config::load(raw).map(|config| config.rules).map_err(|error| error.to_string())
    }

    #[test]
    fn every_rule_has_a_setting_and_every_setting_of_the_section_a_rule() {
        for rule in Rule::ALL {
            assert!(key_of(rule.as_str()).is_some(), "rules.{} is no setting", rule.as_str());
        }
        let names = SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(SECTION));
        assert_eq!(names.filter(|name| *name != "preset").count(), Rule::ALL.len());
    }

    #[test]
    fn a_rule_set_by_name_wins_over_the_preset_and_a_flag_over_the_file() {
        let file = "rules:\n  preset: strict\n  read_only: lenient\n  undeclared_fields: strict\n";
        let rules = load(file, &["nullable=lenient", "trailing_slash=lenient"]).unwrap().rules;
        let expected = Rules::of(Strictness::Strict)
            .with(Rule::ReadOnly, Strictness::Lenient)
            .with(Rule::UndeclaredFields, Strictness::Strict)
            .with(Rule::Nullable, Strictness::Lenient)
            .with(Rule::TrailingSlash, Strictness::Lenient);
        assert_eq!(rules, expected);
        assert_eq!(load("", &[]).unwrap(), RuleSettings::default());
    }

    #[test]
    fn a_wrong_rule_says_what_is_expected() {
        assert_eq!(
            load("rules:\n  offsets: true\n", &[]).unwrap_err(),
            "cvt.yaml:4: rules.offsets: expected one of lenient, strict"
        );
        assert_eq!(
            load("", &["ofsets=strict"]).unwrap_err(),
            "--rule: unknown rule `ofsets`, did you mean `offsets`?"
        );
        assert_eq!(
            load("", &["refuse_read_only=true"]).unwrap_err(),
            "--rule: the rule `rules.refuse_read_only` is now called `rules.read_only`"
        );
        assert_eq!(
            load("", &["offsets"]).unwrap_err(),
            "--rule offsets: expected NAME=lenient or NAME=strict"
        );
    }
}
