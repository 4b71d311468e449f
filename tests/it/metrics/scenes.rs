//! Traffic of every sort, and a database with a past: what moves metrics, alerts and dashboards.

use std::net::SocketAddr;
use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::support::{Client, Latch, ScriptedUpstream, Sidecar, SidecarSetup, Step, json_answer};

pub(crate) const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// A document with a rule that cannot be enforced, so that lints are counted.
pub(crate) const DOCUMENT: &str = r"
openapi: 3.0.3
info: {title: Metrics, version: 1.0.0}
paths:
  /users/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
    get:
      responses:
        '200':
          description: the user
          content: {application/json: {schema: {type: object, required: [name]}}}
  /users:
    post:
      requestBody:
        content:
          application/json:
            schema: {type: object, properties: {name: {type: string, format: galactic}}}
      responses:
        '201': {description: made}
";

/// A service that answers, breaks off, or waits for the gate, as the path says.
pub(crate) fn service(gate: &Latch) -> ScriptedUpstream {
    let gate = gate.clone();
    ScriptedUpstream::start(move |request| match request.start_line().split(' ').nth(1) {
        Some("/users/1") => json_answer("200 OK", ADA),
        Some("/users/500") => vec![Step::Close],
        Some("/users/504") => vec![
            Step::Wait(gate.clone()),
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ],
        _ => json_answer("201 Created", ADA),
    })
}

/// Six exchanges: valid ones, broken ones, one without a response, one too long to validate.
pub(crate) fn callers(sidecar: &Sidecar) {
    for path in ["/users/1", "/users/1", "/users/one", "/nowhere", "/users/500"] {
        Client::get(sidecar.traffic, path);
    }
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(5000));
    Client::post_json(sidecar.traffic, "/users", &long);
}

/// A sidecar on the database of an earlier one: its contract comes from there, and its records
/// are too old to be kept.
pub(crate) fn database_with_a_past(upstream: SocketAddr, dir: TempDir, mode: &str) -> Sidecar {
    sql(&dir.path().join("cvt.db"), "UPDATE validation_runs SET validated_at = 1");
    let url = format!("http://{upstream}");
    let setup = SidecarSetup::bare().args(&["--upstream", &url, "--schema", "metrics"]).inside(dir);
    let setup = setup.env("CVT_BODY_LIMIT", "1KiB").env("CVT_VALIDATION_RETENTION_DAYS", "1");
    let sidecar = setup.args(&["--mode", mode]).env("CVT_ENFORCE_RESPONSES", "true").start();
    sidecar.wait_for_metrics("expiry", |m| m.sum("cvt_retention_expired_total", &[]) >= 1.0);
    sidecar
}

/// From now on the database refuses every record for good.
pub(crate) fn refuse_records(sidecar: &Sidecar) {
    sql(
        &sidecar.dir().join("cvt.db"),
        "CREATE TRIGGER refuse BEFORE INSERT ON validation_runs \
         BEGIN SELECT RAISE(ABORT, 'refused by a test'); END",
    );
}

/// Runs a statement on a database that a sidecar may have open.
fn sql(database: &Path, statement: &'static str) {
    let run = async {
        let url = format!("sqlite://{}", database.display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the database");
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
        connection.close().await.expect("it closes");
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run);
}
