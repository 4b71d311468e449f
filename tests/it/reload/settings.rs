//! The config file, read again.

use super::{ADA, reloads, stricter, wait_for, with_short_reload_interval};
use crate::support::documents::{ANYTHING, USERS};
use crate::support::{Client, ScriptedUpstream, SidecarSetup, eventually};

#[track_caller]
pub(super) fn status(client: &mut Client, path: &str) -> u16 {
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status()
}

#[test]
fn routes_are_added_changed_and_removed_while_connections_stay_open() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let address = upstream.address();
    let first =
        format!("upstream: http://{address}\nroutes:\n  - {{path: /users, spec: users.yaml}}\n");
    let setup =
        SidecarSetup::configured(&first).file("users.yaml", USERS).file("any.yaml", ANYTHING);
    let sidecar = with_short_reload_interval(setup).start();
    let mut client = Client::connect(sidecar.traffic);
    assert_eq!((status(&mut client, "/users/one"), status(&mut client, "/echo")), (200, 404));
    let connections =
        |m: &crate::support::MetricsScrape| m.sum("cvt_proxy_upstream_connections_total", &[]);
    let opened = connections(&sidecar.metrics());

    let added = format!("{first}  - {{path: /echo, spec: any.yaml}}\n");
    sidecar.write("cvt.yaml", &added);
    let metrics = wait_for(&sidecar, "config", "success", 1);
    assert!(metrics.sum("cvt_config_last_reload_success_timestamp_seconds", &[]) > 0.0);
    assert_eq!((status(&mut client, "/users/one"), status(&mut client, "/echo")), (200, 200));
    let ready = Client::get(sidecar.admin, "/readyz").text();
    assert!(ready.contains("anything@1.0.0") && ready.contains("users@2.1.0"), "{ready}");
    let now = connections(&sidecar.metrics());
    assert!((now - opened).abs() < 0.5, "{opened}, then {now}: connections are kept");

    sidecar.write("cvt.yaml", &added.replace("spec: users.yaml", "spec: users.yaml, mode: strict"));
    wait_for(&sidecar, "config", "success", 2);
    assert_eq!((status(&mut client, "/users/one"), status(&mut client, "/users/1")), (400, 200));

    let without = added.replace("  - {path: /users, spec: users.yaml}\n", "");
    sidecar.write("cvt.yaml", &without);
    wait_for(&sidecar, "config", "success", 3);
    assert_eq!((status(&mut client, "/users/1"), status(&mut client, "/echo")), (404, 200));
    let ready = Client::get(sidecar.admin, "/readyz").text();
    assert!(!ready.contains("users@"), "{ready}");
}

#[test]
fn validation_starts_by_a_reload_where_every_route_was_off() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\nmode: off\n", upstream.address());
    let sidecar =
        with_short_reload_interval(SidecarSetup::configured(&settings).file("a.yaml", USERS))
            .start();
    sidecar.write("cvt.yaml", &settings.replace("off", "shadow"));
    wait_for(&sidecar, "config", "success", 1);
    Client::get(sidecar.traffic, "/users/1");
    assert_eq!(sidecar.records(1)[0]["mode"], "shadow");
}

#[test]
fn a_config_file_created_later_is_loaded() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = with_short_reload_interval(SidecarSetup::new(USERS, upstream.address())).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/one").status(), 200);
    sidecar.write("cvt.yaml", "mode: strict\n");
    let metrics = wait_for(&sidecar, "config", "success", 1);
    assert_eq!(Client::get(sidecar.traffic, "/users/one").status(), 400);
    assert!(reloads(&metrics, "config", "failure") < 0.5, "none was missed before");
}

#[test]
fn a_named_config_file_must_exist() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--config", "nowhere.yaml"]);
    let refused = setup.refuse();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("nowhere.yaml: the config file cannot be read"), "{refused:?}");
}

#[test]
fn validation_needs_a_restart_where_the_start_had_no_config_file() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--mode", "off"]);
    let sidecar = with_short_reload_interval(setup).start();
    sidecar.write("cvt.yaml", "request_mode: warn\n");
    wait_for(&sidecar, "config", "failure", 1);
    assert!(sidecar.said().contains("restart it"), "{}", sidecar.said());
    sidecar.write("cvt.yaml", "body_limit: 2MiB\n");
    wait_for(&sidecar, "config", "success", 1);
}

#[test]
fn trap_t28_every_wrong_setting_is_named_and_nothing_changes() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\n", upstream.address());
    let sidecar =
        with_short_reload_interval(SidecarSetup::configured(&settings).file("a.yaml", USERS))
            .start();
    sidecar.write("cvt.yaml", &format!("{settings}mode: loud\nbody_limt: 1\n"));
    wait_for(&sidecar, "config", "failure", 1);
    let said = sidecar.said();
    let line = said.lines().find(|line| line.contains("config_not_reloaded"));
    let line = line.unwrap_or_else(|| panic!("not said: {said}"));
    for part in ["cvt.yaml:3: mode", "cvt.yaml:4: unknown key", "body_limit"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);

    let failing = |wrong: bool| {
        sidecar.wait_for_metrics(&format!("settings in trouble: {wrong}"), |metrics| {
            (metrics.sum("cvt_config_reload_failing", &[]) > 0.5) == wrong
        });
    };
    failing(true);

    // A document that is not there yet is waited for.
    let absent = settings.replace("a.yaml", "b.yaml");
    sidecar.write("cvt.yaml", &absent);
    wait_for(&sidecar, "config", "failure", 2);
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    sidecar.write("b.yaml", &stricter());
    wait_for(&sidecar, "config", "success", 1);
    failing(false);
    let ready = Client::get(sidecar.admin, "/readyz").text();
    assert!(ready.contains("users@3.0.0"), "{ready}");

    std::fs::remove_file(sidecar.dir().join("cvt.yaml")).expect("a removed file");
    wait_for(&sidecar, "config", "failure", 3);
    failing(true);
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    assert!(reloads(&sidecar.metrics(), "contract", "failure") < 0.5);
}

#[test]
fn settings_that_need_a_restart_are_logged() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\n", upstream.address());
    let sidecar =
        with_short_reload_interval(SidecarSetup::configured(&settings).file("a.yaml", USERS))
            .start();
    let changed = format!("{settings}pipeline: {{workers: 3}}\nlimits: {{rate: 1000}}\n");
    sidecar.write("cvt.yaml", &changed);
    wait_for(&sidecar, "config", "success", 1);
    eventually("the warning", || {
        let said = sidecar.said();
        let line = said.lines().find(|line| line.contains("restart_required"));
        let named = line.is_some_and(|line| line.contains("limits.rate, pipeline.workers"));
        if named { Ok(()) } else { Err(said) }
    });
}

#[test]
fn settings_and_documents_that_need_each_other_change_together() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!(
        "spec: a.yaml\nupstream: http://{}\noperations: {{POST /users: strict}}\n",
        upstream.address()
    );
    let setup = SidecarSetup::configured(&settings).file("a.yaml", USERS);
    // Looked at once, when both are there.
    let sidecar = setup.env("CVT_RELOAD_WATCH", "false").start();
    sidecar.write("a.yaml", &USERS.replace("  /users:\n", "  /people:\n"));
    sidecar.write("cvt.yaml", &settings.replace("/users", "/people"));
    sidecar.hang_up();
    let metrics = wait_for(&sidecar, "config", "success", 1);
    let failed = reloads(&metrics, "config", "failure") + reloads(&metrics, "contract", "failure");
    assert!(failed < 0.5, "{}", sidecar.said());
    let refused = Client::post_json(sidecar.traffic, "/people", "{}");
    assert_eq!(refused.status(), 400, "held by the new name: {}", refused.text());
}

#[test]
fn a_bad_document_does_not_keep_settings_from_changing() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\n", upstream.address());
    let setup = SidecarSetup::configured(&settings).file("a.yaml", USERS);
    let sidecar = setup.env("CVT_RELOAD_WATCH", "false").start();
    sidecar.write("a.yaml", "openapi: 4.0.0\n");
    sidecar.write("cvt.yaml", &format!("{settings}mode: strict\n"));
    sidecar.hang_up();
    wait_for(&sidecar, "config", "success", 1);
    wait_for(&sidecar, "contract", "failure", 1);
    assert_eq!(Client::get(sidecar.traffic, "/users/one").status(), 400);
}
