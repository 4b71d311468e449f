//! Documents beside the registered one, for references across files.

use std::path::{Path, PathBuf};

use crate::contract::{DocumentFileError, DocumentFiles};

/// The largest file a reference may bring in, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads files below one directory and nowhere else, links that lead out of it included.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

// === impl Directory ===

impl Directory {
    /// The directory that holds `document`.
    pub fn of(document: &Path) -> Self {
        let parent = document.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self { root: parent.unwrap_or(Path::new(".")).to_owned() }
    }
}

impl DocumentFiles for Directory {
    fn read(&self, relative_path: &str) -> Result<Vec<u8>, DocumentFileError> {
        let root = self.root.canonicalize().map_err(|_| DocumentFileError::NotFound)?;
        let path =
            root.join(relative_path).canonicalize().map_err(|_| DocumentFileError::NotFound)?;
        if !path.starts_with(&root) {
            return Err(DocumentFileError::NotAllowed);
        }
        let size = path.metadata().map_err(|_| DocumentFileError::NotFound)?.len();
        if size > MAX_FILE_BYTES {
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
        assert!(matches!(files.read("../secret.yaml"), Err(DocumentFileError::NotAllowed)));
        assert!(matches!(files.read("link.yaml"), Err(DocumentFileError::NotAllowed)));
        assert!(matches!(files.read("/etc/passwd"), Err(DocumentFileError::NotAllowed)));
        assert!(matches!(files.read("none.yaml"), Err(DocumentFileError::NotFound)));
    }
}
