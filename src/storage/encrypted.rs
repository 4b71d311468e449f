//! A store whose headers and bodies are encrypted, over any other.
//!
//! Invariants:
//! - No header and no body reaches the inner store in clear while there is a key, and what comes
//!   back is what went in.
//! - Everything else is stored unchanged, so filters, counts and expiry work as without keys.
//!   Each body is encrypted by itself and may be removed by itself.
//! - A ciphertext is valid only in the record and the field it was made for.
//! - Records that were stored before there was a key are read as they are.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use super::operations::operations_of;
use super::query::{
    AnalyticsOptions, ExpireKind, MigrationReport, PageRequest, RewriteProgress,
    ValidationAnalytics, ValidationFilter,
};
use super::store::{
    ComparisonStore, ConsumerStore, GroupStore, PurgeStore, RewriteFn, SchemaStore, Store,
    StoreResult, UsageStore, ValidationStore,
};
use crate::encryption::{DecryptError, KeyId, Keyring};
use crate::model::clock::Timestamp;
use crate::model::page::Page;
use crate::model::record::{HeaderList, ValidationRecord};
use crate::redaction::Redacted;

/// Replaces the header name where the list of headers is encrypted. No header of a message
/// can have this name.
const ENCRYPTED_HEADERS: &str = ":sealed";

/// A store over `inner` that encrypts and decrypts with a ring of keys.
pub struct EncryptedStore {
    inner: Arc<dyn Store>,
    keys: Keyring,
}

// === impl EncryptedStore ===

impl EncryptedStore {
    /// Encrypts what `inner` stores.
    pub fn new(inner: Arc<dyn Store>, keys: Keyring) -> Self {
        Self { inner, keys }
    }

    /// Encrypts again the records of a page that are not encrypted with the active key, those
    /// in clear included. May be interrupted and repeated.
    pub async fn reencrypt(&self, page: &PageRequest) -> StoreResult<RewriteProgress> {
        let key = self.keys.active_key_id();
        let reencrypt = |record: &mut ValidationRecord| {
            if is_encrypted_with(record, key) {
                return Ok(false);
            }
            let decrypted = decrypt_record(&self.keys, record.clone())?;
            *record = encrypt_record(&self.keys, decrypted)?;
            Ok(true)
        };
        self.inner.rewrite_validations(page, &reencrypt).await
    }
}

/// Whether all of the payload of `record` is encrypted with `key`.
fn is_encrypted_with(record: &ValidationRecord, key: Option<KeyId>) -> bool {
    let of_headers = |headers: &HeaderList| match headers.as_slice() {
        [] => true,
        [(name, text)] if name == ENCRYPTED_HEADERS => Keyring::key_id_of(text) == key,
        _ => false,
    };
    let of_body =
        |body: &Option<String>| body.as_ref().is_none_or(|text| Keyring::key_id_of(text) == key);
    of_headers(&record.request_headers)
        && of_headers(&record.response_headers)
        && of_body(&record.request_body)
        && of_body(&record.response_body)
}

fn encrypt_record(keys: &Keyring, mut record: ValidationRecord) -> StoreResult<ValidationRecord> {
    let failed = |error| StoreError::Unavailable(format!("{error}"));
    let id = record.id;
    let encrypt = |field: EncryptedField, text: &str| {
        keys.encrypt_text(&field.aad(id), text).map(std::borrow::Cow::into_owned).map_err(failed)
    };
    for (field, headers) in [
        (EncryptedField::RequestHeaders, &mut record.request_headers),
        (EncryptedField::ResponseHeaders, &mut record.response_headers),
    ] {
        if keys.active_key_id().is_none() || headers.is_empty() {
            continue;
        }
        let text = serde_json::to_string(headers)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        *headers = vec![(ENCRYPTED_HEADERS.to_owned(), encrypt(field, &text)?)];
    }
    for (field, body) in [
        (EncryptedField::RequestBody, &mut record.request_body),
        (EncryptedField::ResponseBody, &mut record.response_body),
    ] {
        if let Some(text) = body {
            *text = encrypt(field, text)?;
        }
    }
    Ok(record)
}

fn decrypt_record(keys: &Keyring, mut record: ValidationRecord) -> StoreResult<ValidationRecord> {
    let id = record.id;
    let undecryptable = |reason| StoreError::Undecryptable { record: id, reason };
    let decrypt = |field: EncryptedField, text: &str| {
        keys.decrypt_text(&field.aad(id), text)
            .map(std::borrow::Cow::into_owned)
            .map_err(undecryptable)
    };
    for (field, headers) in [
        (EncryptedField::RequestHeaders, &mut record.request_headers),
        (EncryptedField::ResponseHeaders, &mut record.response_headers),
    ] {
        if let [(name, text)] = headers.as_slice()
            && name == ENCRYPTED_HEADERS
        {
            let text = decrypt(field, text)?;
            *headers =
                serde_json::from_str(&text).map_err(|_| undecryptable(DecryptError::Malformed))?;
        }
    }
    for (field, body) in [
        (EncryptedField::RequestBody, &mut record.request_body),
        (EncryptedField::ResponseBody, &mut record.response_body),
    ] {
        if let Some(text) = body {
            *text = decrypt(field, text)?;
        }
    }
    Ok(record)
}

/// The fields that are encrypted.
#[derive(Clone, Copy)]
enum EncryptedField {
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
}

impl EncryptedField {
    /// The associated data of this field of the record `id`.
    fn aad(self, id: Uuid) -> [u8; 17] {
        let mut aad = [self as u8; 17];
        aad[..16].copy_from_slice(id.as_bytes());
        aad
    }
}

/// Implements a trait by forwarding each method to the inner store.
macro_rules! delegate {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for EncryptedStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

operations_of!(SchemaStore, delegate);
operations_of!(ComparisonStore, delegate);
operations_of!(ConsumerStore, delegate);
operations_of!(GroupStore, delegate);
operations_of!(UsageStore, delegate);
operations_of!(PurgeStore, delegate);

#[async_trait]
impl ValidationStore for EncryptedStore {
    async fn record_validations(&self, records: &[Redacted<ValidationRecord>]) -> StoreResult<u64> {
        let encrypt = |record: &Redacted<ValidationRecord>| {
            encrypt_record(&self.keys, record.get().clone()).map(Redacted::assume_redacted)
        };
        let encrypted = records.iter().map(encrypt).collect::<StoreResult<Vec<_>>>()?;
        self.inner.record_validations(&encrypted).await
    }

    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
        let found = self.inner.get_validation(id).await?;
        found.map(|record| decrypt_record(&self.keys, record)).transpose()
    }

    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>> {
        let Page { items, next } = self.inner.list_validations(filter, page).await?;
        let decrypted = items.into_iter().map(|record| decrypt_record(&self.keys, record));
        Ok(Page { items: decrypted.collect::<StoreResult<_>>()?, next })
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
        rewrite: &RewriteFn<'_>,
    ) -> StoreResult<RewriteProgress> {
        let rewrite_decrypted = |record: &mut ValidationRecord| {
            let mut decrypted = decrypt_record(&self.keys, record.clone())?;
            let changed = rewrite(&mut decrypted)?;
            if changed {
                *record = encrypt_record(&self.keys, decrypted)?;
            }
            Ok(changed)
        };
        self.inner.rewrite_validations(page, &rewrite_decrypted).await
    }
}

#[async_trait]
impl Store for EncryptedStore {
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
