//! Finding and registering contracts.
//!
//! Invariants:
//! - A document is compiled once, at registration, off the async threads.
//! - It is stored before it is cached.
//! - A pinned contract stays valid, whatever the cache evicts.

mod cache;
mod error;
pub mod files;
mod loaded_contract;
pub mod metrics;
mod refresh;
pub mod source_files;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::cache::CacheSettings;
use crate::config::document::{DocumentSettings, OnDefect};
use crate::config::rules::RuleSettings;
use crate::contract::{CompileOptions, Contract, DocumentFiles};
use crate::model::clock::Clock;
use crate::model::id::{IdSource, SchemaId};
use crate::model::schema::{Ownership, SchemaRecord};
use crate::storage::{OnConflict, SchemaChange, Store};

pub use error::RegisterError;
pub use loaded_contract::LoadedContract;
pub use refresh::{ContractSlot, ContractSlots};

use cache::ContractCache;
use metrics::RegistryMetrics;

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
/// The id of a document without a title, made from its file's name.
pub fn id_of_file(contract: &Contract, path: &Path) -> Option<SchemaId> {
    if !slug(contract.title()).is_empty() {
        return None;
    }
    SchemaId::new(&slug(&path.file_stem()?.to_string_lossy())).ok()
}

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
