//! Documents beside the registered one, for references across files.

use std::path::{Path, PathBuf};

use crate::contract::{DocumentFileError, DocumentFiles};

/// The largest file a reference may bring in, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads files below the document's directory and others that are allowed, and nowhere else: a link
/// that leads out of them is not followed. Only regular files are opened, because a pipe or a device
/// might never end.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Directories besides it that references may reach.
    others: Vec<PathBuf>,
}

// === impl Directory ===

impl Directory {
    /// The directory that holds `document`.
    pub fn of(document: &Path) -> Self {
        let parent = document.parent().filter(|parent| !parent.as_os_str().is_empty());
        let root = parent.unwrap_or(Path::new(".")).to_owned();
        Self { root, others: Vec::new() }
    }

    /// The same, with further directories that references may reach.
    #[must_use]
    pub fn with_roots(self, others: &[PathBuf]) -> Self {
        Self { others: others.to_vec(), ..self }
    }

    /// Whether a path without links in it is below one of the directories.
    fn allows(&self, root: &Path, path: &Path) -> bool {
        let below = |other: &PathBuf| other.canonicalize().is_ok_and(|root| path.starts_with(root));
        path.starts_with(root) || self.others.iter().any(below)
    }
}

impl DocumentFiles for Directory {
    fn read(&self, relative_path: &str) -> Result<Vec<u8>, DocumentFileError> {
        let root = self.root.canonicalize().map_err(|_| DocumentFileError::NotFound)?;
        let wanted = root.join(relative_path);
        // Nothing is said of files outside, not even whether they are there.
        let outside = || {
            if relative_path.starts_with("../") || relative_path.starts_with('/') {
                DocumentFileError::OutsideRoots
            } else {
                DocumentFileError::NotFound
            }
        };
        let path = wanted.canonicalize().map_err(|_| outside())?;
        if !self.allows(&root, &path) {
            return Err(DocumentFileError::OutsideRoots);
        }
        let metadata = path.metadata().map_err(|_| DocumentFileError::NotFound)?;
        if !metadata.is_file() {
            return Err(DocumentFileError::Unreadable("it is no regular file".to_owned()));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(DocumentFileError::Unreadable(format!(
                "it is larger than {MAX_FILE_BYTES} bytes"
            )));
        }
        std::fs::read(&path)
            .map_err(|error| DocumentFileError::Unreadable(error.kind().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_directory_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(dir.path().join("secret.yaml"), "x").unwrap();
        std::fs::write(inner.join("ok.yaml"), "y").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.yaml"), inner.join("link.yaml"))
            .unwrap();
        let files = Directory::of(&inner.join("openapi.yaml"));
        assert_eq!(files.read("ok.yaml").unwrap(), b"y");
        assert!(matches!(files.read("../secret.yaml"), Err(DocumentFileError::OutsideRoots)));
        assert!(matches!(files.read("link.yaml"), Err(DocumentFileError::OutsideRoots)));
        assert!(matches!(files.read("/etc/passwd"), Err(DocumentFileError::OutsideRoots)));
        assert!(matches!(files.read("none.yaml"), Err(DocumentFileError::NotFound)));
        let missing = files.read("../none.yaml");
        assert!(matches!(missing, Err(DocumentFileError::OutsideRoots)), "told nothing about it");
        let directory = files.read("");
        assert!(matches!(directory, Err(DocumentFileError::Unreadable(_))), "no regular file");
        let more = Directory::of(&inner.join("openapi.yaml")).with_roots(&[dir.path().to_owned()]);
        assert_eq!(more.read("../secret.yaml").unwrap(), b"x");
        assert_eq!(more.read("link.yaml").unwrap(), b"x");
    }
}
