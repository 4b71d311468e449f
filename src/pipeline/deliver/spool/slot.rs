//! The place of one process inside the spool's directory.
//!
//! Invariants: no two processes write or read one slot at a time; what a process left
//! behind is taken over by the next one that finds it, and by one only. A lock is the
//! kernel's: it ends with its process, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Slots that are tried; more processes than this do not share a directory.
const SLOTS: u32 = 64;
const LOCK: &str = "lock";
const EXTENSION: &str = "spool";

/// A directory that belongs to this process while the value lives.
#[derive(Debug)]
pub(super) struct SpoolSlot {
    path: PathBuf,
    _lock: File,
}

// === impl SpoolSlot ===

impl SpoolSlot {
    /// Takes the first slot of `directory` that no process holds.
    pub(super) fn claim(directory: &Path) -> io::Result<Self> {
        for number in 0..SLOTS {
            let path = path_of(directory, number);
            std::fs::create_dir_all(&path)?;
            if let Some(slot) = Self::lock(path)? {
                return Ok(slot);
            }
        }
        let all = format!("{SLOTS} processes have this directory already");
        Err(io::Error::new(io::ErrorKind::ResourceBusy, all))
    }

    /// Takes every other slot that no process holds and that holds something.
    pub(super) fn abandoned(directory: &Path, own: &Self) -> Vec<Self> {
        let of_number = |number| {
            let path = path_of(directory, number);
            if path == own.path || segments(&path).is_ok_and(|found| found.is_empty()) {
                return None;
            }
            // What cannot be locked or read now is looked at again the next time.
            Self::lock(path).ok().flatten()
        };
        (0..SLOTS).filter_map(of_number).collect()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its files with their numbers, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        segments(&self.path)
    }

    /// The path of the file with this number.
    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.{EXTENSION}"))
    }

    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let file = File::options().create(true).append(true).open(path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn path_of(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("slot-{number}"))
}

fn segments(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let named = path.extension().is_some_and(|extension| extension == EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(number)) = (named, number) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_process_and_an_abandoned_one_is_adopted_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = SpoolSlot::claim(directory.path()).unwrap();
        let second = SpoolSlot::claim(directory.path()).unwrap();
        assert_ne!(first.path(), second.path());
        std::fs::write(first.segment(3), "x").unwrap();
        std::fs::write(first.segment(20), "x").unwrap();
        assert!(SpoolSlot::abandoned(directory.path(), &second).is_empty(), "its owner lives");
        drop(first);
        let abandoned = SpoolSlot::abandoned(directory.path(), &second);
        let numbers: Vec<_> =
            abandoned[0].segments().unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!((abandoned.len(), numbers), (1, vec![3, 20]));
        assert!(SpoolSlot::abandoned(directory.path(), &second).is_empty(), "it is taken");
    }
}
