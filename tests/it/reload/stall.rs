//! No exchange waits for a document that is being compiled.

use std::fmt::Write;

use super::settings::status;
use super::{ADA, reloads};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, eventually};

/// [`USERS`] in a version of its own, among so many operations that compiling it takes long.
fn large(version: usize) -> String {
    let mut paths = "paths:\n".to_owned();
    for n in 0..2000 {
        let schema = format!(
            "{{type: object, required: [a], properties: {{a: {{type: string, pattern: '^v{n}[a-z]+$'}}, \
             b: {{type: integer, minimum: {n}}}, c: {{type: array, items: {{type: string}}}}}}}}"
        );
        let _ = writeln!(
            paths,
            "  /large/{n}:\n    post:\n      requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}\n      \
             responses: {{'204': {{description: done}}}}"
        );
    }
    USERS.replace("paths:\n", &paths).replace("2.1.0", &format!("3.{version}.0"))
}

#[test]
fn requests_are_answered_while_documents_are_compiled() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    // One thread carries all traffic: while it compiled, it could answer no request.
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_TRAFFIC_THREADS", "1");
    let setup = setup.env("CVT_RELOAD_WATCH", "false").env("CVT_LOG_LEVEL", "debug");
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.traffic);
    for version in 1..=3 {
        sidecar.write("openapi.yaml", &large(version));
        sidecar.hang_up();
        eventually("the document is being compiled", || {
            let begun = sidecar.said().matches("contract_changed").count();
            if begun == version { Ok(()) } else { Err(format!("{begun} of {version}")) }
        });
        let mut answered = 0;
        while reloads(&sidecar.metrics(), "contract", "success") < version as f64 - 0.5 {
            assert_eq!(status(&mut client, "/users/1"), 200);
            answered += 1;
        }
        assert!(answered > 10, "{answered} were answered between its begin and its end");
    }
}
