//! How an entry lies in a file of the spool.
//!
//! ```text
//! marker 4 | checksum 4 | length 4 | count 4 | time 8 | kind 1 | form 1 | body
//! ```
//!
//! Numbers are little-endian; the checksum is the CRC-32 of everything after it. What must
//! hold: whatever was cut off or changed in a file, only entries that were written come out,
//! and those behind the damage are found again: no plain body can contain the marker, which is
//! not UTF-8.

use crate::model::clock::Timestamp;
use crate::pipeline::deliver::batch::BatchKind;

const MARKER: [u8; 4] = [0xff, b'c', b'v', 0xfe];

/// Bytes before the body.
pub const HEADER_SIZE: usize = 26;

/// What is said about an entry in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What kind of batch it is.
    pub kind: BatchKind,
    /// How many things it holds.
    pub count: u32,
    /// When it was written.
    pub at: Timestamp,
    /// How the body is to be read.
    pub form: u8,
}

/// What stands at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameScan<'b> {
    /// An entry, and where the next one begins.
    Entry(FrameHeader, &'b [u8], usize),
    /// Something that is no entry; one begins, or the bytes end, at this place.
    Damage(usize),
    /// The end.
    End,
}

/// Appends an entry to `out`. BodyPolicy of 4 GiB do not come: memory for records is bounded.
pub fn write(head: FrameHeader, body: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0; 4]);
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(head.count.to_le_bytes());
    out.extend(head.at.as_micros().to_le_bytes());
    out.extend([number_of(head.kind), head.form]);
    out.extend(body);
    let checksum = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// What stands at `from`.
pub fn find(bytes: &[u8], from: usize) -> FrameScan<'_> {
    if from >= bytes.len() {
        return FrameScan::End;
    }
    if let Some((head, body, end)) = read(bytes, from) {
        return FrameScan::Entry(head, body, end);
    }
    let next = memchr::memmem::find_iter(&bytes[from + 1..], &MARKER)
        .map(|at| from + 1 + at)
        .find(|at| read(bytes, *at).is_some());
    FrameScan::Damage(next.unwrap_or(bytes.len()))
}

/// How long the entry is whose first bytes these are, if they begin one.
pub fn length(head: &[u8; HEADER_SIZE]) -> Option<usize> {
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?);
    (head[..4] == MARKER).then(|| HEADER_SIZE.saturating_add(length as usize))
}

/// When the entry was written whose first bytes these are, if they begin one.
pub fn time(head: &[u8; HEADER_SIZE]) -> Option<Timestamp> {
    let micros = i64::from_le_bytes(head[16..24].try_into().ok()?);
    (head[..4] == MARKER).then(|| Timestamp::from_micros(micros))
}

fn read(bytes: &[u8], from: usize) -> Option<(FrameHeader, &[u8], usize)> {
    let bytes = bytes.get(from..)?;
    let end = length(bytes.first_chunk()?)?;
    let entry = bytes.get(..end)?;
    let checksum = u32::from_le_bytes(entry[4..8].try_into().ok()?);
    if crc32fast::hash(&entry[8..]) != checksum {
        return None;
    }
    let head = FrameHeader {
        kind: kind_of(entry[24])?,
        count: u32::from_le_bytes(entry[12..16].try_into().ok()?),
        at: Timestamp::from_micros(i64::from_le_bytes(entry[16..24].try_into().ok()?)),
        form: entry[25],
    };
    Some((head, &entry[HEADER_SIZE..], from + end))
}

const fn number_of(kind: BatchKind) -> u8 {
    match kind {
        BatchKind::Records => 1,
        BatchKind::Usage => 2,
        BatchKind::Groups => 3,
    }
}

fn kind_of(number: u8) -> Option<BatchKind> {
    BatchKind::ALL.into_iter().find(|kind| number_of(*kind) == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries that differ in everything, and where each ends.
    fn file(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<(FrameHeader, Vec<u8>)>) {
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for (index, body) in bodies.iter().enumerate() {
            let head = FrameHeader {
                kind: BatchKind::ALL[index % 3],
                count: u32::try_from(index).unwrap(),
                at: Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(index).unwrap()),
                form: u8::try_from(index % 2).unwrap(),
            };
            write(head, body, &mut bytes);
            entries.push((head, body.clone()));
        }
        (bytes, entries)
    }

    fn read_all(bytes: &[u8]) -> Vec<(FrameHeader, Vec<u8>)> {
        let (mut from, mut entries) = (0, Vec::new());
        loop {
            match find(bytes, from) {
                FrameScan::Entry(head, body, end) => {
                    entries.push((head, body.to_vec()));
                    from = end;
                }
                FrameScan::Damage(next) => {
                    assert!(next > from, "damage is left behind");
                    from = next;
                }
                FrameScan::End => return entries,
            }
        }
    }

    /// Whether `some` is `all` with entries missing.
    fn is_part(some: &[(FrameHeader, Vec<u8>)], all: &[(FrameHeader, Vec<u8>)]) -> bool {
        let mut rest = all.iter();
        some.iter().all(|entry| rest.any(|other| other == entry))
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6)
    }

    proptest! {
        #[test]
        fn written_entries_are_read_back(bodies in bodies()) {
            let (bytes, entries) = file(&bodies);
            prop_assert_eq!(read_all(&bytes), entries);
        }

        #[test]
        fn a_cut_loses_what_was_cut_and_nothing_else(bodies in bodies(), cut in any::<prop::sample::Index>()) {
            let (bytes, entries) = file(&bodies);
            let at = cut.index(bytes.len());
            let found = read_all(&bytes[..at]);
            prop_assert_eq!(&found[..], &entries[..found.len()]);
            let mut whole = 0;
            let mut end = 0;
            for (_, body) in &entries {
                end += HEADER_SIZE + body.len();
                whole += usize::from(end <= at);
            }
            prop_assert_eq!(found.len(), whole);
        }

        #[test]
        fn a_changed_bit_costs_one_entry(bodies in bodies(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let (mut bytes, entries) = file(&bodies);
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let found = read_all(&bytes);
            prop_assert!(is_part(&found, &entries), "{found:?} of {entries:?}");
            prop_assert_eq!(found.len(), entries.len() - 1);
        }

        #[test]
        fn garbage_between_entries_is_skipped(bodies in bodies(), noise in prop::collection::vec(any::<u8>(), 0..80)) {
            let (mut bytes, entries) = file(&bodies);
            let (more, later) = file(&bodies);
            bytes.extend(&noise);
            bytes.extend(more);
            let found = read_all(&bytes);
            prop_assert_eq!(found, [entries, later].concat());
        }

        #[test]
        fn arbitrary_bytes_are_no_entry_and_no_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_all(&noise).is_empty());
        }
    }
}
