//! Rows in bulk by `COPY … FROM STDIN` in its binary form.
//!
//! Measured against multi-row INSERTs and one array per column, with thousands of records:
//! the statement is parsed once, values need no text form, and the server writes many rows to
//! a page at a time. COPY knows no ON CONFLICT: a row that is there already breaks the whole
//! statement, which is recognized here; nothing of it is stored.
//!
//! The form: <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4>

use sqlx::PgConnection;

use crate::storage::sql::Value;
use crate::storage::store::StoreResult;

/// Bytes handed to the connection at once.
const CHUNK: usize = 256 * 1024;
/// "PGCOPY", a check for mangled bytes, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;
/// The version of JSONB's binary form.
const JSONB: u8 = 1;

/// Copies rows into a table with its columns; `false`, and a broken transaction, when one of
/// them is there already.
pub(crate) async fn copy<const N: usize>(
    conn: &mut PgConnection,
    into: &str,
    rows: impl Iterator<Item = StoreResult<[Value; N]>>,
) -> StoreResult<bool> {
    let statement = format!("COPY {into} FROM STDIN (FORMAT binary)");
    let mut copy = conn.copy_in_raw(&statement).await?;
    let mut bytes = Vec::with_capacity(CHUNK + CHUNK / 4);
    bytes.extend_from_slice(HEADER);
    for row in rows {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                copy.abort("a row cannot be written").await?;
                return Err(error);
            }
        };
        bytes.extend_from_slice(&i16::try_from(N).unwrap_or(i16::MAX).to_be_bytes());
        for value in &row {
            write(value, &mut bytes);
        }
        if bytes.len() >= CHUNK {
            copy.send(bytes.as_slice()).await?;
            bytes.clear();
        }
    }
    bytes.extend_from_slice(&TRAILER);
    copy.send(bytes.as_slice()).await?;
    match copy.finish().await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes the length of a value and its bytes.
fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Text(Some(text)) => field(bytes, &[text.as_bytes()]),
        Value::Int(Some(number)) => field(bytes, &[&number.to_be_bytes()]),
        Value::Bool(flag) => field(bytes, &[&[u8::from(*flag)]]),
        Value::Time(at) => field(bytes, &[&at.as_micros().saturating_sub(EPOCH).to_be_bytes()]),
        Value::Id(Some(id)) => field(bytes, &[id.as_bytes()]),
        Value::Json(json) => field(bytes, &[&[JSONB], json.get().as_bytes()]),
        // lists are no columns of a table
        Value::Text(None) | Value::Int(None) | Value::Id(None) | Value::List(_) => {
            bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        }
    }
}

fn field(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
}
