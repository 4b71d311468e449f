//! Where records wait while storage is away.

use std::path::PathBuf;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("spool.enabled", &["CVT_SPOOL_ENABLED"]),
    Setting::new("spool.dir", &["CVT_SPOOL_DIR"]),
    Setting::new("spool.limit", &["CVT_SPOOL_LIMIT"]),
    Setting::new("spool.fsync", &["CVT_SPOOL_FSYNC"]),
];

/// The default directory.
pub const DEFAULT_DIRECTORY: &str = "cvt-spool";

/// When what is spooled is forced to the disk. A crash of the process loses nothing either way;
/// this is about the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Every batch, before it counts as spooled: survives a power cut.
    Always,
    /// A file when it is full: a power cut may cost the last file.
    Segment,
    /// When the system thinks fit.
    Never,
}

/// How records wait on disk.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Whether they do.
    pub enabled: bool,
    /// Where.
    pub directory: PathBuf,
    /// Whether the directory was configured: then it must be usable.
    pub explicit: bool,
    /// Bytes that may wait.
    pub limit: u64,
    /// When they are forced to the disk.
    pub fsync: Fsync,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> SpoolSettings {
    let choices = [("always", Fsync::Always), ("segment", Fsync::Segment), ("never", Fsync::Never)];
    SpoolSettings {
        enabled: values.read("spool.enabled", true, problems, parse::boolean),
        directory: values.read(
            "spool.dir",
            DEFAULT_DIRECTORY.into(),
            problems,
            |text| match text {
                "" => Err("expected a directory; spool.enabled: false does without".into()),
                path => Ok(path.into()),
            },
        ),
        explicit: values.get("spool.dir").is_some(),
        limit: values.read("spool.limit", 1 << 30, problems, |text| {
            parse::bytes(1 << 20..=1 << 40)(text).map(|bytes| bytes as u64)
        }),
        fsync: values.read("spool.fsync", Fsync::Always, problems, parse::choice(&choices)),
    }
}
