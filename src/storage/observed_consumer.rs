//! What observed usage means for a consumer's registration; the same on every backend.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::model::clock::Timestamp;
use crate::model::consumer::{ConsumerRecord, EndpointUsage};
use crate::model::id::SchemaId;
use crate::model::usage::{OperationUsage, UsageKind};

/// The registration of a consumer that was only observed; `None` when the usage names a schema
/// that cannot be registered. Its id follows from its names, so that every replica that sees
/// the consumer first gives it the same.
pub(crate) fn registration_of(usage: &OperationUsage) -> Option<ConsumerRecord> {
    let (first, last) = seen_between(usage)?;
    Some(ConsumerRecord {
        id: id_of(&usage.consumer_id, &usage.schema_id, &usage.environment),
        consumer_id: usage.consumer_id.clone(),
        consumer_version: usage.consumer_version.clone(),
        schema_id: SchemaId::new(&usage.schema_id).ok()?,
        schema_version: usage.schema_version.clone(),
        environment: usage.environment.clone(),
        registered_at: first,
        last_validated_at: last,
        used_endpoints: Vec::new(),
    })
}

fn id_of(consumer_id: &str, schema_id: &str, environment: &str) -> Uuid {
    let mut hash = Sha256::new();
    for name in [consumer_id, schema_id, environment] {
        hash.update(name.len().to_be_bytes());
        hash.update(name);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn seen_between(usage: &OperationUsage) -> Option<(Timestamp, Timestamp)> {
    let first = usage.facts.iter().map(|fact| fact.first_seen).min()?;
    let last = usage.facts.iter().map(|fact| fact.last_seen).max()?;
    Some((first, last))
}

/// Adds observed `usage` to a registration. `used_endpoints` stays ordered by path and method,
/// its fields sorted; what belongs to no documented operation is no part of it.
pub(crate) fn add_usage(record: &mut ConsumerRecord, usage: &OperationUsage) {
    if let Some((_, last)) = seen_between(usage)
        && last >= record.last_validated_at
    {
        record.last_validated_at = last;
        if !usage.consumer_version.is_empty() {
            record.consumer_version.clone_from(&usage.consumer_version);
        }
        if !usage.schema_version.is_empty() {
            record.schema_version.clone_from(&usage.schema_version);
        }
    }
    if usage.path.is_empty() {
        return;
    }
    let endpoint = endpoint_of(&mut record.used_endpoints, &usage.method, &usage.path);
    for fact in usage.facts.iter().filter(|fact| fact.kind == UsageKind::ResponseField) {
        if let Err(at) = endpoint.used_fields.binary_search(&fact.name) {
            endpoint.used_fields.insert(at, fact.name.clone());
        }
    }
}

fn endpoint_of<'e>(
    endpoints: &'e mut Vec<EndpointUsage>,
    method: &str,
    path: &str,
) -> &'e mut EndpointUsage {
    let found = endpoints.iter().position(|known| known.method == method && known.path == path);
    let at = found.unwrap_or_else(|| {
        let at = endpoints.partition_point(|known| (&*known.path, &*known.method) < (path, method));
        let new = EndpointUsage {
            method: method.to_owned(),
            path: path.to_owned(),
            used_fields: Vec::new(),
        };
        endpoints.insert(at, new);
        at
    });
    let endpoint = &mut endpoints[at];
    // a registration by hand need not be sorted
    if !endpoint.used_fields.is_sorted() {
        endpoint.used_fields.sort_unstable();
    }
    endpoint
}
