//! What a database's error means for the caller.

use std::io::ErrorKind;

use sqlx::error::DatabaseError;

use crate::storage::error::{DELETED_CONCURRENTLY, StoreError};

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(error) => from_database(&*error),
            E::Io(error) if error.kind() == ErrorKind::StorageFull => Self::Full(error.to_string()),
            // a certificate that does not fit: retrying does not help
            E::Io(error) if error.kind() == ErrorKind::InvalidData => {
                Self::Refused(format!("TLS: {error}"))
            }
            E::Io(error) => Self::Unavailable(error.to_string()),
            E::PoolTimedOut => Self::Unavailable("no connection became free in time".to_owned()),
            E::PoolClosed => Self::Unavailable("the store is closed".to_owned()),
            E::WorkerCrashed => Self::Unavailable("the connection's thread is gone".to_owned()),
            E::Protocol(text) => Self::Unavailable(format!("the connection broke: {text}")),
            E::Tls(error) => Self::Refused(format!("TLS: {error}")),
            E::Configuration(error) => Self::Refused(error.to_string()),
            other => Self::Unexpected(other.to_string()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    let message = error.message().to_owned();
    match error.code().as_deref() {
        Some(code) if code.len() == 5 => from_sqlstate(code, message),
        Some(code) => from_sqlite(code.parse().unwrap_or(0), message),
        None => StoreError::Unexpected(message),
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn from_sqlstate(code: &str, message: String) -> StoreError {
    match code {
        "53100" => StoreError::Full(message),
        "28000" | "28P01" | "3D000" | "42501" | "25006" => StoreError::Refused(message),
        // foreign_key_violation of a rollup key, check_violation of a day without partition
        "23503" | "23514" => StoreError::Unavailable(DELETED_CONCURRENTLY.to_owned()),
        // query_canceled is the statement timeout; 55P03 the lock timeout
        "57014" | "55P03" | "40001" | "40P01" => StoreError::Unavailable(message),
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(message)
        }
        _ => StoreError::Unexpected(format!("{message} (SQLSTATE {code})")),
    }
}

/// <https://www.sqlite.org/rescode.html>
fn from_sqlite(code: i32, message: String) -> StoreError {
    if code == 787 {
        // SQLITE_CONSTRAINT_FOREIGNKEY
        return StoreError::Unavailable(DELETED_CONCURRENTLY.to_owned());
    }
    match code & 0xff {
        5 | 6 | 9 | 10 | 15 | 17 => StoreError::Unavailable(message),
        13 => StoreError::Full(message),
        3 | 8 | 14 | 23 => StoreError::Refused(message),
        11 | 26 => StoreError::Foreign(message),
        _ => StoreError::Unexpected(format!("{message} (SQLite code {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_map_to_store_errors() {
        for (code, kind) in [
            ("53100", "full"),
            ("57014", "unavailable"),
            ("57P01", "unavailable"),
            ("08006", "unavailable"),
            ("28P01", "rejected"),
            ("42601", "unexpected"),
        ] {
            assert_eq!(from_sqlstate(code, String::new()).kind(), kind, "{code}");
        }
        for (code, kind) in [
            (5, "unavailable"),
            (517, "unavailable"),
            (13, "full"),
            (8, "rejected"),
            (26, "foreign"),
        ] {
            assert_eq!(from_sqlite(code, String::new()).kind(), kind, "{code}");
        }
    }
}
