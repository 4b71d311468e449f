//! Brings a database to this version's form.
//!
//! Migrations are numbered alike for both databases, only go forward, and never change once
//! released: the table `migrations` keeps each one's hash and a difference is an error. All
//! pending ones run in one transaction under a lock, so that an interrupted run leaves nothing
//! behind and a second process waits for the first. A new migration is one file per database
//! and one line in [`MIGRATIONS`].

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Dialect, Link, Query, Reader, Row, Value};
use crate::model::clock::Timestamp;
use crate::storage::error::StoreError;
use crate::storage::query::MigrationReport;
use crate::storage::store::StoreResult;

/// One step from a version of the tables to the next.
pub(crate) struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $file,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// Every migration there is, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    migration!(1, "001_init"),
    migration!(2, "002_consumers"),
    migration!(3, "003_rejected"),
    migration!(4, "004_rollups"),
    migration!(5, "005_recent"),
];

/// PostgreSQL's advisory lock of all our migrations: "cvt-side" as a number.
const LOCK: i64 = 0x6376_742d_7369_6465;

const TABLE_SQLITE: &str = "CREATE TABLE migrations (version INTEGER NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, hash TEXT NOT NULL, applied_at INTEGER NOT NULL)";
const TABLE_POSTGRES: &str = "CREATE TABLE migrations (version BIGINT NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, hash TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL)";

/// What a database says about itself.
struct State {
    /// Whether the table `migrations` is there.
    table: bool,
    /// The newest migration applied, 0 for none.
    version: i64,
}

// === impl Migration ===

impl Migration {
    fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    /// Hex SHA-256 of the text.
    fn hash(&self, dialect: Dialect) -> String {
        let digest = Sha256::digest(self.text(dialect));
        digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // writing to a String cannot fail
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The newest migration among `migrations`.
fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |last| last.version)
}

/// Runs what is pending, in a transaction the caller commits; only reports when `dry_run`.
pub(crate) async fn migrate(
    link: &mut Link<'_>,
    migrations: &[Migration],
    now: Timestamp,
    dry_run: bool,
) -> StoreResult<MigrationReport> {
    if link.dialect() == Dialect::Postgres && !dry_run {
        // building an index may take longer than any other statement
        link.script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min'".to_owned())
            .await?;
        link.run(Query::new("SELECT pg_advisory_xact_lock($1)", [LOCK.into()])).await?;
    }
    let state = state(link, migrations).await?;
    let pending: Vec<_> =
        migrations.iter().filter(|migration| migration.version > state.version).collect();
    let report = MigrationReport {
        from: state.version,
        to: newest(migrations),
        steps: pending.iter().map(|step| (step.version, step.name.to_owned())).collect(),
        applied: !dry_run,
    };
    if dry_run {
        return Ok(report);
    }
    if !state.table {
        let table = match link.dialect() {
            Dialect::Sqlite => TABLE_SQLITE,
            Dialect::Postgres => TABLE_POSTGRES,
        };
        link.script(table.to_owned()).await?;
    }
    for step in pending {
        link.script(step.text(link.dialect()).to_owned()).await?;
        let values: [Value; 4] = [
            step.version.into(),
            step.name.into(),
            step.hash(link.dialect()).as_str().into(),
            now.into(),
        ];
        let note = "INSERT INTO migrations (version, name, hash, applied_at) \
             VALUES ($1, $2, $3, $4)";
        link.run(Query::new(note, values)).await?;
    }
    Ok(report)
}

/// Refuses a database that lacks migrations.
pub(crate) async fn check(link: &mut Link<'_>) -> StoreResult<()> {
    let (found, needed) = (state(link, MIGRATIONS).await?.version, newest(MIGRATIONS));
    if found < needed {
        return Err(StoreError::NotMigrated { found, needed });
    }
    Ok(())
}

async fn state(link: &mut Link<'_>, migrations: &[Migration]) -> StoreResult<State> {
    let columns = columns_of(link, "migrations").await?;
    if columns.is_empty() {
        if !columns_of(link, "schemas").await?.is_empty() {
            return Err(StoreError::Foreign("it has a table `schemas` that is not ours".into()));
        }
        return Ok(State { table: false, version: 0 });
    }
    if !columns.iter().any(|column| column == "hash") {
        return Err(StoreError::Foreign("it was written by another program, CVT perhaps".into()));
    }
    let rows =
        link.rows(Query::new("SELECT version, hash FROM migrations ORDER BY version", [])).await?;
    let mut version = 0;
    for row in &rows {
        version = verify(row, migrations, link.dialect())?;
    }
    Ok(State { table: true, version })
}

/// Compares an applied migration with ours.
fn verify(row: &Row, migrations: &[Migration], dialect: Dialect) -> StoreResult<i64> {
    let row = Reader::new(row, "migrations", "hash");
    let (version, hash) = (row.int("version")?, row.text("hash")?);
    let known = newest(migrations);
    if version > known {
        return Err(StoreError::NewerDatabase { found: version, known });
    }
    match migrations.iter().find(|migration| migration.version == version) {
        Some(ours) if ours.hash(dialect) == hash => Ok(version),
        _ => Err(StoreError::Foreign(format!(
            "its migration {version} is not the one this version knows"
        ))),
    }
}

/// The columns of a table; none when it is not there.
async fn columns_of(link: &mut Link<'_>, table: &str) -> StoreResult<Vec<String>> {
    let text = match link.dialect() {
        Dialect::Sqlite => "SELECT name FROM pragma_table_info($1)",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1"
        }
    };
    let rows = link.rows(Query::new(text, [table.into()])).await?;
    rows.iter().map(|row| Reader::new(row, "columns", "name").text("name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_by_one_and_match_their_files() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, i64::try_from(index).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:03}_", migration.version)));
        }
    }
}
