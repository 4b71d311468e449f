//! Why a document was not registered.

use crate::contract::ContractError;
use crate::model::id::InvalidSchemaId;
use crate::storage::StoreError;

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
    #[error(
        "no id can be made from the document's title; set schema_id (--schema ID or CVT_SCHEMA_ID): {0}"
    )]
    Id(#[from] InvalidSchemaId),
    /// The store refused it or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Compiling was cut off.
    #[error("compiling the document was cut off; a defect of ours")]
    Interrupted,
}
