//! What the body of an entry says.

use serde::Deserialize;
use uuid::Uuid;

use crate::model::group::ViolationGroup;
use crate::model::record::ValidationRecord;
use crate::model::usage::OperationUsage;
use crate::observer::parcel::Parcel;
use crate::redaction::Redacted;

/// The form of a body that is JSON.
pub(super) const PLAIN: u8 = 1;

/// A parcel as it was written down.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Records(Vec<ValidationRecord>),
    Usage(Uuid, Vec<OperationUsage>),
    Groups(Uuid, Vec<ViolationGroup>),
}

/// The body of a parcel.
pub(super) fn write(parcel: &Parcel) -> Result<Vec<u8>, String> {
    serde_json::to_vec(parcel).map_err(|error| error.to_string())
}

/// The parcel of a body. A message says where it cannot be read and nothing of what it holds.
pub(super) fn read(form: u8, body: &[u8]) -> Result<Parcel, String> {
    if form != PLAIN {
        return Err(format!("form {form} is not known to this version"));
    }
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
