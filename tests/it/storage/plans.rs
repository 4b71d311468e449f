//! How PostgreSQL answers: by indexes, and by the days asked for alone, of which a page reads
//! no more than it takes to fill it.
//!
//! The server explains every statement it runs into its log, so these are the statements and
//! the plans of the store itself.

use std::time::Duration;

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{self, Access, AnalyticsOptions, PageRequest, ValidationFilter};

use super::fixtures::{at, id, invalid, record, redact_all};
use super::server::Server;
use super::store_fixture::clock;

const DAY: i64 = 86_400;

/// Twenty days of records, every tenth invalid, of 20 schemas, 50 consumers and 40 operations.
fn records() -> Vec<ValidationRecord> {
    (0..20_000)
        .map(|n| {
            let kept = if n % 10 == 0 {
                invalid(n, ViolationCode::REQUEST_BODY_SCHEMA)
            } else {
                record(n)
            };
            ValidationRecord {
                validated_at: at(n * 20 * DAY / 20_000),
                schema_id: format!("schema-{}", n % 20),
                consumer_id: format!("consumer-{}", n % 50),
                path_template: Some(format!("/operation/{}", n % 40)),
                ..kept
            }
        })
        .collect()
}

/// Whether a plan reads all rows of a day; of the first and the last day there are so few that
/// it may.
fn reads_a_day_whole(plan: &str) -> bool {
    plan.lines()
        .filter(|step| step.contains("Seq Scan on validation_runs"))
        .any(|step| !step.contains("_20231114") && !step.contains("_20231204"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_goes_by_indexes_and_days() {
    let server = Server::start(&["fsync = off", "shared_preload_libraries = 'auto_explain'"]);
    let settings = StorageSettings::Postgres(server.settings("postgres"));
    let store = storage::open(&settings, Access::Write, clock()).await.unwrap();
    for batch in records().chunks(2_000) {
        store.record_validations(&redact_all(batch)).await.unwrap();
    }
    server.psql("postgres", "VACUUM ANALYZE");
    store.close().await;
    server.psql("postgres", "ALTER DATABASE postgres SET auto_explain.log_min_duration = 0");
    let store = storage::open(&settings, Access::Write, clock()).await.unwrap();
    let none = ValidationFilter::default;
    let day =
        || ValidationFilter { from: Some(at(5 * DAY)), until: Some(at(5 * DAY + 3_600)), ..none() };
    for filter in [
        none(),
        day(),
        ValidationFilter { schema_id: Some("schema-3".into()), ..none() },
        ValidationFilter { schema_id: Some("schema-3".into()), ..day() },
        ValidationFilter { consumer_id: Some("consumer-7".into()), ..none() },
        ValidationFilter { path_template: Some("/operation/9".into()), ..none() },
        ValidationFilter { valid: Some(false), ..day() },
        ValidationFilter { code: Some("request.body.schema".into()), ..none() },
        ValidationFilter { code: Some("request.body.schema".into()), ..day() },
    ] {
        let before = server.log().len();
        store.list_validations(&filter, &PageRequest::first(20)).await.unwrap();
        let log = server.log();
        let plan = &log[before..];
        assert!(plan.contains("Query Text: SELECT id, schema_id"), "{plan}");
        assert!(!reads_a_day_whole(plan), "{filter:?}: {plan}");
        // what an index found in an hour or for a name may be sorted, a day never
        let sorted = plan.contains("Sort Key: r.validated_at") && !plan.contains("Presorted Key");
        assert!(!sorted || filter != none(), "{plan}");
        // the newest two or three days hold 20 records of every filter
        let older = (1115..1130).any(|day| plan.contains(&format!("validation_runs_2023{day}")));
        assert!(!older || filter.from.is_some(), "{filter:?}: {plan}");
        if filter == day() {
            let days = plan.matches("validation_runs_2023").count();
            assert!(days > 0 && !plan.contains("validation_runs_20231125"), "{plan}");
        }
    }
    for filter in [
        none(),
        day(),
        ValidationFilter { valid: Some(false), ..none() },
        ValidationFilter { schema_id: Some("schema-3".into()), ..day() },
        ValidationFilter { consumer_id: Some("consumer-7".into()), ..none() },
        ValidationFilter { path_template: Some("/operation/9".into()), ..none() },
        ValidationFilter { code: Some("request.body.schema".into()), ..none() },
    ] {
        let before = server.log().len();
        let options = AnalyticsOptions { bucket: Some(Duration::from_hours(1)), top: 10 };
        store.get_validation_analytics(&filter, &options).await.unwrap();
        let log = server.log();
        let plan = &log[before..];
        assert!(plan.contains("Query Text: WITH parts AS"), "{plan}");
        assert!(!reads_a_day_whole(plan), "{filter:?}: {plan}");
        assert!(!plan.contains("Seq Scan on validation_rollups"), "{filter:?}: {plan}");
        let records = plan.contains("on validation_runs_");
        assert!(!records || filter.from.is_some(), "reads records: {filter:?}: {plan}");
    }
    let before = server.log().len();
    assert!(store.get_validation(id(77)).await.unwrap().is_some());
    assert!(!reads_a_day_whole(&server.log()[before..]));
}
