//! Parcels on disk while storage is away or slow.
//!
//! What must hold: what [`Spool::append`] took is handed out again, in order, until
//! [`Spool::done`] says that it is stored; also after the process was killed, and, with
//! `spool.fsync: always`, after a power cut. After a crash parcels that were stored already may
//! be handed out again, at most those of one file: every [`Parcel`] counts once however often
//! it is stored. Damage costs the entries it lies in and is counted. The directory never grows
//! beyond its limit. With a key, nothing of a parcel lies there in clear. Two processes never
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

use super::parcel::{Parcel, ParcelKind};
use crate::config::spool::{Fsync, SpoolSettings};
use crate::model::clock::{Clock, Timestamp};
use crate::sealing::Keyring;
use frame::Found;
use segment::{Open, Segment};
use slot::Slot;

/// A file takes no more once it has this size.
const SEGMENT: u64 = 8 << 20;

/// The spool of this process.
#[derive(Debug)]
pub struct Spool {
    files: Mutex<Files>,
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

/// Why a parcel was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The limit is reached.
    #[error("the spool is full (spool.limit)")]
    Full {
        /// Bytes that there is still room for.
        room: u64,
        /// Bytes that the parcel takes.
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
    #[error("a parcel cannot be written down: {0}")]
    Form(String),
}

/// What is handed out.
#[derive(Debug)]
pub enum Next {
    /// A parcel, and its place: for [`Spool::done`].
    Parcel(Parcel, Place),
    /// An entry that cannot be read; its file is kept aside.
    Unreadable {
        /// What kind of parcel it was.
        kind: ParcelKind,
        /// How many things it held.
        count: u64,
        /// Why.
        reason: String,
        /// Its place: for [`Spool::done`].
        place: Place,
    },
    /// Bytes that were changed on disk.
    Damage {
        /// How many.
        bytes: u64,
        /// Their place: for [`Spool::done`].
        place: Place,
    },
}

/// The place of what was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
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
struct Files {
    slot: Slot,
    /// In order; the first is read, the last is written.
    segments: VecDeque<Segment>,
    open: Option<Open>,
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
        let slot = Slot::claim(&settings.directory).map_err(failed)?;
        let mut files = Files { slot, segments: VecDeque::new(), open: None, next_number: 1 };
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
        recovered.add(spool.adopt()?);
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
    pub fn adopt(&self) -> Result<Recovered, SpoolError> {
        let mut files = self.files.lock();
        let mut recovered = Recovered::default();
        for abandoned in Slot::abandoned(&self.settings.directory, &files.slot) {
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
        self.state.show(&files);
        Ok(recovered)
    }

    /// Writes a parcel down behind all others.
    pub fn append(&self, parcel: &Parcel) -> Result<(), SpoolError> {
        let (form, body) = entry::write(&self.keys, parcel).map_err(SpoolError::Form)?;
        let head = frame::Head {
            kind: parcel.kind(),
            count: u32::try_from(parcel.len()).unwrap_or(u32::MAX),
            at: self.clock.0.now(),
            form,
        };
        let mut bytes = Vec::with_capacity(frame::HEAD + body.len());
        frame::write(head, &body, &mut bytes);
        let mut files = self.files.lock();
        // Sums of many exchanges are small and count for more: the last part is theirs.
        let limit = match parcel.kind() {
            ParcelKind::Records => self.settings.limit - self.settings.limit / 16,
            ParcelKind::Usage | ParcelKind::Groups => self.settings.limit,
        };
        let (room, needed) = (limit.saturating_sub(files.bytes()), bytes.len() as u64);
        if needed > room {
            return Err(SpoolError::Full { room, needed });
        }
        let appended = files.append(head, &bytes, self.segment_size(), self.settings.fsync);
        self.state.show(&files);
        let path = files.slot.path().to_owned();
        appended.map_err(|reason| SpoolError::Disk { path, reason })
    }

    /// What waits longest, if anything does.
    pub fn next(&self) -> Result<Option<Next>, SpoolError> {
        let (read, path, offset, size) = {
            let files = self.files.lock();
            let Some(segment) = files.segments.front() else { return Ok(None) };
            (segment.next(), segment.path.clone(), segment.offset, segment.bytes)
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            // Somebody took the file away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let place = Place { path, end: size, records: 0 };
                return Ok(Some(Next::Damage { bytes: size - offset, place }));
            }
            Err(reason) => return Err(SpoolError::Disk { path, reason }),
        };
        let place = |end: usize, records| Place { path, end: offset + end as u64, records };
        Ok(Some(match frame::find(&bytes, 0) {
            Found::Entry(head, body, end) => {
                let count = u64::from(head.count);
                let records = if head.kind == ParcelKind::Records { count } else { 0 };
                let place = place(end, records);
                match entry::read(&self.keys, head, body) {
                    Ok(parcel) => Next::Parcel(parcel, place),
                    Err(reason) => Next::Unreadable { kind: head.kind, count, reason, place },
                }
            }
            Found::Damage(end) => Next::Damage { bytes: end as u64, place: place(end, 0) },
            Found::End => Next::Damage { bytes: 0, place: place(bytes.len(), 0) },
        }))
    }

    /// Forgets what was handed out at `place`, which must be what waits longest. Says how many
    /// records were in the file that could not be handed out: damage took them.
    pub fn done(&self, place: &Place) -> Result<u64, SpoolError> {
        let mut files = self.files.lock();
        let lost = files.done(place);
        self.state.show(&files);
        lost.map_err(|reason| SpoolError::Disk { path: place.path.clone(), reason })
    }

    /// Copies the file at `place` aside, for people to look at; says where it is.
    pub fn keep_aside(&self, place: &Place) -> Result<PathBuf, SpoolError> {
        let aside = place.path.with_extension("unreadable");
        let copied = if aside.exists() { Ok(0) } else { std::fs::copy(&place.path, &aside) };
        match copied {
            Ok(_) => Ok(aside),
            Err(reason) => Err(SpoolError::Disk { path: aside, reason }),
        }
    }

    fn segment_size(&self) -> u64 {
        SEGMENT.min(self.settings.limit / 8)
    }
}

// === impl Files ===

impl Files {
    fn recover(&mut self, number: u64, path: PathBuf) -> io::Result<Recovered> {
        let (segment, found) = Segment::recover(path)?;
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
        head: frame::Head,
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
            let open = Open::create(&path, durable)?;
            self.next_number += 1;
            self.segments.push_back(Segment::new(path));
            self.open.insert(open)
        };
        open.append(entry, durable)?;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += entry.len() as u64;
            segment.oldest = segment.oldest.or(Some(head.at));
            if head.kind == ParcelKind::Records {
                segment.records += u64::from(head.count);
            }
        }
        Ok(())
    }

    fn done(&mut self, place: &Place) -> io::Result<u64> {
        let is_written = self.segments.len() == 1;
        let Some(segment) = self.segments.front_mut().filter(|first| first.path == place.path)
        else {
            return Ok(0);
        };
        segment.offset = place.end;
        segment.records = segment.records.saturating_sub(place.records);
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

    fn show(&self, files: &Files) {
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
