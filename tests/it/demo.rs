//! The demo's bookshop behind a real sidecar: what is found is what was broken, and no more.

use cvt_sidecar::cli::demo::{Bookshop, DOCUMENT, drive_traffic};

use crate::support::{SidecarSetup, command};

#[test]
fn recorded_violations_match_those_the_demo_traffic_sends() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shop = runtime.block_on(Bookshop::start()).expect("a shop");
    let sidecar = SidecarSetup::new(DOCUMENT, shop.address()).args(&["--record", "all"]).start();
    let sent = runtime.block_on(drive_traffic(sidecar.traffic)).expect("traffic");
    let all = sent.exchanges;
    let metrics = sidecar.wait_for_metrics("every verdict", |m| {
        m.sum("cvt_exchanges_validated_total", &[]) + m.sum("cvt_exchanges_skipped_total", &[])
            > all as f64 - 0.5
    });
    for (code, times) in &sent.breaking {
        let found = metrics.sum("cvt_violations_total", &[("code", code)]);
        assert!((found - *times as f64).abs() < 0.5, "{code}: {found} found, {times} sent");
    }
    let broken: usize = sent.breaking.values().sum();
    let invalid = metrics.sum("cvt_validations_total", &[("result", "invalid")]);
    let valid = metrics.sum("cvt_validations_total", &[("result", "valid")]);
    assert!((invalid - broken as f64).abs() < 0.5, "{invalid} invalid, {broken} broken");
    assert!((valid + invalid - all as f64).abs() < 0.5, "{valid} valid of {all}");
    assert!((metrics.sum("cvt_violations_total", &[]) - broken as f64).abs() < 0.5);
    // A response to an undocumented path is not validated.
    let not_validated = metrics.sum("cvt_validation_skipped_total", &[]);
    let without_operation =
        metrics.sum("cvt_validation_skipped_total", &[("reason", "no_operation")]);
    let undocumented = sent.breaking["request.path.undocumented"] as f64;
    assert!(
        (not_validated - undocumented).abs() < 0.5
            && (without_operation - undocumented).abs() < 0.5
    );
}

#[test]
fn the_demo_prints_violations_and_next_commands() {
    let dir = tempfile::tempdir().expect("a directory");
    let free = "127.0.0.1:0";
    let shown = command(dir.path())
        .args(["demo", "--once", "--listen", free, "--admin-listen", free])
        .env("TMPDIR", dir.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    for code in ["response.body.schema", "request.header.missing", "response.status.undocumented"] {
        assert!(text.contains(code), "{code} is missing: {text}");
    }
    assert!(text.contains("exchanges"), "{text}");
    assert!(!text.contains("LOST"), "{text}");
}
