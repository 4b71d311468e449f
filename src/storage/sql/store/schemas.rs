//! Schemas in either database.

use std::time::Duration;

use async_trait::async_trait;

use super::SqlStore;
use crate::model::schema::SchemaRecord;
use crate::storage::query::{
    OnConflict, OnSchemaDelete, PageRequest, ReplacedContent, SchemaFilter, SchemaList,
    StoredSchema,
};
use crate::storage::sql::db::Db;
use crate::storage::sql::retention::RecordSelection;
use crate::storage::sql::schemas;
use crate::storage::store::{SchemaStore, StoreResult};

/// Records deleted per transaction when a schema takes its records with it.
const DELETE_BATCH: u32 = 1_000;

#[async_trait]
impl SchemaStore for SqlStore {
    async fn set_schema(
        &self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema> {
        schemas::set(self.db.begin().await?, record, on_conflict).await
    }

    async fn get_schema(&self, schema_id: &str) -> StoreResult<Option<SchemaRecord>> {
        schemas::get(&mut self.db.read().await?.conn(), schema_id, None).await
    }

    async fn get_schema_version(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Option<SchemaRecord>> {
        schemas::get(&mut self.db.read().await?.conn(), schema_id, Some(version)).await
    }

    async fn delete_schema(&self, schema_id: &str, on_delete: OnSchemaDelete) -> StoreResult<bool> {
        if on_delete == OnSchemaDelete::DeleteRecords {
            while self.expire(RecordSelection::Schema(schema_id), DELETE_BATCH).await? > 0 {}
        }
        schemas::delete(self.db.begin().await?, schema_id, None).await
    }

    async fn delete_schema_version(&self, schema_id: &str, version: &str) -> StoreResult<bool> {
        schemas::delete(self.db.begin().await?, schema_id, Some(version)).await
    }

    async fn list_schema_ids(&self) -> StoreResult<Vec<String>> {
        schemas::ids(&mut self.db.read().await?.conn()).await
    }

    async fn list_versions(&self, schema_id: &str) -> StoreResult<Vec<String>> {
        schemas::versions(&mut self.db.read().await?.conn(), schema_id).await
    }

    async fn list_schemas(
        &self,
        filter: &SchemaFilter,
        page: &PageRequest,
    ) -> StoreResult<SchemaList> {
        schemas::list(&mut self.db.snapshot().await?.conn(), filter, page).await
    }

    async fn get_previous_version(
        &self,
        schema_id: &str,
        current: &str,
    ) -> StoreResult<Option<String>> {
        schemas::previous(&mut self.db.read().await?.conn(), schema_id, current).await
    }

    async fn schema_history(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Vec<ReplacedContent>> {
        schemas::history(&mut self.db.read().await?.conn(), schema_id, version).await
    }

    async fn schema_revision(&self) -> StoreResult<i64> {
        schemas::revision(&mut self.db.read().await?.conn()).await
    }

    async fn wait_schema_change(&self, seen: i64, max_wait: Duration) -> StoreResult<i64> {
        let deadline = tokio::time::Instant::now() + max_wait;
        loop {
            let revision = self.schema_revision().await?;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if revision != seen || left.is_zero() {
                return Ok(revision);
            }
            match &self.db {
                Db::Sqlite(db) => db.wait_for_change(left).await,
                Db::Postgres(db) => db.wait_for_change(left).await,
            }
        }
    }
}
