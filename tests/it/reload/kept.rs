//! What a reload leaves as it is.

use super::settings::status;
use super::{ADA, wait_for, with_short_reload_interval};
use crate::support::documents::{ANYTHING, USERS};
use crate::support::{Client, Latch, ScriptedUpstream, Sidecar, SidecarSetup, Step, json_answer};

/// Whether the breaker of the only route is open; `None` where none is shown.
fn open(sidecar: &Sidecar) -> Option<bool> {
    let (metrics, name) = (sidecar.metrics(), "cvt_enforcement_breaker_open");
    metrics.has(name).then(|| metrics.sum(name, &[]) > 0.5)
}

#[test]
fn a_breaker_stays_open_unless_its_own_settings_change() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\nmode: strict\n", upstream.address());
    let breaking =
        format!("{settings}enforcement: {{breaker: {{share: 50%, minimum: 2, cooldown: 1h}}}}\n");
    let sidecar =
        with_short_reload_interval(SidecarSetup::configured(&breaking).file("a.yaml", USERS))
            .start();
    let mut client = Client::connect(sidecar.traffic);
    let mut asked =
        |n: usize| -> Vec<u16> { (0..n).map(|_| status(&mut client, "/users/one")).collect() };
    assert_eq!(open(&sidecar), Some(false));
    assert_eq!(asked(3), [400, 400, 200]);
    assert_eq!(open(&sidecar), Some(true));

    sidecar.write("cvt.yaml", &format!("{breaking}body_limit: 2MiB\nverdict_header: true\n"));
    wait_for(&sidecar, "config", "success", 1);
    assert_eq!((asked(1), open(&sidecar)), (vec![200], Some(true)), "it pauses for an hour");
    assert!(!sidecar.said().contains("enforcement_resumed"), "{}", sidecar.said());

    sidecar.write("cvt.yaml", &breaking.replace("50%", "60%"));
    wait_for(&sidecar, "config", "success", 2);
    assert_eq!(open(&sidecar), Some(false), "another breaker begins anew");
    assert!(sidecar.said().contains("enforcement_resumed"), "{}", sidecar.said());
    assert_eq!(asked(3), [400, 400, 200]);
    assert_eq!(open(&sidecar), Some(true));

    sidecar.write("cvt.yaml", &settings);
    wait_for(&sidecar, "config", "success", 3);
    assert_eq!(open(&sidecar), None, "there is none");
    assert_eq!(asked(4), [400; 4]);
}

#[test]
fn limits_keep_their_counts_unless_their_settings_change() {
    let gate = Latch::default();
    let waiting = gate.clone();
    let upstream = ScriptedUpstream::start(move |request| {
        let mut steps = json_answer("200 OK", ADA);
        if request.start_line().contains("/users/1") {
            steps.insert(0, Step::Wait(waiting.clone()));
        }
        steps
    });
    let settings = format!(
        "upstream: http://{}\nroutes:\n  - {{path: /users, spec: a.yaml, limits: {{concurrency: 1, queue: 0}}}}\n",
        upstream.address()
    );
    let setup =
        SidecarSetup::configured(&settings).file("a.yaml", USERS).file("any.yaml", ANYTHING);
    let sidecar = with_short_reload_interval(setup).start();
    let mut first = Client::connect(sidecar.traffic);
    first.send("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for(1);
    let second = || Client::get(sidecar.traffic, "/users/2").status();
    assert_eq!(second(), 503, "one at a time");

    let changed = settings.replace("spec: a.yaml", "spec: a.yaml, mode: shadow");
    sidecar.write("cvt.yaml", &format!("{changed}  - {{path: /echo, spec: any.yaml}}\n"));
    wait_for(&sidecar, "config", "success", 1);
    assert_eq!(second(), 503, "the first is still counted");
    sidecar.write("cvt.yaml", &changed.replace("concurrency: 1", "concurrency: 2"));
    wait_for(&sidecar, "config", "success", 2);
    assert_eq!(second(), 200, "two at a time");
    gate.open();
    assert_eq!(first.read("GET").status(), 200);
}
