//! Records as a file that other programs read, made piece by piece.

mod har;

use std::vec;

use super::ControlError;
use super::page_walk::PageWalk;
use crate::model::record::ValidationRecord;
use crate::storage::{Store, ValidationFilter};

/// Records held in memory at once.
const PAGE: u32 = 200;
/// A piece is handed out once it has so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// A HAR 1.2 file.
    Har,
    /// One record per line.
    JsonLines,
}

/// An export under way: holds a page of records and nothing of what it handed out.
#[derive(Debug)]
pub(crate) struct Export {
    format: ExportFormat,
    filter: ValidationFilter,
    limit: u64,
    exported: u64,
    walk: PageWalk,
    records: vec::IntoIter<ValidationRecord>,
    ended: bool,
}

// === impl Export ===

impl Export {
    /// An export of the records that `filter` asks for, newest first, at most `limit`.
    pub(crate) fn new(format: ExportFormat, filter: ValidationFilter, limit: Option<u64>) -> Self {
        Self {
            format,
            filter,
            limit: limit.unwrap_or(u64::MAX),
            exported: 0,
            walk: PageWalk::by(PAGE),
            records: Vec::new().into_iter(),
            ended: false,
        }
    }

    /// How many records were handed out.
    pub(crate) const fn exported(&self) -> u64 {
        self.exported
    }

    /// The next piece of the file; `None` after its end. After an error the file is incomplete.
    pub(crate) async fn next_chunk(
        &mut self,
        store: &dyn Store,
    ) -> Result<Option<String>, ControlError> {
        if self.ended {
            return Ok(None);
        }
        let mut chunk = String::new();
        if self.exported == 0 && self.format == ExportFormat::Har {
            chunk.push_str(&har::begin());
        }
        while chunk.len() < CHUNK_BYTES {
            if let Some(record) = self.next_record(store).await? {
                self.write(&record, &mut chunk)?;
                continue;
            }
            self.ended = true;
            if self.format == ExportFormat::Har {
                chunk.push_str(har::END);
            }
            break;
        }
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    async fn next_record(
        &mut self,
        store: &dyn Store,
    ) -> Result<Option<ValidationRecord>, ControlError> {
        if self.exported == self.limit {
            return Ok(None);
        }
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Some(record));
            }
            let Some(page) = self.walk.next() else { return Ok(None) };
            let found = store.list_validations(&self.filter, &page).await?;
            self.records = self.walk.items(found).into_iter();
        }
    }

    fn write(&mut self, record: &ValidationRecord, chunk: &mut String) -> Result<(), ControlError> {
        match self.format {
            ExportFormat::JsonLines => {
                let line = serde_json::to_string(record)
                    .map_err(|_| ControlError::Defect("a record cannot be written as JSON"))?;
                chunk.push_str(&line);
                chunk.push('\n');
            }
            ExportFormat::Har => {
                chunk.push_str(if self.exported == 0 { "\n" } else { ",\n" });
                chunk.push_str(&har::entry(record).to_string());
            }
        }
        self.exported += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::control::fixtures;
    use crate::storage::{MemoryStore, ValidationStore as _};

    async fn chunks(store: &MemoryStore, mut export: Export) -> (Vec<String>, u64) {
        let mut chunks = Vec::new();
        while let Some(chunk) = export.next_chunk(store).await.unwrap() {
            chunks.push(chunk);
        }
        assert!(export.next_chunk(store).await.unwrap().is_none(), "an end stays an end");
        (chunks, export.exported())
    }

    fn export(format: ExportFormat, limit: Option<u64>) -> Export {
        Export::new(format, ValidationFilter::default(), limit)
    }

    #[tokio::test]
    async fn a_har_file_is_one_json_value_even_if_it_is_empty() {
        for (store, entries) in [(fixtures::used_store().await, 3), (fixtures::store().await, 0)] {
            let (chunks, exported) = chunks(&store, export(ExportFormat::Har, None)).await;
            let file: Value = serde_json::from_str(&chunks.concat()).unwrap();
            assert_eq!(file["log"]["version"], "1.2");
            assert_eq!(file["log"]["entries"].as_array().unwrap().len(), entries);
            assert_eq!(exported, entries as u64);
        }
    }

    #[tokio::test]
    async fn json_lines_go_by_the_limit_and_an_empty_export_has_no_piece() {
        let store = fixtures::used_store().await;
        let (chunks_2, exported) = chunks(&store, export(ExportFormat::JsonLines, Some(2))).await;
        let text = chunks_2.concat();
        let ids =
            text.lines().map(|line| serde_json::from_str::<ValidationRecord>(line).unwrap().id);
        assert_eq!(ids.map(|id| id.as_u128()).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(exported, 2);
        let (none, exported) = chunks(&store, export(ExportFormat::JsonLines, Some(0))).await;
        assert_eq!((none.len(), exported), (0, 0));
    }

    #[tokio::test]
    async fn large_records_are_handed_out_in_pieces_over_all_pages() {
        let store = fixtures::store().await;
        let body = Some("x".repeat(1_000));
        let records = (1..=450).map(|n| {
            let record =
                ValidationRecord { response_body: body.clone(), ..fixtures::record(n, "a") };
            fixtures::redacted(record)
        });
        store.record_validations(&records.collect::<Vec<_>>()).await.unwrap();
        let (chunks, exported) = chunks(&store, export(ExportFormat::JsonLines, None)).await;
        assert_eq!(exported, 450);
        assert!(chunks.len() > 5);
        assert!(chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK_BYTES));
        assert_eq!(chunks.concat().lines().count(), 450);
    }
}
