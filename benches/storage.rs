//! How fast records are stored and asked for.
//!
//! `cargo bench --bench storage` prints rows per second of one connection writing 2 KiB records
//! with bodies, for SQLite in a temporary file and, when `CVT_BENCH_POSTGRES` names a database
//! to fill, PostgreSQL. `-- --rows 1000000` also times pages and analytics over that many rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::clock::{SystemClock, Timestamp};
use cvt_sidecar::model::mode::Mode;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::{Violation, ViolationCode};
use cvt_sidecar::redaction::{Hints, Redacted, Redactor, Rules};
use cvt_sidecar::storage::{
    self, Access, AnalyticsOptions, PageRequest, Store, StoreResult, ValidationFilter,
};
use uuid::Uuid;

/// Records per transaction.
const BATCHES: [usize; 3] = [100, 1_000, 4_000];
/// 2023-11-14T22:13:20Z.
const START: i64 = 1_700_000_000_000_000;
/// Records lie this far apart, so that a million spans ninety days.
const STEP: i64 = 7_776_000;

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> StoreResult<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let rows = arguments.iter().position(|argument| argument == "--rows");
    let rows: usize = rows.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| storage::StoreError::Unexpected(error.to_string()))?;
    runtime.block_on(async {
        let dir = std::env::temp_dir().join(format!("cvt-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)
            .map_err(|error| storage::StoreError::Refused(error.to_string()))?;
        let sqlite = StorageSettings::Sqlite { path: dir.join("cvt.db") };
        let done = bench(&sqlite, rows).await;
        let _ = std::fs::remove_dir_all(&dir);
        done?;
        if let Ok(dsn) = std::env::var("CVT_BENCH_POSTGRES") {
            let postgres = StorageSettings::parse(&dsn).map_err(storage::StoreError::Refused)?;
            bench(&postgres, rows).await?;
        }
        Ok(())
    })
}

async fn bench(settings: &StorageSettings, rows: usize) -> StoreResult<()> {
    let store = storage::open(settings, Access::Write, Arc::new(SystemClock)).await?;
    println!("{}", store.backend());
    let mut next = 0;
    for size in BATCHES {
        next = write(&store, next, rows / BATCHES.len(), size).await?;
    }
    ask(&store, next).await?;
    store.close().await;
    Ok(())
}

/// Writes about `count` records in batches of `size`; prints the rate and returns the next number.
async fn write(
    store: &Arc<dyn Store>,
    first: usize,
    count: usize,
    size: usize,
) -> StoreResult<usize> {
    let (mut next, mut spent) = (first, Duration::ZERO);
    while next < first + count {
        let batch: Vec<_> = (next..next + size).map(record).collect();
        let start = now();
        store.record_validations(&batch).await?;
        spent += start.elapsed();
        next += size;
    }
    let rate = (next - first) as f64 / spent.as_secs_f64();
    println!("  write {size:>5} per batch   {rate:>9.0} rows/s");
    Ok(next)
}

async fn ask(store: &Arc<dyn Store>, rows: usize) -> StoreResult<()> {
    let at = |row: usize| Timestamp::from_micros(START + i64::try_from(row).unwrap_or(0) * STEP);
    let none = ValidationFilter::default;
    let day = || ValidationFilter {
        from: Some(at(rows / 2)),
        until: Some(at(rows / 2 + rows / 90)),
        ..none()
    };
    for (name, filter) in [
        ("all", none()),
        ("invalid", ValidationFilter { valid: Some(false), ..none() }),
        ("one schema", ValidationFilter { schema_id: Some("schema-3".into()), ..none() }),
        ("one consumer", ValidationFilter { consumer_id: Some("consumer-7".into()), ..none() }),
        ("one operation", ValidationFilter { operation: Some("/books/{id}/5".into()), ..none() }),
        ("one code", ValidationFilter { code: Some("request.body.schema".into()), ..none() }),
        ("a ninetieth of the time", day()),
        (
            "the same of one schema",
            ValidationFilter { schema_id: Some("schema-3".into()), ..day() },
        ),
    ] {
        let page = time(3, async || {
            store.list_validations(&filter, &PageRequest::first(100)).await.map(drop)
        });
        let options = AnalyticsOptions { bucket: Some(Duration::from_hours(1)), top: 10 };
        let page = page.await?;
        let analytics =
            time(3, async || store.get_validation_analytics(&filter, &options).await.map(drop));
        println!(
            "  {name:<24} of {rows} rows: page {:>8.1} ms, analytics {:>8.1} ms",
            page.as_secs_f64() * 1e3,
            analytics.await?.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// The fastest of some runs.
async fn time<F: AsyncFnMut() -> StoreResult<()>>(runs: u32, mut run: F) -> StoreResult<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let start = now();
        run().await?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// The `n`th record, about 2 KiB; every tenth breaks the contract.
fn record(n: usize) -> Redacted<ValidationRecord> {
    let valid = !n.is_multiple_of(10);
    let code = ViolationCode::ALL[n / 10 % ViolationCode::ALL.len()];
    let violation = Violation {
        code,
        name: None,
        instance_pointer: "/items/0/title".into(),
        schema_pointer: "/components/schemas/Book/properties/title/type".into(),
        keyword: "type".into(),
        position: None,
        message: "expected text".into(),
    };
    let micros = START + i64::try_from(n).unwrap_or(0) * STEP;
    let record = ValidationRecord {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n as u128),
        schema_id: format!("schema-{}", n % 20),
        schema_version: "1.0.0".into(),
        schema_hash: "ab".repeat(32),
        request_method: ["GET", "POST", "PUT"][n % 3].into(),
        request_path: format!("/books/{n}?page=2"),
        request_headers: headers(),
        request_body: Some(format!("{{\"title\":\"{}\"}}", "x".repeat(500))),
        response_status: Some(200),
        response_headers: headers(),
        response_body: Some(format!("{{\"title\":\"{}\"}}", "y".repeat(500))),
        valid,
        errors: if valid { Vec::new() } else { vec![violation.to_line()] },
        duration_ms: 12,
        validated_at: Timestamp::from_micros(micros),
        environment: "prod".into(),
        client_id: format!("consumer-{}", n % 50),
        client_ip: "10.0.0.7".into(),
        operation: Some(format!("/books/{{id}}/{}", n % 40)),
        violations: if valid { Vec::new() } else { vec![violation] },
        skipped: Vec::new(),
        consumer_id: format!("consumer-{}", n % 50),
        consumer_version: "2.1.0".into(),
        mode: Mode::Warn,
        request_id: format!("request-{n}"),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        upstream_us: Some(9_000),
        duration_us: 12_345,
        rejected: None,
        request_size: 512,
        response_size: 512,
    };
    let rules = Rules { patterns: false, ..Rules::default() };
    match Redactor::new(&rules) {
        Ok(redactor) => redactor.record(record, Hints::default()),
        Err(error) => unreachable!("the default rules are sound: {error}"),
    }
}

fn headers() -> Vec<(String, String)> {
    [
        ("Host", "books.example"),
        ("User-Agent", "shop/2.1.0 (linux; x86_64)"),
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
