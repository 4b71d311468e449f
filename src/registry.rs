//! Finding and registering contracts.
//!
//! Invariants:
//! - A document is compiled once, at registration, off the async threads.
//! - It is stored before it is cached.
//! - A pinned contract stays valid, whatever the cache evicts.

mod cache;
pub mod files;
pub mod metrics;
mod refresh;
pub mod source_files;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::cache::CacheSettings;
use crate::config::document::{DocumentSettings, OnDefect};
use crate::config::rules::RuleSettings;
use crate::contract::sensitive::SensitiveParts;
use crate::contract::{
    CompileOptions, CompiledOperation, Contract, ContractError, DocumentFiles, OperationIndex,
};
use crate::model::clock::Clock;
use crate::model::id::{IdSource, InvalidSchemaId, SchemaId};
use crate::model::schema::{Ownership, SchemaRecord};
use crate::redaction::{ContractMasks, PointerSet};
use crate::storage::{OnConflict, SchemaChange, Store, StoreError};

pub use refresh::{ContractSlot, ContractSlots};

use cache::ContractCache;
use metrics::RegistryMetrics;

/// An active contract, with the masks of its operations.
#[derive(Debug)]
pub struct LoadedContract {
    /// The id it is registered under.
    pub schema_id: SchemaId,
    /// The contract.
    pub contract: Contract,
    /// The masks of its operations, by their index.
    masks: Vec<ContractMasks>,
    /// For messages of no documented operation: the masks of all operations together.
    undocumented: ContractMasks,
}

/// A document to register.
pub struct Registration {
    /// The document.
    pub content: Vec<u8>,
    /// Documents beside it that it may refer to.
    pub files: Arc<dyn DocumentFiles + Send + Sync>,
    /// Id, owner and environment.
    pub details: RegistrationDetails,
}

/// A document that was compiled and is not registered yet.
#[derive(Debug)]
pub struct CompiledDocument {
    text: String,
    contract: Contract,
}

/// What a registration says besides the document itself.
pub struct RegistrationDetails {
    /// The id to register it under; made from its title when not given.
    pub schema_id: Option<SchemaId>,
    /// Its owner.
    pub ownership: Ownership,
    /// Environment it is registered for.
    pub environment: String,
    /// What to do when the version is there with other content.
    pub on_conflict: OnConflict,
}

/// Why a document was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is larger than allowed.
    #[error("the document has {size} bytes, more than the limit of {limit} (document_limit)")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// It is no text.
    #[error("the document is not UTF-8 text (byte {0})")]
    NotText(usize),
    /// It cannot be compiled.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// Neither an id was given nor can one be made from the title.
    #[error("no id can be made from the document's title; give one ({0})")]
    Id(#[from] InvalidSchemaId),
    /// The store refused it or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Compiling was cut off.
    #[error("compiling the document was cut off; a defect of ours")]
    Interrupted,
}

/// The use cases around contracts. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<RegistryInner>,
}

struct RegistryInner {
    store: Arc<dyn Store>,
    cache: ContractCache,
    metrics: RegistryMetrics,
    /// Serializes updates of the metrics of active contracts.
    metrics_lock: Mutex<()>,
    options: CompileOptions<'static>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

/// What a [`Registry`] is made of.
pub struct RegistryParts {
    /// Where documents are kept.
    pub store: Arc<dyn Store>,
    /// Limits of the cache.
    pub cache: CacheSettings,
    /// How documents are compiled.
    pub options: CompileOptions<'static>,
    /// Counters.
    pub metrics: RegistryMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of schema rows.
    pub ids: Arc<dyn IdSource>,
}

// === impl CompiledDocument ===

impl CompiledDocument {
    /// Compiles a document by `options`, off the async threads; references to other files go
    /// to `files`.
    pub async fn new(
        content: Vec<u8>,
        files: Arc<dyn DocumentFiles + Send + Sync>,
        options: CompileOptions<'static>,
    ) -> Result<Self, RegisterError> {
        let (size, limit) = (content.len(), options.limits.bytes);
        if size > limit {
            return Err(RegisterError::TooLarge { size, limit });
        }
        let text = String::from_utf8(content)
            .map_err(|error| RegisterError::NotText(error.utf8_error().valid_up_to()))?;
        let compiling = tokio::task::spawn_blocking(move || {
            let options = CompileOptions { files: &*files, ..options };
            let compiled = Contract::compile_to_store(text, &options);
            compiled.map(|(text, contract)| Self { text, contract })
        });
        Ok(compiling.await.map_err(|_| RegisterError::Interrupted)??)
    }

    /// The compiled contract.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }
}

/// How documents are compiled by the settings.
pub fn compile_options(
    rules: &RuleSettings,
    documents: &DocumentSettings,
) -> CompileOptions<'static> {
    let mut options = CompileOptions::of(rules);
    options.limits.bytes = documents.limit;
    options.refuse_defects = documents.on_defect == OnDefect::Refuse;
    options
}

// === impl LoadedContract ===

impl LoadedContract {
    /// A contract registered under `schema_id`.
    pub fn new(schema_id: SchemaId, contract: Contract) -> Self {
        let masks = contract.operations().iter().map(masks_of).collect();
        let undocumented = masks_of_all(contract.operations());
        Self { schema_id, contract, masks, undocumented }
    }

    /// What must be masked in the messages of one operation; in those of none, what any
    /// operation's would have masked.
    pub fn masks(&self, operation: Option<OperationIndex>) -> &ContractMasks {
        operation.and_then(|index| self.masks.get(index.as_usize())).unwrap_or(&self.undocumented)
    }
}

fn masks_of_all(operations: &[CompiledOperation]) -> ContractMasks {
    let all = || operations.iter().map(|operation| &operation.sensitive);
    let union = |pick: fn(&SensitiveParts) -> &Vec<String>| -> Vec<String> {
        let names: BTreeSet<&String> = all().flat_map(pick).collect();
        names.into_iter().cloned().collect()
    };
    ContractMasks {
        request_body: pointer_set(&union(|secret| &secret.request_body)),
        response_body: pointer_set(&union(|secret| &secret.response_body)),
        request_headers: union(|secret| &secret.request_headers),
        response_headers: union(|secret| &secret.response_headers),
        query: union(|secret| &secret.query),
        path_segments: Vec::new(),
    }
}

/// The engine makes these pointers from the document's own: they are well-formed. Were one not,
/// the names it stands for would still be masked by the redactor's own rules.
fn pointer_set(pointers: &[String]) -> PointerSet {
    PointerSet::new(pointers.iter().map(String::as_str)).unwrap_or_default()
}

fn masks_of(operation: &CompiledOperation) -> ContractMasks {
    let secret = &operation.sensitive;
    ContractMasks {
        request_body: pointer_set(&secret.request_body),
        response_body: pointer_set(&secret.response_body),
        request_headers: secret.request_headers.clone(),
        response_headers: secret.response_headers.clone(),
        query: secret.query.clone(),
        path_segments: secret.path_segments.clone(),
    }
}

// === impl Registry ===

impl Registry {
    /// A registry made of `parts`.
    pub fn new(parts: RegistryParts) -> Self {
        let cache = ContractCache::new(&parts.cache, parts.metrics.clone());
        Self {
            inner: Arc::new(RegistryInner {
                store: parts.store,
                cache,
                metrics: parts.metrics,
                metrics_lock: Mutex::new(()),
                options: parts.options,
                clock: parts.clock,
                ids: parts.ids,
            }),
        }
    }

    /// Compiles, stores and caches a document, in this order. The same content again changes
    /// nothing.
    pub async fn register(
        &self,
        registration: Registration,
    ) -> Result<Arc<LoadedContract>, RegisterError> {
        let Registration { content, files, details } = registration;
        let outcome = match CompiledDocument::new(content, files, self.inner.options.clone()).await
        {
            Ok(compiled) => self.store_and_cache(compiled, details).await,
            Err(error) => Err(error),
        };
        self.inner.metrics.record_registration(outcome.as_ref().err());
        outcome
    }

    /// The same for a document that is compiled already.
    pub async fn register_compiled(
        &self,
        compiled: CompiledDocument,
        details: RegistrationDetails,
    ) -> Result<Arc<LoadedContract>, RegisterError> {
        let outcome = self.store_and_cache(compiled, details).await;
        self.inner.metrics.record_registration(outcome.as_ref().err());
        outcome
    }

    /// The contract of a schema, latest or of one version: from the cache, else from storage.
    /// Callers that ask for the same one at once share one look-up.
    pub async fn lookup(
        &self,
        schema_id: &SchemaId,
        version: Option<&str>,
    ) -> Result<Option<Arc<LoadedContract>>, Arc<RegisterError>> {
        self.inner.cache.get(schema_id, version, self.load(schema_id, version)).await
    }

    async fn store_and_cache(
        &self,
        compiled: CompiledDocument,
        details: RegistrationDetails,
    ) -> Result<Arc<LoadedContract>, RegisterError> {
        let CompiledDocument { text, contract } = compiled;
        let schema_id = match details.schema_id {
            Some(id) => id,
            None => SchemaId::new(&slug(contract.title()))?,
        };
        let now = self.inner.clock.now();
        let record = SchemaRecord {
            id: self.inner.ids.next_id(),
            schema_id: schema_id.clone(),
            version: contract.version().to_owned(),
            content: text,
            content_hash: contract.hash().to_owned(),
            openapi_version: contract.openapi_version().to_owned(),
            endpoint_count: u32::try_from(contract.operations().len()).unwrap_or(u32::MAX),
            is_latest: true,
            registered_at: now,
            updated_at: now,
            ownership: details.ownership,
            environment: details.environment,
        };
        let stored = self.inner.store.set_schema(&record, details.on_conflict).await?;
        if matches!(stored.change, SchemaChange::Replaced) {
            tracing::warn!(
                event = "schema_replaced",
                schema_id = schema_id.as_str(),
                version = contract.version(),
                "this version was registered before with other content; the new one holds"
            );
        }
        let loaded = Arc::new(LoadedContract::new(schema_id, contract));
        self.inner.cache.insert(&loaded).await;
        Ok(loaded)
    }

    async fn load(
        &self,
        schema_id: &SchemaId,
        version: Option<&str>,
    ) -> Result<Option<Arc<LoadedContract>>, RegisterError> {
        let store = &self.inner.store;
        let record = match version {
            Some(version) => store.get_schema_version(schema_id.as_str(), version).await?,
            None => store.get_schema(schema_id.as_str()).await?,
        };
        let Some(record) = record else { return Ok(None) };
        // Whether it is accepted was decided when it was registered.
        let options = CompileOptions { refuse_defects: false, ..self.inner.options.clone() };
        let files = Arc::new(crate::contract::NoDocumentFiles);
        let compiled = CompiledDocument::new(record.content.into_bytes(), files, options).await?;
        Ok(Some(Arc::new(LoadedContract::new(schema_id.clone(), compiled.contract))))
    }
}

/// An id made from a title: letters and digits in lower case, everything else one hyphen.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_lowercase();
    while slug.len() > 255 {
        slug.pop();
    }
    slug
}

#[cfg(test)]
mod tests;
