//! Forwarding headers: what the service learns about its callers.

use http::Request;

use crate::support::certificates::{Authority, ask_secured, secure};
use crate::support::documents::USERS;
use crate::support::h2_upstream::{H2Upstream, call_all};
use crate::support::{Client, Message, ScriptedUpstream, SidecarSetup};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// A caller that makes up everything, and asks for ours to be dropped.
const FORGED: &str = "GET /users/1 HTTP/1.1\r\nHost: a.example:81\r\nX-Forwarded-For: 1.2.3.4\r\n\
                    X-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\n\
                    Connection: close, X-Forwarded-For, X-Forwarded-Host, Forwarded\r\n\r\n";

/// What the service sees of `request`, with these settings.
fn seen(settings: &str, request: &str) -> Message {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let address = upstream.address();
    let settings = format!("spec: users.yaml\nupstream: http://{address}\n{settings}\n");
    let sidecar = SidecarSetup::configured(&settings).file("users.yaml", USERS).start();
    assert_eq!(Client::once(sidecar.traffic, request).status(), 200);
    upstream.wait_for(1).remove(0)
}

#[test]
fn a_caller_can_neither_forge_nor_drop_the_fields() {
    for mode in ["off", "shadow", "strict"] {
        let got = seen(&format!("mode: {mode}\nforwarded: {{headers: both}}"), FORGED);
        assert_eq!(got.all("x-forwarded-for"), ["127.0.0.1"], "{mode}");
        assert_eq!(got.all("x-forwarded-host"), ["a.example:81"], "{mode}");
        assert_eq!(got.all("x-forwarded-proto"), ["http"], "{mode}");
        let element = "for=127.0.0.1;host=\"a.example:81\";proto=http";
        assert_eq!(got.all("forwarded"), [element], "{mode}");
        assert_eq!(got.all("host"), ["a.example:81"], "{mode}");
    }
}

#[test]
fn fields_of_a_trusted_proxy_are_kept() {
    let request = "GET /users/1 HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   X-Forwarded-Host: outer\r\nConnection: close\r\n\r\n";
    let got = seen("forwarded: {headers: x_forwarded, trust: 127.0.0.0/8}", request);
    assert_eq!(got.all("x-forwarded-for"), ["1.2.3.4, 127.0.0.1"]);
    assert_eq!(got.all("x-forwarded-host"), ["outer"]);
    assert_eq!(got.all("x-forwarded-proto"), ["http"]);
    assert!(got.all("forwarded").is_empty());
}

#[test]
fn without_the_setting_the_fields_pass_unchanged() {
    let request = "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   X-Forwarded-For: 5.6.7.8\r\nConnection: close\r\n\r\n";
    let got = seen("", request);
    assert_eq!(got.all("x-forwarded-for"), ["1.2.3.4", "5.6.7.8"]);
    assert!(got.all("x-forwarded-host").is_empty() && got.all("forwarded").is_empty());
}

#[test]
fn the_host_of_an_http2_request_is_its_authority() {
    let upstream = H2Upstream::start(None);
    let settings = format!(
        "spec: users.yaml\nupstream: http://{}\nforwarded: {{headers: both}}\n",
        upstream.address()
    );
    let sidecar = SidecarSetup::configured(&settings).file("users.yaml", USERS).start();
    let request =
        Request::get("http://service.example/users/1").body(Vec::new()).expect("a request");
    assert_eq!(call_all(sidecar.traffic, vec![request])[0].status, 200);
    let got = upstream.wait_for(1).remove(0);
    assert_eq!(got.headers["x-forwarded-host"], "service.example");
    assert_eq!(got.headers["forwarded"], "for=127.0.0.1;host=\"service.example\";proto=http");
}

#[test]
fn the_scheme_is_the_callers() {
    let authority = Authority::new();
    let identity = authority.sign("server", "sidecar", 2090);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let text = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let settings = format!(
        "spec: users.yaml\nupstream: http://{}\nforwarded: {{headers: both}}\n",
        upstream.address()
    );
    let sidecar = SidecarSetup::configured(&settings)
        .file("users.yaml", USERS)
        .env("CVT_TRAFFIC_TLS_CERT_FILE", &text(&identity.cert))
        .env("CVT_TRAFFIC_TLS_KEY_FILE", &text(&identity.key))
        .start();
    let mut stream = secure(sidecar.traffic, &authority.client(None)).expect("a handshake");
    let request = "GET /users/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    ask_secured(&mut stream, request).expect("an answer");
    let got = upstream.wait_for(1).remove(0);
    assert_eq!(got.all("x-forwarded-proto"), ["https"]);
    assert_eq!(got.all("forwarded"), ["for=127.0.0.1;host=\"a\";proto=https"]);
}
