//! Every metric is documented, is what its documentation says, and moves.

use std::collections::{BTreeMap, BTreeSet};

use super::{page, scenes};
use crate::support::{Client, Latch, MetricsScrape, ScriptedUpstream, Sidecar, SidecarSetup};

/// CVT's metrics (type and labels as CVT has them).
const OF_CVT: &[(&str, &str, &[&str])] = &[
    ("cvt_schemas_registered_total", "counter", &["status"]),
    ("cvt_schema_registration_errors_total", "counter", &["error_type"]),
    ("cvt_validations_total", "counter", &["method", "result", "schema_id"]),
    ("cvt_validation_duration_seconds", "histogram", &["method", "schema_id"]),
    ("cvt_validation_errors_total", "counter", &["error_category"]),
    ("cvt_cache_hits_total", "counter", &[]),
    ("cvt_cache_misses_total", "counter", &[]),
    ("cvt_cache_size_bytes", "gauge", &[]),
    ("cvt_cache_items_total", "gauge", &[]),
    ("cvt_grpc_requests_total", "counter", &["method", "status"]),
    ("cvt_grpc_request_duration_seconds", "histogram", &["method"]),
    ("cvt_breaking_changes_detected_total", "counter", &["change_type"]),
    ("cvt_schema_versions_total", "gauge", &["schema_id"]),
    ("cvt_auth_success_total", "counter", &[]),
    ("cvt_auth_failure_total", "counter", &["reason"]),
    ("cvt_auth_successes_total", "counter", &["key_name"]),
    ("cvt_auth_failures_total", "counter", &["reason"]),
    ("cvt_schemas_by_owner", "gauge", &["owner"]),
    ("cvt_schemas_by_team", "gauge", &["team"]),
    ("cvt_read_only_violations_total", "counter", &[]),
    ("cvt_audit_events_total", "counter", &["event_type"]),
    ("cvt_plugin_call_duration_seconds", "histogram", &["method", "plugin", "service"]),
    ("cvt_plugin_call_errors_total", "counter", &["code", "method", "plugin", "service"]),
    ("cvt_plugin_up", "gauge", &["plugin"]),
    ("cvt_plugin_info", "gauge", &["plugin", "sha256", "version"]),
    ("cvt_plugin_restarts_total", "counter", &["plugin"]),
];

/// What a run of scenes showed.
#[derive(Default)]
struct ExportedMetrics {
    kinds: BTreeMap<String, String>,
    labels: BTreeMap<String, BTreeSet<Vec<String>>>,
    moved: BTreeSet<String>,
}

// === impl ExportedMetrics ===

impl ExportedMetrics {
    fn add(&mut self, metrics: &MetricsScrape) {
        for (name, kind) in metrics.kinds() {
            self.kinds.insert(name.to_owned(), kind.to_owned());
        }
        for (name, labels, value) in metrics.series() {
            let name = self.family(name).to_owned();
            let labels = labels.filter(|label| *label != "le").map(str::to_owned).collect();
            self.labels.entry(name.clone()).or_default().insert(labels);
            if value.abs() > 0.0 {
                self.moved.insert(name);
            }
        }
    }

    /// The metric that a series belongs to.
    fn family<'s>(&self, series: &'s str) -> &'s str {
        let suffixes = ["_bucket", "_sum", "_count"];
        let histogram = suffixes.iter().filter_map(|suffix| series.strip_suffix(suffix));
        let mut histogram =
            histogram.filter(|name| self.kinds.get(*name).is_some_and(|kind| kind == "histogram"));
        histogram.next().unwrap_or(series)
    }
}

/// Traffic of every sort in front of a service that obeys the path: what is counted of it.
fn scenes() -> ExportedMetrics {
    let gate = Latch::default();
    let upstream = scenes::service(&gate);
    let mut shown = ExportedMetrics::default();
    let setup =
        SidecarSetup::new(scenes::DOCUMENT, upstream.address()).env("CVT_BODY_LIMIT", "1KiB");
    let sidecar = setup.start();
    scenes::callers(&sidecar);
    let mut waiting = Client::connect(sidecar.traffic);
    waiting.send("GET /users/504 HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for(7);
    shown.add(&settled(&sidecar, 6.0));
    gate.open();
    waiting.read("GET");
    shown.add(&settled(&sidecar, 7.0));
    shown.add(&of_a_policy_that_keeps_little(upstream.address()));
    for metrics in of_enforcement(upstream.address()) {
        shown.add(&metrics);
    }
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let past = scenes::database_with_a_past(upstream.address(), dir, "warn");
    scenes::refuse_records(&past);
    Client::get(past.traffic, "/users/one");
    shown.add(&past.wait_for_metrics("the loss", |m| {
        m.sum("cvt_records_dropped_total", &[("reason", "rejected")]) >= 1.0
    }));
    shown
}

/// A sidecar that holds, rejects, cannot enforce, and falls back.
fn of_enforcement(upstream: std::net::SocketAddr) -> [MetricsScrape; 2] {
    let sidecar = SidecarSetup::new(scenes::DOCUMENT, upstream)
        .args(&["--mode", "strict"])
        .env("CVT_ENFORCEMENT_BREAKER_SHARE", "50%")
        .env("CVT_ENFORCEMENT_BREAKER_MINIMUM", "2")
        .start();
    let mut slow = Client::connect(sidecar.traffic);
    slow.send("POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
    slow.send("Content-Length: 14\r\n\r\n{\"name\":");
    let holding = sidecar.wait_for_metrics("a body that is held", |m| {
        m.sum("cvt_enforcement_buffered_bytes", &[]) >= 1.0
    });
    slow.send("\"Ada\"}");
    assert_eq!(slow.read("POST").status(), 201);
    for path in ["/users/1", "/users/one", "/users/one", "/users/one"] {
        Client::get(sidecar.traffic, path);
    }
    [holding, settled(&sidecar, 5.0)]
}

fn of_a_policy_that_keeps_little(upstream: std::net::SocketAddr) -> MetricsScrape {
    let sidecar =
        SidecarSetup::new(scenes::DOCUMENT, upstream).args(&["--record", "violations"]).start();
    Client::get(sidecar.traffic, "/users/1");
    sidecar.wait_for_metrics("the verdict", |m| m.sum("cvt_records_skipped_total", &[]) >= 1.0)
}

/// The metrics once `exchanges` have ended and everything about them is stored.
#[track_caller]
fn settled(sidecar: &Sidecar, exchanges: f64) -> MetricsScrape {
    sidecar.wait_for_metrics("every verdict and record", |m| {
        let validated = m.sum("cvt_exchanges_validated_total", &[]);
        let kept = m.sum("cvt_records_created_total", &[]);
        validated + m.sum("cvt_exchanges_skipped_total", &[]) >= exchanges
            && m.sum("cvt_records_written_total", &[]) >= kept
            && m.sum("cvt_retention_runs_total", &[]) >= 1.0
    })
}

#[test]
fn trap_t29_every_metric_is_documented_and_changes_in_a_test() {
    let rows = page::documented(&page::text());
    let made = page::made();
    assert!(made.len() > 20, "the sources are read: {made:?}");
    let mut faults = Vec::new();
    for (name, metric) in &made {
        match rows.get(name) {
            None => faults.push(format!("{}: {name} is not in deploy/METRICS.md", metric.place)),
            Some(row) if (&row.kind, &row.labels) != (&metric.kind, &metric.labels) => {
                faults.push(format!("{}: {name} is {metric:?}, documented as {row:?}", row.place));
            }
            Some(_) => {}
        }
    }
    let shown = scenes();
    for (name, kind) in &shown.kinds {
        match rows.get(name) {
            None => faults.push(format!("{name} is served and not in deploy/METRICS.md")),
            Some(row) if row.kind != *kind => {
                faults.push(format!("{}: {name} is served as a {kind}", row.place));
            }
            Some(row) => {
                let wrong =
                    shown.labels.get(name).into_iter().flatten().find(|l| **l != row.labels);
                if let Some(labels) = wrong {
                    faults.push(format!("{}: {name} is served with {labels:?}", row.place));
                }
            }
        }
    }
    for (name, row) in &rows {
        if !shown.kinds.contains_key(name) && !made.contains_key(name) {
            faults.push(format!("{}: {name} does not exist", row.place));
        } else if !shown.moved.contains(name) && page::tests_naming(name).is_empty() {
            faults.push(format!(
                "{}: {name} moves in no test; add a scene to tests/it/metrics/documented.rs, or name \
                 it in the test that moves it",
                row.place
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn metrics_of_cvt_exist_or_their_absence_is_documented() {
    let page = page::text();
    let (rows, without) = (page::documented(&page), page::without(&page));
    for (name, kind, labels) in OF_CVT {
        match rows.get(*name) {
            Some(row) => {
                assert_eq!((row.kind.as_str(), row.labels.len()), (*kind, labels.len()), "{name}");
                assert!(row.labels.iter().eq(labels.iter()), "{name}: {:?}", row.labels);
                assert!(!without.contains(&(*name).to_owned()), "{name} is here and not here");
            }
            None => assert!(without.contains(&(*name).to_owned()), "{name} is not explained"),
        }
    }
    assert!(page::text().contains("CVT's name and buckets"));
}

#[test]
fn the_histogram_of_cvt_keeps_its_buckets() {
    let upstream = ScriptedUpstream::json("200 OK", scenes::ADA);
    let sidecar = SidecarSetup::new(scenes::DOCUMENT, upstream.address()).start();
    Client::get(sidecar.traffic, "/users/1");
    let name = "cvt_validation_duration_seconds_bucket";
    let metrics = sidecar.wait_for_metrics("a verdict", |m| m.has(name));
    let buckets: BTreeSet<String> = metrics.values_of(name, "le").map(str::to_owned).collect();
    let of_cvt = ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "+Inf"];
    assert_eq!(buckets, of_cvt.map(str::to_owned).into());
}
