//! New documents and settings while traffic goes on.

mod kept;
mod load;
mod settings;
mod stall;

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::documents::USERS;
use crate::support::{
    Client, Latch, MetricsScrape, ScriptedUpstream, Sidecar, SidecarSetup, Step, json_answer,
};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// [`USERS`] in another version, in which a user must have an e-mail address.
fn stricter() -> String {
    let stricter = USERS.replace("required: [name, age]", "required: [name, age, email]");
    stricter.replace("version: 2.1.0", "version: 3.0.0")
}

/// A sidecar that looks at its files often.
fn with_short_reload_interval(setup: SidecarSetup) -> SidecarSetup {
    setup.env("CVT_RELOAD_INTERVAL", "100ms").env("CVT_RECORD", "all")
}

fn reloads(metrics: &MetricsScrape, what: &str, result: &str) -> f64 {
    let name = match what {
        "config" => "cvt_config_reloads_total",
        _ => "cvt_contract_reloads_total",
    };
    metrics.sum(name, &[("result", result)])
}

/// Waits until so many documents, or config files, were reloaded with this result.
#[track_caller]
fn wait_for(sidecar: &Sidecar, what: &str, result: &str, n: usize) -> MetricsScrape {
    sidecar.wait_for_metrics(&format!("{n} reloads of {what}"), |metrics| {
        reloads(metrics, what, result) >= n as f64
    })
}

fn versions(sidecar: &Sidecar) -> Vec<String> {
    let metrics = sidecar.metrics();
    metrics.values_of("cvt_contract_info", "version").map(str::to_owned).collect()
}

#[test]
fn a_new_document_validates_new_exchanges_while_those_in_flight_keep_the_old_one() {
    let gate = Latch::default();
    let waiting = gate.clone();
    let upstream = ScriptedUpstream::start(move |_| {
        let mut steps = vec![Step::Wait(waiting.clone())];
        steps.extend(json_answer("200 OK", ADA));
        steps
    });
    let sidecar = with_short_reload_interval(SidecarSetup::new(USERS, upstream.address())).start();
    let started = sidecar.metrics();
    let mut before = Client::connect(sidecar.traffic);
    before.send("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for(1);

    sidecar.write("openapi.yaml", &stricter());
    let reloaded = wait_for(&sidecar, "contract", "success", 1);
    let last = "cvt_contract_last_reload_success_timestamp_seconds";
    assert!(started.sum(last, &[]) > 0.0, "the start counts");
    assert!(reloaded.sum(last, &[]) >= started.sum(last, &[]));
    gate.open();
    assert_eq!(before.read("GET").status(), 200);
    assert_eq!(Client::get(sidecar.traffic, "/users/2").status(), 200);

    let records = sidecar.records(2);
    let of = |path: &str| records.iter().find(|record| record["request_path"] == path).unwrap();
    assert_eq!(of("/users/1")["valid"], true, "it began under the old document");
    assert_eq!(of("/users/2")["valid"], false, "it began under the new one");
    assert_eq!(versions(&sidecar), ["3.0.0"]);
    let ready = Client::get(sidecar.admin, "/readyz").text();
    assert!(ready.contains("users@3.0.0"), "{ready}");
    let said = sidecar.said();
    assert!(said.contains("contract_reloaded") && said.contains("openapi.yaml"), "{said}");
}

#[test]
fn trap_t16_a_bad_document_keeps_the_last_good_one_and_is_logged_once() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: openapi.yaml\nupstream: http://{}\n", upstream.address());
    let setup = SidecarSetup::configured(&settings).file("openapi.yaml", USERS);
    let sidecar = with_short_reload_interval(setup).start();
    sidecar.write("openapi.yaml", "openapi: 3.0.3\ninfo: [\n");
    wait_for(&sidecar, "contract", "failure", 1);
    let said = sidecar.said();
    let line = said.lines().find(|line| line.contains("contract_not_reloaded"));
    let line = line.unwrap_or_else(|| panic!("not said: {said}"));
    for part in ["openapi.yaml", "line", "column"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    // Each of these is a look at every file.
    for n in 1..=3 {
        sidecar.write("cvt.yaml", &format!("{settings}# {n}\n"));
        wait_for(&sidecar, "config", "success", n);
    }
    let metrics = sidecar.metrics();
    let failures = reloads(&metrics, "contract", "failure");
    assert!((failures - 1.0).abs() < 0.5, "said again: {failures}");
    let failing = metrics.sum("cvt_contract_reload_failing", &[]);
    assert!((failing - 1.0).abs() < 0.5, "the bad document is still there: {failing}");
    Client::get(sidecar.traffic, "/users/1");
    assert_eq!(sidecar.records(1)[0]["schema_version"], "2.1.0");

    sidecar.hang_up();
    wait_for(&sidecar, "contract", "failure", 2);
    sidecar.write("openapi.yaml", USERS);
    wait_for(&sidecar, "contract", "success", 1);
    sidecar.wait_for_metrics("an end of the trouble", |metrics| {
        metrics.sum("cvt_contract_reload_failing", &[]) < 0.5
    });
    assert_eq!(versions(&sidecar), ["2.1.0"]);
    sidecar.write("openapi.yaml", &stricter());
    wait_for(&sidecar, "contract", "success", 2);
    assert_eq!(versions(&sidecar), ["3.0.0"]);
}

#[test]
fn a_document_that_lacks_a_configured_operation_is_refused() {
    let setup = SidecarSetup::new(USERS, "127.0.0.1:9".parse().expect("an address"));
    let setup = setup.env("CVT_OPERATIONS", "POST /users=strict");
    let sidecar = with_short_reload_interval(setup).start_unready();
    sidecar.write("openapi.yaml", &USERS.replace("  /users:\n", "  /people:\n"));
    wait_for(&sidecar, "contract", "failure", 1);
    let said = sidecar.said();
    assert!(said.contains("POST /users"), "{said}");
}

#[test]
fn trap_t16_a_swapped_symlink_reloads_every_file_of_a_document() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::bare().args(&["--spec", "spec/openapi.yaml"]);
    let setup = setup.args(&["--upstream", &format!("http://{}", upstream.address())]);
    let spec = setup.path().join("spec");
    let document = USERS.replace("'#/components/schemas/User'", "'user.yaml#/User'");
    for (version, required) in [("v1", "name"), ("v2", "email")] {
        fs::create_dir_all(spec.join(version)).expect("a directory");
        fs::write(spec.join(version).join("openapi.yaml"), &document).expect("a document");
        let user = format!("User: {{type: object, required: [{required}]}}\n");
        fs::write(spec.join(version).join("user.yaml"), user).expect("a file beside it");
    }
    symlink("v1", spec.join("..data")).expect("a link");
    for name in ["openapi.yaml", "user.yaml"] {
        symlink(format!("..data/{name}"), spec.join(name)).expect("a link");
    }
    let sidecar = with_short_reload_interval(setup).start();
    Client::get(sidecar.traffic, "/users/1");
    assert_eq!(sidecar.records(1)[0]["valid"], true);
    symlink("v2", spec.join("..data_tmp")).expect("a link");
    fs::rename(spec.join("..data_tmp"), spec.join("..data")).expect("a swapped link");
    wait_for(&sidecar, "contract", "success", 1);
    Client::get(sidecar.traffic, "/users/2");
    assert_eq!(sidecar.records(2)[1]["valid"], false);
}

#[test]
fn sighup_reloads_files_where_watching_is_off() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_RELOAD_WATCH", "false");
    let sidecar = setup.start();
    sidecar.write("openapi.yaml", &stricter());
    sidecar.hang_up();
    wait_for(&sidecar, "contract", "success", 1);
    assert_eq!(versions(&sidecar), ["3.0.0"]);
    assert!(sidecar.said().contains("reload_requested"), "{}", sidecar.said());
}

#[test]
fn every_exchange_is_validated_for_a_while_after_a_new_document() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_SAMPLING_VALIDATE", "0%");
    let sidecar = with_short_reload_interval(setup.env("CVT_SAMPLING_INITIAL", "1")).start();
    let ask = |n: usize| {
        for _ in 0..n {
            Client::get(sidecar.traffic, "/users/1");
        }
    };
    let validated = |m: &MetricsScrape| m.sum("cvt_exchanges_validated_total", &[]);
    let ended = |m: &MetricsScrape| validated(m) + m.sum("cvt_exchanges_skipped_total", &[]);
    ask(20);
    let before = sidecar.wait_for_metrics("the end of 20", |m| ended(m) >= 20.0);
    assert!(validated(&before) < 5.0, "{before:?}");
    // The same rules in another version: nothing new is violated, only the contract is new.
    sidecar.write("openapi.yaml", &USERS.replace("2.1.0", "2.2.0"));
    wait_for(&sidecar, "contract", "success", 1);
    ask(20);
    let after = sidecar.wait_for_metrics("the end of 40", |m| ended(m) >= 40.0);
    assert!(validated(&after) - validated(&before) >= 19.0, "{after:?}");
}

#[test]
fn a_route_that_follows_a_schema_uses_a_version_another_sidecar_registered() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let first = with_short_reload_interval(SidecarSetup::new(USERS, upstream.address())).start();
    let database = first.dir().join("cvt.db").display().to_string();
    let address = upstream.address();
    let rest = "  - {name: rest, spec: openapi.yaml, mode: off}\n";
    let settings = format!("upstream: http://{address}\nroutes:\n{rest}");
    let followed = format!("{settings}  - {{path: /users, schema_id: users}}\n");
    let other = USERS.replace("title: Users", "title: Others");
    let setup = SidecarSetup::configured(&followed).file("openapi.yaml", &other);
    let second = with_short_reload_interval(setup.env("CVT_STORAGE_DSN", &database)).start();
    let in_force = |version: &str, n: f64| {
        let labels = [("schema_id", "users"), ("version", version)];
        second.wait_for_metrics(version, |m| (m.sum("cvt_contract_info", &labels) - n).abs() < 0.5);
    };
    in_force("2.1.0", 1.0);
    first.write("openapi.yaml", &stricter());
    in_force("3.0.0", 1.0);
    second.write("cvt.yaml", &settings);
    wait_for(&second, "config", "success", 1);
    in_force("3.0.0", 0.0);
    second.write("cvt.yaml", &followed);
    wait_for(&second, "config", "success", 2);
    in_force("3.0.0", 1.0);
    first.write("openapi.yaml", USERS);
    in_force("2.1.0", 1.0);
}
