//! How strictly a document is read where the specification leaves a choice.

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("rules.strict_fields", &["CVT_STRICT_FIELDS"]),
    Setting::new("rules.formats_off", &["CVT_FORMATS_OFF"]),
    Setting::new("rules.refuse_read_only", &["CVT_REFUSE_READ_ONLY"]),
    Setting::new("rules.refuse_write_only", &["CVT_REFUSE_WRITE_ONLY"]),
    Setting::new("rules.refuse_empty_values", &["CVT_REFUSE_EMPTY_VALUES"]),
    Setting::new("rules.tolerate_trailing_slash", &["CVT_TOLERATE_TRAILING_SLASH"]),
    Setting::new("rules.base_path", &["CVT_BASE_PATH"]),
];

/// What counts as a violation where documents and services differ in habit.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    /// Whether what is sent and not declared is a violation.
    pub strict_fields: bool,
    /// Formats that are not asserted; `*` stands for all of them.
    pub formats_off: Vec<String>,
    /// Whether a `readOnly` property in a request is a violation.
    pub refuse_read_only: bool,
    /// Whether a `writeOnly` property in a response is a violation.
    pub refuse_write_only: bool,
    /// Whether a query parameter without a value is one unless the document allows it.
    pub refuse_empty_values: bool,
    /// Whether a path is taken with or without its trailing slash.
    pub tolerate_trailing_slash: bool,
    /// Takes the place of the base paths of the document's servers.
    pub base_path: Option<String>,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            strict_fields: false,
            formats_off: Vec::new(),
            refuse_read_only: true,
            refuse_write_only: true,
            refuse_empty_values: true,
            tolerate_trailing_slash: false,
            base_path: None,
        }
    }
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> RuleSettings {
    let default = RuleSettings::default();
    let mut flag = |key: &str, default: bool| values.read(key, default, problems, parse::boolean);
    RuleSettings {
        strict_fields: flag("rules.strict_fields", default.strict_fields),
        refuse_read_only: flag("rules.refuse_read_only", default.refuse_read_only),
        refuse_write_only: flag("rules.refuse_write_only", default.refuse_write_only),
        refuse_empty_values: flag("rules.refuse_empty_values", default.refuse_empty_values),
        tolerate_trailing_slash: flag(
            "rules.tolerate_trailing_slash",
            default.tolerate_trailing_slash,
        ),
        formats_off: values.read("rules.formats_off", Vec::new(), problems, parse::list),
        base_path: values.read("rules.base_path", None, problems, |text| {
            if text.is_empty() || text.starts_with('/') {
                Ok(Some(text.to_owned()))
            } else {
                Err("expected a path such as /v1, or nothing for no base path".into())
            }
        }),
    }
}
