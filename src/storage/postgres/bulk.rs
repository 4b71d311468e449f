//! Records by the batch.

use sqlx::PgPool;

use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::sql::{Link, validations};
use crate::storage::store::StoreResult;

/// Inserts records that are not there, in one transaction; says how many.
pub(super) async fn insert(
    pool: &PgPool,
    records: &[Redacted<ValidationRecord>],
) -> StoreResult<u64> {
    let mut tx = pool.begin().await?;
    let inserted = validations::insert(&mut Link::Postgres(&mut tx), records).await?;
    tx.commit().await?;
    Ok(inserted)
}
