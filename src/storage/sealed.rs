//! A store whose headers and bodies are encrypted, over any other.
//!
//! What must hold: no header and no body reaches the inner store in clear while there is a key,
//! and what comes back is what went in. Everything else passes as it is, so filters, numbers
//! and expiry work as without keys: each body is sealed by itself and may be removed by itself.
//! A seal holds only in the record and the field it was made for. Records that were stored
//! before there was a key are read as they are.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use super::operations::operations_of;
use super::query::{
    AnalyticsOptions, ExpireKind, GroupFilter, MigrationReport, PageRequest, Purge, Rewritten,
    ValidationAnalytics, ValidationFilter,
};
use super::store::{
    ComparisonStore, ConsumerStore, Rewrite, SchemaStore, Store, StoreResult, ValidationStore,
};
use crate::model::clock::Timestamp;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::Page;
use crate::model::record::{HeaderList, ValidationRecord};
use crate::redaction::Redacted;
use crate::sealing::{KeyId, Keyring, OpenError};

/// Stands in the place of a header's name where the list of headers is sealed; no header of a
/// message can be called so.
const SEALED_HEADERS: &str = ":sealed";

/// A store over `inner` that seals and opens with a ring of keys.
pub struct SealedStore {
    inner: Arc<dyn Store>,
    keys: Keyring,
}

// === impl SealedStore ===

impl SealedStore {
    /// Seals what `inner` stores.
    pub fn new(inner: Arc<dyn Store>, keys: Keyring) -> Self {
        Self { inner, keys }
    }

    /// Seals a page of records anew where they are not sealed with the key in use, also those
    /// in clear. May be cut off and repeated.
    pub async fn reseal(&self, page: &PageRequest) -> StoreResult<Rewritten> {
        let key = self.keys.sealing_key();
        let reseal = |record: &mut ValidationRecord| {
            if is_sealed_with(record, key) {
                return Ok(false);
            }
            let opened = open(&self.keys, record.clone())?;
            *record = seal(&self.keys, opened)?;
            Ok(true)
        };
        self.inner.rewrite_validations(page, &reseal).await
    }
}

/// Whether everything in `record` that is sealed is sealed with `key`, and nothing is in clear.
fn is_sealed_with(record: &ValidationRecord, key: Option<KeyId>) -> bool {
    let of_headers = |headers: &HeaderList| match headers.as_slice() {
        [] => true,
        [(name, text)] if name == SEALED_HEADERS => Keyring::key_of(text) == key,
        _ => false,
    };
    let of_body =
        |body: &Option<String>| body.as_ref().is_none_or(|text| Keyring::key_of(text) == key);
    of_headers(&record.request_headers)
        && of_headers(&record.response_headers)
        && of_body(&record.request_body)
        && of_body(&record.response_body)
}

fn seal(keys: &Keyring, mut record: ValidationRecord) -> StoreResult<ValidationRecord> {
    let failed = |error| StoreError::Unavailable(format!("{error}"));
    let id = record.id;
    let sealed = |place: Place, text: &str| {
        keys.seal_text(&place.of(id), text).map(std::borrow::Cow::into_owned).map_err(failed)
    };
    for (place, headers) in [
        (Place::RequestHeaders, &mut record.request_headers),
        (Place::ResponseHeaders, &mut record.response_headers),
    ] {
        if keys.sealing_key().is_none() || headers.is_empty() {
            continue;
        }
        let text = serde_json::to_string(headers)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        *headers = vec![(SEALED_HEADERS.to_owned(), sealed(place, &text)?)];
    }
    for (place, body) in [
        (Place::RequestBody, &mut record.request_body),
        (Place::ResponseBody, &mut record.response_body),
    ] {
        if let Some(text) = body {
            *text = sealed(place, text)?;
        }
    }
    Ok(record)
}

fn open(keys: &Keyring, mut record: ValidationRecord) -> StoreResult<ValidationRecord> {
    let id = record.id;
    let closed = |reason| StoreError::Sealed { record: id, reason };
    let opened = |place: Place, text: &str| {
        keys.open_text(&place.of(id), text).map(std::borrow::Cow::into_owned).map_err(closed)
    };
    for (place, headers) in [
        (Place::RequestHeaders, &mut record.request_headers),
        (Place::ResponseHeaders, &mut record.response_headers),
    ] {
        if let [(name, text)] = headers.as_slice()
            && name == SEALED_HEADERS
        {
            let text = opened(place, text)?;
            *headers = serde_json::from_str(&text).map_err(|_| closed(OpenError::Malformed))?;
        }
    }
    for (place, body) in [
        (Place::RequestBody, &mut record.request_body),
        (Place::ResponseBody, &mut record.response_body),
    ] {
        if let Some(text) = body {
            *text = opened(place, text)?;
        }
    }
    Ok(record)
}

/// The fields that are sealed.
#[derive(Clone, Copy)]
enum Place {
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
}

impl Place {
    /// What goes into the seal of this field of the record `id`.
    fn of(self, id: Uuid) -> [u8; 17] {
        let mut place = [self as u8; 17];
        place[..16].copy_from_slice(id.as_bytes());
        place
    }
}

/// Implements a trait by calling each of the inner store's methods.
macro_rules! passed_on {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for SealedStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

operations_of!(SchemaStore, passed_on);
operations_of!(ComparisonStore, passed_on);
operations_of!(ConsumerStore, passed_on);

#[async_trait]
impl ValidationStore for SealedStore {
    async fn record_validations(&self, records: &[Redacted<ValidationRecord>]) -> StoreResult<u64> {
        let seal = |record: &Redacted<ValidationRecord>| {
            seal(&self.keys, record.get().clone()).map(Redacted::read_back)
        };
        let sealed = records.iter().map(seal).collect::<StoreResult<Vec<_>>>()?;
        self.inner.record_validations(&sealed).await
    }

    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
        let found = self.inner.get_validation(id).await?;
        found.map(|record| open(&self.keys, record)).transpose()
    }

    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>> {
        let Page { items, next } = self.inner.list_validations(filter, page).await?;
        let opened = items.into_iter().map(|record| open(&self.keys, record));
        Ok(Page { items: opened.collect::<StoreResult<_>>()?, next })
    }

    async fn get_validation_analytics(
        &self,
        filter: &ValidationFilter,
        options: &AnalyticsOptions,
    ) -> StoreResult<ValidationAnalytics> {
        self.inner.get_validation_analytics(filter, options).await
    }

    async fn expire_validations(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
        batch: u32,
    ) -> StoreResult<u64> {
        self.inner.expire_validations(kind, older_than, batch).await
    }

    async fn count_expirable(&self, kind: ExpireKind, older_than: Timestamp) -> StoreResult<u64> {
        self.inner.count_expirable(kind, older_than).await
    }

    async fn rewrite_validations(
        &self,
        page: &PageRequest,
        rewrite: &Rewrite<'_>,
    ) -> StoreResult<Rewritten> {
        let clear = |record: &mut ValidationRecord| {
            let mut opened = open(&self.keys, record.clone())?;
            let changed = rewrite(&mut opened)?;
            if changed {
                *record = seal(&self.keys, opened)?;
            }
            Ok(changed)
        };
        self.inner.rewrite_validations(page, &clear).await
    }

    async fn merge_groups(
        &self,
        batch: Uuid,
        groups: &[ViolationGroup],
    ) -> StoreResult<Vec<MergedGroup>> {
        self.inner.merge_groups(batch, groups).await
    }

    async fn purge(&self, purge: Purge<'_>, batch: u32) -> StoreResult<u64> {
        self.inner.purge(purge, batch).await
    }

    async fn list_groups(
        &self,
        filter: &GroupFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ViolationGroup>> {
        self.inner.list_groups(filter, page).await
    }
}

#[async_trait]
impl Store for SealedStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        self.inner.migrate(dry_run).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }

    fn backend(&self) -> &'static str {
        self.inner.backend()
    }
}
