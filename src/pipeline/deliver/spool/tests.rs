use std::fs;

use uuid::Uuid;

use super::*;
use crate::config::encryption::SecretKey;
use crate::model::clock::ManualClock;
use crate::model::random::SeededRandom;
use crate::pipeline::testing::record;

fn settings(directory: &Path) -> SpoolSettings {
    SpoolSettings {
        enabled: true,
        directory: directory.to_owned(),
        explicit: true,
        limit: 1 << 20,
        fsync: Fsync::Never,
    }
}

fn open(directory: &Path) -> (Spool, Recovered) {
    open_with(directory, &[])
}

/// Opens the spool with keys that consist of these bytes.
fn open_with(directory: &Path, keys: &[u8]) -> (Spool, Recovered) {
    let keys: Vec<_> = keys.iter().map(|byte| SecretKey::new([*byte; 32])).collect();
    let keys = Keyring::new(&keys, Arc::new(SeededRandom::new(1)));
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    Spool::open(&settings(directory), keys, Arc::new(clock)).unwrap()
}

/// A batch of `count` records whose ids begin at `first`.
fn records(first: u128, count: u128) -> WriteBatch {
    WriteBatch::Records((first..first + count).map(|id| record(Uuid::from_u128(id))).collect())
}

/// The ids of the records that the spool hands out until it is empty.
fn drain(spool: &Spool) -> Vec<u128> {
    let mut ids = Vec::new();
    while let Some(next) = spool.next().unwrap() {
        let position = match next {
            SpoolEntry::Batch(WriteBatch::Records(records), position) => {
                ids.extend(records.iter().map(|record| record.get().id.as_u128()));
                position
            }
            SpoolEntry::Batch(_, position)
            | SpoolEntry::Damage { position, .. }
            | SpoolEntry::Unreadable { position, .. } => position,
        };
        spool.acknowledge(&position).unwrap();
    }
    ids
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory.join("slot-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
        .collect();
    found.sort();
    found
}

#[test]
fn what_was_taken_comes_out_whole_in_order_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    for first in [0, 10, 20] {
        spool.append(&records(first, 10)).unwrap();
    }
    spool.append(&WriteBatch::Usage(Uuid::from_u128(7), Vec::new())).unwrap();
    assert_eq!(spool.state().records(), 30);
    assert!(spool.state().oldest().is_some());
    let Some(SpoolEntry::Batch(WriteBatch::Records(first), _)) = spool.next().unwrap() else {
        panic!("records come first")
    };
    assert_eq!(first[3], record(Uuid::from_u128(3)), "nothing of a record is lost");
    assert_eq!(drain(&spool), (0..30).collect::<Vec<_>>());
    assert!(spool.is_empty() && spool.state().records() == 0 && spool.state().oldest().is_none());
    assert!(files(directory.path()).is_empty());
}

#[test]
fn a_killed_process_loses_nothing_and_repeats_only_what_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    for first in [0, 10, 20] {
        spool.append(&records(first, 10)).unwrap();
    }
    let Some(SpoolEntry::Batch(_, position)) = spool.next().unwrap() else { panic!("a batch") };
    spool.acknowledge(&position).unwrap();
    drop(spool); // nothing is done on dropping that a kill would not do
    let (spool, recovered) = open(directory.path());
    assert_eq!(recovered, Recovered { records: 30, torn: 0 });
    spool.append(&records(30, 5)).unwrap();
    assert_eq!(drain(&spool), (0..35).collect::<Vec<_>>());
}

#[test]
fn a_torn_tail_is_cut_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    spool.append(&records(0, 2)).unwrap();
    spool.append(&records(2, 2)).unwrap();
    drop(spool);
    let file = files(directory.path()).remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    let (spool, recovered) = open(directory.path());
    let kept = bytes.len() / 2;
    let torn = (bytes.len() - 5 - kept) as u64;
    assert_eq!(recovered, Recovered { records: 2, torn });
    assert_eq!(fs::metadata(&file).unwrap().len(), kept as u64);
    assert_eq!(drain(&spool), [0, 1]);
}

#[test]
fn damage_costs_its_entry_and_what_was_behind_it_comes_out() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    for first in [0, 10, 20] {
        spool.append(&records(first, 10)).unwrap();
    }
    let file = files(directory.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&file, bytes).unwrap();
    let mut lost = 0;
    let mut damaged = 0;
    let mut batches = 0;
    while let Some(next) = spool.next().unwrap() {
        let position = match next {
            SpoolEntry::Damage { bytes, position } => {
                damaged += bytes;
                position
            }
            SpoolEntry::Batch(_, position) => {
                batches += 1;
                position
            }
            SpoolEntry::Unreadable { .. } => panic!("damage is not a form"),
        };
        lost += spool.acknowledge(&position).unwrap();
    }
    assert_eq!((batches, lost), (2, 10));
    assert!(damaged > 0);
}

#[test]
fn a_removed_spool_file_is_counted_as_lost_and_writing_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    spool.append(&records(0, 3)).unwrap();
    fs::remove_file(files(directory.path()).remove(0)).unwrap();
    let Some(SpoolEntry::Damage { position, .. }) = spool.next().unwrap() else { panic!("damage") };
    assert_eq!(spool.acknowledge(&position).unwrap(), 3);
    assert!(spool.next().unwrap().is_none());
    spool.append(&records(3, 3)).unwrap();
    assert_eq!(drain(&spool), [3, 4, 5]);
}

#[test]
fn the_limit_holds_and_sums_have_room_where_records_have_none() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let mut first = 0;
    while spool.append(&records(first, 50)).is_ok() {
        first += 50;
    }
    assert!(matches!(spool.append(&records(0, 50)), Err(SpoolError::Full { .. })));
    spool.append(&WriteBatch::Usage(Uuid::from_u128(1), Vec::new())).unwrap();
    let size: u64 = files(directory.path()).iter().map(|f| fs::metadata(f).unwrap().len()).sum();
    assert!(size <= 1 << 20, "{size}");
    assert_eq!(size, spool.state().bytes());
    assert!(files(directory.path()).len() > 4, "files are cut, so that space comes back early");
    assert_eq!(drain(&spool).len() as u128, first);
    spool.append(&records(0, 50)).unwrap();
}

#[test]
fn what_another_process_left_is_taken_over_once() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = open(directory.path());
    let (second, recovered) = open(directory.path());
    first.append(&records(0, 4)).unwrap();
    assert_eq!(recovered.records, 0);
    assert_eq!(second.adopt_abandoned().unwrap().records, 0, "its owner lives");
    second.append(&records(4, 2)).unwrap();
    drop(first);
    assert_eq!(second.adopt_abandoned().unwrap().records, 4);
    second.append(&records(6, 1)).unwrap();
    assert_eq!(drain(&second), [4, 5, 0, 1, 2, 3, 6]);
    let (third, recovered) = open(directory.path());
    assert_eq!((recovered.records, drain(&third).len()), (0, 0));
}

#[test]
fn a_form_of_another_version_is_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    spool.append(&records(0, 1)).unwrap();
    let mut bytes = Vec::new();
    let at = Timestamp::from_micros(1);
    let head = frame::FrameHeader { kind: BatchKind::Records, count: 9, at, form: 99 };
    frame::write(head, b"what is to come", &mut bytes);
    frame::write(
        frame::FrameHeader { form: entry::PLAIN, ..head },
        b"{\"records\": secret}",
        &mut bytes,
    );
    drop(spool);
    fs::write(directory.path().join("slot-0/00000000000000000007.spool"), bytes).unwrap();
    let (spool, recovered) = open(directory.path());
    assert_eq!(recovered.records, 19);
    let mut reasons = Vec::new();
    while let Some(next) = spool.next().unwrap() {
        let position = match next {
            SpoolEntry::Unreadable { count, reason, position, .. } => {
                assert!(spool.quarantine(&position).unwrap().exists());
                assert_eq!(count, 9);
                reasons.push(reason);
                position
            }
            SpoolEntry::Batch(_, position) | SpoolEntry::Damage { position, .. } => position,
        };
        assert_eq!(spool.acknowledge(&position).unwrap(), 0);
    }
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(|reason| !reason.contains("secret")), "{reasons:?}");
}

#[test]
fn with_a_key_nothing_lies_in_clear_and_without_it_nothing_comes_out() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open_with(directory.path(), &[1]);
    spool.append(&records(0, 3)).unwrap();
    let bytes = fs::read(files(directory.path()).remove(0)).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("books"), "the path of a record");
    drop(spool);
    let (spool, recovered) = open_with(directory.path(), &[2]);
    assert_eq!(recovered.records, 3, "counting needs no key");
    let Some(SpoolEntry::Unreadable { count, reason, position, .. }) = spool.next().unwrap() else {
        panic!("it opened with another key")
    };
    assert!(count == 3 && reason.contains("encrypted with key"), "{reason}");
    let aside = spool.quarantine(&position).unwrap();
    spool.acknowledge(&position).unwrap();
    drop(spool);
    fs::rename(&aside, aside.with_extension("spool")).unwrap();
    let (spool, _) = open_with(directory.path(), &[2, 1]);
    assert_eq!(drain(&spool), [0, 1, 2], "with the key it comes out");
}
