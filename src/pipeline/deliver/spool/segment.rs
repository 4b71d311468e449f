//! One file of the spool: entries one after the other.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, FrameScan, HEADER_SIZE};
use crate::model::clock::Timestamp;
use crate::pipeline::deliver::batch::BatchKind;

/// A file and what is still to be read of it.
#[derive(Debug)]
pub(super) struct SpoolSegment {
    pub(super) path: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
    /// Where the next entry to read begins.
    pub(super) offset: u64,
    /// Records in the entries from there on.
    pub(super) records: u64,
    /// When the next entry to read was written.
    pub(super) oldest: Option<Timestamp>,
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    file: File,
    bytes: u64,
}

/// What was found on looking through a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inspection {
    /// Records in entries that can be read.
    pub(super) records: u64,
    /// When the first of them was written.
    pub(super) oldest: Option<Timestamp>,
    /// Bytes between entries that are none.
    pub(super) damaged: u64,
    /// Bytes after the last entry that are none.
    pub(super) torn: u64,
}

// === impl SpoolSegment ===

impl SpoolSegment {
    /// Looks through a file; what a crash left half-written at its end is cut off.
    pub(super) fn recover(path: PathBuf) -> io::Result<(Self, Inspection)> {
        let content = std::fs::read(&path)?;
        let found = inspect(&content);
        let bytes = content.len() as u64 - found.torn;
        if found.torn > 0 {
            File::options().write(true).open(&path)?.set_len(bytes)?;
        }
        let (records, oldest) = (found.records, found.oldest);
        Ok((Self { path, bytes, offset: 0, records, oldest }, found))
    }

    /// A file to be written.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, bytes: 0, offset: 0, records: 0, oldest: None }
    }

    /// Whether nothing of it is left to read.
    pub(super) fn is_read(&self) -> bool {
        self.offset >= self.bytes
    }

    /// The bytes of the next entry; after damage, everything that is left.
    pub(super) fn next(&self) -> io::Result<Vec<u8>> {
        let file = File::open(&self.path)?;
        let left = usize::try_from(self.bytes - self.offset).unwrap_or(usize::MAX);
        let mut head = [0; HEADER_SIZE];
        if left >= HEADER_SIZE {
            file.read_exact_at(&mut head, self.offset)?;
        }
        let length = frame::length(&head).filter(|length| *length <= left).unwrap_or(left);
        let mut entry = vec![0; length];
        file.read_exact_at(&mut entry, self.offset)?;
        if length < left && !matches!(frame::find(&entry, 0), FrameScan::Entry(..)) {
            entry.resize(left, 0);
            file.read_exact_at(&mut entry, self.offset)?;
        }
        Ok(entry)
    }

    /// When the next entry was written, as far as that is known.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        let mut head = [0; HEADER_SIZE];
        let file = File::open(&self.path).ok()?;
        file.read_exact_at(&mut head, self.offset).ok()?;
        frame::time(&head)
    }
}

fn inspect(content: &[u8]) -> Inspection {
    let (mut from, mut found) = (0, Inspection::default());
    loop {
        match frame::find(content, from) {
            FrameScan::Entry(head, _, end) => {
                found.oldest = found.oldest.or(Some(head.at));
                if head.kind == BatchKind::Records {
                    found.records += u64::from(head.count);
                }
                from = end;
            }
            FrameScan::Damage(next) if next == content.len() => {
                found.torn = (next - from) as u64;
                return found;
            }
            FrameScan::Damage(next) => {
                found.damaged += (next - from) as u64;
                from = next;
            }
            FrameScan::End => return found,
        }
    }
}

// === impl OpenSegment ===

impl OpenSegment {
    /// Starts a file. With `durable` its name survives a power cut.
    pub(super) fn create(path: &Path, durable: bool) -> io::Result<Self> {
        let file = File::options().create_new(true).append(true).open(path)?;
        if let (true, Some(directory)) = (durable, path.parent()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(Self { file, bytes: 0 })
    }

    /// Appends an entry whole, or nothing of it.
    pub(super) fn append(&mut self, entry: &[u8], durable: bool) -> io::Result<()> {
        let written = self.file.write_all(entry);
        let written = written.and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Should this fail too, the next look through the file cuts it off.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += entry.len() as u64;
        Ok(())
    }

    /// Puts everything on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
