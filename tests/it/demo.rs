//! The demo's bookshop behind a real sidecar: what is found is what was broken, and no more.

use cvt_sidecar::cli::demo::{Bookshop, DOCUMENT, drive_traffic};

use crate::support::Setup;

#[test]
fn what_the_sidecar_finds_in_the_bookshop_is_what_its_consumers_broke() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shop = runtime.block_on(Bookshop::start()).expect("a shop");
    let sidecar = Setup::new(DOCUMENT, shop.address()).args(&["--record", "all"]).start();
    let sent = runtime.block_on(drive_traffic(sidecar.traffic)).expect("traffic");
    let all = sent.exchanges;
    let metrics = sidecar.wait_for_metrics("every verdict", |m| {
        m.sum("cvt_exchanges_judged_total", &[]) + m.sum("cvt_exchanges_skipped_total", &[])
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
    // What answers a path that nobody documented is measured by nothing.
    let unjudged = metrics.sum("cvt_judging_skipped_total", &[]);
    let by_nothing = metrics.sum("cvt_judging_skipped_total", &[("reason", "no_operation")]);
    let undocumented = sent.breaking["request.path.undocumented"] as f64;
    assert!((unjudged - undocumented).abs() < 0.5 && (by_nothing - undocumented).abs() < 0.5);
}
