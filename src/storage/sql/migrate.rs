//! Runs the migrations.
//!
//! Migrations are numbered alike for both databases, only go forward, and never change once
//! released: the table `migrations` keeps each one's hash and a difference is an error. All
//! pending ones run in one transaction under a lock, so that an interrupted run leaves nothing
//! behind and a second process waits for the first.
//!
//! In a rolling upgrade the previous version works with the tables of the next one. Each
//! migration therefore states the oldest version that can read and write them, named by the
//! newest migration that version has: a header line `-- oldest-reader: 5`, or else the migration
//! before it. The number is stored with the applied migration, so that an older version learns
//! from the database whether it may go on.
//!
//! A new migration is one file per database and one line in [`MIGRATIONS`].

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{DbConn, Query, RowReader, SqlDialect, Value};
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
    migration!(6, "006_path_template"),
    migration!(7, "007_faults"),
];

/// PostgreSQL's advisory lock of all our migrations: "cvt-side" as a number.
const LOCK: i64 = 0x6376_742d_7369_6465;

const TABLE_SQLITE: &str = "CREATE TABLE migrations (version INTEGER NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, hash TEXT NOT NULL, applied_at INTEGER NOT NULL, oldest_reader INTEGER)";
const TABLE_POSTGRES: &str = "CREATE TABLE migrations (version BIGINT NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, hash TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL, oldest_reader BIGINT)";
/// What a table `migrations` of an earlier version lacks; NULL stands for the migration before.
const ADD_OLDEST_READER: &str = "ALTER TABLE migrations ADD COLUMN oldest_reader BIGINT";
/// The header line of a migration that names its oldest reader.
const OLDEST_READER: &str = "-- oldest-reader:";

/// Which migrations a database has.
struct MigrationState {
    /// The columns of the table `migrations`; none when it is not there.
    columns: Vec<String>,
    /// The newest migration applied, 0 for none.
    version: i64,
}

// === impl Migration ===

impl Migration {
    fn text(&self, dialect: SqlDialect) -> &'static str {
        match dialect {
            SqlDialect::Sqlite => self.sqlite,
            SqlDialect::Postgres => self.postgres,
        }
    }

    /// Hex SHA-256 of the text.
    fn hash(&self, dialect: SqlDialect) -> String {
        let digest = Sha256::digest(self.text(dialect));
        digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // writing to a String cannot fail
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The newest migration of the oldest version that can use the tables from here on.
    fn oldest_reader(&self, dialect: SqlDialect) -> i64 {
        let mut header = self.text(dialect).lines().take_while(|line| line.starts_with("--"));
        let stated = header.find_map(|line| line.strip_prefix(OLDEST_READER)?.trim().parse().ok());
        stated.unwrap_or(self.version - 1)
    }
}

// === impl MigrationState ===

impl MigrationState {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

/// The newest migration in `migrations`.
fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |last| last.version)
}

/// Runs what is pending, in a transaction the caller commits; only reports when `dry_run`.
pub(crate) async fn migrate(
    conn: &mut DbConn<'_>,
    migrations: &[Migration],
    now: Timestamp,
    dry_run: bool,
) -> StoreResult<MigrationReport> {
    if conn.dialect() == SqlDialect::Postgres && !dry_run {
        // building an index may take longer than any other statement
        conn.script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min'".to_owned())
            .await?;
        conn.run(Query::new("SELECT pg_advisory_xact_lock($1)", [LOCK.into()])).await?;
    }
    let state = state(conn, migrations).await?;
    let pending: Vec<_> =
        migrations.iter().filter(|migration| migration.version > state.version).collect();
    let report = MigrationReport {
        from: state.version,
        to: newest(migrations).max(state.version),
        steps: pending.iter().map(|step| (step.version, step.name.to_owned())).collect(),
        applied: !dry_run,
    };
    if dry_run {
        return Ok(report);
    }
    if state.columns.is_empty() {
        let table = match conn.dialect() {
            SqlDialect::Sqlite => TABLE_SQLITE,
            SqlDialect::Postgres => TABLE_POSTGRES,
        };
        conn.script(table.to_owned()).await?;
    } else if !pending.is_empty() && !state.has("oldest_reader") {
        conn.script(ADD_OLDEST_READER.to_owned()).await?;
    }
    for step in pending {
        conn.script(step.text(conn.dialect()).to_owned()).await?;
        let values: [Value; 5] = [
            step.version.into(),
            step.name.into(),
            step.hash(conn.dialect()).as_str().into(),
            now.into(),
            step.oldest_reader(conn.dialect()).into(),
        ];
        let insert = "INSERT INTO migrations (version, name, hash, applied_at, oldest_reader) \
             VALUES ($1, $2, $3, $4, $5)";
        conn.run(Query::new(insert, values)).await?;
    }
    Ok(report)
}

/// Refuses a database that lacks migrations.
pub(crate) async fn check(conn: &mut DbConn<'_>) -> StoreResult<()> {
    let (found, needed) = (state(conn, MIGRATIONS).await?.version, newest(MIGRATIONS));
    if found < needed {
        return Err(StoreError::NotMigrated { found, needed });
    }
    Ok(())
}

async fn state(conn: &mut DbConn<'_>, migrations: &[Migration]) -> StoreResult<MigrationState> {
    let mut state = MigrationState { columns: columns_of(conn, "migrations").await?, version: 0 };
    if state.columns.is_empty() {
        if !columns_of(conn, "schemas").await?.is_empty() {
            return Err(StoreError::Foreign("it has a table `schemas` that is not ours".into()));
        }
        return Ok(state);
    }
    if !state.has("hash") {
        return Err(StoreError::Foreign("it was written by another program, CVT perhaps".into()));
    }
    let reader = if state.has("oldest_reader") { "oldest_reader" } else { "version - 1" };
    let applied = Query::build(format!(
        "SELECT version, hash, COALESCE({reader}, version - 1) AS reader FROM migrations \
         ORDER BY version"
    ));
    let (known, mut oldest_reader) = (newest(migrations), 0);
    for row in &conn.rows(applied).await? {
        let row = RowReader::new(row, "migrations", "hash");
        state.version = row.int("version")?;
        if state.version > known {
            oldest_reader = oldest_reader.max(row.int("reader")?);
        } else {
            verify(state.version, &row.text("hash")?, migrations, conn.dialect())?;
        }
    }
    if state.version > known {
        check_newer(state.version, known, oldest_reader)?;
    }
    Ok(state)
}

/// Compares an applied migration with ours.
fn verify(
    version: i64,
    hash: &str,
    migrations: &[Migration],
    dialect: SqlDialect,
) -> StoreResult<()> {
    match migrations.iter().find(|migration| migration.version == version) {
        Some(ours) if ours.hash(dialect) == hash => Ok(()),
        _ => Err(StoreError::Foreign(format!(
            "its migration {version} is not the one this version knows"
        ))),
    }
}

/// Refuses a newer database that this version cannot use.
fn check_newer(found: i64, known: i64, oldest_reader: i64) -> StoreResult<()> {
    if known < oldest_reader {
        return Err(StoreError::NewerDatabase { found, known, oldest_reader });
    }
    tracing::info!(
        event = "newer_database",
        found,
        known,
        "the database is of a newer version, and this version can use it"
    );
    Ok(())
}

/// The columns of a table; none when it is not there.
async fn columns_of(conn: &mut DbConn<'_>, table: &str) -> StoreResult<Vec<String>> {
    let text = match conn.dialect() {
        SqlDialect::Sqlite => "SELECT name FROM pragma_table_info($1)",
        SqlDialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1"
        }
    };
    let rows = conn.rows(Query::new(text, [table.into()])).await?;
    rows.iter().map(|row| RowReader::new(row, "columns", "name").text("name")).collect()
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

    #[test]
    fn each_migration_is_readable_by_the_version_before_it() {
        for migration in MIGRATIONS {
            let reader = migration.oldest_reader(SqlDialect::Sqlite);
            assert!(reader < migration.version, "{} locks its own release out", migration.name);
            assert_eq!(reader, migration.oldest_reader(SqlDialect::Postgres), "{}", migration.name);
        }
    }

    #[test]
    fn only_a_header_line_names_the_oldest_reader() {
        let of = |sqlite| {
            let migration = Migration { version: 7, name: "007_test", sqlite, postgres: "" };
            migration.oldest_reader(SqlDialect::Sqlite)
        };
        assert_eq!(of("-- A reason.\n-- oldest-reader: 4\nSELECT 1;"), 4);
        assert_eq!(of("SELECT 1;\n-- oldest-reader: 4\n"), 6);
    }
}
