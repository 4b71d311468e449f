//! Batches on disk while storage is away or slow.
//!
//! Invariants: what [`Spool::append`] took is handed out again, in order, until
//! [`Spool::acknowledge`] says that it is stored; also after the process was killed, and, with
//! `spool.fsync: always`, after a power cut. After a crash batches that were stored already may
//! be handed out again, at most those of one file: every [`WriteBatch`] counts once however often
//! it is stored. Damage costs the entries it lies in and is counted. The directory never grows
//! beyond its limit. With a key, nothing of a batch lies there in clear. Two processes never
//! use one slot of it (see `slot`); what one left behind the next one takes over.
//!
//! All of it blocks on the disk: call it where that is allowed.

mod entry;
mod frame;
pub mod metrics;
mod segment;
mod slot;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::spool::{Fsync, SpoolSettings};
use crate::encryption::Keyring;
use crate::model::clock::{Clock, Timestamp};
use crate::pipeline::deliver::batch::{BatchKind, WriteBatch};
use frame::FrameScan;
use segment::{OpenSegment, SpoolSegment};
use slot::SpoolSlot;

/// A file takes no more once it has this size.
const MAX_SEGMENT_BYTES: u64 = 8 << 20;

/// The spool of this process.
#[derive(Debug)]
pub struct Spool {
    files: Mutex<SpoolFiles>,
    state: Arc<SpoolState>,
    settings: SpoolSettings,
    keys: Keyring,
    clock: SharedClock,
}

/// How much waits in the spool; read without waiting for the disk.
#[derive(Debug, Default)]
pub struct SpoolState {
    records: AtomicU64,
    bytes: AtomicU64,
    oldest: AtomicI64,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The limit is reached.
    #[error("the spool is full (spool.limit)")]
    Full {
        /// Bytes that there is still room for.
        room: u64,
        /// Bytes that the batch takes.
        needed: u64,
    },
    /// The disk does not take it.
    #[error("{}: {reason}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// The system's word for it.
        reason: io::Error,
    },
    /// The task that asked was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// It cannot be written down; a defect of ours.
    #[error("a batch cannot be written down: {0}")]
    Encoding(String),
}

/// What is handed out.
#[derive(Debug)]
pub enum SpoolEntry {
    /// A batch, and its position: for [`Spool::acknowledge`].
    Batch(WriteBatch, SpoolPosition),
    /// An entry that cannot be read; its file is kept aside.
    Unreadable {
        /// What kind of batch it was.
        kind: BatchKind,
        /// How many things it held.
        count: u64,
        /// Why.
        reason: String,
        /// Its position: for [`Spool::acknowledge`].
        position: SpoolPosition,
    },
    /// Bytes that were changed on disk.
    Damage {
        /// How many.
        bytes: u64,
        /// Their position: for [`Spool::acknowledge`].
        position: SpoolPosition,
    },
}

/// The position of what was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolPosition {
    path: PathBuf,
    end: u64,
    records: u64,
}

/// What was found in the directory at the start or later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that wait.
    pub records: u64,
    /// Bytes that a crash left half-written, cut off.
    pub torn: u64,
}

/// A clock that need not show itself.
struct SharedClock(Arc<dyn Clock>);

#[derive(Debug)]
struct SpoolFiles {
    slot: SpoolSlot,
    /// In order; the first is read, the last is written.
    segments: VecDeque<SpoolSegment>,
    open: Option<OpenSegment>,
    next_number: u64,
}

// === impl Spool ===

impl Spool {
    /// Takes a slot of the directory and whatever waits in it.
    pub fn open(
        settings: &SpoolSettings,
        keys: Keyring,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), SpoolError> {
        let failed = |reason| SpoolError::Disk { path: settings.directory.clone(), reason };
        let slot = SpoolSlot::claim(&settings.directory).map_err(failed)?;
        let mut files = SpoolFiles { slot, segments: VecDeque::new(), open: None, next_number: 1 };
        let mut recovered = Recovered::default();
        for (number, path) in files.slot.segments().map_err(failed)? {
            recovered.add(files.recover(number, path).map_err(failed)?);
        }
        let spool = Self {
            files: Mutex::new(files),
            state: Arc::new(SpoolState::default()),
            settings: settings.clone(),
            keys,
            clock: SharedClock(clock),
        };
        recovered.add(spool.adopt_abandoned()?);
        Ok((spool, recovered))
    }

    /// How much waits.
    pub fn state(&self) -> &Arc<SpoolState> {
        &self.state
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.state.bytes() == 0
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Takes over what other processes left behind.
    pub fn adopt_abandoned(&self) -> Result<Recovered, SpoolError> {
        let mut files = self.files.lock();
        let mut recovered = Recovered::default();
        for abandoned in SpoolSlot::abandoned(&self.settings.directory, &files.slot) {
            let failed = |reason| SpoolError::Disk { path: abandoned.path().to_owned(), reason };
            // What comes next is behind what is taken over.
            files.open = None;
            for (_, path) in abandoned.segments().map_err(failed)? {
                let number = files.next_number;
                let own = files.slot.segment(number);
                std::fs::rename(&path, &own).map_err(failed)?;
                recovered.add(files.recover(number, own).map_err(failed)?);
            }
        }
        self.state.update(&files);
        Ok(recovered)
    }

    /// Writes a batch down behind all others.
    pub fn append(&self, batch: &WriteBatch) -> Result<(), SpoolError> {
        let (form, body) = entry::write(&self.keys, batch).map_err(SpoolError::Encoding)?;
        let head = frame::FrameHeader {
            kind: batch.kind(),
            count: u32::try_from(batch.len()).unwrap_or(u32::MAX),
            at: self.clock.0.now(),
            form,
        };
        let mut bytes = Vec::with_capacity(frame::HEADER_SIZE + body.len());
        frame::write(head, &body, &mut bytes);
        let mut files = self.files.lock();
        // Sums of many exchanges are small and count for more: the last part is theirs.
        let limit = match batch.kind() {
            BatchKind::Records => self.settings.limit - self.settings.limit / 16,
            BatchKind::Usage | BatchKind::Groups => self.settings.limit,
        };
        let (room, needed) = (limit.saturating_sub(files.bytes()), bytes.len() as u64);
        if needed > room {
            return Err(SpoolError::Full { room, needed });
        }
        let appended = files.append(head, &bytes, self.segment_size(), self.settings.fsync);
        self.state.update(&files);
        let path = files.slot.path().to_owned();
        appended.map_err(|reason| SpoolError::Disk { path, reason })
    }

    /// What waits longest, if anything does.
    pub fn next(&self) -> Result<Option<SpoolEntry>, SpoolError> {
        let (read, path, offset, size) = {
            let files = self.files.lock();
            let Some(segment) = files.segments.front() else { return Ok(None) };
            (segment.next(), segment.path.clone(), segment.offset, segment.bytes)
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            // The file was removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let position = SpoolPosition { path, end: size, records: 0 };
                return Ok(Some(SpoolEntry::Damage { bytes: size - offset, position }));
            }
            Err(reason) => return Err(SpoolError::Disk { path, reason }),
        };
        let position =
            |end: usize, records| SpoolPosition { path, end: offset + end as u64, records };
        Ok(Some(match frame::find(&bytes, 0) {
            FrameScan::Entry(head, body, end) => {
                let count = u64::from(head.count);
                let records = if head.kind == BatchKind::Records { count } else { 0 };
                let position = position(end, records);
                match entry::read(&self.keys, head, body) {
                    Ok(batch) => SpoolEntry::Batch(batch, position),
                    Err(reason) => {
                        SpoolEntry::Unreadable { kind: head.kind, count, reason, position }
                    }
                }
            }
            FrameScan::Damage(end) => {
                SpoolEntry::Damage { bytes: end as u64, position: position(end, 0) }
            }
            FrameScan::End => SpoolEntry::Damage { bytes: 0, position: position(bytes.len(), 0) },
        }))
    }

    /// Forgets what was handed out at `position`, which must be what waits longest. Says how many
    /// records were in the file that could not be handed out: damage took them.
    pub fn acknowledge(&self, position: &SpoolPosition) -> Result<u64, SpoolError> {
        let mut files = self.files.lock();
        let lost = files.acknowledge(position);
        self.state.update(&files);
        lost.map_err(|reason| SpoolError::Disk { path: position.path.clone(), reason })
    }

    /// Copies the file at `position` aside, for people to look at; says where it is.
    pub fn quarantine(&self, position: &SpoolPosition) -> Result<PathBuf, SpoolError> {
        let aside = position.path.with_extension("unreadable");
        let copied = if aside.exists() { Ok(0) } else { std::fs::copy(&position.path, &aside) };
        match copied {
            Ok(_) => Ok(aside),
            Err(reason) => Err(SpoolError::Disk { path: aside, reason }),
        }
    }

    fn segment_size(&self) -> u64 {
        MAX_SEGMENT_BYTES.min(self.settings.limit / 8)
    }
}

// === impl SpoolFiles ===

impl SpoolFiles {
    fn recover(&mut self, number: u64, path: PathBuf) -> io::Result<Recovered> {
        let (segment, found) = SpoolSegment::recover(path)?;
        self.next_number = self.next_number.max(number + 1);
        if segment.is_read() {
            std::fs::remove_file(&segment.path)?;
        } else {
            self.segments.push_back(segment);
        }
        Ok(Recovered { records: found.records, torn: found.torn })
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn append(
        &mut self,
        head: frame::FrameHeader,
        entry: &[u8],
        size: u64,
        fsync: Fsync,
    ) -> io::Result<()> {
        let durable = fsync == Fsync::Always;
        if self.open.is_some() && self.segments.back().is_some_and(|last| last.bytes >= size) {
            let full = self.open.take();
            if let (Fsync::Segment, Some(full)) = (fsync, full) {
                full.sync()?;
            }
        }
        let open = if let Some(open) = &mut self.open {
            open
        } else {
            let path = self.slot.segment(self.next_number);
            let open = OpenSegment::create(&path, durable)?;
            self.next_number += 1;
            self.segments.push_back(SpoolSegment::new(path));
            self.open.insert(open)
        };
        open.append(entry, durable)?;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += entry.len() as u64;
            segment.oldest = segment.oldest.or(Some(head.at));
            if head.kind == BatchKind::Records {
                segment.records += u64::from(head.count);
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, position: &SpoolPosition) -> io::Result<u64> {
        let is_written = self.segments.len() == 1;
        let Some(segment) = self.segments.front_mut().filter(|first| first.path == position.path)
        else {
            return Ok(0);
        };
        segment.offset = position.end;
        segment.records = segment.records.saturating_sub(position.records);
        if !segment.is_read() {
            segment.oldest = segment.next_time().or(segment.oldest);
            return Ok(0);
        }
        let (lost, path) = (segment.records, segment.path.clone());
        self.segments.pop_front();
        if is_written {
            self.open = None;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(lost),
        }
    }
}

// === impl SpoolState ===

impl SpoolState {
    /// Records that wait.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes of files that hold something that waits.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When what waits longest was written.
    pub fn oldest(&self) -> Option<Timestamp> {
        Some(self.oldest.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Timestamp::from_micros)
    }

    fn update(&self, files: &SpoolFiles) {
        let records = files.segments.iter().map(|segment| segment.records).sum();
        let oldest = files.segments.iter().find_map(|segment| segment.oldest);
        self.records.store(records, Ordering::Relaxed);
        self.oldest.store(oldest.map_or(0, Timestamp::as_micros), Ordering::Relaxed);
        self.bytes.store(files.bytes(), Ordering::Relaxed);
    }
}

// === impl Recovered ===

impl Recovered {
    fn add(&mut self, more: Self) {
        self.records += more.records;
        self.torn += more.torn;
    }
}

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests;
