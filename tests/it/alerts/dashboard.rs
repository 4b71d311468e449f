//! Every panel of the dashboard shows something.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::prometheus::Prometheus;
use crate::metrics::page::root;
use crate::metrics::scenes;
use crate::support::{Latch, SidecarSetup};

/// Panels of CVT's dashboard. The ninth, *gRPC Requests by Method*, waits for a gRPC API.
const OF_CVT: &[&str] = &[
    "Validations per Second",
    "Validation Results Over Time",
    "Validation Latency",
    "Cache Hit Rate",
    "Validation Errors by Category",
    "Total Schemas Registered",
    "Cache Hits/sec",
    "Cache Misses/sec",
];

/// Title and expressions of each panel.
fn panels() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("deploy/grafana/cvt-sidecar.json"));
    let dashboard: Value = serde_json::from_str(&text.expect("the dashboard")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let read = |panel: &Value| {
        let targets = panel["targets"].as_array().expect("targets").iter();
        (text(&panel["title"]), targets.map(|target| text(&target["expr"])).collect())
    };
    panels.filter(|panel| panel["type"] != "row").map(read).collect()
}

/// The expression as Grafana sends it when everything is chosen.
fn filled_in(expression: &str) -> String {
    let filled = expression
        .replace("$__rate_interval", "1m")
        .replace("$job", ".*")
        .replace("$instance", ".*");
    assert!(!filled.contains('$'), "a variable that the test does not know: {filled}");
    filled
}

#[test]
fn every_query_of_the_dashboard_returns_data() {
    let panels = panels();
    for title in OF_CVT {
        assert!(panels.iter().any(|(panel, _)| panel == title), "{title} is CVT's and missing");
    }
    let upstream = scenes::service(&Latch::default());
    let first = SidecarSetup::new(scenes::DOCUMENT, upstream.address()).start();
    scenes::callers(&first);
    first.records(1);
    let (finished, dir) = first.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let sidecar = scenes::database_with_a_past(upstream.address(), dir, "strict");
    let prometheus = Prometheus::scraping(sidecar.admin);
    scenes::callers(&sidecar);
    scenes::refuse_records(&sidecar);
    prometheus.wait_for("data in every panel", Duration::from_mins(1), |prometheus| {
        scenes::callers(&sidecar);
        let expressions =
            panels.iter().flat_map(|(title, all)| all.iter().map(move |one| (title, one)));
        let empty: Vec<_> = expressions
            .filter(|(_, expression)| prometheus.query(&filled_in(expression)).is_empty())
            .collect();
        if empty.is_empty() { Ok(()) } else { Err(format!("{empty:?}")) }
    });
}
