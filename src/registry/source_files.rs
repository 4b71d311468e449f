//! The files a document was compiled from, to detect when one of them changes.
//!
//! Files are compared by content, not watched by notification: editors that replace a file,
//! links that are swapped (as Kubernetes does it) and network file systems need no treatment of
//! their own.
//!
//! Invariant: the recorded hashes are those of what compiling read, so no change between reading
//! and recording is missed.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::files::Directory;
use crate::contract::{DocumentFileError, DocumentFiles};

/// Files and the hashes of what was read from them.
#[derive(Debug, Default)]
pub struct SourceFiles(BTreeMap<PathBuf, SourceFile>);

/// Hashes of files, for comparison. A missing file has none.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentHashes(Vec<Option<Hash>>);

/// The directory of a document, which records what was read from it.
#[derive(Debug)]
pub struct TrackedDirectory {
    directory: Directory,
    root: PathBuf,
    read: Mutex<SourceFiles>,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct SourceFile {
    content: Option<Hash>,
    stamp: Option<FileStamp>,
    /// Whether two checks in a row found the same stamp. A file may change twice within one tick
    /// of the file system's clock, but not from one check to the next.
    stable: bool,
}

/// Metadata that shows without reading that a file is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl SourceFiles ===

impl SourceFiles {
    /// One file, as it is now. Blocks.
    pub fn of(path: &Path) -> Self {
        let mut sources = Self::default();
        sources.record_current(path.to_owned());
        sources
    }

    /// Records that `content` was read from `path`, or that nothing was there. Anything but a
    /// regular file (a pipe) can be read only once and is not checked again.
    pub fn record_read(&mut self, path: PathBuf, content: Option<&[u8]>) {
        self.insert(path, content.map(|bytes| Sha256::digest(bytes).into()));
    }

    /// Records what is in `path` now. Blocks.
    pub fn record_current(&mut self, path: PathBuf) {
        let content = hash(&path);
        self.insert(path, content);
    }

    /// Adds the files of `others`.
    pub fn merge(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Removes every file but `path`.
    pub fn retain_only(&mut self, path: &Path) {
        self.0.retain(|kept, _| kept == path);
    }

    /// Whether any file differs from what was recorded. Blocks. A file whose stamp is stable is
    /// not read again, unless `thorough`.
    pub fn changed(&mut self, thorough: bool) -> bool {
        self.0.iter_mut().any(|(path, source)| source.changed(path, thorough))
    }

    /// Hashes of the files as they are now. Blocks.
    pub fn current_hashes(&self) -> ContentHashes {
        ContentHashes(self.0.keys().map(|path| hash(path)).collect())
    }

    /// Hashes of the files as they were recorded.
    pub fn recorded_hashes(&self) -> ContentHashes {
        ContentHashes(self.0.values().map(|source| source.content).collect())
    }

    fn insert(&mut self, path: PathBuf, content: Option<Hash>) {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return;
        }
        self.0.insert(path, SourceFile { content, stamp: None, stable: false });
    }
}

// === impl SourceFile ===

impl SourceFile {
    fn changed(&mut self, path: &Path, thorough: bool) -> bool {
        let stamp = path.metadata().ok().map(|metadata| FileStamp::of(&metadata));
        let same_stamp = stamp.is_some() && stamp == self.stamp;
        if same_stamp && self.stable && !thorough {
            return false;
        }
        if hash(path) != self.content {
            return true;
        }
        self.stable = same_stamp;
        self.stamp = stamp;
        false
    }
}

// === impl FileStamp ===

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The hash of a file that is there, in memory that does not grow with it.
fn hash(path: &Path) -> Option<Hash> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

// === impl TrackedDirectory ===

impl TrackedDirectory {
    /// The directory that holds `document`.
    pub fn of(document: &Path) -> Self {
        let root = document.parent().unwrap_or(Path::new("")).to_owned();
        Self { directory: Directory::of(document), root, read: Mutex::default() }
    }

    /// The same, with further directories that references may reach.
    #[must_use]
    pub fn with_roots(self, others: &[PathBuf]) -> Self {
        Self { directory: self.directory.with_roots(others), ..self }
    }

    /// Takes the record of what was read so far.
    pub fn take_sources(&self) -> SourceFiles {
        std::mem::take(&mut self.read.lock())
    }
}

impl DocumentFiles for TrackedDirectory {
    fn read(&self, relative_path: &str) -> Result<Vec<u8>, DocumentFileError> {
        let content = self.directory.read(relative_path);
        let path = self.root.join(relative_path);
        match &content {
            Ok(bytes) => self.read.lock().record_read(path, Some(bytes)),
            Err(DocumentFileError::NotFound) => self.read.lock().record_read(path, None),
            Err(_) => self.read.lock().record_current(path),
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn recorded(path: &Path) -> SourceFiles {
        let mut sources = SourceFiles::default();
        sources.record_read(path.to_owned(), fs::read(path).ok().as_deref());
        sources
    }

    #[test]
    fn a_change_of_content_is_a_change_and_a_new_stamp_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "one").unwrap();
        let mut sources = recorded(&path);
        for _ in 0..3 {
            assert!(!sources.changed(false));
        }
        fs::write(&path, "one").unwrap();
        assert!(!sources.changed(false), "written anew with the same content");
        fs::write(dir.path().join("b.yaml"), "two").unwrap();
        fs::rename(dir.path().join("b.yaml"), &path).unwrap();
        assert!(sources.changed(false), "replaced by another file");
        fs::remove_file(&path).unwrap();
        assert!(sources.changed(false), "gone");
    }

    #[test]
    fn a_created_or_deleted_file_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let mut sources = recorded(&path);
        assert!(!sources.changed(false), "still not there");
        fs::write(&path, "").unwrap();
        assert!(sources.changed(false), "empty is not absent");
        assert_ne!(sources.current_hashes(), sources.recorded_hashes());
    }

    #[test]
    fn trap_t16_a_link_that_is_swapped_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        for (version, content) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("a.yaml"), content).unwrap();
        }
        symlink("v1", dir.path().join("..data")).unwrap();
        symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
        let mut sources = recorded(&dir.path().join("a.yaml"));
        for _ in 0..3 {
            assert!(!sources.changed(false));
        }
        symlink("v2", dir.path().join("..new")).unwrap();
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert!(sources.changed(false));
    }

    #[test]
    fn a_pipe_is_not_checked_again() {
        let mut sources = SourceFiles::default();
        sources.record_read("/dev/null".into(), Some(b"openapi: 3.1.0"));
        assert!(!sources.changed(true));
    }

    #[test]
    fn every_file_that_was_read_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pet.yaml"), "a").unwrap();
        let files = TrackedDirectory::of(&dir.path().join("openapi.yaml"));
        files.read("pet.yaml").unwrap();
        files.read("dog.yaml").unwrap_err();
        let mut sources = files.take_sources();
        assert!(!sources.changed(false));
        fs::write(dir.path().join("dog.yaml"), "b").unwrap();
        assert!(sources.changed(false));
    }
}
