//! Alerts fire for what they are meant for, say what to do, and reach the operator in time.

mod dashboard;
mod prometheus;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use prometheus::{Prometheus, installed};

use crate::metrics::page::{documented, root, text};
use crate::metrics::scenes;
use crate::support::{Client, ScriptedUpstream, SidecarSetup};

/// Runs promtool on files of `deploy/prometheus`.
#[track_caller]
fn promtool(args: &[&str]) {
    let mut command = Command::new(installed("promtool"));
    let output = command.current_dir(root().join("deploy/prometheus")).args(args).output();
    let output = output.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The values that stand behind `key:` at the beginnings of lines of a file in `deploy`.
fn values(file: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("deploy").join(file)).expect("a file in deploy");
    let line = |line: &str| {
        let line = line.trim().trim_start_matches("- ");
        line.strip_prefix(key)?.strip_prefix(':').map(|value| value.trim().to_owned())
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn rules_and_configuration_are_well_formed() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "recording.yml", "alerts.yml"]);
}

#[test]
fn each_alert_fires_in_its_unit_test() {
    promtool(&["test", "rules", "alerts.test.yml"]);
    let tests =
        fs::read_to_string(root().join("deploy/prometheus/alerts.test.yml")).expect("tests");
    for alert in values("prometheus/alerts.yml", "alert") {
        let family = alert.trim_end_matches("Fast").trim_end_matches("Slowly");
        assert!(tests.contains(family), "{alert} has no unit test");
    }
}

#[test]
fn each_alert_has_annotations_and_a_runbook_section() {
    let alerts = values("prometheus/alerts.yml", "alert");
    let runbook = fs::read_to_string(root().join("deploy/RUNBOOK.md")).expect("the runbook");
    for part in ["summary", "description", "runbook"] {
        assert_eq!(values("prometheus/alerts.yml", part).len(), alerts.len(), "{part}");
    }
    let links = values("prometheus/alerts.yml", "runbook");
    for (alert, link) in alerts.iter().zip(links) {
        assert_eq!(link, format!("deploy/RUNBOOK.md#{}", alert.to_lowercase()));
        let section = runbook.split(&format!("## {alert}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("{alert} has no section in the runbook"));
        let section = section.split("\n## ").next().unwrap_or_default();
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            assert!(section.contains(part), "{alert}: {part} is missing in the runbook");
        }
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    assert!(sections.eq(alerts.iter()), "the runbook has other sections than there are alerts");
}

/// The metrics that a text names: `cvt_…` and `process_…`, without the suffixes of histograms.
fn named_metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let metric = |word: &&str| word.starts_with("cvt_") || word.starts_with("process_");
    let base = |word: &str| {
        let suffixes = ["_bucket", "_count", "_sum"];
        suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word).to_owned()
    };
    words.filter(metric).map(base).collect()
}

#[test]
fn rules_runbook_and_dashboard_use_existing_metrics() {
    let rows = documented(&text());
    let files = [
        "prometheus/recording.yml",
        "prometheus/alerts.yml",
        "prometheus/alerts.test.yml",
        "RUNBOOK.md",
        "grafana/cvt-sidecar.json",
    ];
    for file in files {
        let text = fs::read_to_string(root().join("deploy").join(file)).expect("a file in deploy");
        let unknown: Vec<_> =
            named_metrics(&text).into_iter().filter(|name| !rows.contains_key(name)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn a_new_violation_raises_an_alert_within_a_minute() {
    let upstream = ScriptedUpstream::json("200 OK", scenes::ADA);
    let sidecar = SidecarSetup::new(scenes::DOCUMENT, upstream.address()).start();
    let prometheus = Prometheus::scraping(sidecar.admin);
    Client::get(sidecar.traffic, "/users/1");
    prometheus.wait_for("an exchange that conforms", Duration::from_secs(30), |prometheus| {
        let validated = prometheus.query("sum(cvt_exchanges_validated_total)");
        (validated.first().is_some_and(|sample| sample.value >= 1.0)).then_some(()).ok_or(validated)
    });
    assert_eq!(prometheus.firing(), Vec::<String>::new(), "nothing is wrong yet");

    Client::get(sidecar.traffic, "/users/one");
    prometheus.wait_for("the alert", Duration::from_mins(1), |prometheus| {
        let firing = prometheus.firing();
        let expected = "CvtNewViolationGroup GET /users/{id}";
        firing.iter().any(|alert| alert == expected).then_some(()).ok_or(firing)
    });
}
