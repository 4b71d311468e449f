//! How documents are accepted.

use std::path::PathBuf;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("document_limit", &["CVT_DOCUMENT_LIMIT"]),
    Setting::new("contract.on_defect", &["CVT_CONTRACT_ON_DEFECT"]),
    Setting::new("contract.file_roots", &["CVT_CONTRACT_FILE_ROOTS"]),
];

/// Which documents are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSettings {
    /// The largest one, in bytes.
    pub limit: usize,
    /// What becomes of a document with defects.
    pub on_defect: OnDefect,
    /// Directories that references may reach, besides that of the document.
    pub file_roots: Vec<PathBuf>,
}

/// What becomes of a document with defects when it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDefect {
    /// It is registered; the parts with defects are not enforced.
    #[default]
    Skip,
    /// It is refused.
    Refuse,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> DocumentSettings {
    let on_defect = [("skip", OnDefect::Skip), ("refuse", OnDefect::Refuse)];
    let roots = values.read("contract.file_roots", Vec::new(), problems, parse::list);
    DocumentSettings {
        limit: values.read("document_limit", 64 << 20, problems, parse::bytes(1024..=1 << 30)),
        on_defect: values.read(
            "contract.on_defect",
            OnDefect::default(),
            problems,
            parse::choice(&on_defect),
        ),
        file_roots: roots.into_iter().map(PathBuf::from).collect(),
    }
}
