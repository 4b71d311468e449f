//! What the body of an entry says.

use serde::Deserialize;
use uuid::Uuid;

use super::frame::Head;
use crate::model::group::ViolationGroup;
use crate::model::record::ValidationRecord;
use crate::model::usage::OperationUsage;
use crate::observer::parcel::{Parcel, ParcelKind};
use crate::redaction::Redacted;
use crate::sealing::{KeyId, Keyring};

/// The form of a body that is JSON.
pub(super) const PLAIN: u8 = 1;
/// The form of a body that is the id of a key, and JSON sealed with it.
pub(super) const SEALED: u8 = 2;

/// A parcel as it was written down.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Records(Vec<ValidationRecord>),
    Usage(Uuid, Vec<OperationUsage>),
    Groups(Uuid, Vec<ViolationGroup>),
}

/// The body of a parcel, and its form. A seal holds in an entry of this kind and count only.
pub(super) fn write(keys: &Keyring, parcel: &Parcel) -> Result<(u8, Vec<u8>), String> {
    let plain = serde_json::to_vec(parcel).map_err(|error| error.to_string())?;
    let Some(key) = keys.sealing_key() else { return Ok((PLAIN, plain)) };
    let place = place(parcel.kind(), parcel.len() as u64);
    let sealed = keys.seal(&place, &plain).map_err(|error| error.to_string())?;
    Ok((SEALED, [key.to_string().as_bytes(), &sealed].concat()))
}

/// The parcel of a body. A message says where it cannot be read and nothing of what it holds.
pub(super) fn read(keys: &Keyring, head: Head, body: &[u8]) -> Result<Parcel, String> {
    match head.form {
        PLAIN => read_plain(body),
        SEALED => {
            let (key, sealed) = body.split_at_checked(8).ok_or("it is too short")?;
            let key = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
            let key: KeyId = key.ok_or("it names no key")?;
            let place = place(head.kind, u64::from(head.count));
            read_plain(&keys.open(key, &place, sealed).map_err(|error| error.to_string())?)
        }
        form => Err(format!("form {form} is not known to this version")),
    }
}

fn place(kind: ParcelKind, count: u64) -> Vec<u8> {
    format!("spool {} {count}", kind.as_str()).into_bytes()
}

fn read_plain(body: &[u8]) -> Result<Parcel, String> {
    let written: Written = serde_json::from_slice(body).map_err(|error| {
        format!("line {}, column {}: {:?}", error.line(), error.column(), error.classify())
    })?;
    Ok(match written {
        Written::Records(records) => {
            Parcel::Records(records.into_iter().map(Redacted::read_back).collect())
        }
        Written::Usage(batch, usage) => Parcel::Usage(batch, usage),
        Written::Groups(batch, groups) => Parcel::Groups(batch, groups),
    })
}
