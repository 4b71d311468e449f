//! Finding and registering contracts.
//!
//! What must hold: a document is compiled once, at registration, off the async threads; it is
//! stored before the cache learns of it; whoever pinned a contract keeps it, whatever the
//! cache does.

mod cache;
pub mod files;
pub mod metrics;
mod refresh;
pub mod sources;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::cache::CacheSettings;
use crate::config::rules::RuleSettings;
use crate::contract::sensitive::Sensitive;
use crate::contract::{
    CompileOptions, CompiledOperation, Contract, ContractError, Files, OperationIndex,
};
use crate::model::clock::Clock;
use crate::model::id::{IdSource, InvalidSchemaId, SchemaId};
use crate::model::schema::{Ownership, SchemaRecord};
use crate::redaction::{ContractMasks, PointerSet};
use crate::storage::{OnConflict, SchemaChange, Store, StoreError};

pub use refresh::{Slot, Slots};

use cache::ContractCache;
use metrics::RegistryMetrics;

/// A contract in force, with what records say about it.
#[derive(Debug)]
pub struct LoadedContract {
    /// The id it is registered under.
    pub schema_id: SchemaId,
    /// The contract.
    pub contract: Contract,
    /// What its operations say must be masked, by their index.
    masks: Vec<ContractMasks>,
    /// For messages of no documented operation: what any operation would have masked.
    unknown: ContractMasks,
}

/// A document to register.
pub struct Registration {
    /// The document.
    pub content: Vec<u8>,
    /// Documents beside it that it may refer to.
    pub files: Arc<dyn Files + Send + Sync>,
    /// What is to be known of it.
    pub details: Details,
}

/// A document that was compiled and is not registered yet.
#[derive(Debug)]
pub struct Compiled {
    text: String,
    contract: Contract,
}

/// What is known of a document besides its text.
pub struct Details {
    /// The id to register it under; made from its title when not given.
    pub schema_id: Option<SchemaId>,
    /// Who answers for it.
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
    /// The store refused it or is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Compiling was cut off.
    #[error("compiling the document was cut off; a defect of ours")]
    Interrupted,
}

/// The use cases around contracts. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn Store>,
    cache: ContractCache,
    metrics: RegistryMetrics,
    /// Held by whoever shows which contracts are in force.
    showing: Mutex<()>,
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

// === impl Compiled ===

impl Compiled {
    /// Compiles a document by `options`, off the async threads; references to other files go
    /// to `files`.
    pub async fn new(
        content: Vec<u8>,
        files: Arc<dyn Files + Send + Sync>,
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

    /// What it was compiled to.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }
}

/// How documents are compiled by the settings.
pub fn compile_options(rules: &RuleSettings, document_limit: usize) -> CompileOptions<'static> {
    let mut options = CompileOptions::of(rules);
    options.limits.bytes = document_limit;
    options
}

// === impl LoadedContract ===

impl LoadedContract {
    /// A contract registered under `schema_id`.
    pub fn new(schema_id: SchemaId, contract: Contract) -> Self {
        let masks = contract.operations().iter().map(masks_of).collect();
        let unknown = masks_of_all(contract.operations());
        Self { schema_id, contract, masks, unknown }
    }

    /// What must be masked in the messages of one operation; in those of none, what any
    /// operation's would have masked.
    pub fn masks(&self, operation: Option<OperationIndex>) -> &ContractMasks {
        operation.and_then(|index| self.masks.get(index.as_usize())).unwrap_or(&self.unknown)
    }
}

fn masks_of_all(operations: &[CompiledOperation]) -> ContractMasks {
    let all = || operations.iter().map(|operation| &operation.sensitive);
    let union = |pick: fn(&Sensitive) -> &Vec<String>| -> Vec<String> {
        let names: BTreeSet<&String> = all().flat_map(pick).collect();
        names.into_iter().cloned().collect()
    };
    ContractMasks {
        request_body: places(&union(|secret| &secret.request_body)),
        response_body: places(&union(|secret| &secret.response_body)),
        request_headers: union(|secret| &secret.request_headers),
        response_headers: union(|secret| &secret.response_headers),
        query: union(|secret| &secret.query),
        path_segments: Vec::new(),
    }
}

/// The engine makes these pointers from the document's own: they are well-formed. Were one not,
/// the names it stands for would still be masked by the redactor's own rules.
fn places(pointers: &[String]) -> PointerSet {
    PointerSet::new(pointers.iter().map(String::as_str)).unwrap_or_default()
}

fn masks_of(operation: &CompiledOperation) -> ContractMasks {
    let secret = &operation.sensitive;
    ContractMasks {
        request_body: places(&secret.request_body),
        response_body: places(&secret.response_body),
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
            parts: Arc::new(Parts {
                store: parts.store,
                cache,
                metrics: parts.metrics,
                showing: Mutex::new(()),
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
        let outcome = match Compiled::new(content, files, self.parts.options.clone()).await {
            Ok(compiled) => self.enter(compiled, details).await,
            Err(error) => Err(error),
        };
        self.parts.metrics.registered(outcome.as_ref().err());
        outcome
    }

    /// The same for a document that is compiled already.
    pub async fn register_compiled(
        &self,
        compiled: Compiled,
        details: Details,
    ) -> Result<Arc<LoadedContract>, RegisterError> {
        let outcome = self.enter(compiled, details).await;
        self.parts.metrics.registered(outcome.as_ref().err());
        outcome
    }

    /// The contract of a schema, latest or of one version: from the cache, else from storage.
    /// Callers that ask for the same one at once share one look-up.
    pub async fn lookup(
        &self,
        schema_id: &SchemaId,
        version: Option<&str>,
    ) -> Result<Option<Arc<LoadedContract>>, Arc<RegisterError>> {
        self.parts.cache.get(schema_id, version, self.load(schema_id, version)).await
    }

    async fn enter(
        &self,
        compiled: Compiled,
        details: Details,
    ) -> Result<Arc<LoadedContract>, RegisterError> {
        let Compiled { text, contract } = compiled;
        let schema_id = match details.schema_id {
            Some(id) => id,
            None => SchemaId::new(&slug(contract.title()))?,
        };
        let now = self.parts.clock.now();
        let record = SchemaRecord {
            id: self.parts.ids.next_id(),
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
        let stored = self.parts.store.set_schema(&record, details.on_conflict).await?;
        if matches!(stored.change, SchemaChange::Replaced) {
            tracing::warn!(
                event = "schema_replaced",
                schema_id = schema_id.as_str(),
                version = contract.version(),
                "this version was registered before with other content; the new one holds"
            );
        }
        let loaded = Arc::new(LoadedContract::new(schema_id, contract));
        self.parts.cache.put(&loaded).await;
        Ok(loaded)
    }

    async fn load(
        &self,
        schema_id: &SchemaId,
        version: Option<&str>,
    ) -> Result<Option<Arc<LoadedContract>>, RegisterError> {
        let store = &self.parts.store;
        let record = match version {
            Some(version) => store.get_schema_version(schema_id.as_str(), version).await?,
            None => store.get_schema(schema_id.as_str()).await?,
        };
        let Some(record) = record else { return Ok(None) };
        let options = self.parts.options.clone();
        let files = Arc::new(crate::contract::NoFiles);
        let compiled = Compiled::new(record.content.into_bytes(), files, options).await?;
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
