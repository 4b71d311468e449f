//! What `deploy` holds is well formed, agrees with itself, and runs.

mod container;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metrics::page::root;
use crate::support::documents::USERS;
use crate::support::{ScriptedUpstream, SidecarSetup, binary, command};

/// Every file under `folder`, links followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join("deploy").join(path)).expect("a file in deploy")
}

#[test]
fn every_variable_in_deploy_is_a_setting() {
    let settings = fs::read_to_string(root().join("config/cvt.yaml")).expect("the settings");
    let mut found = BTreeSet::new();
    for file in files(&root().join("deploy")) {
        let text = fs::read_to_string(&file).expect("a text");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        found.extend(
            words
                .filter(|word| word.starts_with("CVT_") && word.len() > 4 && !word.ends_with('_'))
                .map(|word| (word.to_owned(), file.clone())),
        );
    }
    assert!(found.iter().any(|(name, _)| name == "CVT_POSTGRES_HOST"), "{found:?}");
    let unknown: Vec<_> =
        found.iter().filter(|(name, _)| !settings.contains(&format!("[{name}"))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn compose_mounts_exist_and_its_prometheus_loads_every_rule() {
    let compose = read("compose/compose.yaml");
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- ."));
    let mut count = 0;
    for mount in mounts {
        let path = format!(".{}", mount.split(':').next().unwrap_or_default());
        let file = root().join("deploy/compose").join(&path);
        assert!(file.is_file(), "{path} is mounted and does not exist");
        count += 1;
    }
    assert!(count >= 8, "mounts are found: {count}");
    let rules = |file: &str| {
        let text = read(file);
        let from = text.find("rule_files:").expect("rules");
        text[from..].lines().take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rules("compose/prometheus.yml"), rules("prometheus/prometheus.yml"));
}

#[test]
fn chart_and_manifest_contain_the_prometheus_rules() {
    let manifest = read("kubernetes/prometheusrule.yaml");
    let mut expected = String::new();
    for rules in ["prometheus/recording.yml", "prometheus/alerts.yml"] {
        let rules = read(rules);
        let groups = rules.split_once("groups:\n").expect("groups").1;
        for line in groups.lines() {
            let indent = if line.is_empty() { "" } else { "  " };
            expected.extend([indent, line, "\n"]);
        }
    }
    assert_eq!(manifest.split_once("  groups:\n").expect("groups").1, expected);
    for rules in ["recording.yml", "alerts.yml"] {
        let inside = read(&format!("helm/cvt-sidecar/files/{rules}"));
        assert_eq!(inside, read(&format!("prometheus/{rules}")), "{rules}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let chart = read("helm/cvt-sidecar/Chart.yaml");
    assert!(chart.contains(&format!("appVersion: \"{version}\"")), "{chart}");
    for manifest in ["kubernetes/sidecar.yaml", "kubernetes/native-sidecar.yaml"] {
        assert!(read(manifest).contains(&format!("image: cvt-sidecar:{version}")), "{manifest}");
    }
}

#[test]
fn systemd_accepts_the_unit_and_rates_it_confined() {
    let unit = read("systemd/cvt-sidecar.service");
    let dir = tempfile::TempDir::new().expect("a directory");
    let file = dir.path().join("cvt-sidecar.service");
    let binary = binary();
    assert!(unit.contains("=/usr/local/bin/cvt-sidecar run"), "{unit}");
    fs::write(&file, unit.replace("/usr/local/bin/cvt-sidecar", &binary.to_string_lossy()))
        .expect("the unit");
    let analyze = |args: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.current_dir(dir.path()).args(args).arg(&file).output();
        let output = output.expect("systemd-analyze is missing: apt-get install systemd");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    };
    let (well, said) = analyze(&["verify", "--man=no"]);
    assert!(well && !said.contains("cvt-sidecar.service:"), "{said}");
    fs::write(dir.path().join("cvt-sidecar.socket"), read("systemd/cvt-sidecar.socket"))
        .expect("the socket");
    let (well, said) = analyze(&["verify", "--man=no", "cvt-sidecar.socket"]);
    assert!(well && !said.contains("cvt-sidecar.socket:"), "{said}");
    let (confined, said) = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(confined, "{said}");
}

#[test]
fn the_health_command_reports_readiness_of_a_running_sidecar() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let ask = |more: &[&str]| {
        let admin = sidecar.admin.to_string();
        let args = [&["health", "--admin-listen", &admin], more].concat();
        let output = command(&sidecar.dir()).args(args).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = ask(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok   upstream: "), "{said}");
    assert_eq!(ask(&["--live"]), (Some(0), "ok\n".into()));
    upstream.stop();
    sidecar.wait_for_metrics("the check", |m| {
        m.has("cvt_ready") && m.sum("cvt_ready", &[("check", "upstream")]) < 0.5
    });
    let (code, said) = ask(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("NOT  upstream: "), "{said}");
    assert_eq!(ask(&["--live"]).0, Some(0), "the process itself is well");
    let (code, said) = ask(&["--json"]);
    let body: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &body["ready"]), (Some(1), &false.into()));
    let no_sidecar = ["health", "--admin-listen", "127.0.0.1:1"];
    let output = command(&sidecar.dir()).args(no_sidecar).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}
