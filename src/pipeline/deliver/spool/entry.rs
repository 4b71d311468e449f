//! What the body of an entry says.

use serde::Deserialize;
use uuid::Uuid;

use super::frame::FrameHeader;
use crate::encryption::{KeyId, Keyring};
use crate::model::group::ViolationGroup;
use crate::model::record::ValidationRecord;
use crate::model::usage::OperationUsage;
use crate::pipeline::deliver::batch::{BatchKind, WriteBatch};
use crate::redaction::Redacted;

/// The form of a body that is JSON.
pub(super) const PLAIN: u8 = 1;
/// The form of a body that is the id of a key, and JSON sealed with it.
pub(super) const SEALED: u8 = 2;

/// A batch as it was written down.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredBatch {
    Records(Vec<ValidationRecord>),
    Usage(Uuid, Vec<OperationUsage>),
    Groups(Uuid, Vec<ViolationGroup>),
}

/// The body of a batch, and its form. A seal holds in an entry of this kind and count only.
pub(super) fn write(keys: &Keyring, batch: &WriteBatch) -> Result<(u8, Vec<u8>), String> {
    let plain = serde_json::to_vec(batch).map_err(|error| error.to_string())?;
    let Some(key) = keys.active_key_id() else { return Ok((PLAIN, plain)) };
    let encryption_context = encryption_context(batch.kind(), batch.len() as u64);
    let sealed = keys.encrypt(&encryption_context, &plain).map_err(|error| error.to_string())?;
    Ok((SEALED, [key.to_string().as_bytes(), &sealed].concat()))
}

/// The batch of a body. A message says where it cannot be read and nothing of what it holds.
pub(super) fn read(keys: &Keyring, head: FrameHeader, body: &[u8]) -> Result<WriteBatch, String> {
    match head.form {
        PLAIN => read_plain(body),
        SEALED => {
            let (key, sealed) = body.split_at_checked(8).ok_or("it is too short")?;
            let key = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
            let key: KeyId = key.ok_or("it names no key")?;
            let encryption_context = encryption_context(head.kind, u64::from(head.count));
            read_plain(
                &keys
                    .decrypt(key, &encryption_context, sealed)
                    .map_err(|error| error.to_string())?,
            )
        }
        form => Err(format!("form {form} is not known to this version")),
    }
}

fn encryption_context(kind: BatchKind, count: u64) -> Vec<u8> {
    format!("spool {} {count}", kind.as_str()).into_bytes()
}

fn read_plain(body: &[u8]) -> Result<WriteBatch, String> {
    let written: StoredBatch = serde_json::from_slice(body).map_err(|error| {
        format!("line {}, column {}: {:?}", error.line(), error.column(), error.classify())
    })?;
    Ok(match written {
        StoredBatch::Records(records) => {
            WriteBatch::Records(records.into_iter().map(Redacted::assume_redacted).collect())
        }
        StoredBatch::Usage(batch, usage) => WriteBatch::Usage(batch, usage),
        StoredBatch::Groups(batch, groups) => WriteBatch::Groups(batch, groups),
    })
}
