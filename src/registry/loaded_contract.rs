//! An active contract, with the masks of its operations.

use std::collections::BTreeSet;

use crate::contract::sensitive::SensitiveParts;
use crate::contract::{CompiledOperation, Contract, OperationIndex};
use crate::model::id::SchemaId;
use crate::redaction::{ContractMasks, PointerSet};

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
