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
use crate::observer::parcel::ParcelKind;

const MARKER: [u8; 4] = [0xff, b'c', b'v', 0xfe];

/// Bytes before the body.
pub const HEAD: usize = 26;

/// What is said about an entry in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What kind of parcel it is.
    pub kind: ParcelKind,
    /// How many things it holds.
    pub count: u32,
    /// When it was written.
    pub at: Timestamp,
    /// How the body is to be read.
    pub form: u8,
}

/// What stands at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'b> {
    /// An entry, and where the next one begins.
    Entry(Head, &'b [u8], usize),
    /// Something that is no entry; one begins, or the bytes end, at this place.
    Damage(usize),
    /// The end.
    End,
}

/// Appends an entry to `out`. Bodies of 4 GiB do not come: memory for records is bounded.
pub fn write(head: Head, body: &[u8], out: &mut Vec<u8>) {
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
pub fn find(bytes: &[u8], from: usize) -> Found<'_> {
    if from >= bytes.len() {
        return Found::End;
    }
    if let Some((head, body, end)) = read(bytes, from) {
        return Found::Entry(head, body, end);
    }
    let next = memchr::memmem::find_iter(&bytes[from + 1..], &MARKER)
        .map(|at| from + 1 + at)
        .find(|at| read(bytes, *at).is_some());
    Found::Damage(next.unwrap_or(bytes.len()))
}

/// How long the entry is whose first bytes these are, if they begin one.
pub fn length(head: &[u8; HEAD]) -> Option<usize> {
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?);
    (head[..4] == MARKER).then(|| HEAD.saturating_add(length as usize))
}

/// When the entry was written whose first bytes these are, if they begin one.
pub fn time(head: &[u8; HEAD]) -> Option<Timestamp> {
    let micros = i64::from_le_bytes(head[16..24].try_into().ok()?);
    (head[..4] == MARKER).then(|| Timestamp::from_micros(micros))
}

fn read(bytes: &[u8], from: usize) -> Option<(Head, &[u8], usize)> {
    let bytes = bytes.get(from..)?;
    let end = length(bytes.first_chunk()?)?;
    let entry = bytes.get(..end)?;
    let checksum = u32::from_le_bytes(entry[4..8].try_into().ok()?);
    if crc32fast::hash(&entry[8..]) != checksum {
        return None;
    }
    let head = Head {
        kind: kind_of(entry[24])?,
        count: u32::from_le_bytes(entry[12..16].try_into().ok()?),
        at: Timestamp::from_micros(i64::from_le_bytes(entry[16..24].try_into().ok()?)),
        form: entry[25],
    };
    Some((head, &entry[HEAD..], from + end))
}

const fn number_of(kind: ParcelKind) -> u8 {
    match kind {
        ParcelKind::Records => 1,
        ParcelKind::Usage => 2,
        ParcelKind::Groups => 3,
    }
}

fn kind_of(number: u8) -> Option<ParcelKind> {
    ParcelKind::ALL.into_iter().find(|kind| number_of(*kind) == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries that differ in everything, and where each ends.
    fn file(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<(Head, Vec<u8>)>) {
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for (index, body) in bodies.iter().enumerate() {
            let head = Head {
                kind: ParcelKind::ALL[index % 3],
                count: u32::try_from(index).unwrap(),
                at: Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(index).unwrap()),
                form: u8::try_from(index % 2).unwrap(),
            };
            write(head, body, &mut bytes);
            entries.push((head, body.clone()));
        }
        (bytes, entries)
    }

    fn read_all(bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
        let (mut from, mut entries) = (0, Vec::new());
        loop {
            match find(bytes, from) {
                Found::Entry(head, body, end) => {
                    entries.push((head, body.to_vec()));
                    from = end;
                }
                Found::Damage(next) => {
                    assert!(next > from, "damage is left behind");
                    from = next;
                }
                Found::End => return entries,
            }
        }
    }

    /// Whether `some` is `all` with entries missing.
    fn is_part(some: &[(Head, Vec<u8>)], all: &[(Head, Vec<u8>)]) -> bool {
        let mut rest = all.iter();
        some.iter().all(|entry| rest.any(|other| other == entry))
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(bodies in bodies()) {
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
                end += HEAD + body.len();
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
        fn noise_between_entries_is_skipped(bodies in bodies(), noise in prop::collection::vec(any::<u8>(), 0..80)) {
            let (mut bytes, entries) = file(&bodies);
            let (more, later) = file(&bodies);
            bytes.extend(&noise);
            bytes.extend(more);
            let found = read_all(&bytes);
            prop_assert_eq!(found, [entries, later].concat());
        }

        #[test]
        fn no_bytes_whatever_are_an_entry_or_a_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_all(&noise).is_empty());
        }
    }
}
