//! Documents beside the registered one, for references across files.

use std::path::{Path, PathBuf};

use crate::contract::{FileError, Files};

/// The largest file a reference may bring in, in bytes.
const LARGEST: u64 = 64 << 20;

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

impl Files for Directory {
    fn read(&self, relative_path: &str) -> Result<Vec<u8>, FileError> {
        let root = self.root.canonicalize().map_err(|_| FileError::NotFound)?;
        let path = root.join(relative_path).canonicalize().map_err(|_| FileError::NotFound)?;
        if !path.starts_with(&root) {
            return Err(FileError::NotAllowed);
        }
        let size = path.metadata().map_err(|_| FileError::NotFound)?.len();
        if size > LARGEST {
            return Err(FileError::Unreadable(format!("it is larger than {LARGEST} bytes")));
        }
        std::fs::read(&path).map_err(|error| FileError::Unreadable(error.kind().to_string()))
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
        assert!(matches!(files.read("../secret.yaml"), Err(FileError::NotAllowed)));
        assert!(matches!(files.read("link.yaml"), Err(FileError::NotAllowed)));
        assert!(matches!(files.read("/etc/passwd"), Err(FileError::NotAllowed)));
        assert!(matches!(files.read("none.yaml"), Err(FileError::NotFound)));
    }
}
