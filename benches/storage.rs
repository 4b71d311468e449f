//! How fast records are stored and asked for.
//!
//! `cargo bench --bench storage` prints rows per second of one connection writing 2 KiB records
//! with bodies as live traffic makes them, for SQLite in a temporary file and, when
//! `CVT_BENCH_POSTGRES` names a database to fill, PostgreSQL; the two take turns and each figure
//! is the median of its rounds. `-- --rows 1000000` also spreads that many over ninety days and
//! times pages and analytics over them: the first answer, for which a statement is prepared, and
//! the median of those that follow. `-- --ask 1000000` asks the PostgreSQL database again that
//! a run before has filled, and writes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::clock::{SystemClock, Timestamp};
use cvt_sidecar::model::mode::Mode;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::{Violation, ViolationCode};
use cvt_sidecar::redaction::{Redacted, RedactionContext, RedactionRules, Redactor};
use cvt_sidecar::storage::{
    self, Access, AnalyticsOptions, ExpireKind, PageRequest, Store, StoreResult, ValidationFilter,
};
use uuid::Uuid;

/// Records per transaction.
const BATCHES: [usize; 3] = [100, 1_000, 4_000];
/// Records written per round and size of batch.
const ROUND: usize = 12_000;
const ROUNDS: usize = 5;
/// 2023-11-14T22:13:20Z.
const START: i64 = 1_700_000_000_000_000;
/// Ninety days, in microseconds.
const SPREAD: i64 = 90 * 86_400 * 1_000_000;
/// Records of live traffic lie this far apart, in microseconds.
const LIVE: i64 = 50;

/// A store under measurement.
struct Subject {
    store: Arc<dyn Store>,
    /// Records made so far: the number of the next.
    next: usize,
    /// Seconds per record, by size of batch.
    spent: [Vec<f64>; BATCHES.len()],
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> StoreResult<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |flag: &str| -> usize {
        let at = arguments.iter().position(|argument| argument == flag);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(0)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| storage::StoreError::Unexpected(error.to_string()))?;
    let dir = std::env::temp_dir().join(format!("cvt-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)
        .map_err(|error| storage::StoreError::Refused(error.to_string()))?;
    let done = match number("--ask") {
        0 => runtime.block_on(bench(&dir, number("--rows"))),
        rows => runtime.block_on(ask_again(rows)),
    };
    let _ = std::fs::remove_dir_all(&dir);
    done
}

/// The PostgreSQL database to fill, if one is named.
fn postgres() -> StoreResult<Option<StorageSettings>> {
    let dsn = std::env::var("CVT_BENCH_POSTGRES").ok();
    let settings = dsn.map(|dsn| StorageSettings::parse(&dsn)).transpose();
    settings.map_err(storage::StoreError::Refused)
}

async fn ask_again(rows: usize) -> StoreResult<()> {
    if let Some(place) = postgres()? {
        let store = storage::open(&place, Access::Write, Arc::new(SystemClock)).await?;
        ask(&store, rows).await?;
        store.close().await;
    }
    Ok(())
}

async fn bench(dir: &Path, rows: usize) -> StoreResult<()> {
    let mut places = vec![StorageSettings::Sqlite { path: dir.join("cvt.db") }];
    places.extend(postgres()?);
    let mut subjects = Vec::new();
    for place in &places {
        let store = storage::open(place, Access::Write, Arc::new(SystemClock)).await?;
        subjects.push(Subject { store, next: 0, spent: Default::default() });
    }
    for _ in 0..ROUNDS {
        for (index, size) in BATCHES.into_iter().enumerate() {
            for subject in &mut subjects {
                let spent = subject.write(ROUND / size * size, size, LIVE).await?;
                subject.spent[index].push(spent);
            }
        }
    }
    for mut subject in subjects {
        println!("{}", subject.store.backend());
        for (size, spent) in BATCHES.into_iter().zip(&mut subject.spent) {
            println!("  write {size:>5} per batch   {:>9.0} rows/s", 1.0 / median(spent));
        }
        if rows > 0 {
            subject.spread(rows).await?;
            ask(&subject.store, rows).await?;
        }
        subject.store.close().await;
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Subject {
    /// Writes `count` records in batches of `size`, `step` microseconds apart; says how many
    /// seconds a record took.
    async fn write(&mut self, count: usize, size: usize, step: i64) -> StoreResult<f64> {
        let mut spent = Duration::ZERO;
        for _ in 0..count / size {
            let batch: Vec<_> = (self.next..self.next + size).map(|n| record(n, step)).collect();
            let start = now();
            self.store.record_validations(&batch).await?;
            spent += start.elapsed();
            self.next += size;
        }
        Ok(spent.as_secs_f64() / count as f64)
    }

    /// Empties the store, then spreads `rows` records over ninety days.
    async fn spread(&mut self, rows: usize) -> StoreResult<()> {
        let end = Timestamp::from_micros(i64::MAX / 4);
        let (start, mut expired) = (now(), 0);
        loop {
            match self.store.expire_validations(ExpireKind::All, end, 5_000).await? {
                0 => break,
                some => expired += some,
            }
        }
        let rate = expired as f64 / start.elapsed().as_secs_f64();
        println!("  expire  5000 per batch   {rate:>9.0} rows/s");
        self.next = 0;
        let step = SPREAD / i64::try_from(rows).unwrap_or(i64::MAX);
        let spent = self.write(rows / 4_000 * 4_000, 4_000, step).await?;
        println!("  {rows} spread over ninety days   {:>9.0} rows/s", 1.0 / spent);
        Ok(())
    }
}

async fn ask(store: &Arc<dyn Store>, rows: usize) -> StoreResult<()> {
    let part = |part: i64| Timestamp::from_micros(START + SPREAD / 1_000 * part);
    let none = ValidationFilter::default;
    let between = |from, until| ValidationFilter {
        from: Some(part(from)),
        until: Some(part(until)),
        ..none()
    };
    let day = || between(500, 511);
    for (name, filter) in [
        ("all", none()),
        ("invalid", ValidationFilter { valid: Some(false), ..none() }),
        ("one schema", ValidationFilter { schema_id: Some("schema-3".into()), ..none() }),
        ("one consumer", ValidationFilter { consumer_id: Some("consumer-7".into()), ..none() }),
        (
            "one operation",
            ValidationFilter { path_template: Some("/books/{id}/5".into()), ..none() },
        ),
        ("one code", ValidationFilter { code: Some("request.body.schema".into()), ..none() }),
        (
            "one operation of one schema",
            ValidationFilter {
                schema_id: Some("schema-3".into()),
                path_template: Some("/books/{id}/23".into()),
                ..none()
            },
        ),
        (
            "names that never meet",
            ValidationFilter {
                schema_id: Some("schema-3".into()),
                path_template: Some("/books/{id}/4".into()),
                ..none()
            },
        ),
        ("half of the time", between(251, 752)),
        ("a ninetieth of the time", day()),
        (
            "the same of one schema",
            ValidationFilter { schema_id: Some("schema-3".into()), ..day() },
        ),
    ] {
        let page = time(5, async || {
            store.list_validations(&filter, &PageRequest::first(100)).await.map(drop)
        });
        let options = AnalyticsOptions { bucket: Some(Duration::from_hours(1)), top: 10 };
        let page = page.await?;
        let analytics =
            time(5, async || store.get_validation_analytics(&filter, &options).await.map(drop));
        println!("  {name:<28} of {rows} rows: page {page}, analytics {}", analytics.await?);
    }
    Ok(())
}

/// The first of some runs and the median of the others, in milliseconds.
async fn time<F: AsyncFnMut() -> StoreResult<()>>(runs: u32, mut run: F) -> StoreResult<String> {
    let mut spent = Vec::new();
    for _ in 0..=runs {
        let start = now();
        run().await?;
        spent.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let first = spent.remove(0);
    Ok(format!("{first:>6.1} then {:>6.1} ms", median(&mut spent)))
}

/// The `n`th record, about 2 KiB, `step` microseconds after the one before; every tenth breaks
/// the contract.
fn record(n: usize, step: i64) -> Redacted<ValidationRecord> {
    let valid = !n.is_multiple_of(10);
    let code = ViolationCode::ALL[n / 10 % ViolationCode::ALL.len()];
    let violation = Violation {
        code,
        name: None,
        instance_pointer: "/items/0/title".into(),
        schema_pointer: "/components/schemas/Book/properties/title/type".into(),
        keyword: "type".into(),
        found: String::new(),
        position: None,
        message: "expected text".into(),
    };
    let micros = START + i64::try_from(n).unwrap_or(0) * step;
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
        errors: if valid { Vec::new() } else { vec![violation.to_sentence()] },
        duration_ms: 12,
        validated_at: Timestamp::from_micros(micros),
        environment: "prod".into(),
        client_id: format!("consumer-{}", n % 50),
        client_ip: "10.0.0.7".into(),
        path_template: Some(format!("/books/{{id}}/{}", n % 40)),
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
        fault: (!valid).then_some(cvt_sidecar::model::fault::Fault::Service),
        request_size: 512,
        response_size: 512,
    };
    let rules = RedactionRules { patterns: false, ..RedactionRules::default() };
    match Redactor::new(&rules) {
        Ok(redactor) => redactor.record(record, RedactionContext::default()),
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
