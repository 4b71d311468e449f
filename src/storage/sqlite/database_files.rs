//! The files of an open database, as their paths show them.
//!
//! A file that is deleted or replaced while it is open has no name any more: what is written
//! there is lost with the process. A write-ahead log or its index that is gone is as
//! bad: other processes then use another.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::storage::fault::StorageFault;

/// What is appended to the path of the database: nothing, the log, the log's index.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The files of an open database.
#[derive(Debug)]
pub(crate) struct DatabaseFiles {
    files: [FileOnDisk; SUFFIXES.len()],
}

#[derive(Debug)]
struct FileOnDisk {
    path: PathBuf,
    /// `None` where there was no such file.
    identity: Option<FileIdentity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    read_only: bool,
}

// === impl DatabaseFiles ===

impl DatabaseFiles {
    /// The files of the database at `path`, which was just opened.
    pub(crate) fn of(path: &Path) -> Self {
        let files = SUFFIXES.map(|suffix| {
            let mut name = OsString::from(path);
            name.push(suffix);
            let path = PathBuf::from(name);
            FileOnDisk { identity: FileIdentity::of(&path), path }
        });
        Self { files }
    }

    /// What has happened to them since; reads the metadata of each path, no more.
    pub(crate) fn fault(&self) -> Option<StorageFault> {
        self.files.iter().find_map(FileOnDisk::fault)
    }

    /// Removes the log of a database that is gone from its path: SQLite would apply it to the
    /// next one. Call when the database is closed.
    pub(crate) fn remove_leftovers(&self) -> std::io::Result<()> {
        let [database, log @ ..] = &self.files;
        if matches!(database.fault(), None | Some(StorageFault::ReadOnly)) {
            return Ok(());
        }
        for file in log.iter().filter(|file| file.identity.is_some() && file.fault().is_none()) {
            std::fs::remove_file(&file.path)?;
        }
        Ok(())
    }
}

// === impl FileOnDisk ===

impl FileOnDisk {
    fn fault(&self) -> Option<StorageFault> {
        let opened = self.identity?;
        let Some(found) = FileIdentity::of(&self.path) else { return Some(StorageFault::Deleted) };
        if (found.device, found.inode) != (opened.device, opened.inode) {
            return Some(StorageFault::Replaced);
        }
        (found.read_only && !opened.read_only).then_some(StorageFault::ReadOnly)
    }
}

// === impl FileIdentity ===

impl FileIdentity {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            read_only: found.permissions().readonly(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn deleted_replaced_and_read_only_files_are_distinguished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cvt.db");
        fs::write(&path, "a").unwrap();
        let files = DatabaseFiles::of(&path);
        assert_eq!(files.fault(), None);
        let writable = fs::metadata(&path).unwrap().permissions();
        let mut read_only = writable.clone();
        read_only.set_readonly(true);
        fs::set_permissions(&path, read_only).unwrap();
        assert_eq!(files.fault(), Some(StorageFault::ReadOnly));
        fs::set_permissions(&path, writable).unwrap();
        assert_eq!(files.fault(), None);
        let other = dir.path().join("other");
        fs::write(&other, "b").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(files.fault(), Some(StorageFault::Replaced));
        fs::remove_file(&path).unwrap();
        assert_eq!(files.fault(), Some(StorageFault::Deleted));
    }

    #[test]
    fn the_log_of_a_replaced_database_is_removed_and_that_of_a_present_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, log) = (dir.path().join("cvt.db"), dir.path().join("cvt.db-wal"));
        fs::write(&path, "a").unwrap();
        fs::write(&log, "a").unwrap();
        let files = DatabaseFiles::of(&path);
        files.remove_leftovers().unwrap();
        assert!(log.exists());
        let other = dir.path().join("other");
        fs::write(&other, "b").unwrap();
        fs::rename(&other, &path).unwrap();
        files.remove_leftovers().unwrap();
        assert!(!log.exists() && path.exists());
    }

    #[test]
    fn a_write_ahead_log_that_is_gone_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let (path, log) = (dir.path().join("cvt.db"), dir.path().join("cvt.db-wal"));
        fs::write(&path, "a").unwrap();
        fs::write(&log, "a").unwrap();
        let files = DatabaseFiles::of(&path);
        fs::remove_file(&log).unwrap();
        assert_eq!(files.fault(), Some(StorageFault::Deleted));
    }
}
