//! Nothing that names a purged consumer is left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{
    Access, AnalyticsOptions, PageRequest, Purge, Store, UsageFilter, ValidationFilter,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use uuid::Uuid;

use super::fixtures::{group, invalid, record, redact_all, usage};
use super::raw_database::RawDatabase;
use super::store_fixture::server;

/// A name that nothing else contains.
const NAME: &str = "zaphod-beeblebrox";

/// Record `n`; every third is of the consumer to forget, every fourth breaks a rule.
fn of(n: i64) -> ValidationRecord {
    let mut record = match n % 4 {
        0 => invalid(n, ViolationCode::REQUEST_BODY_SCHEMA),
        _ => record(n),
    };
    if n % 3 == 0 {
        record.consumer_id = NAME.into();
        record.client_id = NAME.into();
        record.path_template = Some(format!("/operation/{}", n % 7));
    }
    record.response_body = Some("y".repeat(700));
    record
}

async fn fill(store: &dyn Store) {
    for first in (0..1_200).step_by(100) {
        let records: Vec<_> = (first..first + 100).map(of).collect();
        store.record_validations(&redact_all(&records)).await.unwrap();
    }
    let usages = [usage(NAME, "/books", 1, &["title"]), usage("shop", "/books", 1, &["title"])];
    store.merge_usage(Uuid::from_u128(1), &usages).await.unwrap();
    let mut named = group("f1", 1);
    named.consumers = vec![NAME.into(), "shop".into()];
    store.merge_groups(Uuid::from_u128(2), &[named, group("f2", 1)]).await.unwrap();
}

/// All that the command does.
async fn purge(store: &dyn Store) -> u64 {
    let mut records = 0;
    loop {
        match store.purge(Purge::ConsumerRecords(NAME), 150).await.unwrap() {
            0 => break,
            some => records += some,
        }
    }
    store.deregister_consumer(NAME, "books", "prod").await.unwrap();
    while store.purge(Purge::ConsumerInGroups(NAME), 10).await.unwrap() > 0 {}
    records
}

/// The tables that hold the name somewhere.
async fn tables_that_name_it(raw: &RawDatabase) -> Vec<String> {
    let mut named = Vec::new();
    match &raw.settings {
        StorageSettings::Postgres(settings) => {
            let tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND \
                 relnamespace = 'public'::regnamespace";
            for table in server().psql(&settings.database, tables).lines() {
                let rows = format!(
                    "SELECT count(*) FROM {table} AS t WHERE strpos(CAST(t AS TEXT), '{NAME}') > 0"
                );
                if server().psql(&settings.database, &rows).trim() != "0" {
                    named.push(table.to_owned());
                }
            }
        }
        StorageSettings::Sqlite { path } => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut conn = options.connect().await.unwrap();
            let columns = "SELECT m.name, c.name FROM sqlite_schema AS m \
                 JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'";
            for row in sqlx::query(columns).fetch_all(&mut conn).await.unwrap() {
                let (table, column): (String, String) = (row.get(0), row.get(1));
                let rows =
                    format!("SELECT COUNT(*) FROM {table} WHERE instr(\"{column}\", '{NAME}') > 0");
                let rows = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut conn).await;
                if rows.unwrap_or(0_i64) != 0 {
                    named.push(format!("{table}.{column}"));
                }
            }
        }
        StorageSettings::Memory => unreachable!("memory has no tables"),
    }
    named
}

/// The files of a database that hold the name, also where nothing is stored any more.
fn files_that_contain_it(path: &Path) -> Vec<String> {
    let files = ["", "-wal", "-shm"].map(|end| format!("{}{end}", path.display()));
    let holds = |file: &String| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(NAME.len()).any(|window| window == NAME.as_bytes())
    };
    files.into_iter().filter(holds).collect()
}

async fn numbers(store: &Arc<dyn Store>) -> (u64, u64) {
    let options = AnalyticsOptions { bucket: Some(Duration::from_hours(1)), top: 10 };
    let of = async |consumer_id| {
        let filter = ValidationFilter { consumer_id, ..ValidationFilter::default() };
        store.get_validation_analytics(&filter, &options).await.unwrap().total_validations
    };
    (of(None).await, of(Some(NAME.to_owned())).await)
}

/// A sidecar runs and remembers the consumer's series while another process purges it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_consumer_leaves_nothing_and_may_come_back() {
    for raw in RawDatabase::both() {
        let running = raw.open(Access::Write).await.unwrap();
        fill(&*running).await;
        assert!(tables_that_name_it(&raw).await.len() > 3, "the search finds it");
        let purging = raw.open(Access::Write).await.unwrap();
        assert_eq!(purge(&*purging).await, 400, "{}", raw.kind());
        assert_eq!(tables_that_name_it(&raw).await, [""; 0], "{}", raw.kind());
        assert_eq!(numbers(&running).await, (800, 0));
        purging.close().await;
        let page = PageRequest::default();
        let left = running.list_usage(&UsageFilter::default(), &page).await.unwrap().items;
        assert_eq!(left, [usage("shop", "/books", 1, &["title"])]);
        // the sidecar still knows numbers that are gone
        let more: Vec<_> = (1_200..1_212).map(of).collect();
        assert_eq!(running.record_validations(&redact_all(&more)).await.unwrap(), 12);
        assert_eq!(numbers(&running).await, (812, 4), "{}", raw.kind());
    }
}

/// Deleted rows leave their bytes in a file until something else takes their place; here they
/// are overwritten, and the log beside the file is emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_contains_no_byte_of_a_purged_name() {
    let raw = RawDatabase::sqlite();
    let StorageSettings::Sqlite { path } = &raw.settings else { unreachable!("a file") };
    let running = raw.open(Access::Write).await.unwrap();
    fill(&*running).await;
    assert_ne!(files_that_contain_it(path), [""; 0], "the search finds it");
    let purging = raw.open(Access::Write).await.unwrap();
    purge(&*purging).await;
    assert_eq!(files_that_contain_it(path), [""; 0]);
    assert_eq!(numbers(&running).await, (800, 0));
}
