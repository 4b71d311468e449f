//! The header that shows verdicts to testers.

use super::{ADA, INVALID_AGE, post_h2, post_whole, strict};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, h2};

#[test]
fn warn_shows_the_verdict_and_passes_everything() {
    let upstream = ScriptedUpstream::json("201 Created", r#"{"name":"Ada"}"#);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_VERDICT_HEADER", "true");
    let sidecar = setup.args(&["--record", "all"]).start();
    let answer = Client::once(sidecar.traffic, post_whole(ADA));
    assert_eq!(
        (answer.status(), answer.all("cvt-verdict")),
        (201, vec!["request=conforms".into()])
    );
    let answer = Client::once(sidecar.traffic, post_whole(INVALID_AGE));
    assert_eq!(answer.status(), 201);
    let violates = "request=violates;codes=\"request.body.schema\"";
    assert_eq!(answer.all("cvt-verdict"), [violates]);
    let answer = h2::ask(sidecar.traffic, post_h2(sidecar.traffic, INVALID_AGE), true);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["cvt-verdict"], violates);
    assert_eq!(upstream.received().len(), 3);
    for record in sidecar.records(3) {
        assert_eq!(record["mode"], "warn");
        let codes = record["violations"].as_array().expect("violations").iter();
        let responses = codes.filter(|one| one["code"] == "response.body.schema").count();
        assert_eq!(responses, 1, "the response is validated all the same: {record}");
    }
    let metrics = sidecar.metrics();
    let violations = metrics.sum("cvt_violations_total", &[("code", "request.body.schema")]);
    assert!((violations - 2.0).abs() < 0.5, "each request is validated once: {violations}");
}

#[test]
fn without_the_setting_nothing_is_added() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    assert!(Client::once(sidecar.traffic, post_whole(ADA)).all("cvt-verdict").is_empty());
}

#[test]
fn strict_shows_both_sides_and_the_reason_of_a_rejection() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = strict(upstream.address()).env("CVT_VERDICT_HEADER", "true");
    let sidecar = setup.env("CVT_ENFORCE_RESPONSES", "true").start();
    let answer = Client::once(sidecar.traffic, post_whole(ADA));
    assert_eq!(answer.all("cvt-verdict"), ["request=conforms, response=conforms"]);
    let answer = Client::once(sidecar.traffic, post_whole(INVALID_AGE));
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.all("cvt-verdict"), ["request=violates;codes=\"request.body.schema\""]);
}
