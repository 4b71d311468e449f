//! What a document was made of, to tell when it is another one.
//!
//! Files are compared by content, not watched by notification: editors that replace a file,
//! links that are swapped (as Kubernetes does it) and network file systems need no treatment of
//! their own. What must hold: what is remembered is what compiling read, so no change between
//! reading and remembering is missed.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::files::Directory;
use crate::contract::{FileError, Files};

/// Files and what was in them.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<PathBuf, Source>);

/// Contents of files, to be compared with one another. A file that is not there has none.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents(Vec<Option<Hash>>);

/// The directory of a document, which remembers what was read from it.
#[derive(Debug)]
pub struct Remembering {
    directory: Directory,
    root: PathBuf,
    read: Mutex<Sources>,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct Source {
    content: Option<Hash>,
    stamp: Option<Stamp>,
    /// Whether two looks in a row met the same stamp. A file may change twice within one tick
    /// of the file system's clock, but not from one look to the next.
    settled: bool,
}

/// What tells without reading that a file is untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl Sources ===

impl Sources {
    /// One file, as it is now. Blocks.
    pub fn of(path: &Path) -> Self {
        let mut sources = Self::default();
        sources.note_as_is(path.to_owned());
        sources
    }

    /// Remembers that `content` was read from `path`, or that nothing was there. What is there
    /// and no regular file (a pipe) can be read but once, and is never looked at again.
    pub fn note(&mut self, path: PathBuf, content: Option<&[u8]>) {
        self.insert(path, content.map(|bytes| Sha256::digest(bytes).into()));
    }

    /// Remembers what is in `path` now. Blocks.
    pub fn note_as_is(&mut self, path: PathBuf) {
        let content = hash(&path);
        self.insert(path, content);
    }

    /// Remembers what `others` remember, too.
    pub fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Forgets every file but `path`.
    pub fn keep_only(&mut self, path: &Path) {
        self.0.retain(|kept, _| kept == path);
    }

    /// Whether any file is another one than was remembered. Blocks. A file whose stamp has
    /// settled is not read again, unless `thorough`.
    pub fn changed(&mut self, thorough: bool) -> bool {
        self.0.iter_mut().any(|(path, source)| source.changed(path, thorough))
    }

    /// What is in the files now. Blocks.
    pub fn contents(&self) -> Contents {
        Contents(self.0.keys().map(|path| hash(path)).collect())
    }

    /// What was in the files when they were remembered.
    pub fn remembered(&self) -> Contents {
        Contents(self.0.values().map(|source| source.content).collect())
    }

    fn insert(&mut self, path: PathBuf, content: Option<Hash>) {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return;
        }
        self.0.insert(path, Source { content, stamp: None, settled: false });
    }
}

// === impl Source ===

impl Source {
    fn changed(&mut self, path: &Path, thorough: bool) -> bool {
        let stamp = path.metadata().ok().map(|metadata| Stamp::of(&metadata));
        let same_stamp = stamp.is_some() && stamp == self.stamp;
        if same_stamp && self.settled && !thorough {
            return false;
        }
        if hash(path) != self.content {
            return true;
        }
        self.settled = same_stamp;
        self.stamp = stamp;
        false
    }
}

// === impl Stamp ===

impl Stamp {
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

// === impl Remembering ===

impl Remembering {
    /// The directory that holds `document`.
    pub fn of(document: &Path) -> Self {
        let root = document.parent().unwrap_or(Path::new("")).to_owned();
        Self { directory: Directory::of(document), root, read: Mutex::default() }
    }

    /// What was read so far; it is forgotten here.
    pub fn take(&self) -> Sources {
        std::mem::take(&mut self.read.lock())
    }
}

impl Files for Remembering {
    fn read(&self, relative_path: &str) -> Result<Vec<u8>, FileError> {
        let content = self.directory.read(relative_path);
        let path = self.root.join(relative_path);
        match &content {
            Ok(bytes) => self.read.lock().note(path, Some(bytes)),
            Err(FileError::NotFound) => self.read.lock().note(path, None),
            Err(_) => self.read.lock().note_as_is(path),
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn remembered(path: &Path) -> Sources {
        let mut sources = Sources::default();
        sources.note(path.to_owned(), fs::read(path).ok().as_deref());
        sources
    }

    #[test]
    fn content_decides_and_not_the_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "one").unwrap();
        let mut sources = remembered(&path);
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
    fn a_file_that_comes_or_goes_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let mut sources = remembered(&path);
        assert!(!sources.changed(false), "still not there");
        fs::write(&path, "").unwrap();
        assert!(sources.changed(false), "empty is not absent");
        assert_ne!(sources.contents(), sources.remembered());
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
        let mut sources = remembered(&dir.path().join("a.yaml"));
        for _ in 0..3 {
            assert!(!sources.changed(false));
        }
        symlink("v2", dir.path().join("..new")).unwrap();
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert!(sources.changed(false));
    }

    #[test]
    fn what_can_be_read_but_once_is_not_looked_at() {
        let mut sources = Sources::default();
        sources.note("/dev/null".into(), Some(b"openapi: 3.1.0"));
        assert!(!sources.changed(true));
    }

    #[test]
    fn every_file_that_was_read_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pet.yaml"), "a").unwrap();
        let files = Remembering::of(&dir.path().join("openapi.yaml"));
        files.read("pet.yaml").unwrap();
        files.read("dog.yaml").unwrap_err();
        let mut sources = files.take();
        assert!(!sources.changed(false));
        fs::write(dir.path().join("dog.yaml"), "b").unwrap();
        assert!(sources.changed(false));
    }
}
